// The whole life of an elevation in its session: whose word, for what exactly, when it starts, what it leaves behind. Directly, and over random stories.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Elevation, isOver, stageOf, type Then } from '../../../src/core/elevation.ts'
import type { SessionFact } from '../../../src/core/fact.ts'
import type { Session } from '../../../src/core/session.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import { duration } from '../../../src/core/time.ts'
import { transition } from '../../../src/core/transition.ts'
import type { SessionTransition } from '../../../src/core/transitions/rule.ts'
import { approves, asks, asSignal, later, life, NARROW, of, ofOneLife, starts, WIDEN } from './lives.ts'
import { elevationId, elevations, followerOf, story, tell } from './news.ts'

const RUNS = { numRuns: 400 }
/** Half of them are of lives that last. */
const STORIES = fc.oneof(story, elevations)
const [ANN, BOB, CY] = ['https://idp.test|ann', 'https://idp.test|bob', 'https://idp.test|cy']
const PASSED: SessionNews = { kind: 'time.passed' }
const apply = (session: Session | null, news: SessionNews, seconds: number, by?: string): SessionTransition => transition(session, asSignal(news, by), later(seconds))
const ends = (reason: 'revoked' | 'released' | 'ticket_closed' | 'window_closed' | 'limit_reached', n = 1): SessionNews => ({ kind: 'elevation.ended', elevation: elevationId(n), reason, because: 'test' })
const extends_ = (more: number, once = false, n = 1): SessionNews => ({ kind: 'elevation.extended', elevation: elevationId(n), more: duration(more * 1_000), once })
const inState = (session: Session | null, id: Elevation['id']): string => session?.elevations.find(each => each.id === id)?.state.is ?? 'absent'

