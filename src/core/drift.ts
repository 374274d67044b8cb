// Where a request shows something else than its session is bound to. Asked for every request, and again for everything open.
// SPEC: BND5, BND7
import { BINDING_KINDS, type BindingKind, type BindingModes, type Bindings, type Drift, networkOf } from './binding.ts'
import type { Case } from './checks/check.ts'
import type { Evaluation } from './evaluation.ts'
import type { Evidence } from './evidence.ts'
import { paramsOf } from './path-pattern.ts'
import type { RiskLevel } from './risk.ts'
import type { Session } from './session.ts'

/** Of what was shown so many characters are kept. */
const SHOWN_MAX = 256

/** Drifts one life tells of; what goes on behind them is in the records of its refusals. */
const DRIFTS_KEPT = 8

type Drifting = 'required' | 'observe'

/** What a request shows of what sessions are bound to. */
export type Showing = { readonly evidence: Evidence | null; readonly context: Pick<Evaluation['context'], 'workload' | 'source'> }

function shownIn({ evidence, context }: Showing, kind: keyof Bindings): string | null {
  switch (kind) {
    case 'key': return evidence?.keyThumbprint ?? null
    case 'workload': return context.workload
    case 'device': return evidence?.device ?? null
    case 'source': return networkOf(context.source)
  }
}

const drift = (binding: BindingKind, shown: string | null): Drift => ({ binding, shown: (shown ?? '').slice(0, SHOWN_MAX) })

/** By the route's own parameters: a rule's may have the same names. */
function tenantDrift({ place: { route }, claims, evaluation }: Case, session: Session): Drift | null {
  if (route.tenant === null) return null
  const { principal } = session
  const params = paramsOf(route.path, evaluation.resource.segments)
  const shown = route.tenant.read({ principal, claims, session: session.id, evaluation, params, elevation: null, traits: null })
  return shown !== null && shown !== '' && shown === principal.tenant ? null : drift('tenant', shown)
}

const KINDS = BINDING_KINDS.filter(kind => kind !== 'tenant')

/** The first of those, but for the tenant, that the configuration treats so. A broker's word counts whatever is asked of others. */
export function boundDrift({ bindings, brokered }: Session, modes: BindingModes, mode: Drifting, showing: Showing): Drift | null {
  for (const kind of KINDS) {
    const bound = bindings[kind]
    if (bound === null || (brokered === null ? modes[kind] : 'required') !== mode) continue
    const shown = shownIn(showing, kind)
    if (shown !== bound) return drift(kind, shown)
  }
  return null
}

const isKept = (level: RiskLevel | null | undefined): boolean => level?.acts.narrow?.ownTenant === true

/** The first drift that the configuration treats so; null where everything is as it was bound. */
export function driftOf(c: Case, session: Session, mode: Drifting): Drift | null {
  const modes = c.policy.sessions.bind
  const tenant = isKept(c.standing?.level) || isKept(c.standing?.levelAbove) ? 'required' : modes.tenant // at risk it is kept to its own
  return boundDrift(session, modes, mode, c.evaluation) ?? (tenant === mode ? tenantDrift(c, session) : null)
}

/** Is there room for this drift in what the life tells of, and is it not told yet? */
export const isNewDrift = ({ drifts }: Session, { binding, shown }: Drift): boolean =>
  drifts.length < DRIFTS_KEPT && !drifts.some(told => told.binding === binding && told.shown === shown)
