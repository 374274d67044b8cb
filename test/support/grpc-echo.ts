// A gRPC upstream of @grpc/grpc-js, and its clients: calls echo by themselves, or are held by the test, which then writes and ends them. What is sent
// is a pattern, so that a byte lost, doubled or changed shows at either end. For tests only.
import type { EventEmitter } from 'node:events'
import { fileURLToPath } from 'node:url'
import {
  type ChannelOptions, Client, type ClientDuplexStream, credentials, type handleBidiStreamingCall, type handleClientStreamingCall, type handleServerStreamingCall, type handleUnaryCall, Metadata, type sendUnaryData,
  Server, ServerCredentials, type ServerDuplexStream, type ServerReadableStream, type ServerUnaryCall, type ServerWritableStream, type ServiceError, type StatusObject,
} from '@grpc/grpc-js'
import { loadSync, type MessageTypeDefinition, type ServiceDefinition } from '@grpc/proto-loader'
import { firstMismatch, patternAt } from './pattern.ts'

export type Piece = { readonly data: Buffer }
export type CallKind = 'One' | 'Pour' | 'Collect' | 'Chat'
export const CALL_KINDS: readonly CallKind[] = ['One', 'Pour', 'Collect', 'Chat']

const definitions = loadSync(fileURLToPath(new URL('grpc-echo.proto', import.meta.url)), { longs: Number, defaults: true })
const serviceOf = (name: string): ServiceDefinition => definitions[`narrowgate.test.${name}`] as ServiceDefinition // the file above says so
const messageOf = (name: string): MessageTypeDefinition<object, object> => definitions[`narrowgate.test.${name}`] as MessageTypeDefinition<object, object> // as above

export type Details = { readonly code: number; readonly message: string; readonly reason: string; readonly domain: string; readonly told: { readonly [key: string]: string } }

/** `grpc-status-details-bin` of a status, as protobufjs reads it; null where there is none. */
export function detailsOf({ metadata }: Pick<StatusObject, 'metadata'>): Details | null {
  const [bytes] = metadata.get('grpc-status-details-bin')
  return Buffer.isBuffer(bytes) ? readDetails(bytes) : null
}

export function readDetails(bytes: Buffer): Details {
  const { code, message, details: [any] } = messageOf('Status').deserialize(bytes) as { code: number; message: string; details: { type_url: string; value: Buffer }[] } // the message of the file above
  if (any?.type_url !== 'type.googleapis.com/google.rpc.ErrorInfo') throw new Error(`details of another type: ${String(any?.type_url)}`)
  const { reason, domain, metadata: told } = messageOf('ErrorInfo').deserialize(any.value) as { reason: string; domain: string; metadata: Details['told'] } // as above
  return { code, message, reason, domain, told }
}

type AnyCall = ServerUnaryCall<Piece, Piece> | ServerWritableStream<Piece, Piece> | ServerReadableStream<Piece, Piece> | ServerDuplexStream<Piece, Piece>

/** One call as the server has it. Times are `performance.now()`, 0 while it has not happened. */
export class EchoCall {
  readonly kind: CallKind
  readonly call: AnyCall
  /** The same call: the union of its kinds is nothing that can be listened to. */
  readonly events: EventEmitter
  readonly reply: sendUnaryData<Piece>
  /** Of the pattern, taken in and written out so far. */
  received = 0
  sent = 0
  messages = 0
  wrongAt: number | null = null
  /** The caller closed its half. */
  halfClosed = false
  /** It was over before the server ended it. */
  cancelledAt = 0
  #ended = false