describe('whose word it needs', () => {
  const TWO_STAGES = [{ role: 'lead', count: 2 }, { role: 'owner', count: 1 }]

  test('[APR5] so many of a stage, then the next: a word for another stage counts for none, and nobody speaks twice', () => {
    const waiting = life([0, asks(1, { needs: 1 }, { stages: TWO_STAGES })], [1, approves(1), ANN])
    expect(apply(waiting, approves(1, null, null, [], { stage: 1 }), 2, BOB).rejected).toMatchObject({ rejected: 'conflict', says: 'another stage is asked for its word' })
    const first = apply(waiting, approves(1), 2, BOB).record
    expect([of(first).state.is, stageOf(of(first))]).toEqual(['requested', 1])
    expect(apply(first, approves(1), 3, CY).rejected?.rejected).toBe('conflict')
    expect(apply(first, approves(1, null, null, [], { stage: 1 }), 3, ANN).rejected).toMatchObject({ rejected: 'conflict', says: 'already approved by this approver' })
    const second = apply(first, approves(1, null, null, [], { stage: 1, claims: { team: 'db' }, shown: 'digest' }), 3, CY).record
    expect(of(second)).toMatchObject({ state: { is: 'active', since: later(3) }, approvals: [{ by: ANN, stage: 0 }, { by: BOB, stage: 0 }, { by: CY, stage: 1, shown: 'digest', claims: { team: 'db' }, at: later(3) }] })
  })

  test('[APR3, APR5] who approved under one name does not approve under another', () => {
    const waiting = life([0, asks(1, { needs: 2 })], [1, approves(1), ANN])
    expect(apply(waiting, approves(1, null, null, [], { names: [BOB, ANN] }), 2, BOB).rejected).toMatchObject({ rejected: 'conflict', says: 'already approved by this approver' })
  })

  test('[APR4] a word on a request that changed since it was shown counts for nothing, until it is shown anew', () => {
    for (const less of [{ adds: ['db:read'] }, { for: duration(30_000) }, { uses: 2 }, { params: { customers: ['a'] } }]) {
      const waiting = life([0, asks(1, { needs: 2 }, { params: { customers: ['a', 'b'] } })], [1, approves(1, null, null, [], less), ANN])
      expect(of(waiting).revision).toBe(1)
      expect(apply(waiting, approves(1), 2, BOB).rejected).toMatchObject({ rejected: 'conflict', says: 'the request changed since it was shown' })
      expect(inState(apply(waiting, approves(1, null, null, [], { revision: 1 }), 2, BOB).record, elevationId(1))).toBe('active')
    }
  })

  test('[APR4] two words on what both were shown, at the same time, are two', () => {
    const both = life([0, asks(1, { needs: 2 })], [1, approves(1), ANN], [1, approves(1), BOB])
    expect(of(both)).toMatchObject({ revision: 0, state: { is: 'active' }, approvals: [{ by: ANN }, { by: BOB }] })
    expect(apply(both, approves(1), 1, CY).rejected).toMatchObject({ rejected: 'conflict', says: 'the elevation is active' })
  })

  test('[APR1, APR4] what is asked for may lose entries and get smaller, and nothing else', () => {
    const waiting = life([0, asks(1, { needs: 1 }, { params: { customers: ['a', 'b'], amount: 10, region: 'eu', dry: true } })])
    const given = (params: Elevation['params']) => apply(waiting, approves(1, null, null, [], { params }), 1, ANN)
    for (const more of [{ customers: ['c'] }, { customers: ['a', 'c'] }, { customers: 'a' }, { amount: 11 }, { amount: -1 }, { amount: '5' }, { region: 'us' }, { dry: false }, { other: 1 }]) expect(given(more).rejected?.rejected, JSON.stringify(more)).toBe('bad_request')
    expect(of(given({ customers: [], amount: 0, region: 'eu' }).record).params).toEqual({ customers: [], amount: 0, region: 'eu', dry: true })
  })

  test('[APR1, LIM1] an approver sets uses where there were none, and never more than there were', () => {
    const limited = (uses: number | null) => life([0, asks(1, { needs: 1 }, { limits: { uses, perMinute: 3, bytes: null, sum: null } })])
    const left = (uses: number | null, given: number | null) => of(apply(limited(uses), approves(1, null, null, [], { uses: given }), 1, ANN).record).limits
    expect([left(5, 2), left(5, 9), left(null, 4), left(5, null), left(null, null)].map(({ uses }) => uses)).toEqual([2, 5, 4, 5, null])
    expect(left(5, 2).perMinute).toBe(3)
  })

  test('[APR1, APR3, APR4, APR5] in any story a word counts only for what was shown, for the stage that is open, by somebody new; and nothing ever grows', () => {
    let [words, shrunk] = [0, 0]
    fc.assert(fc.property(STORIES, steps => {
      for (const { before, after, signal, result } of ofOneLife(steps)) {
        for (const is of after.elevations) {
          const was = before.elevations.find(({ id }) => id === is.id)
          if (was === undefined) continue
          expect(was.adds).toEqual(expect.arrayContaining([...is.adds]))
          expect([is.for <= was.for, is.max === was.max, (is.limits.uses ?? Infinity) <= (was.limits.uses ?? Infinity), is.revision >= was.revision]).toEqual([true, true, true, true])
          expect(was.params['customers'] ?? []).toEqual(expect.arrayContaining([...(is.params['customers'] as readonly string[] | undefined ?? [])])) // as the stories ask
          expect(Number(is.params['amount'] ?? 0)).toBeLessThanOrEqual(Number(was.params['amount'] ?? 0))
          if (JSON.stringify([is.adds, is.for, is.limits, is.params]) !== JSON.stringify([was.adds, was.for, was.limits, was.params])) {
            shrunk++
            expect(is.revision).toBe(was.revision + 1)
          }
          if (is.approvals.length === was.approvals.length) continue
          words++
          if (signal.kind !== 'elevation.approved') throw new Error(`${signal.kind} approved something`)
          expect([signal.revision, signal.stage, was.state.is, was.approvals.some(({ by }) => by === signal.by)]).toEqual([was.revision, stageOf(was), 'requested', false])
          if (stageOf(is) !== null) expect(is.state.is).toBe('requested')
        }
        if (signal.kind === 'elevation.approved' && result.facts.length > 0) expect(result.facts[0]?.what).toBe('elevation.approved')
      }
    }), { numRuns: 600 })
    expect([words > 20, shrunk > 5]).toEqual([true, true])
  })

  test('[APR5, ELV10] in any story nothing starts, waits or was ever carried without every word it needs', () => {
    fc.assert(fc.property(STORIES, steps => {
      for (const { result } of tell(steps).told) {
        for (const elevation of result.record?.elevations ?? []) if (elevation.state.is === 'active' || elevation.state.is === 'suspended' || elevation.state.is === 'scheduled') expect(stageOf(elevation)).toBeNull()
      }
    }), RUNS)
  })
})

