// Messages of a server on their way out: sieves are asked when a message goes, not when it came; one answer, and the session's own news where a stream carries any. SPEC: MCP6, MCP8
import { describe, expect, it } from 'vitest'
import { EventParser } from '../../../../../src/proxy/mcp/relay/event-parser.ts'
import { type Message, plainCall } from '../../../../../src/proxy/mcp/message.ts'
import { Outflow } from '../../../../../src/proxy/mcp/relay/outflow.ts'
import { planOf, type RelayPlan } from '../../../../../src/proxy/mcp/plan.ts'
import { notification, rewritten, type ServerMessage, type Sieve } from '../../../../../src/proxy/mcp/sieve.ts'
import { mcpRouteOf } from '../routes.ts'

const message = (more: Partial<Message> = {}): Message => ({ era: 'modern', version: '2026-07-28', is: 'request', id: 7, method: 'tools/call', params: new Map(), value: new Map(), call: plainCall('protocol', 'x'), own: null, ...more })
const sieve = (pass: (told: ServerMessage) => ServerMessage | null, changed: () => readonly ServerMessage[] = () => []): Sieve => ({ pass, changed })

class Stream {
  readonly dropped: string[] = []
  readonly outflow: Outflow
  readonly #parser: EventParser
  ok = true

  constructor(sieves: readonly Sieve[] = [], more: Partial<Message> = {}, plan: Partial<RelayPlan> = {}) {
    this.outflow = new Outflow(planOf(message(more), mcpRouteOf().mcp, { sieves, ...plan }), why => this.dropped.push(why))
    this.#parser = new EventParser(1_000_000, event => { this.ok &&= this.outflow.takes(event) })
  }

  says(...values: readonly unknown[]): this {
    for (const value of values) this.#parser.read(Buffer.from(`data: ${JSON.stringify(value)}\n\n`))
    return this
  }

  /** All that may go, as text. */
  pours(): string {
    let text = ''
    for (let piece = this.outflow.next(); piece !== null; piece = this.outflow.next()) {
      this.outflow.taken(piece)
      text += piece.toString()
    }
    return text
  }
}

const event = (value: unknown): string => `data: ${JSON.stringify(value)}\n\n`
const answer = (id: unknown): object => ({ jsonrpc: '2.0', id, result: {} })
const note = (method: string, params: object = {}): object => ({ jsonrpc: '2.0', method, params })

describe('sieves', () => {
  it('[MCP6] are asked when a message goes, and again when it did not', () => {
    let open = true
    const asked: string[] = []
    const stream = new Stream([sieve(told => (asked.push(told.method), open ? told : null))]).says(note('a'), note('b'))
    expect(asked).toEqual([])
    expect(stream.outflow.next()?.toString()).toBe(event(note('a')))
    open = false
    expect(stream.pours()).toBe('')
    expect(asked).toEqual(['a', 'a', 'b'])
    expect(stream.outflow.isEmpty).toBe(true)
  })

  it('[MCP6] are asked in their order, each about what the one before made of it; what is changed is written anew with the other lines of its event', () => {
    const first = sieve(told => rewritten(told, { ...told.value, method: 'b' }))
    const stream = new Stream([first, sieve(told => (told.value['method'] === 'b' ? told : null))])
    new EventParser(1_000, told => void stream.outflow.takes(told)).read(Buffer.from(`id: 9\nevent: message\n${event(note('a'))}`))
    expect(stream.pours()).toBe(`id: 9\nevent: message\n${event(note('b'))}`)
  })

  it('[MCP6] have a message in pieces once it has begun: its rest goes on as it began', () => {
    let open = true
    const big = note('a', { text: 'x'.repeat(200_000) })
    const stream = new Stream([sieve(told => (open ? told : null))]).says(big, note('b'))
    const first = stream.outflow.next()
    expect(first?.length).toBe(65_536)
    if (first !== null) stream.outflow.taken(first)
    open = false
    expect(`${first?.toString()}${stream.pours()}`).toBe(event(big))
    expect(stream.outflow.bytes).toBe(0)
  })
})

describe('answers', () => {
  it('[MCP6, MCP10] the answer to another request passes once on its stream, and again on the next one that asks for it', () => {
    const replayed = (): Stream => new Stream([], { is: 'stream', id: null }, { answers: id => id === 'broken' })
    const stream = replayed().says(answer('broken'), answer('broken'))
    expect(stream.pours()).toBe(event(answer('broken')))
    expect(stream.dropped).toEqual(['second_answer'])
    expect(replayed().says(answer('broken')).pours()).toBe(event(answer('broken')))
  })

  it('[MCP6] the request has one; those of others need leave, each time', () => {
    let may = true
    const stream = new Stream([], {}, { answers: id => may && id === 'broken' }).says(answer('7'), answer('broken'), answer(7), answer(7))
    expect(stream.pours()).toBe(event(answer('broken')) + event(answer(7)))
    expect([stream.dropped, stream.outflow.answered]).toEqual([['other_answer', 'second_answer'], true])
    may = false
    expect(stream.says(answer('broken')).pours()).toBe('')
  })

  it('[MCP6] nobody waits for one on a stream', () => {
    const stream = new Stream([], { is: 'stream', id: null, era: 'legacy', method: 'stream' }).says(answer(7), { jsonrpc: '2.0', id: null, error: {} })
    expect([stream.pours(), stream.dropped, stream.outflow.answered]).toEqual(['', ['other_answer', 'other_answer'], false])
  })

  it.each([[{ jsonrpc: '2.0' }], [{ jsonrpc: '1.0', id: 7, result: {} }], [{ jsonrpc: '2.0', id: 7, result: 1 }], [{ jsonrpc: '2.0', id: {}, result: {} }], [{ jsonrpc: '2.0', id: null, method: 'x' }], [{ jsonrpc: '2.0', id: 7, method: 'x', result: {} }], [7], [null], ['x']])('[MCP6] %j is no message', value => {
    expect(new Stream().says(value).ok).toBe(false)
  })
})

describe('news of the session', () => {
  const changes = (method = 'notifications/tools/list_changed'): Sieve => sieve(told => told, () => [notification(method)])
  const LISTEN = { method: 'subscriptions/listen', id: 'sub' } as const
  const stamp = { _meta: { 'io.modelcontextprotocol/subscriptionId': 'sub' } }
  const acknowledged = note('notifications/subscriptions/acknowledged', stamp)

  it('[MCP13] a subscription has none before it is acknowledged, then behind that, once of each kind while it waits, under its id', () => {
    const stream = new Stream([changes()], LISTEN)
    stream.outflow.changed()
    expect(stream.pours()).toBe('')
    stream.says(acknowledged)
    const told = `event: message\n${event(note('notifications/tools/list_changed', stamp))}`
    expect(stream.pours()).toBe(event(acknowledged) + told)
    stream.outflow.changed()
    stream.outflow.changed()
    expect(stream.pours()).toBe(told)
  })

  it('[MCP13] a stream of the older protocol has it as it is; an answer to a request has none', () => {
    const stream = new Stream([changes()], { is: 'stream', id: null, era: 'legacy', method: 'stream' })
    stream.outflow.changed()
    expect(stream.pours()).toBe(`event: message\n${event(note('notifications/tools/list_changed'))}`)
    const call = new Stream([changes()]).says(acknowledged)
    call.outflow.changed()
    expect(call.pours()).toBe(event(acknowledged))
  })
})
