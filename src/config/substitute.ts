// `${env:NAME}`, `${env:NAME:-default}` and `${file:/path}` in scalar values, put in after parsing: what comes from outside can never
// become structure. `$${` writes a plain `${`. Keys are never touched. SPEC: CFG6
import { type Document, isMap, isScalar, isSeq, Scalar } from 'yaml'
import type { Environment } from './environment.ts'
import type { Problem } from './problem.ts'
import type { Path, SourceMap } from './source-map.ts'

const VALUE_MAX = 64 * 1024
const REFERENCE = /\$?\$\{([^}]*)\}|\$?\$\{/g

type Answer = { readonly value: string } | { readonly fault: string; readonly hint: string | null }

function fromEnvironment(spec: string, environment: Environment): Answer {
  const [, name = '', fallback] = /^([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?$/s.exec(spec) ?? []
  if (name === '') return { fault: `'${spec}' is not the name of an environment variable`, hint: null }
  const value = environment.variable(name) ?? fallback
  if (value === undefined) return { fault: `the environment variable ${name} is not set`, hint: `\${env:${name}:-default} gives a default` }
  return { value }
}

function fromFile(path: string, environment: Environment): Answer {
  if (!path.startsWith('/')) return { fault: `'${path}' is not an absolute path`, hint: null }
  const text = environment.read(path)
  if (text === null) return { fault: `the file ${path} cannot be read`, hint: null }
  return { value: text.replace(/\r?\n$/, '') }
}

function resolved(spec: string | undefined, environment: Environment): Answer {
  if (spec?.startsWith('env:')) return fromEnvironment(spec.slice(4), environment)
  if (spec?.startsWith('file:')) return fromFile(spec.slice(5), environment)
  return { fault: 'only ${env:NAME}, ${env:NAME:-default} and ${file:/path} can be put in', hint: 'write $${ for a plain ${' }
}

/** An unquoted scalar that is one whole reference is read as if its value stood there unquoted: a number stays a number. */
function typed(node: Scalar, before: string, after: string): unknown {
  if (node.type !== Scalar.PLAIN || !/^\$\{[^}]*\}$/.test(before)) return after
  if (after === 'true' || after === 'false') return after === 'true'
  return /^-?(0|[1-9]\d{0,14})$/.test(after) ? Number(after) : after
}

type Substituted = {
  readonly problems: readonly Problem[]
  /** Places that could not be filled: what is wrong there was said. */
  readonly unfilled: readonly Path[]
  readonly filled: readonly Path[]
  /** What was put in: never shown in a message. */
  readonly values: readonly string[]
}

class Substitution {
  readonly problems: Problem[] = []
  readonly unfilled: Path[] = []
  readonly filled: Path[] = []
  readonly values: string[] = []
  readonly #environment: Environment
  readonly #map: SourceMap
  constructor(environment: Environment, map: SourceMap) {
    this.#environment = environment
    this.#map = map
  }

  walk(node: unknown, path: Path): void {
    if (isMap(node)) for (const { key, value } of node.items) this.walk(value, [...path, isScalar(key) ? String(key.value) : ''])
    else if (isSeq(node)) node.items.forEach((item, i) => this.walk(item, [...path, i]))
    else if (isScalar(node) && typeof node.value === 'string' && node.value.includes('${')) this.#fill(node, node.value, path)
  }

  #fill(node: Scalar, text: string, path: Path): void {
    const range = this.#map.value(path)
    let failed = false
    const filled = text.replaceAll(REFERENCE, (reference: string, spec: string | undefined) => {
      if (reference.startsWith('$$')) return reference.slice(1)
      const answer = resolved(spec, this.#environment)
      if ('value' in answer) {
        this.values.push(answer.value)
        return answer.value
      }
      failed = true
      this.problems.push(this.#map.problem(range, answer.fault, answer.hint))
      return ''
    })
    if (filled.length > VALUE_MAX) this.problems.push(this.#map.problem(range, 'the value is longer than 64 KiB', null))
    if (failed || filled.length > VALUE_MAX) this.unfilled.push(path)
    else {
      this.filled.push(path)
      node.value = typed(node, text, filled)
    }
  }
}

export function substitute(document: Document, map: SourceMap, environment: Environment): Substituted {
  const substitution = new Substitution(environment, map)
  substitution.walk(document.contents, [])
  return substitution
}
