// Sessions delegated from others, in one gateway's memory: taken in with their parent, moved with it in the same turn, refused without it.
// SPEC: SES20, SES21
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import type { Effective } from '../../../src/core/effective.ts'
import type { Policy } from '../../../src/core/policy.ts'
import type { RecordRef, StoredRecord } from '../../../src/core/record.ts'
import { sessionRef } from '../../../src/core/record.ts'
import { DELEGATIONS_MAX, type Parent, type Session, type SessionId } from '../../../src/core/session.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import { duration, instant } from '../../../src/core/time.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { type Change, NO_TALLY } from '../../../src/sessions/change.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import { at, elevation, NOW, SESSION } from '../core/world.ts'
import { asks, evidence, keyOf, POLICY, TICKET, World } from './world.ts'

const WORKER = { role: 'worker' }
const ROLES: Policy = { ...POLICY, brokers: new Map([['factory', { name: 'factory', who: null, may: { source: 'true', test: () => 'true' }, profiles: [], max: duration(3_600_000), bindRequired: false, once: null }]]), sessions: { ...POLICY.sessions, baseline: [
  { when: null, scopes: ['base:read'] },
  { when: { source: 'test', test: (_, claims) => (claims['role'] === 'worker' ? 'true' : 'false') }, scopes: ['db:write'] },
] } }
const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const SECOND = 1_000

let world: World
beforeEach(async () => { world = await World.start(ROLES) })
afterEach(async () => {
  vi.useRealTimers()
  vi.restoreAllMocks()
  await world.close()
})

/** As whoever delegates writes it down. */
function parentOf(live: LiveSession): Parent {
  const { key, id, brokered } = live.record
  return { key, id, baseline: brokered === null ? ['base:read'] : standing(live).baseline, depth: (brokered?.parent?.depth ?? -1) + 1 }
}
const idOf = (name: string): SessionId => `ses_${name}` as SessionId // a word of the test

const opening = (name: string, parent: Parent): SessionNews => ({
  kind: 'session.opened', key: keyOf(name), session: idOf(name), epoch: world.store.epochOf(sessionRef(keyOf(name))), principal: { ...SESSION.principal, subject: name }, endsAt: instant(world.clock.now() + 3_600_000),
  credential: { ...SESSION.credential, expiresAt: null }, bindings: NOT_BOUND,
  aliases: [], brokered: { broker: 'factory', by: 'https://idp.test|boss', claims: WORKER, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent },
})

/** Opens a session under another and takes it into memory. */
async function delegated(name: string, above: LiveSession): Promise<LiveSession> {
  await world.tell(name, opening(name, parentOf(above)))
  return world.live(name)
}

/** A parent with an elevation `e`, and a child that may use it. */
async function family(): Promise<readonly [parent: LiveSession, child: LiveSession]> {
  const parent = await world.opened('p')
  await world.tell('p', asks('e'))
  return [parent, await delegated('c', parent)]
}

const standing = (live: LiveSession, mirror = world.mirror): Effective => mirror.effective(live, world.clock.now())
const saysOf = (live: LiveSession, mirror = world.mirror): unknown => {
  const { state, reason, baseline } = standing(live, mirror)
  return reason === null ? baseline : `${state} ${reason}`
}
const GONE = 'refused parent_ended'
const PLENTY = ['base:read', 'db:write']

/** Changes a record without a word to this gateway. */
async function unheard(name: string, news: SessionNews): Promise<void> {
  const heard = vi.spyOn(world.mirror, 'heard').mockResolvedValue(NO_TALLY)
  const elsewhere = new Ledger(world.disk, await world.restarted(), world.clock)
  await elsewhere.applyToSession(keyOf(name), { id: newSignalId(), by: 'operator', note: '', ...news })
  await elsewhere.settled()
  heard.mockRestore()
}

/** The store has no such records any more. */
function lose(...names: readonly string[]): () => void {
  const load = world.disk.load.bind(world.disk)
  const lost: ReadonlySet<string> = new Set(names.map(keyOf))
  const spy = vi.spyOn(world.disk, 'load').mockImplementation(async (ref: RecordRef): Promise<StoredRecord | null> => (lost.has(ref.name) ? null : load(ref)))
  return () => spy.mockRestore()
}

