// A body read to its end, within a size, a time and what all such bodies may hold. What was read is given back when the answer is over. SPEC: INS1
import type { Reason } from '../../core/reason.ts'
import type { Arrival } from '../arrival.ts'
import type { InspectedBytes } from './inspected-bytes.ts'

type Limits = { readonly maxBytes: number; /** In milliseconds. */ readonly timeout: number }

/** @returns the body, or why there is none */
export function readWhole({ body, answer }: Pick<Arrival, 'body' | 'answer'>, { maxBytes, timeout }: Limits, memory: InspectedBytes): Promise<Buffer | Reason> {
  return new Promise(resolve => {
    let chunks: Buffer[] = []
    let size = 0
    let over = false
    const give = (): void => {
      memory.give(size)
      size = 0
    }
    const finish = (read: Buffer | Reason): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      body.off('data', take)
      chunks = []
      resolve(read)
    }
    const take = (chunk: Buffer): void => {
      if (size + chunk.length > maxBytes) return finish('body_too_large')
      if (!memory.take(chunk.length)) return finish('limit_reached')
      size += chunk.length
      chunks.push(chunk)
    }
    const timer = setTimeout(finish, timeout, 'request_timeout')
    answer.onClose(give)
    body.on('data', take)
    body.once('end', () => finish(Buffer.concat(chunks, size)))
    body.once('error', () => finish('bad_request'))
    body.once('close', () => finish('bad_request'))
  })
}
