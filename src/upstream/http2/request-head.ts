// A request's head and trailers as HTTP/2 fields, validated as the last line of defence: it repairs nothing, null means it is not sent.
// Connection-specific fields never get in. SPEC: WIRE16, WIRE6
import type { OutgoingHttpHeaders } from 'node:http2'
import type { UpstreamRequest } from '../handler.ts'

const METHOD = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const PATH = /^(?:\/[\x21-\x7e]*|\*)$/
const AUTHORITY = /^[0-9A-Za-z!$&'()*+,\-.:;=[\]_~%]+$/
const NAME = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/
/** One character is one byte on the wire: above ff the rest would be cut off, and what stays may be a line feed. */
const VALUE = /^[\t\x20-\x7e\x80-\xff]*$/
/** RFC 9113 §8.2.2, and what this side writes itself. */
const OURS: ReadonlySet<string> = new Set(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade', 'http2-settings', 'content-length'])
/** RFC 9110 §8.6: these say so when their content is empty. */
const SAYS_EMPTY: ReadonlySet<string> = new Set(['POST', 'PUT', 'PATCH'])
/** Of all fields in bytes, counted as RFC 9113 §6.5.2 does. */
const HEAD_MAX = 131_072
const FIELD_OVERHEAD = 32

const isSpace = (code: number): boolean => code === 32 || code === 9
const isValue = (value: string): boolean => VALUE.test(value) && (value === '' || !(isSpace(value.charCodeAt(0)) || isSpace(value.charCodeAt(value.length - 1))))

/** Appends the field unless it is the connection's own. @returns its size, -1 when it is malformed */
function append(fields: string[], given: string, value: string): number {
  const name = given.toLowerCase()
  if (!NAME.test(name) || !isValue(value) || name === 'host') return -1
  if (OURS.has(name) || (name === 'te' && value.toLowerCase() !== 'trailers')) return 0
  fields.push(name, name === 'te' ? 'trailers' : value)
  return name.length + value.length + FIELD_OVERHEAD
}

/** @returns names and values in turn, pseudo headers first; null when it must not be sent */
export function requestHead({ method, path, headers, bodyLength }: UpstreamRequest, secure: boolean): readonly string[] | null {
  const [host, authority] = headers
  if (host?.toLowerCase() !== 'host' || authority === undefined || !AUTHORITY.test(authority)) return null
  if (!METHOD.test(method) || method === 'CONNECT' || !PATH.test(path)) return null
  const fields = [':method', method, ':scheme', secure ? 'https' : 'http', ':authority', authority, ':path', path]
  let size = path.length + authority.length
  for (let i = 2; i < headers.length; i += 2) {
    const added = append(fields, headers[i] ?? '', headers[i + 1] ?? '')
    size += added
    if (added < 0 || size > HEAD_MAX) return null
  }
  if (bodyLength !== null && (bodyLength > 0 || SAYS_EMPTY.has(method))) fields.push('content-length', String(bodyLength))
  return fields
}

/** @returns null when they must not be sent */
export function requestTrailers(trailers: readonly string[]): OutgoingHttpHeaders | null {
  const fields: string[] = []
  let size = 0
  for (let i = 0; i < trailers.length; i += 2) {
    const added = append(fields, trailers[i] ?? '', trailers[i + 1] ?? '')
    size += added
    if (added < 0 || size > HEAD_MAX) return null
  }
  const grouped = new Map<string, string[]>()
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    grouped.set(name, [...(grouped.get(name) ?? []), fields[i + 1] ?? ''])
  }
  return Object.fromEntries(grouped)
}
