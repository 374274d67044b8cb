// Sockets in, requests out: who is calling where a proxy says so, plain or TLS, and which protocol takes the connection. SPEC: WIRE8, WIRE14, WIRE16, WIRE22, WIRE23
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net'
import { createServer as createTlsServer, type Server as TlsServer, TLSSocket, type TlsOptions } from 'node:tls'
import type { HttpProtocol, LimitSettings } from '../config/settings.ts'
import type { Reason } from '../core/reason.ts'
import { proveClient, readingOf } from '../identity/certificate/authority.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Arrival } from './arrival.ts'
import { type Certificate, CertificateNames } from './certificate.ts'
import { firstBytes } from './first-bytes.ts'
import { Http1Connections } from './http1/http1-connections.ts'
import type { Http1Caller } from './http1/http1-room.ts'
import type { ConnectionLimit } from './http2/http2-connection.ts'
import { Http2Connections } from './http2/http2-connections.ts'
import { prefaceOf } from './http2/preface.ts'
import { type Origin, readProxyHeader } from './proxy-protocol.ts'
import { isListed, plainAddress } from './trusted.ts'

type ListenOptions = {
  readonly host: string
  readonly port: number
  /** PEM texts; null for plain HTTP. */
  readonly tls: Certificate | null
  /** With TLS chosen by ALPN, without by the first bytes (RFC 9113 §3.3); `Upgrade: h2c` is never taken. */
  readonly protocols: readonly HttpProtocol[]
  /** Who may say for whom it calls, in a PROXY v2 header that every connection then begins with; null where nobody is asked. */
  readonly proxies: (() => readonly string[]) | null
  readonly limits: LimitSettings
  readonly clock: Clock
  readonly onRequest: (arrival: Arrival) => void
  /** A connection or request that was refused or ended before it was one to be judged. */
  readonly onFault: (reason: Reason, source: string, protocol: HttpProtocol) => void
  /** As many streams of one connection are open as may be. */
  readonly onFull: () => void
  /** A limit of connections was met; the connection is gone. */
  readonly onLimit: (limit: 'connections' | 'pipelined_requests' | ConnectionLimit, source: string) => void
}

const ALPN: { readonly [protocol in HttpProtocol]: string } = { http1: 'http/1.1', http2: 'h2' }
const secureContext = ({ cert, key, clients }: Certificate): TlsOptions => ({ cert, key, minVersion: 'TLSv1.2', ...clients?.options })

export class Listener {
  readonly #options: ListenOptions
  readonly #server: Server
  /** Is given the connections that the other accepted and looked at; listens to nothing itself. */
  readonly #tls: TlsServer | null
  readonly #http1: Http1Connections
  readonly #http2: Http2Connections
  readonly #sockets = new Set<Socket>()
  /** By TCP socket: whom a proxy named. */
  readonly #named = new WeakMap<Socket, string>()
  /** Connections whose client showed a certificate. */
  readonly #proved = new Set<TLSSocket>()
  /** The same value for as long as it says the same. */
  #clients: Certificate['clients']
  /** By TCP socket: whose certificates count in its handshake. */
  readonly #begun = new WeakMap<Socket, Certificate['clients']>()
  #names: CertificateNames | null

