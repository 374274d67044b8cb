// When something may be open: occurrences of a calendar, and an operator's word that moves one of them. Calendars are compiled in calendar/;
// here they are questions about instants. SPEC: WIN1, WIN4
import { FOREVER, type Instant } from './time.ts'

/** `closes` is no part of it. */
export type Occurrence = { readonly opens: Instant; readonly closes: Instant }

export type Schedule = {
  readonly name: string
  readonly timeZone: string
  /** Changes whenever its definition does; ends in its time zone, for the record. */
  readonly version: string
  /** The occurrence that contains the instant, else the next one after it; null when there is none any more. Never throws. */
  readonly around: (at: Instant) => Occurrence | null
}

/** Whatever of the calendar it meets counts as from here to there instead. */
export type Override = { readonly from: Instant; readonly until: Instant }

export type Standing = {
  readonly open: boolean
  /** The next instant at which it changes by time alone. */
  readonly until: Instant
  /** When what is open opened, or what comes next opens; FOREVER for never. */
  readonly opens: Instant
}

const meets = ({ opens, closes }: Occurrence, { from, until }: Override): boolean => opens < until && from < closes

/** The first occurrence of the calendar that an override leaves. */
function left({ around }: Schedule, moved: Override, at: Instant): Occurrence | null {
  for (let found = around(at); found !== null; found = around(found.closes)) if (!meets(found, moved)) return found
  return null
}

const standing = (found: Occurrence | null, now: Instant): Standing =>
  found === null ? { open: false, until: FOREVER, opens: FOREVER } : found.opens <= now ? { open: true, until: found.closes, opens: found.opens } : { open: false, until: found.opens, opens: found.opens }

/** Whether a window is open, by its calendar and an operator's word. */
export function windowAt(schedule: Schedule, moved: Override | null, now: Instant): Standing {
  if (moved === null) return standing(schedule.around(now), now)
  if (moved.from <= now && now < moved.until) return { open: true, until: moved.until, opens: moved.from }
  const found = left(schedule, moved, now)
  if (now < moved.from && moved.from < moved.until && (found === null || moved.from < found.opens)) return { open: false, until: moved.from, opens: moved.from }
  return standing(found, now)
}
