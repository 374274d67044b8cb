// The configuration as the judge reads it: compiled, immutable, swapped whole.
// SPEC: CFG1, ELV1, SCP2
import type { BindingModes } from './binding.ts'
import type { SubjectCondition } from './condition.ts'
import type { PurposeKind } from './purpose.ts'
import type { Claims, Principal } from './principal.ts'
import type { Route, RouteTable } from './route.ts'
import { NO_SCOPE, type Scope, scopeOf, type ScopeName } from './scope.ts'
import type { Duration } from './time.ts'

export type ParamSpec = { readonly type: 'string' | 'number' | 'boolean' | 'list'; readonly max: number | null; readonly required: boolean }

/** Who may ask for which extra scope, for how long, under which purpose, with whose word, and what ends it. */
export type Profile = {
  readonly name: string
  readonly title: string
  readonly adds: Scope
  readonly eligible: SubjectCondition | null
  readonly params: ReadonlyMap<string, ParamSpec>
  readonly for: Duration
  readonly max: Duration
  readonly purposes: readonly PurposeKind[]
  /** Purposes whose end ends the elevation too. */
  readonly endWhen: readonly PurposeKind[]
  /** null: no approval needed. */
  readonly approval: { readonly count: number; readonly within: Duration | null; readonly extend: boolean } | null
}

/** Where a request shows a purpose, and whether an operator's word (`manual`) is a source of its end. */
export type PurposeSource = {
  readonly kind: PurposeKind
  readonly from: { readonly is: 'header'; readonly header: string } | { readonly is: 'claim'; readonly claim: string }
  readonly manual: boolean
}

type BaselineEntry = { readonly when: SubjectCondition | null; readonly scopes: Scope }

export type SessionRules = {
  /** Claims after issuer, tenant, subject and client that make the key; empty takes `sid`, else the key, else `jti`. */
  readonly key: readonly string[]
  readonly credentialEnd: 'cut' | 'ignore'
  /** What a change of each does to a request. */
  readonly bind: BindingModes
  readonly idle: Duration
  readonly max: Duration
  readonly frozenFor: Duration
  readonly baseline: readonly BaselineEntry[]
  readonly exchangesPerSession: number
}

/** Who may open sessions for others, which, and for how long. */
export type Broker = {
  readonly name: string
  /** Operators' names or `issuer|subject`; null lets everybody with the role. */
  readonly who: readonly string[] | null
  /** About the principal asked for. */
  readonly may: SubjectCondition
  /** Elevations its sessions may hold. */
  readonly profiles: readonly string[]
  readonly max: Duration
  /** Each of its sessions is bound to a key, a workload or a source. */
  readonly bindRequired: boolean
  /** A purpose each value of which opens one session; null for none. */
  readonly once: PurposeKind | null
}

export type Policy = {
  /** SHA-256 of the configuration this was compiled from. */
  readonly digest: string
  readonly routes: readonly Route[]
  readonly table: RouteTable
  readonly profiles: ReadonlyMap<string, Profile>
  readonly purposes: ReadonlyMap<PurposeKind, PurposeSource>
  readonly sessions: SessionRules
  readonly brokers: ReadonlyMap<string, Broker>
  /** Sets of identities that are one person: nobody of a set approves another's request. */
  readonly identities: readonly (readonly string[])[]
}

/** Union of all baseline entries whose `when` holds; an entry that cannot be evaluated gives nothing. */
export function baselineOf(policy: Policy, principal: Principal, claims: Claims): Scope {
  const names = policy.sessions.baseline.filter(({ when }) => when === null || when.test(principal, claims) === 'true').flatMap(({ scopes }) => scopes)
  return names.length === 0 ? NO_SCOPE : scopeOf(names)
}

export const isEligible = (profile: Profile, principal: Principal, claims: Claims): boolean =>
  profile.eligible === null || profile.eligible.test(principal, claims) === 'true'

/** Profiles that add the scope and that this caller may ask for. */
export const offersFor = (policy: Policy, scope: ScopeName, principal: Principal, claims: Claims): readonly Profile[] =>
  [...policy.profiles.values()].filter(profile => profile.adds.includes(scope) && isEligible(profile, principal, claims))

/** Everyone who counts as `identity`. */
export const knownAs = (policy: Policy, identity: string): readonly string[] =>
  [identity, ...policy.identities.filter(set => set.includes(identity)).flat()]
