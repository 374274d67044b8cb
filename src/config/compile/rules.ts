// The rules of one route: selectors, what they need, and the combinations that would not mean what they say. SPEC: CFG3, DEC2, DEC4
import type { PathPattern } from '../../core/path-pattern.ts'
import type { Rule } from '../../core/route.ts'
import type { Path } from '../source-map.ts'
import { ruleCondition } from './conditions.ts'
import type { Compilation } from './context.ts'
import { compilePath, namesOf } from './path.ts'

type WrittenRoute = Compilation['config']['routes'][number]
type WrittenRule = WrittenRoute['rules'][number]

const NEVER_FORWARDED: ReadonlySet<string> = new Set(['CONNECT', 'TRACE'])

/** The pattern at a place; what is wrong with it is reported. */
export function pathAt({ report }: Compilation, path: Path, written: string): PathPattern | null {
  const pattern = compilePath(written)
  if (typeof pattern !== 'string') return pattern
  report.error(path, `path pattern: ${pattern}`)
  return null
}

function combinations({ report }: Compilation, path: Path, rule: WrittenRule): void {
  if ((rule.allow === undefined) === (rule.deny === undefined)) report.error(path, 'a rule has exactly one of `allow` and `deny`')
  if (rule.deny !== undefined) {
    for (const key of ['scope', 'if'] as const) if (rule[key] !== undefined) report.errorAtKey([...path, key], `\`${key}\` has no meaning with \`deny\`, which refuses whatever its selector matches`)
    if (rule.anonymous) report.errorAtKey([...path, 'anonymous'], '`anonymous` has no meaning with `deny`')
  }
  if (rule.allow?.upgrade !== undefined) report.errorAtKey([...path, 'allow', 'upgrade'], 'relaying an upgrade is not supported in this version; without a rule that allows it every upgrade is refused')
  if (!rule.anonymous) return
  for (const key of ['scope', 'if'] as const) if (rule[key] !== undefined) report.errorAtKey([...path, key], `an anonymous rule has no session, so \`${key}\` would never be asked`)
}

function rule(c: Compilation, route: WrittenRoute, own: PathPattern | null, written: WrittenRule, path: Path, position: number): Rule {
  combinations(c, path, written)
  const effect = written.deny === undefined ? 'allow' : 'deny'
  const selector = written.deny ?? written.allow ?? {}
  const place = [...path, effect]
  selector.methods?.forEach((method, i) => {
    if (NEVER_FORWARDED.has(method)) c.report.error([...place, 'methods', i], `${method} is never forwarded`)
  })
  const paths = selector.paths?.flatMap((text, i) => pathAt(c, [...place, 'paths', i], text) ?? []) ?? null
  const params = new Set([...(own === null ? [] : namesOf(own)), ...(paths ?? []).flatMap(namesOf)])
  return {
    name: `${route.name}#${position}`,
    effect, paths,
    methods: selector.methods === undefined ? null : new Set(selector.methods),
    upgrade: selector.upgrade ?? null,
    anonymous: written.anonymous,
    scope: written.scope ?? null,
    condition: ruleCondition(c, [...path, 'if'], written.if, params),
  }
}

export const rulesOf = (c: Compilation, route: WrittenRoute, own: PathPattern | null, path: Path): readonly Rule[] =>
  route.rules.map((written, i) => rule(c, route, own, written, [...path, 'rules', i], i + 1))
