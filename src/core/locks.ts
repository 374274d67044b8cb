// Standing refusals and how they are found: by name, so that a request pays for a few look-ups and only when there are locks at all.
// SPEC: ENF8, BND5
import { type CutOff, cutOffOf, type Lock, selectorName, stronger } from './anchor.ts'
import type { Elevation } from './elevation.ts'
import type { Evaluation } from './evaluation.ts'
import type { Evidence } from './evidence.ts'
import type { Principal } from './principal.ts'
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

/** By who it is, by what it is bound to, and by the life it was delegated from. */
function namesOfSession({ id, principal: { issuer, subject, tenant }, bindings: { device, workload }, brokered }: Session): readonly string[] {
  const names = [`session:${id}`, `subject:${issuer}|${subject}`, `subject:${subject}`, `tenant:${tenant}`, `issuer:${issuer}`, 'all:']
  if (device !== null) names.push(`device:${device}`)
  if (workload !== null) names.push(`workload:${workload}`)
  if (brokered !== null && brokered.parent !== null) names.push(`parent:${brokered.parent.id}`)
  return names
}

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
  index.size === 0 ? null : strongest(named(index, namesOfSession(session), now))

/** The strongest lock on an elevation or on its profile. */
export const lockOnElevation = (index: LockIndex, { id, profile }: Pick<Elevation, 'id' | 'profile'>, now: Instant): Hit | null =>
  index.size === 0 ? null : strongest(named(index, [`profile:${profile}`, `elevation:${id}`], now))

/** What a request shows that locks may name. */
export type ShownToLocks = { readonly evidence: Evidence | null; readonly context: Pick<Evaluation['context'], 'workload'> }
type Whose = Pick<Principal, 'issuer' | 'subject'> | null

/** Of whom nothing is known everything is meant. */
const concerns = ({ subject }: CutOff, whose: Whose): boolean =>
  subject === null || whose === null || subject === whose.subject || subject === `${whose.issuer}|${whose.subject}`

/** Was this credential issued too early for a cut-off? Credentials without an issue time always were. */
function tooOld({ selector }: Lock, { issuedAt }: Evidence, whose: Whose): boolean {
  const cutOff = cutOffOf(selector)
  return !(issuedAt !== null && issuedAt > cutOff.before) && concerns(cutOff, whose)
}

/** Who has no session here meets a lock on everybody by the request. */
function namesOfRequest(route: string, { evidence, context: { workload } }: ShownToLocks, whose: Whose): readonly string[] {
  const names = [`route:${route}`]
  if (evidence === null || whose === null) names.push('all:')
  if (workload !== null) names.push(`workload:${workload}`)
  if (evidence === null) return names
  const { credential, issuer, keyId, device } = evidence
  names.push(`credential:${credential}`, `issuer:${issuer}`)
  if (keyId !== null) names.push(`keyId:${issuer}|${keyId}`, `keyId:${keyId}`)
  if (device !== null) names.push(`device:${device}`)
  return names
}

function meeting(index: LockIndex, route: string, shown: ShownToLocks, whose: Whose, now: Instant): readonly Lock[] {
  const found = named(index, namesOfRequest(route, shown, whose), now)
  const { evidence } = shown
  if (evidence !== null) for (const lock of index.issuedBefore) if (standsAt(lock, now) && tooOld(lock, evidence, whose)) found.push(lock)
  return found
}

/** The strongest lock that meets this request by its route, its credential or its workload rather than by its session. @param whose the principal of the credential */
export const locksOnRequest = (index: LockIndex, route: string, shown: ShownToLocks, whose: Whose, now: Instant): Lock | null =>
  index.size === 0 ? null : (strongest(meeting(index, route, shown, whose, now))?.lock ?? null)

/** Does one of those locks keep the request to its baseline, whatever stronger ones do to it as well? */
export const keptToBaseline = (index: LockIndex, route: string, shown: ShownToLocks, whose: Whose, now: Instant): boolean =>
  index.size > 0 && strongest(meeting(index, route, shown, whose, now))?.toBaseline === true
