// What changed behind a credential: claims that count as others now, until a newer credential shows them itself, and what its session has to show anew.
// SPEC: OUT5, OUT6
import type { Claims } from './principal.ts'
import { CLAIM_CHANGES_MAX, type ClaimChange, type Demand, isAfter } from './outside.ts'
import type { Session } from './session.ts'
import type { StepUp } from './step-up.ts'
import type { Instant } from './time.ts'

/** Sources tell seconds: of two in one second the one told last counts, and none that gives back what another took away. */
const isLater = (known: ClaimChange, { at }: ClaimChange): boolean => known.at < at || (known.at === at && known.value !== null)

/** Of each claim what happened last; of too many the oldest make way for none: what is told last is not kept then. */
export function withChanges(held: readonly ClaimChange[], told: readonly ClaimChange[]): readonly ClaimChange[] {
  const byClaim = new Map(held.map(change => [change.claim, change]))
  for (const change of told) {
    const known = byClaim.get(change.claim)
    if (known === undefined ? byClaim.size < CLAIM_CHANGES_MAX : isLater(known, change)) byClaim.set(change.claim, change)
  }
  return [...byClaim.values()]
}

/** The claims as they count now. @param issuedAt of the credential that shows them */
export function overlaid(claims: Claims, overlay: readonly ClaimChange[], issuedAt: Instant | null): Claims {
  const standing = overlay.filter(change => !isAfter(issuedAt, change))
  if (standing.length === 0) return claims
  const gone = new Set(standing.filter(({ value }) => value === null).map(({ claim }) => claim))
  const kept = Object.entries(claims).filter(([claim]) => !gone.has(claim))
  return Object.fromEntries([...kept, ...standing.filter(({ value }) => value !== null).map(({ claim, value }) => [claim, value] as const)])
}

/** Is this step-up for what is demanded of the whole session, and was it asked for since? */
export function isForDemand({ demand }: Pick<Session, 'demand'>, { covers, because, askedAt }: Pick<StepUp, 'covers' | 'because' | 'askedAt'>): boolean {
  return demand !== null && covers.rule === null && covers.request === null && because === demand.because && askedAt >= demand.since
}

/** What is demanded now: nothing that stands is made less by what comes behind it. What answers both does, and where nothing could, all of it is asked for. */
export function withDemand(held: Demand | null, asked: Demand): Demand {
  if (held === null) return asked
  const { since, because } = asked.since >= held.since ? asked : held
  const both = held.all || asked.all ? [] : held.by.filter(means => asked.by.includes(means))
  return both.length > 0 ? { since, because, by: both, all: false } : { since, because, by: [...new Set([...held.by, ...asked.by])], all: true }
}

export const isSameDemand = (held: Demand | null, { since, because, by, all }: Demand): boolean =>
  held !== null && held.since === since && held.because === because && held.all === all && held.by.length === by.length && by.every(means => held.by.includes(means))
