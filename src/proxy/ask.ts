// A request on its way through the steps, each filling in what it found; afterwards its relay's owner. SPEC: WIRE9
import { calledBy } from '../audit/called.ts'
import { NOBODY, noted, provedBy, type Refused } from '../audit/record.ts'
import { SHOWS_TOKENS } from '../config/compile/credential.ts'
import type { Drift } from '../core/binding.ts'
import { chainOf, identityOf } from '../core/principal.ts'
import { NO_PURPOSES, type Purposes } from '../core/purpose.ts'
import type { Grant } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Inspected, Target } from '../core/evaluation.ts'
import { NOT_RISKED, type Risked } from '../core/risk.ts'
import type { Place } from '../core/route.ts'
import type { StepUp } from '../core/step-up.ts'
import type { Instant } from '../core/time.ts'
import type { Relay } from '../enforcement/admit.ts'
import type { Held } from '../enforcement/brokered/held.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { Hearing } from '../enforcement/external/hearing.ts'
import type { Short } from '../enforcement/rates.ts'
import { type CertificateRead, timely } from '../identity/certificate/client-certificate.ts'
import { CERTIFICATE_HEADERS, type ForwardedForm, forwardedCertificate } from '../identity/certificate/trust.ts'
import type { CredentialFault, Verified } from '../identity/credential.ts'
import type { Circumstances } from '../identity/possession.ts'
import type { PurposeFault } from '../identity/signed-purpose.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { Attempt } from '../signals/risk/watch.ts'
import type { Settled } from './describe/signed-purposes.ts'
import { schemeOf, type Source } from './describe/source.ts'
import { type BodyHolder, NO_BODY, type ReadBody } from './http/inspection.ts'
import { isTooEarly } from './http/early-data.ts'
import type { Head } from './http/head.ts'
import { trailersUp } from './http/outgoing.ts'
import { type Passing, type ResponseHead, responseHead, withoutSecret } from './http/response-head.ts'
import type { Arrival } from './arrival.ts'
import type { Departing } from './departures.ts'
import type { AnswerHead } from '../upstream/handler.ts'
import type { RelayOwner } from './http/relay-owner.ts'
import type { Returned } from './mcp/asking/eliciting.ts'
import type { Message } from './mcp/message.ts'
import type { Opened } from './mcp/lasting/opened.ts'
import type { WebSocketOwner } from './websocket/relay.ts'
import type { World } from './room.ts'
import { isListed, plainAddress } from './trusted.ts'

/** A relay, as far as its request asks. */
export type Carried = { readonly exchange: Exchange | null; readonly status: number }
/** One that writes a head. */
export type Headed = Carried & { /** Path and query, as they are written. */ readonly path: string }

/** What an upstream is shown in a header, for the gateway or for its caller. */
export type Injected = { readonly header: string; readonly value: string }

/** What is done for the requests that were let go. */
export interface AskOwner {
  passing(ask: Ask): Passing
  vouch(ask: Ask, relay: Carried): string | null
  outgoing(ask: Ask, relay: Headed): readonly string[]
  injected(ask: Ask, relay: Carried): Injected | null
  doubt(exchange: Exchange): void
  end(exchange: Exchange, reason: Reason): void
  refuse(ask: Ask, reason: Reason): void
  headSent(exchange: Exchange): void
  leaving(departing: Departing): void
  completed(ask: Ask, relay: Carried): void
}

/** Takes requests that are let go over, in place of their upstream; then nothing of them is answered by the gateway itself. */
export interface Carrier {
  /** @returns why it cannot */
  relayOf(ask: Ask, place: Place): Relay | Reason
}

const NO_HEADERS: ReadonlySet<string> = new Set()

/** Every line of a header, by its lower-case name. */
const linesOf = (headers: readonly string[], name: string): readonly string[] => headers.filter((_, i) => i % 2 === 1 && (headers[i - 1] ?? '').length === name.length && (headers[i - 1] ?? '').toLowerCase() === name)

/** In `Authorization`, by whichever scheme: one line, or none that counts. */
const tokenIn = ([line = '', another]: readonly string[]): string | null => (another === undefined ? (/^(?:bearer|dpop) +([\w.~+/-]+=*) *$/i.exec(line)?.[1] ?? null) : null)