describe('what a child may do', () => {
  test('[SES21] it is what its parent may do now: the baseline delegated and what elevations of the parent carry, never more', async () => {
    const [, child] = await family()
    expect(saysOf(child)).toEqual(PLENTY)
    await world.tell('p', { kind: 'elevation.ended', elevation: elevation('e').id, reason: 'revoked', because: 'test' })
    expect(saysOf(child)).toEqual(['base:read'])
  })

  test('[SES21] after a restart it is taken in together with its parent, and judged by it', async () => {
    await family()
    await world.tell('p', { kind: 'session.narrowed', to: ['db:write'], elevations: [] })
    const again = await world.restarted()
    const child = await again.load(keyOf('c'))
    expect([child === null ? null : saysOf(child, again), again.size, again.known(keyOf('p'))?.record.id]).toEqual([['db:write'], 2, (await world.stored('p')).id])
  })

  test('[SES21] a parent that was never seen, or lives another life, is gone: the child is refused', async () => {
    const stranger: Parent = { key: keyOf('nobody'), id: idOf('nobody'), baseline: PLENTY, depth: 0 }
    await world.tell('c', opening('c', stranger))
    const parent = await world.opened('p')
    await world.tell('d', opening('d', { ...parentOf(parent), id: idOf('before') }))
    expect([saysOf(await world.live('c')), saysOf(await world.live('d'))]).toEqual([GONE, GONE])
  })

  test('[SES21] what stands over several delegations is the least of all, and the deepest allowed is taken in whole', async () => {
    let last = await world.opened('p')
    await world.tell('p', asks('e'))
    for (let i = 1; i <= DELEGATIONS_MAX; i++) last = await delegated(`c${i}`, last)
    const again = await world.restarted()
    const deepest = await again.load(keyOf(`c${DELEGATIONS_MAX}`))
    expect([saysOf(last), deepest === null ? null : saysOf(deepest, again), again.size]).toEqual([PLENTY, PLENTY, DELEGATIONS_MAX + 1])
    await world.tell('p', { kind: 'session.frozen', until: null })
    expect(saysOf(last)).toBe('frozen frozen')
    await world.tell('p', END)
    expect(saysOf(last)).toMatch(/^refused /)
  })

  test('[SES21, STO6] news of a parent that comes while the parent is being read counts for the child', async () => {
    await family()
    for (let i = 0; i < 2; i++) await world.mirror.doubted('all')
    expect(world.mirror.size).toBe(0)
    const load = world.disk.load.bind(world.disk)
    let overtaken = false
    vi.spyOn(world.disk, 'load').mockImplementation(async ref => {
      const read = await load(ref)
      if (ref.name === keyOf('p') && !overtaken) {
        overtaken = true
        await world.tell('p', { kind: 'session.frozen', until: null })
      }
      return read
    })
    expect([saysOf(await world.live('c')), overtaken]).toEqual(['frozen frozen', true])
  })

  test('[SES21] lives that name each other as parents are taken in and refused, however many ask at once', async () => {
    const depth = 1
    await world.tell('a', opening('a', { key: keyOf('b'), id: idOf('b'), baseline: PLENTY, depth }))
    await world.tell('b', opening('b', { key: keyOf('a'), id: idOf('a'), baseline: PLENTY, depth }))
    const lives = await Promise.all(['a', 'b', 'a', 'b'].map(name => world.live(name)))
    expect(lives.map(live => saysOf(live))).toEqual([GONE, GONE, GONE, GONE])
  })
})

