// An upstream's response head as the caller gets it: hop-by-hop fields and the gateway's own names removed, the rest as it came, and what the
// gateway owes added: `Via`, who may keep it, who may read it. SPEC: WIRE6, WIRE11, WIRE12, WIRE19, WIRE22
import type { AnswerHead } from '../../upstream/handler.ts'
import { endToEndTrailers, nameOf } from './header-names.ts'
import type { Via } from './via.ts'

export type ResponseHead = {
  readonly status: number
  readonly text: string
  /** Names and values in turn. */
  readonly headers: string[]
  /** Neither length nor chunks: its end is the end of the connection. */
  readonly delimitedByClose: boolean
  readonly eventStream: boolean
  /** Its bytes are not the text itself: a content coding lies over it. */
  readonly encoded: boolean
  /** Bytes announced; null when it did not say. */
  readonly length: number | null
}

/** What the gateway knows of an exchange that its answer has to show. */
export type Passing = {
  readonly via: Via
  /** What the upstream speaks. */
  readonly upstream: 'http1' | 'http2'
  /** It was let through for who the caller is: an answer that says nothing of caches is for this caller alone. */
  readonly personal: boolean
  /** Of a route with `cors`, in place of what the upstream says; null elsewhere. */
  readonly cors: readonly string[] | null
}

/** Names that a `Connection` value takes away, beyond what is taken away anyway. */
function nominated(value: string): readonly string[] {
  const lower = value.toLowerCase()
  return lower === 'keep-alive' || lower === 'close' ? [] : lower.split(',').map(token => token.trim())
}

function without(headers: readonly string[], names: readonly string[]): string[] {
  return headers.filter((_, i) => !names.includes((headers[i - (i % 2)] ?? '').toLowerCase()))
}

/** What one head says of its body and of caches, read field by field. */
class Reading {
  dropped: readonly string[] = []
  framed = false
  length: number | null = null
  eventStream = false
  encoded = false
  cached = false

  /** @returns false where the framing cannot be relayed: a transfer coding nobody would be told of (RFC 9112 §6.1), a length that is none or two */
  take(lower: string, value: string): boolean {
    switch (lower) {
      case 'connection': this.dropped = [...this.dropped, ...nominated(value)]; break
      case 'content-type': this.eventStream = value.toLowerCase().startsWith('text/event-stream'); break
      case 'content-encoding': this.encoded ||= value.trim().toLowerCase() !== 'identity'; break
      case 'cache-control': this.cached = true; break
      case 'transfer-encoding': this.framed = true; return value.trim().toLowerCase() === 'chunked'
      case 'content-length': return this.#measure(value.trim())
      default:
    }
    return true
  }

  #measure(value: string): boolean {
    const bytes = Number(value)
    if (!/^\d{1,15}$/.test(value) || (this.length !== null && this.length !== bytes)) return false
    this.framed = true
    this.length = bytes
    return true
  }
}

/** null where the framing is broken. */
export function responseHead({ status, text, headers: raw }: AnswerHead, { via, upstream, personal, cors }: Passing): ResponseHead | null {
  const reading = new Reading()
  const headers: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const spelling = raw[i] ?? ''
    const value = raw[i + 1] ?? ''
    const name = nameOf(spelling)
    const measured = reading.length !== null
    if (name.answering && !reading.take(name.lower, value)) return null
    if (!name.answered || (cors !== null && name.ofCors) || (measured && name.lower === 'content-length')) continue
    headers.push(spelling, value)
  }
  const { framed, length, eventStream, encoded, dropped, cached } = reading
  const kept = dropped.length === 0 ? headers : without(headers, dropped)
  if (personal && !(cached && !dropped.includes('cache-control'))) kept.push('cache-control', 'private')
  kept.push('via', via.entries[upstream === 'http2' ? '2' : '1.1'])
  if (cors !== null) kept.push(...cors)
  return { status, text, headers: kept, delimitedByClose: !framed && upstream === 'http1' && status !== 204 && status !== 304, eventStream, encoded, length }
}

/** Fields of an interim answer that a caller may get: none that belongs to the final one's body, credentials or readers. */
export function interimHead({ headers: raw }: AnswerHead): readonly string[] {
  const headers: string[] = []
  const dropped: string[] = []
  for (let i = 0; i < raw.length; i += 2) {
    const spelling = raw[i] ?? ''
    const name = nameOf(spelling)
    if (name.lower === 'connection') dropped.push(...nominated(raw[i + 1] ?? ''))
    if (name.trailer) headers.push(spelling, raw[i + 1] ?? '')
  }
  return dropped.length === 0 ? headers : without(headers, dropped)
}

/** Without those in which an upstream tells what it was shown. */
export const withoutSecret = (headers: readonly string[], secret: string): string[] => headers.filter((_, i) => !`${headers[i - (i % 2)] ?? ''} ${headers[i - (i % 2) + 1] ?? ''}`.includes(secret))

const NOTHING: ReadonlySet<string> = new Set()

/** Trailers a caller may get. */
export const trailersOf = (trailers: readonly string[]): readonly string[] => endToEndTrailers(trailers, NOTHING)
