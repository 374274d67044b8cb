// Windows of a configuration file: what becomes of them, and where it says that one is wrong.
import { describe, expect, test } from 'vitest'
import { windowsOf } from '../../../src/config/compile/windows.ts'
import { parse } from '../../../src/config/parse.ts'
import { formatProblem } from '../../../src/config/problem.ts'
import { Report } from '../../../src/config/report.ts'
import { document } from '../../../src/config/schema/document.ts'
import type { Schedule } from '../../../src/core/window.ts'
import { problems, SMALL, WORLD } from '../config/fixture.ts'
import { at } from './fixture.ts'

/** The windows of a file, and every problem as `line:column: message`. */
function read(windows: string): { readonly windows: ReadonlyMap<string, Schedule>; readonly problems: readonly string[] } {
  const parsed = parse(`${SMALL}windows:\n${windows}`, 'test.yaml')
  if (!parsed.ok) throw new Error(parsed.problems.map(formatProblem).join('\n'))
  const report = new Report(parsed.map, [])
  const schedules = windowsOf({ config: document.parse(parsed.document.toJS()), report, environment: WORLD })
  return { windows: schedules, problems: report.errors.map(({ line, column, message }) => `${line - LINES}:${column}: ${message}`) }
}

/** Before the first line under `windows:`. */
const LINES = SMALL.split('\n').length

const RELEASE = `
  release:
    timeZone: Europe/Berlin
    open: [{ days: [mon, tue, wed, thu], from: 10:00, to: "16:00" }]
    except: [{ from: 2026-12-18, to: 2027-01-06, reason: change freeze }]
  first-saturday:
    timeZone: America/New_York
    open: [{ rrule: FREQ=MONTHLY;BYDAY=1SA, start: 2026-01-03T01:00, for: 2h }]
    validUntil: 2026-12-31T23:59
`.slice(1)

