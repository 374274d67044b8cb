// Text to YAML document: YAML 1.2, unique text keys, one document, bounded in size, depth and aliases. SPEC: CFG2
import { type Document, isMap, isScalar, isSeq, LineCounter, parseDocument, visit, type YAMLError, type YAMLWarning } from 'yaml'
import type { Problem } from './problem.ts'
import { SourceMap } from './source-map.ts'

export const FILE_BYTES_MAX = 1024 * 1024
const DEPTH_MAX = 32
const ALIASES_MAX = 100

type Parsed = { readonly ok: true; readonly document: Document; readonly map: SourceMap } | { readonly ok: false; readonly problems: readonly Problem[] }

const whole = (file: string, message: string, hint: string | null = null): Parsed => ({ ok: false, problems: [{ file, line: 0, column: 0, message, hint, excerpt: null }] })

type Wording = { readonly message: string; readonly hint: string | null }

const WORDINGS: { readonly [code: string]: Wording } = {
  TAG_RESOLVE_FAILED: { message: 'YAML tags are not used here', hint: 'a condition that begins with `!` must be quoted' },
  DUPLICATE_KEY: { message: 'this key is there twice', hint: 'names must be unique' },
  MULTIPLE_DOCS: { message: 'the file holds more than one document', hint: null },
  NON_STRING_KEY: { message: 'keys must be text', hint: 'quote it' },
  TAB_AS_INDENT: { message: 'indentation must be spaces, not tabs', hint: null },
  RESOURCE_EXHAUSTION: { message: 'the file is nested too deeply', hint: null },
}

function wording(error: YAMLError | YAMLWarning): Wording {
  const known = WORDINGS[error.code]
  if (known !== undefined) return known
  const message = (error.message.split('\n', 1)[0] ?? '').replace(/ at line \d+, column \d+:?$/, '')
  return { message: `not valid YAML: ${message}`, hint: /Nested mappings|Implicit/.test(message) ? 'a condition that holds `: ` or ` #` must be quoted' : null }
}

/** Depth, aliases and keys that JavaScript would take for something else. */
function shapeFaults(document: Document, map: SourceMap): readonly Problem[] {
  const problems: Problem[] = []
  let aliases = 0
  const add = (range: readonly number[] | null | undefined, message: string): void => {
    if (problems.length < 10) problems.push(map.problem({ start: range?.[0] ?? 0, end: range?.[1] ?? 0 }, message, null))
  }
  visit(document, {
    Node(_, node, ancestors) {
      if (ancestors.filter(ancestor => isMap(ancestor) || isSeq(ancestor)).length <= DEPTH_MAX) return undefined
      add(node.range, `nested more than ${DEPTH_MAX} deep`)
      return visit.BREAK
    },
    Alias(_, node) {
      aliases += 1
      if (aliases === ALIASES_MAX + 1) add(node.range, `more than ${ALIASES_MAX} aliases`)
    },
    Pair(_, { key }) {
      if (isScalar(key) && key.value === '__proto__') add(key.range, 'this key is not allowed')
    },
  })
  return problems
}

function parsed(text: string, file: string): Parsed {
  const lines = new LineCounter()
  const document: Document = parseDocument(text, { lineCounter: lines, version: '1.2', schema: 'core', strict: true, uniqueKeys: true, stringKeys: true, prettyErrors: true })
  const map = new SourceMap(text, file, document, lines)
  const faults = [...document.errors, ...document.warnings].map(error => {
    const { message, hint } = wording(error)
    return map.problem({ start: error.pos[0], end: error.pos[1] }, message, hint)
  })
  if (faults.length > 0) return { ok: false, problems: faults.slice(0, 20) }
  if (!isMap(document.contents)) return whole(file, 'the file holds no configuration', 'it begins with `version: 1`')
  const shape = shapeFaults(document, map)
  return shape.length > 0 ? { ok: false, problems: shape } : { ok: true, document, map }
}

export function parse(text: string, file: string): Parsed {
  if (new TextEncoder().encode(text).length > FILE_BYTES_MAX) return whole(file, 'the file is larger than 1 MiB')
  try {
    return parsed(text, file)
  } catch (error) {
    return whole(file, `not readable as YAML: ${error instanceof RangeError ? 'it is nested too deeply' : 'the parser gave up'}`)
  }
}
