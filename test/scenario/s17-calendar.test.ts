// S17 by its minutes, on a clock that is moved to them: workers read personal data at minute 0 and watch changes over gRPC; at minute 3 the session that one of them was
// delegated from is revoked; at minute 5 the other's is over. The story is played once; each clause is asserted on what was seen of it.
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { type ClientCall, detailsOf, GrpcCaller } from '../support/grpc-echo.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { until } from '../wire/support.ts'
import { factsOf, opened, paced, raiseBrokered, timesIn } from './brokers.ts'
import { type Adapted, bearer, type Headers, type Line, OpenStream, outcome, tokenFor, word } from './stage.ts'

const BEGIN = Date.parse('2026-11-21T10:00:00Z')
const MINUTE = 60_000
const WATCH = '/changes.v1.Changes/Watch'
const DATA = { host: 'customers.internal' }
const EGRESS = { host: 'egress.internal' }
const CATALOG = '/catalog/live'
const BOUND = 1_000
const CLOCKS = 5
const UNAUTHENTICATED = 16
/** By its parent, until its own end is written. */
const REVOKED = ['401 parent_ended', '401 credential_revoked']

/** Tells everybody who watches what time it is, every few milliseconds: one field of bytes. */
class Changes {
  readonly #server = new Server()
  readonly #open = new Set<ServerDuplexStream<Buffer, Buffer>>()
  readonly #pace = setInterval(() => {
    const text = Buffer.from(`at ${performance.now()} .`)
    for (const call of this.#open) call.write(Buffer.concat([Buffer.from([0x0a, text.length]), text]))
  }, 5)
  origin = ''

  constructor() {
    const asItIs = (bytes: Buffer): Buffer => bytes
    const watch = { path: WATCH, requestStream: true, responseStream: true, requestSerialize: asItIs, requestDeserialize: asItIs, responseSerialize: asItIs, responseDeserialize: asItIs }
    this.#server.addService({ watch }, { watch: (call: ServerDuplexStream<Buffer, Buffer>) => {
      this.#open.add(call)
      call.on('cancelled', () => this.#open.delete(call)).on('error', () => undefined).resume()
    } })
  }

  get watchers(): number { return this.#open.size }

  async start(): Promise<void> {
    const port = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => (error === null ? resolve(bound) : reject(error)))
    })
    this.origin = `http://127.0.0.1:${port}`
  }

  close(): void {
    clearInterval(this.#pace)
    this.#server.forceShutdown()
  }
}

/** One who watches, and what came of it. */
class Watcher {
  readonly call: ClientCall
  text = ''

  constructor(grpc: GrpcCaller, token: string) {
    this.call = grpc.call(WATCH, token)
    this.call.stream.on('data', ({ data }: { readonly data: Buffer }) => (this.text += data.toString()))
  }

  get isUnderWay(): boolean { return timesIn(this.text).length > 3 }
  get last(): number { return Math.max(0, ...timesIn(this.text)) }
  get isOpen(): boolean { return this.call.status === null }

  /** Its code and reason, and how long behind that instant it was told. */
  async end(from: number): Promise<readonly [told: string, after: number]> {
    const status = await this.call.ended
    return [`${status.code} ${String(detailsOf(status)?.reason)}`, this.call.endedAt - from]
  }
}

let gate: TestGateway
let lines: readonly Line[] = []
const clock = new ShiftedClock(new Date(BEGIN).toISOString())
const changes = new Changes()
const seen = {
  read: [] as string[], revoked: { told: [] as string[], after: 0, late: 0, children: [] as string[], others: [] as string[], open: [] as boolean[] },
  before: [] as string[], over: { told: [] as string[], after: [] as number[], late: [] as number[] }, behind: [] as string[], reconnect: [] as string[], later: [] as string[], others: [] as unknown[], session: '', dispatched: -1,
}

