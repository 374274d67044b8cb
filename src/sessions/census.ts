// Who is live, counted at a scrape: by kind and state, by profile. Labels come from closed lists and configuration only. SPEC: ADM8
import { isPending } from '../core/step-up.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Gauges, Row } from '../runtime/metrics.ts'
import type { LiveSession } from './live-session.ts'
import type { Mirror } from './mirror.ts'

/** Counts things by their labels. */
export function counted<T, L extends string>(things: Iterable<T>, labelsOf: (thing: T) => Readonly<Record<L, string>>): readonly Row<L>[] {
  const rows = new Map<string, { readonly labels: Readonly<Record<L, string>>; value: number }>()
  for (const thing of things) {
    const labels = labelsOf(thing)
    const key = JSON.stringify(labels)
    const row = rows.get(key)
    if (row === undefined) rows.set(key, { labels, value: 1 })
    else row.value++
  }
  return [...rows.values()]
}

/** Lives that are not over: a revoked one stays in memory to refuse its credentials. */
function* living(mirror: Mirror): Iterable<LiveSession> {
  for (const live of mirror.all()) if (live.record.state.is === 'live') yield live
}

function* pending(mirror: Mirror): Iterable<string> {
  for (const { record } of living(mirror)) for (const { state, profile } of record.elevations) if (state.is === 'requested') yield profile
}

function* carrying(mirror: Mirror, clock: Clock): Iterable<string> {
  for (const live of mirror.all()) for (const { elevation } of mirror.effective(live, clock.now()).carriers) yield elevation.profile
}

export function census(mirror: Mirror, clock: Clock): Pick<Gauges, 'sessions' | 'elevations' | 'approvalsPending' | 'stepUpsPending'> {
  return {
    sessions: () => counted(living(mirror), live => ({ kind: live.record.principal.kind, state: mirror.effective(live, clock.now()).state })),
    elevations: () => counted(carrying(mirror, clock), profile => ({ profile })),
    approvalsPending: () => [...pending(mirror)].length,
    stepUpsPending: () => [...living(mirror)].reduce((sum, { record }) => sum + record.stepUps.filter(isPending).length, 0),
  }
}
