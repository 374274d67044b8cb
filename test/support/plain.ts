// What a plain rule, profile and request have of everything that only some have.
import { NO_LIMITS } from '../../src/core/elevation.ts'
import type { Evaluation } from '../../src/core/evaluation.ts'
import type { Profile } from '../../src/core/policy.ts'
import type { Rule } from '../../src/core/route.ts'
import { FOREVER } from '../../src/core/time.ts'

export const PLAIN_RULE: Pick<Rule, 'inspect' | 'atEnd' | 'record' | 'label'> = { inspect: null, atEnd: null, record: 'off', label: null }

export const PLAIN_PROFILE: Omit<Profile, 'name' | 'title' | 'adds' | 'for' | 'max'> = {
  eligible: null, params: new Map(), purposes: [], endWhen: [], approval: null, proof: new Map(), require: null, within: [], limits: NO_LIMITS, cooldown: null, alone: false, resource: null, afterEnd: null,
  recording: false, tooLong: 'refuse', warn: null,
}

export const PLAIN_CONTEXT: Pick<Evaluation['context'], 'purposesUntil' | 'positions' | 'body'> = { purposesUntil: FOREVER, positions: [], body: null }
