// Warnings before an end: once for each end, at the time the profile says.
import { expect, test } from 'vitest'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { Effective } from '../../../src/core/effective.ts'
import { duration, FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { Expiry } from '../../../src/proxy/self-service/expiring.ts'
import { elevation, profile } from '../core/world.ts'

const ID = 'elv_a' as ElevationId // of this file
const profiles = new Map([['fix', { ...profile('fix', []), warn: duration(60_000) }], ['quiet', { ...profile('quiet', []), warn: null }]])
const MINUTE = 60_000

const carrying = (until: Instant, { name = 'fix', ticket = false, footing = until }: { readonly name?: string; readonly ticket?: boolean; readonly footing?: Instant } = {}): Pick<Effective, 'carriers' | 'frozen'> => ({
  carriers: [{ elevation: elevation(ID, { profile: name, ticket: ticket ? { kind: 'ticket', name: 'jira//T-1' } : null, state: { is: 'active', since: instant(0), until } }), carries: [], until: footing, schedules: [] }], frozen: [],
})

test('[ELV16] told once, so long before the end as the profile says; an extension has a warning of its own', () => {
  const expiry = new Expiry()
  const at = (now: number, until: number) => expiry.due(carrying(instant(until)), { profiles }, instant(now))
  expect(at(0, 10 * MINUTE)).toEqual({ told: [], next: 9 * MINUTE })
  const { told, next } = at(9 * MINUTE, 10 * MINUTE)
  expect([told, next]).toEqual([[{ elevation: ID, profile: 'fix', until: new Date(10 * MINUTE).toISOString(), secondsLeft: 60 }], FOREVER])
  expect(at(9.5 * MINUTE, 10 * MINUTE).told).toEqual([])
  expect(at(9.6 * MINUTE, 20 * MINUTE)).toEqual({ told: [], next: 19 * MINUTE })
  expect(at(19.5 * MINUTE, 20 * MINUTE).told).toMatchObject([{ secondsLeft: 30 }])
})

test('[ELV16] a window that closes earlier is an end; how long a ticket counts without news is none; a profile may warn of nothing', () => {
  const of = (plan: Parameters<typeof carrying>[1]) => new Expiry().due(carrying(instant(100 * MINUTE), plan), { profiles }, instant(9.5 * MINUTE))
  expect(of({ footing: instant(10 * MINUTE) }).told).toMatchObject([{ secondsLeft: 30 }])
  expect(of({ footing: instant(10 * MINUTE), ticket: true })).toEqual({ told: [], next: 99 * MINUTE })
  expect(of({ name: 'quiet', footing: instant(10 * MINUTE) })).toEqual({ told: [], next: FOREVER })
})

test('[ELV16] what was told of is forgotten with it', () => {
  const expiry = new Expiry()
  const now = instant(9.5 * MINUTE)
  expect(expiry.due(carrying(instant(10 * MINUTE)), { profiles }, now).told).toHaveLength(1)
  expect(expiry.due({ carriers: [], frozen: [] }, { profiles }, now).told).toHaveLength(0)
  expect(expiry.due(carrying(instant(10 * MINUTE)), { profiles }, now).told).toHaveLength(1)
})
