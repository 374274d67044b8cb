// A body that is read whole before its request is judged a last time, and what goes upstream in its place: the value that was judged, written anew.
// Nothing of the caller's bytes goes on, nor its framing or trailers. Asks for the body only when the headers alone were let. SPEC: INS1, RULES 7
import { Readable } from 'node:stream'
import type { Inspected } from '../../core/evaluation.ts'
import type { Reason } from '../../core/reason.ts'
import type { Rule } from '../../core/route.ts'
import { sha256 } from '../../runtime/id.ts'
import { readStrictJson, writeJson } from '../../runtime/strict-json.ts'
import type { Arrival } from '../arrival.ts'
import { nameOf } from './header-names.ts'
import type { InspectedBytes } from './inspected-bytes.ts'
import { readWhole } from './read-whole.ts'

/** A body that was read. */
export type ReadBody = {
  readonly inspected: Inspected
  /** The value, written anew: what goes upstream. */
  readonly bytes: Buffer
  /** Of the body as it came. */
  readonly size: number
}

/** The request, as far as its body is read for it. */
export interface BodyHolder {
  readonly arrival: Arrival
  readonly head: { readonly contentLength: number | null }
  /** Whose request it is; only requests of a session have their bodies read. */
  readonly live: { readonly record: { readonly key: string } } | null
  /** null before. */
  readBody: ReadBody | null
}

/** What conditions see where there is no body: an object without members. */
export const NO_BODY: Inspected = { value: new Map(), digest: null }

/** Bytes that pass one look at the gate. */
const PIECE = 65_536

const TOKEN = '[!#$%&\'*+.^_`|~0-9a-z-]+'
const JSON_TYPE = new RegExp(`^(?:application/json|${TOKEN}/${TOKEN}\\+json)$`)
const PARAMETER = new RegExp(`^(${TOKEN})=(?:(${TOKEN})|"([^"\\\\]*)")$`)

function isJsonType(value: string): boolean {
  const [type = '', ...parameters] = value.toLowerCase().split(';').map(part => part.trim())
  const charsets = parameters.map(text => PARAMETER.exec(text)).map(found => (found === null ? null : found[1] === 'charset' ? (found[2] ?? found[3] ?? '') : 'utf-8'))
  return JSON_TYPE.test(type) && charsets.every(charset => charset === 'utf-8') && parameters.filter(text => text.startsWith('charset=')).length <= 1
}

/** Is the body announced as JSON that has one reading: in UTF-8, not encoded, and whole? */
export function isAnnouncedAsJson(headers: readonly string[]): boolean {
  let types = 0
  for (let i = 0; i < headers.length; i += 2) {
    const value = headers[i + 1] ?? ''
    switch (nameOf(headers[i] ?? '').dashed) {
      case 'content-type':
        if (!isJsonType(value)) return false
        types++
        break
      case 'content-encoding':
        if (value.toLowerCase() !== 'identity') return false
        break
      case 'content-range': return false
      default:
    }
  }
  return types === 1
}

function bodyOf(bytes: Buffer): ReadBody | null {
  if (bytes.length === 0) return { inspected: NO_BODY, bytes, size: 0 }
  const value = readStrictJson(bytes)
  if (!(value instanceof Map)) return null
  const written = Buffer.from(writeJson(value))
  return { inspected: { value, digest: sha256(written) }, bytes: written, size: bytes.length }
}

function* piecesOf(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += PIECE) yield bytes.subarray(at, at + PIECE)
}

export class Inspection {
  readonly #holder: BodyHolder
  /** null where a reload took the need to read it away, when it was read already. */
  readonly #limits: Rule['inspect']
  readonly #memory: InspectedBytes

  constructor(holder: BodyHolder, limits: Rule['inspect'], memory: InspectedBytes) {
    this.#holder = holder
    this.#limits = limits
    this.#memory = memory
  }

  /** Bytes that go upstream; before it was read, bytes of the body as it is announced. */
  get length(): number | null { return this.#holder.readBody?.bytes.length ?? this.#holder.head.contentLength }

  /** What goes upstream. */
  get stream(): Readable { return Readable.from(piecesOf(this.#holder.readBody?.bytes ?? Buffer.alloc(0)), { objectMode: false }) }

  /** Why it could not be read, as far as its headers tell. */
  obstacle(): Reason | null {
    if (this.#limits === null) return null
    const { readBody, head: { contentLength }, arrival: { headers } } = this.#holder
    if ((readBody?.size ?? contentLength ?? 0) > this.#limits.maxBytes) return 'body_too_large'
    return isAnnouncedAsJson(headers) ? null : 'body_malformed'
  }

  /** Reads it, once. @returns why that failed, or null */
  async read(): Promise<Reason | null> {
    const { arrival, live } = this.#holder
    if (this.#limits === null || live === null) return 'internal_error'
    if (arrival.expectsContinue) arrival.answer.proceed()
    const bytes = await readWhole(arrival, this.#limits, this.#memory, live.record.key)
    if (typeof bytes === 'string') return bytes
    this.#holder.readBody = bodyOf(bytes)
    return this.#holder.readBody === null ? 'body_malformed' : null
  }
}
