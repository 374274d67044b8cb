// What a session is bound to, at real sockets: requests that show another key, workload, device or source, by every protocol; what reads on when a reload asks for
// more; and what a flood of such requests leaves behind. SPEC: BND5, ENF3, CFG10
import { createHash, randomBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { call, DpopKey, type Headers, http2To } from '../support/possession.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import type { TokenClaims } from '../support/token-issuer.ts'
import { ClientAuthority, type Leaf, svidLeaf, testAuthority } from '../support/tls.ts'
import { pause, until } from './support.ts'
import { extendedConnect, WebSocketCaller } from './websocket-callers.ts'

const PROTOCOLS = ['HTTP/1.1', 'HTTP/2', 'WebSocket', 'WebSocket over HTTP/2'] as const
type Protocol = (typeof PROTOCOLS)[number]
const MODES = ['required', 'observe', 'off'] as const
type Mode = (typeof MODES)[number]
const BROKEN = '403 binding_broken'
const [RUNNER, OTHER] = ['spiffe://example.org/ns/prod/sa/runner', 'spiffe://example.org/ns/prod/sa/other']
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11' // RFC 6455 §1.3
/** Told of one life at most. */
const TOLD_MOST = 8

let mesh: ClientAuthority
let [runner, rotated, other]: readonly Leaf[] = []
let gate: TestGateway
let commits = 0
let original = ''
let turn = 0
const opened: string[] = []

beforeAll(async () => {
  mesh = await ClientAuthority.create('Mesh')
  ;[runner, rotated, other] = await Promise.all([RUNNER, RUNNER, OTHER].map(id => mesh.issue({ subject: '/O=Example', extensions: svidLeaf(id) })))
  gate = await TestGateway.start(await plan())
  original = readFileSync(gate.configFile, 'utf8')
  await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
  gate.upstream.upgrades(({ url, headers }, socket) => {
    opened.push(url ?? '')
    socket.on('error', () => undefined) // the caller goes first
    const accept = createHash('sha1').update(`${headers['sec-websocket-key']}${GUID}`).digest('base64')
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`)
  })
})
afterAll(() => gate.stop())
beforeEach(() => { turn++ })

const counting = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'commit') return (...given: Parameters<SessionStore['commit']>) => (commits++, target.commit(...given))
    return typeof member === 'function' ? member.bind(target) : member
  },
})

/** `main` with TLS, and certificates; `inner` without, for callers of other addresses, which 127.0.0.3 may tell of. */
async function plan(): Promise<GatewayPlan> {
  const { server: { certFile, keyFile } } = await testAuthority()
  return {
    routes: '', tls: true, wrapStore: counting,
    config: ({ directory, upstream, issuer }) => `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2], tls: { certFile: ${certFile}, keyFile: ${keyFile}, clients: { caFile: ${mesh.cert.certFile} } } }
    - { name: inner, address: "127.0.0.1:0", serves: [proxy], protocols: [http1, http2] }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  trustedProxies: [127.0.0.3/32]
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json, dpop: optional }, kind: agent, claims: { device: device } }
sessions:
  bind: { key: required, workload: required, device: required, source: required }
  baseline: [{ scopes: [base:read] }]
upstreams: { api: { url: "${upstream.origin}", timeout: 5s } }
telemetry: { logs: { level: silent } }
routes:
  - { name: api, match: { host: api.test }, upstream: api, rules: [{ allow: {}, scope: base:read }, { allow: { upgrade: websocket }, scope: base:read }] }
`,
  }
}

async function binding(modes: { readonly [kind: string]: Mode }): Promise<void> {
  const bind = Object.entries({ key: 'required', workload: 'required', device: 'required', source: 'required', ...modes }).map(([kind, mode]) => `${kind}: ${mode}`).join(', ')
  writeFileSync(gate.configFile, original.replace(/bind: \{.*\}/, `bind: { ${bind} }`))
  const answer = await gate.admin('POST', '/v1/config/reload', { reason: 'test' })
  expect(answer.status, answer.text).toBe(200)
}

type Shown = { readonly leaf?: Leaf; readonly from?: string; readonly headers: Headers }
/** By its address where it comes from another one: without TLS. */
const listenerOf = ({ from }: Shown): 'main' | 'inner' => (from === undefined ? 'main' : 'inner')
const portOf = (listener: string): number => gate.gateway.front.bound.get(listener)?.address.port ?? 0
const flat = (headers: Headers): { [name: string]: string } => Object.fromEntries(Object.entries(headers).map(([name, value]) => [name, String(value)]))

async function upgrade(shown: Shown, path: string): Promise<string> {
  const { leaf = null, from } = shown
  const fields = { ...flat(shown.headers), connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64') }
  const target = from === undefined ? { port: portOf('main'), tls: { ca: gate.target.tls?.ca ?? '', leaf } } : { port: portOf('inner'), from }
  const { status, body } = await requestOnce(target, request('GET', path, fields))
  return status === 101 ? 'passes' : `${status} ${String((JSON.parse(body.toString()) as { readonly reason?: unknown }).reason)}` // problem+json is an object
}

async function connected(shown: Shown, path: string): Promise<string> {
  const session = http2To(gate, { listener: listenerOf(shown), leaf: shown.leaf ?? null, ...(shown.from === undefined ? {} : { from: shown.from }) })
  try {
    const answer = await extendedConnect(session, path, flat(shown.headers))
    return answer instanceof WebSocketCaller ? 'passes' : `${answer.status} ${String(answer.reason)}`
  } finally {
    session.destroy()
  }
}

/** What becomes of a request: it `passes`, or the status and the reason of its refusal. */
async function asks(protocol: Protocol, shown: Shown, path = `/try/${turn}`): Promise<string> {
  if (protocol === 'WebSocket') return upgrade(shown, path)
  if (protocol === 'WebSocket over HTTP/2') return connected(shown, path)
  const { leaf = null, from, headers: { host = 'api.test', ...headers } } = shown
  const { status, reason } = await call(gate, { listener: listenerOf(shown), wire: protocol, leaf, ...(from === undefined ? {} : { from }) }, { path, host: String(host), headers })
  return status === 200 ? 'passes' : `${status} ${reason}`
}

const token = (claims: TokenClaims = {}): Promise<string> => gate.issuer.sign({ sid: `session-${turn}`, jti: Math.random().toString(36), ...claims })
const bearer = async (claims: TokenClaims = {}): Promise<Headers> => ({ authorization: `Bearer ${await token(claims)}` })
const shows = (headers: Headers, leaf?: Leaf): Shown => ({ headers, ...(leaf === undefined ? {} : { leaf }) })

/** A token of this session that is bound to the key, with a proof for the request. */
async function proving(key: DpopKey, port = portOf('main'), scheme = 'https'): Promise<Shown> {
  const bound = await token({ cnf: { jkt: key.thumbprint } })
  return shows({ host: `api.test:${port}`, authorization: `DPoP ${bound}`, dpop: await key.proof('GET', `${scheme}://api.test:${port}/try/${turn}`, bound) })
}

