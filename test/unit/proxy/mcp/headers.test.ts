// What headers say of a message, against what it says itself.
import { describe, expect, test } from 'vitest'
import { headerFault, mcpLines } from '../../../../src/proxy/mcp/headers.ts'
import { messageOf } from '../../../../src/proxy/mcp/message.ts'
import { readStrictJson } from '../../../../src/runtime/strict-json.ts'
import { mcpRouteOf } from './routes.ts'

const { mcp } = mcpRouteOf(`{ tools: [{ match: restart, args: { region: { type: string, header: Region }, count: { type: int, required: false, header: Count }, hard: { type: bool, required: false, header: Hard } } }] }`)
const MODERN = '2026-07-28'
const META = { 'io.modelcontextprotocol/protocolVersion': MODERN, 'io.modelcontextprotocol/clientCapabilities': {} }
const base64 = (text: string): string => `=?base64?${Buffer.from(text).toString('base64')}?=`

function faultOf(message: object, headers: readonly string[]): string | null {
  const lines = mcpLines(headers)
  if (lines === null) return 'header_mismatch'
  const read = messageOf(readStrictJson(Buffer.from(JSON.stringify({ jsonrpc: '2.0', ...message }))), mcp)
  if ('reason' in read) return read.reason
  return headerFault(read, lines, lines.get('mcp-protocol-version') ?? '', mcp)?.reason ?? null
}

const call = (name: string, args: object = {}, meta: object = META) => ({ id: 1, method: 'tools/call', params: { name, arguments: args, _meta: meta } })
const said = (method: string, name?: string, version = MODERN): string[] => ['MCP-Protocol-Version', version, 'Mcp-Method', method, ...(name === undefined ? [] : ['Mcp-Name', name])]

