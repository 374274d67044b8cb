// A calendar as it is written, before anything of it is believed, and what is said of one that cannot be. SPEC: WIN3
import type { Duration } from '../core/time.ts'
import type { Weekday } from './day.ts'

/** Times `09:30`, `to` up to `24:00`; a `to` that is not after `from` is on the next day, which belongs to the day it began on. */
type Hours = {
  readonly is: 'hours'
  /** null: every day of the dates. */
  readonly days: readonly Weekday[] | null
  /** null: any date; not both of them. */
  readonly dates: { readonly from: string; readonly to: string } | null
  readonly from: string
  readonly to: string
}

/** A rule of RFC 5545, the local date and time it begins with, and how long each of its occurrences lasts. */
type Recurring = { readonly is: 'recurring'; readonly rrule: string; readonly start: string; readonly for: Duration }

export type WrittenOpening = Hours | Recurring

/** Dates, both of them whole, or local dates with times, the second of which is no part of it. */
export type WrittenException = { readonly from: string; readonly to: string; readonly reason: string | null }

export type Definition = {
  /** An IANA name. */
  readonly timeZone: string
  readonly open: readonly WrittenOpening[]
  readonly except: readonly WrittenException[]
  /** Written like an exception's ends. */
  readonly validFrom: string | null
  readonly validUntil: string | null
}

/** What is wrong, at its place in the definition. */
export type Fault = { readonly path: readonly (string | number)[]; readonly message: string; readonly hint: string | null }
