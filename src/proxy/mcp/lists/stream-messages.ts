// Messages of a server that tell of things: one about a resource passes only where its session may read that now, and one that nothing is known of only where
// a rule names its method. Each is judged by itself, when it would be handed on. SPEC: MCP19
import { firstRule, type Route } from '../../../core/route.ts'
import type { Evaluation } from '../../../core/evaluation.ts'
import { isObject } from './definition.ts'
import { callOf, fault, type Message, type MessageFault, plainCall } from '../message.ts'
import type { ServerMessage, Sieve } from '../sieve.ts'
import type { Supposing } from './supposing.ts'

/** Of the protocol itself: what they tell of was asked for by name, or is no more than that a list is another one. */
const KNOWN: ReadonlySet<string> = new Set([
  'notifications/tools/list_changed', 'notifications/prompts/list_changed', 'notifications/resources/list_changed', 'notifications/subscriptions/acknowledged', 'notifications/progress', 'notifications/message',
  'notifications/cancelled', 'notifications/tasks/status', 'notifications/tasks', 'tasks/get', 'tasks/result', 'tasks/cancel', 'notifications/elicitation/complete', 'sampling/createMessage', 'elicitation/create', 'roots/list', 'ping',
])
const UPDATED = 'notifications/resources/updated'
/** Resources that one subscription names. */
const SUBSCRIPTIONS_MAX = 1_000

export class StreamSieve implements Sieve {
  readonly #supposing: Pick<Supposing, 'may'>
  readonly #dropped: (what: 'resource' | 'method') => void

  constructor(supposing: Pick<Supposing, 'may'>, dropped: (what: 'resource' | 'method') => void) {
    this.#supposing = supposing
    this.#dropped = dropped
  }

  changed(): readonly ServerMessage[] { return [] }

  pass(message: ServerMessage): ServerMessage | null {
    const { is, method, value } = message
    if (is === 'answer' || KNOWN.has(method)) return message
    const passes = method === UPDATED ? this.#mayRead(value['params']) : this.#supposing.may(plainCall('unknown', method))
    if (!passes) this.#dropped(method === UPDATED ? 'resource' : 'method')
    return passes ? message : null
  }

  #mayRead(params: unknown): boolean {
    const call = isObject(params) ? callOf('resources/read', new Map([['uri', params['uri']]])) : ''
    return typeof call !== 'string' && this.#supposing.may(call)
  }
}

/** A subscription to what no rule of the route could ever let anybody read is none; null where it is none of those. */
export function subscriptionFault({ method, params, id }: Message, route: Route, action: Evaluation['action'], segments: readonly string[]): MessageFault | null {
  const filter = method === 'subscriptions/listen' ? params.get('notifications') : undefined
  const uris = filter instanceof Map ? filter.get('resourceSubscriptions') : undefined
  if (uris === undefined) return null
  if (!Array.isArray(uris) || uris.length > SUBSCRIPTIONS_MAX) return fault('message_malformed', `a subscription names at most ${SUBSCRIPTIONS_MAX} resources`, id, -32_602)
  for (const uri of uris) {
    const call = callOf('resources/read', new Map([['uri', uri]]))
    if (typeof call === 'string') return fault('message_malformed', call, id, -32_602)
    const rule = firstRule(route, { ...action, call }, segments)
    if (rule === null || rule.effect === 'deny') return fault(rule === null ? 'no_rule' : 'denied', 'the subscription names a resource that no rule of the route allows', id)
  }
  return null
}
