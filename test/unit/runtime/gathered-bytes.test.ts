// Bytes in one place, however they came.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { GatheredBytes } from '../../../src/runtime/gathered-bytes.ts'

test('[INS1, MCP6] what was gathered is what came, however it was cut, and nothing of the pieces is kept', () => {
  fc.assert(fc.property(fc.array(fc.uint8Array({ maxLength: 3_000 }), { maxLength: 20 }), pieces => {
    const gathered = new GatheredBytes()
    const all = Buffer.concat(pieces)
    for (const piece of pieces) {
      gathered.add(piece)
      piece.fill(0) // what it was read from is read into again
    }
    expect(gathered.size).toBe(all.length)
    const bytes = gathered.take()
    expect(bytes.equals(all)).toBe(true)
    expect([bytes.buffer.byteLength === bytes.length || bytes.length < 4_096, gathered.size, gathered.take().length]).toEqual([true, 0, 0])
  }))
})

test('[INS1, MCP6] a megabyte byte by byte takes no more room than a megabyte, and no long time', () => {
  const gathered = new GatheredBytes()
  const one = Buffer.from('x')
  const before = process.memoryUsage()
  for (let i = 0; i < 1_048_576; i++) gathered.add(one)
  const { arrayBuffers } = process.memoryUsage()
  expect(arrayBuffers - before.arrayBuffers).toBeLessThan(6 * 1_048_576) // each growth leaves the one before to the collector
  expect(gathered.take()).toHaveLength(1_048_576)
})