  constructor(kind: CallKind, call: AnyCall, reply: sendUnaryData<Piece>) {
    this.kind = kind
    this.call = call
    this.reply = reply
    this.events = call
    this.events.on('cancelled', () => {
      if (!this.#ended) this.cancelledAt = performance.now()
    })
    if ('request' in call) this.took(call.request)
    else this.events.on('data', (piece: Piece) => this.took(piece)).on('end', () => (this.halfClosed = true)).on('error', () => undefined)
  }

  took({ data }: Piece): void {
    this.wrongAt ??= firstMismatch(data, this.received)
    this.received += data.length
    this.messages++
  }

  /** The next bytes of the pattern as one message; false when there is no room for now. */
  send(bytes: number): boolean {
    const data = patternAt(this.sent, bytes)
    this.sent += bytes
    return 'write' in this.call && this.call.write({ data })
  }

  end(metadata = new Metadata()): void {
    this.#ended = true
    if (this.kind === 'One' || this.kind === 'Collect') this.reply(null, { data: patternAt(0, this.received) }, metadata)
    else if ('end' in this.call) this.call.end(metadata)
  }

  fail(code: number, details: string): void {
    this.#ended = true
    this.events.emit('error', { code, details })
  }

  /** Sends as fast as it is taken, until it is over. */
  pump(bytes: number): void {
    while (this.cancelledAt === 0 && this.send(bytes)) continue
    if (this.cancelledAt === 0) this.events.once('drain', () => this.pump(bytes))
  }
}

/** Metadata in both directions and its trailers, from what came in. */
function answerMetadata(call: AnyCall): Metadata {
  const seen = new Metadata()
  for (const value of call.metadata.get('x-ask')) seen.add('x-answer', value)
  for (const value of call.metadata.get('x-ask-bin')) seen.add('x-answer-bin', value)
  call.sendMetadata(seen)
  const trailers = new Metadata()
  trailers.set('x-trailer', 'behind')
  trailers.set('x-trailer-bin', Buffer.from([0, 255, 1]))
  return trailers
}

/** What a call does that nobody holds: `One` and `Collect` answer with all that came, `Pour` with it in ten messages, `Chat` message by message. */
function echo(held: EchoCall): void {
  const { events } = held
  const trailers = answerMetadata(held.call)
  if (held.kind === 'One') return held.end(trailers)
  if (held.kind === 'Pour') {
    for (let i = 0; i < 10; i++) held.send(held.received)
    return held.end(trailers)
  }
  if (held.kind === 'Chat') events.on('data', (piece: Piece) => held.send(piece.data.length))
  events.on('end', () => held.end(trailers))
}

export class GrpcEcho {
  readonly calls: EchoCall[] = []
  readonly #server: Server
  port = 0

  constructor(options: ChannelOptions = {}) {
    this.#server = new Server({ 'grpc.max_receive_message_length': -1, ...options })
    for (const name of ['Echo', 'Vault']) this.#server.addService(serviceOf(name), this.#handlers())
    this.#server.addService(HEALTH, { check: ((_call, reply) => reply(null, { status: 1 })) as handleUnaryCall<object, object> }) // the kind of call that HEALTH names
  }

  static async start(options: ChannelOptions = {}): Promise<GrpcEcho> {
    const echo = new GrpcEcho(options)
    echo.port = await new Promise((resolve, reject) => {
      echo.#server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => (error === null ? resolve(port) : reject(error)))
    })
    return echo
  }

  get origin(): string { return `http://127.0.0.1:${this.port}` }

  close(): void {
    this.#server.forceShutdown()
  }

  #take(kind: CallKind, call: AnyCall, reply: sendUnaryData<Piece>): void {
    const taken = new EchoCall(kind, call, reply)
    this.calls.push(taken)
    if (call.metadata.get('x-held').length === 0) echo(taken)
  }

  #handlers(): { readonly One: handleUnaryCall<Piece, Piece>; readonly Pour: handleServerStreamingCall<Piece, Piece>; readonly Collect: handleClientStreamingCall<Piece, Piece>; readonly Chat: handleBidiStreamingCall<Piece, Piece> } {
    return {
      One: (call, reply) => this.#take('One', call, reply),
      Pour: call => this.#take('Pour', call, () => undefined),
      Collect: (call, reply) => this.#take('Collect', call, reply),
      Chat: call => this.#take('Chat', call, () => undefined),
    }
  }
}

const method = (path: string, asks: string, answers: string) => ({
  path, requestStream: false, responseStream: false, requestSerialize: messageOf(asks).serialize, requestDeserialize: messageOf(asks).deserialize, responseSerialize: messageOf(answers).serialize, responseDeserialize: messageOf(answers).deserialize,
})
const HEALTH = { check: method('/grpc.health.v1.Health/Check', 'HealthCheckRequest', 'HealthCheckResponse') }

