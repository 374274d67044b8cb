// Admission of a request whose conduct counts: the real engine in front of admission as in micro-enforcement.ts, with ten rules that hit as often as a file may
// say, and, because a rule that has hit rests meanwhile, the same ten in the negative, which are asked at every request. What falls due behind requests (parts
// for other gateways) is timed with them.
import { compileRiskCondition } from '../../src/conditions/compile.ts'
import { NO_ACTS, type RiskPolicy, type RiskRule, SCORE_MAX } from '../../src/core/risk.ts'
import { duration } from '../../src/core/time.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Intake } from '../../src/signals/intake.ts'
import { Risk, type RiskWitness } from '../../src/signals/risk/risk.ts'
import { NO_RISK } from '../support/plain.ts'
import { policy } from './micro-case.ts'
import { admissionMicros, enforcement } from './micro-enforcement.ts'

/** All of them hold. */
const CONDITIONS = [
  'stats.requestsPerMinute > 0.0', 'stats.requests5m >= stats.refusals5m', 'stats.bytes5m < 1.0', 'stats.pathsSeen > 0.0', 'stats.sourcesSeen < 3.0 && stats.tenantsSeen < 8.0',
  'subject.kind == "ci"', 'request.method == "GET" && route.name.startsWith("service-")', 'source.inCidr("127.0.0.0/8")', '!outcome.refused', '!stats.firstTenant || stats.requests5m > 5.0',
] as const

/** The least that a file may say. */
const EVERY = duration(1_000)

function ruleOf(name: string, source: string): RiskRule {
  const compiled = compileRiskCondition(source)
  if (!compiled.ok) throw new Error(`${source} does not compile`)
  return { is: 'when', name, add: 1, condition: compiled.condition, every: EVERY }
}

const risk: RiskPolicy = {
  ...NO_RISK, rules: CONDITIONS.flatMap((source, i) => [ruleOf(`hits-${i}`, source), ruleOf(`asked-${i}`, `!(${source})`)]),
  levels: [{ name: 'never', at: SCORE_MAX, acts: { ...NO_ACTS, stepUp: true } }],
}

/** Median µs per admission with its attempt. */
export async function riskMicros(): Promise<number> {
  const bench = await enforcement()
  const { store, keeper: { mirror, clock } } = bench
  await mirror.replacePolicy({ ...policy, risk })
  const hits = new Set<string>()
  const fault = (cause?: unknown): never => { throw new Error('the engine failed', { cause }) }
  const witness: RiskWitness = { hit: rule => { hits.add(rule) }, erred: fault, badPart: fault, limited: fault, failed: fault, withheld: fault, reached: fault }
  const engine = new Risk({ intake: new Intake(new Ledger(store, mirror, clock), store, clock, () => {}), mirror, store, clock, witness, most: 100 })
  engine.start()
  const median = await admissionMicros(bench, ({ id, live, claims, evaluation, place }) => {
    if (live !== null) engine.attempted({ id, live, claims, evaluation, place })
  })
  await engine.stop()
  await bench.close()
  if (hits.size !== CONDITIONS.length) throw new Error(`${hits.size} of ${CONDITIONS.length} rules hit`)
  return median
}
