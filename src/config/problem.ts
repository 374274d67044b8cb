// One thing that is wrong with a configuration file, or worth a warning, and how it is shown: place, sentence, source line with caret, hint.
// SPEC: CFG2
export type Problem = {
  readonly file: string
  /** From 1; both are 0 where the problem is the file itself. */
  readonly line: number
  readonly column: number
  readonly message: string
  readonly hint: string | null
  /** The source line, and how many characters of it are meant. */
  readonly excerpt: { readonly text: string; readonly width: number } | null
}

/** A problem of a file as a whole. */
export const aboutFile = (file: string, message: string, hint: string | null = null): Problem => ({ file, line: 0, column: 0, message, hint, excerpt: null })

/** Collects problems; a file is reported with everything that is wrong with it. */
export const PROBLEMS_MAX = 100

const WIDTH_MAX = 120

function caret({ column, excerpt }: Problem): readonly string[] {
  if (excerpt === null) return []
  const start = column > WIDTH_MAX - 20 ? column - 60 : 0
  const shown = excerpt.text.slice(start, start + WIDTH_MAX).replaceAll('\t', ' ')
  const width = Math.max(1, Math.min(excerpt.width, shown.length - (column - 1 - start)))
  return [`    ${shown}`, `    ${' '.repeat(column - 1 - start)}${'^'.repeat(width)}`]
}

/** `file:line:col: message`, the source line with carets, and the hint; no line feed at the end. */
export function formatProblem(problem: Problem): string {
  const place = problem.line === 0 ? problem.file : `${problem.file}:${problem.line}:${problem.column}`
  const hint = problem.hint === null ? [] : [`    hint: ${problem.hint}`]
  return [`${place}: ${problem.message}`, ...caret(problem), ...hint].join('\n')
}
