// The log alone rebuilds what is stored. SPEC: AUD1
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Anchor, type Lock, type LockId } from '../../../src/core/anchor.ts'
import { isOver } from '../../../src/core/elevation.ts'
import type { AnchorFact, LockFact, SessionFact } from '../../../src/core/fact.ts'
import { applyToAnchor, applyToLock, applyToSession, replaySession } from '../../../src/core/replay.ts'
import { ENDED_ELEVATIONS_KEPT, OPEN_ELEVATIONS_MAX, type Session } from '../../../src/core/session.ts'
import type { LockNews, SignalId } from '../../../src/core/signal.ts'
import { duration, instant } from '../../../src/core/time.ts'
import { transition, transitionAnchor, transitionLock } from '../../../src/core/transition.ts'
import { elevationId, elevationOf, START, story, tell, TICKET } from './news.ts'

/** As the trail file gives them back. */
const read = <T>(facts: readonly T[]): readonly T[] => JSON.parse(JSON.stringify(facts)) as readonly T[] // what was written is what is read
const told = (n: number) => ({ id: `sig_${n}` as SignalId, by: 'operator', note: `note ${n}` }) // a test word

describe('sessions', () => {
  test('[AUD1] after any news the record is the fold of all its facts, read back from text', () => {
    fc.assert(fc.property(story, steps => {
      const { session, facts } = tell(steps)
      expect(replaySession(facts)).toEqual(session)
      expect(replaySession(read(facts))).toEqual(session)
    }), { numRuns: 400 })
  })

  test('[AUD1] each step folds onto the record before it, and versions name no gap', () => {
    fc.assert(fc.property(story, steps => {
      let version = 0
      for (const { before, result } of tell(steps).told) {
        expect(result.facts.reduce<Session | null>(applyToSession, before)).toEqual(result.record)
        if (result.facts.length > 0) version += 1
        for (const fact of result.facts) expect(fact.version).toBe(version)
      }
    }))
  })

  test('[AUD1] a log that does not begin with the opening is incomplete, and said to be', () => {
    const fact = { at: START, because: 'sig_1' as SignalId, by: 'x', note: '', version: 2, what: 'session.widened' } satisfies SessionFact // a test word
    expect(() => replaySession([fact])).toThrow('the log begins with session.widened')
    expect(replaySession([])).toBeNull()
  })

  test('[AUD1] a revocation never moves the mark back', () => {
    const opens: Pick<SessionFact, 'at' | 'because' | 'by' | 'note'> = { at: START, because: 'sig_1' as SignalId, by: 'x', note: '' } // a test word
    const { facts } = tell(fc.sample(story, { numRuns: 1, seed: 1 })[0]?.slice(0, 1) ?? [])
    const revoked = (at: number, version: number): SessionFact => ({ ...opens, at: instant(at), version, what: 'session.revoked', reason: 'revoked' })
    expect(replaySession([...facts, revoked(START + 10, 2), revoked(START + 5, 3)])?.notBefore).toBe(START + 10)
  })

  test('[ELV9] the record stays small: the oldest ended elevations make way, open ones never', () => {
    let session = tell(fc.sample(story, { numRuns: 1, seed: 2 })[0]?.slice(0, 1) ?? []).session
    const apply = (n: number, news: Parameters<typeof transition>[1]): void => {
      session = transition(session, news, instant(START + n)).record
    }
    for (let n = 0; n < 100; n += 1) {
      const elevation = elevationOf({ id: elevationId(n), profile: 'fix', adds: [], for: 60, more: 0, needs: 1, starts: null, expires: null }, START)
      apply(n, { ...told(n), kind: 'elevation.requested', elevation, startsAt: null })
      if (n % 4 !== 0) apply(n, { ...told(n), kind: 'elevation.denied', elevation: elevation.id })
    }
    const over = session?.elevations.filter(isOver) ?? []
    expect(session?.elevations.filter(e => !isOver(e))).toHaveLength(25)
    expect(over.length).toBeLessThanOrEqual(ENDED_ELEVATIONS_KEPT + 1)
    expect(over.at(-1)?.id).toBe('elv_99')
  })

  test('[ELV9] a story of any length keeps the record within its bound', () => {
    fc.assert(fc.property(story, steps => {
      for (const { result } of tell(steps).told) expect(result.record?.elevations.length ?? 0).toBeLessThanOrEqual(OPEN_ELEVATIONS_MAX + ENDED_ELEVATIONS_KEPT)
    }))
  })
})

describe('anchors and locks', () => {
  const waits = fc.integer({ min: 0, max: 5 })

  test('[AUD1] an anchor is the fold of its facts; its generation is the instant of its last end, and never one it had', () => {
    const news = fc.record({ wait: waits, kind: fc.constantFrom('anchor.opened' as const, 'anchor.ended' as const) })
    fc.assert(fc.property(fc.array(news), steps => {
      let anchor: Anchor | null = null
      let now = START
      let end = 0
      const facts: AnchorFact[] = []
      for (const [n, { wait, kind }] of steps.entries()) {
        now = instant(now + wait)
        const result: ReturnType<typeof transitionAnchor> = transitionAnchor(TICKET, anchor, { ...told(n), kind, matter: null }, now)
        if (result.facts.some(({ what }) => what === 'anchor.ended')) end = Math.max(now, end + 1)
        anchor = result.record
        facts.push(...result.facts)
      }
      expect(read(facts).reduce<Anchor | null>(applyToAnchor, null)).toEqual(anchor)
      expect(anchor?.generation ?? 0).toBe(end)
      expect(anchor?.version ?? 0).toBe(facts.length)
    }))
  })

  test('[AUD1] a lock is the fold of its facts', () => {
    const set = fc.record({ effect: fc.constantFrom('deny', 'freeze', 'baseline'), until: fc.option(fc.integer({ min: -5, max: 20 }), { nil: null }) })
    const news = fc.record({ wait: waits, set: fc.option(set, { nil: null }) })
    fc.assert(fc.property(fc.array(news), steps => {
      let lock: Lock | null = null
      let now = START
      const facts: LockFact[] = []
      for (const [n, step] of steps.entries()) {
        now = instant(now + step.wait)
        const kind: LockNews = step.set === null
          ? { kind: 'lock.lifted' }
          : { kind: 'lock.set', lock: `lck_${n}` as LockId, selector: { kind: 'tenant', value: 'acme' }, effect: step.set.effect, reason: 'locked', until: step.set.until === null ? null : instant(now + step.set.until) } // a test word
        const result: ReturnType<typeof transitionLock> = transitionLock(lock, { ...told(n), ...kind }, now)
        lock = result.record
        facts.push(...result.facts)
      }
      expect(read(facts).reduce<Lock | null>(applyToLock, null)).toEqual(lock)
    }))
  })

  test('[AUD1] a log that lifts a lock it never set is incomplete', () => {
    const lifted: LockFact = { at: START, because: 'sig_1' as SignalId, by: 'x', note: '', version: 1, what: 'lock.lifted' } // a test word
    expect(() => applyToLock(null, lifted)).toThrow('never set')
  })

  test('[SES9] durations and instants are plain milliseconds in the log', () => {
    expect(read([{ for: duration(1_500), at: START }])).toEqual([{ for: 1_500, at: START }])
  })
})
