// The socket of an admin, health or metrics listener. Plain HTTP is for loopback; configuration has refused anything else. SPEC: ADM9
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import { type ClientAuthorities, proveClient } from '../identity/certificate/authority.ts'

type ControlCertificate = { readonly cert: string; readonly key: string; /** Whose certificates clients may show; null where they are not asked for one. */ readonly clients: ClientAuthorities | null }
type ControlOptions = { readonly host: string; readonly port: number; readonly tls: ControlCertificate | null; readonly handler: RequestListener }

const HEADERS_WITHIN = 10_000
const REQUEST_WITHIN = 60_000
const CONNECTIONS_MAX = 1_000

const secureContext = ({ cert, key, clients }: ControlCertificate) => ({ cert, key, minVersion: 'TLSv1.2', ...clients?.options }) as const

export class ControlListener {
  readonly #server: Server
  readonly #options: ControlOptions
  /** Connections whose client showed a certificate. */
  readonly #proved = new Set<TLSSocket>()
  /** By TCP socket: whose certificates count in its handshake. */
  readonly #begun = new WeakMap<object, ClientAuthorities | null>()
  /** The same value for as long as it says the same. */
  #clients: ClientAuthorities | null

  constructor(options: ControlOptions) {
    this.#options = options
    this.#clients = options.tls?.clients ?? null
    const limits = { headersTimeout: HEADERS_WITHIN, requestTimeout: REQUEST_WITHIN, maxHeaderSize: 16_384 }
    this.#server = options.tls === null ? createServer(limits, options.handler) : createTlsServer({ ...limits, ...secureContext(options.tls) }, options.handler)
    this.#server.on('connection', (socket: Socket) => this.#begun.set(socket, this.#clients))
    this.#server.on('secureConnection', (socket: TLSSocket) => this.#secured(socket))
    this.#server.maxConnections = CONNECTIONS_MAX
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
  secure(certificate: ControlCertificate): void {
    if (!(this.#server instanceof TlsServer)) return
    if (JSON.stringify(certificate.clients) !== JSON.stringify(this.#clients)) {
      for (const socket of this.#proved) socket.destroy()
      this.#clients = certificate.clients
    }
    this.#server.setSecureContext(secureContext(certificate))
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }

  #secured(socket: TLSSocket): void {
    if (proveClient(socket, this.#clients) === null) return
    const tcp = '_parent' in socket ? socket._parent : null // node keeps it there
    if (!(tcp instanceof Object) || this.#begun.get(tcp) !== this.#clients) return void socket.destroy() // a reload came during the handshake
    this.#proved.add(socket)
    socket.once('close', () => this.#proved.delete(socket))
  }
}
