// An upstream's response head as the caller gets it: hop-by-hop fields and the gateway's own names removed, the rest as it came. SPEC: WIRE6, WIRE11
import { isTrailerAllowed, RESPONSE_HOP_BY_HOP } from './header-names.ts'

type Raw = readonly (Buffer | string)[]
const text = (value: Buffer | string | undefined): string => (value === undefined ? '' : typeof value === 'string' ? value : value.toString('latin1'))

function nominated(raw: Raw): ReadonlySet<string> | null {
  let names: Set<string> | null = null
  for (let i = 0; i < raw.length; i += 2) {
    if (text(raw[i]).toLowerCase() !== 'connection') continue
    names ??= new Set()
    for (const token of text(raw[i + 1]).split(',')) names.add(token.trim().toLowerCase())
  }
  return names
}

export function responseHead(rawHeaders: unknown, status: number, statusText: string): { status: number; text: string; headers: string[]; delimitedByClose: boolean } {
  const raw = (Array.isArray(rawHeaders) ? rawHeaders : []) as Raw // undici: names and values in turn, as Buffers
  const dropped = nominated(raw)
  const headers: string[] = []
  let framed = status === 204 || status === 304
  for (let i = 0; i < raw.length; i += 2) {
    const name = text(raw[i])
    const lower = name.toLowerCase()
    if (lower === 'content-length' || lower === 'transfer-encoding') framed = true
    if (RESPONSE_HOP_BY_HOP.has(lower) || lower.startsWith('narrowgate-') || dropped?.has(lower) === true) continue
    headers.push(name, text(raw[i + 1]))
  }
  return { status, text: statusText, headers, delimitedByClose: !framed }
}

/** Trailers a caller may get. */
export function trailersOf(trailers: unknown): { [name: string]: string } {
  const kept: { [name: string]: string } = {}
  if (trailers === null || typeof trailers !== 'object') return kept
  for (const [name, value] of Object.entries(trailers)) {
    if (!isTrailerAllowed(name.toLowerCase())) continue
    if (typeof value === 'string') kept[name] = value
    else if (Array.isArray(value)) kept[name] = value.join(', ')
  }
  return kept
}
