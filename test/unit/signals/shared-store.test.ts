// What an answer adds where gateways share a store: which routes may follow later, and until when others may believe what they know.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Policy } from '../../../src/core/policy.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import type { Route } from '../../../src/core/route.ts'
import { duration } from '../../../src/core/time.ts'
import { StoreFault } from '../../../src/sessions/store-fault.ts'
import { Intake, type Word } from '../../../src/signals/intake.ts'
import { PLAIN_ROUTE } from '../../support/plain.ts'
import { keyOf, POLICY, World } from '../sessions/world.ts'

const SAID: Word = { by: 'operator', note: '', id: null }
const LEASE = duration(1_000)
const routeAt = (name: string, staleness: number): Route => ({
  name, host: { is: 'any' }, path: pathPattern(`/${name}/**`), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(staleness), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE, rules: [],
})
const policyOf = (...routes: readonly Route[]): Policy => ({ ...POLICY, routes })

let world: World
beforeEach(async () => {
  world = await World.start(policyOf(routeAt('strict', 0), routeAt('lenient', 5_000)))
  await world.opened()
})
afterEach(() => world.close())

const intakeOf = (shared: boolean): Intake => new Intake(world.ledger, world.store, world.clock, () => undefined, shared ? { lease: LEASE, policy: () => world.mirror.policy } : null)
const freeze = (intake: Intake) => intake.session(keyOf('a'), { kind: 'session.frozen', until: null }, SAID)

test('[ADM3, DEC8] an answer names the routes of the running policy on which old knowledge may stand longer, and how long', async () => {
  const intake = intakeOf(true)
  expect(await freeze(intake)).toMatchObject({ laterOn: [{ route: 'lenient', within: 6_000 }], othersFailClosedAt: null, assumed: null })
  await world.mirror.replacePolicy(policyOf(routeAt('strict', 0), routeAt('other', 1), routeAt('more', 60_000)))
  expect((await freeze(intake)).laterOn).toEqual([{ route: 'other', within: 1_001 }, { route: 'more', within: 61_000 }])
})

test('[ADM3, DEC8] where the store is in this process nothing follows later', async () => {
  const intake = intakeOf(false)
  expect(await freeze(intake)).toMatchObject({ laterOn: [], othersFailClosedAt: null })
  world.valve.onCommit = () => Promise.reject(new StoreFault('unreachable', 'the disk is gone'))
  expect(await intake.session(keyOf('a'), { kind: 'session.terminated', reason: 'revoked' }, SAID)).toMatchObject({ assumed: { cut: 0 }, othersFailClosedAt: null })
})

test('[ADM3, ENF9] news the store did not take says when gateways it does not answer either have lost their lease', async () => {
  world.valve.onCommit = () => {
    world.clock.pass(250) // the store takes its time to fail
    return Promise.reject(new StoreFault('unreachable', 'nobody answers'))
  }
  const before = world.clock.now()
  expect(await freeze(intakeOf(true))).toMatchObject({ assumed: { cut: 0 }, laterOn: [{ route: 'lenient' }], othersFailClosedAt: before + 250 + LEASE + 100 })
})
