// Lists as real SDK clients of both eras see them through a gateway, and how soon a stream hears that they are others: elevations that begin, are taken away
// and run out, locks on tools, resources that may not be read any more. SPEC: MCP12, MCP13, MCP19
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Caller, endOf, ERAS } from '../support/mcp/clients.ts'
import { McpStage } from '../support/mcp/gateway.ts'
import { seen } from '../support/mcp/runbooks.ts'

const CHANGED = 'notifications/tools/list_changed'
const UPDATED = 'notifications/resources/updated'
const RULES = ['{ allow: { resources: ["runbook://inc-2"] }, scope: runbooks:write }', '{ deny: { tools: [fail] } }']

describe.each(ERAS)('%s', era => {
  let stage: McpStage
  beforeAll(async () => { stage = await McpStage.start(era, { rules: RULES, elevations: 'writing: { adds: [runbooks:write], for: 10m }\nbrief: { adds: [runbooks:write], for: 1s }' }) })
  afterAll(() => stage.stop())

  const count = ({ heard }: Caller, method: string): number => heard.filter(each => each.method === method).length
  /** How often it has heard it, when a later message came: the stream keeps its order. */
  async function settledCount(caller: Caller, method: string): Promise<number> {
    const before = count(caller, UPDATED)
    stage.peer.tellUpdated('inc-1')
    await caller.hear(UPDATED, before + 1)
    return count(caller, method)
  }

  it('[MCP12] shows what a session may call now, and no call is let through by what was shown', async () => {
    const caller = await stage.caller()
    const baseline = (await caller.tools()).toSorted()
    expect(baseline).toEqual(expect.arrayContaining(['runbook_read', 'work']))
    expect(baseline.filter(name => ['runbook_write', 'runbook_delete', 'fail'].includes(name))).toEqual([])
    expect(await caller.resources()).toEqual(['runbook://inc-1'])
    const id = await stage.gate.elevate(caller.token, 'writing')
    expect((await caller.tools()).filter(name => !baseline.includes(name)).toSorted()).toEqual(['runbook_delete', 'runbook_write'])
    expect(await caller.resources()).toEqual(['runbook://inc-1', 'runbook://inc-2'])
    await stage.gate.admin('POST', `/v1/elevations/${id}/revoke`, { reason: 'x' })
    const ran = stage.peer.runbooks.calls.length
    expect(await endOf(caller.call('runbook_write', { incident: 'inc-1', text: 'x' })), 'it was on the last list').not.toHaveProperty('result')
    expect([(await caller.tools()).toSorted(), stage.peer.runbooks.calls.length]).toEqual([baseline, ran])
  })

  it('[MCP12] of the newer protocol, an answer says that it is the session’s own, and is not kept beyond an end that is near', async () => {
    const token = await stage.gate.token()
    await stage.gate.elevate(token, 'writing')
    const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream', 'mcp-protocol-version': '2026-07-28', 'mcp-method': 'tools/list' }
    const body = { jsonrpc: '2.0', id: 1, method: 'tools/list', params: { _meta: { 'io.modelcontextprotocol/protocolVersion': '2026-07-28', 'io.modelcontextprotocol/clientCapabilities': {} } } }
    if (era === 'legacy') return
    const { text } = await stage.gate.ask('POST', '/mcp', headers, JSON.stringify(body))
    const { result } = JSON.parse(text.includes('data: ') ? (text.split('data: ')[1] ?? '') : text) as { result: { cacheScope: string; ttlMs: number } } // an answer to this
    expect(result.cacheScope).toBe('private')
    expect(result.ttlMs).toBeLessThanOrEqual(600_000)
  })

  it('[MCP13] a stream hears once that an elevation began, and once that it was taken away', async () => {
    const caller = await stage.caller()
    await caller.listen(['runbook://inc-1'])
    const id = await stage.gate.elevate(caller.token, 'writing')
    await caller.hear(CHANGED)
    expect(await caller.tools()).toContain('runbook_write')
    await stage.gate.admin('POST', `/v1/elevations/${id}/revoke`, { reason: 'x' })
    await caller.hear(CHANGED, 2)
    expect(await caller.tools()).not.toContain('runbook_write')
    expect(await settledCount(caller, CHANGED)).toBe(2)
  })

  it('[MCP13] and once each that one began and that its time is up', async () => {
    const caller = await stage.caller()
    await caller.listen(['runbook://inc-1'])
    await stage.gate.elevate(caller.token, 'brief')
    await caller.hear(CHANGED, 2)
    expect(await caller.tools()).not.toContain('runbook_write')
    expect(await settledCount(caller, CHANGED)).toBe(2)
  })

  it('[MCP13, MCP14] a lock on one tool takes it out of the list and refuses its calls, and nothing else', async () => {
    const caller = await stage.caller()
    await caller.listen(['runbook://inc-1'])
    const running = endOf(caller.call('work', { name: `held-${era}` }))
    const work = await stage.peer.runbooks.work(`held-${era}`)
    const { json } = await stage.gate.admin('POST', '/v1/locks', { selector: { tool: 'runbooks/work' }, reason: 'kill switch' })
    await caller.hear(CHANGED)
    expect(await caller.tools()).not.toContain('work')
    expect(await endOf(caller.call('work', { name: 'other' }))).toMatchObject({ code: 403 })
    expect(await running, 'a call that runs is cut').toMatchObject({ code: expect.any(Number) })
    await seen('its server was told', () => (work.cancelledAt > 0 ? true : null))
    expect(await caller.call('runbook_read', { incident: 'inc-1' })).toMatchObject({ content: [{ text: 'restart the ledger' }] })
    await stage.gate.admin('DELETE', `/v1/locks/${(json as { lock: { id: string } }).lock.id}`, { reason: 'x' }) // what it set
    await caller.hear(CHANGED, 2)
    expect(await caller.tools()).toContain('work')
  })

  it('[MCP13] also that a lock lifts by itself', async () => {
    const caller = await stage.caller()
    await caller.listen(['runbook://inc-1'])
    await stage.gate.admin('POST', '/v1/locks', { selector: { tool: 'runbooks/big' }, for: '1s', reason: 'x' })
    await caller.hear(CHANGED)
    expect(await caller.tools()).not.toContain('big')
    await caller.hear(CHANGED, 2)
    expect(await caller.tools()).toContain('big')
    expect(await settledCount(caller, CHANGED)).toBe(2)
  })

  it('[MCP19] news of a resource that the session may not read any more goes nowhere', async () => {
    const caller = await stage.caller()
    const id = await stage.gate.elevate(caller.token, 'writing')
    await caller.listen(['runbook://inc-1', 'runbook://inc-2'])
    stage.peer.tellUpdated('inc-2')
    expect((await caller.hear(UPDATED)).params['uri']).toBe('runbook://inc-2')
    await stage.gate.admin('POST', `/v1/elevations/${id}/revoke`, { reason: 'x' })
    stage.peer.tellUpdated('inc-2')
    stage.peer.tellUpdated('inc-1')
    expect((await caller.hear(UPDATED, 2)).params['uri'], 'what the baseline reads goes on').toBe('runbook://inc-1')
  })

  it('[MCP13] what a server tells of its own lists goes on', async () => {
    const caller = await stage.caller()
    await caller.listen(['runbook://inc-1'])
    stage.peer.tellTools()
    await caller.hear(CHANGED)
  })
})
