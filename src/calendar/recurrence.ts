// Recurrence rules: a part of RFC 5545 §3.3.10, read strictly, as a question about days. Days fall on wall-clock dates; the time is that of the start.
// Never guesses: a part that is not known, repeated or out of its bounds is a fault that names it. SPEC: WIN1, WIN3
import { type Day, dayOfYear, monthLength, parseUtc, yearLength } from './day.ts'

const FREQUENCIES = ['DAILY', 'WEEKLY', 'MONTHLY', 'YEARLY'] as const
const WEEKDAYS = ['MO', 'TU', 'WE', 'TH', 'FR', 'SA', 'SU']
const PARTS = ['FREQ', 'INTERVAL', 'COUNT', 'UNTIL', 'BYDAY', 'BYMONTHDAY', 'BYMONTH', 'WKST']

/** `ordinal` 0 is every one, 1 the first, -1 the last. */
type ByDay = { readonly ordinal: number; readonly weekday: number }

type Rule = {
  readonly frequency: (typeof FREQUENCIES)[number]
  readonly interval: number
  readonly byDay: readonly ByDay[]
  readonly byMonthDay: readonly number[]
  readonly byMonth: readonly number[]
  readonly weekStart: number
}

export type Recurrence = {
  readonly falls: (day: Day) => boolean
  /** How many there are at most. */
  readonly count: number
  /** The last instant at which one may begin. */
  readonly until: number
}

type Objection = { readonly message: string; readonly hint: string | null }

type Parts = ReadonlyMap<string, string>

function split(text: string, say: (message: string, hint?: string) => void): Parts {
  const parts = new Map<string, string>()
  for (const part of text.split(';')) {
    const [, key = '', value = ''] = /^([A-Z]+)=([A-Z0-9,+-]+)$/.exec(part) ?? []
    if (key === '') say(`'${part.slice(0, 64)}' is no part of a rule`, 'write NAME=VALUE in capitals, parted by semicolons: FREQ=WEEKLY;BYDAY=SA')
    else if (!PARTS.includes(key)) say(`${key} is not supported in rules`, `known are: ${PARTS.join(', ')}`)
    else if (parts.has(key)) say(`${key} is there twice`)
    parts.set(key, value)
  }
  return parts
}

const integer = (least: number, most: number) => (text: string): number | null => {
  const value = /^\+?\d{1,5}$|^-\d{1,5}$/.test(text) ? Number(text) : Number.NaN
  return value >= least && value <= most && value !== 0 ? value : null
}

function byDay(text: string): ByDay | null {
  const [, ordinal = '', name = ''] = /^([+-]?\d{1,2})?([A-Z]{2})$/.exec(text) ?? []
  const weekday = WEEKDAYS.indexOf(name)
  const number = ordinal === '' ? 0 : integer(-53, 53)(ordinal)
  return weekday < 0 || number === null ? null : { ordinal: number, weekday }
}

const indexIn = (names: readonly string[]) => (text: string): number | null => (names.includes(text) ? names.indexOf(text) : null)

const listOf = <T>(item: (text: string) => T | null) => (text: string): readonly T[] | null => {
  const items = text.split(',').map(item)
  return items.every(value => value !== null) ? items : null
}

/** What is written well, each by itself, and does not go together. */
function contradictions({ frequency, byDay: days, byMonthDay, byMonth }: Rule, parts: Parts): readonly string[] {
  const ordinals = days.filter(({ ordinal }) => ordinal !== 0)
  const byYear = frequency === 'YEARLY' && byMonth.length === 0
  return [
    ...(parts.has('COUNT') && parts.has('UNTIL') ? ['COUNT and UNTIL exclude each other'] : []),
    ...(frequency === 'WEEKLY' && byMonthDay.length > 0 ? ['BYMONTHDAY has no meaning with FREQ=WEEKLY'] : []),
    ...(ordinals.length > 0 && (frequency === 'DAILY' || frequency === 'WEEKLY') ? [`BYDAY with a number has no meaning with FREQ=${frequency}`] : []),
    ...(ordinals.length > 0 && byMonthDay.length > 0 ? ['BYDAY with a number is not supported beside BYMONTHDAY'] : []),
    ...(!byYear && ordinals.some(({ ordinal }) => Math.abs(ordinal) > 5) ? ['BYDAY counts within a month here: no more than 5'] : []),
  ]
}

