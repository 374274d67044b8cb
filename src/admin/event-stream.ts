// GET /v1/events: every fact and verdict as it happens, to at most 64 listeners. A reader too slow for it is dropped, never waited for;
// each heartbeat asks whether the token still counts. SPEC: ADM17
import type { ServerResponse } from 'node:http'
import type { Answer } from './answer.ts'
import { AdminFault } from './fault.ts'
import type { AdminRoom, GatewayEvent } from './room.ts'

export const LISTENERS_MAX = 64
const HEARTBEAT_MS = 15_000
/** Bytes that may wait for a reader. */
const BACKLOG_MAX = 256 * 1024

const HEAD = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no', 'x-content-type-options': 'nosniff' }

const frameOf = (event: GatewayEvent): string => `event: ${event.event === 'fact' ? event.fact.what : `exchange.${event.what}`}\ndata: ${JSON.stringify(event)}\n\n`

export class EventStreams {
  readonly #room: Pick<AdminRoom, 'events' | 'closing' | 'metrics'>
  readonly #open = new Set<ServerResponse>()

  constructor(room: Pick<AdminRoom, 'events' | 'closing' | 'metrics'>) {
    this.#room = room
  }

  get size(): number {
    return this.#open.size
  }

  /** @throws AdminFault `limit_reached` */
  answer(): Answer {
    if (this.#open.size < LISTENERS_MAX) return { is: 'stream', open: (response, allowed) => this.#attach(response, allowed) }
    throw this.#full('admin_event_listeners', `at most ${LISTENERS_MAX} listeners at a time`)
  }

  #full(limit: string, says: string): AdminFault {
    this.#room.metrics.limitReached.inc({ limit })
    return new AdminFault('limit_reached', says)
  }

  /** @throws AdminFault `limit_reached`, with nothing sent yet */
  #attach(response: ServerResponse, allowed: () => Promise<boolean>): void {
    if (response.destroyed || this.#room.closing.aborted) return void response.destroy()
    const unsubscribe = this.#room.events.subscribe(event => this.#push(response, frameOf(event)))
    if (unsubscribe === null) throw this.#full('event_listeners', 'too many listen already')
    this.#open.add(response)
    response.on('error', () => response.destroy())
    response.writeHead(200, HEAD)
    response.write(': connected\n\n')
    const beat = setInterval(() => void this.#beat(response, allowed), HEARTBEAT_MS)
    const close = (): void => void response.end()
    this.#room.closing.addEventListener('abort', close, { once: true })
    response.once('close', () => {
      clearInterval(beat)
      unsubscribe()
      this.#room.closing.removeEventListener('abort', close)
      this.#open.delete(response)
    })
  }

  async #beat(response: ServerResponse, allowed: () => Promise<boolean>): Promise<void> {
    if (await allowed()) this.#push(response, ': still here\n\n')
    else response.end()
  }

  #push(response: ServerResponse, text: string): void {
    if (response.writableEnded || response.destroyed) return
    if (response.writableLength + text.length <= BACKLOG_MAX) return void response.write(text)
    this.#room.metrics.limitReached.inc({ limit: 'admin_event_backlog' })
    response.destroy()
  }
}
