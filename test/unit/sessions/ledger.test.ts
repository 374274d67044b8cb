// The one writer of records: what is decided on knowledge that is not the store's own is decided again, and an end the store could not take is owed
// to it: in force at once, written in order and once, before anything new. SPEC: STO1-STO5, ENF9, AUD1
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { SessionFact } from '../../../src/core/fact.ts'
import { replaySession } from '../../../src/core/replay.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import type { Commit } from '../../../src/sessions/store.ts'
import { asks, keyOf, SetClock, World } from './world.ts'

const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const FREEZE: SessionNews = { kind: 'session.frozen', until: null }
const RESUME: SessionNews = { kind: 'session.resumed' }
const NARROW: SessionNews = { kind: 'session.narrowed', to: 'baseline', elevations: [] }
const WIDEN: SessionNews = { kind: 'session.widened' }

let world: World
let written: string[]
beforeEach(async () => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  world = await World.start()
  written = []
})
afterEach(async () => {
  vi.useRealTimers()
  await world.close()
})

const told = ({ ref, facts }: Commit): string => `${ref.name} ${facts.map(({ what }) => what).join(' ')}`
const down = (): never => { throw new Error('the store is down') }
function back(): void {
  world.valve.onLoad = () => {}
  world.valve.onCommit = commit => void written.push(told(commit))
}
function fails(): void {
  world.valve.onLoad = world.valve.onCommit = down
}
/** Long enough for another attempt to pay. */
const again = async (seconds = 1): Promise<void> => { await vi.advanceTimersByTimeAsync(seconds * 1_000) }

describe('knowledge that is not the store\'s own', () => {
  test('[STO4] a decision of another epoch is refused, and taken again on what the store has now, also when it takes away', async () => {
    await world.opened()
    const epochs: (readonly [string, string])[] = []
    const [commit, commitRestrictive] = [world.disk.commit.bind(world.disk), world.disk.commitRestrictive.bind(world.disk)]
    vi.spyOn(world.disk, 'commit').mockImplementation(async asked => {
      const answer = await commit(epochs.length === 0 ? { ...asked, expectedEpoch: 'one before' } : asked)
      epochs.push([asked.facts[0]?.what ?? '', answer.is])
      return answer
    })
    vi.spyOn(world.disk, 'commitRestrictive').mockImplementation(async asked => {
      const answer = await commitRestrictive(epochs.length === 2 ? { ...asked, expectedEpoch: 'one before' } : asked)
      epochs.push([asked.facts[0]?.what ?? '', answer.is])
      return answer
    })
    await world.tell('a', asks('e1'))
    await world.tell('a', NARROW)
    expect(epochs).toEqual([['elevation.requested', 'EPOCH'], ['elevation.requested', 'OK'], ['session.narrowed', 'EPOCH'], ['session.narrowed', 'OK']])
    expect((await world.stored()).elevations.map(({ state }) => state.is)).toEqual(['suspended'])
  })

  test('[STO5] a gateway whose clock is ahead ends nothing: it is EARLY by the store\'s own time, and ends when that has come', async () => {
    await world.opened()
    await world.tell('a', asks('e1', undefined, { ties: [] }))
    const { state } = (await world.stored()).elevations[0] ?? {}
    const until = state?.is === 'active' ? state.until : null
    const ahead = new SetClock()
    ahead.pass(601_000)
    const early = new Ledger(world.store, world.mirror, ahead)
    await early.settle(await world.stored())
    expect((await world.stored()).elevations[0]?.state).toEqual(state)
    expect((await world.live()).record.elevations[0]?.state).toEqual(state)
    world.clock.pass(601_000)
    expect(world.clock.now()).toBeGreaterThan(until ?? Infinity)
    await early.settle(await world.stored())
    expect((await world.stored()).elevations[0]?.state).toMatchObject({ is: 'ended', reason: 'time_up' })
  })

  test('[STO2] what another wrote meanwhile is found out by its version, and the news is applied to that', async () => {
    await world.opened()
    const stale = await world.stored()
    await world.tell('a', asks('e1', undefined, { ties: [] }))
    const known = await world.live()
    known.record = stale
    await world.tell('a', NARROW)
    expect(await world.stored()).toMatchObject({ version: 3, cap: { is: 'baseline' }, elevations: [{ state: { is: 'suspended' } }] })
  })
})

