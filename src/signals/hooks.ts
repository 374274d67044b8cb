// /hooks/<name>: messages that sources send, on listeners that serve `signals`. One counts when a secret of its connector signed it, in time, and
// once; it is answered when every gateway has enforced it. Nothing of a body is logged, and nothing of the inside is answered. SPEC: TKT2, SIG5, RSK9
import type { IncomingMessage, ServerResponse } from 'node:http'
import { NOBODY, type Refused } from '../audit/record.ts'
import type { SignedSettings, WebhookSettings } from '../config/compile/connectors.ts'
import type { NewsHookSettings } from '../config/compile/news-hooks.ts'
import type { ScoreSettings } from '../config/compile/scores.ts'
import { anchorOf } from '../core/anchor.ts'
import type { SignalId } from '../core/signal.ts'
import { after, duration, type Instant } from '../core/time.ts'
import { isBodySigned } from '../runtime/body-signature.ts'
import type { Clock } from '../runtime/clock.ts'
import { newEvaluationId, sha256 } from '../runtime/id.ts'
import type { Log } from '../runtime/log.ts'
import type { Metrics } from '../runtime/metrics.ts'
import { verifyWebhook, WEBHOOK_TOLERANCE } from '../runtime/standard-webhook.ts'
import { Doorway, reply } from './doorway.ts'
import { messageBody } from './message-body.ts'
import type { Inbox } from './outside/inbox.ts'
import type { NamingPorts } from './outside/named.ts'
import { newsIn, type OpenNewsHooks } from './outside/news-hook.ts'
import { type OpenScores, principalsNamed, type ScorePorts, scored } from './scores.ts'
import { mapped, type Ticket } from './tickets/mapping.ts'
import { takeMessage } from './tickets/news.ts'
import type { OpenConnector } from './tickets/open-connectors.ts'
import type { Tickets } from './tickets/tickets.ts'

export type HooksRoom = ScorePorts & NamingPorts & {
  readonly tickets: Tickets
  /** Webhooks that tell of scores, by name. */
  readonly scores: () => OpenScores
  /** Those that tell of changes in trust. */
  readonly news: () => OpenNewsHooks
  readonly inbox: Pick<Inbox, 'take'>
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<Metrics, 'hooks'>
  readonly refused: (refused: Refused) => void
}

type Outcome = 'taken' | 'unchanged' | 'again' | 'late' | 'unknown' | 'unsigned' | 'malformed' | 'busy' | 'failed'
type Answer = { readonly status: number; readonly outcome: Outcome; /** What was wrong, in a word; null where nothing was. */ readonly fault: string | null; /** Seconds to wait before it is sent again. */ readonly wait: number }

const done = (status: number, outcome: Outcome): Answer => ({ status, outcome, fault: null, wait: 0 })
const no = (status: number, outcome: Outcome, fault: string): Answer => ({ status, outcome, fault, wait: status === 503 ? RETRY_AFTER : 0 })

const PATH = /^\/hooks\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/
const RETRY_AFTER = 5
/** A message is of now for so long at most, by either side's clock. */
const REMEMBERED = duration(2 * WEBHOOK_TOLERANCE)

/** What makes a message the same one again: its id where it is signed along, else all of it. */
type Signed = { readonly is: 'signed'; readonly mark: string } | { readonly is: 'refused'; readonly fault: string }

function signedBody({ header, ...form }: Exclude<SignedSettings['signature'], 'standard'>, { headersDistinct }: IncomingMessage, body: Uint8Array, secrets: readonly Uint8Array[]): Signed {
  const [shown, other] = headersDistinct[header] ?? []
  if (shown === undefined || other !== undefined) return { is: 'refused', fault: shown === undefined ? 'header_missing' : 'header_repeated' }
  return isBodySigned(shown, form, body, secrets) ? { is: 'signed', mark: sha256(body) } : { is: 'refused', fault: 'signature_wrong' }
}

function signedBy({ signature }: Pick<SignedSettings, 'signature'>, request: IncomingMessage, body: Uint8Array, secrets: readonly Uint8Array[], now: Instant): Signed {
  if (signature !== 'standard') return signedBody(signature, request, body, secrets)
  const verified = verifyWebhook(request.rawHeaders, body, secrets, now, WEBHOOK_TOLERANCE)
  return verified.is === 'verified' ? { is: 'signed', mark: verified.id } : verified
}

function jsonOf(body: Buffer): { readonly value: unknown } | null {
  try {
    return { value: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)) }
  } catch {
    return null
  }
}

/** A signature over the body alone is of any time: then the message itself has to be of now. */
const isOld = ({ signature }: Pick<SignedSettings, 'signature'>, { at }: Pick<Ticket, 'at'>, now: Instant): boolean => signature !== 'standard' && (at === null || Math.abs(now - at) > WEBHOOK_TOLERANCE)

/** The same on every gateway, whenever it comes: a second commit under it is none. */
const signalOf = (source: string, mark: string): SignalId => `sig_hook_${sha256(JSON.stringify([source, mark]))}` as SignalId // made of what was signed

/** A webhook, its secrets, and who takes what it says. */
type Hook = { readonly webhook: SignedSettings; readonly secrets: readonly Uint8Array[]; readonly take: (message: unknown, mark: string) => Promise<Answer> }

export class Hooks {
  readonly #room: HooksRoom
  readonly #doorway: Doorway

