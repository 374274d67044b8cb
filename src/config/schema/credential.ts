// `upstreams.*.credential`: what the gateway shows an upstream, where it gets that, and how it is taken back. SPEC: CFG2, CRD1
import { z } from 'zod'
import { duration, filePath, headerName } from './scalar.ts'

const address = (says: string) => z.string().max(2048).describe(says)
const word = (says: string) => z.string().regex(/^[\x21-\x7e]{1,1024}$/, { error: 'expected 1 to 1024 visible characters' }).optional().describe(says)
const scopes = z.string().regex(/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/, { error: 'expected scopes with one space between them' }).max(1024).optional().describe('Scopes asked for, with a space between them')
const pointer = () => z.string().regex(/^(?:\/(?:[^~/\p{Cc}]|~[01])+){1,16}$/u, { error: 'expected a JSON pointer such as `/auth/client_token`' }).max(256)
const body = (says: string) => z.record(z.string().min(1).max(128), z.unknown()).describe(says)

const clientId = z.string().regex(/^[\x20-\x7e]{1,256}$/, { error: 'expected 1 to 256 printable characters' })
const auth = z.enum(['basic', 'post']).prefault('basic').describe('How the secret is shown: in `Authorization`, or in the body')

const clientCredentials = z.strictObject({
  tokenUrl: address('Token endpoint (RFC 6749 §4.4)'),
  clientId: clientId.describe('The gateway’s own name there'),
  clientSecretFile: filePath().describe('File with its secret; read again when it changes'),
  auth,
  scope: scopes,
  audience: word('Whom the token is for'),
  resource: word('The same as a URI (RFC 8707)'),
})

const exchange = z.strictObject({
  url: address('Token endpoint that exchanges tokens (RFC 8693)'),
  clientId: clientId.optional().describe('The gateway’s own name there; with `clientSecretFile`'),
  clientSecretFile: filePath().optional().describe('File with its secret; read again when it changes'),
  auth,
  audience: word('Whom the token is for'),
  resource: word('The same as a URI (RFC 8707)'),
  scope: scopes,
  subject: z.enum(['caller', 'context']).prefault('caller').describe('What is exchanged: the token that the caller showed, or the gateway’s own word on its standing (`Narrowgate-Context`)'),
  actor: z.enum(['none', 'context']).prefault('context').describe('Who acts (`actor_token`, from which `act` is made): that same word, or nobody'),
  requestedTokenType: z.string().max(256).regex(/^[\x21-\x7e]+$/, { error: 'expected a token type such as `urn:ietf:params:oauth:token-type:jwt`' }).optional().describe('The kind of token asked for'),
})

const alarmAfter = duration({ least: '1s', most: '1h' }).prefault('30s').describe('A revocation that nobody has confirmed by then is an alarm; it is tried on')

const lease = z.strictObject({
  tokenFile: filePath().describe('File with the secret that is shown to whoever gives leases; read again when it changes'),
  header: headerName().prefault('x-vault-token').describe('Header it is shown in, as it stands in the file'),
  obtain: z.strictObject({
    url: address('Where a lease is asked for'),
    method: z.enum(['GET', 'POST', 'PUT']).prefault('POST').describe('How'),
    body: body('What is sent, as JSON; never with GET').optional(),
    token: pointer().describe('Where the answer has the credential, as a JSON pointer'),
    lease: pointer().describe('Where it has the id of the lease; told in records'),
    ttl: pointer().optional().describe('Where it has its life, in seconds; without it the lease counts as long as what it is for'),
  }).describe('How a lease comes about'),
  revoke: z.strictObject({
    url: address('Where a lease is given back; 200 or 204 confirms it'),
    method: z.enum(['POST', 'PUT']).prefault('POST').describe('How'),
    body: body('What is sent, as JSON; `{lease}` in a text stands for the id of the lease'),
    alarmAfter,
  }).optional().describe('How it is given back; without it a lease lives to its own end'),
})

const revoke = z.strictObject({
  url: address('Revocation endpoint (RFC 7009), where the same client is known'),
  alarmAfter,
})

export const credential = z.strictObject({
  header: headerName().optional().describe('Header that is set on every request; needed with `valueFile`, otherwise `authorization`'),
  prefix: z.string().max(64).regex(/^[\x20-\x7e]*$/, { error: 'expected printable characters' }).optional().describe('What stands before it there; default `Bearer `, never with `valueFile`'),
  valueFile: filePath().optional().describe('A static one: file with the value of the header; read again when it changes'),
  clientCredentials: clientCredentials.optional().describe('Obtained by the client credentials grant, one for each elevation, and one for each session on its baseline'),
  exchange: exchange.optional().describe('Obtained by a token exchange, likewise'),
  lease: lease.optional().describe('Obtained from whoever gives out leases, such as Vault, likewise'),
  revoke: z.union([z.literal(false), revoke]).optional().describe('How what was obtained by OAuth is taken back when its elevation or session ends; without it, or with `false`, it lives to its own end'),
  timeout: duration({ least: '10ms', most: '8s' }).prefault('5s').describe('Longest wait for each answer'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
})
