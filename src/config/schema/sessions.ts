// `sessions`, `purposes`, `identities`: what makes a session, what a request shows it is for, and who is the same person. SPEC: CFG2, SES2, PUR1
import { z } from 'zod'
import { BINDING_MODES } from '../../core/binding.ts'
import { ALIAS_KINDS } from '../../core/outside.ts'
import { PURPOSE_KINDS } from '../../core/purpose.ts'
import { condition, duration, filePath, headerName, list, name, named, scope } from './scalar.ts'

/** The client is read with the principal. */
const WRITTEN_ALIASES = ALIAS_KINDS.filter(kind => kind !== 'application')

const bound = (by: 'required' | 'off') => z.enum(BINDING_MODES).prefault(by)

export const sessions = z.strictObject({
  key: list(z.string().regex(/^claims\..{1,256}$/, { error: 'expected a claim, written claims.<name>' }), 8).optional()
    .describe('Claims that tell the lives of one principal apart, after issuer, tenant, subject and client; default `sid`, then key, then `jti`'),
  names: z.partialRecord(z.enum(WRITTEN_ALIASES), z.string().min(1).max(256)).prefault({ sid: 'sid' })
    .describe('Claims by which news from outside calls sessions and their users, such as `email: email`; kept as keyed digests. A list names each of its entries'),
  credentialEnd: z.enum(['cut', 'ignore']).prefault('cut').describe('What the end of the newest credential does to open exchanges'),
  bind: z.strictObject({
    key: bound('required').describe('The key that the first request proved: by DPoP, or by a token bound to its certificate'),
    workload: bound('required').describe('The workload it proved: a SPIFFE id of its certificate or token, or its pod'),
    device: bound('required').describe('The device its credential names (`authn.*.claims.device`)'),
    source: bound('off').describe('The address it came from; of IPv6 the /64'),
    tenant: bound('required').describe('The tenant, on routes with `tenant`'),
  }).prefault({}).describe('What a session stays bound to for its life: another one is refused (`required`), told of (`observe`) or not looked at (`off`); what the first request did not show binds nothing'),
  idle: duration({ least: '1s' }).prefault('10m').describe('A session ends after so long without a byte'),
  max: duration({ least: '1s' }).prefault('8h').describe('Longest life of a session'),
  frozenFor: duration({ least: '1s' }).prefault('15m').describe('A frozen session ends after so long'),
  baseline: z.array(z.strictObject({
    when: condition().optional().describe('CEL over `subject`; without it the entry is for everyone'),
    scopes: list(scope()).describe('What they may do without elevation'),
  }), { error: 'expected a list' }).max(256).prefault([]).describe('What sessions may do without elevation: the union of all entries that hold'),
})

/** Of MCP, and of JSON-RPC: they mean something else. */
const metaKey = () => z.string().regex(/^(?!(?:[^/]*\.)?(?:modelcontextprotocol|mcp)(?:\.[^/]*)?\/)(?!progressToken$|traceparent$|tracestate$|baggage$)[A-Za-z0-9](?:[A-Za-z0-9._/-]{0,126}[A-Za-z0-9])?$/, { error: 'expected a name such as `acme/turn`, not one of MCP’s own' })

const signed = z.strictObject({
  header: headerName().describe('A request header that holds a compact JWS'),
  meta: metaKey().optional().describe('A member of `_meta` that holds it on routes of MCP, in place of the header'),
  jwksFile: filePath().describe('Public keys of the orchestrator that signs it, as a JSON Web Key Set'),
  claim: z.string().min(1).max(256).optional().describe('The claim that holds the value; default the kind, such as `turn`'),
  within: z.string().min(1).max(256).optional().describe('The claim within whose value turns or steps follow each other, such as `conversation_id`; default the session'),
  audience: z.string().min(1).max(1024).optional().describe('What its `aud` must name; without it none is asked'),
})

const purpose = z.strictObject({
  header: headerName().optional().describe('A request header (proof `stated`)'),
  meta: metaKey().optional().describe('A member of `_meta` of messages on routes of MCP (proof `stated`), such as `acme/turn`; with `header`, either may show it, and both only the same'),
  claim: z.string().min(1).optional().describe('A claim of the token (proof `claimed`)'),
  signed: signed.optional().describe('A header that an orchestrator signed (proof `signed`): with `exp`, and with `seq` or a whole number as value where turns and steps follow each other; a later one ends what the earlier ones carry'),
  source: z.union([z.literal('manual'), name()]).optional().describe('Where news of its end comes from: `manual` takes an operator’s word, any other is a connector of `tickets` or `signals.webhooks`'),
})

export const purposes = z.partialRecord(z.enum(PURPOSE_KINDS), purpose)

const broker = z.strictObject({
  who: list(z.string().min(1).max(1024), 64).optional().describe('Operators who may act as it: names of token-file entries, or `issuer|subject`; default everybody with the role `broker`'),
  may: condition().describe('CEL over `subject`, the principal it asks a session for'),
  profiles: list(name(), 64).optional().describe('Elevations its sessions may hold; default none'),
  max: duration({ least: '1s' }).describe('Longest life of its sessions'),
  bind: z.enum(['required', 'optional']).prefault('required').describe('Whether each of its sessions must be bound to a key, a workload or a source'),
  once: z.enum(PURPOSE_KINDS).optional().describe('A purpose that every session must name, and each value of which opens one session only; remembered for four weeks at least'),
})

export const brokers = named(broker, 64)

export const identities = z.array(list(z.string().regex(/^[^|]+\|.+$/, { error: 'expected issuer|subject' }), 32), { error: 'expected a list of lists' }).max(10_000)
