// SPEC: OUT6 — a session that somebody outside wants to see proof of goes on once it has shown anew who it is, whatever the request and the route.
import { refuse } from '../decision.ts'
import type { Check } from './check.ts'

export const proofGiven: Check = ({ standing, place }) => (standing === null || standing.session.demand === null || place.rule?.anonymous === true ? null : refuse('step_up_required'))
