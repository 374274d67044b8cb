// The short bodies callers send to their own side: read whole, within a size and a time. SPEC: ADM1
import type { Readable } from 'node:stream'
import type { Reason } from '../../core/reason.ts'

const BODY_MAX = 16_384
const BODY_WITHIN = 5_000

/** The whole body as text, or why there is none. */
export function readBody(body: Readable): Promise<{ readonly text: string } | { readonly reason: Reason }> {
  return new Promise(resolve => {
    const chunks: Buffer[] = []
    let size = 0
    const timer = setTimeout(() => finish({ reason: 'request_timeout' }), BODY_WITHIN)
    const finish = (read: { readonly text: string } | { readonly reason: Reason }): void => {
      clearTimeout(timer)
      body.off('data', take)
      resolve(read)
    }
    const take = (chunk: Buffer): void => {
      size += chunk.length
      if (size > BODY_MAX) return finish({ reason: 'body_too_large' })
      chunks.push(chunk)
    }
    body.on('data', take)
    body.once('end', () => finish({ text: Buffer.concat(chunks).toString('utf8') }))
    body.once('error', () => finish({ reason: 'caller_closed' }))
  })
}
