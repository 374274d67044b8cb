// Sessions of the older protocol, and what is left of them in the newer one: a real server of the older one, a double where no real server would answer so.
// SPEC: MCP10
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { mcpPlan } from '../support/mcp/gateway.ts'
import { type LegacyPeer, startLegacyServer } from '../support/mcp/legacy-server.ts'
import { type Listener, listen } from '../support/mcp/listener.ts'
import { RawCaller } from '../support/mcp/raw-caller.ts'
import { seen } from '../support/mcp/runbooks.ts'
import { RedisServer } from '../support/redis-server.ts'

const UNKNOWN = { status: 404, answer: { error: { data: { reason: 'stream_unknown' } } } }

describe('two gateways, and a server of the older protocol', () => {
  let peer: LegacyPeer
  let redis: RedisServer
  let pair: GatewayPair
  const legacy = async (gate = pair.a, token?: string): Promise<RawCaller> => new RawCaller(gate, token ?? (await gate.token()), 'legacy')

  beforeAll(async () => {
    ;[peer, redis] = await Promise.all([startLegacyServer(), RedisServer.start()])
    pair = await TestGateway.pair(redis, mcpPlan(peer))
  })
  afterAll(async () => {
    await pair.stop()
    await Promise.all([peer.close(), redis.stop()])
  })

  it('[MCP10] a caller has a handle, the server its own name, and requests, streams and the end go to that session through any gateway', async () => {
    const caller = await legacy()
    const begun = await caller.initialize()
    const id = peer.sessions().at(-1) ?? ''
    expect([begun.status, caller.session === id, caller.session?.length]).toEqual([200, false, expect.any(Number)])
    expect(begun.text).not.toContain(id)
    expect((await caller.ask('ping')).answer).toMatchObject({ result: {} })
    const elsewhere = new RawCaller(pair.b, caller.token, 'legacy')
    expect((await elsewhere.ask('ping', {}, { 'mcp-session-id': caller.session ?? '' })).answer).toMatchObject({ result: {} })
    const stream = await elsewhere.open('GET', null, { 'mcp-session-id': caller.session ?? '' })
    expect(stream.status).toBe(200)
    peer.tellTools()
    await stream.hear('the news', ({ method }) => method === 'notifications/tools/list_changed')
    stream.close()
    expect(peer.received.slice(-3).every(({ headers }) => headers['mcp-session-id'] === id)).toBe(true)
    expect((await elsewhere.open('DELETE', null, { 'mcp-session-id': caller.session ?? '' })).status).toBe(200)
    expect(peer.sessions()).not.toContain(id)
  })

  it('[MCP10] a handle of another session, the server’s own name and what was put anew are refused, and nothing of it reaches the server', async () => {
    const [caller, stranger] = [await legacy(), await legacy()]
    await caller.initialize()
    await stranger.initialize()
    const [handle, id, before] = [caller.session ?? '', peer.sessions().at(-2) ?? '', peer.received.length]
    for (const shown of [handle, id, `${handle}x`, handle.replace(/.$/, last => (last === 'A' ? 'B' : 'A')), 'x']) {
      expect(await stranger.ask('ping', {}, { 'mcp-session-id': shown })).toMatchObject(UNKNOWN)
      expect((await stranger.open('GET', null, { 'mcp-session-id': shown })).status).toBe(404)
      expect((await stranger.open('DELETE', null, { 'mcp-session-id': shown })).status).toBe(404)
    }
    expect(peer.received).toHaveLength(before)
    expect((await caller.ask('ping')).answer).toMatchObject({ result: {} })
  })

  it('[MCP10] a spelling of the header that only some servers read goes to none', async () => {
    const caller = await legacy()
    await caller.initialize()
    const [id, before] = [peer.sessions().at(-1) ?? '', peer.received.length]
    expect((await caller.ask('ping', {}, { mcp_session_id: id })).status).toBe(400)
    expect(peer.received).toHaveLength(before)
  })

  it('[MCP10] behind an end of the session its credential is refused before its handle is looked at', async () => {
    const caller = await legacy()
    await caller.initialize()
    const { id } = await pair.a.session(caller.token)
    await pair.a.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'test' })
    for (const gate of [pair.a, pair.b]) expect((await new RawCaller(gate, caller.token, 'legacy').ask('ping', {}, { 'mcp-session-id': caller.session ?? '' })).status).toBe(401)
  })

  it('[MCP10] an id that is pending in its session of the protocol is not taken again, and is free when it was answered', async () => {
    const caller = await legacy()
    await caller.initialize()
    const call = (id: number | string, name: string) => caller.open('POST', { jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'work', arguments: { name } } })
    const first = await call(77, 'pending-1')
    const work = await peer.runbooks.work('pending-1')
    expect(await caller.send({ jsonrpc: '2.0', id: 77, method: 'ping' })).toMatchObject({ status: 400, answer: { id: 77, error: { code: -32_600 } } })
    expect((await caller.send({ jsonrpc: '2.0', id: '77', method: 'ping' })).status).toBe(200)
    work.finish()
    await first.hear('its answer', ({ id }) => id === 77)
    await seen('the end of the call', () => (first.ended ? true : null))
    expect((await caller.send({ jsonrpc: '2.0', id: 77, method: 'ping' })).status).toBe(200)
  })
})

