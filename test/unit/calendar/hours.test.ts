import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { at, hours, occurrences, recurring, schedule } from './fixture.ts'

describe('hours across a change of the clocks', () => {
  test.each([
    ['Europe/Berlin opens once when the hour comes twice', 'Europe/Berlin', '02:00', '02:30', '2026-10-24T12:00Z', ['2026-10-25T00:00Z/2026-10-25T00:30Z', '2026-10-26T01:00Z/2026-10-26T01:30Z']],
    ['Europe/Berlin does not open when the hour does not come', 'Europe/Berlin', '02:00', '02:30', '2026-03-28T12:00Z', ['2026-03-30T00:00Z/2026-03-30T00:30Z']],
    ['Europe/Berlin keeps both ends of what contains the hour that comes twice', 'Europe/Berlin', '01:00', '04:00', '2026-10-24T12:00Z', ['2026-10-24T23:00Z/2026-10-25T03:00Z']],
    ['Europe/Berlin keeps both ends of what contains the hour that does not come', 'Europe/Berlin', '01:00', '04:00', '2026-03-28T12:00Z', ['2026-03-29T00:00Z/2026-03-29T02:00Z']],
    ['Europe/Berlin closes at the change when its end is skipped', 'Europe/Berlin', '01:00', '02:30', '2026-03-28T12:00Z', ['2026-03-29T00:00Z/2026-03-29T01:00Z']],
    ['Europe/Berlin opens at the change when its beginning is skipped', 'Europe/Berlin', '02:30', '04:00', '2026-03-28T12:00Z', ['2026-03-29T01:00Z/2026-03-29T02:00Z']],
    ['Europe/Berlin closes the first time its end comes', 'Europe/Berlin', '01:00', '02:30', '2026-10-24T12:00Z', ['2026-10-24T23:00Z/2026-10-25T00:30Z']],
    ['Europe/Berlin opens the first time its beginning comes', 'Europe/Berlin', '02:30', '04:00', '2026-10-24T12:00Z', ['2026-10-25T00:30Z/2026-10-25T03:00Z']],
    ['Europe/Berlin, up to the very end of the hour that comes twice, lasts through both', 'Europe/Berlin', '02:00', '03:00', '2026-10-24T12:00Z', ['2026-10-25T00:00Z/2026-10-25T02:00Z']],
    ['Europe/Berlin, from the very end of the hour that comes twice, begins after both', 'Europe/Berlin', '03:00', '04:00', '2026-10-24T12:00Z', ['2026-10-25T02:00Z/2026-10-25T03:00Z']],
    ['America/New_York opens once when the hour comes twice', 'America/New_York', '01:00', '01:30', '2026-10-31T12:00Z', ['2026-11-01T05:00Z/2026-11-01T05:30Z', '2026-11-02T06:00Z/2026-11-02T06:30Z']],
    ['America/New_York does not open when the hour does not come', 'America/New_York', '02:00', '03:00', '2026-03-07T12:00Z', ['2026-03-09T06:00Z/2026-03-09T07:00Z']],
    ['America/New_York is an hour short over the night of spring', 'America/New_York', '22:00', '06:00', '2026-03-07T12:00Z', ['2026-03-08T03:00Z/2026-03-08T10:00Z', '2026-03-09T02:00Z/2026-03-09T10:00Z']],
    ['Australia/Lord_Howe moves by half an hour in autumn', 'Australia/Lord_Howe', '01:00', '02:00', '2026-04-04T00:00Z', ['2026-04-04T14:00Z/2026-04-04T15:30Z', '2026-04-05T14:30Z/2026-04-05T15:30Z']],
    ['Australia/Lord_Howe moves by half an hour in spring', 'Australia/Lord_Howe', '02:00', '02:30', '2026-10-03T00:00Z', ['2026-10-04T15:00Z/2026-10-04T15:30Z']],
    ['Africa/Casablanca sets its clocks back for Ramadan', 'Africa/Casablanca', '02:00', '03:30', '2025-02-22T12:00Z', ['2025-02-23T01:00Z/2025-02-23T03:30Z', '2025-02-24T02:00Z/2025-02-24T03:30Z']],
    ['Africa/Casablanca sets them forward behind it', 'Africa/Casablanca', '02:00', '03:30', '2025-04-05T12:00Z', ['2025-04-06T02:00Z/2025-04-06T02:30Z', '2025-04-07T01:00Z/2025-04-07T02:30Z']],
    ['Pacific/Apia does not open on the day it left out', 'Pacific/Apia', '09:00', '10:00', '2011-12-29T12:00Z', ['2011-12-29T19:00Z/2011-12-29T20:00Z', '2011-12-30T19:00Z/2011-12-30T20:00Z']],
    ['America/Havana begins the day the first time it is midnight', 'America/Havana', '00:00', '00:30', '2026-10-31T12:00Z', ['2026-11-01T04:00Z/2026-11-01T04:30Z']],
  ])('[WIN1] %s', (_, timeZone, from, to, since, expected) => {
    expect(occurrences({ timeZone, open: [hours(from, to)] }, since, expected.length)).toEqual(expected)
  })

  test('[WIN1] it is the same without a Temporal of the runtime', () => {
    const source = new URL('../../../src/calendar/schedule.ts', import.meta.url).href
    const program = `
      delete globalThis.Temporal
      const { compileSchedule } = await import(${JSON.stringify(source)})
      const open = [{ is: 'hours', from: '02:00', to: '02:30', days: null, dates: { from: '2026-03-28', to: '2026-10-26' } }]
      const made = compileSchedule('w', { timeZone: 'Europe/Berlin', open, except: [], validFrom: null, validUntil: null }, text => text)
      const found = []
      for (let next = made.schedule.around(0); next !== null; next = made.schedule.around(next.closes)) found.push([next.opens, next.closes])
      console.log(typeof Temporal, JSON.stringify(found))`
    const [temporal, found = ''] = execFileSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8', timeout: 15_000 }).split(' ')
    expect(temporal).toBe('undefined')
    const { around } = schedule({ open: [hours('02:00', '02:30', null, { from: '2026-03-28', to: '2026-10-26' })] })
    const expected: (readonly [number, number])[] = []
    for (let next = around(instant(0)); next !== null; next = around(next.closes)) expected.push([next.opens, next.closes])
    expect(JSON.parse(found)).toEqual(expected)
    expect(expected).toHaveLength(212)
  })
})

