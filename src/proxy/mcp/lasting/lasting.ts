// What outlives one message of MCP: protocol sessions, tasks, calls whose stream broke, and ids that are not answered yet. Opens what a message names of them,
// and says what of that goes upstream and comes back. SPEC: MCP10, MCP11
import { grantName } from '../../../core/decision.ts'
import type { Reason } from '../../../core/reason.ts'
import type { Exchange } from '../../../enforcement/exchange.ts'
import type { Ask } from '../../ask.ts'
import { refusalText } from '../../refusal.ts'
import type { ProxyRoom } from '../../room.ts'
import { type InspectedBytes, roomFor } from '../../http/inspected-bytes.ts'
import { HeldBytes } from '../relay/answer-body.ts'
import { BrokenCalls, type Room } from './broken-calls.ts'
import type { Errands } from '../relay/errand.ts'
import { Handles } from './handles.ts'
import type { Message, MessageFault, MessageId } from '../message.ts'
import { openHandles, type Opened } from './opened.ts'
import { headersUp, type RelayPlan } from '../plan.ts'
import { renamedDown, renamedUp } from './protocol-session.ts'
import type { McpRelay } from '../relay/relay.ts'
import { rpcFormOf } from '../rpc-form.ts'
import { rpcError } from '../rpc-refusal.ts'
import type { JsonObject, ServerMessage, Sieve } from '../sieve.ts'
import { TaskBook } from './task-book.ts'
import { cancelOf } from './task-cancel.ts'
import { type TaskDesk, TaskSieve } from './task-sieve.ts'

export type LastingRoom = Pick<ProxyRoom, 'keeper' | 'inflight' | 'reassessor' | 'completed' | 'metrics' | 'digestKey'>

/** Of a request, once it has one. */
export type RelayOf = () => McpRelay | null
/** A request of the older protocol in a session of it. */
type Pending = { readonly ask: Ask; readonly name: string } & Carried
type Carried = { readonly sieves: readonly Sieve[]; readonly relay: RelayOf }

/** Ends that are nobody's will: the server may answer all the same. */
const BROKE: ReadonlySet<Reason> = new Set<Reason>(['caller_closed', 'upstream_reset'])

/** Of a request in its session of the protocol; null where there is none: then answers come by their request alone, and nobody else's id is like its own. */
function nameOf({ era }: Message, { owner, session }: Opened, id: MessageId | null): string | null {
  return era === 'modern' || session === null || id === null ? null : JSON.stringify([owner.session, owner.route, session, id])
}

export class Lasting {
  readonly #room: LastingRoom
  readonly #memory: InspectedBytes
  readonly #handles: Handles
  readonly #errands: Errands
  readonly #watch: (ask: Ask, exchange: Exchange) => void
  readonly #tasks: TaskBook
  readonly #broken: BrokenCalls
  readonly #carried = new WeakMap<Ask, Carried>()
  readonly #pending = new WeakMap<Exchange, Pending>()

  /** @param watch keeps the right of what is open known, as for its request */
  constructor(room: LastingRoom, memory: InspectedBytes, errands: Errands, watch: (ask: Ask, exchange: Exchange) => void) {
    const full = (limit: string) => () => room.metrics.limitReached.inc({ limit })
    this.#room = room
    this.#memory = memory
    this.#handles = new Handles(room.digestKey)
    this.#errands = errands
    this.#watch = watch
    this.#tasks = new TaskBook({ keeper: room.keeper, inflight: room.inflight, doubt: exchange => room.reassessor.doubt(exchange), completed: room.completed, full: full('tasks_per_session') })
    this.#broken = new BrokenCalls(room.keeper, full('broken_calls'))
  }

  // ---- the request

