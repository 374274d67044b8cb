// The engine by itself: what a request adds is in force in its own turn, levels fall late and by themselves, what is forgotten comes back, and strangers cost a bounded sum.
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { setImmediate as nextTurn } from 'node:timers/promises'
import { afterEach, describe, expect, test } from 'vitest'
import type { Anchor } from '../../../../src/core/anchor.ts'
import { NO_ACTS, type RiskLevel, type RiskPolicy } from '../../../../src/core/risk.ts'
import { duration } from '../../../../src/core/time.ts'
import { sessionRef } from '../../../../src/core/record.ts'
import type { SessionId } from '../../../../src/core/session.ts'
import { NOT_BOUND } from '../../../../src/core/binding.ts'
import { identityOf } from '../../../../src/core/principal.ts'
import { newSignalId } from '../../../../src/runtime/id.ts'
import { LiveSession } from '../../../../src/sessions/live-session.ts'
import { eventually } from '../../../support/redis-server.ts'
import { SESSION } from '../../core/world.ts'
import { keyOf } from '../../sessions/world.ts'
import { Person } from '../../../../src/signals/risk/person.ts'
import { attempt, Engine, hit, place, sequence, when } from './world.ts'

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as () => void // the flag puts it there
/** Bytes of the heap that something still holds. */
const kept = (): number => {
  collect()
  return process.memoryUsage().heapUsed
}

const engines: Engine[] = []
afterEach(async () => { for (const engine of engines.splice(0)) await engine.close() })

async function started(risk: Partial<RiskPolicy>, most?: number): Promise<Engine> {
  const engine = await Engine.start(risk, most)
  engines.push(engine)
  return engine
}

const level = (name: string, at: number): RiskLevel => ({ name, at, acts: NO_ACTS })
const LEVELS = [level('low', 20), level('high', 60)]
const POINTS = { levels: LEVELS, halfLife: duration(600_000), hysteresis: 5, holdFor: duration(60_000) }
const DENIED = place('denied', hit({ addRisk: 30 }))
const versionOf = (anchor: Anchor | null): number => anchor?.version ?? 0

/** Longer than the engine lets pass before it looks at who has points. */
const SOON = 5_000

