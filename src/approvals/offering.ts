// What a refused caller may ask for instead, shaped like an access request of AuthZEN: where, with which body, and what else there is. Only what it is
// eligible for, and may hold. SPEC: WIRE9, ELV1
import { offersFor, type Policy, type Profile } from '../core/policy.ts'
import type { Claims } from '../core/principal.ts'
import type { Purposes } from '../core/purpose.ts'
import type { ScopeName } from '../core/scope.ts'
import type { Session } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { mayHoldNow } from './holding.ts'

/** Whose word it needs: nobody's, somebody's, nobody's at first, or somebody's unless a condition holds. */
type ApprovalWord = 'none' | 'required' | 'break_glass' | 'conditional'

export function approvalWord({ approval }: Pick<Profile, 'approval'>): ApprovalWord {
  if (approval === null) return 'none'
  return approval.breakGlass !== null ? 'break_glass' : approval.autoWhen !== null ? 'conditional' : 'required'
}

export type AccessRequest = {
  readonly endpoint: string
  /** A body that can be sent there: with what the refused request showed. */
  readonly template: { readonly profile: string; readonly purpose: Purposes }
  /** When its credential ends, with which it would ask; null where nobody knows. */
  readonly expires_at: string | null
  readonly offers: readonly { readonly profile: string; readonly purpose: readonly string[]; readonly approval: ApprovalWord }[]
}

const ENDPOINT = '/.narrowgate/elevations'

const shownOf = (profile: Profile, shown: Purposes): Purposes => Object.fromEntries(profile.purposes.flatMap(kind => (shown[kind] === undefined ? [] : [[kind, shown[kind]]]))) as Purposes // kinds of the profile

/** Profiles that would open it for this caller. */
export const accessibleBy = (policy: Policy, scope: ScopeName, session: Session, claims: Claims): readonly Profile[] =>
  offersFor(policy, scope, session.principal, claims).filter(({ name }) => mayHoldNow(policy, session, name))

/** Null where nothing would open it for this caller. */
export function accessRequest(policy: Policy, scope: ScopeName, session: Session, claims: Claims, shown: Purposes, credentialEnds: Instant | null): AccessRequest | null {
  const profiles = accessibleBy(policy, scope, session, claims)
  const [first] = profiles
  if (first === undefined) return null
  return {
    endpoint: ENDPOINT, template: { profile: first.name, purpose: shownOf(first, shown) }, expires_at: credentialEnds === null ? null : new Date(credentialEnds).toISOString(),
    offers: profiles.map(profile => ({ profile: profile.name, purpose: profile.purposes, approval: approvalWord(profile) })),
  }
}
