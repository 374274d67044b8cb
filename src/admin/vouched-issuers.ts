// The issuers of principals that somebody vouches for: no broker makes a principal that could be taken for one of theirs. SPEC: ADM23, SES20
import type { Settings } from '../config/settings.ts'
import { issuersOf } from '../identity/issuers-of.ts'

/** Names that only providers give, whether configured now or later; whoever reads them may not see the case. */
const OURS = /^(?:api-key|x509|introspection):/i

/** Operators' own issuers count too: who approves must not be confused with whom a broker speaks for. */
export function isVouchedIssuer({ providers, admin: { oidc, mtls } }: Pick<Settings, 'providers' | 'admin'>, issuer: string): boolean {
  const all = [...providers.values(), ...(oidc === null ? [] : [oidc.provider]), ...(mtls === null ? [] : [mtls.provider])]
  return OURS.test(issuer) || all.some(provider => issuersOf(provider).includes(issuer))
}

/** Those of an issuer, or with null of any, that its provider knows in small letters. */
export const foldsSubjects = ({ providers }: Pick<Settings, 'providers'>, issuer: string | null): boolean =>
  [...providers.values()].some(provider => provider.claims.subjectCase === 'fold' && (issuer === null || issuersOf(provider).includes(issuer)))
