// Elevations that live as long as somebody holds a stream open for them, on whatever gateway. Where one is held is said to the store again and again, as a
// share that runs out by itself; a gateway that is given all of it knows that nobody else holds, and ends the elevation. A gateway that dies says nothing more;
// a session that nobody watched is asked about before it is taken in. Never keeps one alive that no stream stands for. SPEC: ELV15
import { type Elevation, type ElevationId, isOver } from '../core/elevation.ts'
import type { Session, SessionId, SessionKey } from '../core/session.ts'
import type { SessionSignal, SignalId } from '../core/signal.ts'
import { duration } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Ledger } from './ledger.ts'
import type { Mirror } from './mirror.ts'
import type { SessionStore } from './store.ts'

/** Nobody holds it when nobody has for so long. */
export const HELD_FOR = duration(5_000)
/** Whoever asked has so long to take hold of it for the first time. */
const FIRST_WITHIN = duration(30_000)
const SAID_EVERY = 1_000
const AGAIN_IN = 100
/** More than there are gateways: each that holds has one. */
const SHARES = 1_000_000
const WATCHED_MAX = 4_096

type Watched = {
  readonly key: SessionKey
  readonly life: SessionId
  /** Streams open here. */
  streams: number
  /** On the elapsed scale: until when it counts as held here. */
  until: number
  /** When it is looked at next, likewise. */
  nextAt: number
  busy: boolean
}

type Ports = {
  readonly store: Pick<SessionStore, 'share'>
  readonly clock: Clock
  readonly apply: (key: SessionKey, signal: SessionSignal) => Promise<unknown>
  /** Told that one more is not watched. */
  readonly full: () => void
  readonly failed: (cause: unknown) => void
}

const heldIn = ({ elevations }: Session): readonly Elevation[] => elevations.filter(({ held }) => held)

export class Holders {
  readonly #ports: Ports
  readonly #watched = new Map<ElevationId, Watched>()
  #timer: NodeJS.Timeout | null = null
  #timerAt = Infinity
  #stopped = false

  /** For the sessions of this mirror, which asks before it takes one in. */
  static beside(mirror: Mirror, ledger: Ledger, store: SessionStore, clock: Clock, told: Pick<Ports, 'full' | 'failed'>): Holders {
    const holders = new Holders({ store, clock, apply: (key, signal) => ledger.applyToSession(key, signal), ...told })
    mirror.beforeTaken = session => holders.asked(session)
    return holders
  }

  constructor(ports: Ports) {
    this.#ports = ports
  }

  get size(): number { return this.#watched.size }

  /** Nobody ends it before whoever asks had the time to take hold of it. To be said before it is asked for. @returns false when too many are watched */
  async expect(id: ElevationId, { key, id: life }: Session): Promise<boolean> {
    const watched = this.#watch(id, key, life)
    if (watched === null) return false
    await this.#say(id, watched, FIRST_WITHIN)
    return true
  }

  /** It was not given after all: its place is free again. */
  unexpect(id: ElevationId): void {
    if (this.#watched.get(id)?.streams === 0) this.#watched.delete(id)
  }

  /** Somebody holds it here, until the returned function is called. @returns null when too many are watched */
  async hold(id: ElevationId, { key, id: life }: Session): Promise<(() => void) | null> {
    const watched = this.#watch(id, key, life)
    if (watched === null) return null
    watched.streams++
    await this.#say(id, watched, HELD_FOR).catch((error: unknown) => {
      this.#left(id, watched)
      throw error
    })
    return () => this.#left(id, watched)
  }

  /** Hears of every session: what is held anywhere is watched everywhere. */
  heard(session: Session): void {
    for (const elevation of heldIn(session)) {
      if (session.state.is !== 'live' || isOver(elevation)) this.#watched.delete(elevation.id)
      else this.#watch(elevation.id, session.key, session.id)
    }
  }

