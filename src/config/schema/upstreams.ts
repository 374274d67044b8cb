// `upstreams`: what can be reached, over what, and how its addresses are kept apart from those that fail. SPEC: CFG2, WIRE20, WIRE21
import { z } from 'zod'
import { RETRIABLE } from '../settings.ts'
import { credential } from './credential.ts'
import { duration, filePath, list, named } from './scalar.ts'
import { sign, txnToken } from './upstream-identity.ts'

const ADDRESSES_MAX = 64

const address = z.strictObject({
  url: z.string().describe('`http://` or `https://`, host and port; no path; all with the same scheme'),
  weight: z.int().min(1).max(1000).prefault(1).describe('Its share of the requests'),
})

const tls = z.strictObject({
  caFile: filePath().optional().describe('PEM certificates to trust; without it those of the system'),
  certFile: filePath().optional().describe('PEM certificate chain the gateway shows; with `keyFile`'),
  keyFile: filePath().optional().describe('Its PEM private key'),
  serverName: z.string().regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,252}$/, { error: 'expected a host name' }).optional().describe('The name its certificates must carry; default the host of the address'),
})

const health = z.strictObject({
  path: z.string().regex(/^\/[!-"$-~]{0,1023}$/, { error: 'expected a path that begins with `/`, with a query or without' }).describe('Asked by GET; an answer of 200 to 299 is a good one'),
  every: duration({ least: '100ms', most: '1h' }).prefault('10s').describe('How often each address is asked'),
  timeout: duration({ least: '10ms', most: '1h' }).prefault('2s').describe('Longest wait for the answer; at most `every`'),
  healthyAfter: z.int().min(1).max(100).prefault(2).describe('Good answers in a row that take an address in again'),
  unhealthyAfter: z.int().min(1).max(100).prefault(3).describe('Bad ones in a row that take it out'),
})

const ejection = z.strictObject({
  failures: z.int().min(1).max(1000).prefault(5).describe('Requests in a row that end in a refused connection, a reset, or 502, 503 or 504'),
  for: duration({ least: '100ms', most: '1h' }).prefault('10s').describe('How long an address is left out'),
  atMost: z.int().min(0).max(100).prefault(50).describe('Percentage of the addresses that may be left out at a time'),
})

const retries = z.strictObject({
  attempts: z.int().min(0).max(3).prefault(1).describe('Further attempts of one request; 0 for none'),
  on: list(z.enum(RETRIABLE), RETRIABLE.length).prefault([...RETRIABLE]).describe('`connect`: no connection came about, so nothing was sent; `refused`: HTTP/2 said that nothing was processed. Nothing else is ever sent twice'),
})

export const upstream = z.strictObject({
  url: z.string().optional().describe('`http://` or `https://`, host and port; no path (exactly one of `url` and `addresses`)'),
  addresses: list(address, ADDRESSES_MAX).optional().describe('Several that serve the same'),
  protocol: z.enum(['http1', 'http2', 'grpc', 'mcp']).prefault('http1').describe('What is spoken to it; `http2` without TLS is h2c by prior knowledge; `grpc` is another word for `http2`; `mcp` is `http1`, and makes its routes serve MCP'),
  tls: tls.optional().describe('How an https upstream is verified, and what it is shown'),
  timeout: duration({ least: '1ms' }).prefault('30s').describe('Longest wait for the response head'),
  connections: z.int().min(1).max(1_000_000).prefault(10_000).describe('Connections at most'),
  streams: z.int().min(1).max(10_000).prefault(100).describe('Streams at most on one HTTP/2 connection'),
  health: health.optional().describe('Asks each address whether it is well; without it only `ejection` notices'),
  ejection: z.union([z.literal(false), ejection]).prefault({}).describe('Leaves out addresses that fail requests, unless it is `false`'),
  retries: retries.prefault({}).describe('Sending a request again where it is provably safe'),
  resolve: duration({ least: '1s', most: '1h' }).prefault('30s').describe('How often host names are looked up again'),
  proxyProtocol: z.boolean().prefault(false).describe('Begins every connection with a PROXY protocol v2 header that names the caller; such a connection serves one caller address; not with HTTP/2'),
  credential: credential.optional().describe('What the upstream is shown; no caller is ever told. Exactly one of `valueFile`, `clientCredentials`, `exchange` and `lease`'),
  txnToken: txnToken.optional().describe('Sends a `Txn-Token` beside `Narrowgate-Context`, for the trust domain behind the upstream (docs/upstream-identity.md)'),
  sign: sign.optional().describe('Signs every request (RFC 9421)'),
})

export const upstreams = named(upstream)
