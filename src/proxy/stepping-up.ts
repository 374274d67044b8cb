// Requests that have to be stepped up for: what they show may be the answer, and what is still missing is asked for before they are refused. Only what the
// judge refuses for nothing else gets here, so that no credential answers that must not be used at all. SPEC: STU1, STU2, STU3
import type { StepUps } from '../approvals/step-ups.ts'
import type { Shown } from '../approvals/step-up.ts'
import { type Refusal, refuse } from '../core/decision.ts'
import { isPending } from '../core/step-up.ts'
import { caseOf, type GateKeeper, type Inquiry } from '../enforcement/exchange.ts'
import type { Verified } from '../identity/credential.ts'
import type { Identifier } from '../identity/identify.ts'
import type { Log } from '../runtime/log.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Ask } from './ask.ts'

type Room = { readonly keeper: GateKeeper; readonly stepUps: StepUps; readonly log: Log }

/** Sessions of which an answer may be on its way to the store at once. */
const TELLING_MAX = 256
const NO_LINES: readonly string[] = []

export const shownBy = ({ principal, claims, evidence, binding }: Verified, { nonceAt }: Ask): Shown => ({ principal, claims, evidence, binding, nonceAt })

/** The nonce that a proof has to hold to be newer than this answer, for a credential that is bound to a key. */
export function nonceFor({ stepUp, verified }: Ask, identifier: Identifier): readonly string[] {
  const isAsked = stepUp !== null && isPending(stepUp) && stepUp.by.includes('attest') && verified?.binding?.is === 'dpop'
  return isAsked ? ['dpop-nonce', identifier.timedNonce] : NO_LINES
}

export class SteppingUp {
  readonly #room: Room
  readonly #telling = new Set<string>()

  constructor(room: Room) {
    this.#room = room
  }

  /** @returns `again` where it showed what was missing, so that the judge is asked anew */
  async refused(ask: Ask, inquiry: Inquiry, live: LiveSession, verified: Verified): Promise<Refusal | 'again'> {
    try {
      return await this.#refused(ask, inquiry, live, verified)
    } catch (error) {
      this.#room.log.warn({ error: String(error) }, 'a step-up could not be asked for, or its answer not be kept; the request stays refused')
      return refuse('step_up_required')
    }
  }

  /** It was let through; what it shows may be what something else waits for. Nobody waits for that. */
  noticed(ask: Ask, { record }: LiveSession, verified: Verified): void {
    const { keeper, stepUps, log } = this.#room
    if (record.stepUps.length === 0 || this.#telling.has(record.id) || this.#telling.size >= TELLING_MAX) return
    this.#telling.add(record.id)
    void stepUps.show(record, shownBy(verified, ask), keeper.clock.now())
      .catch(error => log.warn({ error: String(error) }, 'what a caller showed anew could not be told to the store'))
      .finally(() => this.#telling.delete(record.id))
  }

  async #refused(ask: Ask, inquiry: Inquiry, live: LiveSession, verified: Verified): Promise<Refusal | 'again'> {
    const { keeper, stepUps } = this.#room
    if (!ask.showed && live.record.stepUps.length > 0) {
      ask.showed = true
      if (await stepUps.show(live.record, shownBy(verified, ask), keeper.clock.now())) return 'again'
    }
    const asked = await stepUps.ask(caseOf(inquiry, keeper, keeper.clock.now(), null), live.record, verified.principal)
    if (asked.is === 'waiting') ask.stepUp = asked.stepUp
    return refuse(asked.is === 'denied' ? 'step_up_denied' : 'step_up_required')
  }
}
