// Real SDK clients against real SDK servers, with a gateway between them and without: everything that is let through is what it is without. SPEC: MCP2, MCP6
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Caller, connect, endOf, ERAS, type Heard } from '../support/mcp/clients.ts'
import { McpStage, urlOf } from '../support/mcp/gateway.ts'
import { seen } from '../support/mcp/runbooks.ts'

describe.each(ERAS)('%s', era => {
  let stage: McpStage
  let ways: readonly [Caller, Caller]

  beforeAll(async () => {
    stage = await McpStage.start(era)
    ways = [await stage.direct(), await stage.caller()]
  })
  afterAll(() => stage.stop())

  /** The same both ways. */
  async function same<T>(ask: (caller: Caller) => Promise<T>): Promise<T> {
    const [direct, through] = [await ask(ways[0]), await ask(ways[1])]
    expect(through).toEqual(direct)
    return through
  }

  it('[MCP2] reads, prompts, completions and calls of tools come back as they come directly', async () => {
    expect(await same(({ call }) => call('runbook_read', { incident: 'inc-1' }))).toMatchObject({ content: [{ type: 'text', text: 'restart the ledger' }] })
    expect(await same(({ resources }) => resources())).toEqual(['runbook://inc-1', 'runbook://inc-2'])
    expect(await same(({ read }) => read('runbook://inc-2'))).toMatchObject({ contents: [{ text: 'drain the queue' }] })
    expect(await same(({ prompts }) => prompts())).toEqual(['triage'])
    expect(await same(({ prompt }) => prompt('triage', { incident: 'inc-1' }))).toMatchObject({ messages: [{ content: { text: 'Triage inc-1' } }] })
    expect(await same(({ complete }) => complete('triage', 'incident', 'inc'))).toEqual(['inc-1', 'inc-2'])
  })

  it('[MCP6] what a tool says of its own failures reaches its caller', async () => {
    expect(await same(({ call }) => endOf(call('fail')))).toMatchObject({ result: { isError: true } })
    expect(await same(({ call }) => call('runbook_read', { incident: 'none' }))).toMatchObject({ isError: true })
    await same(({ call }) => endOf(call('runbook_read', {})))
  })

  it('[MCP6] what a server knows nothing of is the error that the server makes of it', async () => {
    await same(({ call }) => endOf(call('no_such_tool')))
    await same(({ prompt }) => endOf(prompt('no_such_prompt', {})))
    await same(({ read }) => endOf(read('other://inc-1')))
    await same(({ complete }) => endOf(complete('no_such_prompt', 'incident', 'inc').then(values => ({ values }))))
  })

  it('[MCP6] a result of megabytes arrives whole', async () => {
    const { content } = await same(({ call }) => call('big', { length: 3_000_000 }))
    expect(JSON.stringify(content).length).toBeGreaterThan(3_000_000)
  })

  it('[MCP6] progress arrives while the tool works, and then its result', async () => {
    const steps = await same(async ({ call, era: of }) => {
      const heard: string[] = []
      const name = `steps-${of}-${Math.random()}`
      const called = call('work', { name }, { onprogress: ({ message }) => heard.push(String(message)) })
      const work = await stage.peer.runbooks.work(name)
      await work.step()
      await seen('the first step', () => heard[0])
      await work.step()
      await seen('the second step', () => heard[1])
      work.finish()
      return [heard, await called]
    })
    expect(steps).toMatchObject([['step 1', 'step 2'], { content: [{ text: 'done' }] }])
  })

  it('[MCP9] a call that its client gives up is cancelled at the server', async () => {
    for (const [i, { call }] of ways.entries()) {
      const [giving, name] = [new AbortController(), `given-up-${i}`]
      const called = endOf(call('work', { name }, { signal: giving.signal, onprogress: () => {} }))
      const work = await stage.peer.runbooks.work(name)
      await work.step()
      giving.abort()
      await seen('the cancel at the server', () => (work.cancelledAt > 0 ? true : null))
      expect(await called).toHaveProperty('message')
    }
  })

  it('[MCP6] who listens hears of changed tools and resources', async () => {
    const heard = await same(async caller => {
      const from = caller.heard.length
      const end = await caller.listen(['runbook://inc-1'])
      stage.peer.tellUpdated('inc-1')
      stage.peer.tellTools()
      const news = await seen('both', () => (caller.heard.length < from + 2 ? null : caller.heard.slice(from)))
      await end()
      return news.map(({ method, params }: Heard) => [method, params['uri']])
    })
    expect(heard).toEqual(expect.arrayContaining([['notifications/resources/updated', 'runbook://inc-1'], ['notifications/tools/list_changed', undefined]]))
  })

  it('[MCP2] a question of the server reaches the person, and the answer the server', async () => {
    const writer = await stage.caller({}, { confirm: () => true })
    await stage.gate.elevate(writer.token, 'writing')
    expect(await writer.call('runbook_write', { incident: 'inc-3', text: 'new' })).toMatchObject({ content: [{ text: 'written' }] })
    expect(await writer.call('runbook_delete', { incident: 'inc-3' })).toMatchObject({ content: [{ text: 'deleted' }] })
    expect(stage.peer.runbooks.texts.has('inc-3')).toBe(false)
  })

  it('[MCP7] what a session may not is refused in words that its client understands, and never reaches the server', async () => {
    const before = stage.peer.runbooks.calls.length
    expect(await endOf(ways[1].call('runbook_write', { incident: 'inc-1', text: 'mine' }))).toMatchObject({ message: expect.stringMatching(/scope/i) })
    expect(stage.peer.runbooks.calls).toHaveLength(before)
  })

  it('[MCP2] without a credential nobody connects', async () => {
    await expect(connect[era](urlOf(stage.gate), { token: '' })).rejects.toThrow()
  })
})
