// Reviews of emergencies over one store, as two gateways keep them: missed once, locked first, and never given twice.
import { afterEach, expect, test } from 'vitest'
import { type Review, reviewAnchor } from '../../../src/approvals/review.ts'
import { Reviews } from '../../../src/approvals/reviews.ts'
import type { Anchor, Lock } from '../../../src/core/anchor.ts'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { after, duration } from '../../../src/core/time.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { openLog } from '../../../src/runtime/log.ts'
import { openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import type { Applied } from '../../../src/sessions/doing.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import { eventually } from '../../support/redis-server.ts'
import { NOW, policyOf, profile } from '../core/world.ts'
import { SetClock } from '../sessions/world.ts'

const closing: (() => unknown)[] = []
afterEach(async () => { for (const close of closing.splice(0).reverse()) await close() })

const MINUTE = duration(60_000)
const rules = (onMissed: 'alarm' | 'lock'): Policy => policyOf({ ...profile('glass', ['db:write']), approval: { stages: [], within: null, extend: 'approval', autoWhen: null, breakGlass: { reviewWithin: MINUTE, onMissed }, notify: [] } })
const ID = 'elv_1' as ElevationId // a word of the test
const REVIEW: Review = { is: 'review', elevation: ID, session: 'ses_1', profile: 'glass', subject: 'idp|a', barred: ['idp|a'], dueAt: after(NOW, MINUTE), verdict: 'pending', by: '' }

async function keepers(onMissed: 'alarm' | 'lock', count: number) {
  const clock = new SetClock()
  const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  const mirror = new Mirror(store, rules(onMissed), 100)
  const ledger = new Ledger(store, mirror, clock)
  await mirror.start()
  const missed: string[] = []
  const written: string[] = []
  const desk = {
    anchor: async (ref: Parameters<Ledger['applyToAnchor']>[0], news: object, word: object): Promise<Applied<Anchor>> => {
      const applied = await ledger.applyToAnchor(ref, { ...news, ...word, id: newSignalId() } as Parameters<Ledger['applyToAnchor']>[1]) // as intake makes it
      if (applied.facts.length > 0) written.push('review')
      return applied
    },
    lock: async (selector: Parameters<Ledger['applyToLock']>[0], news: object, word: object): Promise<Applied<Lock>> => {
      const applied = await ledger.applyToLock(selector, { ...news, ...word, id: newSignalId() } as Parameters<Ledger['applyToLock']>[1]) // likewise
      if (applied.facts.length > 0) written.push(applied.record?.state === 'set' ? 'lock' : 'lifted')
      return applied
    },
  }
  const tell = (verdict: Review['verdict'], by = '') => desk.anchor(reviewAnchor(ID), { kind: 'anchor.told', matter: { ...REVIEW, verdict, by } }, { by, note: '' })
  const made = Array.from({ length: count }, () => new Reviews({ store, desk, clock, log: openLog('silent'), policy: () => mirror.policy, missed: (review, locked) => void missed.push(`${review.elevation} ${locked}`) }))
  mirror.onAnnounced = ({ record }) => made.forEach(each => each.heard(record))
  closing.push(() => store.close(), ...made.map(each => () => each.stop()))
  return { clock, store, desk, made, missed, written, tell }
}

const verdictOf = async ({ store }: Awaited<ReturnType<typeof keepers>>): Promise<string | null> => {
  const record = await store.load({ kind: 'review', name: ID })
  return record?.record === 'anchor' && record.matter?.is === 'review' ? record.matter.verdict : null
}

test('[APR7] two keepers miss it once, and the lock is there before it is told', async () => {
  const world = await keepers('lock', 2)
  await world.tell('pending')
  world.clock.pass(60_000)
  await Promise.all(world.made.map(each => each.start()))
  expect([await verdictOf(world), world.missed, world.written]).toEqual(['missed', ['elv_1 true'], ['review', 'lock', 'review']])
  await Promise.all(world.made.map(each => each.start()))
  expect(world.missed).toHaveLength(1)
})

test('[APR7] a moment before it is due nothing is missed; its own timer wakes it', async () => {
  const world = await keepers('alarm', 1)
  await world.tell('pending')
  world.clock.pass(59_990)
  await world.made[0]?.start()
  expect(world.missed).toEqual([])
  world.clock.pass(10)
  await eventually('it was missed', 2_000, async () => (world.missed.length > 0 ? true : null))
  expect(world.missed).toEqual(['elv_1 false'])
})

test('[APR7] one that was reviewed is not missed, and what is given stays', async () => {
  const world = await keepers('lock', 1)
  await world.tell('pending')
  expect((await world.tell('accepted', 'ops|ann')).rejected).toBeNull()
  for (const verdict of ['accepted', 'rejected', 'missed'] as const) expect((await world.tell(verdict, 'ops|bob')).rejected?.rejected).toBe('conflict')
  expect((await world.tell('pending')).facts).toEqual([])
  world.clock.pass(60_000)
  await world.made[0]?.start()
  expect([await verdictOf(world), world.missed, world.written]).toEqual(['accepted', [], ['review', 'review']])
})

test('[APR7] a review that comes while it is being missed takes the lock back', async () => {
  const world = await keepers('lock', 1)
  await world.tell('pending')
  world.clock.pass(60_000)
  const lock = world.desk.lock
  world.desk.lock = async (...words) => {
    if (world.written.length === 1) await world.tell('accepted', 'ops|ann')
    return lock(...words)
  }
  await world.made[0]?.start()
  expect([await verdictOf(world), world.missed, world.written]).toEqual(['accepted', [], ['review', 'review', 'lock', 'lifted']])
})

test('[APR7] nothing is known to wait before it was read: until then nobody gets another emergency', async () => {
  const world = await keepers('alarm', 1)
  await world.tell('pending')
  const [keeper] = world.made
  expect(keeper?.unreviewed('idp|a')).toBe(Infinity)
  await keeper?.start()
  expect([keeper?.unreviewed('idp|a'), keeper?.unreviewed('idp|b')]).toEqual([1, 0])
  world.clock.pass(60_000)
  await eventually('it was missed', 2_000, async () => { await keeper?.start(); return world.missed.length > 0 ? true : null })
  expect(keeper?.unreviewed('idp|a')).toBe(1)
  await world.tell('rejected', 'ops|ann')
  expect(keeper?.unreviewed('idp|a')).toBe(0)
})
