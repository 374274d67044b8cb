// Whom a security event is about: subjects of RFC 9493 and SSF 1.0 §3 as the names that sessions are found by. Guesses nothing: what is not understood is said
// to be so, and of whom its source may not speak nobody is meant. Pure but for the digests it is given. SPEC: OUT2, SSF3
import { type AliasKind, findableBy, type Member, type Respect, type Subject } from '../../core/outside.ts'
import type { Selector } from '../../core/anchor.ts'
import type { Claims } from '../../core/principal.ts'
import { SUBJECT_FORMATS, type SubjectFormat } from '../../config/schema/signals.ts'
import type { SsfSettings } from '../../config/compile/ssf.ts'
import type { Aliasing } from '../../identity/aliases.ts'
import { foldedName, isCanonicalName } from '../../identity/canonical-name.ts'
import { claimOf } from '../../identity/claims.ts'
import { sha256 } from '../../runtime/id.ts'

export type SubjectRules = Pick<SsfSettings, 'issuers' | 'tenants' | 'formats' | 'opaque'>
export type Naming = { readonly alias: Aliasing; /** Are subjects of this issuer known in small letters? */ readonly folds: (issuer: string) => boolean }

type SubjectReading =
  /** `unread`: members of a complex subject that were passed over. */
  | { readonly is: 'subject'; readonly subject: Subject; readonly unread: readonly string[] }
  | { readonly is: 'unread'; readonly unread: readonly string[] }
  | { readonly is: 'foreign' }
  | { readonly is: 'malformed' }

type Named = { readonly is: 'member'; readonly member: Member } | Exclude<SubjectReading, { is: 'subject' }>

/** Members of complex subjects by what they name. */
const PLACES = { user: 'user', session: 'session', device: 'device', tenant: 'tenant', application: 'application', group: 'group', org_unit: 'orgUnit' } as const
type Place = (typeof PLACES)[keyof typeof PLACES]
const PLACE_OF: ReadonlyMap<string, Place> = new Map(Object.entries(PLACES))
/** Whoever is named in one of these is not widened by what is passed over. */
const OWN: ReadonlySet<string> = new Set(['user', 'session', 'device'])
const IDENTIFIERS_MAX = 16
/** How our own sessions are called. */
const SESSION_ID = /^ses_[a-z2-7]{26}$/

const FOREIGN: Named = { is: 'foreign' }
const MALFORMED: Named = { is: 'malformed' }
const unread = (...names: readonly string[]): Named => ({ is: 'unread', unread: names })
const named = (of: Respect, any: readonly Selector[]): Named => ({ is: 'member', member: { of, any } })

const isObject = (value: unknown): value is Claims => typeof value === 'object' && value !== null && !Array.isArray(value)

/** null where it is none. */
function textIn(subject: Claims, name: string): string | null {
  const value = claimOf(subject, name)
  return typeof value === 'string' && value !== '' && value.isWellFormed() ? value : null
}

const isKnown = (format: string): format is SubjectFormat => SUBJECT_FORMATS.some(known => known === format)

/** By the rules of one source. */
class Reader {
  readonly #rules: SubjectRules
  readonly #naming: Naming

  constructor(rules: SubjectRules, naming: Naming) {
    this.#rules = rules
    this.#naming = naming
  }

  read(subject: Claims): SubjectReading {
    if (textIn(subject, 'format') === 'complex') return this.#rules.formats.includes('complex') ? this.#complex(subject) : { is: 'foreign' }
    const read = this.#simple(subject, null)
    return read.is === 'member' ? this.#bounded([read.member], []) : read
  }

