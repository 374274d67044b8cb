// Heads of the answers the gateway gives by itself. SPEC: ADM1
import type { Arrival } from './arrival.ts'
import type { ResponseHead } from './http/response-head.ts'

/** @param length bytes of the body; null for a stream of events */
export const ownHead = (status: number, headers: readonly string[], length: number | null): ResponseHead => ({
  status, text: '', headers: length === null ? [...headers] : [...headers, 'content-length', String(length)], delimitedByClose: false, eventStream: length === null, encoded: false, length,
})

/** A whole answer of JSON; what is left of the request's body is not kept. @param cached what caches are told */
export function answerJson({ answer, body }: Arrival, status: number, value: unknown, cached = 'no-store'): void {
  if (answer.gone || answer.status !== 0) return
  const bytes = Buffer.from(JSON.stringify(value))
  body.resume()
  answer.sendWhole(ownHead(status, ['content-type', 'application/json', 'cache-control', cached], bytes.length), bytes)
}

/** 204 with these headers, names and values in turn. */
export function answerEmpty({ answer, body }: Arrival, headers: readonly string[]): void {
  if (answer.gone || answer.status !== 0) return
  body.resume()
  answer.sendHead({ ...ownHead(204, headers, null), eventStream: false })
  answer.finish([])
}
