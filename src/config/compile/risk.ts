// Risk and conduct: names resolved, conditions compiled, and what contradicts itself reported. SPEC: CFG3, RSK1-RSK5, CND1-CND3, STU1, RAT1
import { compileRiskCondition } from '../../conditions/compile.ts'
import { NAMES_MAX } from '../../core/conduct.ts'
import type { LevelActs, RiskLevel, RiskPolicy, RiskRule } from '../../core/risk.ts'
import type { Aftereffect, OnHit, RateLimit } from '../../core/route.ts'
import { scopeOf } from '../../core/scope.ts'
import type { RuleStepUp, StepUpRules } from '../../core/step-up.ts'
import { TAINTS_MAX } from '../../core/taint.ts'
import { duration } from '../../core/time.ts'
import type { WrittenTerms } from '../schema/risk.ts'
import type { Path } from '../source-map.ts'
import { didYouMean } from '../spelling.ts'
import { checked } from './conditions.ts'
import type { Compilation } from './context.ts'
import { channelsNamed } from './notify.ts'

type Risk = Compilation['config']['risk']
type WrittenRule = NonNullable<Risk['rules']>[number]
type WrittenLevel = NonNullable<Risk['levels']>[number]
type WrittenRoute = Compilation['config']['routes'][number]
type OfRule = WrittenRoute['rules'][number]

const EVERY = duration(60_000)
const SEQUENCE_WITHIN = duration(600_000)
const SHORTEN_TO = duration(300_000)
const STEP_UP: StepUpRules = { notify: [], by: ['signIn', 'attest', 'approval'], all: false, acr: [], role: 'approver', within: duration(120_000), onTimeout: 'refuse', onDeny: 'terminate', covers: 'request', uses: 1, for: null }

// ---- rules

function conditionOf(c: Compilation, path: Path, source: string): Extract<RiskRule, { is: 'when' }>['condition'] | null {
  const made = checked(c, path, compileRiskCondition(source))
  for (const [name, at] of made?.windows ?? []) if (!Object.hasOwn(c.config.windows, name)) c.report.errorInside(path, at, `condition, column ${at + 1}: there is no window '${name}'`, didYouMean(name, Object.keys(c.config.windows)))
  return made
}

/** Everything a sequence may name. */
function stepFault({ config: { routes, elevations, sessions } }: Compilation, step: string): string | null {
  if (step.startsWith('route:')) return routes.some(({ name }) => `route:${name}` === step) ? null : `there is no route '${step.slice('route:'.length)}'`
  if (step.startsWith('label:')) return routes.some(({ rules }) => rules.some(({ label }) => `label:${label ?? ''}` === step)) ? null : `no rule has the label '${step.slice('label:'.length)}'`
  const known = routes.some(({ rules }) => rules.some(({ scope }) => scope === step)) || Object.values(elevations).some(({ adds }) => adds.includes(step)) || sessions.baseline.some(({ scopes }) => scopes.includes(step))
  return known ? null : `no rule asks for the scope '${step}'`
}

function ruleOf(c: Compilation, written: WrittenRule, path: Path): RiskRule | null {
  const { name, add, when, every, sequence, within } = written
  if ((when === undefined) === (sequence === undefined)) {
    c.report.error(path, 'a rule has exactly one of `when` and `sequence`')
    return null
  }
  if (when !== undefined) {
    if (within !== undefined) c.report.errorAtKey([...path, 'within'], '`within` has a meaning only with `sequence`')
    const condition = conditionOf(c, [...path, 'when'], when)
    return condition === null ? null : { is: 'when', name, add, condition, every: every ?? EVERY }
  }
  if (every !== undefined) c.report.errorAtKey([...path, 'every'], '`every` has a meaning only with `when`')
  sequence?.forEach((step, i) => {
    const fault = stepFault(c, step)
    if (fault !== null) c.report.error([...path, 'sequence', i], fault)
  })
  return { is: 'sequence', name, add, steps: sequence ?? [], within: within ?? SEQUENCE_WITHIN }
}

function rulesOf(c: Compilation, { rules = [] }: Risk): readonly RiskRule[] {
  const names = new Set<string>()
  const steps = new Set(rules.flatMap(({ sequence = [] }) => sequence))
  if (steps.size > NAMES_MAX) c.report.error(['risk', 'rules'], `sequences name ${steps.size} steps, and ${NAMES_MAX} are remembered of a caller`)
  return rules.flatMap((written, i) => {
    if (names.has(written.name)) c.report.error(['risk', 'rules', i, 'name'], `there is a rule '${written.name}' already`)
    names.add(written.name)
    return ruleOf(c, written, ['risk', 'rules', i]) ?? []
  })
}

// ---- levels

