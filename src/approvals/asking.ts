// From "I want this profile" to an Elevation as the core takes it: eligibility, time, purposes, parameters, and the conditions it is tied to.
// Everything configuration contributes enters the signal here; the transition reads none. SPEC: ELV1, ELV3, PUR3, APR1
import { type AnchorKind, type AnchorRef } from '../core/anchor.ts'
import type { Elevation, Tie } from '../core/elevation.ts'
import { isEligible, type ParamSpec, type Policy, type Profile } from '../core/policy.ts'
import { type Claims, type Principal } from '../core/principal.ts'
import { PURPOSE_KINDS, type PurposeKind, type Purposes } from '../core/purpose.ts'
import type { EndReason, RefusalReason } from '../core/reason.ts'
import type { Session } from '../core/session.ts'
import { after, type Duration, type Instant, instant } from '../core/time.ts'
import { newElevationId } from '../runtime/id.ts'
import type { Mirror } from '../sessions/mirror.ts'
import { namedBy } from './barred.ts'
import { mayHoldNow } from './holding.ts'

export type Ask = {
  readonly profile: string
  /** null takes the profile's default. */
  readonly for: Duration | null
  readonly purposes: Purposes
  readonly params: { readonly [name: string]: unknown }
  readonly note: string
  readonly startsAt: Instant | null
}

export type Asker = {
  readonly principal: Principal
  readonly claims: Claims
  readonly keyThumbprint: string | null
  /** What runs the asker, where it proved that. */
  readonly workload: string | null
  /** The session it is for. */
  readonly holds: Pick<Session, 'brokered'>
  /** `issuer|subject` of who files it: the caller itself, or whoever asks on its behalf. */
  readonly filedBy: string
}

export type Declined = { readonly declined: RefusalReason; readonly says: string }

const decline = (declined: RefusalReason, says: string): Declined => ({ declined, says })
const PURPOSE_VALUE = /^[A-Za-z0-9][A-Za-z0-9._:@/#-]{0,199}$/
const LONGEST_WAIT = 7 * 86_400_000

const END_OF: { readonly [K in PurposeKind]: EndReason } = {
  ticket: 'ticket_closed', run: 'purpose_over', step: 'purpose_over', conversation: 'purpose_over', turn: 'purpose_over', task: 'purpose_over',
}

/** The name under which an operator's word on a purpose is kept. */
export const manualAnchor = (kind: AnchorKind, tenant: string, id: string): AnchorRef => ({ kind, name: `manual/${encodeURIComponent(tenant)}/${id}` })

function paramFault(name: string, spec: ParamSpec, value: unknown): string | null {
  if (value === undefined) return spec.required ? `parameter ${name} is missing` : null
  const fits = spec.type === 'list' ? Array.isArray(value) && value.every(item => typeof item === 'string' && item.length <= 256) : typeof value === spec.type
  if (!fits) return `parameter ${name} must be a ${spec.type}`
  const size = Array.isArray(value) ? value.length : typeof value === 'string' ? value.length : typeof value === 'number' ? value : 0
  return spec.max !== null && size > spec.max ? `parameter ${name} is larger than ${spec.max}` : null
}

function paramsFault(profile: Profile, params: Ask['params']): string | null {
  const unknown = Object.keys(params).find(name => !profile.params.has(name))
  if (unknown !== undefined) return `parameter ${unknown} is unknown`
  for (const [name, spec] of profile.params) {
    const fault = paramFault(name, spec, params[name])
    if (fault !== null) return fault
  }
  return null
}

function purposesOf(profile: Profile, asked: Purposes): Purposes | Declined {
  const unknown = PURPOSE_KINDS.find(kind => asked[kind] !== undefined && !profile.purposes.includes(kind))
  if (unknown !== undefined) return decline('bad_request', `the profile knows no ${unknown}`)
  for (const kind of profile.purposes) {
    const value = asked[kind]
    if (value === undefined) return decline('purpose_missing', `the profile needs a ${kind}`)
    if (!PURPOSE_VALUE.test(value)) return decline('bad_request', `the ${kind} is not a name`)
  }
  return asked
}

/** The conditions with a source, at the generation they have now. A ticket that nobody confirmed, or anything already over, is no purpose. */
async function tiesOf(policy: Policy, profile: Profile, mirror: Mirror, tenant: string, purposes: Purposes): Promise<readonly Tie[] | Declined> {
  const ties: Tie[] = []
  for (const kind of PURPOSE_KINDS) {
    const value = purposes[kind]
    if (value === undefined || policy.purposes.get(kind)?.manual !== true) continue
    const anchor = manualAnchor(kind, tenant, value)
    const found = await mirror.anchor(anchor)
    if (found === null && kind === 'ticket') return decline('ticket_unknown', `no source has confirmed ${kind} ${value}`)
    if (found?.state === 'ended') return decline('purpose_mismatch', `${kind} ${value} is over`)
    if (profile.endWhen.includes(kind)) ties.push({ anchor, generation: found?.generation ?? instant(0), reason: END_OF[kind] })
  }
  return ties
}

/** Whom the asking credential names, and whoever is named above a delegated session. */
const barredOf = ({ principal, holds: { brokered } }: Asker): readonly string[] => [...new Set([...namedBy(principal), ...(brokered?.barred ?? [])])]

/** The elevation this ask would become now, or why it cannot. Nothing is written. */
export async function prepare(ask: Ask, asker: Asker, policy: Policy, mirror: Mirror, now: Instant): Promise<Elevation | Declined> {
  const profile = policy.profiles.get(ask.profile)
  if (profile === undefined || !isEligible(profile, asker.principal, asker.claims) || !mayHoldNow(policy, asker.holds, profile.name)) return decline('not_eligible', `profile ${ask.profile} is not offered to this caller`)
  const span = ask.for ?? profile.for
  if (span <= 0 || span > profile.max) return decline('limit_reached', 'the time asked for is longer than the profile allows')
  if (ask.startsAt !== null && (ask.startsAt > now + LONGEST_WAIT)) return decline('limit_reached', 'the start is too far away')
  const purposes = purposesOf(profile, ask.purposes)
  if ('declined' in purposes) return purposes
  const fault = paramsFault(profile, ask.params)
  if (fault !== null) return decline('bad_request', fault)
  const ties = await tiesOf(policy, profile, mirror, asker.principal.tenant, purposes)
  if ('declined' in ties) return ties
  const { approval } = profile
  return {
    id: newElevationId(), profile: profile.name, adds: profile.adds, purposes, ties, params: ask.params, for: span, max: profile.max,
    startsAt: ask.startsAt, requestedAt: now, requestedBy: asker.filedBy, barred: barredOf(asker), because: ask.note.slice(0, 512), approvalsNeeded: approval?.count ?? 0, approvals: [],
    keyThumbprint: asker.keyThumbprint, workload: asker.workload,
    state: { is: 'requested', expiresAt: approval?.within == null ? null : after(now, approval.within) },
  }
}