export class Ask implements RelayOwner, WebSocketOwner, Circumstances, BodyHolder {
  readonly arrival: Arrival
  /** The configuration it was placed under. */
  world: World
  readonly head: Head
  readonly target: Target
  readonly source: Source
  encodedSlash = false
  /** Its listener also answers with our keys. */
  keys = false
  /** null where it goes to its upstream. */
  carrier: Carrier | null = null
  place: Place | null = null
  verified: Verified | null = null
  live: LiveSession | null = null
  purposes: Purposes = NO_PURPOSES
  /** The signed word on its standing, as it was admitted with it; null before, and on an anonymous rule. */
  context: string | null = null
  /** The Txn-Token that goes with it; null where its upstream takes none. */
  transaction: string | null = null
  /** What it went upstream with, where that was obtained for its grant; null before, and elsewhere. */
  credential: Held | null = null
  /** What of that, or of the credential in a file, no field of its answer tells; null before, and where nothing was shown. */
  secret: string | null = null
  /** `performance.now()` at its arrival when this request is timed, else 0. */
  sampledAt = 0
  forwardedCertificates: ForwardedForm | null = null
  acceptedFor: string | null = null
  nonceAt: Instant | null = null
  /** What was wrong with the credential it showed. */
  credentialFault: CredentialFault | null = null
  /** What was wrong with a purpose it shows signed. */
  purposeFault: PurposeFault | null = null
  /** What had to be awaited to read those; null before. */
  settled: Settled | null = null
  /** What it shows that its session is not bound to. */
  drift: Drift | null = null
  /** Its principal's score before and after it, for the record. */
  risk: Risked = NOT_RISKED
  /** As its principal's conduct; null until it is counted. */
  attempt: Attempt | null = null
  /** It was taken from the rates of its place, or of its route; and that which has nothing left for it. */
  rated: 'not' | 'route' | 'all' = 'not'
  short: Short | null = null
  /** What it has to be stepped up for, and that what it shows was told as an answer to that. */
  stepUp: StepUp | null = null
  /** What was said of it outside; null where its rule asks nobody. */
  external: Hearing | null = null
  showed = false
  readBody: ReadBody | null = null
  /** On a route of MCP; null before it was read, and elsewhere. */
  message: Message | null = null
  /** What its headers become on their way upstream, names and values in turn, before they are signed; null leaves them. */
  headersUp: ((headers: readonly string[]) => readonly string[]) | null = null
  /** What the handles in that stand for; null likewise. */
  opened: Opened | null = null
  /** By what way a call came back that somebody was asked about; null where it is no such call. */
  returned: Returned | null = null
  /** What it is answered with in place of a refusal: a question for whoever uses its client. */
  elicited: object | null = null
  /** One more sentence for its refusal. */
  detail: string | null = null
  /** The store was asked whether there is news. */
  asked = false
  readonly #owner: AskOwner
  #passing: Passing | null = null
  #certificate: CertificateRead | null = null
  /** The configuration under which its certificate was read, for that says which proxies are believed; null before. */
  #readUnder: World | null = null

  constructor(arrival: Arrival, world: World, head: Head, target: Target, source: Source, owner: AskOwner) {
    this.arrival = arrival
    this.world = world
    this.head = head
    this.target = target
    this.source = source
    this.#owner = owner
  }

  /** What a refusal says of this request. */
  refused(evaluation: string, reason: Reason): Refused {
    const { verified, live, place, arrival: { method }, target: { host, path, query }, source: { address: source }, purposes, drift } = this
    const fault = this.credentialFault ?? this.purposeFault
    const proved = verified === null ? null : provedBy(verified.evidence.keyThumbprint, this.workload, verified.evidence.device)
    const known = verified === null ? NOBODY : { subject: identityOf(verified.principal), actors: chainOf(verified.principal), tenant: verified.principal.tenant, credential: verified.evidence.credential }
    return { ...NOBODY, ...known, evaluation, session: live?.record.id ?? null, source, proved, fault, drift, route: place?.route.name ?? null, rule: place?.rule?.name ?? null, method, host, path, query, bodyDigest: this.readBody?.inspected.digest ?? null, reason, purposes, risk: live === null ? null : noted(this.risk), ...(this.external?.last == null ? {} : { external: this.external.last.noted }), ...(this.message === null || place?.route.mcp == null ? {} : { mcp: calledBy(this.message.call, place.route.mcp) }) }
  }

