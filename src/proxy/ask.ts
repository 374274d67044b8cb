// A request on its way through the steps, each filling in what it found; afterwards its relay's owner. SPEC: WIRE9
import type { Reason } from '../core/reason.ts'
import type { Target } from '../core/evaluation.ts'
import type { Place } from '../core/route.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { Verified } from '../identity/credential.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Head } from './http/head.ts'
import type { Arrival, HttpRelay, RelayOwner } from './http/relay.ts'
import type { World } from './room.ts'

/** What the pipeline does for the requests it let go. */
export interface AskOwner {
  outgoing(ask: Ask, relay: HttpRelay): readonly string[]
  doubt(exchange: Exchange): void
  end(exchange: Exchange, reason: Reason): void
  refuse(ask: Ask, reason: Reason): void
  headSent(relay: HttpRelay): void
  completed(relay: HttpRelay): void
}

export class Ask implements RelayOwner {
  readonly arrival: Arrival
  /** The configuration it was placed under. */
  world: World
  readonly head: Head
  readonly target: Target
  readonly source: string
  readonly secure: boolean
  encodedSlash = false
  place: Place | null = null
  verified: Verified | null = null
  live: LiveSession | null = null
  /** `performance.now()` at its arrival when this request is timed, else 0. */
  sampledAt = 0
  readonly #owner: AskOwner

  constructor(arrival: Arrival, world: World, head: Head, target: Target, source: string, secure: boolean, owner: AskOwner) {
    this.arrival = arrival
    this.world = world
    this.head = head
    this.target = target
    this.source = source
    this.secure = secure
    this.#owner = owner
  }

  outgoing(relay: HttpRelay): readonly string[] { return this.#owner.outgoing(this, relay) }
  doubt(exchange: Exchange): void { this.#owner.doubt(exchange) }
  end(exchange: Exchange, reason: Reason): void { this.#owner.end(exchange, reason) }
  refuse(_relay: HttpRelay, reason: Reason): void { this.#owner.refuse(this, reason) }
  headSent(relay: HttpRelay): void { this.#owner.headSent(relay) }
  completed(relay: HttpRelay): void { this.#owner.completed(relay) }
}
