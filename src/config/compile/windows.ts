// Windows: calendars compiled by their room, its faults shown at their place in the file. SPEC: CFG3, WIN1–WIN3
import type { Definition, WrittenOpening } from '../../calendar/definition.ts'
import { compileSchedule } from '../../calendar/schedule.ts'
import type { Schedule } from '../../core/window.ts'
import { sha256 } from '../../runtime/id.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'

type Written = Compilation['config']['windows'][string]
type Entry = Written['open'][number]

const BY_RULE = ['rrule', 'start', 'for'] as const
const BY_HOURS = ['from', 'to', 'days', 'dates'] as const

/** The keys of one of the two forms; null where keys are missing or of both, which is reported. */
function opening({ report }: Compilation, path: Path, entry: Entry): WrittenOpening | null {
  const { rrule, start, for: length, days = null, dates = null, from, to } = entry
  const byRule = BY_RULE.filter(key => entry[key] !== undefined)
  const byHours = BY_HOURS.filter(key => entry[key] !== undefined)
  byHours.filter(() => byRule.length > 0).forEach(key => report.errorAtKey([...path, key], `\`${key}\` cannot be beside \`${byRule[0]}\``, 'an entry has `rrule`, `start` and `for`, or `from` and `to` with `days` or `dates`'))
  if (byRule.length > 0 && byHours.length > 0) return null
  if (rrule !== undefined && start !== undefined && length !== undefined) return { is: 'recurring', rrule, start, for: length }
  if (from !== undefined && to !== undefined) return { is: 'hours', days, dates, from, to }
  const missing = byRule.length > 0 ? BY_RULE.filter(key => entry[key] === undefined) : (['from', 'to'] as const).filter(key => entry[key] === undefined)
  missing.forEach(key => report.errorAtKey(path, `it lacks the key '${key}'`))
  return null
}

function schedule(c: Compilation, name: string, written: Written): Schedule | null {
  const path: Path = ['windows', name]
  const open = written.open.map((entry, i) => opening(c, [...path, 'open', i], entry))
  if (!open.every(entry => entry !== null)) return null
  const definition: Definition = {
    timeZone: written.timeZone, open,
    except: written.except.map(({ from, to, reason = null }) => ({ from, to, reason })),
    validFrom: written.validFrom ?? null, validUntil: written.validUntil ?? null,
  }
  const compiled = compileSchedule(name, definition, sha256)
  if (compiled.ok) return compiled.schedule
  compiled.faults.forEach(fault => {
    const place = [...path, ...fault.path]
    if (typeof fault.path.at(-1) === 'string') c.report.error(place, fault.message, fault.hint)
    else c.report.errorAtKey(place, fault.message, fault.hint)
  })
  return null
}

/** Those that are wrong are reported and left out. */
export function windowsOf(c: Compilation): ReadonlyMap<string, Schedule> {
  const schedules = new Map<string, Schedule>()
  for (const [name, written] of Object.entries(c.config.windows)) {
    const made = schedule(c, name, written)
    if (made !== null) schedules.set(name, made)
  }
  return schedules
}
