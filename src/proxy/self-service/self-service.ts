// The caller's own side under the reserved prefix, on every configured host, with the caller's own credential; never forwarded.
// What a session may see of itself, and how it asks for, waits for, extends and gives back elevations. SPEC: ADM1, ADM2
import type { Elevation, ElevationId } from '../../core/elevation.ts'
import { type Refusal, refuse } from '../../core/decision.ts'
import { locksOnRequest } from '../../core/locks.ts'
import { isEligible, type Policy } from '../../core/policy.ts'
import { identityOf } from '../../core/principal.ts'
import { type Reason, REASONS } from '../../core/reason.ts'
import { routesAt } from '../../core/route.ts'
import { type Asker, type Declined, prepare } from '../../approvals/asking.ts'
import { mayHoldNow } from '../../approvals/holding.ts'
import type { Full, Hub } from '../../enforcement/hub.ts'
import type { Verified } from '../../identity/credential.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { StoreFault } from '../../sessions/store-fault.ts'
import type { Enforced, Word } from '../../signals/intake.ts'
import { isMarked, type Session, type SessionId } from '../../core/session.ts'
import type { Ask } from '../ask.ts'
import type { ProxyRoom } from '../room.ts'
import { answerJson } from '../own-answer.ts'
import { nonceLines } from '../challenge.ts'
import { Drifts } from '../drifts.ts'
import { presentedIn } from '../describe/presented.ts'
import { refusalText } from '../refusal.ts'
import { sessionOf } from '../session-of.ts'
import { elevationAnswer, profileAnswer, sessionAnswer } from './answers.ts'
import { elevationAsk, extensionAsk, noteAsk, parsed } from './asks.ts'
import { openEvents } from './events.ts'
import { challengesFor } from './protected-resource.ts'
import { readBody } from './request-body.ts'

export const RESERVED = '/.narrowgate/'
const KEYS = '/.well-known/jwks.json'
/** Both places of our keys. */
export const isKeySet = (path: string): boolean => path === KEYS || path === `${RESERVED}jwks.json`
const LONGEST_WAIT = 60
/** Nothing is announced: some clients never end what they do not send. */
const NO_BODY = { text: '' }

/** `life` is the one the caller was identified in; what comes of the request is meant for no other. */
type Known = { readonly live: LiveSession; readonly verified: Verified; readonly workload: string | null; readonly certified: string | null; readonly life: SessionId }
type Answer = { readonly status: number; readonly body: unknown } | { readonly reason: Reason; readonly says: string | null } | 'streaming'
type Handler = (ask: Ask, known: Known, id: ElevationId, body: string) => Promise<Answer>

const says = (reason: Reason, text: string | null = null): Answer => ({ reason, says: text })
const REASON_OF: { readonly [word: string]: Reason } = { conflict: 'limit_reached', not_found: 'no_route' }
const reasonOf = (word: string): Reason => REASON_OF[word] ?? (word in REASONS ? (word as Reason) : 'denied') // checked by `in`

export class SelfService {
  readonly #room: ProxyRoom
  readonly #hub: Hub
  readonly #drifts: Drifts
  readonly #handlers: ReadonlyMap<string, Handler>
  readonly #providers = new WeakMap<Policy, Map<string, readonly string[]>>()

