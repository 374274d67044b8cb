// What is open and has to be stepped up for, wired: somebody is asked as soon as it is held, its use is taken before it goes on, and it ends where
// neither can be done. Decides nothing itself. SPEC: STU4, STU5
import { setTimeout as pause } from 'node:timers/promises'
import { StepUps } from './approvals/step-ups.ts'
import type { Case } from './core/checks/check.ts'
import { needOf } from './core/evaluate.ts'
import type { Reason } from './core/reason.ts'
import { coverage, covers, isPending, type StepUp } from './core/step-up.ts'
import { caseOf, type Exchange, type GateKeeper } from './enforcement/exchange.ts'
import type { Inflight } from './enforcement/inflight.ts'
import { Reassessor, type Witness } from './enforcement/reassess.ts'
import { StepUpUses } from './enforcement/step-up-use.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { LiveSession } from './sessions/live-session.ts'
import type { Intake } from './signals/intake.ts'

type Parts = { readonly keeper: GateKeeper; readonly ledger: Ledger; readonly intake: Intake; readonly metrics: Metrics; readonly log: Log }

/** A store that does not answer is asked again so often, each time later; then what waits for it ends. */
const ATTEMPTS = 6
const AGAIN_AFTER = 250

const isHeld = ({ state, reason }: Exchange): boolean => state === 'frozen' && reason === 'step_up_required'

export class SteppingUp {
  readonly stepUps: StepUps
  readonly uses: StepUpUses
  readonly #parts: Parts
  /** Exchanges that somebody is asking or paying for; no more than are open. */
  readonly #busy = new Set<string>()
  #end: (exchange: Exchange, reason: Reason) => void = () => {}

  constructor(parts: Parts) {
    const { ledger, intake, metrics } = parts
    this.#parts = parts
    this.stepUps = new StepUps({ ledger, desk: intake, full: limit => metrics.limitReached.inc({ limit }) })
    this.uses = new StepUpUses(ledger)
  }

  #beside(witness: Witness): Witness {
    return {
      regranted: exchange => witness.regranted(exchange), resumed: exchange => witness.resumed(exchange), finishing: (exchange, reason) => witness.finishing(exchange, reason), cut: ended => witness.cut(ended),
      frozen: (exchange, reason) => {
        witness.frozen(exchange, reason)
        if (reason === 'step_up_required' && exchange.live !== null) this.#until(exchange, exchange.live, live => this.#asked(exchange, live))
      },
    }
  }

  /** Judges what is open, tells this and `witness`, and ends what this has to end. */
  reassessor(inflight: Inflight, witness: Witness): Reassessor {
    const reassessor = new Reassessor(this.#parts.keeper, inflight, this.#beside(witness))
    reassessor.onHeld = exchange => {
      if (exchange.live !== null && !this.#waits(exchange, exchange.live)) this.#until(exchange, exchange.live, live => this.#asked(exchange, live))
    }
    reassessor.onOwing = (exchange, { id }) => {
      if (exchange.live !== null) this.#until(exchange, exchange.live, live => this.#paid(exchange, live, id))
    }
    this.#end = (exchange, reason) => reassessor.end(exchange, reason, 'step-up', null)
    return reassessor
  }

  /** In a later turn: whoever tells stands in the middle of judging. `attempt` gives why the exchange ends, or null. */
  #until(exchange: Exchange, live: LiveSession, attempt: (live: LiveSession) => Promise<Reason | null>): void {
    if (this.#busy.has(exchange.id)) return
    this.#busy.add(exchange.id)
    void this.#try(exchange, () => attempt(live)).then(reason => {
      this.#busy.delete(exchange.id)
      if (reason !== null && exchange.state === 'frozen') this.#end(exchange, reason)
      else if (isHeld(exchange)) this.#owing(exchange, live)
    })
  }

  async #try(exchange: Exchange, attempt: () => Promise<Reason | null>): Promise<Reason | null> {
    for (let i = 1; i <= ATTEMPTS; i++) {
      await pause(i === 1 ? 0 : i * AGAIN_AFTER, null, { ref: false })
      if (exchange.state !== 'frozen') return null
      try {
        return await attempt()
      } catch (error) {
        this.#parts.log.warn({ exchange: exchange.id, error: String(error) }, 'a step-up of what is open could not be written; tried again')
      }
    }
    return 'store_failed'
  }

  /** It was covered while it was being asked for. */
  #owing(exchange: Exchange, live: LiveSession): void {
    const covering = this.#covering(this.#caseOf(exchange, live))
    if (covering !== null && covering.uses !== null && !covering.used.includes(exchange.id)) this.#until(exchange, live, () => this.#paid(exchange, live, covering.id))
  }

  async #asked(exchange: Exchange, live: LiveSession): Promise<Reason | null> {
    const c = this.#caseOf(exchange, live)
    if (!isHeld(exchange) || this.#covering(c) !== null) return null
    const asked = await this.stepUps.ask(c, live.record, live.record.principal)
    if (asked.is === 'busy') throw new Error('too many sessions ask for a step-up at this moment') // a level that many reach together ends nobody's stream
    return asked.is === 'denied' ? 'step_up_denied' : asked.is === 'full' ? 'limit_reached' : null
  }

  /** Where somebody else took the last one it waits for an answer of its own; else that is announced, and the judge is asked again. */
  async #paid(exchange: Exchange, live: LiveSession, stepUp: StepUp['id']): Promise<Reason | null> {
    return (await this.uses.take(live, stepUp, exchange.id)) ? null : this.#asked(exchange, live)
  }

  #covering(c: Case): StepUp | null {
    const need = needOf(c)
    return need === null || c.standing === null ? null : coverage(c.standing.session.stepUps, c, need.rules)
  }

  /** Somebody is asked about it already. */
  #waits(exchange: Exchange, { record: { stepUps } }: LiveSession): boolean { return stepUps.some(stepUp => isPending(stepUp) && covers(stepUp.covers, exchange)) }

  #caseOf(exchange: Exchange, live: LiveSession): Case {
    const { keeper } = this.#parts
    const { id, policy, place, evaluation, claims, vouchedUntil, external, permit: { grant } } = exchange
    return caseOf({ id, policy, place, evaluation, live, claims, vouchedUntil, external }, keeper, keeper.clock.now(), grant.is === 'elevation' ? grant.elevation.id : null)
  }
}
