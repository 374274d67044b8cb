// What is known of an anchor beyond open and ended: each kind has its own way of changing, and none of them back.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Anchor, type AnchorRef, type Matter, pausing } from '../../../src/core/anchor.ts'
import type { ElevationId } from '../../../src/core/elevation.ts'
import type { AnchorFact } from '../../../src/core/fact.ts'
import { tieBroken } from '../../../src/core/footing.ts'
import { applyToAnchor } from '../../../src/core/replay.ts'
import type { AnchorNews, SignalId } from '../../../src/core/signal.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import { transitionAnchor } from '../../../src/core/transition.ts'
import { START } from './news.ts'

const TURN: AnchorRef = { kind: 'turn', name: 'signed/conv-1' }
const told = { id: 'sig_x' as SignalId, by: 'ledger', note: '' } // a test word
const at = (ms: number): Instant => instant(START + ms)
const apply = (anchor: Anchor | null, news: AnchorNews, ms = 0, ref = TURN) => transitionAnchor(ref, anchor, { ...told, ...news }, at(ms))
/** All of it taken in turn, a millisecond apart; what is refused changes nothing. */
const after = (ref: AnchorRef, ...news: readonly AnchorNews[]): Anchor | null => news.reduce<Anchor | null>((anchor, one, i) => apply(anchor, one, i, ref).record, null)
const tells = (matter: Matter): AnchorNews => ({ kind: 'anchor.told', matter })

const advanced = (position: number): AnchorNews => ({ kind: 'anchor.advanced', position, value: `turn-${position}` })
const ticket = (state: string, seenAt = 0): Matter => ({ is: 'ticket', facts: { state, severity: 1 }, source: 'jira', seenAt: at(seenAt), was: [] })
const holder = (id: string, until: number): Matter => ({ is: 'resource', holder: { elevation: id as ElevationId, session: 'key', since: at(-10), until: at(until) } }) // a test word
const pauses = (cooling: { readonly [profile: string]: number }): Matter => pausing(Object.fromEntries(Object.entries(cooling).map(([profile, ms]) => [profile, at(ms)])))
const review = (verdict: 'pending' | 'accepted' | 'rejected' | 'missed', by = ''): Matter =>
  ({ is: 'review', elevation: 'elv_1' as ElevationId, session: 'ses_1', profile: 'fix', subject: 'a|b', barred: ['a|b'], dueAt: at(1_000), verdict, by }) // a test word

describe('any news', () => {
  const position = fc.integer({ min: 0, max: 6 })
  const matter = fc.oneof(
    position.map((n): Matter => ({ is: 'progress', position: n, value: `turn-${n}` })), fc.constantFrom('open', 'resolved').map(state => ticket(state)),
    fc.constantFrom(null, { from: at(10), until: at(20) }).map((override): Matter => ({ is: 'window', override, reopened: at(0) })), fc.tuple(fc.constantFrom('a', 'b'), fc.integer({ min: -5, max: 30 })).map(([profile, ms]) => pauses({ [profile]: 200 + ms })),
    fc.tuple(fc.constantFrom('elv_1', 'elv_2'), fc.integer({ min: -5, max: 30 })).map(([id, ms]) => holder(id, ms)), fc.constantFrom<Matter>({ is: 'resource', holder: null }, review('pending'), review('accepted', 'ann'), review('rejected', 'bob'), review('missed')),
  )
  const news = fc.oneof(
    position.map(advanced), matter.map(tells), fc.tuple(fc.constantFrom('anchor.opened' as const, 'anchor.ended' as const), fc.option(matter, { nil: null })).map(([kind, own]): AnchorNews => ({ kind, matter: own })),
  )

  test('[AUD1, SIG2] of any kind, in any order: the record is the fold of its facts, versions name no gap, and what it is told twice changes nothing the second time', () => {
    const kinds = new Set<string>()
    fc.assert(fc.property(fc.array(fc.tuple(fc.integer({ min: 0, max: 4 }), news), { maxLength: 25 }), steps => {
      let anchor: Anchor | null = null
      let now = 0
      const facts: AnchorFact[] = []
      for (const [wait, one] of steps) {
        now += wait
        const result: ReturnType<typeof apply> = apply(anchor, one, now)
        kinds.add(`${one.kind} ${result.rejected === null ? result.facts.length : 'refused'}`)
        if (result.facts.length === 0) expect(result.record).toBe(anchor)
        else expect([result.facts.length, result.record?.version]).toEqual([1, (anchor?.version ?? 0) + 1])
        anchor = result.record
        facts.push(...result.facts)
        if (result.rejected === null) expect(apply(anchor, one, now).facts).toEqual([])
      }
      expect((JSON.parse(JSON.stringify(facts)) as AnchorFact[]).reduce<Anchor | null>(applyToAnchor, null)).toEqual(anchor) // what was written is what is read
    }), { numRuns: 1_500 })
    expect([...kinds].sort()).toEqual(['anchor.advanced 0', 'anchor.advanced 1', 'anchor.ended 0', 'anchor.ended 1', 'anchor.opened 0', 'anchor.opened 1', 'anchor.told 0', 'anchor.told 1', 'anchor.told refused'])
  })

  test('[SIG4] what is told of one that was never seen makes it known, open; of one that ended it opens nothing', () => {
    expect(after(TURN, tells(ticket('open')))).toMatchObject({ state: 'open', version: 1, generation: 0, matter: { facts: { state: 'open' } } })
    const ended = after(TURN, { kind: 'anchor.ended', matter: ticket('resolved') })
    expect(apply(ended, tells(ticket('in progress')), 5).record).toEqual({ ...ended, version: 2, matter: { ...ticket('in progress'), was: [{ facts: { state: 'resolved', severity: 1 }, seenAt: at(0) }] } })
  })

  test('[SIG4, TKT1] an end that says nothing keeps what is known; one that says something says it', () => {
    const open = after(TURN, { kind: 'anchor.opened', matter: ticket('open') })
    expect(apply(open, { kind: 'anchor.ended', matter: null }, 5).record).toMatchObject({ state: 'ended', matter: { facts: { state: 'open' } } })
    const closed = apply(open, { kind: 'anchor.ended', matter: ticket('resolved') }, 5).record
    expect(closed).toMatchObject({ state: 'ended', generation: at(5), matter: { facts: { state: 'resolved' } } })
    expect(apply(closed, { kind: 'anchor.ended', matter: ticket('closed') }, 9).record).toMatchObject({ state: 'ended', generation: at(5), version: 3, matter: { facts: { state: 'closed' } } })
    expect(apply(closed, { kind: 'anchor.opened', matter: ticket('reopened') }, 9).record).toMatchObject({ state: 'open', generation: at(5), matter: { facts: { state: 'reopened' } } })
  })
})