describe('when it starts', () => {
  const WAITING = life([0, asks(1, { starts: 30 })])

  test('[ELV10] what it waits for comes later or sooner; one that comes now starts it', () => {
    const deferred = (seconds: number, at = 5) => apply(WAITING, { kind: 'elevation.deferred', elevation: elevationId(1), startsAt: later(seconds) }, at)
    expect(of(deferred(40).record).state).toEqual({ is: 'scheduled', startsAt: later(40) })
    expect(of(deferred(10).record).state).toEqual({ is: 'scheduled', startsAt: later(10) })
    expect(deferred(30)).toMatchObject({ facts: [], rejected: null })
    expect(of(deferred(5).record).state).toEqual({ is: 'active', since: later(5), until: later(65) })
  })

  test('[ELV10] only one that waits is started or deferred, and only one that is there', () => {
    for (const kind of ['elevation.started', 'elevation.deferred'] as const) {
      const news = (n: number): SessionNews => ({ kind, elevation: elevationId(n), startsAt: later(99) })
      expect(apply(WAITING, news(9), 40).rejected?.rejected).toBe('not_found')
      for (const session of [life([0, asks(1)]), life([0, asks(1, { needs: 1 })]), life([0, asks(1)], [1, ends('revoked')]), life([0, NARROW], [1, asks(1)])]) expect(apply(session, news(1), 40)).toEqual({ record: session, facts: [], rejected: null })
    }
  })

  test('[ELV7, ELV10] under a cap it waits on, suspended, and starts with `widen`', () => {
    const held = apply(life([0, asks(1, { starts: 30 })], [1, NARROW]), starts(1), 30).record
    expect(of(held).state).toEqual({ is: 'suspended', since: null, until: null })
    expect(of(apply(held, WIDEN, 50).record).state).toEqual({ is: 'active', since: later(50), until: later(110) })
  })

  test('[ELV10] in any story the passing of time starts nothing that waits', () => {
    let waited = 0
    fc.assert(fc.property(STORIES, steps => {
      for (const { before, after, signal } of ofOneLife(steps)) {
        for (const { id, state } of before.elevations) {
          const is = inState(after, id)
          if (state.is !== 'scheduled' || is === 'scheduled') continue
          waited++
          expect(is === 'ended' || signal.kind === 'elevation.started' || signal.kind === 'elevation.deferred', `${signal.kind} → ${is}`).toBe(true)
        }
      }
    }), RUNS)
    expect(waited).toBeGreaterThan(20)
  })
})

describe('when it ends at the latest', () => {
  const BOUND = { endsBy: later(20) }

  test('[PUR5] a signed purpose bounds the time it runs, and every extension', () => {
    const running = life([0, asks(1, {}, BOUND)])
    expect(of(running).state).toMatchObject({ is: 'active', until: later(20) })
    expect(apply(running, extends_(1), 1).rejected?.rejected).toBe('limit_reached')
    expect(of(apply(running, PASSED, 20).record).state).toMatchObject({ is: 'ended', reason: 'purpose_over' })
    expect(apply(running, PASSED, 19).facts).toEqual([])
  })

  test('[PUR5] one that waited for longer than its purpose goes on never starts', () => {
    const scheduled = life([0, asks(1, { starts: 30 }, BOUND)])
    expect(of(apply(scheduled, starts(1), 30).record).state).toMatchObject({ is: 'ended', reason: 'purpose_over' })
    expect(of(apply(scheduled, PASSED, 20).record).state).toMatchObject({ is: 'ended', reason: 'purpose_over' })
    const requested = life([0, asks(1, { needs: 1 }, BOUND)])
    expect(of(apply(requested, approves(1), 20, ANN).record).state).toMatchObject({ is: 'ended', reason: 'purpose_over' })
    expect(of(apply(requested, PASSED, 20).record).state.is).toBe('expired')
    const held = life([0, NARROW], [0, asks(1, {}, BOUND)])
    expect(of(apply(held, WIDEN, 20).record).state).toMatchObject({ is: 'ended', reason: 'purpose_over' })
    expect(of(apply(held, WIDEN, 5).record).state).toEqual({ is: 'active', since: later(5), until: later(20) })
  })

  test('[PUR5, ELV4] in any story nothing runs beyond it', () => {
    let bound = 0
    fc.assert(fc.property(STORIES, steps => {
      for (const { result } of tell(steps).told) {
        for (const { state, endsBy } of result.record?.elevations ?? []) {
          if (state.is !== 'active' || endsBy === null) continue
          bound++
          expect(state.until).toBeLessThanOrEqual(endsBy)
        }
      }
    }), RUNS)
    expect(bound).toBeGreaterThan(20)
  })

  test('[ELV4] without a new approval it is extended one time', () => {
    const once = life([0, asks(1)], [1, extends_(10, true)])
    expect(of(once)).toMatchObject({ extended: true, state: { until: later(70) } })
    expect(apply(once, extends_(10, true), 2).rejected?.rejected).toBe('limit_reached')
    expect(of(apply(once, extends_(10), 2).record)).toMatchObject({ extended: true, state: { until: later(80) } })
    expect(of(life([0, asks(1)], [1, extends_(10)])).extended).toBe(false)
  })

  test('[LIM1, ELV5] one whose uses are spent is told so once, and over by nothing but its end', () => {
    const spent = life([0, asks(1)], [1, { kind: 'elevation.spent', elevation: elevationId(1) }])
    expect(of(spent)).toMatchObject({ spent: true, state: { is: 'active' } })
    expect(apply(spent, { kind: 'elevation.spent', elevation: elevationId(1) }, 2)).toEqual({ record: spent, facts: [], rejected: null })
    const over = life([0, asks(1)], [1, ends('limit_reached')])
    expect(apply(over, { kind: 'elevation.spent', elevation: elevationId(1) }, 2)).toEqual({ record: over, facts: [], rejected: null })
  })
})

