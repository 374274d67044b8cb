// Tokens bound to a client certificate, shown to real sockets of two gateways over one Redis, and of one with the embedded store: the certificate proves
// something by the authorities and lists of its listener alone, at each request, and a proxy's word counts from listed peers in one form. SPEC: BND3, BND4
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect as connectTcp, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect, type SecureVersion, type TLSSocket } from 'node:tls'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { sha256 } from '../../src/runtime/id.ts'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { call, comesToNothing as nothing, type Headers, type Heard, http2To, overHttp2, PLACES, possessionPlan, type Way, WHERE, type Where, WIRES } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { RedisServer } from '../support/redis-server.ts'
import { ClientAuthority, type Leaf } from '../support/tls.ts'
import { pause, until } from './support.ts'

const TRUSTED = '127.0.0.2'

let directory: string
let server: RedisServer
let upstream: RecordingUpstream
let pair: GatewayPair
let alone: TestGateway
let authority: ClientAuthority
let elsewhere: ClientAuthority
let mine: Leaf
let other: Leaf
let revoked: Leaf
let expired: Leaf
let foreign: Leaf
const file = (name: string): string => join(directory, name)
const gateOf = (where: Where): TestGateway => (where === 'alone' ? alone : pair[where])

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-possession-'))
  ;[authority, elsewhere, server, upstream] = await Promise.all([ClientAuthority.create('Clients'), ClientAuthority.create('Clients'), RedisServer.start(), RecordingUpstream.start()])
  ;[mine, other, revoked, expired, foreign] = await Promise.all([
    authority.issue(), authority.issue(), authority.issue(), authority.issue({ from: new Date(Date.now() - 120_000), to: new Date(Date.now() - 60_000) }), elsewhere.issue(),
  ])
  await authority.revoke(revoked)
  await trust()
  upstream.plays.set('/status', '/ok')
  const plan = await possessionPlan({ caFile: file('ca.pem'), crlFile: file('ca.crl') })
  pair = await TestGateway.pair(server, { ...plan, upstream })
  alone = await TestGateway.start({ ...plan, upstream, issuer: pair.a.issuer })
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop()])
  await Promise.all([upstream.close(), server.dispose()])
  rmSync(directory, { recursive: true, force: true })
})

/** What the listeners believe from their next reload on. */
async function trust(of: ClientAuthority = authority): Promise<void> {
  copyFileSync(of.cert.certFile, file('ca.pem'))
  copyFileSync(await of.crl(), file('ca.crl'))
}

async function reload(): Promise<void> {
  for (const where of WHERE) expect(await gateOf(where).gateway.reload('SIGHUP')).toMatchObject({ ok: true })
}

let turn = 0
const freshPath = (): string => `/c${++turn}`
const tokenOf = (leaf: Leaf): Promise<string> => pair.a.token({ cnf: { 'x5t#S256': sha256(leaf.der) } })
const hashOf = (leaf: Leaf): string => Buffer.from(sha256(leaf.der), 'base64url').toString('hex')
const xfcc = (leaf: Leaf): Headers => ({ 'x-forwarded-client-cert': `By=spiffe://example.org/gw;Hash=${hashOf(leaf)};Subject="CN=runner"` })
const clientCert = (leaf: Leaf): Headers => ({ 'client-cert': `:${leaf.der.toString('base64')}:` })

const ask = (where: Where, token: string, way: Way, headers: Headers = {}, path = freshPath()): Promise<Heard> => call(gateOf(where), way, { path, headers: { authorization: `Bearer ${token}`, ...headers } })
const invalidToken = { status: 401, reason: 'credential_invalid', challenges: [expect.stringMatching(/^Bearer realm="narrowgate", error="invalid_token"/)] }

const comesToNothing = (asked: () => Promise<Heard>, what: string): Promise<void> => nothing(WHERE.map(gateOf), upstream, asked, invalidToken, what)

