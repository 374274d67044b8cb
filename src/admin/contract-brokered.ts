// What a broker writes to open a session for somebody else: whom, bound to what, for how long and for what. Names and thumbprints have one form; what
// is not in it is refused, never brought into it. SPEC: ADM23, BND7, PUR4
import { isIP } from 'node:net'
import { z } from 'zod'
import { list, name } from '../config/schema/scalar.ts'
import { networkOf } from '../core/binding.ts'
import { type Claims, PRINCIPAL_KINDS } from '../core/principal.ts'
import { PURPOSE_KINDS } from '../core/purpose.ts'
import { isCanonicalName } from '../identity/canonical-name.ts'
import { spiffeIdOf } from '../identity/certificate/spiffe-id.ts'
import { purposes, reason, scopes, span } from './contract-schemas.ts'

const CLAIMS_BYTES = 4096
const CLAIMS_DEPTH = 4
const CLAIM_NAME_MAX = 128
/** What a credential alone says of itself and of a sign-in; `__proto__` is no name. */
export const SAID_BY_CREDENTIALS: ReadonlySet<string> = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'sid', 'cnf', 'act', 'may_act', 'azp', 'client_id', 'acr', 'amr', 'auth_time', '__proto__'])

const canonical = () => z.string().refine(isCanonicalName, { error: 'a name has 1 to 512 visible characters in Unicode normal form KC, with single spaces inside at most' })
const issuer = () => canonical().refine(text => !text.includes('|'), { error: 'an issuer holds no `|`' })

const isMembers = (value: unknown): value is Claims => typeof value === 'object' && value !== null && !Array.isArray(value)

function depthOf(value: unknown, most: number): number {
  if (typeof value !== 'object' || value === null) return 0
  return most === 0 ? Infinity : 1 + Math.max(0, ...Object.values(value).map(inner => depthOf(inner, most - 1)))
}

const claims = z.custom<Claims>(isMembers, { error: 'expected an object' }).superRefine((value, context) => {
  const fault = (message: string): void => context.addIssue({ code: 'custom', message })
  const own = Object.keys(value).find(claim => SAID_BY_CREDENTIALS.has(claim))
  if (own !== undefined) fault(`a broker does not say \`${own}\`: only a credential does`)
  if (Object.keys(value).some(claim => claim === '' || claim.length > CLAIM_NAME_MAX)) fault(`a claim has a name of 1 to ${CLAIM_NAME_MAX} characters`)
  if (depthOf(value, CLAIMS_DEPTH) > CLAIMS_DEPTH) fault(`claims nest at most ${CLAIMS_DEPTH} deep`)
  else if (Buffer.byteLength(JSON.stringify(value)) > CLAIMS_BYTES) fault(`claims have at most ${CLAIMS_BYTES} bytes`)
})

const subject = z.strictObject({
  kind: z.enum(PRINCIPAL_KINDS).describe('What it is'), issuer: issuer().optional().describe('Default `broker:<name>`'), subject: canonical().describe('Who it is'), tenant: canonical().optional().describe('Default that of its parent, else none'),
  client: canonical().optional().describe('Default none'), owner: canonical().optional().describe('Who is answerable for it'), claims: claims.optional().describe('What conditions read'),
})

/** 256 bits in their one base64url form. */
const thumbprint = () => z.string().refine(text => /^[\w-]{43}$/.test(text) && Buffer.from(text, 'base64url').toString('base64url') === text, { error: 'expected a SHA-256 thumbprint in base64url: 43 characters' })
/** Where IPv4 addresses are mapped to: other spellings of what requests come from. */
const MAPPED = networkOf('::')
const isSource = (text: string): boolean => isIP(text) === 4 || (isIP(text) === 6 && !/[.%]/.test(text) && (text === '::1' || networkOf(text) !== MAPPED))

const bind = z.strictObject({
  jkt: thumbprint().optional(), 'x5t#S256': thumbprint().optional(),
  workload: z.string().refine(text => spiffeIdOf(text) !== null, { error: 'expected a SPIFFE id, which a client certificate shows; nothing beside a session token shows a pod' }).optional(),
  source: z.string().refine(isSource, { error: 'expected an IP address, IPv4 without a mapping into IPv6' }).optional(),
}).refine(bound => bound.jkt === undefined || bound['x5t#S256'] === undefined, { error: 'either `jkt` or `x5t#S256`: a token names one key' })

const VALUE = /^[A-Za-z0-9][A-Za-z0-9._:@/#-]{0,199}$/
const purpose = purposes.refine(named => PURPOSE_KINDS.every(kind => named[kind] === undefined || VALUE.test(named[kind])), { error: 'a purpose is a name of at most 200 letters, digits and `._:@/#-`' })

const profile = z.strictObject({
  profile: name(), for: span().optional(), params: z.record(z.string().max(64), z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])).optional(),
})

export const openBody = z.strictObject({
  broker: name().optional().describe('Name of the broker to act as; needed where there are several'),
  subject: subject.describe('Whom the session is for: `kind`, `subject`, and what else is known: `issuer`, `tenant`, `client`, `owner`, `claims` (at most 4 KiB)'),
  bind: bind.optional().describe('Who may use the token: `jkt` of a DPoP key or `x5t#S256` of a client certificate; a `workload` by the SPIFFE id of its client certificate; a `source` address (of IPv6 the /64)'),
  parent: z.string().max(64).optional().describe('Id of the session it is delegated from: it may never more than that one, is for the same purposes and tenant, and ends with it'),
  scopes: scopes().optional().describe('The most it may ever do; default no bound but its broker\'s and its parent\'s'),
  purpose: purpose.optional().describe('What each of its requests is for, by kind, such as `{"task":"T-7"}`; and all that its parent is for'),
  profiles: list(profile, 16).optional().describe('Elevations it begins with: `profile`, `for`, `params`; each one of the broker\'s `profiles`'),
  for: span().optional().describe('How long it lives; default and most: the broker\'s `max`'), reason: reason(),
})

export const completeBody = z.strictObject({ reason: z.string().transform(text => text.trim().slice(0, 512)).optional().describe('What came of it') })
