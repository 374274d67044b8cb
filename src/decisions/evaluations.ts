// Several questions at once (AuthZEN 1.0 §6): what stands beside them counts for each that does not say it itself, as a whole; the semantics says when to stop.
// What is wrong with one is that one's denial. SPEC: PDP5
import { setImmediate } from 'node:timers/promises'
import type { PdpServed } from '../config/compile/decisions.ts'
import type { Told } from './answer.ts'
import { DecisionFault, malformed } from './fault.ts'
import { isMembers, type Members, PARTS } from './question.ts'

export const SEMANTICS = ['execute_all', 'deny_on_first_deny', 'permit_on_first_permit'] as const
/** Decided in one turn. */
const AT_ONCE = 50
type Semantic = (typeof SEMANTICS)[number]

/** null for a single question. */
export type Batch = { readonly questions: readonly unknown[]; readonly semantic: Semantic } | null

function semanticOf(body: Members): Semantic {
  const options = body.get('options')
  if (options === undefined) return 'execute_all'
  if (!isMembers(options)) throw malformed('options must be an object')
  const written = options.get('evaluations_semantic') ?? 'execute_all'
  const semantic = SEMANTICS.find(one => one === written)
  if (semantic === undefined) throw malformed(`options.evaluations_semantic must be one of ${SEMANTICS.join(', ')}`)
  return semantic
}

function merged(defaults: Members, item: unknown): unknown {
  if (!isMembers(item)) return item
  const whole = new Map(item)
  for (const part of PARTS) if (!whole.has(part) && defaults.has(part)) whole.set(part, defaults.get(part))
  return whole
}

/** @throws DecisionFault `malformed` where it is wrong as a whole */
export function batchIn(body: Members, { evaluationsMax }: Pick<PdpServed, 'evaluationsMax'>): Batch {
  const semantic = semanticOf(body)
  const items = body.get('evaluations')
  if (items === undefined) return null
  if (!Array.isArray(items)) throw malformed('evaluations must be an array')
  if (items.length > evaluationsMax) throw malformed(`evaluations must not have more than ${evaluationsMax} entries`)
  return items.length === 0 ? null : { questions: items.map((item: unknown) => merged(body, item)), semantic }
}

const failed = ({ status, message }: DecisionFault): Told => ({ decision: false, context: { error: { status, message } } })

/** One after the other, as far as the semantics goes. @param ask rejects with a DecisionFault where one has no decision */
export async function evaluated({ questions, semantic }: NonNullable<Batch>, ask: (question: unknown) => Promise<Told>): Promise<readonly Told[]> {
  const told: Told[] = []
  const last = semantic === 'execute_all' ? null : semantic === 'permit_on_first_permit'
  for (const question of questions) {
    const one = await ask(question).catch((error: unknown) => {
      if (error instanceof DecisionFault) return failed(error)
      throw error
    })
    told.push(one)
    if (one.decision === last) break
    if (told.length % AT_ONCE === 0) await setImmediate()
  }
  return told
}
