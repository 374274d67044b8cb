// From "I want this profile" to an Elevation as the core takes it: eligibility, time, task, parameters, windows, limits, and whose word it needs.
// Everything configuration contributes enters the signal here; the transition reads none. SPEC: ELV1, ELV3, ELV10, PUR3, APR1, APR4
import { type Elevation, type Limits, NO_LIMITS, type Then } from '../core/elevation.ts'
import { type AnchorView, factsOf, openWithin } from '../core/footing.ts'
import { isEligible, type Policy, type Profile } from '../core/policy.ts'
import { type Claims, identityOf, type Principal } from '../core/principal.ts'
import type { Purposes } from '../core/purpose.ts'
import type { Session } from '../core/session.ts'
import { after, duration, type Duration, FOREVER, type Instant, later } from '../core/time.ts'
import { newElevationId } from '../runtime/id.ts'
import { restsUntil } from '../sessions/principal-anchor.ts'
import { namedBy } from './barred.ts'
import { budgetOf } from './budget.ts'
import { type Declined, decline, isDeclined } from './declined.ts'
import { mayHoldNow } from './holding.ts'
import { type Params, paramsFault } from './params.ts'
import { type Repeat, unrepeated } from './repeat.ts'
import { type Review, reviewOf, type Unreviewed } from './review.ts'
import { type AnchorLookup, type ShownPurposes, type Task, taskOf } from './task.ts'
import { riskTies } from './trust.ts'

export type Ask = {
  readonly profile: string
  /** null takes the profile's default. */
  readonly for: Duration | null
  readonly purposes: Purposes
  readonly params: Params
  readonly note: string
  readonly startsAt: Instant | null
  /** It lives as long as somebody holds it. */
  readonly held: boolean
}

export type Asker = {
  readonly principal: Principal
  readonly claims: Claims
  readonly keyThumbprint: string | null
  /** What runs the asker, where it proved that. */
  readonly workload: string | null
  /** What the ask itself shows; null where somebody else files it. */
  readonly shown: ShownPurposes
  /** The session it is for. */
  readonly holds: Pick<Session, 'id' | 'brokered' | 'elevations'>
  /** `issuer|subject` of who files it: the caller itself, or whoever asks on its behalf. */
  readonly filedBy: string
}

/** What is known when it is asked. */
export type World = {
  readonly policy: Policy
  readonly look: AnchorLookup
  readonly now: Instant
  readonly unreviewed: Unreviewed
}

/** Emergencies of one caller that may wait for their review. */
const UNREVIEWED_MAX = 4
const LONGEST_WAIT = duration(7 * 86_400_000)
/** Windows open at most so far ahead. */
const LONGEST_WINDOW_WAIT = duration(62 * 86_400_000)

/** Whom the asking credential names, and whoever is named above a delegated session. */
const barredOf = ({ principal, holds: { brokered } }: Asker): readonly string[] => [...new Set([...namedBy(principal), ...(brokered?.barred ?? [])])]

function spanOf({ for: span, max, tooLong }: Profile, asked: Duration | null): Duration | Declined {
  const wanted = asked ?? span
  if (wanted <= 0) return decline('bad_request', 'the time asked for is none')
  if (wanted <= max) return wanted
  return tooLong === 'clamp' ? max : decline('limit_reached', 'the time asked for is longer than the profile allows')
}

/** Anchors of windows, each asked once. */
async function windowView(names: readonly string[], look: AnchorLookup): Promise<AnchorView> {
  const found = new Map(await Promise.all(names.map(async name => [name, await look({ kind: 'window', name })] as const)))
  return { find: ({ name }) => found.get(name) ?? null }
}

type Opening = { readonly startsAt: Instant | null; /** When the occurrence it waits for, or that is open, began; null without windows. */ readonly occurrence: Instant | null; readonly schedules: readonly string[] }

/** When it may start: as asked, but not before its windows open. */
export async function openingOf(profile: Profile, asked: Instant | null, { policy, look, now }: World): Promise<Opening | Declined> {
  if (asked !== null && asked > after(now, LONGEST_WAIT)) return decline('limit_reached', 'the start is too far away')
  if (profile.within.length === 0) return { startsAt: asked, occurrence: null, schedules: [] }
  const from = later(now, asked ?? now)
  const { waits, opened, schedules } = openWithin(profile.within, policy, await windowView(profile.within, look), from)
  if (waits === null) return { startsAt: asked, occurrence: opened, schedules }
  if (waits === FOREVER || waits > after(now, LONGEST_WINDOW_WAIT)) return decline('window_closed', 'its window does not open any more, or not for a long time')
  return { startsAt: waits, occurrence: waits, schedules }
}

/** Whether what the profile requires of the task holds now. */
function requirementFault({ require }: Profile, { principal, claims }: Asker, task: Task, params: Params): Declined | null {
  if (require === null || require.test({ principal, claims, ticket: factsOf(task.seen), purposes: task.purposes, params }) === 'true') return null
  return decline(require.readsTicket ? 'ticket_changed' : 'not_eligible', `the profile requires: ${require.source}`)
}

