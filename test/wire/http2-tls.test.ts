// The listener's doors: which protocol ALPN chooses, which server a TLS client is at, a certificate that changes under open connections, and whom a
// trusted proxy names in front of it all. SPEC: WIRE14, WIRE16, WIRE22, WIRE23
import { once } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { HttpProtocol } from '../../src/config/settings.ts'
import { duration } from '../../src/core/time.ts'
import { localProxyHeader, proxyHeader } from '../../src/upstream/proxy-protocol.ts'
import { FLAG, FRAME, frame, FrameClient, headers, PREFACE, requestFields } from '../support/http2-frames.ts'
import { TestListener } from '../support/http2-listener.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { type Authority, type Certificate, testAuthority } from '../support/tls.ts'
import { until } from './support.ts'

let authority: Authority
let other: Certificate
let listener: TestListener
beforeAll(async () => {
  authority = await testAuthority()
  other = await authority.issue('other', ['DNS:other.test', 'DNS:*.wild.test', 'IP:192.0.2.1', 'IP:2001:db8::1'])
})
afterEach(() => listener.stop())

const get = (stream: number): Buffer => headers(stream, requestFields('GET', '/a', [], 'https'))
const overTls = (port: number) => ({ port, tls: { ca: authority.ca } })

async function answered(client: FrameClient, stream: number): Promise<void> {
  client.push(get(stream))
  await client.first(found => found.stream === stream && found.type === FRAME.data && (found.flags & FLAG.endStream) !== 0)
}

describe('ALPN', () => {
  async function chosen(protocols: readonly HttpProtocol[], offers: readonly string[] | undefined): Promise<string | false | null> {
    listener = await TestListener.start({ tls: authority.server, protocols })
    const socket = connect({ port: listener.port, host: '127.0.0.1', ca: authority.ca, servername: 'api.test', ...(offers === undefined ? {} : { ALPNProtocols: [...offers] }) })
    try {
      await once(socket, 'secureConnect')
      return socket.alpnProtocol
    } catch {
      return 'refused'
    } finally {
      socket.destroy()
      listener.stop()
    }
  }

  test('[WIRE16] chooses h2 where both sides can, HTTP/1.1 where one of them cannot, and nothing else', async () => {
    const both = ['http1', 'http2'] as const
    expect(await chosen(both, ['http/1.1', 'h2'])).toBe('h2')
    expect(await chosen(both, ['http/1.1'])).toBe('http/1.1')
    expect(await chosen(['http1'], ['h2', 'http/1.1'])).toBe('http/1.1')
    expect(await chosen(['http2'], ['h2', 'http/1.1'])).toBe('h2')
    expect(await chosen(['http1'], ['h2'])).toBe('refused')
    expect(await chosen(both, ['spdy/1'])).toBe('refused')
  })

  test('[WIRE16] serves both protocols at one port, HTTP/1.1 also to whoever offers nothing', async () => {
    listener = await TestListener.start({ tls: authority.server })
    const client = await FrameClient.connect(overTls(listener.port))
    await answered(client, 1)
    const old = await RawClient.connect(overTls(listener.port))
    old.push(request('GET', '/old'))
    expect((await old.response()).status).toBe(200)
    const bare = connect({ port: listener.port, host: '127.0.0.1', ca: authority.ca, servername: 'api.test' })
    await once(bare, 'secureConnect')
    bare.write(request('GET', '/bare'))
    expect(String(await once(bare, 'data'))).toContain('200')
    expect(listener.arrivals.map(({ protocol, secure, serverName }) => [protocol, secure, serverName])).toEqual([['http2', true, 'api.test'], ['http1', true, 'api.test'], ['http1', true, 'api.test']])
    for (const one of [client, old]) one.close()
    bare.destroy()
  })

  test('[WIRE16] that chose nothing is no way into a listener of HTTP/2 alone', async () => {
    listener = await TestListener.start({ tls: authority.server, protocols: ['http2'] })
    const bare = connect({ port: listener.port, host: '127.0.0.1', ca: authority.ca, servername: 'api.test' })
    bare.on('error', () => {})
    bare.write(Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), get(1)]))
    await once(bare, 'close')
    expect(listener.arrivals).toEqual([])
  })
})

describe('a certificate', () => {
  const presented = async (): Promise<string> => {
    const socket: TLSSocket = connect({ port: listener.port, host: '127.0.0.1', ca: authority.ca, servername: 'api.test', checkServerIdentity: () => undefined, ALPNProtocols: ['h2'] })
    await once(socket, 'secureConnect')
    const { subject } = socket.getPeerCertificate()
    socket.destroy()
    return String(subject.CN)
  }

  test('[WIRE14, CFG10] that changes is for connections from then on; open ones go on, in both protocols', async () => {
    listener = await TestListener.start({ tls: authority.server })
    const client = await FrameClient.connect(overTls(listener.port))
    const old = await RawClient.connect(overTls(listener.port))
    await answered(client, 1)
    expect(await presented()).toBe('server')
    listener.listener.secure(other)
    expect(await presented()).toBe('other')
    await answered(client, 3)
    old.push(request('GET', '/old'))
    expect((await old.response()).status).toBe(200)
    client.close()
    old.close()
  })

  test('[WIRE22] speaks for the hosts it names: a client that named one server and asks for another is misdirected where it does not', async () => {
    listener = await TestListener.start({ tls: authority.server })
    const asks = (serverName: string | null, host: string): boolean => listener.listener.isMisdirected(serverName, host)
    expect([asks('api.test', 'api.test'), asks('api.test', 'localhost'), asks(null, 'elsewhere.example')]).toEqual([false, false, false])
    expect([asks('api.test', 'elsewhere.example'), asks('api.test', 'a.b.test'), asks('api.test', '10.0.0.1')]).toEqual([true, true, true])
    expect([asks('api.test', '127.0.0.1'), asks('unknown.example', 'unknown.example')]).toEqual([false, false])
    listener.listener.secure(other)
    expect([asks('api.test', 'localhost'), asks('api.test', 'other.test'), asks('api.test', 'x.wild.test'), asks('api.test', 'wild.test')]).toEqual([true, false, false, true])
    expect([asks('api.test', '192.0.2.1'), asks('api.test', '[2001:db8::1]'), asks('api.test', '[2001:db8::2]')]).toEqual([false, false, true])
  })
})

