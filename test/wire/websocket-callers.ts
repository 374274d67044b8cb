// A WebSocket client that writes its frames itself, over whatever carries them: the socket of an HTTP/1.1 upgrade, or a stream of an HTTP/2 connection behind an
// extended CONNECT. Sees every message, the Close frame and how what carried it ended. For tests only.
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { request as plainRequest } from 'node:http'
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { request as tlsRequest } from 'node:https'
import type { Duplex } from 'node:stream'
import type { TestGateway } from '../support/gateway.ts'
import { until } from './support.ts'

const [TEXT, BINARY, CLOSE] = [1, 2, 8]

/** A masked frame with a length in 8 octets, which is as good as a shorter one only where it is needed. */
function masked(opcode: number, payload: Buffer): Buffer {
  const [size, mask] = [payload.length, randomBytes(4)]
  const head = size < 126 ? Buffer.from([size | 128]) : size < 65_536 ? Buffer.from([254, size >> 8, size & 255]) : Buffer.concat([Buffer.from([255, 0, 0, 0, 0]), Buffer.from(new Uint32Array([size]).buffer).reverse()])
  return Buffer.concat([Buffer.from([128 | opcode]), head, mask, payload.map((byte, i) => byte ^ (mask[i & 3] ?? 0))])
}

export type Closed = { readonly code: number; readonly reason: string }

export class WebSocketCaller {
  readonly carrier: Duplex
  /** Messages so far, whole. */
  readonly messages: Buffer[] = []
  /** Bytes of their payloads. */
  bytes = 0
  closed: Closed | null = null
  /** `performance.now()`; 0 before. */
  closedAt = 0
  overAt = 0
  #rest: Buffer = Buffer.alloc(0)

  constructor(carrier: Duplex, head: Buffer = Buffer.alloc(0)) {
    this.carrier = carrier
    carrier.on('data', (chunk: Buffer) => this.#take(chunk))
    carrier.on('error', () => undefined) // shows at its end
    carrier.on('end', () => carrier.end())
    carrier.on('close', () => (this.overAt = performance.now()))
    if (head.length > 0) this.#take(head)
  }

  send(payload: Buffer | string): void {
    if (this.carrier.writable) this.carrier.write(masked(typeof payload === 'string' ? TEXT : BINARY, Buffer.from(payload)))
  }

  /** Bytes as they are, for half frames. */
  write(bytes: Buffer): void {
    if (this.carrier.writable) this.carrier.write(bytes)
  }

  async over(): Promise<Closed | null> {
    await until(() => this.overAt > 0, 'the end of the WebSocket')
    return this.closed
  }

  /** Its own end. */
  leave(code: number): void {
    this.write(masked(CLOSE, Buffer.from([code >> 8, code & 255])))
  }

  close(): void {
    this.carrier.destroy()
  }

  #take(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk])
    for (let frame = this.#next(); frame !== null; frame = this.#next()) {
      if (frame.opcode === CLOSE) {
        this.closed = { code: frame.payload.length < 2 ? 1005 : frame.payload.readUInt16BE(0), reason: frame.payload.subarray(2).toString() }
        this.closedAt = performance.now()
      } else {
        this.messages.push(frame.payload)
        this.bytes += frame.payload.length
      }
    }
  }

  #next(): { readonly opcode: number; readonly payload: Buffer } | null {
    const bytes = this.#rest
    if (bytes.length < 2) return null
    const short = (bytes[1] ?? 0) & 127
    const start = short === 126 ? 4 : short === 127 ? 10 : 2
    if (bytes.length < start) return null
    const size = short === 126 ? bytes.readUInt16BE(2) : short === 127 ? bytes.readUInt32BE(6) : short
    if (bytes.length < start + size) return null
    this.#rest = bytes.subarray(start + size)
    return { opcode: (bytes[0] ?? 0) & 15, payload: Buffer.from(bytes.subarray(start, start + size)) }
  }
}

export type Refused = { readonly status: number; readonly reason: unknown }
export type Opened = WebSocketCaller | Refused

const reasonIn = (body: Buffer): unknown => (JSON.parse(body.toString()) as { readonly reason?: unknown }).reason // problem+json is an object

export type Headers = { readonly [name: string]: string }

/** By an upgrade of a connection of its own. */
export async function upgrade({ target: { port, tls } }: TestGateway, path: string, headers: Headers): Promise<Opened> {
  const fields = { host: 'api.test', ...headers, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': randomBytes(16).toString('base64') }
  const options = { host: '127.0.0.1', port, path, headers: fields, agent: false }
  const asked = tls === undefined ? plainRequest(options) : tlsRequest({ ...options, ca: tls.ca, servername: 'api.test' })
  const opened = Promise.withResolvers<Opened>()
  asked.on('upgrade', (_message, socket, head) => opened.resolve(new WebSocketCaller(socket, head)))
  asked.on('error', opened.reject)
  asked.on('response', message => {
    const body: Buffer[] = []
    message.on('data', (chunk: Buffer) => body.push(chunk)).on('end', () => opened.resolve({ status: message.statusCode ?? 0, reason: reasonIn(Buffer.concat(body)) }))
  })
  asked.end()
  return opened.promise
}

/** By an extended CONNECT on a connection that others use too. */
export async function extendedConnect(session: ClientHttp2Session, path: string, headers: Headers): Promise<Opened> {
  if (session.remoteSettings.enableConnectProtocol !== true) await once(session, 'remoteSettings')
  const { host = 'api.test', ...others } = headers
  const stream: ClientHttp2Stream = session.request({ ':method': 'CONNECT', ':protocol': 'websocket', ':scheme': 'https', ':path': path, ':authority': host, 'sec-websocket-version': '13', ...others }, { endStream: false })
  const [fields] = (await once(stream, 'response')) as [{ readonly ':status'?: number }] // what a response event carries
  if (fields[':status'] === 200) return new WebSocketCaller(stream)
  const body: Buffer[] = []
  stream.on('data', (chunk: Buffer) => body.push(chunk))
  await once(stream, 'end')
  return { status: fields[':status'] ?? 0, reason: reasonIn(Buffer.concat(body)) }
}
