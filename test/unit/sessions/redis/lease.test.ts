// The lease: counted from the sending, over after a lapse until a probation is, whatever the heartbeats' order and delay. SPEC: STO15, DEC8
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Lease } from '../../../../src/sessions/redis/lease.ts'

const [LENGTH, PROBATION] = [1_000, 1_500]
const good = (sentAt: number, now = sentAt) => ({ sentAt, now, settledAnew: false })
const leased = (...grants: readonly Parameters<Lease['grant']>[0][]): Lease => {
  const lease = new Lease(LENGTH, PROBATION)
  for (const grant of grants) lease.grant(grant)
  return lease
}

test('[STO15] nothing is confirmed before the first heartbeat, which needs no probation', () => {
  expect(leased().confirmedUntil).toBe(-Infinity)
  expect(leased(good(50, 90)).confirmedUntil).toBe(1_050)
})

test('[STO15] it counts from the moment of sending, not of the answer, and an older answer takes nothing back', () => {
  expect(leased(good(0, 900)).confirmedUntil).toBe(1_000)
  expect(leased(good(500, 510), good(400, 700)).confirmedUntil).toBe(1_500)
})

test('[STO15, DEC8] after a lapse it counts again after a probation without another lapse', () => {
  const lease = leased(good(0), good(1_000))
  expect([lease.lapses, lease.confirmedUntil]).toEqual([1, 1_000])
  for (let at = 1_200; at < 2_500; at += 200) lease.grant(good(at))
  expect([lease.lapses, lease.confirmedUntil]).toEqual([1, 1_000])
  lease.grant(good(2_500))
  expect(lease.confirmedUntil).toBe(3_500)
})

test('[STO15] another lapse begins the probation anew', () => {
  const lease = leased(good(0), good(1_000), good(2_000), good(2_600))
  expect([lease.lapses, lease.confirmedUntil]).toEqual([2, 1_000])
  for (const at of [3_400, 3_499]) lease.grant(good(at))
  expect(lease.confirmedUntil).toBe(1_000)
  lease.grant(good(3_500))
  expect(lease.confirmedUntil).toBe(4_500)
})

test('[STO15] a new epoch that all have joined needs none, and ends one that runs', () => {
  expect(leased(good(0), { sentAt: 5_000, now: 5_010, settledAnew: true }).confirmedUntil).toBe(6_000)
  expect(leased(good(0), good(1_000), { sentAt: 1_200, now: 1_210, settledAnew: true }, good(1_400)).confirmedUntil).toBe(2_400)
})

test('[STO15, STO16] what was suspended is not confirmed by older proof, and by newer one only in a new epoch or after a probation', () => {
  const lease = leased(good(0))
  lease.suspend()
  expect(lease.confirmedUntil).toBe(-Infinity)
  lease.grant(good(200))
  expect([lease.confirmedUntil, lease.lapses]).toEqual([-Infinity, 0])
  lease.grant(good(1_000))
  lease.grant(good(1_700))
  expect(lease.confirmedUntil).toBe(2_700)
  lease.suspend()
  lease.grant({ sentAt: 1_800, now: 1_810, settledAnew: true })
  expect(lease.confirmedUntil).toBe(2_800)
})

test('[STO15, DEC8] of any heartbeats: never beyond the newest sending and the length, and after a gap nothing for the probation', () => {
  const beats = fc.array(fc.record({ pause: fc.integer({ min: 1, max: 3_000 }), took: fc.nat(1_500) }), { maxLength: 60 })
  fc.assert(fc.property(beats, all => {
    const lease = new Lease(LENGTH, PROBATION)
    let [now, newest, trustedFrom, before] = [0, -Infinity, 0, -Infinity]
    for (const { pause, took } of all) {
      const sentAt = now + pause
      now = sentAt + took
      if (newest > -Infinity && now >= newest + LENGTH) trustedFrom = now + PROBATION
      newest = sentAt
      lease.grant(good(sentAt, now))
      expect(lease.confirmedUntil).toBe(now < trustedFrom ? before : sentAt + LENGTH)
      before = lease.confirmedUntil
    }
  }))
})
