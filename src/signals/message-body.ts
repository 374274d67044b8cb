// Reads the body of a message that somebody sent who has not shown yet who they are: small, in time, under its own content type. SPEC: TKT2, SSF2, LGO2
import type { IncomingMessage } from 'node:http'
import { GatheredBytes } from '../runtime/gathered-bytes.ts'

/** What may come: its content type, and its length in bytes. */
export type MessageForm = { readonly type: RegExp; readonly bytes: number }

const PATIENCE_MS = 10_000
const JSON_MESSAGE: MessageForm = { type: /^application\/(?:[a-z0-9.-]+\+)?json(?:\s*;\s*charset="?utf-8"?)?$/i, bytes: 256 * 1024 }

type Fault = { readonly status: number; readonly fault: string }

/** Listens instead of iterating: leaving an iteration early would reset the connection before the refusal is read. */
export function messageBody(request: IncomingMessage, { type, bytes }: MessageForm = JSON_MESSAGE): Promise<Buffer | Fault> {
  if (!type.test(request.headers['content-type'] ?? '') || request.headers['content-encoding'] !== undefined) return Promise.resolve({ status: 415, fault: 'content_type' })
  if (Number(request.headers['content-length'] ?? 0) > bytes) return Promise.resolve({ status: 413, fault: 'too_large' })
  const { promise, resolve } = Promise.withResolvers<Buffer | Fault>()
  const gathered = new GatheredBytes()
  const late = setTimeout(() => resolve({ status: 408, fault: 'timeout' }), PATIENCE_MS)
  const take = (chunk: Buffer): void => {
    if (gathered.size + chunk.length <= bytes) gathered.add(chunk)
    else resolve({ status: 413, fault: 'too_large' })
  }
  request.on('data', take)
  request.once('end', () => resolve(gathered.take()))
  request.once('error', () => resolve({ status: 400, fault: 'aborted' }))
  request.once('close', () => resolve({ status: 400, fault: 'aborted' }))
  return promise.finally(() => {
    clearTimeout(late)
    request.off('data', take)
  })
}