describe('a PROXY header', () => {
  const HEADER = proxyHeader({ address: '203.0.113.9', port: 4_711 }, { address: '127.0.0.1', port: 443 }) ?? Buffer.alloc(0)

  async function sends(first: Uint8Array, proxies: readonly string[] = ['127.0.0.0/8']): Promise<RawClient> {
    listener = await TestListener.start({ proxies, limits: { headersTimeout: duration(300) } })
    const client = await RawClient.connect(listener)
    client.push(first)
    return client
  }

  test('[WIRE23] of a trusted proxy names the caller, in HTTP/1.1 and HTTP/2, in one piece with the request or byte by byte', async () => {
    const client = await sends(Buffer.concat([HEADER, Buffer.from(request('GET', '/one'))]))
    expect((await client.response()).status).toBe(200)
    const slow = await RawClient.connect(listener)
    for (const byte of HEADER) await slow.send(Buffer.from([byte]))
    slow.push(request('GET', '/slow'))
    expect((await slow.response()).status).toBe(200)
    const second = await FrameClient.connect(listener, Buffer.concat([HEADER, PREFACE, frame(FRAME.settings, 0, 0), headers(1, requestFields('GET', '/h2'))]))
    await second.first(({ type, flags }) => type === FRAME.data && flags === FLAG.endStream)
    expect(listener.arrivals.map(({ target, peer }) => [target, peer])).toEqual([['/one', '203.0.113.9'], ['/slow', '203.0.113.9'], ['/h2', '203.0.113.9']])
    second.close()
  })

  test('[WIRE23] of the proxy\'s own connection leaves the proxy as the peer', async () => {
    const client = await sends(Buffer.concat([localProxyHeader(), Buffer.from(request('GET', '/own'))]))
    expect((await client.response()).status).toBe(200)
    expect(listener.arrivals.map(({ peer }) => peer)).toEqual(['127.0.0.1'])
  })

  test('[WIRE23] stands in front of the TLS handshake, and names the caller inside it', async () => {
    listener = await TestListener.start({ proxies: ['127.0.0.1'], tls: authority.server })
    for (const [alpn, ask] of [['h2', Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0), get(1)])], ['http/1.1', Buffer.from(request('GET', '/old'))]] as const) {
      const raw = connectTcp({ port: listener.port, host: '127.0.0.1' })
      raw.write(HEADER)
      const socket = connect({ socket: raw, ca: authority.ca, servername: 'api.test', ALPNProtocols: [alpn] })
      await once(socket, 'secureConnect')
      socket.write(ask)
      const before = listener.arrivals.length
      await until(() => listener.arrivals.length > before, 'it arrived')
      socket.destroy()
    }
    expect(listener.arrivals.map(({ protocol, peer, serverName }) => [protocol, peer, serverName])).toEqual([['http2', '203.0.113.9', 'api.test'], ['http1', '203.0.113.9', 'api.test']])
  })

  const DROPPED: readonly (readonly [name: string, first: Buffer, proxies: readonly string[]])[] = [
    ['that is missing', Buffer.from(request('GET', '/a')), ['127.0.0.0/8']],
    ['of version 1', Buffer.from(`PROXY TCP4 203.0.113.9 127.0.0.1 4711 443\r\n${request('GET', '/a')}`), ['127.0.0.0/8']],
    ['that is malformed', Buffer.concat([HEADER.subarray(0, 13), Buffer.from([0x12]), HEADER.subarray(14), Buffer.from(request('GET', '/a'))]), ['127.0.0.0/8']],
    ['of a peer that is not trusted', Buffer.concat([HEADER, Buffer.from(request('GET', '/a'))]), ['192.0.2.0/24']],
    ['that does not come to its end in time', HEADER.subarray(0, 20), ['127.0.0.0/8']],
    ['of which nothing comes', Buffer.alloc(0), ['127.0.0.0/8']],
  ]
  for (const [name, first, proxies] of DROPPED) {
    test(`[WIRE23] ${name} drops the connection without a word`, async () => {
      const client = await sends(first, proxies)
      expect(await client.ended).not.toBe('closed here')
      expect([client.received, listener.arrivals]).toEqual([0, []])
      expect(listener.faults).toEqual(['http1 bad_request 127.0.0.1'])
    })
  }
})