const weekOf = ({ number, weekday }: Day, weekStart: number): number => (number - ((weekday - weekStart + 7) % 7)) / 7

function steps(day: Day, start: Day, { frequency, weekStart }: Rule): number {
  switch (frequency) {
    case 'DAILY': return day.number - start.number
    case 'WEEKLY': return Math.floor(weekOf(day, weekStart)) - Math.floor(weekOf(start, weekStart))
    case 'MONTHLY': return (day.year - start.year) * 12 + day.month - start.month
    case 'YEARLY': return day.year - start.year
  }
}

/** Whether a position, from 1, of so many is the one with this ordinal in steps of a week. */
const isNth = (position: number, of: number, ordinal: number): boolean =>
  ordinal === 0 || (ordinal > 0 ? Math.ceil(position / 7) === ordinal : Math.ceil((of - position + 1) / 7) === -ordinal)

function onWeekday(day: Day, { frequency, byDay: days, byMonth }: Rule): boolean {
  const byYear = frequency === 'YEARLY' && byMonth.length === 0
  return days.some(({ ordinal, weekday }) => weekday === day.weekday && (ordinal === 0 || (byYear ? isNth(dayOfYear(day), yearLength(day), ordinal) : isNth(day.date, monthLength(day), ordinal))))
}

/** What the rule leaves open is as at the start. */
function asStart(day: Day, start: Day, { frequency, byMonth }: Rule): boolean {
  switch (frequency) {
    case 'DAILY': return true
    case 'WEEKLY': return day.weekday === start.weekday
    case 'MONTHLY': return day.date === start.date
    case 'YEARLY': return day.date === start.date && (byMonth.length > 0 || day.month === start.month)
  }
}

function fallsOn(day: Day, start: Day, rule: Rule): boolean {
  const { interval, byMonth, byMonthDay, byDay: days } = rule
  if (day.number < start.number || steps(day, start, rule) % interval !== 0) return false
  if (byMonth.length > 0 && !byMonth.includes(day.month)) return false
  if (days.length === 0 && byMonthDay.length === 0) return asStart(day, start, rule)
  if (byMonthDay.length > 0 && !byMonthDay.includes(day.date) && !byMonthDay.includes(day.date - monthLength(day) - 1)) return false
  return days.length === 0 || onWeekday(day, rule)
}

export function readRecurrence(text: string, start: Day): { readonly ok: true; readonly recurrence: Recurrence } | { readonly ok: false; readonly objections: readonly Objection[] } {
  const objections: Objection[] = []
  const say = (message: string, hint: string | null = null): void => void objections.push({ message, hint })
  const parts = split(text, say)
  const take = <T>(part: string, otherwise: T, read: (value: string) => T | null, expected: string): T => {
    const written = parts.get(part)
    const value = written === undefined ? otherwise : read(written)
    if (value === null) say(`${part} expects ${expected}, found '${(written ?? '').slice(0, 64)}'`)
    return value ?? otherwise
  }
  if (!parts.has('FREQ')) say('a rule needs FREQ', `one of ${FREQUENCIES.join(', ')}`)
  const rule: Rule = {
    frequency: take('FREQ', 'DAILY', value => FREQUENCIES.find(known => known === value) ?? null, FREQUENCIES.join(', ')),
    interval: take('INTERVAL', 1, integer(1, 1000), '1 to 1000'),
    byDay: take('BYDAY', [], listOf(byDay), 'weekdays such as MO, 1SA or -1FR'),
    byMonthDay: take('BYMONTHDAY', [], listOf(integer(-31, 31)), 'days of the month, 1 to 31 or -1 to -31'),
    byMonth: take('BYMONTH', [], listOf(integer(1, 12)), 'months, 1 to 12'),
    weekStart: take('WKST', 0, indexIn(WEEKDAYS), WEEKDAYS.join(', ')),
  }
  const count = take('COUNT', Infinity, integer(1, 10_000), '1 to 10000')
  const until = take('UNTIL', Infinity, parseUtc, 'a time in UTC such as 20261231T225959Z')
  contradictions(rule, parts).forEach(message => say(message))
  if (objections.length === 0 && !fallsOn(start, start, rule)) say('the rule does not fall on the day of its start', 'begin with its first occurrence')
  return objections.length > 0 ? { ok: false, objections } : { ok: true, recurrence: { count, until, falls: day => fallsOn(day, start, rule) } }
}
