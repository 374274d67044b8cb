// An upstream that trusts what no upstream should: it normalises every path in each way known of servers, in any order and again and again, folds
// header names, and serves what it takes for protected or asserted. It keeps account of what it was led to serve. For tests only.
import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** What must never be served to a caller without the right, once a path is normalised. */
const PROTECTED = /^\/admin(?:\/|$)|^\/app1\/admin(?:\/|$)|^\/api\.\.\/admin(?:\/|$)|^\/api\/datasources\/proxy\/uid\/[^/]+\/admin(?:\/|$)/
const READINGS_MAX = 2_000

const escapes = (path: string): string => path.replace(/%u00([0-9a-f]{2})/gi, '%$1').replace(/%(?![0-9a-f]{2})/gi, '%25')
const octets = (path: string): string => path.replace(/%([0-9a-f]{2})/gi, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))

function decoded(path: string): string {
  try {
    return decodeURIComponent(escapes(path))
  } catch {
    return octets(escapes(path))
  }
}

/** RFC 3986 §5.2.4, and what many servers make of it. */
function withoutDots(path: string): string {
  const kept: string[] = []
  for (const segment of path.split('/').slice(1)) {
    if (segment === '..') kept.pop()
    else if (segment !== '.') kept.push(segment)
  }
  return `/${kept.join('/')}`
}

const OVERLONG: readonly (readonly [form: RegExp, means: string])[] = [[/%c0%ae|%e0%80%ae|\xc0\xae|\xe0\x80\xae/gi, '.'], [/%c0%af|%e0%80%af|\xc0\xaf|\xe0\x80\xaf/gi, '/'], [/%c1%9c|\xc1\x9c/gi, '\\']]
const LOOKALIKES: readonly (readonly [form: RegExp, means: string])[] = [[/[\uff0e\u2024]/g, '.'], [/[\uff0f\u2044\u2215\u29f8]/g, '/'], [/[\uff3c\u2216]/g, '\\']]
const replaced = (path: string, pairs: typeof OVERLONG): string => pairs.reduce((text, [form, means]) => text.replace(form, means), path)

/** What servers are known to make of a path. */
const FOLDS: readonly ((path: string) => string)[] = [
  decoded,
  path => path.replace(/;[^/]*/g, ''),
  withoutDots,
  path => path.replace(/\/{2,}/g, '/'),
  path => path.replaceAll('\\', '/'),
  path => path.toLowerCase(),
  path => replaced(path, OVERLONG),
  path => replaced(path, LOOKALIKES),
]

/** The path under every sequence of folds, as often as one likes. */
export function readings(path: string): ReadonlySet<string> {
  const found = new Set([path])
  for (const known of found) {
    for (const fold of FOLDS) found.add(fold(known)) // a set is walked to what was added meanwhile
    if (found.size > READINGS_MAX) throw new RangeError(`more readings than anybody looks at: ${path.slice(0, 200)}`)
  }
  return found
}

