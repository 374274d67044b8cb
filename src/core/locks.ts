// Standing refusals and how they are found: by name, so that a request pays for a few look-ups and only when there are locks at all.
// SPEC: ENF8
import { type Lock, selectorName, stronger } from './anchor.ts'
import type { Elevation } from './elevation.ts'
import type { Evidence } from './evidence.ts'
import type { Session } from './session.ts'
import { FOREVER, type Instant, earlier } from './time.ts'

export type LockIndex = { readonly size: number; readonly byName: ReadonlyMap<string, Lock>; readonly issuedBefore: readonly Lock[] }

export const NO_LOCKS: LockIndex = { size: 0, byName: new Map(), issuedBefore: [] }

export function lockIndex(locks: Iterable<Lock>): LockIndex {
  const byName = new Map<string, Lock>()
  for (const lock of locks) if (lock.state === 'set') byName.set(selectorName(lock.selector), lock)
  return { size: byName.size, byName, issuedBefore: [...byName.values()].filter(({ selector }) => selector.kind === 'issuedBefore') }
}

export const standsAt = (lock: Lock, now: Instant): boolean => lock.state === 'set' && (lock.until === null || lock.until > now)

const SESSION_SELECTORS = (session: Session): readonly string[] => [
  `session:${session.id}`,
  `subject:${session.principal.issuer}|${session.principal.subject}`,
  `subject:${session.principal.subject}`,
  `tenant:${session.principal.tenant}`,
  `issuer:${session.principal.issuer}`,
  'all:',
]

/** `toBaseline`: one of the locks keeps to the baseline, whatever a stronger one does as well. */
type Hit = { readonly lock: Lock; readonly until: Instant; readonly toBaseline: boolean }

/** The strongest of several locks, and the first instant at which one of them lifts by itself. */
function strongest(locks: readonly Lock[]): Hit | null {
  let hit: Hit | null = null
  for (const lock of locks) {
    const until = lock.until ?? FOREVER
    const toBaseline = lock.effect === 'baseline'
    if (hit === null) hit = { lock, until, toBaseline }
    else hit = { lock: stronger(lock.effect, hit.lock.effect) === hit.lock.effect ? hit.lock : lock, until: earlier(until, hit.until), toBaseline: toBaseline || hit.toBaseline }
  }
  return hit
}

function named(index: LockIndex, names: readonly string[], now: Instant): Lock[] {
  const found: Lock[] = []
  for (const name of names) {
    const lock = index.byName.get(name)
    if (lock && standsAt(lock, now)) found.push(lock)
  }
  return found
}

export const locksOnSession = (index: LockIndex, session: Session, now: Instant): Hit | null =>
  index.size === 0 ? null : strongest(named(index, SESSION_SELECTORS(session), now))

/** The strongest lock on an elevation or on its profile. */
export const lockOnElevation = (index: LockIndex, { id, profile }: Pick<Elevation, 'id' | 'profile'>, now: Instant): Hit | null =>
  index.size === 0 ? null : strongest(named(index, [`profile:${profile}`, `elevation:${id}`], now))

/** Was this credential issued too early for a cut-off? Credentials without an issue time always were. */
const tooOld = (lock: Lock, evidence: Evidence): boolean => evidence.issuedAt === null || evidence.issuedAt <= Number(lock.selector.value)

function meeting(index: LockIndex, route: string, evidence: Evidence | null, now: Instant): readonly Lock[] {
  const names = evidence === null ? [`route:${route}`, 'all:'] : [`route:${route}`, `credential:${evidence.credential}`]
  const found = named(index, names, now)
  if (evidence !== null) found.push(...index.issuedBefore.filter(lock => standsAt(lock, now) && tooOld(lock, evidence)))
  return found
}

/** The strongest lock that meets this request by its route or its credential rather than by its session. */
export const locksOnRequest = (index: LockIndex, route: string, evidence: Evidence | null, now: Instant): Lock | null =>
  index.size === 0 ? null : (strongest(meeting(index, route, evidence, now))?.lock ?? null)

/** Does one of those locks keep the request to its baseline, whatever stronger ones do to it as well? */
export const keptToBaseline = (index: LockIndex, route: string, evidence: Evidence | null, now: Instant): boolean =>
  index.size > 0 && strongest(meeting(index, route, evidence, now))?.toBaseline === true
