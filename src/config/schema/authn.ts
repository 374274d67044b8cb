// `authn`: whose credentials count. SPEC: CFG2, SES1
import { z } from 'zod'
import { PRINCIPAL_KINDS } from '../../core/principal.ts'
import { duration, filePath, headerName, list, named } from './scalar.ts'

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const

/** Of JWT-SVIDs (SPIFFE JWT-SVID §2.1). */
const SVID_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512'] as const

const algorithm = z.enum(ALGORITHMS, {
  error: ({ input }) => (typeof input === 'string' && /^(none|HS\d*)$/i.test(input) ? `'${input}' is never accepted: only signatures with a public key are` : undefined),
})

const issuer = () => z.string().min(1).regex(/^[^|]*$/, { error: 'an issuer holds no `|`, which separates it from the subject' })
const audience = () => z.union([z.string().min(1), list(z.string().min(1), 32)])
const clockTolerance = () => duration({ most: '60s' }).prefault('5s').describe('Slack for `exp` and `nbf`')
const possession = () => z.enum(['optional', 'required']).optional()
const DPOP = 'Tokens may, or must, be bound to the key of a DPoP proof (`cnf.jkt`); without it bound tokens are refused'
const MTLS = 'Tokens may, or must, be bound to a client certificate (`cnf["x5t#S256"]`); without it bound tokens are refused'
const freshness = () => duration({ most: '5m' }).prefault('10s')

/** What of a JWT is asked, whoever shows it. */
export const jwtWords = {
  issuer: issuer().describe('The `iss` claim, exactly'),
  audience: audience().describe('The `aud` claim must hold one of these'),
  jwksFile: filePath().optional().describe('Keys from a file'),
  jwksUri: z.string().optional().describe('Keys from an address; with neither, they are discovered at the issuer'),
  algorithms: list(algorithm).prefault([...ALGORITHMS]).describe('Accepted signature algorithms'),
  typ: list(z.string().min(1), 16).prefault(['at+jwt']).describe('Accepted `typ` headers'),
  clockTolerance: clockTolerance(),
}

const jwt = z.strictObject({
  ...jwtWords,
  dpop: possession().describe(DPOP),
  mtls: possession().describe(MTLS),
})

const introspection = z.strictObject({
  url: z.string().max(2048).describe('The introspection endpoint (RFC 7662), an https URL'),
  clientId: z.string().min(1).max(512).describe('How the gateway is known there (`client_secret_basic`)'),
  clientSecretFile: filePath().describe('File with its secret'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
  issuer: issuer().optional().describe('What `iss` of an answer must be, exactly; without it principals are of `introspection:<name>`'),
  jwt: z.boolean().prefault(false).describe('Asks about JWTs that name `issuer` too; other JWTs are never asked about'),
  audience: audience().optional().describe('`aud` of an answer must hold one of these (at least one of `audience` and `clients`)'),
  clients: list(z.string().min(1).max(512), 256).optional().describe('`client_id` of an answer must be one of these'),
  freshness: freshness().describe('How long an answer counts; `0s` asks for every request'),
  clockTolerance: clockTolerance(),
  dpop: possession().describe(DPOP),
  mtls: possession().describe(MTLS),
})

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const SPIFFE_PATTERN = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.{1,2}(?:\/|$))(?:[A-Za-z0-9._-]+|\*))+$/

const spiffePattern = () => z.string().max(2048).regex(SPIFFE_PATTERN, { error: 'expected a SPIFFE id, with `*` for one whole segment, such as spiffe://prod.example.org/ns/*/sa/deploy' })

const jwtSvid = z.strictObject({
  trustDomain: z.string().regex(TRUST_DOMAIN, { error: 'a trust domain has lower-case letters, digits, dots, dashes and underscores, without `spiffe://`' }).describe('Trust domain of the SPIFFE ids, such as `prod.example.org`'),
  ids: list(spiffePattern(), 256).optional()
    .describe('SPIFFE ids accepted, `*` for one whole segment; default all of the trust domain'),
  issuer: issuer().optional().describe('What `iss` must be; without it SVIDs name none'),
  audience: audience().describe('The `aud` claim must hold one of these'),
  jwksFile: filePath().optional().describe('The bundle of the trust domain, as a key set, in a file (exactly one of `jwksFile` and `jwksUri`)'),
  jwksUri: z.string().optional().describe('Its address'),
  algorithms: list(z.enum(SVID_ALGORITHMS)).prefault([...SVID_ALGORITHMS]).describe('Accepted signature algorithms'),
  clockTolerance: clockTolerance(),
})

