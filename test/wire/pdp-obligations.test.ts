// What a policy decision point asks for beside its answer: done before the answer counts, also beside a no; and whatever is not known, not well said or cannot
// be done makes a no of a yes. What may lift its no is relayed. SPEC: PEP5, PEP6
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { AuthzenPdp, denies, permits, type Reply } from '../support/authzen-pdp.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { seconds } from '../support/possession.ts'
import { exchangesOf, takeOff, TapUpstream, until } from './support.ts'

let pdp: AuthzenPdp
let upstream: TapUpstream
let gate: TestGateway
/** What people were told. */
const notices: { readonly type: string; readonly data: Record<string, unknown> }[] = []
const people = createServer((message, answer) => {
  let text = ''
  message.on('data', chunk => { text += String(chunk) }).on('end', () => {
    notices.push(JSON.parse(text) as (typeof notices)[number]) // as the gateway writes it
    answer.end()
  })
})

beforeAll(async () => {
  people.listen(0, '127.0.0.1')
  await once(people, 'listening')
  ;[pdp, upstream] = await Promise.all([AuthzenPdp.start(), TapUpstream.start()])
  gate = await TestGateway.start({
    routes: '', config: ({ directory, issuer }) => {
      writeFileSync(join(directory, 'secret'), `whsec_${Buffer.alloc(32, 7).toString('base64')}\n`, { mode: 0o600 })
      return `
version: 1
stateDir: ${directory}/state
server: { listeners: [{ name: main, address: "127.0.0.1:0", serves: [proxy, keys] }, { name: admin, address: "127.0.0.1:0", serves: [admin] }, { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: person } }
sessions: { baseline: [{ scopes: [base:use, other:use] }] }
elevations: { long: { adds: [extra:use], for: 10m } }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
notify: { desk: { webhook: { url: "http://127.0.0.1:${(people.address() as AddressInfo).port}/", secretFile: ${directory}/secret } } }
risk: { stepUp: { onDeny: refuse } }
telemetry: { logs: { level: silent } }
pdps: { main: { url: "${pdp.url}", timeout: 5s } }
routes:
  - name: api
    match: { host: api.test }
    upstream: api
    decision: { pdp: main, for: 1m }
    rules:
      - { allow: { paths: ["/*/extra"] }, scope: extra:use }
      - { allow: { paths: ["/*/told"] }, scope: base:use, decision: { pdp: main, obligations: { notify: [desk] } } }
      - { allow: { paths: ["/*/base"] }, scope: base:use }
  - { name: watched, match: { host: watched.test }, upstream: api, mode: observe, rules: [{ allow: {}, decision: { pdp: main } }] }
`
    },
  })
})
beforeEach(() => { pdp.say = () => permits() })
afterAll(async () => {
  await gate.stop()
  people.close()
  people.closeAllConnections()
  await Promise.all([pdp.close(), upstream.close()])
})

let turn = 0
type Caller = { readonly name: string; readonly token: string }
async function someone(): Promise<Caller> {
  const name = `caller-${++turn}`
  return { name, token: await gate.token({ sub: name, sid: name, iat: seconds(-100), exp: seconds(600) }) }
}

/** Answered at once when it gets through. */
async function ask(token: string, place = 'base', host = 'api.test'): Promise<Answer> {
  const path = `/q${++turn}/${place}`
  let answered = false
  const answer = gate.ask('GET', path, { host, authorization: `Bearer ${token}` }).finally(() => (answered = true))
  await until(() => answered || upstream.taps.has(path), `an outcome of ${path}`)
  upstream.taps.get(path)?.answer.end('ok')
  return answer
}
const outcome = async (token: string, place = 'base'): Promise<unknown> => {
  const { status, json } = await ask(token, place)
  return status === 200 ? 200 : json['reason']
}
const obliged = (decision: boolean, ...obligations: readonly unknown[]): Reply => (decision ? permits({ obligations }) : denies({ obligations }))
const own = (properties: object): object => ({ id: '1', type: 'custom', properties: { vendor: 'narrowgate', ...properties } })
const recordOf = async ({ token }: Caller) => gate.parts.mirror.known((await gate.session(token)).key)?.record

