// Streams a file line by line with the exact bytes of each, in bounded memory.
// SPEC: AUD6
import { createReadStream } from 'node:fs'
import { LINE_BYTES_MAX } from './tail.ts'

/** `number` counts from 1; `whole` is false for a last line without LF. */
type RawLine = { readonly number: number; readonly bytes: Buffer; readonly whole: boolean }

const LF = 10

/**
 * @param from byte at which to begin; lines are numbered from there
 * @throws RangeError at a line longer than LINE_BYTES_MAX
 */
export async function* readLines(file: string, from = 0): AsyncGenerator<RawLine> {
  let number = 0
  let held: Buffer = Buffer.alloc(0)
  for await (const chunk of createReadStream(file, { start: from, highWaterMark: 256 * 1024 }) as AsyncIterable<Buffer>) { // without an encoding chunks are Buffers
    const data = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    let start = 0
    for (let stop = data.indexOf(LF); stop >= 0; stop = data.indexOf(LF, start)) {
      yield { number: ++number, bytes: data.subarray(start, stop), whole: true }
      start = stop + 1
    }
    held = data.subarray(start)
    if (held.length > LINE_BYTES_MAX) throw new RangeError(`line ${number + 1} is longer than ${LINE_BYTES_MAX} bytes`)
  }
  if (held.length > 0) yield { number: number + 1, bytes: held, whole: false }
}
