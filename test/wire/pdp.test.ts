// Requests of rules that ask a policy decision point: what it is asked, and that nothing but its clear yes to this very question lets anything upstream.
// SPEC: PEP1-PEP3, PEP7
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { instant } from '../../src/core/time.ts'
import { AuthzenPdp, denies, permits, type Reply } from '../support/authzen-pdp.ts'
import { freePort } from '../support/free-port.ts'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { pause, until } from './support.ts'

/** Answers that are none, each for a decision point of its own: three failures in a row close it. */
const BAD: readonly (readonly [what: string, outcome: string, reply: (other: string) => Reply])[] = [
  ['500', 'status', () => ({ status: 500, body: { decision: true } })],
  ['201 with a yes', 'status', () => ({ status: 201, body: { decision: true } })],
  ['204', 'status', () => ({ status: 204, body: '' })],
  ['401: it does not take us', 'unauthorized', () => ({ status: 401, body: { decision: true } })],
  ['403: likewise', 'unauthorized', () => ({ status: 403, body: { decision: true } })],
  ['a redirect to one that says yes', 'status', other => ({ status: 307, headers: { location: `${other}/access/v1/evaluation` }, body: { decision: true } })],
  ['nonsense', 'malformed', () => ({ body: 'yes!' })],
  ['nothing', 'malformed', () => ({ body: '' })],
  ['a page', 'malformed', () => ({ headers: { 'content-type': 'text/html' }, body: { decision: true } })],
  ['"true" as a text', 'malformed', () => ({ body: { decision: 'true' } })],
  ['1', 'malformed', () => ({ body: { decision: 1 } })],
  ['null', 'malformed', () => ({ body: { decision: null } })],
  ['no decision', 'malformed', () => ({ body: { context: { decision: true } } })],
  ['a list of it', 'malformed', () => ({ body: [{ decision: true }] })],
  ['a bare true', 'malformed', () => ({ body: 'true' })],
  ['two decisions', 'malformed', () => ({ body: '{"decision":false,"decision":true}' })],
  ['two decisions in two cases', 'malformed', () => ({ body: '{"decision":false,"Decision":true,"decision":true}' })],
  ['a context that is none', 'malformed', () => ({ body: { decision: true, context: ['obligations'] } })],
  ['a content coding', 'malformed', () => ({ headers: { 'content-encoding': 'gzip' }, body: { decision: true } })],
  ['more than a quarter of a MiB', 'malformed', () => ({ body: { decision: true, context: { padding: 'x'.repeat(256 * 1024) } } })],
  ['half an answer', 'timeout', () => ({ headers: { 'content-length': '1000' }, body: '{"decision":true}' })],
  ['silence', 'timeout', () => 'silent'],
  ['a reset', 'unreachable', () => 'reset'],
]

let pdp: AuthzenPdp
let other: AuthzenPdp
let gate: TestGateway
let nowhere = 0

const bad = BAD.map((_, i) => `bad${i}`)
const hostOf = (name: string): string => (name === 'main' ? 'api.test' : `${name}.test`)
const route = (name: string, more = '', rules = '- { allow: {} }'): string => `
- name: ${name}
  match: { host: ${hostOf(name)} }
  upstream: api
  decision: { pdp: ${name}${more} }
  rules:
    ${rules}`

