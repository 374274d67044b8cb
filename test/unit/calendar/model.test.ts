// Random calendars against one that knows nothing but what the clocks of a place show at each minute of four weeks.
import fc from 'fast-check'
import { Temporal } from 'temporal-polyfill'
import { describe, expect, test } from 'vitest'
import { WEEKDAYS } from '../../../src/calendar/day.ts'
import type { WrittenException } from '../../../src/calendar/definition.ts'
import { instant } from '../../../src/core/time.ts'
import { at, compiled, hours, recurring } from './fixture.ts'

const MINUTE = 60_000
const DAY = 1440
const DAYS = 28
/** Days at both ends that are only looked at from within: nothing here lasts longer. */
const EDGE = 4

const pad = (number: number): string => String(number).padStart(2, '0')
const time = (minutes: number): string => `${pad(Math.floor(minutes / 60))}:${pad(minutes % 60)}`
const date = (day: number): string => new Date(day * DAY * MINUTE).toISOString().slice(0, 10)

type Hours = { readonly is: 'hours'; readonly days: readonly number[]; readonly dates: readonly [number, number] | null; readonly from: number; readonly to: number }
type Rule = { readonly is: 'rule'; readonly every: number; readonly start: number; readonly from: number; readonly minutes: number }
type Hole = { readonly dates: boolean; readonly from: number; readonly minutes: number }
type Sketch = { readonly open: readonly (Hours | Rule)[]; readonly holes: readonly Hole[]; readonly validFrom: number | null; readonly validUntil: number | null }

/** Minutes of wall time, more often near a change of the clocks than elsewhere. */
const minute = fc.oneof({ arbitrary: fc.integer({ min: 0, max: 1439 }), weight: 1 }, { arbitrary: fc.integer({ min: 0, max: 20 }).map(step => step * 15), weight: 3 })
const someDay = fc.integer({ min: EDGE, max: DAYS - EDGE })

const sketch: fc.Arbitrary<Sketch> = fc.record({
  open: fc.array(fc.oneof(
    fc.record({
      is: fc.constant('hours' as const), days: fc.subarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }), from: minute, to: fc.oneof(minute, fc.constant(DAY)),
      dates: fc.option(fc.tuple(someDay, someDay).map(([a, b]) => [Math.min(a, b), Math.max(a, b)] as const)),
    }),
    fc.record({ is: fc.constant('rule' as const), every: fc.integer({ min: 1, max: 5 }), start: fc.integer({ min: 2, max: DAYS - EDGE }), from: minute, minutes: fc.integer({ min: 1, max: 2000 }) }),
  ), { minLength: 1, maxLength: 4 }),
  holes: fc.array(fc.record({ dates: fc.boolean(), from: fc.tuple(someDay, minute).map(([day, inDay]) => day * DAY + inDay), minutes: fc.oneof(fc.integer({ min: 1, max: 180 }), fc.integer({ min: 1, max: 3000 })) }), { maxLength: 3 }),
  validFrom: fc.option(fc.tuple(someDay, minute).map(([day, inDay]) => day * DAY + inDay)),
  validUntil: fc.option(fc.tuple(someDay, minute).map(([day, inDay]) => day * DAY + inDay)),
})

class Place {
  readonly timeZone: string
  readonly begin: number
  readonly firstDay: number
  /** What the clocks show at each minute, in minutes from midnight of `firstDay`. */
  readonly walls: readonly number[]
  constructor(timeZone: string, change: string) {
    this.timeZone = timeZone
    this.firstDay = Math.floor(Date.parse(change) / MINUTE / DAY) - DAYS / 2
    this.begin = this.firstDay * DAY - DAY
    this.walls = Array.from({ length: (DAYS + 2) * DAY }, (_, i) => {
      const shown = Temporal.Instant.fromEpochMilliseconds((this.begin + i) * MINUTE).toZonedDateTimeISO(timeZone)
      return this.begin + i + shown.offsetNanoseconds / 6e10 - this.firstDay * DAY
    })
  }

  /** The first minute that shows this or later, and the one after the last that shows less. */
  first = (wall: number): number => this.walls.findIndex(shown => shown >= wall)
  last = (wall: number): number => this.walls.findLastIndex(shown => shown < wall) + 1

  weekday = (day: number): number => (new Date((this.firstDay + day) * DAY * MINUTE).getUTCDay() + 6) % 7
  moment = (wall: number): string => `${date(this.firstDay + Math.floor(wall / DAY))}T${time(wall % DAY)}`
}

function fill(minutes: boolean[], from: number, to: number, value: boolean): void {
  if (from >= 0) for (let i = from; i < (to < 0 ? minutes.length : to); i++) minutes[i] = value
}

function piece(place: Place, line: Hours | Rule, day: number): readonly [number, number] | null {
  const from = day * DAY + line.from
  if (line.is === 'rule') {
    const opens = place.walls.indexOf(from)
    return day < line.start || (day - line.start) % line.every !== 0 || opens < 0 ? null : [opens, opens + line.minutes]
  }
  const out = line.dates !== null && (day < line.dates[0] || day > line.dates[1])
  return out || !line.days.includes(place.weekday(day)) ? null : [place.first(from), place.first(day * DAY + line.to + (line.to <= line.from ? DAY : 0))]
}

