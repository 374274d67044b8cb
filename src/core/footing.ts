// What an elevation stands on besides its own clock: shared conditions, windows, and what its ticket says. Asked by the judge at every change, and
// by whoever starts one that waited. SPEC: ELV6, ELV10, WIN4, TKT3
import type { Anchor, AnchorRef, TicketFacts } from './anchor.ts'
import type { Elevation } from './elevation.ts'
import { type ConnectorRules, isEligible, type Policy } from './policy.ts'
import type { Claims, Principal } from './principal.ts'
import type { EndReason } from './reason.ts'
import { after, earlier, FOREVER, type Instant, instant, later } from './time.ts'
import { type Override, type Standing, windowAt } from './window.ts'

export type AnchorView = { readonly find: (ref: AnchorRef) => Anchor | null }

/** Who holds it; claims are null where no credential of it was seen here. */
export type Holder = { readonly principal: Principal; readonly claims: Claims | null; /** Somebody says that claims are others than its credential shows. */ readonly changed: boolean }

export type Footing = {
  /** Why it ends, or cannot start; null where it holds. */
  readonly ended: EndReason | null
  /** It holds, but who tells of its ticket is not heard of, and nothing moves until then. */
  readonly unheard: boolean
  /** When a window opens that it waits for; null where all are open. */
  readonly waits: Instant | null
  /** The next instant at which time alone changes any of this. */
  readonly until: Instant
  /** Versions of its windows. */
  readonly schedules: readonly string[]
}

/** The end of a shared condition, as seen by an elevation requested before it. */
export function tieBroken({ ties, requestedAt }: Pick<Elevation, 'ties' | 'requestedAt'>, anchors: AnchorView): EndReason | null {
  for (const { anchor, generation, reason, position, level } of ties) {
    const found = anchors.find(anchor)
    if (found === null) continue
    if (found.state === 'ended' || found.generation !== generation) return reason
    if (position !== null && found.matter?.is === 'progress' && found.matter.position > position) return reason
    if (level !== null && found.matter?.is === 'principal' && found.matter.reached.some(({ at, when }) => at >= level && when >= requestedAt)) return reason
  }
  return null
}

const NOT_SEEN: TicketFacts = {}
export const factsOf = (anchor: Anchor | null): TicketFacts => (anchor?.matter?.is === 'ticket' ? anchor.matter.facts : NOT_SEEN)

/** The connector that a ticket is named after. */
export const connectorOf = ({ connectors }: Pick<Policy, 'connectors'>, { name }: AnchorRef): ConnectorRules | null => connectors.get(name.slice(0, name.indexOf('/'))) ?? null

type Heard = { readonly ended: EndReason | null; readonly unheard: boolean; readonly until: Instant }
const HEARD: Heard = { ended: null, unheard: false, until: FOREVER }

/** How long ago somebody spoke of the ticket. */
function heardOf(policy: Policy, ref: AnchorRef, ticket: Anchor | null, now: Instant): Heard {
  const rules = connectorOf(policy, ref)
  if (rules === null) return { ...HEARD, unheard: true } // nobody tells of it any more
  if (rules.staleAfter === null || rules.onStale === 'keep') return HEARD
  const until = ticket?.matter?.is === 'ticket' ? after(ticket.matter.seenAt, rules.staleAfter) : now
  if (now < until) return { ...HEARD, until }
  return rules.onStale === 'freeze' ? { ...HEARD, unheard: true } : { ...HEARD, ended: 'ticket_stale' }
}

const NEVER = instant(0)

/** What the ticket says, and whatever else it said since it was looked at. */
function saidSince({ checked }: Elevation, ticket: Anchor | null): readonly TicketFacts[] {
  const was = ticket?.matter?.is === 'ticket' ? ticket.matter.was : []
  const since = checked?.seenAt ?? NEVER
  return [factsOf(ticket), ...was.filter(({ seenAt }) => seenAt > since).map(({ facts }) => facts)]
}

/** A ticket that says again what is required revives nothing. */
function requirementBroken(elevation: Elevation, ticket: Anchor | null, policy: Policy, { principal, claims }: Holder): boolean {
  const require = policy.profiles.get(elevation.profile)?.require ?? null
  if (require === null || elevation.follows !== null) return false
  return saidSince(elevation, ticket).some(facts => {
    const answer = require.test({ principal, claims, ticket: facts, purposes: elevation.purposes, params: elevation.params })
    return answer === 'false' || answer === 'error'
  })
}

