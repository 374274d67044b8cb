// Why a case is decided as it is: what each check says of it, what could carry it and does not, and what would have to happen. It asks the judge's own
// parts and decides nothing. Pure. SPEC: EXP1
import type { Case } from './checks/check.ts'
import { CHECKS } from './checks/order.ts'
import type { Decision, Grant } from './decision.ts'
import { type Effective, limitOf } from './effective.ts'
import type { Elevation } from './elevation.ts'
import { evaluate } from './evaluate.ts'
import { chooseGrant, misfit, misfitOfBaseline } from './grant.ts'
import { keptToBaseline, lockOnElevation, locksOnRequest, locksOnSession } from './locks.ts'
import { offersFor } from './policy.ts'
import type { Reason } from './reason.ts'
import type { Rule } from './route.ts'
import { covers, type ScopeName } from './scope.ts'
import { coverage, type Means, type StepUpId, stepUpNeeded } from './step-up.ts'
import type { Instant } from './time.ts'

/** What could carry it; `fault` null does. */
export type Weighed = { readonly grant: string; readonly profile: string | null; readonly fault: Reason | null }

/** What would turn a refusal; of several each may be needed. */
export type Remedy =
  | { readonly is: 'elevation'; /** Those that this caller may ask for. */ readonly profiles: readonly string[] }
  | { readonly is: 'stepUp'; readonly by: readonly Means[]; readonly all: boolean; readonly because: string }
  | { readonly is: 'taint'; readonly name: string; readonly until: Instant | null }
  | { readonly is: 'lock'; readonly lock: string; readonly until: Instant | null }
  | { readonly is: 'resume'; readonly until: Instant | null }
  | { readonly is: 'widen' }
  /** Its principal's risk has to fall below it. */
  | { readonly is: 'level'; readonly level: string }

export type Explained = {
  readonly decision: Decision
  /** In their order; the judge stops at the first that refuses. */
  readonly checks: readonly { readonly check: string; readonly refuses: Reason | null }[]
  readonly candidates: readonly Weighed[]
  /** What it has to be stepped up for, should it be carried, and what covers it; null for nothing. */
  readonly stepUp: { readonly because: string; readonly by: readonly Means[]; readonly all: boolean; readonly covered: StepUpId | null } | null
  readonly remedies: readonly Remedy[]
}

/** What will carry what nothing carries now is more than its baseline. */
const ELSE: Grant = { is: 'observed' }

/** Why nothing of that scope is left to it; null where the scope is there. */
function outOfReach({ session, level, ceiling }: Effective, scope: ScopeName): Reason | null {
  if (ceiling !== null && !covers(ceiling, scope)) return 'elevation_required'
  const limit = limitOf(session, level?.acts ?? null)
  return limit !== null && !covers(limit, scope) ? 'narrowed' : null
}

function ofBaseline(c: Case, rule: Rule, standing: Effective): Weighed {
  const { scope } = rule
  const without = scope === null || covers(standing.baseline, scope) ? null : (outOfReach(standing, scope) ?? 'elevation_required')
  return { grant: 'baseline', profile: null, fault: without ?? misfitOfBaseline(c, rule, standing) }
}

function ofElevation(c: Case, rule: Rule, standing: Effective, scope: ScopeName, kept: boolean, elevation: Elevation): Weighed {
  const lost = standing.lost.get(elevation.id) ?? (kept ? 'narrowed' : outOfReach(standing, scope))
  const carries = standing.carriers.some(carrier => carrier.elevation.id === elevation.id && covers(carrier.carries, scope))
  const fault = lost ?? (carries ? misfit(c, rule, standing, { elevation }) : 'elevation_required') // the profile no longer adds it
  return { grant: elevation.id, profile: elevation.profile, fault }
}

