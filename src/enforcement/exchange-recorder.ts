// Exchanges as the trail, the metrics and the event streams tell them. SPEC: AUD2, AUD3, ADM8
import { noted, provedBy, queryDigest } from '../audit/record.ts'
import type { Recording } from '../audit/recording.ts'
import type { Trail } from '../audit/trail.ts'
import { type Grant, grantName } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Metrics } from '../runtime/metrics.ts'
import { AdmissionTexts, calledOf, type CredentialOf, externalOf, labelOf, whoOf } from './admission-text.ts'
import type { Exchange, Inquiry } from './exchange.ts'
import type { Hub } from './hub.ts'
import type { Ended } from './reassess.ts'
import type { Recorder } from './recorder.ts'

/** Ends that come from a peer or the wire rather than from a lost right. */
export const WIRE: ReadonlySet<Reason> = new Set<Reason>([
  'caller_closed', 'upstream_reset', 'upstream_malformed', 'upstream_timeout', 'upstream_unavailable', 'upstream_busy', 'request_timeout', 'body_too_large', 'frozen_peer_closed', 'protocol_error',
])

export class ExchangeRecorder implements Recorder {
  readonly #trail: Trail
  readonly #recording: Pick<Recording, 'tape'>
  readonly #metrics: Metrics
  readonly #clock: Clock
  readonly #hub: Hub
  readonly #texts: AdmissionTexts
  /** Hears of each exchange that has ended, and whether whole. */
  onClosed: (exchange: Exchange, complete: boolean) => void = () => {}

  constructor(trail: Trail, recording: Pick<Recording, 'tape'>, metrics: Metrics, clock: Clock, hub: Hub, credentialOf: CredentialOf) {
    this.#texts = new AdmissionTexts(credentialOf)
    this.#trail = trail
    this.#recording = recording
    this.#metrics = metrics
    this.#clock = clock
    this.#hub = hub
  }

  opened(exchange: Exchange): void {
    this.#record(exchange)
    this.#trail.opened(this.#texts.of(exchange), exchange.permit.grant.is === 'elevation')
  }

  /** @throws AuditWriteFailed where it has to be recorded and cannot be */
  #record(exchange: Exchange): void {
    const { permit: { grant }, place: { rule }, id, live, tape } = exchange
    const isRecorded = rule?.record === 'bodies' || (grant.is === 'elevation' && grant.elevation.recording)
    if (isRecorded && tape === null) exchange.tape = this.#recording.tape(id, live?.record.id ?? null, grantName(grant))
  }

  flush(): void {
    this.#trail.flushNow()
  }

  async intended(inquiry: Inquiry, grant: Grant, until: Instant): Promise<void> {
    const { id, live, risk, place: { route, rule }, evaluation: { resource: { host, path, query }, action: { method }, context: { source, workload, purposes, body }, evidence } } = inquiry
    this.#trail.intended({
      exchange: id, ...whoOf(live, evidence), source, proved: provedBy(evidence?.keyThumbprint ?? null, workload, evidence?.device ?? null), route: route.name, rule: rule?.name ?? '', ...labelOf(rule), method, host, path, queryDigest: queryDigest(query), bodyDigest: body?.digest ?? null, grant: grantName(grant),
      elevation: grant.is === 'elevation' ? { id: grant.elevation.id, profile: grant.elevation.profile, schedules: grant.schedules } : null, purposes, until, upstream: route.upstream, would: null, risk: live === null ? null : noted(risk), ...calledOf(inquiry), ...externalOf(inquiry),
    })
    await this.#trail.sync()
  }

  notDispatched({ id, live }: Pick<Inquiry, 'id' | 'live'>, reason: Reason): void {
    this.#trail.notDispatched({ exchange: id, session: live?.record.id ?? null, reason })
  }

  completed(exchange: Exchange, status: number): void {
    const now = this.#clock.now()
    this.#closed(exchange, now, status, null)
    this.onClosed(exchange, true)
    if (exchange.kind !== 'task') this.#metrics.requestDuration.of(exchange.place.route.name).observe((now - exchange.openedAt) / 1000)
  }

  /** What is recorded stays so; what has to be from now on begins. @throws AuditWriteFailed likewise */
  regranted(exchange: Exchange): void {
    this.#record(exchange)
    this.#judged('regranted', exchange, null, null, null)
  }

  resumed(exchange: Exchange): void { this.#judged('resumed', exchange, null, null, null) }

  finishing(exchange: Exchange, reason: Reason): void { this.#judged('finishing', exchange, reason, 'time', null) }

  frozen(exchange: Exchange, reason: Reason): void {
    this.#metrics.exchangesFrozen.inc({ route: exchange.place.route.name })
    this.#judged('frozen', exchange, reason, null, null)
  }

  cut({ exchange, reason, because, changedAt, endedAt }: Ended): void {
    const { place, kind } = exchange
    const latency = changedAt === null ? null : Math.max(0, endedAt - changedAt)
    if (exchange.channel.status !== 0) this.#metrics.limited(reason) // before the answer it is a refusal, and counted there
    if (WIRE.has(reason)) {
      if (reason.startsWith('upstream_')) this.#metrics.upstreamErrors.inc({ upstream: place.route.upstream, reason })
    } else {
      this.#metrics.exchangesCut.inc({ route: place.route.name, kind, reason })
      if (latency !== null) this.#metrics.revocationLatency.observe({ source: because.startsWith('sig_') ? 'signal' : 'other', action: reason }, latency / 1000)
      this.#judged('cut', exchange, reason, because, latency)
    }
    this.#closed(exchange, endedAt, exchange.channel.status === 0 ? null : exchange.channel.status, reason)
    this.onClosed(exchange, false)
  }

  #closed({ id, live, permit, bytesUp, bytesDown, counted, digests, tape, openedAt }: Exchange, endedAt: Instant, status: number | null, reason: Reason | null): void {
    this.#trail.closed({ exchange: id, session: live?.record.id ?? null, grant: grantName(permit.grant), status, bytesUp, bytesDown, requestDigest: digests?.up.text ?? null, answerDigest: digests?.down.text ?? null, counted, recording: tape?.close() ?? null, ms: endedAt - openedAt, reason, complete: reason === null })
  }

  #judged(what: 'cut' | 'frozen' | 'resumed' | 'regranted' | 'finishing', { id, live, permit, place }: Exchange, reason: Reason | null, because: string | null, latencyMs: number | null): void {
    const session = live?.record.id ?? null
    const grant = grantName(permit.grant)
    this.#trail.judged(what, { exchange: id, session, grant, reason, because, latencyMs })
    this.#hub.tell({ is: 'exchange', what, exchange: id, session, route: place.route.name, grant, reason, because, at: this.#clock.now() })
  }
}
