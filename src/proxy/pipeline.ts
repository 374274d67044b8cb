// The life of a request, on one page: hygiene, target, route and rule, credential, session, evaluation, admission
// (whose first look is the preview), what it wants gathered, admission again. While nothing proves that knowledge is fresh it is held.
// Everything is synchronous for a caller already known; what must be awaited is awaited before the last look of the judge. SPEC: DEC1, DEC8, ENF2, WIRE1-WIRE9
import { type Refusal, refuse } from '../core/decision.ts'
import type { Evaluation } from '../core/evaluation.ts'
import { type Evidence } from '../core/evidence.ts'
import { offersFor } from '../core/policy.ts'
import { NO_PURPOSES, type Purposes } from '../core/purpose.ts'
import { type Reason } from '../core/reason.ts'
import { NOBODY } from '../audit/record.ts'
import type { Service } from '../config/settings.ts'
import { placeOf, type Route, routeOf } from '../core/route.ts'
import { type Exchange, type Inquiry, NO_CLAIMS } from '../enforcement/exchange.ts'
import { abandon, gather, type Gathering } from '../enforcement/gather.ts'
import type { Identification, Presented, Verified } from '../identity/credential.ts'
import { purposesClaimed } from '../identity/purposes.ts'
import { newExchangeId } from '../runtime/id.ts'
import { observer } from '../runtime/metrics.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import { Ask, type AskOwner } from './ask.ts'
import { describeTarget } from './describe/target.ts'
import { shownPurposes } from './describe/purposes.ts'
import { Seen } from './describe/seen.ts'
import { readHead } from './http/head.ts'
import { type Inbound, outgoingHeaders } from './http/outgoing.ts'
import { type Arrival, HttpRelay } from './http/relay.ts'
import { type RefusalText, refusalText, sendRefusal } from './refusal.ts'
import { countRequest } from './request-metrics.ts'
import type { ProxyRoom } from './room.ts'
import { isKeySet, type SelfService, RESERVED } from './self-service/self-service.ts'
import { sessionNow, sessionOf } from './session-of.ts'
import { sourceOf } from './describe/source.ts'

/** One request of so many has its way through the gateway timed. */
const SAMPLED = 16
/** Longest a request may wait for what admission wants gathered, in milliseconds. */
const GATHER_FOR = 10_000
/** Times a request gathers because its grant changed meanwhile. */
const ROUNDS = 3

export class Pipeline implements AskOwner {
  readonly #room: ProxyRoom
  readonly #self: SelfService
  #draining = false
  #served = 0

  constructor(room: ProxyRoom, self: SelfService) {
    this.#room = room
    this.#self = self
  }

