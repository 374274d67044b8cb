// Days of the calendar by number, from 1970-01-01 up to the end of 2099, and the texts of dates and times. Nothing here knows a time zone.
// Never repairs a text: 30 February is no date. SPEC: WIN3
const MINUTE = 60_000
export const DAY = 86_400_000

/** Monday first, as ISO 8601 counts. */
export const WEEKDAYS = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const
export type Weekday = (typeof WEEKDAYS)[number]

/** `number` counts from 1970-01-01, `month` and `date` from 1, `weekday` from Monday = 0. */
export type Day = { readonly number: number; readonly year: number; readonly month: number; readonly date: number; readonly weekday: number }

/** The wall time at which calendars end: the beginning of 2100. */
export const END = Date.UTC(2100, 0, 1)
export const LAST_DAY = END / DAY - 1

/** `month` may be 13: January of the next year. */
const numberOf = (year: number, month: number, date: number): number => Date.UTC(year, month - 1, date) / DAY

export function dayOf(number: number): Day {
  const at = new Date(number * DAY)
  return { number, year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, date: at.getUTCDate(), weekday: (number + 3) % 7 }
}

export const monthLength = ({ year, month }: Day): number => numberOf(year, month + 1, 1) - numberOf(year, month, 1)
export const yearLength = ({ year }: Day): number => numberOf(year + 1, 1, 1) - numberOf(year, 1, 1)
/** From 1. */
export const dayOfYear = ({ number, year }: Day): number => number - numberOf(year, 1, 1) + 1

/** The number of the day written `2026-12-18`; null for anything else. */
export function parseDate(text: string): number | null {
  const [, year, month, date] = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text) ?? []
  const number = numberOf(Number(year), Number(month), Number(date))
  if (!(number >= 0 && number <= LAST_DAY)) return null
  const day = dayOf(number)
  return day.month === Number(month) && day.date === Number(date) ? number : null
}

/** `09:30` as milliseconds from midnight, up to `24:00`; null for anything else. */
export function parseTime(text: string): number | null {
  const [, hours, minutes] = /^([01]\d|2[0-3]):([0-5]\d)$/.exec(text) ?? []
  if (text === '24:00') return DAY
  return hours === undefined ? null : (Number(hours) * 60 + Number(minutes)) * MINUTE
}

/** `2026-01-03T01:00` as a wall time; null for anything else. */
export function parseDateTime(text: string): number | null {
  const [date = '', time = '', more] = text.split('T')
  const number = parseDate(date)
  const inDay = parseTime(time)
  return number === null || inDay === null || inDay === DAY || more !== undefined ? null : number * DAY + inDay
}

/** A UTC instant as RFC 5545 writes it, `20261231T225959Z`; null for anything else. */
export function parseUtc(text: string): number | null {
  const [, year, month, date, hours, minutes, seconds] = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)([0-5]\d)Z$/.exec(text) ?? []
  const wall = parseDateTime(`${year}-${month}-${date}T${hours}:${minutes}`)
  return wall === null ? null : wall + Number(seconds) * 1000
}
