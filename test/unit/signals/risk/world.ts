// The engine over a real store in memory and a clock the test sets; requests are made of words of the test. For tests only.
import { compileRiskCondition } from '../../../../src/conditions/compile.ts'
import type { Evaluation } from '../../../../src/core/evaluation.ts'
import type { RiskPolicy, RiskRule } from '../../../../src/core/risk.ts'
import type { OnHit, Place, Route, Rule } from '../../../../src/core/route.ts'
import { duration } from '../../../../src/core/time.ts'
import type { LiveSession } from '../../../../src/sessions/live-session.ts'
import { Intake } from '../../../../src/signals/intake.ts'
import type { ReachedLevel } from '../../../../src/signals/risk/acts.ts'
import { Risk, type RiskWitness } from '../../../../src/signals/risk/risk.ts'
import type { Attempt } from '../../../../src/signals/risk/watch.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../../support/plain.ts'
import { policyOf } from '../../core/world.ts'
import { World } from '../../sessions/world.ts'

export function when(name: string, source: string, add: number, every = 60_000): RiskRule {
  const compiled = compileRiskCondition(source)
  if (!compiled.ok) throw new Error(compiled.faults.map(({ message }) => message).join())
  return { is: 'when', name, add, condition: compiled.condition, every: duration(every) }
}

export const sequence = (name: string, steps: readonly string[], add: number, within = 600_000): RiskRule => ({ is: 'sequence', name, steps, within: duration(within), add })

const ROUTE: Route = {
  ...PLAIN_ROUTE, name: 'api', host: { is: 'any' }, path: { segments: [], tail: true, literalPrefix: 0, literals: 0, source: '/**' } as unknown as Route['path'], // nothing here matches paths
  upstream: 'api', authn: [], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: false, params: false }, cors: null, rewrite: null, tenant: null, rules: [],
}

export const place = (label: string | null = null, onHit: OnHit | null = null): Place => {
  const rule: Rule = { ...PLAIN_RULE, name: `api#${label ?? 1}`, effect: onHit === null ? 'allow' : 'deny', methods: null, paths: null, upgrade: null, anonymous: false, scope: null, condition: null, messages: null, requireAuth: null, label, onHit }
  return { route: ROUTE, rule, params: {} }
}

export const hit = (changes: Partial<OnHit>): OnHit => ({ addRisk: 0, strikes: 1, within: duration(600_000), act: 'none', for: null, ...changes })

const evaluationOf = (path: string): Evaluation => ({
  evidence: null, action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'api.test', path, segments: path.split('/').slice(1), query: '' },
  context: { ...PLAIN_CONTEXT, protocol: 'http', source: '192.0.2.1', secure: true, workload: null, certified: null, purposes: {}, headers: [] },
})

let made = 0
export const attempt = (live: LiveSession, at: Place = place(), path = '/a'): Attempt => ({ id: `exc_${++made}`, live, claims: {}, evaluation: evaluationOf(path), place: at })

export class Engine {
  readonly world: World
  readonly risk: Risk
  readonly withheld: string[] = []
  readonly hits: string[] = []
  readonly failures: unknown[] = []
  readonly reached: ReachedLevel[] = []
  limited = 0

  private constructor(world: World, most: number) {
    this.world = world
    const { ledger, store, clock, mirror } = world
    const witness: RiskWitness = {
      hit: rule => this.hits.push(rule), erred: rule => this.hits.push(`error in ${rule}`), badPart: () => this.hits.push('bad part'), limited: () => { this.limited++ },
      failed: cause => this.failures.push(cause), withheld: who => this.withheld.push(who), reached: reached => this.reached.push(reached),
    }
    this.risk = new Risk({ intake: new Intake(ledger, store, clock, () => {}), mirror, store, clock, witness, most })
    ledger.onCommitted = (record, facts) => this.risk.acts.heard(record, facts)
    mirror.onAnnounced = ({ record, facts }) => { if (record.record === 'anchor') this.risk.heard(record, facts) }
  }

  static async start(risk: Partial<RiskPolicy>, most = 1_000): Promise<Engine> {
    const engine = new Engine(await World.start({ ...policyOf(), risk: { ...NO_RISK, ...risk } }), most)
    engine.risk.start()
    return engine
  }

  score(live: LiveSession): number { return this.risk.view(live)?.score ?? 0 }
  level(live: LiveSession): string | null { return this.world.mirror.effective(live, this.world.clock.now()).level?.name ?? null }

  async close(): Promise<void> {
    await this.risk.stop()
    await this.world.close()
  }
}
