// What receivers reach on listeners that serve `signals`: our metadata and keys for everybody, and for each receiver that shows its token its own stream.
// Nothing of a body is logged. SPEC: TRM1, TRM3, TRM4
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { z } from 'zod'
import { NOBODY, type Refused } from '../../audit/record.ts'
import type { TransmitSettings } from '../../config/compile/transmit.ts'
import type { Instant } from '../../core/time.ts'
import type { EventSigner } from '../../identity/event-signer.ts'
import type { Clock } from '../../runtime/clock.ts'
import { newEvaluationId } from '../../runtime/id.ts'
import type { Log } from '../../runtime/log.ts'
import { Doorway, reply, type Reply } from '../doorway.ts'
import { messageBody } from '../message-body.ts'
import type { Asker, Management, Outcome } from './management.ts'
import type { Polls } from './polls.ts'
import { type OpenReceivers, shownBy } from './receivers.ts'
import { choosing, configuration, ofStream, poll, status, verification } from './requests.ts'
import { baseOf, POLL, PUSH } from './stream.ts'
import { StreamBusy, type Streams } from './streams.ts'

export type DeskRoom = {
  /** null where nothing is told to anybody. */
  readonly open: () => { readonly settings: TransmitSettings; readonly receivers: OpenReceivers; readonly signer: EventSigner } | null
  readonly management: Management
  readonly polls: Polls
  readonly streams: Pick<Streams, 'read'>
  /** A receiver asked about its stream, or polled. */
  readonly seen: (receiver: string, now: Instant) => void
  readonly clock: Clock
  readonly log: Log
  readonly refused: (refused: Refused) => void
}

type Call = { readonly asker: Asker; readonly id: string | null; readonly body: unknown; readonly gone: AbortSignal }
type Answer = (call: Call) => Promise<Outcome>

const PER_SECOND = 50
const WITH_BODY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
const RETRY_AFTER = '5'
/** Each stream has a path of its own; no path is this. */
const POLLS = 'polls'

const plain = (status: number, headers: Reply['headers'] = {}): Reply => ({ status, headers, json: null })
const UNREADABLE: Outcome = { status: 400, json: { err: 'invalid_request', description: 'the request is not what it must be' } }
const UNNAMED: Outcome = { status: 400, json: { err: 'invalid_request', description: '`stream_id` is missing' } }

/** Inserted between host and path (SSF 1.0 §7.2). */
const metadataPath = ({ issuer }: TransmitSettings): string => `/.well-known/ssf-configuration${new URL(issuer).pathname.replace(/\/$/, '')}`

function metadataOf(settings: TransmitSettings): object {
  const base = baseOf(settings)
  const pushes = [...settings.receivers.values()].some(({ pushTo }) => pushTo.length > 0)
  return {
    spec_version: '1_0', issuer: settings.issuer, jwks_uri: `${base}/jwks.json`, delivery_methods_supported: [...(pushes ? [PUSH] : []), POLL],
    configuration_endpoint: `${base}/streams`, status_endpoint: `${base}/status`, add_subject_endpoint: `${base}/subjects/add`, remove_subject_endpoint: `${base}/subjects/remove`,
    verification_endpoint: `${base}/verify`, critical_subject_members: [], authorization_schemes: [{ spec_urn: 'urn:ietf:rfc:6749' }], default_subjects: 'ALL',
  }
}

function jsonIn(body: Buffer): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body)) as unknown
  } catch {
    return undefined
  }
}

/** Answers what fits the form, and refuses what does not. */
const read = <S extends z.ZodType>(form: S, answer: (asked: z.infer<S>, call: Call) => Promise<Outcome>): Answer => call => {
  const asked = form.safeParse(call.body)
  return asked.success ? answer(asked.data, call) : Promise.resolve(UNREADABLE)
}

/** Aborted when whoever asked is not there any more. */
function goneOf(response: ServerResponse): AbortSignal {
  const gone = new AbortController()
  response.once('close', () => gone.abort())
  return gone.signal
}

export class Desk {
  readonly #room: DeskRoom
  readonly #doorway: Doorway
  readonly #routes: ReadonlyMap<string, { readonly [method: string]: Answer }>

