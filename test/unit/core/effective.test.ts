// What a session may do now: standing, carriers in their order, what was lost and why, and how long the answer holds.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Anchor, AnchorRef, Lock, LockId, Selector } from '../../../src/core/anchor.ts'
import { effective, type Effective } from '../../../src/core/effective.ts'
import type { Elevation, Tie } from '../../../src/core/elevation.ts'
import type { AnchorView } from '../../../src/core/footing.ts'
import { lockIndex, NO_LOCKS } from '../../../src/core/locks.ts'
import type { Policy } from '../../../src/core/policy.ts'
import type { Session } from '../../../src/core/session.ts'
import { FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from './world.ts'

const NO_ANCHORS: AnchorView = { find: () => null }
const POLICY = policyOf(profile('fix', ['db:write', 'db:read']), profile('mail', ['mail:send']))
const BASELINE = ['base:read', 'db:read']

type World = { readonly baseline?: readonly string[]; readonly anchors?: AnchorView; readonly locks?: readonly Lock[]; readonly policy?: Policy; readonly now?: Instant }
const of = (session: Partial<Session>, { baseline = BASELINE, anchors = NO_ANCHORS, locks = [], policy = POLICY, now = NOW }: World = {}): Effective =>
  effective({ ...SESSION, ...session }, baseline, anchors, locks.length === 0 ? NO_LOCKS : lockIndex(locks), policy, now)
const shown = ({ state, reason, baseline, carriers }: Effective) => ({ state, reason, baseline, carriers: carriers.map(({ elevation: { id } }) => String(id)) })

const lock = (kind: Selector['kind'], value: string, effect: Lock['effect'], until: Instant | null = null): Lock =>
  ({ record: 'lock', id: 'lck_1' as LockId, selector: { kind, value }, version: 1, state: 'set', effect, reason: 'locked', note: '', by: 'operator', since: NOW, until }) // a test word
const TICKET: AnchorRef = { kind: 'ticket', name: 'manual//T-1' }
const tie = (generation: number): Tie => ({ anchor: TICKET, generation: instant(generation), reason: 'ticket_closed', position: null, level: null })
const anchored = (state: Anchor['state'], generation: number): AnchorView => ({ find: () => ({ record: 'anchor', ...TICKET, version: 2, state, generation: instant(generation), since: NOW, note: '', matter: null }) })

describe('standing', () => {
  test('[SES3] a live session has its baseline', () => {
    expect(shown(of({}))).toEqual({ state: 'live', reason: null, baseline: BASELINE, carriers: [] })
    expect(of({}).until).toBe(SESSION.endsAt)
  })

  test.each<readonly [string, Partial<Session>, World, string]>([
    ['revoked', { state: { is: 'revoked', at: NOW, reason: 'revoked' } }, {}, 'revoked'],
    ['lapsed', { state: { is: 'lapsed', at: NOW, reason: 'idle' } }, {}, 'idle'],
    ['at its end', { endsAt: NOW }, {}, 'max_reached'],
    ['frozen until now', { frozen: { since: at(-5), note: '', until: NOW } }, {}, 'frozen_too_long'],
    ['locked', {}, { locks: [lock('tenant', 'acme', 'deny')] }, 'locked'],
  ])('[SES4, ENF8] %s: refused, and nothing is left', (_, session, world, reason) => {
    expect(shown(of({ elevations: [elevation('e1')], ...session }, world))).toEqual({ state: 'refused', reason, baseline: [], carriers: [] })
  })

  test('[ENF4] ends are at their instant, not one millisecond before', () => {
    expect(of({ endsAt: instant(NOW + 1) }).state).toBe('live')
    expect(of({ frozen: { since: NOW, note: '', until: instant(NOW + 1) } }).state).toBe('frozen')
  })

  test('[ENF6] frozen by a word or by a lock: nothing passes, nothing is lost', () => {
    const frozen = of({ elevations: [elevation('e1')], frozen: { since: NOW, note: '', until: at(60) } })
    expect(shown(frozen)).toEqual({ state: 'frozen', reason: 'frozen', baseline: BASELINE, carriers: ['e1'] })
    expect(frozen.until).toBe(at(60))
    expect(shown(of({ elevations: [elevation('e1')] }, { locks: [lock('all', '', 'freeze')] }))).toMatchObject({ state: 'frozen', carriers: ['e1'] })
  })

  test('[ENF8] a lock that keeps to the baseline takes the elevations, and says until when', () => {
    const kept = of({ elevations: [elevation('e1')] }, { locks: [lock('subject', 'agent', 'baseline', at(30))] })
    expect(shown(kept)).toEqual({ state: 'live', reason: null, baseline: BASELINE, carriers: [] })
    expect([kept.lost.get(elevation('e1').id), kept.until]).toEqual(['narrowed', at(30)])
  })
})

describe('carriers', () => {
  test('[SCP3] an elevation carries what was approved and what its profile adds now, no more', () => {
    const carries = (adds: readonly string[], policy = POLICY): readonly unknown[] => of({ elevations: [elevation('e1', { adds })] }, { policy }).carriers.map(each => each.carries)
    expect(carries(['db:write'])).toEqual([['db:write']])
    expect(carries(['db:write', 'mail:send'])).toEqual([['db:write']])
    expect(carries(['db:write'], policyOf(profile('fix', ['mail:send'])))).toEqual([[]])
  })

  test('[DEC4] are tried in the order of their ends, then of their ids', () => {
    const active = (id: string, until: number): Elevation => elevation(id, { state: { is: 'active', since: NOW, until: at(until) } })
    expect(shown(of({ elevations: [active('c', 90), active('b', 60), active('a', 90), active('d', 30)] })).carriers).toEqual(['d', 'b', 'a', 'c'])
  })

  test.each<readonly [string, Partial<Elevation>, Partial<Session>, World, string]>([
    ['asked for', { state: { is: 'requested', expiresAt: null } }, {}, {}, 'elevation_required'],
    ['to start later', { state: { is: 'scheduled', startsAt: at(5) } }, {}, {}, 'elevation_required'],
    ['denied', { state: { is: 'denied', at: NOW } }, {}, {}, 'elevation_required'],
    ['over', { state: { is: 'ended', at: NOW, reason: 'released' } }, {}, {}, 'released'],
    ['at its end', { state: { is: 'active', since: at(-600), until: NOW } }, {}, {}, 'time_up'],
    ['suspended', { state: { is: 'suspended', since: NOW, until: at(60) } }, {}, {}, 'narrowed'],
    ['suspended past its end', { state: { is: 'suspended', since: NOW, until: NOW } }, {}, {}, 'time_up'],
    ['under a cap', {}, { cap: { is: 'baseline', scopes: null } }, {}, 'narrowed'],
    ['barred', {}, { barred: ['fix'] }, {}, 'narrowed'],
    ['without a profile', { profile: 'gone' }, {}, {}, 'profile_removed'],
    ['with a locked profile', {}, {}, { locks: [lock('profile', 'fix', 'deny')] }, 'locked'],
    ['tied to what ended', { ties: [tie(0)] }, {}, { anchors: anchored('ended', NOW) }, 'ticket_closed'],
    ['tied to what ended and was opened again', { ties: [tie(0)] }, {}, { anchors: anchored('open', NOW) }, 'ticket_closed'],
  ])('[ELV6, SCP3] %s: carries nothing, and it is told why', (_, changes, session, world, reason) => {
    const found = of({ elevations: [elevation('e1', changes)], ...session }, world)
    expect(shown(found).carriers).toEqual([])
    expect(found.lost.get(elevation('e1').id)).toBe(reason)
  })

  test('[ELV6] tied to what is open in the generation it saw, or to what nobody ever ended: it carries', () => {
    expect(shown(of({ elevations: [elevation('e1', { ties: [tie(NOW)] })] }, { anchors: anchored('open', NOW) })).carriers).toEqual(['e1'])
    expect(shown(of({ elevations: [elevation('e1', { ties: [tie(0)] })] })).carriers).toEqual(['e1'])
  })

  test('[ENF8] a lock on a profile lifts by itself, and the answer holds no longer', () => {
    const locks = [lock('profile', 'fix', 'deny', at(30))]
    expect(of({ elevations: [elevation('e1')] }, { locks }).until).toBe(at(30))
    expect(shown(of({ elevations: [elevation('e1')] }, { locks, now: at(30) })).carriers).toEqual(['e1'])
  })

  test('[ENF5] a cap of scopes keeps their intersection, of the baseline and of every carrier', () => {
    const found = of({ elevations: [elevation('e1', { adds: ['db:write'] }), elevation('e2', { profile: 'mail', adds: ['mail:send'] })], cap: { is: 'scopes', scopes: ['db:write', 'db:read', 'other'] } })
    expect(found.baseline).toEqual(['db:read'])
    expect(found.carriers.map(({ carries }) => carries)).toEqual([['db:write'], []])
    expect(shown(of({ elevations: [elevation('e1')], cap: { is: 'baseline', scopes: ['db:read'] } }))).toMatchObject({ baseline: ['db:read'], carriers: [] })
  })
})

// ---- over all of it

const state = fc.oneof(
  fc.integer({ min: -5, max: 30 }).map(until => ({ is: 'active' as const, since: at(-600), until: at(until) })),
  fc.integer({ min: -5, max: 30 }).map(until => ({ is: 'suspended' as const, since: at(-600), until: at(until) })),
  fc.constant({ is: 'suspended' as const, since: null, until: null }),
  fc.integer({ min: -5, max: 30 }).map(expires => ({ is: 'requested' as const, expiresAt: at(expires) })),
  fc.integer({ min: -5, max: 30 }).map(starts => ({ is: 'scheduled' as const, startsAt: at(starts) })),
  fc.constant({ is: 'active' as const, since: NOW, until: at(25) }),
  fc.constant({ is: 'ended' as const, at: NOW, reason: 'released' as const }),
)
const scopes = fc.subarray(['db:read', 'db:write', 'mail:send', 'base:read'])
const anyElevation = fc.record({ profile: fc.constantFrom('fix', 'mail', 'gone'), adds: scopes, state, ties: fc.constantFrom<readonly Tie[]>([], [tie(0)], [tie(NOW)]) })
const anySession = fc.record({
  elevations: fc.array(anyElevation, { maxLength: 5 }).map(specs => specs.map((spec, i) => elevation(`e${i}`, spec))), endsAt: fc.integer({ min: -2, max: 40 }).map(at), barred: fc.oneof({ weight: 3, arbitrary: fc.constant<string[]>([]) }, { weight: 1, arbitrary: fc.subarray(['fix', 'mail']) }),
  cap: fc.oneof({ weight: 4, arbitrary: fc.constant({ is: 'none' } as const) }, fc.option(scopes, { nil: null }).map(each => ({ is: 'baseline', scopes: each }) as const), scopes.map(each => ({ is: 'scopes', scopes: each }) as const)),
  frozen: fc.option(fc.option(fc.integer({ min: -2, max: 40 }).map(at), { nil: null }).map(until => ({ since: at(-9), note: '', until })), { nil: null, freq: 1 }),
})
const anyWorld = fc.record({
  anchors: fc.constantFrom(NO_ANCHORS, anchored('open', 0), anchored('open', NOW), anchored('ended', NOW)),
  locks: fc.oneof({ weight: 2, arbitrary: fc.constant<Lock[]>([]) }, { weight: 1, arbitrary: fc.subarray([lock('all', '', 'baseline', at(7)), lock('tenant', 'acme', 'freeze', at(11)), lock('session', 'ses_1', 'deny', at(13)), lock('profile', 'mail', 'deny', at(17)), lock('profile', 'fix', 'deny', at(19))]) }),
})

describe('whatever the session', () => {
  test('[ENF3] the answer holds until the instant it names: nothing changes by time before', () => {
    fc.assert(fc.property(anySession, anyWorld, fc.integer({ min: 0, max: 45 }), (session, world, seconds) => {
      const first = of(session, world)
      const later = at(seconds)
      if (later >= first.until) return
      const then = of(session, { ...world, now: later })
      if (first.state === 'refused') expect(then.state).toBe('refused')
      else expect([shown(then), [...then.lost]]).toEqual([shown(first), [...first.lost]])
    }), { numRuns: 2_000 })
  })

  test('[SCP3] nothing is carried that was not approved, that the profile does not add, or that a cap took', () => {
    let carried = 0
    fc.assert(fc.property(anySession, anyWorld, (session, world) => {
      const found = of(session, world)
      for (const { elevation: one, carries, until } of found.carriers) {
        carried++
        const added = POLICY.profiles.get(one.profile)?.adds ?? []
        for (const scope of carries) expect(one.adds.includes(scope) && added.includes(scope) && (session.cap.is === 'none' || session.cap.scopes === null || session.cap.scopes.includes(scope))).toBe(true)
        expect(session.cap.is === 'baseline' || session.barred.includes(one.profile)).toBe(false)
        expect(one.state).toMatchObject({ is: 'active', until })
        expect(until).toBeGreaterThan(NOW)
      }
      for (const scope of found.baseline) expect(BASELINE).toContain(scope)
    }), { numRuns: 2_000 })
    expect(carried).toBeGreaterThan(200)
  })

  test('[ENF3] every elevation carries or is lost for a reason, never both', () => {
    fc.assert(fc.property(anySession, anyWorld, (session, world) => {
      const found = of(session, world)
      if (found.state === 'refused') {
        expect([found.carriers, found.baseline, found.lost.size]).toEqual([[], [], 0])
        return
      }
      const carrying = found.carriers.map(({ elevation: { id } }) => id)
      expect([...carrying, ...found.lost.keys()].sort()).toEqual(session.elevations.map(({ id }) => id).sort())
    }), { numRuns: 2_000 })
  })

  test('[ENF8, ENF5] a lock or a cap more never gives anything', () => {
    fc.assert(fc.property(anySession, anyWorld, (session, world) => {
      const [free, bound] = [of({ ...session, cap: { is: 'none' }, barred: [] }, { ...world, locks: [] }), of(session, world)]
      for (const { elevation: one, carries } of bound.carriers) {
        const before = free.carriers.find(each => each.elevation.id === one.id)
        expect(carries.every(scope => before?.carries.includes(scope))).toBe(true)
      }
      if (free.state === 'refused') expect(bound.state).toBe('refused')
      if (free.state === 'frozen') expect(bound.state).not.toBe('live')
    }), { numRuns: 2_000 })
  })

  test('[ENF4] the instant it names lies ahead, or the session is refused for good', () => {
    fc.assert(fc.property(anySession, anyWorld, (session, world) => {
      const { state: standing, until, reason } = of(session, world)
      if (standing === 'refused' && reason !== 'locked') expect(until).toBe(FOREVER)
      else if (standing === 'refused') expect(until).toBeGreaterThan(NOW)
    }))
  })
})
