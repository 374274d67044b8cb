// Frames followed byte by byte, against a writer of our own and against everything a stream may not hold.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { closeFrame, controlAt, FrameTracker, pongFrame, xorMask } from '../../../src/proxy/websocket/frames.ts'

type Frame = { readonly opcode: number; readonly fin: boolean; readonly rsv: number; readonly payload: Buffer }

const lengthBytes = (length: number): Buffer => {
  if (length < 126) return Buffer.from([length])
  if (length < 65_536) return Buffer.from([126, length >> 8, length & 255])
  const long = Buffer.alloc(9, 127)
  long.writeBigUInt64BE(BigInt(length), 1)
  return long
}

/** Written down anew here, so that the writer under test does not prove itself. */
function written({ opcode, fin, rsv, payload }: Frame, mask: Buffer | null): Buffer {
  const size = lengthBytes(payload.length)
  if (mask !== null) size[0] = (size[0] ?? 0) | 128
  const masked = mask === null ? payload : Buffer.from(payload.map((byte, i) => byte ^ (mask[i % 4] ?? 0)))
  return Buffer.concat([Buffer.from([(fin ? 128 : 0) | rsv | opcode]), size, mask ?? Buffer.alloc(0), masked])
}

const payload = (max: number): fc.Arbitrary<Buffer> => fc.oneof(fc.nat(max), fc.constantFrom(0, 1, 124, 125, 126, 127, 65_535, 65_536, 65_537).filter(size => size <= max))
  .chain(size => fc.nat(255).map(byte => Buffer.alloc(size, byte)))
const control: fc.Arbitrary<Frame> = fc.record({ opcode: fc.constantFrom(9, 10), fin: fc.constant(true), rsv: fc.constant(0), payload: payload(125) })
/** One message in pieces, with control frames between them. */
const message: fc.Arbitrary<Frame[]> = fc.record({ opcode: fc.constantFrom(1, 2), deflated: fc.boolean(), parts: fc.array(payload(70_000), { minLength: 1, maxLength: 4 }), between: fc.array(control, { maxLength: 2 }) })
  .map(({ opcode, deflated, parts, between }) => parts.flatMap((part, i): Frame[] => [{ opcode: i === 0 ? opcode : 0, fin: i === parts.length - 1, rsv: i === 0 && deflated ? 64 : 0, payload: part }, ...between]))
const stream = fc.array(fc.oneof(message, control.map(frame => [frame])), { minLength: 1, maxLength: 5 }).map(list => list.flat())
const mask = fc.uint8Array({ minLength: 4, maxLength: 4 }).map(bytes => Buffer.from(bytes))

function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const at = [...new Set(cuts.map(cut => cut % (bytes.length + 1)))].sort((a, b) => a - b)
  return [0, ...at].map((from, i) => bytes.subarray(from, at[i] ?? bytes.length))
}

test('[WIRE18] well-formed frames are followed however the stream is cut, and it stands between two exactly at their ends', () => {
  let boundaries = 0
  fc.assert(fc.property(stream, mask, fc.boolean(), fc.array(fc.nat(300_000), { maxLength: 12 }), (frames, key, fromClient, cuts) => {
    const wire = frames.map(frame => written(frame, fromClient ? key : null))
    const ends = new Set<number>([0])
    for (const [i] of wire.entries()) ends.add(wire.slice(0, i + 1).reduce((sum, { length }) => sum + length, 0))
    const tracker = new FrameTracker(fromClient, true)
    let at = 0
    for (const piece of pieces(Buffer.concat(wire), [...cuts, ...[...ends].filter((_, i) => i % 2 === 0)])) {
      expect(tracker.follow(piece)).toBe(true)
      at += piece.length
      if (ends.has(at)) boundaries++
      expect(tracker.between, `after ${at} bytes`).toBe(ends.has(at))
    }
    expect(tracker.frames).toBe(frames.length)
  }), { numRuns: 500 })
  expect(boundaries).toBeGreaterThan(500)
})

test('[WIRE18] every single byte of a stream may come alone', () => {
  const frames: Frame[] = [{ opcode: 1, fin: false, rsv: 0, payload: Buffer.alloc(130) }, { opcode: 9, fin: true, rsv: 0, payload: Buffer.from('hi') }, { opcode: 0, fin: true, rsv: 0, payload: Buffer.alloc(0) }]
  const bytes = Buffer.concat(frames.map(frame => written(frame, Buffer.from([1, 2, 3, 4]))))
  const tracker = new FrameTracker(true, false)
  const stood: number[] = []
  for (const [i, byte] of bytes.entries()) {
    expect(tracker.follow(Buffer.from([byte]))).toBe(true)
    if (tracker.between) stood.push(i + 1)
  }
  expect(stood).toEqual([138, 146, 152])
})

const frame = (more: Partial<Frame>): Frame => ({ opcode: 1, fin: true, rsv: 0, payload: Buffer.from('x'), ...more })
const key = Buffer.from([9, 8, 7, 6])
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

