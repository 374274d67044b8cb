// From claims to a principal: which claim is the tenant, owner and client, and whom the subject's actors are. A claim of another shape is refused,
// never converted; letters of subjects are folded only where the configuration says so. SPEC: SES1, SES11
import type { ClaimNames } from '../config/settings.ts'
import type { Actor, Claims, Principal, PrincipalKind } from '../core/principal.ts'
import { foldedName, isCanonicalName } from './canonical-name.ts'
import type { CredentialFault } from './credential.ts'

/** Longest `act` chain (RFC 8693 §4.1). */
const ACTORS_MAX = 8

/** A claim of the token itself, never of its prototype; null where absent. */
export const claimOf = (claims: Claims, name: string): unknown => (Object.hasOwn(claims, name) ? (claims[name] ?? null) : null)

const nameOf = (claims: Claims, name: string | null): string | null => {
  const value = name === null ? null : claimOf(claims, name)
  return isCanonicalName(value) ? value : null
}

/** The device a credential was issued to; null where no claim names one. */
export const deviceOf = ({ device }: ClaimNames, claims: Claims): string | null => nameOf(claims, device)

type ChainRead = { readonly is: 'chain'; readonly actor: Actor | null } | { readonly is: 'fault' }

/** Subjects of this issuer in their one spelling; null for none. */
type Spelling = (subject: string) => string | null
const SPELLING: { readonly [C in ClaimNames['subjectCase']]: Spelling } = { exact: subject => subject, fold: foldedName }

/** An identity of another issuer: those have a colon, which nobody has before a `|` in a subject. */
const FOREIGN = /^[^|]*:[^|]*\|/

/** An owner is written as a whole identity, or as a subject of the same issuer. */
function spelledOwner(owner: string, issuer: string, spelled: Spelling): string | null {
  const own = `${issuer}|`
  if (!owner.startsWith(own)) return FOREIGN.test(owner) ? owner : spelled(owner)
  const subject = spelled(owner.slice(own.length))
  return subject === null ? null : own + subject
}

/** Reads `act`, outermost first; an actor without `iss` is of `issuer`. An issuer with `|` would make `issuer|subject` ambiguous. */
function actorsOf(act: unknown, issuer: string, spelled: Spelling): ChainRead {
  const links: { readonly issuer: string; readonly subject: string }[] = []
  for (let link = act; link !== null; ) {
    if (typeof link !== 'object' || Array.isArray(link) || links.length === ACTORS_MAX) return { is: 'fault' }
    const claims = link as Claims // an object of a parsed JSON text
    const subject = claimOf(claims, 'sub')
    const from = claimOf(claims, 'iss') ?? issuer
    if (!isCanonicalName(subject) || !isCanonicalName(from) || (from !== issuer && from.includes('|'))) return { is: 'fault' }
    const actor = from === issuer ? spelled(subject) : subject
    if (actor === null) return { is: 'fault' }
    links.push({ issuer: from, subject: actor })
    link = claimOf(claims, 'act')
  }
  return { is: 'chain', actor: links.reduceRight<Actor | null>((actsFor, link) => ({ ...link, actsFor }), null) }
}

type PrincipalRead = { readonly is: 'principal'; readonly principal: Principal } | { readonly is: 'fault'; readonly fault: CredentialFault }

const fault = (what: CredentialFault): PrincipalRead => ({ is: 'fault', fault: what })

/** `sub` must be there, and the tenant claim where one is configured; the client is `client_id`, else `azp`, unless configured. */
export function principalOf(source: { readonly kind: PrincipalKind; readonly issuer: string; readonly claims: ClaimNames }, claims: Claims): PrincipalRead {
  const { tenant, owner, client, device } = source.claims
  const clientClaims = client === null ? ['client_id', 'azp'] : [client]
  for (const name of ['sub', tenant, owner, device, ...clientClaims]) {
    const value = name === null ? null : claimOf(claims, name)
    if (value !== null && !isCanonicalName(value)) return fault('claim_malformed')
  }
  const spelled = SPELLING[source.claims.subjectCase]
  const written = nameOf(claims, 'sub')
  const owned = nameOf(claims, owner)
  const subject = written === null ? null : spelled(written)
  const ownerName = owned === null ? null : spelledOwner(owned, source.issuer, spelled)
  if ((written !== null && subject === null) || (owned !== null && ownerName === null)) return fault('claim_malformed')
  const tenantName = nameOf(claims, tenant)
  if (subject === null || (tenant !== null && tenantName === null)) return fault('claim_missing')
  const chain = actorsOf(claimOf(claims, 'act'), source.issuer, spelled)
  if (chain.is === 'fault') return fault('actor_malformed')
  return {
    is: 'principal',
    principal: {
      kind: source.kind,
      issuer: source.issuer,
      tenant: tenantName ?? '',
      subject,
      client: clientClaims.map(name => nameOf(claims, name)).find(name => name !== null) ?? '',
      owner: ownerName,
      actor: chain.actor,
    },
  }
}
