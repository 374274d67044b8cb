// `admin`: who may use the admin listener. SPEC: CFG2, ADM22
import { z } from 'zod'
import { jwtWords, mtlsWords } from './authn.ts'
import { condition, filePath } from './scalar.ts'

const role = (may: string) => condition().optional().describe(`Who ${may}: a condition over \`identity\`, the claims of the credential`)
const roles = () => z.strictObject({
  viewer: role('reads'),
  approver: role('reads and approves'),
  operator: role('reads and acts'),
  broker: role('reads and opens sessions'),
  admin: role('acts and changes configuration'),
}).refine(written => Object.values(written).some(when => when !== undefined), { error: 'must name at least one role' })
  .describe('The roles that a credential gives; one that gives none is refused')

export const admin = z.strictObject({
  auth: z.strictObject({
    tokenFile: filePath().optional().describe('Operators and the digests of their tokens, as JSON: `{"tokens": [ENTRY, …]}` with entries as `token new` prints them; with none of `tokenFile`, `oidc` and `mtls`, `run` writes one operator token to `<stateDir>/admin.token`'),
    oidc: z.strictObject({ ...jwtWords, roles: roles() }).optional().describe('Operators by the signed tokens (JWT) of an OpenID provider; never those of somebody who acts for another, nor tokens bound to a key'),
    mtls: z.strictObject({ ...mtlsWords, roles: roles() }).optional().describe('Operators by client certificates, where no `Authorization` header is sent; needs a listener that serves `admin` with `tls.clients`'),
  }).prefault({}).describe('How operators show who they are'),
  publicUrl: z.string().max(1024).optional().describe('Where people reach the admin listener, an https URL; links in notices begin with it, and there are none without it'),
  breakGlassTokenFile: filePath().optional().describe('Tokens for emergencies, JSON like `auth.tokenFile`, which count beside every other way; every use of one alarms'),
})
