// The verb table on WebSockets: what a caller and an upstream see when a tunnel is refused, narrowed, frozen, terminated or ended by the clock, over HTTP/1.1 and
// over HTTP/2, plain and TLS. A second session's tunnel is open all the while (over HTTP/2 on the same connection), and loses nothing. SPEC: ENF3-ENF7, ENF9, ENF10, WIRE18
import { once } from 'node:events'
import type { ClientHttp2Session } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type RawData, type WebSocket, WebSocketServer } from 'ws'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { connectHttp2 } from './http2-flights.ts'
import { type Acted, exchangesOf, operate, pause, PIECE, tallyOf, until } from './support.ts'
import { extendedConnect, type Opened, upgrade, WebSocketCaller } from './websocket-callers.ts'

const SOON = 2_000
const QUIET = 350
/** Milliseconds by which a token counts for longer, for clocks that are not the same. */
const TOLERANCE = 5_000
const cuts: number[] = []
const late: number[] = []

/** The upstream's end of a tunnel. */
class Peer {
  readonly socket: WebSocket
  readonly messages: Buffer[] = []
  /** Bytes of their payloads, and of what it sent. */
  bytes = 0
  sent = 0
  closed: number | null = null
  closedAt = 0

  constructor(socket: WebSocket) {
    this.socket = socket
    socket.on('message', (data: RawData) => {
      this.messages.push(data as Buffer) // nodebuffer is the default
      this.bytes += (data as Buffer).length // likewise
    })
    socket.on('error', () => undefined) // shows at its end
    socket.on('close', code => {
      this.closed = code
      this.closedAt = performance.now()
    })
  }
}

const peers = new Map<string, Peer>()
const server = new WebSocketServer({ port: 0, host: '127.0.0.1' })
server.on('connection', (socket, { url }) => peers.set(url ?? '', new Peer(socket)))

const TRANSPORTS = ['HTTP/1.1', 'HTTP/1.1 over TLS', 'HTTP/2', 'HTTP/2 over TLS'] as const
type Transport = (typeof TRANSPORTS)[number]
const gates = new Map<boolean, TestGateway>()
const connections = new Map<Transport, ClientHttp2Session>()

const plan = (origin: string): GatewayPlan => ({
  routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${origin}" }
  rules:
    - { allow: { upgrade: websocket, paths: ["/*/base"] }, scope: base:use }
    - { allow: { upgrade: websocket, paths: ["/*/extra"] }, scope: extra:use }
    - { allow: { upgrade: websocket, paths: ["/{tenant}/streams/{id}"] }, scope: stream:attach, if: "has(subject.claims.org) && path.tenant == subject.claims.org && path.id == elevation.params.stream" }`,
  baseline: '[{ scopes: [base:use] }]',
  elevations: `
long: { adds: [extra:use], for: 10m, max: 1h }
short: { adds: [extra:use], for: 2s }
attach: { adds: [stream:attach], for: 10m, params: { stream: { type: string, required: true } } }`,
})

beforeAll(async () => {
  if (server.address() === null) await once(server, 'listening')
  const { port } = server.address() as AddressInfo // it listens on TCP
  const made = plan(`http://127.0.0.1:${port}`)
  gates.set(false, await TestGateway.start({ ...made, listener: 'protocols: [http1, http2]' }))
  gates.set(true, await TestGateway.start({ ...made, tls: true }))
})
afterAll(async () => {
  const shared = [...connections.values()].map(session => [session.closed, session.destroyed])
  for (const session of connections.values()) session.destroy()
  for (const gate of gates.values()) await gate.stop()
  for (const client of server.clients) client.terminate()
  server.close()
  const line = (name: string, times: readonly number[]): string => {
    const sorted = times.toSorted((a, b) => a - b)
    return `${name} p50 ${sorted[Math.floor(sorted.length / 2)]?.toFixed(1)} ms, max ${sorted.at(-1)?.toFixed(1)} ms (${sorted.length})`
  }
  console.log(`WebSocket matrix: ${line('accepted change to the Close frame at the caller', cuts)}; ${line('end of time to the Close frame', late)}`)
  expect(shared).toEqual([[false, false], [false, false]])
})

const gateOf = (transport: Transport): TestGateway => gates.get(transport.endsWith('TLS')) as TestGateway // both were started