describe('headers of a message', () => {
  test('[MCP5] which say what it says pass', () => {
    expect(faultOf(call('get'), said('tools/call', 'get'))).toBeNull()
    expect(faultOf(call('get'), said('tools/call', base64('get')))).toBeNull()
    expect(faultOf({ id: 1, method: 'resources/read', params: { uri: 'file:///a', _meta: META } }, said('resources/read', 'file:///a'))).toBeNull()
    expect(faultOf({ id: 1, method: 'tasks/get', params: { taskId: 't', _meta: META } }, said('tasks/get', 't'))).toBeNull()
    expect(faultOf({ id: 1, method: 'tools/list', params: { _meta: META } }, said('tools/list'))).toBeNull()
    expect(faultOf({ method: 'notifications/cancelled', params: { requestId: 1 } }, ['mcp-protocol-version', MODERN])).toBeNull()
    expect(faultOf({ id: 1, method: 'tools/call', params: { name: 'get' } }, [])).toBeNull()
    expect(faultOf({ id: 1, method: 'initialize', params: { protocolVersion: '2025-11-25' } }, [])).toBeNull()
    expect(faultOf({ id: 1, method: 'tools/call', params: { name: 'get' } }, said('tools/call', 'get', '2025-11-25'))).toBeNull()
  })

  test.each([
    ['another method', call('get'), said('tools/list', 'get')],
    ['a method in another case', call('get'), said('Tools/Call', 'get')],
    ['another tool', call('delete_db'), said('tools/call', 'get_weather')],
    ['a tool in another case', call('get'), said('tools/call', 'Get')],
    ['another tool in base64', call('delete_db'), said('tools/call', base64('get_weather'))],
    ['base64 that is none', call('get'), said('tools/call', '=?base64?Z2V0*?=')],
    ['base64 that is not the shortest', call('get'), said('tools/call', '=?base64?Z2V0?= ')],
    ['base64 of another spelling', call('get'), said('tools/call', '=?BASE64?Z2V0?=')],
    ['base64 that is not UTF-8', call('get'), said('tools/call', '=?base64?/w==?=')],
    ['no method', call('get'), ['mcp-protocol-version', MODERN, 'mcp-name', 'get']],
    ['no name', call('get'), said('tools/call')],
    ['a name where there is none', { id: 1, method: 'tools/list', params: { _meta: META } }, said('tools/list', 'get')],
    ['another resource', { id: 1, method: 'resources/read', params: { uri: 'file:///b', _meta: META } }, said('resources/read', 'file:///a')],
    ['another version', call('get', {}, { ...META, 'io.modelcontextprotocol/protocolVersion': '2025-11-25' }), said('tools/call', 'get')],
    ['no version, but an envelope', call('get'), ['mcp-method', 'tools/call', 'mcp-name', 'get']],
    ['an older version than the envelope', call('get'), said('tools/call', 'get', '2025-11-25')],
    ['initialize under the new version', { id: 1, method: 'initialize', params: { protocolVersion: MODERN } }, said('initialize')],
    ['another method, of old', { id: 1, method: 'tools/call', params: { name: 'delete_db' } }, said('tools/list', undefined, '2025-11-25')],
    ['another tool, of old', { id: 1, method: 'tools/call', params: { name: 'delete_db' } }, said('tools/call', 'get', '2025-11-25')],
    ['another method of a notification', { method: 'notifications/cancelled', params: { requestId: 1 } }, said('notifications/progress')],
    ['a name beside an answer', { id: 1, result: {} }, ['mcp-name', 'get']],
    ['the method twice', call('get'), [...said('tools/call', 'get'), 'mcp-method', 'tools/call']],
    ['the name twice', call('get'), [...said('tools/call', 'get'), 'MCP-NAME', 'get']],
    ['the version twice', call('get'), [...said('tools/call', 'get'), 'MCP-Protocol-Version', MODERN]],
    ['a parameter twice', call('get'), [...said('tools/call', 'get'), 'Mcp-Param-X', '1', 'mcp-param-x', '2']],
    ['the name with a line below', call('get'), [...said('tools/call'), 'Mcp_Name', 'get']],
    ['a session with a line below', call('get'), [...said('tools/call', 'get'), 'Mcp_Session-Id', 'x']],
  ])('[MCP5] which say something else refuse it: %s', (_, message, headers) => { expect(faultOf(message, headers)).toBe('header_mismatch') })

  test.each([
    ['no envelope', { id: 1, method: 'tools/list', params: {} }],
    ['no version', { id: 1, method: 'tools/list', params: { _meta: { 'io.modelcontextprotocol/clientCapabilities': {} } } }],
    ['no capabilities', { id: 1, method: 'tools/list', params: { _meta: { 'io.modelcontextprotocol/protocolVersion': MODERN } } }],
    ['capabilities that are none', { id: 1, method: 'tools/list', params: { _meta: { ...META, 'io.modelcontextprotocol/clientCapabilities': [] } } }],
  ])('[MCP5] a request since 2026-07-28 says what it is: %s', (_, message) => { expect(faultOf(message, said('tools/list'))).toBe('message_malformed') })

  const restart = (args: object) => call('restart', args)
  const param = (...headers: string[]) => [...said('tools/call', 'restart'), ...headers]
  test('[MCP5] a header that repeats an argument says what it is, as far as the route knows', () => {
    expect(faultOf(restart({ region: 'eu' }), param('Mcp-Param-Region', 'eu'))).toBeNull()
    expect(faultOf(restart({ region: 'zürich' }), param('Mcp-Param-Region', base64('zürich')))).toBeNull()
    expect(faultOf(restart({ region: 'eu', count: 42, hard: true }), param('Mcp-Param-Region', 'eu', 'mcp-param-count', '42.0', 'Mcp-Param-Hard', 'true'))).toBeNull()
    expect(faultOf(restart({ region: 'eu' }), param('Mcp-Param-Region', 'eu', 'Mcp-Param-Other', 'x'))).toBeNull()
    for (const headers of [['Mcp-Param-Region', 'us'], ['Mcp-Param-Region', 'EU'], ['Mcp-Param-Region', base64('us')], ['Mcp-Param-Region', '=?base64?!?='], [], ['Mcp-Param-Region', 'eu', 'Mcp-Param-Count', '1']]) expect(faultOf(restart({ region: 'eu' }), param(...headers)), headers.join()).toBe('header_mismatch')
    for (const count of ['41', '0x2a', '4.2e1', '']) expect(faultOf(restart({ region: 'eu', count: 42 }), param('Mcp-Param-Region', 'eu', 'Mcp-Param-Count', count)), count).toBe('header_mismatch')
    expect(faultOf(restart({ region: 'eu', hard: true }), param('Mcp-Param-Region', 'eu', 'Mcp-Param-Hard', 'TRUE'))).toBe('header_mismatch')
  })
})