  #complex(subject: Claims): SubjectReading {
    const members: Member[] = []
    const passedOver: string[] = []
    let isOwn = false
    for (const [name, value] of Object.entries(subject)) {
      if (name === 'format') continue
      if (!isObject(value)) return { is: 'malformed' }
      const place = PLACE_OF.get(name)
      const read = place === undefined ? unread() : this.#simple(value, place)
      if (read.is === 'foreign' || read.is === 'malformed') return read
      if (read.is === 'unread') passedOver.push(name)
      else members.push(read.member)
      isOwn ||= read.is === 'member' && OWN.has(name)
    }
    if (members.length === 0 && passedOver.length === 0) return { is: 'malformed' }
    return passedOver.length > 0 && !isOwn ? { is: 'unread', unread: passedOver } : this.#bounded(members, passedOver)
  }

  /** Within whom its source may speak of. A user, a session by its issuer's own name for it and a credential are an issuer's anyway. */
  #bounded(members: readonly Member[], passedOver: readonly string[]): SubjectReading {
    if (findableBy(members) === null) return { is: 'unread', unread: members.map(({ of }) => of) }
    const { issuers, tenants } = this.#rules
    const bound: Member[] = members.some(({ of }) => of === 'user' || of === 'credential') ? [] : [{ of: 'issuer', any: issuers.map(value => ({ kind: 'issuer', value })) }]
    if (tenants.length > 0) bound.push({ of: 'ownTenant', any: tenants.map(value => ({ kind: 'tenant', value })) })
    return { is: 'subject', subject: [...members, ...bound], unread: passedOver }
  }

  /** @param place null where it is the whole subject */
  #simple(subject: Claims, place: Place | null): Named {
    const format = textIn(subject, 'format')
    if (format === null) return MALFORMED
    if (!isKnown(format)) return unread(format)
    if (!this.#rules.formats.includes(format)) return FOREIGN
    switch (format) {
      case 'iss_sub': return this.#issSub(textIn(subject, 'iss'), textIn(subject, 'sub'), place)
      case 'opaque': return this.#opaque(textIn(subject, 'id'), place ?? this.#rules.opaque)
      case 'email': return this.#person('email', textIn(subject, 'email'), place)
      case 'phone_number': return this.#person('phone', textIn(subject, 'phone_number') ?? textIn(subject, 'phone'), place)
      case 'did': return this.#person('did', textIn(subject, 'url'), place)
      case 'account': return this.#account(textIn(subject, 'uri'), place)
      case 'uri': return this.#uri(textIn(subject, 'uri'), place)
      case 'jwt_id': return this.#token(textIn(subject, 'iss'), textIn(subject, 'jti'), place)
      case 'aliases': return this.#aliases(claimOf(subject, 'identifiers'), place)
      case 'complex': return MALFORMED // within another
    }
  }

  #alias(kind: AliasKind, value: string, issuers: readonly string[] = this.#rules.issuers): readonly Selector[] {
    return issuers.map(issuer => ({ kind: 'alias', value: this.#naming.alias(kind, issuer, value) }))
  }

  /** As its issuer's provider spells it; nobody where that is no name. */
  #subjectsOf(issuer: string, sub: string): readonly Selector[] {
    const spelled = this.#naming.folds(issuer) ? foldedName(sub) : sub
    return isCanonicalName(spelled) ? [{ kind: 'subject', value: `${issuer}|${spelled}` }] : []
  }

  #issSub(iss: string | null, sub: string | null, place: Place | null): Named {
    if (iss === null || sub === null) return MALFORMED
    if (!this.#rules.issuers.includes(iss)) return FOREIGN
    switch (place) {
      case null:
      case 'user': return named('user', this.#subjectsOf(iss, sub))
      case 'session': return named('session', this.#alias('sid', sub, [iss]))
      case 'device':
      case 'application': return this.#opaque(sub, place)
      case 'tenant':
      case 'group':
      case 'orgUnit': return unread('iss_sub')
    }
  }

  #opaque(id: string | null, place: Place): Named {
    if (id === null) return MALFORMED
    switch (place) {
      case 'user': return named('user', this.#rules.issuers.flatMap(issuer => this.#subjectsOf(issuer, id)))
      case 'session': return named('session', [...this.#alias('sid', id), ...(SESSION_ID.test(id) ? [{ kind: 'session', value: id } as const] : [])])
      case 'device': return named('device', [{ kind: 'device', value: id }])
      case 'tenant': return this.#rules.tenants.length > 0 && !this.#rules.tenants.includes(id) ? FOREIGN : named('tenant', [{ kind: 'tenant', value: id }])
      case 'application': return named('application', [{ kind: 'alias', value: `application:${id}` }])
      case 'group':
      case 'orgUnit': return named(place, this.#alias(place, id))
    }
  }

  #person(kind: AliasKind, value: string | null, place: Place | null): Named {
    if (value === null) return MALFORMED
    return place === null || place === 'user' ? named('user', this.#alias(kind, value)) : unread(kind)
  }

  /** `acct:ann@example.org`, which claims may write with its scheme or without. */
  #account(uri: string | null, place: Place | null): Named {
    if (uri === null) return MALFORMED
    return place === null || place === 'user' ? named('user', [...new Set([uri, uri.replace(/^acct:/, '')])].flatMap(each => this.#alias('account', each))) : unread('account')
  }

  #uri(uri: string | null, place: Place | null): Named {
    if (uri === null) return MALFORMED
    if (place === 'application') return this.#opaque(uri, place)
    if (uri.startsWith('spiffe://') && (place === null || place === 'user' || place === 'device')) return named('workload', [{ kind: 'workload', value: uri }])
    return this.#person('uri', uri, place)
  }

  /** A token is known by its issuer and `jti`, whether or not it was ever seen here. */
  #token(iss: string | null, jti: string | null, place: Place | null): Named {
    if (iss === null || jti === null) return MALFORMED
    if (!this.#rules.issuers.includes(iss)) return FOREIGN
    return place === null || place === 'session' ? named('credential', [{ kind: 'credential', value: sha256(JSON.stringify([iss, 'jti', jti])) }]) : unread('jwt_id')
  }

  /** Names of one and the same: any of them is enough, and those that are not ours say nothing. */
  #aliases(identifiers: unknown, place: Place | null): Named {
    if (!Array.isArray(identifiers) || identifiers.length === 0 || identifiers.length > IDENTIFIERS_MAX) return MALFORMED
    const reads = identifiers.map((each: unknown) => (isObject(each) && claimOf(each, 'format') !== 'aliases' ? this.#simple(each, place) : MALFORMED))
    const members = reads.flatMap(read => (read.is === 'member' ? [read.member] : []))
    const [first] = members
    if (reads.some(read => read.is === 'malformed')) return MALFORMED
    if (first === undefined) return reads.some(read => read.is === 'unread') ? unread('aliases') : FOREIGN
    return members.every(({ of }) => of === first.of) ? named(first.of, members.flatMap(({ any }) => any)) : unread('aliases')
  }
}

export const subjectOf = (subject: Claims, rules: SubjectRules, naming: Naming): SubjectReading => new Reader(rules, naming).read(subject)
