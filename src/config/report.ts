// Where the parts of the compiler say what is wrong, by place in the data. SPEC: CFG2
import { type Problem, PROBLEMS_MAX } from './problem.ts'
import type { Path, SourceMap } from './source-map.ts'

export class Report {
  readonly #map: SourceMap
  readonly #filled: ReadonlySet<string>
  readonly errors: Problem[] = []
  readonly warnings: Problem[] = []
  /** @param filled places whose text came from the environment or a file */
  constructor(map: SourceMap, filled: readonly Path[]) {
    this.#map = map
    this.#filled = new Set(filled.map(path => JSON.stringify(path)))
  }

  error(path: Path, message: string, hint: string | null = null): void {
    this.#add(this.errors, this.#map.problem(this.#map.value(path), message, hint))
  }

  /** About a key rather than its value: one that is unknown, or whose value is a whole block. */
  errorAtKey(path: Path, message: string, hint: string | null = null): void {
    this.#add(this.errors, this.#map.problem(this.#map.key(path), message, hint))
  }

  /** About character `at` of a text value. */
  errorInside(path: Path, at: number, message: string, hint: string | null = null): void {
    if (this.#filled.has(JSON.stringify(path))) return this.error(path, 'the text that is put in here is not accepted')
    this.#add(this.errors, this.#map.problem(this.#map.inside(path, at), message, hint))
  }

  warn(path: Path, message: string, hint: string | null = null): void {
    this.#add(this.warnings, this.#map.problem(this.#map.key(path), message, hint))
  }

  #add(to: Problem[], problem: Problem): void {
    if (to.length < PROBLEMS_MAX) to.push(problem)
  }
}

const byPlace = (a: Problem, b: Problem): number => a.line - b.line || a.column - b.column

export const inOrder = (problems: readonly Problem[]): readonly Problem[] => [...problems].sort(byPlace)
