// One direction of a tunnel: bytes pass from a source to a socket in the turn in which they came, behind an open gate, or wait here while the
// source is not read. Knows where what was handed over stands between two frames. Never copies what it passes. SPEC: WIRE18, ENF2, ENF6
import type { Duplex } from 'node:stream'
import { controlAt, FrameTracker } from './frames.ts'

/** The tunnel's side. */
export interface LaneOwner {
  /** The gate. */
  readonly passes: boolean
  /** May this piece be handed on? Asked last, behind an open gate; where the answer is no, `release` is called or nothing more. */
  pays(lane: Lane, piece: Buffer): boolean
  /** Its gate was found closed. */
  doubt(): void
  /** Looks at what is about to be handed over. @returns false when it ended the exchange over it */
  agrees(lane: Lane, bytes: Buffer): boolean
  handed(lane: Lane, bytes: Buffer): void
  broken(lane: Lane): void
  /** Answers a ping of the lane's source. @returns false when nothing can be written between two frames now */
  ponged(lane: Lane, payload: Buffer): boolean
  /** A Close frame came while it was frozen. */
  leaving(lane: Lane): void
  /** It waits for nothing any more. */
  emptied(lane: Lane): void
}

export interface Source {
  /** It is not read until `go`. */
  stop(): void
  go(): void
}

/** Bytes of control frames that may wait in a frozen lane. */
const KEPT_MAX = 4_096

export class Lane {
  /** What was handed over stands between two frames. */
  between = true
  /** A Close frame was handed over, or has begun to be. */
  closing = false
  /** The source is not read. */
  stopped = false
  readonly #frames: FrameTracker
  readonly #owner: LaneOwner
  readonly #source: Source
  readonly #masked: boolean
  #sink: Duplex | null = null
  #held: Buffer[] = []
  #full = false
  #frozen = false
  #shut = false

  constructor(owner: LaneOwner, source: Source, masked: boolean, deflate: boolean) {
    this.#owner = owner
    this.#source = source
    this.#masked = masked
    this.#frames = new FrameTracker(masked, deflate)
  }

  /** Something of it is not handed over yet. */
  get waiting(): boolean { return this.#held.length > 0 }

  /** Where its bytes go, from now on. */
  to(sink: Duplex): void {
    this.#sink = sink
    sink.on('drain', () => this.#drained())
    this.release()
  }

  arrived(bytes: Buffer): void {
    if (this.#shut) return
    if (this.#held.length > 0 || this.#frozen || !this.#isTaken || !this.#owner.passes || !this.#owner.pays(this, bytes)) return this.#hold(bytes)
    this.#pass(bytes)
  }

  freeze(): void {
    this.#frozen = true
    if (this.waiting) this.#look()
  }

  /** Hands over what waits, in order, as far as the gate and the socket let it; then its source is read again. */
  release(): void {
    this.#frozen = false
    for (let next = this.#held[0]; next !== undefined && this.#isTaken && this.#owner.passes && this.#owner.pays(this, next); next = this.#held[0]) {
      this.#held.shift()
      this.#pass(next)
    }
    if (this.#shut || this.#held.length > 0 || this.#full) return
    this.#owner.emptied(this)
    if (this.stopped && !this.#shut) this.#go()
  }

  /** Nothing passes any more; what waits is dropped. */
  shut(): void {
    this.#shut = true
    this.#held = []
  }

  stop(): void {
    if (this.stopped) return
    this.stopped = true
    this.#source.stop()
  }

  get #isTaken(): boolean { return this.#sink !== null && !this.#full && !this.#shut }

  #go(): void {
    this.stopped = false
    this.#source.go()
  }

  #hold(bytes: Buffer): void {
    this.#held.push(bytes)
    if (this.#frozen) return this.#look()
    this.stop()
    if (!this.#owner.passes) this.#owner.doubt()
  }

  /** Behind an open gate, in the same turn. */
  #pass(bytes: Buffer): void {
    if (!this.#owner.agrees(this, bytes)) return
    if (!this.#frames.follow(bytes)) return this.#owner.broken(this)
    this.between = this.#frames.between
    this.closing = this.#frames.closing
    this.#owner.handed(this, bytes)
    if (this.#sink?.write(bytes) !== false) return
    this.#full = true
    this.stop()
  }

  #drained(): void {
    this.#full = false
    if (!this.#frozen) this.release()
    else if (this.waiting) this.#look()
    else if (this.stopped) this.#go()
  }

  /** Pings of a frozen lane are answered, up to the first data; pongs go on with the rest when it is resumed. */
  #look(): void {
    if (!this.between) return this.stop()
    let bytes = this.#held.length === 1 ? (this.#held[0] ?? Buffer.alloc(0)) : Buffer.concat(this.#held)
    for (let at = 0; ;) {
      const frame = controlAt(bytes, at, this.#masked)
      if (frame === 'more') break
      if (frame === 'data' || (frame.is === 'ping' && !this.#owner.ponged(this, frame.payload))) {
        this.stop()
        break
      }
      if (frame.is === 'close') return this.#owner.leaving(this)
      if (frame.is === 'ping') bytes = at === 0 ? bytes.subarray(frame.end) : Buffer.concat([bytes.subarray(0, at), bytes.subarray(frame.end)])
      else at = frame.end
    }
    this.#held = bytes.length === 0 ? [] : [bytes]
    if (bytes.length > KEPT_MAX) this.stop()
    if (bytes.length === 0 && this.stopped) this.#go()
  }
}