function knock(transport: Transport, path: string, token: string): Promise<Opened> {
  const session = connections.get(transport)
  const headers = { authorization: `Bearer ${token}` }
  return session === undefined ? upgrade(gateOf(transport), path, headers) : extendedConnect(session, path, headers)
}

type Flight = { readonly caller: WebSocketCaller; readonly peer: Peer; readonly push: () => void; readonly move: () => Promise<void>; /** Bytes at the caller and at the upstream. */ readonly arrived: () => readonly number[]; readonly isWhole: () => boolean; readonly finish: () => Promise<void> }

let opened = 0
async function takeOff(transport: Transport, place: string, token: string, path = `/ws-${++opened}/${place}`): Promise<Flight> {
  const caller = await knock(transport, path, token)
  if (!(caller instanceof WebSocketCaller)) throw new Error(`refused: ${JSON.stringify(caller)}`)
  await until(() => peers.has(path), 'the upstream has its connection')
  const peer = peers.get(path) as Peer // waited for
  let up = 0
  const push = (): void => {
    caller.send(patternAt(up, PIECE))
    up += PIECE
    if (peer.socket.readyState === peer.socket.OPEN) peer.socket.send(patternAt(peer.sent, PIECE))
    peer.sent += PIECE
  }
  const arrived = (): readonly number[] => [caller.bytes, peer.bytes]
  const isWhole = (): boolean => caller.bytes === peer.sent && peer.bytes === up
  const move = async (): Promise<void> => {
    push()
    await until(isWhole, 'a message each way')
  }
  const finish = async (): Promise<void> => {
    await move()
    expect([firstMismatch(Buffer.concat(caller.messages)), firstMismatch(Buffer.concat(peer.messages))]).toEqual([null, null])
    caller.leave(1000)
    expect(await caller.over()).toMatchObject({ code: 1000 })
    await until(() => peer.closed !== null, 'the upstream to see the end')
    expect(peer.closed).toBe(1000)
  }
  await move()
  return { caller, peer, push, move, arrived, isWhole, finish }
}

async function elevated(gate: TestGateway, profile = 'long'): Promise<{ readonly token: string; readonly session: string }> {
  const token = await gate.token()
  await gate.elevate(token, profile)
  return { token, session: (await gate.session(token)).id }
}

/** It ended at both ends with the right words, and nothing more came through. */
async function isCut({ caller, peer, push, arrived, isWhole }: Flight, { acceptedAt }: Acted, reason: string): Promise<void> {
  const content = arrived()
  expect(isWhole()).toBe(true)
  for (let i = 0; i < 4; i++) push()
  expect(await caller.over()).toEqual({ code: 1008, reason })
  await until(() => peer.closed !== null, 'the upstream to see the end')
  cuts.push(caller.closedAt - acceptedAt)
  expect(caller.closedAt - acceptedAt).toBeLessThan(SOON)
  expect(peer.closedAt - acceptedAt).toBeLessThan(SOON)
  expect([peer.closed, arrived()]).toEqual([1001, content])
}