describe('an ordered purpose', () => {
  const tieAt = (position: number) => ({ requestedAt: at(0), ties: [{ anchor: TURN, generation: instant(0), reason: 'purpose_over', position, level: null } as const] })

  test('[PUR6] whatever comes late, however it is told: it never goes back, and what stood on an earlier one never stands again', () => {
    const moves = fc.array(fc.oneof(fc.integer({ min: 0, max: 9 }).map(advanced), fc.integer({ min: 0, max: 9 }).map(n => tells({ is: 'progress', position: n, value: `turn-${n}` }))), { minLength: 1, maxLength: 20 })
    fc.assert(fc.property(moves, fc.integer({ min: 0, max: 9 }), (news, mine) => {
      let anchor: Anchor | null = null
      let far = -1
      for (const [i, one] of news.entries()) {
        anchor = apply(anchor, one, i).record
        far = Math.max(far, one.kind === 'anchor.advanced' ? one.position : one.kind === 'anchor.told' && one.matter.is === 'progress' ? one.matter.position : far)
        expect(anchor?.matter).toEqual({ is: 'progress', position: far, value: `turn-${far}` })
        const found = anchor
        expect(tieBroken(tieAt(mine), { find: () => found })).toBe(far > mine ? 'purpose_over' : null)
      }
    }), { numRuns: 300 })
  })

  test('[PUR6] the one that stands is not broken by itself, and an end takes it whatever its place', () => {
    const at7 = after(TURN, advanced(7))
    expect([6, 7, 8].map(position => tieBroken(tieAt(position), { find: () => at7 }))).toEqual(['purpose_over', null, null])
    const ended = apply(at7, { kind: 'anchor.ended', matter: null }, 5).record
    expect(tieBroken(tieAt(8), { find: () => ended })).toBe('purpose_over')
    expect(ended?.matter).toEqual({ is: 'progress', position: 7, value: 'turn-7' })
    expect(apply(ended, advanced(8), 6).record).toMatchObject({ state: 'ended', matter: { position: 8 } })
  })
})

