// From a Reason to the bytes a caller reads: problem+json with its challenge, for HTTP. Readable also while a body is still coming.
// SPEC: WIRE8, WIRE9, DEC6
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type Reason, REASONS } from '../core/reason.ts'
import { newEvaluationId } from '../runtime/id.ts'

/** What a caller may ask for to lift the refusal (AuthZEN access request). */
type Offer = { readonly profile: string; readonly purpose: readonly string[]; readonly approval: 'none' | 'required' }

export type RefusalText = {
  readonly reason: Reason
  readonly evaluation: string
  /** One more sentence for people; nothing of the policy's inside. */
  readonly detail: string | null
  /** Told only to the session's own credential. */
  readonly session: string | null
  readonly scope: string | null
  readonly offers: readonly Offer[]
  /** Seconds; null leaves the header out. */
  readonly retryAfter: number | null
}

export const refusalText = (reason: Reason, more: Partial<RefusalText> = {}): RefusalText =>
  ({ reason, evaluation: newEvaluationId(), detail: null, session: null, scope: null, offers: [], retryAfter: REASONS[reason].status === 503 ? 1 : null, ...more })

const REALM = 'Bearer realm="narrowgate"'

function challenge({ reason, scope }: RefusalText): string | null {
  const row = REASONS[reason]
  switch (row.challenge) {
    case 'none': return null
    case 'bearer': return REALM
    case 'invalid_token': return `${REALM}, error="invalid_token", error_description="${row.says}"`
    case 'insufficient_scope': return `${REALM}, error="insufficient_scope"${scope === null ? '' : `, scope="${scope}"`}`
  }
}

function body(text: RefusalText): Buffer {
  const { says, status } = REASONS[text.reason]
  return Buffer.from(JSON.stringify({
    type: `urn:narrowgate:reason:${text.reason}`, title: text.reason.replaceAll('_', ' '), status, detail: text.detail ?? says,
    reason: text.reason, evaluation_id: text.evaluation,
    ...(text.session === null ? {} : { session: text.session }),
    ...(text.offers.length === 0 ? {} : { access_request: { endpoint: '/.narrowgate/elevations', template: text.offers[0]?.profile, expires_at: null, offers: text.offers } }),
  }))
}

function headers(text: RefusalText, bytes: number, close: boolean): string[] {
  const list = ['content-type', 'application/problem+json', 'content-length', String(bytes), 'cache-control', 'no-store']
  const wanted = challenge(text)
  if (wanted !== null) list.push('www-authenticate', wanted)
  if (text.retryAfter !== null) list.push('retry-after', String(text.retryAfter))
  if (close) list.push('connection', 'close')
  return list
}

const DRAINED_BYTES = 65_536
const DISCARDED_BYTES = 262_144
const DISCARDED_FOR = 2_000
const DRAINED_FOR = 10_000

/** `close`: the connection is not to be used again, whatever the body. */
export function sendRefusal(request: IncomingMessage, response: ServerResponse, text: RefusalText, contentLength: number | null, close: boolean): void {
  if (response.headersSent || response.destroyed) return
  const bytes = body(text)
  const unread = contentLength !== 0 && !request.complete
  const drains = contentLength !== null && contentLength <= DRAINED_BYTES && text.reason !== 'request_timeout'
  response.writeHead(REASONS[text.reason].status, headers(text, bytes.length, close || (unread && !drains)))
  if (!unread || (drains && !close)) {
    if (unread) drain(request)
    else request.resume()
    response.end(request.method === 'HEAD' ? undefined : bytes)
    return
  }
  linger(request, response, bytes)
}

/** The connection is kept for whoever sends the rest; not for a body that never comes. */
function drain(request: IncomingMessage): void {
  const timer = setTimeout(() => request.socket.destroySoon(), DRAINED_FOR)
  request.once('close', () => clearTimeout(timer))
  request.resume()
}

/** The whole answer goes out, then the rest of the body is read for a while so that the caller can read it before the close. */
function linger(request: IncomingMessage, response: ServerResponse, bytes: Buffer): void {
  if (request.method === 'HEAD') response.flushHeaders()
  else response.write(bytes)
  let left = DISCARDED_BYTES
  const stop = (): void => {
    clearTimeout(timer)
    request.off('data', discard)
    response.end()
    response.socket?.destroySoon()
  }
  const discard = (chunk: Buffer): void => {
    left -= chunk.length
    if (left <= 0) request.pause() // not closed yet: a reset could overtake the answer
  }
  const timer = setTimeout(stop, DISCARDED_FOR)
  request.on('data', discard).resume()
  request.once('end', stop)
  request.once('error', stop)
  response.once('close', () => clearTimeout(timer))
}
