// The events of a client stream, told to what it carries: the same listeners for every stream, so that none is made per request.
// It keeps nothing and decides nothing. SPEC: WIRE16
import { type ClientHttp2Stream, constants } from 'node:http2'

export interface StreamListener {
  onInterim(status: number, raw: readonly string[]): void
  onAnswer(status: number, raw: readonly string[]): void
  onTrailers(raw: readonly string[]): void
  /** END_STREAM was seen: what was not read yet lies in this process. */
  onComplete(): void
  onData(chunk: Buffer): void
  /** There is no more to read: the answer is complete, or the stream was cut. */
  onEnd(): void
  onDrain(): void
  /** What was written is with the peer. */
  onFinish(): void
  onWantTrailers(): void
  /** The peer broke the framing of the whole connection; the close follows. */
  onViolation(): void
  onClose(): void
}

type Headers = { readonly ':status'?: number }
const LISTENER = Symbol('listener')
type Told = ClientHttp2Stream & { [LISTENER]: StreamListener }

const isLast = (flags: number): boolean => (flags & constants.NGHTTP2_FLAG_END_STREAM) !== 0

function onHeaders(this: Told, headers: Headers, _flags: number, raw: readonly string[]): void {
  this[LISTENER].onInterim(headers[':status'] ?? 0, raw)
}

function onResponse(this: Told, headers: Headers, flags: number, raw: readonly string[]): void {
  if (isLast(flags)) this[LISTENER].onComplete()
  this[LISTENER].onAnswer(headers[':status'] ?? 0, raw)
}

function onTrailers(this: Told, _headers: unknown, flags: number, raw: readonly string[]): void {
  this[LISTENER].onTrailers(raw)
  if (isLast(flags)) this[LISTENER].onComplete()
}

function onData(this: Told, chunk: Buffer): void {
  this[LISTENER].onData(chunk)
}

function onEnd(this: Told): void {
  this[LISTENER].onEnd()
}

function onDrain(this: Told): void {
  this[LISTENER].onDrain()
}

function onFinish(this: Told): void {
  this[LISTENER].onFinish()
}

function onWantTrailers(this: Told): void {
  this[LISTENER].onWantTrailers()
}

function onError(this: Told, error: Error & { readonly code?: string }): void {
  if (error.code === 'ERR_HTTP2_ERROR') this[LISTENER].onViolation()
}

function onClose(this: Told): void {
  this[LISTENER].onClose()
}

/**
 * Node tells nobody whether END_STREAM ended the reading or a reset with NO_ERROR. But at END_STREAM it listens for that end itself while the stream
 * is not closed yet; at a reset the stream is closed before. Should that change, whole answers count as cut, never the other way round.
 */
function onListener(this: Told, name: string): void {
  if (name === 'end' && !this.closed) this[LISTENER].onComplete()
}

/** Everything but the data, which begins to flow with `flow`. */
export function listen(stream: ClientHttp2Stream, listener: StreamListener): void {
  const told = stream as Told // made so by the next line
  told[LISTENER] = listener
  told.on('headers', onHeaders).on('response', onResponse).on('trailers', onTrailers)
  told.on('end', onEnd).on('drain', onDrain).on('finish', onFinish).on('wantTrailers', onWantTrailers)
  told.on('error', onError).on('close', onClose).on('newListener', onListener)
}

/** The data begin to flow, unless the stream was paused before. */
export function flow(stream: ClientHttp2Stream): void {
  stream.on('data', onData)
}