describe('days and dates', () => {
  test('[WIN1] hours over midnight belong to the day they began on', () => {
    expect(occurrences({ timeZone: 'UTC', open: [hours('22:00', '06:00', ['fri'])] }, '2026-11-22T00:00Z', 2)).toEqual(['2026-11-27T22:00Z/2026-11-28T06:00Z', '2026-12-04T22:00Z/2026-12-05T06:00Z'])
  })

  test('[WIN1] an instant within hours that began the day before finds them', () => {
    expect(occurrences({ timeZone: 'UTC', open: [hours('22:00', '06:00', ['fri'])] }, '2026-11-28T05:59Z', 1)).toEqual(['2026-11-27T22:00Z/2026-11-28T06:00Z'])
    expect(occurrences({ timeZone: 'UTC', open: [hours('22:00', '06:00', ['fri'])] }, '2026-11-28T06:00Z', 1)).toEqual(['2026-12-04T22:00Z/2026-12-05T06:00Z'])
  })

  test.each([
    ['touch', [hours('00:00', '24:00', ['mon']), hours('00:00', '24:00', ['tue'])], ['2026-11-23T00:00Z/2026-11-25T00:00Z', '2026-11-30T00:00Z/2026-12-02T00:00Z']],
    ['overlap', [hours('10:00', '16:00', ['mon']), hours('09:00', '12:00', ['mon']), hours('11:00', '11:30', ['mon'])], ['2026-11-23T09:00Z/2026-11-23T16:00Z', '2026-11-30T09:00Z/2026-11-30T16:00Z']],
    ['are apart', [hours('10:00', '11:00', ['mon']), hours('11:01', '12:00', ['mon'])], ['2026-11-23T10:00Z/2026-11-23T11:00Z', '2026-11-23T11:01Z/2026-11-23T12:00Z']],
    ['of days and of a rule touch', [recurring('FREQ=MONTHLY;BYMONTHDAY=23', '2026-11-23T00:00', 10 * 60), hours('10:00', '11:00', ['mon'])], ['2026-11-23T00:00Z/2026-11-23T11:00Z', '2026-11-30T10:00Z/2026-11-30T11:00Z']],
    ['last for weeks', [recurring('FREQ=MONTHLY;BYMONTHDAY=23;COUNT=2', '2026-11-23T00:00', 31 * 24 * 60), hours('05:00', '06:00', ['mon'])], ['2026-11-23T00:00Z/2027-01-23T00:00Z', '2027-01-25T05:00Z/2027-01-25T06:00Z']],
  ])('[WIN1] pieces that %s', (_, open, expected) => {
    expect(occurrences({ timeZone: 'UTC', open }, '2026-11-22T12:00Z', 2)).toEqual(expected)
  })

  test.each(['2024-01-09T23:00Z', '2024-01-10T12:00Z', '2025-06-01T12:00Z', '2026-11-05T22:59:59.999Z'])('[WIN1] what touches is one occurrence, also when first looked at in its middle, at %s', when => {
    const { around } = schedule({ open: [hours('10:00', '11:00', null, { from: '2023-01-10', to: '2023-01-10' }), hours('00:00', '24:00', null, { from: '2024-01-10', to: '2026-11-05' })] })
    expect(around(at(when))).toEqual({ opens: at('2024-01-09T23:00Z'), closes: at('2026-11-05T23:00Z') })
    expect(around(at('2026-11-05T23:00Z'))).toBeNull()
  })

  test('[WIN1] a long occurrence of a rule is found also when first looked at at its end', () => {
    const { around } = schedule({ timeZone: 'UTC', open: [recurring('FREQ=YEARLY', '2020-01-01T00:00', 31 * 24 * 60)] })
    expect(around(at('2026-01-31T23:59Z'))).toEqual({ opens: at('2026-01-01T00:00Z'), closes: at('2026-02-01T00:00Z') })
    expect(around(at('2026-02-01T00:00Z'))?.opens).toBe(at('2027-01-01T00:00Z'))
  })

  test('[WIN1] dates and days hold together', () => {
    expect(occurrences({ timeZone: 'UTC', open: [hours('01:00', '03:00', ['sat'], { from: '2026-12-05', to: '2026-12-18' })] }, '2026-01-01T00:00Z', 9)).toEqual(['2026-12-05T01:00Z/2026-12-05T03:00Z', '2026-12-12T01:00Z/2026-12-12T03:00Z'])
  })

  test('[WIN1] never throws, whatever number it is asked', () => {
    const { around } = schedule({})
    for (const odd of [Number.NaN, Infinity, -Infinity, Number.MAX_VALUE, -Number.MAX_VALUE, 1e15, -1e15, 0.5]) expect(() => around(instant(odd))).not.toThrow()
    expect(around(instant(Number.NaN))).toBeNull()
    expect(around(instant(Infinity))).toBeNull()
    expect(around(at('2099-12-31T12:00Z'))).toBeNull()
  })

  test('[WIN1] the version changes with the definition and with nothing else', () => {
    const { version } = schedule({})
    expect(version).toMatch(/^[\w-]{16}\[Europe\/Berlin\]$/)
    expect(schedule({ open: [hours('02:00', '02:30')] }).version).toBe(version)
    const others = [{ timeZone: 'Europe/Paris' }, { open: [hours('02:00', '02:31')] }, { except: [{ from: '2026-12-18', to: '2026-12-18', reason: null }] }, { validFrom: '2026-12-18' }, { validUntil: '2026-12-18' }]
    expect(new Set([version, ...others.map(other => schedule(other).version)]).size).toBe(6)
  })
})
