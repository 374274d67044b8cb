// One place of an upstream, by address: its connections, kept so that a request never searches for one, and how it is doing.
// Every HTTP/1.1 exchange has a connection of its own; those of HTTP/2 share them. It decides no second attempt. SPEC: WIRE12, WIRE20
import { isIP, type Socket } from 'node:net'
import type { Retriable, UpstreamSettings } from '../config/settings.ts'
import { duration } from '../core/time.ts'
import type { Share } from './balance.ts'
import type { Dial, DialAddress, Dialer, Dialled } from './dial.ts'
import type { UpstreamFault, UpstreamHandler } from './handler.ts'
import { Http1Connection, type Http1Owner } from './http1/connection.ts'
import { HTTP2_LIMITS, Http2Connection, type Http2Owner } from './http2/connection.ts'
import { localProxyHeader, proxyHeader } from './proxy-protocol.ts'
import { Wellness } from './wellness.ts'

/** A request that found no connection waiting, and where it was tried. */
export type Turn = { readonly handler: UpstreamHandler; readonly tried: Endpoint[] }

/** A connection that a tunnel will have, counted from now until it is released, once. */
export type TunnelPlace = {
  /** `http://`, host and port: the dialled connection carries the protocol, in clear text or under TLS. */
  readonly origin: string
  dial(told: Dialled): Dial
  /** @param fault what the address is to blame for */
  release(fault: UpstreamFault | null): void
}

export interface EndpointOwner {
  /** Whether one more connection may be made; an idle one elsewhere makes way for it. */
  hasRoom(): boolean
  /** No connection may be made for it here. */
  crowdedOut(turn: Turn): void
  /** Nothing of the request was sent there. @param on `refused` where the connection that it waited for takes nothing more */
  unsent(turn: Turn, fault: UpstreamFault, on: Retriable): void
  /** Nothing of it was processed there. @returns whether it goes on elsewhere, or there once more */
  sendAgain(handler: UpstreamHandler, from: Endpoint): boolean
  /** Too many faults in a row. @returns whether it may be left out for a while */
  mayEject(endpoint: Endpoint): boolean
  ejected(endpoint: Endpoint): void
}

const IDLE_KEPT = 128
const KEEP_ALIVE = duration(4_000)
/** Requests that wait for one HTTP/2 connection to be made. */
const WAITING_MAX = 1_024
const GATEWAY_FAULTS: ReadonlySet<number> = new Set([502, 503, 504])

export class Endpoint implements Share, Http1Owner, Http2Owner {
  readonly address: DialAddress
  readonly weight: number
  readonly wellness: Wellness
  credit = 0
  readonly #settings: UpstreamSettings
  readonly #dialer: Dialer
  readonly #owner: EndpointOwner
  readonly #free: Http1Connection[] = []
  readonly #shared: Http2Connection[] = []
  readonly #waiting: Turn[] = []
  readonly #carrying = new Set<Http1Connection>()
  /** They take nothing new; what runs on them ends by itself. */
  readonly #draining = new Set<Http2Connection>()
  readonly #dials = new Map<UpstreamHandler, Dial>()
  /** One at a time: what it will carry is not known before it is there. */
  #sharedDial: Dial | null = null
  /** Its peer has not said yet what it takes. */
  #unsettled: Http2Connection | null = null
  #tunnels = 0
  #retired = false

  constructor(address: DialAddress, weight: number, settings: UpstreamSettings, dialer: Dialer, owner: EndpointOwner) {
    this.address = address
    this.weight = weight
    this.#settings = settings
    this.#dialer = dialer
    this.#owner = owner
    this.wellness = new Wellness(settings.ejection, settings.health)
  }

  get well(): boolean { return this.wellness.isWell(performance.now()) }
  /** Connections that carry something or are being made. */
  get busy(): number {
    for (const connection of this.#draining) if (connection.dead) this.#draining.delete(connection)
    return this.#carrying.size + this.#dials.size + (this.#sharedDial === null ? 0 : 1) + this.#shared.length + this.#draining.size + this.#tunnels
  }

  /** All that are open or being made. */
  get held(): number { return this.busy + this.#free.length }
  /** Each stream of its connections is in use. */
  get isFull(): boolean { return this.#shared.some(({ busy }) => busy > 0) && this.#shared.every(({ room }) => room === 0) }

  /** Sends it on a connection that is there. @returns false when there is none */
  sendNow(handler: UpstreamHandler): boolean {
    const connection = this.#free.pop()
    if (connection === undefined) return this.#shared.length > 0 && this.#share(handler)
    this.#carrying.add(connection)
    connection.send(handler)
    return true
  }

  #share(handler: UpstreamHandler): boolean {
    for (const connection of this.#shared) {
      if (connection.room === 0) continue
      connection.send(handler)
      return true
    }
    return false
  }

  /** Sends it on a connection that is made for it, or, with HTTP/2, as soon as one has room. */
  open(turn: Turn): void {
    if (this.#settings.protocol === 'http1') return this.#owner.hasRoom() ? this.#dial(turn) : this.#owner.crowdedOut(turn)
    if (this.#waiting.length >= WAITING_MAX) return turn.handler.failed('upstream_busy')
    this.#waiting.push(turn)
    this.#widen()
  }

  /** Nothing is sent for it any more. Has an effect only before a connection has taken it. */
  withdraw(handler: UpstreamHandler): void {
    this.#dials.get(handler)?.abort()
    this.#dials.delete(handler)
    const at = this.#waiting.findIndex(turn => turn.handler === handler)
    if (at === -1) return
    this.#waiting.splice(at, 1)
    if (this.#retired && this.#waiting.length === 0) this.#windDown()
  }

  /** Closes a connection that carries nothing. @returns false when there is none */
  giveWay(): boolean {
    const unused = this.#free.shift()
    if (unused !== undefined) unused.close()
    const idle = unused === undefined ? this.#shared.find(({ busy, room }) => busy === 0 && room > 0) : undefined
    idle?.destroy()
    return unused !== undefined || idle !== undefined
  }

  /** One more connection for those that wait, as long as they do. */
  #widen(): void {
    if (this.#waiting.length === 0 || this.#sharedDial !== null || this.#unsettled !== null) return
    if (this.#owner.hasRoom()) this.#dialShared()
    else if (this.busy === 0) for (const turn of this.#waiting.splice(0)) this.#owner.crowdedOut(turn)
  }

  place(source: string): TunnelPlace | UpstreamFault {
    const preamble = this.#preamble(source)
    if (preamble === 'no address') return 'upstream_unavailable'
    const { host, port } = this.address
    this.#tunnels++
    return {
      origin: `http://${host.includes(':') ? `[${host}]` : host}:${port}`,
      dial: told => this.#dialer.dial(this.address, preamble, told),
      release: fault => {
        this.#tunnels--
        if (fault === null) this.wellness.succeeded()
        else this.#failed()
      },
    }
  }

  #dial(turn: Turn): void {
    const preamble = this.#preamble(turn.handler.source)
    if (preamble === 'no address') return turn.handler.failed('upstream_unavailable')
    this.#dials.set(turn.handler, this.#dialer.dial(this.address, preamble, {
      opened: socket => {
        this.#dials.delete(turn.handler)
        this.#takeOwn(socket, turn)
      },
      failed: fault => {
        this.#dials.delete(turn.handler)
        this.#failed()
        this.#owner.unsent(turn, fault, 'connect')
      },
    }))
  }

  #dialShared(): void {
    this.#sharedDial = this.#dialer.dial(this.address, null, {
      opened: (socket, protocol) => {
        this.#sharedDial = null
        this.#takeShared(socket, protocol)
      },
      failed: fault => {
        this.#sharedDial = null
        this.#failed()
        this.#nobodyTakes(fault, 'connect')
      },
    })
  }

