// The question to a policy decision point in AuthZEN's four parts (Authorization API 1.0, §5): what is asked where nothing else is configured, and what the
// configuration puts in its place or beside it. Nothing of a credential, no header and no body unless an expression names it. SPEC: PEP1
import { type Call, traitsOf } from '../../core/call.ts'
import type { Case } from '../../core/checks/check.ts'
import type { ConditionInput, ValueExpression } from '../../core/condition.ts'
import type { Effective } from '../../core/effective.ts'
import type { RuleDecision, Values } from '../../core/external.ts'
import { coversPath } from '../../core/path-pattern.ts'
import { chainOf } from '../../core/principal.ts'
import type { Instant } from '../../core/time.ts'

/** Longest question, in characters of JSON. */
const QUESTION_MAX = 65_536
const NAME_MAX = 2_048

type Json = { readonly [member: string]: unknown }

export type Question = {
  readonly subject: { readonly type: string; readonly id: string }
  /** All of it but when it is asked: alike for questions that are the same. */
  readonly key: string
  /** @param supported obligations that may be told of; null says nothing of that */
  readonly text: (at: Instant, supported: readonly string[] | null) => string
}

class Unasked extends Error {}

const iso = (at: Instant): string => new Date(at).toISOString()

function valueOf(expression: ValueExpression, input: ConditionInput): unknown {
  const read = expression.read(input)
  if (read.is === 'error') throw new Unasked()
  return read.value
}

/** A name is a text that says something. */
function named(expression: ValueExpression | null, input: ConditionInput, plainly: string): string {
  const value = expression === null ? plainly : valueOf(expression, input)
  if (typeof value !== 'string' || value === '' || value.length > NAME_MAX) throw new Unasked()
  return value
}

const members = (values: Values, input: ConditionInput): Json => Object.fromEntries([...values].map(([name, expression]) => [name, valueOf(expression, input)]))

/** Whom the session acts for, and what it may do now. */
function standingOf({ session: { id, principal }, level, baseline, carriers }: Effective): Json {
  const { issuer, tenant, client, owner } = principal
  return {
    iss: issuer, tenant, client, owner, act: chainOf(principal), session: id, risk: level?.name ?? null, baseline,
    elevations: carriers.map(({ elevation: { id: elevation, profile, purposes, state } }) => ({ id: elevation, profile, purpose: purposes, until: state.is === 'active' ? iso(state.until) : null })),
  }
}

/** The pattern that the path meets, as the rule has it; where it names none, the path. */
const patternOf = ({ place: { rule }, evaluation: { resource } }: Case): string => rule?.paths?.find(pattern => coversPath(pattern, resource.segments))?.source ?? resource.path

/** What a message of MCP does and to what, as COAZ names both: a call by its tool, anything else by its method. */
const THINGS: ReadonlySet<Call['kind']> = new Set<Call['kind']>(['tool', 'prompt', 'resource'])
const actionOf = ({ method, name }: Call): string => (method === 'tools/call' ? name : method)

const withDigest = (name: string, digest: string | null): Json => (digest === null ? {} : { [name]: digest })

const entity = (type: string, id: string, properties: Json): Json => ({ type, id, properties })

function partsOf(c: Case, standing: Effective, { subject, action, resource, context }: RuleDecision): { readonly subject: Question['subject']; readonly parts: Json; readonly context: Json } {
  const { session } = standing
  const { place: { route, params }, evaluation, claims } = c
  const { context: shown, resource: target, action: asked } = evaluation
  const input: ConditionInput = { principal: session.principal, claims, session: session.id, evaluation, params, elevation: null, traits: route.mcp === null || asked.call === null ? null : traitsOf(route.mcp, asked.call) }
  const call = route.mcp === null ? null : asked.call
  const thing = call !== null && THINGS.has(call.kind) ? call : null
  const who = { type: named(subject.type, input, session.principal.kind), id: named(subject.id, input, session.principal.subject) }
  return {
    subject: who,
    parts: {
      subject: entity(who.type, who.id, { ...standingOf(standing), ...members(subject.properties, input) }),
      action: { name: named(action.name, input, call === null ? asked.method : actionOf(call)), properties: { ...(asked.upgrade === null ? {} : { upgrade: asked.upgrade }), ...(call === null ? {} : { mcp_method: call.method }), ...members(action.properties, input) } },
      resource: entity(named(resource.type, input, thing?.kind ?? 'route'), named(resource.id, input, thing?.name ?? patternOf(c)), {
        route: route.name, host: target.host, path: target.path, ...withDigest('query_digest', shown.queryDigest), ...(call === null ? withDigest('body_digest', shown.body?.digest ?? null) : withDigest('arguments_digest', call.digest)), ...members(resource.properties, input),
      }),
    },
    context: { source: shown.source, protocol: shown.protocol, purposes: shown.purposes, ...members(context, input) },
  }
}

/** Null where an expression gives nothing that can be asked, or all of it is too long. */
export function questionOf(c: Case, decision: RuleDecision): Question | null {
  if (c.standing === null) return null
  try {
    const { subject, parts, context } = partsOf(c, c.standing, decision)
    const key = JSON.stringify([parts, context])
    if (key.length > QUESTION_MAX) return null
    return { subject, key, text: (at, supported) => JSON.stringify({ ...parts, context: { ...context, time: iso(at), ...(supported === null ? {} : { supported_obligations: supported }) } }) }
  } catch (error) {
    if (error instanceof Unasked) return null
    throw error
  }
}
