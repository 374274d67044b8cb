// What of a message goes upstream: all of it but what is the gateway's own.
import { expect, test } from 'vitest'
import type { Settings } from '../../../../src/config/settings.ts'
import type { PurposeSource } from '../../../../src/core/policy.ts'
import type { PurposeKind } from '../../../../src/core/purpose.ts'
import type { ReadBody } from '../../../../src/proxy/http/inspection.ts'
import { type Message, plainCall } from '../../../../src/proxy/mcp/message.ts'
import { forwardedBody, metaOf } from '../../../../src/proxy/mcp/meta.ts'
import { sha256 } from '../../../../src/runtime/id.ts'
import { readStrictJson, writeJson } from '../../../../src/runtime/strict-json.ts'
import { policyOf } from '../../core/world.ts'

const PURPOSES = new Map<PurposeKind, PurposeSource>([
  ['ticket', { kind: 'ticket', from: { is: 'meta', key: 'acme/ticket', header: null }, source: null }],
  ['turn', { kind: 'turn', from: { is: 'signed', header: 'x-turn', claim: 'turn', line: null }, source: null }],
])
const SETTINGS = { policy: { ...policyOf(), purposes: PURPOSES }, signedPurposes: new Map([['turn', { jwksFile: 'k', audience: null, meta: 'acme/turn' }]]) } as unknown as Settings // the members that are asked

function messageOf(params: object): { readonly message: Message; readonly body: ReadBody } {
  const value = readStrictJson(Buffer.from(JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/call', params }))) as ReadonlyMap<string, unknown> // an object
  const bytes = Buffer.from(writeJson(value))
  return { message: { era: 'modern', version: '', is: 'request', id: 1, method: 'tools/call', params: value.get('params') as Message['params'], value, call: plainCall('protocol', 'tools/call'), own: null }, body: { inspected: { value, digest: sha256(bytes) }, bytes, size: bytes.length } }
}

function forwarded(params: object, isRetry = false): unknown {
  const { message, body } = messageOf(params)
  const passed = forwardedBody(message, body, SETTINGS, isRetry)
  expect(passed.inspected.digest).toBe(sha256(passed.bytes))
  expect(writeJson(passed.inspected.value)).toBe(passed.bytes.toString())
  return (JSON.parse(passed.bytes.toString()) as { params: unknown }).params
}

test('[MCP17] purposes and keys of ours stay here, whatever else there is goes on as it came', () => {
  const rest = { name: 'write', arguments: { _meta: { 'acme/ticket': 'in an argument' } } }
  expect(forwarded({ ...rest, _meta: { 'acme/ticket': 'T-1', 'acme/turn': 'a.b.c', 'narrowgate/idempotencyKey': 'k', 'narrowgate/other': 1, 'acme/tickets': 2, progressToken: 3 } })).toEqual({ ...rest, _meta: { 'acme/tickets': 2, progressToken: 3 } })
  expect(forwarded({ ...rest, _meta: { 'acme/ticket': 'T-1' } })).toEqual({ ...rest, _meta: {} })
})

test('[MCP17] a body with nothing of ours is the very one that was read', () => {
  for (const params of [{}, { _meta: {} }, { _meta: { progressToken: 1 } }, { _meta: 7 }, { requestState: 's', inputResponses: {} }]) {
    const { message, body } = messageOf(params)
    expect(forwardedBody(message, body, SETTINGS, false)).toBe(body)
  }
})

test('[MCP16] the way back of a call stays here where it was ours', () => {
  expect(forwarded({ name: 'write', requestState: 's', inputResponses: { narrowgate: {} } }, true)).toEqual({ name: 'write' })
})

test('[MCP17] where there is no `_meta` nothing is shown by it', () => {
  expect(metaOf(null).size).toBe(0)
  expect(metaOf(messageOf({ _meta: [1] }).message).size).toBe(0)
  expect(metaOf(messageOf({ _meta: { a: 1 } }).message).get('a')).toBe(1)
})