beforeAll(async () => {
  ;[pdp, other, nowhere] = [await AuthzenPdp.start(), await AuthzenPdp.start(), await freePort()]
  gate = await TestGateway.start({
    routes: '', config: ({ directory, upstream, issuer }) => {
      writeFileSync(join(directory, 'pdp.token'), 'token-of-the-gateway\n', { mode: 0o600 })
      const named = ['main', 'tiers', 'watched', 'closing', ...bad].map(name => `  ${name}: { url: "${pdp.url}", tokenFile: ${directory}/pdp.token${name === 'main' || name === 'tiers' || name === 'watched' ? ', timeout: 5s' : ''} }`)
      return `
version: 1
stateDir: ${directory}/state
server: { listeners: [{ name: main, address: "127.0.0.1:0", serves: [proxy, keys] }, { name: admin, address: "127.0.0.1:0", serves: [admin] }, { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }] }
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent, claims: { tenant: org } } }
sessions: { baseline: [{ scopes: [base:read] }] }
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
elevations: { writer: { adds: [api:write], for: 10m }, once: { adds: [api:once], for: 10m, limits: { uses: 1 } } }
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
telemetry: { logs: { level: silent } }
pdps:
${named.join('\n')}
  direct: { url: "${pdp.url}/straight?there", discover: false }
  nowhere: { url: "http://127.0.0.1:${nowhere}" }
routes:${route('main', '', `- { allow: { methods: [POST] }, scope: api:write }
    - { allow: { upgrade: websocket } }
    - { allow: { paths: [/tainting] }, after: { taint: touched } }
    - { allow: { paths: [/once] }, scope: api:once }
    - { allow: { paths: [/kept] }, notAfter: [touched] }
    - { allow: { paths: ["/tidy/{thing}/**"] }, decision: { pdp: main, subject: { properties: { mail: subject.claims.email } }, action: { name: "'look'" }, resource: { type: "'thing'", id: path.thing }, context: { tier: "request.headers['x-tier']", source: "'hidden'" } } }
    - { allow: {} }`)}
${route('tiers', ', context: { tiers: "request.headerValues[\'x-tier\']", joined: "request.headers[\'x-tier\']", roles: "request.queryValues[?\'role\'].orValue([])" }')}
${route('watched').replace('  decision:', '  mode: observe\n  decision:')}
${[...bad, 'closing', 'direct', 'nowhere'].map(name => route(name)).join('\n')}`
    },
  })
})
beforeEach(() => { pdp.say = () => permits() })
afterAll(async () => {
  await gate.stop()
  await Promise.all([pdp.close(), other.close()])
})

let turn = 0
const someone = (claims: object = {}): Promise<string> => gate.token({ sub: `caller-${++turn}`, sid: `caller-${turn}`, org: 'acme', ...claims })
const ask = (host: string, token: string, path = '/things', headers: { readonly [name: string]: string } = {}, method = 'GET'): Promise<Answer> =>
  gate.ask(method, path, { host: hostOf(host), authorization: `Bearer ${token}`, ...headers })

const outcomes = async (name: string): Promise<readonly string[]> => {
  const { text } = await gate.ops('/metrics')
  return text.split('\n').filter(line => line.startsWith('narrowgate_external_decisions_total{') && line.includes(`pdp="${name}"`)).map(line => /outcome="(\w+)"/.exec(line)?.[1] ?? '')
}
const refusalsOf = async (evaluation: unknown) => (await gate.trail()).filter(line => line['kind'] === 'request.refused' && line['evaluation'] === evaluation)

