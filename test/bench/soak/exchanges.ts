// What callers of soak:wire hold open: one exchange of each protocol and kind, which moves until it is over.
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { WebSocket } from 'ws'

export type Held = {
  /** Told once, however it ended. */
  readonly over: Promise<void>
  /** The caller leaves. */
  readonly leave: () => void
}

const EVERY = 20
const OPEN_WITHIN = 20_000
const PIECE = Buffer.alloc(2_048, 'narrowgate')
/** One message of gRPC: not compressed, its length, its bytes. */
const MESSAGE = Buffer.concat([Buffer.from([0, 0, 0, 8, 0]), PIECE])
/** Milliseconds for which an upload that is not answered is left alone. */
const SILENT = 100
const ignore = (): void => {}
const isSilent = (path: string): boolean => path.endsWith('/silent')

/** @throws Error when it does not begin in time */
async function begun(what: string, begins: Promise<unknown>, leave: () => void): Promise<void> {
  const late = Promise.withResolvers<never>()
  const timer = setTimeout(() => late.reject(new Error(`${what} did not begin`)), OPEN_WITHIN)
  try {
    await Promise.race([begins, late.promise])
  } catch (error) {
    leave()
    throw error
  } finally {
    clearTimeout(timer)
  }
}

/** Writes as long as it is read. */
function feed(to: { write: (piece: Buffer) => boolean; readonly writableNeedDrain: boolean; once: (event: 'close', told: () => void) => unknown }, piece: Buffer): void {
  const timer = setInterval(() => {
    if (!to.writableNeedDrain) to.write(piece)
  }, EVERY)
  to.once('close', () => clearInterval(timer))
}

export class Callers {
  readonly #port: number
  #shared: ClientHttp2Session | null = null

  constructor(port: number) {
    this.#port = port
  }