type Word = Pick<Elevation, 'stages' | 'unasked'>

/** Whose word it needs: nobody's where a condition holds, or in an emergency. */
function wordOf({ approval }: Profile, { principal, claims }: Asker, task: Task, params: Params): Word {
  if (approval === null) return { stages: [], unasked: null }
  if (approval.breakGlass !== null) return { stages: [], unasked: 'break_glass' }
  const auto = approval.autoWhen?.test({ principal, claims, ticket: factsOf(task.seen), purposes: task.purposes, params }) === 'true'
  return auto ? { stages: [], unasked: 'condition' } : { stages: approval.stages.map(({ role, count }) => ({ role, count })), unasked: null }
}

function thenOf(policy: Policy, { afterEnd }: Profile): Then | null {
  const profile = afterEnd === null ? undefined : policy.profiles.get(afterEnd.profile)
  return afterEnd === null || profile === undefined ? null : { id: newElevationId(), profile: profile.name, adds: profile.adds, uses: afterEnd.uses, for: afterEnd.for, recording: profile.recording }
}

const isLimited = (limits: Limits): boolean => JSON.stringify(limits) !== JSON.stringify(NO_LIMITS)

function resourceOf({ resource }: Profile, purposes: Purposes, params: Params): string | null {
  if (resource === null) return null
  return resource.of === 'param' ? `params.${resource.name}/${String(params[resource.name])}` : `purpose.${resource.kind}/${purposes[resource.kind] ?? ''}`
}

async function profileFor(ask: Ask, asker: Asker, { policy, look, now, unreviewed }: World): Promise<Profile | Declined> {
  const profile = policy.profiles.get(ask.profile)
  if (profile === undefined || !isEligible(profile, asker.principal, asker.claims) || !mayHoldNow(policy, asker.holds, profile.name)) return decline('not_eligible', `profile ${ask.profile} is not offered to this caller`)
  if (profile.approval?.breakGlass != null && unreviewed(identityOf(asker.principal)) >= UNREVIEWED_MAX) return decline('limit_reached', 'earlier emergencies of this caller wait for their review')
  const cooling = await restsUntil(profile, asker.principal, asker.holds.elevations, look)
  return cooling > now ? decline('cooling_down', `may be asked for again at ${new Date(cooling).toISOString()}`) : profile
}

/** `startsAt`: when it would start if nobody's word were missing; null is now. */
export type Prepared = { readonly elevation: Elevation; readonly startsAt: Instant | null; /** By which it is looked at afterwards; null where it is not an emergency. */ readonly review: Review | null }

/** The elevation this ask would become now, or why it cannot. Nothing is written. */
export async function prepare(ask: Ask, asker: Asker, world: World, { id, asked }: Repeat = unrepeated()): Promise<Prepared | Declined> {
  const { policy, look, now } = world
  const profile = await profileFor(ask, asker, world)
  if (isDeclined(profile)) return profile
  const span = spanOf(profile, ask.for)
  if (typeof span !== 'number') return span
  const fault = paramsFault(profile, ask.params)
  if (fault !== null) return decline('bad_request', fault)
  const task = await taskOf(policy, profile, ask.purposes, asker.shown, asker.principal.tenant, look)
  if (isDeclined(task)) return task
  const trusted = await riskTies(profile, asker.principal, look)
  if (isDeclined(trusted)) return trusted
  const unmet = requirementFault(profile, asker, task, ask.params)
  if (unmet !== null) return unmet
  const opening = await openingOf(profile, ask.startsAt, world)
  if (isDeclined(opening)) return opening
  const { approval, limits } = profile
  const { seen, ties, ...purposes } = task
  const checked = seen?.matter?.is === 'ticket' ? { facts: seen.matter.facts, source: seen.matter.source, seenAt: seen.matter.seenAt } : null
  const word = wordOf(profile, asker, task, ask.params)
  const elevation: Elevation = {
    id, profile: profile.name, adds: profile.adds, ...purposes, ties: [...ties, ...trusted], checked, within: profile.within, schedules: opening.schedules, params: ask.params, for: span, max: profile.max, ...word,
    limits, budget: isLimited(limits) ? budgetOf(id, profile, asker.principal, task, opening.occurrence, word.stages.length > 0, now) : null, spent: false,
    startsAt: ask.startsAt, requestedAt: now, requestedBy: asker.filedBy, barred: barredOf(asker), because: ask.note.slice(0, 512), approvals: [], revision: 0, extended: false,
    recording: profile.recording, alone: profile.alone, resource: resourceOf(profile, task.purposes, ask.params), afterEnd: thenOf(policy, profile), follows: null,
    keyThumbprint: asker.keyThumbprint, workload: asker.workload, held: ask.held, asked,
    state: { is: 'requested', expiresAt: approval?.within == null ? null : after(now, approval.within) },
  }
  return { elevation, startsAt: opening.startsAt, review: reviewOf(policy, elevation, asker.holds.id, asker.principal, opening.startsAt ?? now) }
}