  get body(): Inspected | null { return this.readBody?.inspected ?? (this.head.contentLength === 0 ? NO_BODY : null) }
  get method(): string { return this.arrival.connects === null ? this.arrival.method : 'GET' }
  /** Scheme and authority as the caller sees them. */
  get origin(): string { return `${schemeOf(this.arrival, this.world.settings.trustedProxies)}://${this.head.authority}` }
  get uri(): string { return this.origin + this.target.path }
  get proofs(): readonly string[] { return linesOf(this.arrival.headers, 'dpop') }

  get clientCertificate(): CertificateRead | null {
    if (this.#readUnder !== this.world) {
      this.#certificate = this.#shownCertificate()
      this.#readUnder = this.world
    }
    return this.#certificate
  }

  #shownCertificate(): CertificateRead | null {
    const { arrival: { certificate, headers, at, peer }, forwardedCertificates: form, world: { settings: { trustedProxies } } } = this
    if (form === null || !isListed(trustedProxies, plainAddress(peer))) return certificate
    return forwardedCertificate(CERTIFICATE_HEADERS.flatMap(header => linesOf(headers, header).map(value => ({ header, value }))), true, form, at) // a proxy's own certificate is not its caller's
  }

  /** What runs the caller: as its credential says, else as the certificate of its connection does. */
  get workload(): string | null {
    const { verified } = this
    if (verified === null) return null
    if (verified.workload !== null) return verified.workload
    const shown = this.clientCertificate
    if (shown === null) return null
    const read = timely(shown, this.arrival.at)
    return read.is === 'refused' ? null : (read.certificate.spiffe?.text ?? null)
  }

  /** By the certificate of its connection alone, in force or not: nobody outlives a lock by it. */
  get certified(): string | null {
    const shown = this.clientCertificate
    return shown === null || shown.is === 'refused' ? null : (shown.certificate.spiffe?.text ?? null)
  }

  get sourceAddress(): string { return this.source.address }
  get passing(): Passing { return (this.#passing ??= this.#owner.passing(this)) }
  isTooEarly(grant: Grant): boolean { return isTooEarly(this.head.earlyData, this.arrival.method, grant.is === 'elevation') }

  trailersUp(): readonly string[] {
    const { trailers } = this.arrival
    return trailers.length === 0 ? trailers : trailersUp(trailers, this.kept)
  }

  /** Names that stay here beyond those that always do: API keys, purposes, what is injected. */
  get kept(): ReadonlySet<string> { return (this.place === null ? undefined : this.world.keptHeaders.get(this.place.route)) ?? NO_HEADERS }

  /** The signed word on its standing, null for nobody's; a session's request that has none is ended. Asked when it goes. */
  vouched(relay: Carried): string | null { return this.#owner.vouch(this, relay) }
  outgoing(relay: Headed): readonly string[] { return this.#owner.outgoing(this, relay) }
  /** What its upstream is shown beside that; where there is none of what has to be obtained, the exchange is ended. */
  injected(relay: Carried): Injected | null { return this.#owner.injected(this, relay) }

  responseHead(_relay: Carried, head: AnswerHead): ResponseHead | null {
    const made = responseHead(head, this.passing)
    return made === null || this.secret === null ? made : { ...made, text: made.text.includes(this.secret) ? '' : made.text, headers: this.told(made.headers) }
  }

  /** Fields of its upstream's, but for those that tell what that was shown. */
  told<F extends readonly string[]>(fields: F): F | string[] { return this.secret === null ? fields : withoutSecret(fields, this.secret) }

  /** The token that its caller showed and is known by; that of a session of ours never leaves. */
  bearer(): string | null {
    const { verified, arrival: { headers }, world: { settings: { providers } } } = this
    const provider = verified === null ? undefined : providers.get(verified.provider)
    return provider !== undefined && SHOWS_TOKENS.some(is => is === provider.is) ? tokenIn(linesOf(headers, 'authorization')) : null
  }

  doubt(exchange: Exchange): void { this.#owner.doubt(exchange) }
  end(exchange: Exchange, reason: Reason): void { this.#owner.end(exchange, reason) }
  refuse(_relay: Carried, reason: Reason): void { this.#owner.refuse(this, reason) }

  headSent({ exchange }: Carried): void {
    if (exchange !== null) this.#owner.headSent(exchange)
  }

  leaving(departing: Departing): void { this.#owner.leaving(departing) }

  completed(relay: Carried): void { this.#owner.completed(this, relay) }
}
