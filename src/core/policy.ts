// The configuration as the judge reads it: compiled, immutable, swapped whole.
// SPEC: CFG1, ELV1, SCP2
import type { BindingModes } from './binding.ts'
import type { SubjectCondition, TaskCondition } from './condition.ts'
import type { Limits } from './elevation.ts'
import type { AliasKind } from './outside.ts'
import { type Proof, PURPOSE_KINDS, type PurposeKind } from './purpose.ts'
import type { Claims, Principal } from './principal.ts'
import type { Route, RouteTable } from './route.ts'
import type { RiskPolicy } from './risk.ts'
import { NO_SCOPE, type Scope, scopeOf, type ScopeName } from './scope.ts'
import type { Duration } from './time.ts'
import type { Schedule } from './window.ts'

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
  /** The risk that ends it: a level's threshold; null leaves it. */
  readonly endsAtRisk: number | null
  /** null: no approval needed. */
  readonly approval: ApprovalRules | null
  /** The least that a purpose must be shown by. */
  readonly proof: ReadonlyMap<PurposeKind, Proof>
  /** About the ticket and the task, at the request and as long as it lasts; null asks nothing. */
  readonly require: TaskCondition | null
  /** Windows all of which must be open. */
  readonly within: readonly string[]
  readonly limits: Limits
  /** Pause of the principal behind its end. */
  readonly cooldown: Duration | null
  readonly alone: boolean
  /** The param or purpose whose value nobody else may hold meanwhile. */
  readonly resource: { readonly of: 'param'; readonly name: string } | { readonly of: 'purpose'; readonly kind: PurposeKind } | null
  /** Given behind an end that was not asked for. */
  readonly afterEnd: { readonly profile: string; readonly uses: number; readonly for: Duration } | null
  readonly recording: boolean
  /** What a length beyond `max` becomes. */
  readonly tooLong: 'refuse' | 'clamp'
  /** So long before its end its caller is told; null tells nothing. */
  readonly warn: Duration | null
}

/** So many people of a role, of whom the condition is true. */
export type StageRules = { readonly role: string; readonly count: number; readonly who: SubjectCondition | null }

export type ApprovalRules = {
  readonly stages: readonly StageRules[]
  readonly within: Duration | null
  /** Extending: as the request was given, without an approval, or once without. */
  readonly extend: 'approval' | 'free' | { readonly once: Duration }
  /** Where it holds nobody is asked. */
  readonly autoWhen: TaskCondition | null
  /** At once, and looked at afterwards; null is not offered so. */
  readonly breakGlass: { readonly reviewWithin: Duration; readonly onMissed: 'alarm' | 'lock' } | null
  /** Channels that are told. */
  readonly notify: readonly string[]
}

/** How far what a connector says of tickets counts. */
export type ConnectorRules = {
  readonly name: string
  /** Its tickets belong to a tenant, and count only for sessions of that one. */
  readonly tenanted: boolean
  /** Older than this nothing it said counts; null always counts. */
  readonly staleAfter: Duration | null
  readonly onStale: 'end' | 'freeze' | 'keep'
}

/** Where a request shows a purpose, and who tells of its end: `manual` is an operator's word, any other a connector; null is nobody. */
export type PurposeSource = {
  readonly kind: PurposeKind
  readonly from:
    | { readonly is: 'header'; readonly header: string }
    /** A member of `_meta` of messages on routes of MCP; a header says the same, where it has one. */
    | { readonly is: 'meta'; readonly key: string; readonly header: string | null }
    | { readonly is: 'claim'; readonly claim: string }
    /** A JWS in the header; its keys are the provider's of that name. `line`: the claim within which values are ordered; null is the session. */
    | { readonly is: 'signed'; readonly header: string; readonly claim: string; readonly line: string | null }
  readonly source: string | null
}

/** The purpose whose connector says what conditions read as `ticket`: the ticket, or of a profile without one the first that a connector tells of. */
export function purposeTold(kinds: readonly PurposeKind[], sources: ReadonlyMap<PurposeKind, PurposeSource>): PurposeKind | null {
  const isTold = (kind: PurposeKind): boolean => kinds.includes(kind) && (sources.get(kind)?.source ?? 'manual') !== 'manual'
  if (kinds.includes('ticket')) return isTold('ticket') ? 'ticket' : null
  return PURPOSE_KINDS.find(isTold) ?? null
}

export const proofOf = ({ from: { is } }: PurposeSource): Proof => (is === 'signed' ? 'signed' : is === 'claim' ? 'claimed' : 'stated')

/** The header that shows it; null where none does. */
export const headerOf = ({ from }: PurposeSource): string | null => (from.is === 'claim' ? null : from.header)

/** Somebody who tells of changes in trust, and on whom the elevated depend. */
export type StreamRules = {
  /** Of its `stream` anchor. */
  readonly name: string
  /** Of whose principals it tells. */
  readonly issuers: readonly string[]
  /** Only of these tenants; empty is any. */
  readonly tenants: readonly string[]
  /** It was not heard of for so long: it is silent. */
  readonly freshness: Duration
  /** What becomes of their sessions then: elevations are held, or everything is. */
  readonly onSilence: 'suspend' | 'freeze'
}

type BaselineEntry = { readonly when: SubjectCondition | null; readonly scopes: Scope }

export type SessionRules = {
  /** Claims after issuer, tenant, subject and client that make the key; empty takes `sid`, else the key, else `jti`. */
  readonly key: readonly string[]
  /** Claims that news from outside names sessions and their users by. */
  readonly aliases: { readonly [K in AliasKind]?: string }
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
  readonly windows: ReadonlyMap<string, Schedule>
  readonly connectors: ReadonlyMap<string, ConnectorRules>
  readonly risk: RiskPolicy
  /** Those with a freshness. */
  readonly streams: readonly StreamRules[]
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
