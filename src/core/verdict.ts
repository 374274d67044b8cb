// What a changed world does to an exchange that is already open: the judge asked again, and its answer as one of the verdicts.
// `narrow` is for exchanges that carry many actions, each of which is judged by itself; others carry one, so they are continued, regranted, frozen or ended. SPEC: ENF3, MCP19
import type { Case } from './checks/check.ts'
import { type Grant, grantName, type Permit, refuse, type Refusal } from './decision.ts'
import { type Effective, scopesNow } from './effective.ts'
import type { Elevation } from './elevation.ts'
import { endOf, evaluate, needOf } from './evaluate.ts'
import { deadline } from './deadline.ts'
import { misfit, shownUntil } from './grant.ts'
import { keptToBaseline, lockOnElevation, locksOnSession } from './locks.ts'
import { REASONS, type Reason } from './reason.ts'
import { isForDemand } from './overlay.ts'
import type { Rule } from './route.ts'
import { covers, type Scope } from './scope.ts'
import { lapsed } from './step-up.ts'
import { after, earlier, type Instant, instant } from './time.ts'

export type Verdict =
  /** `narrow`: it goes on for less than before. */
  | { readonly kind: 'continue' | 'narrow' | 'regrant'; readonly permit: Permit }
  | { readonly kind: 'freeze'; readonly reason: Reason }
  | { readonly kind: 'terminate'; readonly reason: Reason }
  /** Its right has ended by time or by a limit, and its rule lets what is whole finish. */
  | { readonly kind: 'finish'; readonly reason: Reason; readonly until: Instant }

/** What a newcomer would be told, where nothing carries the scope. */
const ASKS_ANEW: ReadonlySet<Reason> = new Set<Reason>(['elevation_required', 'window_closed', 'purpose_over', 'ticket_closed', 'ticket_changed', 'ticket_stale'])

/** The end of the grant it stood on tells more than what a newcomer would be told. */
function whyLost(held: Grant, standing: Effective | null, refused: Reason): Reason {
  if (held.is !== 'elevation' || standing === null || !ASKS_ANEW.has(refused)) return refused
  const lost = standing.lost.get(held.elevation.id)
  return lost === undefined || REASONS[lost].loss === 'freeze' ? refused : lost // a frozen profile that adds the scope no more holds nothing
}

/** What has limits is paid before a request is dispatched, so nothing goes over to it on the way. */
const isUnpaid = (held: Grant, given: Grant): boolean => given.is === 'elevation' && given.elevation.budget !== null && grantName(given) !== grantName(held)

/** The upstream was shown what was obtained for the grant it was admitted on, and revokes that with it. */
const isBrokered = (held: Grant, given: Grant, { route }: Case['place']): boolean => route.brokered && grantName(given) !== grantName(held)

/** What is known of the exchange itself. `finishUntil`: what an earlier verdict gave it; null before. */
export type Progress = { readonly whole: boolean; readonly finishUntil: Instant | null; readonly openedAt: Instant; /** What its session might do when it was looked at last; null where it carries one action. */ readonly scopes: Scope | null }
const NEW: Progress = { whole: false, finishUntil: null, openedAt: instant(0), scopes: null }

function isNarrower({ scopes }: Progress, standing: Effective | null): boolean {
  if (scopes === null || standing === null) return false
  const now = scopesNow(standing)
  return scopes.some(scope => !covers(now, scope))
}

/** Ends by choice; none after an end that somebody meant. */
const MAY_FINISH: ReadonlySet<Reason> = new Set<Reason>(['time_up', 'window_closed', 'limit_reached'])

/** Whatever else would have ended it, were it not over: an end that somebody meant does not stop at an earlier one. */
function takenAway(elevation: Elevation, c: Case, rule: Rule, standing: Effective): Reason | null {
  const { locks, policy, now, place: { route }, evaluation } = c
  const { session, ceiling } = standing
  const profile = policy.profiles.get(elevation.profile)
  if (profile === undefined) return 'profile_removed'
  if (lockOnElevation(locks, elevation, now) !== null) return 'locked'
  const toBaseline = session.cap.is === 'baseline' || locksOnSession(locks, session, now)?.toBaseline === true || keptToBaseline(locks, route.name, evaluation, session.principal, now)
  const left = rule.scope === null || (covers(profile.adds, rule.scope) && (ceiling === null || covers(ceiling, rule.scope)))
  return toBaseline || !left || session.barred.includes(elevation.profile) ? 'narrowed' : misfit(c, rule, standing, { elevation })
}

/** When it ended; now where nobody wrote that down. */
function endedAt({ id }: Elevation, { session }: Effective, now: Instant): Instant {
  const state = session.elevations.find(each => each.id === id)?.state
  return state?.is === 'ended' ? earlier(state.at, now) : state?.is === 'active' ? earlier(state.until ?? now, now) : now
}

/** Never beyond what bounds a Permit: session, credential, what is known of that, and what is signed. */
function finish(elevation: Elevation, c: Case, reason: Reason, { whole, finishUntil }: Progress): Verdict | null {
  const { now, standing, place: { rule } } = c
  if (rule === null || rule.atEnd === null || !whole || !MAY_FINISH.has(reason) || standing === null) return null
  const taken = takenAway(elevation, c, rule, standing)
  if (taken !== null) return { kind: 'terminate', reason: taken }
  const until = deadline(c, earlier(finishUntil ?? after(endedAt(elevation, standing, now), rule.atEnd), shownUntil(elevation, c)))
  return now < until ? { kind: 'finish', reason, until } : null
}

/** What was shown anew and counts no more, or was refused, is not waited for: that ends what is open. */
function answered(refusal: Refusal, c: Case, openedAt: Instant): Refusal {
  const need = refusal.reason === 'step_up_required' ? needOf(c) : null
  if (need === null || c.standing === null) return refusal
  const { session } = c.standing
  const over = lapsed(need.whole ? session.stepUps.filter(stepUp => isForDemand(session, stepUp)) : session.stepUps, c, need.rules, openedAt)
  return over === null ? refusal : refuse(over)
}

/** @param held the Permit's grant under which the exchange was admitted or last confirmed */
export function reassess(held: Grant, c: Case, progress: Progress = NEW): Verdict {
  const judged = evaluate(c)
  const decision = judged.effect === 'permit' ? (isUnpaid(held, judged.grant) || isBrokered(held, judged.grant, c.place) ? refuse('elevation_required') : judged) : answered(judged, c, progress.openedAt)
  if (decision.effect === 'permit') return { kind: grantName(decision.grant) !== grantName(held) ? 'regrant' : isNarrower(progress, c.standing) ? 'narrow' : 'continue', permit: decision }
  const refusal = REASONS[decision.reason].loss === 'freeze' ? (endOf(c) ?? decision) : decision // what is held for now ends all the same when its right does
  const reason = whyLost(held, c.standing, refusal.reason)
  const finishing = held.is === 'elevation' ? finish(held.elevation, c, reason, progress) : null
  if (finishing === null) return { kind: REASONS[reason].loss, reason }
  return finishing.kind === 'finish' && REASONS[decision.reason].loss === 'freeze' ? { kind: 'freeze', reason: decision.reason } : finishing // what may finish is held like anything else
}