describe('of the session', () => {
  test.each([true, false])('[PEP5] its end, with decision %s: everything of it is cut, and nothing more is let', async decision => {
    const caller = await someone()
    const flight = await takeOff(gate, upstream, 'download', 'base', caller.token)
    const { id } = await gate.session(caller.token)
    pdp.say = () => obliged(decision, { id: 'a', type: 'session_termination', properties: { subject: { type: 'person', id: caller.name } } })
    expect((await ask(caller.token)).status).toBeGreaterThanOrEqual(401)
    expect([await flight.ended, exchangesOf(gate, id).length]).toEqual(['reset', 0])
    pdp.say = () => permits()
    expect(await outcome(caller.token)).toBe('credential_revoked')
  })

  test('[PEP5] narrower, shorter: in force before the request that brought it goes upstream, and that one is judged by it', async () => {
    const caller = await someone()
    await gate.elevate(caller.token, 'long')
    pdp.say = () => obliged(true, own({ action: 'narrow', to: ['base:use'] }), own({ action: 'shorten', to: '5m' }))
    expect(await outcome(caller.token, 'extra')).toBe('narrowed')
    const record = await recordOf(caller)
    expect(record?.cap).toEqual({ is: 'scopes', scopes: ['base:use'] })
    expect((record?.endsAt ?? 0) - gate.parts.clock.now()).toBeLessThanOrEqual(300_000)
    const [version, questions] = [record?.version, pdp.asked.length]
    expect(await outcome(caller.token)).toBe(200)
    expect([(await recordOf(caller))?.version, pdp.asked.length]).toEqual([version, questions + 1])
    expect((await gate.trail()).filter(line => JSON.stringify(line['fact'] ?? {}).includes('"pdp:main"') && JSON.stringify(line).includes(String(record?.key)))).toHaveLength(2)
  })

  test('[PEP5] a freeze holds what is open, and refuses what comes', async () => {
    const caller = await someone()
    const flight = await takeOff(gate, upstream, 'sse', 'base', caller.token)
    const { id } = await gate.session(caller.token)
    pdp.say = () => obliged(true, own({ action: 'freeze', for: '1h' }))
    expect(await outcome(caller.token)).toBe('frozen')
    expect(exchangesOf(gate, id).map(({ state, reason }) => [state, reason])).toEqual([['frozen', 'frozen']])
    flight.client.close()
  })
})

describe('people', () => {
  test('[PEP5] are told by the channels of the rule, with a no as well as with a yes', async () => {
    const caller = await someone()
    for (const decision of [true, false]) {
      const before = notices.length
      pdp.say = () => obliged(decision, { id: 'n', type: 'notification', properties: { to: 'soc@corp.test', body: `look at\n${caller.name}`, topic: 'odd' } })
      expect(await outcome(caller.token, 'told')).toBe(decision ? 200 : 'external_denied')
      await until(() => notices.length === before + 1, 'a notice')
      expect(JSON.stringify(notices.at(-1))).toContain('decision.notification')
      expect(JSON.stringify(notices.at(-1))).toContain('soc@corp.test')
    }
    expect(pdp.last.context['supported_obligations']).toEqual(['step-up', 'notification', 'session_termination', 'custom'])
  })

  test('[PEP5] who cannot be told of anything makes a no of it', async () => {
    pdp.say = () => obliged(true, { id: 'n', type: 'notification', properties: { to: 'soc@corp.test', body: 'look' } })
    expect(await outcome((await someone()).token)).toBe('obligation_unmet')
    expect(pdp.last.context['supported_obligations']).toEqual(['step-up', 'session_termination', 'custom'])
  })
})

describe('what is not known or cannot be done', () => {
  test.each<readonly [string, unknown]>([
    ['an unknown kind', [{ id: '1', type: 'encrypt', properties: {} }]],
    ['no kind', [{ id: '1' }]],
    ['a text for a list', 'step-up'],
    ['null for a list', null],
    ['a text for an obligation', ['step-up']],
    ['properties that are none', [{ id: '1', type: 'session_termination', properties: [] }]],
    ['another vendor', [{ id: '1', type: 'custom', properties: { vendor: 'other', action: 'narrow' } }]],
    ['no vendor', [{ id: '1', type: 'custom', properties: { action: 'narrow' } }]],
    ['an action that is not ours', [own({ action: 'redact', fields: ['a'] })]],
    ['a member that is not read', [own({ action: 'narrow', until: '5m' })]],
    ['a length that is none', [own({ action: 'shorten', to: 'soon' })]],
    ['no length', [own({ action: 'shorten' })]],
    ['scopes that are none', [own({ action: 'narrow', to: [] })]],
    ['somebody else’s session', [{ id: '1', type: 'session_termination', properties: { subject: { type: 'person', id: 'boss' } } }]],
    ['a sign-in that is no text', [{ id: '1', type: 'step-up', properties: { acr_value: ['gold'] } }]],
    ['a method of sign-in that nobody can be asked for', [{ id: '1', type: 'step-up', properties: { acr_value: 'gold', amr_values: ['hwk'] } }]],
    ['two sign-ins at once', [{ id: '1', type: 'step-up', properties: { acr_value: 'gold' } }, { id: '2', type: 'step-up', properties: { acr_value: 'silver' } }]],
    ['more than are read', Array.from({ length: 17 }, (_, i) => ({ id: String(i), type: 'session_termination', properties: { subject: 'nobody' } }))],
  ])('[PEP5] %s beside a yes is a no', async (_, obligations) => {
    const before = upstream.taps.size
    pdp.say = () => permits({ obligations })
    const answer = await ask((await someone()).token)
    expect([answer.status, answer.json['reason'], upstream.taps.size]).toEqual([403, 'obligation_unmet', before])
  })

  test('[PEP5] leaves the others done', async () => {
    const caller = await someone()
    pdp.say = () => obliged(true, { id: '1', type: 'encrypt', properties: {} }, own({ action: 'narrow' }))
    expect(await outcome(caller.token)).toBe('obligation_unmet')
    expect((await recordOf(caller))?.cap).toEqual({ is: 'baseline', scopes: null })
  })
})

