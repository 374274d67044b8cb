// Every metric with its closed label set, in one place, and how those of several processes become one answer.
// Labels never name a session, subject, ticket or path. SPEC: ADM8
import { AggregatorRegistry, type Aggregator, collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { Reason } from '../core/reason.ts'
import { REQUEST_LABELS, RequestCounts } from './request-counts.ts'
import { Timings } from './timings.ts'

const SECONDS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]
const RATIO = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 1]
const MICROSECONDS = [0.000001, 0.0000025, 0.000005, 0.00001, 0.000025, 0.0001, 0.001]
const LIMITS: ReadonlyMap<Reason, string> = new Map([['body_too_large', 'body_bytes'], ['headers_too_large', 'header_bytes'], ['request_timeout', 'request_time'], ['upstream_busy', 'upstream_connections']])

/** One value with its labels, as counted at a scrape. */
export type Row<L extends string> = { readonly labels: Readonly<Record<L, string>>; readonly value: number }

/** What is counted where it lives, asked at each scrape. */
export type Gauges = {
  readonly sessions: () => readonly Row<'kind' | 'state'>[]
  readonly elevations: () => readonly Row<'profile'>[]
  readonly exchanges: () => readonly Row<'route' | 'kind'>[]
  readonly upstreams: () => readonly Row<'upstream'>[]
  readonly addresses: () => readonly Row<'upstream' | 'state'>[]
  readonly approvalsPending: () => number
  readonly stepUpsPending: () => number
  readonly mirrored: () => number
  readonly locks: () => number
  readonly viewAge: () => number
  readonly owed: () => number
  readonly records: () => readonly Row<'lane'>[]
  readonly trailFailures: () => number
  readonly trailDropped: () => number
  readonly noiseDropped: () => number
}

/** Why knowledge of the store lapsed: no answer in time, the connection went, the store refuses to write, another epoch, or this process stood still. */
export type LapseCause = 'silence' | 'closed' | 'refused' | 'epoch' | 'stall'
/** Why a connection was replaced: it was silent, it closed, the server refuses to write, an answer came too late to be believed, or a faster one won. */
export type ReconnectCause = 'silence' | 'closed' | 'refused' | 'late' | 'hedge'
/** What became of news said again to a store that had lost it: recorded now, known after all, or owed. */
export type Reasserted = 'recorded' | 'known' | 'owed'
/** How an acknowledgement came about: every gateway said so, the leases of the silent ones ran out, or neither in time. */
export type StrictOutcome = 'acked' | 'lease' | 'partial'
/** Why a record was read from the store: not in memory, in doubt after a loss, or before a refusal that news could turn. */
export type ReadThroughReason = 'unknown' | 'doubted' | 'denied'

/** What a store shared by several gateways tells; all times in seconds. The embedded store tells nothing. */
export type StoreMetrics = {
  readonly lapses: Counter<'cause'>
  readonly reconnects: Counter<'cause'>
  readonly reasserted: Counter<'result'>
  readonly readThrough: Counter<'reason'>
  readonly gaps: Counter
  readonly forks: Counter
  readonly dataSetChanges: Counter
  readonly applyLatency: Histogram
  readonly settleDuration: Histogram
  readonly stalls: Histogram
  readonly strict: Histogram<'outcome'>
  /** Hands over what is known at the moment of a scrape. Called once. */
  readonly observe: (gauges: StoreGauges) => void
}

export type StoreGauges = {
  /** Of the shard whose lease ends first; 0 when it has lapsed. */
  readonly leaseRemaining: () => number
  /** How far this machine's clock is from the store's, either way. */
  readonly clockSkew: () => number
  readonly members: () => readonly Row<'state'>[]
}

/** What is known of principals' risk at the moment of a scrape. */
type RiskGauges = { readonly levels: () => readonly Row<'level'>[]; readonly principals: () => number; readonly lag: () => number }

/** What is known of streams at the moment of a scrape. */
type StreamGauges = { readonly statuses: () => readonly Row<'source' | 'status'>[]; readonly silentFor: () => readonly Row<'source'>[] }

