// What the `cnf` of a token asks for (RFC 9449 §6.1, RFC 8705 §3.1). Whether the caller shows it is asked for each request, elsewhere.
// A token that asks for what its provider was not told to expect is refused, never taken for a bearer token. SPEC: SES10, BND2, BND3
import type { Possession } from '../config/settings.ts'
import type { CredentialFault, TokenBinding } from './credential.ts'

type BindingRead = { readonly is: 'binding'; readonly binding: TokenBinding | null } | { readonly is: 'fault'; readonly fault: CredentialFault }

/** Of a provider whose tokens are never bound to a key. */
export const NO_POSSESSION: Possession = { dpop: 'off', mtls: 'off' }

const MEMBERS: { readonly [member: string]: { readonly is: TokenBinding['is']; readonly by: keyof Possession } } = {
  jkt: { is: 'dpop', by: 'dpop' },
  'x5t#S256': { is: 'certificate', by: 'mtls' },
}

const fault = (what: CredentialFault): BindingRead => ({ is: 'fault', fault: what })

/** 43 characters of base64url in their one spelling. */
const isThumbprint = (value: unknown): value is string =>
  typeof value === 'string' && /^[\w-]{43}$/.test(value) && Buffer.from(value, 'base64url').toString('base64url') === value

/** `cnf` is null where the token has none. Exactly one method is understood: a second one would ask for a proof that nobody compares. */
export function bindingOf(cnf: unknown, possession: Possession): BindingRead {
  const { dpop, mtls } = possession
  if (cnf === null) return dpop === 'required' || mtls === 'required' ? fault('proof_missing') : { is: 'binding', binding: null }
  if (dpop === 'off' && mtls === 'off') return fault('proof_missing')
  if (typeof cnf !== 'object' || Array.isArray(cnf)) return fault('claim_malformed')
  const [[name, thumbprint] = ['', null], ...others] = Object.entries(cnf)
  const method = Object.hasOwn(MEMBERS, name) ? MEMBERS[name] : undefined
  if (method === undefined || others.length > 0 || possession[method.by] === 'off') return fault('proof_missing')
  const wanted = dpop === 'required' ? 'dpop' : mtls === 'required' ? 'mtls' : method.by
  if (wanted !== method.by) return fault('proof_missing')
  return isThumbprint(thumbprint) ? { is: 'binding', binding: { is: method.is, thumbprint } } : fault('claim_malformed')
}
