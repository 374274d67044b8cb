// The leak test: ends of every kind under load, on two gateways over Redis and on one with its own store, plain and TLS. What is decided on old state behind
// the strict acknowledgement is counted at the upstream and at the caller: nothing. All times are of one process clock. SPEC: ENF9, ENF10, STO16, RULES 30
import { once } from 'node:events'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { type Answer, type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { patternAt } from '../support/pattern.ts'
import { RawClient, request, requestOnce } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { pause, until } from './support.ts'

const AT_ONCE = 6
const EVENTS_EVERY = 15
/** One of so many sessions has a reader that stands still before a download as fast as it goes. */
const FLOODED = 20
const PAUSED_MAX = 256 * 1024
const PIECE = 64 * 1024
/** In place of a status. */
const CUT = 0

/** Answers at once, or streams events and rows that carry the instant at which they were written, or as much as is taken. Knows when it heard what of whom. */
class StampedUpstream {
  /** Session, then the last part of the path and when it arrived. */
  readonly heard = new Map<string, { readonly what: string; readonly at: number }[]>()
  readonly #open = new Set<ServerResponse>()
  readonly #server = createServer({ keepAliveTimeout: 60_000 }, (message, answer) => this.#answer(message.url ?? '', answer))
  readonly #pace = setInterval(() => { for (const answer of this.#open) answer.write(`data: at ${performance.now()} .\n\n`) }, EVENTS_EVERY)

  static async start(): Promise<StampedUpstream> {
    const upstream = new StampedUpstream()
    await once(upstream.#server.listen(0, '127.0.0.1'), 'listening')
    return upstream
  }

  get port(): number { return (this.#server.address() as AddressInfo).port } // it listens on TCP
  get origin(): string { return `http://127.0.0.1:${this.port}` }

  /** When whatever was handed to its sockets before this call has been read: connections are taken in their order, and this one comes last. */
  async caughtUp(): Promise<number> {
    await requestOnce({ port: this.port }, request('GET', '/nobody/extra/plain', { connection: 'close' }))
    return performance.now()
  }

  async close(): Promise<void> {
    clearInterval(this.#pace)
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }

  #answer(url: string, answer: ServerResponse): void {
    const [, whose = '', , what = ''] = url.split('/')
    const [kind = ''] = what.split('-')
    this.heard.set(whose, [...(this.heard.get(whose) ?? []), { what, at: performance.now() }])
    if (kind === 'plain') return void answer.writeHead(200, { 'content-length': 2 }).end('ok')
    answer.writeHead(200, { 'content-type': kind === 'events' ? 'text/event-stream' : 'application/octet-stream' }).flushHeaders()
    if (kind === 'flood') return this.#flood(answer, 0)
    this.#open.add(answer)
    answer.on('close', () => this.#open.delete(answer))
  }

  #flood(answer: ServerResponse, sent: number): void {
    let at = sent
    do at += PIECE
    while (!answer.destroyed && answer.write(patternAt(at - PIECE, PIECE)))
    if (!answer.destroyed) answer.once('drain', () => this.#flood(answer, at))
  }
}

const planFor = (origin: string, tls: boolean): GatewayPlan => ({
  tls,
  routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${origin}" }
  rules: [{ allow: { paths: ["/*/extra/*"] }, scope: extra:use }]`,
  elevations: 'fix: { adds: [extra:use], for: 10m, purpose: [ticket], endWhen: [ticket.closed] }',
  more: 'purposes: { ticket: { header: narrowgate-ticket, source: manual } }',
})

type Caller = { readonly name: string; readonly ticket: string; readonly headers: { readonly [name: string]: string }; readonly elevation: string }

const EVERYBODYS = 'T-all'

async function elevated(gate: TestGateway, name: string, ticket: string): Promise<Caller> {
  const token = await gate.issuer.sign({ sub: name, jti: name })
  const headers = { authorization: `Bearer ${token}`, 'narrowgate-ticket': ticket }
  if (ticket !== EVERYBODYS) expect((await openTicket(gate, ticket)).status).toBe(200)
  const { status, json, text } = await gate.ask('POST', '/.narrowgate/elevations', { ...headers, 'content-type': 'application/json' }, JSON.stringify({ profile: 'fix', purpose: { ticket } }))
  expect(status, text).toBe(201)
  return { name, ticket, headers, elevation: String(json['id']) }
}

const openTicket = (gate: TestGateway, ticket: string): Promise<Answer> => gate.admin('POST', `/v1/anchors/ticket/${ticket}`, { state: 'open', reason: 'test' })
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

/** A caller's connection that is used again and again, and made anew when a cut took it. */
class KeptAlive {
  readonly #gate: TestGateway
  #client: RawClient | null = null

  constructor(gate: TestGateway) {
    this.#gate = gate
  }

  /** The status; 0 when the connection was gone before there was one. */
  async ask(path: string, headers: Caller['headers']): Promise<number> {
    this.#client ??= await RawClient.connect(this.#gate.target)
    await this.#client.send(request('GET', path, headers))
    const response = await this.#client.response().catch(() => null)
    if (response?.complete !== true) this.close()
    return response?.status ?? CUT
  }

  close(): void {
    this.#client?.close()
    this.#client = null
  }
}

/** What was asked for, and when. */
type Asked = { readonly what: string; readonly sentAt: number; readonly answeredAt: number; readonly status: number }

/** Asks again and again until it was answered twice behind the acknowledgement. */
async function hammer(connection: KeptAlive, { name, headers }: Caller, asked: Asked[], ackAt: () => number): Promise<void> {
  for (let behind = 0; behind < 2;) {
    const [what, sentAt] = [`plain-${asked.length}-${Math.random()}`, performance.now()]
    const status = await connection.ask(`/${name}/extra/${what}`, headers)
    asked.push({ what, sentAt, answeredAt: performance.now(), status })
    if (sentAt > ackAt()) behind++
    else await pause(4)
  }
}

async function open(gate: TestGateway, kind: 'events' | 'rows' | 'flood', { name, headers }: Caller): Promise<RawClient> {
  const client = await RawClient.connect(gate.target)
  await client.send(request('GET', `/${name}/extra/${kind}`, headers))
  expect((await client.head()).status, client.bytes().toString()).toBe(200)
  return client
}

const stampsIn = (client: RawClient): readonly number[] => [...client.bytes().toString('latin1').matchAll(/at ([\d.]+) \./g)].map(([, at]) => Number(at))

/** What came to light; everything from `arrived` to `stamps` has to stay 0. */
const NOTHING = { ends: 0, asked: 0, streams: 0, arrived: 0, answered: 0, bytes: 0, stamps: 0, readerBytes: 0, readers: 0, expired: 0 }
type Count = typeof NOTHING & { readonly tookMs: readonly number[] }

/** `ackAt`: the answer was read. `emptiedAt`: so was what had been decided, and handed to a socket of the upstream, before it. */
type Ended = { readonly caller: Caller; readonly asked: readonly Asked[]; readonly ackAt: number; readonly emptiedAt: number }

class Trial {
  readonly #count = { ...NOTHING }
  readonly #tookMs: number[] = []
  readonly #ended: Ended[] = []
  readonly #upstream: StampedUpstream
  readonly #gates: readonly TestGateway[]

  constructor(upstream: StampedUpstream, gates: readonly TestGateway[]) {
    this.#upstream = upstream
    this.#gates = gates
  }

  async run(ends: number): Promise<Count> {
    let next = 0
    expect((await openTicket(this.#gate(0), EVERYBODYS)).status).toBe(200)
    const over = await Promise.allSettled(Array.from({ length: AT_ONCE }, async () => {
      const connections = this.#gates.map(gate => new KeptAlive(gate))
      while (next < ends) await this.#one(next++, connections)
      for (const connection of connections) connection.close()
    }))
    for (const outcome of over) if (outcome.status === 'rejected') throw outcome.reason
    for (const ended of this.#ended) this.#tell(ended)
    return { ...this.#count, tookMs: this.#tookMs }
  }

  #gate(n: number): TestGateway { return this.#gates[n % this.#gates.length] as TestGateway } // there is one

  async #one(n: number, connections: readonly KeptAlive[]): Promise<void> {
    const end = ENDS[n % ENDS.length] as End // there are some
    const caller = await elevated(this.#gate(n), `agent-${n}`, end === TICKET_ENDS ? `T-${n}` : EVERYBODYS)
    const streams = await Promise.all([open(this.#gate(n), 'events', caller), open(this.#gate(n + 1), 'rows', caller)])
    const reader = n % FLOODED === 0 ? await open(this.#gate(n + 1), 'flood', caller) : null
    reader?.pause()
    let ackAt = Infinity
    const asked: Asked[] = []
    const loops = connections.map(connection => hammer(connection, caller, asked, () => ackAt))
    try {
      await Promise.all(streams.map(client => client.until(() => client.bodyBytes > 0)))
      await until(() => asked.length >= connections.length, 'the first answers')
      const held = reader?.received ?? 0
      const answer = await end(this.#gate((n >> 1) + 1), caller)
      ackAt = performance.now()
      const emptiedAt = await this.#upstream.caughtUp()
      const marks = streams.map(client => client.bodyBytes)
      this.#acknowledged(answer)
      await Promise.all(loops)
      this.#ended.push({ caller, asked, ackAt, emptiedAt })
      for (const [i, client] of streams.entries()) await this.#look(client, ackAt, marks[i] ?? 0)
      if (reader !== null) await this.#read(reader, held)
    } finally {
      ackAt = Math.min(ackAt, performance.now())
    }
  }

  #acknowledged({ status, json, text }: Answer): void {
    const { acknowledged, expired } = json['gateways'] as { readonly acknowledged: number; readonly expired: number } // the contract's shape
    expect([status, json['enforced'], acknowledged + expired], text).toEqual([200, true, this.#gates.length])
    this.#count.expired += expired
    this.#tookMs.push(Number(json['tookMs']))
  }

  #tell({ caller, asked, ackAt, emptiedAt }: Ended): void {
    const late = new Set(asked.filter(({ sentAt }) => sentAt > ackAt).map(({ what }) => what))
    expect(late.size).toBeGreaterThanOrEqual(2 * this.#gates.length)
    this.#count.ends++
    this.#count.asked += asked.length
    this.#count.answered += asked.filter(({ what, status, answeredAt }) => status === 200 && (late.has(what) || answeredAt > emptiedAt)).length
    this.#count.arrived += (this.#upstream.heard.get(caller.name) ?? []).filter(({ what, at }) => late.has(what) || at > emptiedAt).length
  }

  async #look(client: RawClient, ackAt: number, mark: number): Promise<void> {
    const { body } = await client.response()
    this.#count.streams++
    this.#count.bytes += body.length - mark
    this.#count.stamps += stampsIn(client).filter(at => at > ackAt).length
    client.close()
  }

  /** What was under way to somebody who reads only now. */
  async #read(reader: RawClient, held: number): Promise<void> {
    reader.resume()
    await reader.ended
    this.#count.readers++
    this.#count.readerBytes = Math.max(this.#count.readerBytes, reader.received - held)
    reader.close()
  }
}

const at = (sorted: readonly number[], share: number): string => (sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0).toFixed(1)

function isTight(what: string, ends: number, { tookMs, ...counted }: Count): void {
  const sorted = tookMs.toSorted((x, y) => x - y)
  console.log(`${what}: ${counted.ends} ends, ${counted.asked} requests and ${counted.streams} streams; acknowledged in ${at(sorted, 0.5)} ms (p99 ${at(sorted, 0.99)}, max ${at(sorted, 1)}), ${counted.expired} times by the end of a lease; at most ${counted.readerBytes} bytes to a reader that stood still`)
  expect(counted).toMatchObject({ ends, arrived: 0, answered: 0, bytes: 0, stamps: 0 })
  expect([counted.streams, counted.readers]).toEqual([2 * ends, Math.ceil(ends / FLOODED)])
  expect(counted.asked).toBeGreaterThan(3 * ends)
  expect(counted.readerBytes).toBeLessThanOrEqual(PAUSED_MAX)
}

test.each([['plain', false, 1_600], ['TLS', true, 400]] as const)('[STORE-38, ENF9, STO16] two gateways, %s: nothing is decided on old state behind an acknowledgement', { timeout: 180_000 }, async (what, tls, ends) => {
  const [server, upstream] = await Promise.all([RedisServer.start(), StampedUpstream.start()])
  const { a, b, stop } = await TestGateway.pair(server, planFor(upstream.origin, tls))
  try {
    isTight(`two gateways, ${what}`, ends, await new Trial(upstream, [a, b]).run(ends))
  } finally {
    await stop()
    await Promise.all([upstream.close(), server.dispose()])
  }
})

test('[REV-018, STORE-38, STO16] three gateways and callers that ask again and again: no request that began behind an acknowledgement is forwarded by any of them', async () => {
  const [server, upstream] = await Promise.all([RedisServer.start(), StampedUpstream.start()])
  const plan = planFor(upstream.origin, false)
  const { a, b, stop } = await TestGateway.pair(server, plan)
  const c = await TestGateway.start({ ...plan, issuer: a.issuer, store: storeAt(server) })
  try {
    isTight('three gateways', 60, await new Trial(upstream, [a, b, c]).run(60))
  } finally {
    await c.stop()
    await stop()
    await Promise.all([upstream.close(), server.dispose()])
  }
})

test.each([['plain', false], ['TLS', true]] as const)('[STORE-38, ENF9] one gateway with its own store, %s: likewise', async (what, tls) => {
  const upstream = await StampedUpstream.start()
  const gate = await TestGateway.start(planFor(upstream.origin, tls))
  try {
    isTight(`one gateway, ${what}`, 60, await new Trial(upstream, [gate]).run(60))
  } finally {
    await gate.stop()
    await upstream.close()
  }
})
