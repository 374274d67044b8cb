// What somebody outside says of a session's trust. SPEC: OUT5, OUT6
import { isSameDemand, withChanges, withDemand } from '../overlay.ts'
import type { SignalOf } from '../signal.ts'
import { NOTHING, type SessionRule } from './rule.ts'

/** News that is older than what is known of a claim, or says the same, is none. */
export const changeClaims: SessionRule<SignalOf<'claims.changed'>> = ({ overlay }, { changes }) => {
  const next = withChanges(overlay, changes)
  const told = changes.filter(change => next.includes(change) && !overlay.includes(change))
  return told.length === 0 ? NOTHING : [{ what: 'claims.changed', changes: told }]
}

export const demand: SessionRule<SignalOf<'proof.demanded'>> = ({ demand: held }, { demand: asked }) => {
  const next = withDemand(held, asked)
  return isSameDemand(held, next) ? NOTHING : [{ what: 'proof.demanded', demand: next }]
}
