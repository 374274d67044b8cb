// Links lines: each holds its number and the SHA-256 of the exact bytes of the line before. Never writes anything, never canonicalises.
// SPEC: AUD4
import { hash } from 'node:crypto'
import type { Instant } from '../core/time.ts'
import type { Json, Kind, Records } from './record.ts'

/** Where a chain stands: number and digest of its last line; 0 and '' before the first. */
export type Link = { readonly seq: number; readonly hash: string }

export const FRESH: Link = { seq: 0, hash: '' }

/** Base64url SHA-256 of a line without its LF. A string counts as its UTF-8 bytes. */
export const digestOf = (line: string | Uint8Array): string => hash('sha256', line, 'base64url')

export class Chain {
  #seq: number
  #hash: string
  readonly #gateway: string

  constructor(gateway: string, from: Link) {
    this.#gateway = `,"gateway":${JSON.stringify(gateway)},"kind":"`
    this.#seq = from.seq
    this.#hash = from.hash
  }

  get link(): Link {
    return { seq: this.#seq, hash: this.#hash }
  }

  /** The next line, without LF. The chain moves on only with `accept`.  */
  line<K extends Kind>(at: Instant, kind: K, fields: Records[K] | Json<K>): string {
    const text = typeof fields === 'string' ? fields : JSON.stringify(fields)
    return `{"seq":${this.#seq + 1},"prev":"${this.#hash}","at":${at}${this.#gateway}${kind}",${text.slice(1)}`
  }

  accept(line: string): void {
    this.#hash = digestOf(line)
    this.#seq++
  }

  /** Back to a link it had: lines accepted since then were never written. */
  rewind(to: Link): void {
    this.#seq = to.seq
    this.#hash = to.hash
  }
}
