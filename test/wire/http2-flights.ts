// Exchanges held open by the test on streams of one HTTP/2 connection, which sessions share: the same kinds, the same upstream and the same pattern as
// over HTTP/1.1 (support.ts), so that a byte lost, doubled or changed shows at either end.
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants, type IncomingHttpHeaders, type SecureClientSessionOptions } from 'node:http2'
import { expect } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { PIECE, type Tap, type TapUpstream, until, WHOLE } from './support.ts'

export type StreamKind = 'download' | 'chunked download' | 'upload' | 'sse'
export const STREAM_KINDS: readonly StreamKind[] = ['download', 'chunked download', 'upload', 'sse']

export async function connectHttp2({ target: { port, tls } }: TestGateway, more: SecureClientSessionOptions = {}): Promise<ClientHttp2Session> {
  const session = connect(`${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`, { ...(tls === undefined ? {} : { ca: tls.ca, servername: 'api.test' }), ...more })
  session.on('error', () => undefined) // shows at its streams
  await once(session, 'connect')
  return session
}

/** A stream, and what came on it. */
export class CallerStream {
  readonly raw: ClientHttp2Stream
  headers: IncomingHttpHeaders = {}
  trailers: IncomingHttpHeaders = {}
  bytes = 0
  /** Where the body differs from the pattern. */
  wrongAt: number | null = null
  /** `performance.now()` of the stream's end, 0 before. */
  closedAt = 0
  readonly #got: Buffer[] = []

  constructor(session: ClientHttp2Session, method: string, path: string, more: { readonly [name: string]: string } = {}) {
    this.raw = session.request({ ':method': method, ':path': path, ':authority': 'api.test', ...more }, { endStream: method === 'GET' })
    this.raw.on('response', headers => (this.headers = headers))
    this.raw.on('trailers', trailers => (this.trailers = trailers))
    this.raw.on('data', (chunk: Buffer) => {
      this.wrongAt ??= firstMismatch(chunk, this.bytes)
      this.bytes += chunk.length
      if (this.bytes <= WHOLE) this.#got.push(chunk)
    })
    this.raw.on('error', () => undefined) // shows in its code
    this.raw.on('close', () => (this.closedAt = performance.now()))
  }

  get body(): string { return Buffer.concat(this.#got).toString() }
  get json(): unknown { return JSON.parse(this.body) }
  get status(): number { return Number(this.headers[':status'] ?? 0) }

  /** How it ended: `whole`, or the code of its reset. */
  async over(): Promise<'whole' | number> {
    await until(() => this.closedAt > 0, 'the end of the stream')
    return this.raw.rstCode === constants.NGHTTP2_NO_ERROR ? 'whole' : this.raw.rstCode
  }
}

/** One exchange, open from end to end on a stream. */
export type StreamFlight = {
  readonly kind: StreamKind
  readonly caller: CallerStream
  readonly tap: Tap
  readonly move: () => Promise<void>
  readonly push: () => void
  /** Content that the receiving end has. */
  readonly arrived: () => number
  /** Content that was handed to the sending end. */
  readonly handed: () => number
  /** Lets it end, and holds it to every byte. */
  readonly finish: () => Promise<void>
}

let opened = 0

export async function takeOffOn(session: ClientHttp2Session, upstream: TapUpstream, kind: StreamKind, place: 'base' | 'extra', token: string): Promise<StreamFlight> {
  const path = `/h2-${++opened}/${place}`
  const caller = new CallerStream(session, kind === 'upload' ? 'POST' : 'GET', path, { authorization: `Bearer ${token}`, ...(kind === 'upload' ? { 'content-length': String(WHOLE) } : {}) })
  let sent = 0
  const up = (bytes = PIECE): void => {
    if (caller.raw.writable) caller.raw.write(patternAt(sent, bytes))
    sent += bytes
  }
  if (kind === 'upload') up()
  const tap = await upstream.tap(path)
  if (kind === 'upload') await until(() => tap.received === PIECE, 'the first bytes')
  else if (kind === 'sse') tap.beginEvents()
  else tap.begin(kind === 'download' ? WHOLE : null)
  const push = kind === 'upload' ? up : kind === 'sse' ? () => tap.emit() : () => void tap.send()
  const handed = (): number => (kind === 'upload' ? sent : tap.sent)
  const arrived = (): number => (kind === 'upload' ? tap.received : caller.bytes)
  const move = async (): Promise<void> => {
    push()
    await until(() => arrived() === handed(), `${handed()} bytes`)
  }
  const finish = async (): Promise<void> => {
    if (kind === 'upload') {
      up(WHOLE - sent)
      caller.raw.end()
      await until(() => tap.bodyEnded, 'the end of the upload')
      tap.answer.writeHead(201, { 'content-length': 2 }).end('ok')
    } else {
      if (kind !== 'sse') tap.send(WHOLE - tap.sent)
      tap.answer.end()
    }
    expect(await caller.over()).toBe('whole')
    if (kind === 'upload') expect([caller.status, caller.body, tap.received, tap.wrongAt]).toEqual([201, 'ok', WHOLE, null])
    else if (kind === 'sse') expect(caller.body).toBe(tap.text)
    else expect([caller.bytes, caller.wrongAt]).toEqual([WHOLE, null])
  }
  if (kind !== 'upload') await move()
  return { kind, caller, tap, move, push, arrived, handed, finish }
}
