// From an admitted request to its upstream and back: makes the relay of its kind, and answers what relays ask and tell. SPEC: WIRE13, WIRE15, WIRE24, ADM8
import { refuse } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Place, Rule } from '../core/route.ts'
import type { Relay } from '../enforcement/admit.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { UpstreamFault } from '../upstream/handler.ts'
import type { Upstream } from '../upstream/upstream.ts'
import type { Ask, AskOwner, Carried, Carrier, Headed, Injected } from './ask.ts'
import { type Departing, Departures } from './departures.ts'
import { finallyLeft, isCall, withDeadline } from './grpc/deadline.ts'
import { corsHeaders } from './http/cors.ts'
import { type Inbound, outgoingHeaders } from './http/outgoing.ts'
import { InspectedBytes } from './http/inspected-bytes.ts'
import { Inspection } from './http/inspection.ts'
import { HttpRelay } from './http/relay.ts'
import { Eliciting } from './mcp/asking/eliciting.ts'
import { Mcp } from './mcp/mcp.ts'
import { forwardedBody } from './mcp/meta.ts'
import { OwnCalls } from './mcp/asking/own-calls.ts'
import { OwnRelay } from './mcp/asking/own-relay.ts'
import type { Passing } from './http/response-head.ts'
import type { Refuser } from './refuser.ts'
import { hostFor, pathFor } from './rewrite.ts'
import type { ProxyRoom } from './room.ts'
import { UpstreamIdentity } from './upstream-identity.ts'
import type { OwnSide } from './self-service/own-side.ts'
import { Vouching } from './vouching.ts'
import { DialAgent } from './websocket/dial-agent.ts'
import { type TunnelPlace, WebSocketRelay } from './websocket/relay.ts'

export class Forwarder implements AskOwner, Carrier {
  readonly #room: ProxyRoom
  readonly #refuser: Refuser
  readonly #departures = new Departures()
  readonly #vouching: Vouching
  readonly #inspected: InspectedBytes
  readonly #identity: UpstreamIdentity
  readonly #own: OwnCalls
  readonly eliciting: Eliciting
  readonly mcp: Mcp

  constructor(room: ProxyRoom, refuser: Refuser, own: OwnSide) {
    this.#room = room
    this.#refuser = refuser
    this.#vouching = new Vouching(room)
    this.#identity = new UpstreamIdentity(room)
    this.#own = new OwnCalls(room, own)
    this.eliciting = new Eliciting(room, own)
    this.#inspected = new InspectedBytes(() => room.world.settings.limits.inspectTotal, () => room.metrics.limitReached.inc({ limit: 'inspected_bytes' }))
    this.mcp = new Mcp(room, this.#inspected, (ask, exchange) => this.#watch(ask, exchange))
  }

  /** What takes the request over once it is admitted, unless its upstream is not configured any more. */
  relayOf(ask: Ask, { route, rule }: Place): Relay | Reason {
    const { arrival, head, target, world: { upstreams, settings: { limits } } } = ask
    if (ask.message !== null && ask.readBody !== null) ask.readBody = forwardedBody(ask.message, ask.readBody, ask.world.settings, ask.returned !== null)
    const own = ask.message?.own ?? null
    if (ask.message !== null && own !== null) return new OwnRelay(ask, ask.message, own, route.upstream, this.#own, error => this.#refuser.faultOf(error))
    const upstream = upstreams.get(route.upstream)
    if (upstream === undefined) return 'upstream_unavailable'
    const path = upstream.settings.endpoint ?? pathFor(route, target)
    if (ask.message !== null && route.mcp !== null) return this.mcp.relayOf(ask, ask.message, route, route.mcp, upstream, path)
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
    this.#identity.note(ask, exchange)
    if (exchange === null) return
    if (exchange.place.route.brokered) ask.credential ??= this.#room.brokered.heldFor(exchange) // as it is on record
    exchange.meter = this.#room.rates.meterOf(exchange.place, exchange.live)
    this.mcp.lasting.admitted(ask, exchange)
    this.#watch(ask, exchange)
  }

  /** What its right hangs on outside is asked about while it is open. */
  #watch(ask: Ask, exchange: Exchange): void {
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
    this.#identity.note(ask, exchange)
    if (ask.context === null && exchange?.live != null) this.end(exchange, 'internal_error') // ended before its connection takes a byte: nothing goes without its context
    return ask.context
  }

  outgoing(ask: Ask, relay: Headed): readonly string[] {
    const { source, arrival, place } = ask
    const { exchange } = relay
    const { via, keeper: { clock } } = this.#room
    const route = place?.route ?? null
    const context = this.vouch(ask, relay)
    const upstream = route === null ? undefined : ask.world.upstreams.get(route.upstream)
    const host = hostFor(route, upstream?.settings.origin ?? '')
    const headers = outgoingHeaders({ ...inboundOf(ask), method: arrival.method, secure: arrival.secure, host, source, via, inject: this.injected(ask, relay), passthrough: route?.passthrough === true, context, transaction: ask.transaction })
    const timed = exchange !== null && isCall(arrival) ? withDeadline(headers, finallyLeft(exchange, clock.now())) : headers
    const edited = ask.headersUp?.(timed) ?? timed
    return upstream === undefined ? edited : this.#identity.signed(ask, relay, edited, upstream)
  }

  injected(ask: Ask, { exchange }: Carried): Injected | null {
    const { place, world } = ask
    if (place?.route.brokered === true) return this.#obtained(ask, exchange)
    const inject = world.upstreams.get(place?.route.upstream ?? '')?.inject ?? null
    ask.secret = inject?.secret ?? null
    return inject
  }

  /** For the very grant that it goes on; without that nothing goes. */
  #obtained(ask: Ask, exchange: Exchange | null): Injected | null {
    const { place } = ask
    if (exchange === null || place === null) return null
    const { brokered } = this.#room
    ask.credential = ask.credential === null ? brokered.heldFor({ live: exchange.live, permit: exchange.permit, place }) : brokered.still(ask.credential)
    ask.secret = ask.credential?.revocable.token ?? null
    if (ask.credential === null) this.end(exchange, 'credential_unavailable')
    return ask.credential
  }

  // ---- what relays tell

  doubt(exchange: Exchange): void { this.#room.reassessor.doubt(exchange) }

  end(exchange: Exchange, reason: Reason): void {
    this.mcp.lasting.ended(exchange, reason)
    this.#room.reassessor.end(exchange, reason, 'wire', null)
  }

  refuse(ask: Ask, reason: Reason): void { this.#refuser.refuse(ask, refuse(reason)) }

  headSent({ place: { route: { upstream } }, openedAt }: Exchange): void {
    this.#room.metrics.upstreamDuration.of(upstream).observe((this.#room.keeper.clock.now() - openedAt) / 1000)
  }

  leaving(departing: Departing): void { this.#departures.add(departing) }

  completed({ arrival: { method, protocol } }: Ask, { exchange, status }: Carried): void {
    if (exchange === null) return
    this.mcp.lasting.completed(exchange)
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
