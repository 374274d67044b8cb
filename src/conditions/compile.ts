// Compiles a condition's text to a function of the judge's input, or tells what is wrong with it and where.
// A compiled condition never throws and never waits: what cannot be evaluated is `error`. SPEC: DEC5, CFG4, CFG5
import type { ParseResult } from '@marcbachmann/cel-js'
import type { Condition, RiskCondition, SubjectCondition, TaskCondition, TextExpression, ValueExpression } from '../core/condition.ts'
import { RiskContext, RuleContext, SubjectContext, TaskContext } from './context.ts'
import { type ContextKind, ENVIRONMENTS, VETTED_IN_CIDR, VETTED_MATCHES } from './environment.ts'
import { plainJson } from './json-value.ts'
import { type Fault, harden, survey } from './syntax.ts'
import type { Root } from './vocabulary.ts'

const CONDITION_BYTES_MAX = 2048

/** What is wrong with a condition; `at` counts UTF-16 units from its beginning. */
type ConditionFault = Fault & { readonly hint: string | null }

export type Compiled<T> = { readonly ok: true; readonly condition: T } | { readonly ok: false; readonly faults: readonly ConditionFault[] }

type Program = (context: object) => unknown
type Ready = { readonly ok: true; readonly program: Program; readonly roots: ReadonlySet<Root>; readonly windows: ReadonlyMap<string, number> } | { readonly ok: false; readonly faults: readonly ConditionFault[] }

const HARDENED: ReadonlyMap<string, string> = new Map([['matches', VETTED_MATCHES], ['inCidr', VETTED_IN_CIDR]])

type CelError = { readonly code?: string; readonly summary?: string; readonly message: string; readonly range?: { readonly start: number } }

function hintFor(error: CelError, kind: ContextKind): string | null {
  const text = error.summary ?? error.message
  if (error.code === 'unknown_variable' && /\bnow\b/.test(text)) return 'conditions know no time; use `for`, `max` or `until`'
  if (error.code === 'unknown_variable') return ROOTS_OF[kind]
  if (/double|dyn<double>/.test(text) && /\bint\b/.test(text)) return 'numbers from outside are doubles: write 1.0 instead of 1'
  return null
}

function faultOf(error: unknown, kind: ContextKind): ConditionFault {
  const e = error as CelError // whatever the library throws has a message; the rest is asked for
  return { message: e.summary ?? e.message, at: e.range?.start ?? 0, hint: hintFor(e, kind) }
}

/** What can be read, kind by kind. */
const ROOTS_OF: { readonly [K in ContextKind]: string } = {
  rule: 'the roots are subject, request, path, source, session, elevation and, with `inspect: json`, body, and on routes with `mcp`, mcp', subject: 'only `subject` can be read here', identity: 'only `identity` can be read here',
  risk: 'the roots are subject, stats, outcome, window, route, request and source',
  task: 'the roots are subject, ticket, purpose and params', message: 'only `body` can be read here',
}

const failed = (message: string, hint: string | null = null): Ready => ({ ok: false, faults: [{ message, at: 0, hint }] })

function parsed(source: string, kind: ContextKind): ParseResult | ConditionFault {
  try {
    return ENVIRONMENTS[kind].parse(source)
  } catch (error) {
    return faultOf(error, kind)
  }
}

/** The tree of a checked condition carries checker state, so the bounded one is parsed afresh. */
function bounded(source: string, kind: ContextKind): Program {
  const program = ENVIRONMENTS[kind].parse(source)
  harden(program.ast, HARDENED)
  const { valid, error } = program.check()
  if (!valid) throw error ?? new Error('a checked condition must check again')
  return program
}

const NUMBERS: ReadonlySet<string> = new Set(['double', 'int', 'uint'])

