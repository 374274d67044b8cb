// Which messages a selector means, which rule that makes, and that no name is taken for another.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { argumentsFit, type Call, coversName, globOf, selectsCall, traitsOf } from '../../../src/core/call.ts'
import type { Evaluation } from '../../../src/core/evaluation.ts'
import { firstRule, isAmbiguous, type Place, routeTable } from '../../../src/core/route.ts'
import { mcpRouteOf } from '../proxy/mcp/routes.ts'

const callOf = (kind: Call['kind'], name: string, more: Partial<Call> = {}): Call => ({ kind, method: kind === 'tool' ? 'tools/call' : kind === 'prompt' ? 'prompts/get' : kind === 'resource' ? 'resources/read' : name, name: kind === 'protocol' || kind === 'unknown' ? '' : name, args: new Map(), digest: null, ...more })
const tool = (name: string): Call => callOf('tool', name)
const action = (call: Call): Evaluation['action'] => ({ method: 'POST', upgrade: null, call })
const TARGET = { host: 'tools.test', path: '/mcp', segments: ['mcp'], query: '' }

const ROUTE = mcpRouteOf('{ tools: [{ match: "get_*", class: read }, { match: drop_table, class: irreversible, labels: [db] }, { match: put, class: write, args: { id: string, count: { type: int, required: false } } }] }', [
  '{ deny: { tools: ["delete_*"] } }',
  '{ allow: { tools: ["*"], classes: [read, write] } }',
  '{ allow: { tools: ["*"], labels: [db] }, scope: db:drop }',
  '{ allow: { prompts: ["review*"], resources: ["file:///runbooks/*"] }, scope: a:b }',
  '{ allow: { mcp: ["logging/setLevel", "custom/*"] }, scope: log:level }',
  '{ deny: { mcp: ["completion/complete"] } }',
])
const met = (call: Call): string | null => firstRule(ROUTE, action(call), TARGET.segments)?.name ?? null
const ambiguous = (call: Call, route = ROUTE): boolean => {
  const place: Place = { route, rule: firstRule(route, action(call), TARGET.segments), params: {} }
  return isAmbiguous(routeTable([route]), place, action(call), TARGET)
}

describe('names and patterns', () => {
  const text = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '_', '*'), maxLength: 12 })
  const plain = fc.string({ unit: fc.constantFrom('a', 'b', 'A', '_'), maxLength: 16 })
  const expressionOf = (glob: string): RegExp => new RegExp(`^${glob.replaceAll('*', '.*')}$`)

  test('[MCP2] a pattern covers what a regular expression would', () => {
    fc.assert(fc.property(text, plain, (glob, name) => { expect(coversName(globOf(glob), name)).toBe(expressionOf(glob).test(name)) }), { numRuns: 5_000 })
    fc.assert(fc.property(text, plain, (glob, name) => { expect(coversName(globOf(glob), name.toLowerCase(), 'lower')).toBe(expressionOf(glob.toLowerCase()).test(name.toLowerCase())) }), { numRuns: 2_000 })
  })

  test('[MCP2] hostile patterns take no time', () => {
    const name = `${'a'.repeat(4_096)}b`
    const globs = ['*a'.repeat(512), `${'*a'.repeat(511)}*`, `*${'a'.repeat(500)}c*b`, `*${'a*'.repeat(500)}c*b`, `${'*aa'.repeat(340)}*b`].map(globOf)
    const from = performance.now()
    for (let i = 0; i < 100; i++) for (const glob of globs) coversName(glob, name)
    expect(performance.now() - from).toBeLessThan(1_000)
    expect(globs.map(glob => coversName(glob, name))).toEqual([false, true, false, false, true])
  })

  test('[MCP2] names are compared letter by letter', () => {
    expect(coversName(globOf('get_a'), 'get_a')).toBe(true)
    for (const name of ['Get_a', 'get_a ', 'get_ab', 'get_', 'gеt_a', 'get_a\u200b']) expect(coversName(globOf('get_a'), name), name).toBe(false)
    expect(coversName(globOf('a*a'), 'a')).toBe(false)
    expect(coversName(globOf('file:///runbooks/*'), 'file:///runbooks')).toBe(false)
  })
})

