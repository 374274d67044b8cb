// The total tables: every news has an answer in every state, and what takes away never gives. Properties hold over random stories. SPEC: SIG1-SIG4, SES4-SES6, ELV1-ELV9, APR1-APR3, ENF5-ENF8
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Anchor, Lock, LockId } from '../../../src/core/anchor.ts'
import { type Drift, NOT_BOUND } from '../../../src/core/binding.ts'
import { effective } from '../../../src/core/effective.ts'
import { approvalsNeeded, type Elevation, isOver } from '../../../src/core/elevation.ts'
import { tieBroken } from '../../../src/core/footing.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import type { Policy, Profile } from '../../../src/core/policy.ts'
import { type Cap, cappedTo, type Session } from '../../../src/core/session.ts'
import { isRestrictive, type LockNews, type SessionNews } from '../../../src/core/signal.ts'
import { duration, type Instant, instant } from '../../../src/core/time.ts'
import { transition, transitionAnchor, transitionLock } from '../../../src/core/transition.ts'
import { SESSION_TABLE } from '../../../src/core/transitions/table.ts'
import { PLAIN_PROFILE } from '../../support/plain.ts'
import { approves, asks, asSignal, later, life, NARROW, of, ofOneLife, starts, told, WIDEN } from './lives.ts'
import { anyStep, CALLER, elevationId, newsOf, REQUESTER, SESSION_KINDS, signalOf, START, story, tell, TICKET } from './news.ts'

const RUNS = { numRuns: 400 }

describe('the table', () => {
  test('[SIG2] every status answers every kind of news', () => {
    for (const row of Object.values(SESSION_TABLE)) expect(Object.keys(row).sort()).toEqual([...SESSION_KINDS].sort())
  })

  for (const kind of SESSION_KINDS) {
    test(`[SIG2] ${kind}: facts of the next version, or nothing, or a refusal; never an exception`, () => {
      const met = new Set<string>()
      fc.assert(fc.property(fc.option(story, { nil: [] }), newsOf(kind), (steps, step) => {
        const { session, now } = tell(steps)
        met.add(session?.state.is ?? 'absent')
        const { record, facts, rejected } = transition(session, signalOf(step, now, 1_000), now)
        if (facts.length === 0) expect(record).toBe(session)
        else expect([rejected, record?.version]).toEqual([null, (session?.version ?? 0) + 1])
        for (const fact of facts) expect(fact).toMatchObject({ version: record?.version, at: now, because: 'sig_1000', by: step.by })
      }), { numRuns: 150, seed: 7 })
      expect([...met].sort()).toEqual(['absent', 'lapsed', 'live', 'revoked'])
    })
  }

  test('[SIG3] news about a session nobody has seen is refused, except its opening', () => {
    fc.assert(fc.property(anyStep, step => {
      const signal = signalOf(step, START, 0)
      const { record, rejected } = transition(null, signal, START)
      expect(record?.state.is ?? rejected?.rejected).toBe(signal.kind === 'session.opened' ? 'live' : 'not_found')
    }))
  })
})