describe('a token bound to a certificate', () => {
  test('[BND3, S1.a] passes on every gateway with that certificate on its connection, in HTTP/1.1 and HTTP/2, as one session', async () => {
    const token = await tokenOf(mine)
    for (const [where, wire] of PLACES) expect((await ask(where, token, { wire, leaf: mine }, {}, '/status')).status, `${where} ${wire}`).toBe(200)
    const seen = await Promise.all((['a', 'b'] as const).map(where => ask(where, token, { leaf: mine }, {}, '/.narrowgate/session')))
    expect(new Set(seen.map(({ json }) => json['id'])).size).toBe(1)
  })

  const SHOWN: readonly { readonly id: string; readonly what: string; readonly bound?: () => Leaf; readonly leaf: () => Leaf | null }[] = [
    { id: 'TOK-028', what: 'no certificate', leaf: () => null },
    { id: 'TOK-028', what: 'another one of the same authority', leaf: () => other },
    { id: 'BND4', what: 'its certificate, which is expired', bound: () => expired, leaf: () => expired },
    { id: 'BND4', what: 'its certificate, which is revoked', bound: () => revoked, leaf: () => revoked },
    { id: 'BND4', what: 'its own, of an unnamed authority', bound: () => foreign, leaf: () => foreign },
  ]
  test.each(SHOWN)('[$id, BND3] is refused with $what; no session is opened, nothing goes upstream', async ({ bound = () => mine, leaf }) => {
    for (const [where, wire] of PLACES) {
      const token = await tokenOf(bound())
      for (const path of [freshPath(), '/.narrowgate/session']) await comesToNothing(() => ask(where, token, { wire, leaf: leaf() }, {}, path), `${where} ${wire} ${path}`)
    }
  })

  test('[BND3] is refused under the scheme DPoP, with its certificate too; an unbound token needs none and is not harmed by a bad one', async () => {
    const [bound, free] = [await tokenOf(mine), await pair.a.token()]
    for (const [where, wire] of PLACES) {
      expect(await call(gateOf(where), { wire, leaf: mine }, { path: freshPath(), headers: { authorization: `DPoP ${bound}` } })).toMatchObject({ status: 401, challenges: [expect.stringContaining('error="invalid_token"')] })
      for (const leaf of [null, mine, revoked, foreign]) expect((await ask(where, free, { wire, leaf })).status).toBe(200)
    }
  })

  test('[BND3] is refused from the second on in which its certificate expires, on the connection that it began', async () => {
    const brief = await authority.issue({ to: new Date(Math.ceil(Date.now() / 1000) * 1000 + 3_000) })
    const token = await tokenOf(brief)
    const headers = { authorization: `Bearer ${token}` }
    const [session, old] = [http2To(pair.a, { leaf: brief }), await RawClient.connect({ ...pair.b.target, tls: { ca: pair.b.target.tls?.ca ?? '', leaf: brief } })]
    const both = async (): Promise<readonly number[]> => {
      old.push(request('GET', freshPath(), headers))
      return [(await overHttp2(session, { path: freshPath(), headers })).status, (await old.response()).status]
    }
    expect(await both()).toEqual([200, 200])
    const last = Date.parse(new X509Certificate(brief.cert).validTo)
    await pause(last + 1_000 - Date.now())
    expect(await both()).toEqual([401, 401])
    session.destroy()
    old.close()
  })
})

describe('a certificate that a proxy tells of', () => {
  type Told = { readonly what: string; readonly listener: 'main' | 'inner'; readonly headers: () => Headers; readonly way?: () => Way; readonly from: string; readonly passes: boolean }
  const TOLD: readonly Told[] = [
    { what: 'XFCC, the form, from a listed proxy', listener: 'main', headers: () => xfcc(mine), from: TRUSTED, passes: true },
    { what: 'Client-Cert, the form, from a listed one', listener: 'inner', headers: () => clientCert(mine), from: TRUSTED, passes: true },
    { what: 'XFCC beside the proxy\'s own certificate', listener: 'main', headers: () => xfcc(mine), way: () => ({ leaf: other }), from: TRUSTED, passes: true },
    { what: 'XFCC of another beside its own', listener: 'main', headers: () => xfcc(other), way: () => ({ leaf: mine }), from: TRUSTED, passes: false },
    { what: 'only the proxy\'s own certificate', listener: 'main', headers: () => ({}), way: () => ({ leaf: mine }), from: TRUSTED, passes: false },
    { what: 'XFCC from anybody else', listener: 'main', headers: () => xfcc(mine), from: '127.0.0.1', passes: false },
    { what: 'Client-Cert from anybody else', listener: 'inner', headers: () => clientCert(mine), from: '127.0.0.1', passes: false },
    { what: 'Client-Cert where XFCC is the form', listener: 'main', headers: () => clientCert(mine), from: TRUSTED, passes: false },
    { what: 'XFCC where Client-Cert is the form', listener: 'inner', headers: () => xfcc(mine), from: TRUSTED, passes: false },
    { what: 'Client-Cert beside XFCC of another', listener: 'main', headers: () => ({ ...clientCert(mine), ...xfcc(other) }), from: TRUSTED, passes: false },
    { what: 'XFCC with another one further right', listener: 'main', headers: () => ({ 'x-forwarded-client-cert': `Hash=${hashOf(mine)},Hash=${hashOf(other)}` }), from: TRUSTED, passes: false },
    { what: 'Client-Cert that is expired', listener: 'inner', headers: () => clientCert(expired), from: TRUSTED, passes: false },
  ]
  test.each(TOLD)('[TOK-028, BND3, WIRE5] $what: counts: $passes', async ({ listener, headers, way, from, passes }) => {
    for (const [where, wire] of PLACES) {
      const token = await tokenOf(headers()['client-cert'] === clientCert(expired)['client-cert'] ? expired : mine)
      const asked = (): Promise<Heard> => ask(where, token, { listener, wire, from, ...way?.() }, headers())
      if (passes) expect((await asked()).status, `${where} ${wire}`).toBe(200)
      else await comesToNothing(asked, `${where} ${wire}`)
    }
  })

  test('[WIRE5, BND4] goes no further: every header that tells of one stays here, from whomever, believed or not', async () => {
    const free = await pair.a.token()
    const bound = await tokenOf(mine)
    const many: Headers = { ...xfcc(mine), ...clientCert(mine), 'client-cert-chain': `:${mine.der.toString('base64')}:`, 'X-SSL-Client-Cert': 'x', 'ssl-client-verify': 'SUCCESS', 'x-forwarded-tls-client-cert': 'x', 'x-amzn-mtls-clientcert': 'x', 'x-client-cert-chain': 'x', 'x-arr-clientcert': 'x' }
    for (const [where, wire] of PLACES) {
      for (const [listener, from, token] of [['main', TRUSTED, bound], ['inner', TRUSTED, bound], ['main', '127.0.0.1', free], ['inner', '127.0.0.1', free]] as const) {
        const path = freshPath()
        const headers = listener === 'main' || from !== TRUSTED ? many : { ...many, 'client-cert-chain': [] }
        expect((await ask(where, token, { listener, wire, from }, headers, path)).status, `${where} ${wire} ${listener} ${from}`).toBe(200)
        const [arrived] = upstream.requests.filter(({ url }) => url === path)
        expect(arrived?.rawHeaders.filter(([name, value]) => /cert|ssl|tls/i.test(name) || value.includes(hashOf(mine)) || value.includes(mine.der.toString('base64')))).toEqual([])
      }
    }
  })
})

