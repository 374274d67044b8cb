// What an exchange stands on beside its session: locks by route, credential and profile, the provider that proved its credential, and the intent and
// the context it goes upstream with. Held open at both ends, over a real gateway. SPEC: ENF2, ENF3, ENF8, AUD2, CFG10, WIRE13
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import type { Gathering, GatherStep } from '../../src/enforcement/gather.ts'
import { sha256 } from '../../src/runtime/id.ts'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { exchangesOf, planFor, type Tap, TapUpstream, until } from './support.ts'

let gate: TestGateway
let upstream: TapUpstream
const clients: RawClient[] = []

async function start(more: Partial<GatewayPlan> = {}): Promise<void> {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(planFor(upstream, more))
}
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await gate.stop()
  await upstream.close()
})

const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

/** A download that has begun; its upstream sends what the test says. */
async function open(path: string, headers: { readonly [name: string]: string }): Promise<{ readonly client: RawClient; readonly tap: Tap }> {
  const client = await RawClient.connect(gate.target)
  clients.push(client)
  client.push(request('GET', path, headers))
  const tap = await upstream.tap(path)
  tap.begin(null)
  expect((await client.head()).status).toBe(200)
  return { client, tap }
}

/** A request that is answered at once when it gets through. */
async function asked(path: string, headers: { readonly [name: string]: string }): Promise<Answer> {
  const answer = gate.ask('GET', path, headers)
  const first = await Promise.race([answer, upstream.tap(path)])
  if ('answer' in first) first.answer.end('ok')
  return answer
}

const lock = (selector: object, more: object = {}): Promise<Answer> => gate.admin('POST', '/v1/locks', { selector, reason: 'test', ...more })
const lift = async (set: Answer): Promise<void> => {
  const { id } = set.json['lock'] as { id: string } // the answer of a lock that was set
  expect((await gate.admin('DELETE', `/v1/locks/${id}?reason=test`)).status).toBe(200)
}
const states = (session: string): readonly string[] => exchangesOf(gate, session).map(({ state }) => state)

describe('a lock beside the session', () => {
  test('[ENF8] by route, credential or issue time that keeps to the baseline: elevated exchanges end and new ones are refused, the baseline is untouched', async () => {
    await start()
    const token = await gate.token()
    const { id } = await gate.session(token)
    await gate.elevate(token, 'long')
    const base = await open('/a/base', bearer(token))
    const credential = gate.parts.mirror.byId(id)?.record.credential.id
    for (const selector of [{ route: 'api' }, { credential }, { issuedBefore: new Date(Date.now() + 60_000).toISOString() }]) {
      const name = Object.keys(selector).join()
      const { client } = await open(`/${name}/extra`, bearer(token))
      const set = await lock(selector, { effect: 'baseline' })
      expect(set.json).toMatchObject({ enforced: true, exchanges: { cut: 1, continued: 1 } })
      expect(await client.ended).toBe('reset')
      expect((await asked(`/${name}2/extra`, bearer(token))).json).toMatchObject({ status: 403, reason: 'narrowed' })
      expect((await asked(`/${name}/base`, bearer(token))).status).toBe(200)
      expect(states(id)).toEqual(['open'])
      await lift(set)
      expect((await asked(`/${name}3/extra`, bearer(token))).status).toBe(200)
    }
    base.tap.send(100)
    await until(() => base.client.bodyBytes === 100, 'the baseline exchange goes on')
  })

  test('[ENF8] a stronger lock does not hide one that keeps to the baseline', async () => {
    await start()
    const token = await gate.token()
    const { id } = await gate.session(token)
    await gate.elevate(token, 'long')
    await open('/b/extra', bearer(token))
    await open('/b/base', bearer(token))
    await lock({ route: 'api' }, { effect: 'freeze' })
    expect(states(id)).toEqual(['frozen', 'frozen'])
    expect((await lock({ credential: gate.parts.mirror.byId(id)?.record.credential.id }, { effect: 'baseline' })).json).toMatchObject({ exchanges: { cut: 1 } })
    expect(states(id)).toEqual(['frozen'])
  })

  test('[ENF8] that freezes a profile holds what stands on it, refuses what would, and lets both go on when it is lifted', async () => {
    await start()
    const token = await gate.token()
    const { id } = await gate.session(token)
    await gate.elevate(token, 'long')
    const base = await open('/c/base', bearer(token))
    const { client, tap } = await open('/c/extra', bearer(token))
    const set = await lock({ profile: 'long' }, { effect: 'freeze' })
    expect(set.json).toMatchObject({ enforced: true, exchanges: { frozen: 1, cut: 0, continued: 1 } })
    expect(states(id)).toEqual(['open', 'frozen'])
    expect((await asked('/c2/extra', bearer(token))).json).toMatchObject({ reason: 'frozen' })
    base.tap.send(100)
    await until(() => base.client.bodyBytes === 100, 'the baseline exchange goes on')
    tap.send(100)
    await lift(set)
    await until(() => client.bodyBytes === 100, 'what was held')
    expect((await asked('/c3/extra', bearer(token))).status).toBe(200)
    expect((await lock({ profile: 'long' })).json).toMatchObject({ exchanges: { cut: 1, continued: 1 } })
    expect((await asked('/c4/extra', bearer(token))).json).toMatchObject({ reason: 'elevation_required' })
  })

  test.each([['route', { route: 'api' }], ['profile', { profile: 'long' }]])('[ENF8] [ENF6] a freeze by %s with an end is over at its end, without any news', async (_name, selector) => {
    await start()
    const token = await gate.token()
    const { id } = await gate.session(token)
    await gate.elevate(token, 'long')
    const { client, tap } = await open('/d/extra', bearer(token))
    expect((await lock(selector, { effect: 'freeze', for: '1s' })).status).toBe(200)
    expect(states(id)).toEqual(['frozen'])
    tap.send(100)
    await until(() => client.bodyBytes === 100, 'the held bytes', 4_000)
    expect(states(id)).toEqual(['open'])
  })
})