export const pathOf = (url: string): string => (url.startsWith('/') ? url : url.replace(/^[a-z]+:\/\/[^/?#]*/i, '')).split('?', 1)[0] ?? ''

/** Would some server take this path for a protected one? */
export const isProtected = (path: string): boolean => [...readings(path)].some(reading => PROTECTED.test(reading))

/** Names that servers behind a gateway believe: who the caller is, where it comes from, and what it asked for. */
export const BELIEVED: readonly string[] = [
  'narrowgate-context', 'narrowgate-subject', 'narrowgate-scope', 'narrowgate-authenticated', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-forwarded-user',
  'x-forwarded-email', 'x-forwarded-prefix', 'x-forwarded-uri', 'x-forwarded-method', 'x-forwarded-client-cert', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'forwarded',
    'client-cert',
  'x-ssl-client-verify', 'x-ssl-client-s-dn', 'x-tls-client-subject', 'x-original-url', 'x-rewrite-url', 'x-http-method-override', 'x-method-override', 'x-http-method',
    'authorization', 'txn-token',
  'x-original-host', 'x-client-ip', 'x-cluster-client-ip', 'x-arr-clientcert', 'proxy-authorization',
]
/** Those a gateway writes, each of them once. */
const WRITTEN: ReadonlySet<string> = new Set(['narrowgate-context', 'x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'forwarded'])
const BELIEVED_SET: ReadonlySet<string> = new Set(BELIEVED)

/** As CGI and its heirs read a name. */
export const foldedName = (name: string): string => name.toLowerCase().replaceAll('_', '-')

export type Fields = readonly (readonly [name: string, value: string])[]

/** What it would believe although no gateway wrote it. Whatever a test forges has `forged` in it. */
export function forgeries(fields: Fields): readonly string[] {
  const found: string[] = []
  const seen = new Set<string>()
  for (const [name, value] of fields) {
    const folded = foldedName(name)
    if (!BELIEVED_SET.has(folded) && !folded.startsWith('narrowgate-')) continue
    if (!WRITTEN.has(folded) || /forged/i.test(value) || seen.has(folded)) found.push(`${name}: ${value}`)
    seen.add(folded)
  }
  return found
}

export type Received = {
  readonly method: string
  readonly url: string
  readonly fields: Fields
  /** Why it must not have been served; empty where nothing is wrong. */
  readonly served: readonly string[]
  trailers: readonly string[]
  body: string
}

export const SECRET = 'the secret behind the gateway'

export class HostileUpstream {
  readonly received: Received[] = []
  /** What came and was no HTTP. */
  readonly malformed: string[] = []
  readonly #server: Server
  readonly #sockets = new Set<Socket>()

  private constructor() {
    this.#server = createServer({ requestTimeout: 0, headersTimeout: 0, keepAliveTimeout: 60_000 }, (message, answer) => this.#serve(message, answer))
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.on('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      if (error.code?.startsWith('HPE_') === true && error.code !== 'HPE_INVALID_EOF_STATE') this.malformed.push(`${error.code} ${error.message}`)
      socket.destroy()
    })
    this.#server.on('upgrade', (message: IncomingMessage, socket: Socket) => {
      this.#record(message)
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n') // as one that switches to nothing
    })
  }

  static async start(): Promise<HostileUpstream> {
    const upstream = new HostileUpstream()
    upstream.#server.listen(0, '127.0.0.1')
    await once(upstream.#server, 'listening')
    return upstream
  }

  get port(): number {
    const address = this.#server.address()
    if (address === null || typeof address === 'string') throw new Error('the upstream is not listening')
    return address.port
  }

  get origin(): string { return `http://127.0.0.1:${this.port}` }
  /** Connections that are open now. */
  get connections(): number { return this.#sockets.size }
  /** What it should never have been asked. */
  get led(): readonly Received[] { return this.received.filter(({ served }) => served.length > 0) }

  forget(): void {
    this.received.length = 0
    this.malformed.length = 0
  }

  async close(): Promise<void> {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
    await once(this.#server, 'close')
  }

  #record(message: IncomingMessage): Received {
    const { method = '', url = '', rawHeaders } = message
    const fields = Array.from({ length: rawHeaders.length / 2 }, (_, i) => [rawHeaders[2 * i] ?? '', rawHeaders[2 * i + 1] ?? ''] as const)
    const served = [...(isProtected(pathOf(url)) ? [`${method} ${url}`] : []), ...forgeries(fields)]
    const received: Received = { method, url, fields, served, trailers: [], body: '' }
    this.received.push(received)
    return received
  }

  /** A path with `early` in it is answered before its body is there. */
  #serve(message: IncomingMessage, answer: ServerResponse): void {
    const received = this.#record(message)
    const text = received.served.length === 0 ? 'ok' : SECRET
    const respond = (): void => void answer.writeHead(200, { 'content-type': 'text/plain', 'content-length': text.length }).end(text)
    message.setEncoding('latin1').on('data', (chunk: string) => (received.body += chunk))
    message.on('error', () => undefined) // an abort is the caller's
    message.on('end', () => {
      received.trailers = message.rawTrailers
      if (!answer.headersSent) respond()
    })
    if (received.url.includes('early')) respond()
  }
}
