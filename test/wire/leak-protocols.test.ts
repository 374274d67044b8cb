// The leak test over HTTP/2, gRPC and WebSocket: ends of every kind on two gateways over Redis, with streams, calls and tunnels of many sessions on shared
// connections. What is decided on old state behind the strict acknowledgement is counted at both ends: nothing. SPEC: ENF9, ENF10, STO16, WIRE16-WIRE18, RULES 30
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import { type ClientHttp2Session, createServer as createHttp2Server, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { type RawData, WebSocketServer } from 'ws'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { patternAt } from '../support/pattern.ts'
import { request, requestOnce } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { CallerStream, connectHttp2 } from './http2-flights.ts'
import { pause, until } from './support.ts'
import { extendedConnect, upgrade, WebSocketCaller } from './websocket-callers.ts'

const AT_ONCE = 6
const EVERY = 15
/** One of so many sessions has a reader that stands still before a download as fast as it goes, on the connection that the others use (its bytes: matrix-http2). */
const FLOODED = 20
const PIECE = 64 * 1024
const CALL = '/leak.Watch/Both'

const stamp = (): string => `at ${performance.now()} .\n\n`
const stampsIn = (text: string): readonly number[] => [...text.matchAll(/at ([\d.]+) \./g)].map(([, at]) => Number(at))
/** A length-prefixed message of gRPC. */
function message(text: string): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(Buffer.byteLength(text), 1)
  return Buffer.concat([head, Buffer.from(text)])
}

/** Whatever it sends bears the instant at which it was written; what it hears it keeps by session, with the stamps of the callers. */
class StampedUpstream {
  /** Requests: session, then the last part of the path and when it arrived. */
  readonly heard = new Map<string, { readonly what: string; readonly at: number }[]>()
  /** Messages of tunnels and calls: session, then when the caller wrote each, and when it came. */
  readonly told = new Map<string, { readonly sentAt: number; readonly at: number }[]>()
  readonly #open = new Set<(text: string) => void>()
  readonly #calls = new Set<ServerHttp2Session>()
  readonly #server = createServer({ keepAliveTimeout: 60_000 }, (asked, answer) => this.#answer(asked.url ?? '', answer))
  readonly #grpc = createHttp2Server()
  readonly #sockets = new WebSocketServer({ server: this.#server })
  readonly #pace = setInterval(() => { for (const write of this.#open) write(stamp()) }, EVERY)