const holeEnds = ({ dates, from, minutes }: Hole): readonly [number, number] => (dates ? [Math.floor(from / DAY) * DAY, Math.floor((from + minutes) / DAY) * DAY + DAY] : [from, from + minutes])

/** Open or not, for each minute. */
function naive(place: Place, { open, holes, validFrom, validUntil }: Sketch): readonly boolean[] {
  const minutes = place.walls.map(() => false)
  for (const line of open) for (let day = 0; day < DAYS; day++) {
    const found = piece(place, line, day)
    if (found !== null) fill(minutes, found[0], Math.min(found[1], minutes.length), true)
  }
  for (const hole of holes) fill(minutes, place.first(holeEnds(hole)[0]), place.last(holeEnds(hole)[1]), false)
  if (validFrom !== null) fill(minutes, 0, place.first(validFrom), false)
  if (validUntil !== null) fill(minutes, place.first(validUntil), -1, false)
  return minutes
}

function written(place: Place, { open, holes, validFrom, validUntil }: Sketch): Parameters<typeof compiled>[0] {
  const on = (day: number): string => date(place.firstDay + day)
  const exception = (hole: Hole): WrittenException => {
    const [from, to] = holeEnds(hole)
    return hole.dates ? { from: on(from / DAY), to: on(to / DAY - 1), reason: null } : { from: place.moment(from), to: place.moment(to), reason: null }
  }
  return {
    timeZone: place.timeZone,
    open: open.map(line => line.is === 'rule'
      ? recurring(`FREQ=DAILY;INTERVAL=${line.every}`, place.moment(line.start * DAY + line.from), line.minutes)
      : hours(time(line.from), time(line.to), line.days.flatMap(day => WEEKDAYS[day] ?? []), line.dates === null ? null : { from: on(line.dates[0]), to: on(line.dates[1]) })),
    except: holes.map(exception),
    validFrom: validFrom === null ? null : place.moment(validFrom), validUntil: validUntil === null ? null : place.moment(validUntil),
  }
}

const PLACES: readonly (readonly [string, string])[] = [
  ['Europe/Berlin', '2026-03-29T01:00Z'], ['Europe/Berlin', '2026-10-25T01:00Z'],
  ['America/New_York', '2026-03-08T07:00Z'], ['America/New_York', '2026-11-01T06:00Z'],
  ['Australia/Lord_Howe', '2026-04-04T15:00Z'], ['Australia/Lord_Howe', '2026-10-03T15:30Z'],
  ['Africa/Casablanca', '2025-02-23T02:00Z'], ['Africa/Casablanca', '2025-04-06T02:00Z'],
  ['Asia/Kolkata', '2026-06-01T00:00Z'],
]

describe('any calendar', () => {
  test.each(PLACES)('[WIN1, WIN2] in %s around %s it is open at exactly the minutes at which the clocks say so', (timeZone, change) => {
    const place = new Place(timeZone, change)
    fc.assert(fc.property(sketch, fc.array(fc.integer({ min: EDGE * DAY, max: (DAYS - EDGE) * DAY }), { maxLength: 8 }), (drawn, looks) => {
      const expected = naive(place, drawn)
      const made = compiled(written(place, drawn))
      if (!made.ok) return fc.pre(false)
      const minuteOf = (when: number): number => when / MINUTE - place.begin
      const { around } = made.schedule
      let before = -Infinity
      for (let i = EDGE * DAY; i < (DAYS - EDGE) * DAY; i++) {
        const found = around(instant((place.begin + i) * MINUTE))
        if ((found !== null && minuteOf(found.opens) <= i) !== expected[i]) throw new Error(`minute ${i}, ${new Date((place.begin + i) * MINUTE).toISOString()}: expected ${expected[i]}`)
        if (found === null || found.opens === before) continue
        expect(found.opens).toBeLessThan(found.closes)
        expect(minuteOf(found.closes)).toBeGreaterThan(i)
        const opens = minuteOf(found.opens)
        if (opens > i && opens < (DAYS - EDGE) * DAY) expect([expected[opens - 1], expected[opens], expected.indexOf(true, i)]).toEqual([false, true, opens])
        before = found.opens
      }
      const again = compiled(written(place, drawn))
      for (const look of looks) if (again.ok) expect(again.schedule.around(instant((place.begin + look) * MINUTE))).toEqual(around(instant((place.begin + look) * MINUTE)))
    }), { numRuns: 60 })
  })

  test('[WIN1] between two changes of the clocks it opens and closes to the millisecond', () => {
    const made = compiled({})
    if (!made.ok) throw new Error('not made')
    const [opens, closes] = [at('2026-11-23T01:00Z'), at('2026-11-23T01:30Z')]
    expect([opens - 1, opens, closes - 1].map(when => made.schedule.around(instant(when)))).toEqual([{ opens, closes }, { opens, closes }, { opens, closes }])
    expect(made.schedule.around(closes)).toEqual({ opens: opens + 86_400_000, closes: closes + 86_400_000 })
  })
})