/** Of whom somebody says that claims were taken away or changed. */
function isEligibleStill({ profile, follows }: Elevation, policy: Policy, { principal, claims, changed }: Holder): boolean {
  if (!changed || claims === null || follows !== null) return true
  const rules = policy.profiles.get(profile)
  return rules === undefined || isEligible(rules, principal, claims)
}

/** `opened`: when the last of those that are open opened. `reopened`: when one of them last opened again, by its calendar or a word; 0 for never. */
type Open = { readonly waits: Instant | null; readonly opened: Instant | null; readonly reopened: Instant; readonly until: Instant; readonly schedules: readonly string[] }
const NO_WINDOWS: Open = { waits: null, opened: null, reopened: NEVER, until: FOREVER, schedules: [] }

const reopenedOf = (anchor: Anchor | null): Instant => (anchor?.matter?.is === 'window' ? anchor.matter.reopened : NEVER)
const overrideOf = (anchor: Anchor | null): Override | null => (anchor?.matter?.is === 'window' ? anchor.matter.override : null)

/** Since when it has been open by its calendar; what a word moved may touch it. Under a word that stands, that word says since when. */
function openSince({ opens }: Standing, moved: Override | null, now: Instant): Instant {
  if (moved === null || now < moved.from || moved.until < opens) return opens
  return now < moved.until ? NEVER : moved.from
}

/** A window that nobody configures any more never opens. An anchor that is not known yet counts as ended, and keeps the window shut. */
export function openWithin(names: readonly string[], policy: Pick<Policy, 'windows'>, anchors: AnchorView, now: Instant): Open {
  if (names.length === 0) return NO_WINDOWS
  let [waits, opened, reopened, until]: [Instant | null, Instant | null, Instant, Instant] = [null, null, NEVER, FOREVER]
  const schedules: string[] = []
  for (const name of names) {
    const schedule = policy.windows.get(name)
    const anchor = anchors.find({ kind: 'window', name })
    if (schedule === undefined || anchor?.state === 'ended') {
      waits = FOREVER
      continue
    }
    const moved = overrideOf(anchor)
    const found = windowAt(schedule, moved, now)
    schedules.push(`${name}@${schedule.version}${anchor === null ? '' : `+${anchor.version}`}`)
    until = earlier(until, found.until)
    reopened = later(reopened, reopenedOf(anchor))
    if (found.open) [opened, reopened] = [later(opened ?? found.opens, found.opens), later(reopened, openSince(found, moved, now))]
    else waits = later(waits ?? found.opens, found.opens)
  }
  return { waits, opened, reopened, until, schedules }
}

/** It ran when a window closed that is open again: what is not settled yet must not come back with it. */
const ranBefore = ({ state }: Elevation, reopened: Instant): boolean => (state.is === 'active' || state.is === 'suspended') && state.since !== null && state.since < reopened

/** What its profile and its windows ask is asked of one that runs or waits; nothing else has a footing. */
export function footingOf(elevation: Elevation, policy: Policy, anchors: AnchorView, holder: Holder, now: Instant): Footing {
  const { ticket } = elevation
  const anchor = ticket === null ? null : anchors.find(ticket)
  const heard = ticket === null ? HEARD : heardOf(policy, ticket, anchor, now)
  const { waits, reopened, until, schedules } = openWithin(elevation.within, policy, anchors, now)
  const ended = tieBroken(elevation, anchors) ?? heard.ended ?? (ranBefore(elevation, reopened) ? 'window_closed' : null) ?? (!heard.unheard && requirementBroken(elevation, anchor, policy, holder) ? 'ticket_changed' : null) ?? (isEligibleStill(elevation, policy, holder) ? null : 'not_eligible')
  return { ended, unheard: heard.unheard, waits, until: earlier(heard.until, until), schedules }
}

/** Why one that has started ends: a window that closed ends it too. */
export const endedBy = (elevation: Elevation, { ended, waits }: Footing): EndReason | null =>
  ended ?? (waits !== null && (elevation.state.is === 'active' || elevation.state.is === 'suspended') ? 'window_closed' : null)