  /** Nobody may be taken for the gateway. */
  #preamble(source: string | null): Buffer | null | 'no address' {
    if (!this.#settings.proxyProtocol) return null
    const { host, port } = this.address
    if (source === null) return localProxyHeader()
    return proxyHeader({ address: source, port: 0 }, { address: isIP(host) === 0 ? '0.0.0.0' : host, port }) ?? 'no address'
  }

  #takeOwn(socket: Socket, turn: Turn): void {
    const connection = new Http1Connection(socket, this, KEEP_ALIVE)
    this.#carrying.add(connection)
    connection.send(turn.handler)
  }

  #takeShared(socket: Socket, protocol: string | null): void {
    if (this.#dialer.tls !== null && protocol !== 'h2') {
      socket.destroy()
      this.#failed()
      return this.#nobodyTakes('upstream_unavailable', 'connect')
    }
    this.#unsettled = new Http2Connection(socket, this.#dialer.tls !== null, { ...HTTP2_LIMITS, streams: this.#settings.streams }, this)
    this.#shared.push(this.#unsettled)
  }

  /** Who waits here is told to try elsewhere. */
  #nobodyTakes(fault: UpstreamFault, on: Retriable): void {
    if (this.#shared.length > 0 || this.#sharedDial !== null) return
    for (const turn of this.#waiting.splice(0)) this.#owner.unsent(turn, fault, on)
  }

  // ---- what connections tell

  idle(connection: Http1Connection): void {
    this.#carrying.delete(connection)
    if (this.#retired || this.#settings.proxyProtocol || this.#free.length >= IDLE_KEPT) connection.close() // behind a PROXY header it is one caller's
    else this.#free.push(connection)
  }

  roomier(connection: Http2Connection): void {
    if (connection === this.#unsettled) this.#unsettled = null
    while (connection.room > 0) {
      const turn = this.#waiting.shift()
      if (turn === undefined) break
      connection.send(turn.handler)
    }
    if (this.#retired && this.#waiting.length === 0) this.#windDown()
    else this.#widen()
  }

  gone(connection: Http1Connection | Http2Connection): void {
    if (connection instanceof Http2Connection) return this.#lost(connection)
    if (this.#carrying.delete(connection)) return
    const at = this.#free.indexOf(connection)
    if (at !== -1) this.#free.splice(at, 1)
  }

  #lost(connection: Http2Connection): void {
    const at = this.#shared.indexOf(connection)
    if (at !== -1) this.#shared.splice(at, 1)
    if (!connection.dead) this.#draining.add(connection)
    const useless = connection === this.#unsettled
    if (useless) {
      this.#unsettled = null
      this.#failed()
    }
    this.#nobodyTakes('upstream_unavailable', useless ? 'connect' : 'refused')
    this.#widen()
  }

  answered(status: number): void {
    if (GATEWAY_FAULTS.has(status)) this.#failed()
    else this.wellness.succeeded()
  }

  failed(): void { this.#failed() }

  /** The peer did not process it. */
  refused(handler: UpstreamHandler): boolean { return this.#owner.sendAgain(handler, this) }

  #failed(): void {
    if (this.wellness.failed(performance.now(), this.#owner.mayEject(this))) this.#owner.ejected(this)
  }

  /** Takes nothing new; what runs or waits here ends by itself. */
  retire(): void {
    this.#retired = true
    for (const connection of this.#free.splice(0)) connection.close()
    if (this.#waiting.length === 0) this.#windDown()
  }

  #windDown(): void {
    this.#sharedDial?.abort()
    this.#sharedDial = null
    for (const connection of this.#shared.splice(0)) {
      if (connection === this.#unsettled) this.#unsettled = null
      connection.close()
    }
  }
}