describe.each(TRANSPORTS)('%s', transport => {
  beforeAll(async () => {
    if (transport.startsWith('HTTP/2')) connections.set(transport, await connectHttp2(gateOf(transport))) // only now: one that is not used is not kept
  })

  test('[DEC1, WIRE8, WIRE18] refused before the answer: by a status, and the upstream sees nothing', async () => {
    const gate = gateOf(transport)
    const other = await takeOff(transport, 'base', await gate.token())
    const path = `/ws-refused-${transport.replaceAll(/\W/g, '')}/extra`
    expect(await knock(transport, path, await gate.token())).toEqual({ status: 403, reason: 'elevation_required' })
    expect(await knock(transport, path, 'not-a-token')).toMatchObject({ status: 401 })
    expect(peers.has(path)).toBe(false)
    await other.finish()
  })

  test('[ENF5, ENF3, ENF9, ENF10, WIRE18] narrowed: the tunnel on the elevation is closed, the one on the baseline is untouched', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const [extra, base] = [await takeOff(transport, 'extra', token), await takeOff(transport, 'base', token)]
    const other = await takeOff(transport, 'base', await gate.token())
    const acted = await operate(gate, session, 'narrow')
    expect(tallyOf(acted)).toMatchObject({ cut: 1, continued: 1, frozen: 0, regranted: 0 })
    await isCut(extra, acted, 'narrowed')
    expect(await knock(transport, '/ws-again/extra', token)).toEqual({ status: 403, reason: 'narrowed' })
    for (const flight of [base, other]) await flight.finish()
  })

  test('[ENF6, ENF9, WIRE18] frozen and resumed: both directions stop, new tunnels are refused, then every byte comes through', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const flights = [await takeOff(transport, 'extra', token), await takeOff(transport, 'base', token)]
    const other = await takeOff(transport, 'base', await gate.token())
    expect(tallyOf(await operate(gate, session, 'freeze'))).toMatchObject({ frozen: 2, cut: 0, continued: 0 })
    const marks = flights.map(flight => flight.arrived())
    for (const flight of flights) flight.push()
    expect(await knock(transport, '/ws-new/base', token)).toEqual({ status: 403, reason: 'frozen' })
    await pause(QUIET)
    await other.finish()
    expect(flights.map(flight => flight.arrived())).toEqual(marks)
    expect(flights.map(({ caller, peer }) => [caller.overAt, peer.closed])).toEqual([[0, null], [0, null]])
    await operate(gate, session, 'resume', { reason: 'test' })
    for (const flight of flights) {
      await until(flight.isWhole, 'what waited while it was frozen')
      await flight.finish()
    }
  })

  test('[ENF7, ENF9, ENF10, WIRE18] terminated: all tunnels of the session are closed, none of another one, and the way back is closed', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const flights = [await takeOff(transport, 'extra', token), await takeOff(transport, 'base', token)]
    const other = await takeOff(transport, 'base', await gate.token())
    const acted = await operate(gate, session, 'terminate')
    expect(tallyOf(acted)).toMatchObject({ cut: 2, continued: 0, frozen: 0 })
    for (const flight of flights) await isCut(flight, acted, 'revoked')
    expect(await knock(transport, '/ws-again/base', token)).toEqual({ status: 401, reason: 'credential_revoked' })
    await other.finish()
  })

  test('[REV-001, ENF4, ENF10, WIRE18] its time is over: closed by the clock while both sides go on sending; no message of later reaches anybody, and the baseline goes on', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate, 'short')
    const extra = await takeOff(transport, 'extra', token)
    const [base, other] = [await takeOff(transport, 'base', token), await takeOff(transport, 'base', await gate.token())]
    const over = exchangesOf(gate, session)[0]?.until ?? 0
    const count = extra.caller.messages.length
    const sending = setInterval(() => {
      extra.caller.send(`at ${Date.now()}`)
      if (extra.peer.socket.readyState === extra.peer.socket.OPEN) extra.peer.socket.send(`at ${Date.now()}`)
    }, 10)
    await until(() => extra.caller.closed !== null, 'the Close frame')
    const took = Date.now() - over
    late.push(took)
    expect(await extra.caller.over()).toEqual({ code: 1008, reason: 'time_up' })
    await until(() => extra.peer.closed !== null, 'the upstream to see the end')
    await pause(50)
    clearInterval(sending)
    expect(took).toBeGreaterThanOrEqual(0)
    expect(took).toBeLessThan(SOON)
    const stamps = [...extra.caller.messages.slice(count), ...extra.peer.messages.slice(count)].map(message => Number(message.toString().slice(3)))
    expect(stamps.length).toBeGreaterThan(10)
    expect(Math.max(...stamps)).toBeLessThan(over)
    expect(await knock(transport, '/ws-again/extra', token)).toEqual({ status: 403, reason: 'elevation_required' })
    for (const flight of [base, other]) await flight.finish()
  })

  test('[REV-001, ENF4, WIRE18] a tunnel does not outlive the token it was opened with', async () => {
    const gate = gateOf(transport)
    const issuedAt = Date.now() - TOLERANCE
    const over = Math.floor(issuedAt / 1000) * 1000 + 2_000 + TOLERANCE
    const token = await gate.issuer.sign({ sub: 'short-lived', jti: `short-lived-${transport}` }, { now: issuedAt, lifetime: 2 })
    const { caller, peer } = await takeOff(transport, 'base', token)
    const other = await takeOff(transport, 'base', await gate.token())
    const messages = peer.messages.length
    const sending = setInterval(() => caller.send(`at ${Date.now()}`), 10)
    expect(await caller.over()).toEqual({ code: 1008, reason: 'credential_ended' })
    await until(() => peer.closed !== null, 'the upstream to see the end')
    clearInterval(sending)
    const stamps = peer.messages.slice(messages).map(message => Number(message.toString().slice(3)))
    expect(stamps.length).toBeGreaterThan(10)
    expect(Math.max(...stamps)).toBeLessThan(over)
    await other.finish()
  })

  test('[UPG-008, ENF7, ENF9] a message every 10 ms, and the session is ended: none that was sent behind the acknowledgement reaches the upstream', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const { caller, peer } = await takeOff(transport, 'extra', token)
    const messages = peer.messages.length
    let sent = 0
    const sending = setInterval(() => {
      caller.send(`at ${performance.now()}`)
      sent++
    }, 10)
    await until(() => peer.messages.length > messages + 5, 'some messages')
    const { acceptedAt, ackedAt } = await operate(gate, session, 'terminate')
    const atAck = sent
    await until(() => sent > atAck + 10, 'more of them')
    clearInterval(sending)
    expect(await caller.over()).toEqual({ code: 1008, reason: 'revoked' })
    const stamps = peer.messages.slice(messages).map(message => Number(message.toString().slice(3)))
    expect(Math.max(...stamps)).toBeLessThanOrEqual(ackedAt)
    expect(caller.closedAt - acceptedAt).toBeLessThan(1_000)
    expect(sent).toBeGreaterThan(stamps.length)
  })

  test('[UPG-011, WIRE18] the id of somebody else\'s stream attaches nobody: not another tenant, not with an elevation of its own for that id, not a neighbour with one for another', async () => {
    const gate = gateOf(transport)
    const as = (sub: string, org: string): Promise<string> => gate.token({ sub, org })
    const [owner, stranger, neighbour] = [await as('ada', 'acme'), await as('eve', 'evil'), await as('bob', 'acme')]
    await gate.elevate(owner, 'attach', null, { params: { stream: 's-1' } })
    const path = '/acme/streams/s-1'
    const flight = await takeOff(transport, '', owner, path)
    const first = peers.get(path)
    expect(await knock(transport, path, stranger)).toMatchObject({ status: 403 })
    await gate.elevate(stranger, 'attach', null, { params: { stream: 's-1' } })
    await gate.elevate(neighbour, 'attach', null, { params: { stream: 's-2' } })
    for (const token of [stranger, neighbour]) expect(await knock(transport, path, token)).toMatchObject({ status: 403 })
    expect(peers.get(path)).toBe(first) // nobody else came there
    await flight.finish()
  })

  test('[ENF9, ENF10, WIRE18] terminated while both directions are full: nothing is handed to either socket behind the acknowledgement', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const { caller, peer } = await takeOff(transport, 'extra', token)
    const other = await takeOff(transport, 'base', await gate.token())
    const [exchange] = exchangesOf(gate, session)
    const big = patternAt(0, 256 * 1024)
    let up = 0
    const pump = setInterval(() => {
      if (caller.carrier.writableLength < 1_048_576) for (let i = 0; i < 4; i++, up++) caller.send(big)
      if (peer.socket.readyState === peer.socket.OPEN && peer.socket.bufferedAmount < 1_048_576) for (let i = 0; i < 4; i++) peer.socket.send(big)
    }, 1)
    await until(() => caller.bytes > 4 * 1024 * 1024 && peer.bytes > 4 * 1024 * 1024, 'full speed both ways')
    const acted = await operate(gate, session, 'terminate')
    const handed = [exchange?.bytesDown, exchange?.bytesUp]
    expect(tallyOf(acted)).toMatchObject({ cut: 1 })
    await caller.over()
    await until(() => peer.closed !== null, 'the upstream to see the end')
    clearInterval(pump)
    expect([exchange?.state, exchange?.bytesDown, exchange?.bytesUp]).toEqual(['ended', ...handed])
    expect(caller.bytes).toBeLessThanOrEqual(handed[0] ?? 0)
    expect(peer.bytes).toBeLessThanOrEqual(handed[1] ?? 0)
    await other.finish()
  })
})
