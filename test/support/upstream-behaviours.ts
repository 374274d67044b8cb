// What the recording upstream does with a request, as its path asks (see BEHAVIOURS): answers, downloads, feeds of events, resets, waits. For tests only.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { patternAt } from './pattern.ts'
import type { RecordedRequest, RecordingUpstream } from './recording-upstream.ts'

const STEP = 64 * 1024

/** A feed of events the test sends; every open answer on it gets them. */
export class Feed {
  readonly #open = new Set<ServerResponse>()

  get listeners(): number {
    return this.#open.size
  }

  emit(data: string, fields: { readonly id?: string; readonly event?: string } = {}): void {
    const head = `${fields.id === undefined ? '' : `id: ${fields.id}\n`}${fields.event === undefined ? '' : `event: ${fields.event}\n`}`
    this.write(`${head}${data.split('\n').map(line => `data: ${line}\n`).join('')}\n`)
  }

  /** Bytes as they are, for half events. */
  write(text: string): void {
    for (const answer of this.#open) answer.write(text)
  }

  end(): void {
    for (const answer of this.#open) answer.end()
  }

  add(answer: ServerResponse): void {
    this.#open.add(answer)
    answer.on('close', () => this.#open.delete(answer))
  }
}

type Played = { readonly recorded: RecordedRequest; readonly message: IncomingMessage; readonly answer: ServerResponse; readonly query: URLSearchParams; readonly upstream: RecordingUpstream }
type Asked = Played & { readonly argument: string }
type Behaviour = (asked: Asked) => void

const json = (answer: ServerResponse, value: unknown, status = 200): void => {
  const text = JSON.stringify(value)
  answer.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }).end(text)
}

/** Writes [sent, stopAt) of the pattern as fast as the reader takes it, then calls `done`. */
function writePattern(recorded: RecordedRequest, answer: ServerResponse, stopAt: number, done: () => void): void {
  while (recorded.sentBytes < stopAt && !answer.destroyed) {
    const part = patternAt(recorded.sentBytes, Math.min(STEP, stopAt - recorded.sentBytes))
    recorded.sentBytes += part.length
    if (answer.write(part)) continue
    answer.once('drain', () => writePattern(recorded, answer, stopAt, done))
    return
  }
  done()
}

function startDownload({ recorded, answer, argument, query }: Asked, stopAt: number, done: () => void): void {
  answer.writeHead(200, { 'content-type': 'application/octet-stream', ...(query.has('chunked') ? {} : { 'content-length': argument }) })
  writePattern(recorded, answer, stopAt, done)
}

/** What the first part of the path asks for; the second is its argument. Everything else answers a small JSON. */
const BEHAVIOURS: ReadonlyMap<string, Behaviour> = new Map<string, Behaviour>([
  // /echo: what arrived, as JSON, once the body is there.
  ['echo', ({ recorded, message, answer }) => void message.on('end', () => json(answer, { method: recorded.method, url: recorded.url, headers: recorded.rawHeaders, body: recorded.body().toString('latin1') }))],
  // /download/BYTES[?chunked]: the pattern, with back-pressure.
  ['download', asked => startDownload(asked, Number(asked.argument), () => asked.answer.end())],
  // /reset/BYTES[?after=N][&chunked]: the same, reset after N bytes (half of it by default).
  ['reset', asked => startDownload(asked, Number(asked.query.get('after') ?? Number(asked.argument) / 2), () => void asked.answer.write('', () => asked.upstream.reset(asked.message)))],
  // /sse/NAME: the feed of that name.
  ['sse', ({ answer, argument, upstream }) => {
    answer.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' }).flushHeaders()
    upstream.feed(argument).add(answer)
  }],
  // /stream/NAME: the feed of that name as plain bytes.
  ['stream', ({ answer, argument, upstream }) => {
    answer.writeHead(200, { 'content-type': 'application/octet-stream' }).flushHeaders()
    upstream.feed(argument).add(answer)
  }],
  // /upload: takes everything, then says how much.
  ['upload', ({ recorded, message, answer }) => void message.on('end', () => json(answer, { received: recorded.bodyBytes }))],
  // /stall: takes the head and reads no body until the test says so.
  ['stall', ({ message, answer, argument, upstream }) => {
    message.pause()
    void upstream.released(argument).then(() => message.resume().on('end', () => json(answer, { stalled: true })))
  }],
  // /gate/NAME: answers when the test releases NAME.
  ['gate', ({ answer, argument, upstream }) => void upstream.released(argument).then(() => json(answer, { released: argument }))],
  // /never: no answer, ever.
  ['never', () => undefined],
  // /trailers: a chunked body with trailers.
  ['trailers', ({ answer }) => {
    answer.writeHead(200, { 'content-type': 'text/plain', trailer: 'X-Checksum' })
    answer.write('body')
    answer.addTrailers({ 'X-Checksum': 'abc' })
    answer.end()
  }],
  // /status/CODE: that status, without a body where it has none.
  ['status', ({ answer, argument }) => (['204', '304'].includes(argument) ? void answer.writeHead(Number(argument), { etag: '"e"' }).end() : json(answer, { status: Number(argument) }, Number(argument)))],
  // /hints: 103 before the answer.
  ['hints', ({ answer }) => answer.writeEarlyHints({ link: '</a.css>; rel=preload' }, () => json(answer, { hinted: true }))],
  // /headers: answers with headers a gateway must not relay.
  ['headers', ({ answer }) => void answer.writeHead(200, { connection: 'keep-alive, x-hop', 'x-hop': '1', 'keep-alive': 'timeout=99', 'narrowgate-reason': 'forged', 'set-cookie': ['a=1', 'b=2'], 'content-length': 2 }).end('ok')],
])

/** @param path with no query */
export function behave(path: string, played: Played): void {
  const [, name = '', argument = ''] = path.split('/')
  const behaviour = BEHAVIOURS.get(name)
  if (behaviour === undefined) json(played.answer, { ok: true, path })
  else behaviour({ ...played, argument })
}