  /** Opens what its message names, once. @returns why it goes no further */
  open(ask: Ask): MessageFault | null {
    const { live } = ask
    return openHandles(ask, this.#handles, (owner, handle) => {
      const origin = live === null ? null : this.#handles.taskIn(owner, handle)
      return origin === null || live === null || this.#tasks.isCut(live, owner.route, origin.id) ? null : origin
    })
  }

  /** What of it goes upstream and comes back. Its sieve of tasks is the last one: what it lets pass is told by names that only callers know. */
  plan(ask: Ask, message: Message, opened: Opened, relay: RelayOf): Pick<RelayPlan, 'sieves' | 'obstacle' | 'goesUp' | 'comesDown' | 'eventName' | 'unsaid' | 'answers'> {
    const sieve = new TaskSieve(message, opened.task, opened.named, this.#deskOf(ask, opened, relay))
    return {
      sieves: [message.is === 'stream' ? this.#streamSieve(ask, message, opened, sieve, relay) : sieve],
      obstacle: () => this.#obstacle(ask),
      goesUp: headers => renamedUp(headersUp(message, headers), message.era, opened),
      comesDown: head => renamedDown(head, message.era, opened, this.#handles),
      eventName: message.era === 'modern' ? (id => id) : (id => this.#handles.ofEvent(opened.owner, id)),
      unsaid: messages => { for (const lost of messages) sieve.unsaid(lost) },
      answers: id => message.is === 'stream' && this.#isAwaited(ask, nameOf(message, opened, id), relay),
    }
  }

  /** Why it is not let go on, placed as it is now: another request of its session of the protocol has its id, or its handles were opened for another route. */
  #obstacle({ live, message, opened, place }: Ask): Reason | null {
    if (message === null || opened === null) return null
    if (opened.owner.route !== place?.route.name) return 'stale'
    const name = nameOf(message, opened, message.is === 'request' ? message.id : null)
    const taken = name !== null && live !== null && this.#room.inflight.of(live).some(exchange => this.#pending.get(exchange)?.name === name)
    return taken ? 'message_malformed' : null
  }

  /** @param sieves all that its answer passes */
  carries(ask: Ask, sieves: readonly Sieve[], relay: RelayOf): void {
    if (ask.message?.era === 'legacy') this.#carried.set(ask, { sieves, relay }) // nothing of the newer protocol outlives its request, and what is kept by it in a map outlives young collections
  }

  admitted(ask: Ask, exchange: Exchange): void {
    const { message, opened, live } = ask
    const name = message === null || opened === null || message.is !== 'request' ? null : nameOf(message, opened, message.id)
    const carried = this.#carried.get(ask)
    if (name === null || live === null || carried === undefined) return
    this.#broken.forget(live, name)
    this.#pending.set(exchange, { ask, name, ...carried })
  }

  /** By what came up on the wire. */
  ended(exchange: Exchange, reason: Reason): void {
    if (exchange.state === 'open' && BROKE.has(reason)) this.#broke(exchange)
  }

  /** All that came of it went to the caller: of old a server may end a stream, and answer on the next. */
  completed(exchange: Exchange): void {
    if (this.#pending.get(exchange)?.relay()?.isAnswered === false) this.#broke(exchange)
  }

  #broke(exchange: Exchange): void {
    const pending = this.#pending.get(exchange)
    if (pending !== undefined && exchange.live !== null) this.#broken.broke(exchange.live, pending.name, exchange, pending.sieves, this.#roomFor(pending.ask))
  }

  // ---- what comes back

  #isAwaited({ live }: Ask, name: string | null, relay: RelayOf): boolean {
    const stream = relay()?.exchange ?? null
    return name !== null && live !== null && stream !== null && this.#broken.may(live, name, stream)
  }

  /** Answers are other calls'. */
  #streamSieve({ live }: Ask, message: Message, opened: Opened, tasks: Sieve, relay: RelayOf): Sieve {
    const answer = (told: ServerMessage): ServerMessage | null => {
      const name = nameOf(message, opened, told.id)
      const stream = relay()?.exchange ?? null
      return name === null || live === null || stream === null ? null : this.#broken.pass(live, name, stream, told)
    }
    return { pass: told => (told.is === 'answer' ? answer(told) : tasks.pass(told)), changed: () => [] }
  }

  #deskOf(ask: Ask, { owner }: Opened, relay: RelayOf): TaskDesk {
    const { live } = ask
    const exchange = (): Exchange | null => relay()?.exchange ?? null
    const cancel = (id: string) => (): void => this.#cancel(id, relay())
    return {
      handleFor: call => {
        const grant = exchange()?.permit.grant
        return grant === undefined ? null : this.#handles.ofTask(owner, { ...call, grant: grantName(grant) })
      },
      holds: (id, handle, ttl) => {
        const from = exchange()
        return from !== null && this.#tasks.holds(from, { route: owner.route, id, handle, ttl, ...this.#roomFor(ask), cancel: cancel(id), watch: held => this.#watch(ask, held) })
      },
      known: id => (live === null ? null : this.#tasks.handleOf(live, owner.route, id)),
      settled: id => { if (live !== null) this.#tasks.settled(live, owner.route, id) },
      unheard: id => { if (live === null || !this.#tasks.has(live, owner.route, id)) cancel(id)() },
      refusal: () => this.#refusalOf(ask),
    }
  }

  /** Beside what its request held until it was answered. */
  #roomFor({ live, place, readBody }: Ask): Room {
    const held = new HeldBytes(this.#memory, live?.record.key ?? '', place?.route.mcp?.messageBytes ?? 0)
    const bytes = readBody === null ? 0 : readBody.bytes.length + roomFor(readBody.bytes)
    return { take: () => held.are(bytes), give: () => void held.are(0) }
  }

  #refusalOf(ask: Ask): JsonObject {
    const form = rpcFormOf(ask)
    const text = refusalText('limit_reached', { session: ask.live?.record.id ?? null, rpc: form })
    return form === null ? {} : { ...rpcError(text, form) }
  }

  #cancel(id: string, relay: McpRelay | null): void {
    if (relay !== null) this.#errands.send(relay.upstream, cancelOf(id, relay))
  }
}
