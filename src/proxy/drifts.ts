// What a request shows that its session is not bound to: counted, and told once as news of the session, whether it is refused for it or let pass.
// SPEC: BND5, BND7
import type { Drift } from '../core/binding.ts'
import { boundDrift, driftOf, isNewDrift, type Showing } from '../core/drift.ts'
import { caseOf, type Inquiry } from '../enforcement/exchange.ts'
import { newSignalId } from '../runtime/id.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { ProxyRoom } from './room.ts'

/** Sessions of which a drift may be on its way to the store at once. */
const TELLING_MAX = 256

export class Drifts {
  readonly #room: ProxyRoom
  readonly #telling = new Set<string>()

  constructor(room: ProxyRoom) {
    this.#room = room
  }

  /** That for which the judge refused; null where it was for something else. */
  refused(inquiry: Inquiry, live: LiveSession): Drift | null {
    return this.#told(live, driftOf(caseOf(inquiry, this.#room.keeper, this.#room.keeper.clock.now(), null), live.record, 'required'), 'required')
  }

  /** Of a request to the gateway itself, which touches no tenant: null where nothing that is required has changed. */
  ofCaller(live: LiveSession, showing: Showing): Drift | null {
    return this.#told(live, boundDrift(live.record, this.#room.mirror.policy.sessions.bind, 'required', showing), 'required')
  }

  /** Tells of what is let pass. */
  observe(inquiry: Inquiry, live: LiveSession): void {
    const { key, workload, device, source, tenant } = inquiry.policy.sessions.bind
    if (key !== 'observe' && workload !== 'observe' && device !== 'observe' && source !== 'observe' && tenant !== 'observe') return
    this.#told(live, driftOf(caseOf(inquiry, this.#room.keeper, this.#room.keeper.clock.now(), null), live.record, 'observe'), 'observe')
  }

  #told(live: LiveSession, drift: Drift | null, mode: 'required' | 'observe'): Drift | null {
    if (drift === null) return null
    this.#room.metrics.bindingViolations.inc({ binding: drift.binding, mode })
    const { record: { id, key } } = live
    if (!isNewDrift(live.record, drift) || this.#telling.has(id) || this.#telling.size >= TELLING_MAX) return drift
    this.#telling.add(id)
    void this.#room.ledger.applyToSession(key, { kind: 'binding.drifted', drift, id: newSignalId(), by: 'caller', note: '', life: id })
      .catch(error => this.#room.log.warn({ error: String(error) }, 'a drift could not be told to the store; its refusals are on record'))
      .finally(() => this.#telling.delete(id))
    return drift
  }
}