const tokenReview = z.strictObject({
  url: z.string().max(2048).describe('The address of TokenReview: `https://kubernetes.default.svc/apis/authentication.k8s.io/v1/tokenreviews`'),
  tokenFile: filePath().describe('File with the gateway’s own token for the cluster; read for every review'),
  caFile: filePath().optional().describe('PEM certificates of the cluster; without it those of the system'),
  freshness: freshness().describe('How long an answer counts; `0s` asks for every request'),
})

const kubernetes = z.strictObject({
  issuer: issuer().describe('The `iss` claim of the cluster, exactly'),
  audience: audience().describe('Every `aud` must be one of these; never that of the API server'),
  jwksFile: filePath().optional().describe('Keys from a file'),
  jwksUri: z.string().optional().describe('Keys from an address; with neither, they are discovered at the issuer'),
  algorithms: list(algorithm).prefault([...ALGORITHMS]).describe('Accepted signature algorithms'),
  clockTolerance: clockTolerance(),
  tokenReview: tokenReview.optional().describe('Asks the cluster whether the token and its pod are still there'),
})

const apiKey = z.strictObject({
  header: headerName().prefault('x-api-key').describe('Where the key is; `authorization` means a Bearer value'),
  keysFile: filePath().describe('Keys by digest'),
})

// The one form in which certificates are read: types of RFC 4514 or numbers, values escaped where they must be and nowhere else, no spaces between parts.
const ESCAPED = String.raw`\\[\\"+,;<>]|\\[0-9A-F]{2}`
const VALUE = String.raw`(?:(?:[^\\"+,;<> #]|\\[ #]|${ESCAPED})(?:[^\\"+,;<> ]| (?![,+]|$)|${ESCAPED})*(?:\\ )?)?`
const ATTRIBUTE = String.raw`(?:(?:CN|L|ST|O|OU|C|STREET|DC|UID)=(?:#(?:[0-9a-f]{2})+|${VALUE})|\d+(?:\.\d+)+=#(?:[0-9a-f]{2})+)`
const DISTINGUISHED_NAME = new RegExp(`^${ATTRIBUTE}(?:[,+]${ATTRIBUTE})*$`)
const DNS_NAME = /^(?=.{1,253}$)[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?(?:\.[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?)*$/

/** How certificates name their holders. */
export const mtlsWords = {
  spiffe: list(spiffePattern(), 256).optional().describe('SPIFFE ids of X.509-SVIDs, `*` for one whole segment; a rotated SVID keeps its session (exactly one of `spiffe`, `subjects` and `dnsNames`)'),
  subjects: list(z.string().max(512).regex(DISTINGUISHED_NAME, { error: 'expected a whole name as RFC 4514 writes it, most specific part first and without spaces between parts, such as CN=deploy,O=Example' }), 256).optional()
    .describe('Names of subjects, whole and in their order as RFC 4514 writes them: `CN=deploy,O=Example`; never the common name alone'),
  dnsNames: list(z.string().regex(DNS_NAME, { error: 'expected a DNS name, without wildcards' }), 256).optional().describe('DNS names, of which a certificate must have exactly one among its alternative names'),
}

const mtls = z.strictObject(mtlsWords)

const claim = () => z.string().min(1).max(256).optional()

export const authn = named(z.strictObject({
  jwt: jwt.optional().describe('JSON Web Tokens (exactly one of `jwt`, `apiKey`, `introspection`, `jwtSvid`, `kubernetes`, `mtls` and `sessionToken`)'),
  apiKey: apiKey.optional().describe('API keys'),
  introspection: introspection.optional().describe('Tokens that only their issuer can read'),
  jwtSvid: jwtSvid.optional().describe('JWT-SVIDs of a SPIFFE trust domain'),
  kubernetes: kubernetes.optional().describe('Projected service-account tokens of a cluster; bound to a pod, whose session they are'),
  mtls: mtls.optional().describe('Client certificates, where no header holds a credential; needs a listener with `tls.clients` or `forwardedCertificates`'),
  sessionToken: z.strictObject({}).optional().describe('Tokens of sessions that a broker opened; counts only on routes that name it'),
  kind: z.enum(PRINCIPAL_KINDS).prefault('service').describe('What its principals are'),
  subjectCase: z.enum(['exact', 'fold']).optional().describe('Of `jwt` and `introspection`: `fold` where the issuer does not tell `Bob` from `bob`. Subjects, their actors and owners are then known in small letters, wherever they are named; default `exact`, as OpenID Connect has it'),
  claims: z.strictObject({
    tenant: claim().describe('Claim that names the tenant; without it the tenant is empty'),
    owner: claim().describe('Claim that names who answers for the principal'),
    client: claim().describe('Claim that names the client; default `client_id`, then `azp`'),
    device: claim().describe('Claim that names the device the credential was issued to, for `sessions.bind.device`'),
  }).prefault({}).describe('Which claims mean what'),
}), 64)
