// Exchanges as the trail, the metrics and the event streams tell them. SPEC: AUD2, AUD3, ADM8
import { provedBy, queryDigest } from '../audit/record.ts'
import type { Trail } from '../audit/trail.ts'
import { type Grant, grantName } from '../core/decision.ts'
import type { Reason } from '../core/reason.ts'
import type { Instant } from '../core/time.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Metrics } from '../runtime/metrics.ts'
import { AdmissionTexts, whoOf } from './admission-text.ts'
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
  readonly #metrics: Metrics
  readonly #clock: Clock
  readonly #hub: Hub
  readonly #texts = new AdmissionTexts()

  constructor(trail: Trail, metrics: Metrics, clock: Clock, hub: Hub) {
    this.#trail = trail
    this.#metrics = metrics
    this.#clock = clock
    this.#hub = hub
  }

  opened(exchange: Exchange): void {
    this.#trail.opened(this.#texts.of(exchange), exchange.permit.grant.is === 'elevation')
  }

  flush(): void {
    this.#trail.flushNow()
  }

  async intended(inquiry: Inquiry, grant: Grant, until: Instant): Promise<void> {
    const { id, live, place: { route, rule }, evaluation: { resource: { host, path, query }, action: { method }, context: { source, workload, purposes }, evidence } } = inquiry
    this.#trail.intended({
      exchange: id, ...whoOf(live, evidence), source, proved: provedBy(evidence?.keyThumbprint ?? null, workload, evidence?.device ?? null), route: route.name, rule: rule?.name ?? '', method, host, path, queryDigest: queryDigest(query), grant: grantName(grant),
      elevation: grant.is === 'elevation' ? { id: grant.elevation.id, profile: grant.elevation.profile } : null, purposes, until, upstream: route.upstream, would: null,
    })
    await this.#trail.sync()
  }

  notDispatched({ id, live }: Pick<Inquiry, 'id' | 'live'>, reason: Reason): void {
    this.#trail.notDispatched({ exchange: id, session: live?.record.id ?? null, reason })
  }

  completed(exchange: Exchange, status: number): void {
    const now = this.#clock.now()
    this.#closed(exchange, now, status, null)
    this.#metrics.requestDuration.of(exchange.place.route.name).observe((now - exchange.openedAt) / 1000)
  }

  regranted(exchange: Exchange): void { this.#judged('regranted', exchange, null, null, null) }
  resumed(exchange: Exchange): void { this.#judged('resumed', exchange, null, null, null) }

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
  }

  #closed({ id, live, permit, bytesUp, bytesDown, openedAt }: Exchange, endedAt: Instant, status: number | null, reason: Reason | null): void {
    this.#trail.closed({ exchange: id, session: live?.record.id ?? null, grant: grantName(permit.grant), status, bytesUp, bytesDown, ms: endedAt - openedAt, reason, complete: reason === null })
  }

  #judged(what: 'cut' | 'frozen' | 'resumed' | 'regranted', { id, live, permit, place }: Exchange, reason: Reason | null, because: string | null, latencyMs: number | null): void {
    const session = live?.record.id ?? null
    const grant = grantName(permit.grant)
    this.#trail.judged(what, { exchange: id, session, grant, reason, because, latencyMs })
    this.#hub.tell({ is: 'exchange', what, exchange: id, session, route: place.route.name, grant, reason, because, at: this.#clock.now() })
  }
}