describe('a call whose stream broke', () => {
  let peer: LegacyPeer
  let redis: RedisServer
  let pair: GatewayPair
  let names = 0

  beforeAll(async () => {
    ;[peer, redis] = await Promise.all([startLegacyServer(), RedisServer.start()])
    pair = await TestGateway.pair(redis, mcpPlan(peer, { rules: ['{ allow: { tools: [work] }, scope: runbooks:write }'] }))
  })
  afterAll(async () => {
    await pair.stop()
    await Promise.all([peer.close(), redis.stop()])
  })

  /** A call under way, and then its caller is gone. @returns how its work ends, and where its stream was */
  async function broken() {
    const caller = new RawCaller(pair.a, await pair.a.token(), 'legacy')
    await caller.initialize()
    const elevation = await pair.a.elevate(caller.token, 'writing')
    const [name, id] = [`broken-${names++}`, 900 + names]
    const stream = await caller.open('POST', { jsonrpc: '2.0', id, method: 'tools/call', params: { name: 'work', arguments: { name } } })
    const work = await peer.runbooks.work(name)
    const last = await seen('an event with an id', () => /^id: ?(.+)$/m.exec(stream.text)?.[1])
    stream.close()
    await seen('the end of the call', () => (pair.a.parts.inflight.size === 0 ? true : null))
    return { caller, elevation, id, work, last }
  }

  const droppedAt = async (gate: TestGateway): Promise<number> => Number(/mcp_dropped_total\{[^}]*what="other_answer"[^}]*\} (\d+)/.exec((await gate.ops('/metrics')).text)?.[1] ?? 0)

  async function isDropped(gate: TestGateway, caller: RawCaller, id: number, last: string, before: number): Promise<void> {
    const stream = await new RawCaller(gate, caller.token, 'legacy').open('GET', null, { 'mcp-session-id': caller.session ?? '', 'last-event-id': last })
    expect(stream.status).toBe(200)
    for (let tries = 0; (await droppedAt(gate)) === before; tries++) if (tries > 500) throw new Error('its answer did not come at all')
    expect(stream.messages.filter(message => message['id'] === id)).toEqual([])
    stream.close()
  }

  it('[MCP10] its answer comes where its caller asks on from the event that it has last', async () => {
    const { caller, id, work, last } = await broken()
    work.finish('done after all')
    const stream = await caller.open('GET', null, { 'last-event-id': last })
    expect(await stream.hear('the answer', message => message['id'] === id)).toMatchObject({ result: { content: [{ text: 'done after all' }] } })
    stream.close()
  })

  it('[MCP10] nobody goes on from an event of somebody else\'s stream, nor from one by its server\'s own name', async () => {
    const { work, last } = await broken()
    const [other, before] = [new RawCaller(pair.a, await pair.a.token(), 'legacy'), peer.received.length]
    await other.initialize()
    const begun = peer.received.length
    for (const event of [last, Buffer.from(last.split('.')[0] ?? '', 'base64url').toString()]) {
      const stream = await other.open('GET', null, { 'last-event-id': event })
      expect([stream.status, begun > before]).toEqual([404, true])
      stream.close()
    }
    expect(peer.received.slice(begun)).toEqual([])
    work.finish()
  })

  it('[MCP10] its answer is judged anew: behind the end of its right it comes nowhere', async () => {
    const { caller, elevation, id, work, last } = await broken()
    await pair.b.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'test' })
    work.finish()
    await isDropped(pair.a, caller, id, last, await droppedAt(pair.a))
  })

  it('[MCP10] another gateway knows nothing of its call, and passes no answer to it', async () => {
    const { caller, id, work, last } = await broken()
    work.finish()
    await isDropped(pair.b, caller, id, last, await droppedAt(pair.b))
  })
})