  /** One of each kind below `place`, in the order in which they are opened. */
  kinds(place: 'base' | 'extra', token: string): readonly (() => Promise<Held>)[] {
    const of = (name: string): string => `/${place}/${name}`
    const calls = place === 'base' ? [() => this.#http2('POST', '/soak.Echo/Talk', token)] : []
    return [
      () => this.#http1('GET', of('download'), token), () => this.#http1('GET', of('events'), token), () => this.#http1('POST', of('upload'), token), () => this.#http1('POST', of('silent'), token), () => this.#webSocket(of('ws'), token),
      () => this.#http2('GET', of('download'), token), () => this.#http2('GET', of('events'), token), () => this.#http2('POST', of('upload'), token), () => this.#http2('POST', of('silent'), token),
      ...calls,
    ]
  }

  /** A request that is over at once, in both protocols. @throws Error unless both are answered with `status` */
  async ask(token: string, status: number): Promise<void> {
    const plain = await this.#answered(this.#request('POST', '/base/small', token).end('{}'))
    const other = await this.#answeredByHttp2(token)
    if (plain !== status || other !== status) throw new Error(`a request was answered ${plain} and ${other} in place of ${status}`)
  }

  #answeredByHttp2(token: string): Promise<number> {
    return this.#again(async session => {
      const stream = session.request({ ':method': 'GET', ':path': '/base/small', ':authority': 'soak.test', authorization: `Bearer ${token}` })
      const [head] = (await once(stream, 'response')) as [{ readonly ':status': number }]
      stream.resume()
      return head[':status']
    })
  }

  /** A stream that was refused because its connection was just coming to its end was not looked at, and is asked for again (RFC 9113 §8.7). */
  async #again<T>(ask: (session: ClientHttp2Session) => Promise<T>, attempts = 3): Promise<T> {
    const session = this.#session
    try {
      return await ask(session)
    } catch (error) {
      const isRefused = error instanceof Error && /REFUSED_STREAM/.test(error.message)
      if (attempts === 1 || !(session.closed || session.destroyed || isRefused)) throw error
      if (isRefused) await once(session, 'close', { signal: AbortSignal.timeout(OPEN_WITHIN) }).catch(() => undefined) // its word that it ends may be behind the refusal
      return this.#again(ask, attempts - 1)
    }
  }

  /** What the caller's own side says. @throws Error for any other status */
  async own(method: 'GET' | 'POST', path: string, token: string, body: string, status: number): Promise<unknown> {
    const asked = this.#request(method, path, token, { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }).end(body)
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    let text = ''
    for await (const chunk of response.setEncoding('utf8')) text += String(chunk)
    if (response.statusCode !== status) throw new Error(`${path} was answered ${response.statusCode}: ${text}`)
    return JSON.parse(text)
  }

  close(): void { this.#shared?.destroy() }

  /** All sessions' streams on one connection, which is made anew when the gateway has ended it. */
  get #session(): ClientHttp2Session {
    if (this.#shared !== null && !this.#shared.closed && !this.#shared.destroyed) return this.#shared
    const made = connect(`http://127.0.0.1:${this.#port}`)
    made.on('error', ignore)
    this.#shared = made
    return made
  }

  #request(method: string, path: string, token: string, headers: { readonly [name: string]: string } = {}): ClientRequest {
    return request({ host: '127.0.0.1', port: this.#port, method, path, agent: false, headers: { host: 'soak.test', authorization: `Bearer ${token}`, ...headers } })
  }

  async #answered(asked: ClientRequest): Promise<number> {
    const [response] = (await once(asked, 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'close')
    return response.statusCode ?? 0
  }

  async #http1(method: 'GET' | 'POST', path: string, token: string): Promise<Held> {
    const asked = this.#request(method, path, token)
    const over = new Promise<void>(resolve => void asked.once('close', resolve))
    asked.on('error', ignore)
    const leave = (): void => void asked.destroy()
    const moving = Promise.withResolvers<void>()
    asked.on('response', (response: IncomingMessage) => {
      response.on('error', ignore).resume()
      if (response.statusCode === 200) moving.resolve()
      else moving.reject(new Error(`${path} was answered ${response.statusCode}`))
    })
    void over.then(() => moving.reject(new Error(`${path} was over before it began`)))
    if (method === 'GET') asked.end()
    else feed(asked, PIECE)
    if (isSilent(path)) setTimeout(moving.resolve, SILENT)
    await begun(path, moving.promise, leave)
    return { over, leave }
  }

  #http2(method: 'GET' | 'POST', path: string, token: string): Promise<Held> {
    return this.#again(session => this.#stream(session, method, path, token))
  }

  async #stream(session: ClientHttp2Session, method: 'GET' | 'POST', path: string, token: string): Promise<Held> {
    const isCall = path.startsWith('/soak.Echo/')
    const own = isCall ? { 'content-type': 'application/grpc', te: 'trailers' } : {}
    const stream: ClientHttp2Stream = session.request({ ':method': method, ':path': path, ':authority': 'soak.test', authorization: `Bearer ${token}`, ...own }, { endStream: method === 'GET' })
    const over = new Promise<void>(resolve => void stream.once('close', resolve))
    const moving = Promise.withResolvers<void>()
    stream.on('error', ignore)
    stream.on('response', head => {
      if (head[':status'] === 200 && head['grpc-status'] === undefined) moving.resolve()
      else moving.reject(new Error(`${path} was answered ${head[':status']} ${String(head['grpc-status'] ?? '')}`))
    })
    stream.resume()
    void over.then(() => moving.reject(new Error(`${path} over HTTP/2 was over before it began (${stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ? 'REFUSED_STREAM' : stream.rstCode}, ${session.destroyed ? 'with' : session.closed ? 'behind the end of' : 'without'} its connection)`)))
    const leave = (): void => void setImmediate(() => stream.close()) // not within a read: node loses count of its memory there, and aborts
    if (method === 'POST') feed(stream, isCall ? MESSAGE : PIECE)
    if (isSilent(path)) setTimeout(moving.resolve, SILENT)
    await begun(path, moving.promise, leave)
    return { over, leave }
  }

  async #webSocket(path: string, token: string): Promise<Held> {
    const socket = new WebSocket(`ws://127.0.0.1:${this.#port}${path}`, { headers: { host: 'soak.test', authorization: `Bearer ${token}` }, perMessageDeflate: false })
    const over = new Promise<void>(resolve => void socket.once('close', () => resolve()))
    const leave = (): void => socket.terminate()
    socket.on('error', ignore)
    const timer = setInterval(() => {
      if (socket.readyState === WebSocket.OPEN && socket.bufferedAmount < PIECE.length) socket.send(PIECE)
    }, EVERY)
    void over.then(() => clearInterval(timer))
    await begun(path, Promise.race([once(socket, 'message'), over.then(() => Promise.reject(new Error(`${path} was over before it began`)))]), leave)
    return { over, leave }
  }
}
