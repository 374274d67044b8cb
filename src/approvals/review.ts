// What somebody must look at afterwards: an elevation that was taken in an emergency, without asking. Written before it is taken. SPEC: APR7
import type { AnchorRef, Matter } from '../core/anchor.ts'
import type { Elevation, ElevationId } from '../core/elevation.ts'
import { knownAs, type Policy } from '../core/policy.ts'
import { identityOf, type Principal } from '../core/principal.ts'
import type { SessionId } from '../core/session.ts'
import { after, type Instant } from '../core/time.ts'
import { barredFrom } from './barred.ts'

export type Review = Extract<Matter, { is: 'review' }>

/** How many emergencies of this identity nobody has looked at yet. */
export type Unreviewed = (identity: string) => number

export const reviewAnchor = (elevation: ElevationId): AnchorRef => ({ kind: 'review', name: elevation })

/** @param from when it starts */
export function reviewOf(policy: Policy, elevation: Elevation, session: SessionId, principal: Principal, from: Instant): Review | null {
  const rules = policy.profiles.get(elevation.profile)?.approval?.breakGlass ?? null
  if (elevation.unasked !== 'break_glass' || rules === null) return null
  return {
    is: 'review', elevation: elevation.id, session, profile: elevation.profile, subject: identityOf(principal), barred: barredFrom(policy, principal, elevation),
    dueAt: after(from, rules.reviewWithin), verdict: 'pending', by: '',
  }
}

/** Nobody looks at its own emergency, nor whoever counts as one of those who took it. */
export const isBarredFrom = (policy: Policy, { barred }: Review, identity: string): boolean => knownAs(policy, identity).some(name => barred.includes(name))
