// Levels, decay and hysteresis; what is kept of a principal, and what it does to a session, as pure questions.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Anchor } from '../../../src/core/anchor.ts'
import { effective } from '../../../src/core/effective.ts'
import { tieBroken } from '../../../src/core/footing.ts'
import { NO_LOCKS } from '../../../src/core/locks.ts'
import { decayed, fallsTo, levelAt, type LevelActs, type LevelMark, levelOf, nextFall, NO_ACTS, NO_STANDING, REACHED_MAX, type RiskLevel, type RiskPolicy, SCORE_MAX, type Standing } from '../../../src/core/risk.ts'
import type { AnchorNews, SignalId } from '../../../src/core/signal.ts'
import { FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { transitionAnchor } from '../../../src/core/transition.ts'
import { applyToAnchor } from '../../../src/core/replay.ts'
import { NO_RISK } from '../../support/plain.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const level = (name: string, from: number, acts: Partial<LevelActs> = {}): RiskLevel => ({ name, at: from, acts: { ...NO_ACTS, ...acts } })
const RISK: RiskPolicy = { ...NO_RISK, levels: [level('medium', 40), level('high', 60), level('severe', 80)] }
const markOf = (name: string, from: number, since: Instant = NOW): LevelMark => ({ name, at: from, score: from, since, who: 'https://idp.test|agent', why: { contributions: [], tenants: [], request: null } })
const REF = { kind: 'principal', name: 'p' } as const

let turn = 0
const told = (anchor: Anchor | null, news: AnchorNews, seconds = 0) => transitionAnchor(REF, anchor, { ...news, id: `sig_${turn++}` as SignalId, by: 'risk', note: '' }, at(seconds)) // a word of the test
const standingOf = (anchor: Anchor | null): Standing => (anchor?.matter?.is === 'principal' ? anchor.matter : NO_STANDING)

describe('a score', () => {
  test('[RSK1] falls by half in each half-life, as a function of time alone', () => {
    expect(decayed(80, NOW, at(900), RISK.halfLife)).toBeCloseTo(40)
    expect(decayed(80, NOW, at(1_800), RISK.halfLife)).toBeCloseTo(20)
    expect(decayed(80, at(10), NOW, RISK.halfLife)).toBe(80) // a clock behind adds nothing
    fc.assert(fc.property(fc.double({ min: 0, max: SCORE_MAX, noNaN: true }), fc.nat(100_000), fc.nat(100_000), (points, first, second) => {
      const once = decayed(points, NOW, at(first + second), RISK.halfLife)
      expect(decayed(decayed(points, NOW, at(first), RISK.halfLife), at(first), at(first + second), RISK.halfLife)).toBeCloseTo(once, 6)
      expect(once).toBeGreaterThanOrEqual(0)
      expect(once).toBeLessThanOrEqual(points)
    }))
  })

  test('[RSK1] when it will be down to so much is when it is', () => {
    fc.assert(fc.property(fc.double({ min: 1, max: SCORE_MAX, noNaN: true }), fc.double({ min: 0.5, max: SCORE_MAX, noNaN: true }), (points, to) => {
      const when = fallsTo(points, to, NOW, RISK.halfLife)
      if (points <= to) expect(when).toBe(NOW)
      else expect(decayed(points, NOW, when, RISK.halfLife)).toBeLessThanOrEqual(to + 1e-9)
    }))
    expect(fallsTo(10, 0, NOW, RISK.halfLife)).toBe(FOREVER)
  })
})

describe('a level', () => {
  test('[RSK5] is reached at its threshold, upwards at once', () => {
    expect([39.9, 40, 59, 60, 500].map(score => levelOf(RISK, score, null, NOW)?.name ?? null)).toEqual([null, 'medium', 'medium', 'high', 'severe'])
    expect(levelOf(RISK, 85, markOf('medium', 40), NOW)?.name).toBe('severe')
  })

  test('[RSK5] is left only with the margin below it, and not before it stood for its time', () => {
    const held = markOf('high', 60)
    expect(levelOf(RISK, 59, held, at(3_600))?.name).toBe('high')
    expect(levelOf(RISK, 55.1, held, at(3_600))?.name).toBe('high')
    expect(levelOf(RISK, 54.9, held, at(3_600))?.name).toBe('medium')
    expect(levelOf(RISK, 0, held, at(3_600))).toBeNull()
    expect(levelOf(RISK, 0, held, at(59))?.name).toBe('high')
  })

  test('[RSK5] going up and down around a threshold changes it once', () => {
    fc.assert(fc.property(fc.array(fc.double({ min: 55.01, max: 64.9, noNaN: true }), { minLength: 2, maxLength: 50 }), scores => {
      let held: LevelMark | null = markOf('', 0)
      const seen = new Set<number>()
      for (const [i, score] of [60, ...scores].entries()) {
        const next = levelOf(RISK, score, held, at(i * 3_600))
        held = next === null ? null : markOf(next.name, next.at, at(i * 3_600))
        seen.add(next?.at ?? 0)
      }
      expect([...seen]).toEqual([60])
    }))
  })

  test('[RSK5] nothing is left before `nextFall`, and it is then', () => {
    fc.assert(fc.property(fc.double({ min: 60, max: SCORE_MAX, noNaN: true }), score => {
      const held = markOf(levelAt(RISK, score)?.name ?? '', levelAt(RISK, score)?.at ?? 0)
      const when = nextFall(RISK, score, held, NOW)
      expect(levelOf(RISK, decayed(score, NOW, instant(when - 1_000), RISK.halfLife), held, instant(when - 1_000))?.at).toBe(held.at)
      expect(levelOf(RISK, decayed(score, NOW, instant(when + 1), RISK.halfLife), held, instant(when + 1))?.at ?? 0).toBeLessThan(held.at)
    }))
  })

  test('[RSK5] that the configuration calls otherwise, or does not know any more, still counts by its threshold', () => {
    expect(levelAt({ levels: [level('warm', 30), level('hot', 70)] }, 60)?.name).toBe('warm')
    expect(levelAt({ levels: [] }, 60)).toBeNull()
  })
})

describe('what is kept of a principal', () => {
  test('[RSK4, SIG3] rises in any order, and twice, to the same', () => {
    const news: readonly AnchorNews[] = [{ kind: 'risk.rose', level: markOf('medium', 40) }, { kind: 'risk.rose', level: markOf('severe', 80) }, { kind: 'risk.rose', level: markOf('high', 60) }]
    fc.assert(fc.property(fc.shuffledSubarray([...news, ...news], { minLength: 6 }), order => {
      const anchor = order.reduce<Anchor | null>((held, one) => told(held, one).record, null)
      expect(standingOf(anchor).level?.name).toBe('severe')
      expect(standingOf(anchor).reached.some(({ at: from }) => from === 80)).toBe(true)
    }))
  })

  test('[RSK4] two that see the same crossing make one fact, and a fall that comes late is none', () => {
    const first = told(null, { kind: 'risk.rose', level: markOf('high', 60) })
    expect(first.facts).toHaveLength(1)
    expect(told(first.record, { kind: 'risk.rose', level: markOf('high', 60) }).facts).toHaveLength(0)
    expect(told(first.record, { kind: 'risk.fell', level: markOf('high', 60) }).facts).toHaveLength(0)
    const fell = told(first.record, { kind: 'risk.fell', level: markOf('medium', 40) })
    expect(standingOf(fell.record).level?.name).toBe('medium')
    expect(told(null, { kind: 'risk.fell', level: null }).facts).toHaveLength(0)
  })

  test('[RSK4] an operator’s word takes the level, the score and the taints named, and replaying the facts gives the same', () => {
    const taint = { name: 'secrets', since: NOW, until: null, rule: 'vault#1', exchange: 'exc_1' }
    const news: readonly AnchorNews[] = [{ kind: 'risk.rose', level: markOf('high', 60) }, { kind: 'principal.tainted', taint }, { kind: 'principal.tainted', taint: { ...taint, name: 'pii' } }, { kind: 'principal.cleared', risk: true, taints: ['pii'] }]
    let anchor: Anchor | null = null
    let replayed: Anchor | null = null
    for (const [i, one] of news.entries()) {
      const { record, facts } = told(anchor, one, i)
      anchor = record
      replayed = facts.reduce<Anchor | null>(applyToAnchor, replayed)
    }
    expect(standingOf(anchor)).toMatchObject({ level: null, clearedAt: at(3), taints: [{ name: 'secrets' }] })
    expect(replayed).toEqual(anchor)
  })

  test('[RSK4] a crossing that was seen before an operator’s word took the score back is none', () => {
    const cleared = told(null, { kind: 'principal.cleared', risk: true, taints: null }, 5).record
    expect(told(cleared, { kind: 'risk.rose', level: markOf('high', 60, at(5)) }, 6).facts).toHaveLength(0)
    expect(told(cleared, { kind: 'risk.rose', level: markOf('high', 60, at(6)) }, 6).facts).toHaveLength(1)
  })

  test('[RSK4, ELV11] pauses that are told beside it leave it alone', () => {
    const risen = told(null, { kind: 'risk.rose', level: markOf('high', 60) }).record
    const paused = told(risen, { kind: 'anchor.told', matter: { is: 'principal', cooling: { fix: at(60) }, ...NO_STANDING } }).record
    expect(paused?.matter).toMatchObject({ cooling: { fix: at(60) }, level: { name: 'high' } })
  })

  test('[RSK11] an elevation that a level ends stays ended when it falls again', () => {
    const tied = elevation('elv_1', { requestedAt: at(0), ties: [{ anchor: REF, generation: instant(0), reason: 'risk', position: null, level: 60 }] })
    const broken = (anchor: Anchor | null) => tieBroken(tied, { find: () => anchor })
    const medium = told(null, { kind: 'risk.rose', level: markOf('medium', 40) }, 1).record
    expect(broken(medium)).toBeNull()
    const severe = told(medium, { kind: 'risk.rose', level: markOf('severe', 80) }, 2).record
    expect(broken(severe)).toBe('risk')
    const fell = told(severe, { kind: 'risk.fell', level: null }, 3).record
    expect(broken(fell)).toBe('risk')
    expect(tieBroken({ ...tied, requestedAt: at(4) }, { find: () => fell })).toBeNull()
  })

  test('[RSK4] what it remembers of thresholds is bounded', () => {
    let anchor: Anchor | null = null
    for (let i = 0; i < 40; i++) {
      anchor = told(anchor, { kind: 'risk.rose', level: markOf(`l${i}`, 900 - i) }, i).record
      anchor = told(anchor, { kind: 'risk.fell', level: null }, i).record
    }
    expect(standingOf(anchor).reached.length).toBeLessThanOrEqual(REACHED_MAX)
  })
})

describe('what a level does to a session', () => {
  const policy = (acts: Partial<LevelActs>) => ({ ...policyOf(profile('fix', ['db:write'])), risk: { ...RISK, levels: [level('high', 60, acts)] } })
  const seen = (acts: Partial<LevelActs>, trusted: Parameters<typeof effective>[8] = { ...NO_STANDING, level: markOf('high', 60) }) =>
    effective({ ...SESSION, elevations: [elevation('elv_1')] }, ['base:read', 'base:write'], { find: () => null }, NO_LOCKS, policy(acts), NOW, undefined, {}, trusted)

  test('[RSK10] narrow keeps it to the baseline, or to what is named', () => {
    expect(seen({ narrow: { to: null, ownTenant: false } })).toMatchObject({ state: 'live', carriers: [], baseline: ['base:read', 'base:write'] })
    expect(seen({ narrow: { to: ['base:read', 'db:write'], ownTenant: false } })).toMatchObject({ baseline: ['base:read'], carriers: [{ carries: ['db:write'] }] })
  })

  test('[RSK10] freeze holds it, terminate refuses it, and both say that it is for risk', () => {
    expect(seen({ freeze: true })).toMatchObject({ state: 'frozen', reason: 'frozen', byRisk: true })
    expect(seen({ terminate: true })).toMatchObject({ state: 'refused', reason: 'risk', byRisk: true, carriers: [] })
    expect(seen({})).toMatchObject({ state: 'live', byRisk: false, level: { name: 'high' } })
  })

  test('[RSK4, RULES 21] a principal of which nothing is known yet is held', () => {
    expect(seen({}, 'unknown')).toMatchObject({ state: 'frozen', reason: 'stale' })
  })

  test('[CND3] what it or its principal touched stands until its end, which is when it is looked at again', () => {
    const taint = { name: 'pii', since: NOW, until: at(30), rule: 'x#1', exchange: 'exc_1' }
    const found = seen({}, { ...NO_STANDING, taints: [taint, { ...taint, name: 'old', until: at(-1) }] })
    expect(found.taints).toEqual([taint])
    expect(found.until).toBe(at(30))
  })
})
