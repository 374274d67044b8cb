// Where the uses of an elevation are counted. What somebody approved has a count of its own; what nobody approves shares one with every other that the
// same principal asks for the same task or the same opening of its window, so that asking again gives nothing more: a turn is that of its conversation. SPEC: LIM1
import type { Budget, Elevation, ElevationId } from '../core/elevation.ts'
import type { Profile } from '../core/policy.ts'
import type { Principal } from '../core/principal.ts'
import { PURPOSE_KINDS } from '../core/purpose.ts'
import { after, duration, type Instant, later } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'

/** Longer than any elevation waits for its window and lasts, and than a task is asked for again. */
const TASK_KEPT = duration(90 * 86_400_000)

/** @param occurrence when the opening of its window began; null without windows */
export function budgetOf(id: ElevationId, profile: Profile, principal: Principal, { purposes, ties }: Pick<Elevation, 'purposes' | 'ties'>, occurrence: Instant | null, approved: boolean, now: Instant): Budget {
  const isShared = !approved && (occurrence !== null || profile.purposes.length > 0)
  if (!isShared) return { counter: `elevation/${id}`, forgetAt: after(later(now, occurrence ?? now), TASK_KEPT) }
  const { issuer, tenant, subject, client } = principal
  const lines = ties.filter(({ position }) => position !== null).map(({ anchor: { kind, name } }) => [kind, name])
  const task = sha256(JSON.stringify([issuer, tenant, subject, client, profile.name, PURPOSE_KINDS.map(kind => purposes[kind] ?? null), occurrence, ...lines]))
  return { counter: `task/${task}`, forgetAt: after(later(now, occurrence ?? now), TASK_KEPT) }
}
