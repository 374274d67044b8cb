// The reset of one HTTP/2 stream that is still there. SPEC: ENF6, WIRE16
import type { ServerHttp2Stream } from 'node:http2'

/**
 * Node aborts the process when a stream that waits for its trailers is reset from within an event of its session and its body was read to the end
 * (`Http2Stream::OnTrailers`, Assertion failed: !this->is_destroyed()): such a reset waits until the events are over.
 */
export function closeStream(stream: ServerHttp2Stream, code: number): void {
  if (!stream.closed && !stream.destroyed) stream.close(code)
}
