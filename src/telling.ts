// What a gateway tells of itself: refusals and announcements to whoever has to know, and its metrics;
// and what ends with a recording that failed. Decides nothing. SPEC: REC1, AUD3, AUD8, ADM8
import type { Drainer } from './audit/drainer.ts'
import type { Noise } from './audit/noise.ts'
import type { Refused } from './audit/record.ts'
import type { Trail } from './audit/trail.ts'
import type { Elevation } from './core/elevation.ts'
import type { Fact } from './core/fact.ts'
import type { StoredRecord } from './core/record.ts'
import type { Instant } from './core/time.ts'
import type { Broker } from './enforcement/brokered/broker.ts'
import type { Hub } from './enforcement/hub.ts'
import type { Inflight } from './enforcement/inflight.ts'
import type { Reassessor } from './enforcement/reassess.ts'
import type { Following } from './following.ts'
import type { Outside } from './outside.ts'
import type { Parts } from './running-gateway.ts'
import type { Identifier } from './identity/identify.ts'
import { isPurposeFault } from './identity/signed-purpose.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import { census, counted } from './sessions/census.ts'
import type { Holders } from './sessions/holders.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { Announcement, SessionStore } from './sessions/store.ts'
import type { Timekeeper } from './sessions/timekeeper.ts'
import type { Intake } from './signals/intake.ts'
import type { Progress } from './signals/progress.ts'
import { endsAt, type Listening } from './upstream/own-address.ts'
import type { Trust } from './trust.ts'
import type { Upstream, UpstreamWitness } from './upstream/upstream.ts'

/** Refusals of known sessions are evidence; those of nobody are noise, and bounded. */
export function record(refused: Refused, { trail, noise, metrics }: { readonly trail: Trail; readonly noise: Noise; readonly metrics: Metrics }): void {
  if (refused.fault !== null && !isPurposeFault(refused.fault)) metrics.credentialsRefused.inc({ fault: refused.fault })
  if (refused.session === null) noise.refused(refused)
  else trail.refused(refused)
}

type Hearers = { readonly drainer: Drainer; readonly hub: Hub; readonly identifier: Identifier; readonly progress: Progress; readonly holders: Holders; readonly following: Following; readonly outside: Outside; readonly trust: Trust; readonly broker: Broker }

export function heard(announcement: Announcement, { drainer, hub, identifier, progress, holders, following, outside, trust, broker }: Hearers): void {
  const { record: changed } = announcement
  if (changed.record === 'anchor') progress.heard(changed)
  if (changed.record === 'anchor') trust.risk.heard(changed, announcement.facts)
  following.heard(changed)
  outside.heard(changed)
  broker.heard(changed, announcement.facts)
  if (changed.record === 'session') holders.heard(changed)
  void drainer.drainNow()
  if (changed.record === 'session' && changed.state.is === 'revoked') identifier.dropSession(changed.key)
  hub.tell({ is: 'announced', announcement, session: changed.record === 'session' ? changed.id : null })
}

/** Counts what becomes of an upstream's addresses. @param listening where the gateway itself is bound, now */
export const witnessOf = ({ upstreamEjections, upstreamRetries, secretFileErrors }: Metrics, log: Log, listening: () => Iterable<{ readonly address: Listening }>): UpstreamWitness => ({
  isOwn: ended => endsAt(Array.from(listening(), ({ address }) => address), ended),
  ejected: upstream => upstreamEjections.inc({ upstream }), retried: (upstream, on) => upstreamRetries.inc({ upstream, on }),
  unread(upstream, error, first) {
    secretFileErrors.inc({ upstream })
    if (first) log.error({ upstream, problem: error.message }, 'the file of a credential cannot be read; what was read last counts')
  },
})

export function observe(metrics: Metrics, parts: Omit<Parts, 'pipeline' | 'drainer' | 'trailFile'>, upstreams: () => Iterable<Upstream>): void {
  const { mirror, inflight, noise, clock, store, trail, ledger } = parts
  metrics.configLoadedAt.set(clock.now() / 1000)
  metrics.configOk.set(1)
  metrics.observe({
    ...census(mirror, clock),
    exchanges: () => counted(inflight.all(), ({ place, kind }) => ({ route: place.route.name, kind })),
    upstreams: () => [...upstreams()].map(({ name, busy }) => ({ labels: { upstream: name }, value: busy })),
    addresses: () => [...upstreams()].flatMap(({ name, addresses }) => (['well', 'out'] as const).map(state => ({ labels: { upstream: name, state }, value: addresses[state] }))),
    mirrored: () => mirror.size, locks: () => mirror.locks.size, owed: () => ledger.owed,
    records: () => [{ labels: { lane: 'trail' }, value: trail.counts.records }, { labels: { lane: 'noise' }, value: noise.written }], trailFailures: () => trail.counts.failures, trailDropped: () => trail.counts.dropped, noiseDropped: () => noise.dropped,
    viewAge: () => (store.confirmedUntil() === Infinity ? 0 : Math.max(0, clock.elapsed() - store.confirmedUntil()) / 1000),
  })
}

