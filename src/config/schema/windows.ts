// `windows`: when something may be open, in the time of a place. What the texts mean is read by calendar/. SPEC: CFG2, WIN1–WIN3
import { z } from 'zod'
import { WEEKDAYS } from '../../calendar/day.ts'
import { duration, list, named } from './scalar.ts'

const text = (expected: string, most = 64) => z.string({ error: `expected ${expected}` }).max(most, { error: 'is too long' })

const dateOrTime = () => text('a date such as 2026-12-18, or a local date and time such as 2026-12-18T09:30')
const date = () => text('a date such as 2026-12-18')
const time = () => text('a time such as "09:30"')

const opening = z.strictObject({
  days: list(z.enum(WEEKDAYS), WEEKDAYS.length).optional().describe('Days of the week; with `dates` those of these dates'),
  dates: z.strictObject({
    from: date().describe('First date'),
    to: date().describe('Last date'),
  }).optional().describe('Dates, both included; without `days` every one of them'),
  from: time().optional().describe('When it opens on each of them, such as `"22:00"`; a time the clocks show twice counts once, the first time'),
  to: time().optional().describe('When it closes, up to `"24:00"`; one that is not after `from` is on the next day'),
  rrule: text('a rule such as FREQ=MONTHLY;BYDAY=1SA', 1024).optional()
    .describe('Instead of all these: a rule of RFC 5545 with FREQ (DAILY to YEARLY), INTERVAL, BYDAY, BYMONTHDAY, BYMONTH, WKST, COUNT or UNTIL'),
  start: text('a local date and time such as 2026-01-03T01:00').optional().describe('With `rrule`: local date and time of its first occurrence; a later one that the clocks skip is none'),
  for: duration({ least: '1s', most: '31d' }).optional().describe('With `rrule`: length of each occurrence'),
})

const exception = z.strictObject({
  from: dateOrTime().describe('First date, or local date and time from which on it is closed'),
  to: dateOrTime().describe('Last date, or local date and time until which it is closed; a time the clocks show twice counts the last time'),
  reason: z.string().min(1).max(200).optional().describe('Why'),
})

const window = z.strictObject({
  timeZone: text('the IANA name of a time zone, such as Europe/Berlin').describe('IANA name of the time zone that all its times are of, such as `Europe/Berlin` or `UTC`'),
  open: list(opening, 64).describe('When it is open; what touches or overlaps is one occurrence'),
  except: z.array(exception, { error: 'expected a list' }).max(256, { error: 'must not have more than 256 entries' }).prefault([]).describe('When it is closed all the same'),
  validFrom: dateOrTime().optional().describe('First date, or local date and time, at which it may open'),
  validUntil: dateOrTime().optional().describe('Last date, or local date and time at which it closes for good'),
})

export const windows = named(window, 64)
