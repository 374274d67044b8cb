// One gateway of the simulation of risk: the real engine, judge, mirror, ledger and store, without sockets. Nothing is forwarded: what is let through is answered at once.
import { NOT_BOUND } from '../../src/core/binding.ts'
import { evaluate } from '../../src/core/evaluate.ts'
import type { Evaluation } from '../../src/core/evaluation.ts'
import type { Evidence } from '../../src/core/evidence.ts'
import type { Policy } from '../../src/core/policy.ts'
import type { Principal } from '../../src/core/principal.ts'
import type { Reason } from '../../src/core/reason.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { Risked, RiskLevel } from '../../src/core/risk.ts'
import { placeOf, routeOf } from '../../src/core/route.ts'
import type { SessionId, SessionKey } from '../../src/core/session.ts'
import type { Means, StepUp, StepUpId } from '../../src/core/step-up.ts'
import { after, duration, FOREVER, type Instant } from '../../src/core/time.ts'
import { caseOf, type GateKeeper, NO_CLAIMS } from '../../src/enforcement/exchange.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import type { Part } from '../../src/sessions/store.ts'
import { Intake, type Word } from '../../src/signals/intake.ts'
import { Risk, type RiskWitness } from '../../src/signals/risk/risk.ts'
import type { Attempt } from '../../src/signals/risk/watch.ts'
import { PLAIN_CONTEXT } from '../support/plain.ts'
import type { Step } from './risk-actors.ts'

const thrown = (cause: unknown): never => { throw cause }
const nothing = (): void => {}
const WITNESS: RiskWitness = { hit: nothing, erred: rule => thrown(new Error(`rule ${rule} erred`)), badPart: () => thrown(new Error('a bad part')), limited: nothing, failed: thrown, withheld: nothing, reached: nothing }
const WORD: Word = { by: 'simulation', note: '', id: null }
const SESSIONS_MAX = 1_000
/** In which a store that gateways share is taken to answer. */
const LEASE = 1_000
const LASTS = duration(10 * 86_400_000)

/** What several gateways tell each other of principals, in place of a store that they share: every member's newest part. */
export class SharedPool {
  readonly #parts = new Map<string, Map<number, Part>>()

  of(member: number, now: () => Instant): EmbeddedStore['pool'] {
    return async parts => parts.map(part => {
      const all = this.#parts.get(part.name) ?? new Map<number, Part>()
      this.#parts.set(part.name, all)
      if (part.text !== '') all.set(member, part)
      return [...all.values()].filter(({ forgetAt }) => forgetAt > now()).map(({ text }) => text)
    })
  }
}

/** What became of one request. */
export type Look = { readonly reason: Reason | null; readonly score: number; /** What stands for its principal behind it. */ readonly level: RiskLevel | null; /** Its session was narrowed, frozen or ended by itself. */ readonly isLess: boolean }

export class Gateway {
  readonly #clock: Clock
  readonly #store: EmbeddedStore
  readonly #mirror: Mirror
  readonly #ledger: Ledger
  readonly #intake: Intake
  readonly #keeper: GateKeeper
  readonly #risk: Risk
  #made = 0

  /** @param pool in place of its own store's; null leaves that */
  constructor(policy: Policy, clock: Clock, pool: EmbeddedStore['pool'] | null) {
    this.#clock = clock
    this.#store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
    this.#mirror = new Mirror(this.#store, policy, SESSIONS_MAX)
    this.#ledger = new Ledger(this.#store, this.#mirror, clock)
    this.#intake = new Intake(this.#ledger, this.#store, clock, () => {})
    this.#keeper = { clock, mirror: this.#mirror, confirmedUntil: () => this.#store.confirmedUntil(), vouchesFor: () => true }
    const alone = pool === null ? {} : { pool, confirmedUntil: () => clock.elapsed() + LEASE }
    const store = { pool: this.#store.pool.bind(this.#store), confirmedUntil: () => Infinity, find: this.#store.find.bind(this.#store), load: this.#store.load.bind(this.#store), survey: this.#store.survey.bind(this.#store), ...alone }
    this.#risk = new Risk({ intake: this.#intake, mirror: this.#mirror, store, clock, witness: WITNESS, most: SESSIONS_MAX })
    this.#ledger.onCommitted = (record, facts) => this.#risk.acts.heard(record, facts)
    this.#mirror.onAnnounced = ({ record, facts }) => { if (record.record === 'anchor') this.#risk.heard(record, facts) }
  }

  async start(): Promise<void> {
    await this.#mirror.start()
    this.#risk.start()
  }

  async close(): Promise<void> {
    await this.#risk.stop()
    await this.#ledger.settled()
    await this.#store.close()
  }

  async open(principal: Principal): Promise<void> {
    const key = keyOf(principal)
    await this.#intake.session(key, {
      kind: 'session.opened', key, session: `ses_${principal.subject}_${++this.#made}` as SessionId, epoch: this.#store.epochOf(sessionRef(key)), principal, // a test word
      credential: { id: principal.subject, keyId: null, issuedAt: null, expiresAt: null }, endsAt: after(this.#clock.now(), LASTS), bindings: NOT_BOUND, aliases: [], brokered: null,
    }, WORD)
    this.#mirror.learn(await this.#live(principal), NO_CLAIMS, evidenceOf(principal))
  }

