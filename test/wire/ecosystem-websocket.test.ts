// The ws package as caller and as server, with the whole gateway between them: what both know of WebSocket passes unchanged. SPEC: WIRE18
import { once } from 'node:events'
import { createServer, type Server } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { type RawData, WebSocket, WebSocketServer } from 'ws'
import { TestGateway } from '../support/gateway.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { operate, until } from './support.ts'

const TEN_MB = 10_000_000

/** One side of a WebSocket and what it heard. */
class Side {
  readonly socket: WebSocket
  readonly heard: { readonly data: Buffer; readonly binary: boolean }[] = []
  readonly pings: string[] = []
  readonly pongs: string[] = []
  closed: readonly [code: number, reason: string] | null = null

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: RawData, binary) => this.heard.push({ data: data as Buffer, binary })) // nodebuffer is the default
    socket.on('ping', data => this.pings.push(data.toString()))
    socket.on('pong', data => this.pongs.push(data.toString()))
    socket.on('close', (code, reason) => (this.closed = [code, reason.toString()]))
    socket.on('error', () => undefined) // told by its close
  }
}

let http: Server
let sockets: WebSocketServer
const arrived: { readonly side: Side; readonly raw: Socket }[] = []
beforeAll(async () => {
  http = createServer()
  sockets = new WebSocketServer({ server: http, perMessageDeflate: { threshold: 0 }, maxPayload: 2 * TEN_MB, handleProtocols: offered => (offered.has('chat.v1') ? 'chat.v1' : false) })
  sockets.on('connection', (socket, request) => arrived.push({ side: new Side(socket), raw: request.socket }))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
})
afterAll(async () => {
  for (const client of sockets.clients) client.terminate()
  http.close()
  http.closeAllConnections()
  await once(http, 'close')
})