describe('a sign-in', () => {
  const stepUp = { id: 's', type: 'step-up', properties: { acr_value: 'gold' } }
  const again = (name: string, claims: object): Promise<string> => gate.token({ sub: name, sid: name, iat: seconds(), exp: seconds(900), auth_time: seconds(2), ...claims })

  test.each([true, false])('[PEP5, STU1] that it wants to see is asked for, with decision %s, until it is shown', async decision => {
    const caller = await someone()
    pdp.say = () => obliged(decision, stepUp)
    const answer = await ask(caller.token)
    expect([answer.status, answer.json['reason']]).toEqual([401, 'step_up_required'])
    expect(answer.headers['www-authenticate']).toEqual(expect.stringMatching(/insufficient_user_authentication.*acr_values="gold"/))
    expect(await outcome(await again(caller.name, { acr: 'silver' }))).toBe('step_up_required')
    const shown = await again(caller.name, { acr: 'gold', jti: `${caller.name}-gold` })
    expect(await outcome(shown)).toBe(decision ? 200 : 'external_denied')
    expect(await outcome(shown)).toBe(decision ? 200 : 'external_denied')
  })

  test('[PEP5] is asked for on a route that only observes, and its no there holds as well', async () => {
    const caller = await someone()
    const before = upstream.taps.size
    pdp.say = () => obliged(false, stepUp)
    expect((await ask(caller.token, 'any', 'watched.test')).json['reason']).toBe('step_up_required')
    expect(upstream.taps.size).toBe(before)
  })
})

describe('a no that may be lifted', () => {
  const expires = new Date(Date.now() + 3_600_000).toISOString()
  const relayed = async (context: object): Promise<unknown> => {
    pdp.say = () => denies(context as Record<string, unknown>) // a literal below
    const { json } = await ask((await someone()).token)
    expect(json['reason']).toBe('external_denied')
    return json['access_request']
  }

  test('[PEP6] is told with where and how, in the member names of the profile', async () => {
    const told = { endpoint: 'https://grants.example/requests', template: 'prod-read', expires_at: expires, binding_token: 'abc.def', form_url: 'https://grants.example/form' }
    expect(await relayed({ evaluation_id: 'e-1', evaluated_at: '2026-11-22T10:00:00Z', reason: 'approval_required', access_request: told })).toEqual({ ...told, evaluation_id: 'e-1', evaluated_at: '2026-11-22T10:00:00.000Z', reason: 'approval_required' })
  })

  test('[PEP6] with nothing in it that is not plain, short and https', async () => {
    const access = { endpoint: 'https://grants.example/requests', template: '<script>', expires_at: expires, binding_token: 'a b', form_url: 'javascript:alert(1)', request_schema_url: 'http://grants.example/', request_catalogs_url: 'https://a:b@grants.example/', display: { text: 'x' } }
    expect(await relayed({ evaluation_id: 'e\n1', reason: 'x'.repeat(201), reason_user: 'hello', access_request: access })).toEqual({ endpoint: access.endpoint, expires_at: expires, evaluation_id: expect.stringMatching(/^eval_/) })
  })

  test.each([
    ['in clear text', { endpoint: 'http://grants.example/requests', expires_at: expires }],
    ['over', { endpoint: 'https://grants.example/requests', expires_at: '2020-01-01T00:00:00Z' }],
    ['without an end', { endpoint: 'https://grants.example/requests' }],
    ['nowhere', { expires_at: expires }],
    ['no object', ['https://grants.example/requests']],
  ])('[PEP6] %s: nothing of it is told', async (_, access) => {
    expect(await relayed({ access_request: access })).toBeUndefined()
  })
})