describe('what it leaves behind', () => {
  const AFTER: Then = { id: followerOf(elevationId(1)), profile: 'tidy', adds: ['mail:send'], uses: 1, for: duration(5_000), recording: true }
  const THEN: Partial<Elevation> = { afterEnd: AFTER, purposes: { ticket: 'OPS-1' }, proofs: { ticket: 'claimed' }, workload: 'spiffe://test/agent', keyThumbprint: 'k1' }
  const RUNNING = life([0, asks(1, {}, THEN)])
  const told = (facts: readonly SessionFact[]) => facts.map(({ what }) => what)

  test('[ELV13] behind an end that nobody asked for one short elevation starts, for the same purposes and bound to the same, and leaves nothing itself', () => {
    for (const reason of ['ticket_closed', 'window_closed', 'limit_reached'] as const) {
      const { record, facts } = apply(RUNNING, ends(reason), 10)
      expect(told(facts)).toEqual(['elevation.ended', 'elevation.requested', 'elevation.activated'])
      expect(facts[0]).toMatchObject({ reason, unfinished: true })
      expect(record?.elevations[1]).toMatchObject({
        id: followerOf(elevationId(1)), follows: elevationId(1), profile: 'tidy', adds: ['mail:send'], purposes: { ticket: 'OPS-1' }, proofs: { ticket: 'claimed' }, workload: 'spiffe://test/agent', keyThumbprint: 'k1', ties: [], recording: true,
        limits: { uses: 1 }, budget: { counter: `after/${followerOf(elevationId(1))}` }, state: { is: 'active', since: later(10), until: later(15) },
      })
      expect(record?.elevations[1]?.afterEnd).toBeNull()
      expect(told(apply(record, PASSED, 15).facts)).toEqual(['elevation.ended'])
    }
    expect(told(apply(RUNNING, PASSED, 60).facts)).toEqual(['elevation.ended', 'elevation.requested', 'elevation.activated'])
  })

  test('[ELV13] behind an end that somebody meant, behind the end of its session, and where it never ran: nothing', () => {
    for (const reason of ['revoked', 'released'] as const) {
      const { facts } = apply(RUNNING, ends(reason), 10)
      expect([told(facts), facts[0]]).toMatchObject([['elevation.ended'], { unfinished: false }])
    }
    expect(told(apply(RUNNING, { kind: 'session.terminated', reason: 'revoked' }, 10).facts)).toEqual(['elevation.ended', 'session.revoked'])
    for (const never of [life([0, asks(1, { needs: 1 }, THEN)]), life([0, asks(1, { starts: 30 }, THEN)])]) expect(told(apply(never, ends('ticket_closed'), 10).facts)).toEqual(['elevation.ended'])
  })

  test('[ELV13, ENF5] under a cap it waits as any other; what time ended meanwhile leaves it with `widen` too', () => {
    const narrowed = life([0, asks(1, {}, THEN)], [5, NARROW])
    const { record } = apply(narrowed, PASSED, 60)
    expect(record?.elevations.map(({ state }) => state.is)).toEqual(['ended', 'suspended'])
    expect(inState(apply(record, WIDEN, 70).record, followerOf(elevationId(1)))).toBe('active')
    expect(apply(narrowed, WIDEN, 60).record?.elevations.map(({ state }) => state.is)).toEqual(['ended', 'active'])
  })

  test('[ELV13, ELV5] in any story it comes once, behind one that ran and ended unasked, and bounded', () => {
    const unasked = new Set(['time_up', 'purpose_over', 'ticket_closed', 'window_closed', 'limit_reached'])
    let followers = 0
    fc.assert(fc.property(STORIES, steps => {
      const seen = new Set<string>()
      for (const { before, after } of ofOneLife(steps)) {
        for (const follower of after.elevations) {
          const { follows, id, state } = follower
          if (follows === null) continue
          if (state.is === 'active') expect(state.until).toBeLessThanOrEqual(state.since + 5_000)
          if (before.elevations.some(each => each.id === id)) continue
          followers++
          expect(seen.has(`${after.id} ${id}`)).toBe(false)
          seen.add(`${after.id} ${id}`)
          const [was, is] = [before, after].map(({ elevations }) => elevations.find(each => each.id === follows)?.state)
          expect([was?.is === 'active' || was?.is === 'suspended', is?.is === 'ended' && unasked.has(is.reason)]).toEqual([true, true])
        }
      }
    }), RUNS)
    expect(followers).toBeGreaterThan(10)
  })
})