/** What this gateway's own commits ended: each end is counted once, however many gateways hear of it. */
function committed(metrics: Metrics, changed: StoredRecord, facts: readonly Fact[]): void {
  for (const fact of facts) {
    if (fact.what === 'session.revoked' || fact.what === 'session.lapsed') metrics.sessionEnds.inc({ reason: fact.reason })
    if (fact.what === 'stepUp.asked' || fact.what === 'stepUp.satisfied' || fact.what === 'stepUp.denied' || fact.what === 'stepUp.expired') metrics.stepUps.inc({ outcome: fact.what.slice('stepUp.'.length) })
    if (fact.what === 'elevation.ended' && changed.record === 'session') metrics.elevationEnds.inc({ profile: changed.elevations.find(({ id }) => id === fact.elevation)?.profile ?? '', reason: fact.reason })
  }
}

/** What changed, what is read, and what made way. */
export function hearMirror(mirror: Mirror, timekeeper: Timekeeper, reassessor: Reassessor, metrics: Metrics): void {
  mirror.onChange = change => {
    if (change.sessions !== 'all') for (const live of change.sessions) timekeeper.watch(live)
    return reassessor.changed(change)
  }
  mirror.onRead = reason => metrics.store.readThrough.inc({ reason })
  mirror.onEvicted = live => {
    timekeeper.forget(live)
    metrics.limitReached.inc({ limit: 'mirrored_sessions' })
  }
}

/** How much of what it was given an elevation used: its uses where they are limited, else its time. */
async function usedRatio({ state, spent, limits: { uses }, budget }: Elevation, at: Instant, store: Pick<SessionStore, 'taken'>): Promise<number> {
  if (spent) return 1
  if (uses !== null && budget !== null) return Math.min(1, (await store.taken(`${budget.counter}/uses`)) / uses)
  if ((state.is !== 'active' && state.is !== 'suspended') || state.since === null || state.until === null) return 0
  return Math.min(1, Math.max(0, at - state.since) / Math.max(1, state.until - state.since))
}

/** Of the elevations that these facts end. A store that does not answer costs the figure. */
function observeUse(before: StoredRecord | null, facts: readonly Fact[], metrics: Metrics, store: Pick<SessionStore, 'taken'>): void {
  if (before?.record !== 'session') return
  for (const fact of facts) {
    const ended = fact.what === 'elevation.ended' ? before.elevations.find(({ id }) => id === fact.elevation) : undefined
    if (ended !== undefined) void usedRatio(ended, fact.at, store).then(ratio => metrics.elevationUsed.observe({ profile: ended.profile }, ratio), () => undefined)
  }
}

/** What it wrote, and what it could not. */
export function hearLedger(ledger: Ledger, metrics: Metrics, log: Log, store: Pick<SessionStore, 'taken'>): void {
  ledger.onReplaced = (before, facts) => observeUse(before, facts, metrics, store)
  ledger.onCommitted = (changed, facts) => committed(metrics, changed, facts)
  ledger.onSaidAgain = result => metrics.store.reasserted.inc({ result })
  ledger.onStuck = (stuck, cause) => log.error({ record: stuck, cause: String(cause) }, 'the store does not take an end that is in force here')
  ledger.onUnwritten = cause => log.error({ cause: String(cause) }, 'an end could not be written to the journal')
  ledger.onOwedFull = () => metrics.limitReached.inc({ limit: 'owed_signals' })
}

type Recorded = { readonly inflight: Inflight; readonly reassessor: Reassessor; readonly mirror: Mirror; readonly intake: Intake; readonly metrics: Metrics; readonly log: Log }

/** What has to be recorded and cannot be ends: here at once, everywhere by the elevation it stands on. */
export function recordingFailed({ inflight, reassessor, mirror, intake, metrics, log }: Recorded): void {
  log.error({}, 'the recording failed: everything that has to be recorded ends')
  metrics.recordingFailures.inc()
  const taped = inflight.all().filter(({ tape }) => tape !== null)
  void reassessor.inSlices(taped, exchange => reassessor.end(exchange, 'recording_failed', 'recording', null))
  for (const { record: { key, elevations } } of mirror.all()) {
    for (const { id, recording, state } of elevations) {
      if (!recording || (state.is !== 'active' && state.is !== 'suspended')) continue
      void intake.session(key, { kind: 'elevation.ended', elevation: id, reason: 'recording_failed', because: 'recording' }, { by: 'recording', note: '', id: null }).catch((error: unknown) => log.error({ elevation: id, cause: String(error) }, 'an elevation whose recording failed could not be ended'))
    }
  }
}
