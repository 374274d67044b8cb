// Profiles of elevation. What ends one must have a source that can tell: an end nobody can deliver is an error. SPEC: CFG3, CFG8, ELV1, PUR2
import type { ParamSpec, Profile, PurposeSource } from '../../core/policy.ts'
import type { PurposeKind } from '../../core/purpose.ts'
import { scopeOf } from '../../core/scope.ts'
import type { Ending } from '../schema/elevations.ts'
import type { Path } from '../source-map.ts'
import { subjectCondition } from './conditions.ts'
import type { Compilation } from './context.ts'

type Written = Compilation['config']['elevations'][string]
type Sources = ReadonlyMap<PurposeKind, PurposeSource>

/** Kinds that only an orchestrator's signature proves, unless the profile says that less will do. */
const SIGNED: ReadonlySet<PurposeKind> = new Set(['turn', 'step'])

/** The purpose whose end a piece of news tells; null for news about the approval. */
const KIND_OF: { readonly [E in Ending]: PurposeKind | null } = {
  'ticket.closed': 'ticket', 'task.ended': 'task', 'run.ended': 'run', 'run.finished': 'run', 'step.ended': 'step',
  'conversation.ended': 'conversation', 'turn.ended': 'turn', 'approval.withdrawn': null,
}

const PARAMS_MAX = 16

function purposes({ report }: Compilation, path: Path, written: Written, sources: Sources): readonly PurposeKind[] {
  const kinds = [...new Set(written.purpose)]
  kinds.forEach(kind => {
    const place = [...path, 'purpose', written.purpose?.indexOf(kind) ?? 0]
    const source = sources.get(kind)
    if (source === undefined) return report.error(place, `nothing shows the purpose '${kind}'`, `add purposes.${kind} with a \`header\` or a \`claim\``)
    if (SIGNED.has(kind) && written.proof === undefined) return report.error(place, `'${kind}' needs a signed proof, which nothing here delivers`, 'write `proof: stated` or `proof: claimed` to accept less')
    if (written.proof === 'claimed' && source.from.is === 'header') report.error(place, `'${kind}' is only stated in a header, but the profile wants it claimed by the token`, `give purposes.${kind} a \`claim\``)
  })
  return kinds
}

/** Without `endWhen`, every purpose whose end somebody can tell ends it. */
const sourced = (written: Written, sources: Sources): readonly PurposeKind[] => (written.purpose ?? []).filter(kind => sources.get(kind)?.manual === true)

function endings({ report }: Compilation, path: Path, written: Written, sources: Sources): readonly PurposeKind[] {
  return (written.endWhen ?? []).flatMap((ending, i) => {
    const kind = KIND_OF[ending]
    const place = [...path, 'endWhen', i]
    if (kind === null) {
      if (written.approval === 'none') report.error(place, `'${ending}' can only end what needs an approval`)
      return []
    }
    if (written.purpose?.includes(kind) !== true) report.error(place, `'${ending}' cannot end it: '${kind}' is not among its purposes`, `add ${kind} to \`purpose\``)
    else if (sources.has(kind) && sources.get(kind)?.manual !== true) report.error(place, `nothing delivers '${ending}'`, `write \`source: manual\` in purposes.${kind} to take an operator's word`)
    return [kind]
  })
}

function params({ report }: Compilation, path: Path, written: Written): ReadonlyMap<string, ParamSpec> {
  const entries = Object.entries(written.params ?? {})
  if (entries.length > PARAMS_MAX) report.errorAtKey([...path, 'params'], `must not have more than ${PARAMS_MAX} entries`)
  return new Map(entries.map(([name, { type, max, required }]) => {
    if (max !== undefined && type === 'boolean') report.errorAtKey([...path, 'params', name, 'max'], '`max` has no meaning for a boolean')
    return [name, { type, max: max ?? null, required }]
  }))
}

function profile(c: Compilation, name: string, written: Written, sources: Sources): Profile {
  const path: Path = ['elevations', name]
  const max = written.max ?? written.for
  if (max < written.for) c.report.error([...path, 'max'], '`max` is shorter than `for`')
  const { approval } = written
  return {
    name,
    title: written.title ?? name,
    adds: scopeOf(written.adds),
    eligible: subjectCondition(c, [...path, 'eligible'], written.eligible),
    params: params(c, path, written),
    for: written.for, max,
    purposes: purposes(c, path, written, sources),
    approval: approval === 'none' ? null : { count: approval.count, within: approval.within ?? null, extend: approval.extend },
    endWhen: written.endWhen === undefined ? sourced(written, sources) : [...new Set(endings(c, path, written, sources))],
  }
}

export const profilesOf = (c: Compilation, sources: Sources): ReadonlyMap<string, Profile> =>
  new Map(Object.entries(c.config.elevations).map(([name, written]) => [name, profile(c, name, written, sources)]))