describe('moved with its parent', () => {
  let parent: LiveSession
  let child: LiveSession
  let below: LiveSession
  let other: LiveSession
  let changes: Change[]
  /** The child's stamp at each change. */
  let stamps: number[]
  beforeEach(async () => {
    ;[parent, child] = await family()
    below = await delegated('g', child)
    other = await delegated('o', await world.opened('q'))
    for (const live of [parent, child, below, other]) standing(live)
    changes = []
    stamps = []
    world.mirror.onChange = async change => {
      changes.push(change)
      stamps.push(child.stamp)
      return { ...NO_TALLY, cut: change.sessions === 'all' ? 0 : change.sessions.length }
    }
  })

  const first = (): ReadonlySet<LiveSession> => new Set(changes[0]?.sessions === 'all' ? [] : changes[0]?.sessions)
  const ALL = (): ReadonlySet<LiveSession> => new Set([parent, child, below])
  const down = (): never => { throw new Error('the store is down') }

  const MOVES: readonly (readonly [string, () => Promise<unknown>])[] = [
    ['the news of its end', () => world.tell('p', END)],
    ['news of less', () => world.tell('p', { kind: 'session.narrowed', to: 'baseline', elevations: [] })],
    ['an end the store does not take', () => {
      world.valve.onCommit = down
      return world.tell('p', END)
    }],
    ['the end of an anchor', () => world.ledger.applyToAnchor(TICKET, { kind: 'anchor.ended', matter: null, id: newSignalId(), by: 'operator', note: '' })],
    ['the mere passing of time', () => world.mirror.touched([parent])],
    ['claims seen first', async () => world.mirror.learn(parent, {}, evidence('cred', NOW, null))],
    ['a record that is asked for', async () => {
      await unheard('p', { kind: 'session.frozen', until: null })
      await world.mirror.refresh(parent, 0)
    }],
    ['a record that is asked for on behalf of the child', async () => {
      await unheard('p', { kind: 'session.frozen', until: null })
      expect(await world.mirror.refresh(child, 0)).toBe(true)
    }],
  ]
  test.each(MOVES)('[SES21, ENF3] %s moves all below it in the same change, and nobody else', async (_, move) => {
    const before = [child.stamp, below.stamp, other.stamp]
    await move()
    expect(first()).toEqual(ALL())
    expect([child.stamp > (before[0] ?? 0), below.stamp > (before[1] ?? 0), stamps[0], other.stamp]).toEqual([true, true, (before[0] ?? 0) + 1, before[2]])
  })

  test('[SES21, ENF3] what became of their exchanges is in the tally of the announcement', async () => {
    const heard: number[] = []
    const hear = world.mirror.heard.bind(world.mirror)
    vi.spyOn(world.mirror, 'heard').mockImplementation(async announcement => {
      const tally = await hear(announcement)
      heard.push(tally.cut)
      return tally
    })
    await world.tell('p', { kind: 'session.frozen', until: null })
    await vi.waitFor(() => expect(heard).toEqual([3]))
  })

  test('[SES21, STO16] a parent in doubt is read again rather than let go while a child is there, and what it says counts for the child', async () => {
    await unheard('p', END)
    child.pins = 1
    const before = child.stamp
    await world.mirror.doubted([sessionRef(keyOf('p'))])
    expect([world.mirror.known(keyOf('p')), saysOf(child), child.stamp > before]).toEqual([parent, GONE, true])
  })

  test('[SES21, STO16] a parent the store has lost makes its children refused, until it is back', async () => {
    const found = lose('p')
    for (const live of [child, below, other]) live.pins = 1
    await world.mirror.doubted('all')
    expect([world.mirror.known(keyOf('p')), world.mirror.known(keyOf('c')), saysOf(child), saysOf(below), saysOf(other)]).toEqual([null, child, GONE, GONE, ['base:read']])
    expect(world.mirror.peek(keyOf('g'))).toBe(null)
    expect([await world.live('g'), saysOf(below)]).toEqual([below, GONE])
    found()
    const before = child.stamp
    expect([await world.live('g'), saysOf(child), saysOf(below), child.stamp > before]).toEqual([below, PLENTY, PLENTY, true])
  })

  test('[SES21, STO16] news of a parent that was gone brings it back', async () => {
    const found = lose('p')
    for (const live of [child, below]) live.pins = 1
    await world.mirror.doubted('all')
    found()
    await world.tell('p', { kind: 'session.frozen', until: null })
    await vi.waitFor(() => expect(saysOf(child)).toBe('frozen frozen'))
  })
})

