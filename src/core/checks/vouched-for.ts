// SPEC: SES16 — a credential that only its issuer can tell of counts until it has to be asked again; what is open is held meanwhile.
import { refuse } from '../decision.ts'
import type { Check } from './check.ts'

export const vouchedFor: Check = ({ vouchedUntil, now }) => (vouchedUntil > now ? null : refuse('stale'))
