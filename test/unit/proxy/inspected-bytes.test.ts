// What bodies that are read before their decision may hold: all of them together, one session of that, and what their values take beside their octets.
import { PassThrough } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { InspectedBytes, roomFor } from '../../../src/proxy/http/inspected-bytes.ts'
import { readWhole } from '../../../src/proxy/http/read-whole.ts'
import type { Answer } from '../../../src/proxy/arrival.ts'

const KIB = 1_024
const LIMITS = { maxBytes: 64 * KIB, timeout: 10_000 }

/** A caller's body, and the end of its answer. */
function caller(): { readonly body: PassThrough; readonly answer: Answer; readonly close: () => void } {
  const closing: (() => void)[] = []
  const answer = { onClose: (listener: () => void) => closing.push(listener) } as unknown as Answer // all that reading a body asks of it
  return { body: new PassThrough(), answer, close: () => { for (const listener of closing) listener() } }
}

const padded = (bytes: number): string => `{"a":"${'x'.repeat(bytes - 8)}"}`
const memoryOf = (most: number): InspectedBytes => new InspectedBytes(() => most, () => undefined)
const isFree = (memory: InspectedBytes, bytes: number): boolean => memory.take(bytes, 'else', bytes)

describe('bodies that are read whole', () => {
  test('[INS1] one session has its share and leaves the rest to others, however many bodies it begins', async () => {
    const memory = memoryOf(400 * KIB)
    const read = async (session: string): Promise<unknown> => {
      const { body, answer } = caller()
      body.end(padded(60 * KIB))
      return readWhole({ body, answer }, LIMITS, memory, session)
    }
    const greedy = await Promise.all(Array.from({ length: 6 }, () => read('greedy')))
    expect(greedy.map(found => (typeof found === 'string' ? found : 'read'))).toEqual(['read', 'read', 'limit_reached', 'limit_reached', 'limit_reached', 'limit_reached'])
    expect(await read('modest')).toBeInstanceOf(Buffer)
  })

  test('[INS1] many small values count as what is made of them', async () => {
    const memory = memoryOf(1024 * KIB)
    const { body, answer } = caller()
    body.end(`{"a":[${Array(20_000).fill('{}').join()}]}`)
    expect(await readWhole({ body, answer }, LIMITS, memory, 'one')).toBe('limit_reached')
    expect(roomFor(Buffer.from('{"a":[{},{}]}'))).toBeGreaterThan(600)
  })

  test('[INS1] nothing of what a body was read from is kept, so that one sent byte by byte fills no more room', async () => {
    const { body, answer } = caller()
    const reading = readWhole({ body, answer }, LIMITS, memoryOf(1024 * KIB), 'one')
    const from = Buffer.from(padded(KIB))
    for (let at = 0; at < from.length; at++) body.emit('data', from.subarray(at, at + 1))
    from.fill(0)
    body.emit('end')
    expect((await reading).toString()).toBe(padded(KIB))
  })

  test('[INS1] all that it took is given back when the answer is over, and nothing is taken behind that', async () => {
    const memory = memoryOf(64 * KIB)
    const { body, answer, close } = caller()
    const reading = readWhole({ body, answer }, LIMITS, memory, 'one')
    body.write(padded(32 * KIB))
    await new Promise(resolve => { setImmediate(resolve) })
    expect(isFree(memory, 64 * KIB)).toBe(false)
    close()
    body.write('x'.repeat(KIB))
    expect(await reading).toBe('caller_closed')
    expect(isFree(memory, 64 * KIB)).toBe(true)
  })
})