const reached = (): number => gate.upstream.requests.length + opened.length
type Line = { readonly [name: string]: unknown }
/** The session of this test. */
const sessionIn = (lines: readonly Line[]): unknown => lines.find(({ kind, path }) => kind === 'exchange.opened' && path === `/try/${turn}`)?.['session']
/** Drifts told of it: only the fact of its opening names it, the rest go by its record. */
async function told(): Promise<readonly unknown[]> {
  const lines = await gate.trail()
  const id = sessionIn(lines)
  const facts = lines.filter(({ kind }) => kind === 'fact').map(({ record, session, fact }) => ({ name: (record as Line)['name'], session, fact: fact as Line })) // a fact line has them
  const name = facts.find(({ session }) => session === id)?.name
  if (name === undefined) throw new Error('the opening of the session is not on record')
  return facts.flatMap(({ name: of, fact }) => (of === name && fact['what'] === 'binding.drifted' ? [fact['drift']] : []))
}
/** Resolves when so many drifts are told of it: nobody who is refused for one waits for that. */
async function keeps(count: number): Promise<void> {
  const id = String(sessionIn(await gate.trail()))
  await until(() => (gate.parts.mirror.byId(id)?.record.drifts.length ?? 0) >= count, `${count} drifts told`)
}
async function counted(kind: string, mode: Mode): Promise<number> {
  const line = new RegExp(`^narrowgate_binding_violations_total\\{binding="${kind}",mode="${mode}"\\} (\\d+)$`, 'm')
  return Number(line.exec((await gate.ops('/metrics')).text)?.[1] ?? 0)
}

