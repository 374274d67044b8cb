// Who asks on its own behalf, in which session, and whether it may ask anything now: by knowledge that is proven fresh, asked again after everything
// that was awaited. SPEC: ADM1, ADM2
import { type Refusal, refuse } from '../../core/decision.ts'
import { locksOnRequest, NO_CALL } from '../../core/locks.ts'
import { overlaid } from '../../core/overlay.ts'
import type { Policy } from '../../core/policy.ts'
import { type Claims, identityOf } from '../../core/principal.ts'
import type { Reason } from '../../core/reason.ts'
import { routesAt } from '../../core/route.ts'
import { isMarked, type SessionId } from '../../core/session.ts'
import type { Verified } from '../../identity/credential.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { StoreFault } from '../../sessions/store-fault.ts'
import type { Word } from '../../signals/intake.ts'
import type { Ask } from '../ask.ts'
import { Drifts } from '../drifts.ts'
import { presentedIn } from '../describe/presented.ts'
import type { ProxyRoom } from '../room.ts'
import { sessionOf } from '../session-of.ts'

/** `life` is the one the caller was identified in; what comes of the request is meant for no other. */
export type Known = { readonly live: LiveSession; readonly verified: Verified; readonly workload: string | null; readonly certified: string | null; readonly life: SessionId }

/** What a frozen session may still do: read how it stands, and hold what it has. */
const isReading = (path: string): boolean => path === 'session' || path === 'events' || path.endsWith('/hold') || path.startsWith('step-ups/')

/** What a session that has to show anew who it is gets nothing of before that. */
const isGiving = (path: string): boolean => path === 'elevations' || path.endsWith('/extend')

export const wordOf = ({ verified, life }: Known, note: string): Word => ({ by: identityOf(verified.principal), note, id: null, life })

export class Callers {
  readonly #room: ProxyRoom
  readonly #drifts: Drifts
  readonly #providers = new WeakMap<Policy, Map<string, readonly string[]>>()

  constructor(room: ProxyRoom) {
    this.#room = room
    this.#drifts = new Drifts(room)
  }

  get now() { return this.#room.keeper.clock.now() }

  effective(live: LiveSession) { return this.#room.mirror.effective(live, this.now) }

  /** The caller in its session; held like any request while knowledge is not fresh. */
  async known(ask: Ask): Promise<Known | Refusal> {
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

  /** Why this caller may ask nothing more, at any moment of a request. */
  standing(known: Known, path: string): Reason | null {
    const { verified: { evidence, principal }, workload, certified, life } = known
    const live = this.current(known)
    if (isMarked(live.record, evidence.issuedAt)) return 'credential_revoked'
    if (live.record.id !== life) return 'session_ended'
    const { state, reason } = this.effective(live)
    if (state === 'refused') return reason ?? 'session_ended'
    if (this.left(known) <= 0) return 'credential_ended'
    const { locks } = this.#room.mirror
    const lock = locks.size === 0 ? null : locksOnRequest(locks, '', { evidence, action: NO_CALL, context: { workload, certified } }, principal, this.now)
    if (lock?.effect === 'deny') return lock.reason
    const frozen = state === 'frozen' || lock?.effect === 'freeze'
    if (isReading(path)) return null
    return frozen ? 'frozen' : live.record.demand !== null && isGiving(path) ? 'step_up_required' : null
  }

  /** A session answers only to who it is bound to. */
  drifted(ask: Ask, known: Known): Reason | null {
    ask.drift = this.#drifts.ofCaller(this.current(known), { evidence: known.verified.evidence, context: { workload: ask.workload, source: ask.sourceAddress } })
    return ask.drift === null ? null : 'binding_broken'
  }

  /** Its standing after something was awaited; where knowledge is not fresh any more its session is looked up anew. */
  async since(ask: Ask, known: Known, path: string): Promise<Reason | null> {
    if (this.#room.hold.fresh) return this.standing(known, path)
    const again = await this.known(ask)
    return 'effect' in again ? again.reason : this.standing({ ...again, life: known.life }, path)
  }

  /** The session as it is known now: it may have made way in memory and come back. */
  current({ live, life }: Known): LiveSession { return this.#room.mirror.byId(life) ?? live }

  /** What its credential says of it, with what changed behind that. */
  claims(known: Known): Claims { return overlaid(known.verified.claims, this.current(known).record.overlay, known.verified.evidence.issuedAt) }

  /** Milliseconds until the session's newest credential ends, this one included. */
  left(known: Known): number {
    const { mirror } = this.#room
    if (mirror.policy.sessions.credentialEnd === 'ignore') return Infinity
    const own = known.verified.evidence.expiresAt ?? Infinity
    const newest = this.current(known).record.credential.expiresAt ?? Infinity
    return Math.max(own, newest) - this.now
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
}
