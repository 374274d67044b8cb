// `routes`: which requests are known, and what each of them needs. SPEC: CFG2, DEC2-DEC4
import { z } from 'zod'
import { aftereffect, onHit, rate, ruleStepUp, taintName } from './risk.ts'
import { condition, duration, headerName, list, name, named, scope, size } from './scalar.ts'
import { calls, mcp } from './mcp.ts'
import { upstream } from './upstreams.ts'

const selector = z.strictObject({
  methods: list(z.string().regex(/^[A-Z][A-Z-]{0,31}$/, { error: 'a method is written in upper case, such as GET' }), 32).optional().describe('Any of these; GET covers HEAD; without it GET, HEAD, POST, PUT, PATCH, DELETE and OPTIONS, with `deny` every method'),
  paths: list(z.string(), 64).optional().describe('Any of these patterns: literals, `{name}`, `*` for one segment, `**` last; without it every path of the route'),
  grpc: list(z.string(), 64).optional().describe('Any of these gRPC methods: `package.Service/Method`, or `package.Service/*` for all of a service; stands alone, for POST and those paths'),
  upgrade: z.enum(['websocket']).optional().describe('A protocol upgrade; never covered without it, and nothing else is covered with it'),
  ...calls,
})

const messages = z.strictObject({
  maxBytes: size(1).optional().describe('Largest message from the caller; default 64KiB with `fields`, otherwise no limit; at most 16MiB'),
  perSecond: z.int().min(1).max(100_000).optional().describe('Messages from the caller in a second; without it any number'),
  fields: z.record(z.string(), list(z.string().max(1024), 256)).optional().describe('Texts that must stand in each message, by JSON pointer (`/data/type`) or dotted name (`data.type`); whatever is not JSON text is refused then'),
})

const requireAuth = z.strictObject({
  acr: list(z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,256}$/, { error: 'an `acr` value has 1 to 256 visible characters without quotes or backslashes' }), 16).optional()
    .describe('The `acr` claim must be one of these, exactly; the preferred first, as challenges name them'),
  maxAge: duration({ least: '1s', most: '365d' }).optional().describe('The caller signed in (`auth_time`) no longer ago than this; what is open ends when it is'),
})

const values = (says: string) => named(condition(), 64).prefault({}).describe(says)
const entity = (type: string, id: string) => z.strictObject({
  type: condition().optional().describe(`CEL that gives a text; without it ${type}`),
  id: condition().optional().describe(`CEL that gives a text; without it ${id}`),
  properties: values('CEL by name: beside what is told anyway, or in its place'),
}).prefault({})

const decision = z.strictObject({
  pdp: z.string().describe('Name of `pdps`'),
  subject: entity('the kind of the caller', 'its name at its issuer').describe('Who asks'),
  action: z.strictObject({ name: condition().optional().describe('CEL that gives a text; without it the method'), properties: values('CEL by name') }).prefault({}).describe('What for'),
  resource: entity('`route`', 'the pattern of the rule that the path meets, or the path').describe('Of what'),
  context: values('CEL by name: beside time, source, protocol and purposes, or in their place'),
  for: duration({ least: '1s', most: '10m' }).prefault('10s').describe('How long an answer counts for what is open; it is asked again ahead of that'),
  obligations: z.strictObject({ notify: list(name(), 8).optional().describe('Channels for what it wants somebody to be told; without it that cannot be done, and refuses') }).prefault({}).describe('How what it asks for is done'),
})

