// The caller's own side under the reserved prefix, on every configured host, with the caller's own credential; never forwarded.
// What a session may see of itself, and how it asks for, waits for, extends and gives back elevations. SPEC: ADM1, ADM2
import type { IncomingMessage } from 'node:http'
import type { Elevation, ElevationId } from '../../core/elevation.ts'
import { type Refusal, refuse } from '../../core/decision.ts'
import { isEligible, type Policy } from '../../core/policy.ts'
import { identityOf } from '../../core/principal.ts'
import { type Reason, REASONS } from '../../core/reason.ts'
import { type Asker, type Declined, prepare } from '../../approvals/asking.ts'
import type { Hub } from '../../enforcement/hub.ts'
import type { Verified } from '../../identity/credential.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import type { Enforced } from '../../signals/intake.ts'
import type { Session } from '../../core/session.ts'
import type { Ask } from '../ask.ts'
import type { ProxyRoom } from '../room.ts'
import { refusalText, sendRefusal } from '../refusal.ts'
import { sessionOf } from '../session-of.ts'
import { elevationAnswer, profileAnswer, sessionAnswer } from './answers.ts'
import { elevationAsk, extensionAsk, noteAsk, parsed } from './asks.ts'
import { openEvents } from './events.ts'

export const RESERVED = '/.narrowgate/'
const KEYS = '/.well-known/jwks.json'
const BODY_MAX = 16_384
const BODY_WITHIN = 5_000
const LONGEST_WAIT = 60

type Known = { readonly live: LiveSession; readonly verified: Verified }
type Answer = { readonly status: number; readonly body: unknown } | { readonly reason: Reason; readonly says: string | null } | 'streaming'
type Handler = (ask: Ask, known: Known, id: ElevationId, body: string) => Promise<Answer>

const says = (reason: Reason, text: string | null = null): Answer => ({ reason, says: text })
const REASON_OF: { readonly [word: string]: Reason } = { conflict: 'limit_reached', not_found: 'no_route' }
const reasonOf = (word: string): Reason => REASON_OF[word] ?? (word in REASONS ? (word as Reason) : 'denied') // checked by `in`

export class SelfService {
  readonly #room: ProxyRoom
  readonly #hub: Hub
  readonly #handlers: ReadonlyMap<string, Handler>
  readonly #providers = new WeakMap<Policy, Map<string, readonly string[]>>()