describe('a resource', () => {
  const RESOURCE: AnchorRef = { kind: 'resource', name: 'purpose.ticket/OPS-1' }

  test('[ELV12] one has it until its time is over or it lets go; another gets it then, and not before', () => {
    const held = after(RESOURCE, tells(holder('elv_1', 100)))
    expect(apply(held, tells(holder('elv_2', 200)), 99).rejected).toMatchObject({ rejected: 'conflict', says: 'another elevation holds it' })
    expect(apply(held, tells(holder('elv_2', 200)), 100).record?.matter).toEqual(holder('elv_2', 200))
    expect(apply(held, tells(holder('elv_1', 150)), 50).record?.matter).toEqual(holder('elv_1', 150))
    const freed = apply(held, tells(holder('elv_1', 50)), 50).record
    expect(apply(freed, tells(holder('elv_2', 200)), 50).record?.matter).toEqual(holder('elv_2', 200))
  })

  test('[ELV12] whoever asks in whatever order: nobody loses it to another before its time', () => {
    const asks = fc.array(fc.tuple(fc.integer({ min: 0, max: 10 }), fc.constantFrom('elv_1', 'elv_2', 'elv_3'), fc.integer({ min: 0, max: 30 })), { maxLength: 30 })
    let changed = 0
    fc.assert(fc.property(asks, steps => {
      let anchor: Anchor | null = null
      let now = 0
      for (const [wait, id, span] of steps) {
        now += wait
        const held: Matter | null = anchor?.matter ?? null
        anchor = apply(anchor, tells(holder(id, now + span)), now, RESOURCE).record
        const has: Matter | null = anchor?.matter ?? null
        if (held?.is !== 'resource' || has?.is !== 'resource' || held.holder === null || has.holder === null) continue
        if (held.holder.elevation === has.holder.elevation) continue
        changed++
        expect(held.holder.until).toBeLessThanOrEqual(at(now))
      }
    }), { numRuns: 300 })
    expect(changed).toBeGreaterThan(20)
  })
})

describe('a pause', () => {
  test('[ELV11] is never made shorter, and is dropped once it is over', () => {
    const paused = after({ kind: 'principal', name: 'digest' }, tells(pauses({ fix: 100, mail: 5 })))
    const told = (ms: number, cooling: { readonly [profile: string]: number }) => apply(paused, tells(pauses(cooling)), ms).record?.matter
    expect(told(1, { fix: 50 })).toEqual(pauses({ fix: 100, mail: 5 }))
    expect(told(1, { fix: 150 })).toEqual(pauses({ fix: 150, mail: 5 }))
    expect(told(10, { read: 90 })).toEqual(pauses({ fix: 100, read: 90 }))
  })
})

describe('a review', () => {
  const REVIEW: AnchorRef = { kind: 'review', name: 'elv_1' }

  test('[APR7] is given once; one that was missed may still be given, and what it is about never changes', () => {
    const asked = after(REVIEW, tells(review('pending')))
    const given = apply(asked, tells(review('accepted', 'corp|ann')), 5).record
    expect(given?.matter).toEqual(review('accepted', 'corp|ann'))
    for (const late of [review('rejected', 'corp|ann'), review('accepted', 'corp|bob'), review('missed')]) expect(apply(given, tells(late), 9)).toMatchObject({ record: given, rejected: { rejected: 'conflict' } })
    const missed = apply(asked, tells(review('missed')), 1_000).record
    expect(apply(missed, tells(review('rejected', 'corp|ann')), 1_100).record?.matter).toEqual(review('rejected', 'corp|ann'))
    expect(apply(missed, tells(review('pending')), 1_100).record).toBe(missed)
    const other: Matter = { is: 'review', elevation: 'elv_1' as ElevationId, session: 'ses_2', profile: 'mail', subject: 'c|d', barred: [], dueAt: at(9_000), verdict: 'accepted', by: 'corp|ann' } // a test word
    expect(apply(asked, tells(other), 5).record?.matter).toEqual(review('accepted', 'corp|ann'))
  })
})

const moved = (from: number, until: number, reopened = 0): Matter => ({ is: 'window', override: { from: at(from), until: at(until) }, reopened: at(reopened) })

test('[WIN4] an operator’s word on a window takes the place of the one before, or takes it back', () => {
  const WINDOW: AnchorRef = { kind: 'window', name: 'night' }
  const held = after(WINDOW, tells(moved(0, 10)))
  expect(apply(held, tells(moved(5, 20)), 1).record).toMatchObject({ state: 'open', version: 2, matter: moved(5, 20) })
  expect(apply(held, tells({ is: 'window', override: null, reopened: at(0) }), 1).record?.matter).toEqual({ is: 'window', override: null, reopened: at(0) })
})

test('[WIN4] that a window was opened again is kept over every later word on it', () => {
  const WINDOW: AnchorRef = { kind: 'window', name: 'night' }
  const held = after(WINDOW, tells(moved(0, 10)), tells(moved(0, 20, 5)))
  expect(apply(held, tells(moved(0, 30)), 7).record?.matter).toEqual(moved(0, 30, 5))
  expect(apply(held, tells(moved(0, 30, 6)), 7).record?.matter).toEqual(moved(0, 30, 6))
})