describe('levels', () => {
  test('[RSK4] a level is in force in the turn that reached it, and told once', async () => {
    const engine = await started(POINTS)
    const live = await engine.world.opened()
    expect(engine.risk.refused(attempt(live, DENIED), 'denied')).toEqual({ before: 0, after: 30, level: 'low' })
    expect(engine.level(live)).toBe('low')
    expect(engine.risk.refused(attempt(live, DENIED), 'denied')).toEqual({ before: 30, after: 60, level: 'high' })
    expect(engine.level(live)).toBe('high')
    await eventually('both are told', SOON, async () => (versionOf(await engine.world.mirror.anchor(live.principal)) === 2 ? true : null))
  })

  test('[RSK5] a level is left only well below it, and after a while', async () => {
    const engine = await started(POINTS)
    const live = await engine.world.opened()
    engine.risk.refused(attempt(live, place('denied', hit({ addRisk: 20 }))), 'denied')
    await eventually('it is told', SOON, async () => (versionOf(await engine.world.mirror.anchor(live.principal)) === 1 ? true : null))
    engine.world.clock.pass(61_000) // 18.6 points: below the level, and not by enough
    engine.risk.attempted(attempt(live))
    await new Promise(resolve => { setTimeout(resolve, 1_200) }) // longer than a look takes to come
    expect(engine.level(live)).toBe('low')
    engine.world.clock.pass(240_000)
    expect(engine.score(live)).toBeLessThan(15)
    await eventually('it has left it', SOON, async () => (engine.level(live) === null ? true : null))
  })

  test('[RSK5] however low the score, a level stands for as long as it is held', async () => {
    const engine = await started({ ...POINTS, holdFor: duration(3_600_000) })
    const live = await engine.world.opened()
    engine.risk.refused(attempt(live, DENIED), 'denied')
    await eventually('it is told', SOON, async () => (versionOf(await engine.world.mirror.anchor(live.principal)) === 1 ? true : null))
    engine.world.clock.pass(3_500_000)
    await new Promise(resolve => { setTimeout(resolve, 1_200) }) // as above
    expect(engine.level(live)).toBe('low')
    engine.world.clock.pass(101_000)
    await eventually('it has left it', SOON, async () => (engine.level(live) === null ? true : null))
  })

  test('[RSK5] an operator who clears a principal takes its score away, and what it does next counts from nothing', async () => {
    const engine = await started(POINTS)
    const live = await engine.world.opened()
    engine.risk.refused(attempt(live, DENIED), 'denied')
    engine.risk.refused(attempt(live, DENIED), 'denied')
    await eventually('it is told', SOON, async () => (versionOf(await engine.world.mirror.anchor(live.principal)) === 2 ? true : null))
    await engine.world.ledger.applyToAnchor(live.principal, { kind: 'principal.cleared', risk: true, taints: null, id: 'sig_clear' as never, by: 'operator', note: '' }) // a word of the test
    expect([engine.score(live), engine.level(live)]).toEqual([0, null])
    engine.world.clock.pass(1)
    expect(engine.risk.refused(attempt(live, DENIED), 'denied')).toEqual({ before: 0, after: 30, level: 'low' })
  })

  test('[RSK8] a level that the store did not take is in force here, and told when the store takes it', async () => {
    const engine = await started(POINTS)
    const live = await engine.world.opened()
    let down = true
    engine.world.valve.onCommit = () => { if (down) throw new Error('the store is away') }
    engine.risk.refused(attempt(live, DENIED), 'denied')
    expect(engine.level(live)).toBe('low')
    await nextTurn()
    expect(await engine.world.disk.load(live.principal)).toBe(null)
    down = false
    await eventually('the store has it', SOON, async () => (versionOf((await engine.world.disk.load(live.principal)) as Anchor | null) > 0 ? true : null)) // a principal's record is an anchor
    expect(engine.level(live)).toBe('low')
  })

  test('[RSK9] what follows from a level is tried again until the store takes it, and told once', async () => {
    const engine = await started({ ...POINTS, levels: [{ name: 'out', at: 20, acts: { ...NO_ACTS, shorten: duration(60_000), lock: duration(60_000) } }] })
    const live = await engine.world.opened()
    let fails = 3
    engine.world.valve.onLoad = name => { if (name === live.record.key && fails-- > 0) throw new Error('the store is away') }
    engine.risk.refused(attempt(live, DENIED), 'denied')
    await eventually('it is shortened', SOON, async () => (live.record.endsAt === engine.world.clock.now() + 60_000 ? true : null))
    expect([engine.reached.length, engine.world.mirror.standingLocks().length]).toEqual([1, 1])
  })

  test('[RSK9] what follows from a level is done once where the answer to its commit was lost', async () => {
    const engine = await started({ ...POINTS, levels: [{ name: 'out', at: 20, acts: { ...NO_ACTS, lock: duration(60_000) } }] })
    const live = await engine.world.opened()
    let lost = 1
    engine.world.valve.onCommit = async commit => {
      if (commit.ref.kind !== 'principal' || lost-- <= 0) return
      await engine.world.disk.commitRestrictive(commit)
      throw new Error('no answer came')
    }
    engine.risk.refused(attempt(live, DENIED), 'denied')
    await eventually('it is locked', SOON, async () => (engine.world.mirror.standingLocks().length === 1 ? true : null))
    await eventually('it is settled', SOON, async () => (engine.world.ledger.owed === 0 ? true : null))
    expect(engine.reached).toHaveLength(1)
  })

  test('[RSK9] a level that is only said again, to a store that lost it, is followed by nothing', async () => {
    const engine = await started({ ...POINTS, levels: [{ name: 'out', at: 20, acts: { ...NO_ACTS, lock: duration(60_000) } }] })
    const [live, other] = [await engine.world.opened('a'), await engine.world.opened('b')]
    engine.risk.refused(attempt(live, DENIED), 'denied')
    const [{ mark }] = await eventually('it is followed', SOON, async () => { const [first] = engine.reached; return first === undefined ? null : [first] })
    await engine.world.ledger.applyToAnchor(other.principal, { kind: 'risk.rose', level: mark, id: newSignalId(), by: 'risk', note: '' })
    expect(engine.level(other)).toBe('out')
    await engine.risk.acts.stop()
    expect([engine.reached.length, engine.world.mirror.standingLocks().length]).toEqual([1, 1])
  })

  test('[RSK9] a level that ends sessions ends every one of its principal, however many there are, and nobody else\'s', async () => {
    const engine = await started({ ...POINTS, levels: [{ name: 'out', at: 20, acts: { ...NO_ACTS, terminate: true } }] })
    const live = await engine.world.opened()
    const { world } = engine
    const open = (name: string, client: string) => world.tell(name, {
      kind: 'session.opened', key: keyOf(name), session: `ses_${name}` as SessionId, epoch: world.store.epochOf(sessionRef(keyOf(name))), principal: { ...live.record.principal, client }, // words of the test
      endsAt: live.record.endsAt, credential: live.record.credential, bindings: NOT_BOUND, aliases: [], brokered: null,
    })
    const { client } = live.record.principal
    for (let i = 0; i < 1_100; i++) await open(`more${i}`, client)
    await open('other', 'another')
    engine.risk.refused(attempt(live, DENIED), 'denied')
    const standing = async (): Promise<number> => (await world.disk.find({ kind: 'subject', value: identityOf(live.record.principal) }, 2_000)).length
    await eventually('all have ended but one', SOON, async () => ((await standing()) === 1 ? true : null))
    expect(await world.disk.load(sessionRef(keyOf('other')))).toMatchObject({ state: { is: 'live' } })
  })

  test('[RSK4] another configuration counts what its own rules added, and its own levels', async () => {
    const engine = await started({ ...POINTS, rules: [when('any', 'true', 30)] })
    const live = await engine.world.opened()
    expect(engine.risk.attempted(attempt(live)).after).toBe(30)
    await engine.world.mirror.replacePolicy({ ...engine.world.mirror.policy, risk: { ...engine.world.mirror.policy.risk, rules: [] } })
    expect(engine.risk.attempted(attempt(live)).after).toBe(0)
  })
})