/** Baseline, then every elevation that was asked for this scope. */
function candidatesOf(c: Case, rule: Rule, standing: Effective): readonly Weighed[] {
  const { scope } = rule
  if (scope === null) return [ofBaseline(c, rule, standing)]
  const kept = keptToBaseline(c.locks, c.place.route.name, c.evaluation, standing.session.principal, c.now)
  const adding = standing.session.elevations.filter(({ adds }) => covers(adds, scope))
  return [ofBaseline(c, rule, standing), ...adding.map(elevation => ofElevation(c, rule, standing, scope, kept, elevation))]
}

function stepUpOf(c: Case, rule: Rule, standing: Effective): Explained['stepUp'] {
  const choice = chooseGrant(c, rule, standing)
  const needed = stepUpNeeded(c, 'effect' in choice ? ELSE : choice.grant, standing)
  return needed === null ? null : { because: needed.because, by: needed.rules.by, all: needed.rules.all, covered: coverage(standing.session.stepUps, c, needed.rules)?.id ?? null }
}

function locksOn(c: Case, { session }: Effective): readonly Remedy[] {
  const scope = c.place.rule?.scope ?? null
  const ofElevations = session.elevations.filter(({ adds }) => scope !== null && covers(adds, scope)).map(elevation => lockOnElevation(c.locks, elevation, c.now)?.lock)
  const locks = [locksOnSession(c.locks, session, c.now)?.lock, locksOnRequest(c.locks, c.place.route.name, c.evaluation, session.principal, c.now), ...ofElevations]
  return [...new Set(locks)].flatMap(lock => (lock == null ? [] : [{ is: 'lock', lock: lock.id, until: lock.until }]))
}

function taintsOn({ place: { route, rule } }: Case, { taints }: Effective): readonly Remedy[] {
  const excluding = taints.filter(({ name }) => route.notAfter.includes(name) || rule?.notAfter.includes(name) === true)
  return excluding.map(({ name, until }) => ({ is: 'taint', name, until }))
}

/** What keeps it from a right that it would have: a level, a cap. */
function narrowingOn({ level, session: { cap, barred } }: Effective): readonly Remedy[] {
  const byLevel: readonly Remedy[] = level === null || level.acts.narrow === null ? [] : [{ is: 'level', level: level.name }]
  return cap.is === 'none' && barred.length === 0 ? byLevel : [...byLevel, { is: 'widen' }]
}

function remediesOf(c: Case, standing: Effective, reason: Reason, requestable: boolean, stepUp: Explained['stepUp']): readonly Remedy[] {
  const { level, session: { principal, frozen } } = standing
  const scope = c.place.rule?.scope ?? null
  const found: Remedy[] = []
  if (requestable && scope !== null) found.push({ is: 'elevation', profiles: offersFor(c.policy, scope, principal, c.claims).map(({ name }) => name) })
  if (reason === 'step_up_required' && stepUp !== null) found.push({ is: 'stepUp', by: stepUp.by, all: stepUp.all, because: stepUp.because })
  if ((standing.byRisk || reason === 'risk') && level !== null) found.push({ is: 'level', level: level.name })
  if (reason === 'narrowed') found.push(...narrowingOn(standing))
  if (reason === 'tainted') found.push(...taintsOn(c, standing))
  if ((reason === 'frozen' || reason === 'risk') && frozen !== null) found.push({ is: 'resume', until: frozen.until })
  return [...found, ...(c.locks.size === 0 ? [] : locksOn(c, standing))]
}

export function explain(c: Case): Explained {
  const { standing, place: { rule } } = c
  const decision = evaluate(c)
  const checks = CHECKS.map(check => ({ check: check.name, refuses: check(c)?.reason ?? null }))
  if (rule === null || rule.anonymous || standing === null) return { decision, checks, candidates: [], stepUp: null, remedies: [] }
  const stepUp = stepUpOf(c, rule, standing)
  const why = decision.effect === 'refuse' ? decision : decision.would === null ? null : { reason: decision.would, requestable: false }
  return { decision, checks, candidates: candidatesOf(c, rule, standing), stepUp, remedies: why === null ? [] : remediesOf(c, standing, why.reason, why.requestable, stepUp) }
}
