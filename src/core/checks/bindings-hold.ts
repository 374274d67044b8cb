// SPEC: BND5, BND7 — what the session was bound to when it was opened is shown by every request of it, and it stays within its tenant.
import { refuse } from '../decision.ts'
import { driftOf } from '../drift.ts'
import type { Check } from './check.ts'

export const bindingsHold: Check = c => (c.standing === null || driftOf(c, c.standing.session, 'required') === null ? null : refuse('binding_broken'))
