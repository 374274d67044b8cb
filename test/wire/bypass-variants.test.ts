// Around each raw case about paths, headers, smuggling and upgrades: generated variants that mean the same, over every carrier, held to the case's own
// oracle, behind rules of which the last lets everything else pass; then trouble without a case, before an upstream that normalises whatever it gets.
// `SEED=… RUNS=…` explores elsewhere.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { BELIEVED, type Fields, foldedName, forgeries, HostileUpstream, isProtected, pathOf, SECRET } from '../support/hostile-upstream.ts'
import { headerOf, RawClient, request, type RawResponse, type Target } from '../support/raw-client.ts'
import { testAuthority } from '../support/tls.ts'
import { bytesOf, type Draft, draftOf, dressed, troubleFields, troublePath, valuesOf, varieties } from '../support/variants.ts'

const SEED = Number(process.env['SEED'] ?? 41)
/** Variants of one case over one carrier. */
const RUNS = Number(process.env['RUNS'] ?? 20)
const TROUBLES = 250 * RUNS

type Oracle = 'DENY' | 'DENY_OR_400' | 'R400' | 'R400_OR_ONE' | 'STRIP' | 'NO101' | 'UPSTREAM502'
type Case = { readonly id: string; readonly class: string; readonly proto: string; readonly title: string; readonly raw_request: string | null; readonly oracle: Oracle }

const CASES = (JSON.parse(readFileSync(new URL('../cases/bypasses.json', import.meta.url), 'utf8')) as { readonly cases: readonly Case[] }).cases // the file's form
const RAW = CASES.filter(each => ['path', 'header', 'smuggling', 'upgrade'].includes(each.class) && each.proto === 'h1' && each.raw_request !== null)
/** Its authorizer outside the gateway does not exist here. */
const OF_LATER = ['HDR-' + '023']
/** Cases whose point is that no other rule lets them pass; the others meet one that would. */
const STRICT = new Set(['PATH-028', 'PATH-033'])
/** An address that a rule believes. */
const LISTED = '192.0.2.7'

const ROUTES = `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: ["/foo/*/bar"] }, anonymous: true }
    - { deny: { paths: [/app1/admin, "/api/datasources/proxy/uid/*/admin"] } }
    - { allow: { methods: [DELETE], paths: [/public/**] }, scope: admin:all }
    - { allow: { paths: [/admin] }, if: 'source.address == "${LISTED}"' }
    - { allow: { paths: [/admin/**] }, scope: admin:all }
    - { allow: { paths: [/**] }, scope: base:read }
- name: strict
  match: { host: strict.test }
  upstream: api
  rules:
    - { allow: { paths: [/admin/**] }, scope: admin:all }
    - { allow: { paths: [/api/**, /config/apps/http/servers/srv0/routes/1] }, scope: base:read }`

let gate: TestGateway
let upstream: HostileUpstream
let token: string
let carriers: readonly Target[]
let sentry: RawClient | null = null

