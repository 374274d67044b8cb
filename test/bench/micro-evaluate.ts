// The judge by itself: an elevated rule whose condition is a stub, so that only the judge is timed.
import { evaluate } from '../../src/core/evaluate.ts'
import { medianMicros } from './batches.ts'
import { cases } from './micro-case.ts'

export function evaluateMicros(): number {
  const [first] = cases
  if (first === undefined) throw new Error('there is no case to judge')
  return medianMicros('evaluate', turn => {
    const decision = evaluate(cases[turn % cases.length] ?? first)
    return decision.effect === 'permit' && decision.grant.is === 'elevation'
  })
}
