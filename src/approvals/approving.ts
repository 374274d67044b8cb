// An approver's word on a request: for exactly what was shown, by somebody the open stage asks for, starting when its windows let it. SPEC: APR1, APR2, APR4, APR5
import { approvalsNeeded, type Elevation, stageOf } from '../core/elevation.ts'
import { knownAs } from '../core/policy.ts'
import type { Claims } from '../core/principal.ts'
import type { Session } from '../core/session.ts'
import type { SessionNews, Shrinking } from '../core/signal.ts'
import { later } from '../core/time.ts'
import { restsUntil } from '../sessions/principal-anchor.ts'
import { openingOf, type World } from './asking.ts'
import { barredFrom } from './barred.ts'
import { type Declined, decline, isDeclined } from './declined.ts'
import { shownDigest } from './shown.ts'
import { hasApproved, isAsked, isLockedOut, type Now, type Standing } from './standing.ts'

/** `kept`: what is stored of its credential. */
export type Approver = Standing & { readonly identity: string; readonly kept: Claims }

/** What the approver gives, and the digest of what it was shown. */
export type Given = Shrinking & { readonly shown: string }

/** Would one more word be the last that is missing? */
export const isLastWord = (elevation: Elevation): boolean => elevation.state.is === 'requested' && approvalsNeeded(elevation) - elevation.approvals.length === 1

/** Why this person may not approve at all; null where it may. What is decided already is told first. */
function personFault(session: Session, elevation: Elevation, { identity, ...standing }: Approver, { policy, locks, now }: Now): Declined | null {
  const { state, approvals } = elevation
  if (state.is !== 'requested') return decline('conflict', `the elevation is ${state.is}`)
  if (state.expiresAt !== null && state.expiresAt <= now) return decline('conflict', 'the time to approve is over')
  if (barredFrom(policy, session.principal, elevation).includes(identity)) return decline('denied', 'nobody approves its own request')
  if (isLockedOut({ locks, now }, identity)) return decline('locked', 'a lock stands on the approver')
  if (hasApproved(policy, approvals, identity)) return decline('conflict', 'already approved by this approver')
  const stage = stageOf(elevation) ?? 0
  return isAsked(policy, elevation, stage, standing) ? null : decline('denied', `stage ${stage + 1} asks for somebody else: ${elevation.stages[stage]?.role ?? 'nobody'}`)
}

/** The news of it. Whether earlier approvals still count is for the caller to ask: it ends what they gave. */
export async function approvalNews(session: Session, elevation: Elevation, by: Approver, { shown: claimed, ...shrinking }: Given, world: World & Now): Promise<SessionNews | Declined> {
  const fault = personFault(session, elevation, by, world)
  if (fault !== null) return fault
  const shown = shownDigest(session, elevation)
  if (claimed !== shown) return decline('conflict', 'the request is not what was shown: read it again')
  const profile = world.policy.profiles.get(elevation.profile)
  if (profile === undefined) return decline('conflict', 'its profile is gone')
  const opening = await openingOf(profile, elevation.startsAt, world)
  if (isDeclined(opening)) return opening
  const rests = await restsUntil(profile, session.principal, session.elevations, world.look)
  return {
    kind: 'elevation.approved', elevation: elevation.id, revision: elevation.revision, shown, stage: stageOf(elevation) ?? 0, claims: by.kept,
    barred: barredFrom(world.policy, session.principal, elevation), names: knownAs(world.policy, by.identity), startsAt: rests > world.now ? later(rests, opening.startsAt ?? rests) : opening.startsAt, ...shrinking,
  }
}
