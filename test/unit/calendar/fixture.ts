// Calendars as tests write them, and instants as they read them.
import { compileSchedule } from '../../../src/calendar/schedule.ts'
import type { Definition, Fault, WrittenOpening } from '../../../src/calendar/definition.ts'
import { type Instant, duration, instant } from '../../../src/core/time.ts'
import type { Schedule } from '../../../src/core/window.ts'
import { sha256 } from '../../../src/runtime/id.ts'

export const EVERY_DAY = ['mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun'] as const

type Hours = Extract<WrittenOpening, { readonly is: 'hours' }>

export const hours = (from: string, to: string, days: Hours['days'] = EVERY_DAY, dates: Hours['dates'] = null): WrittenOpening => ({ is: 'hours', from, to, days, dates })

export const recurring = (rrule: string, start: string, minutes = 30): WrittenOpening => ({ is: 'recurring', rrule, start, for: duration(minutes * 60_000) })

const WRITTEN: Definition = { timeZone: 'Europe/Berlin', open: [hours('02:00', '02:30')], except: [], validFrom: null, validUntil: null }

export const compiled = (definition: Partial<Definition>): ReturnType<typeof compileSchedule> => compileSchedule('test', { ...WRITTEN, ...definition }, sha256)

export function schedule(definition: Partial<Definition>): Schedule {
  const result = compiled(definition)
  if (!result.ok) throw new Error(JSON.stringify(result.faults))
  return result.schedule
}

export function faults(definition: Partial<Definition>): readonly Fault[] {
  const result = compiled(definition)
  return result.ok ? [] : result.faults
}

/** `2026-10-25T00:30Z` */
export const at = (text: string): Instant => instant(Date.parse(text))

const shown = (when: Instant): string => new Date(when).toISOString().replace(/:00\.000Z$/, 'Z')

/** The occurrences from an instant on, at most so many, as `opens/closes` in UTC. */
export function occurrences(definition: Partial<Definition>, from: string, most: number): readonly string[] {
  const { around } = schedule(definition)
  const found: string[] = []
  for (let next = around(at(from)); next !== null && found.length < most; next = around(next.closes)) found.push(`${shown(next.opens)}/${shown(next.closes)}`)
  return found
}
