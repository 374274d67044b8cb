// Lists as a session gets them: what it may do now, in order, page by page, and for how long that may be kept.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { instant } from '../../../../../src/core/time.ts'
import { definitionDigest } from '../../../../../src/proxy/mcp/lists/definition.ts'
import { listOf, ListSieve } from '../../../../../src/proxy/mcp/lists/lists.ts'
import type { Message } from '../../../../../src/proxy/mcp/message.ts'
import type { JsonObject, ServerMessage } from '../../../../../src/proxy/mcp/sieve.ts'
import { NOW } from '../../../core/world.ts'
import { answer, asked, policyOf, resultOf, Stage } from '../stage.ts'

const OWN = [{ name: 'request_elevation' }]
let stage: Stage
let dropped: string[]
let compared: string[]
let changed: ReadonlySet<string>
let own: readonly JsonObject[]

beforeEach(async () => {
  stage = await Stage.open(policyOf('{ offerElevation: true }'))
  dropped = []
  compared = []
  changed = new Set()
  own = OWN
})
afterEach(() => stage.close())

function sieve(message: Message): ListSieve {
  const kind = listOf(message)
  if (kind === null) throw new Error('no list')
  const pins = { take: (_route: unknown, _mcp: unknown, seen: readonly { readonly tool: string }[]) => { compared.push(...seen.map(({ tool }) => tool)); return changed } }
  return new ListSieve(() => stage.route, stage.mcp, message, kind, { supposing: stage.supposing, pins, own: () => own, dropped: (what, name) => void dropped.push(`${what} ${name}`) })
}

const shown = (message: Message, result: JsonObject): JsonObject => resultOf(sieve(message).pass(answer(result)))
const named = (list: unknown, by = 'name'): readonly unknown[] => (list as readonly JsonObject[]).map(each => each[by]) // as the sieve made it
const tools = (...names: readonly string[]): JsonObject => ({ tools: names.map(name => ({ name, inputSchema: { type: 'object' } })) })
const LATER: Partial<JsonObject> = { cursor: '2' }

test('[MCP12] a list of tools keeps what the session may call now, in order; what only its arguments decide is kept too', () => {
  const names = ['write', 'search', 'forbidden', 'read_b', 'unknown', 'args_only', 'read_a', 'page_b', 'page_c']
  expect(named(shown(asked('tools/list', LATER), tools(...names))['tools'])).toEqual(['search', 'read_b', 'args_only', 'read_a', 'page_b'])
})

test('[MCP12] an elevation shows what it adds, a lock hides what it meets, at the very next list', async () => {
  const list = () => named(shown(asked('tools/list', LATER), tools('write', 'read_a'))['tools'])
  await stage.elevate()
  expect(list()).toEqual(['write', 'read_a'])
  await stage.lock({ kind: 'tool', value: 'runbooks/read_a' })
  expect(list()).toEqual(['write'])
  await stage.lock({ kind: 'definition', value: 'runbooks/write' }, 'freeze')
  expect(list()).toEqual([])
  await stage.lift({ kind: 'tool', value: 'runbooks/read_a' })
  expect(list()).toEqual(['read_a'])
  stage.world.clock.pass(600_000)
  await stage.lift({ kind: 'definition', value: 'runbooks/write' })
  expect(list(), 'its time is up').toEqual(['read_a'])
})

test('[MCP12] a page that becomes empty keeps where the next one begins', () => {
  expect(shown(asked('tools/list', LATER), { ...tools('write'), nextCursor: 'c3' })).toMatchObject({ tools: [], nextCursor: 'c3' })
})

test('[MCP12] an entry without a name that can be called, one of a name that stands already, and one of a name of the gateway itself are dropped and counted', () => {
  const entries = [{ name: 'read_a', description: 'first' }, { name: 'read_a', description: 'shadow' }, { name: 'read_\u200ba' }, { name: 'read a' }, {}, 'x', null, { name: 7 }, { name: 'request_elevation' }, { name: 'read_b' }]
  expect(shown(asked('tools/list', LATER), { tools: entries })['tools']).toEqual([{ name: 'read_a', description: 'first' }, { name: 'read_b' }])
  expect(dropped).toEqual(['twice read_a', 'unnamed read_\u200ba', 'unnamed read a', 'unnamed ', 'unnamed ', 'unnamed ', 'unnamed ', 'own request_elevation'])
})

