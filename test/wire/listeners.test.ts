// What each listener answers and what none but it does; and a drain: nothing new, time for what is open, then the end of the rest. SPEC: ADM9
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { trailFiles } from '../../src/audit/tail.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import { planFor, type Tap, TapUpstream, until } from './support.ts'

const DELAY = 400
const TIMEOUT = 1_200
const SOON = 2_000
let upstream: TapUpstream
let gate: TestGateway
beforeEach(async () => { upstream = await TapUpstream.start() })
afterEach(async () => {
  await gate.stop()
  await upstream.close()
})

describe('each listener', () => {
  const SERVICES = ['proxy', 'keys', 'admin', 'health', 'metrics'] as const
  const config = ({ directory, issuer }: { readonly directory: string; readonly issuer: { readonly issuer: string } }): string => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
${SERVICES.map(service => `    - { name: ${service}, address: "127.0.0.1:0", serves: [${service}] }`).join('\n')}
authn: { login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent } }
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test, path: /api/** }
    upstream: "${upstream.origin}"
    rules: [{ allow: {} }]
`
  const ANSWERS: readonly (readonly [path: string, by: readonly (typeof SERVICES)[number][]])[] = [
    ['/api/x', ['proxy']],
    ['/.narrowgate/session', ['proxy']],
    ['/.narrowgate/jwks.json', ['keys']],
    ['/.well-known/jwks.json', ['keys']],
    ['/v1/sessions', ['admin']],
    ['/livez', ['admin', 'health']],
    ['/readyz', ['admin', 'health']],
    ['/metrics', ['admin', 'metrics']],
    ['/', []],
  ]

  test('[ADM9] answers what it is configured for and nothing else, whatever is shown', async () => {
    gate = await TestGateway.start({ routes: '', config })
    const caller = await gate.token()
    const found: [string, string[]][] = []
    for (const [path] of ANSWERS) {
      const by: string[] = []
      for (const listener of SERVICES) {
        const port = gate.gateway.front.bound.get(listener)?.address.port ?? 0
        const bearer = listener === 'admin' ? gate.adminToken : caller
        const answer = requestOnce({ port }, request('GET', path, { host: listener === 'admin' ? '127.0.0.1' : 'api.test', authorization: `Bearer ${bearer}` }))
        if (path === '/api/x' && listener === 'proxy') (await upstream.tap(path)).answer.end('ok')
        const { status } = await answer
        if (status === 200) by.push(listener)
        else expect([listener, path, status]).toEqual([listener, path, 404])
      }
      found.push([path, by])
    }
    expect(found).toEqual(ANSWERS)
    expect([...upstream.taps.keys()]).toEqual(['/api/x'])
  })
})

describe('a drain', () => {
  const drained = (): Promise<TestGateway> => TestGateway.start(planFor(upstream, { server: `drain: { delay: ${DELAY}ms, timeout: ${TIMEOUT}ms }` }))

  async function open(path: string, token: string): Promise<{ readonly client: RawClient; readonly tap: Tap }> {
    const client = await RawClient.connect(gate.target)
    client.push(request('GET', path, { authorization: `Bearer ${token}` }))
    const tap = await upstream.tap(path)
    tap.begin(null)
    await client.head()
    tap.send(1_000)
    await client.until(() => client.bodyBytes === 1_000)
    return { client, tap }
  }

  test('[ADM9] is told at once, then takes nothing new, lets what is open finish for a while, and ends the rest; sessions stay', async () => {
    gate = await drained()
    const token = await gate.token()
    await gate.session(token)
    const [finishing, staying, kept] = [await open('/finishing/base', token), await open('/staying/base', token), await open('/kept/base', token)]
    kept.tap.answer.end()
    expect((await kept.client.response()).complete).toBe(true)
    const started = performance.now()
    const closed = gate.gateway.close('test')

    const ready = await gate.ops('/readyz')
    expect([ready.status, ready.json['checks']]).toEqual([503, expect.objectContaining({ gateway: 'draining' })])
    const between = gate.ask('GET', '/between/base', { authorization: `Bearer ${token}` })
    const last = await upstream.tap('/between/base')
    last.answer.end('ok')
    expect((await between).status).toBe(200)

    let refused = false
    while (!refused) refused = await RawClient.connect(gate.target).then(client => (client.close(), new Promise(resolve => setTimeout(resolve, 20, false))), () => true)
    expect(performance.now() - started).toBeGreaterThanOrEqual(DELAY - 20)
    staying.tap.send(1_000)
    await staying.client.until(() => staying.client.bodyBytes === 2_000)
    finishing.tap.send(500)
    finishing.tap.answer.end()
    const { complete, body } = await finishing.client.response()
    expect([complete, body.length]).toEqual([true, 1_500])
    finishing.client.push(request('GET', '/new/base', { authorization: `Bearer ${token}` }))
    await finishing.client.response().then(({ status }) => expect(status).toBe(503), () => undefined) // or its connection is closed already
    expect(upstream.taps.has('/new/base')).toBe(false)

    expect(await staying.client.ended).toBe('reset')
    const took = performance.now() - started
    expect([took >= DELAY + TIMEOUT - 100, took < DELAY + TIMEOUT + SOON]).toEqual([true, true])
    await until(() => staying.tap.abortedAt > 0, 'the upstream to see the end')
    await closed
    const lines = trailFiles(gate.trailFile).flatMap(file => readFileSync(file, 'utf8').trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>)) // as the trail writes them
    expect(lines.filter(({ kind }) => kind === 'exchange.cut').map(({ reason }) => reason)).toEqual(['drained'])
    expect(lines.filter(({ kind }) => kind === 'exchange.closed').map(({ complete: whole }) => whole)).toEqual([true, true, true, false])
    expect(lines.flatMap(({ fact }) => (fact === undefined ? [] : [(fact as { readonly what: string }).what]))).toEqual(['session.opened']) // likewise
    expect(lines.at(-1)?.['kind']).toBe('gateway.stopped')
  })

  test('[ADM9] is over as soon as nothing is open', async () => {
    gate = await drained()
    const token = await gate.token()
    const held = await open('/held/base', token)
    const started = performance.now()
    const closed = gate.gateway.close('test')
    setTimeout(() => held.tap.answer.end(), DELAY / 2)
    await closed
    expect((await held.client.response()).complete).toBe(true)
    expect(performance.now() - started).toBeLessThan(DELAY + TIMEOUT)
  })
})