describe('what takes away', () => {
  test('[SIG4] the same restrictive news twice changes nothing the second time', () => {
    fc.assert(fc.property(story, anyStep, (steps, step) => {
      const { session, now } = tell(steps)
      const signal = signalOf(step, now, 1_000)
      fc.pre(isRestrictive(signal.kind))
      const once = transition(session, signal, now).record
      const twice = transition(once, signal, now)
      expect([twice.record, twice.facts]).toEqual([once, []])
    }), RUNS)
  })

  test('[SIG4] restrictive news never gives: no thaw, no looser cap, no later end, no elevation that was not running, but what its end leaves behind', () => {
    fc.assert(fc.property(story, steps => {
      for (const { before, after } of ofOneLife(steps).filter(one => isRestrictive(one.signal.kind))) {
        if (after.state.is === 'live') expect(before.state.is).toBe('live')
        if (after.state.is === 'live' && before.frozen !== null) expect(after.frozen).toEqual(before.frozen)
        expect(after.endsAt).toBeLessThanOrEqual(before.endsAt)
        expect(after.notBefore ?? 0).toBeGreaterThanOrEqual(before.notBefore ?? 0)
        for (const { id, state, follows } of after.elevations) {
          const was = before.elevations.find(e => e.id === id)?.state
          const ended = before.elevations.find(e => e.id === follows)
          if (state.is !== 'active') continue
          if (was === undefined) expect([ended?.state.is === 'active' || ended?.state.is === 'suspended', after.elevations.find(e => e.id === follows)?.state.is]).toEqual([true, 'ended'])
          else expect(was).toEqual(state)
        }
      }
    }), RUNS)
  })

  test('[ENF5] a cap only tightens until `widen`', () => {
    const tightness: { readonly [C in Cap['is']]: number } = { none: 0, scopes: 1, baseline: 2 }
    fc.assert(fc.property(story, steps => {
      for (const { before, after, signal } of ofOneLife(steps).filter(one => one.signal.kind !== 'session.widened')) {
        expect(tightness[after.cap.is], signal.kind).toBeGreaterThanOrEqual(tightness[before.cap.is])
        const [held, left] = [cappedTo(before.cap), cappedTo(after.cap)]
        if (held !== null) expect(held, signal.kind).toEqual(expect.arrayContaining([...(left ?? ['everything'])]))
        expect(after.barred).toEqual(expect.arrayContaining([...before.barred]))
      }
    }), RUNS)
  })

  test('[ENF5] no elevation runs that the cap or a bar holds back', () => {
    fc.assert(fc.property(story, steps => {
      for (const { after } of ofOneLife(steps)) {
        for (const { state, profile } of after.elevations) if (state.is === 'active') expect([after.cap.is === 'baseline', after.barred.includes(profile)]).toEqual([false, false])
      }
    }), RUNS)
  })

  test('[SES4] a termination ends whatever there is; after it a freeze does nothing', () => {
    fc.assert(fc.property(story, steps => {
      const { session, now } = tell(steps)
      fc.pre(session !== null)
      const revoked = transition(session, asSignal({ kind: 'session.terminated', reason: 'revoked' }), now).record
      expect(revoked?.state.is).toBe('revoked')
      expect(revoked?.notBefore ?? (session?.state.is === 'revoked' ? now : 0)).toBeGreaterThanOrEqual(session?.state.is === 'revoked' ? 0 : now)
      expect(revoked?.elevations.every(isOver)).toBe(true)
      expect(transition(revoked, asSignal({ kind: 'session.frozen', until: null }), now)).toEqual({ record: revoked, facts: [], rejected: null })
    }), RUNS)
  })

  test('[ENF6] cap and freeze are independent, and each has its own way back', () => {
    const both = life([0, NARROW], [1, { kind: 'session.frozen', until: null }])
    const thawed = transition(both, asSignal({ kind: 'session.resumed' }), later(2)).record
    expect([thawed?.frozen, thawed?.cap]).toEqual([null, { is: 'baseline', scopes: null }])
    const wide = transition(both, asSignal(WIDEN), later(2)).record
    expect([wide?.frozen?.since, wide?.cap]).toEqual([later(1), { is: 'none' }])
  })
})

