// How much one HTTP/2 connection may ask for that comes to nothing: a bucket each for streams that die unanswered, for those that die before anybody
// looked at them, and for bytes that carry no part of a request (PING, SETTINGS, PRIORITY, empty DATA, WINDOW_UPDATE, padding). SPEC: WIRE16

/** Refills with time up to what it holds at most. */
class Bucket {
  readonly #most: number
  readonly #perSecond: number
  #left: number
  #at: number

  constructor(most: number, perSecond: number, now: number) {
    this.#most = most
    this.#perSecond = perSecond
    this.#left = most
    this.#at = now
  }

  /** @returns false when it is overdrawn */
  take(amount: number, now: number): boolean {
    this.#left = Math.min(this.#most, this.#left + ((now - this.#at) / 1000) * this.#perSecond - amount)
    this.#at = now
    return this.#left >= 0
  }
}

export type Http2Limit = 'http2_resets' | 'http2_frames'

/** Streams that died unanswered, at most: a caller's crash with everything open is one; a stalled upstream behind a busy caller is not many more. */
const UNANSWERED = { most: 500, perSecond: 25 } as const
/** Reset in the same breath in which they were opened: no honest caller does that often. */
const UNSEEN = { most: 100, perSecond: 5 } as const
/** From so many unanswered on, more than half of all streams are too many, however slow they come. */
const SHARE_FROM = 1_000
const WASTE = { most: 2_097_152, perSecond: 65_536 } as const
/** What a frame costs us beyond its bytes: it is told to JavaScript, or answered. */
const PING_COST = 128
const SETTINGS_COST = 2_048
/** Each byte sent may be acknowledged by window updates and pings: one for so many. */
const SENT_PER_BYTE = 32
const FRAME_HEADS = 64
/** What is still on its way of a body that was ended here: a stream's window, and the heads of its frames. As much for all together as streams may be open. */
const UNDERWAY = { each: 81_920, most: 10_485_760, milliseconds: 30_000 } as const

/** All times are milliseconds of one clock that never goes back. */
export class Flood {
  readonly #unanswered: Bucket
  readonly #unseen: Bucket
  readonly #waste: Bucket
  #opened = 0
  #died = 0
  #useful = 0
  #read = 0
  #sent = 0
  #held = 0
  #underway = 0
  #underwayUntil = 0

  constructor(now: number) {
    this.#unanswered = new Bucket(UNANSWERED.most, UNANSWERED.perSecond, now)
    this.#unseen = new Bucket(UNSEEN.most, UNSEEN.perSecond, now)
    this.#waste = new Bucket(WASTE.most, WASTE.perSecond, now)
  }

  /** A stream with a head of so many characters. */
  opened(size: number): void {
    this.#opened++
    this.#useful += size + FRAME_HEADS
  }

  /** Bytes of a body. */
  carried(bytes: number): void {
    this.#useful += bytes + FRAME_HEADS
  }

  /** A body that was still coming was ended here; its sender learns of that later. */
  overtook(now: number): void {
    this.#underway = Math.min(UNDERWAY.most, this.#expected(now) + UNDERWAY.each)
    this.#underwayUntil = now + UNDERWAY.milliseconds
  }

  /** A stream ended by the peer, or for its fault, before it was answered. @param seen it was judged */
  died(seen: boolean, now: number): Http2Limit | null {
    this.#died++
    if (this.#died > SHARE_FROM && this.#died * 2 > this.#opened) return 'http2_resets'
    const within = this.#unanswered.take(1, now) && (seen || this.#unseen.take(1, now))
    return within ? null : 'http2_resets'
  }

  pinged(now: number): Http2Limit | null { return this.#waste.take(PING_COST, now) ? null : 'http2_frames' }

  settled(now: number): Http2Limit | null { return this.#waste.take(SETTINGS_COST, now) ? null : 'http2_frames' }

  /** What the connection has read and sent in all, and what it holds of bodies that nobody took yet; asked now and then. */
  weigh(read: number, sent: number, held: number, now: number): Http2Limit | null {
    const useless = read - this.#read - this.#useful - (held - this.#held) - (sent - this.#sent) / SENT_PER_BYTE
    this.#read = read
    this.#sent = sent
    this.#held = held
    this.#useful = 0
    return this.#waste.take(useless - this.#excused(useless, now), now) ? null : 'http2_frames'
  }

  /** So much of it came because a body was ended here. */
  #excused(useless: number, now: number): number {
    const excused = Math.max(0, Math.min(useless, this.#expected(now)))
    this.#underway -= excused
    return excused
  }

  #expected(now: number): number {
    if (now > this.#underwayUntil) this.#underway = 0
    return this.#underway
  }
}