/** Metrics as one process tells them to another. */
export type Snapshot = Awaited<ReturnType<Registry['getMetricsAsJSON']>>

/** One set out of many: each metric by its own rule, sums unless it has another. */
const together = (snapshots: readonly Snapshot[]): Registry => AggregatorRegistry.aggregate([...snapshots])

export const textOf = (snapshots: readonly Snapshot[]): Promise<string> => together(snapshots).metrics()

/** What stays true of processes that are gone: everything that only grows. */
export async function lasting(snapshots: readonly Snapshot[]): Promise<Snapshot> {
  const grows = (metric: Snapshot[number]): boolean => (metric.type === 'counter' || metric.type === 'histogram') && (metric.aggregator ?? 'sum') === 'sum'
  return together(snapshots.map(snapshot => snapshot.filter(grows))).getMetricsAsJSON()
}

/** Of the process that keeps workers running and serves nothing itself. */
export class PrimaryMetrics {
  readonly #registry = new Registry()
  readonly exits = new Counter({ name: 'narrowgate_worker_exits_total', help: 'Workers that died', labelNames: ['state'], registers: [this.#registry] })
  readonly exchangesLost = new Counter({ name: 'narrowgate_worker_exchanges_lost_total', help: 'Exchanges that were open in workers when they died, as they last said', registers: [this.#registry] })
  readonly silent = new Counter({ name: 'narrowgate_worker_scrapes_missed_total', help: 'Scrapes to which a worker did not answer in time', registers: [this.#registry] })
  readonly ready = new Gauge({ name: 'narrowgate_workers_ready', help: 'Workers that serve', registers: [this.#registry] })

  snapshot(): Promise<Snapshot> {
    return this.#registry.getMetricsAsJSON()
  }
}

export class Metrics {
  readonly registry = new Registry()
  readonly requests = new RequestCounts()
  readonly requestDuration = this.#timings('request_duration_seconds', 'From request head to last byte', 'route')
  readonly decisionDuration = this.#histogram('decision_duration_seconds', 'One evaluation by the judge, sampled', [], MICROSECONDS)
  readonly overhead = this.#timings('gateway_overhead_seconds', 'From request head to dispatch', 'route')
  readonly upstreamDuration = this.#timings('upstream_response_seconds', 'From dispatch to response head', 'upstream')
  readonly upstreamErrors = this.#counter('upstream_errors_total', 'Upstream failures', ['upstream', 'reason'])
  readonly upstreamEjections = this.#counter('upstream_ejections_total', 'Addresses left out for a while after faults in a row', ['upstream'])
  readonly upstreamRetries = this.#counter('upstream_retries_total', 'Requests sent to another address, or again, because nothing of them was processed', ['upstream', 'on'])
  readonly exchangesCut = this.#counter('exchanges_cut_total', 'Open exchanges ended by the gateway', ['route', 'kind', 'reason'])
  readonly exchangesFrozen = this.#counter('exchanges_frozen_total', 'Open exchanges frozen', ['route'])
  readonly revocationLatency = this.#histogram('revocation_latency_seconds', 'From accepted change to last byte', ['source', 'action'], [0.0005, ...SECONDS])
  readonly signals = this.#counter('signals_received_total', 'News by kind', ['kind', 'outcome'])
  readonly sessionsOpened = this.#counter('sessions_opened_total', 'Lives begun', ['kind'])
  readonly sessionEnds = this.#counter('session_ends_total', 'Lives ended', ['reason'])
  readonly elevationsRequested = this.#counter('elevations_requested_total', 'Elevations asked for', ['profile', 'answer'])
  readonly elevationUsed = this.#histogram('elevation_used_ratio', 'What elevations used of what they were given until their end: of their uses where these are limited, else of their time', ['profile'], RATIO)
  readonly elevationEnds = this.#counter('elevation_ends_total', 'Elevations ended', ['profile', 'reason'])
  readonly conditionErrors = this.#counter('condition_errors_total', 'Conditions that could not be evaluated', ['route'])
  readonly credentialsRefused = this.#counter('credentials_refused_total', 'Requests without a credential that counts, by what was wrong', ['fault'])
  readonly purposesRefused = this.#counter('purposes_refused_total', 'Signed purposes that did not count, or were over, by what was wrong', ['purpose', 'fault'])
  readonly bindingViolations = this.#counter('binding_violations_total', 'Requests that showed something else than their session is bound to', ['binding', 'mode'])
  readonly operatorChanges = this.#counter('operator_changes_total', 'Changes by operators', ['action', 'outcome'])
  readonly operatorsRefused = this.#counter('operators_refused_total', 'Requests to the admin API of somebody who was not let in, or may not do that', ['why'])
  readonly hooks = this.#counter('hooks_received_total', 'Messages sent to webhooks', ['source', 'outcome'])
  readonly decisions = this.#counter('decisions_total', 'Decisions for others, by who asked; `error` where none was given, `search` for a search', ['pep', 'decision', 'reason'])
  readonly setReceived = this.#counter('set_received_total', 'Security event tokens and logout tokens, by what they tell of and what became of them', ['source', 'event', 'outcome'])
  readonly outsideEvents = this.#counter('outside_events_total', 'News from outside: taken, and what became of it', ['source', 'outcome'])
  readonly forwardAuth = this.#counter('forward_auth_total', 'Times another proxy asked about a request', ['proxy', 'outcome'])
  readonly ssfTold = this.#counter('ssf_told_total', 'Events for those who are told of what happens here, and what became of them', ['receiver', 'event', 'outcome'])
  readonly ssfQueue = this.#gauge('ssf_queue_length', 'Events that wait for a receiver', ['receiver'], 'max')
  readonly ticketLooks = this.#counter('ticket_looks_total', 'Times a ticket was asked for', ['source', 'outcome'])
  readonly ticketNotes = this.#counter('ticket_notes_total', 'Notes for tickets', ['source', 'outcome'])
  readonly breakGlass = this.#counter('break_glass_uses_total', 'Uses of a break-glass token', [])
  readonly breakGlassElevations = this.#counter('break_glass_elevations_total', 'Elevations taken in an emergency, without asking', ['profile'])
  readonly breakGlassReviewsMissed = this.#counter('break_glass_reviews_missed_total', 'Emergencies that nobody reviewed in time', ['profile'])
  readonly recordingFailures = this.#counter('recording_failures_total', 'Times that what has to be recorded could not be, which ended it', [])
  readonly stepUps = this.#counter('step_ups_total', 'Step-ups asked for, and what became of them', ['outcome'])
  readonly notifications = this.#counter('notifications_total', 'Notices to people: taken, given up after the last attempt, or dropped unsent', ['kind', 'outcome'])
  readonly externalDecisions = this.#counter('external_decisions_total', 'Questions to policy decision points, and what came of them', ['pdp', 'outcome'])
  readonly externalDuration = this.#timings('external_decision_seconds', 'From a question to a policy decision point to its answer, or to none', 'pdp')
  readonly ssfPolls = this.#counter('ssf_polls_total', 'Polls of streams: with tokens, empty, failed, or with tokens that the store did not take', ['source', 'outcome'])
  readonly ssfFaults = this.#counter('ssf_stream_faults_total', 'What went wrong with streams, by what it was', ['source', 'fault'])
  readonly riskHits = this.#counter('risk_rule_hits_total', 'Times a risk rule added points', ['rule'])
  readonly riskErrors = this.#counter('risk_rule_errors_total', 'Times a risk rule could not be evaluated, and added nothing', ['rule'])
  readonly riskShareFailures = this.#counter('risk_share_failures_total', 'Times conduct could not be shared, or a level not be told', [])
  readonly riskBadParts = this.#counter('risk_bad_parts_total', 'Conduct as others told it that could not be read', [])
  readonly riskLocksWithheld = this.#counter('risk_locks_withheld_total', 'Automatic locks that would have reached too many sessions, and were not set', [])
  readonly configReloads = this.#counter('config_reloads_total', 'Reloads tried', ['outcome'])
  readonly configLoadedAt = this.#gauge('config_last_success_timestamp_seconds', 'When the running configuration was loaded', [], 'min')
  readonly configOk = this.#gauge('config_last_reload_success', '1 when the last reload succeeded', [], 'min')
  readonly secretFileErrors = this.#counter('secret_file_errors_total', 'Times the file of a credential for an upstream could not be read again, and what was read last counted', ['upstream'])
  readonly brokeredCredentials = this.#counter('brokered_credentials_total', 'Credentials for upstreams: obtained, or not and why not', ['upstream', 'outcome'])
  readonly credentialRevocations = this.#counter('credential_revocations_total', 'What became of credentials for upstreams whose elevation or session is over', ['upstream', 'outcome'])
  readonly credentialRevocationsPending = this.#gauge('credential_revocations_pending', 'Credentials for upstreams that are over and not confirmed to be taken back', [], 'sum')
  readonly toolChanges = this.#counter('tool_changes_total', 'Definitions of tools that were not the accepted one any more', ['route'])
  readonly mcpErrands = this.#counter('mcp_errands_total', 'What the gateway itself told MCP servers, that calls and tasks are cancelled, and what became of it', ['upstream', 'outcome'])
  readonly mcpDropped = this.#counter('mcp_dropped_total', 'What MCP servers sent and callers did not get: entries of lists that have no name to be called by, name another one again, name a tool of the gateway or changed, and messages on streams', ['route', 'what'])
  readonly rateLimited = this.#counter('rate_limited_total', 'Requests refused by a rate of their route or rule', ['route'])
  readonly limitReached = this.#counter('limit_reached_total', 'Limits that were met', ['limit'])
  readonly store: StoreMetrics = {
    lapses: this.#counter('store_lapses_total', 'Times at which nothing could be decided for lack of fresh knowledge', ['cause']),
    reconnects: this.#counter('store_reconnects_total', 'Connections to the store that were replaced', ['cause']),
    reasserted: this.#counter('store_reasserted_total', 'Ends said again to a store that had lost them', ['result']),
    readThrough: this.#counter('store_read_through_total', 'Records read from the store', ['reason']),
    gaps: this.#counter('store_gaps_total', 'Announcements that were missed and fetched', []),
    forks: this.#counter('store_forks_total', 'Times the store had another history than the one known here', []),
    dataSetChanges: this.#counter('store_data_set_changes_total', 'Times the store was another data set altogether: everything was lost', []),
    applyLatency: this.#histogram('store_apply_latency_seconds', 'From a commit in the store to its enforcement here', [], SECONDS),
    settleDuration: this.#histogram('store_epoch_settle_seconds', 'From a new epoch to the first decision under it', [], SECONDS),
    stalls: this.#histogram('store_stall_seconds', 'Times this process stood still and lost fresh knowledge by it', [], SECONDS),
    strict: this.#histogram('store_strict_seconds', 'From a commit to its acknowledgement by every gateway', ['outcome'], SECONDS),
    observe: gauges => this.#observeStore(gauges),
  }
  #gather: (() => Promise<string>) | null = null

  get contentType(): string {
    return this.registry.contentType
  }

  /** The answer to a scrape. */
  text(): Promise<string> {
    return this.#gather === null ? this.registry.metrics() : this.#gather()
  }

  snapshot(): Promise<Snapshot> {
    return this.registry.getMetricsAsJSON()
  }

  /** From now on scrapes are answered by whoever knows of the other processes. */
  gatheredBy(gather: () => Promise<string>): void {
    this.#gather = gather
  }

  /** Called once. */
  observeRisk({ levels, principals, lag }: RiskGauges): void {
    this.#rows('risk_levels', 'Principals in memory that stand at a level', ['level'], levels)
    this.#read('risk_principals', 'Principals whose conduct is in memory', principals)
    this.#read('risk_share_lag_seconds', 'How long the oldest conduct that was not shared yet waits', lag, 'max')
  }

  /** Called once. */
  observeStreams({ statuses, silentFor }: StreamGauges): void {
    this.#rows('ssf_streams', 'Streams of those who tell of changes in trust, by what is known of them', ['source', 'status'], statuses, 'max')
    this.#rows('ssf_stream_last_heard_seconds', 'For how long a stream was not heard of', ['source'], silentFor, 'min')
  }

  /** A refusal that is a limit is counted as one too. */
  limited(reason: Reason): void {
    const limit = LIMITS.get(reason)
    if (limit !== undefined) this.limitReached.inc({ limit })
  }

  constructor() {
    collectDefaultMetrics({ register: this.registry })
    this.#totals('requests_total', 'Requests answered', REQUEST_LABELS, () => this.requests.rows())
  }

  /** Hands over what is counted elsewhere. Called once. */
  observe(gauges: Gauges): void {
    this.#rows('sessions_active', 'Sessions in memory by kind of principal and state', ['kind', 'state'], gauges.sessions)
    this.#rows('elevations_active', 'Elevations that carry requests now', ['profile'], gauges.elevations)
    this.#rows('exchanges_active', 'Exchanges open', ['route', 'kind'], gauges.exchanges)
    this.#rows('upstream_addresses', 'Addresses that take requests, and those left out for now', ['upstream', 'state'], gauges.addresses)
    this.#rows('upstream_connections_busy', 'Connections that carry an exchange', ['upstream'], gauges.upstreams)
    this.#read('approvals_pending', 'Elevations that wait for an approver', gauges.approvalsPending)
    this.#read('step_ups_pending', 'Step-ups that wait for an answer', gauges.stepUpsPending)
    this.#read('sessions_mirrored', 'Sessions in memory', gauges.mirrored)
    this.#read('locks_active', 'Standing locks', gauges.locks, 'max')
    this.#read('store_view_age_seconds', 'Age of the knowledge behind decisions', gauges.viewAge, 'max')
    this.#read('store_owed_signals', 'Ends in force here that the store has not taken yet', gauges.owed)
    this.#totals('audit_records_total', 'Lines of the trail and of the noise lane', ['lane'], gauges.records)
    this.#total('audit_write_failures_total', 'Writes of the trail that failed', gauges.trailFailures)
    this.#total('audit_dropped_total', 'Trail records lost; must stay 0', gauges.trailDropped)
    this.#total('audit_noise_dropped_total', 'Refusals without a session that could not be written', gauges.noiseDropped)
  }

  #observeStore({ leaseRemaining, clockSkew, members }: StoreGauges): void {
    this.#read('store_lease_remaining_seconds', 'How long decisions may still be taken without another sign of the store', leaseRemaining, 'min')
    this.#read('store_clock_skew_seconds', 'Distance of the clock here from that of the store', clockSkew, 'max')
    this.#rows('store_members', 'Gateways as the store knows them', ['state'], members, 'max')
  }

  #counter<L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> {
    return new Counter({ name: `narrowgate_${name}`, help, labelNames, registers: [this.registry] })
  }

  /** @param aggregator how those of several workers become one */
  #gauge<L extends string>(name: string, help: string, labelNames: readonly L[], aggregator: Aggregator): Gauge<L> {
    return new Gauge({ name: `narrowgate_${name}`, help, labelNames, aggregator, registers: [this.registry] })
  }

  #histogram<L extends string>(name: string, help: string, labelNames: readonly L[], buckets: number[]): Histogram<L> {
    return new Histogram({ name: `narrowgate_${name}`, help, labelNames, buckets, registers: [this.registry] })
  }

  #timings<L extends string>(name: string, help: string, label: L): Timings<L> {
    return new Timings(`narrowgate_${name}`, help, label, SECONDS, this.registry)
  }

  #rows<L extends string>(name: string, help: string, labelNames: readonly L[], rows: () => readonly Row<L>[], aggregator: Aggregator = 'sum'): void {
    new Gauge<L>({
      name: `narrowgate_${name}`, help, labelNames, aggregator, registers: [this.registry],
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

  #read(name: string, help: string, value: () => number, aggregator: Aggregator = 'sum'): void {
    new Gauge({ name: `narrowgate_${name}`, help, aggregator, registers: [this.registry], collect() { this.set(value()) } })
  }
}