it('[MCP10] another life of the same session has to initialize anew', async () => {
  const peer = await startLegacyServer()
  const gate = await TestGateway.start(mcpPlan(peer, { baseline: '[{ scopes: [base:read] }]\n  idle: 1s' }))
  try {
    const caller = new RawCaller(gate, await gate.token(), 'legacy')
    await caller.initialize()
    const { id } = await gate.session(caller.token)
    expect((await caller.ask('ping')).status).toBe(200)
    await seen('the end of that life', () => (gate.parts.mirror.byId(id)?.record.state.is === 'live' ? null : true))
    const before = peer.received.length
    expect(await caller.ask('ping')).toMatchObject(UNKNOWN)
    expect((await gate.session(caller.token)).id).not.toBe(id)
    expect(peer.received).toHaveLength(before)
    expect((await new RawCaller(gate, caller.token, 'legacy').initialize()).status).toBe(200)
  } finally {
    await gate.stop()
    await peer.close()
  }
})

describe('a server that does as it likes', () => {
  let server: Listener
  let gate: TestGateway
  let named = 'upstream-1'

  beforeAll(async () => {
    server = await listen(async request => {
      const { id } = (await request.json()) as { readonly id?: number } // what this file sends
      return Response.json({ jsonrpc: '2.0', id, result: { resultType: 'complete' } }, { headers: { 'mcp-session-id': named } })
    })
    gate = await TestGateway.start(mcpPlan(server))
  })
  afterAll(async () => {
    await gate.stop()
    await server.close()
  })

  it('[MCP10] the newer protocol knows no session: none is taken from a caller, none is told to it', async () => {
    const caller = new RawCaller(gate, await gate.token(), 'modern')
    const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} }
    const told = await caller.send({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: meta } }, { 'mcp-method': 'tools/list', 'mcp-session-id': 'chosen', 'last-event-id': '7' })
    expect([told.status, told.headers.get('mcp-session-id')]).toEqual([200, null])
    expect(server.received.at(-1)?.headers).not.toHaveProperty('mcp-session-id')
    expect(server.received.at(-1)?.headers).not.toHaveProperty('last-event-id')
  })

  it('[MCP10] a name that no caller can be given makes the answer worth nothing', async () => {
    named = 'x'.repeat(513)
    const caller = new RawCaller(gate, await gate.token(), 'legacy')
    expect((await caller.initialize()).status).toBe(502)
    named = 'two words'
    expect((await caller.initialize()).status).toBe(502)
    named = 'x'.repeat(512)
    expect((await caller.initialize()).status).not.toBe(404)
    expect(caller.session?.length).toBeLessThan(1_024)
  })
})
