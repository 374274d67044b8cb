// What a server tells on a stream, judged message by message; what its greeting becomes; and what of answers may be kept.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { GreetingSieve, isGreeting } from '../../../../../src/proxy/mcp/lists/greeting.ts'
import { CacheSieve } from '../../../../../src/proxy/mcp/lists/own-cache.ts'
import type { JsonObject } from '../../../../../src/proxy/mcp/sieve.ts'
import { StreamSieve, subscriptionFault } from '../../../../../src/proxy/mcp/lists/stream-messages.ts'
import { answer, asked, policyOf, resultOf, Stage, tells } from '../stage.ts'

let stage: Stage
let dropped: string[]
beforeEach(async () => {
  stage = await Stage.open(policyOf('{ versions: ["2026-07-28", "2025-11-25"], offerElevation: true }'))
  dropped = []
})
afterEach(() => stage.close())

const passes = (method: string, params: JsonObject = {}): boolean => new StreamSieve(stage.supposing, what => void dropped.push(what)).pass(tells(method, params)) !== null
const updated = (uri: unknown): boolean => passes('notifications/resources/updated', { uri })

describe('messages on streams', () => {
  test('[MCP19] news of a resource passes only where the session may read it now', async () => {
    expect([updated('file:///runbooks/a'), updated('file:///secrets/a'), updated('other:///x')]).toEqual([true, false, false])
    await stage.elevate()
    expect(updated('file:///secrets/a')).toBe(true)
    stage.world.clock.pass(600_000)
    expect([updated('file:///secrets/a'), updated('file:///runbooks/a')], 'only what the baseline reads').toEqual([false, true])
    await stage.lock({ kind: 'route', value: 'runbooks' })
    expect(updated('file:///runbooks/a')).toBe(false)
    expect(dropped).toEqual(['resource', 'resource', 'resource', 'resource'])
  })

  test('[MCP19] what its reader would have to show something anew for is not told ahead of that', async () => {
    const asking = await Stage.open(policyOf('{}', `
      - allow: { resources: ["file:///secrets/*"] }
        stepUp: always
      - allow: { resources: ["file:///*"] }`))
    const pass = (uri: string): boolean => new StreamSieve(asking.supposing, () => undefined).pass(tells('notifications/resources/updated', { uri })) !== null
    expect([pass('file:///secrets/a'), pass('file:///a')]).toEqual([false, true])
    await asking.close()
  })

  test.each([[undefined], [7], [''], ['no uri'], [['file:///runbooks/a']], ['file:///runbooks/\u200ba']])('[MCP19] news of %j is of no resource', uri => expect(updated(uri)).toBe(false))

  test.each([
    'notifications/tools/list_changed', 'notifications/prompts/list_changed', 'notifications/resources/list_changed', 'notifications/progress', 'notifications/message', 'notifications/cancelled', 'sampling/createMessage', 'elicitation/create', 'roots/list',
  ])('[MCP19] %s passes', method => expect(passes(method)).toBe(true))

  test('[MCP19] what nothing is known of passes only where a rule names its method', () => {
    expect([passes('notifications/custom'), passes('notifications/customs'), passes('notifications/Resources/updated', { uri: 'file:///runbooks/a' }), passes('tools/call', { name: 'read_a' })]).toEqual([true, false, false, false])
    expect(dropped).toEqual(['method', 'method', 'method'])
  })
})

describe('subscriptions', () => {
  const fault = (uris: unknown): string | null => subscriptionFault(asked('subscriptions/listen', { notifications: { resourceSubscriptions: uris } }), stage.route, { method: 'POST', upgrade: null, call: null }, [''])?.reason ?? null

  test('[MCP19] one that names a resource which no rule could ever allow is refused whole; what an elevation may open stays', () => {
    expect([fault(['file:///runbooks/a', 'file:///secrets/a']), fault([]), fault(['file:///runbooks/a', 'file:///etc/passwd']), fault(['x'.repeat(9)])]).toEqual([null, null, 'no_rule', 'message_malformed'])
    expect([fault('file:///runbooks/a'), fault(Array.from({ length: 1_001 }, () => 'file:///runbooks/a')), fault([7])]).toEqual(['message_malformed', 'message_malformed', 'message_malformed'])
  })

  test('[MCP19] another method has none', () => expect(subscriptionFault(asked('tools/list', { notifications: { resourceSubscriptions: ['file:///etc/passwd'] } }), stage.route, { method: 'POST', upgrade: null, call: null }, [''])).toBeNull())
})

describe('greetings', () => {
  const greeted = (method: string, result: JsonObject, era: 'modern' | 'legacy' = 'legacy') => new GreetingSieve(stage.mcp, asked(method, {}, { era }), () => 5_000).pass(answer(result)).value

  test('[MCP13] lists change, whatever the server says; nothing else of it is invented', () => {
    expect(greeted('initialize', { protocolVersion: '2025-11-25', capabilities: { prompts: {}, resources: { subscribe: true, listChanged: false }, logging: {} }, serverInfo: { name: 's' } })['result'])
      .toEqual({ protocolVersion: '2025-11-25', capabilities: { prompts: { listChanged: true }, resources: { subscribe: true, listChanged: true }, logging: {}, tools: { listChanged: true } }, serverInfo: { name: 's' } })
  })

  test('[MCP12] a server without tools has none where the gateway offers none', async () => {
    const plain = await Stage.open(policyOf())
    const said = new GreetingSieve(plain.mcp, asked('initialize'), () => 0).pass(answer({ protocolVersion: '2025-11-25', capabilities: { prompts: {} } }))
    expect(resultOf(said)['capabilities']).toEqual({ prompts: { listChanged: true } })
    await plain.close()
  })

  test('[MCP12] a version that the route does not serve is an error, and of those on offer only the served ones are told', () => {
    expect(greeted('initialize', { protocolVersion: '2024-11-05', capabilities: {} })).toMatchObject({ id: 7, error: { code: -32_022, data: { supported: ['2026-07-28', '2025-11-25'] } } })
    expect(greeted('initialize', { capabilities: {} })).toMatchObject({ error: { code: -32_022 } })
    expect(greeted('server/discover', { supportedVersions: ['2027-01-01'], capabilities: {} }, 'modern')).toMatchObject({ error: { code: -32_022 } })
    expect(greeted('server/discover', { supportedVersions: ['2027-01-01', '2026-07-28'], capabilities: { tools: {} }, ttlMs: 60_000, cacheScope: 'public' }, 'modern')['result']).toEqual({ supportedVersions: ['2026-07-28'], capabilities: { tools: { listChanged: true } }, ttlMs: 5_000, cacheScope: 'private' })
  })

  test('[MCP12] an error passes as it is', () => {
    const error = { ...answer({}), value: { jsonrpc: '2.0', id: 7, error: { code: -32_022, message: 'x' } } }
    expect(new GreetingSieve(stage.mcp, asked('initialize'), () => 0).pass(error)).toBe(error)
    expect([isGreeting(asked('initialize')), isGreeting(asked('server/discover')), isGreeting(asked('tools/list'))]).toEqual([true, true, false])
  })
})

test('[MCP12] any answer that says it may be kept is the session’s own, and not kept beyond its next change', () => {
  const sieve = new CacheSieve(() => 9_000)
  expect(resultOf(sieve.pass(answer({ contents: [], ttlMs: 60_000, cacheScope: 'public' })))).toEqual({ contents: [], ttlMs: 9_000, cacheScope: 'private' })
  const plain = answer({ content: [] })
  expect(sieve.pass(plain)).toBe(plain)
})
