// The variants of the raw cases about paths and headers, as far as HTTP/2 can say them: the same rules, the same upstream that falls for everything,
// and the case's own oracle, where a stream that the parser resets counts as a refusal. `SEED=… RUNS=…` explores elsewhere.
import fc from 'fast-check'
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { HostileUpstream, isProtected, pathOf } from '../support/hostile-upstream.ts'
import { http2Bytes, http2Exchange } from '../support/http2-exchange.ts'
import { type Field, requestFields } from '../support/http2-frames.ts'
import type { Target } from '../support/raw-client.ts'
import { type Draft, draftOf, dressed, valuesOf, varieties } from '../support/variants.ts'
import { until } from './support.ts'

const SEED = Number(process.env['SEED'] ?? 41)
/** Variants of one case. */
const RUNS = Number(process.env['RUNS'] ?? 20)

type Case = { readonly id: string; readonly class: string; readonly proto: string; readonly title: string; readonly raw_request: string | null; readonly oracle: string }
const CASES = (JSON.parse(readFileSync(new URL('../cases/bypasses.json', import.meta.url), 'utf8')) as { readonly cases: readonly Case[] }).cases // the file's form
/** Their point is a rule of their own, an authorizer outside, or an address that the other file's rules believe. */
const ELSEWHERE = new Set(['PATH-016', 'PATH-018', 'PATH-028', 'PATH-033', 'PATH-041', 'HDR-' + '023', 'HDR-016'])
/** A field that is none: HTTP/2's parser leaves it out and tells nobody, so that the request goes on without it. */
const LEFT_OUT = new Set(['HDR-026', 'HDR-028'])
const RAW = CASES.filter(each => ['path', 'header'].includes(each.class) && each.proto === 'h1' && each.raw_request !== null && !ELSEWHERE.has(each.id))
const VARIETIES = varieties(target => isProtected(pathOf(target)))

let gate: TestGateway
let target: Target
let upstream: HostileUpstream
let token: string

beforeAll(async () => {
  upstream = await HostileUpstream.start()
  gate = await TestGateway.start({
    routes: '',
    config: ({ directory, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", protocols: [http2], serves: [proxy] }
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
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    rules:
      - { allow: { methods: [DELETE], paths: [/public/**] }, scope: admin:all }
      - { allow: { paths: [/admin/**] }, scope: admin:all }
      - { allow: { paths: [/**] }, scope: base:read }
`,
  })
  target = gate.target
  token = await gate.token()
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

/** As HTTP/2 says it: names in small letters, the host as the authority, and nothing in front of or behind a value. */
function fieldsOf(draft: Draft): readonly Field[] {
  const [host = 'api.test'] = valuesOf(draft, 'host')
  const others = draft.fields.filter(({ name }) => name.toLowerCase() !== 'host').map(({ name, value }): Field => [name.toLowerCase(), value])
  return [...requestFields(draft.method, draft.target).filter(([name]) => name !== ':authority'), [':authority', host], ...others]
}

const DENIALS = [400, 401, 403, 404, 405, 421]

async function play({ id, oracle }: Case, draft: Draft): Promise<void> {
  upstream.forget()
  const { status, broken, over, body } = await http2Exchange(target, [http2Bytes(fieldsOf(draft))])
  await until(() => gate.parts.inflight.size === 0, 'no exchange is open')
  expect([upstream.led, upstream.malformed, body.includes(token)]).toEqual([[], [], false])
  expect(upstream.received.flatMap(({ fields }) => fields.filter(([, value]) => /forged/.test(value) || value.includes(token)))).toEqual([])
  expect(upstream.received.flatMap(({ fields }) => fields.filter(([name, value]) => name === '' || value.includes('\0')))).toEqual([])
  if (status === 0) expect(broken !== null || over).toBe(true)
  else if (oracle !== 'STRIP' && !LEFT_OUT.has(id)) expect(DENIALS).toContain(status)
  expect(upstream.received).toHaveLength(status === 200 ? 1 : 0)
}

for (const each of RAW) {
  test(`[WIRE2, WIRE4, WIRE16] ${each.id} over HTTP/2: ${each.title}: ${RUNS} variants (${each.oracle})`, async () => {
    const vary = VARIETIES.get(each.id)
    if (vary === undefined) throw new RangeError(`no varieties of ${each.id}`)
    const drafts = vary(draftOf((each.raw_request ?? '').replaceAll('{{TOK_BASE}}', token))).chain(dressed)
    await fc.assert(fc.asyncProperty(drafts, async draft => {
      await play(each, draft).catch(error => {
        throw new Error(`${JSON.stringify(fieldsOf(draft)).replaceAll(token, '{{TOK_BASE}}')}\n${String(error)}`)
      })
    }), { seed: SEED, numRuns: RUNS, skipEqualValues: true, includeErrorInReport: true, interruptAfterTimeLimit: 45_000, markInterruptAsFailure: true })
  })
}