describe('another record', () => {
  test('[SES21] under the key of a child is bound to the parent that it names, and no more to the one before', async () => {
    const [parent, child] = await family()
    const other = await world.opened('q')
    const { brokered, version } = child.record
    if (brokered === null) throw new Error('not brokered')
    const record: Session = { ...child.record, id: idOf('again'), version: version + 1, brokered: { ...brokered, parent: parentOf(other) } }
    await world.mirror.heard({ position: { epoch: record.epoch, sequence: 1_000 }, ref: sessionRef(record.key), record, facts: [] })
    const stamps = [child.stamp]
    await world.mirror.touched([parent])
    stamps.push(child.stamp)
    await world.mirror.touched([other])
    stamps.push(child.stamp)
    expect(stamps.map(stamp => stamp - (stamps[0] ?? 0))).toEqual([0, 0, 1])
  })

  test('[SES21, ENF9] an end of a child is in force when the store takes nothing, also where its parent is gone', async () => {
    const [, child] = await family()
    lose('p')
    child.pins = 1
    await world.mirror.doubted('all')
    expect([world.mirror.known(keyOf('p')), saysOf(child)]).toEqual([null, GONE])
    world.valve.onLoad = world.valve.onCommit = () => { throw new Error('the store is down') }
    expect(await world.tell('c', END)).toMatchObject({ position: null, assumed: NO_TALLY })
    expect(child.record.state).toMatchObject({ is: 'revoked', reason: 'revoked' })
  })
})

describe('making way', () => {
  test('[SES21, SES8] a parent stays in memory as long as a child does, and goes with it', async () => {
    const small = new Mirror(world.store, ROLES, 4)
    const [parent] = await family()
    for (let i = 0; i < 12; i++) await world.opened(`n${i}`)
    const child = await small.load(keyOf('c'))
    if (child === null) throw new Error('no child')
    child.pins = 1
    const crowd = async (): Promise<void> => { for (let i = 0; i < 12; i++) await small.load(keyOf(`n${i}`)) }
    await crowd()
    expect([small.known(parent.record.key)?.record.id, saysOf(child, small), small.evicted > 0]).toEqual([parent.record.id, PLENTY, true])
    child.pins = 0
    await crowd()
    expect([small.known(keyOf('c')), small.known(keyOf('p')), small.size]).toEqual([null, null, 4])
  })

  test('[SES21, SES8] a parent makes way neither for its own child nor for others while that is on the way', async () => {
    const [parent] = await family()
    for (let i = 0; i < 12; i++) await world.opened(`n${i}`)
    const small = new Mirror(world.store, ROLES, 1)
    const lastSeen = world.disk.lastSeen.bind(world.disk)
    vi.spyOn(world.disk, 'lastSeen').mockImplementation(async key => {
      if (key === keyOf('c')) for (let i = 0; i < 12; i++) await small.load(keyOf(`n${i}`))
      return lastSeen(key)
    })
    const child = await small.load(keyOf('c'))
    expect([child === null ? null : saysOf(child, small), small.known(keyOf('p'))?.record.id, small.evicted > 0]).toEqual([PLENTY, parent.record.id, true])
  })
})

