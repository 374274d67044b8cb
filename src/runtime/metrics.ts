// Every metric with its closed label set, in one place. Labels never name a session, subject, ticket or path. SPEC: ADM8
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Reason } from '../core/reason.ts'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const MICROSECONDS = [0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.0001, 0.001]
const LIMITS: ReadonlyMap<Reason, string> = new Map([['body_too_large', 'body_bytes'], ['headers_too_large', 'header_bytes']])

/** One value with its labels, as counted at a scrape. */
export type Row<L extends string> = { readonly labels: Readonly<Record<L, string>>; readonly value: number }

/** What is counted where it lives, asked at each scrape. */
export type Gauges = {
  readonly sessions: () => readonly Row<'kind' | 'state'>[]
  readonly elevations: () => readonly Row<'profile'>[]
  readonly exchanges: () => readonly Row<'route' | 'kind'>[]
  readonly upstreams: () => readonly Row<'upstream'>[]
  readonly approvalsPending: () => number
  readonly mirrored: () => number
  readonly locks: () => number
  readonly viewAge: () => number
  readonly owed: () => number
  readonly records: () => readonly Row<'lane'>[]
  readonly trailFailures: () => number
  readonly trailDropped: () => number
  readonly noiseDropped: () => number
}

export class Metrics {
  readonly registry = new Registry()
  readonly requests = this.#counter('requests_total', 'Requests answered', ['route', 'method', 'code', 'protocol', 'decision', 'reason', 'elevated'])
  readonly requestDuration = this.#histogram('request_duration_seconds', 'From request head to last byte', ['route'], SECONDS)
  readonly decisionDuration = this.#histogram('decision_duration_seconds', 'One evaluation by the judge, sampled', [], MICROSECONDS)
  readonly overhead = this.#histogram('gateway_overhead_seconds', 'From request head to dispatch', ['route'], SECONDS)
  readonly upstreamDuration = this.#histogram('upstream_response_seconds', 'From dispatch to response head', ['upstream'], SECONDS)
  readonly upstreamErrors = this.#counter('upstream_errors_total', 'Upstream failures', ['upstream', 'reason'])
  readonly exchangesCut = this.#counter('exchanges_cut_total', 'Open exchanges ended by the gateway', ['route', 'kind', 'reason'])
  readonly exchangesFrozen = this.#counter('exchanges_frozen_total', 'Open exchanges frozen', ['route'])
  readonly revocationLatency = this.#histogram('revocation_latency_seconds', 'From accepted change to last byte', ['source', 'action'], [0.0005, ...SECONDS])
  readonly signals = this.#counter('signals_received_total', 'News by kind', ['kind', 'outcome'])
  readonly sessionsOpened = this.#counter('sessions_opened_total', 'Lives begun', ['kind'])
  readonly sessionEnds = this.#counter('session_ends_total', 'Lives ended', ['reason'])
  readonly elevationsRequested = this.#counter('elevations_requested_total', 'Elevations asked for', ['profile', 'answer'])
  readonly elevationEnds = this.#counter('elevation_ends_total', 'Elevations ended', ['profile', 'reason'])
  readonly conditionErrors = this.#counter('condition_errors_total', 'Conditions that could not be evaluated', ['route'])
  readonly operatorChanges = this.#counter('operator_changes_total', 'Changes by operators', ['action', 'outcome'])
  readonly breakGlass = this.#counter('break_glass_uses_total', 'Uses of a break-glass token', [])
  readonly configReloads = this.#counter('config_reloads_total', 'Reloads tried', ['outcome'])
  readonly configLoadedAt = this.#gauge('config_last_success_timestamp_seconds', 'When the running configuration was loaded', [])
  readonly configOk = this.#gauge('config_last_reload_success', '1 when the last reload succeeded', [])
  readonly limitReached = this.#counter('limit_reached_total', 'Limits that were met', ['limit'])

  /** A refusal that is a limit is counted as one too. */
  limited(reason: Reason): void {
    const limit = LIMITS.get(reason)
    if (limit !== undefined) this.limitReached.inc({ limit })
  }

  constructor() {
    collectDefaultMetrics({ register: this.registry })
  }

  /** Hands over what is counted elsewhere. Called once. */
  observe(gauges: Gauges): void {
    this.#rows('sessions_active', 'Sessions in memory by kind of principal and state', ['kind', 'state'], gauges.sessions)
    this.#rows('elevations_active', 'Elevations that carry requests now', ['profile'], gauges.elevations)
    this.#rows('exchanges_active', 'Exchanges open', ['route', 'kind'], gauges.exchanges)
    this.#rows('upstream_connections_busy', 'Connections that carry an exchange', ['upstream'], gauges.upstreams)
    this.#read('approvals_pending', 'Elevations that wait for an approver', gauges.approvalsPending)
    this.#read('sessions_mirrored', 'Sessions in memory', gauges.mirrored)
    this.#read('locks_active', 'Standing locks', gauges.locks)
    this.#read('store_view_age_seconds', 'Age of the knowledge behind decisions', gauges.viewAge)
    this.#read('store_owed_signals', 'Ends in force here that the store has not taken yet', gauges.owed)
    this.#totals('audit_records_total', 'Lines of the trail and of the noise lane', ['lane'], gauges.records)
    this.#total('audit_write_failures_total', 'Writes of the trail that failed', gauges.trailFailures)
    this.#total('audit_dropped_total', 'Trail records lost; must stay 0', gauges.trailDropped)
    this.#total('audit_noise_dropped_total', 'Refusals without a session that could not be written', gauges.noiseDropped)
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name: `narrowgate_${name}`, help, labelNames, registers: [this.registry] })
  }

  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[]): Gauge<L> {
    return new Gauge({ name: `narrowgate_${name}`, help, labelNames, registers: [this.registry] })
  }

  #histogram<L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name: `narrowgate_${name}`, help, labelNames, buckets, registers: [this.registry] })
  }

  #rows<L extends string>(name: string, help: string, labelNames: readonly L[], rows: () => readonly Row<L>[]): void {
    new Gauge<L>({
      name: `narrowgate_${name}`, help, labelNames, registers: [this.registry],
      collect() {
        this.reset()
        for (const { labels, value } of rows()) this.labels(...labelNames.map(name => labels[name])).set(value)
      },
    })
  }

  /** Rows that only grow. */
  #totals<L extends string>(name: string, help: string, labelNames: readonly L[], rows: () => readonly Row<L>[]): void {
    new Counter<L>({
      name: `narrowgate_${name}`, help, labelNames, registers: [this.registry],
      collect() {
        this.reset()
        for (const { labels, value } of rows()) this.labels(...labelNames.map(name => labels[name])).inc(value)
      },
    })
  }

  #total(name: string, help: string, value: () => number): void {
    new Counter({
      name: `narrowgate_${name}`, help, registers: [this.registry],
      collect() {
        this.reset()
        this.inc(value())
      },
    })
  }

  #read(name: string, help: string, value: () => number): void {
    new Gauge({ name: `narrowgate_${name}`, help, registers: [this.registry], collect() { this.set(value()) } })
  }
}

type Observed = { observe(value: number): void }
const observers = new WeakMap<object, Map<string, Observed>>()

/** A histogram's child for one label value, kept. */
export function observer<L extends string>(histogram: { labels(labels: Record<L, string>): Observed }, label: L, value: string): Observed {
  let map = observers.get(histogram)
  if (map === undefined) observers.set(histogram, (map = new Map()))
  let child = map.get(value)
  if (child === undefined) map.set(value, (child = histogram.labels({ [label]: value } as Record<L, string>))) // one label, one value
  return child
}