describe.each(PROTOCOLS)('by %s', protocol => {
  beforeAll(() => binding({}))

  /** The first has the session; the others are refused and reach nothing; whoever is as the first one goes on. */
  async function isBound(kind: string, first: Shown, others: readonly (readonly [who: Shown, shown: string])[], same: readonly Shown[]): Promise<void> {
    expect(await asks(protocol, first)).toBe('passes')
    const before = [reached(), await counted(kind, 'required')]
    for (const [i, [who, shown]] of others.entries()) {
      expect(await asks(protocol, who), shown).toBe(BROKEN)
      await keeps(new Set(others.slice(0, i + 1).map(([, value]) => value)).size)
    }
    expect([reached(), await counted(kind, 'required')]).toEqual([before[0], (before[1] ?? 0) + others.length])
    for (const who of same) expect(await asks(protocol, who)).toBe('passes')
    expect(await told()).toEqual([...new Set(others.map(([, shown]) => shown))].map(shown => ({ binding: kind, shown })))
    const refused = (await gate.trail()).filter(({ kind: of, path }) => of === 'request.refused' && path === `/try/${turn}`)
    expect(refused.map(({ reason, drift }) => [reason, drift])).toEqual(others.map(([, shown]) => ['binding_broken', { binding: kind, shown }]))
  }

  test('[BND5] a session that proved a key is refused to a token of another key and to one of none', async () => {
    const [own, foreign] = await Promise.all([DpopKey.make(), DpopKey.make()])
    await isBound('key', await proving(own), [[await proving(foreign), foreign.thumbprint], [shows(await bearer()), ''], [await proving(foreign), foreign.thumbprint]], [await proving(own)])
  })

  test('[BND5] a session that proved a workload is refused to its own token over a connection of another workload and of none; a rotated SVID is none other', async () => {
    const headers = await bearer()
    await isBound('workload', shows(headers, runner), [[shows(headers, other), OTHER], [shows(headers), '']], [shows(headers, rotated), shows(await bearer(), runner)])
  })

  test('[BND5] a session of a device is refused to a token of another one and of none', async () => {
    const of = async (device: string | undefined): Promise<Shown> => shows(await bearer({ device }))
    await isBound('device', await of('laptop'), [[await of('phone'), 'phone'], [await of(undefined), ''], [await of('LAPTOP'), 'LAPTOP']], [await of('laptop')])
  })

  test('[BND5] where the source is asked, its own token is refused from another address, also as a listed proxy tells of it', async () => {
    const headers = await bearer()
    const by = (from: string, tells?: string): Shown => ({ headers: tells === undefined ? headers : { ...headers, 'x-forwarded-for': tells }, from })
    await isBound('source', by('127.0.0.1'), [[by('127.0.0.2'), '127.0.0.2'], [by('127.0.0.3', '192.0.2.1'), '192.0.2.1'], [by('127.0.0.2', '127.0.0.1'), '127.0.0.2']], [by('127.0.0.1'), by('127.0.0.3', '127.0.0.1')])
  })
})

describe.each(PROTOCOLS)('where it is observed, by %s', protocol => {
  beforeAll(() => binding({ workload: 'observe', device: 'observe', source: 'observe', key: 'observe' }))

  test.each([
    ['key', async () => [await proving(await DpopKey.make()), shows(await bearer())], ''],
    ['workload', async () => { const headers = await bearer(); return [shows(headers, runner), shows(headers, other)] }, OTHER],
    ['device', async () => [shows(await bearer({ device: 'laptop' })), shows(await bearer({ device: 'phone' }))], 'phone'],
    ['source', async () => { const headers = await bearer(); return [{ headers, from: '127.0.0.1' }, { headers, from: '127.0.0.2' }] }, '127.0.0.2'],
  ] as const)('[BND5] another %s passes, is counted each time and told once', async (kind, callers, shown) => {
    const [first, drifting] = await callers()
    if (first === undefined || drifting === undefined) throw new Error('two callers')
    const before = await counted(kind, 'observe')
    expect(await asks(protocol, first)).toBe('passes')
    expect([await asks(protocol, drifting), await asks(protocol, drifting)]).toEqual(['passes', 'passes'])
    expect(await counted(kind, 'observe')).toBe(before + 2)
    await keeps(1)
    expect(await told()).toEqual([{ binding: kind, shown }])
  })
})

