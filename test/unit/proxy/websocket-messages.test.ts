// Rules on single messages: whole ones out of frames cut anywhere, and what is said of each.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { MessageRules } from '../../../src/core/route.ts'
import { instant } from '../../../src/core/time.ts'
import { pongFrame, xorMask } from '../../../src/proxy/websocket/frames.ts'
import { MessageJudge, MessageReader } from '../../../src/proxy/websocket/messages.ts'

const MASK = Buffer.from([0x11, 0x22, 0x33, 0x44])

function frame(text: string | Buffer, { opcode = 1, fin = true } = {}): Buffer {
  const payload = Buffer.from(text)
  const size = payload.length < 126 ? Buffer.from([128 | payload.length]) : Buffer.from([254, payload.length >> 8, payload.length & 255])
  return Buffer.concat([Buffer.from([(fin ? 128 : 0) | opcode]), size, MASK, xorMask(Buffer.from(payload), MASK)])
}

const rules = (more: Partial<MessageRules> = {}): MessageRules => ({ maxBytes: null, perSecond: null, fields: new Map(), ...more })
const only = (pointer: string, ...allowed: string[]): MessageRules => rules({ maxBytes: 65_536, fields: new Map([[pointer, new Set(allowed)]]) })
const clock = { at: 0, now: () => instant(0), elapsed(): number { return this.at } }
const judged = (text: string | Buffer, rule: MessageRules, more = {}) => new MessageJudge(clock).objection(frame(text, more), rule)
const DENIED = { reason: 'denied', code: 1008 }

test('[WIRE18] messages come out whole and byte for byte however their frames are cut, control frames between them at once', () => {
  fc.assert(fc.property(fc.array(fc.array(fc.string({ maxLength: 40 }), { minLength: 1, maxLength: 3 }), { minLength: 1, maxLength: 4 }), fc.array(fc.nat(500), { maxLength: 10 }), (messages, cuts) => {
    const ping = Buffer.concat([Buffer.from([0x89, 0x82]), MASK, xorMask(Buffer.from('hi'), MASK)])
    const wanted: Buffer[] = []
    const wire: Buffer[] = []
    for (const parts of messages) {
      const frames = parts.map((part, i) => frame(part, { opcode: i === 0 ? 1 : 0, fin: i === parts.length - 1 }))
      if (frames.length > 1) wanted.push(ping)
      wanted.push(Buffer.concat(frames))
      wire.push(...(frames.length > 1 ? [frames[0] ?? ping, ping, ...frames.slice(1)] : frames))
    }
    const bytes = Buffer.concat(wire)
    const at = [...new Set(cuts.map(cut => cut % bytes.length))].sort((a, b) => a - b)
    const reader = new MessageReader()
    const got = [0, ...at].flatMap((from, i) => {
      const taken = reader.take(bytes.subarray(from, at[i] ?? bytes.length), rules())
      if (!Array.isArray(taken)) throw new Error(JSON.stringify(taken))
      return taken
    })
    expect(got).toEqual(wanted)
    expect(reader.partial).toBe(false)
  }), { numRuns: 500 })
})

test('[WIRE18] a message over its bound is refused by the header that announces it, and one of many small frames by their sum', () => {
  const long = new MessageReader()
  expect(long.take(frame('x'.repeat(101)).subarray(0, 6), rules({ maxBytes: 100 }))).toEqual({ reason: 'limit_reached', code: 1009 })
  const parts = new MessageReader()
  expect(parts.take(frame('x'.repeat(60), { fin: false }), rules({ maxBytes: 100 }))).toEqual([])
  expect(parts.take(frame('x'.repeat(60), { opcode: 0 }), rules({ maxBytes: 100 }))).toEqual({ reason: 'limit_reached', code: 1009 })
  const empty = new MessageReader()
  expect(empty.take(frame('', { fin: false }), rules({ maxBytes: 100 }))).toEqual([])
  expect(empty.take(Buffer.concat(Array.from({ length: 20_000 }, () => frame('', { opcode: 0, fin: false }))), rules({ maxBytes: 100 }))).toEqual({ reason: 'limit_reached', code: 1009 })
})