const VIOLATIONS: readonly (readonly [string, readonly Buffer[], 'client' | 'server'])[] = [
  ['a client frame without a mask', [written(frame({}), null)], 'client'],
  ['a server frame with a mask', [written(frame({}), key)], 'server'],
  ['RSV2', [written(frame({ rsv: 32 }), null)], 'server'],
  ['RSV3', [written(frame({ rsv: 16 }), null)], 'server'],
  ['RSV1 without permessage-deflate', [written(frame({ rsv: 64 }), null)], 'server'],
  ...[3, 4, 5, 6, 7, 11, 12, 13, 14, 15].map(opcode => [`opcode ${opcode}`, [written(frame({ opcode }), null)], 'server'] as const),
  ['a fragmented ping', [written(frame({ opcode: 9, fin: false }), null)], 'server'],
  ['a ping of 126 bytes', [written(frame({ opcode: 9, payload: Buffer.alloc(126) }), null)], 'server'],
  ['a Close frame with half a code', [written(frame({ opcode: 8, payload: Buffer.alloc(1) }), null)], 'server'],
  ['a continuation of nothing', [written(frame({ opcode: 0 }), null)], 'server'],
  ['a message within a message', [written(frame({ fin: false }), null), written(frame({}), null)], 'server'],
  ['data behind a Close frame', [written(frame({ opcode: 8, payload: hex('03e8') }), null), written(frame({}), null)], 'server'],
  ['a length in two bytes that fits in one', [hex('81 7e 00 05')], 'server'],
  ['a length in eight bytes that fits in two', [hex('81 7f 00 00 00 00 00 00 ff ff')], 'server'],
  ['a length with its first bit set', [hex('81 7f 80 00 00 00 00 00 00 00')], 'server'],
]

test.each(VIOLATIONS)('[WIRE18] %s is a violation, whole or byte by byte', (_, wire, from) => {
  const bytes = Buffer.concat(wire)
  for (const parts of [[bytes], [...bytes].map(byte => Buffer.from([byte]))]) {
    const tracker = new FrameTracker(from === 'client', false)
    expect(parts.every(part => tracker.follow(part))).toBe(false)
    expect(tracker.between).toBe(false)
  }
})

test('[WIRE18] RSV1 has its meaning only on the first frame of a message, where permessage-deflate was agreed on', () => {
  const deflated = [written(frame({ rsv: 64, fin: false }), null), written(frame({ opcode: 0, rsv: 64 }), null)]
  const tracker = new FrameTracker(false, true)
  expect(deflated.map(bytes => tracker.follow(bytes))).toEqual([true, false])
  expect(new FrameTracker(false, true).follow(written(frame({ opcode: 9, rsv: 64 }), null))).toBe(false)
})

test('[WIRE18] random bytes never make the tracker throw, and what broke once stays broken', () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), fc.boolean(), fc.boolean(), (bytes, fromClient, deflate) => {
    const tracker = new FrameTracker(fromClient, deflate)
    const held = tracker.follow(Buffer.from(bytes))
    if (!held) expect(tracker.follow(written(frame({}), fromClient ? key : null))).toBe(false)
  }), { numRuns: 5_000 })
})

test('[WIRE18] a frame of the gateway reads back as what it says, masked towards a server', () => {
  fc.assert(fc.property(payload(125), fc.option(mask), (text, towardsServer) => {
    const bytes = pongFrame(text, towardsServer)
    expect(bytes).toEqual(written({ opcode: 10, fin: true, rsv: 0, payload: text }, towardsServer))
    expect(controlAt(bytes, 0, towardsServer !== null)).toEqual({ is: 'pong', end: bytes.length, payload: text })
    expect(controlAt(bytes, 0, towardsServer === null)).toBe('data')
    for (let cut = 0; cut < bytes.length; cut++) expect(controlAt(bytes.subarray(0, cut), 0, towardsServer !== null)).toBe('more')
  }), { numRuns: 200 })
})

test('[WIRE18] the reason of a Close frame is cut at a whole character, and the frame is well-formed', () => {
  fc.assert(fc.property(fc.string({ unit: 'grapheme', maxLength: 200 }), fc.constantFrom(1001, 1008, 1012), (reason, code) => {
    const bytes = closeFrame(code, reason, null)
    const read = controlAt(bytes, 0, false)
    if (typeof read === 'string') throw new Error('not a control frame')
    expect(read.is).toBe('close')
    expect(read.payload.readUInt16BE(0)).toBe(code)
    expect(read.payload.length).toBeLessThanOrEqual(125)
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(read.payload.subarray(2))
    expect(reason.isWellFormed() ? reason.startsWith(text) : true).toBe(true)
    expect(new FrameTracker(false, false).follow(bytes)).toBe(true)
  }), { numRuns: 1_000 })
})

test('[WIRE18] masking twice gives back what was masked', () => {
  fc.assert(fc.property(payload(70_000), mask, (text, bits) => {
    expect(xorMask(xorMask(Buffer.from(text), bits), bits)).toEqual(text)
  }), { numRuns: 50 })
})