describe('rules', () => {
  test('[RSK2] one that holds adds once in so long', async () => {
    const engine = await started({ ...POINTS, rules: [when('any', 'true', 10, 60_000)] })
    const live = await engine.world.opened()
    for (let i = 0; i < 20; i++) engine.risk.attempted(attempt(live))
    expect(engine.hits).toEqual(['any'])
    engine.world.clock.pass(60_000)
    engine.risk.attempted(attempt(live))
    expect(engine.hits).toEqual(['any', 'any'])
  })

  test('[RSK2] counts slide: a burst is not forgotten at the edge of a minute', async () => {
    const engine = await started({ ...POINTS, rules: [when('fast', 'stats.requestsPerMinute > 9.0', 10)] })
    const live = await engine.world.opened()
    for (let i = 0; i < 5; i++) engine.risk.attempted(attempt(live))
    engine.world.clock.pass(55_000)
    for (let i = 0; i < 4; i++) engine.risk.attempted(attempt(live))
    expect(engine.hits).toEqual([])
    engine.risk.attempted(attempt(live))
    expect(engine.hits).toEqual(['fast'])
  })

  test('[RSK2] refusals for faults of ours, and for where its session stands, are none of its conduct', async () => {
    const engine = await started({ ...POINTS, rules: [when('refused', 'outcome.refused', 10, 1_000)] })
    const live = await engine.world.opened()
    for (const reason of ['stale', 'store_failed', 'upstream_timeout', 'risk', 'narrowed', 'frozen', 'locked', 'step_up_required', 'max_reached', 'session_ended', 'signals_silent', 'revoked_outside', 'obligation_unmet', 'not_shown', 'external_unavailable'] as const) engine.risk.refused(attempt(live), reason)
    expect(engine.hits).toEqual([])
    engine.risk.refused(attempt(live), 'elevation_required')
    expect(engine.hits).toEqual(['refused'])
  })

  test('[RSK2] a retry of a turn that is over adds where a rule says so', async () => {
    const engine = await started({ ...POINTS, rules: [when('late', 'outcome.reason == "purpose_over"', 10)] })
    const live = await engine.world.opened()
    engine.risk.attempted(attempt(live))
    expect(engine.risk.refused(attempt(live), 'purpose_over')).toEqual({ before: 0, after: 10, level: null })
  })

  test('[RSK2] the first tool is new of whoever used others, and no more once it was used', async () => {
    const engine = await started({ ...POINTS, rules: [when('first', 'stats.firstTool', 10, 1_000)] })
    const live = await engine.world.opened()
    engine.risk.attempted(attempt(live, place('a')))
    await eventually('it is known', SOON, async () => ((await engine.world.disk.pool([{ name: live.principal.name, text: '', forgetAt: engine.world.clock.now() }]))[0]?.length === 1 ? true : null))
    expect(engine.hits).toEqual([])
    engine.risk.attempted(attempt(live, place('b')))
    expect(engine.hits).toEqual(['first'])
    engine.world.clock.pass(2_000)
    engine.risk.attempted(attempt(live, place('b')))
    expect(engine.hits).toEqual(['first'])
  })

  test('[RSK2] whoever uses more rules than are kept has no usual ones', async () => {
    const engine = await started({ ...POINTS, learn: { requests: 10, for: duration(0) }, rules: [when('unusual', 'stats.unusualRoute', 1, 1_000)] })
    const live = await engine.world.opened()
    for (let i = 0; i < 300; i++) engine.risk.passed(live, 0, true, place(`r${i % 100}`))
    for (let i = 0; i < 100; i++) {
      engine.world.clock.pass(1_000)
      engine.risk.attempted(attempt(live, place(`r${i}`)))
    }
    expect(engine.hits).toEqual([])
  })

  test('[RSK2, RSK6] a first request here that is the first of its kind anywhere counts as soon as others have said what they know', async () => {
    const engine = await started({ ...POINTS, rules: [when('first', 'stats.firstTool', 10, 1_000)] })
    const live = await engine.world.opened()
    const elsewhere = new Person(live.principal, 'x', null, engine.world.clock.now())
    elsewhere.seen.tool.saw('a', engine.world.clock.now())
    engine.world.disk.pool = async parts => parts.map(({ name }) => (name === live.principal.name ? [elsewhere.text('other', engine.world.clock.now())] : []))
    engine.risk.attempted(attempt(live, place('b')))
    expect(engine.hits).toEqual([])
    await eventually('it counted', SOON, async () => (engine.hits.length > 0 ? true : null))
    expect(engine.hits).toEqual(['first'])
  })

  test('[RSK2] what is refused, pending or done at a level is not learned as what it normally does', async () => {
    const engine = await started({ ...POINTS, learn: { requests: 10, for: duration(0) }, rules: [when('unusual', 'stats.unusualRoute', 1, 1_000)] })
    const live = await engine.world.opened()
    for (let i = 0; i < 10; i++) engine.risk.passed(live, 0, true, place('usual'))
    for (let i = 0; i < 10; i++) engine.risk.passed(live, 0, false, place('cut'))
    engine.risk.attempted(attempt(live, place('usual')))
    expect(engine.hits).toEqual([])
    engine.risk.attempted(attempt(live, place('cut')))
    expect(engine.hits).toEqual(['unusual'])
    engine.risk.refused(attempt(live, DENIED), 'denied')
    for (let i = 0; i < 10; i++) engine.risk.passed(live, 0, true, place('risky'))
    engine.world.clock.pass(1_000)
    engine.risk.attempted(attempt(live, place('risky')))
    expect(engine.hits).toEqual(['unusual', 'unusual'])
  })

  test('[RSK3] a sequence fires once for each time it is complete, in its time alone', async () => {
    const engine = await started({ ...POINTS, rules: [sequence('pivot', ['label:a', 'label:b'], 10, 60_000)] })
    const live = await engine.world.opened()
    const go = (label: string, ms: number): void => {
      engine.world.clock.pass(ms)
      engine.risk.attempted(attempt(live, place(label)))
    }
    go('b', 0)
    go('a', 1)
    expect(engine.hits).toEqual([])
    go('b', 60_001)
    expect(engine.hits).toEqual([])
    go('a', 1)
    go('b', 0)
    expect(engine.hits).toEqual(['pivot'])
    go('b', 10)
    expect(engine.hits).toEqual(['pivot'])
    go('a', 10)
    go('b', 10)
    expect(engine.hits).toEqual(['pivot', 'pivot'])
  })
})

