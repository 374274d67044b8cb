// The risk rules of one configuration, sorted by when they are asked. SPEC: RSK2, RSK3
import type { RiskPolicy, RiskRule } from '../../core/risk.ts'
import type { Place } from '../../core/route.ts'

export type WhenRule = Extract<RiskRule, { is: 'when' }>
export type SequenceRule = Extract<RiskRule, { is: 'sequence' }>

/** Outside of a text, near enough: one that is asked too seldom by this is asked with the next request. */
const READS_OUTCOME = /\b(?:outcome|refusalsPerMinute|refusals5m)\b/
const READS_REQUEST = /\b(?:request|source|route|outcome)\b/

const PLACES_MAX = 4_096

export class Rules {
  readonly policy: RiskPolicy
  readonly whens: readonly WhenRule[]
  /** Of those, what a refusal may turn. */
  readonly ofOutcome: readonly WhenRule[]
  /** Of those, what others' counts may turn, without a request. */
  readonly ofConduct: readonly WhenRule[]
  readonly sequences: readonly SequenceRule[]
  readonly names: ReadonlySet<string>
  readonly #steps: ReadonlySet<string>
  readonly #stepsAt = new Map<object, readonly string[]>()

  constructor(policy: RiskPolicy) {
    this.policy = policy
    this.whens = policy.rules.filter(rule => rule.is === 'when')
    this.ofOutcome = this.whens.filter(({ condition }) => READS_OUTCOME.test(condition.source))
    this.ofConduct = this.whens.filter(({ condition }) => !READS_REQUEST.test(condition.source))
    this.sequences = policy.rules.filter(rule => rule.is === 'sequence')
    this.names = new Set(policy.rules.map(({ name }) => name))
    this.#steps = new Set(this.sequences.flatMap(({ steps }) => steps))
  }

  /** Is anything asked of what principals do, or does anything follow from points that were told elsewhere? */
  get watches(): boolean { return this.names.size > 0 || this.policy.levels.length > 0 }

  /** Steps of sequences that a request to this place is. */
  stepsAt({ route, rule }: Place): readonly string[] {
    if (this.#steps.size === 0) return NO_STEPS
    const known = this.#stepsAt.get(rule ?? route)
    if (known !== undefined) return known
    const steps = [`route:${route.name}`, ...(rule?.scope == null ? [] : [rule.scope]), ...(rule?.label == null ? [] : [`label:${rule.label}`])].filter(step => this.#steps.has(step))
    if (this.#stepsAt.size < PLACES_MAX) this.#stepsAt.set(rule ?? route, steps)
    return steps
  }
}

const NO_STEPS: readonly string[] = []