test('[MCP12] a page of more entries than anybody has is looked at so far, and the rest is not shown, which is counted', () => {
  const page = { resources: Array.from({ length: 10_002 }, (_, i) => ({ uri: `file:///runbooks/${i}` })) }
  expect([named(shown(asked('resources/list'), page)['resources'], 'uri').length, dropped]).toEqual([10_000, ['beyond ']])
})

test('[MCP12] what is no list is an empty one', () => {
  for (const list of [undefined, null, 'x', { read_a: {} }]) expect(shown(asked('tools/list', LATER), { tools: list })['tools']).toEqual([])
})

test('[MCP12] the gateway’s own tools stand behind the first page alone, and alone where the server has none', () => {
  expect(named(shown(asked('tools/list'), tools('read_a'))['tools'])).toEqual(['read_a', 'request_elevation'])
  expect(named(shown(asked('tools/list', LATER), tools('read_a'))['tools'])).toEqual(['read_a'])
  expect(named(shown(asked('prompts/list'), { prompts: [{ name: 'greet' }] })['prompts'])).toEqual(['greet'])
  const none: ServerMessage = { ...answer({}), value: { jsonrpc: '2.0', id: 7, error: { code: -32_601, message: 'no' } } }
  expect(sieve(asked('tools/list')).pass(none).value).toEqual({ jsonrpc: '2.0', id: 7, result: { resultType: 'complete', tools: OWN, ttlMs: 60_000, cacheScope: 'private' } })
  expect(sieve(asked('tools/list', {}, { era: 'legacy' })).pass(none).value).toEqual({ jsonrpc: '2.0', id: 7, result: { tools: OWN } })
  expect(sieve(asked('prompts/list')).pass(none)).toBe(none)
  own = []
  expect(sieve(asked('tools/list')).pass(none)).toBe(none)
})

test('[MCP12] prompts and resources likewise', () => {
  expect(named(shown(asked('prompts/list'), { prompts: [{ name: 'other' }, { name: 'greet' }] })['prompts'])).toEqual(['greet'])
  const uris = ['file:///secrets/a', 'file:///runbooks/a', 'no uri', 'file:///runbooks/b']
  expect(named(shown(asked('resources/list'), { resources: uris.map(uri => ({ uri })) })['resources'], 'uri')).toEqual(['file:///runbooks/a', 'file:///runbooks/b'])
})

test('[MCP12] a template is shown where some address that begins as it does may be read', async () => {
  const templates = ['file:///runbooks/{id}', 'file:///{path}', 'file:///secrets/{id}', 'other:///{x}', '{any}']
  const list = () => named(shown(asked('resources/templates/list'), { resourceTemplates: templates.map(uriTemplate => ({ uriTemplate })) })['resourceTemplates'], 'uriTemplate')
  expect(list()).toEqual(['file:///runbooks/{id}', 'file:///{path}', '{any}'])
  await stage.elevate()
  expect(list()).toEqual(['file:///runbooks/{id}', 'file:///{path}', 'file:///secrets/{id}', '{any}'])
})

test('[MCP12] a denial of everything that begins so hides a template, whatever later rules allow', async () => {
  const denying = await Stage.open(policyOf('{}', `
      - deny: { resources: ["file:///runbooks/private/*"] }
      - deny: { resources: ["file:///x/*.key"] }
      - allow: { resources: ["file:///*"] }`))
  const kind = listOf(asked('resources/templates/list'))
  if (kind === null) throw new Error('no list')
  const list = new ListSieve(() => denying.route, denying.mcp, asked('resources/templates/list'), kind, { supposing: denying.supposing, pins: { take: () => new Set() }, own: () => [], dropped: () => undefined })
  const templates = ['file:///runbooks/private/{id}', 'file:///runbooks/{id}', 'file:///x/{id}']
  expect(named(resultOf(list.pass(answer({ resourceTemplates: templates.map(uriTemplate => ({ uriTemplate })) })))['resourceTemplates'], 'uriTemplate')).toEqual(['file:///runbooks/{id}', 'file:///x/{id}'])
  await denying.close()
})

