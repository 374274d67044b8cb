// How connections to an upstream are opened: what comes first on them, whose certificate is taken, and what becomes of those that never answer.
import { once } from 'node:events'
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type TlsOptions, TLSSocket } from 'node:tls'
import { afterEach, beforeAll, expect, test } from 'vitest'
import { duration } from '../../src/core/time.ts'
import { type Dial, Dialer, type DialTls } from '../../src/upstream/dial.ts'
import { proxyHeader } from '../../src/upstream/proxy-protocol.ts'
import { type Authority, testAuthority } from '../support/tls.ts'

type Outcome = { readonly socket: Socket | null; readonly protocol: string | null; readonly fault: string | null; readonly cause: string }

let authority: Authority
beforeAll(async () => { authority = await testAuthority() })

const closing: (() => unknown)[] = []
afterEach(() => { for (const close of closing.splice(0).reverse()) close() })

async function listening(server: Server): Promise<number> {
  const sockets = new Set<Socket>()
  server.on('connection', (socket: Socket) => {
    sockets.add(socket)
    socket.on('error', () => undefined)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  closing.push(() => {
    for (const socket of sockets) socket.destroy()
    server.close()
  })
  return (server.address() as AddressInfo).port // it listens on TCP
}

function tlsServer(options: TlsOptions = {}): { readonly server: Server; readonly accepted: TLSSocket[] } {
  const accepted: TLSSocket[] = []
  const server = createTlsServer({ cert: authority.server.cert, key: authority.server.key, ...options }, socket => {
    socket.on('error', () => undefined)
    accepted.push(socket)
  })
  server.on('tlsClientError', () => undefined)
  return { server, accepted }
}

const TLS = (changes: Partial<DialTls> = {}): DialTls => ({ ca: authority.ca, cert: null, key: null, servername: 'api.test', alpn: ['http/1.1'], ...changes })
const dialerOf = (tls: DialTls | null, timeout = 5_000): Dialer => new Dialer(tls, duration(timeout), () => false)

async function dialled(dialer: Dialer, port: number, preamble: Buffer | null = null): Promise<Outcome> {
  const outcome = Promise.withResolvers<Outcome>()
  const dial: Dial = dialer.dial({ host: '127.0.0.1', port }, preamble, {
    opened: (socket, protocol) => outcome.resolve({ socket, protocol, fault: null, cause: '' }),
    failed: (fault, cause) => outcome.resolve({ socket: null, protocol: null, fault, cause }),
  })
  closing.push(() => dial.abort())
  const { socket, ...rest } = await outcome.promise
  if (socket !== null) closing.push(() => socket.destroy())
  return { socket, ...rest }
}

test('[WIRE21] the chain and the name hold: opened, with the protocol that was agreed on', async () => {
  const port = await listening(tlsServer({ ALPNProtocols: ['h2', 'http/1.1'] }).server)
  expect(await dialled(dialerOf(TLS()), port)).toMatchObject({ protocol: 'http/1.1', fault: null })
  expect(await dialled(dialerOf(TLS({ alpn: ['h2', 'http/1.1'] })), port)).toMatchObject({ protocol: 'h2', fault: null })
  expect(await dialled(dialerOf(TLS({ servername: '127.0.0.1' })), port)).toMatchObject({ fault: null })
  const silent = await listening(tlsServer().server)
  expect(await dialled(dialerOf(TLS({ alpn: [] })), silent)).toMatchObject({ protocol: null, fault: null })
})

test.each(['other.example', 'a.b.test', '127.0.0.2', 'localhost.test.example'])('[WIRE21] a certificate for another name than %s is refused', async servername => {
  const { server, accepted } = tlsServer()
  const port = await listening(server)
  expect(await dialled(dialerOf(TLS({ servername })), port)).toMatchObject({ socket: null, fault: 'upstream_unavailable', cause: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  for (const socket of accepted) if (!socket.closed) await once(socket, 'close')
})

test('[WIRE21] another authority is refused, whatever the environment says', async () => {
  const port = await listening(tlsServer().server)
  const before = process.env['NODE_TLS_REJECT_UNAUTHORIZED']
  process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0'
  try {
    expect(await dialled(dialerOf(TLS({ ca: null })), port)).toMatchObject({ fault: 'upstream_unavailable' })
    expect(await dialled(dialerOf(TLS({ servername: 'other.example' })), port)).toMatchObject({ fault: 'upstream_unavailable' })
  } finally {
    if (before === undefined) delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']
    else process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = before
  }
})

test('[WIRE21] TLS 1.1 is refused', async () => {
  const port = await listening(tlsServer({ minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' }).server)
  expect(await dialled(dialerOf(TLS()), port)).toMatchObject({ fault: 'upstream_unavailable' })
})

test('[WIRE21] a client certificate is shown', async () => {
  const client = await authority.issue('client', [])
  const { server, accepted } = tlsServer({ requestCert: true, rejectUnauthorized: true, ca: authority.ca, maxVersion: 'TLSv1.2' })
  const port = await listening(server)
  expect(await dialled(dialerOf(TLS({ cert: client.cert, key: client.key })), port)).toMatchObject({ fault: null })
  expect(accepted[0]?.getPeerCertificate().subject.CN).toBe('client')
  expect(await dialled(dialerOf(TLS()), port)).toMatchObject({ fault: 'upstream_unavailable' })
  expect(() => dialerOf(TLS({ cert: client.cert, key: authority.server.key }))).toThrow(/key values mismatch/)
})

test.each(['TLSv1.2', 'TLSv1.3'] as const)('[WIRE21] %s: the second handshake resumes the session of the first, of a verified upstream alone', async version => {
  const { server, accepted } = tlsServer({ minVersion: version, maxVersion: version })
  const port = await listening(server)
  const wrong = dialerOf(TLS({ servername: 'other.example' }))
  for (let i = 0; i < 3; i++) expect(await dialled(wrong, port)).toMatchObject({ fault: 'upstream_unavailable' })
  const dialer = dialerOf(TLS())
  const first = await dialled(dialer, port)
  if (version === 'TLSv1.3') {
    const told = once(first.socket ?? server, 'session') // comes with the first octets of the upstream
    first.socket?.resume()
    await expect.poll(() => accepted.length).toBeGreaterThan(0)
    accepted.at(-1)?.write('x')
    await told
  }
  const second = await dialled(dialer, port)
  expect(second.fault).toBeNull()
  expect(second.socket instanceof TLSSocket && second.socket.isSessionReused()).toBe(true)
})

test('[WIRE12] where nobody listens: unavailable', async () => {
  const server = createServer()
  const port = await listening(server)
  server.close()
  await once(server, 'close')
  expect(await dialled(dialerOf(null), port)).toMatchObject({ fault: 'upstream_unavailable', cause: 'ECONNREFUSED' })
})

test('[WIRE12] an upstream that takes the connection and never shakes hands is given up in time', async () => {
  const server = createServer()
  const port = await listening(server)
  const peer = once(server, 'connection') as Promise<[Socket]> // what the event carries
  const before = performance.now()
  expect(await dialled(dialerOf(TLS(), 150), port)).toMatchObject({ fault: 'upstream_timeout' })
  expect(performance.now() - before).toBeGreaterThan(140)
  const [socket] = await peer
  socket.resume()
  await once(socket, 'close')
})

test('[WIRE12] an upstream that hangs up, or answers no TLS, in the handshake is unavailable', async () => {
  for (const behave of [(socket: Socket) => socket.end(), (socket: Socket) => socket.resetAndDestroy(), (socket: Socket) => socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')]) {
    const port = await listening(createServer(socket => void socket.once('data', () => behave(socket))))
    expect(await dialled(dialerOf(TLS()), port)).toMatchObject({ fault: 'upstream_unavailable' })
  }
})

test('[WIRE12] given up, nothing is told and the peer sees the end', async () => {
  const server = createServer()
  const port = await listening(server)
  const told: string[] = []
  const dial = dialerOf(TLS()).dial({ host: '127.0.0.1', port }, null, { opened: () => told.push('opened'), failed: () => told.push('failed') })
  const [socket] = (await once(server, 'connection')) as [Socket] // what the event carries
  socket.resume()
  dial.abort()
  await once(socket, 'close')
  expect(told).toEqual([])
})

test.each([false, true])('[WIRE23] what must come first comes first, then what is said (over TLS: %s)', async secure => {
  const header = proxyHeader({ address: '192.0.2.1', port: 1_234 }, { address: '192.0.2.2', port: 443 }) ?? Buffer.alloc(0)
  const { server: inner } = tlsServer()
  const said = Promise.withResolvers<string>()
  inner.on('secureConnection', (socket: TLSSocket) => socket.once('data', (chunk: Buffer) => said.resolve(chunk.toString())))
  const first = Promise.withResolvers<Buffer>()
  const port = await listening(createServer(socket => void socket.once('readable', () => {
    first.resolve(socket.read(header.length) as Buffer) // bytes, as no encoding is set
    if (secure) inner.emit('connection', socket)
    else socket.on('data', (chunk: Buffer) => said.resolve(chunk.toString()))
  })))
  const { socket } = await dialled(dialerOf(secure ? TLS() : null), port, header)
  socket?.write('hello')
  expect(await first.promise).toEqual(header)
  expect(await said.promise).toBe('hello')
})
