// Profiles of elevation. What ends one must have a source that can tell: an end nobody can deliver is an error. SPEC: CFG3, CFG8, ELV1, PUR2
import { type Limits, NO_LIMITS } from '../../core/elevation.ts'
import type { ApprovalRules, ParamSpec, Policy, Profile, PurposeSource, StageRules } from '../../core/policy.ts'
import { proofOf, purposeTold } from '../../core/policy.ts'
import { isProofEnough, ORDERED, type Proof, PURPOSE_KINDS, type PurposeKind } from '../../core/purpose.ts'
import { scopeOf } from '../../core/scope.ts'
import { duration } from '../../core/time.ts'
import { unitsOf } from '../../core/amount.ts'
import type { Ending } from '../schema/elevations.ts'
import type { Path } from '../source-map.ts'
import { identityCondition, subjectCondition, taskCondition } from './conditions.ts'
import type { Compilation } from './context.ts'
import { channelsNamed } from './notify.ts'
import { thresholdOf } from './risk.ts'

type Written = Compilation['config']['elevations'][string]
type WrittenApproval = Exclude<Written['approval'], 'none'>
type Sources = ReadonlyMap<PurposeKind, PurposeSource>
/** What profiles are written in terms of. */
type Known = { readonly purposes: Sources; readonly windows: Policy['windows'] }

/** The purpose whose end a piece of news tells; null for news about the approval, and of windows. */
const KIND_OF: { readonly [E in Ending]: PurposeKind | null } = {
  'ticket.closed': 'ticket', 'task.ended': 'task', 'run.ended': 'run', 'run.finished': 'run', 'step.ended': 'step',
  'conversation.ended': 'conversation', 'turn.ended': 'turn', 'window.closed': null, 'approval.withdrawn': null,
}

const PARAMS_MAX = 16
const REVIEW_WITHIN = duration(86_400_000)

/** The least proof of each purpose: only an orchestrator's signature proves an order, unless the profile says that less will do. */
const wanted = (written: Written, kind: PurposeKind): Proof => written.proof ?? (ORDERED.has(kind) ? 'signed' : 'stated')

function purposes({ report }: Compilation, path: Path, written: Written, sources: Sources): readonly PurposeKind[] {
  const kinds = [...new Set(written.purpose)]
  kinds.forEach(kind => {
    const place = [...path, 'purpose', written.purpose?.indexOf(kind) ?? 0]
    const source = sources.get(kind)
    if (source === undefined) return report.error(place, `nothing shows the purpose '${kind}'`, `add purposes.${kind} with a \`header\`, a \`claim\` or \`signed\``)
    const [given, proof] = [proofOf(source), wanted(written, kind)]
    if (!isProofEnough(given, proof)) report.error(place, `'${kind}' is only ${given}, but the profile wants it ${proof}`, `give purposes.${kind} a \`${proof === 'signed' ? 'signed' : 'claim'}\`, or write \`proof: ${given}\` to accept less`)
  })
  return kinds
}

/** An order tells of its ends by itself: the next one begins. */
const tells = (source: PurposeSource | undefined): boolean => source !== undefined && (source.source !== null || (source.from.is === 'signed' && ORDERED.has(source.kind)))

/** Without `endWhen`, every purpose whose end somebody can tell ends it. */
const sourced = (written: Written, sources: Sources): readonly PurposeKind[] => (written.purpose ?? []).filter(kind => tells(sources.get(kind)))

function endings({ report }: Compilation, path: Path, written: Written, sources: Sources): readonly PurposeKind[] {
  return (written.endWhen ?? []).flatMap((ending, i) => {
    if (isOfRisk(ending)) return []
    const kind = KIND_OF[ending]
    const place = [...path, 'endWhen', i]
    if (ending === 'approval.withdrawn' && written.approval === 'none') report.error(place, `'${ending}' can only end what needs an approval`)
    if (ending === 'window.closed' && written.within === undefined) report.error(place, `'${ending}' can only end what has a window`, 'add `within`')
    if (kind === null) return []
    if (written.purpose?.includes(kind) !== true) report.error(place, `'${ending}' cannot end it: '${kind}' is not among its purposes`, `add ${kind} to \`purpose\``)
    else if (sources.has(kind) && !tells(sources.get(kind))) report.error(place, `nothing delivers '${ending}'`, `write \`source\` in purposes.${kind}: \`manual\` to take an operator's word, or a connector`)
    return [kind]
  })
}

const isOfRisk = (ending: string): ending is `risk.${string}` => ending.startsWith('risk.')

/** The lowest of the levels that end it. */
function riskThatEnds(c: Compilation, path: Path, { endWhen = [] }: Written): number | null {
  const thresholds = endWhen.flatMap((ending, i) => (isOfRisk(ending) ? [thresholdOf(c, [...path, 'endWhen', i], ending.slice('risk.'.length))] : []))
  return thresholds.length === 0 ? null : Math.min(...thresholds)
}

function params({ report }: Compilation, path: Path, written: Written): ReadonlyMap<string, ParamSpec> {
  const entries = Object.entries(written.params ?? {})
  if (entries.length > PARAMS_MAX) report.errorAtKey([...path, 'params'], `must not have more than ${PARAMS_MAX} entries`)
  return new Map(entries.map(([name, { type, max, required }]) => {
    if (max !== undefined && type === 'boolean') report.errorAtKey([...path, 'params', name, 'max'], '`max` has no meaning for a boolean')
    return [name, { type, max: max ?? null, required }]
  }))
}

