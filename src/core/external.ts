// What a policy decision point outside said of a request, as an input of the judge: an answer counts for the very state it was asked about, and for a while.
// It only ever takes away: everything local has to hold beside it. Pure; who asks is enforcement/external/. SPEC: PEP2-PEP4
import type { Case } from './checks/check.ts'
import type { ValueExpression } from './condition.ts'
import type { Reason } from './reason.ts'
import { coverage, coverageUntil, type StepUpNeed } from './step-up.ts'
import { type Duration, earlier, FOREVER, type Instant } from './time.ts'

export type Values = ReadonlyMap<string, ValueExpression>
type Entity = { readonly type: ValueExpression | null; readonly id: ValueExpression | null; readonly properties: Values }

/** What a rule asks of a policy decision point; null is what is asked where nothing is written. */
export type RuleDecision = {
  readonly pdp: string
  /** Digest of all that is configured of it and of whom it asks. */
  readonly digest: string
  readonly subject: Entity
  readonly action: { readonly name: ValueExpression | null; readonly properties: Values }
  readonly resource: Entity
  readonly context: Values
  /** How long an answer counts. */
  readonly for: Duration
  /** Channels for what it wants somebody to be told. */
  readonly notify: readonly string[]
}

export type ExternalAnswer = {
  /** What it was asked about: see `askedOf`. */
  readonly asked: string
  /** Why it refuses; null where it lets. */
  readonly refusal: Reason | null
  /** It names where the refusal may be lifted. */
  readonly requestable: boolean
  /** The sign-in that it wants to see first; null for none. */
  readonly acr: string | null
  readonly until: Instant
}

/** `ahead`: it will be asked before anything goes on. null: nobody asks, and where a rule wants it asked nothing goes. */
export type External = ExternalAnswer | 'ahead' | null

/** All of its session, its standing and its request that an answer depends on. Time alone changes none of it. */
export function askedOf({ place: { route, rule }, standing, evaluation: { action, resource, evidence, context }, claims }: Case): string {
  if (standing === null) return ''
  const { session, level, levelAbove, carriers, frozen, baseline } = standing
  return JSON.stringify([
    rule?.decision?.digest ?? '', route.name, rule?.name ?? '', session.id, session.version, level?.name ?? '', levelAbove?.name ?? '', carriers.map(({ elevation: { id } }) => id), frozen.map(({ elevation: { id } }) => id), baseline,
    action.method, action.upgrade, resource.host, resource.path, resource.query, context.source, context.workload, context.purposes, context.body?.digest ?? null, evidence?.credential ?? '', claims,
  ])
}

const answered = ({ external }: Case): ExternalAnswer | null => (external === null || external === 'ahead' ? null : external)

/** What it has to be stepped up for because of an answer, should that not be done already. */
export function needOfExternal(c: Case): StepUpNeed | null {
  const acr = answered(c)?.acr ?? null
  const decision = c.place.rule?.decision ?? null
  if (acr === null || decision === null) return null
  const terms = c.policy.risk.stepUp
  return { rules: { ...terms, by: ['signIn'], all: false, acr: [acr], covers: 'rule', uses: null, for: terms.for ?? decision.for }, because: c.place.rule?.name ?? '', whole: false }
}

/** Until when that is done; null where it is not. */
export function steppedUpUntil(c: Case): Instant | null {
  const need = needOfExternal(c)
  if (need === null) return FOREVER
  const covering = c.standing === null ? null : coverage(c.standing.session.stepUps, c, need.rules)
  return covering === null ? null : coverageUntil(covering)
}

/** Until when what it said counts. */
export function externalUntil(c: Case): Instant {
  const answer = answered(c)
  return answer === null ? FOREVER : earlier(answer.until, steppedUpUntil(c) ?? FOREVER)
}
