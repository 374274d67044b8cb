// What a gateway tells of itself: refusals and announcements to whoever has to know, and its metrics. Decides nothing. SPEC: AUD3, AUD8, ADM8
import type { Drainer } from './audit/drainer.ts'
import type { Noise } from './audit/noise.ts'
import type { Refused } from './audit/record.ts'
import type { Trail } from './audit/trail.ts'
import type { Fact } from './core/fact.ts'
import type { StoredRecord } from './core/record.ts'
import type { Hub } from './enforcement/hub.ts'
import type { Parts } from './gateway.ts'
import type { Identifier } from './identity/identify.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import { census, counted } from './sessions/census.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Announcement } from './sessions/store.ts'
import type { Upstream, UpstreamWitness } from './upstream/upstream.ts'

/** Refusals of known sessions are evidence; those of nobody are noise, and bounded. */
export function record(refused: Refused, { trail, noise, metrics }: { readonly trail: Trail; readonly noise: Noise; readonly metrics: Metrics }): void {
  if (refused.fault !== null) metrics.credentialsRefused.inc({ fault: refused.fault })
  if (refused.session === null) noise.refused(refused)
  else trail.refused(refused)
}

export function heard(announcement: Announcement, { drainer, hub, identifier }: { readonly drainer: Drainer; readonly hub: Hub; readonly identifier: Identifier }): void {
  const { record: changed } = announcement
  void drainer.drainNow()
  if (changed.record === 'session' && changed.state.is === 'revoked') identifier.dropSession(changed.key)
  hub.tell({ is: 'announced', announcement, session: changed.record === 'session' ? changed.id : null })
}

/** Counts what becomes of an upstream's addresses. */
export const witnessOf = ({ upstreamEjections, upstreamRetries }: Metrics): UpstreamWitness => ({
  ejected: upstream => upstreamEjections.inc({ upstream }), retried: (upstream, on) => upstreamRetries.inc({ upstream, on }),
})

export function observe(metrics: Metrics, parts: Omit<Parts, 'pipeline' | 'drainer' | 'trailFile'>, upstreams: () => Iterable<Upstream>): void {
  const { mirror, inflight, noise, clock, store, trail, ledger } = parts
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
    if (fact.what === 'elevation.ended' && changed.record === 'session') metrics.elevationEnds.inc({ profile: changed.elevations.find(({ id }) => id === fact.elevation)?.profile ?? '', reason: fact.reason })
  }
}

/** What it wrote, and what it could not. */
export function hearLedger(ledger: Ledger, metrics: Metrics, log: Log): void {
  ledger.onCommitted = (changed, facts) => committed(metrics, changed, facts)
  ledger.onSaidAgain = result => metrics.store.reasserted.inc({ result })
  ledger.onStuck = (stuck, cause) => log.error({ record: stuck, cause: String(cause) }, 'the store does not take an end that is in force here')
  ledger.onUnwritten = cause => log.error({ cause: String(cause) }, 'an end could not be written to the journal')
  ledger.onOwedFull = () => metrics.limitReached.inc({ limit: 'owed_signals' })
}