  /** Its session has ended by a level: it signs in anew. */
  async reopen(principal: Principal): Promise<void> {
    await this.#intake.session(keyOf(principal), { kind: 'time.passed' }, WORD)
    await this.open(principal)
  }

  /** One request, from its attempt to its end. */
  async serve(principal: Principal, step: Step): Promise<Look> {
    const live = await this.#live(principal)
    const { policy } = this.#mirror
    const evaluation = evaluationOf(principal, step)
    const route = routeOf(policy.table, evaluation.resource)
    if (typeof route === 'string') throw new Error(`nothing is at ${step.host}${step.path}`)
    const place = placeOf(route, evaluation.action, evaluation.resource)
    const id = `exc_${++this.#made}`
    const attempt: Attempt = { id, live, claims: NO_CLAIMS, evaluation, place }
    const attempted = this.#risk.attempted(attempt)
    const reason = this.#judge({ id, policy, place, evaluation, live, claims: NO_CLAIMS, vouchedUntil: FOREVER, external: null })
    if (reason !== null) return this.#look(live, reason, this.#risk.refused(attempt, reason))
    this.#risk.passed(live, step.bytes, true, place)
    return this.#look(live, reason, attempted)
  }

  #judge(inquiry: Parameters<typeof caseOf>[0]): Reason | null {
    const decision = evaluate(caseOf(inquiry, this.#keeper, this.#clock.now(), null))
    return decision.effect === 'refuse' ? decision.reason : null
  }

  #look(live: LiveSession, reason: Reason | null, { after: score }: Risked): Look {
    const { level } = this.#mirror.effective(live, this.#clock.now())
    const { cap, frozen, state } = live.record
    return { reason, score, level, isLess: reason === 'max_reached' || cap.is !== 'none' || frozen !== null || state.is !== 'live' }
  }

  /** Asked for and answered, as far as the level asks. */
  async stepUp(principal: Principal, means: Means): Promise<void> {
    const now = this.#clock.now()
    const { within, ...rules } = this.#mirror.policy.risk.stepUp
    const id = `stp_${++this.#made}` as StepUpId // a test word
    const stepUp: StepUp = { ...rules, id, covers: { rule: null, request: null }, askedAt: now, expiresAt: after(now, within), because: 'level', barred: [], given: [], used: [], state: { is: 'pending' } }
    const key = keyOf(principal)
    await this.#intake.session(key, { kind: 'stepUp.asked', stepUp }, WORD)
    await this.#intake.session(key, { kind: 'stepUp.answered', stepUp: id, given: { means, by: `${principal.issuer}|${principal.subject}`, at: now, proof: 'simulated' }, barred: [] }, WORD)
  }

  async #live(principal: Principal): Promise<LiveSession> {
    const live = await this.#mirror.load(keyOf(principal))
    if (live === null) throw new Error(`${principal.subject} has no session`)
    return live
  }
}

const keyOf = ({ subject }: Principal): SessionKey => `key_${subject}` as SessionKey // a test word
const evidenceOf = ({ issuer, subject }: Principal): Evidence => ({ provider: 'simulated', fingerprint: '', credential: subject, issuer, keyId: null, issuedAt: null, expiresAt: null, keyThumbprint: null, device: null, claimed: {} })
const evaluationOf = (principal: Principal, { method, host, path, source }: Step): Evaluation => ({
  evidence: evidenceOf(principal), action: { method, upgrade: null, call: null }, resource: { host, path, segments: path.slice(1).split('/'), query: '' },
  context: { protocol: 'http', source, secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] },
})