  constructor(room: ProxyRoom, hub: Hub) {
    this.#room = room
    this.#drifts = new Drifts(room)
    this.#hub = hub
    this.#handlers = new Map<string, Handler>([
      ['GET session', async (_ask, { live }) => this.#ok(sessionAnswer(this.#effective(live), this.#now))],
      ['POST session/renew', async (_ask, known) => this.#renewed(known)],
      ['GET profiles', async (_ask, known) => this.#ok(this.#offered(known))],
      ['POST elevations', async (ask, known, _id, body) => this.#request(ask, known, body)],
      ['GET elevations/{id}', async (ask, known, id) => this.#awaited(ask, known, id)],
      ['POST elevations/{id}/release', async (_ask, known, id, body) => this.#act(known, id, body, 'release')],
      ['POST elevations/{id}/withdraw', async (_ask, known, id, body) => this.#act(known, id, body, 'withdraw')],
      ['POST elevations/{id}/extend', async (_ask, known, id, body) => this.#extend(known, id, body)],
      ['GET events', async (ask, known) => this.#events(ask, known)],
    ])
  }

  get #now() { return this.#room.keeper.clock.now() }

  /** Our keys at the well-known place, where no route of the host claims it. */
  servesWithoutRoute(ask: Ask): boolean { return ask.keys && ask.target.path === KEYS && ask.arrival.method === 'GET' }

  serve(ask: Ask): void {
    const path = ask.target.path
    if (isKeySet(path)) return answerJson(ask.arrival, 200, this.#room.minter.jwks)
    void this.#serve(ask, path.slice(RESERVED.length)).catch(error => this.#failed(ask, error))
  }

  #failed(ask: Ask, error: unknown): void {
    const { log, hold } = this.#room
    log.error({ error: String(error) }, 'a self-service request failed')
    this.#refuse(ask, !(error instanceof StoreFault) ? 'internal_error' : hold.fresh ? 'store_failed' : 'stale', null)
  }

  async #serve(ask: Ask, path: string): Promise<void> {
    const match = /^elevations\/(elv_[a-z2-7]{26})(\/[a-z]+)?$/.exec(path)
    const handler = this.#handlers.get(`${ask.arrival.method} ${match === null ? path : `elevations/{id}${match[2] ?? ''}`}`)
    if (handler === undefined) return this.#refuse(ask, 'no_route', null)
    const known = await this.#known(ask)
    if ('effect' in known) return this.#refuse(ask, known.reason, null)
    ask.live = known.live
    const standing = this.#standing(known, path) ?? this.#drifted(ask, known)
    if (standing !== null) return this.#refuse(ask, standing, null)
    const body = ask.head.contentLength === 0 ? NO_BODY : await readBody(ask.arrival.body)
    if ('reason' in body) return this.#refuse(ask, body.reason, null)
    const since = await this.#since(ask, known, path)
    if (since !== null) return this.#refuse(ask, since, null)
    const answer = await handler(ask, known, (match?.[1] ?? '') as ElevationId, body.text) // matched by the pattern of elevation ids
    if (answer === 'streaming') return
    if ('status' in answer) answerJson(ask.arrival, answer.status, answer.body)
    else this.#refuse(ask, answer.reason, answer.says)
  }

  /** Providers of any route of the host. */
  #authn(host: string): readonly string[] {
    const { policy } = this.#room.mirror
    const hosts = this.#providers.get(policy) ?? new Map<string, readonly string[]>()
    this.#providers.set(policy, hosts)
    const known = hosts.get(host)
    if (known !== undefined) return known
    const names = [...new Set((routesAt(policy.table, host) ?? []).flatMap(({ authn }) => authn))]
    if (hosts.size < 1_000) hosts.set(host, names)
    return names
  }

  /** The caller in its session, by knowledge that is proven fresh; held like any request until it is. */
  async #known(ask: Ask): Promise<Known | Refusal> {
    const { hold } = this.#room
    const { answer } = ask.arrival
    for (;;) {
      const known = await this.#identify(ask).catch((error: unknown) => {
        if (error instanceof StoreFault && !hold.fresh) return null
        throw error
      })
      if (known !== null && ('effect' in known || hold.fresh)) return known
      if (!(await hold.wait(answer))) return refuse(answer.gone ? 'caller_closed' : 'stale')
    }
  }

  async #identify(ask: Ask): Promise<Known | Refusal> {
    const names = this.#authn(ask.target.host)
    if (names.length === 0) return refuse('wrong_host')
    const { identifier } = this.#room
    const identified = await identifier.identify(names, presentedIn(ask.arrival.headers, identifier.headers(names)), ask)
    if (identified.is === 'refused') {
      ask.credentialFault = identified.detail
      return refuse(identified.reason)
    }
    ask.verified = identified.verified
    const live = await sessionOf(this.#room, identified.verified, '', ask)
    return 'effect' in live ? live : { live, verified: identified.verified, workload: ask.workload, certified: ask.certified, life: live.record.id }
  }

  #effective(live: LiveSession) { return this.#room.mirror.effective(live, this.#now) }

  /** Why this caller may ask nothing more, at any moment of a request. A frozen session may still read how it stands. */
  #standing(known: Known, path: string): Reason | null {
    const { verified: { evidence, principal }, workload, certified, life } = known
    const live = this.#current(known)
    if (isMarked(live.record, evidence.issuedAt)) return 'credential_revoked'
    if (live.record.id !== life) return 'session_ended'
    const { state, reason } = this.#effective(live)
    if (state === 'refused') return reason ?? 'session_ended'
    if (this.#left(known) <= 0) return 'credential_ended'
    const { locks } = this.#room.mirror
    const lock = locks.size === 0 ? null : locksOnRequest(locks, '', { evidence, context: { workload, certified } }, principal, this.#now)
    if (lock?.effect === 'deny') return lock.reason
    const frozen = state === 'frozen' || lock?.effect === 'freeze'
    return frozen && path !== 'session' && path !== 'events' ? 'frozen' : null
  }

  /** A session answers only to who it is bound to. */
  #drifted(ask: Ask, known: Known): Reason | null {
    ask.drift = this.#drifts.ofCaller(this.#current(known), { evidence: known.verified.evidence, context: { workload: ask.workload, source: ask.sourceAddress } })
    return ask.drift === null ? null : 'binding_broken'
  }

  /** The same after something was awaited; where knowledge is not fresh any more its session is looked up anew. */
  async #since(ask: Ask, known: Known, path: string): Promise<Reason | null> {
    if (this.#room.hold.fresh) return this.#standing(known, path)
    const again = await this.#known(ask)
    return 'effect' in again ? again.reason : this.#standing({ ...again, life: known.life }, path)
  }

  /** The session as it is known now: it may have made way in memory and come back. */
  #current({ live, life }: Known): LiveSession { return this.#room.mirror.byId(life) ?? live }

  /** Milliseconds until the session's newest credential ends, this one included. */
  #left(known: Known): number {
    const { mirror } = this.#room
    if (mirror.policy.sessions.credentialEnd === 'ignore') return Infinity
    const own = known.verified.evidence.expiresAt ?? Infinity
    const newest = this.#current(known).record.credential.expiresAt ?? Infinity
    return Math.max(own, newest) - this.#now
  }

  #word({ verified, life }: Known, note: string): Word { return { by: identityOf(verified.principal), note, id: null, life } }

  #ok(body: unknown): Answer { return { status: 200, body } }

  /** The credential was taken over where it is newer. What a broker gave has its time, and nobody else's word moves it. */
  #renewed({ live }: Known): Answer {
    return live.record.brokered === null ? this.#ok(sessionAnswer(this.#effective(live), this.#now)) : says('denied', 'a session that a broker opened cannot be renewed')
  }