describe('lives', () => {
  test('[SES4] a session that a broker opened has one life, however it ended and whatever is shown for another', () => {
    let refused = 0
    fc.assert(fc.property(story, newsOf('session.opened'), (steps, step) => {
      const { session, now } = tell(steps)
      fc.pre(session !== null && session.brokered !== null && session.state.is !== 'live')
      refused += 1
      const { record, facts, rejected } = transition(session, signalOf(step, now, 1_000), now)
      expect([record, facts, rejected?.rejected]).toEqual([session, [], 'session_ended'])
    }), { numRuns: 100 })
    expect(refused).toBe(100)
  })

  test('[SES4] what a session is bound to, and what its broker said, stays as it was opened', () => {
    fc.assert(fc.property(story, steps => {
      for (const { before, after } of ofOneLife(steps)) expect([after.bindings, after.brokered]).toEqual([before.bindings, before.brokered])
    }), RUNS)
  })

  test('[SES4] an ended life never comes back: what follows has another id, no elevation and no cap', () => {
    let lives = 0
    fc.assert(fc.property(story, steps => {
      const ended = new Set<string>()
      for (const { before, result: { record } } of tell(steps).told) {
        if (before !== null && before.state.is !== 'live') ended.add(before.id)
        if (record?.state.is === 'live') expect(ended.has(record.id)).toBe(false)
        if (before === null || record === null || before.id === record.id) continue
        lives += 1
        expect([before.state.is === 'live', record.elevations, record.cap, record.barred, record.frozen, record.drifts]).toEqual([false, [], { is: 'none' }, [], null, []])
      }
    }), RUNS)
    expect(lives).toBeGreaterThan(5)
  })

  test('[SES5] a credential issued at or before the mark, or without an issue time, never opens a life; the mark stays', () => {
    let refused = 0
    fc.assert(fc.property(story, steps => {
      for (const { before, signal, result } of tell(steps).told) {
        if (signal.kind !== 'session.opened' || before === null || before.state.is === 'live' || before.notBefore === null) continue
        const { issuedAt } = signal.credential
        if (issuedAt === null || issuedAt <= before.notBefore) {
          refused += 1
          expect([result.rejected?.rejected, result.record]).toEqual([before.brokered === null ? 'credential_revoked' : 'session_ended', before])
        } else if (result.rejected === null) expect(result.record?.notBefore).toBe(before.notBefore)
      }
    }), RUNS)
    expect(refused).toBeGreaterThan(5)
  })

  test('[SES5] exactly at the mark is refused, one millisecond later opens', () => {
    const revoked = life([10, { kind: 'session.terminated', reason: 'revoked' }])
    const opens = (issuedAt: Instant | null): string => {
      const { principal, key, epoch } = revoked
      const signal = asSignal({ kind: 'session.opened', key, session: 'ses_2' as Session['id'], epoch, principal, endsAt: later(9_000), credential: { id: 'cred_2', keyId: null, issuedAt, expiresAt: null }, bindings: NOT_BOUND, aliases: [], brokered: null }) // a test word
      const { record, rejected } = transition(revoked, signal, later(20))
      return rejected?.rejected ?? record?.state.is ?? 'absent'
    }
    expect([opens(null), opens(later(9)), opens(later(10)), opens(instant(later(10) + 1))]).toEqual(['credential_revoked', 'credential_revoked', 'credential_revoked', 'live'])
  })

  test('[SES5] after its longest life a key needs a credential issued after that life began', () => {
    const worn = life([3_600, { kind: 'time.passed' }])
    expect(worn.state).toMatchObject({ is: 'lapsed', reason: 'max_reached' })
    const { principal, key, epoch } = worn
    const opens = (issuedAt: Instant | null): string | null => {
      const news: SessionNews = { kind: 'session.opened', key, session: 'ses_2' as Session['id'], epoch, principal, endsAt: later(9_000), credential: { id: 'c', keyId: null, issuedAt, expiresAt: null }, bindings: NOT_BOUND, aliases: [], brokered: null } // a test word
      return transition(worn, asSignal(news), later(3_601)).rejected?.rejected ?? null
    }
    expect([opens(START), opens(later(1)), opens(null)]).toEqual(['max_reached', null, null])
  })

  test('[SES6] the newest credential stays, in whatever order they come', () => {
    const rank = ({ issuedAt, expiresAt }: Session['credential']): readonly number[] => [issuedAt ?? 0, expiresAt ?? Infinity]
    fc.assert(fc.property(story, steps => {
      for (const { before, after } of ofOneLife(steps)) {
        const [was, is] = [rank(before.credential), rank(after.credential)]
        expect((is[0] ?? 0) > (was[0] ?? 0) || ((is[0] ?? 0) === (was[0] ?? 0) && (is[1] ?? 0) >= (was[1] ?? 0))).toBe(true)
      }
    }), RUNS)
  })

  test('[SES6] a freeze that lasts too long ends the life for good', () => {
    const frozen = life([0, { kind: 'session.frozen', until: later(60) }])
    expect(transition(frozen, asSignal({ kind: 'time.passed' }), instant(later(60) - 1)).facts).toEqual([])
    expect(transition(frozen, asSignal({ kind: 'time.passed' }), later(60)).record?.state).toEqual({ is: 'revoked', at: later(60), reason: 'frozen_too_long' })
  })
})

