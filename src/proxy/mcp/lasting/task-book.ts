// Work that goes on upstream behind an answer, held here as what its call was: an exchange with its grant, judged again at every change, that has no socket.
// Where it loses its right the server is told to stop, and its handle opens nothing here any more. SPEC: MCP11
import type { Reason } from '../../../core/reason.ts'
import { after, duration, earlier, type Instant } from '../../../core/time.ts'
import { type Channel, Exchange, type GateKeeper } from '../../../enforcement/exchange.ts'
import { WIRE } from '../../../enforcement/exchange-recorder.ts'
import type { Inflight } from '../../../enforcement/inflight.ts'
import type { LiveSession } from '../../../sessions/live-session.ts'

/** Open for one session, at most; and no more than half of all that it may have open. */
const TASKS_MAX = 1_000
/** Longest that one is watched over, whatever its server says of its time. */
const LONGEST = duration(86_400_000)

export type TaskPorts = {
  readonly keeper: GateKeeper
  readonly inflight: Inflight
  readonly doubt: (exchange: Exchange) => void
  /** It is on record that it ended by itself. */
  readonly completed: (exchange: Exchange, status: number) => void
  readonly full: () => void
}

export type NewTask = {
  readonly route: string
  /** As the upstream calls it. */
  readonly id: string
  readonly handle: string
  /** Milliseconds that its server keeps it; null where it does not say, or for ever. */
  readonly ttl: number | null
  /** Takes room for all that it keeps of its request, while it is open. @returns false where there is none */
  readonly take: () => boolean
  readonly give: () => void
  /** Tells the server to stop. */
  readonly cancel: () => void
  /** What keeps its right known while it is open, as it did for its request. */
  readonly watch: (exchange: Exchange) => void
}

/** Its end has no answer that a caller waits for. */
class Held implements Channel {
  readonly status = 200
  readonly until: Instant
  /** Nothing of them is kept behind a cut. */
  task: NewTask | null
  exchange: Exchange | null = null
  state: 'open' | 'cut' | 'over' = 'open'
  /** A terminal status of it was seen. */
  settled = false
  readonly #finish: (held: Held) => void

  constructor(task: NewTask, until: Instant, finish: (held: Held) => void) {
    this.task = task
    this.until = until
    this.#finish = finish
  }

  freeze(): void {}
  resume(): void {}

  /** A gateway that stops leaves the work to whoever asks about it next. */
  cut(reason: Reason): void {
    const { task } = this
    if (this.state !== 'open' || task === null) return
    this.state = 'cut'
    this.task = this.exchange = null
    task.give()
    if (!this.settled && reason !== 'drained' && !WIRE.has(reason)) task.cancel()
  }

  tick(now: Instant): void {
    if (this.state === 'open' && (this.settled || now >= this.until)) this.#finish(this)
  }
}

const nameOf = (route: string, id: string): string => `${route} ${id}`

export class TaskBook {
  readonly #ports: TaskPorts
  /** Of each session, by route and what the upstream calls it; those that were cut stay until their time is over. */
  readonly #books = new WeakMap<LiveSession, Map<string, Held>>()

  constructor(ports: TaskPorts) {
    this.#ports = ports
  }

  /** From the exchange that it was seen on, while that one's gate is open. Once. @returns whether it is watched over here */
  holds(from: Exchange, task: NewTask): boolean {
    const { live } = from
    if (live === null) return false
    const book = this.#books.get(live) ?? new Map<string, Held>()
    const known = book.get(nameOf(task.route, task.id))
    if (known !== undefined) return known.state === 'open'
    const { clock } = this.#ports.keeper
    this.#sift(book, clock.now())
    if (book.size >= Math.min(TASKS_MAX, from.policy.sessions.exchangesPerSession / 2) || !task.take()) {
      this.#ports.full()
      return false
    }
    this.#books.set(live, book.set(nameOf(task.route, task.id), this.#open(from, task)))
    return true
  }

  #open(from: Exchange, task: NewTask): Held {
    const { keeper, inflight } = this.#ports
    const now = keeper.clock.now()
    const held = new Held(task, earlier(after(now, LONGEST), task.ttl === null ? after(now, LONGEST) : after(now, duration(Math.max(0, task.ttl)))), each => this.#finish(each))
    const exchange = new Exchange(from, from.permit, held, keeper, from.openedAt) // its id too: on record it is what its call was
    exchange.kind = 'task'
    exchange.until = from.until
    exchange.finishUntil = from.finishUntil
    exchange.whole = true
    held.exchange = exchange
    inflight.add(exchange)
    task.watch(exchange)
    if (from.state === 'ended') this.#ports.doubt(exchange) // its answer came on another stream: what it stands on is looked at again
    return held
  }

  /** What the caller knows it by, where it may hear of it now; null for none of its own. */
  handleOf(live: LiveSession, route: string, id: string): string | null {
    const held = this.#books.get(live)?.get(nameOf(route, id))
    return held?.exchange?.open === true ? (held.task?.handle ?? null) : null
  }

  /** Is, or was, it watched over here? */
  has(live: LiveSession, route: string, id: string): boolean { return this.#books.get(live)?.has(nameOf(route, id)) === true }

  /** It lost its right here. */
  isCut(live: LiveSession, route: string, id: string): boolean { return this.#books.get(live)?.get(nameOf(route, id))?.state === 'cut' }

  /** A terminal status of it goes to its caller. */
  settled(live: LiveSession, route: string, id: string): void {
    const held = this.#books.get(live)?.get(nameOf(route, id))
    if (held !== undefined) held.settled = true // at the next tick, so that what tells of it is still about something open
  }

  #finish(held: Held): void {
    const { exchange, task } = held
    held.state = 'over'
    task?.give()
    if (exchange === null || task === null || exchange.state === 'ended') return
    exchange.state = 'ended'
    this.#ports.inflight.remove(exchange)
    if (exchange.live !== null) this.#books.get(exchange.live)?.delete(nameOf(task.route, task.id))
    this.#ports.completed(exchange, held.status)
  }

  /** Room for others: what was cut is kept for its time, unless there is too much of it. */
  #sift(book: Map<string, Held>, now: Instant): void {
    for (const [name, { state, until }] of book) if (state === 'over' || (state === 'cut' && (until <= now || book.size >= TASKS_MAX / 2))) book.delete(name)
  }
}