  /** From now on nothing new is admitted. */
  drain(): void { this.#draining = true }

  // ---- hygiene, canonical target

  /** @param serves what the listener answers that it came to */
  serve(arrival: Omit<Arrival, 'contentLength'>, secure: boolean, serves: readonly Service[]): void {
    const { request, response } = arrival
    this.#served++
    const head = readHead(request)
    if (typeof head === 'string') return this.#malformed({ ...arrival, contentLength: null }, head)
    const whole: Arrival = { ...arrival, contentLength: head.contentLength }
    if (request.method === 'TRACE' || request.method === 'CONNECT') return this.#early(whole, 'method_refused', null)
    const described = describeTarget(request.url ?? '', head.authority)
    if (typeof described === 'string') return this.#malformed(whole, described)
    if (this.#draining) response.setHeader('connection', 'close')
    const { world } = this.#room
    const { target, encodedSlash } = described
    const ask = new Ask(whole, world, head, target, sourceOf(request, world.settings.trustedProxies), secure, this)
    if (this.#served % SAMPLED === 0) ask.sampledAt = performance.now()
    ask.keys = serves.includes('keys')
    const [proxy, keySet] = [serves.includes('proxy'), isKeySet(target.path)]
    if (!proxy && !(ask.keys && keySet)) return this.refuseAsk(ask, refuse('no_route'))
    if (!proxy || target.path.startsWith(RESERVED) || target.path === RESERVED.slice(0, -1)) return keySet && !ask.keys ? this.refuseAsk(ask, refuse('no_route')) : this.#self.serve(ask)
    ask.encodedSlash = encodedSlash
    this.#route(ask)
  }

  // ---- route and rule

  #route(ask: Ask): void {
    ask.world = this.#room.world
    const { policy } = this.#room.mirror
    const route = routeOf(policy.table, ask.target)
    if (typeof route === 'string') {
      if (route === 'no_route' || !this.#self.servesWithoutRoute(ask)) return this.refuseAsk(ask, refuse(route))
      return this.#self.serve(ask)
    }
    if (ask.encodedSlash && route.encodedSlash === 'reject') return this.#malformed(ask.arrival, 'the path holds an escaped slash')
    ask.place = placeOf(route, { method: ask.arrival.request.method ?? '', upgrade: ask.head.upgrade }, ask.target)
    if (ask.place.rule?.anonymous === true) return this.#judge(ask, null)
    const presented = this.presented(ask, route)
    const now = this.#room.identifier.identifyNow(route.authn, presented)
    if (now !== null) return this.#identified(ask, now)
    void this.#room.identifier.identify(route.authn, presented).then(identified => this.#identified(ask, identified)).catch(error => this.#failed(ask, error))
  }

  /** Every line of a header in which a provider of the route looks. */
  presented(ask: Ask, route: Route): readonly Presented[] {
    const wanted = this.#room.identifier.headers(route.authn)
    const { rawHeaders } = ask.arrival.request
    const lines: Presented[] = []
    for (let i = 0; i < rawHeaders.length; i += 2) {
      const header = (rawHeaders[i] ?? '').toLowerCase()
      if (wanted.includes(header)) lines.push({ header, value: rawHeaders[i + 1] ?? '' })
    }
    return lines
  }

  // ---- credential, session

  #identified(ask: Ask, identified: Identification): void {
    if (identified.is === 'refused') return this.refuseAsk(ask, refuse(identified.reason))
    const { verified } = identified
    ask.verified = verified
    const live = sessionNow(this.#room, verified)
    if (live !== null) return this.#judge(ask, live)
    void this.openSession(ask, verified).then(opened => {
      if (opened instanceof Object && 'effect' in opened) this.refuseAsk(ask, opened)
      else this.#judge(ask, opened)
    }).catch(error => this.#failed(ask, error))
  }

  openSession(ask: Ask, verified: Verified): Promise<LiveSession | Refusal> {
    return sessionOf(this.#room, verified, ask.place?.route.name ?? '')
  }

  // ---- evaluation, admission, gather

  #judge(ask: Ask, live: LiveSession | null): void {
    if (ask.world !== this.#room.world) return this.#route(ask) // a reload came meanwhile: it is placed anew
    ask.live = live
    const { place, verified } = ask
    if (place === null) return this.refuseAsk(ask, refuse('no_route'))
    if (this.#draining) return this.refuseAsk(ask, refuse('draining'))
    const purposes = this.#purposes(ask)
    if (purposes === null) return this.#malformed(ask.arrival, 'a purpose header is malformed or stands twice')
    ask.purposes = purposes
    const claims = live?.claims ?? verified?.claims ?? NO_CLAIMS
    const evaluation = this.#describe(ask, verified?.evidence ?? null, purposes)
    const inquiry: Inquiry = { id: newExchangeId(), policy: this.#room.mirror.policy, place, evaluation, live, claims }
    const upstream = ask.world.upstreams.get(place.route.upstream)
    if (upstream === undefined) return this.refuseAsk(ask, refuse('upstream_unavailable'))
    const { limits } = ask.world.settings
    const relay = new HttpRelay(ask.arrival, upstream, ask.target.path + ask.target.query, ask, { body: limits.bodyBytes, idle: limits.idleTimeout })
    this.#admit(ask, inquiry, relay, null)
  }

  /** Asks for admission; what has to be awaited first is awaited, and admission is asked for again, at most a few times. */
  #admit(ask: Ask, inquiry: Inquiry, relay: HttpRelay, gathered: Gathering | null, round = 0): void {
    const { steps, admission, world } = this.#room
    const { response } = ask.arrival
    if (response.destroyed || response.writableEnded) return this.#abandon(gathered, 'caller_closed') // the caller went away, or broke its body, while something was awaited
    if (ask.world !== world) { // a reload came meanwhile: it is placed anew
      this.#abandon(gathered, 'stale')
      return this.#route(ask)
    }
    const answer = round < ROUNDS ? admission.admit(inquiry, relay, gathered) : refuse('stale')
    if (answer === null) {
      ask.context ??= this.#context(relay) // one that waits for its record goes with the word it was admitted on
      return
    }
    if ('effect' in answer) {
      this.#abandon(gathered, answer.reason)
      return answer.reason === 'stale' ? this.#hold(ask) : this.#refuseUnlessBehind(ask, answer)
    }
    void gather(steps, answer, GATHER_FOR).then(failure => {
      if (failure === null) return this.#admit(ask, inquiry, relay, answer, round + 1)
      this.#abandon(answer, failure)
      this.refuseAsk(ask, refuse(failure))
    }).catch(error => this.#failed(ask, error))
  }

  /** Nothing proves that what it is judged by is fresh: it waits for that, its body unread, and is placed anew. */
  #hold(ask: Ask): void {
    const { response } = ask.arrival
    ask.sampledAt = 0
    void this.#room.hold.wait(response).then(fresh => {
      if (response.destroyed || response.writableEnded) return
      if (fresh) this.#route(ask)
      else this.refuseAsk(ask, refuse('stale'))
    }).catch(error => this.#failed(ask, error))
  }

  /** What it was given may have been announced and not heard here yet: the store is asked once before, and rarely for one session. */
  #refuseUnlessBehind(ask: Ask, refusal: Refusal): void {
    const { mirror, keeper } = this.#room
    const elapsed = keeper.clock.elapsed()
    if (ask.live === null || ask.asked || !TURNED_BY_NEWS.has(refusal.reason) || !mirror.mayBeBehind(ask.live, elapsed)) return this.refuseAsk(ask, refusal)
    ask.asked = true
    void mirror.refresh(ask.live, elapsed).then(moved => (moved ? this.#route(ask) : this.refuseAsk(ask, refusal)), () => this.refuseAsk(ask, refusal)).catch(error => this.#failed(ask, error))
  }

  /** What was done for a request that is not admitted now is taken back. */
  #abandon(gathered: Gathering | null, reason: Reason): void {
    if (gathered !== null) abandon(this.#room.steps, gathered, reason)
  }

  #purposes(ask: Ask): Purposes | null {
    const { purposes } = this.#room.mirror.policy
    if (purposes.size === 0) return NO_PURPOSES
    const shown = shownPurposes(purposes, ask.arrival.request.rawHeaders)
    if (shown === null || ask.verified === null) return shown
    return { ...purposesClaimed(purposes, ask.verified.claims), ...shown }
  }

  #describe(ask: Ask, evidence: Evidence | null, purposes: Purposes): Evaluation {
    const { source, secure } = ask
    const action = { method: ask.arrival.request.method ?? '', upgrade: ask.head.upgrade }
    return { evidence, action, resource: ask.target, context: new Seen(this.#inbound(ask), { source, secure, purposes }) }
  }

  #inbound({ arrival, head: { nominated, authority }, world, place }: Ask): Inbound {
    return { rawHeaders: arrival.request.rawHeaders, nominated, authority, kept: (place === null ? undefined : world.keptHeaders.get(place.route)) ?? NO_HEADERS }
  }

  outgoing(ask: Ask, relay: HttpRelay): readonly string[] {
    const { exchange, upstream: { inject } } = relay
    const { source, secure } = ask
    if (ask.sampledAt > 0) observer(this.#room.metrics.overhead, 'route', ask.place?.route.name ?? '').observe((performance.now() - ask.sampledAt) / 1000)
    ask.context ??= this.#context(relay)
    if (ask.context === null && exchange?.live != null) this.end(exchange, 'internal_error') // ended before its connection takes a byte: nothing goes without its context
    return outgoingHeaders({ ...this.#inbound(ask), source, secure, inject, context: ask.context })
  }

  #context({ exchange, upstream }: HttpRelay): string | null {
    if (exchange?.live == null) return null
    return this.#room.minter.ready({ session: exchange.live.record, grant: exchange.permit.grant, upstream: upstream.name, until: exchange.permit.until })
  }

  // ---- refusals

  #malformed(arrival: Arrival, detail: string): void { this.#early(arrival, 'bad_request', detail) }

  /** Before there is a target to speak of; the connection is not used again. */
  #early(arrival: Arrival, reason: Reason, detail: string | null): void {
    const { request, response, contentLength } = arrival
    const text = refusalText(reason, { detail })
    this.#room.refused({ ...NOBODY, evaluation: text.evaluation, source: request.socket.remoteAddress ?? '', method: request.method ?? '', host: '', path: request.url ?? '', reason })
    countRequest(this.#room.metrics, null, request.method ?? '', response, reason, null)
    sendRefusal(request, response, text, contentLength, true)
  }

  refuseAsk(ask: Ask, { reason, requestable }: Refusal): void { this.#answer(ask, reason, requestable) }

  #answer(ask: Ask, reason: Reason, requestable: boolean): void {
    const { arrival, place } = ask
    const text = this.#textOf(ask, reason, requestable)
    this.#room.refused(ask.refused(text.evaluation, reason))
    if (reason === 'condition_error') this.#room.metrics.conditionErrors.inc({ route: place?.route.name ?? '' })
    countRequest(this.#room.metrics, place?.route ?? null, arrival.request.method ?? '', arrival.response, reason, null)
    sendRefusal(arrival.request, arrival.response, text, arrival.contentLength, false)
  }

  #textOf({ place, verified, live }: Ask, reason: Reason, requestable: boolean): RefusalText {
    const scope = place?.rule?.scope ?? null
    const offers = requestable && scope !== null && verified !== null ? offersFor(this.#room.mirror.policy, scope, verified.principal, verified.claims) : []
    return refusalText(reason, {
      session: live?.record.id ?? null, scope,
      offers: offers.map(({ name, purposes, approval }) => ({ profile: name, purpose: purposes, approval: approval === null ? 'none' : 'required' })),
    })
  }

  #failed(ask: Ask, error: unknown): void {
    const ofStore = error instanceof StoreFault
    if (ofStore && !this.#room.hold.fresh) return this.#hold(ask)
    this.#room.log.error({ error: String(error) }, 'a request failed inside the gateway and was refused')
    this.#answer(ask, !ofStore ? 'internal_error' : error.code === 'forged' ? 'store_forged' : 'store_failed', false)
  }

  // ---- what relays tell

  doubt(exchange: Exchange): void { this.#room.reassessor.doubt(exchange) }

  end(exchange: Exchange, reason: Reason): void { this.#room.reassessor.end(exchange, reason, 'wire', null) }

  refuse(ask: Ask, reason: Reason): void { this.#answer(ask, reason, false) }

  headSent({ exchange, upstream }: HttpRelay): void {
    if (exchange !== null) observer(this.#room.metrics.upstreamDuration, 'upstream', upstream.name).observe((this.#room.keeper.clock.now() - exchange.openedAt) / 1000)
  }

  completed(relay: HttpRelay): void {
    const { exchange, status, arrival } = relay
    if (exchange === null) return
    this.#room.inflight.remove(exchange)
    exchange.state = 'ended'
    this.#room.completed(exchange, status)
    countRequest(this.#room.metrics, exchange.place.route, arrival.request.method ?? '', arrival.response, null, exchange.permit.grant)
  }
}

/** Refusals that an elevation, a widening or a resumption turns. */
const TURNED_BY_NEWS: ReadonlySet<Reason> = new Set<Reason>(['elevation_required', 'narrowed', 'frozen', 'time_up'])
const NO_HEADERS: ReadonlySet<string> = new Set()
