// News from outside: whom it means, and what follows for them, as it is kept until somebody has acted on it. The same on every gateway: it was read and mapped
// once, by whoever received it. SPEC: OUT1-OUT4
import { type Selector, selectorName } from './anchor.ts'
import { indexOf } from './record.ts'
import type { EndReason } from './reason.ts'
import type { Scope } from './scope.ts'
import type { Session } from './session.ts'
import type { Means } from './step-up.ts'
import { after, duration, type Duration, earlier, type Instant } from './time.ts'

/** In what respects news can name somebody (SSF 1.0 §3, RFC 9493). `issuer` and `ownTenant` name nobody: they bound of whom its source may speak. */
export const RESPECTS = ['user', 'session', 'device', 'workload', 'tenant', 'application', 'group', 'orgUnit', 'credential', 'issuer', 'ownTenant'] as const
export type Respect = (typeof RESPECTS)[number]

/** What others call a session, its user or what that belongs to: kept as `<kind>:<digest>`, never as it is written. `application` is the client as it is written; nothing is found by it alone. */
export const ALIAS_KINDS = ['sid', 'email', 'phone', 'account', 'uri', 'did', 'group', 'orgUnit', 'application'] as const
export type AliasKind = (typeof ALIAS_KINDS)[number]
export const ALIASES_MAX = 32

/** Any of these names it in that respect. */
export type Member = { readonly of: Respect; readonly any: readonly Selector[] }
/** Whom news means: see `isMeant`. Empty means nobody. */
export type Subject = readonly Member[]

/** What follows for each session that is meant, in this order. */
export type Effect =
  | { readonly do: 'terminate' }
  /** null as long as sessions are frozen. */
  | { readonly do: 'freeze'; readonly for: Duration | null }
  /** null leaves the baseline. */
  | { readonly do: 'narrow'; readonly to: Scope | null }
  | { readonly do: 'shorten'; readonly to: Duration }
  /** Those that add one of the scopes; null is all. */
  | { readonly do: 'endElevations'; readonly scopes: Scope | null }
  /** Everything waits until it has shown anew who it is, by one of these. */
  | { readonly do: 'reproof'; readonly by: readonly Means[] }
  /** null takes a claim away. */
  | { readonly do: 'claims'; readonly changes: { readonly [claim: string]: unknown } }
  /** Of the principal: takes the place of the earlier points of that name. */
  | { readonly do: 'risk'; readonly name: string; readonly points: number }
  /** Channels of the event are told. */
  | { readonly do: 'notify' }

/** A claim that somebody who vouches for it has changed: counts against credentials issued before. */
export type ClaimChange = { readonly claim: string; readonly value: unknown; readonly at: Instant }
export const CLAIM_CHANGES_MAX = 32

/** Asked from outside: the whole session waits until a step-up for it is satisfied. */
export type Demand = { readonly since: Instant; /** What logs and callers are told, such as `credential-change`. */ readonly because: string; /** Any of these, or with `all` each of them. */ readonly by: readonly Means[]; readonly all: boolean }

/** What became of news. `frozen`: it would have reached too many, who are held instead until somebody looks. */
export const OUTCOMES = ['acted', 'nobody', 'late', 'withheld', 'ignored', 'failed'] as const
export type OutsideOutcome = (typeof OUTCOMES)[number]

/** News as it was taken. */
export type OutsideEvent = {
  /** The transmitter, logout receiver or webhook, as configured; `operator` for a word on the admin API. */
  readonly source: string
  readonly issuer: string
  /** Its `jti`, or what stands for it. */
  readonly jti: string
  /** Short: `session-revoked`, `credential-change`, … */
  readonly type: string
  /** When it happened, as the source says; else when it said so. */
  readonly at: Instant
  readonly takenAt: Instant
  readonly subject: Subject
  readonly effects: readonly Effect[]
  /** Of the same order and subject only the newest counts; null where each counts. A digest. */
  readonly order: string | null
  /** Sessions that may be meant at once. */
  readonly most: number
  /** Channels that are told where that is too many, and where it fails. */
  readonly notify: readonly string[]
  readonly note: string
}

/** Clocks of issuers: a credential issued so shortly behind an event is as old as it. */
const LEEWAY = duration(5_000)