function ready(source: string, kind: ContextKind, params: ReadonlySet<string> | null, gives: 'bool' | 'string' | 'number' | 'value' = 'bool'): Ready {
  if (source.trim() === '') return failed('the condition is empty')
  if (new TextEncoder().encode(source).length > CONDITION_BYTES_MAX) return failed(`the condition is longer than ${CONDITION_BYTES_MAX} bytes`)
  const first = parsed(source, kind)
  if ('message' in first) return { ok: false, faults: [first] }
  const { roots, windows, faults } = survey(first.ast, params)
  const { valid, type, error } = first.check()
  if (!valid) return { ok: false, faults: [faultOf(error, kind), ...faults.map(fault => ({ ...fault, hint: null }))] }
  if (faults.length > 0) return { ok: false, faults: faults.map(fault => ({ ...fault, hint: null })) }
  const isOpen = kind === 'message' && type === 'dyn' // what a message holds shows when it is read
  if (!(gives === 'value' || (gives === 'number' ? NUMBERS.has(type ?? '') : type === gives)) && !isOpen) return failed(`the condition gives ${type ?? 'nothing'}, not ${gives}`, type === 'dyn' && gives === 'bool' ? 'compare it: `… == true`' : null)
  try {
    return { ok: true, program: bounded(source, kind), roots, windows }
  } catch (thrown) {
    return { ok: false, faults: [faultOf(thrown, kind)] }
  }
}

function answer(program: Program, context: object): 'true' | 'false' | 'error' {
  try {
    const value = program(context)
    return value === true ? 'true' : value === false ? 'false' : 'error'
  } catch {
    return 'error'
  }
}

function textOf(program: Program, context: object): string | null {
  try {
    const value = program(context)
    return typeof value === 'string' ? value : null
  } catch {
    return null
  }
}

function numberOf(program: Program, context: object): number | null {
  try {
    const value = program(context)
    return typeof value === 'number' || typeof value === 'bigint' ? Number(value) : null
  } catch {
    return null
  }
}

function valueOf(program: Program, context: object): ReturnType<ValueExpression['read']> {
  try {
    return { is: 'value', value: plainJson(program(context)) }
  } catch {
    return { is: 'error' }
  }
}

/**
 * A rule's `if`.
 * @param params names of the path parameters a request of this rule can have
 */
export function compileCondition(source: string, params: ReadonlySet<string>): Compiled<Condition> {
  const made = ready(source, 'rule', params)
  if (!made.ok) return made
  const { program } = made
  const readsElevation = made.roots.has('elevation')
  return {
    ok: true,
    condition: { source, readsElevation, readsBody: made.roots.has('body'), readsMcp: made.roots.has('mcp'), readsArguments: made.roots.has('mcp') && /\bargs\b/.test(source), test: input => (readsElevation && input.elevation === null ? 'false' : answer(program, new RuleContext(input))) },
  }
}

/** Members of `mcp.args` that a rule's `if` names, and where; none where it does not compile. */
export function argumentsRead(source: string): ReadonlyMap<string, number> {
  const tree = parsed(source, 'rule')
  return 'message' in tree ? new Map() : survey(tree.ast, null).args
}

/** A text of the request, such as the tenant it touches; asked before a grant is chosen, so it knows no elevation. */
export function compileText(source: string, params: ReadonlySet<string>): Compiled<TextExpression> {
  const made = ready(source, 'rule', params, 'string')
  if (!made.ok) return made
  for (const root of ['elevation', 'body', 'mcp'] as const) if (made.roots.has(root)) return { ok: false, faults: [{ message: `\`${root}\` cannot be read here`, at: 0, hint: null }] }
  const { program } = made
  return { ok: true, condition: { source, read: input => textOf(program, new RuleContext(input)) } }
}

/** A value of the request for somebody outside; it tells of the session as a whole, so it knows no elevation. */
export function compileValue(source: string, params: ReadonlySet<string>): Compiled<ValueExpression> {
  const made = ready(source, 'rule', params, 'value')
  if (!made.ok) return made
  if (made.roots.has('elevation')) return { ok: false, faults: [{ message: '`elevation` cannot be read here', at: 0, hint: null }] }
  const { program } = made
  return { ok: true, condition: { source, readsBody: made.roots.has('body'), readsMcp: made.roots.has('mcp'), read: input => valueOf(program, new RuleContext(input)) } }
}

