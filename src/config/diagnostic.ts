// Says in the words of the file what the declaration found wrong: unknown and missing keys, wrong values, with the nearest right one.
// SPEC: CFG2, CFG3
import type { z } from 'zod'
import { jsonSchema, keysAt } from './json-schema.ts'
import type { Report } from './report.ts'
import { isUnsupportedKey, isUnsupportedMap, isUnsupportedValue } from './schema/unsupported.ts'
import type { Path, Step } from './source-map.ts'
import { didYouMean } from './spelling.ts'

type Issue = z.core.$ZodIssue

const SCHEMA = jsonSchema()
const NOT_YET = 'is not supported in this version'

const stepsOf = (path: readonly PropertyKey[]): readonly Step[] => path.map(step => (typeof step === 'number' ? step : String(step)))

function valueAt(data: unknown, path: Path): unknown {
  return path.reduce<unknown>((value, step) => (typeof value === 'object' && value !== null ? (value as { readonly [key: string]: unknown })[String(step)] : undefined), data) // asked by key only
}

const kindOf = (value: unknown): string => {
  if (value === null) return 'nothing'
  if (Array.isArray(value)) return 'a list'
  return { string: 'text', number: 'a number', boolean: 'true or false', object: 'a map' }[typeof value as 'string'] ?? typeof value // of YAML's kinds only
}

const shown = (value: unknown): string => (typeof value === 'string' ? `'${value.slice(0, 64)}'` : typeof value === 'boolean' ? String(value) : kindOf(value))

const EXPECTED: { readonly [type: string]: string } = {
  string: 'text', int: 'a whole number', number: 'a number', boolean: 'true or false', object: 'a map', record: 'a map', array: 'a list',
}

/** `routes[0].rules[1]`, or `the file`. */
const placeName = (path: Path): string =>
  path.length === 0 ? 'the file' : path.map((step, i) => (typeof step === 'number' ? `[${step}]` : `${i === 0 ? '' : '.'}${step}`)).join('')

/** Of a union the form that the written value has; its own issues say more than "none fits". */
function chosen(issue: Extract<Issue, { code: 'invalid_union' }>): readonly Issue[] {
  const bare = (branch: readonly Issue[]): boolean => branch.some(({ code, path }) => path.length === 0 && (code === 'invalid_type' || code === 'invalid_value'))
  const fitting = issue.errors.find(branch => !bare(branch))
  return (fitting ?? []).map(inner => ({ ...inner, path: [...issue.path, ...inner.path] }))
}

const formsOf = (issue: Extract<Issue, { code: 'invalid_union' }>): string =>
  [...new Set(issue.errors.flatMap(([first]) => {
    if (first?.code === 'invalid_type') return [EXPECTED[first.expected] ?? first.expected]
    return first?.code === 'invalid_value' ? first.values.map(value => `'${String(value)}'`) : []
  }))].join(' or ')

class Diagnostic {
  readonly #report: Report
  readonly #data: unknown
  constructor(report: Report, data: unknown) {
    this.#report = report
    this.#data = data
  }

  say(issue: Issue): void {
    const path = stepsOf(issue.path)
    const value = valueAt(this.#data, path)
    if (issue.code === 'unrecognized_keys') return issue.keys.forEach(key => this.#unknownKey(path, key))
    if (value === undefined && path.length > 0) return this.#missing(path)
    switch (issue.code) {
      case 'invalid_union': return this.#union(issue, path, value)
      case 'invalid_key': return this.#badKey(issue, path)
      case 'invalid_value': return this.#badValue(issue, path, value)
      case 'invalid_type': return this.#badType(issue, path, value)
      case 'too_small': case 'too_big': return this.#report.error(path, this.#bound(issue))
      case 'custom': case 'invalid_format': case 'invalid_element': case 'not_multiple_of': return this.#report.error(path, issue.message)
    }
  }

  #badType(issue: Extract<Issue, { code: 'invalid_type' }>, path: Path, value: unknown): void {
    if (isUnsupportedMap(path, value)) return this.#report.error(path, `this form of '${String(path.at(-1))}' ${NOT_YET}`)
    this.#report.error(path, issue.message.startsWith('Invalid input') ? `expected ${EXPECTED[issue.expected] ?? issue.expected}, found ${kindOf(value)}` : issue.message)
  }

  #bound(issue: Extract<Issue, { code: 'too_small' | 'too_big' }>): string {
    if (!/^Too (small|big)/.test(issue.message)) return issue.message
    if (issue.origin === 'string') return issue.code === 'too_small' ? 'must not be empty' : 'is too long'
    return issue.code === 'too_small' ? `must be at least ${issue.minimum}` : `must be at most ${issue.maximum}`
  }

  #unknownKey(path: Path, key: string): void {
    const at = [...path, key]
    if (isUnsupportedKey(at)) return this.#report.errorAtKey(at, `'${key}' ${NOT_YET}`)
    const known = keysAt(SCHEMA, path)
    this.#report.errorAtKey(at, `unknown key '${key}' in ${placeName(path)}`, didYouMean(key, known) ?? `known are: ${known.join(', ')}`)
  }

  #missing(path: Path): void {
    // A key of a later version stands for it: that is said already.
    const parent = valueAt(this.#data, path.slice(0, -1))
    if (typeof parent === 'object' && parent !== null && Object.keys(parent).some(key => isUnsupportedKey([...path.slice(0, -1), key]))) return
    this.#report.errorAtKey(path.slice(0, -1), `${placeName(path.slice(0, -1))} lacks the key '${String(path.at(-1))}'`)
  }

  #union(issue: Extract<Issue, { code: 'invalid_union' }>, path: Path, value: unknown): void {
    const inner = chosen(issue)
    if (inner.length > 0) return inner.forEach(each => this.say(each))
    this.#report.error(path, `expected ${formsOf(issue)}, found ${shown(value)}`)
  }

  #badKey(issue: Extract<Issue, { code: 'invalid_key' }>, path: Path): void {
    const key = String(path.at(-1))
    const [first] = issue.issues
    const known = keysAt(SCHEMA, path.slice(0, -1))
    if (first?.code === 'invalid_value') return this.#report.errorAtKey(path, `unknown key '${key}' in ${placeName(path.slice(0, -1))}`, didYouMean(key, known) ?? `known are: ${known.join(', ')}`)
    this.#report.errorAtKey(path, first?.message ?? issue.message)
  }

  #badValue(issue: Extract<Issue, { code: 'invalid_value' }>, path: Path, value: unknown): void {
    if (isUnsupportedValue(path, value)) return this.#report.error(path, `'${String(value)}' ${NOT_YET}`)
    if (!/^Invalid (input|option)/.test(issue.message)) return this.#report.error(path, issue.message)
    const known = issue.values.map(String)
    const found = shown(value)
    this.#report.error(path, `expected ${known.length === 1 ? '' : 'one of '}${known.join(', ')}, found ${found}`, typeof value === 'string' ? didYouMean(value, known) : null)
  }
}

const startsWith = (path: Path, prefix: Path): boolean => prefix.length <= path.length && prefix.every((step, i) => path[i] === step)

/** @param unfilled places whose reference could not be filled: whatever else is wrong there follows from it */
export function diagnose(issues: readonly Issue[], data: unknown, unfilled: readonly Path[], report: Report): void {
  const diagnostic = new Diagnostic(report, data)
  for (const issue of issues) if (!unfilled.some(path => startsWith(stepsOf(issue.path), path))) diagnostic.say(issue)
}
