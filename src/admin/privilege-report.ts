// The report on privilege: what is reachable without an elevation and by whom, and which profiles give more than was used of them. Only reads. SPEC: RPT1
import { ruleName, type Use, type Uses } from '../audit/uses.ts'
import { isOver } from '../core/elevation.ts'
import type { Policy, Profile } from '../core/policy.ts'
import { identityOf } from '../core/principal.ts'
import { covers, type Scope } from '../core/scope.ts'
import type { Instant } from '../core/time.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import { spanText, timeText } from './answer.ts'
import type { AdminRoom } from './room.ts'

type View = { readonly [member: string]: unknown }

const NAMED_MAX = 20
/** Of what it gives, less than this share was used at the most: it gives more than its use. */
const HALF = 0.5
/** Longer than that without any use, an elevation that runs is told as unused. */
const UNUSED_AFTER = 300_000

const secondsOf = (ms: number): number => Math.round(ms / 1000)
const rulesOf = ({ routes }: Policy) => routes.flatMap(route => route.rules.map(rule => ({ route, rule })))

/** Rules that let requests pass without a scope: nothing but the route itself protects them. */
const unscoped = (policy: Policy): readonly View[] =>
  rulesOf(policy).filter(({ rule: { scope, effect } }) => scope === null && effect === 'allow').map(({ route, rule }) => ({ route: route.name, rule: rule.name, anonymous: rule.anonymous, mode: route.mode, if: rule.condition?.source ?? null }))

type Seen = { readonly who: string; readonly kind: string; readonly baseline: Scope }

function seenIn({ mirror, clock }: Pick<AdminRoom, 'mirror' | 'clock'>): readonly Seen[] {
  const known = [...mirror.all()].filter(live => live.record.state.is === 'live' && live.knownClaims !== null)
  return known.map(live => ({ who: identityOf(live.record.principal), kind: live.record.principal.kind, baseline: mirror.effective(live, clock.now()).baseline }))
}

/** Scopes some baseline gives, to whom it gave them as far as sessions are known here, and what they open. */
function standing(policy: Policy, seen: readonly Seen[]): readonly View[] {
  const entries = policy.sessions.baseline
  return [...new Set(entries.flatMap(({ scopes }) => scopes))].sort().map(scope => {
    const holders = [...new Set(seen.filter(({ baseline }) => covers(baseline, scope)).map(({ who }) => who))]
    return {
      scope, when: entries.filter(({ scopes }) => covers(scopes, scope)).map(({ when }) => when?.source ?? 'everybody'), principals: holders.length, examples: holders.slice(0, NAMED_MAX),
      rules: rulesOf(policy).filter(({ rule }) => rule.scope === scope).map(({ rule }) => rule.name), addedBy: [...policy.profiles.values()].filter(({ adds }) => covers(adds, scope)).map(({ name }) => name),
    }
  })
}

const usedFor = ({ firstUse, lastUse }: Use): number => (firstUse === null || lastUse === null ? 0 : lastUse - firstUse)
const most = (numbers: readonly number[]): number => numbers.reduce((a, b) => Math.max(a, b), 0)

/** Scopes that no request it carried needed. */
function unusedScopes(policy: Policy, { adds }: Profile, given: readonly Use[]): Scope {
  const scopes = new Map(rulesOf(policy).map(({ route, rule }) => [ruleName(route.name, rule.name), rule.scope]))
  const used = new Set(given.flatMap(({ rules }) => [...rules].map(rule => scopes.get(rule) ?? null)))
  return adds.filter(scope => !used.has(scope))
}

function findings(profile: Profile, given: readonly Use[], unused: Scope): readonly string[] {
  if (given.length === 0) return ['never_granted']
  if (given.every(({ uses }) => uses === 0)) return ['never_used']
  const { limits: { uses } } = profile
  return [
    ...(most(given.map(usedFor)) < profile.for * HALF ? ['longer_than_its_use'] : []), ...(unused.length > 0 ? ['wider_than_its_use'] : []),
    ...(uses !== null && most(given.map(each => each.uses)) < uses * HALF ? ['more_uses_than_used'] : []),
  ]
}

function profileView(policy: Policy, profile: Profile, all: readonly Use[], now: Instant): View {
  const given = all.filter(use => use.profile === profile.name && (use.since !== null || use.uses > 0))
  const lengths = given.map(({ since, until }) => (since === null ? 0 : Math.min(until ?? now, now) - since))
  const unused = given.length === 0 ? [] : unusedScopes(policy, profile, given)
  return {
    name: profile.name, adds: profile.adds, for: spanText(profile.for), max: spanText(profile.max), approval: profile.approval !== null, granted: given.length, neverUsed: given.filter(({ uses }) => uses === 0).length,
    grantedSeconds: secondsOf(lengths.reduce((a, b) => a + b, 0)), usedSeconds: secondsOf(given.reduce((sum, use) => sum + usedFor(use), 0)), longestGrantedSeconds: secondsOf(most(lengths)), longestUsedSeconds: secondsOf(most(given.map(usedFor))),
    uses: given.reduce((sum, { uses }) => sum + uses, 0), mostUses: most(given.map(({ uses }) => uses)), limitUses: profile.limits.uses, unusedScopes: unused, findings: findings(profile, given, unused),
  }
}

/** Those that run and carried nothing so far. */
function idle(sessions: Iterable<LiveSession>, { elevations }: Uses, now: Instant): readonly View[] {
  const found: View[] = []
  for (const { record } of sessions) {
    for (const elevation of record.elevations) {
      const { id, profile, state, purposes } = elevation
      if (isOver(elevation) || state.is !== 'active' || now - state.since < UNUSED_AFTER || (elevations.get(id)?.uses ?? 0) > 0) continue
      found.push({ id, session: record.id, subject: identityOf(record.principal), profile, purpose: purposes, since: timeText(state.since), until: timeText(state.until) })
    }
  }
  return found
}

export function privilegeReport(room: Pick<AdminRoom, 'mirror' | 'clock'>, uses: Uses, since: Instant): View {
  const { mirror, clock } = room
  const { policy } = mirror
  const now = clock.now()
  const all = [...uses.elevations.values()]
  return {
    since: timeText(since), until: timeText(now), whole: uses.isAll && uses.others === 0, baseline: standing(policy, seenIn(room)), withoutScope: unscoped(policy),
    profiles: [...policy.profiles.values()].map(profile => profileView(policy, profile, all, now)), unused: idle(mirror.all(), uses, now),
  }
}
