// `server`: where the gateway listens, whom it believes, and its limits. SPEC: CFG2, CFG3
import { z } from 'zod'
import { HTTP_PROTOCOLS, SERVICES } from '../settings.ts'
import { duration, filePath, list, name, size, sizeOrNone } from './scalar.ts'

const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const TRUST_DOMAINS_MAX = 64

const trustDomains = z.record(z.string().regex(TRUST_DOMAIN, { error: 'a trust domain has lower-case letters, digits, dots, dashes and underscores, without `spiffe://`' }), filePath())
  .refine(map => Object.keys(map).length > 0, { error: 'must not be empty' })
  .refine(map => Object.keys(map).length <= TRUST_DOMAINS_MAX, { error: `must not have more than ${TRUST_DOMAINS_MAX} entries` })

const tls = z.strictObject({
  certFile: filePath().describe('PEM certificate chain'),
  keyFile: filePath().describe('PEM private key'),
  clients: z.strictObject({
    caFile: filePath().optional().describe('PEM certificates of the authorities whose client certificates count (at least one of `caFile` and `trustDomains`); with `trustDomains` not for SPIFFE ids'),
    crlFile: filePath().optional().describe('PEM revocation lists; with it every authority in a chain needs one that is in force'),
    trustDomains: trustDomains.optional().describe('SPIFFE trust domains, each with the PEM certificates of its bundle: an id counts only by the bundle of its own trust domain, and by none where that is not here'),
  }).optional().describe('Asks clients for a certificate; one that is missing or bad proves nothing, and is no reason to hang up'),
})

const listener = z.strictObject({
  name: name().describe('What logs and metrics call it'),
  address: z.string().describe('`host:port`, `[v6]:port`, or `:port` for every address; port 0 lets the system choose'),
  serves: list(z.enum(SERVICES)).describe('What it answers'),
  tls: tls.optional().describe('HTTPS; needed for `admin` on anything but a loopback address'),
  protocols: list(z.enum(HTTP_PROTOCOLS), HTTP_PROTOCOLS.length).optional().describe('What it speaks; `http2` without `tls` is taken by prior knowledge (h2c). Default both with `tls` where callers are served, otherwise `http1`'),
  forwardedCertificates: z.enum(['xfcc', 'client-cert']).optional().describe('The form in which peers in `trustedProxies` tell of the certificates of their callers: Envoy’s `x-forwarded-client-cert`, or `Client-Cert` (RFC 9440). From anybody else, and in another form, it counts for nothing'),
  proxyProtocol: z.boolean().prefault(false).describe('Every connection begins with a PROXY protocol v2 header that names the caller’s address; only peers in `trustedProxies` may connect'),
})

const limits = z.strictObject({
  headerBytes: size(1024).prefault('32KiB').describe('Largest request head'),
  headers: z.int().min(16).max(1000).prefault(128).describe('Fields of one request head, and of one trailer section'),
  bodyBytes: sizeOrNone().prefault('64MiB').describe('Largest request body; 0 for no limit'),
  inspectBytes: size(1).prefault('1MiB').describe('Largest body that is read before the decision (`inspect`)'),
  inspectTotal: size(1).prefault('64MiB').describe('All such bodies together, with the room that their values take, from their first byte until they are answered; one session has a quarter of it, or twice `inspectBytes` where that is more'),
  inspectTimeout: duration({ least: '100ms', most: '60s' }).prefault('5s').describe('Longest wait for such a body'),
  headersTimeout: duration({ least: '100ms' }).prefault('10s').describe('Longest wait for a complete request head'),
  idleTimeout: duration({ least: '1s' }).prefault('75s').describe('Longest silence on a kept-alive connection, in an upload, and of a caller that takes nothing of its answer'),
  exchangesPerSession: z.int().min(1).max(1_000_000).prefault(1000).describe('Open exchanges of one session'),
  exchanges: z.int().min(1).max(10_000_000).prefault(100_000).describe('Open exchanges of all sessions together'),
  connections: z.int().min(1).max(10_000_000).prefault(20_000).describe('Open client connections'),
  streamsPerConnection: z.int().min(1).max(10_000).prefault(128).describe('Open streams of one HTTP/2 connection'),
  mirroredSessions: z.int().min(1).max(10_000_000).prefault(100_000).describe('Sessions held in memory'),
})

const drain = z.strictObject({
  delay: duration().prefault('0s').describe('How long `/readyz` fails before listeners close'),
  timeout: duration().prefault('30s').describe('How long open exchanges may finish'),
  longExchanges: z.enum(['terminate']).prefault('terminate').describe('What happens to exchanges that are open when the time is over'),
})

export const server = z.strictObject({
  workers: z.union([z.int().min(1).max(1024), z.literal('auto')]).prefault('auto').describe('Processes; `auto` is one for each processor with Redis, and 1 with the embedded store, which allows no more'),
  listeners: list(listener, 16).optional().describe('Replaces the default listeners: `:8080` proxy and keys, `127.0.0.1:9443` admin, `:9464` health and metrics'),
  trustedProxies: z.array(z.string(), { error: 'expected a list' }).max(256).prefault([]).describe('Address blocks whose forwarding headers are believed; empty trusts nobody'),
  dpopNonces: z.boolean().prefault(false).describe('DPoP proofs must hold a nonce of the gateway’s, which is another one every five minutes; who has none is told it in `DPoP-Nonce`'),
  limits: limits.prefault({}).describe('Limits'),
  drain: drain.prefault({}).describe('Shutting down'),
})