  constructor(room: DeskRoom) {
    this.#room = room
    this.#doorway = new Doorway(room.clock)
    const { management } = room
    const named = (answer: (call: Call, id: string) => Promise<Outcome>): Answer => call => (call.id === null ? Promise.resolve(UNNAMED) : answer(call, call.id))
    const changed = (whole: boolean): Answer => read(configuration.extend(ofStream.shape), (asked, { asker, body }) => management.update(asker, asked.stream_id, asked, body as { readonly [member: string]: unknown }, whole)) // it fits the form, which is one of an object
    this.#routes = new Map([
      ['/ssf/streams', {
        GET: ({ asker, id }: Call) => management.list(asker, id), POST: read(configuration, (asked, { asker }) => management.create(asker, asked)),
        PATCH: changed(false), PUT: changed(true), DELETE: named(({ asker }, id) => management.remove(asker, id)),
      }],
      ['/ssf/status', { GET: named(({ asker }, id) => management.status(asker, id)), POST: read(status, (asked, { asker }) => management.setStatus(asker, asked.stream_id, asked.status, asked.reason ?? null)) }],
      ['/ssf/verify', { POST: read(verification, ({ stream_id: id, state = null }, { asker }) => management.verify(asker, id, state, room.clock.now())) }],
      ['/ssf/subjects/add', { POST: read(choosing, ({ stream_id: id, subject }, { asker }) => management.choose(asker, id, subject, 'add')) }],
      ['/ssf/subjects/remove', { POST: read(choosing, ({ stream_id: id, subject }, { asker }) => management.choose(asker, id, subject, 'remove')) }],
      [POLLS, { POST: read(poll, async (asked, { asker: { receiver: { name } }, id, gone }) => {
        const stream = await room.streams.read(name)
        if (stream === null || stream.id !== id || stream.push !== null) return { status: 404, json: { err: 'not_found', description: 'there is no such stream that is polled' } }
        return { status: 200, json: await room.polls.answer(name, stream, asked, gone) }
      }) }],
    ])
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [path = '', query = ''] = (request.url ?? '').split('?', 2)
    const answer = await this.#answer(path, query, request, response).catch((error: unknown) => this.#broke(error))
    reply(request, response, answer)
  }

  async #answer(path: string, query: string, request: IncomingMessage, response: ServerResponse): Promise<Reply> {
    const open = this.#room.open()
    if (open === null) return plain(404)
    const { settings, signer } = open
    const published = path === metadataPath(settings) ? metadataOf(settings) : path === '/ssf/jwks.json' ? signer.jwks : null
    if (published !== null) return request.method === 'GET' ? { status: 200, headers: { 'cache-control': 'public, max-age=300' }, json: published } : plain(405, { allow: 'GET' })
    const [, polled = null] = /^\/ssf\/poll\/([A-Za-z0-9_-]{1,256})$/.exec(path) ?? []
    const route = this.#routes.get(polled === null ? path : POLLS)
    if (route === undefined) return plain(404)
    const shown = shownBy(request, open.receivers)
    if (shown === null) return this.#unknown(request)
    return this.#known({ settings, receiver: shown.settings }, route, polled ?? new URLSearchParams(query).get('stream_id'), request, response)
  }

  async #known(asker: Asker, route: { readonly [method: string]: Answer }, id: string | null, request: IncomingMessage, response: ServerResponse): Promise<Reply> {
    const { name } = asker.receiver
    const method = request.method ?? ''
    const answer = Object.hasOwn(route, method) ? route[method] : undefined
    if (answer === undefined) return plain(405, { allow: Object.keys(route).join(', ') })
    const entrance = this.#doorway.enter({ name, perSecond: PER_SECOND }, request.socket.remoteAddress ?? '', 'shown')
    if (entrance.is === 'full') return plain(429, { 'retry-after': String(entrance.wait) })
    const gone = goneOf(response)
    const body = await (WITH_BODY.has(method) ? messageBody(request) : Promise.resolve(null)).finally(entrance.leave)
    if (body !== null && 'fault' in body) return plain(body.status)
    this.#room.seen(name, this.#room.clock.now())
    const { status: code, json } = await answer({ asker, id, body: body === null ? null : jsonIn(body), gone })
    return { status: code, headers: code === 429 ? { 'retry-after': RETRY_AFTER } : {}, json }
  }

  #unknown(request: IncomingMessage): Reply {
    this.#room.refused({ ...NOBODY, evaluation: newEvaluationId(), source: request.socket.remoteAddress ?? '', method: request.method ?? '', host: '', path: '/ssf', reason: 'credential_invalid', fault: 'ssf_receiver_unknown' })
    return plain(401, { 'www-authenticate': 'Bearer' })
  }

  #broke(error: unknown): Reply {
    if (!(error instanceof StreamBusy)) this.#room.log.error({ cause: error instanceof Error ? error.message : String(error) }, 'a receiver could not be answered')
    return plain(503, { 'retry-after': RETRY_AFTER })
  }
}