/** A condition about the caller alone: `eligible`, `when`. */
export function compileSubjectCondition(source: string): Compiled<SubjectCondition> {
  const made = ready(source, 'subject', null)
  if (!made.ok) return made
  const { program } = made
  return { ok: true, condition: { source, test: (principal, claims) => answer(program, new SubjectContext(principal, claims)) } }
}

/** A condition about what an operator's credential says alone: roles. */
export function compileIdentityCondition(source: string): Compiled<SubjectCondition> {
  const made = ready(source, 'identity', null)
  if (!made.ok) return made
  const { program } = made
  return { ok: true, condition: { source, test: (_, identity) => answer(program, { identity }) } }
}

/** A condition about a task: `require`, `autoWhen`. */
export function compileTaskCondition(source: string): Compiled<TaskCondition> {
  const made = ready(source, 'task', null)
  if (!made.ok) return made
  const { program } = made
  const readsClaims = /\bclaims\b/.test(source)
  return { ok: true, condition: { source, readsTicket: made.roots.has('ticket'), test: input => (readsClaims && input.claims === null ? 'unknown' : answer(program, new TaskContext(input))) } }
}

/**
 * A condition about a caller's conduct: the `when` of a risk rule.
 * @returns also the windows it asks about, and where they are named
 */
export function compileRiskCondition(source: string): Compiled<RiskCondition & { readonly windows: ReadonlyMap<string, number> }> {
  const made = ready(source, 'risk', null)
  if (!made.ok) return made
  const { program, windows } = made
  return { ok: true, condition: { source, windows, test: input => answer(program, new RiskContext(input)) } }
}

/** What a connector heard, as a function of the JSON. Never throws. */
export type MessageText = { readonly source: string; readonly read: (message: unknown) => string | null }
export type MessageTest = { readonly source: string; readonly test: (message: unknown) => 'true' | 'false' | 'error' }

/** A text of a message, such as the ticket's id; null where it is none. */
export function compileMessageText(source: string): Compiled<MessageText> {
  const made = ready(source, 'message', null, 'string')
  if (!made.ok) return made
  const { program } = made
  return { ok: true, condition: { source, read: message => textOf(program, { body: message }) } }
}

/** A number of a message, such as a score; null where it is none. */
export type MessageNumber = { readonly source: string; readonly read: (message: unknown) => number | null }

export function compileMessageNumber(source: string): Compiled<MessageNumber> {
  const made = ready(source, 'message', null, 'number')
  if (!made.ok) return made
  const { program } = made
  return { ok: true, condition: { source, read: message => numberOf(program, { body: message }) } }
}

export function compileMessageTest(source: string): Compiled<MessageTest> {
  const made = ready(source, 'message', null)
  if (!made.ok) return made
  const { program } = made
  return { ok: true, condition: { source, test: message => answer(program, { body: message }) } }
}

/** A value of a message, as strict JSON is read: objects are Maps. Undefined, which no JSON says, where it is none. */
export type MessageValue = { readonly source: string; readonly read: (message: unknown) => unknown }

const VALUE_DEPTH_MAX = 32

/** @throws RangeError for what JSON does not know */
function jsonOf(value: unknown, depth = 0): unknown {
  if (depth > VALUE_DEPTH_MAX) throw new RangeError('nested too deep')
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value
  if ((typeof value === 'bigint' || typeof value === 'number') && Number.isFinite(Number(value)) && (typeof value === 'number' || Number.isSafeInteger(Number(value)))) return Number(value)
  if (Array.isArray(value)) return value.map(item => jsonOf(item, depth + 1))
  const members = value instanceof Map ? [...value] : value instanceof Object && Object.getPrototypeOf(value) === Object.prototype ? Object.entries(value) : null
  if (members === null) throw new RangeError('no JSON')
  return new Map(members.map(([name, of]) => [String(name), jsonOf(of, depth + 1)]))
}

export function compileMessageValue(source: string): Compiled<MessageValue> {
  const made = ready(source, 'message', null, 'value')
  if (!made.ok) return made
  const { program } = made
  const read = (message: unknown): unknown => {
    try {
      return jsonOf(program({ body: message }))
    } catch {
      return undefined // CEL's own errors, or what JSON does not know
    }
  }
  return { ok: true, condition: { source, read } }
}
