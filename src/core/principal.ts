// Who calls: issuer and subject, kind, tenant, client, and the chain it acts for. Only the outermost actor decides; the chain is logged.
// SPEC: SES1
export const PRINCIPAL_KINDS = ['agent', 'service', 'ci', 'operator', 'person'] as const
export type PrincipalKind = (typeof PRINCIPAL_KINDS)[number]

/** One link of an RFC 8693 `act` chain. */
export type Actor = { readonly issuer: string; readonly subject: string; readonly actsFor: Actor | null }

/** The part of a principal that is stored; claims stay on the gateway that verified them. */
export type Principal = {
  readonly kind: PrincipalKind
  readonly issuer: string
  /** Empty where the provider names no tenant claim. */
  readonly tenant: string
  readonly subject: string
  /** `client_id` or `azp`; empty where the credential has none. */
  readonly client: string
  /** The person or team answerable for it, where a claim says so. */
  readonly owner: string | null
  readonly actor: Actor | null
}

/** Claims of a verified credential, as JSON values. */
export type Claims = { readonly [name: string]: unknown }

/** `issuer|subject`, the form in which people and files name an identity. */
export const identityOf = (who: { readonly issuer: string; readonly subject: string }): string => `${who.issuer}|${who.subject}`

/** Everyone this principal acts for, nearest first. */
export function chainOf(principal: Principal): readonly string[] {
  const chain: string[] = []
  for (let link = principal.actor; link !== null && chain.length < 16; link = link.actsFor) chain.push(identityOf(link))
  return chain
}
