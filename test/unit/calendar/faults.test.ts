import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import { compiled, faults, hours, recurring } from './fixture.ts'

const DATES = { from: '2026-12-01', to: '2026-12-31' }
const except = (from: string, to: string) => ({ from, to, reason: null })

describe('a calendar that cannot be read', () => {
  test.each([
    ['an offset for a time zone', { timeZone: '+01:00' }, ['timeZone']],
    ['an unknown time zone', { timeZone: 'Europe/Nowhere' }, ['timeZone']],
    ['a time zone in another spelling', { timeZone: 'europe/berlin' }, ['timeZone']],
    ['no time zone', { timeZone: '' }, ['timeZone']],
    ['a time zone within a date', { timeZone: '2026-01-01T00:00[Europe/Berlin]' }, ['timeZone']],
    ['nothing open', { open: [] }, ['open']],
    ['more than 64 lines', { open: Array.from({ length: 65 }, () => hours('01:00', '02:00')) }, ['open']],
    ['more than 256 exceptions', { except: Array.from({ length: 257 }, () => except('2026-12-18', '2026-12-18')) }, ['except']],
    ['an hour without its zero', { open: [hours('2:00', '03:00')] }, ['open', 0, 'from']],
    ['an hour that no clock shows', { open: [hours('02:00', '25:00')] }, ['open', 0, 'to']],
    ['a minute that no clock shows', { open: [hours('02:60', '03:00')] }, ['open', 0, 'from']],
    ['seconds', { open: [hours('02:00', '03:00:00')] }, ['open', 0, 'to']],
    ['an opening at 24:00', { open: [hours('24:00', '03:00')] }, ['open', 0, 'from']],
    ['no days at all', { open: [hours('01:00', '02:00', null, null)] }, ['open', 0]],
    ['a list of no days', { open: [hours('01:00', '02:00', [], null)] }, ['open', 0, 'days']],
    ['a date that does not exist', { open: [hours('01:00', '02:00', null, { from: '2026-02-30', to: '2026-12-31' })] }, ['open', 0, 'dates', 'from']],
    ['29 February of a common year', { open: [hours('01:00', '02:00', null, { from: '2026-01-01', to: '2026-02-29' })] }, ['open', 0, 'dates', 'to']],
    ['dates backwards', { open: [hours('01:00', '02:00', null, { from: '2026-12-31', to: '2026-12-01' })] }, ['open', 0, 'dates', 'to']],
    ['a year beyond all calendars', { open: [hours('01:00', '02:00', null, { from: '2026-01-01', to: '2100-01-01' })] }, ['open', 0, 'dates', 'to']],
    ['a year before all calendars', { validFrom: '1969-12-31' }, ['validFrom']],
    ['a start that is only a date', { open: [recurring('FREQ=DAILY', '2026-01-03')] }, ['open', 0, 'start']],
    ['a start with an offset', { open: [recurring('FREQ=DAILY', '2026-01-03T01:00Z')] }, ['open', 0, 'start']],
    ['a start at 24:00', { open: [recurring('FREQ=DAILY', '2026-01-03T24:00')] }, ['open', 0, 'start']],
    ['a start that the clocks skip', { open: [recurring('FREQ=DAILY', '2026-03-29T02:30')] }, ['open', 0, 'start']],
    ['an occurrence without length', { open: [recurring('FREQ=DAILY', '2026-01-03T01:00', 0)] }, ['open', 0, 'for']],
    ['an occurrence of more than 31 days', { open: [{ is: 'recurring' as const, rrule: 'FREQ=DAILY', start: '2026-01-03T01:00', for: duration(31 * 86_400_000 + 1) }] }, ['open', 0, 'for']],
    ['an exception backwards', { except: [except('2026-12-18', '2026-12-17')] }, ['except', 0, 'to']],
    ['an exception of no length', { except: [except('2026-12-18T10:00', '2026-12-18T10:00')] }, ['except', 0, 'to']],
    ['an exception that is no date', { except: [except('2026-12-18', '2026-12-19'), except('tomorrow', '2026-12-18')] }, ['except', 1, 'from']],
    ['an exception with an offset', { except: [except('2026-12-18T10:00+01:00', '2026-12-18T11:00')] }, ['except', 0, 'from']],
    ['a validity backwards', { validFrom: '2026-12-18', validUntil: '2026-12-17' }, ['validUntil']],
    ['a validity that is no date', { validUntil: '2026-12-31T23:59:59' }, ['validUntil']],
    ['exceptions that leave nothing', { open: [hours('01:00', '02:00', null, DATES)], except: [except('2026-12-01', '2026-12-31')] }, []],
    ['days that the dates do not hold', { open: [hours('01:00', '02:00', ['mon'], { from: '2026-12-01', to: '2026-12-04' })] }, []],
    ['only hours that the clocks skip', { open: [hours('02:00', '03:00', null, { from: '2026-03-29', to: '2026-03-29' })] }, []],
  ])('[WIN3] %s is refused at its place', (_, definition, path) => {
    expect(faults(definition).map(fault => fault.path)).toEqual([path])
  })

  test('[WIN3] everything that is wrong is told at once', () => {
    expect(faults({ open: [hours('x', 'y'), hours('01:00', '02:00'), recurring('FREQ=X', '2026-01-03T01:00')], except: [except('x', '2026-12-18')], validUntil: 'x' }).map(({ path }) => path.join('.')))
      .toEqual(['open.0.from', 'open.0.to', 'open.2.rrule', 'except.0.from', 'validUntil'])
  })

  test('[WIN3] no text makes it throw', () => {
    const odd = fc.oneof(fc.string(), fc.stringMatching(/^[A-Z0-9=;,+-]{0,40}$/), fc.stringMatching(/^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2})?$/), fc.stringMatching(/^FREQ=(DAILY|MONTHLY|YEARLY);[A-Z]{2,10}=[0-9A-Z,-]{1,6}$/))
    fc.assert(fc.property(odd, odd, odd, (a, b, c) => {
      compiled({ timeZone: a })
      compiled({ open: [hours(a, b, null, { from: b, to: c })], except: [except(a, c)], validFrom: b, validUntil: c })
      compiled({ open: [recurring(a, b)] })
      compiled({ open: [recurring(a, '2026-01-03T01:00')] })
    }), { numRuns: 300 })
  })
})
