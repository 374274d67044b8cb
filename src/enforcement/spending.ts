// What one request takes of the limits of the elevation that carries it: its use, its place in the minute, its amount, and bytes of bodies a piece at a
// time, ahead of use. The store counts, for all gateways together; nothing is counted here. SPEC: LIM1, LIM2
import type { Counted } from '../audit/record.ts'
import { amountIn } from '../core/amount.ts'
import { type Budget, type Elevation, type Limits, NO_LIMITS } from '../core/elevation.ts'
import type { Inspected } from '../core/evaluation.ts'
import type { Reason } from '../core/reason.ts'
import { after, duration, type Instant } from '../core/time.ts'
import type { Allowance, Exchange } from './exchange.ts'
import type { Taken, Takings } from './takings.ts'

/** The longest piece of bytes, unless one hand-off is longer; of a small limit, its sixteenth part. */
const PIECE = 262_144
const PIECES = 16
const MINUTE = 60_000
/** The count of a minute is kept longer than gateways' clocks differ. */
const MINUTE_KEPT = duration(3 * MINUTE)
/** A store that does not answer is asked again so often, and so many times; then the exchange ends. */
const AGAIN_AFTER = 250
const ATTEMPTS = 12

export type Limited = Elevation & { readonly budget: Budget }
export type LimitName = 'elevation_uses' | 'elevation_per_minute' | 'elevation_sum' | 'elevation_bytes'

/** Who carries out what follows from a count. */
export type Spender = {
  readonly takings: Takings
  readonly reached: (limit: LimitName) => void
  /** Nothing is left of its uses or bytes. */
  readonly spent: (elevation: Elevation) => void
  readonly end: (exchange: Exchange, reason: Reason) => void
}

type Want = { readonly name: LimitName; readonly counter: string; readonly amount: number; /** Less is no use. */ readonly least: number; readonly limit: number; readonly forgetAt: Instant }

export class Spending implements Allowance {
  readonly elevation: Limited
  readonly #spender: Spender
  readonly #request: string
  readonly #limits: Limits
  readonly #uses: 0 | 1
  #parts: Taken[] = []
  /** Bytes: oldest first; what is left of them lies in the newest. */
  #pieces: Taken[] = []
  #left = 0
  #count = 0
  #exchange: Exchange | null = null
  #asking = false
  #failures = 0
  #over = false
  #movedBytes = false
  #sum: number | null = null

  /** @param request names it in the store: never used for two @param uses 1, or 0 for what belongs to a use that was taken: only its bytes are its own */
  constructor(elevation: Limited, request: string, spender: Spender, uses: 0 | 1 = 1) {
    this.#uses = uses
    this.#limits = uses === 1 ? elevation.limits : { ...NO_LIMITS, bytes: elevation.limits.bytes }
    this.elevation = elevation
    this.#request = request
    this.#spender = spender
  }

  // ---- before the request is admitted

  /** One after the other, so that what cannot be had holds nothing else up for long. @returns why it is not to be had; rejects when the store does not answer */
  async take(body: Inspected | null, now: Instant): Promise<Reason | null> {
    const { sum } = this.#limits
    const amount = sum === null || body === null ? null : amountIn(body.value, sum.field, sum.scale)
    if (sum !== null && amount === null) return body === null ? this.#short('elevation_sum') : 'body_malformed'
    this.#sum = amount
    for (const { name, least, ...want } of this.#wants(amount ?? 0, now)) {
      const taken = this.#ask(want)
      const list = name === 'elevation_bytes' ? this.#pieces : this.#parts
      list.push(taken)
      await taken.answer
      if (this.#over) return 'store_failed' // it took too long, and all of it was given back
      if (taken.holds < least) return this.#short(name)
    }
    this.#left = this.#pieces[0]?.holds ?? 0
    return null
  }

  #wants(amount: number, now: Instant): readonly Want[] {
    const { uses, perMinute, bytes, sum } = this.#limits
    const { counter, forgetAt } = this.elevation.budget
    const minute = Math.floor(now / MINUTE)
    return [
      ...(uses === null ? [] : [{ name: 'elevation_uses', counter: `${counter}/uses`, amount: 1, least: 1, limit: uses, forgetAt } as const]),
      ...(perMinute === null ? [] : [{ name: 'elevation_per_minute', counter: `${counter}/minute/${minute}`, amount: 1, least: 1, limit: perMinute, forgetAt: after(now, MINUTE_KEPT) } as const]),
      ...(sum === null ? [] : [{ name: 'elevation_sum', counter: `${counter}/sum`, amount, least: amount, limit: sum.max, forgetAt } as const]),
      ...(bytes === null ? [] : [{ name: 'elevation_bytes', ...this.#piece(bytes, 0), least: 1 } as const]),
    ]
  }

  #piece(limit: number, needed: number): Omit<Want, 'name' | 'least'> {
    const { counter, forgetAt } = this.elevation.budget
    return { counter: `${counter}/bytes`, amount: Math.max(needed, Math.min(PIECE, Math.ceil(limit / PIECES))), limit, forgetAt }
  }

  #ask({ counter, amount, limit, forgetAt }: Omit<Want, 'name' | 'least'>): Taken {
    return this.#spender.takings.ask({ counter, request: `${this.#request}.${this.#count++}`, amount, limit, forgetAt })
  }

  #short(name: LimitName): Reason {
    this.#spender.reached(name)
    return 'limit_reached'
  }

