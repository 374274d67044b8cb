// What a session has touched. SPEC: CND3
import type { SignalOf } from '../signal.ts'
import { isNewTaint } from '../taint.ts'
import { NOTHING, type SessionRule } from './rule.ts'

export const taint: SessionRule<SignalOf<'session.tainted'>> = (session, { taint: one }, now) => (isNewTaint(session.taints, one, now) ? [{ what: 'session.tainted', taint: one }] : NOTHING)

export const clear: SessionRule<SignalOf<'taints.cleared'>> = ({ taints }, { names }) =>
  taints.some(({ name }) => names === null || names.includes(name)) ? [{ what: 'taints.cleared', names }] : NOTHING
