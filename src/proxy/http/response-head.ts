// An upstream's response head as the caller gets it: hop-by-hop fields and the gateway's own names removed, the rest as it came. SPEC: WIRE6, WIRE11
import { isTrailerAllowed, RESPONSE_HOP_BY_HOP } from './header-names.ts'

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

type Raw = readonly (Buffer | string)[]
const text = (value: Buffer | string | undefined): string => (value === undefined ? '' : typeof value === 'string' ? value : value.toString('latin1'))

/** Names that a `Connection` value takes away, beyond what is taken away anyway. */
function nominated(value: string): readonly string[] {
  const lower = value.toLowerCase()
  return lower === 'keep-alive' || lower === 'close' ? [] : lower.split(',').map(token => token.trim())
}

function without(headers: readonly string[], names: readonly string[]): string[] {
  return headers.filter((_, i) => !names.includes((headers[i - (i % 2)] ?? '').toLowerCase()))
}

/** null where the framing holds a transfer coding other than chunked: the body would be relayed in a coding nobody is told of (RFC 9112 §6.1). */
export function responseHead(rawHeaders: unknown, status: number, statusText: string): ResponseHead | null {
  const raw = (Array.isArray(rawHeaders) ? rawHeaders : []) as Raw // undici: names and values in turn, as Buffers
  const headers: string[] = []
  const dropped: string[] = []
  let framed = status === 204 || status === 304
  let eventStream = false
  let encoded = false
  let length: number | null = null
  for (let i = 0; i < raw.length; i += 2) {
    const name = text(raw[i])
    const lower = name.toLowerCase()
    const value = text(raw[i + 1])
    if (lower === 'connection') dropped.push(...nominated(value))
    if (lower === 'transfer-encoding' && value.trim().toLowerCase() !== 'chunked') return null
    if (lower === 'content-length' || lower === 'transfer-encoding') framed = true
    if (lower === 'content-length') length = Number(value)
    if (lower === 'content-type') eventStream = value.toLowerCase().startsWith('text/event-stream')
    if (lower === 'content-encoding' && value.trim().toLowerCase() !== 'identity') encoded = true
    if (RESPONSE_HOP_BY_HOP.has(lower) || lower.startsWith('narrowgate-')) continue
    headers.push(name, value)
  }
  return { status, text: statusText, headers: dropped.length === 0 ? headers : without(headers, dropped), delimitedByClose: !framed, eventStream, encoded, length }
}

const NO_TRAILERS: { [name: string]: string } = {}

/** Trailers a caller may get. */
export function trailersOf(trailers: unknown): { [name: string]: string } {
  if (trailers === null || typeof trailers !== 'object') return NO_TRAILERS
  const entries = Object.entries(trailers)
  if (entries.length === 0) return NO_TRAILERS
  const kept: { [name: string]: string } = {}
  for (const [name, value] of entries) {
    if (!isTrailerAllowed(name.toLowerCase())) continue
    if (typeof value === 'string') kept[name] = value
    else if (Array.isArray(value)) kept[name] = value.join(', ')
  }
  return kept
}