  /** A session about to be taken in: what nobody holds of it ends first. @throws StoreFault where nobody can tell */
  async asked(session: Session): Promise<void> {
    if (session.elevations.length === 0) return
    this.heard(session)
    const now = this.#ports.clock.elapsed()
    for (const { id } of heldIn(session)) {
      const watched = this.#watched.get(id)
      if (watched !== undefined && watched.streams === 0 && watched.until <= now) await this.#endUnlessHeld(id, watched)
    }
  }

  stop(): void {
    this.#stopped = true
    if (this.#timer !== null) clearTimeout(this.#timer)
  }

  #watch(id: ElevationId, key: SessionKey, life: SessionId): Watched | null {
    const known = this.#watched.get(id)
    if (known !== undefined) return known
    if (this.#watched.size >= WATCHED_MAX) {
      this.#ports.full()
      return null
    }
    const nextAt = this.#ports.clock.elapsed() + SAID_EVERY
    const watched: Watched = { key, life, streams: 0, until: -Infinity, nextAt, busy: false }
    this.#watched.set(id, watched)
    this.#arm(nextAt)
    return watched
  }

  #left(id: ElevationId, watched: Watched): void {
    if (--watched.streams > 0) return
    watched.until = this.#ports.clock.elapsed() + HELD_FOR
    watched.nextAt = watched.until
    this.#arm(watched.until)
    void this.#share(id, 1, HELD_FOR).catch(this.#ports.failed) // what was said last runs out a little earlier
  }

  /** Says that it is held here. Somebody who just asks about it has all the shares for a moment. */
  async #say(id: ElevationId, watched: Watched, lasting: number): Promise<void> {
    const said = this.#ports.clock.elapsed()
    watched.until = Math.max(watched.until, said + lasting)
    const given = await this.#share(id, 1, lasting)
    watched.nextAt = watched.streams > 0 ? said + (given === 1 ? SAID_EVERY : AGAIN_IN) : watched.until
    this.#arm(watched.nextAt)
  }

  async #endUnlessHeld(id: ElevationId, { key, life }: Watched): Promise<void> {
    const given = await this.#share(id, SHARES, HELD_FOR)
    const news = { kind: 'elevation.ended', elevation: id, reason: 'released', because: 'holder', id: `sig_holder_${id}` as SignalId, by: 'holder', note: '', life } as const // one id on every gateway
    if (given === SHARES) await this.#ports.apply(key, news)
    await this.#share(id, 0, HELD_FOR)
    if (given === SHARES) this.#watched.delete(id)
  }

  #share(id: ElevationId, wanted: number, lasting: number): Promise<number> {
    return this.#ports.store.share({ bucket: `held/${id}`, wanted, limit: SHARES, for: duration(lasting) })
  }

  async #look(id: ElevationId, watched: Watched): Promise<void> {
    const { clock, failed } = this.#ports
    watched.busy = true
    watched.nextAt = clock.elapsed() + SAID_EVERY
    try {
      if (watched.streams > 0) await this.#say(id, watched, HELD_FOR)
      else if (watched.until <= clock.elapsed()) await this.#endUnlessHeld(id, watched)
    } catch (error) {
      failed(error)
    } finally {
      watched.busy = false
    }
  }

  #ring(): void {
    this.#timer = null
    this.#timerAt = Infinity
    const now = this.#ports.clock.elapsed()
    let next = Infinity
    for (const [id, watched] of this.#watched) {
      if (watched.nextAt <= now && !watched.busy) void this.#look(id, watched)
      next = Math.min(next, Math.max(watched.nextAt, now + 1))
    }
    if (next < Infinity) this.#arm(next)
  }

  #arm(at: number): void {
    if (this.#stopped || at >= this.#timerAt) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timerAt = at
    this.#timer = setTimeout(() => this.#ring(), Math.max(1, at - this.#ports.clock.elapsed()))
    this.#timer.unref()
  }
}