async function anew(): Promise<void> {
  await trust()
  await reload()
}

describe('a listener whose authorities or lists change', () => {
  beforeEach(anew)

  type Lasting = { readonly ask: () => Promise<readonly number[]>; readonly over: () => boolean; readonly close: () => void }
  /** Asks on connections that stay, one of each protocol; 0 where it is over. */
  async function lasting(gate: TestGateway, leaf: Leaf | null, token: string): Promise<Lasting> {
    const [session, old] = [http2To(gate, { leaf }), await RawClient.connect({ ...gate.target, tls: { ca: gate.target.tls?.ca ?? '', leaf } })]
    let ended = false
    void old.ended.then(() => { ended = true })
    const headers = { authorization: `Bearer ${token}` }
    const streamed = async (): Promise<number> => (session.destroyed ? 0 : (await overHttp2(session, { path: freshPath(), headers })).status)
    const piped = async (): Promise<number> => {
      old.push(request('GET', freshPath(), headers))
      return (await old.response()).status
    }
    return { ask: async () => [await streamed(), await piped()], over: () => ended && session.destroyed, close: () => [session, old].forEach(one => (one instanceof RawClient ? one.close() : one.destroy())) }
  }

  const CHANGES = [
    ['a list that revokes one more', async (fresh: Leaf) => authority.revoke(fresh).then(() => trust())],
    ['another authority', async () => trust(elsewhere)],
  ] as const
  test.each(WHERE.flatMap(where => CHANGES.map(([what, change]) => ({ where, what, change }))))('[BND4, CFG10] $where: $what ends connections that had shown a certificate, and leaves those that had shown none', async ({ where, change }) => {
    const [gate, fresh, free] = [gateOf(where), await authority.issue(), await pair.a.token()]
    const bound = await tokenOf(fresh)
    const [proved, good, anonymous] = [await lasting(gate, fresh, bound), await lasting(gate, mine, await tokenOf(mine)), await lasting(gate, null, free)]
    const all = async (): Promise<readonly (readonly number[])[]> => [await proved.ask(), await good.ask(), await anonymous.ask()]
    expect(await all()).toEqual([[200, 200], [200, 200], [200, 200]])
    await gate.gateway.reload('SIGHUP')
    expect(await all(), 'nothing changed').toEqual([[200, 200], [200, 200], [200, 200]])
    await change(fresh)
    expect(await gate.gateway.reload('SIGHUP')).toMatchObject({ ok: true })
    await until(() => proved.over() && good.over(), 'the connections are over')
    expect(await anonymous.ask()).toEqual([200, 200])
    anonymous.close()
    for (const wire of WIRES) await comesToNothing(() => ask(where, bound, { wire, leaf: fresh }), `${where} ${wire}`)
  })

  /** One request on a connection whose client says nothing behind its first words until it is let; what was answered, empty where it was ended. */
  async function stalled(where: Where, version: SecureVersion, leaf: Leaf | null, token: string) {
    const { port, tls } = gateOf(where).target
    const [relay, held] = [createServer(), Promise.withResolvers<() => void>()]
    relay.once('connection', inward => {
      const outward = connectTcp(port, '127.0.0.1')
      for (const end of [inward, outward]) end.on('error', () => {}).on('close', () => [inward, outward].forEach(one => one.destroy()))
      outward.pipe(inward)
      inward.once('data', first => {
        outward.write(first)
        inward.pause().once('readable', () => held.resolve(() => { inward.pipe(outward) }))
      })
    })
    await once(relay.listen(0, '127.0.0.1'), 'listening')
    const socket = connect({ host: '127.0.0.1', port: (relay.address() as AddressInfo).port, ca: tls?.ca ?? '', servername: 'api.test', ALPNProtocols: ['http/1.1'], minVersion: version, maxVersion: version, ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }) }) // it listens on a port
    socket.on('error', () => {})
    socket.write(request('GET', freshPath(), { authorization: `Bearer ${token}`, connection: 'close' }))
    let heard = ''
    const over = new Promise(resolve => { socket.once('close', resolve) })
    socket.on('data', (data: Buffer) => { heard += data.toString('latin1') })
    const go = await held.promise
    return async (): Promise<string> => {
      go()
      await over
      relay.close()
      return heard.slice(0, 12)
    }
  }

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('[BND4, CFG10] in %s a handshake that began under a list of before and ends under one that revokes its certificate proves nothing', async version => {
    for (const where of WHERE) {
      const fresh = await authority.issue()
      const [late, plain] = [await stalled(where, version, fresh, await tokenOf(fresh)), await stalled(where, version, null, await pair.a.token())]
      await authority.revoke(fresh)
      await trust()
      expect(await gateOf(where).gateway.reload('SIGHUP')).toMatchObject({ ok: true })
      expect(await late(), where).not.toBe('HTTP/1.1 200')
      expect(await plain(), where).toBe('HTTP/1.1 200')
    }
  })
})