  constructor(room: ProxyRoom, hub: Hub) {
    this.#room = room
    this.#hub = hub
    this.#handlers = new Map<string, Handler>([
      ['GET session', async (_ask, { live }) => this.#ok(sessionAnswer(this.#effective(live), this.#now))],
      ['POST session/renew', async (_ask, { live }) => this.#ok(sessionAnswer(this.#effective(live), this.#now))],
      ['GET profiles', async (_ask, { verified }) => this.#ok(this.#offered(verified))],
      ['POST elevations', async (_ask, known, _id, body) => this.#request(known, body)],
      ['GET elevations/{id}', async (ask, { live }, id) => this.#awaited(ask, live, id)],
      ['POST elevations/{id}/release', async (_ask, { live, verified }, id, body) => this.#act(live, verified, id, body, 'release')],
      ['POST elevations/{id}/withdraw', async (_ask, { live, verified }, id, body) => this.#act(live, verified, id, body, 'withdraw')],
      ['POST elevations/{id}/extend', async (_ask, { live, verified }, id, body) => this.#extend(live, verified, id, body)],
      ['GET events', async (ask, { live }) => this.#events(ask, live)],
    ])
  }

  get #now() { return this.#room.keeper.clock.now() }

  /** Our keys at the well-known place, where no route of the host claims it. */
  servesWithoutRoute(ask: Ask): boolean { return ask.target.path === KEYS && ask.arrival.request.method === 'GET' }

  serve(ask: Ask): void {
    const path = ask.target.path
    if (path === KEYS || path === `${RESERVED}jwks.json`) return this.#send(ask, 200, this.#room.minter.jwks)
    void this.#serve(ask, path.slice(RESERVED.length)).catch(error => {
      this.#room.log.error({ error: String(error) }, 'a self-service request failed')
      this.#refuse(ask, 'internal_error', null)
    })
  }

  async #serve(ask: Ask, path: string): Promise<void> {
    const match = /^elevations\/(elv_[a-z2-7]{26})(\/[a-z]+)?$/.exec(path)
    const handler = this.#handlers.get(`${ask.arrival.request.method} ${match === null ? path : `elevations/{id}${match[2] ?? ''}`}`)
    if (handler === undefined) return this.#refuse(ask, 'no_route', null)
    const known = await this.#identify(ask)
    if ('effect' in known) return this.#refuse(ask, known.reason, null)
    ask.live = known.live
    const standing = this.#standing(known, path)
    if (standing !== null) return this.#refuse(ask, standing, null)
    const body = await readBody(ask.arrival.request)
    if ('reason' in body) return body.reason === 'caller_closed' ? undefined : this.#refuse(ask, body.reason, null)
    const answer = await handler(ask, known, (match?.[1] ?? '') as ElevationId, body.text) // matched by the pattern of elevation ids
    if (answer === 'streaming') return
    if ('status' in answer) this.#send(ask, answer.status, answer.body)
    else this.#refuse(ask, answer.reason, answer.says)
  }

  /** Providers of any route of the host. */
  #authn(host: string): readonly string[] {
    const { policy } = this.#room.mirror
    const hosts = this.#providers.get(policy) ?? new Map<string, readonly string[]>()
    this.#providers.set(policy, hosts)
    const known = hosts.get(host)
    if (known !== undefined) return known
    const { exact, suffixes, anyHost } = policy.table
    const routes = exact.get(host) ?? suffixes.find(({ suffix }) => host.endsWith(suffix))?.routes ?? anyHost
    const names = [...new Set(routes.flatMap(({ authn }) => authn))]
    if (hosts.size < 1_000) hosts.set(host, names)
    return names
  }

  async #identify(ask: Ask): Promise<Known | Refusal> {
    const names = this.#authn(ask.target.host)
    if (names.length === 0) return refuse('wrong_host')
    const wanted = this.#room.identifier.headers(names)
    const { rawHeaders } = ask.arrival.request
    const presented = rawHeaders.flatMap((name, i) => (i % 2 === 0 && wanted.includes(name.toLowerCase()) ? [{ header: name.toLowerCase(), value: rawHeaders[i + 1] ?? '' }] : []))
    const identified = await this.#room.identifier.identify(names, presented)
    if (identified.is === 'refused') return refuse(identified.reason)
    ask.verified = identified.verified
    const live = await sessionOf(this.#room, identified.verified, '')
    return 'effect' in live ? live : { live, verified: identified.verified }
  }

  #effective(live: LiveSession) { return this.#room.mirror.effective(live, this.#now) }

  /** A frozen session may still read how it stands. */
  #standing({ live }: Known, path: string): Reason | null {
    const { state, reason } = this.#effective(live)
    if (state === 'live' || (state === 'frozen' && (path === 'session' || path === 'events'))) return null
    return reason ?? 'session_ended'
  }

  #ok(body: unknown): Answer { return { status: 200, body } }

  #offered({ principal, claims }: Verified) {
    return { profiles: [...this.#room.mirror.policy.profiles.values()].filter(profile => isEligible(profile, principal, claims)).map(profileAnswer) }
  }

  async #request({ live, verified }: Known, body: string): Promise<Answer> {
    const asked = parsed(elevationAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const { profile, for: span, purpose, params, reason, startAt, dryRun } = asked.value
    const asker: Asker = { principal: verified.principal, claims: verified.claims, keyThumbprint: verified.evidence.keyThumbprint, filedBy: identityOf(verified.principal) }
    const prepared: Elevation | Declined = await prepare({ profile, for: span ?? null, purposes: purpose ?? {}, params: params ?? {}, note: reason ?? '', startsAt: startAt ?? null }, asker, this.#room.mirror.policy, this.#room.mirror, this.#now)
    if ('declined' in prepared) {
      this.#room.metrics.elevationsRequested.inc({ profile: this.#room.mirror.policy.profiles.has(profile) ? profile : '', answer: prepared.declined })
      return says(prepared.declined, prepared.says)
    }
    if (dryRun === true) return { status: 200, body: { ...elevationAnswer(prepared, this.#now), state: 'dry_run' } }
    const done = await this.#room.intake.session(live.record.key, { kind: 'elevation.requested', elevation: prepared, askedUntil: null }, { by: asker.filedBy, note: reason ?? '', id: null })
    this.#room.metrics.elevationsRequested.inc({ profile, answer: done.rejected?.rejected ?? 'taken' })
    return this.#elevationOf(done, prepared.id, state => (state === 'requested' ? 202 : 201))
  }

  #elevationOf(done: Enforced<Session>, id: ElevationId, status: (state: string) => number): Answer {
    if (done.rejected !== null) return says(reasonOf(done.rejected.rejected), done.rejected.says)
    const elevation = done.record?.elevations.find(e => e.id === id)
    return elevation === undefined ? says('no_route') : { status: status(elevation.state.is), body: elevationAnswer(elevation, this.#now) }
  }

  async #act(live: LiveSession, verified: Verified, id: ElevationId, body: string, what: 'release' | 'withdraw'): Promise<Answer> {
    const asked = parsed(noteAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const word = { by: identityOf(verified.principal), note: asked.value.reason ?? '', id: null }
    const news = what === 'release' ? ({ kind: 'elevation.ended', elevation: id, reason: 'released', because: 'caller' } as const) : ({ kind: 'elevation.withdrawn', elevation: id } as const)
    return this.#elevationOf(await this.#room.intake.session(live.record.key, news, word), id, () => 200)
  }

  async #extend(live: LiveSession, verified: Verified, id: ElevationId, body: string): Promise<Answer> {
    const asked = parsed(extensionAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const elevation = live.record.elevations.find(e => e.id === id)
    const profile = elevation === undefined ? undefined : this.#room.mirror.policy.profiles.get(elevation.profile)
    if (profile !== undefined && profile.approval !== null && !profile.approval.extend) return says('denied', 'only an operator extends what was approved')
    const word = { by: identityOf(verified.principal), note: asked.value.reason ?? '', id: null }
    return this.#elevationOf(await this.#room.intake.session(live.record.key, { kind: 'elevation.extended', elevation: id, more: asked.value.for }, word), id, () => 200)
  }

  async #awaited(ask: Ask, live: LiveSession, id: ElevationId): Promise<Answer> {
    const find = (): Elevation | undefined => live.record.elevations.find(e => e.id === id)
    const first = find()
    if (first === undefined) return says('no_route')
    const seconds = Math.min(LONGEST_WAIT, Number(/[?&]wait=(\d{1,3})(?:&|$)/.exec(ask.target.query)?.[1] ?? 0))
    if (seconds > 0 && (first.state.is === 'requested' || first.state.is === 'scheduled')) await this.#change(ask, live, () => find()?.state.is !== first.state.is, seconds * 1000)
    const elevation = find()
    return elevation === undefined ? says('no_route') : this.#ok(elevationAnswer(elevation, this.#now))
  }

  /** Settles when the session changed so that `happened`, when time is up, or when the caller went away. */
  #change(ask: Ask, live: LiveSession, happened: () => boolean, within: number): Promise<void> {
    return new Promise(resolve => {
      const stop = this.#hub.subscribe(heard => {
        if (heard.is === 'announced' && heard.session === live.record.id) queueMicrotask(() => happened() && done()) // told before the mirror has it
      })
      const timer = setTimeout(() => done(), within)
      const done = (): void => {
        clearTimeout(timer)
        stop?.()
        resolve()
      }
      ask.arrival.response.once('close', done)
      if (stop === null || happened()) done()
    })
  }

  async #events(ask: Ask, live: LiveSession): Promise<Answer> {
    return openEvents(ask.arrival.response, this.#hub, live.record.id) ? 'streaming' : says('limit_reached')
  }

  #send(ask: Ask, status: number, body: unknown): void {
    const { request, response } = ask.arrival
    const bytes = Buffer.from(JSON.stringify(body))
    request.resume()
    response.writeHead(status, ['content-type', 'application/json', 'content-length', String(bytes.length), 'cache-control', 'no-store'])
    response.end(request.method === 'HEAD' ? undefined : bytes)
  }

  #refuse(ask: Ask, reason: Reason, detail: string | null): void {
    const { request, response, contentLength } = ask.arrival
    const text = refusalText(reason, { detail, session: ask.live?.record.id ?? null })
    this.#room.refused(ask.refused(text.evaluation, reason))
    sendRefusal(request, response, text, contentLength, false)
  }
}

/** The whole body as text, or why there is none. */
function readBody(request: IncomingMessage): Promise<{ readonly text: string } | { readonly reason: Reason }> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let size = 0
    const timer = setTimeout(() => finish({ reason: 'request_timeout' }), BODY_WITHIN)
    const finish = (read: { readonly text: string } | { readonly reason: Reason }): void => {
      clearTimeout(timer)
      request.off('data', take)
      resolve(read)
    }
    const take = (chunk: Buffer): void => {
      size += chunk.length
      if (size > BODY_MAX) return finish({ reason: 'body_too_large' })
      chunks.push(chunk)
    }
    request.on('data', take)
    request.once('end', () => finish({ text: Buffer.concat(chunks).toString('utf8') }))
    request.once('error', () => finish({ reason: 'caller_closed' }))
  })
}
