// `authn`: whose credentials count. SPEC: CFG2, SES1
import { z } from 'zod'
import { PRINCIPAL_KINDS } from '../../core/principal.ts'
import { duration, filePath, headerName, list, named } from './scalar.ts'

const ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'ES512', 'EdDSA', 'Ed25519'] as const

const algorithm = z.enum(ALGORITHMS, {
  error: ({ input }) => (typeof input === 'string' && /^(none|HS\d*)$/i.test(input) ? `'${input}' is never accepted: only signatures with a public key are` : undefined),
})

const jwt = z.strictObject({
  issuer: z.string().min(1).regex(/^[^|]*$/, { error: 'an issuer holds no `|`, which separates it from the subject' }).describe('The `iss` claim, exactly'),
  audience: z.union([z.string().min(1), list(z.string().min(1), 32)]).describe('The `aud` claim must hold one of these'),
  jwksFile: filePath().optional().describe('Keys from a file'),
  jwksUri: z.string().optional().describe('Keys from an address; with neither, they are discovered at the issuer'),
  algorithms: list(algorithm).prefault([...ALGORITHMS]).describe('Accepted signature algorithms'),
  typ: list(z.string().min(1), 16).prefault(['at+jwt']).describe('Accepted `typ` headers'),
  clockTolerance: duration({ most: '60s' }).prefault('5s').describe('Slack for `exp` and `nbf`'),
})

const apiKey = z.strictObject({
  header: headerName().prefault('x-api-key').describe('Where the key is; `authorization` means a Bearer value'),
  keysFile: filePath().describe('Keys by digest'),
})

const claim = () => z.string().min(1).max(256).optional()

export const authn = named(z.strictObject({
  jwt: jwt.optional().describe('JSON Web Tokens (exactly one of `jwt` and `apiKey`)'),
  apiKey: apiKey.optional().describe('API keys (exactly one of `jwt` and `apiKey`)'),
  kind: z.enum(PRINCIPAL_KINDS).prefault('service').describe('What its principals are'),
  claims: z.strictObject({
    tenant: claim().describe('Claim that names the tenant; without it the tenant is empty'),
    owner: claim().describe('Claim that names who answers for the principal'),
    client: claim().describe('Claim that names the client; default `client_id`, then `azp`'),
  }).prefault({}).describe('Which claims mean what'),
}), 64)