describe('drifts', () => {
  const drifts = (binding: Drift['binding'], shown: string): SessionNews => ({ kind: 'binding.drifted', drift: { binding, shown } })

  test('[BND5] a drift is told once; another value of the same binding, and another binding, are others', () => {
    const drifted = life([1, drifts('source', '192.0.2.9')])
    expect(drifted).toMatchObject({ version: 2, drifts: [{ binding: 'source', shown: '192.0.2.9' }] })
    expect(transition(drifted, asSignal(drifts('source', '192.0.2.9')), later(2))).toEqual({ record: drifted, facts: [], rejected: null })
    const others = life([1, drifts('source', '192.0.2.9')], [2, drifts('source', '')], [3, drifts('device', '192.0.2.9')])
    expect(others.drifts).toEqual([{ binding: 'source', shown: '192.0.2.9' }, { binding: 'source', shown: '' }, { binding: 'device', shown: '192.0.2.9' }])
  })

  test('[BND5] one life tells of eight, and nothing else of it changes', () => {
    const eight = life(...Array.from({ length: 8 }, (_, n) => [n, drifts('key', `k${n}`)] as const))
    const { drifts: told, ...rest } = eight
    expect(told.map(({ shown }) => shown)).toEqual(['k0', 'k1', 'k2', 'k3', 'k4', 'k5', 'k6', 'k7'])
    expect(rest).toEqual({ ...life(), version: 9, drifts: undefined })
    expect(transition(eight, asSignal(drifts('key', 'k8')), later(9))).toEqual({ record: eight, facts: [], rejected: null })
  })

  test('[BND5] of a life that is over nothing is told, and a frozen one drifts as any other', () => {
    for (const ended of [life([1, { kind: 'session.lapsed', reason: 'idle' }]), life([1, { kind: 'session.terminated', reason: 'revoked' }])]) {
      expect(transition(ended, asSignal(drifts('key', 'k1')), later(2))).toEqual({ record: ended, facts: [], rejected: null })
    }
    expect(life([1, { kind: 'session.frozen', until: null }], [2, drifts('tenant', '')]).drifts).toEqual([{ binding: 'tenant', shown: '' }])
  })

  test('[BND5] no story tells of more than eight in one life, or of one twice', () => {
    let most = 0
    fc.assert(fc.property(story, fc.array(newsOf('binding.drifted'), { maxLength: 20, size: 'max' }), (steps, more) => {
      for (const { result } of tell([...steps, ...more]).told) {
        const names = result.record?.drifts.map(({ binding, shown }) => `${binding} ${shown}`) ?? []
        most = Math.max(most, names.length)
        expect([names.length <= 8, new Set(names).size]).toEqual([true, names.length])
      }
    }), RUNS)
    expect(most).toBe(8)
  })
})

