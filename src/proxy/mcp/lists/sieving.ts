// Which sieves the messages of a server pass that answer one message of a caller: what its session may not have is dropped, lists are its own, and a stream
// hears when they change. SPEC: MCP6, MCP12, MCP13, MCP14, MCP19
import type { McpRoute } from '../../../core/call.ts'
import type { Route } from '../../../core/route.ts'
import { type Exchange, NO_CLAIMS } from '../../../enforcement/exchange.ts'
import type { Ask } from '../../ask.ts'
import { actionOf } from '../../describe/action.ts'
import type { ProxyRoom } from '../../room.ts'
import { GreetingSieve, isGreeting } from './greeting.ts'
import { ChangeSieve, kindsAskedFor } from './list-changes.ts'
import { listOf, ListSieve } from './lists.ts'
import type { Message, MessageFault } from '../message.ts'
import { CacheSieve } from './own-cache.ts'
import { ownToolDefinitions } from '../asking/own-tools.ts'
import type { JsonObject, Sieve } from '../sieve.ts'
import { StreamSieve, subscriptionFault } from './stream-messages.ts'
import { Supposing } from './supposing.ts'
import { ToolPins } from './tool-pins.ts'

/** `begins` is told when the answer does: what the session may do then is what it knows. */
type Sieved = { readonly sieves: readonly Sieve[]; readonly begins: () => void }

export type SievingRoom = Pick<ProxyRoom, 'keeper' | 'mirror' | 'ledger' | 'intake' | 'metrics' | 'log'>

export class Sieving {
  readonly #room: SievingRoom
  readonly #pins: ToolPins

  constructor(room: SievingRoom) {
    this.#room = room
    this.#pins = new ToolPins(room)
  }

  /** What has to be known before a message is judged, and what no message may ask for. @throws StoreFault */
  async prepared(ask: Ask): Promise<MessageFault | null> {
    const { place, message, target: { segments } } = ask
    if (place === null || message === null) return null
    if (message.method === 'tools/list') await this.#pins.know(place.route)
    return subscriptionFault(message, place.route, actionOf(ask), segments)
  }

  /** @param exchange null before it is admitted */
  of(route: Route, mcp: McpRoute, message: Message, exchange: () => Exchange | null): Sieved {
    const supposing = new Supposing(this.#room.keeper, exchange)
    const count = (what: string): void => this.#room.metrics.mcpDropped.inc({ route: route.name, what })
    const changes = new ChangeSieve(() => exchange()?.place.route ?? route, supposing, kindsAskedFor(message))
    const isStream = message.is === 'stream' || message.method === 'subscriptions/listen'
    return { sieves: [new StreamSieve(supposing, count), ...this.#ofAnswer(route.name, mcp, message, exchange, supposing, count), ...(isStream ? [changes] : [])], begins: () => { if (isStream) changes.begin() } }
  }

  #ofAnswer(route: string, mcp: McpRoute, message: Message, exchange: () => Exchange | null, supposing: Supposing, count: (what: string) => void): readonly Sieve[] {
    const kind = listOf(message)
    const dropped = (what: string, name: string): void => {
      count(what)
      if (what === 'own') this.#room.log.warn({ route, tool: name }, 'a server has a tool of a name that is the gateway\'s own; it is not listed, and never called')
    }
    if (kind !== null) return [new ListSieve(() => exchange()?.place.route ?? null, mcp, message, kind, { supposing, pins: this.#pins, own: () => this.#own(mcp, exchange()), dropped })]
    if (isGreeting(message)) return [new GreetingSieve(mcp, message, () => supposing.left())]
    return message.era === 'modern' && message.is === 'request' ? [new CacheSieve(() => supposing.left())] : []
  }

  /** For the session of the exchange, as it stands now. */
  #own({ offers }: McpRoute, exchange: Exchange | null): readonly JsonObject[] {
    const live = exchange?.live ?? null
    return offers === null || live === null ? [] : ownToolDefinitions(this.#room.mirror.policy, live, live.knownClaims ?? NO_CLAIMS, offers.prefix)
  }
}
