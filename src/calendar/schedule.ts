// A calendar as a schedule: its pieces of time, joined where they touch or overlap, less what it leaves out. It looks from 1970 to the end of 2099
// at most, keeps what it found, and asks no clock and no time zone database once it is compiled. Never throws at use. SPEC: WIN1, WIN2, WIN3
import { FOREVER, type Instant, instant } from '../core/time.ts'
import type { Occurrence, Schedule } from '../core/window.ts'
import { closedTimes, firstLeft } from './closed.ts'
import { DAY, dayOf, LAST_DAY } from './day.ts'
import type { Definition, Fault } from './definition.ts'
import { compileOpening, type Opening } from './opening.ts'
import { type Zone, zoneNamed } from './zone.ts'

type Compiled = {
  readonly zone: Zone
  readonly openings: readonly Opening[]
  /** How long after the beginning of its day a piece may close. */
  readonly reach: number
  readonly closed: readonly Occurrence[]
  /** Nothing that begins on another day is ever open. */
  readonly firstDay: number
  readonly lastDay: number
}

const OPENINGS_MAX = 64
const EXCEPTIONS_MAX = 256

const byOpening = (a: Occurrence, b: Occurrence): number => a.opens - b.opens

function piecesOn(number: number, openings: readonly Opening[]): readonly Occurrence[] {
  const day = dayOf(number)
  return openings.map(({ on }) => on(day)).filter(piece => piece !== null).sort(byOpening)
}

/** All that opens from a day on, joined, in order. */
function* joined({ zone, openings, lastDay }: Compiled, from: number): Generator<Occurrence> {
  let whole: Occurrence | null = null
  for (let number = from; number <= lastDay; number++) {
    if (whole !== null && whole.closes < zone.first(number * DAY)) {
      yield whole
      whole = null
    }
    for (const { opens, closes } of piecesOn(number, openings)) {
      if (whole !== null && whole.closes < opens) yield whole
      whole = whole === null || whole.closes < opens ? { opens, closes } : { opens: whole.opens, closes: instant(Math.max(whole.closes, closes)) }
    }
  }
  if (whole !== null) yield whole
}

/** A whole, and what is left of it at the instant or next. */
type Found = { readonly part: Occurrence; readonly whole: Occurrence }

function firstFrom(compiled: Compiled, from: number, at: Instant): Found | null {
  for (const whole of joined(compiled, from)) {
    const part = firstLeft(whole, compiled.closed, at)
    if (part !== null) return { part, whole }
  }
  return null
}

/** Looks back until what it found cannot have begun before the first day it looked at. */
function search(compiled: Compiled, at: Instant): Found | null {
  const { zone, reach, firstDay, lastDay } = compiled
  const today = Math.min(Math.floor(zone.wallAt(at) / DAY), lastDay)
  for (let back = Math.ceil(reach / DAY) + 1; ; back *= 2) {
    const from = Math.max(firstDay, today - back)
    const found = firstFrom(compiled, from, at)
    if (found === null || from === firstDay || found.whole.opens > zone.first(from * DAY) + reach) return found
  }
}

/** What is open for years but for exceptions is put together once. */
function searching(compiled: Compiled): Schedule['around'] {
  let whole: Occurrence | null = null
  return at => {
    const left = whole !== null && whole.opens <= at ? firstLeft(whole, compiled.closed, at) : null
    if (left !== null) return left
    const found = search(compiled, at)
    whole = found === null ? whole : found.whole
    return found === null ? null : found.part
  }
}

type Known = { readonly since: number; readonly until: number; readonly found: Occurrence | null }

const NOTHING: Known = { since: Infinity, until: Infinity, found: null }
const KEPT = 8

/** Answers are kept, a few of them: an operator's word makes its reader look past an occurrence at every request. */
function remembering(answer: (at: Instant) => Occurrence | null): Schedule['around'] {
  const kept: Known[] = Array.from({ length: KEPT }, () => NOTHING)
  let oldest = 0
  return at => {
    for (const { since, until, found: known } of kept) if (since <= at && at < until) return known
    const next = answer(at)
    kept[oldest] = { since: next === null ? at : Math.min(at, next.opens), until: next === null ? Infinity : next.closes, found: next }
    oldest = (oldest + 1) % KEPT
    return next
  }
}

function bounded(zone: Zone, openings: readonly Opening[], closed: readonly Occurrence[]): Compiled {
  const reach = Math.max(0, ...openings.map(opening => opening.reach))
  const before = closed.find(({ opens }) => opens === -Infinity)
  const behind = closed.find(({ closes }) => closes === FOREVER)
  const firstDay = before === undefined ? 0 : Math.floor((zone.wallAt(before.closes) - reach) / DAY)
  const lastDay = behind === undefined ? LAST_DAY : Math.floor(zone.wallAt(behind.opens) / DAY)
  return { zone, openings, reach, closed, firstDay: Math.max(0, firstDay), lastDay: Math.min(lastDay, Math.max(0, ...openings.map(opening => opening.lastDay))) }
}

type Result = { readonly ok: true; readonly schedule: Schedule } | { readonly ok: false; readonly faults: readonly Fault[] }

/** @param digest of a text, for the version */
export function compileSchedule(name: string, definition: Definition, digest: (text: string) => string): Result {
  const faults: Fault[] = []
  const say = (path: Fault['path'], message: string, hint: string | null = null): void => void faults.push({ path, message, hint })
  if (definition.open.length === 0) say(['open'], 'must not be empty')
  if (definition.open.length > OPENINGS_MAX) say(['open'], `must not have more than ${OPENINGS_MAX} entries`)
  if (definition.except.length > EXCEPTIONS_MAX) say(['except'], `must not have more than ${EXCEPTIONS_MAX} entries`)
  const zone = zoneNamed(definition.timeZone)
  if (zone === null) say(['timeZone'], `there is no time zone '${definition.timeZone.slice(0, 64)}'`, 'write its IANA name, such as Europe/Berlin or UTC; an offset is no time zone')
  if (zone === null || faults.length > 0) return { ok: false, faults }
  const openings = definition.open.map((written, i) => compileOpening(written, zone, (path, message, hint) => say(['open', i, ...path], message, hint))).filter(opening => opening !== null)
  const around = remembering(searching(bounded(zone, openings, closedTimes(definition, zone, say))))
  if (faults.length === 0 && around(instant(0)) === null) say([], 'it never opens')
  if (faults.length > 0) return { ok: false, faults }
  return { ok: true, schedule: { name, timeZone: definition.timeZone, version: `${digest(JSON.stringify(definition)).slice(0, 16)}[${definition.timeZone}]`, around } }
}
