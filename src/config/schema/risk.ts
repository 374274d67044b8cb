// `risk`: how far a caller is trusted, by what it does, and what follows. And what rules say of conduct: step-ups, aftereffects, strikes, rates.
// SPEC: CFG2, RSK1-RSK5, CND1-CND3, STU1, RAT1
import { z } from 'zod'
import { COVERED, MEANS, USES_MAX } from '../../core/step-up.ts'
import { condition, duration, list, name, scope, size } from './scalar.ts'

const ACTS = ['notify', 'stepUp', 'shorten', 'narrow', 'freeze', 'terminate', 'lock'] as const
export type Act = (typeof ACTS)[number]

const points = () => z.number({ error: 'expected a number of points' }).min(0).max(1_000)
export const taintName = () => z.string().regex(/^[a-z0-9][a-z0-9_.-]{0,63}$/, { error: 'a taint has 1 to 64 lower-case letters, digits, dots, dashes and underscores' })
const step = () => z.string().regex(/^(?:label:[a-z0-9][a-z0-9_.-]{0,63}|route:[A-Za-z0-9][A-Za-z0-9._-]{0,63}|[\x21\x23-\x5B\x5D-\x7E]{1,128})$/, { error: 'expected a scope, `label:<label>` or `route:<route>`' })

const stepUpTerms = {
  by: list(z.enum(MEANS), MEANS.length).optional().describe('Any of these: `signIn`, a newer sign-in (RFC 9470), `attest`, a newer credential shown with a fresh proof of possession, `approval`, a person’s word'),
  all: z.boolean().optional().describe('Each of them is needed'),
  acr: list(z.string().regex(/^[\x21\x23-\x5B\x5D-\x7E]{1,128}$/, { error: 'an authentication context has 1 to 128 visible characters without quotes or backslashes' }), 8).optional().describe('Any of these a sign-in must show (`acr`)'),
  role: z.enum(['approver', 'operator', 'admin']).optional().describe('Whose word it is'),
  within: duration({ least: '1s', most: '1d' }).optional().describe('Nobody answers for so long: it is over'),
  onTimeout: z.enum(['refuse', 'terminate']).optional().describe('What then becomes of the session'),
  onDeny: z.enum(['refuse', 'terminate']).optional().describe('What becomes of it when somebody says no'),
  covers: z.enum(COVERED).optional().describe('What an answer covers: that very `request`, its `rule`, or all of the `session`'),
  uses: z.int().min(0).max(USES_MAX).optional().describe('How many requests; 0 does not count'),
  for: duration({ least: '1s', most: '30d' }).optional().describe('For how long; without it as long as the session lives'),
  notify: list(name(), 8).optional().describe('Channels that are told'),
}

export const ruleStepUp = z.union([z.literal('always'), z.strictObject({
  at: name().optional().describe('Only from this level of `risk.levels` on; default always'),
  ...stepUpTerms,
})])
export type WrittenTerms = Omit<Exclude<z.output<typeof ruleStepUp>, string>, 'at'>

export const onHit = z.strictObject({
  addRisk: points().prefault(0).describe('Points for each'),
  strikes: z.int().min(1).max(1_000).prefault(1).describe('So many within `within` do it'),
  within: duration({ least: '1s', most: '1d' }).prefault('1h').describe('See `strikes`'),
  do: z.enum(['none', 'narrow', 'freeze', 'terminate', 'lock']).prefault('none').describe('What then becomes of the session; `lock` refuses the caller, whatever session it opens'),
  for: duration({ least: '1s', most: '365d' }).optional().describe('Of a freeze or a lock; without it as long as sessions are frozen, or until an operator lifts it'),
})

export const aftereffect = z.strictObject({
  shorten: duration({ least: '1s', most: '30d' }).optional().describe('The session lasts so long at most from then on'),
  taint: taintName().optional().describe('What it has touched, for `notAfter` of routes and rules'),
  of: z.enum(['session', 'principal']).prefault('session').describe('Whose the taint is: this session’s, or the caller’s in every session'),
  for: duration({ least: '1s', most: '365d' }).optional().describe('How long the taint lasts; without it as long as whoever has it'),
  narrow: z.union([z.literal('baseline'), list(scope(), 64)]).optional().describe('What the session may do from then on: its baseline, or these scopes'),
})

export const rate = z.strictObject({
  requests: z.int().min(1).max(1_000_000_000).optional().describe('Requests; exactly one of `requests` and `bytes`'),
  bytes: size(1).optional().describe('Bytes of bodies, both ways'),
  per: duration({ least: '1s', most: '1h' }).prefault('1m').describe('In so long'),
  burst: z.number().min(1).max(100).prefault(1).describe('How many times what a second brings may come at once'),
  by: z.enum(['principal', 'session', 'tenant', 'everyone']).prefault('principal').describe('Whose requests are counted together'),
})

const riskRule = z.strictObject({
  name: name().describe('What logs and metrics call it'),
  when: condition().optional().describe('CEL over `subject`, `stats`, `outcome`, `window`, `route`, `request` and `source`; exactly one of `when` and `sequence`'),
  every: duration({ least: '1s', most: '1d' }).optional().describe('While `when` holds it adds once in so long; default 1m'),
  sequence: list(step(), 8).optional().describe('What is asked for one after the other, let through or not: scopes, `label:<label>`, `route:<route>`'),
  within: duration({ least: '1s', most: '1d' }).optional().describe('From the first of the sequence to the last; default 10m'),
  add: points().describe('Points'),
})

const level = z.strictObject({
  name: name().describe('What logs, metrics and `endWhen: risk.<name>` call it'),
  at: points().describe('From so many points on'),
  do: list(z.enum(ACTS), ACTS.length).describe('What follows: `notify`; `stepUp` for all but reading on the baseline; `shorten` the sessions; `narrow` and `freeze` as long as it stands; `terminate`, new sessions too as long as it stands; `lock`'),
  notify: list(name(), 8).optional().describe('Channels that `notify` tells'),
  shortenTo: duration({ least: '1s', most: '30d' }).optional().describe('With `shorten`: what is left of its sessions at most; default 5m'),
  narrowTo: list(scope(), 64).optional().describe('With `narrow`: what is left; default the baseline'),
  keepTenant: z.boolean().prefault(false).describe('With `narrow`: no other tenant’s things, whatever `sessions.bind.tenant` says'),
  lockFor: duration({ least: '1s', most: '365d' }).optional().describe('With `lock`: how long; without it until an operator lifts it'),
})

export const risk = z.strictObject({
  halfLife: duration({ least: '1s', most: '30d' }).prefault('15m').describe('After so long half of the points are left'),
  hysteresis: points().prefault(5).describe('Points below a level before it is left again'),
  holdFor: duration({ most: '1d' }).prefault('1m').describe('How long a level stands at least'),
  remember: duration({ least: '1h', most: '365d' }).prefault('30d').describe('How long what a caller was seen to do is remembered'),
  learn: z.strictObject({
    requests: z.int().min(1).max(1_000_000).prefault(200).describe('After so many requests that passed'),
    for: duration({ most: '90d' }).prefault('7d').describe('And so long'),
  }).prefault({}).describe('When the rules a caller uses are what it normally uses (`stats.unusualRoute`)'),
  rules: list(riskRule, 64).optional().describe('What adds points'),
  levels: list(level, 16).optional().describe('What follows from points, lowest first'),
  stepUp: z.strictObject(stepUpTerms).prefault({}).describe('How callers step up, where levels or rules ask for it'),
  lockReach: z.int().min(1).max(1_000_000).prefault(50).describe('An automatic lock that would reach more live sessions is not set, and alarms instead'),
})
