// The examples are those of RFC 5545 §3.8.5.3, New York, at nine in the morning; where the RFC begins with a date that its rule leaves out, the start
// here is the first that it names.
import { describe, expect, test } from 'vitest'
import { faults, occurrences, recurring } from './fixture.ts'

/** `1997 9: 2,3; 10: 1` as dates. */
const dates = (text: string): readonly string[] => text.split('/').flatMap(year => {
  const [, number = '', months = ''] = /^\s*(\d{4}) (.*)$/.exec(year) ?? []
  return months.split(';').flatMap(month => {
    const [name = '', days = ''] = month.split(':')
    return days.split(',').map(day => `${number}-${name.trim().padStart(2, '0')}-${day.trim().padStart(2, '0')}`)
  })
})

const CLOCK = new Intl.DateTimeFormat('sv-SE', { timeZone: 'America/New_York', dateStyle: 'short', timeStyle: 'short' })

const local = (occurrence: string): string => CLOCK.format(new Date(occurrence.split('/')[0] ?? ''))

describe('rules of RFC 5545', () => {
  test.each([
    ['FREQ=DAILY;COUNT=10', '1997-09-02', '1997 9: 2,3,4,5,6,7,8,9,10,11', 'ends'],
    ['FREQ=DAILY;INTERVAL=2', '1997-10-22', '1997 10: 22,24,26,28,30; 11: 1', 'goes on'],
    ['FREQ=DAILY;INTERVAL=10;COUNT=5', '1997-09-02', '1997 9: 2,12,22; 10: 2,12', 'ends'],
    ['FREQ=DAILY;UNTIL=19970905T130000Z', '1997-09-02', '1997 9: 2,3,4,5', 'ends'],
    ['FREQ=DAILY;UNTIL=19970905T125959Z', '1997-09-02', '1997 9: 2,3,4', 'ends'],
    ['FREQ=DAILY;UNTIL=19980102T140000Z;BYMONTH=1', '1997-01-30', '1997 1: 30,31 / 1998 1: 1,2', 'ends'],
    ['FREQ=YEARLY;BYMONTH=1;BYDAY=SU,MO,TU,WE,TH,FR,SA;UNTIL=19980102T140000Z', '1997-01-30', '1997 1: 30,31 / 1998 1: 1,2', 'ends'],
    ['FREQ=WEEKLY;COUNT=10', '1997-09-02', '1997 9: 2,9,16,23,30; 10: 7,14,21,28; 11: 4', 'ends'],
    ['FREQ=WEEKLY;INTERVAL=2;WKST=SU', '1997-09-02', '1997 9: 2,16,30; 10: 14,28; 11: 11,25; 12: 9,23 / 1998 1: 6,20; 2: 3,17', 'goes on'],
    ['FREQ=WEEKLY;COUNT=10;WKST=SU;BYDAY=TU,TH', '1997-09-02', '1997 9: 2,4,9,11,16,18,23,25,30; 10: 2', 'ends'],
    ['FREQ=WEEKLY;INTERVAL=2;UNTIL=19971224T000000Z;WKST=SU;BYDAY=MO,WE,FR', '1997-09-01', '1997 9: 1,3,5,15,17,19,29; 10: 1,3,13,15,17,27,29,31; 11: 10,12,14,24,26,28; 12: 8,10,12,22', 'ends'],
    ['FREQ=WEEKLY;INTERVAL=2;COUNT=8;WKST=SU;BYDAY=TU,TH', '1997-09-02', '1997 9: 2,4,16,18,30; 10: 2,14,16', 'ends'],
    ['FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=MO', '1997-08-05', '1997 8: 5,10,19,24', 'ends'],
    ['FREQ=WEEKLY;INTERVAL=2;COUNT=4;BYDAY=TU,SU;WKST=SU', '1997-08-05', '1997 8: 5,17,19,31', 'ends'],
    ['FREQ=MONTHLY;COUNT=10;BYDAY=1FR', '1997-09-05', '1997 9: 5; 10: 3; 11: 7; 12: 5 / 1998 1: 2; 2: 6; 3: 6; 4: 3; 5: 1; 6: 5', 'ends'],
    ['FREQ=MONTHLY;INTERVAL=2;COUNT=10;BYDAY=1SU,-1SU', '1997-09-07', '1997 9: 7,28; 11: 2,30 / 1998 1: 4,25; 3: 1,29; 5: 3,31', 'ends'],
    ['FREQ=MONTHLY;COUNT=6;BYDAY=-2MO', '1997-09-22', '1997 9: 22; 10: 20; 11: 17; 12: 22 / 1998 1: 19; 2: 16', 'ends'],
    ['FREQ=MONTHLY;BYMONTHDAY=-3', '1997-09-28', '1997 9: 28; 10: 29; 11: 28; 12: 29 / 1998 1: 29; 2: 26', 'goes on'],
    ['FREQ=MONTHLY;COUNT=10;BYMONTHDAY=2,15', '1997-09-02', '1997 9: 2,15; 10: 2,15; 11: 2,15; 12: 2,15 / 1998 1: 2,15', 'ends'],
    ['FREQ=MONTHLY;COUNT=10;BYMONTHDAY=1,-1', '1997-09-30', '1997 9: 30; 10: 1,31; 11: 1,30; 12: 1,31 / 1998 1: 1,31; 2: 1', 'ends'],
    ['FREQ=MONTHLY;INTERVAL=18;COUNT=10;BYMONTHDAY=10,11,12,13,14,15', '1997-09-10', '1997 9: 10,11,12,13,14,15 / 1999 3: 10,11,12,13', 'ends'],
    ['FREQ=MONTHLY;INTERVAL=2;BYDAY=TU', '1997-09-02', '1997 9: 2,9,16,23,30; 11: 4,11,18,25 / 1998 1: 6,13,20,27', 'goes on'],
    ['FREQ=MONTHLY;BYDAY=FR;BYMONTHDAY=13', '1998-02-13', '1998 2: 13; 3: 13; 11: 13 / 1999 8: 13 / 2000 10: 13', 'goes on'],
    ['FREQ=MONTHLY;BYDAY=SA;BYMONTHDAY=7,8,9,10,11,12,13', '1997-09-13', '1997 9: 13; 10: 11; 11: 8; 12: 13 / 1998 1: 10; 2: 7; 3: 7', 'goes on'],
    ['FREQ=MONTHLY;BYMONTHDAY=15,30;COUNT=5', '2007-01-15', '2007 1: 15,30; 2: 15; 3: 15,30', 'ends'],
    ['FREQ=MONTHLY;COUNT=3', '2007-01-31', '2007 1: 31; 3: 31; 5: 31', 'ends'],
    ['FREQ=YEARLY;COUNT=10;BYMONTH=6,7', '1997-06-10', '1997 6: 10; 7: 10 / 1998 6: 10; 7: 10 / 1999 6: 10; 7: 10 / 2000 6: 10; 7: 10 / 2001 6: 10; 7: 10', 'ends'],
    ['FREQ=YEARLY;INTERVAL=2;COUNT=10;BYMONTH=1,2,3', '1997-03-10', '1997 3: 10 / 1999 1: 10; 2: 10; 3: 10 / 2001 1: 10; 2: 10; 3: 10 / 2003 1: 10; 2: 10; 3: 10', 'ends'],
    ['FREQ=YEARLY;BYDAY=20MO', '1997-05-19', '1997 5: 19 / 1998 5: 18 / 1999 5: 17', 'goes on'],
    ['FREQ=YEARLY;BYDAY=-1MO;COUNT=2', '1997-12-29', '1997 12: 29 / 1998 12: 28', 'ends'],
    ['FREQ=YEARLY;BYMONTH=3;BYDAY=TH', '1997-03-13', '1997 3: 13,20,27 / 1998 3: 5,12,19,26 / 1999 3: 4,11,18,25', 'goes on'],
    ['FREQ=YEARLY;BYMONTH=11;BYDAY=4TH;COUNT=3', '1997-11-27', '1997 11: 27 / 1998 11: 26 / 1999 11: 25', 'ends'],
    ['FREQ=YEARLY;INTERVAL=4;BYMONTH=11;BYDAY=TU;BYMONTHDAY=2,3,4,5,6,7,8', '1996-11-05', '1996 11: 5 / 2000 11: 7 / 2004 11: 2', 'goes on'],
    ['FREQ=YEARLY;COUNT=3', '2024-02-29', '2024 2: 29 / 2028 2: 29 / 2032 2: 29', 'ends'],
  ])('[WIN1] %s from %s: %s, and %s', (rule, start, expected, end) => {
    const wanted = dates(expected)
    const found = occurrences({ timeZone: 'America/New_York', open: [recurring(rule, `${start}T09:00`)] }, '1970-01-01T00:00Z', wanted.length + 1)
    expect(found.slice(0, wanted.length).map(local)).toEqual(wanted.map(date => `${date} 09:00`))
    expect(found.length > wanted.length ? 'goes on' : 'ends').toBe(end)
  })

  test('[WIN1] an occurrence that would begin in time the clocks skip is none, and is not counted', () => {
    expect(occurrences({ open: [recurring('FREQ=DAILY;COUNT=3', '2026-03-28T02:30')] }, '2026-01-01T00:00Z', 9)).toEqual(['2026-03-28T01:30Z/2026-03-28T02:00Z', '2026-03-30T00:30Z/2026-03-30T01:00Z', '2026-03-31T00:30Z/2026-03-31T01:00Z'])
  })

  test('[WIN1] one that begins in time the clocks show twice begins the first time, and lasts as long as any', () => {
    expect(occurrences({ open: [recurring('FREQ=DAILY', '2026-10-24T02:30', 120)] }, '2026-10-24T12:00Z', 2)).toEqual(['2026-10-25T00:30Z/2026-10-25T02:30Z', '2026-10-26T01:30Z/2026-10-26T03:30Z'])
  })

  test.each([
    ['FREQ=HOURLY', 'FREQ expects DAILY, WEEKLY, MONTHLY, YEARLY'],
    ['INTERVAL=2', 'a rule needs FREQ'],
    ['FREQ=DAILY;BYSETPOS=1', 'BYSETPOS is not supported'],
    ['FREQ=DAILY;BYHOUR=1', 'BYHOUR is not supported'],
    ['FREQ=YEARLY;BYWEEKNO=1', 'BYWEEKNO is not supported'],
    ['FREQ=YEARLY;BYYEARDAY=1', 'BYYEARDAY is not supported'],
    ['FREQ=DAILY;FREQ=WEEKLY', 'FREQ is there twice'],
    ['RRULE:FREQ=DAILY', 'is no part of a rule'],
    ['FREQ=daily', 'is no part of a rule'],
    ['FREQ=DAILY;', 'is no part of a rule'],
    ['', 'is no part of a rule'],
    ['FREQ=DAILY;INTERVAL=0', 'INTERVAL expects'],
    ['FREQ=DAILY;INTERVAL=1001', 'INTERVAL expects'],
    ['FREQ=DAILY;COUNT=0', 'COUNT expects'],
    ['FREQ=DAILY;COUNT=10001', 'COUNT expects'],
    ['FREQ=DAILY;COUNT=2;UNTIL=20270101T000000Z', 'COUNT and UNTIL exclude each other'],
    ['FREQ=DAILY;UNTIL=20270101', 'UNTIL expects a time in UTC'],
    ['FREQ=DAILY;UNTIL=20270101T000000', 'UNTIL expects a time in UTC'],
    ['FREQ=DAILY;UNTIL=20270230T000000Z', 'UNTIL expects a time in UTC'],
    ['FREQ=WEEKLY;BYDAY=1SA', 'BYDAY with a number has no meaning with FREQ=WEEKLY'],
    ['FREQ=DAILY;BYDAY=-1SA', 'BYDAY with a number has no meaning with FREQ=DAILY'],
    ['FREQ=MONTHLY;BYDAY=6SA', 'no more than 5'],
    ['FREQ=MONTHLY;BYDAY=0SA', 'BYDAY expects'],
    ['FREQ=MONTHLY;BYDAY=SAT', 'BYDAY expects'],
    ['FREQ=MONTHLY;BYDAY=1SA,', 'BYDAY expects'],
    ['FREQ=YEARLY;BYDAY=54SA', 'BYDAY expects'],
    ['FREQ=MONTHLY;BYDAY=1SA;BYMONTHDAY=3', 'BYDAY with a number is not supported beside BYMONTHDAY'],
    ['FREQ=WEEKLY;BYMONTHDAY=3', 'BYMONTHDAY has no meaning with FREQ=WEEKLY'],
    ['FREQ=MONTHLY;BYMONTHDAY=0', 'BYMONTHDAY expects'],
    ['FREQ=MONTHLY;BYMONTHDAY=32', 'BYMONTHDAY expects'],
    ['FREQ=YEARLY;BYMONTH=13', 'BYMONTH expects'],
    ['FREQ=YEARLY;BYMONTH=-1', 'BYMONTH expects'],
    ['FREQ=WEEKLY;WKST=XX', 'WKST expects'],
    ['FREQ=WEEKLY;BYDAY=SU', 'the rule does not fall on the day of its start'],
  ])('[WIN3] the rule %j is refused: %s', (rule, message) => {
    const found = faults({ open: [recurring(rule, '2026-01-03T01:00')] })
    expect(found.map(fault => fault.message)).toEqual(expect.arrayContaining([expect.stringContaining(message)]))
    expect(found.every(({ path }) => JSON.stringify(path) === '["open",0,"rrule"]')).toBe(true)
  })
})
