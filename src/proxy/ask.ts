// A request on its way through the steps, each filling in what it found; afterwards its relay's owner. SPEC: WIRE9
import { NOBODY, type Refused } from '../audit/record.ts'
import { chainOf, identityOf } from '../core/principal.ts'
import { NO_PURPOSES, type Purposes } from '../core/purpose.ts'
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
  /** Its listener also answers with our keys. */
  keys = false
  place: Place | null = null
  verified: Verified | null = null
  live: LiveSession | null = null
  purposes: Purposes = NO_PURPOSES
  /** The signed word on its standing, as it was admitted with it; null before, and on an anonymous rule. */
  context: string | null = null
  /** `performance.now()` at its arrival when this request is timed, else 0. */
  sampledAt = 0
  /** The store was asked whether there is news. */
  asked = false
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

  /** What a refusal says of this request. */
  refused(evaluation: string, reason: Reason): Refused {
    const { verified, live, place, arrival: { request }, target: { host, path }, source, purposes } = this
    const known = verified === null ? NOBODY : { subject: identityOf(verified.principal), actors: chainOf(verified.principal), tenant: verified.principal.tenant, credential: verified.evidence.credential }
    return { ...NOBODY, ...known, evaluation, session: live?.record.id ?? null, source, route: place?.route.name ?? null, rule: place?.rule?.name ?? null, method: request.method ?? '', host, path, reason, purposes }
  }

  outgoing(relay: HttpRelay): readonly string[] { return this.#owner.outgoing(this, relay) }
  doubt(exchange: Exchange): void { this.#owner.doubt(exchange) }
  end(exchange: Exchange, reason: Reason): void { this.#owner.end(exchange, reason) }
  refuse(_relay: HttpRelay, reason: Reason): void { this.#owner.refuse(this, reason) }
  headSent(relay: HttpRelay): void { this.#owner.headSent(relay) }
  completed(relay: HttpRelay): void { this.#owner.completed(relay) }
}
