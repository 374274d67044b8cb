// Gateways as far as elevations go, over any store: mirror, ledger, intake and what asks and approves, wired as the gateway wires them, without its sockets. One
// can be dropped in the middle of everything, as a crash does. For tests only.
import { Aftermath } from '../../src/approvals/aftermath.ts'
import { approvalNews } from '../../src/approvals/approving.ts'
import { prepare } from '../../src/approvals/asking.ts'
import { isDeclined } from '../../src/approvals/declined.ts'
import { requestElevation } from '../../src/approvals/requesting.ts'
import { shownDigest } from '../../src/approvals/shown.ts'
import type { AnchorRef } from '../../src/core/anchor.ts'
import type { Elevation } from '../../src/core/elevation.ts'
import type { ApprovalRules, Policy, Profile } from '../../src/core/policy.ts'
import type { Purposes, Shown } from '../../src/core/purpose.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { Session, SessionKey } from '../../src/core/session.ts'
import type { SessionNews, Shrinking } from '../../src/core/signal.ts'
import { type Duration, duration, FOREVER, type Instant } from '../../src/core/time.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { openLog } from '../../src/runtime/log.ts'
import type { Applied } from '../../src/sessions/doing.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { Intake } from '../../src/signals/intake.ts'
import { PLAIN_PROFILE } from '../support/plain.ts'
import { policyOf } from '../unit/core/world.ts'
import { sessionOf } from './session-store-contract.ts'

export const TICKET: AnchorRef = { kind: 'ticket', name: 'manual/acme/T-1' }
export const TURNS: AnchorRef = { kind: 'turn', name: 'signed/conversation' }
export const FILER = 'corp|filer'

const MINUTE = duration(60_000)
const asked = (within: Duration, ...stages: readonly (readonly [role: string, count: number])[]): ApprovalRules =>
  ({ stages: stages.map(([role, count]) => ({ role, count, who: null })), within, extend: 'free', autoWhen: null, breakGlass: null, notify: [] })
const profile = (name: string, more: Partial<Profile> = {}): Profile => ({ ...PLAIN_PROFILE, name, title: name, adds: ['db:read', 'db:write'], for: MINUTE, max: duration(10 * MINUTE), ...more })

/** One for each way to be given, to stand and to end. */
const PROFILES = [
  profile('plain'),
  profile('tidy', { adds: ['db:read'] }),
  profile('brief', { for: duration(40), max: duration(60), afterEnd: { profile: 'tidy', uses: 1, for: duration(30) } }),
  profile('two', { approval: asked(MINUTE, ['lead', 2]), params: new Map([['customers', { type: 'list', max: null, required: false }]]) }),
  profile('staged', { approval: asked(MINUTE, ['lead', 1], ['owner', 1]) }),
  profile('hasty', { approval: asked(duration(25), ['lead', 1]) }),
  profile('ticketed', { purposes: ['ticket'], endWhen: ['ticket'], afterEnd: { profile: 'tidy', uses: 1, for: MINUTE } }),
  profile('turned', { purposes: ['turn'] }),
  profile('single', { purposes: ['ticket'], alone: true }),
  profile('exclusive', { purposes: ['ticket'], resource: { of: 'purpose', kind: 'ticket' }, max: MINUTE }),
]
export const PROFILE_NAMES = PROFILES.map(({ name }) => name).filter(name => name !== 'tidy')

export const POLICY: Policy = {
  ...policyOf(...PROFILES),
  purposes: new Map([['ticket', { kind: 'ticket', from: { is: 'header', header: 'ticket' }, source: 'manual' }], ['turn', { kind: 'turn', from: { is: 'signed', header: 'turn', claim: 'turn', line: null }, source: null }]]),
}

/** Nothing comes back from somebody who is gone. */
const never = new Promise<never>(() => {})

export type Asking = { readonly profile: string; readonly turn: number; readonly startsIn: number | null; readonly filed: boolean }
export type Word = Shrinking & { readonly by: string; readonly names: 'as shown' | { readonly digest: string } }

export class Seat {
  readonly store: SessionStore
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly clock: Clock
  readonly #intake: Intake
  readonly #aftermath: Aftermath
  #isGone = false

  private constructor(store: SessionStore, clock: Clock) {
    this.clock = clock
    this.store = this.#mortal(store)
    this.mirror = new Mirror(this.store, POLICY, 100)
    this.ledger = new Ledger(this.store, this.mirror, clock)
    this.#intake = new Intake(this.ledger, this.store, clock, () => undefined)
    this.#aftermath = new Aftermath({ desk: this.#intake, log: openLog('silent'), policy: () => POLICY })
    this.ledger.onCommitted = (record, facts) => this.#aftermath.committed(record, facts)
  }

