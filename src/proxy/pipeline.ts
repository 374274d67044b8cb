// The life of a request, on one page: hygiene, target, route and rule, credential, session, evaluation, admission
// (whose first look is the preview), what it wants gathered, admission again. While nothing proves that knowledge is fresh it is held.
// Everything is synchronous for a caller already known; what must be awaited is awaited before the last look of the judge. SPEC: DEC1, DEC8, ENF2, WIRE1-WIRE9
import { type Refusal, refuse } from '../core/decision.ts'
import { NO_PURPOSES, shownPlainly } from '../core/purpose.ts'
import type { Reason } from '../core/reason.ts'
import type { McpRoute } from '../core/call.ts'
import { methodFault } from '../core/method.ts'
import { type Place, placeOf, type Route, routeOf } from '../core/route.ts'
import { hearingOf, type Inquiry } from '../enforcement/exchange.ts'
import type { Relay } from '../enforcement/admit.ts'
import { abandon, gather, type Gathering } from '../enforcement/gather.ts'
import type { Identification } from '../identity/credential.ts'
import { newExchangeId } from '../runtime/id.ts'
import type { Attempt } from '../signals/risk/watch.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import type { Arrival } from './arrival.ts'
import { Ask, type Carrier } from './ask.ts'
import { answerEmpty } from './own-answer.ts'
import { actionOf, methodOf } from './describe/action.ts'
import { attemptOf, claimsOf, evaluationOf } from './describe/evaluation.ts'
import { presentedIn } from './describe/presented.ts'
import { describeTarget } from './describe/target.ts'
import { purposesNow, settle } from './describe/signed-purposes.ts'
import { isPreflight, preflight } from './http/cors.ts'
import { readHead } from './http/head.ts'
import { earlyReason } from './http/early-reason.ts'
import { forwardsLeft, LAST_FORWARD } from './http/max-forwards.ts'
import { Drifts } from './drifts.ts'
import { Forwarder } from './forwarder.ts'
import { isStillFor } from './mcp/lasting/opened.ts'
import type { MessageFault } from './mcp/message.ts'
import { passesRates } from './rating.ts'
import { Refuser } from './refuser.ts'
import type { Door, ProxyRoom } from './room.ts'
import { answerMetadata, isMetadata } from './self-service/protected-resource.ts'
import { isKeySet, type SelfService, RESERVED } from './self-service/self-service.ts'
import { sessionNow, sessionOf } from './session-of.ts'
import { sourceOf } from './describe/source.ts'
import { SteppingUp } from './stepping-up.ts'
import { vouchedUntil } from './vouching.ts'

/** One request of so many has its way through the gateway timed. */
const SAMPLED = 16
/** Longest a request may wait for what admission wants gathered, in milliseconds. */
const GATHER_FOR = 10_000
/** Times a request gathers because its body was read, somebody was asked about it, it left something behind, or its grant changed meanwhile. */
const ROUNDS = 8

export class Pipeline {
  readonly #room: ProxyRoom
  readonly #self: SelfService
  readonly #refuser: Refuser
  readonly #forwarder: Forwarder
  readonly #drifts: Drifts
  readonly #steppingUp: SteppingUp
  #draining = false
  #served = 0

  constructor(room: ProxyRoom, self: SelfService) {
    this.#room = room
    this.#self = self
    this.#refuser = new Refuser(room)
    this.#forwarder = new Forwarder(room, this.#refuser, self.own)
    this.#drifts = new Drifts(room)
    this.#steppingUp = new SteppingUp(room)
  }

