// A body read to its end, within a size, a time and what all such bodies may hold. What was read is given back when the answer is over. SPEC: INS1
import type { Reason } from '../../core/reason.ts'
import { GatheredBytes } from '../../runtime/gathered-bytes.ts'
import type { Arrival } from '../arrival.ts'
import { type InspectedBytes, roomFor } from './inspected-bytes.ts'

type Limits = { readonly maxBytes: number; /** In milliseconds. */ readonly timeout: number }

/** @param session whose share of the memory it takes @returns the body, or why there is none */
export function readWhole({ body, answer }: Pick<Arrival, 'body' | 'answer'>, { maxBytes, timeout }: Limits, memory: InspectedBytes, session: string): Promise<Buffer | Reason> {
  return new Promise(resolve => {
    const gathered = new GatheredBytes()
    let held = 0
    let over = false
    const hold = (bytes: number): boolean => {
      if (!memory.take(bytes, session, maxBytes)) return false
      held += bytes
      return true
    }
    const finish = (read: Buffer | Reason): void => {
      if (over) return
      over = true
      clearTimeout(timer)
      body.off('data', take)
      gathered.take()
      resolve(read)
    }
    const give = (): void => {
      finish('caller_closed')
      memory.give(held, session)
      held = 0
    }
    const take = (chunk: Buffer): void => {
      if (gathered.size + chunk.length > maxBytes) return finish('body_too_large')
      if (!hold(chunk.length)) return finish('limit_reached')
      gathered.add(chunk)
    }
    const whole = (): void => {
      if (over) return
      const read = gathered.take()
      finish(hold(roomFor(read)) ? read : 'limit_reached')
    }
    const timer = setTimeout(finish, timeout, 'request_timeout')
    answer.onClose(give)
    body.on('data', take)
    body.once('end', whole)
    body.once('error', () => finish('bad_request'))
    body.once('close', () => finish('bad_request'))
  })
}
