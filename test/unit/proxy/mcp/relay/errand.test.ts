// The gateway's own messages to a server: few at a time, not for long, each counted once, with no more of a request's head than they need. SPEC: MCP9
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { UpstreamFault, UpstreamHandler, Sending, UpstreamRequest } from '../../../../../src/upstream/handler.ts'
import type { Upstream } from '../../../../../src/upstream/upstream.ts'
import { Metrics } from '../../../../../src/runtime/metrics.ts'
import { type ErrandRoom, Errands, errandHeaders } from '../../../../../src/proxy/mcp/relay/errand.ts'

const nextTurn = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })
const ERRAND = { path: '/mcp', headers: ['host', 'a'], body: Buffer.from('{}') }

/** Takes what is sent, and answers when it is told to. */
class Server {
  readonly handlers: UpstreamHandler[] = []
  readonly withdrawn: UpstreamHandler[] = []
  aborted = 0
  elapsed = 0
  readonly metrics = new Metrics()
  readonly errands: Errands
  readonly #upstream: Upstream

  constructor() {
    const upstream: Pick<Upstream, 'name' | 'send' | 'withdraw'> & { readonly settings: { readonly signature: null; readonly origin: string } } = {
      name: 'tools', settings: { signature: null, origin: 'http://a' }, send: handler => void this.handlers.push(handler), withdraw: handler => void this.withdrawn.push(handler),
    }
    this.#upstream = upstream as unknown as Upstream // errands ask no more of it
    this.errands = new Errands({ metrics: this.metrics, minter: { key: null }, keeper: { clock: { now: () => 0, elapsed: () => this.elapsed } } } as unknown as ErrandRoom) // nothing is signed
  }

  sends(): void { this.errands.send(this.#upstream, ERRAND) }

  /** The request of the `at`th, on a connection. */
  connects(at: number): UpstreamRequest | null {
    const sending: Sending = { write: () => true, end: () => {}, pause: () => {}, resume: () => {}, abort: () => void this.aborted++ }
    return this.handlers[at]?.outgoing(sending) ?? null
  }

  async outcomes(): Promise<unknown> {
    return Object.fromEntries((await this.metrics.mcpErrands.get()).values.map(({ labels, value }) => [Object.values(labels).join(' '), value]))
  }
}

let server: Server
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  server = new Server()
})
afterEach(() => { vi.useRealTimers() })

describe('an errand', () => {
  it('[MCP9] is done when its answer is whole, refused by one that fails, failed without, and counted once', async () => {
    for (let i = 0; i < 3; i++) server.sends()
    for (let i = 0; i < 3; i++) server.connects(i)
    server.handlers[0]?.answered({ status: 202, text: '', headers: [] })
    server.handlers[0]?.ended([])
    server.handlers[1]?.answered({ status: 404, text: '', headers: [] })
    server.handlers[1]?.ended([])
    server.handlers[2]?.failed('upstream_reset' satisfies UpstreamFault)
    vi.advanceTimersByTime(10_000)
    expect(await server.outcomes()).toEqual({ 'tools done': 1, 'tools refused': 1, 'tools failed': 1 })
    expect(server.aborted).toBe(0)
  })

  it('[MCP9] is given up in 5 s, on its connection or before it has one, and is not sent behind that', async () => {
    server.sends()
    server.sends()
    server.connects(0)
    vi.advanceTimersByTime(4_999)
    expect(await server.outcomes()).toEqual({})
    vi.advanceTimersByTime(1)
    expect(await server.outcomes()).toEqual({ 'tools late': 2 })
    expect([server.aborted, server.withdrawn]).toEqual([1, [server.handlers[1]]])
    expect(server.connects(1)).toBeNull()
  })

  it('[MCP9] waits for its turn where 64 are under way, for those are cut at once; what is beyond all that wait goes nowhere, which is counted', async () => {
    for (let i = 0; i < 64 + 4_096; i++) server.sends()
    expect([server.handlers.length, await server.outcomes()]).toEqual([64, {}])
    server.sends()
    expect((await server.metrics.limitReached.get()).values).toMatchObject([{ labels: { limit: 'mcp_errands' }, value: 1 }])
    for (let i = 0; i < 64 + 4_096; i++) {
      server.handlers[i]?.failed('upstream_reset')
      if (i % 64 === 63) await nextTurn()
    }
    expect([server.handlers.length, await server.outcomes()]).toEqual([64 + 4_096, { 'tools dropped': 1, 'tools failed': 64 + 4_096 }])
  })

  it('[MCP9] is late where its turn does not come in 30 s, and leaves room for others', async () => {
    for (let i = 0; i < 66; i++) server.sends()
    server.elapsed = 29_999
    server.handlers[0]?.failed('upstream_reset')
    await nextTurn()
    expect(server.handlers.length).toBe(65)
    server.elapsed = 30_000
    server.handlers[1]?.failed('upstream_reset')
    await nextTurn()
    expect([server.handlers.length, await server.outcomes()]).toEqual([65, { 'tools failed': 2, 'tools late': 1 }])
    server.sends()
    expect(server.handlers.length).toBe(66)
  })
})

it('[MCP9] has of the head of its request who asks, by what right and in which session, and nothing else', () => {
  const sent = ['host', 'a', 'Accept', 'x', 'MCP-Session-Id', 's', 'Mcp-Protocol-Version', 'v', 'mcp-name', 'n', 'idempotency-key', 'k', 'narrowgate-context', 'c', 'txn-token', 't', 'authorization', 'Bearer up', 'x-api-key', 'up', 'signature', 'z']
  expect(errandHeaders(sent, 'x-api-key')).toEqual([
    'host', 'a', 'mcp-session-id', 's', 'mcp-protocol-version', 'v', 'narrowgate-context', 'c', 'txn-token', 't', 'authorization', 'Bearer up', 'x-api-key', 'up',
    'content-type', 'application/json', 'accept', 'application/json, text/event-stream', 'accept-encoding', 'identity',
  ])
  expect(errandHeaders(sent, null)).not.toContain('x-api-key')
})