describe.each([{ over: 'TLS', tls: true }, { over: 'clear text', tls: false }])('over $over', ({ tls }) => {
  let gate: TestGateway
  const open: WebSocket[] = []
  beforeAll(async () => {
    gate = await TestGateway.start({
      tls,
      routes: `
- name: sockets
  match: { host: localhost }
  upstream: { url: "http://127.0.0.1:${(http.address() as AddressInfo).port}" }
  rules:
    - { allow: { paths: ["/ws/**"], upgrade: websocket }, scope: base:read }
- name: own
  match: { host: api.test }
  upstream: { url: "http://127.0.0.1:${(http.address() as AddressInfo).port}" }
  rules:
    - { allow: {}, scope: base:read }`, // both are a TCP server's address
    })
  })
  afterEach(() => { for (const socket of open.splice(0)) socket.terminate() })
  afterAll(() => gate.stop())

  function dial(token: string | null, protocols: readonly string[] = [], deflate = false): WebSocket {
    const options = { ca: gate.target.tls?.ca, headers: token === null ? {} : { authorization: `Bearer ${token}` }, perMessageDeflate: deflate, maxPayload: 2 * TEN_MB }
    const socket = new WebSocket(`${tls ? 'wss' : 'ws'}://localhost:${gate.target.port}/ws/room?x=1`, [...protocols], options)
    open.push(socket)
    return socket
  }

  async function line(protocols: readonly string[] = [], deflate = false, token: string | null = null) {
    const before = arrived.length
    const caller = new Side(dial(token ?? (await gate.token()), protocols, deflate))
    await once(caller.socket, 'open')
    await until(() => arrived.length > before, 'the server has its connection')
    const peer = arrived[before]
    if (peer === undefined) throw new Error('no peer')
    return { caller, server: peer.side, raw: peer.raw }
  }

  test('[WIRE18] the peers agree on a subprotocol, or on none', async () => {
    const agreed = await line(['chat.v2', 'chat.v1'])
    expect([agreed.caller.socket.protocol, agreed.server.socket.protocol]).toEqual(['chat.v1', 'chat.v1'])
    const none = await line()
    expect([none.caller.socket.protocol, none.server.socket.protocol]).toEqual(['', ''])
  })

  test('[WIRE18] messages in fragments, texts and binaries come whole both ways, in their order', async () => {
    const { caller, server } = await line()
    for (const [from, to] of [[caller, server], [server, caller]] as const) {
      from.socket.send('one ', { fin: false })
      from.socket.ping('between')
      from.socket.send('two ', { fin: false })
      from.socket.send('three ä', { fin: true })
      from.socket.send(Buffer.from([0, 255, 128]))
      from.socket.send('')
      await until(() => to.heard.length === 3, 'three messages')
      expect(to.heard.map(({ data, binary }) => [binary, data.toString('latin1')])).toEqual([[false, Buffer.from('one two three ä').toString('latin1')], [true, '\u0000\u00ff\u0080'], [false, '']])
    }
  })

  test('[WIRE18] pings are answered end to end, both ways', async () => {
    const { caller, server } = await line()
    caller.socket.ping('from the caller')
    server.socket.ping('from the server')
    await until(() => caller.pongs.length === 1 && server.pongs.length === 1, 'both pongs')
    expect([caller.pongs, server.pings, server.pongs, caller.pings]).toEqual([['from the caller'], ['from the caller'], ['from the server'], ['from the server']])
  })

  test('[WIRE18] permessage-deflate is the peers\' own: what one compressed travels compressed, and the other reads it', async () => {
    const { caller, server, raw } = await line([], true)
    expect([caller.socket.extensions, server.socket.extensions].every(text => text.startsWith('permessage-deflate'))).toBe(true)
    const before = raw.bytesRead
    for (let i = 0; i < 3; i++) caller.socket.send('same '.repeat(200_000))
    server.socket.send('back '.repeat(200_000))
    await until(() => server.heard.length === 3 && caller.heard.length === 1, 'the messages')
    expect(server.heard.map(({ data }) => data.toString() === 'same '.repeat(200_000))).toEqual([true, true, true])
    expect(caller.heard[0]?.data.toString() === 'back '.repeat(200_000)).toBe(true)
    expect(raw.bytesRead - before).toBeLessThan(100_000)
  })

  test('[WIRE18] a message of 10 MB comes whole each way, at the same time', async () => {
    const { caller, server } = await line()
    caller.socket.send(patternAt(0, TEN_MB))
    server.socket.send(patternAt(64, TEN_MB))
    await until(() => server.heard.length === 1 && caller.heard.length === 1, 'both', 30_000)
    const [up, down] = [server.heard[0]?.data ?? Buffer.alloc(0), caller.heard[0]?.data ?? Buffer.alloc(0)]
    expect([up.length, firstMismatch(up), down.length, firstMismatch(down, 64)]).toEqual([TEN_MB, null, TEN_MB, null])
  })

  test.each([[1000, 'done'], [1001, ''], [3000, 'registered'], [4321, 'grüß dich']] as const)('[WIRE18] close code %i passes both ways with its reason', async (code, reason) => {
    const away = await line()
    away.caller.socket.close(code, reason)
    await until(() => away.caller.closed !== null && away.server.closed !== null, 'both closed')
    expect([away.server.closed, away.caller.closed]).toEqual([[code, reason], [code, reason]])
    const back = await line()
    back.server.socket.close(code, reason)
    await until(() => back.caller.closed !== null && back.server.closed !== null, 'both closed')
    expect([back.caller.closed, back.server.closed]).toEqual([[code, reason], [code, reason]])
  })

  test('[ENF7, WIRE18] a session that ends closes its caller with 1008 and a reason, and the next opening handshake is an answer the client can read', async () => {
    const token = await gate.token()
    const { caller, server } = await line([], false, token)
    await operate(gate, (await gate.session(token)).id, 'terminate')
    await until(() => caller.closed !== null && server.closed !== null, 'both closed')
    expect([caller.closed?.[0], caller.closed?.[1]]).toEqual([1008, 'revoked'])
    for (const [credential, reason] of [[token, 'credential_revoked'], [null, 'no_credential']] as const) {
      const refused = dial(credential)
      refused.on('error', () => undefined) // told by the response
      const [, response] = await once(refused, 'unexpected-response')
      const chunks: Buffer[] = []
      for await (const chunk of response) chunks.push(chunk)
      expect([response.statusCode, JSON.parse(Buffer.concat(chunks).toString())]).toMatchObject([401, { reason }])
    }
  })
})