/** Credentials issued up to then are revoked by it: never any that whoever took it could not have seen yet. */
export const revokedUpTo = ({ at, takenAt }: Pick<OutsideEvent, 'at' | 'takenAt'>): Instant => earlier(after(at, LEEWAY), takenAt)

/** Was it issued after what happened? Then whoever revoked knew of it. */
export const isAfter = (issuedAt: Instant | null, { at }: Pick<OutsideEvent, 'at'>): boolean => issuedAt !== null && issuedAt > after(at, LEEWAY)

const RESPECT_OF: { readonly [kind: string]: Respect } = {
  subject: 'user', session: 'session', device: 'device', workload: 'workload', tenant: 'tenant', credential: 'credential', issuer: 'issuer',
  sid: 'session', email: 'user', phone: 'user', account: 'user', uri: 'user', did: 'user', group: 'group', orgUnit: 'orgUnit', application: 'application',
}
const kindOf = ({ kind, value }: Selector): string => (kind === 'alias' ? value.slice(0, value.indexOf(':')) : kind)

/** What it is called, by respect. */
function namesOf(session: Session): ReadonlyMap<Respect, ReadonlySet<string>> {
  const names = new Map<Respect, Set<string>>()
  for (const selector of [...indexOf(session), { kind: 'alias', value: `application:${session.principal.client}` } as const]) {
    const respect = RESPECT_OF[kindOf(selector)]
    if (respect === undefined || selector.value === '' || selector.value === 'application:') continue
    const known = names.get(respect)
    if (known === undefined) names.set(respect, new Set([selectorName(selector)]))
    else known.add(selectorName(selector))
  }
  const tenant = names.get('tenant')
  return tenant === undefined ? names : names.set('ownTenant', tenant)
}

/** Respects by which a store finds sessions, those that mean the fewest first. A user goes before a session: others call each of its sessions something, and what that is need not be known here. */
const FINDABLE: readonly Respect[] = ['credential', 'user', 'session', 'device', 'workload', 'group', 'orgUnit', 'tenant']
/** The member that tells most; null where nobody can be found by any. */
export const findableBy = (subject: Subject): Member | null => FINDABLE.flatMap(respect => subject.find(({ of }) => of === respect) ?? [])[0] ?? null

const nameSpace = (selector: Selector): string => (selector.kind === 'alias' ? `alias:${kindOf(selector)}:` : `${selector.kind}:`)

/** What a session is not called in any way that the member knows does not tell it from others. Only sessions have such names of ours beside those of others. */
function isNothingIn(own: ReadonlySet<string> | undefined, { of, any }: Member): boolean {
  if (own === undefined) return of !== 'ownTenant' && of !== 'issuer'
  return of === 'session' && !any.some(selector => [...own].some(name => name.startsWith(nameSpace(selector))))
}

/** Whom the member that tells most names, and no other member names otherwise. */
export function isMeant(session: Session, subject: Subject): boolean {
  const telling = findableBy(subject)
  if (telling === null) return false
  const names = namesOf(session)
  return subject.every(member => {
    const own = names.get(member.of)
    return member.any.some(selector => own?.has(selectorName(selector)) === true) || (member !== telling && isNothingIn(own, member))
  })
}

/** Why elevations end by it. */
export const TRUST_CHANGED: EndReason = 'trust_changed'

const TRUST_DOMAIN = /^spiffe:\/\/[^/]+/

/** A workload that shows who it is by an SVID is called as it is by its own trust domain. Null where others vouch for it, of whom nobody spoke. */
function svidOf({ value }: Selector, vouching: readonly Selector[] | null): string | null {
  const domain = TRUST_DOMAIN.exec(value)?.[0]
  return domain !== undefined && (vouching === null || vouching.some(issuer => issuer.value === domain)) ? `${domain}|${value}` : null
}

/** Names of a principal that are its own in every one of its sessions: credentials of it issued before can be refused whether or not they were ever seen here. */
export function cutOffSubjects(subject: Subject): readonly string[] {
  const [telling, bound, more] = subject
  if (telling === undefined || more !== undefined) return []
  if (telling.of === 'user') return bound === undefined ? telling.any.flatMap(({ kind, value }) => (kind === 'subject' && value.includes('|') ? [value] : [])) : []
  const isBound = bound === undefined || bound.of === 'issuer'
  return telling.of === 'workload' && isBound ? telling.any.flatMap(each => svidOf(each, bound?.any ?? null) ?? []) : []
}
