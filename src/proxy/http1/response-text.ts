// Heads, chunks and trailers of answers as the text that goes out: status lines and the date from a cache, each line looked at once. What would
// become two lines, or frame the body anew, is never written. SPEC: WIRE3, WIRE11, WIRE12
import { STATUS_CODES } from 'node:http'
import type { Instant } from '../../core/time.ts'
import { CONNECTION, CONTENT_LENGTH, TRANSFER_ENCODING } from '../../http1/framing-fields.ts'

const LINE = /^[!#$%&'*+\-.^_`|~\w]+: [\t\x20-\x7e\x80-\xff]*$/
/** One look at both: the first colon is the one behind the name. */
const isLine = (line: string, name: string): boolean => !name.includes(':') && LINE.test(line)
const TEXT = /^[\t\x20-\x7e\x80-\xff]*$/
const LENGTH = /^\d{1,15}$/
const DATE = 4
const SECOND = 1_000

export type Lines = {
  readonly text: string
  /** Of the one `Content-Length`; null where there is none. */
  readonly length: number | null
}

const statusLines: string[] = Array.from({ length: 600 }, (_, status) => `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\n`)

/** null where it cannot be written. @param phrase empty for the usual one */
export function statusLine(status: number, phrase: string): string | null {
  if (phrase === '' || phrase === STATUS_CODES[status]) return statusLines[status] ?? null
  return TEXT.test(phrase) && status >= 100 && status < 600 ? `HTTP/1.1 ${status} ${phrase}\r\n` : null
}

/** Of an interim answer, or of trailers; null where they cannot be written. */
export function plainLines(fields: readonly string[]): string | null {
  let text = ''
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const line = `${name}: ${fields[i + 1] ?? ''}`
    if (!isLine(line, name) || framesIt(name)) return null
    text += `${line}\r\n`
  }
  return text
}

/** Of a head, a date with them; null where they cannot be written. Framing and connection are the answer's own affair, but for a length. */
export function headLines(fields: readonly string[], now: Instant): Lines | null {
  let text = ''
  let length: number | null = null
  let dated = false
  for (let i = 0; i < fields.length; i += 2) {
    const name = fields[i] ?? ''
    const value = fields[i + 1] ?? ''
    const line = `${name}: ${value}`
    if (!isLine(line, name)) return null
    text += `${line}\r\n`
    if (name.length === DATE) dated ||= name.toLowerCase() === 'date'
    else if (framesIt(name)) {
      if (name.length !== CONTENT_LENGTH || length !== null || !LENGTH.test(value)) return null
      length = Number(value)
    }
  }
  return { text: dated ? text : text + dateLine(now), length }
}

/** `Connection`, `Content-Length`, `Transfer-Encoding`. */
function framesIt(name: string): boolean {
  switch (name.length) {
    case CONNECTION: return name.toLowerCase() === 'connection'
    case CONTENT_LENGTH: return name.toLowerCase() === 'content-length'
    case TRANSFER_ENCODING: return name.toLowerCase() === 'transfer-encoding'
    default: return false
  }
}

let second = -1
let date = ''

function dateLine(now: Instant): string {
  const current = Math.floor(now / SECOND)
  if (current !== second) {
    second = current
    date = `Date: ${new Date(now).toUTCString()}\r\n`
  }
  return date
}

/** One chunk; nothing for nothing, which would be the last. */
export const framed = (chunk: Buffer): string => (chunk.length === 0 ? '' : `${chunk.length.toString(16)}\r\n${chunk.toString('latin1')}\r\n`)
