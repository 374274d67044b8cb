// The step of gather in which a request takes a use of the step-up that covers it: from the store, so that it is nobody else's on any gateway. Likewise for
// what is open already. Given back where the request is not admitted; a use that cannot be given back is lost, never doubled. SPEC: STU4
import type { Reason } from '../core/reason.ts'
import type { SessionNews } from '../core/signal.ts'
import type { StepUp, StepUpId } from '../core/step-up.ts'
import { newSignalId } from '../runtime/id.ts'
import type { Ledger } from '../sessions/ledger.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import type { Gathering, GatherStep, Reserved } from './gather.ts'

const BY = 'step-ups'

/** Is it counted, and not paid for by this one yet? */
export const owesUse = (stepUp: StepUp | null, exchange: string, paid: StepUpId | null): boolean =>
  stepUp !== null && stepUp.uses !== null && stepUp.id !== paid && !stepUp.used.includes(exchange)

export class StepUpUses {
  readonly #ledger: Pick<Ledger, 'applyToSession'>
  /** What was begun for a request, so that giving it back comes behind it. */
  readonly #taking = new WeakMap<Reserved, Promise<boolean>>()

  constructor(ledger: Pick<Ledger, 'applyToSession'>) {
    this.#ledger = ledger
  }

  get step(): GatherStep {
    return {
      name: 'step-up', failure: 'store_failed',
      needed: ({ stepUp, inquiry, reserved }) => owesUse(stepUp, inquiry.id, reserved.stepUp) || (reserved.stepUp !== null && reserved.stepUp !== stepUp?.id),
      run: request => this.#run(request),
      undo: request => this.#back(request),
    }
  }

  /** @returns whether there was one left. @throws StoreFault where the store did not say */
  async take({ record: { key, id: life } }: LiveSession, stepUp: StepUpId, exchange: string): Promise<boolean> {
    const { rejected, assumed } = await this.#apply(key, life, { kind: 'stepUp.used', stepUp, exchange })
    if (assumed !== null) throw new StoreFault('failed', 'whether a use is left is for the store to say') // taken from memory it may be somebody else's as well
    return rejected === null
  }

  async #run(request: Gathering): Promise<Reason | null> {
    const { stepUp, inquiry: { id, live }, reserved } = request
    this.#back(request)
    if (live === null || stepUp === null || !owesUse(stepUp, id, null)) return null
    const taking = this.take(live, stepUp.id, id)
    reserved.stepUp = stepUp.id
    this.#taking.set(reserved, taking)
    return (await taking) ? null : 'step_up_required'
  }

  #back({ inquiry: { id, live }, reserved }: Gathering): void {
    const { stepUp } = reserved
    const taking = this.#taking.get(reserved)
    reserved.stepUp = null
    if (live === null || stepUp === null || taking === undefined) return
    const { key, id: life } = live.record
    const back = (): Promise<unknown> => this.#apply(key, life, { kind: 'stepUp.returned', stepUp, exchange: id })
    void taking.then(had => (had ? back() : null), back).catch(() => undefined) // lost, which harms nobody but its caller
  }

  #apply(key: LiveSession['record']['key'], life: LiveSession['record']['id'], news: SessionNews) {
    return this.#ledger.applyToSession(key, { ...news, id: newSignalId(), by: BY, note: '', life })
  }
}
