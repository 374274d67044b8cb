// Conditions of the file: compiled by their room, faults shown at their column in the text. SPEC: CFG4, CFG5
import { type Compiled, compileCondition, compileIdentityCondition, compileSubjectCondition, compileTaskCondition, compileText, compileValue } from '../../conditions/compile.ts'
import type { Condition, SubjectCondition, TaskCondition, TextExpression, ValueExpression } from '../../core/condition.ts'
import type { Path } from '../source-map.ts'
import type { Compilation } from './context.ts'

export function checked<T>({ report }: Compilation, path: Path, compiled: Compiled<T>): T | null {
  if (compiled.ok) return compiled.condition
  for (const { message, at, hint } of compiled.faults) report.errorInside(path, at, `condition, column ${at + 1}: ${message}`, hint)
  return null
}

/** Null where there is none, and where it is wrong, which is reported. */
export const ruleCondition = (c: Compilation, path: Path, source: string | undefined, params: ReadonlySet<string>): Condition | null =>
  source === undefined ? null : checked(c, path, compileCondition(source, params))

/** Of a route, by its own path parameters. */
export const textExpression = (c: Compilation, path: Path, source: string | undefined, params: ReadonlySet<string>): TextExpression | null =>
  source === undefined ? null : checked(c, path, compileText(source, params))

/** Of a rule, by its own path parameters. */
export const valueExpression = (c: Compilation, path: Path, source: string | undefined, params: ReadonlySet<string>): ValueExpression | null =>
  source === undefined ? null : checked(c, path, compileValue(source, params))

export const subjectCondition = (c: Compilation, path: Path, source: string | undefined): SubjectCondition | null =>
  source === undefined ? null : checked(c, path, compileSubjectCondition(source))

export const identityCondition = (c: Compilation, path: Path, source: string): SubjectCondition | null => checked(c, path, compileIdentityCondition(source))

export const taskCondition = (c: Compilation, path: Path, source: string | undefined): TaskCondition | null =>
  source === undefined ? null : checked(c, path, compileTaskCondition(source))
