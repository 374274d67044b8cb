// What only one era of MCP knows, with its own SDK on both sides of a gateway: of old the handshake, the protocol session and its end, ping and tasks; since
// 2026-07-28 discovery, streams that end with their listener, and nothing of the former. SPEC: MCP10, MCP11, MCP6
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { connectLegacy, connectModern } from '../support/mcp/clients.ts'
import { mcpPlan, urlOf } from '../support/mcp/gateway.ts'
import { type LegacyPeer, startLegacyServer } from '../support/mcp/legacy-server.ts'
import { type ModernPeer, startModernServer } from '../support/mcp/modern-server.ts'
import { seen } from '../support/mcp/runbooks.ts'

const ACCEPT = { accept: 'application/json, text/event-stream', 'content-type': 'application/json' }

describe('2025-11-25', () => {
  let peer: LegacyPeer
  let gate: TestGateway
  beforeAll(async () => {
    peer = await startLegacyServer()
    gate = await TestGateway.start(mcpPlan(peer))
  })
  afterAll(async () => {
    await gate.stop()
    await peer.close()
  })

  it('[MCP10] the handshake makes one protocol session, and its end ends it at the server', async () => {
    const token = await gate.token()
    const agent = await connectLegacy(urlOf(gate), { token })
    expect(peer.sessions()).toHaveLength(1)
    expect(agent.client.getServerVersion()).toMatchObject({ name: 'runbooks' })
    expect(await agent.client.ping()).toEqual({})
    const id = agent.sessionId() ?? ''
    await agent.close()
    expect(peer.sessions()).toEqual([])
    const after = await fetch(urlOf(gate), { method: 'POST', headers: { ...ACCEPT, authorization: `Bearer ${token}`, 'mcp-session-id': id, 'mcp-protocol-version': '2025-11-25' }, body: '{"jsonrpc":"2.0","id":9,"method":"ping"}' })
    expect(after.status).toBe(404)
    await after.body?.cancel()
  })

  it('[MCP10] the id of one session opens nothing for another', async () => {
    const agent = await connectLegacy(urlOf(gate), { token: await gate.token({ sub: 'agent-2' }) })
    const other = await gate.token({ sub: 'agent-3' })
    const stolen = await fetch(urlOf(gate), { method: 'POST', headers: { ...ACCEPT, authorization: `Bearer ${other}`, 'mcp-session-id': agent.sessionId() ?? '', 'mcp-protocol-version': '2025-11-25' }, body: '{"jsonrpc":"2.0","id":9,"method":"tools/list"}' })
    expect(stolen.status).toBe(404)
    await stolen.body?.cancel()
    await agent.close()
  })

  it('[MCP10] a call whose server ends its stream goes on, and its client, which comes back, has each step and the result', async () => {
    const agent = await connectLegacy(urlOf(gate), { token: await gate.token({ sub: 'agent-4' }) })
    const told: string[] = []
    const called = agent.call('work', { name: 'rests' }, { onprogress: ({ message }) => told.push(String(message)), timeout: 10_000 })
    const work = await peer.runbooks.work('rests')
    await work.step()
    await seen('the first step', () => told[0])
    work.rest()
    await seen('its client came back', () => peer.received.find(({ method, headers }) => method === 'GET' && headers['last-event-id'] !== undefined))
    await work.step()
    work.finish('rested')
    expect(await called).toMatchObject({ content: [{ text: 'rested' }] })
    expect(told).toEqual(['step 1', 'step 2'])
    await agent.close()
  })

  it('[MCP11] a task is made, asked after and fetched', async () => {
    const agent = await connectLegacy(urlOf(gate), { token: await gate.token() })
    const told: string[] = []
    await agent.client.listTools() // tells the client which tools are tasks
    const ended = (async () => {
      for await (const message of agent.client.experimental.tasks.callToolStream({ name: 'export', arguments: { name: 'exported' } })) told.push(message.type === 'result' ? JSON.stringify(message.result.content) : message.type)
    })()
    const work = await peer.runbooks.work('exported')
    await seen('the task was asked after', () => (told.includes('taskStatus') ? true : null))
    work.finish('all of them')
    await ended
    expect(told[0]).toBe('taskCreated')
    expect(told.at(-1)).toContain('all of them')
    await agent.close()
  })
})

describe('2026-07-28', () => {
  let peer: ModernPeer
  let gate: TestGateway
  beforeAll(async () => {
    peer = await startModernServer()
    gate = await TestGateway.start(mcpPlan(peer, { mcp: '{ versions: ["2026-07-28"] }' }))
  })
  afterAll(async () => {
    await gate.stop()
    await peer.close()
  })

  it('[MCP6] a stream that nobody listens to any more ends at the server', async () => {
    const agent = await connectModern(urlOf(gate), { token: await gate.token() })
    const end = await agent.listen()
    await seen('a listener at the server', () => (peer.listeners() === 1 ? true : null))
    await end()
    await seen('no listener at the server', () => (peer.listeners() === 0 ? true : null))
    await agent.close()
  })

  it('[MCP10] no protocol session is made or taken, whatever the caller sends', async () => {
    const agent = await connectModern(urlOf(gate), { token: await gate.token(), headers: { 'mcp-session-id': 'picked' } })
    expect(await agent.call('runbook_read', { incident: 'inc-2' })).toMatchObject({ content: [{ text: 'drain the queue' }] })
    expect(agent.answers.every(({ headers }) => headers.get('mcp-session-id') === null)).toBe(true)
    expect(peer.received.every(({ headers }) => headers['mcp-session-id'] === undefined)).toBe(true)
    await agent.close()
  })

  it('[MCP2] a client of before is told which versions are served', async () => {
    await expect(connectLegacy(urlOf(gate), { token: await gate.token() })).rejects.toThrow(/2026-07-28|-32022/)
  })
})
