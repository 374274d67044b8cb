// What SDK clients see of changes under way: a call that is cut, one that is held, a list that becomes another one. Their servers are the SDKs' too. SPEC:
// MCP6, MCP8, MCP9, MCP13
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { endOf, ERAS } from '../support/mcp/clients.ts'
import { McpStage } from '../support/mcp/gateway.ts'
import { seen } from '../support/mcp/runbooks.ts'

describe.each(ERAS)('%s', era => {
  let stage: McpStage
  beforeAll(async () => {
    stage = await McpStage.start(era, { mcp: '{ tools: [{ match: "work", args: { name: string } }] }', rules: ['{ allow: { tools: [work] }, if: \'mcp.args.name.startsWith("fine")\' }'] })
  })
  afterAll(() => stage.stop())

  async function operate(token: string, verb: string): Promise<void> {
    const { id } = await stage.gate.session(token)
    const { status, text } = await stage.gate.admin('POST', `/v1/sessions/${id}/${verb}`, { reason: 'test' })
    expect(status, text).toBe(200)
  }

  it('[MCP8, MCP9] a call that runs when its session ends is an error at its client, and is cancelled at its server', async () => {
    const agent = await stage.caller({ sub: 'ends' })
    const told: string[] = []
    const called = endOf(agent.call('work', { name: 'fine-ends' }, { onprogress: ({ message }) => told.push(String(message)) }))
    const work = await stage.peer.runbooks.work('fine-ends')
    await work.step()
    await seen('the first step', () => told[0])
    await operate(agent.token, 'terminate')
    await seen('the cancel at the server', () => (work.cancelledAt > 0 ? true : null))
    await work.step().catch(() => undefined) // its server may know already that nobody listens
    expect(await called).toMatchObject({ message: expect.stringContaining('An operator revoked it.') })
    expect(told).toEqual(['step 1'])
    expect(await endOf(agent.call('runbook_read', { incident: 'inc-1' }))).toHaveProperty('message')
  })

  it('[MCP6] a call that runs while its session is frozen is held, and misses nothing of what was told', async () => {
    const agent = await stage.caller({ sub: 'frozen' })
    const told: string[] = []
    const called = agent.call('work', { name: 'fine-frozen' }, { onprogress: ({ message }) => told.push(String(message)) })
    const work = await stage.peer.runbooks.work('fine-frozen')
    await work.step()
    await seen('the first step', () => told[0])
    await operate(agent.token, 'freeze')
    await work.step()
    work.finish()
    expect((await endOf(agent.call('runbook_read', { incident: 'inc-1' })))).toHaveProperty('message')
    expect(told).toEqual(['step 1'])
    await operate(agent.token, 'resume')
    expect(await called).toMatchObject({ content: [{ text: 'done' }] })
    expect(told).toEqual(['step 1', 'step 2'])
  })

  it('[MCP13, MCP12] an elevation shows in the list of who listens, is told to it, and is used at once', async () => {
    const agent = await stage.caller({ sub: 'listens' })
    await agent.listen()
    expect(await agent.tools()).not.toContain('runbook_write')
    await stage.gate.elevate(agent.token, 'writing')
    await agent.hear('notifications/tools/list_changed')
    expect(await agent.tools()).toContain('runbook_write')
    expect(await agent.call('runbook_write', { incident: 'inc-9', text: 'mine' })).toMatchObject({ content: [{ text: 'written' }] })
  })

  it('[MCP3] conditions read the arguments that the SDK sends', async () => {
    const agent = await stage.caller({ sub: 'reads' })
    expect(await endOf(agent.call('work', { name: 'bad' }))).toHaveProperty('message')
    expect(await endOf(agent.call('work', { name: 'fine-typed', steps: 'one' }))).toHaveProperty('message')
    expect(stage.peer.runbooks.calls.filter(call => call === 'work')).toHaveLength(2)
  })
})