const NEEDS: { readonly [key in 'notify' | 'shortenTo' | 'narrowTo' | 'lockFor']: WrittenLevel['do'][number] } = { notify: 'notify', shortenTo: 'shorten', narrowTo: 'narrow', lockFor: 'lock' }

function actsOf(c: Compilation, written: WrittenLevel, path: Path): LevelActs {
  const { do: acts, notify, shortenTo, narrowTo, keepTenant, lockFor } = written
  for (const key of ['notify', 'shortenTo', 'narrowTo', 'lockFor'] as const) if (written[key] !== undefined && !acts.includes(NEEDS[key])) c.report.errorAtKey([...path, key], `\`${key}\` has no meaning without \`${NEEDS[key]}\` in \`do\``)
  if (keepTenant && !acts.includes('narrow')) c.report.errorAtKey([...path, 'keepTenant'], '`keepTenant` has no meaning without `narrow` in `do`')
  if (acts.includes('notify') && notify === undefined) c.report.error([...path, 'do'], '`notify` tells nobody', 'name channels in `notify`')
  return {
    notify: acts.includes('notify') ? channelsNamed(c, [...path, 'notify'], notify ?? []) : null,
    stepUp: acts.includes('stepUp'), freeze: acts.includes('freeze'), terminate: acts.includes('terminate'),
    narrow: acts.includes('narrow') ? { to: narrowTo === undefined ? null : scopeOf(narrowTo), ownTenant: keepTenant } : null,
    lock: acts.includes('lock') ? (lockFor ?? duration(Infinity)) : null,
    shorten: acts.includes('shorten') ? (shortenTo ?? SHORTEN_TO) : null,
  }
}

/** Whoever is less trusted has no more than before: what stands at a level stands at those above it too. */
function addedTo(below: LevelActs | undefined, own: LevelActs): LevelActs {
  if (below === undefined) return own
  const narrow = own.narrow ?? below.narrow
  return {
    ...own, stepUp: own.stepUp || below.stepUp, freeze: own.freeze || below.freeze, terminate: own.terminate || below.terminate,
    narrow: narrow === null ? null : { ...narrow, ownTenant: narrow.ownTenant || below.narrow?.ownTenant === true },
  }
}

function levelsOf(c: Compilation, { levels = [], hysteresis }: Risk): readonly RiskLevel[] {
  const made: RiskLevel[] = []
  levels.forEach((written, i) => {
    const path: Path = ['risk', 'levels', i]
    const before = levels[i - 1]
    if (before !== undefined && written.at <= before.at) c.report.error([...path, 'at'], `must be above level '${before.name}', which begins at ${before.at}`)
    if (levels.findIndex(({ name }) => name === written.name) < i) c.report.error([...path, 'name'], `there is a level '${written.name}' already`)
    if (written.at <= hysteresis) c.report.error([...path, 'at'], `must be above \`hysteresis\`, ${hysteresis}, or it is never left`)
    made.push({ name: written.name, at: written.at, acts: addedTo(made.at(-1)?.acts, actsOf(c, written, path)) })
  })
  return made
}

// ---- step-ups

/** What is not written is as in `standard`; one use is what a request is covered for, and nothing that is covered more widely. */
function merged({ by, all, acr, role, within, onTimeout, onDeny, covers: wider, uses, for: span, notify }: WrittenTerms, standard: StepUpRules): StepUpRules {
  const covered = wider ?? standard.covers
  const used = covered === standard.covers ? standard.uses : covered === 'request' ? 1 : null
  return {
    by: by ?? standard.by, all: all ?? standard.all, acr: acr ?? standard.acr, role: role ?? standard.role, within: within ?? standard.within, onTimeout: onTimeout ?? standard.onTimeout, onDeny: onDeny ?? standard.onDeny,
    covers: covered, uses: uses === undefined ? used : uses === 0 ? null : uses, for: span ?? standard.for, notify: notify === undefined ? standard.notify : [...new Set(notify)],
  }
}

function termsOf(c: Compilation, terms: WrittenTerms, standard: StepUpRules, path: Path): StepUpRules {
  const made = merged(terms, standard)
  channelsNamed(c, [...path, 'notify'], terms.notify ?? [])
  if (terms.acr !== undefined && !made.by.includes('signIn')) c.report.error([...path, 'acr'], '`acr` asks something of a sign-in, which is not among `by`')
  if (made.uses === null && made.for === null && made.covers !== 'request') c.report.errorAtKey(path, 'an answer would cover it for ever', 'write `for`, `uses` or both')
  return made
}

