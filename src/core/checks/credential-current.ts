// SPEC: SES6 — the newest credential of the session bounds everything that is open under it.
import { refuse } from '../decision.ts'
import { credentialEnd } from '../deadline.ts'
import type { Check } from './check.ts'

export const credentialCurrent: Check = c => (c.standing === null || credentialEnd(c) > c.now ? null : refuse('credential_ended'))
