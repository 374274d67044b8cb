// Whether approvals that were given still count: asked when the last one comes, when an elevation that waited starts, and when a cap is lifted from one that
// never ran. An approver who lost the role, is locked, or turns out to be one of those who ask gives nothing. It ends nothing that runs. SPEC: APR2, APR6
import type { Approval, Elevation } from '../core/elevation.ts'
import { type AnchorView, factsOf, type Holder } from '../core/footing.ts'
import { type LockIndex, standsAt } from '../core/locks.ts'
import { isEligible, knownAs, type Policy } from '../core/policy.ts'
import type { Claims } from '../core/principal.ts'
import type { Session } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { barredFrom } from './barred.ts'
import { mayHoldNow } from './holding.ts'

/** An approver as it is known today; `claims` is what conditions on approvers read. */
export type Standing = { readonly claims: Claims; readonly holds: (role: string) => boolean }

/** By what was kept of its credential; null for somebody who would not be let in any more. */
export type StandingOf = (approval: Pick<Approval, 'by' | 'claims'>) => Promise<Standing | null>

export type Now = { readonly policy: Policy; readonly locks: LockIndex; readonly now: Instant }

const NOBODY = { kind: 'person', issuer: '', tenant: '', subject: '', client: '', owner: null, actor: null } as const

/** Does this stage of the profile, as it was asked and as it is configured now, ask for somebody like this? */
export function isAsked({ profiles }: Policy, { profile, stages }: Elevation, stage: number, { claims, holds }: Standing): boolean {
  const [asked, rules] = [stages[stage], profiles.get(profile)?.approval?.stages[stage]]
  if (asked === undefined || rules === undefined || !holds(asked.role) || !holds(rules.role)) return false
  return rules.who === null || rules.who.test(NOBODY, claims) === 'true'
}

/** By itself, or by whatever vouches for it. */
export function isLockedOut({ locks, now }: Pick<Now, 'locks' | 'now'>, identity: string): boolean {
  const at = identity.indexOf('|')
  return [`subject:${identity}`, `subject:${identity.slice(at + 1)}`, `issuer:${identity.slice(0, at)}`].some(name => {
    const lock = locks.byName.get(name)
    return lock !== undefined && lock.effect === 'deny' && standsAt(lock, now)
  })
}

/** Did the same person approve it already, under this name or another? */
export const hasApproved = (policy: Policy, approvals: readonly Approval[], identity: string): boolean =>
  approvals.some(({ by }) => knownAs(policy, identity).includes(by))

async function counts(session: Session, elevation: Elevation, at: number, world: Now, standingOf: StandingOf): Promise<boolean> {
  const approval = elevation.approvals[at]
  if (approval === undefined || barredFrom(world.policy, session.principal, elevation).includes(approval.by) || isLockedOut(world, approval.by)) return false
  if (hasApproved(world.policy, elevation.approvals.slice(0, at), approval.by)) return false
  const standing = await standingOf(approval)
  return standing !== null && isAsked(world.policy, elevation, approval.stage, standing)
}

/** The first approval that counts no more; null where all do. */
export async function lostApproval(session: Session, elevation: Elevation, world: Now, standingOf: StandingOf): Promise<Approval | null> {
  for (const [at, approval] of elevation.approvals.entries()) if (!(await counts(session, elevation, at, world, standingOf))) return approval
  return null
}

/** Does the condition still hold that took the place of an approval? */
export function isStillUnasked({ policy }: Pick<Now, 'policy'>, { profile, unasked, ticket, purposes, params }: Elevation, { principal, claims }: Holder, anchors: AnchorView): boolean {
  if (unasked !== 'condition') return true
  const auto = policy.profiles.get(profile)?.approval?.autoWhen ?? null
  return auto !== null && auto.test({ principal, claims, ticket: factsOf(ticket === null ? null : anchors.find(ticket)), purposes, params }) === 'true'
}

/** Would its session be given it, were it asked for now? Where no credential of it was seen here nobody can tell, and the judge lets nobody use it without one. */
export function mayStillAsk({ policy }: Pick<Now, 'policy'>, session: Session, elevation: Elevation, { principal, claims }: Holder): boolean {
  const profile = policy.profiles.get(elevation.profile)
  return profile !== undefined && mayHoldNow(policy, session, profile.name) && (claims === null || isEligible(profile, principal, claims))
}
