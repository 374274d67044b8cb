// The step of gather in which a request takes what the limits of its elevation ask for, from the store, before it is admitted: so much is had by nobody
// else on any gateway, and is given back where the request is not dispatched. SPEC: LIM1, LIM2, RULES 1
import { underOf } from '../core/call.ts'
import { type Grant, grantName } from '../core/decision.ts'
import type { Elevation, ElevationId } from '../core/elevation.ts'
import type { Reason } from '../core/reason.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import type { Metrics } from '../runtime/metrics.ts'
import type { Ledger } from '../sessions/ledger.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { SessionStore } from '../sessions/store.ts'
import type { Gathering, GatherStep } from './gather.ts'
import type { Reassessor } from './reassess.ts'
import { type Limited, Spending } from './spending.ts'
import { Takings } from './takings.ts'

type Ports = { readonly store: SessionStore; readonly clock: Clock; readonly metrics: Metrics; readonly ledger: Ledger; readonly reassessor: Reassessor }

const isLimited = (elevation: Elevation): elevation is Limited => elevation.budget !== null

/** The elevation whose limits this grant has to keep; null where there are none. */
const limitedBy = (grant: Grant): Limited | null => (grant.is === 'elevation' && isLimited(grant.elevation) ? grant.elevation : null)

export class Budget {
  readonly #ports: Ports
  readonly #takings: Takings

  constructor(ports: Ports) {
    this.#ports = ports
    this.#takings = new Takings(ports.store, ports.clock)
  }

  /** Once for each grant: what was taken for one that does not carry it any more is given back. */
  get step(): GatherStep {
    return {
      name: 'budget', failure: 'store_failed',
      needed: ({ grant, reserved: { spending } }) => (limitedBy(grant) === null ? spending !== null : spending?.elevation.id !== grantName(grant)),
      run: request => this.#take(request),
      undo: ({ reserved }) => reserved.spending?.back(),
    }
  }

  /** Says again what this gateway took of late: the store may have lost it. */
  sayAgain(): Promise<void> { return this.#takings.sayAgain() }

  async #take({ grant, inquiry, reserved }: Gathering): Promise<Reason | null> {
    reserved.spending?.back()
    reserved.spending = null
    const { id, live, evaluation: { action: { call }, context: { body } } } = inquiry
    const limited = limitedBy(grant)
    if (limited === null || live === null) return null
    const { metrics, reassessor, clock } = this.#ports
    const spending = new Spending(limited, `${id}.${reserved.attempts++}`, {
      takings: this.#takings, reached: limit => metrics.limitReached.inc({ limit }), spent: ({ id: elevation }) => this.#spent(live, elevation), end: (exchange, reason) => reassessor.end(exchange, reason, 'limit', null),
    }, underOf(call) === limited.id ? 0 : 1)
    reserved.spending = spending
    return spending.take(body, clock.now())
  }

  /** Told to everybody who asks how the elevation stands. That it carries nothing more does not hang on this: the store gives nothing. */
  #spent({ record }: LiveSession, elevation: ElevationId): void {
    if (record.elevations.find(({ id }) => id === elevation)?.spent !== false) return
    void this.#ports.ledger.applyToSession(record.key, { kind: 'elevation.spent', elevation, id: newSignalId(), by: 'ledger', note: '' }).catch(() => undefined)
  }
}
