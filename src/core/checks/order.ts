// Every check, in the order in which they are asked. The grant is chosen after the last one: see grant.ts.
import { argumentsAccepted } from './arguments-accepted.ts'
import { authenticationSufficient } from './authentication-sufficient.ts'
import { bindingsHold } from './bindings-hold.ts'
import type { Check } from './check.ts'
import { credentialCurrent } from './credential-current.ts'
import { externallyAllowed } from './externally-allowed.ts'
import { knowledgeFresh } from './knowledge-fresh.ts'
import { notLocked } from './not-locked.ts'
import { notRevoked } from './not-revoked.ts'
import { proofGiven } from './proof-given.ts'
import { purposeKept } from './purpose-kept.ts'
import { routeAllows } from './route-allows.ts'
import { sessionLive } from './session-live.ts'
import { untainted } from './untainted.ts'
import { vouchedFor } from './vouched-for.ts'

export const CHECKS: readonly Check[] = [routeAllows, knowledgeFresh, vouchedFor, notLocked, sessionLive, notRevoked, credentialCurrent, bindingsHold, proofGiven, purposeKept, authenticationSufficient, untainted, argumentsAccepted, externallyAllowed]