describe('a store that fails', () => {
  beforeEach(async () => {
    for (const name of ['a', 'b', 'c']) await world.opened(name)
    fails()
  })

  test('[ENF9, STO1] what is owed is paid by one at a time, in order; none is lost when the store is slow and fails once', async () => {
    for (const [name, news] of [['a', END], ['b', END], ['c', FREEZE]] as const) expect((await world.tell(name, news)).assumed).not.toBeNull()
    expect(world.ledger.owed).toBe(3)
    const held: PromiseWithResolvers<void>[] = []
    let most = 0
    let trouble = 1
    world.valve.onLoad = () => {}
    world.valve.onCommit = async commit => {
      held.push(Promise.withResolvers())
      most = Math.max(most, held.length)
      await held.at(-1)?.promise
      held.pop()
      if (commit.ref.name === keyOf('b') && trouble-- > 0) down()
      written.push(told(commit))
    }
    for (let i = 0; i < 10; i++) {
      await again(3)
      held[0]?.resolve()
      await again(0)
    }
    expect([most, world.ledger.owed]).toEqual([1, 0])
    expect(written).toEqual(['key_a session.revoked', 'key_b session.revoked', 'key_c session.frozen'])
    expect([(await world.stored('a')).state.is, (await world.stored('b')).state.is, (await world.stored('c')).frozen === null]).toEqual(['revoked', 'revoked', false])
  })

  test('[ENF9] what is owed is written before anything new, and an end behind it is in force when it is answered', async () => {
    const live = await world.live()
    await world.tell('a', NARROW)
    await world.tell('b', FREEZE)
    back()
    const { position, assumed } = await world.tell('a', END)
    expect([position === null, assumed, live.record.state.is, world.ledger.owed]).toEqual([false, null, 'revoked', 0])
    expect(written).toEqual(['key_a session.narrowed', 'key_b session.frozen', 'key_a session.revoked'])
    expect(await world.stored()).toEqual(live.record)
  })

  test.each([[FREEZE, END], [END, FREEZE], [NARROW, END]])('[ENF9] of two that take away at the same moment each is in force when it is answered', async (one, other) => {
    const live = await world.live()
    const both = await Promise.all([world.tell('a', one), world.tell('a', other)])
    expect(both.map(({ assumed, facts }) => assumed !== null && facts.length > 0)).toEqual([true, one !== END])
    expect(live.record.state.is).toBe('revoked')
    back()
    await again()
    expect([world.ledger.owed, await world.stored()]).toEqual([0, live.record])
  })

  test('[SIG3, ENF9] said again it is in force already: answered, and owed once', async () => {
    await world.tell('a', END)
    for (const news of [END, FREEZE, NARROW]) expect(await world.tell('a', news)).toMatchObject({ facts: [], rejected: null, position: null, assumed: { cut: 0 } })
    expect(world.ledger.owed).toBe(1)
    await expect(world.tell('nobody', END)).rejects.toThrow('lacks ends')
  })

  test('[ENF9] nothing is given while the store lacks an end: resume, widen, unlock and a new life fail, also where nothing seems to change', async () => {
    await world.tell('a', FREEZE)
    await world.tell('b', NARROW)
    await world.lock('mallory')
    const unlock = () => world.ledger.applyToLock({ kind: 'subject', value: 'mallory' }, { kind: 'lock.lifted', id: 'sig_u' as never, by: 'operator', note: '' }) // a word of the test
    const giving = [() => world.tell('a', RESUME), () => world.tell('b', WIDEN), unlock, () => world.tell('c', RESUME), () => world.tell('c', WIDEN), () => world.opened('d')]
    for (const give of giving) await expect(give()).rejects.toThrow('lacks ends')
    world.valve.onLoad = () => {} // reads again, and still does not write
    for (const give of giving) await expect(give()).rejects.toThrow('lacks ends')
    expect([(await world.live('a')).record.frozen === null, (await world.live('b')).record.cap.is, world.mirror.locks.size, world.ledger.owed]).toEqual([false, 'baseline', 1, 3])
    back()
    for (const give of giving) await give()
    expect(written.slice(0, 4)).toEqual(['key_a session.frozen', 'key_b session.narrowed', 'subject:mallory lock.set', 'key_a session.resumed'])
    expect([(await world.stored('a')).frozen, (await world.stored('b')).cap.is, world.mirror.locks.size]).toEqual([null, 'none', 0])
  })

  test('[AUD1, ENF9] what was enforced from memory is written as of when it was enforced: the record stays the fold of its facts', async () => {
    const live = await world.live()
    await world.tell('a', FREEZE)
    const { frozen } = live.record
    world.clock.pass(7_000)
    back()
    await again()
    expect([world.ledger.owed, (await world.stored()).frozen]).toEqual([0, frozen])
    world.clock.pass(1_000)
    await world.tell('a', NARROW)
    await world.tell('a', END)
    const facts = (await world.disk.drain(1_000)).filter(({ ref }) => ref.name === keyOf('a')).map(({ fact }) => fact) as readonly SessionFact[] // only sessions have such names
    expect(replaySession(facts)).toEqual(await world.stored())
    expect(live.record).toEqual(await world.stored())
  })
})
