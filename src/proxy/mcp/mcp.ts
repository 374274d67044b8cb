// MCP's part of the life of a request: the message that is read before its rule can be found, the relay that passes messages, and the form of refusals. SPEC: MCP1, MCP6, MCP7
import type { McpRoute } from '../../core/call.ts'
import type { Reason } from '../../core/reason.ts'
import type { Route } from '../../core/route.ts'
import type { Exchange } from '../../enforcement/exchange.ts'
import type { Upstream } from '../../upstream/upstream.ts'
import type { Ask } from '../ask.ts'
import type { InspectedBytes } from '../http/inspected-bytes.ts'
import type { ProxyRoom } from '../room.ts'
import { HeldBytes } from './relay/answer-body.ts'
import { Errands, errandHeaders } from './relay/errand.ts'
import { Lasting } from './lasting/lasting.ts'
import type { Message, MessageFault } from './message.ts'
import type { Dropped } from './relay/outflow.ts'
import { planOf } from './plan.ts'
import { readMessage } from './reading.ts'
import { McpRelay, type McpRelayOwner } from './relay/relay.ts'
import { Sieving } from './lists/sieving.ts'

export class Mcp implements McpRelayOwner {
  readonly #room: ProxyRoom
  readonly #memory: InspectedBytes
  readonly #sieving: Sieving
  readonly errands: Errands
  readonly lasting: Lasting

  /** @param watch keeps the right of what is open known, as for its request */
  constructor(room: ProxyRoom, memory: InspectedBytes, watch: (ask: Ask, exchange: Exchange) => void) {
    this.#room = room
    this.#memory = memory
    this.#sieving = new Sieving(room)
    this.errands = new Errands(room)
    this.lasting = new Lasting(room, memory, this.errands, watch)
  }

  /** Reads the message of a request, once. @returns why there is none */
  async read(ask: Ask, mcp: McpRoute): Promise<MessageFault | null> { return (await readMessage(ask, mcp, this.#memory)) ?? this.lasting.open(ask) ?? this.#sieving.prepared(ask) }

  /** What takes a message over once it is admitted. */
  relayOf(ask: Ask, message: Message, route: Route, mcp: McpRoute, upstream: Upstream, path: string): McpRelay {
    const { opened } = ask
    const made: { relay: McpRelay | null } = { relay: null }
    const lasting = opened === null ? null : this.lasting.plan(ask, message, opened, () => made.relay)
    const { sieves, begins } = this.#sieving.of(route, mcp, message, () => made.relay?.exchange ?? null)
    const plan = planOf(message, mcp, { ...lasting, sieves: [...sieves, ...(lasting?.sieves ?? [])], begins })
    this.lasting.carries(ask, plan.sieves, () => made.relay)
    ask.headersUp = plan.goesUp
    return (made.relay = new McpRelay(ask, plan, upstream, path, new HeldBytes(this.#memory, ask.live?.record.key ?? '', mcp.messageBytes), this))
  }

  // ---- what relays tell

  dropped({ ask }: McpRelay, what: Dropped): void { this.#room.metrics.mcpDropped.inc({ route: ask.place?.route.name ?? '', what }) }

  /** The newer protocol takes the end of its connection for that. A session of the older one does not begin by a call that could be cancelled. */
  cancel(relay: McpRelay, reason: Reason): void {
    const { plan: { message }, upstream, path, sent } = relay
    if (message.era === 'modern' || message.is !== 'request' || message.method === 'initialize') return
    const body = Buffer.from(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: message.id, reason } }))
    this.errands.send(upstream, { path, headers: errandHeaders(sent, credentialIn(relay)), body })
  }

  failed(error: unknown): void { this.#room.log.error({ error: String(error) }, 'a message failed inside the gateway and its exchange was ended') }
}

/** Name of the header in which its upstream is shown something; null where it is in none. */
const credentialIn = ({ upstream: { settings: { inject, brokered } } }: McpRelay): string | null => (inject ?? brokered)?.header ?? null
