// What a server answers, handed on message by message: only behind an open gate, only what is paid for, only while the caller takes more, and nothing behind its end. SPEC: MCP6, MCP9
import { describe, expect, it } from 'vitest'
import type { Exchange } from '../../../../../src/enforcement/exchange.ts'
import type { Answer } from '../../../../../src/proxy/arrival.ts'
import type { ResponseHead } from '../../../../../src/proxy/http/response-head.ts'
import { HeldBytes } from '../../../../../src/proxy/mcp/relay/answer-body.ts'
import { type Message, plainCall } from '../../../../../src/proxy/mcp/message.ts'
import { planOf } from '../../../../../src/proxy/mcp/plan.ts'
import { Reply, type ReplyOwner } from '../../../../../src/proxy/mcp/relay/reply.ts'
import { InspectedBytes } from '../../../../../src/proxy/http/inspected-bytes.ts'
import { mcpRouteOf } from '../routes.ts'

const MESSAGE: Message = { era: 'modern', version: '2026-07-28', is: 'request', id: 1, method: 'tools/call', params: new Map(), value: new Map(), call: plainCall('protocol', 'x'), own: null }
const head = (type: string): ResponseHead => ({ status: 200, text: '', headers: ['content-type', type], delimitedByClose: false, eventStream: type === 'text/event-stream', encoded: false, length: null })
const event = (step: number): Buffer => Buffer.from(`data: ${JSON.stringify({ jsonrpc: '2.0', method: 'notifications/progress', params: { step } })}\n\n`)
const WHOLE: Buffer = Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, result: { text: 'x'.repeat(100_000) } }))

/** The caller's side, which takes what it is told to take, and the gate; both as the test has them. */
function stage(memory = 10_000_000) {
  const is = { passes: true, pays: true, full: false, status: 0, ended: false, bytes: '', waits: 0, ends: [] as string[], leaving: 0, counted: 0 }
  let drained = (): void => {}
  const answer = {
    get status() { return is.status },
    get full() { return is.full },
    get ended() { return is.ended },
    sendHead: ({ status }: ResponseHead) => void (is.status = status),
    sendWhole: ({ status }: ResponseHead, body: Buffer) => {
      is.status = status
      is.bytes += body.toString()
    },
    send: (chunk: Buffer) => {
      is.bytes += chunk.toString()
      return !is.full
    },
    finish: () => void (is.ended = true),
    onDrain: (listener: () => void) => void (drained = listener),
  } as unknown as Answer // a reply asks no more of it
  const owner: ReplyOwner = {
    exchange: { handedDown: () => {}, passedDown: ({ length }: Buffer) => void (is.counted += length) } as unknown as Exchange, // likewise
    get passes() { return is.passes },
    paysDown: () => is.pays,
    waits: () => void is.waits++,
    roomier: () => void reply.goesOn(),
    headSent: () => {},
    leaving: () => void is.leaving++,
    end: reason => void is.ends.push(reason),
    dropped: () => {},
  }
  const held = new InspectedBytes(() => memory, () => {})
  const reply: Reply = new Reply(answer, planOf(MESSAGE, mcpRouteOf('{ messageBytes: 1MiB }').mcp), new HeldBytes(held, 'session', 1_048_576), owner)
  return { is, reply, drains: () => drained() }
}

const streaming = (memory?: number): ReturnType<typeof stage> => {
  const made = stage(memory)
  made.reply.begins(head('text/event-stream'))
  return made
}
const text = (...steps: readonly number[]): string => steps.map(step => event(step).toString()).join('')

describe('a stream', () => {
  it('[MCP6] has its head, and each message, only behind an open gate, and its end behind them', () => {
    const { is, reply } = stage()
    is.passes = false
    reply.begins(head('text/event-stream'))
    reply.takes(event(1))
    expect([is.status, is.bytes, is.waits]).toEqual([0, '', 2])
    is.passes = true
    expect(reply.goesOn()).toBe(true)
    expect([is.status, is.bytes]).toEqual([200, text(1)])
    is.passes = false
    reply.takes(event(2))
    reply.ends([])
    expect([is.bytes, is.ended]).toEqual([text(1), false])
    is.passes = true
    reply.goesOn()
    expect([is.bytes, is.ended, is.counted]).toEqual([text(1, 2), true, text(1, 2).length])
  })

  it('[MCP6] waits for what it has to pay, and for a caller that is full, in its order', () => {
    const { is, reply, drains } = streaming()
    is.pays = false
    reply.takes(event(1))
    expect([is.bytes, is.waits]).toEqual(['', 1])
    is.pays = true
    is.full = true
    reply.goesOn()
    expect(is.bytes).toBe('')
    is.full = false
    reply.goesOn()
    is.full = true
    reply.takes(Buffer.concat([event(2), event(3)]))
    expect(is.bytes).toBe(text(1))
    is.full = false
    reply.takes(event(4))
    expect(is.bytes).toBe(text(1, 2, 3, 4))
    drains()
    expect(is.bytes).toBe(text(1, 2, 3, 4))
  })

  it('[MCP9] hands on nothing behind its end, whatever waited or comes', () => {
    const { is, reply } = streaming()
    is.passes = false
    reply.takes(event(1))
    reply.stop()
    is.passes = true
    reply.goesOn()
    reply.takes(event(2))
    reply.depart()
    expect(is.bytes).toBe('')
  })

  it('[MCP6] that holds more than it may ends', () => {
    const { is, reply } = streaming(1_000)
    reply.takes(Buffer.from(`data: ${'x'.repeat(900)}`))
    expect(is.ends).toEqual([])
    is.passes = false
    reply.takes(Buffer.from(`x\n\n${text(1, 2, 3)}`))
    expect(is.ends).toEqual(['upstream_malformed'])
    const other = streaming(1_000)
    other.is.passes = false
    other.reply.takes(Buffer.concat([...Array(20).keys()].map(event)))
    expect(other.is.ends).toEqual(['limit_reached'])
  })
})

describe('a whole answer', () => {
  it('[MCP6] goes piece by piece, each behind the gate, once all of it is there', () => {
    const { is, reply } = stage()
    reply.begins(head('application/json'))
    reply.takes(WHOLE.subarray(0, 50_000))
    reply.takes(WHOLE.subarray(50_000))
    expect([is.status, is.leaving]).toEqual([0, 0])
    reply.ends([])
    expect([is.status, is.leaving]).toEqual([0, 1])
    is.passes = false
    reply.depart()
    expect([is.status, is.waits]).toEqual([0, 1])
    is.passes = true
    is.pays = false
    reply.goesOn()
    expect([is.status, is.waits]).toEqual([0, 2])
    is.pays = true
    is.full = true
    reply.goesOn()
    expect([is.status, is.ended]).toEqual([200, false])
    expect(is.bytes.length).toBe(16_384)
    is.full = false
    is.passes = false
    reply.goesOn()
    expect(is.bytes.length).toBe(16_384)
    is.passes = true
    reply.goesOn()
    expect([is.bytes, is.ended]).toEqual([WHOLE.toString(), true])
  })
})
