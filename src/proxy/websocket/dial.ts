// The only door to http-proxy: one WebSocket request towards an upstream, made of nothing but what it is given, with a tunnel of ours in place
// of the caller's socket. What the package would rewrite (its target goes through a URL) is set back to the very text. SPEC: WIRE18
import type { Agent, ClientRequest, IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import { ProxyServer } from 'http-proxy'

/** Stands in for the caller's socket. */
export interface Dialling {
  /** The request that nothing was written of yet. */
  requested(request: ClientRequest): void
  failed(error: Error): void
}

export type Call = {
  /** `http://` or `https://`, host and port. */
  readonly origin: string
  /** Verifies an upstream's identity by the name it is configured with; never left out over TLS. */
  readonly agent: Agent | undefined
  /** The canonical path and query. */
  readonly path: string
  readonly headers: { readonly [name: string]: string | string[] }
}

const NOTHING = Buffer.alloc(0)
const calls = new WeakMap<Duplex, { readonly call: Call; readonly tunnel: Dialling }>()

const proxy = new ProxyServer<typeof IncomingMessage>({ ws: true, xfwd: false, changeOrigin: false, toProxy: true, prependPath: false, secure: true })
proxy.on('error', () => undefined) // each call is told of its own
proxy.on('proxyReqWs', (request, _made, socket) => {
  const made = calls.get(socket)
  if (made === undefined || !isAsGiven(request, made.call)) return void request.destroy(new Error('not the request that was to be made'))
  request.path = made.call.path
  made.tunnel.requested(request)
})

/** Has it the headers that were given, and no other? */
function isAsGiven(request: ClientRequest, { headers }: Call): boolean {
  const given = Object.keys(headers)
  return request.method === 'GET' && request.getHeaderNames().length === given.length && given.every(name => String(request.getHeader(name)) === String(headers[name]))
}

/** Only what http-proxy reads of a request. */
const requestOf = ({ path, headers }: Call) => ({ method: 'GET', url: path, headers, httpVersion: '1.1', httpVersionMajor: 1, httpVersionMinor: 1 })

export function dial(call: Call, socket: Duplex & Dialling): void {
  if (call.origin.startsWith('https:') && call.agent === undefined) return socket.failed(new Error('nothing verifies the upstream'))
  calls.set(socket, { call, tunnel: socket })
  const options = { target: call.origin, ws: true, xfwd: false, changeOrigin: false, toProxy: true, prependPath: false, secure: true, ...(call.agent === undefined ? {} : { agent: call.agent }) }
  try {
    proxy.ws(requestOf(call) as unknown as IncomingMessage, socket, NOTHING, options, error => socket.failed(error)) // made by us: a real one would bring the caller's
  } catch (error) {
    socket.failed(error instanceof Error ? error : new Error('a header cannot be sent'))
  }
}
