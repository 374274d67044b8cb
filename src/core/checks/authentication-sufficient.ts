// SPEC: BND6 — a rule may ask how and how recently the caller signed in; what the newest credential does not show is not there.
import { refuse } from '../decision.ts'
import { authenticationEnd } from '../deadline.ts'
import type { Check } from './check.ts'

export const authenticationSufficient: Check = c => (authenticationEnd(c) > c.now ? null : refuse('authentication_insufficient'))
