// `pdps`: policy decision points that are asked. `decisions`: decisions for others. SPEC: CFG2, PEP1, PDP1, FWA1
import { z } from 'zod'
import { PRINCIPAL_KINDS } from '../../core/principal.ts'
import { mtlsWords } from './authn.ts'
import { condition, duration, filePath, headerName, list, name, named } from './scalar.ts'

const pdp = z.strictObject({
  url: z.string().max(2048).describe('Its identifier, such as `https://pdp.example`: its metadata is asked for there; or with `discover: false` the address of its evaluation endpoint'),
  discover: z.boolean().prefault(true).describe('Asks for its metadata (`/.well-known/authzen-configuration`)'),
  tokenFile: filePath().optional().describe('File with a bearer token for it'),
  caFile: filePath().optional().describe('PEM certificates to trust there; without it those of the system'),
  timeout: duration({ least: '10ms', most: '5s' }).prefault('100ms').describe('Longest wait for an answer'),
})

export const pdps = named(pdp, 64)

/** What a caller of the decision point may do. */
export const PEP_MAY = ['evaluate', 'search'] as const

const pep = z.strictObject({
  name: name().describe('What records and metrics call it'),
  tokenFile: filePath().optional().describe('File with its bearer token, at least 32 characters (exactly one of `tokenFile` and `certificate`)'),
  certificate: z.strictObject(mtlsWords).optional().describe('Names of its client certificate; needs a listener that serves `decisions` with `tls.clients`'),
  may: list(z.enum(PEP_MAY), 2).prefault(['evaluate']).describe('`evaluate` asks about what it names, `search` also what there is'),
  routes: list(name(), 256).optional().describe('Asks about these routes alone; default all'),
})

const TYPE = /^[\x21-\x7e]{1,128}$/
const type = () => z.string().regex(TYPE, { error: 'expected a type of subjects: 1 to 128 visible characters' })
const values = (most: number, what: string) => z.record(z.string().min(1).max(256), condition()).refine(map => Object.keys(map).length <= most, { error: `must not have more than ${most} ${what}` })

const principal = z.strictObject({
  type: type().describe('Type of the subjects that are such principals; `session` is always a live session, by its id'),
  issuer: z.string().min(1).max(1024).regex(/^[^|]*$/, { error: 'an issuer holds no `|`, which separates it from the subject' }).describe('Who vouches for them: an issuer of a provider'),
  kind: z.enum(PRINCIPAL_KINDS).prefault('service').describe('What they are'),
  subject: condition().prefault('body.subject.id').describe('Who it is, a text in CEL over `body`, the question'),
  tenant: condition().optional().describe('Its tenant, likewise'),
  client: condition().optional().describe('Its client, likewise'),
  claims: values(64, 'claims').prefault({}).describe('What conditions read of it: by name, a value in CEL over `body`; one that cannot be read is not there'),
})

const question = z.strictObject({
  name: name().optional().describe('What records call it; default its position'),
  when: condition().optional().describe('Which questions it reads: a condition over `body`, the question with its `subject`, `action`, `resource` and `context`. The first that holds does; default all'),
  method: condition().describe('The method of the request that is meant, a text in CEL over `body`, such as `"GET"` or `body.action.name`'),
  url: condition().describe('Its whole address, likewise, such as `"https://api.example" + body.resource.id`'),
  source: condition().optional().describe('Where it comes from, an address, likewise; default unknown'),
  headers: z.record(headerName(), condition()).refine(map => Object.keys(map).length <= 32, { error: 'must not have more than 32 entries' }).prefault({}).describe('Its header fields, likewise, by name: what conditions and purposes read'),
  body: condition().optional().describe('Its body, a value in CEL over `body`: what rules with `inspect` read, which are refused without it'),
  actions: list(z.string().min(1).max(128), 64).optional().describe('Names that a search for actions tries; default the common methods'),
})

/** Proxies that ask about each request; each tells of it in its own way. */
export const FORWARD_PROXIES = ['nginx', 'traefik', 'envoy'] as const

const forwardAuth = z.strictObject({
  from: list(z.enum(FORWARD_PROXIES), FORWARD_PROXIES.length).describe('Which proxies ask, each at `/forward-auth/<name>`: `nginx` (`auth_request`), `traefik` (ForwardAuth), `envoy` (HTTP `ext_authz`)'),
  peers: list(z.string(), 64).optional().describe('Address blocks from which they ask (at least one of `peers` and `tokenFile`; with both, both have to hold)'),
  tokenFile: filePath().optional().describe('File with a secret, at least 32 characters, that they show in `Narrowgate-Forward-Token`'),
  forwardedCertificates: z.enum(['xfcc', 'client-cert']).optional().describe('The form in which they tell of the certificates of their callers, as of a listener; without it no caller has one'),
  headers: z.strictObject({
    address: headerName().prefault('x-forwarded-for').describe('Where they tell the address of their caller: `X-Forwarded-For`, whose last entry it is, or a header with nothing else in it'),
    upgrade: headerName().optional().describe('Where they tell the protocol that they let their caller switch to, in questions about what they pass upgrades of on, and else take what the caller wrote there away; without it no upgrade is let through'),
    inject: z.boolean().prefault(false).describe('Hands them what `upstreams.*.credential.inject` adds, for the upstream; a proxy that passes it to its callers gives the secret away'),
  }).prefault({}).describe('What they tell, and what they are told'),
})

export const decisions = z.strictObject({
  forwardAuth: forwardAuth.optional().describe('Forward authentication: other proxies ask about each of their requests, which is then judged, counted and recorded as one of our own'),
  identifier: z.string().max(1024).optional().describe('The identifier of the decision point, an https URL; its endpoints lie below it'),
  peps: list(pep, 64).optional().describe('Who may ask; nobody else is answered'),
  principals: list(principal, 32).optional().describe('Subjects that are no session: judged as a session of theirs that opens now would be'),
  questions: list(question, 64).optional().describe('Which request each question means'),
  perSecond: z.int().min(1).max(100_000).prefault(1000).describe('Decisions for one of `peps` each second; beyond them it is told to wait'),
  evaluationsMax: z.int().min(1).max(1000).prefault(100).describe('Evaluations in one request'),
})