describe('memory', () => {
  test('[RSK7] millions of strangers leave no more behind than the limit', async () => {
    const engine = await started({ ...POINTS, rules: [when('fast', 'stats.requestsPerMinute > 9.0', 10)] }, 1_000)
    const strangers = (from: number, count: number): void => {
      for (let i = from; i < from + count; i++) engine.risk.attempted(attempt(new LiveSession({ ...SESSION, principal: { ...SESSION.principal, subject: `s${i}` } }, null, SESSION.openedAt)))
    }
    strangers(0, 10_000)
    const before = kept()
    strangers(10_000, 190_000)
    expect(engine.risk.size).toBe(1_000)
    expect(kept() - before).toBeLessThan(40_000_000) // 190,000 of them would be many times that
    expect(engine.limited).toBeGreaterThan(0)
  })

  test('[RSK7] a flood from one principal costs the store a hundred rounds in a second at most', async () => {
    const engine = await started(POINTS)
    const live = await engine.world.opened()
    let rounds = 0
    const pool = engine.world.disk.pool.bind(engine.world.disk)
    engine.world.disk.pool = parts => {
      rounds++
      return pool(parts)
    }
    const begun = performance.now()
    while (performance.now() - begun < 300) {
      engine.risk.refused(attempt(live), 'denied')
      await nextTurn()
    }
    expect(rounds).toBeGreaterThan(2)
    expect(rounds).toBeLessThanOrEqual(2 + (performance.now() - begun) / 9) // a timer may be a little early
  })

  test('[RSK7] a principal that made way and comes back has its points, strikes and steps', async () => {
    const engine = await started({ ...POINTS, rules: [sequence('pivot', ['label:a', 'label:b'], 10)] }, 1)
    const live = await engine.world.opened('a')
    const struck = place('denied', hit({ addRisk: 7, strikes: 2, act: 'freeze' }))
    engine.risk.attempted(attempt(live, place('a')))
    engine.risk.refused(attempt(live, struck), 'denied')
    await eventually('it is shared', SOON, async () => ((await engine.world.disk.pool([{ name: live.principal.name, text: '', forgetAt: engine.world.clock.now() }]))[0]?.some(text => text.includes('denied')) === true ? true : null))
    engine.risk.attempted(attempt(await engine.world.opened('b')))
    expect(engine.risk.view(live)).toBe(null)
    engine.risk.attempted(attempt(live, place('c')))
    await eventually('it is back', SOON, async () => (engine.score(live) === 7 ? true : null))
    engine.world.clock.pass(10)
    engine.risk.attempted(attempt(live, place('b')))
    expect(engine.hits).toEqual(['pivot'])
    engine.risk.refused(attempt(live, struck), 'denied')
    await eventually('it is frozen', SOON, async () => (live.record.frozen === null ? null : true))
  })

  test('[RSK6] a score from outside takes the place of the earlier one of its name', async () => {
    const engine = await started(POINTS)
    const live = await engine.world.opened()
    const who = 'https://idp.test|a'
    engine.risk.told(live.principal, who, 'siem', 50)
    engine.risk.told(live.principal, who, 'edr', 5)
    engine.risk.told(live.principal, who, 'siem', 20)
    engine.risk.told(live.principal, who, 'siem', Number.NaN)
    engine.risk.told(live.principal, who, 'siem', -1)
    expect(engine.score(live)).toBe(25)
    expect(engine.level(live)).toBe('low')
  })
})