  static async start(): Promise<StampedUpstream> {
    const upstream = new StampedUpstream()
    upstream.#sockets.on('connection', (socket, { url }) => {
      const close = upstream.#speaks(text => socket.send(text))
      socket.on('message', (data: RawData) => upstream.#hears((url ?? '').split('/')[1] ?? '', String(data as Buffer))) // nodebuffer is the default
      socket.on('error', () => undefined)
      socket.on('close', close)
    })
    upstream.#grpc.on('session', session => upstream.#calls.add(session))
    upstream.#grpc.on('stream', (stream: ServerHttp2Stream, headers) => upstream.#called(stream, String(headers['x-who'])))
    await Promise.all([once(upstream.#server.listen(0, '127.0.0.1'), 'listening'), once(upstream.#grpc.listen(0, '127.0.0.1'), 'listening')])
    return upstream
  }

  get port(): number { return (this.#server.address() as AddressInfo).port } // it listens on TCP
  get origin(): string { return `http://127.0.0.1:${this.port}` }
  get grpcOrigin(): string { return `http://127.0.0.1:${(this.#grpc.address() as AddressInfo).port}` } // likewise

  /** When whatever was handed to its sockets before this call has been read. */
  async caughtUp(): Promise<number> {
    await requestOnce({ port: this.port }, request('GET', '/nobody/extra/plain', { connection: 'close' }))
    return performance.now()
  }

  async close(): Promise<void> {
    clearInterval(this.#pace)
    for (const socket of this.#sockets.clients) socket.terminate()
    for (const session of this.#calls) session.destroy()
    this.#sockets.close()
    this.#grpc.close()
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  #speaks(write: (text: string) => void): () => void {
    this.#open.add(write)
    return () => void this.#open.delete(write)
  }

  #hears(whose: string, text: string): void {
    const at = performance.now()
    this.told.set(whose, [...(this.told.get(whose) ?? []), ...stampsIn(text).map(sentAt => ({ sentAt, at }))])
  }

  #called(stream: ServerHttp2Stream, whose: string): void {
    stream.respond({ ':status': 200, 'content-type': 'application/grpc' })
    const close = this.#speaks(text => void stream.write(message(text)))
    stream.on('data', (chunk: Buffer) => this.#hears(whose, chunk.toString('latin1')))
    stream.on('error', () => undefined)
    stream.on('close', close)
  }

  #answer(url: string, answer: ServerResponse): void {
    const [, whose = '', , what = ''] = url.split('/')
    this.heard.set(whose, [...(this.heard.get(whose) ?? []), { what, at: performance.now() }])
    if (what.startsWith('plain')) return void answer.writeHead(200, { 'content-length': 2 }).end('ok')
    answer.writeHead(200, { 'content-type': what === 'events' ? 'text/event-stream' : 'application/octet-stream' }).flushHeaders()
    if (what === 'flood') return this.#flood(answer, 0)
    answer.on('close', this.#speaks(text => void answer.write(what === 'events' ? `data: ${text}` : text)))
  }

  #flood(answer: ServerResponse, sent: number): void {
    let at = sent
    do at += PIECE
    while (!answer.destroyed && answer.write(patternAt(at - PIECE, PIECE)))
    if (!answer.destroyed) answer.once('drain', () => this.#flood(answer, at))
  }
}

const planFor = ({ origin, grpcOrigin }: StampedUpstream): GatewayPlan => ({
  tls: true,
  routes: `
- name: calls
  match: { host: api.test, path: /leak.Watch/** }
  upstream: { url: "${grpcOrigin}", protocol: grpc }
  rules: [{ allow: { grpc: [leak.Watch/Both] }, scope: extra:use }]
- name: api
  match: { host: api.test }
  upstream: { url: "${origin}" }
  rules:
    - { allow: { paths: ["/*/extra/*"] }, scope: extra:use }
    - { allow: { upgrade: websocket, paths: ["/*/extra/*"] }, scope: extra:use }`,
  elevations: 'fix: { adds: [extra:use], for: 10m, purpose: [ticket], endWhen: [ticket.closed] }',
  more: 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }',
})

type Caller = { readonly name: string; readonly ticket: string; readonly headers: { readonly [name: string]: string }; readonly elevation: string }

const EVERYBODYS = 'T-all'
const openTicket = (gate: TestGateway, ticket: string): Promise<Answer> => gate.admin('POST', `/v1/anchors/ticket/${ticket}`, { state: 'open', reason: 'test' })

async function elevated(gate: TestGateway, name: string, ticket: string): Promise<Caller> {
  const headers = { authorization: `Bearer ${await gate.issuer.sign({ sub: name, jti: name })}`, 'narrowgate-ticket': ticket }
  if (ticket !== EVERYBODYS) expect((await openTicket(gate, ticket)).status).toBe(200)
  const { status, json, text } = await gate.ask('POST', '/.narrowgate/elevations', { ...headers, 'content-type': 'application/json' }, JSON.stringify({ profile: 'fix', purpose: { ticket } }))
  expect(status, text).toBe(201)
  return { name, ticket, headers, elevation: String(json['id']) }
}

const onSession = async (gate: TestGateway, { headers }: Caller, verb: string): Promise<Answer> =>
  gate.admin('POST', `/v1/sessions/${String((await gate.ask('GET', '/.narrowgate/session', headers)).json['id'])}/${verb}`)

type End = (gate: TestGateway, caller: Caller) => Promise<Answer>
const TICKET_ENDS: End = (gate, { ticket }) => gate.admin('POST', `/v1/anchors/ticket/${ticket}`, { state: 'ended' })
const ENDS: readonly End[] = [
  (gate, caller) => onSession(gate, caller, 'terminate'),
  (gate, caller) => onSession(gate, caller, 'narrow'),
  TICKET_ENDS,
  (gate, { elevation }) => gate.admin('POST', `/v1/elevations/${elevation}/revoke`),
  (gate, { name }) => gate.admin('POST', '/v1/locks', { selector: { subject: name } }),
]

/** One HTTP/2 connection to a gateway for all callers, made anew when the gateway said that it takes no more streams. */
class Shared {
  readonly gate: TestGateway
  made = 0
  #session: Promise<ClientHttp2Session> | null = null

  constructor(gate: TestGateway) {
    this.gate = gate
  }

  async session(): Promise<ClientHttp2Session> {
    const session = await (this.#session ??= this.#connect())
    if (!session.closed && !session.destroyed) return session
    this.#session = null
    return this.session()
  }

  close(): void {
    void this.#session?.then(session => session.destroy())
  }

  #connect(): Promise<ClientHttp2Session> {
    this.made++
    return connectHttp2(this.gate)
  }
}

/** What a caller holds open: what it has of it, and a word towards the upstream. */
type Held = { readonly what: string; readonly text: () => string; readonly bytes: () => number; readonly say: () => void; readonly isOver: () => boolean }

function holding(what: string, stream: CallerStream, says: boolean): Held {
  return { what, text: () => stream.body, bytes: () => stream.bytes, say: () => { if (says && stream.raw.writable) stream.raw.write(message(stamp())) }, isOver: () => stream.closedAt > 0 }
}

async function openStream(shared: Shared, { name, headers }: Caller, what: 'events' | 'rows' | 'flood'): Promise<CallerStream> {
  const stream = new CallerStream(await shared.session(), 'GET', `/${name}/extra/${what}`, headers)
  await until(() => stream.status !== 0 || stream.closedAt > 0, `the head of ${what}`)
  expect(stream.status, stream.body).toBe(200)
  return stream
}

async function openCall(shared: Shared, { name, headers }: Caller): Promise<Held> {
  const stream = new CallerStream(await shared.session(), 'POST', CALL, { ...headers, 'content-type': 'application/grpc', te: 'trailers', 'x-who': name })
  stream.raw.write(message(stamp()))
  await until(() => stream.bytes > 0 || stream.closedAt > 0, 'the first message of a call')
  expect([stream.status, stream.trailers['grpc-message'] ?? stream.headers['grpc-message']]).toEqual([200, undefined])
  return holding('call', stream, true)
}

async function openTunnel(shared: Shared, { name, headers }: Caller, over: 'HTTP/1.1' | 'HTTP/2'): Promise<Held> {
  const path = `/${name}/extra/socket`
  const caller = over === 'HTTP/2' ? await extendedConnect(await shared.session(), path, headers) : await upgrade(shared.gate, path, headers)
  if (!(caller instanceof WebSocketCaller)) throw new Error(`no tunnel: ${JSON.stringify(caller)}`)
  return { what: `tunnel over ${over}`, text: () => Buffer.concat(caller.messages).toString(), bytes: () => caller.bytes, say: () => caller.send(stamp()), isOver: () => caller.overAt > 0 }
}

type Asked = { readonly what: string; readonly sentAt: number; readonly answeredAt: number; readonly status: number }

/** Asks again and again until it was answered twice behind the acknowledgement. */
async function hammer(shared: Shared, { name, headers }: Caller, asked: Asked[], ackAt: () => number): Promise<void> {
  for (let behind = 0; behind < 2;) {
    const session = await shared.session()
    const [what, sentAt] = [`plain-${asked.length}-${Math.random()}`, performance.now()]
    const stream = new CallerStream(session, 'GET', `/${name}/extra/${what}`, headers)
    await stream.over()
    asked.push({ what, sentAt, answeredAt: performance.now(), status: stream.status })
    if (sentAt > ackAt()) behind++
    else await pause(4)
  }
}

/** What came to light; everything from `arrived` on has to stay 0. */
const NOTHING = { ends: 0, asked: 0, held: 0, words: 0, readers: 0, arrived: 0, answered: 0, bytes: 0, stamps: 0, late: 0 }

class Trial {
  readonly count = { ...NOTHING }
  readonly tookMs: number[] = []
  readonly #upstream: StampedUpstream
  readonly #shared: readonly Shared[]

  constructor(upstream: StampedUpstream, gates: readonly TestGateway[]) {
    this.#upstream = upstream
    this.#shared = gates.map(gate => new Shared(gate))
  }

  async run(ends: number): Promise<void> {
    let next = 0
    expect((await openTicket(this.#at(0).gate, EVERYBODYS)).status).toBe(200)
    const over = await Promise.allSettled(Array.from({ length: AT_ONCE }, async () => { while (next < ends) await this.#one(next++) }))
    for (const shared of this.#shared) shared.close()
    for (const outcome of over) if (outcome.status === 'rejected') throw outcome.reason
  }

  get connections(): number { return this.#shared.reduce((sum, { made }) => sum + made, 0) }

  #at(n: number): Shared { return this.#shared[n % this.#shared.length] as Shared } // there is one

  async #one(n: number): Promise<void> {
    const end = ENDS[n % ENDS.length] as End // there are some
    const [here, there] = [this.#at(n), this.#at(n + 1)]
    const caller = await elevated(here.gate, `agent-${n}`, end === TICKET_ENDS ? `T-${n}` : EVERYBODYS)
    const [events, rows, ...others] = await Promise.all([openStream(here, caller, 'events'), openStream(there, caller, 'rows'), openCall(there, caller), openTunnel(here, caller, 'HTTP/2'), openTunnel(there, caller, 'HTTP/1.1')])
    const held = [holding('events', events, false), holding('rows', rows, false), ...others]
    const reader = n % FLOODED === 0 ? await openStream(there, caller, 'flood') : null
    reader?.raw.pause()
    let ackAt = Infinity
    const asked: Asked[] = []
    const words = setInterval(() => { for (const { say } of held) say() }, EVERY)
    const loops = this.#shared.map(shared => hammer(shared, caller, asked, () => ackAt))
    try {
      await until(() => held.every(({ bytes }) => bytes() > 0) && asked.length >= loops.length, 'the first of everything')
      const answer = await end(this.#at((n >> 1) + 1).gate, caller)
      ackAt = performance.now()
      const emptiedAt = await this.#upstream.caughtUp()
      const marks = held.map(({ bytes }) => bytes())
      this.#acknowledged(answer)
      await Promise.all(loops)
      await until(() => held.every(({ isOver }) => isOver()), 'the end of everything')
      await pause(2 * EVERY)
      this.#tell(caller, asked, ackAt, emptiedAt)
      for (const [i, { text, bytes }] of held.entries()) {
        this.count.held++
        this.count.bytes += bytes() - (marks[i] ?? 0)
        this.count.stamps += stampsIn(text()).filter(at => at > ackAt).length
      }
      if (reader === null) return
      reader.raw.resume()
      expect(await reader.over()).not.toBe('whole')
      this.count.readers++
    } finally {
      clearInterval(words)
      ackAt = Math.min(ackAt, performance.now())
    }
  }

  #acknowledged({ status, json, text }: Answer): void {
    const { acknowledged, expired } = json['gateways'] as { readonly acknowledged: number; readonly expired: number } // the contract's shape
    expect([status, json['enforced'], acknowledged + expired], text).toEqual([200, true, this.#shared.length])
    this.tookMs.push(Number(json['tookMs']))
  }

  #tell({ name }: Caller, asked: readonly Asked[], ackAt: number, emptiedAt: number): void {
    const late = new Set(asked.filter(({ sentAt }) => sentAt > ackAt).map(({ what }) => what))
    const words = this.#upstream.told.get(name) ?? []
    expect(late.size).toBeGreaterThanOrEqual(2 * this.#shared.length)
    this.count.ends++
    this.count.asked += asked.length
    this.count.words += words.length
    this.count.answered += asked.filter(({ what, status, answeredAt }) => status === 200 && (late.has(what) || answeredAt > emptiedAt)).length
    this.count.arrived += (this.#upstream.heard.get(name) ?? []).filter(({ what, at }) => late.has(what) || at > emptiedAt).length
    this.count.late += words.filter(({ sentAt, at }) => sentAt > ackAt || at > emptiedAt).length
  }
}

test('[STORE-38R, ENF9, STO16, WIRE16, WIRE17, WIRE18] two gateways: nothing of a stream, a call or a tunnel is decided on old state behind an acknowledgement', { timeout: 120_000 }, async () => {
  const ends = 300
  const [server, upstream] = await Promise.all([RedisServer.start(), StampedUpstream.start()])
  const { a, b, stop } = await TestGateway.pair(server, planFor(upstream))
  try {
    const trial = new Trial(upstream, [a, b])
    const began = performance.now()
    await trial.run(ends)
    const sorted = trial.tookMs.toSorted((x, y) => x - y)
    console.log(`leak over HTTP/2, gRPC and WebSocket: ${JSON.stringify(trial.count)} in ${Math.round(performance.now() - began)} ms on ${trial.connections} HTTP/2 connections; acknowledged in ${sorted[ends >> 1]} ms (p50), ${sorted.at(-1)} ms (max)`)
    expect(trial.count).toMatchObject({ ends, held: 5 * ends, readers: ends / FLOODED, arrived: 0, answered: 0, bytes: 0, stamps: 0, late: 0 })
    expect(trial.count.asked).toBeGreaterThan(3 * ends)
    expect(trial.count.words).toBeGreaterThan(3 * ends)
  } finally {
    await stop()
    await Promise.all([upstream.close(), server.dispose()])
  }
})