describe('elevations', () => {
  test('[ELV2] no way back from a terminal state', () => {
    fc.assert(fc.property(story, steps => {
      for (const { before, after } of ofOneLife(steps)) {
        for (const was of before.elevations.filter(isOver)) {
          const is = after.elevations.find(({ id }) => id === was.id)
          if (is !== undefined) expect(is.state).toEqual(was.state)
        }
      }
    }), RUNS)
  })

  test('[ELV3] no elevation lasts beyond its longest time, however often it is extended', () => {
    let extended = 0
    fc.assert(fc.property(story, steps => {
      for (const { after, result } of ofOneLife(steps)) {
        extended += result.facts.filter(({ what }) => what === 'elevation.extended').length
        for (const { state, max } of after.elevations) {
          if ((state.is === 'active' || state.is === 'suspended') && state.since !== null && state.until !== null) expect(state.until).toBeLessThanOrEqual(state.since + max)
        }
      }
    }), { numRuns: 2_000 })
    expect(extended).toBeGreaterThan(5)
  })

  test('[ELV3] an extension up to the longest time is given, one millisecond more is not', () => {
    const running = life([0, asks(1)])
    const extend = (more: number) => transition(running, asSignal({ kind: 'elevation.extended', elevation: elevationId(1), more: duration(more), once: false }), later(1))
    expect(of(extend(60_000).record).state).toMatchObject({ until: later(120) })
    expect(extend(60_001).rejected?.rejected).toBe('limit_reached')
  })

  test('[APR1] nobody approves its own request, under any of its names', () => {
    const waiting = life([0, asks(1, { needs: 1 })])
    for (const [by, barred] of [[REQUESTER, []], [CALLER, []], ['https://other|alias', ['https://other|alias']]] as const) {
      expect(transition(waiting, asSignal(approves(1, null, null, barred), by), later(1))).toMatchObject({ facts: [], rejected: { rejected: 'denied' } })
    }
    expect(of(transition(waiting, asSignal(approves(1), 'https://other|alias'), later(1)).record).state.is).toBe('active')
  })

  test('[APR2] approvals only shrink what was asked for, and only enough different approvers start it', () => {
    let approvals = 0
    fc.assert(fc.property(story, steps => {
      for (const { before, after, signal } of ofOneLife(steps)) {
        for (const is of after.elevations) {
          const was = before.elevations.find(({ id }) => id === is.id)
          if (was !== undefined) {
            expect(was.adds).toEqual(expect.arrayContaining([...is.adds]))
            expect(is.for).toBeLessThanOrEqual(was.for)
          }
          const by = is.approvals.map(approval => approval.by)
          approvals += signal.kind === 'elevation.approved' && by.length > (was?.approvals.length ?? 0) ? 1 : 0
          expect([by.includes(REQUESTER), by.includes(CALLER), new Set(by).size]).toEqual([false, false, by.length])
          if (is.state.is === 'active' || is.state.is === 'suspended' || is.state.is === 'scheduled') expect(by.length).toBe(approvalsNeeded(is))
        }
      }
    }), { numRuns: 1_200 })
    expect(approvals).toBeGreaterThan(5)
  })

  test('[APR2, APR4] two approvers: the narrower of both words, and the clock starts with the second', () => {
    const waiting = life([0, asks(1, { needs: 2 })], [1, approves(1, ['db:read', 'mail:send'], 600), 'https://idp.test|ann'])
    expect(of(waiting)).toMatchObject({ adds: ['db:read'], for: 60_000, state: { is: 'requested' } })
    expect(transition(waiting, asSignal(approves(1), 'https://idp.test|ann'), later(2)).rejected?.rejected).toBe('conflict')
    expect(transition(waiting, asSignal(approves(1, null, 30), 'https://idp.test|bob'), later(5)).rejected).toMatchObject({ rejected: 'conflict', says: 'the request changed since it was shown' })
    const running = transition(waiting, asSignal(approves(1, null, 30, [], { revision: 1 }), 'https://idp.test|bob'), later(5)).record
    expect(of(running)).toMatchObject({ adds: ['db:read'], for: 30_000, state: { is: 'active', since: later(5), until: later(35) } })
  })

  test('[APR3] a request whose time to approve is over starts no more', () => {
    const waiting = life([0, asks(1, { needs: 1, expires: 30 })])
    expect(transition(waiting, asSignal(approves(1), 'https://idp.test|ann'), later(30)).rejected?.rejected).toBe('conflict')
    expect(of(transition(waiting, asSignal({ kind: 'time.passed' }), later(30)).record).state.is).toBe('expired')
  })

  test('[ELV5] the clock of a suspended elevation runs on: widened in time it has the same end, too late it is over', () => {
    const narrowed = life([0, asks(1)], [10, NARROW])
    expect(of(narrowed).state).toEqual({ is: 'suspended', since: START, until: later(60) })
    expect(of(transition(narrowed, asSignal(WIDEN), later(59)).record).state).toEqual({ is: 'active', since: START, until: later(60) })
    expect(of(transition(narrowed, asSignal(WIDEN), later(60)).record).state).toMatchObject({ is: 'ended', reason: 'time_up' })
    expect(of(transition(narrowed, asSignal({ kind: 'time.passed' }), later(60)).record).state).toMatchObject({ is: 'ended', reason: 'time_up' })
  })

  test('[ELV5] one approved under a cap waits for `widen`, and starts its clock there', () => {
    const waiting = life([0, NARROW], [1, asks(1, { needs: 1 })], [2, approves(1), 'https://idp.test|ann'])
    expect(of(waiting).state).toEqual({ is: 'suspended', since: null, until: null })
    expect(of(transition(waiting, asSignal(WIDEN), later(500)).record).state).toEqual({ is: 'active', since: later(500), until: later(560) })
  })

  test('[ELV4, ELV10] one with a start waits for it, and for whoever looks at everything again; then it runs its whole time', () => {
    const waiting = life([0, asks(1, { starts: 30 })])
    expect(transition(waiting, asSignal({ kind: 'time.passed' }), later(29)).facts).toEqual([])
    expect(transition(waiting, asSignal({ kind: 'time.passed' }), later(30)).facts).toEqual([])
    expect(transition(waiting, asSignal(starts(1)), instant(later(30) - 1)).rejected?.rejected).toBe('conflict')
    expect(of(transition(waiting, asSignal(starts(1)), later(30)).record).state).toEqual({ is: 'active', since: later(30), until: later(90) })
  })

  test('[ELV1] a frozen session gets no elevation, and no session more than its limit', () => {
    const frozen = life([0, { kind: 'session.frozen', until: null }])
    expect(transition(frozen, asSignal(asks(1)), later(1)).rejected?.rejected).toBe('frozen')
    const full = life(...Array.from({ length: 32 }, (_, n) => [0, asks(n)] as const))
    expect(transition(full, asSignal(asks(99)), later(1)).rejected?.rejected).toBe('limit_reached')
  })
})

