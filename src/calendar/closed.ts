// What a calendar leaves out: its exceptions, and all before and after its validity, as exact instants. An exception leaves out every pass of the
// hours it names where clocks show them twice: in doubt it is closed. SPEC: WIN2, WIN3
import { FOREVER, type Instant, instant } from '../core/time.ts'
import type { Occurrence } from '../core/window.ts'
import { DAY, parseDate, parseDateTime } from './day.ts'
import type { Definition, WrittenException } from './definition.ts'
import { read, type Say } from './opening.ts'
import type { Zone } from './zone.ts'

const EXPECTED = 'a date such as 2026-12-18 or a local date and time such as 2026-12-18T09:30'

const begins = (text: string): number | null => {
  const day = parseDate(text)
  return day === null ? parseDateTime(text) : day * DAY
}

/** A date ends with its day. */
const ends = (text: string): number | null => {
  const day = parseDate(text)
  return day === null ? parseDateTime(text) : (day + 1) * DAY
}

function exception({ from, to }: WrittenException, index: number, zone: Zone, say: Say): readonly Occurrence[] {
  const opens = read(from, begins, say, ['except', index, 'from'], EXPECTED)
  const closes = read(to, ends, say, ['except', index, 'to'], EXPECTED)
  if (opens === null || closes === null) return []
  if (closes <= opens) say(['except', index, 'to'], '`to` is not after `from`')
  const time = { opens: zone.first(opens), closes: zone.last(closes) }
  return time.opens < time.closes ? [time] : []
}

function outside({ validFrom, validUntil }: Definition, zone: Zone, say: Say): readonly Occurrence[] {
  const from = validFrom === null ? null : read(validFrom, begins, say, ['validFrom'], EXPECTED)
  const until = validUntil === null ? null : read(validUntil, ends, say, ['validUntil'], EXPECTED)
  if (from !== null && until !== null && until <= from) say(['validUntil'], '`validUntil` is not after `validFrom`')
  return [
    ...(from === null ? [] : [{ opens: instant(-Infinity), closes: zone.first(from) }]),
    ...(until === null ? [] : [{ opens: zone.first(until), closes: FOREVER }]),
  ]
}

/** In the order in which they begin. */
export const closedTimes = (definition: Definition, zone: Zone, say: Say): readonly Occurrence[] =>
  [...definition.except.flatMap((written, i) => exception(written, i, zone, say)), ...outside(definition, zone, say)].sort((a, b) => a.opens - b.opens)

/** What is left of a time, the first part that closes after an instant; null for nothing. */
export function firstLeft({ opens, closes }: Occurrence, closed: readonly Occurrence[], at: Instant): Occurrence | null {
  let from = opens
  for (const hole of closed) {
    if (hole.opens >= closes) break
    if (hole.closes <= from) continue
    if (from < hole.opens && at < hole.opens) return { opens: from, closes: hole.opens }
    from = hole.closes
  }
  return from < closes && at < closes ? { opens: from, closes } : null
}