describe('what a reload asks for', () => {
  /** A download of its own that has begun. */
  async function download(name: string, { headers, leaf = null }: { readonly headers: Headers; readonly leaf?: Leaf | null }): Promise<RawClient> {
    const client = await RawClient.connect({ port: portOf('main'), tls: { ca: gate.target.tls?.ca ?? '', leaf } })
    await client.send(request('GET', `/stream/${name}`, flat(headers)))
    expect((await client.head()).status).toBe(200)
    return client
  }

  async function socket(headers: Headers, leaf: Leaf | undefined): Promise<WebSocketCaller> {
    const answer = await extendedConnect(http2To(gate, { leaf: leaf ?? null }), `/open/${turn}`, flat(headers))
    if (!(answer instanceof WebSocketCaller)) throw new Error(`not opened: ${String(answer.reason)}`)
    return answer
  }

  const passesOn = async (name: string, to: readonly RawClient[]): Promise<void> => {
    const marks = to.map(client => client.bodyBytes)
    gate.upstream.feed(name).emit('more')
    for (const [i, client] of to.entries()) await client.until(() => client.bodyBytes > (marks[i] ?? 0))
  }

  test('[BND5, ENF3, CFG10] cuts what shows another workload than its session is bound to, and nothing else; being told of it cuts nothing', async () => {
    await binding({ workload: 'off' })
    const headers = await bearer()
    const name = `of-${turn}`
    expect(await asks('HTTP/1.1', shows(headers, runner))).toBe('passes')
    const [own, drifting, stranger] = [await download(name, { headers, leaf: runner ?? null }), await download(name, { headers, leaf: other ?? null }), await download(name, { headers: await bearer({ sid: 'beside' }), leaf: other ?? null })]
    const [ownSocket, driftingSocket] = [await socket(headers, runner), await socket(headers, other)]
    await binding({ workload: 'observe' })
    await passesOn(name, [own, drifting, stranger])
    expect([ownSocket.closed, driftingSocket.closed]).toEqual([null, null])
    await binding({})
    expect(await drifting.ended).toBe('reset')
    expect(await driftingSocket.over()).toMatchObject({ code: expect.any(Number) })
    await passesOn(name, [own, stranger])
    expect([ownSocket.closed, ownSocket.overAt]).toEqual([null, 0])
    const lines = await gate.trail()
    expect(lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === sessionIn(lines)).map(({ reason }) => reason)).toEqual(['binding_broken', 'binding_broken'])
    expect(await asks('HTTP/1.1', shows(headers, other))).toBe(BROKEN)
    expect(await asks('HTTP/1.1', shows(headers, rotated))).toBe('passes')
    for (const client of [own, stranger]) client.close()
    for (const { carrier } of [ownSocket, driftingSocket]) carrier.destroy()
  })

  test('[BND5] binds a session to its source only from its opening on, and asks nothing where it is off', async () => {
    await binding({ source: 'off', device: 'off' })
    const headers = await bearer({ device: 'laptop' })
    const at = (from: string): Shown => ({ headers, from })
    const before = await counted('source', 'observe') + await counted('source', 'required') + await counted('device', 'required') + await counted('device', 'observe')
    expect([await asks('HTTP/1.1', at('127.0.0.1')), await asks('HTTP/1.1', at('127.0.0.2')), await asks('HTTP/1.1', shows(await bearer({ device: 'phone' })))]).toEqual(['passes', 'passes', 'passes'])
    expect(await counted('source', 'observe') + await counted('source', 'required') + await counted('device', 'required') + await counted('device', 'observe')).toBe(before)
    expect(await told()).toEqual([])
    await binding({})
    expect([await asks('HTTP/1.1', at('127.0.0.2')), await asks('HTTP/1.1', shows(await bearer({ device: 'phone' })))]).toEqual(['passes', BROKEN])
  })
})

test('[BND5] 1,000 requests from 1,000 addresses are refused and on record each, told of eight times, and cost the store no more than that', async () => {
  await binding({})
  const headers = flat(await bearer())
  expect(await asks('HTTP/1.1', { headers, from: '127.0.0.1' })).toBe('passes')
  const [before, seen] = [await counted('source', 'required'), reached()]
  commits = 0
  const reasons = await Promise.all(Array.from({ length: 50 }, async (_, line) => {
    const client = await RawClient.connect({ port: portOf('inner'), from: '127.0.0.3' })
    const heard: string[] = []
    for (let i = 0; i < 20; i++) {
      await client.send(request('GET', `/flood/${turn}`, { ...headers, 'x-forwarded-for': `198.18.${line}.${i + 1}` }))
      const { status, body } = await client.response()
      heard.push(`${status} ${String((JSON.parse(body.toString()) as { readonly reason?: unknown }).reason)}`) // problem+json is an object
    }
    client.close()
    return heard
  }))
  expect(reasons.flat()).toEqual(Array.from({ length: 1_000 }, () => BROKEN))
  expect([await counted('source', 'required'), reached()]).toEqual([before + 1_000, seen])
  const shown = (await keeps(TOLD_MOST).then(told)) as readonly { readonly binding: string; readonly shown: string }[] // as the fact has it
  expect(shown).toHaveLength(TOLD_MOST)
  expect(new Set(shown.map(({ shown: address }) => address)).size).toBe(TOLD_MOST)
  expect(commits).toBeGreaterThanOrEqual(TOLD_MOST)
  expect(commits).toBeLessThanOrEqual(2 * TOLD_MOST)
  expect(await asks('HTTP/1.1', { headers, from: '127.0.0.1' })).toBe('passes')
})
