// Tokens bound to the key of a DPoP proof, shown to real sockets of two gateways over one Redis, and of one with the embedded store: a proof counts for
// its own request, once, anywhere. What does not count is told as RFC 9449 has it, opens no session and reaches no upstream. SPEC: BND2, SES1, WIRE9
import { createHmac } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { ByteProxy } from '../support/byte-proxy.ts'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { AheadClock, call, comesToNothing as nothing, DpopKey, type Headers, type Heard, http2To, overHttp2, PLACES, possessionPlan, type ProofChanges, seconds, type Way, WHERE, type Where, type Wire, WIRES } from '../support/possession.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { RedisServer } from '../support/redis-server.ts'
import { pause, until } from './support.ts'

let server: RedisServer
let proxy: ByteProxy
let pair: GatewayPair
let alone: TestGateway
let upstream: RecordingUpstream
let stranger: DpopKey
/** Of the embedded store: waits before a mark is made, and before a session is read. */
let beforeMark: () => Promise<void> = async () => {}
let beforeLoad: () => Promise<void> = async () => {}
let stale = false
let staleAsked = 0

const watched = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'confirmedUntil') return () => (stale ? (staleAsked++, 0) : target.confirmedUntil())
    if (name === 'mark') return (...given: Parameters<SessionStore['mark']>) => beforeMark().then(() => target.mark(...given))
    if (name === 'load') return (...given: Parameters<SessionStore['load']>) => beforeLoad().then(() => target.load(...given))
    return typeof member === 'function' ? member.bind(target) : member
  },
})

beforeAll(async () => {
  const plan = await possessionPlan()
  stranger = await DpopKey.make()
  ;[server, upstream] = await Promise.all([RedisServer.start(), RecordingUpstream.start()])
  proxy = await ByteProxy.start(server.port)
  pair = await TestGateway.pair(server, { ...plan, upstream, store: 'lease: 1s, hold: { requests: 5s, streams: 30s }' }, proxy)
  alone = await TestGateway.start({ ...plan, upstream, issuer: pair.a.issuer, wrapStore: watched })
  await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
})
afterEach(() => {
  beforeMark = beforeLoad = async () => {}
  stale = false
  proxy.blackhole(false)
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop()])
  await Promise.all([proxy.close(), upstream.close(), server.dispose()])
})

const gateOf = (where: Where): TestGateway => (where === 'alone' ? alone : pair[where])

/** A run of an automation: its key, and a token that is bound to it. */
type Run = { readonly key: DpopKey; readonly token: string }
async function newRun(): Promise<Run> {
  const key = await DpopKey.make()
  return { key, token: await pair.a.token({ cnf: { jkt: key.thumbprint } }) }
}

let turn = 0
const freshPath = (): string => `/t${++turn}`
const uriOf = (path: string): string => `https://api.test${path}`
const shown = (token: string, proof: string | readonly string[], scheme = 'DPoP'): Headers => ({ authorization: `${scheme} ${token}`, dpop: proof })
const proofOf = ({ key, token }: Run, path: string, changes: ProofChanges = {}): Promise<string> => key.proof('GET', uriOf(path), token, changes)

async function asks(gate: TestGateway, run: Run, path = freshPath(), way: Way = {}): Promise<Heard & { readonly sent: { readonly path: string; readonly headers: Headers } }> {
  const sent = { path, headers: shown(run.token, await proofOf(run, path)) }
  return { ...(await call(gate, way, sent)), sent }
}