test('[WIRE18] frames that are not well-formed are no message', () => {
  expect(new MessageReader().take(Buffer.from([0x81, 0x01, 0x41]), rules())).toBe('broken')
  expect(new MessageReader().take(frame('x', { opcode: 3 }), rules())).toBe('broken')
})

test('[WIRE18] a field must stand there as one of its texts, and nothing else passes for it', () => {
  const rule = only('/data/type', 'read', 'list')
  expect(judged('{"data":{"type":"read"}}', rule)).toBe(null)
  expect(judged('{"data":{"type":"list","more":[1]}}', rule)).toBe(null)
  const refused = [
    '{"data":{"type":"write"}}', '{"data":{"type":["read"]}}', '{"data":{"type":null}}', '{"data":{}}', '{}', '[]', 'null', '"read"', '', 'read', '{"data":{"type":"read"}', '\ufeff{"data":{"type":"read"}}',
    '{"data":{"type":"write","type":"read"}}', '{"data":{"type":"read"},"data":{"type":"write"}}', '{"data":{"type":"read"},"d\\u0061ta":{"type":"write"}}', '{"__proto__":{"data":{"type":"read"}}}',
    '{"data":{"type":"READ"}}', '{"data":{"type":"read "}}', '[{"data":{"type":"read"}}]', '{"data.type":"read"}', "{'data':{'type':'read'}}", '{"data":{"type":"read"}}{"data":{"type":"write"}}',
  ]
  for (const text of refused) expect(judged(text, rule), text).toEqual(DENIED)
  expect(judged(Buffer.from('{"data":{"type":"\xff"}}', 'latin1'), rule)).toEqual(DENIED)
  expect(judged('{"data":{"type":"read"}}', rule, { opcode: 2 })).toEqual({ reason: 'denied', code: 1003 })
})

test('[WIRE18] escaped names of a pointer are read as RFC 6901 says', () => {
  expect(judged('{"a/b":{"~c":"x"}}', only('/a~1b/~0c', 'x'))).toBe(null)
  expect(judged('{"a":{"b":{"~c":"x"}}}', only('/a~1b/~0c', 'x'))).toEqual(DENIED)
  expect(judged('{"list":["x"]}', only('/list/0', 'x'))).toBe(null)
  expect(judged('{"list":["x"]}', only('/list/length', '1'))).toEqual(DENIED)
})

test('[WIRE18] a fragmented message is read as one', () => {
  const bytes = Buffer.concat([frame('{"op":"re', { fin: false }), frame('', { opcode: 0, fin: false }), frame('ad"}', { opcode: 0 })])
  expect(new MessageJudge(clock).objection(bytes, only('/op', 'read'))).toBe(null)
  expect(new MessageJudge(clock).objection(bytes, only('/op', 'write'))).toEqual(DENIED)
})

test('[WIRE18] messages are counted by the second: so many at once, then as many as time brings; control frames are free', () => {
  const time = { ...clock, at: 1_000 }
  const judge = new MessageJudge(time)
  const outcome = () => judge.objection(frame('x'), rules({ perSecond: 4 }))?.code ?? 0
  expect([outcome(), outcome(), outcome(), outcome(), outcome()]).toEqual([0, 0, 0, 0, 1008])
  time.at += 250
  expect([outcome(), outcome()]).toEqual([0, 1008])
  time.at += 60_000
  expect([outcome(), outcome(), outcome(), outcome(), outcome()]).toEqual([0, 0, 0, 0, 1008])
  expect(judge.objection(pongFrame(Buffer.from('x'), MASK), rules({ perSecond: 4 }))).toBe(null)
})

test('[WIRE18] a rule that became tighter meanwhile counts for a message that waited', () => {
  expect(judged('x'.repeat(50), rules({ maxBytes: 40 }))).toEqual({ reason: 'limit_reached', code: 1009 })
})
