// What is kept of a principal, around its sessions: read with the first of them, in force for all, and never looser for a store that is down.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Anchor } from '../../../src/core/anchor.ts'
import { type LevelMark, NO_ACTS, NO_STANDING } from '../../../src/core/risk.ts'
import type { AnchorNews } from '../../../src/core/signal.ts'
import { instant } from '../../../src/core/time.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { placement } from '../../../src/sessions/placement.ts'
import { NO_RISK } from '../../support/plain.ts'
import { POLICY, World } from './world.ts'

const policy = { ...POLICY, risk: { ...NO_RISK, levels: [{ name: 'high', at: 60, acts: { ...NO_ACTS, freeze: true } }] } }
let world: World
beforeEach(async () => { world = await World.start(policy) })
afterEach(() => world.close())

const HIGH = (): LevelMark => ({ name: 'high', at: 60, score: 61, since: world.clock.now(), who: '', why: { contributions: [], tenants: [], request: null } })
const rises = (): AnchorNews => ({ kind: 'risk.rose', level: HIGH() })
const taints = (name: string): AnchorNews => ({ kind: 'principal.tainted', taint: { name, since: world.clock.now(), until: null, rule: 'x#1', exchange: 'exc_1' } })
const tell = async (news: AnchorNews, name = 'a') => world.ledger.applyToAnchor((await world.live(name)).principal, { ...news, id: newSignalId(), by: 'risk', note: '' })
const state = async (name = 'a') => world.mirror.effective(await world.live(name), world.clock.now())

test('[RSK4] a level that was told before the session was taken in holds it, and so does one told after', async () => {
  await world.opened()
  expect((await state()).state).toBe('live')
  await tell(rises())
  expect(await state()).toMatchObject({ state: 'frozen', byRisk: true })
  const restarted = await world.restarted()
  const found = await restarted.load((await world.live()).record.key)
  expect(found === null ? null : restarted.effective(found, world.clock.now()).state).toBe('frozen')
})

test('[RSK4, SES3] the next life of a session that ended is judged by it from its first turn on, with nothing asked of the store', async () => {
  const live = await world.opened()
  await tell(rises())
  await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  const read: string[] = []
  world.valve.onLoad = name => void read.push(name)
  const states: unknown[] = []
  const { onChange } = world.mirror
  world.mirror.onChange = change => {
    const { state: now, byRisk } = world.mirror.effective(live, world.clock.now())
    if (live.record.state.is === 'live') states.push([now, byRisk])
    return onChange(change)
  }
  await world.opened('a', { id: 'cred_2', issuedAt: instant(world.clock.now() + 1_000) })
  expect(states[0]).toEqual(['frozen', true])
  expect(read.filter(name => name === live.principal.name)).toEqual([])
})

test('[RSK4] it is the principal’s: another session of it is held as well, another principal’s is not', async () => {
  await world.opened()
  await world.opened('b')
  await tell(rises())
  expect([(await state()).state, (await state('b')).state]).toEqual(['frozen', 'live'])
  expect((await world.live()).principal).not.toEqual((await world.live('b')).principal)
})

test('[RSK4] what is foreseen is in force at once and until it is told, whatever else is told meanwhile; an operator’s word takes it away', async () => {
  const live = await world.opened()
  const stamp = live.stamp
  const foreseen = () => world.mirror.foresee({ record: 'anchor', kind: 'principal', name: live.principal.name, version: 0, state: 'open', generation: instant(0), since: instant(0), note: '', matter: null }, HIGH(), [])
  await foreseen()
  expect(live.stamp).toBeGreaterThan(stamp)
  expect((await state()).state).toBe('frozen')
  await tell(taints('pii'))
  expect(await state()).toMatchObject({ state: 'frozen', taints: [{ name: 'pii' }] })
  await tell({ kind: 'principal.cleared', risk: true, taints: null })
  expect(await state()).toMatchObject({ state: 'live', taints: [{ name: 'pii' }] })
})

test('[RSK4, STO13] news that a store which is down does not take adds to what is known, and takes nothing of it away', async () => {
  await world.opened()
  await tell(rises())
  await tell(taints('pii'))
  world.valve.onCommit = world.valve.onLoad = () => { throw new Error('the store is down') }
  expect(await tell(taints('secrets'))).toMatchObject({ position: null })
  expect(world.ledger.owed).toBe(1)
  expect(await state()).toMatchObject({ state: 'frozen', byRisk: true, taints: [{ name: 'pii' }, { name: 'secrets' }] })
})

test('[CND3, STO10] it is not forgotten before what it touched is over', () => {
  const DAYS = 86_400_000
  const now = world.clock.now()
  const touched = (...untils: readonly (number | null)[]): Anchor => ({
    record: 'anchor', kind: 'principal', name: 'p', version: 1, state: 'open', generation: instant(0), since: now, note: '',
    matter: { is: 'principal', cooling: {}, ...NO_STANDING, taints: untils.map((days, i) => ({ name: `t${i}`, since: now, until: days === null ? null : instant(now + days * DAYS), rule: 'x#1', exchange: 'exc_1' })) },
  })
  const days = (anchor: Anchor): number | null => {
    const { forgetAt } = placement(anchor, now)
    return forgetAt === null ? null : (forgetAt - now) / DAYS
  }
  expect([days(touched()), days(touched(1)), days(touched(365, 100)), days(touched(365, null)), days(touched(-1))]).toEqual([90, 90, 365, null, 90])
})
