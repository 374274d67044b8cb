// `signals`: who may send news from outside, and what follows from it: security event tokens, logouts, webhooks; and who is told of what happens here.
// SPEC: CFG2, OUT3, SSF1, LGO1, TRM1
import { z } from 'zod'
import { acts } from './acts.ts'
import { duration, filePath, list, name } from './scalar.ts'
import { webhooks } from './tickets.ts'

/** Events of CAEP 1.0, with what tells their kinds apart. */
export const EVENT_NAMES = [
  'session-revoked', 'token-claims-change', 'session-established', 'session-presented',
  'credential-change.create', 'credential-change.revoke', 'credential-change.update', 'credential-change.delete',
  'assurance-level-change.increase', 'assurance-level-change.decrease',
  'device-compliance-change.compliant', 'device-compliance-change.not-compliant',
  'risk-level-change.low', 'risk-level-change.medium', 'risk-level-change.high',
] as const
export type EventName = (typeof EVENT_NAMES)[number]

/** Formats of RFC 9493 and SSF 1.0 that are understood. */
export const SUBJECT_FORMATS = ['account', 'email', 'iss_sub', 'opaque', 'phone_number', 'did', 'uri', 'aliases', 'jwt_id', 'complex'] as const
export type SubjectFormat = (typeof SUBJECT_FORMATS)[number]

const url = () => z.string().max(2048)
const audience = () => z.union([z.string().min(1).max(1024), list(z.string().min(1).max(1024), 16)])
const most = () => z.int().min(1).max(1_000_000).prefault(500).describe('An event that means more sessions ends none: they are frozen, and `notify` is told')
const channels = () => list(name(), 8).optional().describe('Channels that are told where an event means too many, or fails')

const oauth = z.strictObject({
  tokenUrl: url().describe('Where tokens are asked for'),
  clientId: z.string().min(1).max(1024).describe('The client'),
  clientSecretFile: filePath().describe('File with its secret'),
  scope: z.string().max(1024).prefault('ssf.manage ssf.read').describe('What is asked for'),
})

