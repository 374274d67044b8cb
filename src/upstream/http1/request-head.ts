// The head a request is written with, or none: the last line of defence against a field that would become two, or frame the body anew.
// Framing and connection fields are made here and nowhere else. SPEC: WIRE6, WIRE12
import type { UpstreamRequest } from '../handler.ts'

const TOKEN = /^[!#$%&'*+\-.^_`|~\w]+$/
const TARGET = /^[!-~]+$/
/** Made here, or never sent. */
const OURS: ReadonlySet<string> = new Set(['host', 'connection', 'keep-alive', 'proxy-connection', 'upgrade', 'content-length', 'transfer-encoding'])
/** Their lengths, and that of `te`: other names need no closer look. */
const NOTABLE = Uint8Array.from({ length: 18 }, (_, length) => (length === 2 || [...OURS].some(name => name.length === length) ? 1 : 0))
/** Without a body these say nothing about its length (RFC 9110 §8.6). */
const BODILESS: ReadonlySet<string> = new Set(['GET', 'HEAD', 'DELETE', 'OPTIONS', 'TRACE'])

/** Anything above 255 is out too: written as latin-1, it may become a line end. */
const LINE = /^[!#$%&'*+\-.^_`|~\w]+: [\t\x20-\x7e\x80-\xff]*$/
/** One look at both: the first colon is the one behind the name. */
const isLine = (line: string, name: string): boolean => !name.includes(':') && LINE.test(line)

function framing(method: string, bodyLength: number | null): string {
  if (bodyLength === null) return 'transfer-encoding: chunked\r\n\r\n'
  return bodyLength === 0 && BODILESS.has(method) ? '\r\n' : `content-length: ${bodyLength}\r\n\r\n`
}

/** Up to and with the empty line; null when it must not be written. */
export function requestHead({ method, path, headers, bodyLength }: UpstreamRequest): string | null {
  if (!TOKEN.test(method) || method === 'CONNECT' || !TARGET.test(path) || headers.length % 2 === 1 || headers[0]?.toLowerCase() !== 'host') return null
  if (bodyLength !== null && !(Number.isSafeInteger(bodyLength) && bodyLength >= 0)) return null
  let head = `${method} ${path} HTTP/1.1\r\n`
  let nominated = ''
  for (let i = 0; i < headers.length; i += 2) {
    const name = headers[i] ?? ''
    const value = headers[i + 1] ?? ''
    const line = `${name}: ${value}`
    if (!isLine(line, name)) return null
    if (i > 0 && NOTABLE[name.length] === 1) {
      const lower = name.toLowerCase()
      if (OURS.has(lower)) return null
      if (lower === 'te') nominated = 'connection: te\r\n'
    }
    head += `${line}\r\n`
  }
  return head + nominated + framing(method, bodyLength)
}

/** The last chunk with the trailers; null when they must not be written. */
export function lastChunk(trailers: readonly string[]): string | null {
  if (trailers.length === 0) return '0\r\n\r\n'
  let text = '0\r\n'
  for (let i = 0; i < trailers.length; i += 2) {
    const name = trailers[i] ?? ''
    const line = `${name}: ${trailers[i + 1] ?? '\n'}`
    if (!isLine(line, name) || OURS.has(name.toLowerCase())) return null
    text += `${line}\r\n`
  }
  return `${text}\r\n`
}
