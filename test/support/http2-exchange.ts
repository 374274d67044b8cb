// One HTTP/2 connection with one request in bytes, and what came of it: an answer, a reset, or the connection's end. For tests only.
import { block, type Field, FLAG, FRAME, frame, FrameClient } from './http2-frames.ts'
import type { Target } from './raw-client.ts'

export type Http2Outcome = {
  /** Of a problem the status it names, of any other whole answer 200; 0 where there is none. */
  readonly status: number
  readonly reason: string
  readonly body: string
  /** Code of the reset or of the GOAWAY; null where there was none. */
  readonly broken: number | null
  readonly over: boolean
}

const HEADERS_END = FLAG.endHeaders | FLAG.endStream

/** Head, body and trailers of stream 1, as frames. */
export function http2Bytes(fields: readonly Field[], body = '', trailers: readonly Field[] = []): Buffer {
  const bare = body === '' && trailers.length === 0
  const data = body === '' ? [] : [frame(FRAME.data, trailers.length === 0 ? FLAG.endStream : 0, 1, body)]
  const behind = trailers.length === 0 ? [] : [frame(FRAME.headers, HEADERS_END, 1, block(trailers))]
  return Buffer.concat([frame(FRAME.headers, bare ? HEADERS_END : FLAG.endHeaders, 1, block(fields)), ...data, ...behind])
}

export function http2OutcomeOf(client: FrameClient): Http2Outcome {
  const mine = client.frames.filter(({ stream }) => stream === 1)
  const body = Buffer.concat(mine.filter(({ type }) => type === FRAME.data).map(({ payload }) => payload)).toString('latin1')
  const reset = mine.find(({ type, payload }) => type === FRAME.reset && payload.readUInt32BE(0) !== 0)
  const goaway = client.frames.find(({ type, payload }) => type === FRAME.goaway && payload.readUInt32BE(4) !== 0)
  const problem = body.startsWith('{"type":') ? (JSON.parse(body) as { readonly status: number; readonly reason: string }) : null // ours, or it throws below
  const ended = mine.some(({ type, flags }) => (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0)
  return {
    status: ended ? (problem?.status ?? 200) : 0, reason: problem?.reason ?? '', body, over: client.over,
    broken: reset?.payload.readUInt32BE(0) ?? goaway?.payload.readUInt32BE(4) ?? null,
  }
}

/** Sends the pieces, each behind `between`, and waits for the end of stream 1. */
export async function http2Exchange(target: Target, pieces: readonly Uint8Array[], between: () => Promise<void> = async () => {}): Promise<Http2Outcome> {
  const client = await FrameClient.connect(target)
  try {
    for (const [i, piece] of pieces.entries()) {
      if (i > 0) await between()
      client.push(piece)
    }
    await client.first(({ type, stream, flags }) => type === FRAME.goaway || (stream === 1 && (type === FRAME.reset || ((type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0))))
    return http2OutcomeOf(client)
  } finally {
    client.close()
  }
}
