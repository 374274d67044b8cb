// Tasks of both eras: the older ones of a real server, through two gateways; the newer ones of a double, for no SDK serves them. SPEC: MCP11
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { mcpPlan } from '../support/mcp/gateway.ts'
import { type LegacyPeer, startLegacyServer } from '../support/mcp/legacy-server.ts'
import { type Listener, listen } from '../support/mcp/listener.ts'
import { type Json, metaOf, RawCaller, type Told } from '../support/mcp/raw-caller.ts'
import { seen } from '../support/mcp/runbooks.ts'
import { RedisServer } from '../support/redis-server.ts'

const UNKNOWN = { status: 404, answer: { error: { code: -32_602, data: { reason: 'task_unknown' } } } }
const RELATED = 'io.modelcontextprotocol/related-task'
const at = (told: Told, ...path: readonly string[]): unknown => path.reduce<unknown>((value, name) => (value as Json | undefined)?.[name], told.answer)
const about = (taskId: string): Json => ({ taskId })

/** Exchanges of a session, as operators see them. */
async function open(gate: TestGateway, id: string): Promise<readonly Json[]> {
  return (await gate.admin('GET', `/v1/sessions/${id}`)).json['exchanges'] as readonly Json[]
}

describe('two gateways, and a server of the older protocol', () => {
  let peer: LegacyPeer
  let redis: RedisServer
  let pair: GatewayPair
  let names = 0

  /** `export` is for whoever has the scope: by an elevation, or by its role. */
  beforeAll(async () => {
    ;[peer, redis] = await Promise.all([startLegacyServer(), RedisServer.start()])
    const rules = ['{ allow: { tools: [export] }, scope: runbooks:write, if: "!has(mcp.args.name) || mcp.args.name != \\"secret\\"" }']
    pair = await TestGateway.pair(redis, mcpPlan(peer, { rules, elevations: 'writing: { adds: [runbooks:write], for: 10m }\nonce: { adds: [runbooks:write], for: 10m, limits: { uses: 1 } }', baseline: '[{ when: \'subject.subject == "writer"\', scopes: [runbooks:write] }]' }))
  })
  afterAll(async () => {
    await pair.stop()
    await Promise.all([peer.close(), redis.stop()])
  })

  async function caller(claims: Json = { sub: 'writer' }): Promise<RawCaller> {
    const made = new RawCaller(pair.a, await pair.a.token(claims), 'legacy')
    await made.initialize()
    return made
  }

  /** The same caller at the other gateway. */
  const elsewhere = (of: RawCaller) => ({ ask: (method: string, params: Json) => new RawCaller(pair.b, of.token, 'legacy').ask(method, params, { 'mcp-session-id': of.session ?? '' }) })

  /** @returns the handle, what the server calls it, and its work */
  async function begun(of: RawCaller, name = `task-${names++}`) {
    const told = await of.ask('tools/call', { name: 'export', arguments: { name }, task: { ttl: 60_000 } })
    const handle = String(at(told, 'result', 'task', 'taskId'))
    const work = await peer.runbooks.work(name)
    await of.ask('tasks/get', about(handle))
    const asked = peer.received.at(-1)?.body?.['params'] as Json | undefined // as this file sends it
    const id = String(asked?.['taskId'])
    return { told, handle, id, work }
  }

  const cancels = (id: string): number => peer.received.filter(({ body }) => body?.['method'] === 'tasks/cancel' && (body['params'] as Json)['taskId'] === id).length

  it('[MCP11] a task is told by a handle, asked about by it through any gateway, and its result says the handle', async () => {
    const writer = await caller()
    const { told, handle, id, work } = await begun(writer)
    expect(at(told, 'result', 'task')).toMatchObject({ taskId: handle, status: 'working' })
    expect([told.text.includes(id), handle === id]).toEqual([false, false])
    expect(await writer.ask('tasks/get', about(handle))).toMatchObject({ answer: { result: { taskId: handle, status: 'working' } } })
    expect(await elsewhere(writer).ask('tasks/get', about(handle))).toMatchObject({ answer: { result: { taskId: handle, status: 'working' } } })
    const { id: session } = await pair.a.session(writer.token)
    for (const gate of [pair.a, pair.b]) expect(await open(gate, session)).toEqual([expect.objectContaining({ kind: 'task', route: 'runbooks', grant: 'baseline', state: 'open' })])
    work.finish('exported')
    const result = await writer.ask('tasks/result', about(handle))
    expect(result.answer).toMatchObject({ result: { content: [{ text: 'exported' }], _meta: { [RELATED]: { taskId: handle } } } })
    expect(result.text).not.toContain(id)
    expect(await elsewhere(writer).ask('tasks/get', about(handle))).toMatchObject({ answer: { result: { taskId: handle, status: 'completed' } } })
    await seen('the end of what was held', () => (pair.a.parts.inflight.size + pair.b.parts.inflight.size === 0 ? true : null))
    expect(cancels(id)).toBe(0)
  })

  it('[MCP11] a task of another session, the server’s own name and what was put anew are none of the caller’s, and nothing of it reaches the server', async () => {
    const [writer, stranger] = [await caller(), await caller()]
    const { handle, id, work } = await begun(writer)
    const before = peer.received.length
    for (const method of ['tasks/get', 'tasks/result', 'tasks/cancel', 'tasks/update']) {
      for (const shown of [handle, id, handle.replace(/.$/, last => (last === 'A' ? 'B' : 'A')), 7, null]) expect(await stranger.ask(method, { taskId: shown })).toMatchObject(UNKNOWN)
      for (const shown of [id, `${handle}x`]) expect(await writer.ask(method, about(shown))).toMatchObject(UNKNOWN)
    }
    expect(await writer.ask('ping', { _meta: { [RELATED]: { taskId: id } } })).toMatchObject(UNKNOWN)
    expect(peer.received).toHaveLength(before)
    work.finish()
  })

  it('[MCP11] tasks are not listed, and no server is said to list them', async () => {
    const writer = await caller()
    const before = peer.received.length
    expect(await writer.ask('tasks/list')).toMatchObject({ status: 404, answer: { error: { code: -32_601 } } })
    expect(peer.received).toHaveLength(before)
    const begun = await new RawCaller(pair.a, writer.token, 'legacy').initialize()
    expect(at(begun, 'result', 'capabilities', 'tasks')).toEqual({ cancel: {}, requests: { tools: { call: {} } } })
  })

  it('[MCP11] where the right of its call ends the server is told to stop, and its handle opens nothing from then on', async () => {
    const agent = await caller({})
    expect((await agent.ask('tools/call', { name: 'export', arguments: { name: 'none' }, task: {} })).status).toBe(403)
    const elevation = await pair.a.elevate(agent.token, 'writing')
    const { handle, id } = await begun(agent)
    const { id: session } = await pair.a.session(agent.token)
    expect(await open(pair.a, session)).toEqual([expect.objectContaining({ kind: 'task', grant: elevation })])
    const from = performance.now()
    await pair.b.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'test' })
    await seen('the cancel at the server', () => (cancels(id) > 0 ? true : null))
    expect(performance.now() - from).toBeLessThan(1_000)
    expect(peer.received.findLast(({ body }) => body?.['method'] === 'tasks/cancel')?.headers).toMatchObject({ 'mcp-session-id': peer.sessions().at(-1), 'mcp-protocol-version': '2025-11-25' })
    expect(await open(pair.a, session)).toEqual([])
    expect(await agent.ask('tasks/get', about(handle))).toMatchObject(UNKNOWN)
    expect((await elsewhere(agent).ask('tasks/get', about(handle))).status).toBe(403) // what carries it there is over
    expect((await pair.trail()).filter(({ kind, reason }) => kind === 'exchange.cut' && reason === 'revoked')).toHaveLength(1)
  })

  it('[MCP11] what is asked about a task belongs to the use that its call took; another call takes another', async () => {
    const agent = await caller({})
    await pair.a.elevate(agent.token, 'once')
    const { handle, work } = await begun(agent)
    const again = { name: 'export', arguments: { name: 'again' }, task: {} }
    expect(await agent.ask('tools/call', again)).toMatchObject({ status: 403, answer: { error: { data: { reason: 'limit_reached' } } } })
    for (const at of [agent, elsewhere(agent)]) expect(await at.ask('tasks/get', about(handle))).toMatchObject({ answer: { result: { status: 'working' } } })
    work.finish('exported')
    expect(await agent.ask('tasks/result', about(handle))).toMatchObject({ answer: { result: { content: [{ text: 'exported' }] } } })
  })

  it('[MCP11] narrowing ends what stands on an elevation, and leaves what stands on the baseline', async () => {
    const [agent, writer] = [await caller({}), await caller()]
    await pair.a.elevate(agent.token, 'writing')
    const [elevated, plain] = [await begun(agent), await begun(writer)]
    for (const each of [agent, writer]) await pair.a.admin('POST', `/v1/sessions/${(await pair.a.session(each.token)).id}/narrow`, { reason: 'test' })
    await seen('the cancel at the server', () => (cancels(elevated.id) > 0 ? true : null))
    expect(await writer.ask('tasks/get', about(plain.handle))).toMatchObject({ answer: { result: { status: 'working' } } })
    expect(cancels(plain.id)).toBe(0)
    plain.work.finish()
  })

  it('[MCP11] the end of a session ends its tasks on every gateway that has seen them', async () => {
    const writer = await caller()
    const { handle, id } = await begun(writer)
    await elsewhere(writer).ask('tasks/get', about(handle))
    await pair.a.admin('POST', `/v1/sessions/${(await pair.a.session(writer.token)).id}/terminate`, { reason: 'test' })
    await seen('both cancels at the server', () => (cancels(id) === 2 ? true : null))
    expect((await writer.ask('tasks/get', about(handle))).status).toBe(401)
  })

  it('[MCP11] a frozen task goes on and tells nothing until it is resumed', async () => {
    const writer = await caller()
    const { handle, id, work } = await begun(writer)
    const { id: session } = await pair.a.session(writer.token)
    await pair.a.admin('POST', `/v1/sessions/${session}/freeze`, { reason: 'test' })
    expect(await open(pair.a, session)).toEqual([expect.objectContaining({ kind: 'task', state: 'frozen' })])
    expect((await writer.ask('tasks/get', about(handle))).status).toBe(403)
    await pair.a.admin('POST', `/v1/sessions/${session}/resume`, { reason: 'test' })
    expect(await writer.ask('tasks/get', about(handle))).toMatchObject({ answer: { result: { status: 'working' } } })
    expect(cancels(id)).toBe(0)
    work.finish()
  })

  it('[MCP11] conditions on arguments are asked of those that its call had; where only their digest is left they hold for nobody', async () => {
    const writer = await caller()
    const long = 'x'.repeat(4_096)
    const told = await writer.ask('tools/call', { name: 'export', arguments: { name: long }, task: {} })
    const handle = String(at(told, 'result', 'task', 'taskId'))
    expect(at(told, 'result', 'task', 'status')).toBe('working')
    expect(await writer.ask('tasks/get', about(handle))).toMatchObject({ status: 403, answer: { error: { data: { reason: 'condition_error' } } } })
    const { work } = await begun(writer, 'plain')
    work.finish()
  })
})