describe('what an elevation stands on', () => {
  const profile = (name: string): Profile => ({ ...PLAIN_PROFILE, name, title: '', adds: ['db:read', 'db:write'], for: duration(1), max: duration(1) })
  const policy = { profiles: new Map([['fix', profile('fix')]]), streams: [] } as unknown as Policy // `effective` reads nothing else of it
  const turns = fc.array(fc.record({ wait: fc.integer({ min: 0, max: 3 }), kind: fc.constantFrom('anchor.opened' as const, 'anchor.ended' as const) }), { maxLength: 12 })
  const moved = (anchor: Anchor | null, kind: 'anchor.opened' | 'anchor.ended', now: Instant): Anchor | null => transitionAnchor(TICKET, anchor, { ...told, kind, matter: null }, now).record

  test('[ELV6] once its anchor has ended, no reopening revives it; one requested after the reopening stands', () => {
    fc.assert(fc.property(turns, turns, (earlier, since) => {
      let anchor: Anchor | null = null
      let now = START
      for (const { wait, kind } of earlier) anchor = moved(anchor, kind, (now = instant(now + wait)))
      fc.pre(anchor?.state !== 'ended')
      const requested = asks(1, { for: 3_000 })
      if (requested.kind !== 'elevation.requested') throw new Error('not a request')
      const tied: Elevation = { ...requested.elevation, ties: [{ anchor: TICKET, generation: anchor?.generation ?? instant(0), reason: 'ticket_closed', position: null, level: null }] }
      const session = life([0, { ...requested, elevation: tied }])
      let broken = false
      for (const { wait, kind } of since) {
        anchor = moved(anchor, kind, (now = instant(now + wait)))
        broken ||= kind === 'anchor.ended'
        const found = anchor
        expect(tieBroken(tied, { find: () => found })).toBe(broken ? 'ticket_closed' : null)
        const standing = effective(session, [], { find: () => found }, NO_LOCKS, policy, now)
        expect([standing.carriers.length, standing.lost.get(tied.id)]).toEqual(broken ? [0, 'ticket_closed'] : [1, undefined])
      }
    }))
  })

  test('[ELV6] one requested while its anchor has ended carries nothing, whatever generation it saw', () => {
    const ended = moved(null, 'anchor.ended', later(5))
    const { elevation } = asks(1) as Extract<SessionNews, { kind: 'elevation.requested' }> // that is what `asks` makes
    expect(tieBroken({ ...elevation, ties: [{ anchor: TICKET, generation: later(5), reason: 'ticket_closed', position: null, level: null }] }, { find: () => ended })).toBe('ticket_closed')
    expect(tieBroken(elevation, { find: () => null })).toBeNull()
  })

  test('[SIG3] an end that comes before the anchor was ever seen is kept', () => {
    const ended = moved(null, 'anchor.ended', later(5))
    expect(ended).toMatchObject({ state: 'ended', generation: later(5), version: 1 })
    expect(moved(ended, 'anchor.opened', later(6))).toMatchObject({ state: 'open', generation: later(5), version: 2 })
  })

  test.each([['within one millisecond', 0], ['while the clock of another start is behind', -5_000]])('[SIG4] ended and opened again and again %s, an anchor has a new generation each time', (_, step) => {
    let anchor: Anchor | null = moved(null, 'anchor.opened', START)
    const seen = new Set<number>([anchor?.generation ?? NaN])
    for (let i = 1; i <= 20; i++) {
      const now = instant(START + i * step)
      anchor = moved(moved(anchor, 'anchor.ended', now), 'anchor.opened', now)
      seen.add(anchor?.generation ?? NaN)
    }
    expect([seen.size, anchor?.state]).toEqual([21, 'open'])
  })

  test('[SIG4] an anchor that has ended does not end again: its generation stays', () => {
    const ended = moved(null, 'anchor.ended', later(5))
    expect(moved(ended, 'anchor.ended', later(9))).toBe(ended)
  })
})

