// Anchors that sessions in memory are tied to, while the store fails: nothing is carried on what is not known, and it is asked for until it is.
import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import type { Anchor } from '../../../src/core/anchor.ts'
import { instant } from '../../../src/core/time.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { asks, TICKET, World } from './world.ts'

let world: World
let live: LiveSession
let faults: unknown[]
const watch = (fault: unknown): void => void faults.push(fault)

beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  faults = []
  process.on('unhandledRejection', watch)
  world = await World.start()
  live = await world.opened()
})
afterEach(async () => {
  process.removeListener('unhandledRejection', watch)
  vi.useRealTimers()
  await world.close()
})

const anchor = (kind: 'anchor.opened' | 'anchor.ended') => world.ledger.applyToAnchor(TICKET, { kind, matter: null, id: newSignalId(), by: 'operator', note: '' })
const carried = (): number => world.mirror.effective(live, world.clock.now()).carriers.length
/** The store cannot say how the ticket is, `times` times; then it can. */
function failing(times: number): () => number {
  let asked = 0
  world.valve.onLoad = name => {
    if (name === TICKET.name && ++asked <= times) throw new Error('the store is down')
  }
  return () => asked
}
const turns = async (): Promise<void> => { for (let i = 0; i < 3; i++) await new Promise(setImmediate) }

test('[ELV6] a store that fails while a tie is learned: nobody is harmed, nothing is carried, and it is once the store is back', async () => {
  await anchor('anchor.opened')
  const asked = failing(3)
  const { facts } = await world.tell('a', asks('e1'))
  expect(facts.map(({ what }) => what)).toEqual(['elevation.requested', 'elevation.activated'])
  await turns()
  expect([faults, asked(), carried()]).toEqual([[], 1, 0])
  for (const [again, carries] of [[2, 0], [3, 0], [4, 1]]) {
    await vi.advanceTimersByTimeAsync(1_000)
    await turns()
    expect([faults, asked(), carried()]).toEqual([[], again, carries])
  }
  await vi.advanceTimersByTimeAsync(10_000)
  expect(asked()).toBe(4)
})

test('[ELV6] one that ended meanwhile is known by its announcement, and never carried', async () => {
  await anchor('anchor.opened')
  const asked = failing(Infinity)
  await world.tell('a', asks('e1'))
  await turns()
  const known = asked()
  world.valve.onLoad = () => {}
  await anchor('anchor.ended')
  await vi.advanceTimersByTimeAsync(5_000)
  expect([carried(), world.mirror.effective(live, world.clock.now()).lost.size, faults]).toEqual([0, 1, []])
  expect(known).toBe(1)
  await world.ledger.settled()
  expect(live.record.elevations[0]?.state).toMatchObject({ is: 'ended', reason: 'ticket_closed' })
})

test('[ELV6] nobody asks for the anchor of an elevation that is over', async () => {
  await anchor('anchor.opened')
  const asked = failing(Infinity)
  await world.tell('a', asks('e1'))
  await turns()
  await world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  await vi.advanceTimersByTimeAsync(10_000)
  await turns()
  expect([asked(), faults]).toEqual([1, []])
})

test('[ELV6, SIG4] one that ended is not opened by the word before, though the clock of whoever brought that was ahead; only when it was forgotten do its versions begin anew', async () => {
  await anchor('anchor.opened')
  await world.tell('a', asks('e1'))
  await turns()
  const heard = (version: number, state: Anchor['state'], since: number): void => {
    const record: Anchor = { record: 'anchor', ...TICKET, version, state, generation: instant(0), since: instant(world.clock.now() + since), note: '', matter: null }
    void world.mirror.heard({ position: { epoch: '', sequence: 0 }, ref: TICKET, record, facts: [] })
  }
  expect(carried()).toBe(1)
  heard(5, 'ended', 0)
  for (const late of [1, 4]) {
    heard(late, 'open', 900)
    expect(carried()).toBe(0)
  }
  heard(1, 'open', 30 * 86_400_000)
  expect(carried()).toBe(1)
})