const rule = z.strictObject({
  allow: selector.optional().describe('Lets these requests pass (exactly one of `allow` and `deny`)'),
  deny: selector.optional().describe('Refuses these requests'),
  scope: scope().optional().describe('The scope a session must have; without it any live session may'),
  if: condition().optional().describe('CEL that must also hold'),
  anonymous: z.boolean().prefault(false).describe('Needs no credential; never with `scope`, `if` or `requireAuth`'),
  requireAuth: requireAuth.optional().describe('How and how recently the caller must have signed in (RFC 9470), by its newest credential; one whose claims do not say so, such as that of a machine, is refused with the same challenge'),
  inspect: z.enum(['json']).optional().describe('The body is read whole before the decision, as strict JSON; conditions read `body`, and the upstream gets what was read'),
  atEnd: z.union([z.literal('cut'), z.strictObject({ finish: duration({ least: '1s', most: '10m' }).describe('For so long') })]).prefault('cut').describe('What the end of an elevation by time, window or limit does to a request that is whole: `cut` it, or let it finish'),
  record: z.enum(['off', 'digests', 'bodies']).prefault('off').describe('What of the bodies is on record: nothing, their digests, or all of them, in the recording, and what cannot be recorded does not pass'),
  label: z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, { error: 'a label has 1 to 64 lower-case letters, digits, dots, dashes and underscores' }).optional().describe('What the record of a request calls what the rule touches'),
  stepUp: ruleStepUp.optional().describe('What the caller has to show anew first: `always`, or from a level of risk on; what is not written is as in `risk.stepUp`'),
  after: aftereffect.optional().describe('What a request that is let through leaves behind, before its first byte goes upstream'),
  onHit: onHit.optional().describe('With `deny`: what follows from requests it refuses'),
  notAfter: list(taintName(), 16).optional().describe('Who has one of these taints does not get here'),
  rates: list(rate, 4).optional().describe('What protects from load, approximately and on all gateways together; beyond it 429 with `Retry-After`'),
  decision: decision.optional().describe('A policy decision point that has to let the request as well (AuthZEN 1.0); never with `anonymous`'),
  messages: messages.optional().describe('What each WebSocket message from the caller must keep to; only where `allow` has `upgrade: websocket`'),
})

const cors = z.strictObject({
  origins: list(z.string(), 64).describe('Origins of pages that may call, such as `https://app.example`; never `*`'),
  headers: list(headerName(), 64).prefault(['authorization', 'content-type']).describe('Request headers they may set'),
  maxAge: duration({ most: '1d' }).prefault('10m').describe('How long browsers may keep the answer to a preflight'),
  credentials: z.boolean().prefault(false).describe('Whether cookies and client certificates may come along'),
})

const rewrite = z.strictObject({
  host: z.string().prefault('preserve').describe('The `Host` the upstream reads: `preserve` for the caller’s, `upstream` for that of the address, or a name'),
  path: z.strictObject({
    from: z.string().describe('A prefix of the route’s path, of whole segments and without patterns; `/` puts `to` in front'),
    to: z.string().describe('What stands there instead; `/` takes it away'),
  }).optional().describe('Another beginning of the path'),
})

const route = z.strictObject({
  name: name().describe('What logs, locks and metrics call it'),
  match: z.strictObject({
    host: z.string().optional().describe('Exact, or `*.suffix`; without it any host'),
    path: z.string().prefault('/**').describe('Path pattern'),
  }).prefault({}).describe('Which requests are its own'),
  upstream: z.union([z.string(), upstream]).describe('A name of `upstreams`, a URL, or an upstream written out'),
  authn: list(name(), 64).optional().describe('Providers whose credentials count here, in order; default all but those with `sessionToken`'),
  mode: z.enum(['enforce', 'observe']).prefault('enforce').describe('`observe` lets pass what only scope, condition or purpose would refuse, and reports it'),
  staleness: duration({ most: '60s' }).prefault('0s').describe('How old knowledge may be beyond the lease; only where no rule has a scope'),
  encodedSlash: z.enum(['reject', 'opaque']).prefault('reject').describe('What `%2f` in a path means'),
  upstreamFolds: z.array(z.enum(['case', 'params']), { error: 'expected a list' }).max(2).prefault(['case', 'params']).describe('What the upstream may ignore in a path; a path that would then meet another rule is refused'),
  cors: cors.optional().describe('Pages of other origins may call; preflights are then answered by the gateway. Without it OPTIONS is a method like any other'),
  onMiss: onHit.optional().describe('What follows from requests that no rule of the route knows'),
  notAfter: list(taintName(), 16).optional().describe('Who has one of these taints does not get here'),
  rates: list(rate, 4).optional().describe('As of a rule, for all requests of the route together'),
  tenant: condition().optional().describe('CEL that gives a text, such as `path.tenant`: whose things are touched; a session of another tenant is refused (`sessions.bind.tenant`)'),
  decision: decision.optional().describe('What rules without a `decision` of their own ask, but for `deny` and `anonymous`'),
  mcp: mcp.optional().describe('The route serves MCP: its rules choose messages by `tools`, `prompts`, `resources` and `mcp`, and each is judged; also without it where the upstream has `protocol: mcp`'),
  passthrough: z.boolean().prefault(false).describe('The caller’s own `Authorization` goes upstream as it came: whoever runs the upstream can then act as the caller elsewhere'),
  rewrite: rewrite.optional().describe('What the upstream reads in place of host and path; after the decision, which never sees it'),
  rules: list(rule, 256).describe('The first whose selector matches decides; none refuses'),
})

export const routes = list(route, 1000)