const ask = async (token: string, method: string, path: string, host: Headers = DATA): Promise<string> => outcome(await gate.ask(method, path, bearer(token, host)))
/** `performance.now()` at that time; whatever comes between the two readings makes it earlier. */
const instantOf = (at: number): number => Math.max(...Array.from({ length: 5 }, () => performance.now() + at - clock.now()))
const moveTo = (at: number): void => clock.moveTo(new Date(at).toISOString())

/** A pipeline, and a worker under it. */
async function family(name: string): Promise<{ readonly parent: string; readonly token: string; readonly session: string }> {
  const { json } = await gate.ask('GET', '/.narrowgate/session', bearer(await tokenFor(gate.issuer, `nightly-${name}`, {}, clock.shift), DATA))
  const parent = String(json['id'])
  return { parent, ...(await opened(gate, { subject: { kind: 'service', subject: name, tenant: 'acme' }, parent })) }
}

async function theStory(): Promise<void> {
  const [reader, orphan, other] = [await family('reader'), await family('orphan'), await family('other')]
  const below = await opened(gate, { subject: { kind: 'service', subject: 'orphan-1', tenant: 'acme' }, parent: orphan.session })
  seen.session = reader.session
  const grpc = new GrpcCaller(gate.target.port, null, {}, 'changes.internal')
  for (const { token } of [reader, orphan]) seen.read.push(await ask(token, 'GET', '/pii/customers/7'))
  const endsAt = gate.parts.mirror.byId(reader.session)?.record.endsAt ?? 0
  const [early, deserted, beside] = [new Watcher(grpc, reader.token), new Watcher(grpc, orphan.token), new Watcher(grpc, other.token)]
  await until(() => [early, deserted, beside].every(({ isUnderWay }) => isUnderWay), 'all to be under way')

  moveTo(BEGIN + 3 * MINUTE)
  await word(gate, `/v1/sessions/${orphan.parent}/terminate`)
  const revokedAt = performance.now()
  seen.revoked.children = [await ask(orphan.token, 'GET', '/catalog/list'), await ask(below.token, 'GET', '/catalog/list')]
  const [told, after] = await deserted.end(revokedAt)
  seen.revoked.others = [await ask(reader.token, 'GET', '/catalog/list'), await ask(other.token, 'GET', '/catalog/list')]
  Object.assign(seen.revoked, { told: [told], after, late: deserted.last - revokedAt, open: [early.isOpen, beside.isOpen] })

  moveTo(endsAt - 1_500)
  const late = new Watcher(grpc, reader.token)
  const catalog = await OpenStream.open(gate, CATALOG, bearer(reader.token, DATA))
  const stop = paced(gate, 'catalog')
  await until(() => late.isUnderWay && timesIn(catalog.text).length > 3, 'both to be under way')
  seen.before = [await ask(reader.token, 'GET', '/catalog/list'), await ask(reader.token, 'POST', '/reports/weekly', EGRESS)]
  expect(clock.now()).toBeLessThan(endsAt) // all of it was begun in time
  const overAt = instantOf(endsAt)
  await until(() => clock.now() >= endsAt, 'minute 5')
  const requests = gate.upstream.requests.length
  seen.behind = [await ask(reader.token, 'GET', '/catalog/list'), await ask(reader.token, 'GET', '/pii/customers/7'), await ask(reader.token, 'POST', '/reports/weekly', EGRESS)]
  const ends = await Promise.all([late.end(overAt), early.end(overAt)])
  await catalog.cut().catch(() => null) // by a reset, or at an event's end
  Object.assign(seen.over, { told: ends.map(([how]) => how), after: [...ends.map(([, by]) => by), performance.now() - overAt], late: [late.last, early.last, ...timesIn(catalog.text).slice(-1)].map(at => at - overAt) })
  seen.reconnect = [(await new Watcher(grpc, reader.token).end(0))[0], await ask(reader.token, 'GET', CATALOG)]
  seen.dispatched = gate.upstream.requests.length - requests
  await until(() => beside.last > overAt + 50, 'what was written for the others since')
  stop()
  await until(() => changes.watchers === 1, 'the upstream to see their ends')
  seen.others = [await ask(other.token, 'GET', '/catalog/list'), beside.isOpen]
  moveTo(BEGIN + 6 * MINUTE)
  seen.later = [await ask(reader.token, 'GET', '/catalog/list'), await ask(orphan.token, 'GET', '/catalog/list'), await ask(below.token, 'GET', '/catalog/list')]
  grpc.close()
  lines = await gate.trail()
}

