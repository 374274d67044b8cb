// One line of a calendar as the piece of time it opens on a day, for exact instants of its zone. Hours that the clocks skip wholly do not open;
// hours they skip in part keep the end that exists; hours they show twice open once, at the first pass. A rule's occurrence that would begin in skipped
// time is none and is not counted (RFC 5545 §3.3.10); the length of one is of time that passes, not of what clocks show. SPEC: WIN1, WIN3
import { after, type Instant, instant } from '../core/time.ts'
import type { Occurrence } from '../core/window.ts'
import { DAY, type Day, dayOf, LAST_DAY, parseDate, parseDateTime, parseTime, WEEKDAYS } from './day.ts'
import type { Fault, WrittenOpening } from './definition.ts'
import { readRecurrence, type Recurrence } from './recurrence.ts'
import type { Zone } from './zone.ts'

export type Opening = {
  /** No piece closes later than so many milliseconds after the beginning of its day. */
  readonly reach: number
  /** None begins on a later day. */
  readonly lastDay: number
  /** What begins on a day; of no length where the clocks skip it. */
  readonly on: (day: Day) => Occurrence | null
}

/** Reports a fault by the steps from the opening to its place. */
export type Say = (path: Fault['path'], message: string, hint?: string) => void

/** Clocks were never moved by more than this. */
const CHANGE_MAX = DAY
const LONGEST = 31 * DAY

/** Reports what is missing as null. */
export function read(text: string, parse: (text: string) => number | null, say: Say, path: Fault['path'], expected: string): number | null {
  const value = parse(text)
  if (value === null) say(path, `expected ${expected}, found '${text.slice(0, 64)}'`)
  return value
}

type Written<Is extends WrittenOpening['is']> = Extract<WrittenOpening, { readonly is: Is }>

function hours(written: Written<'hours'>, zone: Zone, say: Say): Opening | null {
  const from = read(written.from, parseTime, say, ['from'], 'a time from "00:00" to "23:59"')
  const to = read(written.to, parseTime, say, ['to'], 'a time from "00:00" to "24:00"')
  const since = written.dates === null ? 0 : read(written.dates.from, parseDate, say, ['dates', 'from'], 'a date such as 2026-12-18')
  const until = written.dates === null ? LAST_DAY : read(written.dates.to, parseDate, say, ['dates', 'to'], 'a date such as 2026-12-18')
  if (from === DAY) say(['from'], '`from` cannot be "24:00"', 'write "00:00" and the day it begins')
  if (written.days === null && written.dates === null) say([], 'it says on no days', 'write `days`, `dates` or both')
  if (written.days !== null && written.days.length === 0) say(['days'], 'must not be empty')
  if (since !== null && until !== null && until < since) say(['dates', 'to'], '`to` is before `from`')
  if (from === null || to === null || since === null || until === null) return null
  const weekdays = WEEKDAYS.map(name => written.days === null || written.days.includes(name))
  const end = to <= from ? to + DAY : to
  return {
    reach: end + CHANGE_MAX,
    lastDay: until,
    on: ({ number, weekday }) => {
      if (number < since || number > until || weekdays[weekday] !== true) return null
      return { opens: zone.first(number * DAY + from), closes: zone.first(number * DAY + end) }
    },
  }
}

/** The instant at which the last of so many begins. */
function lastOf({ falls, count, until }: Recurrence, start: Day, time: number, zone: Zone): Instant {
  if (count === Infinity) return instant(until)
  let left = count
  for (let number = start.number; number <= LAST_DAY; number++) {
    const wall = number * DAY + time
    if (falls(dayOf(number)) && !zone.skips(wall) && --left === 0) return zone.first(wall)
  }
  return instant(Infinity)
}

function recurring(written: Written<'recurring'>, zone: Zone, say: Say): Opening | null {
  const begin = read(written.start, parseDateTime, say, ['start'], 'a local date and time such as 2026-01-03T01:00')
  if (!(written.for > 0 && written.for <= LONGEST)) say(['for'], 'must be longer than nothing and at most 31d')
  if (begin === null) return null
  if (zone.skips(begin)) say(['start'], 'the clocks of the time zone skip this time')
  const start = dayOf(Math.floor(begin / DAY))
  const rule = readRecurrence(written.rrule, start)
  if (!rule.ok) {
    rule.objections.forEach(({ message, hint }) => (hint === null ? say(['rrule'], message) : say(['rrule'], message, hint)))
    return null
  }
  const time = begin % DAY
  const last = lastOf(rule.recurrence, start, time, zone)
  const { falls } = rule.recurrence
  return {
    reach: DAY + written.for + CHANGE_MAX,
    lastDay: last === Infinity ? LAST_DAY : Math.floor(zone.wallAt(last) / DAY),
    on: day => {
      const wall = day.number * DAY + time
      if (!falls(day) || zone.skips(wall)) return null
      const opens = zone.first(wall)
      return opens > last ? null : { opens, closes: after(opens, written.for) }
    },
  }
}

/** null where something is wrong with it, which is said. */
export const compileOpening = (written: WrittenOpening, zone: Zone, say: Say): Opening | null =>
  written.is === 'hours' ? hours(written, zone, say) : recurring(written, zone, say)
