// Asks for step-ups and takes the answers that callers give by themselves: each kept once in its session, however many requests want the same. Grants
// nothing: what an answer covers is for the judge. SPEC: STU1, STU2, STU3
import type { Case } from '../core/checks/check.ts'
import { needOf } from '../core/evaluate.ts'
import type { Principal } from '../core/principal.ts'
import type { Session, SessionId, SessionKey } from '../core/session.ts'
import type { SessionNews, SignalId } from '../core/signal.ts'
import { type Covered, coveredBy, type Given, isPending, isSameCovered, STEP_UPS_MAX, type StepUp, suffices } from '../core/step-up.ts'
import type { Instant } from '../core/time.ts'
import { newSignalId, newStepUpId } from '../runtime/id.ts'
import type { Applied } from '../sessions/doing.ts'
import type { Ledger } from '../sessions/ledger.ts'
import { givenBy, type Shown, stepUpOf } from './step-up.ts'

/** Where an answer is brought; it settles when every gateway knows of it. */
interface Desk {
  session(key: SessionKey, news: SessionNews, word: { readonly by: string; readonly note: string; readonly id: SignalId | null; readonly life?: SessionId }): Promise<Applied<Session>>
}

type Ports = { readonly ledger: Pick<Ledger, 'applyToSession' | 'settle'>; readonly desk: Desk; readonly full: (limit: 'step_ups' | 'step_up_target' | 'step_ups_asking') => void }

/** `denied`: somebody said no, and is not asked again before the time for an answer is over. `full`: too many wait already. `busy`: too many sessions ask at this moment. `none`: nothing has to be shown any more. */
export type Asked = { readonly is: 'waiting'; readonly stepUp: StepUp } | { readonly is: 'denied' | 'full' | 'busy' | 'none' }

const [DENIED, FULL, BUSY, NONE]: readonly [Asked, Asked, Asked, Asked] = [{ is: 'denied' }, { is: 'full' }, { is: 'busy' }, { is: 'none' }]
/** Questions on their way to the store at once. */
const ASKING_MAX = 1_024
/** Longest path and query that a session keeps. */
const TARGET_MAX = 4_096
const BY = 'step-ups'

const isTooLong = ({ request }: Covered): boolean => request !== null && request.path.length > TARGET_MAX

export class StepUps {
  readonly #ports: Ports
  readonly #asking = new Map<string, Promise<Asked>>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** The question that waits for what this request needs, asked now where none does. Rejects where the store does not take it. */
  async ask(c: Case, session: Session, who: Principal): Promise<Asked> {
    const need = needOf(c)
    if (need === null) return NONE
    const covered = coveredBy(c, need.rules)
    const same = session.stepUps.findLast(({ covers }) => isSameCovered(covers, covered))
    if (same?.state.is === 'denied' && same.expiresAt > c.now) return DENIED
    const waiting = session.stepUps.findLast(stepUp => isPending(stepUp) && isSameCovered(stepUp.covers, covered) && suffices(stepUp, need.rules))
    if (waiting !== undefined && waiting.expiresAt > c.now) return { is: 'waiting', stepUp: waiting }
    if (isTooLong(covered)) return this.#full('step_up_target')
    return this.#once(`${session.id} ${JSON.stringify([covered, need.rules])}`, async () => {
      if (waiting !== undefined) await this.#ports.ledger.settle(session) // its time is over, which nobody wrote down yet
      else if (session.stepUps.filter(isPending).length >= STEP_UPS_MAX) return this.#full('step_ups')
      return this.#put(session, stepUpOf(newStepUpId(), c, session, need, who))
    })
  }

  /** @returns whether something that was asked for is complete now. Rejects where the store does not take it */
  async show(session: Session, shown: Shown, now: Instant): Promise<boolean> {
    let complete = false
    for (const stepUp of session.stepUps) for (const given of givenBy(stepUp, shown, now)) complete = (await this.#answer(session, stepUp, given)) || complete
    return complete
  }

  #once(name: string, ask: () => Promise<Asked>): Promise<Asked> {
    const running = this.#asking.get(name)
    if (running !== undefined) return running
    if (this.#asking.size >= ASKING_MAX) return Promise.resolve(this.#full('step_ups_asking', BUSY))
    const asking = ask().finally(() => this.#asking.delete(name))
    this.#asking.set(name, asking)
    return asking
  }

  async #put(session: Session, stepUp: StepUp): Promise<Asked> {
    const { record, rejected } = await this.#ports.ledger.applyToSession(session.key, { kind: 'stepUp.asked', stepUp, id: newSignalId(), by: BY, note: '', life: session.id })
    if (rejected?.rejected === 'limit_reached') return this.#full('step_ups')
    const waiting = record?.stepUps.find(each => isPending(each) && isSameCovered(each.covers, stepUp.covers) && suffices(each, stepUp))
    return waiting === undefined ? NONE : { is: 'waiting', stepUp: waiting }
  }

  async #answer(session: Session, { id }: StepUp, given: Given): Promise<boolean> {
    const { record } = await this.#ports.desk.session(session.key, { kind: 'stepUp.answered', stepUp: id, given, barred: [] }, { by: given.by, note: '', id: null, life: session.id })
    return record?.stepUps.find(each => each.id === id)?.state.is === 'satisfied'
  }

  #full(limit: Parameters<Ports['full']>[0], told = FULL): Asked {
    this.#ports.full(limit)
    return told
  }
}
