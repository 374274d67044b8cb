// What a body has to be to be a message, and what it touches then.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { messageOf } from '../../../../src/proxy/mcp/message.ts'
import { readStrictJson, writeJson } from '../../../../src/runtime/strict-json.ts'
import { mcpRouteOf } from './routes.ts'

const { mcp } = mcpRouteOf('{ offerElevation: true }')

const read = (text: string): unknown => readStrictJson(Buffer.from(text))
const of = (text: string) => messageOf(read(text), mcp)
const request = (method: string, params: object = {}, more: object = { id: 1 }): string => JSON.stringify({ jsonrpc: '2.0', ...more, method, params })
const callOf = (text: string) => {
  const made = of(text)
  if ('reason' in made) throw new Error(made.detail)
  return made.call
}
const refused = (text: string) => expect(of(text), text).toMatchObject({ reason: 'message_malformed' })

describe('a message', () => {
  test('[MCP2] what it touches is told by exact names', () => {
    expect(callOf(request('tools/call', { name: 'restart', arguments: { a: 1 } }))).toMatchObject({ kind: 'tool', name: 'restart', args: new Map([['a', 1]]), digest: expect.stringMatching(/^[\w-]{43}$/) })
    expect(callOf(request('tools/call', { name: 'restart' }))).toMatchObject({ kind: 'tool', args: new Map(), digest: null })
    expect(callOf(request('prompts/get', { name: 'code review' }))).toMatchObject({ kind: 'prompt', name: 'code review' })
    for (const method of ['resources/read', 'resources/subscribe', 'resources/unsubscribe']) expect(callOf(request(method, { uri: 'file:///a' }))).toMatchObject({ kind: 'resource', method, name: 'file:///a' })
    expect(callOf(request('completion/complete', { ref: { type: 'ref/prompt', name: 'p' }, argument: { name: 'a', value: '' } }))).toMatchObject({ kind: 'prompt', name: 'p' })
    expect(callOf(request('completion/complete', { ref: { type: 'ref/resource', uri: 'file:///{a}' } }))).toMatchObject({ kind: 'resource', name: 'file:///{a}' })
    for (const method of ['initialize', 'ping', 'server/discover', 'tools/list', 'prompts/list', 'resources/list', 'resources/templates/list', 'subscriptions/listen']) expect(callOf(request(method))).toMatchObject({ kind: 'protocol', method, name: '' })
    expect(callOf(request('notifications/cancelled', { requestId: 1 }, {}))).toMatchObject({ kind: 'protocol' })
    for (const method of ['roots/list', 'secrets/dump', 'constructor', '__proto__']) expect(callOf(request(method))).toMatchObject({ kind: 'unknown', method })
    expect(callOf(request('tools/call', { name: 'request_elevation' }))).toMatchObject({ kind: 'protocol', name: 'request_elevation' })
  })

  test.each([
    ['MCP-001: members in another case', '{"jsonrpc":"2.0","id":1,"Method":"tools/call","PARAMS":{"name":"x"}}'],
    ['MCP-001: a member in another case beside the right one', '{"jsonrpc":"2.0","id":1,"method":"ping","METHOD":"tools/call"}'],
    ['MCP-001: parameters in another case', request('tools/call', { Name: 'x' })],
    ['MCP-001: arguments in another case', request('tools/call', { name: 'x', Arguments: { a: 1 } })],
    ['parameters with other punctuation', request('tasks/get', { task_id: 'x' })],
    ['parameters of full width', request('tools/call', { name: 'x', ｎame: 'y' })],
    ['meta without its line', request('tools/call', { name: 'x', meta: {} })],
    ['an envelope in another case', request('tools/call', { name: 'x', _meta: { 'io.modelcontextprotocol/ProtocolVersion': '2026-07-28' } })],
    ['a reference in another case', request('completion/complete', { ref: { type: 'ref/prompt', name: 'a', Uri: 'file:///a' } })],
    ['the same member twice', '{"jsonrpc":"2.0","id":1,"method":"ping","method":"tools/call"}'],
    ['the same member twice, within', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","arguments":{"a":{"b":1,"b":2}}}}'],
    ['the same member twice, once escaped', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x","n\\u0061me":"y"}}'],
    ['MCP-003: several at once', `[${request('tools/list')},${request('tools/call', { name: 'x' })}]`],
    ['MCP-003: one in a list', `[${request('tools/list')}]`],
    ['none in a list', '[]'],
    ['another version of JSON-RPC', '{"jsonrpc":"1.0","id":1,"method":"ping"}'],
    ['no version of JSON-RPC', '{"id":1,"method":"ping"}'],
    ['an unknown member', '{"jsonrpc":"2.0","id":1,"method":"ping","extra":1}'],
    ['an id that is null', request('ping', {}, { id: null })],
    ['a notification whose id is null', request('notifications/cancelled', { requestId: 1 }, { id: null })],
    ['an id that is a fraction', request('ping', {}, { id: 1.5 })],
    ['an id that is too large', '{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}'],
    ['an id that is too long', request('ping', {}, { id: 'a'.repeat(257) })],
    ['an id that is an object', request('ping', {}, { id: {} })],
    ['a request without an id', request('tools/call', { name: 'x' }, {})],
    ['a notification with an id', request('notifications/cancelled', { requestId: 1 })],
    ['parameters by position', '{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["x"]}'],
    ['a method in another case', request('Tools/Call', { name: 'x' })],
    ['a method with a blank', request('tools/call ', { name: 'x' })],
    ['a method with other punctuation', request('tools.call', { name: 'x' })],
    ['a method of full width', request('ｔools/call', { name: 'x' })],
    ['a method that is no text', '{"jsonrpc":"2.0","id":1,"method":{}}'],
    ['MCP-008: a tool with a character nobody sees', request('tools/call', { name: 'delete_user\u200b' })],
    ['MCP-008: a tool with a blank', request('tools/call', { name: 'delete_user ' })],
    ['MCP-008: a tool with a tabulator', request('tools/call', { name: '\tdelete_user' })],
    ['MCP-008: a tool with a letter of another script', request('tools/call', { name: 'dеlete_user' })],
    ['a tool without a name', request('tools/call', { name: '' })],
    ['a tool whose name is no text', request('tools/call', { name: ['x'] })],
    ['a tool with arguments that are no object', request('tools/call', { name: 'x', arguments: [1] })],
    ['a prompt with a blank at its end', request('prompts/get', { name: 'review ' })],
    ['a resource that is walked out of', request('resources/read', { uri: 'file:///runbooks/../etc/passwd' })],
    ['a template as a resource', request('resources/read', { uri: 'file:///{a}' })],
    ['a completion for nothing', request('completion/complete', { ref: { type: 'ref/tool', name: 'a' } })],
    ['a subscription to what has two readings', request('subscriptions/listen', { notifications: { resourceSubscriptions: ['file:///a/../b'] } })],
    ['`_meta` that is no object', request('ping', { _meta: [] })],
    ['an answer with a result and an error', '{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":""}}'],
    ['an answer with neither', '{"jsonrpc":"2.0","id":1}'],
    ['an answer without an id', '{"jsonrpc":"2.0","result":{}}'],
    ['an answer whose error has no code', '{"jsonrpc":"2.0","id":1,"error":{"message":""}}'],
    ['an answer with a method in another case', '{"jsonrpc":"2.0","id":1,"result":{},"Method":"tools/call"}'],
    ['no object', '"tools/call"'],
    ['nothing', 'null'],
  ])('[MCP1] refused: %s', (_, text) => refused(text))

  test.each([
    ['deep nesting', `{"jsonrpc":"2.0","id":1,"method":"ping","params":${'{"a":'.repeat(70)}1${'}'.repeat(70)}}`],
    ['a mark of byte order', `\ufeff${request('ping')}`],
    ['a comma too much', '{"jsonrpc":"2.0","id":1,"method":"ping",}'],
    ['two messages, one behind the other', `${request('ping')}\n${request('ping')}`],
    ['half of one', request('ping').slice(0, -3)],
    ['a number that loses digits', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":0.1234567890123456789}}'],
    ['a lone surrogate', '{"jsonrpc":"2.0","id":1,"method":"ping","params":{"a":"\\ud800"}}'],
  ])('[MCP1] JSON that has no one reading is none: %s', (_, text) => expect(read(text)).toBeUndefined())

  test('[MCP1] answers, notifications and requests are told apart, and keep their ids as they are', () => {
    expect(of('{"jsonrpc":"2.0","id":"a","result":{}}')).toMatchObject({ is: 'answer', id: 'a' })
    expect(of('{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}')).toMatchObject({ is: 'answer', id: 7 })
    expect(of(request('notifications/initialized', {}, {}))).toMatchObject({ is: 'notification', id: null })
    expect(of(request('ping', {}, { id: '7' }))).toMatchObject({ is: 'request', id: '7' })
    expect(of(request('ping', {}, { id: 0 }))).toMatchObject({ is: 'request', id: 0 })
    expect(of(request('tools/call', { name: 'x y' }, { id: 4 }))).toMatchObject({ reason: 'message_malformed', id: 4, code: -32_602 })
  })

  const word = fc.constantFrom('jsonrpc', 'id', 'method', 'params', 'name', 'arguments', 'uri', '_meta', 'ref', 'type', 'result', 'error', 'code', 'message', 'Name', 'notifications', 'resourceSubscriptions', '2.0', 'tools/call', 'resources/read', 'completion/complete', 'ref/resource', 'file:///a/%2e')
  const value = fc.letrec(tie => ({ json: fc.oneof({ depthSize: 'small' }, word, fc.integer(), fc.boolean(), fc.constant(null), fc.array(tie('json'), { maxLength: 3 }), fc.dictionary(word, tie('json'), { maxKeys: 5 })) })).json
  const message = fc.record({ jsonrpc: fc.constantFrom('2.0', 2, '1.0'), id: fc.oneof(fc.integer(), word, fc.constant(null)), method: fc.oneof(word, value), params: value }, { requiredKeys: ['jsonrpc'] })

  const good = fc.record({ jsonrpc: fc.constant('2.0'), id: fc.integer(), method: fc.constant('tools/call'), params: fc.record({ name: word, arguments: fc.dictionary(fc.string(), fc.jsonValue(), { maxKeys: 3 }) }) })

  test('[MCP1] anything is read or refused, never a fault, and what is read goes on as the value that was read', () => {
    let taken = 0
    fc.assert(fc.property(fc.oneof(message, good, value), any => {
      const written = JSON.stringify(any)
      const parsed = read(written)
      const made = messageOf(parsed, mcp)
      if ('reason' in made) {
        expect(made.reason).toBe('message_malformed')
        return
      }
      taken++
      expect(JSON.parse(writeJson(made.value))).toEqual(JSON.parse(written))
      expect(read(writeJson(made.value))).toEqual(parsed)
    }), { numRuns: 3_000 })
    expect(taken).toBeGreaterThan(300)
  })
})