  static async take(store: SessionStore, clock: Clock): Promise<Seat> {
    const seat = new Seat(store, clock)
    await seat.mirror.start({ lost: (news, replaced) => seat.ledger.sayAgain(news, replaced), confirmed: () => {} })
    return seat
  }

  get isGone(): boolean { return this.#isGone }

  /** It sends nothing more, and what was on its way back is not heard. */
  crash(): void {
    this.#isGone = true
    this.ledger.stop()
  }

  async stop(): Promise<void> {
    await this.ledger.settled()
    await this.#aftermath.stop()
    await this.ledger.settled()
    this.ledger.stop()
  }

  #mortal(store: SessionStore): SessionStore {
    const gone = (): boolean => this.#isGone
    return new Proxy(store, {
      get: (target, name) => {
        const member: unknown = Reflect.get(target, name, target)
        if (typeof member !== 'function') return member
        return (...args: unknown[]): unknown => {
          if (gone() && name !== 'epochOf' && name !== 'confirmedUntil') return never
          const answer: unknown = Reflect.apply(member, target, args)
          return answer instanceof Promise ? answer.then(value => (gone() ? never : value), (error: unknown) => (gone() ? never : Promise.reject(error))) : answer
        }
      },
    })
  }

  /** As this gateway knows it. */
  async session(key: SessionKey): Promise<Session> {
    return (await this.mirror.load(key))?.record ?? sessionOf(await this.store.load(sessionRef(key)))
  }

  async ask(key: SessionKey, { profile: name, turn, startsIn, filed }: Asking): Promise<Applied<Session> | string> {
    const { principal, ...holds } = await this.session(key)
    const now = this.clock.now()
    const value = `turn-${turn}`
    const needs = POLICY.profiles.get(name)?.purposes ?? []
    const purposes: Purposes = needs.includes('ticket') ? { ticket: 'T-1' } : {}
    const shown: Shown = { purposes: needs.includes('turn') ? { turn: value } : purposes, until: FOREVER, positions: needs.includes('turn') ? [{ kind: 'turn', line: 'conversation', at: turn }] : [] }
    const filedBy = filed ? FILER : `${principal.issuer}|${principal.subject}`
    const startsAt = startsIn === null ? null : ((now + startsIn) as Instant)
    const prepared = await prepare(
      { profile: name, for: null, purposes, params: name === 'two' ? { customers: ['a', 'b'] } : {}, note: 'test', startsAt, held: false },
      { principal, claims: {}, keyThumbprint: null, workload: null, shown: filed && !needs.includes('turn') ? null : shown, holds, filedBy }, { policy: POLICY, look: ref => this.mirror.anchor(ref), now, unreviewed: () => 0 },
    )
    if (isDeclined(prepared)) return prepared.declined
    return requestElevation({ intake: this.#intake, now, sessionAt: at => this.session(at) }, key, prepared, { by: filedBy, note: '', id: null, life: holds.id })
  }

  async approve(key: SessionKey, elevation: Elevation, { by, names, ...given }: Word): Promise<Applied<Session> | string> {
    const session = await this.session(key)
    const shown = names === 'as shown' ? shownDigest(session, elevation) : names.digest
    const world = { policy: POLICY, look: (ref: AnchorRef) => this.mirror.anchor(ref), now: this.clock.now(), unreviewed: () => 0, locks: this.mirror.locks }
    const news = await approvalNews(session, elevation, { identity: by, claims: {}, kept: {}, holds: () => true }, { ...given, shown }, world)
    return isDeclined(news) ? news.declined : this.#intake.session(key, news, { by, note: '', id: null, life: session.id })
  }

  tell(key: SessionKey, news: SessionNews): Promise<Applied<Session>> { return this.#intake.session(key, news, { by: FILER, note: '', id: null }) }
  ticket(kind: 'anchor.opened' | 'anchor.ended') { return this.#intake.anchor(TICKET, { kind, matter: null }, { by: FILER, note: '', id: null }) }
  turn(position: number) { return this.#intake.anchor(TURNS, { kind: 'anchor.advanced', position, value: `turn-${position}` }, { by: 'agent', note: '', id: null }) }

  /** What the timekeeper does when a session is due. */
  async settle(key: SessionKey): Promise<void> { await this.ledger.settle(await this.session(key)) }
}
