// Opens connections to an upstream: TCP, what must come first on it (PROXY protocol), TLS with the upstream's identity verified: chain and name.
// Nothing is told before all of that holds. It sends nothing to the gateway itself and keeps no connection; it remembers TLS sessions so that the next handshake is short. SPEC: WIRE12, WIRE21, WIRE23
import { connect as connectTcp, isIP, type Socket } from 'node:net'
import { checkServerIdentity, connect as connectTls, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import type { Duration } from '../core/time.ts'
import { BoundedMap } from '../runtime/bounded-map.ts'
import type { UpstreamFault } from './handler.ts'
import type { Ended } from './own-address.ts'

/** IPv6 without brackets. */
export type DialAddress = { readonly host: string; readonly port: number }

/** Certificates and key in PEM; without `ca` the system's authorities count. */
export type DialTls = {
  readonly ca: string | null
  readonly cert: string | null
  readonly key: string | null
  /** A name or an address: what the upstream's certificate must be good for. */
  readonly servername: string
  readonly alpn: readonly string[]
}

/** One of both is told, once. */
export interface Dialled {
  /** @param protocol chosen by ALPN; null where none was */
  opened(socket: Socket, protocol: string | null): void
  /** @param cause code of the system's or TLS's error, for the log; empty where there is none */
  failed(fault: UpstreamFault, cause: string): void
}

export interface Dial {
  /** Gives it up: nothing is told any more. */
  abort(): void
}

type Session = { readonly bytes: Buffer; /** When the certificates under it were verified. */ readonly verifiedAt: number }

const SESSIONS = 256
/** A resumed handshake shows no certificate; the one verified in its place counts this long. */
const SESSION_LIFE = 10 * 60_000
const TCP_KEEP_ALIVE = 60_000

export class Dialer {
  readonly tls: DialTls | null
  readonly timeout: Duration
  readonly isOwn: (ended: Ended) => boolean
  readonly #context: SecureContext | null
  readonly #sessions = new BoundedMap<string, Session>(SESSIONS)

  /** @param isOwn whether a connection came out at the gateway itself @throws when the certificates or the key cannot be read or do not belong together */
  constructor(tls: DialTls | null, timeout: Duration, isOwn: (ended: Ended) => boolean) {
    this.tls = tls
    this.timeout = timeout
    this.isOwn = isOwn
    this.#context = tls === null ? null : createSecureContext({
      minVersion: 'TLSv1.2', ...(tls.ca === null ? {} : { ca: tls.ca }), ...(tls.cert === null ? {} : { cert: tls.cert }), ...(tls.key === null ? {} : { key: tls.key }),
    })
  }

  /** @param preamble is written first, before TLS */
  dial(address: DialAddress, preamble: Buffer | null, told: Dialled): Dial {
    return new Attempt(this, address, preamble, told)
  }

  /** @internal */
  secure(tcp: Socket, tls: DialTls, resumed: Session | null): TLSSocket {
    const { servername, alpn } = tls
    return connectTls({
      socket: tcp, rejectUnauthorized: true, servername: isIP(servername) === 0 ? servername : '', ALPNProtocols: [...alpn],
      checkServerIdentity: (_, certificate) => checkServerIdentity(servername, certificate),
      ...(this.#context === null ? {} : { secureContext: this.#context }), ...(resumed === null ? {} : { session: resumed.bytes }),
    })
  }

  /** @internal */
  sessionOf({ host, port }: DialAddress): Session | null {
    const session = this.#sessions.get(`${host} ${port}`)
    return session === undefined || performance.now() - session.verifiedAt > SESSION_LIFE ? null : session
  }

  /** @internal */
  remember({ host, port }: DialAddress, session: Session): void {
    this.#sessions.set(`${host} ${port}`, session)
  }
}

class Attempt implements Dial {
  readonly #dialer: Dialer
  readonly #address: DialAddress
  readonly #told: Dialled
  readonly #tcp: Socket
  readonly #timer: NodeJS.Timeout
  #cause = ''
  #over = false

  constructor(dialer: Dialer, address: DialAddress, preamble: Buffer | null, told: Dialled) {
    this.#dialer = dialer
    this.#address = address
    this.#told = told
    this.#tcp = connectTcp({ host: address.host, port: address.port, noDelay: true, keepAlive: true, keepAliveInitialDelay: TCP_KEEP_ALIVE })
    this.#timer = setTimeout(() => this.#fail('upstream_timeout'), dialer.timeout)
    this.#watch(this.#tcp)
    this.#tcp.once('connect', () => this.#connected(preamble))
  }

  abort(): void {
    if (this.#over) return
    this.#settle()
    this.#tcp.destroy()
  }

  #watch(socket: Socket): void {
    // 'close' follows; and a socket that was handed over never brings the process down.
    socket.on('error', (error: NodeJS.ErrnoException) => (this.#cause ||= error.code ?? ''))
    socket.once('close', () => this.#fail('upstream_unavailable'))
  }

  #connected(preamble: Buffer | null): void {
    if (this.#over) return
    if (this.#dialer.isOwn(this.#tcp)) {
      this.#cause = 'OWN_LISTENER'
      return this.#fail('upstream_unavailable')
    }
    if (preamble !== null) this.#tcp.write(preamble)
    const { tls } = this.#dialer
    if (tls === null) this.#open(this.#tcp, null)
    else this.#handshake(tls)
  }

  #handshake(tls: DialTls): void {
    const resumed = this.#dialer.sessionOf(this.#address)
    const socket = this.#dialer.secure(this.#tcp, tls, resumed)
    let verifiedAt = 0
    this.#watch(socket)
    // Listened to from the start, or TLS 1.2 tells of none. Of a verified upstream alone: what is resumed is not verified again.
    socket.on('session', bytes => {
      if (verifiedAt > 0) this.#dialer.remember(this.#address, { bytes, verifiedAt })
    })
    socket.once('secureConnect', () => {
      if (this.#over) return
      if (!socket.authorized) return this.#refuse(socket)
      verifiedAt = socket.isSessionReused() && resumed !== null ? resumed.verifiedAt : performance.now()
      this.#open(socket, typeof socket.alpnProtocol === 'string' ? socket.alpnProtocol : null)
    })
  }

  #refuse(socket: TLSSocket): void {
    socket.destroy()
    this.#fail('upstream_unavailable')
  }

  #open(socket: Socket, protocol: string | null): void {
    this.#settle()
    this.#told.opened(socket, protocol)
  }

  #fail(fault: UpstreamFault): void {
    if (this.#over) return
    this.#settle()
    this.#tcp.destroy()
    this.#told.failed(fault, this.#cause)
  }

  #settle(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }
}