beforeAll(async () => {
  await changes.start()
  const adapt = (example: Adapted): void => {
    example['upstreams'].changes.url = changes.origin
    example['routes'].find(({ name }: Line) => name === 'changes').upstream = 'changes'
  }
  gate = await raiseBrokered('s17.yaml', { clock, adapt })
  for (const path of ['/pii/customers/7', '/catalog/list', '/reports/weekly']) gate.upstream.plays.set(path, '/ok')
  gate.upstream.plays.set(CATALOG, '/sse/catalog')
  await theStory()
}, 60_000)
afterAll(async () => {
  await gate.stop()
  changes.close()
})

test('[S17.b] minute 5 passes with gRPC streams open, one from the beginning and one from just before: each is cut in gRPC\'s own way, and nothing that was written from that instant on came', () => {
  expect([seen.read, seen.before]).toEqual([['200', '200'], ['200', '403 tainted']])
  expect(seen.over.told).toEqual([`${UNAUTHENTICATED} max_reached`, `${UNAUTHENTICATED} max_reached`])
  for (const late of seen.over.late) expect(late).toBeLessThan(CLOCKS)
  for (const after of seen.over.after) expect(after).toBeLessThan(BOUND)
  const begun = new Map(lines.filter(({ kind }) => kind === 'exchange.opened').map(({ exchange, path }) => [exchange, String(path)]))
  const cuts = lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === seen.session).map(({ exchange, reason }) => `${begun.get(exchange)} ${String(reason)}`)
  expect(new Set(cuts)).toEqual(new Set([`${CATALOG} max_reached`, `${WATCH} max_reached`]))
  expect(cuts).toHaveLength(3)
})

test('[S17.c] at minute 3 the session it was delegated from is revoked: it and what it handed on are refused at once, its gRPC stream is cut; others pass and watch on', () => {
  const { told, after, late, children, others, open } = seen.revoked
  expect(told).toEqual([`${UNAUTHENTICATED} parent_ended`])
  expect([after < BOUND, late < 0]).toEqual([true, true])
  for (const child of children) expect(REVOKED).toContain(child)
  expect([others, open]).toEqual([['200', '200'], [true, true]])
})

test('[S17.e, S17.p] calls behind the shortened end are refused, whatever they are, then and later, and none of them is dispatched', () => {
  expect([seen.behind, seen.dispatched]).toEqual([Array.from({ length: 3 }, () => '401 max_reached'), 0])
  expect(seen.later[0]).toBe('401 max_reached')
  for (const told of seen.later.slice(1)) expect(REVOKED).toContain(told)
})

test('[S17.q] reconnecting behind the end is refused, over gRPC and without', () => expect(seen.reconnect).toEqual([`${UNAUTHENTICATED} max_reached`, '401 max_reached']))

test('[S17.g] the log has the end it was given, the one that the read left it, and the cuts of that instant', () => {
  const facts = factsOf(lines, seen.session)
  const of = (what: string): Line => facts.find(fact => fact['what'] === what) ?? {}
  const [given, left] = [Number(of('session.opened')['endsAt']), Number(of('session.shortened')['endsAt'])]
  expect(Math.abs(given - BEGIN - 60 * MINUTE)).toBeLessThan(MINUTE)
  expect(Math.abs(left - BEGIN - 5 * MINUTE)).toBeLessThan(MINUTE)
  const cutAt = lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === seen.session).map(({ at }) => Number(at))
  for (const at of cutAt) expect([at >= left - CLOCKS, at - left < BOUND]).toEqual([true, true])
})

test('[S17.u, S17.v] somebody else watches on beside them, over the same connection and the same upstream', () => expect(seen.others).toEqual(['200', true]))