/** One call as the client has it; `status` when it is over. Times are `performance.now()`. */
export class ClientCall {
  readonly stream: ClientDuplexStream<Piece, Piece>
  readonly ended: Promise<StatusObject>
  headers = new Metadata()
  status: StatusObject | null = null
  endedAt = 0
  sent = 0
  received = 0
  messages = 0
  wrongAt: number | null = null

  /** @param reads false leaves the answer unread, beyond a few messages, until `stream.resume()` */
  constructor(stream: ClientDuplexStream<Piece, Piece>, reads = true) {
    this.stream = stream
    stream.on('metadata', (headers: Metadata) => (this.headers = headers))
    stream.on('error', (_error: ServiceError) => undefined) // the status tells
    stream.on('data', (piece: Piece) => this.#took(piece))
    if (!reads) stream.pause() // one that nobody listens to at all is taken in without end by the library
    const read = reads ? new Promise(resolve => stream.on('end', resolve)) : null // messages may be told behind the status
    this.ended = new Promise(resolve => stream.on('status', (status: StatusObject) => {
      this.endedAt = performance.now()
      this.status = status
      void Promise.resolve(read).then(() => resolve(status))
    }))
  }

  #took({ data }: Piece): void {
    this.wrongAt ??= firstMismatch(data, this.received)
    this.received += data.length
    this.messages++
  }

  send(bytes: number): boolean {
    const data = patternAt(this.sent, bytes)
    this.sent += bytes
    return this.stream.write({ data })
  }

  /** The caller's half is over. */
  done(): this {
    this.stream.end()
    return this
  }
}

type Asking = { readonly metadata?: { readonly [name: string]: string | Buffer }; readonly deadline?: number; readonly reads?: boolean }

export class GrpcCaller {
  readonly client: Client
  readonly #host: string

  /** @param ca of a TLS listener; null for h2c */
  constructor(port: number, ca: string | null, options: ChannelOptions = {}, host = 'api.test') {
    this.#host = host
    const channel = ca === null ? credentials.createInsecure() : credentials.createSsl(Buffer.from(ca))
    this.client = new Client(`127.0.0.1:${port}`, channel, {
      'grpc.default_authority': host, ...(ca === null ? {} : { 'grpc.ssl_target_name_override': host }), 'grpc.enable_retries': 0, 'grpc.max_receive_message_length': -1, 'grpc.use_local_subchannel_pool': 1, ...options,
    })
  }

  /** Every kind of call goes as a stream both ways: on the wire they are one. */
  call(path: string, token: string | null, { metadata = {}, deadline, reads = true }: Asking = {}): ClientCall {
    const sent = new Metadata()
    if (token !== null) sent.set('authorization', `Bearer ${token}`)
    for (const [name, value] of Object.entries(metadata)) sent.set(name, value)
    const { serialize, deserialize } = messageOf('Piece')
    const stream = this.client.makeBidiStreamRequest(path, serialize, deserialize, sent, { host: this.#host, ...(deadline === undefined ? {} : { deadline: Date.now() + deadline }) })
    return new ClientCall(stream as ClientDuplexStream<Piece, Piece>, reads) // as its serializers are
  }

  echo(kind: CallKind, token: string | null, asking: Asking = {}): ClientCall { return this.call(`/narrowgate.test.Echo/${kind}`, token, asking) }

  vault(kind: CallKind, token: string | null, asking: Asking = {}): ClientCall { return this.call(`/narrowgate.test.Vault/${kind}`, token, asking) }

  /** As generated code calls: a client of its own kind for each kind of call. */
  health(token: string | null): Promise<{ readonly status: number } | ServiceError> {
    const { path, requestSerialize, responseDeserialize } = HEALTH.check
    const sent = new Metadata()
    if (token !== null) sent.set('authorization', `Bearer ${token}`)
    return new Promise(resolve => {
      this.client.makeUnaryRequest(path, requestSerialize, responseDeserialize, { service: '' }, sent, { host: this.#host }, (error, answer) => resolve(error ?? (answer as { status: number }))) // as HEALTH says
    })
  }

  close(): void {
    this.client.close()
  }
}
