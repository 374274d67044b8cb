// What of a message's arguments is on record: nothing that is hidden by name or place, however it is written or nested.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { calledBy, shownArguments } from '../../../src/audit/called.ts'
import type { Call } from '../../../src/core/call.ts'
import { readStrictJson } from '../../../src/runtime/strict-json.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { mcpRouteOf } from '../proxy/mcp/routes.ts'

const argsOf = (value: object): ReadonlyMap<string, unknown> => readStrictJson(Buffer.from(JSON.stringify(value))) as ReadonlyMap<string, unknown> // of an object
const shown = (value: object, redact: readonly string[] = []): unknown => shownArguments(argsOf(value), redact)
const call = (name: string, args: object, kind: Call['kind'] = 'tool'): Call => ({ kind, method: kind === 'tool' ? 'tools/call' : 'resources/read', name, args: argsOf(args), digest: kind === 'tool' ? 'd' : null })
const { mcp: digests } = mcpRouteOf()
const { mcp: values } = mcpRouteOf('{ record: { arguments: values, redact: [/a/b, ssn] } }')

describe('what is hidden', () => {
  test.each(['password', 'PASSWORD', 'Pass-Word', 'pass_word', 'dbPassword', 'secret', 'client_secret', 'token', 'accessToken', 'Authorization', 'proxy-authorization', 'api_key', 'apiKey', 'X-API-KEY', 'apikey', 'credential', 'credentials', 'private_key', 'privateKey', 'ｐａｓｓｗｏｒｄ', 'passphrase'])('[MCP18] always by a name such as %s, at any depth', name => {
    const told = JSON.stringify(shown({ [name]: 'hidden', deep: [{ more: { [name]: { with: 'hidden' } } }] }))
    expect(told).not.toContain('hidden')
    expect(told.match(/\[redacted\]/g)).toHaveLength(2)
  })

  test('[MCP18] by the names and places that the route names, and nothing else', () => {
    const value = { ssn: '1', S_S_N: '2', a: { b: '3', c: '4', 'x/y': '5' }, list: [{ n: '6' }, { n: '7' }], ssnOf: '8' }
    expect(shown(value, ['ssn', '/a/b', '/list/1/n', '/a/x~1y'])).toEqual({ ssn: '[redacted]', S_S_N: '[redacted]', a: { b: '[redacted]', c: '4', 'x/y': '[redacted]' }, list: [{ n: '6' }, { n: '[redacted]' }], ssnOf: '8' })
    expect(shown({ list: ['1', '2'] }, ['/list/0'])).toEqual({ list: ['[redacted]', '2'] })
    expect(shown({ a: 1 }, ['a', '/a'])).toEqual({ a: '[redacted]' })
  })

  test('[MCP18] wherever it stands: a secret under a hidden name is in no record', () => {
    const tree = fc.letrec<{ tree: unknown }>(tie => ({ tree: fc.oneof({ maxDepth: 4 }, fc.constantFrom(1, true, null, 'plain'), fc.array(tie('tree'), { maxLength: 3 }), fc.dictionary(fc.constantFrom('a', 'b', 'c'), tie('tree'), { maxKeys: 3 })) })).tree
    fc.assert(fc.property(tree, fc.constantFrom('token', 'my-Secret', 'API key'), (around, name) => {
      expect(JSON.stringify(shown({ around, in: [[{ [name]: [around, 'hidden'] }]] }))).not.toContain('hidden')
    }))
  })
})

describe('what is too long', () => {
  test('[MCP18] a text is on record by its digest, all of it beyond a bound not at all', () => {
    expect(shown({ text: 'x'.repeat(4_096) })).toEqual({ text: 'x'.repeat(4_096) })
    expect(shown({ text: 'x'.repeat(4_097) })).toEqual({ text: `[sha256:${sha256('x'.repeat(4_097))}]` })
    expect(shown({ many: Array.from({ length: 40_000 }, () => 1) })).toBe('[too large]')
  })
})

describe('what is called', () => {
  test('[MCP18] digests alone, unless the route says values', () => {
    expect(calledBy(call('write', { a: { b: 1, c: 2 } }), digests)).toEqual({ method: 'tools/call', name: 'write', arguments: 'd' })
    expect(calledBy(call('write', { a: { b: 1, c: 2 } }), values)).toEqual({ method: 'tools/call', name: 'write', arguments: 'd', values: { a: { b: '[redacted]', c: 2 } } })
    expect(calledBy({ ...call('write', {}), digest: null }, values)).toEqual({ method: 'tools/call', name: 'write', arguments: null })
    expect(calledBy({ ...call('write', { a: 1 }), args: null }, values)).not.toHaveProperty('values')
  })

  test('[MCP18] a URI without what may be secret in it, with the digest of all of it', () => {
    expect(calledBy(call('file:///a', {}, 'resource'), digests)).toEqual({ method: 'resources/read', name: 'file:///a', arguments: null })
    expect(calledBy(call('file:///a?k=1', {}, 'resource'), digests)).toEqual({ method: 'resources/read', name: 'file:///a', arguments: sha256('file:///a?k=1') })
    expect(calledBy(call(`file:///${'a'.repeat(600)}`, {}, 'resource'), digests)).toMatchObject({ name: `file:///${'a'.repeat(504)}`, arguments: expect.stringMatching(/^[\w-]{43}$/) })
  })
})
