// A configuration file's text to Settings, whole or not at all. Pure but for the environment it is given; never throws. SPEC: CFG1, CFG2
import { sha256 } from '../runtime/id.ts'
import { compile } from './compile/compile.ts'
import { diagnose } from './diagnostic.ts'
import type { Environment } from './environment.ts'
import { parse } from './parse.ts'
import type { Problem } from './problem.ts'
import { inOrder, Report } from './report.ts'
import { document as declaration } from './schema/document.ts'
import type { Settings } from './settings.ts'
import { substitute } from './substitute.ts'

export type Loaded =
  | { readonly ok: true; readonly settings: Settings; readonly warnings: readonly Problem[] }
  | { readonly ok: false; readonly problems: readonly Problem[] }

/** JSON with sorted keys, so that the same configuration has the same digest however it is written. */
function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${canonicalJson(inner)}`).join(',')}}`
}

/** What came from the environment or a file is not shown: whoever may try a configuration may not read those. */
function withheld(values: readonly string[]): (problem: Problem) => Problem {
  const shown = [...new Set(values.flatMap(value => [value, value.slice(0, 64), value.toLowerCase()]))].filter(value => value.length > 3)
  const without = (text: string): string => shown.reduce((kept, value) => kept.replaceAll(value, '…'), text)
  return problem => ({ ...problem, message: without(problem.message), hint: problem.hint === null ? null : without(problem.hint) })
}

function plainData(toJS: () => unknown): { readonly data: unknown } | null {
  try {
    return { data: toJS() }
  } catch {
    return null // an alias bomb: more nodes than `maxAliasCount` allows
  }
}

/**
 * @param file how messages call it
 * @returns every problem found, in the order of the file; Settings only where there is none
 */
export function load(text: string, file: string, environment: Environment): Loaded {
  const parsed = parse(text, file)
  if (!parsed.ok) return parsed
  const { document, map } = parsed
  const { problems, unfilled, filled, values } = substitute(document, map, environment)
  const refused = (found: readonly Problem[]): Loaded => ({ ok: false, problems: inOrder(found.map(withheld(values))) })
  const plain = plainData(() => document.toJS({ maxAliasCount: 100 }))
  if (plain === null) return refused([...problems, map.problem({ start: 0, end: 0 }, 'its aliases expand to too much', null)])
  const report = new Report(map, filled)
  const checked = declaration.safeParse(plain.data)
  if (!checked.success) {
    diagnose(checked.error.issues, plain.data, unfilled, report)
    return refused([...problems, ...report.errors])
  }
  const settings = compile({ config: checked.data, report, environment }, sha256(canonicalJson(plain.data)))
  if (problems.length + report.errors.length > 0) return refused([...problems, ...report.errors])
  return { ok: true, settings, warnings: inOrder(report.warnings.map(withheld(values))) }
}