describe('rules of messages', () => {
  test('[MCP2] the first whose selector means the message', () => {
    expect(met(tool('delete_a'))).toBe('tools#1')
    expect(met(tool('get_a'))).toBe('tools#2')
    expect(met(tool('drop_table'))).toBe('tools#3')
    expect(met(tool('other'))).toBeNull()
    expect(met(callOf('prompt', 'review_code'))).toBe('tools#4')
    expect(met(callOf('prompt', 'get_a'))).toBeNull()
    expect(met(callOf('resource', 'file:///runbooks/a'))).toBe('tools#4')
    expect(met(callOf('resource', 'file:///etc/passwd'))).toBeNull()
    expect(met(callOf('protocol', 'tools/list'))).toBe('tools#protocol')
    expect(met(callOf('protocol', 'logging/setLevel'))).toBe('tools#5')
    expect(met(callOf('unknown', 'custom/a'))).toBe('tools#5')
    expect(met(callOf('unknown', 'other/a'))).toBeNull()
    expect(met(callOf('resource', 'x://a', { method: 'completion/complete' }))).toBe('tools#6')
    expect(firstRule(ROUTE, { method: 'POST', upgrade: null, call: null }, ['mcp'])).toBeNull()
  })

  test.each<readonly [template: string, rules: readonly string[], rule: string | null]>([
    ['repo://{owner}/{path}', ['{ deny: { resources: ["repo://secret/*"] } }', '{ allow: { resources: ["repo://*"] } }'], null],
    ['repo://public/{path}', ['{ deny: { resources: ["repo://secret/*"] } }', '{ allow: { resources: ["repo://*"] } }'], 'tools#2'],
    ['repo://secret/{path}', ['{ deny: { resources: ["repo://secret/*"] } }', '{ allow: { resources: ["repo://*"] } }'], 'tools#1'],
    ['repo://{owner}/a', ['{ deny: { resources: ["repo://secret/b"] } }', '{ allow: { resources: ["repo://*"] } }'], 'tools#2'],
    ['repo://{owner}/a', ['{ deny: { resources: ["*/a"] } }', '{ allow: { resources: ["repo://*"] } }'], 'tools#1'],
    ['repo://{owner}/x', ['{ allow: { resources: ["repo://public/*"] } }'], null],
    ['repo://{owner}/x', ['{ allow: { resources: ["other://*"] } }'], null],
    ['repo://{owner}/x', ['{ allow: { resources: ["repo://a/x"] }, scope: a:b }', '{ allow: { resources: ["*"] } }'], null],
    ['repo://{owner}{/path*}', ['{ allow: { mcp: ["completion/*"] } }', '{ deny: { resources: ["repo://secret/*"] } }'], 'tools#1'],
  ])('[MCP2] a completion for %j under %j: %s', (name, rules, rule) => {
    const route = mcpRouteOf('{}', rules)
    expect(firstRule(route, action(callOf('resource', name, { method: 'completion/complete' })), ['mcp'])?.name ?? null).toBe(rule)
  })

  test('[MCP2] the rule of a template is that of each of its addresses', () => {
    const piece = fc.string({ unit: fc.constantFrom('a', 'b', '*'), maxLength: 4 })
    const globs = fc.array(fc.tuple(fc.constantFrom('allow', 'deny'), piece.map(text => `x:${text}`)), { minLength: 1, maxLength: 4 })
    const filling = fc.string({ unit: fc.constantFrom('a', 'b'), maxLength: 3 })
    fc.assert(fc.property(globs, filling, filling, filling, filling, (written, begin, first, between, second) => {
      const route = mcpRouteOf('{}', written.map(([effect, glob]) => `{ ${effect}: { resources: ["${glob}"] } }`))
      const rule = (name: string, method: string): string | null => firstRule(route, action(callOf('resource', name, { method })), ['mcp'])?.name ?? null
      const decided = rule(`x:${begin}{one}${between}{two}`, 'completion/complete')
      if (decided !== null) expect(rule(`x:${begin}${first}${between}${second}`, 'resources/read')).toBe(decided)
    }))
  })

  test('[MCP2] whatever the rules are, the first that means the message decides, and no other', () => {
    const glob = fc.string({ unit: fc.constantFrom('a', 'b', '*'), minLength: 1, maxLength: 4 })
    const written = fc.record({ effect: fc.constantFrom('allow', 'deny'), key: fc.constantFrom('tools', 'prompts', 'resources', 'mcp'), glob })
    const kinds = { tools: 'tool', prompts: 'prompt', resources: 'resource' } as const
    fc.assert(fc.property(fc.array(written, { minLength: 1, maxLength: 5 }), fc.constantFrom('tool', 'prompt', 'resource', 'protocol', 'unknown'), fc.string({ unit: fc.constantFrom('a', 'b'), minLength: 1, maxLength: 5 }), (rules, kind, name) => {
      const route = mcpRouteOf('{}', rules.map(each => `{ ${each.effect}: { ${each.key}: ["${each.glob}"] } }`))
      const call = callOf(kind, name)
      const first = rules.findIndex(each => new RegExp(`^${each.glob.replaceAll('*', '.*')}$`).test(each.key === 'mcp' ? call.method : call.name) && (each.key === 'mcp' || kinds[each.key] === kind))
      expect(firstRule(route, action(call), TARGET.segments)?.name ?? null).toBe(first >= 0 ? `tools#${first + 1}` : kind === 'protocol' ? 'tools#protocol' : null)
    }), { numRuns: 150 })
  })

  test('[MCP3] classes and labels are those of the configuration; a tool without an entry has none', () => {
    expect(traitsOf(ROUTE.mcp, tool('get_a'))?.class).toBe('read')
    expect(traitsOf(ROUTE.mcp, tool('unknown'))).toBeNull()
    expect(traitsOf(ROUTE.mcp, callOf('prompt', 'get_a'))).toBeNull()
    const everything = { tools: [globOf('*')], classes: new Set(['read'] as const), labels: null, prompts: null, resources: null, methods: null }
    expect(selectsCall(everything, ROUTE.mcp, tool('get_a'))).toBe(true)
    for (const name of ['unknown', 'drop_table', 'put']) expect(selectsCall(everything, ROUTE.mcp, tool(name)), name).toBe(false)
    expect(selectsCall({ ...everything, classes: null, labels: new Set(['db']) }, ROUTE.mcp, tool('drop_table'))).toBe(true)
    expect(selectsCall({ ...everything, labels: new Set(['db']) }, ROUTE.mcp, tool('drop_table'))).toBe(false)
  })

  test('[MCP4] a tool is called with what it takes and nothing else, where that is declared', () => {
    const fits = (args: readonly (readonly [string, unknown])[], name = 'put'): boolean => argumentsFit(traitsOf(ROUTE.mcp, tool(name)), { ...tool(name), args: new Map(args) })
    expect(fits([['id', 'a']])).toBe(true)
    expect(fits([['id', 'a'], ['count', 1]])).toBe(true)
    for (const args of [[], [['id', 1]], [['id', null]], [['id', 'a'], ['count', '1']], [['id', 'a'], ['count', 1.5]], [['id', 'a'], ['Count', 1]], [['id', 'a'], ['more', true]]] as const) expect(fits(args), JSON.stringify(args)).toBe(false)
    expect(fits([['anything', {}]], 'get_a')).toBe(true)
    expect(argumentsFit(traitsOf(ROUTE.mcp, tool('put')), { ...tool('put'), args: null })).toBe(true)
  })

  test('[MCP2] a name that a server without a sense for case takes for another one is refused', () => {
    for (const call of [tool('Drop_Table'), tool('DROP_TABLE')]) expect(met(call), call.name).toBeNull() // no rule at all
    const open = mcpRouteOf('{ tools: [{ match: drop_table, class: irreversible }, { match: Up, class: read }] }', ['{ deny: { tools: ["delete_*", "Stop*"], resources: ["file:///secrets/*"], prompts: [secret] } }', '{ allow: { tools: ["*"], resources: ["*"], prompts: ["*"] }, if: \'mcp.class != "irreversible"\' }'])
    for (const call of [tool('Delete_a'), tool('stopAll'), tool('Drop_Table'), tool('up'), callOf('resource', 'file:///Secrets/a'), callOf('prompt', 'SECRET')]) expect(ambiguous(call, open), call.name).toBe(true)
    for (const call of [tool('delete_a'), tool('StopAll'), tool('drop_table'), tool('Up'), tool('getUser'), callOf('resource', 'file:///Runbooks/a'), callOf('prompt', 'secret'), callOf('protocol', 'tools/list')]) expect(ambiguous(call, open), call.name).toBe(false)
    expect(ambiguous(tool('Delete_a'), { ...open, upstreamFolds: { case: false, params: true } })).toBe(false)
  })
})
