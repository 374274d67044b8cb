import { describe, expect, test } from 'vitest'
import { hours, occurrences } from './fixture.ts'

const except = (from: string, to: string) => ({ from, to, reason: 'freeze' })
const DAYTIME = { timeZone: 'Europe/Berlin', open: [hours('10:00', '16:00', ['mon', 'tue', 'wed', 'thu'])] }

describe('exceptions', () => {
  test('[WIN2] whole dates are left out, the last one too', () => {
    expect(occurrences({ ...DAYTIME, except: [except('2026-12-18', '2027-01-06')] }, '2026-12-17T12:00Z', 2)).toEqual(['2026-12-17T09:00Z/2026-12-17T15:00Z', '2027-01-07T09:00Z/2027-01-07T15:00Z'])
  })

  test.each([
    ['in the middle make two of one', ['2026-11-23T12:00', '2026-11-23T13:00'], ['2026-11-23T09:00Z/2026-11-23T11:00Z', '2026-11-23T12:00Z/2026-11-23T15:00Z']],
    ['at the beginning move the opening', ['2026-11-23T09:00', '2026-11-23T11:00'], ['2026-11-23T10:00Z/2026-11-23T15:00Z', '2026-11-24T09:00Z/2026-11-24T15:00Z']],
    ['at the end move the closing', ['2026-11-23T15:00', '2026-11-24'], ['2026-11-23T09:00Z/2026-11-23T14:00Z', '2026-11-25T09:00Z/2026-11-25T15:00Z']],
    ['exactly around leave nothing of it', ['2026-11-23T10:00', '2026-11-23T16:00'], ['2026-11-24T09:00Z/2026-11-24T15:00Z', '2026-11-25T09:00Z/2026-11-25T15:00Z']],
    ['that only touch leave it', ['2026-11-23T16:00', '2026-11-24T10:00'], ['2026-11-23T09:00Z/2026-11-23T15:00Z', '2026-11-24T09:00Z/2026-11-24T15:00Z']],
  ])('[WIN2] exceptions %s', (_, [from = '', to = ''], expected) => {
    expect(occurrences({ ...DAYTIME, except: [except(from, to)] }, '2026-11-22T12:00Z', 2)).toEqual(expected)
  })

  test('[WIN2] several overlap, in any order', () => {
    const several = [except('2026-11-24', '2026-11-26'), except('2026-11-23T11:00', '2026-11-23T12:00'), except('2026-11-23T11:30', '2026-11-23T14:00'), except('2026-11-23T11:45', '2026-11-23T11:50')]
    expect(occurrences({ ...DAYTIME, except: several }, '2026-11-22T12:00Z', 3)).toEqual(['2026-11-23T09:00Z/2026-11-23T10:00Z', '2026-11-23T13:00Z/2026-11-23T15:00Z', '2026-11-30T09:00Z/2026-11-30T15:00Z'])
  })

  test('[WIN2] hours that come twice are left out both times', () => {
    expect(occurrences({ timeZone: 'Europe/Berlin', open: [hours('00:00', '06:00')], except: [except('2026-10-25T02:00', '2026-10-25T02:30')] }, '2026-10-24T12:00Z', 2)).toEqual(['2026-10-24T22:00Z/2026-10-25T00:00Z', '2026-10-25T01:30Z/2026-10-25T05:00Z'])
  })

  test('[WIN2] hours that do not come leave nothing out', () => {
    expect(occurrences({ timeZone: 'Europe/Berlin', open: [hours('00:00', '06:00')], except: [except('2026-03-29T02:00', '2026-03-29T02:30')] }, '2026-03-28T12:00Z', 1)).toEqual(['2026-03-28T23:00Z/2026-03-29T04:00Z'])
  })

  test('[WIN2] something open for years is cut where it is closed, and told from there on', () => {
    const always = { timeZone: 'Europe/Berlin', open: [hours('00:00', '24:00')], except: [except('2026-12-18', '2027-01-06'), except('2027-06-01T12:00', '2027-06-01T13:00')] }
    expect(occurrences(always, '2026-12-20T00:00Z', 2)).toEqual(['2027-01-06T23:00Z/2027-06-01T10:00Z', '2027-06-01T11:00Z/2099-12-31T23:00Z'])
  })
})

describe('validity', () => {
  test('[WIN2] nothing is open before it begins or after it ends, to the minute of the place', () => {
    const contract = { timeZone: 'America/New_York', open: [hours('00:00', '24:00')], validFrom: '2026-02-01', validUntil: '2026-12-31T23:59' }
    expect(occurrences(contract, '2020-01-01T00:00Z', 9)).toEqual(['2026-02-01T05:00Z/2027-01-01T04:59Z'])
    expect(occurrences(contract, '2027-01-01T04:59Z', 9)).toEqual([])
  })

  test('[WIN2] a last date is a whole day', () => {
    expect(occurrences({ ...DAYTIME, validUntil: '2026-11-24' }, '2026-11-22T12:00Z', 9)).toEqual(['2026-11-23T09:00Z/2026-11-23T15:00Z', '2026-11-24T09:00Z/2026-11-24T15:00Z'])
  })

  test('[WIN2] a validity that begins within hours cuts them', () => {
    expect(occurrences({ timeZone: 'UTC', open: [hours('22:00', '06:00')], validFrom: '2026-11-24', validUntil: '2026-11-24T23:00' }, '2026-01-01T00:00Z', 9)).toEqual(['2026-11-24T00:00Z/2026-11-24T06:00Z', '2026-11-24T22:00Z/2026-11-24T23:00Z'])
  })
})
