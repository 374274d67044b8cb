// A time zone as a table of its offsets from 1970 on: what its clocks show, and when. A wall time is milliseconds from 1970-01-01T00:00 as those
// clocks show it. Time they skip falls on the instant of the change; time they show twice has a `first` and a `last` instant. The only place that
// asks Temporal: Node's own, or the polyfill where Node has none. Never takes an offset or another spelling for a name. SPEC: WIN1
import { Temporal } from 'temporal-polyfill'
import { type Instant, instant } from '../core/time.ts'
import { END } from './day.ts'

/** One offset: from an instant on, until another. At that end the clocks go from the wall time `shows` to `jumpsTo`. */
type Stretch = { readonly from: number; readonly until: number; readonly offset: number; readonly shows: number; readonly jumpsTo: number }

const offsetOf = (at: Temporal.ZonedDateTime): number => at.offsetNanoseconds / 1e6

function stretchesOf(begin: Temporal.ZonedDateTime): readonly Stretch[] {
  const stretches: Stretch[] = []
  let from = -Infinity
  let at = begin
  for (let next = at.getTimeZoneTransition('next'); next !== null && next.epochMilliseconds <= END; next = at.getTimeZoneTransition('next')) {
    const until = next.epochMilliseconds
    stretches.push({ from, until, offset: offsetOf(at), shows: until + offsetOf(at), jumpsTo: until + offsetOf(next) })
    from = until
    at = next
  }
  return [...stretches, { from, until: Infinity, offset: offsetOf(at), shows: Infinity, jumpsTo: Infinity }]
}

export class Zone {
  readonly #stretches: readonly Stretch[]
  readonly #final: Stretch
  constructor(stretches: readonly Stretch[], final: Stretch) {
    this.#stretches = stretches
    this.#final = final
  }

  /** The first stretch that ends after something, by one of its ends. */
  #before(end: 'until' | 'shows' | 'jumpsTo', time: number): Stretch {
    let low = 0
    let high = this.#stretches.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (time < (this.#stretches[middle] ?? this.#final)[end]) high = middle
      else low = middle + 1
    }
    return this.#stretches[low] ?? this.#final
  }

  /** The first instant at which the clocks show this or later. */
  first(wall: number): Instant {
    const { from, offset } = this.#before('shows', wall)
    return instant(Math.max(from, wall - offset))
  }

  /** The instant from which on the clocks never again show less. */
  last(wall: number): Instant {
    const { until, offset } = this.#before('jumpsTo', wall)
    return instant(Math.min(until, wall - offset))
  }

  /** Whether the clocks never show it. */
  skips(wall: number): boolean {
    const { from, offset } = this.#before('shows', wall)
    return wall - offset < from
  }

  wallAt(at: Instant): number {
    return at + this.#before('until', at).offset
  }
}

/** By its IANA name, spelled as there; null for any other text. */
export function zoneNamed(name: string): Zone | null {
  if (!/^[A-Za-z][A-Za-z0-9_+/-]{0,63}$/.test(name)) return null
  try {
    const begin = Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name)
    const stretches = stretchesOf(begin)
    const final = stretches.at(-1)
    return begin.timeZoneId === name && final !== undefined ? new Zone(stretches.slice(0, -1), final) : null
  } catch {
    return null
  }
}
