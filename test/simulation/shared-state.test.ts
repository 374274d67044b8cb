// Gateways that share a store, under whatever may happen to them, their network and their servers in any order: the three theorems of the protocol
// hold at every moment. Real stores, mirrors and ledgers; a reference of the server; simulated wires and time. `npm run soak` goes on for longer.
// SPEC: STO6, STO14-STO16, ENF9
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { ElevationId } from '../../src/core/elevation.ts'
import type { SessionId } from '../../src/core/session.ts'
import { openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import { SetClock } from '../unit/sessions/world.ts'
import { play, schedules, type Schedule, told, ways } from './shared-state-deeds.ts'
import { Desk } from './shared-state-member.ts'
import type { Flaw } from './shared-state-model.ts'
import { Right } from './shared-state-rights.ts'
import { elevateAt, endAt, FENCE, KEYS, openAt, reachedBy, World } from './shared-state-world.ts'
import { SimulatedTime } from './simulated-time.ts'

/** `SEED=… RUNS=…` explores elsewhere, or repeats what a soak has found. */
const SEED = Number(process.env['SEED'] ?? 41)
const RUNS = Number(process.env['RUNS'] ?? 200)
const LIMIT = 120_000

test('[STO14, STO15, STO16, STORE-41] random schedules of ends, grants, lost, doubled and late pushes, cuts, stops, crashes and failovers break none of the three theorems', async () => {
  const seen = new Map<string, number>()
  await fc.assert(fc.asyncProperty(schedules, async schedule => {
    for (const [what, times] of await play(schedule)) seen.set(what, (seen.get(what) ?? 0) + times)
  }), { seed: SEED, numRuns: RUNS })
  for (const what of ['acknowledged', 'expired', 'settled', 'promoted', 'restarted', 'member lost', 'terminate', 'elevation', 'ticket', 'lock']) expect(seen.get(what) ?? 0, what).toBeGreaterThan(RUNS / 10)
}, LIMIT)

const flaws: readonly (readonly [Flaw, RegExp])[] = [['forgets what was missed', /Theorem [12]/], ['settles at once', /Theorem [123]/], ['takes numbers for history', /Theorem [123]|has/]]
test.each(flaws)('[STORE-41] they find a server that %s', async (flaw, says) => {
  const { failed, errorInstance, counterexample } = await fc.check(fc.asyncProperty(schedules, async schedule => { await play(schedule, flaw) }), { seed: SEED, numRuns: RUNS, endOnFailure: true })
  expect({ failed, says: String(errorInstance) }).toEqual({ failed: true, says: expect.stringMatching(says) })
  const [found] = (counterexample ?? []) as readonly Schedule[] // of one argument
  expect(found === undefined ? '' : told(found)).toMatch(/^(single|sentinel)\n/)
}, LIMIT)

const fresh: readonly (readonly [string, Flaw | null, string])[] = [['allows nothing that ended', null, 'nothing'], ['would, if that answered in the epoch before its own', 'answers in the epoch before its own', 'Theorem 2']]
test.each(fresh)('[STO14, STO16, STORE-13, STORE-41] a gateway that hears the old master and reads from the promoted one, to which nobody wrote yet, %s', async (_, flaw, says) => {
  const found = await SimulatedTime.run(async time => {
    const world = new World(time, 'sentinel', flaw)
    await world.start()
    world.end(0, 'elevation', 0) // has its connection for ends from now on
    world.join() // knows no session yet, and so has to read
    await world.pass(300)
    const [right] = world.rights
    if (right === undefined) throw new Error('nothing was given')
    world.promote(0, FENCE.sentinel, 0, 0)
    world.end(0, 'terminate', 0) // the old master takes it, and every member acknowledges it
    await world.pass(100)
    expect([right.acknowledged, world.member(3)?.desk.isConfirmed]).toEqual([true, true])
    for (const cable of [...(world.member(3)?.cables ?? [])].slice(1)) cable.hangUp() // all but the one it hears on
    await world.pass(10)
    world.request(3, right)
    try {
      await world.pass(400)
      world.mend()
      await world.pass(11_000)
      world.auditor.allIsWell()
      return 'nothing'
    } catch (error) {
      return String(error)
    }
  })
  expect(found).toContain(says)
})

test('[STO15, STO16, STORE-24, STORE-41] a master that stood still from the beginning of its epoch until the window of its successor was over gives no lease without a probation', async () => {
  await SimulatedTime.run(async time => {
    const world = new World(time, 'sentinel', null)
    await world.start()
    world.restart(0, 1)
    await world.pass(26)
    world.stop(world.network.newest, 5_000)
    await world.pass(300)
    world.promote(0, 0, 0, 0)
    const left = world.member(0)
    if (left === null) throw new Error('nobody is there')
    world.cut(left, [world.network.newest])
    await world.pass(6_000)
    world.end(1, 'terminate', 0)
    await world.pass(300)
    expect(world.auditor.seen.get('acknowledged')).toBe(1)
    world.mend()
    await world.pass(11_000)
    world.auditor.allIsWell()
  })
})

test('[STO6, ENF9, STORE-41] with the store of a single gateway nothing is decided on the old state after an acknowledgement, however many ends come at once', async () => {
  const ending = fc.tuple(ways, fc.nat(7), fc.nat(6))
  await fc.assert(fc.asyncProperty(fc.array(fc.array(ending, { minLength: 1, maxLength: 4 }), { maxLength: 6 }), async batches => {
    const clock = new SetClock()
    const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
    const desk = new Desk(store, clock, async () => { for (let i = 0; i < 3; i++) await nextTurn() })
    await desk.mirror.start()
    const rights = KEYS.flatMap((key, i) => [new Right(key, `ses_${i}` as SessionId, null), new Right(key, `ses_${i}` as SessionId, `elv_${i}` as ElevationId)]) // test words
    for (const right of rights) await (right.elevation === null ? openAt(desk, right.key, right.life, 0) : elevateAt(desk, right, right.elevation))
    for (const right of rights) {
      right.given = true
      await desk.request(right)
    }
    expect(desk.exchanges.size).toBe(rights.length)
    const end = async ([how, pick, turns]: readonly [Parameters<typeof endAt>[1], number, number]): Promise<void> => {
      const right = rights[how === 'elevation' ? pick | 1 : pick] // every other one is an elevation
      if (right === undefined) return
      for (let i = 0; i < turns; i++) await nextTurn()
      const { position } = await endAt(desk, how, right)
      if (position === null) return
      await store.enforced(position)
      for (const each of reachedBy(how, right, rights)) {
        expect({ right: each.name, allowed: desk.allows(each), open: desk.exchanges.has(each) }).toEqual({ right: each.name, allowed: false, open: false })
        each.endedAt = clock.now()
      }
    }
    for (const batch of batches) {
      await Promise.all(batch.map(end))
      expect(rights.filter(right => right.endedAt !== null && desk.allows(right))).toEqual([])
    }
    await desk.ledger.settled()
    await store.close()
  }), { seed: SEED, numRuns: Math.ceil(RUNS / 3) })
}, LIMIT)
