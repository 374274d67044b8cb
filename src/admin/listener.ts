// The socket of an admin, health or metrics listener. Plain HTTP is for loopback; configuration has refused anything else. SPEC: ADM9
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createTlsServer, Server as TlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'

type ControlOptions = { readonly host: string; readonly port: number; readonly tls: { readonly cert: string; readonly key: string } | null; readonly handler: RequestListener }

const HEADERS_WITHIN = 10_000
const REQUEST_WITHIN = 60_000
const CONNECTIONS_MAX = 1_000

export class ControlListener {
  readonly #server: Server
  readonly #options: ControlOptions

  constructor(options: ControlOptions) {
    this.#options = options
    const limits = { headersTimeout: HEADERS_WITHIN, requestTimeout: REQUEST_WITHIN, maxHeaderSize: 16_384 }
    this.#server = options.tls === null ? createServer(limits, options.handler) : createTlsServer({ ...limits, ...options.tls, minVersion: 'TLSv1.2' }, options.handler)
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

  /** Connections from now on get this certificate; open ones keep theirs. */
  secure({ cert, key }: { readonly cert: string; readonly key: string }): void {
    if (this.#server instanceof TlsServer) this.#server.setSecureContext({ cert, key, minVersion: 'TLSv1.2' })
  }

  close(): void {
    this.#server.close()
    this.#server.closeAllConnections()
  }
}