/** A condition about the ticket, or what stands in its place, needs somebody who tells of it. */
function requirement(c: Compilation, path: Path, name: string, source: string | undefined, written: Written, sources: Sources): ReturnType<typeof taskCondition> {
  const made = taskCondition(c, [...path, name], source)
  if (made?.readsTicket === true && purposeTold(written.purpose ?? [], sources) === null) {
    c.report.error([...path, name], 'it reads `ticket`, but nobody tells of one', 'add `ticket` to `purpose`, and name a connector as `purposes.ticket.source`; or have a connector tell of another purpose of the profile')
  }
  return made
}

function windowsOf({ report }: Compilation, path: Path, { within = [] }: Written, { windows }: Known): readonly string[] {
  within.forEach((name, i) => { if (!windows.has(name)) report.error([...path, 'within', i], `there is no window '${name}'`) })
  return [...new Set(within)]
}

function limitsOf({ report }: Compilation, path: Path, { limits }: Written): Limits {
  if (limits === undefined) return NO_LIMITS
  const { uses = null, perMinute = null, bytes = null, sum } = limits
  if (sum === undefined) return { uses, perMinute, bytes, sum: null }
  const max = unitsOf(sum.max, sum.scale)
  if (max === null) report.error([...path, 'limits', 'sum', 'max'], `has more than ${sum.scale} digits behind the point, or is too large`)
  return { uses, perMinute, bytes, sum: { field: sum.field, scale: sum.scale, max: max ?? 0 } }
}

function resourceOf({ report }: Compilation, path: Path, { holds, params: fields, purpose }: Written): Profile['resource'] {
  if (holds === undefined) return null
  const name = holds.slice(holds.indexOf('.') + 1)
  if (holds.startsWith('params.')) {
    if (fields?.[name]?.type !== 'string' || !fields[name].required) report.error([...path, 'holds'], `'${name}' is no required parameter of type string`)
    return { of: 'param', name }
  }
  const kind = PURPOSE_KINDS.find(each => each === name)
  if (kind !== undefined && purpose?.includes(kind) === true) return { of: 'purpose', kind }
  report.error([...path, 'holds'], `'${name}' is not among its purposes`)
  return null
}

function stagesOf(c: Compilation, path: Path, { stages, by, count, who }: WrittenApproval): readonly StageRules[] {
  const all = stages ?? [{ by, count, who }]
  return all.map((stage, i) => {
    const at = stages === undefined ? [...path, 'who'] : [...path, 'stages', i, 'who']
    return { role: stage.by, count: stage.count, who: stage.who === undefined ? null : identityCondition(c, at, stage.who) }
  })
}

function approvalOf(c: Compilation, path: Path, written: Written, sources: Sources): ApprovalRules | null {
  const { approval } = written
  if (approval === 'none') return null
  const at = [...path, 'approval']
  const { mode, reviewWithin, onMissed, within = null, extend, notify = [] } = approval
  if (mode === 'ask' && reviewWithin !== undefined) c.report.errorAtKey([...at, 'reviewWithin'], '`reviewWithin` has a meaning only with `mode: breakGlass`')
  if (mode === 'breakGlass' && approval.autoWhen !== undefined) c.report.errorAtKey([...at, 'autoWhen'], '`autoWhen` has no meaning with `mode: breakGlass`, which asks nobody')
  return {
    stages: stagesOf(c, at, approval), within, notify: channelsNamed(c, [...at, 'notify'], notify),
    extend: extend === false ? 'approval' : extend === true ? 'free' : extend,
    autoWhen: requirement(c, at, 'autoWhen', approval.autoWhen, written, sources),
    breakGlass: mode === 'breakGlass' ? { reviewWithin: reviewWithin ?? REVIEW_WITHIN, onMissed } : null,
  }
}

function afterEndOf({ report, config }: Compilation, path: Path, name: string, { afterEnd }: Written): Profile['afterEnd'] {
  if (afterEnd === undefined) return null
  const given = config.elevations[afterEnd.profile]
  if (given === undefined || afterEnd.profile === name) report.error([...path, 'afterEnd', 'profile'], given === undefined ? `there is no profile '${afterEnd.profile}'` : 'it cannot follow itself')
  else if (given.afterEnd !== undefined) report.error([...path, 'afterEnd', 'profile'], 'what follows an end is not followed by another')
  return afterEnd
}

function profile(c: Compilation, name: string, written: Written, known: Known): Profile {
  const path: Path = ['elevations', name]
  const max = written.max ?? written.for
  if (max < written.for) c.report.error([...path, 'max'], '`max` is shorter than `for`')
  const kinds = purposes(c, path, written, known.purposes)
  return {
    name,
    title: written.title ?? name,
    adds: scopeOf(written.adds),
    eligible: subjectCondition(c, [...path, 'eligible'], written.eligible),
    require: requirement(c, path, 'require', written.require, written, known.purposes),
    params: params(c, path, written),
    for: written.for, max, tooLong: written.tooLong, warn: written.warn,
    within: windowsOf(c, path, written, known),
    purposes: kinds, proof: new Map(kinds.map(kind => [kind, wanted(written, kind)])),
    limits: limitsOf(c, path, written),
    cooldown: written.cooldown ?? null,
    alone: !written.several,
    resource: resourceOf(c, path, written),
    approval: approvalOf(c, path, written, known.purposes),
    endsAtRisk: riskThatEnds(c, path, written),
    endWhen: written.endWhen === undefined || written.endWhen.every(isOfRisk) ? sourced(written, known.purposes) : [...new Set(endings(c, path, written, known.purposes))],
    afterEnd: afterEndOf(c, path, name, written),
    recording: written.recording === 'required',
  }
}

export const profilesOf = (c: Compilation, known: Known): ReadonlyMap<string, Profile> =>
  new Map(Object.entries(c.config.elevations).map(([name, written]) => [name, profile(c, name, written, known)]))
