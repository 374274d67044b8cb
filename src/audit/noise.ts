// Refusals without a session: the first 10 of a source prefix and reason in a minute whole, then one record with the count of the rest.
// Whoever has no credential can neither fill a disk with them nor slow the trail. SPEC: AUD9
import type { Reason } from '../core/reason.ts'
import { type Instant, instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import { NoiseFile, type NoiseSettings } from './noise-file.ts'
import type { Refused } from './record.ts'
import { sourcePrefix } from './source-prefix.ts'
import { bounded } from './trail.ts'

const WHOLE = 10
const PREFIXES_MAX = 10_000
const MINUTE = 60_000
const FLUSH_EVERY_MS = 100
/** Stands for every prefix beyond the limit. */
const OTHERS = 'others'

type Tally = { readonly prefix: string; readonly reason: Reason; seen: number; readonly whole: number }

export class Noise {
  readonly #file: NoiseFile
  readonly #clock: Clock
  readonly #timer: NodeJS.Timeout
  readonly #tallies = new Map<string, Tally>()
  #minute: Instant

  /** @param lost told once when lines can't be written, until one is again */
  constructor(settings: NoiseSettings, clock: Clock, lost: (cause: unknown) => void) {
    this.#file = new NoiseFile(settings, () => clock.now(), lost)
    this.#clock = clock
    this.#minute = this.#current()
    this.#timer = setInterval(() => this.#tick(), FLUSH_EVERY_MS).unref()
  }

  /** Lines that could not be written. */
  get dropped(): number {
    return this.#file.dropped
  }

  get written(): number {
    return this.#file.written
  }

  /** Prefixes and reasons seen in this minute, at most 10,000 and one for each reason. */
  get tracked(): number {
    return this.#tallies.size
  }

  refused(refused: Refused): void {
    if (this.#current() !== this.#minute) this.#endMinute()
    const tally = this.#tallyOf(sourcePrefix(refused.source), refused.reason)
    tally.seen++
    if (tally.seen <= tally.whole) this.#file.push({ at: this.#clock.now(), kind: 'request.refused', fields: bounded(refused) })
  }

  /** Writes what waits; never rejects. */
  flush(): Promise<void> {
    return this.#file.flush()
  }

  async close(): Promise<void> {
    clearInterval(this.#timer)
    this.#endMinute()
    await this.#file.close()
  }

  #current(): Instant {
    return instant(Math.floor(this.#clock.now() / MINUTE) * MINUTE)
  }

  #tick(): void {
    if (this.#current() !== this.#minute) this.#endMinute()
    void this.#file.flush()
  }

  #tallyOf(prefix: string, reason: Reason): Tally {
    const found = this.#tallies.get(`${prefix} ${reason}`)
    if (found !== undefined) return found
    if (this.#tallies.size >= PREFIXES_MAX && prefix !== OTHERS) return this.#tallyOf(OTHERS, reason)
    const tally = { prefix, reason, seen: 0, whole: prefix === OTHERS ? 0 : WHOLE }
    this.#tallies.set(`${prefix} ${reason}`, tally)
    return tally
  }

  #endMinute(): void {
    for (const { prefix, reason, seen, whole } of this.#tallies.values()) {
      if (seen <= whole) continue
      this.#file.push({ at: this.#clock.now(), kind: 'refusals.counted', fields: { prefix, reason, minute: this.#minute, count: seen - whole } })
    }
    this.#tallies.clear()
    this.#minute = this.#current()
  }
}