describe('a reload', () => {
  const KEYS = { one: 'key-one', two: 'key-two' }
  const entry = (id: string, key: string, subject = id): string => `{ id: ${id}, sha256: ${sha256(key)}, subject: ${subject} }`
  const write = (...entries: readonly string[]): void => writeFileSync(join(gate.directory, 'keys.yaml'), `keys: [${entries.join(', ')}]`, { mode: 0o600 })
  const config = (authn: string, providers = 'login, keys') => (made: { readonly directory: string; readonly issuer: { readonly issuer: string } }): string => {
    writeFileSync(join(made.directory, 'keys.yaml'), `keys: [${entry('one', KEYS.one)}, ${entry('two', KEYS.two)}]`, { mode: 0o600 })
    const known: { readonly [name: string]: string } = {
      login: `login: { jwt: { issuer: "${made.issuer.issuer}", audience: narrowgate, jwksFile: ${made.directory}/jwks.json }, kind: agent }`,
      keys: `keys: { apiKey: { header: x-key, keysFile: ${made.directory}/keys.yaml }, kind: service }`,
    }
    return `
version: 1
stateDir: ${made.directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
authn:
${providers.split(', ').map(name => `  ${known[name]}`).join('\n')}
sessions:
  baseline: [{ scopes: [base:use] }]
telemetry: { logs: { level: silent } }
routes:
  - name: api
    match: { host: api.test }
    authn: [${authn}]
    upstream: { url: "${upstream.origin}" }
    rules:
      - { allow: { paths: ["/**"] }, scope: base:use }
`
  }

  const begin = async (): Promise<void> => {
    upstream = await TapUpstream.start()
    gate = await TestGateway.start({ routes: '', config: config('login, keys') })
  }
  const reload = async (): Promise<void> => { expect((await gate.admin('POST', '/v1/config/reload', { reason: 'test' })).status).toBe(200) }
  const cutReason = async (): Promise<unknown> => (await gate.trail()).filter(({ kind }) => kind === 'exchange.cut').map(({ reason }) => reason)

  test('[CFG10] [ENF3] that takes a provider from a route ends what its credentials opened there, and nothing else', async () => {
    await begin()
    const { client } = await open('/a', bearer(await gate.token()))
    const kept = await open('/b', { 'x-key': KEYS.one })
    writeFileSync(gate.configFile, readFileSync(gate.configFile, 'utf8').replace('authn: [login, keys]', 'authn: [keys]'))
    await reload()
    expect(await client.ended).toBe('reset')
    expect(await cutReason()).toEqual(['credential_invalid'])
    kept.tap.send(100)
    await until(() => kept.client.bodyBytes === 100, 'the exchange of the other provider')
  })

  test('[CFG10] [SES14] that removes or changes an API key ends what it opened, and nothing of the other keys or providers', async () => {
    await begin()
    const token = await open('/token', bearer(await gate.token()))
    const one = await open('/one', { 'x-key': KEYS.one })
    const two = await open('/two', { 'x-key': KEYS.two })
    write(entry('two', KEYS.two), entry('three', 'key-three'))
    await reload()
    expect(await one.client.ended).toBe('reset')
    two.tap.send(100)
    await until(() => two.client.bodyBytes === 100, 'the key that stayed')
    write(entry('two', KEYS.two, 'somebody-else'))
    await reload()
    expect(await two.client.ended).toBe('reset')
    token.tap.send(100)
    await until(() => token.client.bodyBytes === 100, 'the exchange of the token')
    expect(await cutReason()).toEqual(['credential_invalid', 'credential_invalid'])
  })

  test('[CFG10] [SES13] that adds a key to the set of a provider ends nothing; one that takes the signing key away ends what it signed', async () => {
    await begin()
    const { client, tap } = await open('/a', bearer(await gate.token()))
    const file = join(gate.directory, 'jwks.json')
    const { keys } = JSON.parse(readFileSync(file, 'utf8')) as { keys: readonly { readonly [member: string]: unknown }[] } // as the issuer wrote it
    const other = { ...keys[0], kid: 'another' }
    writeFileSync(file, JSON.stringify({ keys: [...keys, other] }))
    await reload()
    tap.send(100)
    await until(() => client.bodyBytes === 100, 'the exchange of the key that stayed')
    writeFileSync(file, JSON.stringify({ keys: [other] }))
    await reload()
    expect(await client.ended).toBe('reset')
  })
})