describe('what it is asked', () => {
  test('[PEP1] who asks as what, for what, of what, and what its session may do now; never its credential', async () => {
    const token = await someone({ client_id: 'bot', act: { sub: 'boss' } })
    const elevation = await gate.elevate(token, 'writer')
    const { id: session } = await gate.session(token)
    expect((await ask('main', token, '/orders/7?x=1', { 'narrowgate-ticket': 'T-1', cookie: 'c=secret' })).status).toBe(200)
    const { question, text, headers, path } = pdp.asked.at(-1) ?? { question: pdp.last, text: '', headers: {}, path: '' }
    expect(path).toBe('/access/v1/evaluation')
    expect(headers).toMatchObject({ authorization: 'Bearer token-of-the-gateway', 'content-type': 'application/json' })
    expect(question).toEqual({
      subject: {
        type: 'agent', id: `caller-${turn}`,
        properties: {
          iss: gate.issuer.issuer, tenant: 'acme', client: 'bot', owner: null, act: [`${gate.issuer.issuer}|boss`], session, risk: null, baseline: ['base:read'],
          elevations: [{ id: elevation, profile: 'writer', purpose: {}, until: expect.stringMatching(/^\d{4}-.*Z$/) }],
        },
      },
      action: { name: 'GET', properties: {} },
      resource: { type: 'route', id: '/orders/7', properties: { route: 'main', host: 'api.test', path: '/orders/7', query_digest: expect.stringMatching(/^[\w-]{43}$/) } },
      context: { source: '127.0.0.1', protocol: 'http', purposes: { ticket: 'T-1' }, time: expect.stringMatching(/^\d{4}-.*Z$/), supported_obligations: ['step-up', 'session_termination', 'custom'] },
    })
    expect(text).not.toContain('secret')
    expect(text).not.toContain(token.slice(-20))
  })

  test('[PEP1] what the configuration puts in its place or beside it', async () => {
    expect((await ask('main', await someone({ email: 'a@b.test' }), '/tidy/door/1', { 'x-tier': 'gold' })).status).toBe(200)
    expect(pdp.last).toMatchObject({ subject: { type: 'agent', properties: { mail: 'a@b.test', risk: null } }, action: { name: 'look' }, resource: { type: 'thing', id: 'door' }, context: { tier: 'gold', source: 'hidden' } })
  })

  test('[PEP1] what cannot be said is not asked, and goes nowhere', async () => {
    const [before, questions] = [gate.upstream.requests.length, pdp.asked.length]
    const answer = await ask('main', await someone(), '/tidy/door/1', { 'x-tier': 'gold' })
    expect([answer.status, answer.json['reason']]).toEqual([403, 'condition_error'])
    expect([gate.upstream.requests.length, pdp.asked.length]).toEqual([before, questions])
    expect(await refusalsOf(answer.json['evaluation_id'])).toMatchObject([{ external: { pdp: 'main', outcome: 'unasked' } }])
  })

  test('[PEP1, PEP3] with `discover: false` at the very address, and without its metadata', async () => {
    const looks = pdp.looks
    expect((await ask('direct', await someone())).status).toBe(200)
    expect([pdp.asked.at(-1)?.path, pdp.looks, pdp.last.context]).toEqual(['/straight?there', looks, expect.not.objectContaining({ supported_obligations: expect.anything() })])
  })

  test('[HDR-023, PEP1] all values of a header that comes twice, and of a parameter: a decision on the bad one holds', async () => {
    const token = await someone()
    pdp.say = ({ question: { context: { tiers } } }) => (Array.isArray(tiers) && tiers.includes('internal') ? denies() : permits())
    const client = await RawClient.connect(gate.target)
    const before = gate.upstream.requests.length
    client.push(request('GET', '/public/x?role=user&role=admin', { host: 'tiers.test', authorization: `Bearer ${token}` }).replace('\r\n\r\n', '\r\nX-Tier: ok\r\nX-Tier: internal\r\n\r\n'))
    const { status, body } = await client.response()
    client.close()
    expect([status, body.toString()]).toEqual([403, expect.stringContaining('external_denied')])
    expect(pdp.last.context).toMatchObject({ tiers: ['ok', 'internal'], joined: 'ok, internal', roles: ['user', 'admin'] })
    expect(gate.upstream.requests.length).toBe(before)
    expect((await ask('tiers', token, '/public/x', { 'x-tier': 'ok' })).status).toBe(200)
  })

  test('[PEP2, EXP1] it is explained without it, which is said', async () => {
    const { id: session } = await gate.session(await someone())
    const questions = pdp.asked.length
    const { json } = await gate.admin('POST', '/v1/explain', { session, method: 'GET', url: 'https://api.test/things' })
    expect(json).toMatchObject({ decision: 'permit', assumed: expect.arrayContaining(["the policy decision point 'main' lets it: nobody asks it"]) })
    expect(pdp.asked.length).toBe(questions)
  })

  test('[PEP2] nobody is asked about what is refused here', async () => {
    const questions = pdp.asked.length
    expect((await ask('main', await someone(), '/things', {}, 'POST')).json['reason']).toBe('elevation_required')
    expect(pdp.asked.length).toBe(questions)
  })
})

