// SPEC: PUR4 — a session opened for a purpose serves that one: what its requests show is never another.
import { refuse } from '../decision.ts'
import { purposeFit } from '../purpose.ts'
import type { Check } from './check.ts'

export const purposeKept: Check = ({ standing, evaluation }) => {
  const brokered = standing?.session.brokered ?? null
  return brokered === null || purposeFit(brokered.purposes, evaluation.context.purposes) === 'shown' ? null : refuse('purpose_mismatch')
}