describe('what an elevated request goes upstream with', () => {
  const TWO = `
long: { adds: [extra:use], for: 10m, max: 1h }
longer: { adds: [extra:use], for: 20m, max: 1h }
short: { adds: [extra:use], for: 3s }`

  /** One more step, run once: what happens while a request waits between preview and admission. */
  function meanwhile(path: string, happens: () => Promise<unknown>): void {
    const steps = gate.parts.steps as GatherStep[] // the list is made once and given to whoever asks
    const mine = ({ inquiry, done }: Gathering): boolean => inquiry.evaluation.resource.path === path && !done.has('test')
    steps.push({ name: 'test', failure: 'internal_error', needed: mine, run: () => happens().then(() => null), undo: () => undefined })
  }

  const contextOf = (tap: Tap): { readonly grant: string; readonly exp: number } => {
    const token = tap.message.headers['narrowgate-context']
    expect(token).toBeTypeOf('string')
    return JSON.parse(Buffer.from(String(token).split('.')[1] ?? '', 'base64url').toString()) as { grant: string; exp: number } // the gateway's own claims
  }

  test('[WIRE13] [ENF2] a change of the session while it waits: the context is minted anew', async () => {
    await start({ elevations: TWO })
    const token = await gate.token()
    const long = await gate.elevate(token, 'long')
    const other = await gate.elevate(token, 'longer')
    meanwhile('/a/extra', () => gate.ask('POST', `/.narrowgate/elevations/${other}/release`, bearer(token), '{}'))
    expect((await asked('/a/extra', bearer(token))).status).toBe(200)
    expect(contextOf(await upstream.tap('/a/extra')).grant).toBe(long)
  })

  test('[AUD2] [WIRE13] another grant than at the preview: its own intent is on stable storage first, and its own context goes along', async () => {
    await start({ elevations: TWO, more: 'audit: { trail: { fsync: true } }' })
    const token = await gate.token()
    const long = await gate.elevate(token, 'long')
    const longer = await gate.elevate(token, 'longer')
    meanwhile('/a/extra', () => gate.ask('POST', `/.narrowgate/elevations/${long}/release`, bearer(token), '{}'))
    expect((await asked('/a/extra', bearer(token))).status).toBe(200)
    expect(contextOf(await upstream.tap('/a/extra')).grant).toBe(longer)
    const told = (await gate.trail()).filter(({ kind }) => kind === 'request.intended' || kind === 'exchange.opened').map(({ kind, grant }) => [kind, grant])
    expect(told).toEqual([['request.intended', long], ['request.intended', longer], ['exchange.opened', longer]])
  })

  test('[WIRE13] [ENF4] the context ends no later than the grant it names', async () => {
    await start({ elevations: TWO })
    const token = await gate.token()
    const before = Date.now()
    const short = await gate.elevate(token, 'short')
    expect((await asked('/a/extra', bearer(token))).status).toBe(200)
    const { grant, exp } = contextOf(await upstream.tap('/a/extra'))
    const { state } = gate.parts.mirror.byId((await gate.session(token)).id)?.record.elevations[0] ?? {}
    expect(grant).toBe(short)
    expect(exp * 1_000).toBeGreaterThanOrEqual(before + 2_000)
    expect(exp * 1_000).toBeLessThanOrEqual(state?.is === 'active' ? state.until : 0)
  })
})