const invalidProof = { status: 401, reason: 'credential_invalid', challenges: [expect.stringMatching(/^DPoP realm="narrowgate", error="invalid_dpop_proof", .*algs="ES256 /)] }
const invalidToken = { status: 401, reason: 'credential_invalid', challenges: [expect.stringMatching(/^DPoP realm="narrowgate", error="invalid_token", .*algs="ES256 /)] }

/** A token is none the worse for it. */
const untellable = { status: 503, reason: 'store_failed', challenges: [] }

const comesToNothing = (asked: () => Promise<Heard>, told: object): Promise<void> => nothing(WHERE.map(gateOf), upstream, asked, told)

describe('a token with a proof for its request', () => {
  test('[BND2] passes on every gateway, with both protocols; neither goes upstream', async () => {
    const run = await newRun()
    for (const [where, wire] of PLACES) {
      const path = freshPath()
      expect((await asks(gateOf(where), run, path, { wire })).status, `${where} ${wire}`).toBe(200)
      const [request] = upstream.requests.filter(({ url }) => url === path)
      expect([request?.header('dpop'), request?.header('authorization')]).toEqual([[], []])
      expect(request?.rawHead).not.toContain(run.token)
    }
  })

  test('[BND2] passes once for each path, method and time on one connection of HTTP/2, and its query is not looked at', async () => {
    const run = await newRun()
    const [session, path] = [http2To(pair.a), freshPath()]
    for (const query of ['', '?x=1', '?x=2']) expect((await overHttp2(session, { path: `${path}${query}`, headers: shown(run.token, await proofOf(run, path)) })).status).toBe(200)
    const posted = await run.key.proof('POST', uriOf(path), run.token)
    expect((await overHttp2(session, { method: 'POST', path, headers: shown(run.token, posted) })).status).toBe(200)
    expect(await overHttp2(session, { method: 'POST', path, headers: shown(run.token, posted) })).toMatchObject(invalidProof)
    session.destroy()
  })

  test('[BND2] passes under every spelling of its URI that says the same, and on a plain listener for http alone', async () => {
    const run = await newRun()
    for (const [path, uri] of [['/caf%C3%A9/a%20b;c=1', '/caf%c3%a9/a%20b;c=1'], ['/%7Eme', '/~me'], ['/~me', '/%7eme'], ['/q?a=b', '/q?c=d#e']] as const) {
      for (const origin of ['https://api.test', 'HTTPS://API.TEST:443']) {
        for (const [where, wire] of PLACES) expect((await call(gateOf(where), { wire }, { path, headers: shown(run.token, await run.key.proof('GET', `${origin}${uri}`, run.token)) })).status, `${where} ${wire} ${origin}${uri}`).toBe(200)
      }
    }
    for (const [where, wire] of PLACES) {
      const path = freshPath()
      for (const [scheme, status] of [['https', 401], ['http', 200]] as const) expect((await call(gateOf(where), { wire, listener: 'inner' }, { path, headers: shown(run.token, await run.key.proof('GET', `${scheme}://api.test${path}`, run.token)) })).status).toBe(status)
    }
  })

  test.each(PLACES)('[BND2, SES1] passes at the self-service of %s over %s, once; without it nobody gets there', async (where, wire) => {
    const [gate, run, path] = [gateOf(where), await newRun(), '/.narrowgate/session']
    await comesToNothing(() => call(gate, { wire }, { path, headers: { authorization: `DPoP ${run.token}` } }), invalidProof)
    await comesToNothing(() => call(gate, { wire }, { path, headers: { authorization: `Bearer ${run.token}` } }), invalidToken)
    const { sent, ...first } = await asks(gate, run, path, { wire })
    expect(first).toMatchObject({ status: 200, json: { id: expect.stringMatching(/^ses_/) } })
    for (const other of WHERE.filter(each => (each === 'alone') === (where === 'alone'))) await comesToNothing(() => call(gateOf(other), { wire }, sent), invalidProof)
  })
})

describe('the same proof again', () => {
  test.each(WIRES)('[BND2, TOK-018, S24.c, S24.d, S24.e, S24.f, S24.o, S24.p] is refused over %s on the gateway it was shown to and on the other one, from the same host and another, during and after its session', async wire => {
    for (const [from, to] of [[pair.a, pair.b], [pair.b, pair.a], [alone, alone]] as const) {
      const run = await newRun()
      const { sent, status } = await asks(from, run, freshPath(), { wire })
      expect(status).toBe(200)
      for (const gate of [from, to]) for (const host of ['127.0.0.1', '127.0.0.3']) await comesToNothing(() => call(gate, { wire, from: host }, sent), invalidProof)
      const { json } = await asks(from, run, '/.narrowgate/session', { wire })
      expect((await from.admin('POST', `/v1/sessions/${String(json['id'])}/terminate`)).status).toBe(200)
      for (const gate of [from, to]) {
        await comesToNothing(() => call(gate, { wire }, sent), invalidProof)
        await comesToNothing(() => asks(gate, run, freshPath(), { wire }), { status: 401, reason: 'credential_revoked' })
      }
    }
  })

  test('[BND2, TOK-018] at the same time on both gateways passes exactly once', async () => {
    for (let i = 0; i < 10; i++) {
      const [run, path] = [await newRun(), freshPath()]
      const sent = { path, headers: shown(run.token, await proofOf(run, path)) }
      const places = [...PLACES, ...PLACES].filter(([where]) => where !== 'alone')
      const answers = await Promise.all(places.map(([where, wire]) => call(gateOf(where), { wire }, sent)))
      expect(answers.filter(({ status }) => status !== 200)).toEqual(Array.from({ length: places.length - 1 }, () => expect.objectContaining(invalidProof)))
      expect(upstream.requests.filter(({ url }) => url === path)).toHaveLength(1)
    }
  })
})

const segment = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
/** A proof as the header says, its claims those of a good one. */
async function forged(run: Run, path: string, header: object, sign: (input: string) => string): Promise<Headers> {
  const [, claims = ''] = (await proofOf(run, path)).split('.')
  const input = `${segment({ typ: 'dpop+jwt', ...header })}.${claims}`
  return shown(run.token, `${input}.${sign(input)}`)
}
const mac = (secret: string) => (input: string): string => createHmac('sha256', secret).update(input).digest('base64url')

type Attack = { readonly id: string; readonly what: string; readonly headers: (run: Run, path: string) => Promise<Headers>; readonly told: object }
const attack = (id: string, what: string, headers: Attack['headers'], told: object = invalidProof): Attack => ({ id, what, headers, told })
const altered = (id: string, what: string, changes: (run: Run, path: string) => ProofChanges): Attack => attack(id, what, async (run, path) => shown(run.token, await proofOf(run, path, changes(run, path))))

const ATTACKS: readonly Attack[] = [
  attack('TOK-023', 'no proof', async ({ token }) => ({ authorization: `DPoP ${token}` })),
  attack('TOK-023', 'an empty proof', async ({ token }) => shown(token, '')),
  attack('TOK-023', 'the token under Bearer', async ({ token }) => ({ authorization: `Bearer ${token}` }), invalidToken),
  attack('TOK-023', 'the token under Bearer, and its proof', async (run, path) => shown(run.token, await proofOf(run, path), 'Bearer'), invalidToken),
  attack('TOK-026', 'two headers, each with a good proof', async (run, path) => shown(run.token, [await proofOf(run, path), await proofOf(run, path)])),
  attack('TOK-026', 'one header with two proofs', async (run, path) => shown(run.token, `${await proofOf(run, path)}, ${await proofOf(run, path)}`)),
  attack('TOK-026', 'a proof with `alg: none`', (run, path) => forged(run, path, { alg: 'none', jwk: run.key.publicJwk }, () => '')),
  attack('TOK-026', 'a proof with a symmetric key', (run, path) => forged(run, path, { alg: 'HS256', jwk: { kty: 'oct', k: 'c2VjcmV0' } }, mac('secret'))),
  attack('TOK-026', 'a proof keyed with the public key', (run, path) => forged(run, path, { alg: 'HS256', jwk: run.key.publicJwk }, mac(JSON.stringify(run.key.publicJwk)))),
  altered('TOK-026', 'a proof with its private key inside', ({ key }) => ({ header: { jwk: key.privateJwk } })),
  altered('TOK-026', 'a proof without `typ`', () => ({ header: { typ: undefined } })),
  altered('TOK-026', 'a proof of another `typ`', () => ({ header: { typ: 'at+jwt' } })),
  altered('BND2', 'a proof for another method', () => ({ claims: { htm: 'POST' } })),
  altered('BND2', 'a proof for another path', (_, path) => ({ claims: { htu: `${uriOf(path)}/x` } })),
  altered('BND2', 'a proof for another host', (_, path) => ({ claims: { htu: `https://other.test${path}` } })),
  altered('BND2', 'a proof for another scheme', (_, path) => ({ claims: { htu: `http://api.test${path}` } })),
  altered('BND2', 'a proof for another token', () => ({ claims: { ath: 'A'.repeat(43) } })),
  altered('BND2', 'a proof for no token', () => ({ claims: { ath: undefined } })),
  altered('BND2', 'a proof without `jti`', () => ({ claims: { jti: undefined } })),
  altered('BND2', 'an old proof', () => ({ claims: { iat: seconds(-120) } })),
  altered('BND2', 'a proof from the future', () => ({ claims: { iat: seconds(60) } })),
  attack('BND2', 'a proof by another key', async ({ token }, path) => shown(token, await stranger.proof('GET', uriOf(path), token))),
  altered('BND2', 'a proof that names another key', () => ({ header: { jwk: stranger.publicJwk } })),
  attack('BND2', 'an unbound token under DPoP, and a proof', async ({ key }, path) => {
    const token = await pair.a.token()
    return shown(token, await key.proof('GET', uriOf(path), token))
  }, invalidToken),
  attack('BND2', 'a token bound to two keys', async ({ key }, path) => {
    const token = await pair.a.token({ cnf: { jkt: key.thumbprint, 'x5t#S256': key.thumbprint } })
    return shown(token, await key.proof('GET', uriOf(path), token))
  }, { status: 401, reason: 'credential_invalid' }),
]

test.each(ATTACKS)('[$id, WIRE9] $what is told as what it is on every gateway, opens no session and reaches no upstream', async ({ what, headers, told }) => {
  for (const [where, wire] of PLACES) {
    const [run, path] = [await newRun(), freshPath()]
    const showing = await headers(run, path)
    await comesToNothing(() => call(gateOf(where), { wire }, { path, headers: showing }), told)
    expect((await asks(gateOf(where), run, path, { wire })).status, `${what}: ${where} ${wire}`).toBe(200) // it was that, and nothing else, that was refused
  }
})

describe('a gateway with a store of its own', () => {
  const clock = new AheadClock()
  let gate: TestGateway
  beforeAll(async () => {
    gate = await TestGateway.start({ ...(await possessionPlan()), upstream, issuer: pair.a.issuer, clock })
    clock.ahead = 90_000 // from now on its store knows of every proof that is in time
  })
  afterAll(() => gate.stop())

  test('[BND2] takes proofs of the last minute, and those that a clock makes that is five seconds fast', async () => {
    const [run, path] = [await newRun(), freshPath()]
    for (const [shift, status] of [[-62, 401], [-57, 200], [3, 200], [8, 401]] as const) {
      expect((await call(gate, {}, { path, headers: shown(run.token, await proofOf(run, path, { claims: { iat: seconds(90 + shift) } })) })).status, `${shift} s`).toBe(status)
    }
  })

  test('[S24.h, AUD9, BND2] has on record what it refused, with its source, and nowhere the text of a token or of a proof', async () => {
    const [run, path] = [await newRun(), freshPath()]
    const sent = { path, headers: shown(run.token, await proofOf(run, path, { claims: { iat: seconds(90) } })) }
    expect((await call(gate, {}, sent)).status).toBe(200)
    for (const from of ['127.0.0.1', '127.0.3.1']) expect(await call(gate, { from }, sent)).toMatchObject(invalidProof)
    await gate.trail()
    await gate.parts.noise.flush()
    const told = readdirSync(join(gate.directory, 'state'), { recursive: true, withFileTypes: true }).filter(entry => entry.isFile()).map(entry => readFileSync(join(entry.parentPath, entry.name), 'latin1'))
    const refused = told.flatMap(text => text.split('\n')).filter(line => line.includes('"request.refused"') && line.includes(`"path":"${path}"`))
    expect(refused.map(line => JSON.parse(line) as object)).toEqual(['127.0.0.1', '127.0.3.1'].map(source => expect.objectContaining({ source, reason: 'credential_invalid' })))
    for (const part of [run.token, String(sent.headers['dpop'])].flatMap(text => text.split('.'))) expect(told.filter(text => text.includes(part))).toEqual([])
  })
})

describe('a store that says nothing', () => {
  test('[BND2] lets no proof count, in Redis behind silence', async () => {
    const run = await newRun()
    expect((await asks(pair.b, run)).status).toBe(200)
    proxy.blackhole(true)
    const before = upstream.requests.length
    expect(await asks(pair.b, run)).toMatchObject(untellable)
    expect(upstream.requests).toHaveLength(before)
    proxy.blackhole(false)
    proxy.dropConnections()
    await until(() => pair.b.parts.store.confirmedUntil() > pair.b.parts.clock.elapsed(), 'the store again', 20_000)
    expect((await asks(pair.b, run)).status).toBe(200)
  })

  test('[BND2] or fails lets no proof count, embedded', async () => {
    const run = await newRun()
    expect((await asks(alone, run)).status).toBe(200)
    beforeMark = () => Promise.reject(new Error('the store is down'))
    for (const path of [freshPath(), '/.narrowgate/session']) await comesToNothing(() => asks(alone, run, path), untellable)
    await comesToNothing(async () => asks(alone, await newRun()), untellable)
    beforeMark = async () => {}
    expect((await asks(alone, run)).status).toBe(200)
  })
})

describe('a request that had to wait', () => {
  async function reload(): Promise<void> {
    const text = readFileSync(alone.configFile, 'utf8')
    writeFileSync(alone.configFile, text.includes('timeout: 5s') ? text.replace('timeout: 5s', 'timeout: 6s') : text.replace('timeout: 6s', 'timeout: 5s'))
    expect(await alone.gateway.reload('SIGHUP')).toMatchObject({ ok: true })
  }

  /** Holds the next one there, does what has to happen meanwhile, lets it go. */
  async function meanwhile(hold: (before: () => Promise<void>) => void, run: Run, wire: Wire): Promise<Heard> {
    const [there, gone] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()]
    hold(() => {
      there.resolve()
      return gone.promise
    })
    const asked = asks(alone, run, freshPath(), { wire })
    await there.promise.then(() => hold(async () => {})).then(reload)
    gone.resolve()
    return asked
  }

  test.each(WIRES)('[BND2, DEC8, CFG10] is no replay of itself over %s: held until knowledge is fresh, or placed anew by a reload while its proof is marked or its session is read', async wire => {
    const known = await newRun()
    expect((await asks(alone, known, freshPath(), { wire })).status).toBe(200)
    for (const path of [freshPath(), '/.narrowgate/session']) {
      const asked = staleAsked
      stale = true
      const held = asks(alone, known, path, { wire })
      await until(() => staleAsked > asked + 8, 'it is held, and looks again and again')
      expect(upstream.requests.some(({ url }) => url === path)).toBe(false)
      stale = false
      expect((await held).status).toBe(200)
    }
    expect(await meanwhile(before => { beforeMark = before }, known, wire)).toMatchObject({ status: 200 })
    expect(await meanwhile(before => { beforeLoad = before }, await newRun(), wire)).toMatchObject({ status: 200 })
  })
})
