// Makes ends prompt: one timer for the whole process over a heap of instants, at which sessions are looked at again.
// The gate makes ends certain; a late or lost timer lets nothing through. SPEC: ENF4, SES5
import { isOver } from '../core/elevation.ts'
import type { SessionKey } from '../core/session.ts'
import { earlier, FOREVER, type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { newSignalId } from '../runtime/id.ts'
import type { Ledger } from './ledger.ts'
import type { LiveSession } from './live-session.ts'
import type { Mirror } from './mirror.ts'
import type { SessionStore } from './store.ts'

const LONGEST_TIMER = 60_000
/** Last-seen times are written at least so often, and several times within `idle`, so that no gateway takes a session for idle that another one serves. */
const ACTIVITY_EVERY = 30_000
const ACTIVITY_LEAST = 1_000
/** Instants that no longer count, beyond as many as do, before they are dropped. */
const STALE_MAX = 1_000

export class Timekeeper {
  readonly #mirror: Mirror
  readonly #ledger: Ledger
  readonly #store: SessionStore
  readonly #clock: Clock
  /** The next look at each session; a session is looked at when its instant passes, and again as often as the look says. */
  readonly #due = new Map<LiveSession, Instant>()
  readonly #written = new Map<SessionKey, Instant>()
  #heap: { at: Instant; live: LiveSession }[] = []
  #timer: NodeJS.Timeout | null = null
  #timerAt: Instant = FOREVER
  #activity: NodeJS.Timeout | null = null

  constructor(mirror: Mirror, ledger: Ledger, store: SessionStore, clock: Clock) {
    this.#mirror = mirror
    this.#ledger = ledger
    this.#store = store
    this.#clock = clock
    mirror.onTaken = live => this.watch(live) // also a parent of which nothing but its child is used here
  }

  start(): void {
    const every = Math.max(ACTIVITY_LEAST, Math.min(ACTIVITY_EVERY, this.#mirror.policy.sessions.idle / 4))
    this.#activity = setTimeout(() => void this.writeActivity().finally(() => { if (this.#activity !== null) this.start() }), every).unref()
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearTimeout(this.#timer)
    if (this.#activity !== null) clearTimeout(this.#activity)
    this.#activity = null
    await this.writeActivity()
  }

  /** Looks at the session at its next boundary. Cheap when nothing earlier came up. */
  watch(live: LiveSession): void {
    this.watchAt(live, this.#nextLook(live))
  }

  /** Looks at the session at that instant at the latest: an exchange's own end that the record does not know. */
  watchAt(live: LiveSession, at: Instant): void {
    const due = this.#due.get(live)
    if (at === FOREVER || (due !== undefined && due <= at)) return
    this.#due.set(live, at)
    this.#push({ at, live })
    if (at < this.#timerAt) this.#arm(at)
  }

  /** Other limits, other ends. What an elevation lost by it is written as its end: the next configuration gives nothing back. */
  reconfigured(): void {
    const now = this.#clock.now()
    for (const live of this.#mirror.all()) {
      const { lost } = this.#mirror.effective(live, now)
      if (live.record.elevations.some(elevation => !isOver(elevation) && lost.has(elevation.id))) this.watchAt(live, now)
      else this.watch(live)
    }
  }

  /** It made way in memory: nothing of it stays here, and when it was last seen is there when it comes back. */
  forget(live: LiveSession): void {
    this.#due.delete(live)
    const { key, openedAt } = live.record
    const known = this.#written.get(key) ?? openedAt
    this.#written.delete(key)
    if (live.lastSeen !== known) void this.#store.touch(new Map([[key, live.lastSeen]])).catch(() => undefined) // lost without harm
  }

  /** Instants kept, those that no longer count included. */
  get size(): number { return this.#heap.length }

  #nextLook(live: LiveSession): Instant {
    if (live.record.state.is !== 'live') return FOREVER
    const { credentialEnd, idle } = this.#mirror.policy.sessions
    const credentials = credentialEnd === 'cut' ? [live.record.credential.expiresAt ?? FOREVER, live.newest?.expiresAt ?? FOREVER] : []
    const now = this.#clock.now()
    const bounds = [this.#mirror.effective(live, now).until, ...credentials].filter(at => at > now)
    const idleFrom = live.record.frozen === null ? instant(Math.max(live.lastSeen + idle, now + 1)) : FOREVER // one that was idle before it was taken in is looked at at once
    return bounds.reduce(earlier, idleFrom)
  }

  #arm(at: Instant): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timerAt = at
    const wait = Math.min(LONGEST_TIMER, Math.max(0, at - this.#clock.now()))
    this.#timer = setTimeout(() => this.#ring(), wait)
    this.#timer.unref()
  }

  #ring(): void {
    const now = this.#clock.now()
    this.#timerAt = FOREVER
    for (let first = this.#heap[0]; first !== undefined && first.at <= now; first = this.#heap[0]) {
      this.#pop()
      if (this.#due.get(first.live) !== first.at) continue
      this.#due.delete(first.live)
      void this.#look(first.live, now).catch(() => this.#again(first.live))
    }
    const next = this.#heap[0]
    if (next !== undefined) this.#arm(next.at)
  }

  /** A store that failed is asked again soon; the judge needs no store to refuse. */
  #again(live: LiveSession): void {
    const at = instant(this.#clock.now() + 1_000)
    this.#due.set(live, at)
    this.#push({ at, live })
    if (at < this.#timerAt) this.#arm(at)
  }

  /** Judge first, write behind. */
  async #look(live: LiveSession, now: Instant): Promise<void> {
    if (live.record.state.is !== 'live' || this.#mirror.byId(live.record.id) !== live) return // it made way in memory; whoever took its place is watched itself
    const { idle } = this.#mirror.policy.sessions
    const idleFrom = live.record.frozen === null && live.lastSeen + idle <= now ? instant((await this.#mirror.seenAnywhere(live)) + idle) : null
    if (idleFrom !== null && idleFrom <= now) {
      await this.#ledger.applyToSession(live.record.key, { kind: 'session.lapsed', reason: 'idle', id: newSignalId(), by: 'timekeeper', note: '' }, idleFrom)
      return
    }
    await this.#mirror.touched([live])
    const { version } = live.record
    await this.#ledger.settle(live.record)
    if (live.record.version === version || !this.#isPastDue(live)) return this.watch(live)
    return this.#look(live, this.#clock.now()) // while one end was written the instant of another passed: nothing else would ever look
  }

  /** Also what is refused by time alone has an end that is not written. */
  #isPastDue(live: LiveSession): boolean {
    const now = this.#clock.now()
    const { until, state } = this.#mirror.effective(live, now)
    return live.record.state.is === 'live' && (until <= now || state === 'refused')
  }

  /** Last-seen instants that moved since they were last written, in one write; and what the store may forget. */
  async writeActivity(): Promise<void> {
    const moved = new Map<string, Instant>()
    for (const live of this.#mirror.all()) this.#seenThrough(live)
    for (const live of this.#mirror.all()) {
      const { key } = live.record
      if (this.#written.get(key) === live.lastSeen || live.record.state.is !== 'live') continue
      moved.set(key, live.lastSeen)
      this.#written.set(key, live.lastSeen)
    }
    if (this.#written.size > 2 * this.#mirror.size + 1_000) this.#written.clear()
    if (moved.size > 0) await this.#store.touch(moved).catch(() => this.#written.clear())
    await this.#store.prune(this.#clock.now()).catch(() => 0) // again in half a minute
  }

  /** Whoever uses what was delegated uses what it was delegated from. */
  #seenThrough(live: LiveSession): void {
    const { lastSeen } = live
    for (let above = this.#mirror.above(live); above !== null; above = this.#mirror.above(above)) if (above.lastSeen < lastSeen) above.lastSeen = lastSeen
  }

  #push(item: { at: Instant; live: LiveSession }): void {
    const heap = this.#heap
    let i = heap.push(item) - 1
    while (i > 0) {
      const parent = (i - 1) >> 1
      const above = heap[parent]
      if (above === undefined || above.at <= item.at) break
      heap[i] = above
      i = parent
    }
    heap[i] = item
    if (heap.length > 2 * this.#due.size + STALE_MAX) this.#heap = [...this.#due].map(([live, at]) => ({ at, live })).sort((a, b) => a.at - b.at)
  }

  #pop(): void {
    const heap = this.#heap
    const last = heap.pop()
    if (last === undefined || heap.length === 0) return
    let i = 0
    for (;;) {
      const left = 2 * i + 1
      const right = left + 1
      const l = heap[left]
      const r = heap[right]
      const child = r !== undefined && l !== undefined && r.at < l.at ? right : left
      const next = heap[child]
      if (next === undefined || next.at >= last.at) break
      heap[i] = next
      i = child
    }
    heap[i] = last
  }
}
