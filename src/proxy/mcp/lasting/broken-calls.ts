// Calls of the older protocol whose stream broke or ended before their answer came, and nobody cut them: their answers may come on another stream, each judged anew as
// its call when it would be handed on, and by what sieves that call has. The answer to any other call has nobody here. SPEC: MCP10, MCP9
import { reassess } from '../../../core/verdict.ts'
import { duration } from '../../../core/time.ts'
import { caseOf, type Exchange, type GateKeeper, isTaken, placeUnder } from '../../../enforcement/exchange.ts'
import type { LiveSession } from '../../../sessions/live-session.ts'
import { BoundedMap } from '../../../runtime/bounded-map.ts'
import type { ServerMessage, Sieve } from '../sieve.ts'

/** Of one session; the oldest make way. */
const CALLS_MAX = 64
const KEPT = duration(300_000)

/** `take` makes room for all that is kept of its request. */
export type Room = { readonly take: () => boolean; readonly give: () => void }
type Broken = { readonly exchange: Exchange; readonly sieves: readonly Sieve[]; readonly room: Room; readonly at: number; /** Keeps all of it until it is cleared. */ readonly timer: NodeJS.Timeout }

function letGo({ room, timer }: Broken): void {
  clearTimeout(timer)
  room.give()
}

export class BrokenCalls {
  readonly #keeper: GateKeeper
  readonly #full: () => void
  readonly #books = new WeakMap<LiveSession, BoundedMap<string, Broken>>()

  constructor(keeper: GateKeeper, full: () => void) {
    this.#keeper = keeper
    this.#full = full
  }

  /** @param name of its request, in its session of the protocol */
  broke(live: LiveSession, name: string, exchange: Exchange, sieves: readonly Sieve[], room: Room): void {
    const book = this.#books.get(live) ?? new BoundedMap<string, Broken>(CALLS_MAX, (_, oldest) => this.#evicted(oldest))
    this.#books.set(live, book)
    this.forget(live, name)
    if (!room.take()) return
    const timer = setTimeout(() => this.forget(live, name), KEPT).unref()
    book.set(name, { exchange, sieves, room, at: this.#keeper.clock.elapsed(), timer })
  }

  #evicted(oldest: Broken): void {
    letGo(oldest)
    this.#full()
  }

  /** Its name is another request's now. */
  forget(live: LiveSession, name: string): void {
    const book = this.#books.get(live)
    const broken = book?.get(name)
    if (broken === undefined) return
    letGo(broken)
    book?.delete(name)
  }

  /** May its answer be handed on, on that stream and now? */
  may(live: LiveSession, name: string, stream: Exchange): boolean { return this.#standing(live, name, stream) !== null }

  /** What its caller gets of an answer; null for nothing. */
  pass(live: LiveSession, name: string, stream: Exchange, message: ServerMessage): ServerMessage | null {
    const broken = this.#standing(live, name, stream)
    let passed: ServerMessage | null = broken === null ? null : message
    for (const sieve of broken?.sieves ?? []) passed = passed === null ? null : sieve.pass(passed)
    return passed
  }

  #standing(live: LiveSession, name: string, stream: Exchange): Broken | null {
    const broken = this.#books.get(live)?.get(name)
    if (broken === undefined || this.#keeper.clock.elapsed() - broken.at > KEPT) return null
    return this.#stands(broken.exchange, stream) ? broken : null
  }

  /** As it would be judged were it open. What vouches for its credential is known of the stream. */
  #stands(exchange: Exchange, { vouchedUntil }: Exchange): boolean {
    const { mirror, clock } = this.#keeper
    const { id, evaluation, live, claims, external, permit: { grant, stepUp } } = exchange
    const { policy } = mirror
    const place = placeUnder(policy, exchange)
    if (typeof place === 'string' || (policy !== exchange.policy && !isTaken(exchange, place, this.#keeper))) return false
    const asked = caseOf({ id, evaluation, live, claims, external, vouchedUntil, policy, place }, this.#keeper, clock.now(), grant.is === 'elevation' ? grant.elevation.id : null, stepUp?.id ?? null)
    return asked.external !== 'ahead' && 'permit' in reassess(grant, asked, exchange)
  }
}
