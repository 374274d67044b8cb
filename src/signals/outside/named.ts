// Whom a webhook or an operator names, as the names that sessions are found by. What cannot be a name, or is nobody's without an issuer, names nobody and is
// refused: nothing is guessed. SPEC: OUT2, OUT9
import type { Selector } from '../../core/anchor.ts'
import type { AliasKind, Member, Respect, Subject } from '../../core/outside.ts'
import type { Aliasing } from '../../identity/aliases.ts'
import { foldedName, isCanonicalName } from '../../identity/canonical-name.ts'
import { sha256 } from '../../runtime/id.ts'

const NAMED_BY = ['subject', 'email', 'phone', 'account', 'uri', 'did', 'session', 'device', 'workload', 'tenant', 'application', 'group', 'orgUnit', 'credential'] as const
type NamedBy = (typeof NAMED_BY)[number]
/** `issuer`: whose subject, address, session, group or token that is; of a bare subject it may be missing. */
export type Names = { readonly issuer: string | null } & { readonly [K in NamedBy]: string | null }
export const NO_NAMES: Names = { issuer: null, ...(Object.fromEntries(NAMED_BY.map(by => [by, null])) as { readonly [K in NamedBy]: null }) } // made of every one

export type NamingPorts = { readonly alias: Aliasing; /** Are subjects of this issuer, or with null of any, known in small letters? */ readonly folds: (issuer: string | null) => boolean }
type Naming = { readonly is: 'subject'; readonly subject: Subject } | { readonly is: 'fault'; readonly of: NamedBy | 'issuer' | 'nobody' }

const RESPECT: { readonly [K in NamedBy]: Respect } = {
  subject: 'user', email: 'user', phone: 'user', account: 'user', uri: 'user', did: 'user', session: 'session', device: 'device', workload: 'workload', tenant: 'tenant',
  application: 'application', group: 'group', orgUnit: 'orgUnit', credential: 'credential',
}
const TEXT_MAX = 512
const SESSION_ID = /^ses_[a-z2-7]{26}$/

const isText = (text: string): boolean => text !== '' && text.length <= TEXT_MAX && text.isWellFormed()

/** As whoever has it is known; of any issuer by both spellings. */
function subjects(subject: string, issuer: string | null, folds: NamingPorts['folds']): readonly Selector[] {
  const folded = folds(issuer) ? foldedName(subject) : subject
  const spellings = issuer === null ? [...new Set([subject, folded])] : [folded]
  return spellings.filter(isCanonicalName).map(name => ({ kind: 'subject', value: issuer === null ? name : `${issuer}|${name}` }))
}

/** None where it needs an issuer and has none, or is no name. */
function selectors(by: NamedBy, value: string, issuer: string | null, { alias, folds }: NamingPorts): readonly Selector[] {
  const aliased = (kind: AliasKind): readonly Selector[] => (issuer === null ? [] : [{ kind: 'alias', value: alias(kind, issuer, value) }])
  switch (by) {
    case 'subject': return subjects(value, issuer, folds)
    case 'session': return SESSION_ID.test(value) ? [{ kind: 'session', value }] : aliased('sid')
    case 'application': return [{ kind: 'alias', value: `application:${value}` }]
    case 'credential': return issuer === null ? [] : [{ kind: 'credential', value: sha256(JSON.stringify([issuer, 'jti', value])) }]
    case 'device':
    case 'workload':
    case 'tenant': return [{ kind: by, value }]
    case 'email':
    case 'phone':
    case 'account':
    case 'uri':
    case 'did':
    case 'group':
    case 'orgUnit': return aliased(by)
  }
}

/** Several names of a user are any of them; everything else that is named has to fit. */
export function subjectNamed(names: Names, ports: NamingPorts): Naming {
  const { issuer } = names
  if (issuer !== null && !isText(issuer)) return { is: 'fault', of: 'issuer' }
  const members = new Map<Respect, Member>()
  for (const by of NAMED_BY) {
    const value = names[by]
    if (value === null) continue
    const any = isText(value) ? selectors(by, value, issuer, ports) : []
    if (any.length === 0) return { is: 'fault', of: by }
    const of = RESPECT[by]
    members.set(of, { of, any: [...(members.get(of)?.any ?? []), ...any] })
  }
  return members.size === 0 ? { is: 'fault', of: 'nobody' } : { is: 'subject', subject: [...members.values()] }
}