describe('on record', () => {
  const reasonOf = async (name: string): Promise<unknown> => {
    await world.ledger.settled()
    const { state } = await world.stored(name)
    return state.is === 'live' ? 'live' : `${state.is} ${state.reason}`
  }
  const ends = async (): Promise<readonly unknown[]> => (await world.disk.drain(1_000)).flatMap(({ fact }) => (fact.what === 'session.revoked' || fact.what === 'session.lapsed' ? [[fact.what, fact.reason, fact.because]] : []))

  test.each<readonly [string, SessionNews, number]>([
    ['terminated', END, 0],
    ['idle', { kind: 'session.lapsed', reason: 'idle' }, 0],
    ['over by time', { kind: 'time.passed' }, 3_600_000],
  ])('[SES21] children and theirs end with a parent that is %s', async (_, news, later) => {
    const [, child] = await family()
    await delegated('g', child)
    await world.tell('o', opening('o', parentOf(await world.opened('q'))))
    for (const name of ['c', 'g']) await world.tell(name, { kind: 'session.widened' })
    world.clock.pass(later)
    await world.tell('p', news)
    expect([await reasonOf('c'), await reasonOf('g'), await reasonOf('o')]).toEqual(['revoked parent_ended', 'revoked parent_ended', 'live'])
  })

  test('[SES21] many gateways make one event of it, which names the news behind it', async () => {
    const [, child] = await family()
    const { id } = await world.stored('p')
    const others = await Promise.all([1, 2].map(async () => new Ledger(world.disk, await world.restarted(), world.clock)))
    const signal = newSignalId()
    await Promise.all([world.ledger, ...others].map(ledger => ledger.applyToSession(keyOf('p'), { ...END, id: signal, by: 'operator', note: '', life: id })))
    await Promise.all([world.ledger, ...others].map(ledger => ledger.settled()))
    expect(await ends()).toEqual([['session.revoked', 'revoked', signal], ['session.revoked', 'parent_ended', `${signal}.${child.record.id}`]])
  })

  test('[SES21] a child whose parent ended while nobody could write that ends at its next touch', async () => {
    await family()
    world.disk.find = async () => [] // a gateway that went away behind the commit
    await world.tell('p', END)
    expect(await reasonOf('c')).toBe('live')
    await world.ledger.settle(await world.stored('c'))
    expect(await reasonOf('c')).toBe('revoked parent_ended')
  })

  test('[SES21] a parent that time ended while nobody looked ends at the touch of its child, and the child with it', async () => {
    const [, child] = await family()
    await delegated('g', child)
    await world.mirror.doubted('all')
    await world.tell('p', { kind: 'session.shortened', endsAt: instant(world.clock.now() + 1) })
    world.clock.pass(SECOND)
    await world.ledger.settle(await world.stored('g'))
    expect([await reasonOf('p'), await reasonOf('c'), await reasonOf('g')]).toEqual(['lapsed max_reached', 'revoked parent_ended', 'revoked parent_ended'])
  })

  test('[SES21] a parent that the store does not have is no reason to end a child for good', async () => {
    await family()
    lose('p')
    await world.ledger.settle(await world.stored('c'))
    expect(await reasonOf('c')).toBe('live')
  })
})

describe('by time', () => {
  test('[SES21, ENF4] a child is looked at when an elevation of its parent ends, though nothing of its own does', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    await world.opened('p')
    await world.tell('p', asks('e', instant(0), { for: duration(5 * SECOND), ties: [] }))
    await delegated('c', await world.live('p'))
    const again = await world.restarted()
    const child = await again.load(keyOf('c'))
    if (child === null) throw new Error('no child')
    expect([saysOf(child, again), again.effective(child, world.clock.now()).until]).toEqual([PLENTY, at(5)])
    const looks: unknown[] = []
    const own = await world.live('c')
    world.mirror.onChange = async ({ sessions }) => {
      if (sessions !== 'all' && sessions.includes(own)) looks.push([world.clock.now(), saysOf(own)])
      return NO_TALLY
    }
    for (let i = 0; i < 6; i++) {
      world.clock.pass(SECOND)
      await vi.advanceTimersByTimeAsync(SECOND)
    }
    expect(looks[0]).toEqual([at(5), ['base:read']])
  })

  test('[SES21, SES5] a parent is not idle while its child is used, or a child of that', async () => {
    const [parent, child] = await family()
    const grandchild = await delegated('g', child)
    const seen = instant(world.clock.now() + 5_000)
    grandchild.lastSeen = seen
    await world.timekeeper.writeActivity()
    expect([parent.lastSeen, child.lastSeen]).toEqual([seen, seen])
    expect(await world.store.lastSeen(parent.record.key)).toBe(seen)
  })

  test('[SES21, SES5] the parent is looked at where only its child is used, and its end is written', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
    await family()
    for (let i = 0; i < 2; i++) await world.mirror.doubted('all')
    expect(world.mirror.size).toBe(0)
    const child = await world.live('c')
    const { idle } = ROLES.sessions
    for (let left: number = idle + 2 * SECOND; left > 0; left -= SECOND) {
      child.lastSeen = world.clock.now()
      world.clock.pass(SECOND)
      await vi.advanceTimersByTimeAsync(SECOND)
    }
    await world.ledger.settled()
    const over = ({ state }: Session): unknown => (state.is === 'live' ? 'live' : state.reason)
    expect([over(await world.stored('p')), over(await world.stored('c'))]).toEqual(['idle', 'parent_ended'])
  })
})