  /** From now on nothing new is admitted. */
  drain(): void { this.#draining = true }

  // ---- hygiene, canonical target

  /** A fault of ours ends that request, and no other. @param door of the listener that it came to @param carrier takes it over in place of its upstream */
  serve(arrival: Arrival, door: Door, carrier: Carrier | null = null): void {
    try {
      this.#serve(arrival, door, carrier)
    } catch (error) {
      this.#refuser.broken(arrival, error)
    }
  }

  #serve(arrival: Arrival, { serves, isMisdirected, forwardedCertificates }: Door, carrier: Carrier | null): void {
    this.#served++
    const head = readHead(arrival)
    if (typeof head === 'string') return this.#refuser.early(arrival, null, 'bad_request', head)
    const method = methodOf(arrival)
    const fault = methodFault(method)
    if (fault !== null) return this.#refuser.early(arrival, head.contentLength, fault, null)
    const described = describeTarget(arrival.target, head.authority)
    if (typeof described === 'string') return this.#refuser.early(arrival, head.contentLength, 'bad_request', described)
    const early = isMisdirected(arrival.serverName, described.target.host) ? 'wrong_host' : earlyReason(this.#room.via, head, method)
    if (early !== null) return this.#refuser.early(arrival, head.contentLength, early, null)
    if (this.#draining) arrival.answer.last()
    const { world } = this.#room
    const { target, encodedSlash } = described
    const ask = new Ask(arrival, world, head, target, sourceOf(arrival, world.settings.trustedProxies), this.#forwarder)
    if (this.#served % SAMPLED === 0) ask.sampledAt = performance.now()
    ask.keys = serves.includes('keys')
    ask.forwardedCertificates = forwardedCertificates
    ask.carrier = carrier
    if (carrier !== null) return this.#carried(ask, encodedSlash)
    const [proxy, keySet] = [serves.includes('proxy'), isKeySet(target.path)]
    if (!proxy && !(ask.keys && keySet)) return this.#refuse(ask, 'no_route')
    if (!proxy || isReserved(target.path)) return keySet && !ask.keys ? this.#refuse(ask, 'no_route') : this.#self.serve(ask)
    ask.encodedSlash = encodedSlash
    if (!isMetadata(target.path)) return this.#route(ask)
    const reason = answerMetadata(ask)
    if (reason !== null) this.#refuse(ask, reason)
  }

  /** What the gateway answers itself is answered on its own listeners alone: here any answer of success would let the request through. */
  #carried(ask: Ask, encodedSlash: boolean): void {
    ask.encodedSlash = encodedSlash
    if (isReserved(ask.target.path) || isMetadata(ask.target.path)) this.#refuse(ask, 'no_route')
    else this.#route(ask)
  }

  // ---- route and rule

  #route(ask: Ask): void {
    ask.world = this.#room.world
    const { policy } = this.#room.mirror
    const route = routeOf(policy.table, ask.target)
    if (typeof route === 'string') {
      if (route === 'no_route' || !this.#self.servesWithoutRoute(ask)) return this.#refuse(ask, route)
      return this.#self.serve(ask)
    }
    if (ask.encodedSlash && route.encodedSlash === 'reject') return this.#malformed(ask, 'the path holds an escaped slash')
    if (ask.carrier === null && this.#answersItself(ask, route)) return
    ask.place = placeOf(route, actionOf(ask), ask.target)
    if (ask.place.rule?.anonymous === true) return this.#judge(ask, null)
    const presented = presentedIn(ask.arrival.headers, this.#room.identifier.headers(route.authn))
    const now = this.#room.identifier.identifyNow(route.authn, presented, ask)
    if (now !== null) return this.#identified(ask, now)
    void this.#room.identifier.identify(route.authn, presented, ask).then(identified => this.#identified(ask, identified)).catch(error => this.#failed(ask, error))
  }

  /** A preflight on a route with `cors`, and a question that goes no further. */
  #answersItself(ask: Ask, route: Route): boolean {
    const { arrival, head, target } = ask
    const method = methodOf(arrival)
    if (forwardsLeft(method, head.maxForwards) === 0) {
      answerEmpty(arrival, LAST_FORWARD)
      return true
    }
    if (route.cors === null || !isPreflight(method, head)) return false
    ask.place = placeOf(route, actionOf(ask), target)
    const answer = preflight(route, route.cors, target, head)
    if (answer.is === 'refused') this.#refuse(ask, answer.reason)
    else answerEmpty(arrival, answer.headers)
    return true
  }

  // ---- credential, session

  #identified(ask: Ask, identified: Identification): void {
    if (identified.is === 'refused') {
      ask.credentialFault = identified.detail
      return this.#refuse(ask, identified.reason)
    }
    const { verified } = identified
    ask.verified = verified
    const live = sessionNow(this.#room, verified, ask)
    if (live !== null) return this.#judge(ask, live)
    void sessionOf(this.#room, verified, ask.place?.route.name ?? '', ask).then(opened => {
      if (opened instanceof Object && 'effect' in opened) this.#refuser.refuse(ask, opened)
      else this.#judge(ask, opened)
    }).catch(error => this.#failed(ask, error))
  }

  // ---- evaluation, admission, gather

  #judge(ask: Ask, live: LiveSession | null): void {
    if (ask.world !== this.#room.world) return this.#route(ask) // a reload came meanwhile: it is placed anew
    ask.live = live
    const { place, verified } = ask
    if (place === null) return this.#refuse(ask, 'no_route')
    if (this.#draining) return this.#refuse(ask, 'draining')
    if (place.route.mcp !== null && ask.message === null) return ask.carrier === null ? this.#read(ask, live, place, place.route.mcp) : this.#refuse(ask, 'not_shown')
    if (ask.message !== null && !isStillFor(ask)) return this.#refuse(ask, 'stale')
    const shown = purposesNow(this.#room, ask, live?.record.brokered?.purposes ?? NO_PURPOSES)
    if (shown === 'await') return void settle(this.#room, ask).then(() => this.#judge(ask, live)).catch(error => this.#failed(ask, error))
    if (shown === 'malformed') return this.#malformed(ask, 'a purpose header is malformed or stands twice')
    ask.purposes = shown.purposes
    const claims = claimsOf(ask, live)
    const evaluation = evaluationOf(ask, shown)
    const id = newExchangeId()
    if (live !== null) this.#attempt(ask, attemptOf(ask, live, place, { id, evaluation }))
    const inquiry: Inquiry = { id, policy: this.#room.mirror.policy, place, evaluation, live, claims, vouchedUntil: vouchedUntil(verified?.knownUntil ?? null, this.#room.keeper.clock.now()), external: hearingOf(place), risk: ask.risk }
    ask.external = inquiry.external
    if (live !== null) this.#drifts.observe(inquiry, live)
    if (!passesRates(this.#room, ask, place, live)) return this.#refuse(ask, 'rate_limited')
    const relay = (ask.carrier ?? this.#forwarder).relayOf(ask, place)
    if (typeof relay === 'string') return this.#refuse(ask, relay)
    this.#admit(ask, inquiry, relay, null)
  }

  /** Which rule has it shows in its message. */
  #read(ask: Ask, live: LiveSession | null, place: Place, mcp: McpRoute): void {
    if (!passesRates(this.#room, ask, place, live)) return this.#tried(ask, live).#refuse(ask, 'rate_limited')
    void this.#forwarder.mcp.read(ask, mcp).then(unread => unread ?? this.#forwarder.eliciting.returning(ask)).then(fault => {
      if (fault !== null) return this.#unread(ask, live, mcp, fault)
      if (ask.place !== null) ask.place = placeOf(ask.place.route, actionOf(ask), ask.target)
      this.#judge(ask, live)
    }).catch(error => this.#failed(ask, error))
  }

  #unread(ask: Ask, live: LiveSession | null, mcp: McpRoute, fault: MessageFault): void {
    this.#tried(ask, live).#refuser.malformed(ask, mcp, fault)
  }

  /** What nobody could read, or did, was tried all the same. */
  #tried(ask: Ask, live: LiveSession | null): this {
    if (live !== null && ask.place !== null) this.#attempt(ask, attemptOf(ask, live, ask.place, { id: newExchangeId(), evaluation: evaluationOf(ask, shownPlainly(NO_PURPOSES)) }))
    return this
  }

  /** Counted once, however often it is placed. */
  #attempt(ask: Ask, attempt: Attempt): void {
    if (ask.attempt === null) ask.risk = this.#room.risk.attempted(attempt)
    ask.attempt = attempt
  }

  /** Asks for admission; what has to be awaited first is awaited, and admission is asked for again, at most a few times. */
  #admit(ask: Ask, inquiry: Inquiry, relay: Relay, gathered: Gathering | null, round = 0): void {
    const { steps, admission, world } = this.#room
    const { answer: back } = ask.arrival
    if (back.gone || back.ended) return this.#abandon(gathered, 'caller_closed') // the caller went away, or broke its body, while something was awaited
    if (ask.world !== world) { // a reload came meanwhile: it is placed anew
      this.#abandon(gathered, 'stale')
      return this.#route(ask)
    }
    const answer = round < ROUNDS ? admission.admit(inquiry, relay, gathered) : refuse('stale')
    if (answer === null) {
      if (inquiry.live !== null && ask.verified !== null) this.#steppingUp.noticed(ask, inquiry.live, ask.verified)
      return this.#forwarder.admitted(ask, relay)
    }
    if ('effect' in answer) {
      this.#abandon(gathered, answer.reason)
      if (answer.reason === 'binding_broken' && inquiry.live !== null) ask.drift = this.#drifts.refused(inquiry, inquiry.live)
      return answer.reason === 'stale' ? this.#hold(ask) : this.#refuseUnlessBehind(ask, inquiry, answer)
    }
    void gather(steps, answer, GATHER_FOR).then(failure => {
      if (failure === null || back.gone || back.ended) return this.#admit(ask, inquiry, relay, answer, round + 1)
      this.#abandon(answer, failure)
      this.#turnAway(ask, inquiry, refuse(failure))
    }).catch(error => this.#failed(ask, error))
  }

  /** Nothing proves that what it is judged by is fresh: it waits for that, its body unread, and is placed anew. */
  #hold(ask: Ask): void {
    const { answer } = ask.arrival
    ask.sampledAt = 0
    void this.#room.hold.wait(answer).then(fresh => {
      if (answer.gone || answer.ended) return
      if (fresh) this.#route(ask)
      else this.#refuse(ask, 'stale')
    }).catch(error => this.#failed(ask, error))
  }

  /** What it was given may have been announced and not heard here yet: the store is asked once before, and rarely for one session. */
  #refuseUnlessBehind(ask: Ask, inquiry: Inquiry, refusal: Refusal): void {
    const { mirror, keeper } = this.#room
    const elapsed = keeper.clock.elapsed()
    if (ask.live === null || ask.asked || !TURNED_BY_NEWS.has(refusal.reason) || !mirror.mayBeBehind(ask.live, elapsed)) return this.#turnAway(ask, inquiry, refusal)
    ask.asked = true
    void mirror.refresh(ask.live, elapsed).then(moved => (moved ? this.#route(ask) : this.#turnAway(ask, inquiry, refusal)), () => this.#turnAway(ask, inquiry, refusal)).catch(error => this.#failed(ask, error))
  }

  /** What may turn it is asked for first, or was shown just now. */
  #turnAway(ask: Ask, inquiry: Inquiry, refusal: Refusal): void {
    const { verified } = ask
    const eliciting = this.#forwarder.eliciting.refused(ask, refusal)
    if (eliciting !== null) return void eliciting.then(again => (again ? this.#route(ask) : this.#refuser.refuse(ask, refusal))).catch(error => this.#failed(ask, error))
    if (refusal.reason !== 'step_up_required' || inquiry.live === null || verified === null) return this.#refuser.refuse(ask, refusal)
    void this.#steppingUp.refused(ask, inquiry, inquiry.live, verified).then(outcome => (outcome === 'again' ? this.#route(ask) : this.#refuser.refuse(ask, outcome))).catch(error => this.#failed(ask, error))
  }

  /** What was done for a request that is not admitted now is taken back. */
  #abandon(gathered: Gathering | null, reason: Reason): void {
    if (gathered !== null) abandon(this.#room.steps, gathered, reason)
  }

  // ---- refusals

  #malformed({ arrival, head }: Ask, detail: string): void { this.#refuser.early(arrival, head.contentLength, 'bad_request', detail) }

  #refuse(ask: Ask, reason: Reason): void { this.#refuser.refuse(ask, refuse(reason)) }

  #failed(ask: Ask, error: unknown): void {
    if (error instanceof StoreFault && !this.#room.hold.fresh) this.#hold(ask)
    else this.#refuse(ask, this.#refuser.faultOf(error))
  }
}

/** Refusals that an elevation, a widening, a resumption or an answer turns. */
const TURNED_BY_NEWS: ReadonlySet<Reason> = new Set<Reason>(['elevation_required', 'narrowed', 'frozen', 'time_up', 'step_up_required'])
const isReserved = (path: string): boolean => path.startsWith(RESERVED) || path === RESERVED.slice(0, -1)