describe('a server of the newer protocol', () => {
  let server: Listener
  let gate: TestGateway
  let status = 'working'
  let ttlMs = 60_000
  let tell: (message: Json) => void = () => {}

  const TASK = { createdAt: '2026-11-23T00:00:00Z', lastUpdatedAt: '2026-11-23T00:00:00Z', pollIntervalMs: 10 }
  const events = (): { readonly stream: ReadableStream; readonly say: (message: Json) => void } => {
    let to: ReadableStreamDefaultController<Uint8Array> | null = null
    return { stream: new ReadableStream<Uint8Array>({ start: controller => void (to = controller) }), say: message => to?.enqueue(Buffer.from(`data: ${JSON.stringify(message)}\n\n`)) }
  }

  function answered(method: string, params: Json): Json {
    switch (method) {
      case 'tools/call': return { resultType: 'task', taskId: `up-${String((params['arguments'] as Json)['name'])}`, status: 'working', ttlMs, ...TASK }
      case 'tasks/get': return { resultType: 'complete', taskId: params['taskId'], status, ttlMs, ...TASK }
      default: return { resultType: 'complete' }
    }
  }

  beforeAll(async () => {
    server = await listen(async request => {
      const { id, method, params } = (await request.json()) as { readonly id: number; readonly method: string; readonly params: Json } // what this file sends
      if (method !== 'subscriptions/listen') return Response.json({ jsonrpc: '2.0', id, result: answered(method, params) })
      const { stream, say } = events()
      tell = say
      say({ jsonrpc: '2.0', method: 'notifications/subscriptions/acknowledged', params: { notifications: params['notifications'], _meta: { 'io.modelcontextprotocol/subscriptionId': id } } })
      return new Response(stream, { headers: { 'content-type': 'text/event-stream' } })
    })
    gate = await TestGateway.start(mcpPlan(server, { rules: ['{ allow: { tools: [secret] }, scope: runbooks:write }'] }))
  })
  afterAll(async () => {
    await gate.stop()
    await server.close()
  })

  const caller = async (token?: string) => new RawCaller(gate, token ?? (await gate.token()), 'modern')
  const call = async (of: RawCaller, name: string, tool = 'export') => String(at(await of.askAlone('tools/call', { name: tool, arguments: { name } }, tool), 'result', 'taskId'))
  const last = () => server.received.at(-1)
  const heldBy = (id: string) => gate.parts.inflight.of(gate.parts.mirror.byId(id) ?? expect.fail('no session'))

  it('[MCP11] a task is told by a handle; what asks about it, answers it or ends it goes up by the server’s name, in body and header', async () => {
    const agent = await caller()
    const handle = await call(agent, 'one')
    expect(handle).toMatch(/^[\w-]+\.[\w-]{43}$/)
    for (const method of ['tasks/get', 'tasks/update', 'tasks/cancel']) {
      const told = await agent.askAlone(method, { taskId: handle, ...(method === 'tasks/update' ? { inputResponses: {} } : {}) }, handle)
      expect([told.status, at(told, 'result', 'resultType')]).toEqual([200, 'complete'])
      expect([last()?.headers['mcp-name'], last()?.body?.['params']]).toEqual(['up-one', expect.objectContaining({ taskId: 'up-one' })])
      expect(told.text).not.toContain('up-one')
    }
    expect((await agent.askAlone('tasks/get', { taskId: handle }, 'up-one')).status).toBe(400) // its header says something else
  })

  it('[MCP11] who is told of tasks is told of its own, by their handles, while it may', async () => {
    const [agent, other] = [await caller(), await caller()]
    const [mine, theirs] = [await call(agent, 'mine'), await call(other, 'theirs')]
    expect((await agent.askAlone('subscriptions/listen', { notifications: { taskIds: [mine, theirs] } })).status).toBe(404)
    const listen = { jsonrpc: '2.0', id: 'l', method: 'subscriptions/listen', params: { notifications: { taskIds: [mine] }, _meta: metaOf('2026-07-28') } }
    const stream = await agent.open('POST', listen, { 'mcp-method': 'subscriptions/listen' })
    expect(await stream.hear('the acknowledgement', ({ method }) => method === 'notifications/subscriptions/acknowledged')).toMatchObject({ params: { notifications: { taskIds: [mine] } } })
    for (const taskId of ['up-theirs', 'up-mine']) tell({ jsonrpc: '2.0', method: 'notifications/tasks', params: { taskId, status: 'working', ...TASK } })
    expect(await stream.hear('news', ({ method }) => method === 'notifications/tasks')).toMatchObject({ params: { taskId: mine } })
    tell({ jsonrpc: '2.0', method: 'notifications/tasks', params: { taskId: 'up-mine', status: 'completed', result: { content: [] }, ...TASK } })
    await stream.hear('the end', ({ params }) => (params as Json | undefined)?.['status'] === 'completed')
    expect(stream.text).not.toMatch(/up-/)
    const { id } = await gate.session(agent.token)
    await seen('the end of what was held', () => (heldBy(id).some(({ kind }) => kind === 'task') ? null : true))
    stream.close()
  })

  it('[MCP11] the server is told to stop in the way of its era', async () => {
    const agent = await caller()
    const elevation = await gate.elevate(agent.token, 'writing')
    const handle = await call(agent, 'three', 'secret')
    await gate.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'test' })
    const told = await seen('the cancel', () => server.received.find(({ body }) => body?.['method'] === 'tasks/cancel' && (body['params'] as Json)['taskId'] === 'up-three'))
    expect(told.headers).toMatchObject({ 'mcp-method': 'tasks/cancel', 'mcp-name': 'up-three', 'mcp-protocol-version': '2026-07-28' })
    expect(told.body).toMatchObject({ params: { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' } } })
    expect(await agent.askAlone('tasks/get', { taskId: handle }, handle)).toMatchObject(UNKNOWN)
  })

  it('[MCP11] an answer that is a task where no tool was called, or names one that no caller can be given, is worth nothing', async () => {
    const agent = await caller()
    expect((await agent.askAlone('tools/call', { name: 'export', arguments: { name: 'two words' } }, 'export')).status).toBe(502)
    expect((await agent.askAlone('tools/call', { name: 'export', arguments: { name: 'x'.repeat(600) } }, 'export')).status).toBe(502)
  })

  it('[MCP11] a session holds so many tasks; one more is refused, and its server told to stop', async () => {
    const small = await TestGateway.start({ ...mcpPlan(server), server: 'limits: { exchangesPerSession: 4 }' })
    try {
      const agent = new RawCaller(small, await small.token(), 'modern')
      await call(agent, 'first')
      await call(agent, 'second')
      const third = await agent.askAlone('tools/call', { name: 'export', arguments: { name: 'third' } }, 'export')
      expect(third.answer).toMatchObject({ error: { data: { reason: 'limit_reached' } } })
      expect(third.text).not.toContain('up-third')
      await seen('the cancel', () => server.received.find(({ body }) => body?.['method'] === 'tasks/cancel' && (body['params'] as Json)['taskId'] === 'up-third'))
      expect((await small.ops('/metrics')).text).toMatch(/limit_reached_total\{limit="tasks_per_session"\} 1/)
    } finally {
      await small.stop()
    }
  })

  it('[MCP11] what is kept of a call for its task takes room of what all bodies may hold; without that there is no task', async () => {
    const narrow = await TestGateway.start({ ...mcpPlan(server), server: 'limits: { inspectTotal: 150KiB }' })
    try {
      const agent = new RawCaller(narrow, await narrow.token(), 'modern')
      const large = (name: string) => agent.askAlone('tools/call', { name: 'export', arguments: { name, text: 'x'.repeat(60_000) } }, 'export')
      expect(at(await large('large-1'), 'result', 'status')).toBe('working')
      expect((await large('large-2')).answer).toMatchObject({ error: { data: { reason: 'limit_reached' } } })
      await narrow.admin('POST', `/v1/sessions/${(await narrow.session(agent.token)).id}/terminate`, { reason: 'test' })
      const other = new RawCaller(narrow, await narrow.token(), 'modern')
      expect((await other.askAlone('tools/call', { name: 'export', arguments: { name: 'large-3', text: 'x'.repeat(60_000) } }, 'export')).answer).toMatchObject({ result: { status: 'working' } })
    } finally {
      await narrow.stop()
    }
  })

  it('[MCP11] a gateway that stops leaves a task to whoever asks about it next, and a task whose time is over is held no more', async () => {
    const leaving = await TestGateway.start(mcpPlan(server))
    const agent = new RawCaller(leaving, await leaving.token(), 'modern')
    await call(agent, 'left')
    const from = performance.now()
    await leaving.gateway.close('test')
    expect(performance.now() - from).toBeLessThan(5_000) // it is not waited for
    await leaving.stop()
    const short = await caller()
    ttlMs = 20
    await call(short, 'short')
    ttlMs = 60_000
    const { id } = await gate.session(short.token)
    await seen('its end', () => (heldBy(id).length === 0 ? true : null))
    expect(server.received.filter(({ body }) => body?.['method'] === 'tasks/cancel' && ['up-left', 'up-short'].includes(String((body['params'] as Json)['taskId'])))).toEqual([])
  })

  it('[MCP11] a terminal status is the end of what is held', async () => {
    const agent = await caller()
    const handle = await call(agent, 'done')
    const { id } = await gate.session(agent.token)
    expect(await open(gate, id)).toHaveLength(1)
    status = 'failed'
    await agent.askAlone('tasks/get', { taskId: handle }, handle)
    status = 'working'
    await seen('its end', () => (heldBy(id).length === 0 ? true : null))
  })
})