beforeAll(async () => {
  const { issue, ca } = await testAuthority()
  const { certFile, keyFile } = await issue('variants', ['DNS:api.test', 'DNS:strict.test'])
  upstream = await HostileUpstream.start()
  gate = await TestGateway.start({
    routes: '',
    config: ({ directory, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy] }
    - { name: secure, address: "127.0.0.1:0", serves: [proxy], tls: { certFile: ${certFile}, keyFile: ${keyFile} } }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: [{ scopes: [base:read] }]
upstreams:
  api: { url: "${upstream.origin}", timeout: 5s }
telemetry: { logs: { level: silent } }
elevations:
  root: { adds: [admin:all], for: 10m }
routes: ${ROUTES.replaceAll('\n', '\n  ')}
`,
  })
  token = await gate.token()
  carriers = [gate.target, { port: gate.gateway.front.bound.get('secure')?.address.port ?? 0, tls: { ca } }]
})
afterAll(async () => {
  sentry?.close()
  await gate.stop()
  await upstream.close()
})

// ---- what happened

type Outcome = { readonly draft: Draft; readonly answers: readonly RawResponse[]; readonly text: string; readonly closed: boolean }

const SENTINEL = '/public/sentinel'
/** What a connection answers to these bytes: so many answers, or until it is closed. */
async function converse(target: Target, draft: Draft, expected: number): Promise<Outcome> {
  const [host = 'api.test'] = valuesOf(draft, 'host').filter(value => /^(?:api|strict)\.test$/i.test(value))
  const client = await RawClient.connect(target.tls === undefined ? target : { ...target, tls: { ...target.tls, servername: host.toLowerCase() } })
  const answers: RawResponse[] = []
  try {
    await client.send(bytesOf(draft))
    while (answers.length < expected) answers.push(await client.response())
    const last = answers.at(-1)
    const closes = last !== undefined && headerOf(last, 'connection') === 'close'
    if (closes) await client.ended
    return { draft, answers, text: client.bytes().toString('latin1'), closed: closes }
  } finally {
    client.close()
  }
}

/** A request that goes through shows that everything before it has arrived, or never will. */
async function sentinel(): Promise<void> {
  sentry ??= await RawClient.connect(gate.target)
  await sentry.send(request('GET', SENTINEL, { authorization: `Bearer ${token}` }))
  expect((await sentry.response()).status).toBe(200)
  while (gate.parts.inflight.size > 0) await new Promise(resolve => setTimeout(resolve, 2))
}

const seen = () => upstream.received.filter(({ url }) => url !== SENTINEL)
const last = ({ answers }: Outcome): RawResponse => {
  const answer = answers.at(-1)
  if (answer === undefined) throw new Error('no answer')
  return answer
}

// ---- the oracles

const DENIALS = [401, 403, 404, 405, 421]

/** Nothing of the caller's secret, nothing of the inside; a reason that can be read. */
function readable({ text }: Outcome, answer: RawResponse): void {
  expect([answer.complete, headerOf(answer, 'content-type')]).toEqual([true, 'application/problem+json'])
  const body = JSON.parse(answer.body.toString('utf8')) as { readonly status: unknown; readonly reason: unknown; readonly type: unknown }
  expect([body.status, body.type]).toEqual([answer.status, `urn:narrowgate:reason:${String(body.reason)}`])
  for (const inside of [token, String(upstream.port)]) expect(text).not.toContain(inside)
}

function denied(outcome: Outcome, statuses: readonly number[]): void {
  const answer = last(outcome)
  expect(statuses).toContain(answer.status)
  readable(outcome, answer)
  expect(seen().map(({ url }) => url)).toEqual(['/public/x'].slice(0, outcome.answers.length - 1))
}

function refusedAndClosed(outcome: Outcome): void {
  const answer = last(outcome)
  expect([outcome.answers.length, Math.floor(answer.status / 100), outcome.closed], String(answer.status)).toEqual([1, 4, true])
  readable(outcome, answer)
  expect(outcome.text.match(/HTTP\/1\.1 /g)).toHaveLength(1)
  expect(seen()).toEqual([])
}

/** One request with framing of the gateway's own, and no byte behind it. */
function oneWellFramed(): void {
  const [received, ...others] = seen()
  expect(others).toEqual([])
  const framing = received?.fields.filter(([name]) => /^(?:content-length|transfer-encoding)$/i.test(name)) ?? []
  expect(framing).toHaveLength(1)
  if (framing[0]?.[0].toLowerCase() === 'transfer-encoding') expect(framing[0][1]).toBe('chunked')
  expect(['', 'ok']).toContain(received?.body)
}

/** Names that mean nothing, and so may reach an upstream with the caller's value. */
const HARMLESS = new Set(['host', 'cookie', 'content-length', 'connection', 'transfer-encoding', 'user-agent'])

function stripped({ draft, text }: Outcome): void {
  expect(seen().length).toBeLessThanOrEqual(1)
  expect(text).not.toContain(token)
  for (const { fields, trailers, body } of seen()) {
    const brought = draft.fields.filter(({ name, added }) => !added && !HARMLESS.has(foldedName(name)))
    expect(fields.filter(([name, value]) => brought.some(own => foldedName(own.name) === foldedName(name) && own.value.trim() === value))).toEqual([])
    expect(fields.filter(([name, value]) => /forged/.test(value) || value.includes(token) || /override|^x-(?:original|rewrite)|^x-http-method/i.test(foldedName(name)))).toEqual([])
    expect(forgeries(fields)).toEqual([])
    expect(fields.filter(([name]) => /^(?:x-forwarded-|narrowgate-)/.test(foldedName(name))).map(([name]) => name.toLowerCase()).toSorted()).toEqual(['narrowgate-context',
      'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto'])
    expect(fields.filter(([name]) => name.toLowerCase() === 'cookie').map(([, value]) => value)).toEqual(valuesOf(draft, 'cookie'))
    expect([trailers, body.replace(/^(?:ok|abc)$/, '')]).toEqual([[], ''])
  }
}

function nothingSwitched({ answers, text }: Outcome): void {
  expect(answers.map(({ status }) => status).filter(status => status !== 200 && !DENIALS.includes(status) && status !== 400)).toEqual([])
  expect(text).not.toMatch(/^HTTP\/1\.1 101/m)
  expect(seen().flatMap(({ fields }) => fields.filter(([name]) => /^(?:upgrade|http2-settings)$/i.test(name)))).toEqual([])
}

const ORACLES: { readonly [O in Oracle]: (outcome: Outcome) => void } = {
  DENY: outcome => denied(outcome, DENIALS),
  DENY_OR_400: outcome => denied(outcome, [...DENIALS, 400]),
  R400: refusedAndClosed,
  R400_OR_ONE: outcome => (last(outcome).status >= 400 ? refusedAndClosed(outcome) : oneWellFramed()),
  STRIP: stripped,
  NO101: nothingSwitched,
  UPSTREAM502: outcome => denied(outcome, [...DENIALS, 502]), // no rule names the upgrade here: it is not "a GET"
}

// ---- the cases

const endangers = (target: string): boolean => isProtected(pathOf(target))
const VARIETIES = varieties(endangers)

function variantsOf({ id, raw_request }: Case): fc.Arbitrary<Draft> {
  const vary = VARIETIES.get(id)
  if (vary === undefined) throw new RangeError(`no varieties of ${id}`)
  const raw = (raw_request ?? '').replaceAll('{{TOK_BASE}}', token).replaceAll('127.0.0.1', LISTED)
  return vary(draftOf(STRICT.has(id) ? raw.replaceAll('api.test', 'strict.test') : raw)).chain(dressed)
}

async function play(each: Case, target: Target, draft: Draft): Promise<void> {
  upstream.forget()
  const outcome = await converse(target, draft, each.id === 'SMG-031' ? 2 : 1)
  await sentinel()
  ORACLES[each.oracle](outcome)
  expect(upstream.led).toEqual([])
}

/** With the bytes of what failed, small as it can be made, and the seed. */
const hold = (each: Case, target: Target): Promise<void> => fc.assert(fc.asyncProperty(variantsOf(each), async draft => {
  await play(each, target, draft).catch(error => {
    throw new Error(`${JSON.stringify(bytesOf(draft).replaceAll(token, '{{TOK_BASE}}'))}\n${String(error)}`)
  })
}), { seed: SEED, numRuns: RUNS, skipEqualValues: true, includeErrorInReport: true, interruptAfterTimeLimit: 45_000, markInterruptAsFailure: true })

for (const [i, carrier] of ['TCP', 'TLS'].entries()) {
  describe(`over ${carrier}`, () => {
    for (const each of RAW.filter(({ id }) => !OF_LATER.includes(id))) {
      test(`[WIRE2, WIRE3, WIRE4] ${each.id}: ${each.title}: ${RUNS} variants (${each.oracle})`, () => hold(each, carriers[i] ?? { port: 0 }))
    }
  })
}

test('[WIRE2] no raw case of these classes is left out', () => {
  expect(RAW.map(({ id }) => id).filter(id => !VARIETIES.has(id))).toEqual(OF_LATER)
  expect([...VARIETIES.keys()].filter(id => !RAW.some(each => each.id === id))).toEqual([])
})

test('[WIRE2] without a gateway between, every kind of variant meets an upstream that falls for it', async () => {
  for (const id of ['PATH-001', 'PATH-018', 'PATH-031', 'HDR-001', 'HDR-018', 'HDR-031', 'PATH-046', 'SMG-023', 'SMG-031', 'UPG-001']) {
    const each = RAW.find(known => known.id === id)
    if (each !== undefined) await expect(hold(each, { port: upstream.port }), id).rejects.toThrow(/AssertionError/)
  }
})

// ---- trouble that is no case

type Trouble = { readonly method: string; readonly path: string; readonly fields: Fields }
type Told = { readonly trouble: Trouble; readonly bytes: string; readonly status: number; readonly secret: boolean }

const troubles = fc.record<Trouble>({ method: fc.constantFrom('GET', 'GET', 'POST', 'PUT'), path: fc.oneof({ weight: 3, arbitrary: troublePath }, fc.constantFrom('/public/x',
  '/')), fields: troubleFields(BELIEVED) })

/** Asks for all of them over so many connections at once, each made anew when it was closed. */
async function tell(asked: readonly Trouble[], targets: readonly Target[], authorization: string): Promise<readonly Told[]> {
  const told: Told[] = []
  const waiting = asked.values()
  await Promise.all(Array.from({ length: 16 }, async (_, i) => {
    let client: RawClient | null = null
    for (const trouble of waiting) {
      const lines = [['Host', 'api.test'], ['Authorization', authorization], ...trouble.fields].map(([name, value]) => `${name}: ${value}\r\n`)
      const bytes = `${trouble.method} ${trouble.path} HTTP/1.1\r\n${lines.join('')}\r\n`
      client ??= await RawClient.connect(targets[i % targets.length] ?? { port: 0 })
      await client.send(bytes)
      const answer: RawResponse | null = await client.response().catch(() => null)
      told.push({ trouble, bytes, status: answer?.status ?? 0, secret: answer?.body.includes(SECRET) ?? false })
      if (answer !== null && headerOf(answer, 'connection') !== 'close') continue
      client.close()
      client = null
    }
    client?.close()
  }))
  return told
}

test(`[WIRE1, WIRE2, WIRE4] an upstream that normalises whatever it gets is never led to serve a protected path or a forged header (${TROUBLES} requests)`, async () => {
  upstream.forget()
  const asked = fc.sample(troubles, { seed: SEED, numRuns: TROUBLES })
  const told = await tell(asked, carriers, `Bearer ${token}`)
  const context = `SEED=${SEED}`
  expect(upstream.led.map(({ method, url, served }) => ({ method, url, served })), context).toEqual([])
  expect(upstream.malformed, context).toEqual([])
  const wrong = told.filter(({ secret, status, trouble }) => secret || status === 0 || status >= 500 || (status < 400 && endangers(trouble.path)))
  expect(wrong.map(({ bytes, status }) => ({ bytes: bytes.replace(token, '{{TOK_BASE}}'), status })), context).toEqual([])
  expect(told).toHaveLength(TROUBLES)
  const passed = told.filter(({ status }) => status === 200)
  expect(passed.length, 'requests that went through').toBeGreaterThan(TROUBLES / 10)
  expect(passed.filter(({ trouble }) => trouble.fields.some(([, value]) => value.includes('forged'))).length, 'forgeries that were dropped').toBeGreaterThan(TROUBLES / 50)
  expect(told.filter(({ trouble }) => endangers(trouble.path)).length, 'paths of trouble').toBeGreaterThan(TROUBLES / 4)
  expect(upstream.received.length).toBe(passed.length)
}, 120_000)

test('[WIRE1, WIRE2] the same upstream, asked by nobody in between, serves what it should not; and what it protects is there for who has the right', async () => {
  upstream.forget()
  const told = await tell(fc.sample(troubles, { seed: SEED, numRuns: 300 }), [{ port: upstream.port }], 'Basic x')
  expect(told.filter(({ secret }) => secret).length).toBeGreaterThan(100)
  const elevated = await gate.token({ sub: 'operator' })
  expect((await gate.ask('GET', '/admin/x', { authorization: `Bearer ${elevated}` })).status).toBe(403)
  await gate.elevate(elevated, 'root')
  expect((await gate.ask('GET', '/admin/x', { authorization: `Bearer ${elevated}` })).text).toBe(SECRET)
})
