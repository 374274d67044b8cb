// Exchanges held open by the test at both ends: an upstream whose answers the test writes piece by piece, and a byte-exact caller.
// What is sent is a pattern, so that a byte lost, doubled or changed shows at either end.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { expect } from 'vitest'
import type { Exchange } from '../../src/enforcement/exchange.ts'
import type { Answer, GatewayPlan, TestGateway } from '../support/gateway.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { type Ending, RawClient, request, type RawResponse } from '../support/raw-client.ts'

export const PIECE = 16_384
export const WHOLE = 16 * PIECE

export type Kind = 'download' | 'chunked download' | 'upload' | 'sse'
export const KINDS: readonly Kind[] = ['download', 'chunked download', 'upload', 'sse']

/** Asked again and again: for what no socket of the test tells. */
export async function until(holds: () => boolean, what: string, ms = 10_000, every = 2): Promise<void> {
  const deadline = performance.now() + ms
  while (!holds()) {
    if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`)
    await pause(every)
  }
}

export const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))

/** One request as the upstream has it; what it answers is the test's to write. Times are `performance.now()`, 0 while it has not happened. */
export class Tap {
  readonly message: IncomingMessage
  readonly answer: ServerResponse
  /** Content written so far: bytes of the pattern, or the text of events. */
  sent = 0
  text = ''
  received = 0
  /** Where the request body differs from the pattern. */
  wrongAt: number | null = null
  bodyEnded = false
  /** The connection was gone before the answer was whole. */
  abortedAt = 0

  constructor(message: IncomingMessage, answer: ServerResponse) {
    this.message = message
    this.answer = answer
    message.on('data', (chunk: Buffer) => {
      this.wrongAt ??= firstMismatch(chunk, this.received)
      this.received += chunk.length
    })
    message.on('end', () => (this.bodyEnded = true))
    message.on('error', () => undefined) // an abort shows at the answer
    answer.on('close', () => {
      if (!answer.writableFinished) this.abortedAt = performance.now()
    })
  }

  begin(length: number | null): void {
    this.answer.writeHead(200, { 'content-type': 'application/octet-stream', ...(length === null ? {} : { 'content-length': length }) })
    this.answer.flushHeaders()
  }

  beginEvents(): void {
    this.answer.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders()
  }

  /** The next bytes of the pattern; false when the system takes no more for now. */
  send(bytes = PIECE): boolean {
    const part = patternAt(this.sent, bytes)
    this.sent += bytes
    return this.answer.write(part)
  }

  emit(text = `data: ${this.text.length}\n\n`): void {
    this.text += text
    this.sent = this.text.length
    this.answer.write(text)
  }

  /** Sends as fast as it is taken, until it is over. */
  pump(): void {
    while (this.abortedAt === 0 && !this.answer.destroyed && this.send()) continue
    if (!this.answer.destroyed) this.answer.once('drain', () => this.pump())
  }
}

export class TapUpstream {
  readonly taps = new Map<string, Tap>()
  readonly #server: Server

  private constructor() {
    this.#server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 }, (message, answer) => this.taps.set(message.url ?? '', new Tap(message, answer)))
    this.#server.on('checkContinue', (message, answer) => this.taps.set(message.url ?? '', new Tap(message, answer)))
  }

  static async start(): Promise<TapUpstream> {
    const upstream = new TapUpstream()
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    return upstream
  }

  get origin(): string {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the upstream is not listening')
    return `http://127.0.0.1:${address.port}`
  }

  /** The request of this path, when it has arrived. */
  async tap(path: string): Promise<Tap> {
    await until(() => this.taps.has(path), `a request for ${path}; the last ones were ${[...this.taps.keys()].slice(-3).join(', ')}`)
    return this.taps.get(path) as Tap // waited for
  }

  async close(): Promise<void> {
    this.#server.close()
    this.#server.closeAllConnections()
    await once(this.#server, 'close')
  }
}

/** `/NAME/base` stands on the baseline, `/NAME/extra` on an elevation; `short` is one that time ends. */
export const planFor = (upstream: TapUpstream, more: Partial<GatewayPlan> = {}): GatewayPlan => ({
  routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use }
    - { allow: { paths: ["/*/extra"] }, scope: extra:use }`,
  baseline: '[{ scopes: [base:use] }]',
  elevations: `
long: { adds: [extra:use], for: 10m, max: 1h }
short: { adds: [extra:use], for: 1s }`,
  ...more,
})

/** One exchange, open from end to end. */
export type Flight = {
  readonly kind: Kind
  readonly client: RawClient
  readonly tap: Tap
  /** Moves one more piece through and waits for it to arrive. */
  readonly move: () => Promise<void>
  /** Hands one more piece to the sending end's socket and waits for nothing. */
  readonly push: () => void
  /** Content that the receiving end has. */
  readonly arrived: () => number
  /** Content that was handed to the sending end's socket. */
  readonly handed: () => number
  /** Lets it end, and holds it to every byte. */
  readonly finish: () => Promise<void>
  readonly ended: Promise<Ending>
  /** `performance.now()` of the end at the caller: of its connection, or of a stream that ended whole. */
  readonly endedAt: () => number
}

let opened = 0

/** Opens an exchange and moves the first piece through. An upload's head goes upstream together with its first bytes. */
export async function takeOff(gate: TestGateway, upstream: TapUpstream, kind: Kind, place: 'base' | 'also' | 'extra' | 'slow', token: string): Promise<Flight> {
  const path = `/f${++opened}/${place}`
  const client = await RawClient.connect(gate.target)
  const authorization = `Bearer ${token}`
  client.push(kind === 'upload' ? request('POST', path, { authorization, 'content-length': String(WHOLE) }) : request('GET', path, { authorization }))
  if (kind === 'upload') client.push(patternAt(0, PIECE))
  const tap = await upstream.tap(path)
  if (kind === 'upload') return uploading(client, tap)
  const flight = kind === 'sse' ? streaming(client, tap) : downloading(client, tap, kind)
  expect((await client.head()).status).toBe(200)
  await flight.move()
  return flight
}

function downloading(client: RawClient, tap: Tap, kind: Kind): Flight {
  tap.begin(kind === 'download' ? WHOLE : null)
  const arrived = (): number => client.bodyBytes
  const finish = async (): Promise<void> => {
    tap.send(WHOLE - tap.sent)
    tap.answer.end()
    isWhole(await client.response(), WHOLE)
  }
  return { kind, client, tap, arrived, finish, ...endingOf(client), handed: () => tap.sent, push: () => void tap.send(), move: () => moved(() => void tap.send(), () => tap.sent, arrived) }
}

function streaming(client: RawClient, tap: Tap): Flight {
  tap.beginEvents()
  const arrived = (): number => client.bodyBytes
  const finish = async (): Promise<void> => {
    tap.answer.end()
    const { complete, body } = await client.response()
    expect({ complete, body: body.toString() }).toEqual({ complete: true, body: tap.text })
  }
  return { kind: 'sse', client, tap, arrived, finish, ended: client.ended, endedAt: () => client.lastByteAt, handed: () => tap.sent, push: () => tap.emit(), move: () => moved(() => tap.emit(), () => tap.sent, arrived) }
}

async function uploading(client: RawClient, tap: Tap): Promise<Flight> {
  let sent = PIECE
  await until(() => tap.received === PIECE, 'the first bytes')
  const push = (bytes = PIECE): void => {
    client.push(patternAt(sent, bytes))
    sent += bytes
  }
  const arrived = (): number => tap.received
  const finish = async (): Promise<void> => {
    push(WHOLE - sent)
    await until(() => tap.bodyEnded, 'the end of the upload')
    tap.answer.writeHead(201, { 'content-length': 2 }).end('ok')
    const { status, complete, body } = await client.response('POST')
    expect({ status, complete, body: body.toString(), received: tap.received, wrongAt: tap.wrongAt }).toEqual({ status: 201, complete: true, body: 'ok', received: WHOLE, wrongAt: null })
  }
  return { kind: 'upload', client, tap, arrived, finish, ...endingOf(client), handed: () => sent, push: () => push(), move: () => moved(push, () => sent, arrived) }
}

function endingOf({ ended }: RawClient): Pick<Flight, 'ended' | 'endedAt'> {
  let at = 0
  void ended.then(() => (at = performance.now()))
  return { ended, endedAt: () => at }
}

async function moved(push: () => void, handed: () => number, arrived: () => number): Promise<void> {
  push()
  await until(() => arrived() === handed(), `${handed()} bytes, ${arrived()} arrived`)
}

export function isWhole({ complete, body }: RawResponse, length: number): void {
  expect({ complete, length: body.length, wrongAt: firstMismatch(body) }).toEqual({ complete: true, length, wrongAt: null })
}

/** A request that is answered at once when it gets through: 200, or the reason of its refusal. */
export async function outcomeOf(gate: TestGateway, upstream: TapUpstream, path: string, token: string): Promise<unknown> {
  let answered = false
  const answer = gate.ask('GET', path, { authorization: `Bearer ${token}` }).finally(() => (answered = true))
  await until(() => answered || upstream.taps.has(path), `an outcome of ${path}`)
  upstream.taps.get(path)?.answer.end('ok')
  const { status, json } = await answer
  return status === 200 ? status : json['reason']
}

/** The gateway's own exchanges of a session, in the order of opening. */
export function exchangesOf(gate: TestGateway, session: string): readonly Exchange[] {
  const live = gate.parts.mirror.byId(session)
  return live === null ? [] : [...gate.parts.inflight.of(live)]
}

/** What an operator did, and when it was accepted and acknowledged. */
export type Acted = { readonly answer: Answer; readonly calledAt: number; readonly acceptedAt: number; readonly ackedAt: number }

export async function operate(gate: TestGateway, session: string, verb: string, body: unknown = {}): Promise<Acted> {
  let acceptedAt = 0
  const stop = gate.parts.hub.subscribe(heard => {
    if (heard.is === 'announced' && heard.session === session && acceptedAt === 0) acceptedAt = performance.now()
  })
  const calledAt = performance.now()
  const answer = await gate.admin('POST', `/v1/sessions/${session}/${verb}`, body)
  const ackedAt = performance.now()
  stop?.()
  expect(answer.status, answer.text).toBe(200)
  return { answer, calledAt, acceptedAt, ackedAt }
}

/** What the admin API says became of the exchanges that were open. */
export const tallyOf = ({ answer }: Acted): unknown => answer.json['exchanges']
