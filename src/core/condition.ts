// A compiled condition as the core sees it: a pure question about one case and one candidate grant. Compiled in conditions/.
// SPEC: DEC5
import type { TicketFacts } from './anchor.ts'
import type { ToolTraits } from './call.ts'
import type { Elevation } from './elevation.ts'
import type { Evaluation } from './evaluation.ts'
import type { PathParams } from './path-pattern.ts'
import type { Claims, Principal } from './principal.ts'
import type { Purposes } from './purpose.ts'
import type { SessionId } from './session.ts'
import type { Stats } from './stats.ts'

export type ConditionInput = {
  readonly principal: Principal
  readonly claims: Claims
  readonly session: SessionId | null
  readonly evaluation: Evaluation
  readonly params: PathParams
  /** The candidate under which the condition is asked; null on baseline. */
  readonly elevation: Elevation | null
  /** What the configuration says of the tool that is called; null where that is nothing. */
  readonly traits: ToolTraits | null
}

export type Condition = {
  readonly source: string
  readonly readsElevation: boolean
  /** It reads the body: asked only where that was read. */
  readonly readsBody: boolean
  /** It reads a message of MCP. */
  readonly readsMcp: boolean
  /** It reads what a tool is called with: asked only where that is known. */
  readonly readsArguments: boolean
  /** Never throws: what cannot be evaluated is `error`, which the judge refuses and the metrics count. */
  readonly test: (input: ConditionInput) => 'true' | 'false' | 'error'
}

/** A text of the request, such as the tenant that a path names; null where it cannot be read. Never throws. */
export type TextExpression = { readonly source: string; readonly read: (input: ConditionInput) => string | null }

/** A JSON value made of the request, objects as plain ones; `error` where there is none. Never throws. */
export type ValueExpression = { readonly source: string; readonly readsBody: boolean; readonly readsMcp: boolean; readonly read: (input: ConditionInput) => { readonly is: 'value'; readonly value: unknown } | { readonly is: 'error' } }

/** A condition about the caller alone: `eligible`, `when`. */
export type SubjectCondition = {
  readonly source: string
  readonly test: (principal: Principal, claims: Claims) => 'true' | 'false' | 'error'
}

/** What a request turned out to be, as risk rules read it; `refused` false while it is not judged yet. */
export type Outcome = { readonly refused: boolean; readonly reason: string }

export type RiskInput = {
  readonly principal: Principal
  readonly claims: Claims
  readonly evaluation: Evaluation
  readonly route: string
  readonly rule: string
  readonly label: string
  readonly stats: Stats
  readonly outcome: Outcome
  readonly isOpen: (window: string) => boolean
}

/** A condition about conduct. Never throws: what cannot be evaluated is `error`, which adds nothing and is counted. */
export type RiskCondition = { readonly source: string; readonly test: (input: RiskInput) => 'true' | 'false' | 'error' }

export type TaskInput = {
  readonly principal: Principal
  /** null where nobody's credential was seen here. */
  readonly claims: Claims | null
  /** Without entries where there is no ticket. */
  readonly ticket: TicketFacts
  readonly purposes: Purposes
  readonly params: Elevation['params']
}

/** A condition about a task: its ticket, what it is for, and who asks. `unknown`: it reads claims that nobody showed here. */
export type TaskCondition = {
  readonly source: string
  readonly readsTicket: boolean
  readonly test: (input: TaskInput) => 'true' | 'false' | 'error' | 'unknown'
}
