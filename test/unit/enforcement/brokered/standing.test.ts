// When what a credential was obtained for is over, by its record. SPEC: CRD7
import { expect, it } from 'vitest'
import type { Elevation, ElevationId, ElevationState } from '../../../../src/core/elevation.ts'
import { LIVE, type Session } from '../../../../src/core/session.ts'
import { instant } from '../../../../src/core/time.ts'
import { overSince } from '../../../../src/enforcement/brokered/standing.ts'

const NOW = instant(1_000)
const ID = 'elv_a' as ElevationId // an id of a test
// Only what is read here of a session and an elevation.
const sessionWith = (more: Partial<Session>, state: ElevationState | null = null): Session =>
  ({ state: LIVE, endsAt: instant(9_000), frozen: null, elevations: state === null ? [] : [{ id: ID, state } as Elevation], ...more }) as Session

it.each<readonly [what: string, session: Session, elevation: ElevationId | null, since: number | null]>([
  ['a live session on its baseline', sessionWith({}), null, null],
  ['one that was revoked', sessionWith({ state: { is: 'revoked', at: instant(400), reason: 'revoked' } }), null, 400],
  ['one whose end has come', sessionWith({ endsAt: instant(1_000) }), null, 1_000],
  ['one that is frozen', sessionWith({ frozen: { since: instant(1), note: '', until: instant(2_000) } }), null, null],
  ['one that was frozen for too long', sessionWith({ frozen: { since: instant(1), note: '', until: instant(900) } }), null, 900],
  ['an elevation at work', sessionWith({}, { is: 'active', since: instant(1), until: instant(1_001) }), ID, null],
  ['one whose time is up, before anybody wrote that down', sessionWith({}, { is: 'active', since: instant(1), until: instant(1_000) }), ID, 1_000],
  ['one that is suspended', sessionWith({}, { is: 'suspended', since: instant(1), until: null }), ID, null],
  ['one that is suspended and beyond its time', sessionWith({}, { is: 'suspended', since: instant(1), until: instant(500) }), ID, 500],
  ['one that ended', sessionWith({}, { is: 'ended', at: instant(300), reason: 'released' }), ID, 300],
  ['one that its record holds no more', sessionWith({}), ID, 1_000],
])('[CRD7] %s', (_, session, elevation, since) => {
  expect(overSince(session, elevation, NOW)).toBe(since)
})
