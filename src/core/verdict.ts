// What a changed world does to an exchange that is already open: the judge asked again, and its answer as one of the verdicts.
// `narrow` is for exchanges that carry many actions; HTTP exchanges carry one, so they are continued, regranted, frozen or ended. SPEC: ENF3
import type { Case } from './checks/check.ts'
import { type Grant, grantName, type Permit, refuse } from './decision.ts'
import type { Effective } from './effective.ts'
import { endOf, evaluate } from './evaluate.ts'
import { credentialEnd } from './deadline.ts'
import { REASONS, type Reason } from './reason.ts'
import { after, earlier, type Instant } from './time.ts'

export type Verdict =
  | { readonly kind: 'continue' | 'regrant'; readonly permit: Permit }
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

/** What is known of the exchange itself. `finishUntil`: what an earlier verdict gave it; null before. */
export type Progress = { readonly whole: boolean; readonly finishUntil: Instant | null }
const NEW: Progress = { whole: false, finishUntil: null }

/** Ends by choice; none after an end that somebody meant. */
const MAY_FINISH: ReadonlySet<Reason> = new Set<Reason>(['time_up', 'window_closed', 'limit_reached'])

/** Never beyond the session and its credential: those are looked at by every verdict. */
function finish(c: Case, reason: Reason, { whole, finishUntil }: Progress): Verdict | null {
  const span = c.place.rule?.atEnd ?? null
  if (span === null || !whole || !MAY_FINISH.has(reason) || c.standing === null) return null
  const until = earlier(finishUntil ?? after(c.now, span), earlier(c.standing.session.endsAt, credentialEnd(c)))
  return c.now < until ? { kind: 'finish', reason, until } : null
}

/** @param held the Permit's grant under which the exchange was admitted or last confirmed */
export function reassess(held: Grant, c: Case, progress: Progress = NEW): Verdict {
  const judged = evaluate(c)
  const decision = judged.effect === 'permit' && isUnpaid(held, judged.grant) ? refuse('elevation_required') : judged
  if (decision.effect === 'permit') return { kind: grantName(decision.grant) === grantName(held) ? 'continue' : 'regrant', permit: decision }
  const refusal = REASONS[decision.reason].loss === 'freeze' ? (endOf(c) ?? decision) : decision // what is held for now ends all the same when its right does
  const reason = whyLost(held, c.standing, refusal.reason)
  const finishing = held.is === 'elevation' ? finish(c, reason, progress) : null
  if (finishing === null) return { kind: REASONS[reason].loss, reason }
  return REASONS[decision.reason].loss === 'freeze' ? { kind: 'freeze', reason: decision.reason } : finishing // what may finish is held like anything else
}
