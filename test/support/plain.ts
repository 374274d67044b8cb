// What a plain rule, profile and request have of everything that only some have.
import { NO_LIMITS } from '../../src/core/elevation.ts'
import type { Evaluation } from '../../src/core/evaluation.ts'
import type { Profile } from '../../src/core/policy.ts'
import type { RiskPolicy } from '../../src/core/risk.ts'
import type { Route, Rule } from '../../src/core/route.ts'
import { duration, FOREVER } from '../../src/core/time.ts'

export const PLAIN_RULE: Pick<Rule, 'inspect' | 'atEnd' | 'record' | 'label' | 'stepUp' | 'after' | 'onHit' | 'notAfter' | 'rates' | 'decision' | 'calls'> = { calls: null, inspect: null, atEnd: null, record: 'off', label: null, stepUp: null, after: null, onHit: null, notAfter: [], rates: [], decision: null }

export const PLAIN_ROUTE: Pick<Route, 'onMiss' | 'notAfter' | 'rates' | 'mcp' | 'brokered' | 'passthrough'> = { mcp: null, brokered: false, passthrough: false, onMiss: null, notAfter: [], rates: [] }

/** Nobody is ever less trusted. */
export const NO_RISK: RiskPolicy = {
  halfLife: duration(900_000), hysteresis: 5, holdFor: duration(60_000), remember: duration(86_400_000), learn: { requests: 200, for: duration(0) }, rules: [], levels: [], lockReach: 50,
  stepUp: { by: ['signIn', 'attest', 'approval'], all: false, acr: [], role: 'approver', within: duration(120_000), onTimeout: 'refuse', onDeny: 'terminate', covers: 'request', uses: 1, for: null, notify: [] },
}

export const PLAIN_PROFILE: Omit<Profile, 'name' | 'title' | 'adds' | 'for' | 'max'> = {
  eligible: null, params: new Map(), purposes: [], endWhen: [], endsAtRisk: null, approval: null, proof: new Map(), require: null, within: [], limits: NO_LIMITS, cooldown: null, alone: false, resource: null, afterEnd: null,
  recording: false, tooLong: 'refuse', warn: null,
}

export const PLAIN_CONTEXT: Pick<Evaluation['context'], 'purposesUntil' | 'positions' | 'queryDigest' | 'body'> = { purposesUntil: FOREVER, positions: [], queryDigest: null, body: null }