export const riskOf = (c: Compilation): RiskPolicy => {
  if (given(c).size > TAINTS_MAX) c.report.errorAtKey(['routes'], `must not give more than ${TAINTS_MAX} different taints`)
  const { risk } = c.config
  const { halfLife, hysteresis, holdFor, remember, learn, lockReach } = risk
  return { halfLife, hysteresis, holdFor, remember, learn, lockReach, rules: rulesOf(c, risk), levels: levelsOf(c, risk), stepUp: termsOf(c, risk.stepUp, STEP_UP, ['risk', 'stepUp']) }
}

// ---- of rules and routes

/** The threshold of a level by its name; what is not there is reported at `path`. */
export function thresholdOf({ config: { risk: { levels = [] } }, report }: Compilation, path: Path, name: string): number {
  const found = levels.find(level => level.name === name)
  if (found === undefined) report.error(path, `there is no level '${name}' in \`risk.levels\``, didYouMean(name, levels.map(level => level.name)))
  return found?.at ?? 0
}

export function stepUpOf(c: Compilation, { stepUp }: OfRule, path: Path): RuleStepUp | null {
  if (stepUp === undefined) return null
  const standard = merged(c.config.risk.stepUp, STEP_UP)
  if (stepUp === 'always') return { at: 0, rules: standard }
  const { at, ...terms } = stepUp
  return { at: at === undefined ? 0 : thresholdOf(c, [...path, 'at'], at), rules: termsOf(c, terms, standard, path) }
}

export function onHitOf({ report }: Compilation, written: OfRule['onHit'], path: Path): OnHit | null {
  if (written === undefined) return null
  const { addRisk, strikes, within, do: act, for: span } = written
  if (addRisk === 0 && act === 'none') report.error(path, 'nothing follows from it', 'write `addRisk`, `do` or both')
  if (span !== undefined && act !== 'freeze' && act !== 'lock') report.errorAtKey([...path, 'for'], '`for` has a meaning only with `do: freeze` and `do: lock`')
  return { addRisk, strikes, within, act, for: span ?? null }
}

/** What it leaves behind is in force before it goes upstream: it has to get through itself. */
function refusesItself({ config: { sessions }, report }: Compilation, route: WrittenRoute, { after, notAfter = [], scope }: OfRule, path: Path): void {
  const { taint, narrow } = after ?? {}
  if (taint !== undefined && [...notAfter, ...(route.notAfter ?? [])].includes(taint)) report.error([...path, 'taint'], `the rule refuses itself: with the taint '${taint}' nobody gets here`, 'take it out of `notAfter`')
  if (scope === undefined || narrow === undefined) return
  const isLeft = narrow === 'baseline' ? sessions.baseline.some(({ scopes }) => scopes.includes(scope)) : narrow.includes(scope)
  if (!isLeft) report.error([...path, 'narrow'], `the rule refuses itself: nothing of its scope '${scope}' is left`, narrow === 'baseline' ? 'no baseline holds it' : `add '${scope}'`)
}

export function aftereffectOf(c: Compilation, route: WrittenRoute, rule: OfRule, path: Path): Aftereffect | null {
  const { after } = rule
  if (after === undefined) return null
  const { report } = c
  const { shorten, taint, of, for: span, narrow } = after
  refusesItself(c, route, rule, path)
  if (shorten === undefined && taint === undefined && narrow === undefined) report.error(path, 'nothing is left behind', 'write `shorten`, `taint` or `narrow`')
  if (span !== undefined && taint === undefined) report.errorAtKey([...path, 'for'], '`for` has a meaning only with `taint`')
  return {
    shorten: shorten ?? null, taint: taint === undefined ? null : { name: taint, of, for: span ?? null },
    narrow: narrow === undefined ? null : { to: narrow === 'baseline' ? null : scopeOf(narrow) },
  }
}

const given = ({ config: { routes } }: Compilation): ReadonlySet<string> => new Set(routes.flatMap(({ rules }) => rules.flatMap(({ after }) => after?.taint ?? [])))

/** A taint that nothing gives keeps nobody from anywhere: it is a spelling mistake. */
export function notAfterOf(c: Compilation, names: readonly string[] = [], path: Path): readonly string[] {
  const known = given(c)
  names.forEach((name, i) => { if (!known.has(name)) c.report.error([...path, i], `no rule gives the taint '${name}'`, didYouMean(name, known) ?? 'write it as `after: { taint: … }` of a rule') })
  return names
}

export function ratesOf({ report }: Compilation, written: OfRule['rates'], path: Path): readonly RateLimit[] {
  return (written ?? []).map(({ requests, bytes, per, burst, by }, i) => {
    if ((requests === undefined) === (bytes === undefined)) report.error([...path, i], 'a rate has exactly one of `requests` and `bytes`')
    return { requests: requests ?? null, bytes: bytes ?? null, per, burst, by }
  })
}