  #offered({ live, verified: { principal, claims } }: Known) {
    const { policy } = this.#room.mirror
    return { profiles: [...policy.profiles.values()].filter(profile => isEligible(profile, principal, claims) && mayHoldNow(policy, live.record, profile.name)).map(profileAnswer) }
  }

  async #request(ask: Ask, known: Known, body: string): Promise<Answer> {
    const { live, verified } = known
    const asked = parsed(elevationAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const { profile, for: span, purpose, params, reason, startAt, dryRun } = asked.value
    const asker: Asker = { principal: verified.principal, claims: verified.claims, keyThumbprint: verified.evidence.keyThumbprint, workload: ask.workload, holds: live.record, filedBy: identityOf(verified.principal) }
    const prepared: Elevation | Declined = await prepare({ profile, for: span ?? null, purposes: purpose ?? {}, params: params ?? {}, note: reason ?? '', startsAt: startAt ?? null }, asker, this.#room.mirror.policy, this.#room.mirror, this.#now)
    if ('declined' in prepared) {
      this.#room.metrics.elevationsRequested.inc({ profile: this.#room.mirror.policy.profiles.has(profile) ? profile : '', answer: prepared.declined })
      return says(prepared.declined, prepared.says)
    }
    if (dryRun === true) return { status: 200, body: { ...elevationAnswer(prepared, this.#now), state: 'dry_run' } }
    const done = await this.#room.intake.session(live.record.key, { kind: 'elevation.requested', elevation: prepared, askedUntil: null }, this.#word(known, reason ?? ''))
    this.#room.metrics.elevationsRequested.inc({ profile, answer: done.rejected?.rejected ?? 'taken' })
    return this.#elevationOf(done, prepared.id, state => (state === 'requested' ? 202 : 201))
  }

  #elevationOf(done: Enforced<Session>, id: ElevationId, status: (state: string) => number): Answer {
    if (done.rejected !== null) return says(reasonOf(done.rejected.rejected), done.rejected.says)
    const elevation = done.record?.elevations.find(e => e.id === id)
    return elevation === undefined ? says('no_route') : { status: status(elevation.state.is), body: elevationAnswer(elevation, this.#now) }
  }

  async #act(known: Known, id: ElevationId, body: string, what: 'release' | 'withdraw'): Promise<Answer> {
    const asked = parsed(noteAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const word = this.#word(known, asked.value.reason ?? '')
    const news = what === 'release' ? ({ kind: 'elevation.ended', elevation: id, reason: 'released', because: 'caller' } as const) : ({ kind: 'elevation.withdrawn', elevation: id } as const)
    return this.#elevationOf(await this.#room.intake.session(known.live.record.key, news, word), id, () => 200)
  }

  async #extend(known: Known, id: ElevationId, body: string): Promise<Answer> {
    const asked = parsed(extensionAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const elevation = this.#current(known).record.elevations.find(e => e.id === id)
    const profile = elevation === undefined ? undefined : this.#room.mirror.policy.profiles.get(elevation.profile)
    if (profile !== undefined && profile.approval !== null && !profile.approval.extend) return says('denied', 'only an operator extends what was approved')
    const news = { kind: 'elevation.extended', elevation: id, more: asked.value.for } as const
    return this.#elevationOf(await this.#room.intake.session(known.live.record.key, news, this.#word(known, asked.value.reason ?? '')), id, () => 200)
  }

  async #awaited(ask: Ask, known: Known, id: ElevationId): Promise<Answer> {
    const find = (): Elevation | undefined => this.#current(known).record.elevations.find(e => e.id === id)
    const first = find()
    if (first === undefined) return says('no_route')
    const standing = (): Reason | null => this.#standing(known, `elevations/${id}`)
    const seconds = Math.min(LONGEST_WAIT, Number(/[?&]wait=(\d{1,3})(?:&|$)/.exec(ask.target.query)?.[1] ?? 0))
    if (seconds > 0 && (first.state.is === 'requested' || first.state.is === 'scheduled')) {
      const full = await this.#change(ask, known, () => find()?.state.is !== first.state.is || standing() !== null, seconds * 1000)
      if (full !== null) return this.#full(full)
      const refused = await this.#since(ask, known, `elevations/${id}`)
      if (refused !== null) return says(refused)
    }
    const elevation = find()
    return elevation === undefined ? says('no_route') : this.#ok(elevationAnswer(elevation, this.#now))
  }

  /** Settles when the session changed so that `happened`, when time is up, or when the caller went away; at once, with the limit, when too many wait. */
  #change(ask: Ask, { life }: Known, happened: () => boolean, within: number): Promise<Full | null> {
    return new Promise(resolve => {
      const stop = this.#hub.follow(life, heard => {
        if (heard.is === 'announced') queueMicrotask(() => happened() && done()) // told before the mirror has it
      })
      if (typeof stop === 'string') return resolve(stop)
      const timer = setTimeout(() => done(), within)
      const done = (): void => {
        clearTimeout(timer)
        stop()
        resolve(null)
      }
      ask.arrival.answer.onClose(done)
      if (happened()) done()
    })
  }

  async #events(ask: Ask, known: Known): Promise<Answer> {
    const hearing = { session: known.life, allowed: () => this.#standing(known, 'events') === null, left: () => this.#left(known) }
    const full = openEvents(ask.arrival.answer, this.#hub, hearing)
    return full === null ? 'streaming' : this.#full(full)
  }

  #full(limit: Full): Answer {
    this.#room.metrics.limitReached.inc({ limit })
    return says('limit_reached')
  }

  #refuse(ask: Ask, reason: Reason, detail: string | null): void {
    if (reason === 'caller_closed') return
    const text = refusalText(reason, { detail, session: ask.live?.record.id ?? null, challenges: challengesFor(ask, reason), headers: nonceLines(ask.credentialFault, this.#room.identifier.nonce) })
    this.#room.refused(ask.refused(text.evaluation, reason))
    ask.arrival.answer.refuse(text, ask.head.contentLength, false)
  }
}
