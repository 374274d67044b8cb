// News of a session's trust that comes while a request of it waits for something, or that its caller would like to get around. SPEC: OUT5, OUT6, ENF2
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SessionNews } from '../../src/core/signal.ts'
import { instant } from '../../src/core/time.ts'
import { newSignalId } from '../../src/runtime/id.ts'
import { AuthzenPdp, permits, type Reply } from '../support/authzen-pdp.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { until } from './support.ts'

let pdp: AuthzenPdp
let gate: TestGateway

beforeAll(async () => {
  pdp = await AuthzenPdp.start()
  gate = await TestGateway.start({
    more: `pdps: { main: { url: "${pdp.url}", timeout: 5s } }\npurposes: { task: { claim: task, source: manual } }`,
    elevations: 'writer: { adds: [api:write], for: 10m }\noncall: { adds: [api:page], for: 10m, require: subject.claims.role == "admin" }\nown: { adds: [api:own], for: 10m, eligible: subject.claims.role == "admin" }',
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: [/admins/**] }, if: subject.claims.role == "admin", decision: { pdp: main } }
    - { allow: { paths: [/tasks/**] }, decision: { pdp: main } }
    - { allow: { paths: [/own] }, scope: api:own }
    - { allow: {} }`,
  })
})
afterAll(async () => {
  await gate.stop()
  await pdp.close()
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })
const told = async (token: string, news: SessionNews): Promise<void> => {
  const { key } = await gate.session(token)
  const { rejected } = await gate.parts.ledger.applyToSession(key, { ...news, id: newSignalId(), by: 'test', note: '' })
  expect(rejected).toBeNull()
}

test('[OUT5, ENF2] a claim that is taken away while a request waits carries it nowhere', async () => {
  const token = await gate.token({ sub: 'lost-its-role', role: 'admin' })
  expect((await gate.ask('GET', '/admins/a', bearer(token))).status).toBe(200)
  const say = Promise.withResolvers<Reply>()
  pdp.say = () => say.promise
  const before = pdp.asked.length
  const answer: Promise<Answer> = gate.ask('GET', '/admins/late', bearer(token))
  await until(() => pdp.asked.length > before, 'it is asked about')
  await told(token, { kind: 'claims.changed', changes: [{ claim: 'role', value: null, at: instant(Date.now()) }] })
  pdp.say = () => permits()
  say.resolve(permits())
  expect((await answer).json['reason']).toMatch(/^condition_/)
  expect(gate.upstream.requests.filter(({ url }) => url === '/admins/late')).toEqual([])
})

test('[OUT5, ELV1] a claim that was taken away gets its caller no elevation that asks for it', async () => {
  const token = await gate.token({ sub: 'was-on-call', role: 'admin' })
  const asks = async (profile: string): Promise<number> => (await gate.ask('POST', '/.narrowgate/elevations', { ...bearer(token), 'content-type': 'application/json' }, JSON.stringify({ profile }))).status
  const offered = async (): Promise<readonly boolean[]> => [await gate.ask('GET', '/.narrowgate/profiles', bearer(token)), await gate.ask('GET', '/own', bearer(token))].map(({ text }) => text.includes('"own"'))
  expect(await offered()).toEqual([true, true])
  await told(token, { kind: 'claims.changed', changes: [{ claim: 'role', value: null, at: instant(Date.now()) }] })
  expect([await asks('oncall'), await asks('own'), await asks('writer')]).toEqual([403, 403, 201])
  expect(await offered()).toEqual([false, false])
})

test('[OUT5, PUR1] a purpose that was taken out of a token is not shown by it', async () => {
  const token = await gate.token({ sub: 'has-no-task', task: 'T-1' })
  const shown = async (path: string): Promise<unknown> => [(await gate.ask('GET', path, bearer(token))).status, pdp.last.context['purposes']]
  expect(await shown('/tasks/a')).toEqual([200, { task: 'T-1' }])
  await told(token, { kind: 'claims.changed', changes: [{ claim: 'task', value: null, at: instant(Date.now()) }] })
  expect(await shown('/tasks/b')).toEqual([200, {}])
})

test('[OUT6, ADM2] who has to show anew who it is gets nothing more by asking for itself before that', async () => {
  const token = await gate.token({ sub: 'has-to-show' })
  const body = JSON.stringify({ profile: 'writer' })
  const asks = (path: string): Promise<Answer> => gate.ask('POST', `/.narrowgate/${path}`, { ...bearer(token), 'content-type': 'application/json' }, body)
  const first = await asks('elevations')
  expect(first.status).toBe(201)
  await told(token, { kind: 'proof.demanded', demand: { since: instant(Date.now()), because: 'credential-change', by: ['signIn'], all: false } })
  for (const path of ['elevations', `elevations/${String(first.json['id'])}/extend`]) expect([path, (await asks(path)).json['reason']]).toEqual([path, 'step_up_required'])
  expect((await gate.ask('GET', '/.narrowgate/session', bearer(token))).status).toBe(200)
  expect((await gate.ask('POST', `/.narrowgate/elevations/${String(first.json['id'])}/release`, { ...bearer(token), 'content-type': 'application/json' }, '{}')).status).toBe(200)
})
