// What requests do, added up and put to the rules: nothing is read, and nothing made, before a rule is due. Never throws into a request. SPEC: RSK2, RSK3, CND1, CND2
import type { Conduct } from '../../core/conduct.ts'
import type { Evaluation } from '../../core/evaluation.ts'
import { paramsOf } from '../../core/path-pattern.ts'
import type { Claims } from '../../core/principal.ts'
import { type Reason, REASONS } from '../../core/reason.ts'
import type { OnHit, Place } from '../../core/route.ts'
import type { Instant } from '../../core/time.ts'
import { windowAt } from '../../core/window.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import { Look, nameOf } from './look.ts'
import { Person } from './person.ts'
import type { Rules, WhenRule } from './rules.ts'
import type { Struck } from './strikes.ts'

/** What of a request the engine reads. `id` is that of its exchange, should it be let through. */
export type Attempt = { readonly id: string; readonly live: LiveSession; readonly claims: Claims; readonly evaluation: Evaluation; readonly place: Place }

type Parts = {
  readonly mirror: Mirror
  readonly clock: Clock
  readonly rules: () => Rules
  /** There is something to tell others; `urgent`: they may have to act on it. */
  readonly changed: (person: Person, urgent: boolean) => void
  readonly struckOut: (person: Person, rule: string, struck: Struck & { readonly at: Instant }) => void
  readonly hit: (rule: string) => void
  readonly erred: (rule: string) => void
}

/** Refusals for where the session stands, or for what its gateway cannot do: they say nothing of what was tried, and would make a level rise by itself. */
const OF_STANDING: ReadonlySet<Reason> = new Set<Reason>(['risk', 'frozen', 'narrowed', 'locked', 'step_up_required', 'step_up_denied', 'max_reached', 'frozen_too_long', 'session_ended', 'parent_ended', 'credential_expired', 'credential_revoked', 'credential_ended', 'state_lost', 'ticket_unheard', 'signals_silent', 'revoked_outside', 'obligation_unmet', 'not_shown', 'version_unsupported', 'method_refused', 'stream_unknown'])
export const isConduct = (reason: Reason): boolean => !OF_STANDING.has(reason) && REASONS[reason].status < 500

/** What the configuration says of a refusal. */
export const hitOf = (reason: Reason, { route, rule }: Place): OnHit | null => (reason === 'denied' ? (rule?.onHit ?? null) : reason === 'no_rule' || reason === 'method_unknown' ? route.onMiss : null)

export class Watch {
  readonly #parts: Parts
  readonly #look: Look

  constructor(parts: Parts) {
    const { mirror, clock, rules } = parts
    this.#parts = parts
    this.#look = new Look(new Person({ kind: 'principal', name: '' }, '', null, clock.now()), rules(), (window, now) => this.#isOpen(window, now), ({ ref }) => mirror.anchors.countTied(ref))
  }

  attempted(person: Person, attempt: Attempt, now: Instant): void {
    const { live, evaluation, place, claims } = attempt
    const { seen } = person
    const rules = this.#parts.rules()
    person.counts.request(now)
    seen.path.saw(evaluation.resource.path, now)
    const shown = tenantOf(live, place, evaluation, claims)
    const tenant = seen.tenant.saw(shown, now)
    if (tenant || person.tenants.length === 0) person.tenant(shown)
    const used = toolOf(place, evaluation)
    const tool = used !== null && seen.tool.saw(used, now)
    const source = seen.source.saw(evaluation.context.source, now)
    const isFirst = person.known && (tenant || tool || source)
    if (isFirst) person.first = { of: evaluation, tenant, tool, source }
    const steps = rules.stepsAt(place)
    if (steps.length > 0) {
      person.stepped(steps, now)
      this.#complete(person, rules)
    }
    this.#ask(person, rules, rules.whens, attempt, '', now)
    this.#parts.changed(person, isFirst || steps.length > 0)
  }

  refused(person: Person, attempt: Attempt, reason: Reason, now: Instant): void {
    const rules = this.#parts.rules()
    person.counts.refusal(now)
    this.#ask(person, rules, rules.ofOutcome, attempt, reason, now)
    this.#parts.changed(person, true)
  }

  /** What a rule with `onHit` refuses, or what no rule knows. */
  struck(person: Person, { live, place }: Attempt, hit: OnHit, now: Instant): void {
    const rule = nameOf(place)
    if (hit.addRisk > 0) person.points.add(rule, hit.addRisk, now, this.#parts.rules().policy)
    if (hit.act !== 'none') {
      person.strikes.strike(rule, { hit, key: live.record.key, life: live.record.id }, now)
      this.#strikeOut(person, rule, now)
    }
    this.#parts.changed(person, true)
  }

  /** What others said may complete what began here. */
  merged(person: Person, own: Conduct | null, others: readonly Conduct[], now: Instant): void {
    const rules = this.#parts.rules()
    const first = person.join(own, others, rules, now)
    if (others.length === 0 && own === null) return
    this.#complete(person, rules)
    person.first = first
    this.#ask(person, rules, rules.ofConduct, null, '', now)
    for (const rule of person.strikes.rules) this.#strikeOut(person, rule, now)
  }

  #complete(person: Person, rules: Rules): void {
    for (const rule of rules.sequences) {
      const found = person.completed(rule)
      if (found === null) continue
      person.points.fire(rule.name, rule.add, found.from, found.at, rules.policy)
      this.#parts.hit(rule.name)
      this.#parts.changed(person, true)
    }
  }

  #ask(person: Person, rules: Rules, whens: readonly WhenRule[], attempt: Attempt | null, reason: string, now: Instant): void {
    let look: Look | null = null
    for (const { name, add, every, condition } of whens) {
      if (now < person.points.firedAt(name) + every) continue
      look ??= this.#look.at(person, attempt, reason, rules, now)
      const answer = condition.test(look)
      if (answer === 'error') this.#parts.erred(name)
      if (answer !== 'true') continue
      person.points.fire(name, add, now, now, rules.policy)
      this.#parts.hit(name)
      this.#parts.changed(person, true)
    }
  }

  /** On whichever of its sessions was struck last here. */
  #strikeOut(person: Person, rule: string, now: Instant): void {
    const struck = person.strikes.out(rule, person.points.clearedAt, now)
    if (struck !== null) this.#parts.struckOut(person, rule, struck)
  }

  #isOpen(name: string, now: Instant): boolean {
    const { mirror } = this.#parts
    const schedule = mirror.policy.windows.get(name)
    if (schedule === undefined) return false
    const matter = mirror.anchors.known({ kind: 'window', name })?.matter ?? null
    return windowAt(schedule, matter?.is === 'window' ? matter.override : null, now).open
  }
}

/** What it works with: the rule's label, the tool of MCP, or the rule; null for what only keeps a protocol going. */
function toolOf(place: Place, { action: { call } }: Evaluation): string | null {
  if (call?.kind === 'protocol') return null
  return place.rule?.label ?? (call?.kind === 'tool' ? call.name : nameOf(place))
}

/** Whose things it touches, as far as the route says. */
function tenantOf(live: LiveSession, { route }: Place, evaluation: Evaluation, claims: Claims): string {
  const { principal, id } = live.record
  return route.tenant === null ? principal.tenant : (route.tenant.read({ principal, claims, session: id, evaluation, params: paramsOf(route.path, evaluation.resource.segments), elevation: null, traits: null }) ?? '')
}