  constructor(options: ListenOptions) {
    this.#options = options
    const { tls, limits, clock, protocols, onRequest, onFault, onFull, onLimit } = options
    this.#names = tls === null ? null : new CertificateNames(tls)
    this.#clients = tls?.clients ?? null
    const alpn = protocols.toReversed().map(protocol => ALPN[protocol])
    this.#server = createServer({ allowHalfOpen: true, noDelay: true })
    this.#tls = tls === null ? null : createTlsServer({ allowHalfOpen: true, ...secureContext(tls), ALPNProtocols: alpn, handshakeTimeout: limits.headersTimeout })
    this.#server.maxConnections = limits.connections
    this.#server.on('drop', dropped => onLimit('connections', dropped?.remoteAddress ?? ''))
    const owner = { limits, clock, onRequest, onLimit }
    this.#http1 = new Http1Connections({
      ...owner, secure: tls !== null, callerOf: socket => this.#callerOf(socket),
      onFault: (reason, source) => onFault(reason, source, 'http1'), onPipelined: source => onLimit('pipelined_requests', source),
    })
    this.#http2 = new Http2Connections({ ...owner, onFull, onFault: (reason, source) => onFault(reason, source, 'http2') })
    this.#route()
  }

  async listen(): Promise<AddressInfo> {
    const { host, port } = this.#options
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject)
      this.#server.listen({ host: host === '' ? undefined : host, port }, () => resolve())
    })
    return this.#server.address() as AddressInfo // it listens on a port
  }

  /** Connections from now on get this certificate; open ones keep theirs, unless their client proved something by authorities that are others now. */
  secure(certificate: Certificate): void {
    if (this.#tls === null) return
    if (JSON.stringify(certificate.clients) !== JSON.stringify(this.#clients)) {
      for (const socket of this.#proved) socket.destroy()
      this.#clients = certificate.clients
    }
    this.#tls.setSecureContext(secureContext(certificate))
    this.#names = new CertificateNames(certificate)
  }

  /**
   * The TLS client named one server and asks for another, for which the certificate does not speak: it is not meant to ask here (RFC 9110 §15.5.20).
   * @param host lower case, without its port
   */
  isMisdirected(serverName: string | null, host: string): boolean {
    return serverName !== null && serverName !== host && this.#names?.cover(host) === false
  }

  /** No new connections; idle ones close now, the others after their answers. */
  stop(): void {
    this.#server.close()
    this.#http1.stop()
    this.#http2.stop()
  }

  /** Whatever is left ends now. */
  destroy(): void {
    this.#server.close()
    for (const socket of this.#sockets) socket.destroy()
  }

  // ---- from a socket to its protocol

  #route(): void {
    const tls = this.#tls
    if (tls === null) return void this.#server.on('connection', socket => this.#opened(socket, () => this.#plain(socket)))
    this.#server.on('connection', socket => this.#opened(socket, () => {
      this.#begun.set(socket, this.#clients)
      tls.emit('connection', socket)
    }))
    tls.on('secureConnection', socket => this.#secured(socket))
    tls.on('tlsClientError', (_, socket) => this.#drop(socket))
  }

  #opened(socket: Socket, next: () => void): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
    socket.on('error', () => {})
    const { proxies } = this.#options
    if (proxies === null) return next()
    if (!isListed(proxies(), plainAddress(socket.remoteAddress ?? ''))) return this.#drop(socket)
    firstBytes(socket, { within: this.#options.limits.headersTimeout, look: readProxyHeader, told: origin => this.#introduced(socket, origin, next), late: () => this.#drop(socket) })
  }

  #introduced(socket: Socket, origin: Origin, next: () => void): void {
    if (origin.is === 'malformed') return this.#drop(socket)
    if (origin.is === 'caller') this.#named.set(socket, origin.address)
    next()
  }

  /** Not a word to whoever cannot say for whom it calls. */
  #drop(socket: Socket): void {
    this.#options.onFault('bad_request', this.#callerOf(socket).peer, this.#options.protocols[0] ?? 'http1')
    socket.destroy()
  }

  #plain(socket: Socket): void {
    const { protocols, limits } = this.#options
    if (!protocols.includes('http2')) return this.#http1.take(socket)
    firstBytes(socket, {
      within: limits.headersTimeout, look: prefaceOf, told: protocol => this.#speak(protocol, socket),
      late: () => (protocols.includes('http1') ? this.#http1.late(socket) : void socket.destroy()),
    })
  }

  #secured(socket: TLSSocket): void {
    if (proveClient(socket, this.#clients) !== null) {
      if (this.#begun.get(rawSocket(socket)) !== this.#clients) return void socket.destroy() // a reload came during the handshake: it proved something by authorities that are others now
      this.#proved.add(socket)
      socket.once('close', () => this.#proved.delete(socket))
    }
    this.#speak(socket.alpnProtocol === ALPN.http2 ? 'http2' : 'http1', socket)
  }

  #speak(protocol: HttpProtocol, socket: Socket): void {
    if (!this.#options.protocols.includes(protocol)) return this.#drop(socket)
    if (protocol === 'http1') return this.#http1.take(socket)
    const { peer, serverName, certificate } = this.#callerOf(socket)
    this.#http2.take(socket, { peer, serverName, certificate, secure: this.#options.tls !== null })
  }

  #callerOf(socket: Socket): Http1Caller {
    const raw = rawSocket(socket)
    const asked = socket instanceof TLSSocket && typeof socket.servername === 'string' ? socket.servername.toLowerCase() : ''
    const certificate = socket instanceof TLSSocket ? readingOf(socket) : null
    return { raw, peer: this.#named.get(raw) ?? raw.remoteAddress ?? '', serverName: asked === '' ? null : asked, certificate }
  }
}

/** The TCP socket under a TLS one: only it can be reset. */
function rawSocket(socket: Socket): Socket {
  const parent = '_parent' in socket ? socket._parent : null // node keeps it there; a TLS socket itself refuses resetAndDestroy
  return parent instanceof Object && 'resetAndDestroy' in parent ? (parent as Socket) : socket // checked to be a TCP socket
}