describe('locks', () => {
  const sets = (effect: Lock['effect'], until: Instant | null): LockNews => ({ kind: 'lock.set', lock: 'lck_1' as LockId, selector: { kind: 'tenant', value: 'acme' }, effect, reason: 'locked', until }) // a test word
  const apply = (lock: Lock | null, news: LockNews, seconds: number): Lock | null => transitionLock(lock, { ...told, ...news }, later(seconds)).record

  test('[ENF8] a second lock on a selector only adds: the stronger effect, the later end', () => {
    const first = apply(null, sets('freeze', later(60)), 0)
    expect(apply(first, sets('baseline', later(30)), 1)).toBe(first)
    expect(apply(first, sets('deny', later(30)), 1)).toMatchObject({ effect: 'deny', until: later(60), version: 2 })
    expect(apply(first, sets('baseline', null), 1)).toMatchObject({ effect: 'freeze', until: null })
  })

  test('[ENF8] one that has lifted, by hand or by time, is set anew', () => {
    const lifted = apply(apply(null, sets('deny', null), 0), { kind: 'lock.lifted' }, 1)
    expect(lifted).toMatchObject({ state: 'lifted', version: 2 })
    expect(apply(lifted, sets('baseline', null), 2)).toMatchObject({ state: 'set', effect: 'baseline', version: 3 })
    expect(apply(apply(null, sets('deny', later(10)), 0), sets('baseline', null), 10)).toMatchObject({ effect: 'baseline', until: null })
  })

  test('[ENF8] lifting what is not there, or lifted already, changes nothing', () => {
    expect(apply(null, { kind: 'lock.lifted' }, 0)).toBeNull()
    const lifted = apply(apply(null, sets('deny', null), 0), { kind: 'lock.lifted' }, 1)
    expect(apply(lifted, { kind: 'lock.lifted' }, 2)).toBe(lifted)
  })
})