describe('one of its kind', () => {
  const ALONE = { alone: true }

  test('[ELV2] a later one takes the place of one for the same; for another ticket or profile both live', () => {
    const one = (n: number, more: Partial<Elevation> = {}, changes = {}) => asks(n, changes, { ...ALONE, ...more })
    const states = (...news: readonly SessionNews[]) => life(...news.map((each, i) => [i, each] as const)).elevations.map(({ state }) => (state.is === 'ended' ? state.reason : state.is))
    expect(states(one(1), one(2))).toEqual(['superseded', 'active'])
    expect(states(one(1), one(2, { purposes: { ticket: 'OPS-2' } }))).toEqual(['active', 'active'])
    expect(states(one(1), one(2, {}, { profile: 'read' }))).toEqual(['active', 'active'])
    expect(states(one(1), one(2, {}, { needs: 1 }))).toEqual(['active', 'requested'])
    expect(states(one(1), one(2, {}, { needs: 1 }), one(3))).toEqual(['superseded', 'requested', 'active'])
    expect(states(one(1), one(2, { alone: false }))).toEqual(['active', 'active'])
  })

  test('[ELV2, ENF5] also where both wait for `widen`: only the later one comes back', () => {
    const both = life([0, NARROW], [1, asks(1, {}, ALONE)], [2, asks(2, {}, ALONE)])
    expect(apply(both, WIDEN, 5).record?.elevations.map(({ state }) => (state.is === 'ended' ? state.reason : state.is))).toEqual(['superseded', 'active'])
  })

  test('[ELV2, ELV5] in any story of one kind that lives alone one runs, and none that is over comes back', () => {
    let replaced = 0
    fc.assert(fc.property(STORIES, steps => {
      for (const { before, after, result } of ofOneLife(steps)) {
        replaced += result.facts.filter(fact => fact.what === 'elevation.ended' && fact.reason === 'superseded').length
        expect(after.elevations.filter(({ alone, state }) => alone && state.is === 'active').length).toBeLessThanOrEqual(1)
        for (const was of before.elevations.filter(isOver)) expect(after.elevations.find(({ id }) => id === was.id) ?? was).toEqual(was)
      }
    }), RUNS)
    expect(replaced).toBeGreaterThan(5)
  })
})

test('[ELV17] the same ask again is the one that was; another one under its id is refused', () => {
  const asked = life([0, asks(1, {}, { asked: 'digest' })])
  expect(apply(asked, asks(1, {}, { asked: 'digest' }), 5)).toEqual({ record: asked, facts: [], rejected: null })
  expect(apply(asked, asks(1, {}, { asked: 'other' }), 5)).toMatchObject({ facts: [], rejected: { rejected: 'repeat_differs' } })
})

test('[ELV5, SIG2] a story told to the millisecond has one answer: nothing is active at its own end', () => {
  fc.assert(fc.property(STORIES, steps => {
    const { session, now } = tell(steps)
    const settled = transition(session, asSignal(PASSED), now).record
    const live = settled?.elevations.map(({ state }) => state) ?? []
    for (const state of live) if (state.is === 'active') expect(state.until).toBeGreaterThan(now)
  }), RUNS)
})
