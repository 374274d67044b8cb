// The way back of a call: what one writes the other reads, for the same call alone; whatever else comes leads nowhere.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Call } from '../../../../../src/core/call.ts'
import type { ElevationId } from '../../../../../src/core/elevation.ts'
import type { SessionId } from '../../../../../src/core/session.ts'
import { type Going, isOurs, WaysBack } from '../../../../../src/proxy/mcp/asking/way-back.ts'
import { at, NOW } from '../../../core/world.ts'

const CALL: Call = { kind: 'tool', method: 'tools/call', name: 'write', args: new Map(), digest: 'd1' }
const GOING: Going = { life: 'ses_1' as SessionId, route: 'tools', call: CALL } // a word of the test
const WAY = { elevation: 'elv_1' as ElevationId, until: at(60) } // likewise
const ways = new WaysBack(Buffer.alloc(32, 1))
const text = ways.write(GOING, WAY)

test('[MCP16] any gateway of the data set reads what one of them wrote; a gateway of another does not', () => {
  expect(new WaysBack(Buffer.alloc(32, 1)).read(text, GOING, NOW)).toEqual(WAY)
  expect(new WaysBack(Buffer.alloc(32, 2)).read(text, GOING, NOW)).toContain('not one that this gateway gave')
  expect([isOurs(text), isOurs('of-the-server'), isOurs(7), isOurs(undefined)]).toEqual([true, false, false, false])
  expect(text.length).toBeLessThan(1_024)
})

test.each<[string, Going, string]>([
  ['session', { ...GOING, life: 'ses_2' as SessionId }, 'another session'], ['route', { ...GOING, route: 'other' }, 'another call'], ['tool', { ...GOING, call: { ...CALL, name: 'delete' } }, 'another call'],
  ['method', { ...GOING, call: { ...CALL, method: 'prompts/get' } }, 'another call'], ['argument', { ...GOING, call: { ...CALL, digest: 'd2' } }, 'another call'], ['argument at all', { ...GOING, call: { ...CALL, digest: null } }, 'another call'],
])('[MCP16] it is for no other %s', (_, going, says) => expect(ways.read(text, going, NOW)).toContain(says))

test('[MCP16] it is over at its time', () => {
  expect(ways.read(text, GOING, at(59.999))).toEqual(WAY)
  expect(ways.read(text, GOING, at(60))).toContain('expired')
})

test('[MCP16] whatever is changed of it leads nowhere, and nothing else does either', () => {
  fc.assert(fc.property(fc.nat(text.length - 1), fc.constantFrom('A', 'Z', 'a', 'z', '0', '9', '-', '_', '.'), (place, letter) => {
    const changed = text.slice(0, place) + letter + text.slice(place + 1)
    if (changed !== text) expect(ways.read(changed, GOING, NOW)).toBeTypeOf('string')
  }))
  fc.assert(fc.property(fc.oneof(fc.string(), fc.string().map(end => `narrowgate.${end}`), fc.uint8Array({ maxLength: 200 }).map(bytes => `narrowgate.${Buffer.from(bytes).toString('base64url')}`)), other => {
    expect(ways.read(other, GOING, NOW)).toBeTypeOf('string')
  }))
  expect(ways.read(`narrowgate.${'a'.repeat(100_000)}`, GOING, NOW)).toBeTypeOf('string')
})

test('[MCP16] one way back is one text: no bit of it is without a meaning', () => {
  for (const id of ['elv_1', 'elv_12', 'elv_123']) {
    const written = ways.write(GOING, { ...WAY, elevation: id as ElevationId }) // a word of the test
    for (const letter of Array.from({ length: 64 }, (_, at) => Buffer.from([at << 2]).toString('base64url').slice(0, 1))) {
      const other = written.slice(0, -1) + letter
      if (other !== written) expect(ways.read(other, GOING, NOW)).toBeTypeOf('string')
    }
  }
})
