// From claims to a principal: which claim is the tenant, owner and client, and whom the subject's actors are. A claim of another shape is refused,
// never converted. SPEC: SES1, SES11
import type { ClaimNames } from '../config/settings.ts'
import type { Actor, Claims, Principal, PrincipalKind } from '../core/principal.ts'
import { isCanonicalName } from './canonical-name.ts'
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

/** Reads `act`, outermost first; an actor without `iss` is of `issuer`. An issuer with `|` would make `issuer|subject` ambiguous. */
function actorsOf(act: unknown, issuer: string): ChainRead {
  const links: { readonly issuer: string; readonly subject: string }[] = []
  for (let link = act; link !== null; ) {
    if (typeof link !== 'object' || Array.isArray(link) || links.length === ACTORS_MAX) return { is: 'fault' }
    const claims = link as Claims // an object of a parsed JSON text
    const subject = claimOf(claims, 'sub')
    const from = claimOf(claims, 'iss') ?? issuer
    if (!isCanonicalName(subject) || !isCanonicalName(from) || (from !== issuer && from.includes('|'))) return { is: 'fault' }
    links.push({ issuer: from, subject })
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
  const subject = nameOf(claims, 'sub')
  const tenantName = nameOf(claims, tenant)
  if (subject === null || (tenant !== null && tenantName === null)) return fault('claim_missing')
  const chain = actorsOf(claimOf(claims, 'act'), source.issuer)
  if (chain.is === 'fault') return fault('actor_malformed')
  return {
    is: 'principal',
    principal: {
      kind: source.kind,
      issuer: source.issuer,
      tenant: tenantName ?? '',
      subject,
      client: clientClaims.map(name => nameOf(claims, name)).find(name => name !== null) ?? '',
      owner: nameOf(claims, owner),
      actor: chain.actor,
    },
  }
}
