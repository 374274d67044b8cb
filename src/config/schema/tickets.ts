// `tickets` and `signals.webhooks`: what is asked about tickets, and who tells of them, of runs, tasks and the like, of scores and of trust.
// SPEC: CFG2, TKT1, TKT2, TKT4, RSK9
import { z } from 'zod'
import { PURPOSE_KINDS } from '../../core/purpose.ts'
import { acts } from './acts.ts'
import { condition, duration, filePath, headerName, list, name, named } from './scalar.ts'

const FACTS_MAX = 16
const EVENTS_MAX = 64
const BODY_MAX = 16_384

const text = (says: string) => condition().optional().describe(says)
const fieldName = () => z.string().regex(/^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}$/, { error: 'expected a header name' })
const factName = () => z.string().regex(/^[a-z][A-Za-z0-9_]{0,63}$/, { error: 'a fact is called like customerName' })

const mapped = {
  id: condition().describe('CEL over `body`: its id, spelled as requests must show it'),
  closed: condition().describe('CEL over `body`: whether it is over, such as `body.fields.status.name in ["Done", "Rejected"]`'),
  tenant: text('CEL over `body`: the tenant it belongs to; it counts only for sessions of that one'),
  at: text('CEL over `body`: when the source changed it, an instant with its zone or seconds or milliseconds since 1970; older news than is known opens nothing and changes nothing'),
  state: text('CEL over `body`, for conditions as `ticket.state`'),
  type: text('CEL over `body`, for conditions as `ticket.type`'),
  environment: text('CEL over `body`, for conditions as `ticket.environment`'),
  facts: z.record(factName(), condition()).refine(facts => Object.keys(facts).length <= FACTS_MAX, { error: `must not have more than ${FACTS_MAX} entries` }).optional()
    .describe('More of the same, by name: `commit` is `ticket.commit`. What cannot be read is not there, and a condition that reads it refuses'),
}
const map = z.strictObject(mapped)

const SCORE = 'only with `kind: risk`'
const TRUST = 'only with `kind: signal`'
/** Of either kind; which of it belongs to which is for the compiler to tell. */
const messageMap = z.strictObject({
  ...mapped,
  id: text('CEL over `body`: its id, spelled as requests must show it; needed but with `kind: risk`. With `kind: signal` what makes a message the same news again; without it what it was signed with'),
  closed: text('CEL over `body`: whether it is over, such as `body.fields.status.name in ["Done", "Rejected"]`; needed but with `kind: risk` and `kind: signal`'),
  subject: text('CEL over `body`: whom the score or the news is of; only with `kind: risk`, and needed there, or with `kind: signal`'),
  issuer: text('CEL over `body`: whose subject that is; without it of any issuer; only with `kind: risk` or `kind: signal`'),
  event: text(`CEL over \`body\`: which of \`events\` it is; another one is taken and does nothing; ${TRUST}, and needed there`),
  session: text(`CEL over \`body\`: which session, as ours is called or as \`issuer\` calls it; ${TRUST}`),
  email: text(`CEL over \`body\`: whose address of \`issuer\`; ${TRUST}`),
  device: text(`CEL over \`body\`: which device; ${TRUST}`),
  workload: text(`CEL over \`body\`: which SPIFFE id; ${TRUST}`),
  credential: text(`CEL over \`body\`: the \`jti\` of a token of \`issuer\`; ${TRUST}`),
  client: text(`CEL over \`body\`: by which client; without it, or without \`tenant\`, every principal of that subject with a session now; ${SCORE}`),
  score: text(`CEL over \`body\`: points from 0 to 1000, as a number; ${SCORE}, and needed there`),
  name: text(`CEL over \`body\`: what the score is called among the contributions, in the place of the earlier one of that name; without it as the webhook is; ${SCORE}`),
})

const signature = z.strictObject({
  header: headerName().describe('The header with the HMAC-SHA256 of the body'),
  prefix: z.string().max(32).prefault('').describe('What stands there before it, such as `sha256=`'),
  encoding: z.enum(['hex', 'base64']).prefault('hex').describe('How it is written'),
})

const webhook = z.strictObject({
  name: name().describe('The connector: its messages, JSON of at most 256 KiB, are taken at `/hooks/<name>` of listeners that serve `signals`; of the same name as one of `tickets` both tell of the same tickets'),
  kind: z.enum([...PURPOSE_KINDS, 'risk', 'signal']).prefault('ticket').describe('What it tells of; `risk`: of scores of callers; `signal`: of changes in trust'),
  secretFile: filePath().describe('File with the secret its messages are signed with: `whsec_…` in base64 or text, 24 bytes at least; two lines while it is replaced'),
  signature: z.union([z.literal('standard'), signature]).prefault('standard').describe('`standard`: Standard Webhooks headers; or a header over the body alone, which tells no time: then `map.at` must, and messages older than five minutes are refused'),
  map: messageMap.describe('What its messages say'),
  events: z.record(name(), acts).refine(events => Object.keys(events).length <= EVENTS_MAX, { error: `must not have more than ${EVENTS_MAX} entries` }).optional().describe('What follows from each event, by the name that `map.event` gives; only with `kind: signal`, and needed there'),
  maxSessionsPerEvent: z.int().min(1).max(1_000_000).prefault(500).describe('An event that means more sessions ends none: they are frozen, and `notify` is told; only with `kind: signal`'),
  notify: list(name(), 8).optional().describe('Channels that are told where an event means too many, or fails; only with `kind: signal`'),
  perSecond: z.int().min(1).max(100_000).prefault(100).describe('Messages taken in a second, for ten seconds at once; more get 429'),
})

const note = z.strictObject({
  url: z.string().max(2048).describe('Where notes are sent; `{id}` and `{tenant}` stand for the ticket'),
  method: z.enum(['POST', 'PUT', 'PATCH']).prefault('POST').describe('How'),
  body: z.union([z.string().max(BODY_MAX), z.record(z.string().max(256), z.unknown())]).describe('JSON, as text or as a map, in which `{text}`, `{id}`, `{elevation}`, `{profile}` and `{subject}` stand within strings for what is told'),
})

const connector = z.strictObject({
  url: z.string().max(2048).describe('Where one ticket is asked for; `{id}` and `{tenant}` stand for it, percent-encoded'),
  tokenFile: filePath().optional().describe('File with the credential for it'),
  scheme: z.enum(['bearer', 'basic']).prefault('bearer').describe('What the credential is: a token, or `user:password`'),
  headers: z.record(fieldName(), z.string().max(1024)).refine(headers => Object.keys(headers).length <= 16, { error: 'must not have more than 16 entries' }).optional().describe('Further headers, such as `accept`'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
  poll: duration({ least: '1s', most: '1h' }).prefault('30s').describe('How often tickets are asked for that something stands on'),
  timeout: duration({ least: '100ms', most: '30s' }).prefault('3s').describe('Longest wait for an answer'),
  staleAfter: duration({ least: '2s', most: '1d' }).optional().describe('What was said longer ago counts no more; without it, it always counts'),
  onStale: z.enum(['end', 'freeze', 'keep']).prefault('end').describe('What becomes of elevations whose ticket nobody spoke of for so long'),
  map: map.describe('What its answers say'),
  note: note.optional().describe('A note in the ticket when an elevation for it begins and ends'),
})

export const tickets = named(connector, 64)
export const webhooks = list(webhook, 64)
