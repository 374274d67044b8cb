// How deep a server's message may be, whatever its strings hold.
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { jsonOf } from '../../../../../src/proxy/mcp/relay/server-message.ts'

const nested = (levels: number, inner = '1'): string => '[{"a":'.repeat(levels / 2) + inner + '}]'.repeat(levels / 2)

it('[MCP6] what is nested deeper than anybody means is no message, in no time', () => {
  expect([jsonOf(nested(256)) !== undefined, jsonOf(nested(258))]).toEqual([true, undefined])
  const before = performance.now()
  expect(jsonOf(`${'['.repeat(2_000_000)}${']'.repeat(2_000_000)}`)).toBeUndefined()
  expect(jsonOf(`"${'\\\\'.repeat(1_000_000)}"`)).toHaveLength(1_000_000)
  expect(performance.now() - before).toBeLessThan(500)
})

it('[MCP6] brackets, quotes and backslashes within strings are no depth, and any other JSON is read', () => {
  expect(jsonOf(nested(256, JSON.stringify('[{"\\'.repeat(400))))).toBeDefined()
  fc.assert(fc.property(fc.json(), text => { expect(jsonOf(text)).toEqual(JSON.parse(text)) }))
  fc.assert(fc.property(fc.string({ unit: fc.constantFrom('"', '\\', '[', '{', ']', 'a') }), text => { expect(jsonOf(JSON.stringify({ a: text, b: [text] }))).toEqual({ a: text, b: [text] }) }))
})
