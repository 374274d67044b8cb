// Which grant carries a request: baseline first, then active elevations that add the scope and whose purpose the request shows,
// earliest end first. The condition is asked once per candidate; the first that holds is the grant. SPEC: DEC4, DEC5, PUR2, ELV6, ENF8
import type { Case } from './checks/check.ts'
import type { Condition } from './condition.ts'
import { type Grant, refuse, type Refusal } from './decision.ts'
import type { Carrier, Effective } from './effective.ts'
import type { Elevation } from './elevation.ts'
import { locksOnRequest } from './locks.ts'
import { purposeFit } from './purpose.ts'
import type { Reason } from './reason.ts'
import type { Rule } from './route.ts'
import { covers, type ScopeName } from './scope.ts'
import { cappedTo } from './session.ts'
import { FOREVER, type Instant } from './time.ts'

export type Choice = { readonly grant: Grant; readonly until: Instant }

const BASELINE: Choice = { grant: { is: 'baseline' }, until: FOREVER }
export const ANONYMOUS: Choice = { grant: { is: 'anonymous' }, until: FOREVER }

function asked(condition: Condition, c: Case, standing: Effective, elevation: Elevation | null): Reason | null {
  if (elevation === null && condition.readsElevation) return 'condition_false'
  const { session } = standing
  const answer = condition.test({ principal: session.principal, claims: c.claims, session: session.id, evaluation: c.evaluation, params: c.place.params, elevation })
  return answer === 'true' ? null : answer === 'false' ? 'condition_false' : 'condition_error'
}

const onBaseline = (c: Case, rule: Rule, standing: Effective): Reason | null => (rule.condition === null ? null : asked(rule.condition, c, standing, null))

/** Why this elevation does not carry this request; null when it does. */
function misfit(c: Case, rule: Rule, standing: Effective, { elevation }: Carrier): Reason | null {
  const { evidence, context } = c.evaluation
  if (elevation.keyThumbprint !== null && elevation.keyThumbprint !== evidence?.keyThumbprint) return 'binding_broken'
  const fit = purposeFit(elevation.purposes, context.purposes)
  if (fit !== 'shown') return fit === 'missing' ? 'purpose_missing' : 'purpose_mismatch'
  return rule.condition === null ? null : asked(rule.condition, c, standing, elevation)
}

type Candidate = Carrier | 'baseline'

/** In the order in which they are tried; the one that carries the exchange already comes first. */
function candidates(c: Case, standing: Effective, scope: ScopeName | null): readonly Candidate[] {
  if (scope === null) return ['baseline']
  const adding: readonly Candidate[] = standing.carriers.filter(({ carries }) => covers(carries, scope))
  const all = covers(standing.baseline, scope) ? (['baseline', ...adding] as const) : adding
  if (c.held === null) return all
  const held = all.find(candidate => candidate !== 'baseline' && candidate.elevation.id === c.held)
  return held === undefined ? all : [held, ...all.filter(candidate => candidate !== held)]
}

/** The scope is not there at all: was it taken by a narrowing, or never asked for? */
function withoutScope(c: Case, standing: Effective, scope: ScopeName): Refusal {
  const { cap, elevations } = standing.session
  const limit = cappedTo(cap)
  if (limit !== null && !covers(limit, scope)) return refuse('narrowed')
  const suspended = elevations.some(elevation => covers(elevation.adds, scope) && standing.lost.get(elevation.id) === 'narrowed')
  if (suspended) return refuse('narrowed')
  return refuse('elevation_required', [...c.policy.profiles.values()].some(({ adds }) => covers(adds, scope)))
}

/** A lock on the route or the credential that keeps to the baseline; one on the session is part of its standing. */
const keptToBaseline = ({ locks, place, evaluation, now }: Case): boolean => locks.size > 0 && locksOnRequest(locks, place.route.name, evaluation.evidence, now)?.effect === 'baseline'

export function chooseGrant(c: Case, rule: Rule, given: Effective): Choice | Refusal {
  const kept = keptToBaseline(c)
  const standing: Effective = kept ? { ...given, carriers: [] } : given
  let first: Reason | null = null
  for (const candidate of candidates(c, standing, rule.scope)) {
    const reason = candidate === 'baseline' ? onBaseline(c, rule, standing) : misfit(c, rule, standing, candidate)
    if (reason !== null) first ??= reason
    else if (candidate === 'baseline') return BASELINE
    else return { grant: { is: 'elevation', elevation: candidate.elevation }, until: candidate.until }
  }
  const { scope } = rule
  if (first !== null || scope === null) return refuse(first ?? 'denied')
  return kept && given.carriers.some(({ carries }) => covers(carries, scope)) ? refuse('narrowed') : withoutScope(c, standing, scope)
}