test('[MCP12] a tool that asks its caller to show something anew is shown: who is not shown it is never asked', async () => {
  const asking = await Stage.open(policyOf('{}', `
      - allow: { tools: [write] }
        stepUp: always`))
  const kind = listOf(asked('tools/list'))
  if (kind === null) throw new Error('no list')
  const list = new ListSieve(() => asking.route, asking.mcp, asked('tools/list'), kind, { supposing: asking.supposing, pins: { take: () => new Set() }, own: () => [], dropped: () => undefined })
  expect(named(resultOf(list.pass(answer(tools('write', 'read_a'))))['tools'])).toEqual(['write'])
  await asking.close()
})

test('[MCP12] a frozen session is shown nothing, and neither is one whose session is over', async () => {
  const list = () => named(shown(asked('tools/list', LATER), tools('read_a'))['tools'])
  await stage.world.tell('a', { kind: 'session.frozen', until: null })
  expect(list()).toEqual([])
  await stage.world.tell('a', { kind: 'session.resumed' })
  expect(list()).toEqual(['read_a'])
  await stage.world.tell('a', { kind: 'session.terminated', reason: 'revoked' })
  expect(list()).toEqual([])
})

describe('for how long', () => {
  const kept = (result: JsonObject): unknown => { const { ttlMs, cacheScope } = shown(asked('tools/list', LATER), { ...tools('write'), ...result }); return [ttlMs, cacheScope] }

  test('[MCP12] a list is kept by nobody else, and not beyond the next change of what the session may do', async () => {
    expect(kept({ ttlMs: 300_000, cacheScope: 'public' })).toEqual([300_000, 'private'])
    await stage.elevate()
    stage.world.clock.pass(595_000)
    expect(kept({ ttlMs: 300_000, cacheScope: 'public' }), 'the elevation ends').toEqual([5_000, 'private'])
    await stage.lock({ kind: 'tool', value: 'runbooks/read_a' }, 'deny', instant(NOW + 597_000))
    expect(kept({ ttlMs: 300_000 }), 'a lock lifts').toEqual([2_000, 'private'])
  })

  test.each([[undefined], [0], [-5], ['60'], [Number.NaN]])('[MCP12] what a server says is kept for %j is kept by nobody', ttlMs => expect(kept({ ttlMs })).toEqual([0, 'private']))

  test('[MCP12] the older protocol knows nothing of it', () => expect(shown(asked('tools/list', LATER, { era: 'legacy' }), tools('read_a'))).toEqual(tools('read_a')))
})

describe('definitions', () => {
  test('[MCP14] every tool of a list is compared, called or not; what is not the accepted one is not shown', () => {
    changed = new Set(['read_a'])
    expect(named(shown(asked('tools/list', LATER), tools('read_a', 'write', 'read_b'))['tools'])).toEqual(['read_b'])
    expect([compared, dropped]).toEqual([['read_a', 'write', 'read_b'], ['changed read_a']])
  })

  test('[MCP14] one that is too deep to be read is none', () => {
    const deep = (levels: number): JsonObject => (levels === 0 ? {} : { x: deep(levels - 1) })
    expect(named(shown(asked('tools/list', LATER), { tools: [{ name: 'read_a', inputSchema: deep(70) }, { name: 'read_b', inputSchema: deep(20) }] })['tools'])).toEqual(['read_b'])
  })

  test('[MCP14] a digest is of everything but icons, whatever the order of members', () => {
    const tool = { name: 'a', description: 'd', inputSchema: { type: 'object', properties: { b: { type: 'string' }, a: {} }, required: ['b', 'a'] }, annotations: { readOnlyHint: true }, _meta: { ui: 'x' } }
    const digest = definitionDigest(tool)
    expect(digest).toMatch(/^[A-Za-z0-9_-]{43}$/)
    expect(definitionDigest({ _meta: { ui: 'x' }, annotations: { readOnlyHint: true }, inputSchema: { required: ['b', 'a'], properties: { a: {}, b: { type: 'string' } }, type: 'object' }, description: 'd', icons: [{ src: 'x' }], name: 'a' })).toBe(digest)
    for (const other of [{ ...tool, description: 'D' }, { ...tool, title: '' }, { ...tool, inputSchema: { ...tool.inputSchema, required: ['a', 'b'] } }, { ...tool, annotations: {} }, { ...tool, _meta: {} }, { ...tool, outputSchema: {} }, { ...tool, execution: { taskSupport: 'optional' } }]) expect(definitionDigest(other)).not.toBe(digest)
  })
})