describe('windows of a file', () => {
  test('[WIN1, WIN2] each becomes a schedule under its name', () => {
    const { windows, problems: found } = read(RELEASE)
    expect(found).toEqual([])
    expect([...windows.values()].map(({ name, timeZone }) => [name, timeZone])).toEqual([['release', 'Europe/Berlin'], ['first-saturday', 'America/New_York']])
    expect(windows.get('release')?.around(at('2026-12-17T15:00Z'))).toEqual({ opens: at('2027-01-07T09:00Z'), closes: at('2027-01-07T15:00Z') })
    expect(windows.get('first-saturday')?.around(at('2026-11-22T00:00Z'))).toEqual({ opens: at('2026-12-05T06:00Z'), closes: at('2026-12-05T08:00Z') })
    expect(windows.get('first-saturday')?.around(at('2026-12-05T08:00Z'))).toBeNull()
  })

  test('[WIN1] the version does not hang on how the file is laid out', () => {
    const version = (text: string): string | undefined => read(text).windows.get('a')?.version
    const plain = version('  a: { timeZone: UTC, open: [{ days: [sat], from: "01:00", to: "03:00" }] }\n')
    expect(plain).toMatch(/^[\w-]{16}\[UTC\]$/)
    expect(version('  a:\n    open:\n      - to: "03:00"\n        from: 01:00\n        days:\n          - sat\n    except: []\n    timeZone: "UTC"\n')).toBe(plain)
    expect(version('  a: { timeZone: UTC, open: [{ days: [sat], from: "01:00", to: "02:00" }] }\n')).not.toBe(plain)
  })

  test.each([
    ['an unknown time zone', '  a: { timeZone: Berlin, open: [{ days: [mon], from: "10:00", to: "16:00" }] }', ["1:18: there is no time zone 'Berlin'"]],
    ['a time that is none', '  a: { timeZone: UTC, open: [{ days: [mon], from: "10:00", to: "25:00" }] }', ['1:64: expected a time from "00:00" to "24:00", found \'25:00\'']],
    ['a date that is none', '  a: { timeZone: UTC, open: [{ dates: { from: 2026-02-30, to: 2026-03-01 }, from: "10:00", to: "16:00" }] }', ["1:47: expected a date such as 2026-12-18, found '2026-02-30'"]],
    ['a rule that is none', '  a: { timeZone: UTC, open: [{ rrule: FREQ=HOURLY, start: 2026-01-03T01:00, for: 2h }] }', ["1:39: FREQ expects DAILY, WEEKLY, MONTHLY, YEARLY, found 'HOURLY'"]],
    ['hours beside a rule', '  a: { timeZone: UTC, open: [{ rrule: FREQ=DAILY, start: 2026-01-03T01:00, for: 2h, days: [mon] }] }', ['1:85: `days` cannot be beside `rrule`']],
    ['a rule without its start', '  a: { timeZone: UTC, open: [{ rrule: FREQ=DAILY, for: 2h }] }', ["1:30: it lacks the key 'start'"]],
    ['hours without their end', '  a: { timeZone: UTC, open: [{ days: [mon], from: "10:00" }] }', ["1:30: it lacks the key 'to'"]],
    ['hours without days', '  a: { timeZone: UTC, open: [{ from: "10:00", to: "11:00" }] }', ['1:30: it says on no days']],
    ['an exception backwards', '  a:\n    timeZone: UTC\n    open: [{ days: [mon], from: "10:00", to: "11:00" }]\n    except: [{ from: 2026-12-18, to: 2026-12-17 }]', ['4:38: `to` is not after `from`']],
    ['what never opens', '  a: { timeZone: UTC, open: [{ days: [mon], dates: { from: 2026-12-01, to: 2026-12-02 }, from: "10:00", to: "11:00" }] }', ['1:3: it never opens']],
  ])('[WIN3] %s is told at its place in the file', (_, text, expected) => {
    const { windows, problems: found } = read(`${text}\n`)
    expect(found).toEqual(expected)
    expect(windows.size).toBe(0)
  })

  test('[WIN3] one that is wrong leaves the others to be read', () => {
    const { windows, problems: found } = read(`${RELEASE}  wrong: { timeZone: UTC, open: [{ days: [mon], from: "10:00", to: "1" }] }\n`)
    expect([...windows.keys()]).toEqual(['release', 'first-saturday'])
    expect(found).toHaveLength(1)
  })

  test.each([
    ['65 windows', Array.from({ length: 65 }, (_, i) => `  w${i}: { timeZone: UTC, open: [{ days: [mon], from: "10:00", to: "11:00" }] }\n`).join(''), 'must not have more than 64 entries'],
    ['65 openings', `  a: { timeZone: UTC, open: [${'{ days: [mon], from: "10:00", to: "11:00" },'.repeat(65)}] }\n`, 'must not have more than 64 entries'],
    ['257 exceptions', `  a: { timeZone: UTC, open: [{ days: [mon], from: "10:00", to: "11:00" }], except: [${'{ from: 2026-12-18, to: 2026-12-18 },'.repeat(257)}] }\n`, 'must not have more than 256 entries'],
    ['a rule of more than a kibibyte', `  a: { timeZone: UTC, open: [{ rrule: "FREQ=DAILY;BYDAY=${'MO,'.repeat(400)}MO", start: 2026-01-03T01:00, for: 2h }] }\n`, 'is too long'],
    ['an occurrence of 32 days', '  a: { timeZone: UTC, open: [{ rrule: FREQ=DAILY, start: 2026-01-03T01:00, for: 32d }] }\n', 'must be at most 31d'],
    ['no opening', '  a: { timeZone: UTC, open: [] }\n', 'must not be empty'],
    ['a day that is none', '  a: { timeZone: UTC, open: [{ days: [monday], from: "10:00", to: "11:00" }] }\n', "expected one of mon, tue, wed, thu, fri, sat, sun, found 'monday'"],
    ['a key of another name', '  a: { timezone: UTC, open: [{ days: [mon], from: "10:00", to: "11:00" }] }\n', "unknown key 'timezone' in windows.a"],
  ])('[WIN3] the declaration does not take %s', (_, text, message) => {
    expect(problems(`${SMALL}windows:\n${text}`)).toContain(message)
  })
})
