// Sessions: their key, their clocks, and what they may do at rest. SPEC: CFG3, SES2
import type { SessionRules } from '../../core/policy.ts'
import { scopeOf } from '../../core/scope.ts'
import { subjectCondition } from './conditions.ts'
import type { Compilation } from './context.ts'

export function sessionRules(c: Compilation): SessionRules {
  const { key, credentialEnd, bind, idle, max, frozenFor, baseline, names } = c.config.sessions
  if (idle > max) c.report.error(['sessions', 'idle'], '`idle` is longer than `max`')
  return {
    key: (key ?? []).map(claim => claim.slice('claims.'.length)),
    aliases: names,
    credentialEnd, bind, idle, max, frozenFor,
    baseline: baseline.map(({ when, scopes }, i) => ({ when: subjectCondition(c, ['sessions', 'baseline', i, 'when'], when), scopes: scopeOf(scopes) })),
    exchangesPerSession: c.config.server.limits.exchangesPerSession,
  }
}
