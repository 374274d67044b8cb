// What the log of elevations must tell, fact by fact: the records it folds to, and that at no point anybody has more than was asked and approved. For tests only.
import { expect } from 'vitest'
import { shownDigest } from '../../src/approvals/shown.ts'
import type { Anchor } from '../../src/core/anchor.ts'
import { isOver, stageOf } from '../../src/core/elevation.ts'
import type { AnchorFact, Fact, SessionFact } from '../../src/core/fact.ts'
import { refName, sessionRef, type StoredRecord } from '../../src/core/record.ts'
import { applyToAnchor, applyToSession } from '../../src/core/replay.ts'
import type { Session } from '../../src/core/session.ts'
import type { Outgoing } from '../../src/sessions/store.ts'

export const refOf = (record: StoredRecord): string => (record.record === 'session' ? refName(sessionRef(record.key)) : record.record === 'anchor' ? refName(record) : `lock/${record.id}`)
/** Without its version: what went ahead as a lock is written behind it, wherever the record is then. */
export const lineOf = (ref: string, { because, what: happened }: Fact): string => `${ref} ${because} ${happened}`

/** A word counts for exactly what was shown, at the open stage, in time, by somebody new who is none of those who ask. */
function approvalIsSound(before: Session, fact: Extract<SessionFact, { what: 'elevation.approved' }>): void {
  const elevation = before.elevations.find(({ id }) => id === fact.elevation)
  if (elevation === undefined) throw new Error('approved what nobody asked for')
  const { state, approvals, requestedBy, revision, adds, limits } = elevation
  expect([state.is, fact.shown, fact.stage]).toEqual(['requested', shownDigest(before, elevation), stageOf(elevation)])
  if (state.is === 'requested' && state.expiresAt !== null) expect(fact.at).toBeLessThan(state.expiresAt)
  expect([requestedBy, `${before.principal.issuer}|${before.principal.subject}`, ...approvals.map(({ by }) => by)]).not.toContain(fact.approver)
  expect([fact.revision - revision <= 1, adds.length >= fact.adds.length, fact.for <= elevation.for, (fact.uses ?? Infinity) <= (limits.uses ?? Infinity)]).toEqual([true, true, true, true])
}

function sessionIsSound(before: Session | null, after: Session): void {
  for (const elevation of after.elevations) {
    const { id, state, approvals } = elevation
    const was = before?.elevations.find(each => each.id === id)
    if (was !== undefined && isOver(was)) expect(elevation).toEqual(was)
    if (state.is === 'active' || state.is === 'scheduled' || state.is === 'suspended') expect([id, stageOf(elevation)]).toEqual([id, null])
    else if (state.is === 'requested') expect(stageOf(elevation), 'it has every word and does not go on').not.toBeNull()
    if (state.is === 'active') expect(state.until).toBeLessThanOrEqual(state.since + elevation.max)
    expect(new Set(approvals.map(({ by }) => by)).size).toBe(approvals.length)
  }
  expect(after.elevations.filter(({ alone, state }) => alone && state.is === 'active').length).toBeLessThanOrEqual(1)
}

export function readLog(out: readonly Outgoing[]): { readonly records: ReadonlyMap<string, Session | Anchor>; readonly lines: ReadonlySet<string>; /** Ends of busy records that are in force as a lock until they are written behind it, which a crash may leave to the end of its session. */ readonly ahead: ReadonlySet<string> } {
  const records = new Map<string, Session | Anchor>()
  const lines = new Set<string>()
  const ahead = new Set<string>()
  for (const [i, { ref, fact }] of out.entries()) {
    const name = refName(ref)
    lines.add(lineOf(name, fact))
    const before = records.get(name) ?? null
    if (fact.what === 'lock.set') ahead.add(fact.because)
    if (ref.kind === 'session') {
      const told = fact as SessionFact // of a session
      const session = before?.record === 'session' ? before : null
      expect(told.version - (session?.version ?? 0) <= 1, `${name} misses a version`).toBe(true)
      if (told.what === 'elevation.approved' && session !== null) approvalIsSound(session, told)
      const after = applyToSession(session, told)
      records.set(name, after)
      const next = out[i + 1]
      if (next === undefined || next.fact.version !== fact.version || refName(next.ref) !== name) sessionIsSound(session, after)
    } else if (ref.kind !== 'lock') {
      const anchor = before?.record === 'anchor' ? before : null
      const after = applyToAnchor(anchor, fact as AnchorFact) // of an anchor
      if (anchor?.matter?.is === 'progress') expect(after.matter?.is === 'progress' && after.matter.position).toBeGreaterThan(anchor.matter.position)
      records.set(name, after)
    }
    const holding = [...records.values()].flatMap(record => (record.record === 'session' ? record.elevations : [])).filter(elevation => elevation.resource !== null && !isOver(elevation))
    expect(holding.length, 'one resource, one holder').toBeLessThanOrEqual(1)
  }
  return { records, lines, ahead }
}
