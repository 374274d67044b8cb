// From an admitted request to its upstream and back: makes the relay of its kind, and answers what relays ask and tell. SPEC: WIRE13, WIRE15, WIRE24, ADM8
import { refuse } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Place, Rule } from '../core/route.ts'
import type { Relay } from '../enforcement/admit.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { UpstreamFault } from '../upstream/handler.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Ask, AskOwner, Carried, Carrier } from './ask.ts'
import { type Departing, Departures } from './departures.ts'
import { finallyLeft, isCall, withDeadline } from './grpc/deadline.ts'
import { corsHeaders } from './http/cors.ts'
import { type Inbound, outgoingHeaders } from './http/outgoing.ts'
import { InspectedBytes } from './http/inspected-bytes.ts'
import { Inspection } from './http/inspection.ts'
import { HttpRelay } from './http/relay.ts'
import type { Passing } from './http/response-head.ts'
import type { Refuser } from './refuser.ts'
import { hostFor, pathFor } from './rewrite.ts'
import type { ProxyRoom } from './room.ts'
import { Vouching } from './vouching.ts'
import { DialAgent } from './websocket/dial-agent.ts'
import { type TunnelPlace, WebSocketRelay } from './websocket/relay.ts'

export class Forwarder implements AskOwner, Carrier {
  readonly #room: ProxyRoom
  readonly #refuser: Refuser
  readonly #departures = new Departures()
  readonly #vouching: Vouching
  readonly #inspected: InspectedBytes

  constructor(room: ProxyRoom, refuser: Refuser) {
    this.#room = room
    this.#refuser = refuser
    this.#vouching = new Vouching(room)
    this.#inspected = new InspectedBytes(() => room.world.settings.limits.inspectTotal, () => room.metrics.limitReached.inc({ limit: 'inspected_bytes' }))
  }

  /** What takes the request over once it is admitted, unless its upstream is not configured any more. */
  relayOf(ask: Ask, { route, rule }: Place): Relay | Reason {
    const { arrival, head, target, world: { upstreams, settings: { limits } } } = ask
    const upstream = upstreams.get(route.upstream)
    if (upstream === undefined) return 'upstream_unavailable'
    const path = pathFor(route, target)
    if (head.upgrade !== 'websocket') return new HttpRelay(arrival, head.contentLength, this.#inspectionOf(ask, rule), upstream, path, ask, { body: limits.bodyBytes, idle: limits.idleTimeout })
    const tunnels = { name: upstream.name, settings: upstream.settings, place: () => placeOf(upstream, ask.sourceAddress) }
    return new WebSocketRelay(arrival, tunnels, path, ask, { messages: rule?.messages ?? null, idle: 0, clock: this.#room.keeper.clock })
  }

  #inspectionOf(ask: Ask, rule: Rule | null): Inspection | null {
    const inspect = rule?.inspect ?? null
    return ask.head.contentLength === 0 || (inspect === null && ask.readBody === null) ? null : new Inspection(ask, inspect, this.#inspected)
  }

  /** Whatever was there when it was admitted: one that waits for its record goes with the word it was admitted on. */
  admitted(ask: Ask, { exchange }: Carried): void {
    ask.context ??= this.#context(ask, exchange)
    if (exchange === null) return
    exchange.meter = this.#room.rates.meterOf(exchange.place, exchange.live)
    this.#vouching.watch(ask, exchange)
    if (exchange.external !== null) this.#room.external.watch(exchange)
  }

  passing({ place, head: { origin }, verified, world }: Ask): Passing {
    const route = place?.route ?? null
    const upstream = (route === null ? undefined : world.settings.upstreams.get(route.upstream)?.protocol) ?? 'http1'
    return { via: this.#room.via, upstream, personal: verified !== null, cors: route === null || route.cors === null ? null : corsHeaders(route.cors, origin) }
  }

  vouch(ask: Ask, { exchange }: Carried): string | null {
    if (ask.sampledAt > 0) this.#room.metrics.overhead.of(ask.place?.route.name ?? '').observe((performance.now() - ask.sampledAt) / 1000)
    ask.context ??= this.#context(ask, exchange)
    if (ask.context === null && exchange?.live != null) this.end(exchange, 'internal_error') // ended before its connection takes a byte: nothing goes without its context
    return ask.context
  }

  outgoing(ask: Ask, relay: Carried): readonly string[] {
    const { source, arrival, place } = ask
    const { exchange } = relay
    const { via, keeper: { clock } } = this.#room
    const route = place?.route ?? null
    const context = this.vouch(ask, relay)
    const upstream = route === null ? undefined : ask.world.upstreams.get(route.upstream)
    const host = hostFor(route, upstream?.settings.origin ?? '')
    const headers = outgoingHeaders({ ...inboundOf(ask), method: arrival.method, secure: arrival.secure, host, source, via, inject: upstream?.inject ?? null, context })
    return exchange !== null && isCall(arrival) ? withDeadline(headers, finallyLeft(exchange, clock.now())) : headers
  }

  #context({ place }: Ask, exchange: Exchange | null): string | null {
    if (exchange?.live == null || place === null) return null
    return this.#room.minter.ready({ session: exchange.live.record, grant: exchange.permit.grant, upstream: place.route.upstream, until: exchange.permit.until })
  }

  // ---- what relays tell

  doubt(exchange: Exchange): void { this.#room.reassessor.doubt(exchange) }

  end(exchange: Exchange, reason: Reason): void { this.#room.reassessor.end(exchange, reason, 'wire', null) }

  refuse(ask: Ask, reason: Reason): void { this.#refuser.refuse(ask, refuse(reason)) }

  headSent({ place: { route: { upstream } }, openedAt }: Exchange): void {
    this.#room.metrics.upstreamDuration.of(upstream).observe((this.#room.keeper.clock.now() - openedAt) / 1000)
  }

  leaving(departing: Departing): void { this.#departures.add(departing) }

  completed({ arrival: { method, protocol } }: Ask, { exchange, status }: Carried): void {
    if (exchange === null) return
    this.#room.inflight.remove(exchange)
    exchange.state = 'ended'
    this.#room.completed(exchange, status)
    this.#room.metrics.requests.count(exchange.place.route.name, method, protocol, status, null, exchange.permit.grant.is)
  }
}

export const inboundOf = ({ arrival: { headers }, head, kept }: Ask): Inbound => ({ headers, head, kept })

function placeOf(upstream: Upstream, source: string): TunnelPlace | UpstreamFault {
  const place = upstream.place(source)
  if (typeof place === 'string') return place
  return { origin: place.origin, agent: new DialAgent(told => place.dial(told)), release: fault => place.release(fault) }
}
