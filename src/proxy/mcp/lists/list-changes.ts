// Tells a caller on its open stream that a list would be another one now, because what its session may do has changed. What it may do is known by what each rule
// makes of a message that it means, and by the locks on tools. SPEC: MCP13
import type { CallKind } from '../../../core/call.ts'
import type { Route, Rule } from '../../../core/route.ts'
import { isObject } from './definition.ts'
import { type Message, plainCall } from '../message.ts'
import { type JsonObject, notification, rewritten, type ServerMessage, type Sieve } from '../sieve.ts'
import type { Supposing } from './supposing.ts'

const KINDS = ['tools', 'prompts', 'resources'] as const
export type ListedKind = (typeof KINDS)[number]

const METHODS: { readonly [K in ListedKind]: { readonly kind: CallKind; readonly method: string } } = {
  tools: { kind: 'tool', method: 'tools/call' }, prompts: { kind: 'prompt', method: 'prompts/get' }, resources: { kind: 'resource', method: 'resources/read' },
}
/** Names that are asked about of one rule, where its condition may ask for them. */
const NAMES_MAX = 64
const ACKNOWLEDGED = 'notifications/subscriptions/acknowledged'
const memberOf = (kind: ListedKind): string => `${kind}ListChanged`

/** Kinds a stream is told of: on the older protocol's own all of them, on a subscription those that it asked for. */
export function kindsAskedFor({ is, params }: Message): readonly ListedKind[] {
  if (is === 'stream') return KINDS
  const filter = params.get('notifications')
  return filter instanceof Map ? KINDS.filter(kind => filter.get(memberOf(kind)) === true) : []
}

/** What a rule means by its exact name, and none where it means many; one is enough where its condition asks for none. */
function namesOf({ calls, condition }: Rule, kind: ListedKind): readonly string[] {
  if (calls === null) return []
  const globs = [...(calls[kind] ?? []), ...(calls.methods ?? []).map(() => null)]
  const names = globs.map(glob => (glob === null || glob.parts.length > 1 ? '' : glob.source))
  return condition === null || !condition.readsMcp ? names.slice(0, 1) : names.slice(0, NAMES_MAX)
}

/** Equal as long as what the session may do of a kind is the same. */
function standingOf({ rules }: Route, kind: ListedKind, supposing: Supposing): string {
  const bare = plainCall(METHODS[kind].kind, METHODS[kind].method)
  const answers = rules.map(rule => namesOf(rule, kind).map(name => (supposing.untilBy(rule, { ...bare, name, args: null }) === null ? '0' : '1')).join(''))
  return kind === 'tools' ? `${answers.join()} ${supposing.toolLocks()}` : answers.join()
}

export class ChangeSieve implements Sieve {
  readonly #route: () => Route
  readonly #supposing: Supposing
  readonly #kinds: readonly ListedKind[]
  readonly #told = new Map<ListedKind, string>()
  #isKnown = false

  /** @param route under the configuration of now */
  constructor(route: () => Route, supposing: Supposing, kinds: readonly ListedKind[]) {
    this.#route = route
    this.#supposing = supposing
    this.#kinds = kinds
  }

  /** What it may do as the stream begins: nothing is told of that. */
  begin(): void {
    if (this.#isKnown) return
    this.#isKnown = true
    for (const kind of this.#kinds) this.#told.set(kind, standingOf(this.#route(), kind, this.#supposing))
  }

  /** A server that tells of no changes itself still has them told. */
  pass(message: ServerMessage): ServerMessage {
    const { params } = message.value
    if (message.method !== ACKNOWLEDGED || !isObject(params)) return message
    const granted: JsonObject = { ...(isObject(params['notifications']) ? params['notifications'] : {}), ...Object.fromEntries(this.#kinds.map(kind => [memberOf(kind), true])) }
    return rewritten(message, { ...message.value, params: { ...params, notifications: granted } })
  }

  changed(): readonly ServerMessage[] {
    this.begin()
    return this.#kinds.flatMap(kind => {
      const now = standingOf(this.#route(), kind, this.#supposing)
      if (this.#told.get(kind) === now) return []
      this.#told.set(kind, now)
      return [notification(`notifications/${kind}/list_changed`)]
    })
  }
}