  constructor(room: HooksRoom) {
    this.#room = room
    this.#doorway = new Doorway(room.clock)
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const source = PATH.exec((request.url ?? '').split('?', 1)[0] ?? '')?.[1] ?? ''
    const hook = this.#hookOf(source)
    const answer = await this.#answer(source, hook, request).catch((error: unknown) => this.#broke(source, error))
    const { metrics, refused } = this.#room
    metrics.hooks.inc({ source: hook === null ? '' : source, outcome: answer.outcome })
    if (answer.fault !== null) refused({ ...NOBODY, evaluation: newEvaluationId(), source: request.socket.remoteAddress ?? '', method: request.method ?? '', host: '', path: hook === null ? '' : `/hooks/${source}`, reason: answer.status === 401 ? 'credential_invalid' : answer.status >= 500 ? 'store_failed' : 'bad_request', fault: `webhook_${answer.fault}` })
    const { status, wait } = answer
    reply(request, response, { status, json: null, headers: wait > 0 ? { 'retry-after': String(wait) } : status === 405 ? { allow: 'POST' } : {} })
  }

  #hookOf(source: string): Hook | null {
    const { tickets, scores } = this.#room
    const connector = tickets.open.get(source)
    const webhook = connector?.settings.webhook ?? null
    if (connector !== undefined && webhook !== null) return { webhook, secrets: connector.secrets, take: (message, mark) => this.#take(connector, webhook, message, mark) }
    const score = scores().get(source)
    if (score !== undefined) return { webhook: score.settings, secrets: score.secrets, take: (message, mark) => this.#score(score.settings, message, mark) }
    const news = this.#room.news().get(source)
    return news === undefined ? null : { webhook: news.settings, secrets: news.secrets, take: (message, mark) => this.#news(news.settings, message, mark) }
  }

  async #answer(source: string, hook: Hook | null, request: IncomingMessage): Promise<Answer> {
    if (hook === null) return no(404, 'unknown', 'unknown')
    if (request.method !== 'POST') return no(405, 'malformed', 'method')
    const entrance = this.#doorway.enter({ name: source, perSecond: hook.webhook.perSecond }, request.socket.remoteAddress ?? '', 'stranger')
    if (entrance.is === 'full') return { ...no(429, 'busy', 'busy'), wait: entrance.wait }
    const body = await messageBody(request).finally(entrance.leave)
    if ('fault' in body) return no(body.status, 'malformed', body.fault)
    const signed = signedBy(hook.webhook, request, body, hook.secrets, this.#room.clock.now())
    if (signed.is === 'refused') return no(401, 'unsigned', signed.fault)
    const message = jsonOf(body)
    return message === null ? no(400, 'malformed', 'not_json') : hook.take(message.value, signed.mark)
  }

  async #take({ settings: { name, kind, poll } }: OpenConnector, webhook: WebhookSettings, message: unknown, mark: string): Promise<Answer> {
    const { tickets, clock } = this.#room
    const read = mapped(webhook.map, message)
    if (read.is === 'fault') return no(400, 'malformed', `map_${read.of}`)
    const { ticket } = read
    if (isOld(webhook, ticket, clock.now())) return no(401, 'unsigned', 'timestamp_old')
    const ref = anchorOf(name, kind, ticket.tenant, ticket.id)
    const said = { ref, ticket, map: webhook.map, source: name, now: clock.now(), opens: poll === null }
    const { is, anchor } = await takeMessage(tickets.ports, said, { by: `webhook:${name}`, id: signalOf(name, mark) })
    if (is === 'unopened' && anchor !== null) await tickets.connectorOf(ref)?.look(ref)
    return is === 'onlyHere' ? done(202, 'taken') : done(is === 'again' ? 200 : 204, is === 'unopened' ? 'unchanged' : is)
  }

  /** Whose it is is found before it leaves its mark: what failed is taken when it comes again. A store that lost marks takes one again: that its points count from now once more is the safe side. */
  async #score(settings: ScoreSettings, message: unknown, mark: string): Promise<Answer> {
    const { clock, store, risk } = this.#room
    const read = scored(settings, message)
    if (read.is === 'fault') return no(400, 'malformed', `map_${read.of}`)
    const { score } = read
    const now = clock.now()
    if (isOld(settings, score, now)) return no(401, 'unsigned', 'timestamp_old')
    const named = await principalsNamed(this.#room, score)
    if ((await store.mark(sha256(JSON.stringify(['score', settings.name, mark])), now, after(now, REMEMBERED))) === 'again') return done(200, 'again')
    for (const { ref, who } of named) risk.told(ref, who, score.name, score.points)
    return named.length === 0 ? done(204, 'unchanged') : done(202, 'taken')
  }

  /** In the store when it is answered, and acted on behind that. */
  async #news(settings: NewsHookSettings, message: unknown, mark: string): Promise<Answer> {
    const { clock, inbox } = this.#room
    const now = clock.now()
    const read = newsIn(settings, message, mark, now, this.#room)
    if (read.is === 'fault') return no(400, 'malformed', `map_${read.of}`)
    if (isOld(settings, read.is === 'event' ? read : { at: now }, now)) return no(401, 'unsigned', 'timestamp_old')
    if (read.is === 'unknown') return done(204, 'unchanged')
    const { is } = await inbox.take(read.event)
    return is === 'again' ? done(200, 'again') : done(202, 'taken')
  }

  #broke(source: string, error: unknown): Answer {
    this.#room.log.error({ connector: source, cause: error instanceof Error ? error.message : String(error) }, 'news from outside could not be taken; its sender tries again')
    return no(503, 'failed', 'failed')
  }
}