  /** It was not admitted, or nothing of it was dispatched: everything is given back, also what is on its way yet. */
  back(): void {
    this.#over = true
    for (const taken of [...this.#parts, ...this.#pieces]) void this.#spender.takings.back(taken)
    this.#parts = []
    this.#pieces = []
  }

  // ---- once it is admitted

  get counted(): Counted { return { uses: this.#uses, sum: this.#sum } }

  carries(exchange: Exchange): void {
    this.#exchange = exchange
  }

  /** It is dispatched: what it took is used, whatever becomes of it. */
  used(): void {
    const { uses } = this.#limits
    if (uses !== null) void this.#tellIfSpent('uses', uses)
  }

  pays(bytes: number): boolean {
    const { bytes: limit } = this.#limits
    if (limit === null) return true
    if (this.#over) return false
    if (this.#left < bytes) {
      if (!this.#asking) void this.#more(limit, bytes)
      return false
    }
    this.#left -= bytes
    if (bytes > 0) this.#movedBytes = true
    return true
  }

  async #more(limit: number, needed: number): Promise<void> {
    this.#asking = true
    const given = await this.#asked(limit, needed)
    this.#asking = false
    const exchange = this.#exchange
    if (this.#over || exchange === null || given === null) return
    this.#left += given
    if (this.#left >= needed) return exchange.state === 'open' ? exchange.channel.resume() : undefined
    this.#spender.reached('elevation_bytes')
    this.#spender.end(exchange, 'limit_reached')
  }

  /** null where nothing is known, or nothing waits for it any more. */
  async #asked(limit: number, needed: number): Promise<number | null> {
    let piece: Taken | null = null
    try {
      piece = this.#ask(this.#piece(limit, needed - this.#left))
      await piece.answer
    } catch {
      if (piece !== null) void this.#spender.takings.back(piece) // it may have been taken all the same
      this.#failed()
      return null
    }
    this.#failures = 0
    if (this.#over) void this.#spender.takings.back(piece)
    else this.#keep(piece)
    return piece.holds
  }

  /** Of those before, what is not used up. */
  #keep(piece: Taken): void {
    const before = this.#pieces
    let rest = before.reduce((sum, { holds }) => sum + holds, 0)
    while (before[0] !== undefined && rest - before[0].holds >= this.#left) rest -= before.shift()?.holds ?? 0
    before.push(piece)
  }

  /** What is held up asks again, for a while. */
  #failed(): void {
    const exchange = this.#exchange
    if (this.#over || exchange === null) return
    if (++this.#failures >= ATTEMPTS) return this.#spender.end(exchange, 'store_failed')
    setTimeout(() => { if (!this.#over && exchange.state === 'open') exchange.channel.resume() }, AGAIN_AFTER).unref()
  }

  /** No byte more is paid from it. What was not used is given back. */
  close(): void {
    if (this.#over) return
    this.#over = true
    let left = this.#left
    const given = this.#pieces.toReversed().map(piece => {
      const back = Math.min(left, piece.holds)
      left -= back
      return this.#spender.takings.back(piece, back)
    })
    const { bytes } = this.#limits
    if (bytes !== null && this.#movedBytes) void Promise.all(given).then(() => this.#tellIfSpent('bytes', bytes))
  }

  /** What others took and may still give back counts as used. A question without an answer tells nothing: the next request is told by its own taking. */
  async #tellIfSpent(what: 'uses' | 'bytes', limit: number): Promise<void> {
    const taken = await this.#spender.takings.of(`${this.elevation.budget.counter}/${what}`).catch(() => 0)
    if (taken >= limit) this.#spender.spent(this.elevation)
  }
}