describe('what it answers', () => {
  test('[PEP2, PEP7] yes and no, under one id, counted and on record', async () => {
    const token = await someone()
    const path = `/seen/${turn}`
    expect((await ask('main', token, path)).status).toBe(200)
    const asked = pdp.asked.at(-1)?.headers['x-request-id']
    expect((await gate.trail()).filter(line => line['kind'] === 'exchange.opened' && line['path'] === path)).toMatchObject([{ external: { pdp: 'main', outcome: 'permit', evaluation: asked } }])
    pdp.say = () => denies()
    const answer = await ask('main', token, path)
    expect([answer.status, answer.json['reason'], answer.json['access_request']]).toEqual([403, 'external_denied', undefined])
    expect(pdp.asked.at(-1)?.headers['x-request-id']).toBe(answer.json['evaluation_id'])
    expect(await refusalsOf(answer.json['evaluation_id'])).toMatchObject([{ external: { pdp: 'main', outcome: 'deny', evaluation: answer.json['evaluation_id'] } }])
    expect(await outcomes('main')).toEqual(expect.arrayContaining(['permit', 'deny']))
    expect((await gate.ops('/metrics')).text).toMatch(/narrowgate_external_decision_seconds_count\{pdp="main"\} [1-9]/)
  })

  test('[PEP2, WIRE17] its no to a WebSocket: no 101, and nothing upstream', async () => {
    pdp.say = () => denies()
    const before = gate.upstream.requests.length
    const client = await RawClient.connect(gate.target)
    client.push(request('GET', '/socket', { authorization: `Bearer ${await someone()}`, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==' }))
    const { status, body } = await client.response()
    client.close()
    expect([status, body.toString(), gate.upstream.requests.length]).toEqual([403, expect.stringContaining('external_denied'), before])
    expect(pdp.last.action).toEqual({ name: 'GET', properties: { upgrade: 'websocket' } })
  })

  test('[PEP2, CND4] what it refuses leaves nothing behind; what it lets leaves its taint, and is asked about again with that', async () => {
    const token = await someone()
    pdp.say = () => denies()
    expect((await ask('main', token, '/tainting')).json['reason']).toBe('external_denied')
    pdp.say = () => permits()
    expect((await ask('main', token, '/kept')).status).toBe(200)
    const questions = pdp.asked.length
    expect((await ask('main', token, '/tainting')).status).toBe(200)
    expect(pdp.asked.length - questions).toBe(2)
    expect((await ask('main', token, '/kept')).json['reason']).toBe('tainted')
  })

  test('[PEP2, LIM1] what it refuses has used nothing up', async () => {
    const token = await someone()
    await gate.elevate(token, 'once')
    pdp.say = () => denies()
    expect((await ask('main', token, '/once')).json['reason']).toBe('external_denied')
    pdp.say = () => permits()
    expect((await ask('main', token, '/once')).json['reason'] ?? 200).toBe(200)
    expect((await ask('main', token, '/once')).json['reason']).toBe('limit_reached')
  })

  test('[PEP2] its no holds on a route that only observes', async () => {
    pdp.say = () => denies()
    const before = gate.upstream.requests.length
    expect((await ask('watched', await someone())).json['reason']).toBe('external_denied')
    expect(gate.upstream.requests.length).toBe(before)
  })

  test.each(BAD.map(([what, outcome], i) => [what, outcome, i] as const))('[FAIL-001, PEP3] %s is no answer: nothing goes upstream, counted as %s and on record', async (_, outcome, i) => {
    const name = bad[i] ?? ''
    pdp.say = () => BAD[i]?.[2](other.url) ?? 'silent'
    const before = gate.upstream.requests.length
    const answer = await ask(name, await someone())
    expect([answer.status, answer.json['reason'], answer.headers['retry-after']]).toEqual([503, 'external_unavailable', '1'])
    expect([gate.upstream.requests.length, other.asked.length]).toEqual([before, 0])
    expect(await outcomes(name)).toEqual([outcome])
    expect(await refusalsOf(answer.json['evaluation_id'])).toMatchObject([{ reason: 'external_unavailable', external: { pdp: name, outcome } }])
    pdp.say = () => permits()
    expect((await ask(name, await someone())).status, 'it answers again').toBe(200)
  })

  test('[FAIL-001, PEP3] one that is not there, and one that comes: its metadata is asked for again', async () => {
    const before = gate.upstream.requests.length
    expect((await ask('nowhere', await someone())).json['reason']).toBe('external_unavailable')
    expect([gate.upstream.requests.length, await outcomes('nowhere')]).toEqual([before, ['metadata']])
    const late = await AuthzenPdp.start(nowhere)
    await pause(300)
    expect((await ask('nowhere', await someone())).status).toBe(200)
    expect((await ask('nowhere', await someone())).status).toBe(200)
    expect([late.looks, late.asked.length]).toEqual([1, 2])
    await late.close()
  })

  test('[PEP3] one that keeps failing is spared for a moment; nothing passes meanwhile, and one question finds out', async () => {
    pdp.say = () => ({ status: 500, body: '' })
    const token = await someone()
    for (let i = 0; i < 3; i++) await ask('closing', token)
    const questions = pdp.asked.length
    pdp.say = () => permits()
    expect((await ask('closing', token)).json['reason']).toBe('external_unavailable')
    expect([pdp.asked.length, await outcomes('closing')]).toEqual([questions, expect.arrayContaining(['circuit'])])
    await pause(2_050)
    expect((await ask('closing', token)).status).toBe(200)
  })
})

describe('metadata', () => {
  const said = async (metadata: object): Promise<readonly unknown[]> => {
    const own = await AuthzenPdp.start()
    own.metadata = metadata as AuthzenPdp['metadata'] // a literal below
    const alone = await TestGateway.start({ more: `pdps: { own: { url: "${own.url}" } }`, routes: route('own') })
    const answer = await alone.ask('GET', '/x', { host: 'own.test', authorization: `Bearer ${await alone.token()}` })
    const [questions, requests] = [own.asked.length, alone.upstream.requests.length]
    await alone.stop()
    await own.close()
    return [answer.status, answer.json['reason'], questions, requests]
  }

  test.each([
    ['of another decision point', { policy_decision_point: 'https://pdp.example' }],
    ['without an endpoint', { access_evaluation_endpoint: undefined }],
    ['with an endpoint that anybody reads on the way', { access_evaluation_endpoint: 'http://pdp.example/access/v1/evaluation' }],
    ['with an endpoint that is no address', { access_evaluation_endpoint: '/access/v1/evaluation' }],
    ['with credentials in it', { access_evaluation_endpoint: 'https://a:b@pdp.example/' }],
  ])('[PEP3] %s is not believed, and nobody is asked', async (_, metadata) => {
    expect(await said(metadata)).toEqual([503, 'external_unavailable', 0, 0])
  })
})

describe('while it is asked', () => {
  /** Answers that wait for the test. */
  function held(): { readonly arrived: (count: number) => Promise<void>; readonly release: (reply?: Reply) => void } {
    const first = pdp.asked.length
    let waiting: ((reply: Reply) => void)[] = []
    pdp.say = () => new Promise(resolve => { waiting.push(resolve) })
    return {
      arrived: count => until(() => pdp.asked.length - first === count, `${count} questions`),
      release: (reply = permits()) => {
        const all = waiting
        waiting = []
        for (const answer of all) answer(reply)
      },
    }
  }
  const news = async (token: string, told: Parameters<TestGateway['parts']['intake']['session']>[1]) => {
    const { key } = await gate.session(token)
    return gate.parts.intake.session(key, told, { by: 'test', note: '', id: null })
  }
  const until2 = (minutes: number) => instant(gate.parts.clock.now() + minutes * 60_000)

  test('[PEP2, ENF2] an end of the session: its yes comes too late, and nothing goes upstream', async () => {
    const token = await someone()
    const { arrived, release } = held()
    const [before, answer] = [gate.upstream.requests.length, ask('main', token)]
    await arrived(1)
    await news(token, { kind: 'session.terminated', reason: 'revoked' })
    release()
    expect(['revoked', 'credential_revoked']).toContain((await answer).json['reason'])
    expect(gate.upstream.requests.length).toBe(before)
  })

  test('[PEP2] what it was asked about changes: asked once more about what is now, and that answer counts', async () => {
    const token = await someone()
    const { arrived, release } = held()
    const answer = ask('main', token)
    await arrived(1)
    await news(token, { kind: 'session.shortened', endsAt: until2(10) })
    release(denies())
    await arrived(2)
    release(permits())
    expect((await answer).status).toBe(200)
    const [first, second] = pdp.asked.slice(-2)
    expect(first?.headers['x-request-id']).not.toBe(second?.headers['x-request-id'])
  })

  test('[PEP2] once more and not again: what keeps changing is refused', async () => {
    const token = await someone()
    const { arrived, release } = held()
    const [before, answer] = [gate.upstream.requests.length, ask('main', token)]
    for (const round of [1, 2]) {
      await arrived(round)
      await news(token, { kind: 'session.shortened', endsAt: until2(10 - round) })
      release()
    }
    expect((await answer).json['reason']).toBe('external_unavailable')
    expect(gate.upstream.requests.length).toBe(before)
    await arrived(2)
  })

  test('[PEP2] the same question of several requests is asked once; another one is another', async () => {
    const token = await someone()
    await gate.session(token)
    const { arrived, release } = held()
    const answers = [ask('main', token), ask('main', token), ask('main', token, '/others'), ask('main', await someone())]
    await arrived(3)
    release()
    expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([200, 200, 200, 200])
    await arrived(3)
  })
})