describe('a TLS session that is resumed', () => {
  beforeEach(anew)

  type Met = { readonly status: number; readonly reused: boolean; readonly session: Buffer | null }
  /** One request on a connection of its own, and the session to resume it with. */
  async function meets(where: Where, version: SecureVersion, token: string, { leaf = null, session = null }: { readonly leaf?: Leaf | null; readonly session?: Buffer | null }): Promise<Met> {
    const { port, tls } = gateOf(where).target
    const socket: TLSSocket = connect({ host: '127.0.0.1', port, ca: tls?.ca ?? '', servername: 'api.test', ALPNProtocols: ['http/1.1'], minVersion: version, maxVersion: version, ...(leaf === null ? {} : { cert: leaf.cert, key: leaf.key }), ...(session === null ? {} : { session }) })
    let ticket: Buffer | null = null
    socket.on('session', (given: Buffer) => { ticket = given })
    await once(socket, 'secureConnect')
    socket.write(request('GET', freshPath(), { authorization: `Bearer ${token}` }))
    const [data] = (await once(socket, 'data')) as [Buffer] // no encoding is set
    const met = { status: Number(/^HTTP\/1\.1 (\d+)/.exec(data.toString('latin1'))?.[1]), reused: socket.isSessionReused(), session: ticket ?? socket.getSession() ?? null }
    socket.destroy()
    return met
  }

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('[BND3, BND4] in %s shows the certificate it began with, whatever else is offered; at another gateway nothing, and nothing once its certificate is revoked', async version => {
    for (const [where, elsewhereToo] of [['a', 'b'], ['b', 'a'], ['alone', 'a']] as const) {
      const fresh = await authority.issue()
      const [bound, others] = [await tokenOf(fresh), await tokenOf(mine)]
      const first = await meets(where, version, bound, { leaf: fresh })
      expect(first).toMatchObject({ status: 200, reused: false })
      const { session } = first
      expect(await meets(where, version, bound, { leaf: fresh, session })).toMatchObject({ status: 200, reused: true })
      expect(await meets(where, version, others, { leaf: mine, session })).toMatchObject({ status: 401, reused: true })
      expect(await meets(elsewhereToo, version, bound, { session })).toMatchObject({ status: 401, reused: false })
      await authority.revoke(fresh)
      await anew()
      for (const leaf of [fresh, null]) expect((await meets(where, version, bound, { leaf, session })).status).toBe(401)
    }
  })
})
