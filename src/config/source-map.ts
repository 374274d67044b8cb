// From a place in the data (`routes`, 0, `rules`, 1, `if`) to a place in the text, also inside a scalar. SPEC: CFG2
import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node, type Pair, Scalar } from 'yaml'
import type { Problem } from './problem.ts'

export type Step = string | number
export type Path = readonly Step[]

/** Half-open, in UTF-16 units of the text. */
type Range = { readonly start: number; readonly end: number }

const rangeOf = (node: unknown): Range | null => {
  const range = typeof node === 'object' && node !== null && 'range' in node ? (node as Node).range : null // nodes of a parsed document have one
  return range == null ? null : { start: range[0], end: range[1] }
}

type Found = { readonly key: unknown; readonly value: unknown }

function child(node: unknown, step: Step): Found | null {
  if (isMap(node)) {
    const pair = node.items.find((item: Pair) => isScalar(item.key) && String(item.key.value) === String(step))
    return pair === undefined ? null : { key: pair.key, value: pair.value }
  }
  if (!isSeq(node) || typeof step !== 'number') return null
  const item = node.items[step]
  return item === undefined ? null : { key: null, value: item }
}

export class SourceMap {
  readonly #text: string
  readonly #file: string
  readonly #document: Document
  readonly #lines: LineCounter
  constructor(text: string, file: string, document: Document, lines: LineCounter) {
    this.#text = text
    this.#file = file
    this.#document = document
    this.#lines = lines
  }

  /** The key and value at a path; of the nearest thing above where there is none. */
  #find(path: Path): { readonly found: Found; readonly exact: boolean } {
    let found: Found = { key: null, value: this.#document.contents }
    for (const step of path) {
      const value = isAlias(found.value) ? found.value.resolve(this.#document) : found.value
      const next = child(value, step)
      if (next === null) return { found, exact: false }
      found = next
    }
    return { found, exact: true }
  }

  /** Where a value is; where the path does not exist, the key (or first line) of the nearest thing above. */
  value(path: Path): Range {
    const { found, exact } = this.#find(path)
    const own = rangeOf(found.value)
    if (exact && own !== null && own.end > own.start) return own
    return rangeOf(found.key) ?? own ?? { start: 0, end: 0 }
  }

  key(path: Path): Range {
    const { found, exact } = this.#find(path)
    return (exact ? rangeOf(found.key) : null) ?? this.value(path)
  }

  /** Where the character `at` of a text value is; the value's beginning where the text was not written as it reads. */
  inside(path: Path, at: number): Range {
    const whole = this.value(path)
    const { value: node } = this.#find(path).found
    if (!isScalar(node) || typeof node.value !== 'string') return whole
    const start = this.#insideScalar(node, node.value, whole, at)
    return start === null ? whole : { start, end: start + 1 }
  }

  #insideScalar(node: Scalar, value: string, whole: Range, at: number): number | null {
    if (node.type === Scalar.BLOCK_LITERAL) return this.#insideBlock(value, whole, at)
    const quoted = node.type === Scalar.QUOTE_SINGLE || node.type === Scalar.QUOTE_DOUBLE ? 1 : 0
    const written = this.#text.slice(whole.start + quoted, whole.end - quoted)
    return written === value ? whole.start + quoted + at : null
  }

  /** In a `|` block each line of the value is a line of the text behind its indentation. */
  #insideBlock(value: string, whole: Range, at: number): number | null {
    const before = value.slice(0, at).split('\n')
    let start = this.#text.indexOf('\n', whole.start) + 1
    for (let i = 1; i < before.length; i++) start = this.#text.indexOf('\n', start) + 1
    const line = value.split('\n')[before.length - 1] ?? ''
    const indent = this.#text.slice(start, this.#text.indexOf('\n', start)).indexOf(line)
    return start === 0 || indent < 0 ? null : start + indent + (before.at(-1)?.length ?? 0)
  }

  problem(range: Range, message: string, hint: string | null): Problem {
    const { line, col } = this.#lines.linePos(Math.min(range.start, this.#text.length))
    if (line === 0) return { file: this.#file, line: 1, column: 1, message, hint, excerpt: null }
    const from = this.#lines.lineStarts[line - 1] ?? 0
    const to = this.#lines.lineStarts[line] ?? this.#text.length + 1
    const text = this.#text.slice(from, to - 1).replace(/\r$/, '')
    return { file: this.#file, line, column: col, message, hint, excerpt: { text, width: Math.max(1, Math.min(range.end, from + text.length) - range.start) } }
  }
}