const ssf = z.strictObject({
  name: name().optional().describe('What logs, metrics and its path call it; default the host of `transmitter`'),
  transmitter: url().describe('Its issuer, exactly as its tokens name it; its metadata is asked for there'),
  delivery: z.enum(['push', 'poll']).describe('`push`: to `/ssf/events/<name>` of listeners that serve `signals` (RFC 8935); `poll`: asked for here (RFC 8936)'),
  audience: audience().optional().describe('What `aud` of its tokens must name one of; without it what its stream says, which then must be managed here'),
  manage: z.boolean().prefault(true).describe('Adopts or creates its stream there, asks it to verify, and looks at its status'),
  endpoint: url().optional().describe('With `push` and `manage`: the address at which it reaches `/ssf/events/<name>`'),
  pollUrl: url().optional().describe('With `poll`, where its stream is not managed here'),
  authorizationFile: filePath().optional().describe('With `push`: file with what it sends as `Authorization`; without it, where its stream is managed here, one is made'),
  tokenFile: filePath().optional().describe('File with a bearer token for its management API and for polling'),
  oauth: oauth.optional().describe('Or a client that asks for such tokens'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
  jwksFile: filePath().optional().describe('Its public keys; without it as its metadata says'),
  algorithms: list(z.enum(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']), 5).prefault(['RS256', 'PS256', 'ES256', 'EdDSA']).describe('Of its signatures; RSA keys have 2048 bits at least'),
  issuers: list(z.string().min(1).max(1024), 64).optional().describe('Whose principals it may speak of; default `transmitter`'),
  tenants: list(z.string().min(1).max(512), 1000).optional().describe('And of which tenants only'),
  formats: list(z.enum(SUBJECT_FORMATS), SUBJECT_FORMATS.length).optional().describe('Formats of subjects it may name; default all that are understood'),
  opaque: z.enum(['session', 'user', 'device', 'tenant']).prefault('session').describe('What a subject is that is an `opaque` id alone'),
  addSubjects: z.boolean().prefault(true).describe('Asks for events of each caller with a session here, where it tells only of those that were asked for'),
  maxSessionsPerEvent: most(),
  perSecond: z.int().min(1).max(100_000).prefault(100).describe('Tokens taken in a second, for ten seconds at once; more get 429'),
  freshness: duration({ least: '5s', most: '1d' }).optional().describe('Not heard of for so long it counts as silent; without it nothing depends on it'),
  onSilence: z.enum(['suspend', 'freeze']).prefault('suspend').describe('Then elevations of its `issuers` are held, or their sessions are frozen, until it is heard again'),
  events: z.partialRecord(z.enum(EVENT_NAMES), acts).prefault({}).describe('What follows from each event, where that is not what the defaults say'),
  notify: channels(),
})

const logout = z.strictObject({
  name: name().describe('Its path is `/logout/<name>`, on listeners that serve `signals`'),
  issuer: url().describe('Who logs out, exactly as its tokens name it'),
  audience: audience().describe('The client ids that its logout tokens are for'),
  jwksFile: filePath().optional().describe('Its public keys; without it as its metadata says'),
  algorithms: list(z.enum(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']), 5).prefault(['RS256', 'PS256', 'ES256', 'EdDSA']).describe('Of its signatures'),
  follows: acts.prefault({ do: ['terminate'] }).describe('What follows'),
  maxSessionsPerEvent: most(),
  perSecond: z.int().min(1).max(100_000).prefault(100).describe('Tokens taken in a second, for ten seconds at once; more get 429'),
  notify: channels(),
})

export const TOLD_EVENTS = ['session-revoked', 'session-established', 'session-presented', 'risk-level-change', 'elevation-granted', 'elevation-narrowed', 'elevation-ended'] as const
export type ToldEvent = (typeof TOLD_EVENTS)[number]

const receiver = z.strictObject({
  name: name().describe('What logs and metrics call it'),
  tokenFile: filePath().describe('File with the bearer token by which it manages its stream and polls, 24 bytes at least; two lines while it is replaced'),
  audience: z.string().min(1).max(1024).describe('`aud` of what it is told'),
  events: list(z.enum(TOLD_EVENTS), TOLD_EVENTS.length).optional().describe('What it may be told; default all'),
  issuers: list(z.string().min(1).max(1024), 64).optional().describe('Of whose principals; default all'),
  tenants: list(z.string().min(1).max(512), 1000).optional().describe('And of which tenants; default all'),
  pushTo: list(url(), 16).optional().describe('Origins to which it may have pushed, such as `https://siem.example`; without it, it polls'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
})

const transmit = z.strictObject({
  issuer: url().describe('Ourselves, as receivers reach a listener that serves `signals`'),
  keyFile: filePath().optional().describe('PEM private key, RSA of 2048 bits at least; without it one is made, and kept in the data set'),
  receivers: list(receiver, 64).describe('Who may have a stream'),
  queue: z.int().min(100).max(1_000_000).prefault(10_000).describe('Events kept for a stream; beyond it the stream is paused, and the receiver told so'),
  keepFor: duration({ least: '1m', most: '30d' }).prefault('7d').describe('How long an event is kept for'),
  inactivityTimeout: duration({ least: '1m', most: '365d' }).prefault('30d').describe('A stream that nobody asks about for so long is paused'),
})

export const signals = z.strictObject({
  webhooks: webhooks.optional().describe('Who may send signed messages, by name'),
  ssf: list(ssf, 64).optional().describe('Who tells of changes in trust (Shared Signals Framework 1.0, CAEP 1.0)'),
  logout: list(logout, 64).optional().describe('Who tells of logouts (OpenID Connect Back-Channel Logout 1.0)'),
  transmit: transmit.optional().describe('What is told to others of what happens here (Shared Signals Framework 1.0)'),
})
