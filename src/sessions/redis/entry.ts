// What is written in Redis, as text: references, log entries, stored records, places in the index, MACs. Every text that does not parse is a
// damaged or foreign store, never a guess. SPEC: STO14, STO18
import type { Selector } from '../../core/anchor.ts'
import { type RecordRef, refName, type StoredRecord } from '../../core/record.ts'
import { type Instant, instant } from '../../core/time.ts'
import { hmac, sha256 } from '../../runtime/id.ts'
import { StoreFault } from '../store-fault.ts'
import { sessionOf, sessionText } from './session-text.ts'
import { inPresentForm } from '../present-form.ts'

const SEPARATOR = '\x1f'

/** A place in the log: `<epoch>-<sequence>` is unique within one history only, with its nonce in all of them. */
export type Point = { readonly id: string; readonly nonce: string }

export type Entry = Point & {
  readonly epoch: string
  /** Contiguous over the shard's whole life. */
  readonly sequence: number
  /** Nonce of the entry before: the link of the chain. */
  readonly previous: string
  /** Time of the store when it was written. */
  readonly at: Instant
  /** Somebody waits for its acknowledgement. */
  readonly awaited: boolean
  /** null for the entry that opens an epoch. */
  readonly ref: RecordRef | null
  readonly version: string
  readonly mac: string
  readonly body: string
  readonly facts: string
  /** The signal, where it is to be said again if it is lost; else empty. */
  readonly news: string
}

const damaged = (what: string): StoreFault => new StoreFault('corrupt', `${what} in Redis is not what this version writes: another program writes under this prefix, or the data is damaged`)

/** `kind/name` with the name's control characters escaped, so that it can stand between separators. */
export const refText = ({ kind, name }: RecordRef): string => `${kind}/${JSON.stringify(name).slice(1, -1)}`

function unescaped(text: string): unknown {
  try {
    return JSON.parse(`"${text}"`)
  } catch {
    return null
  }
}

export function refOf(text: string): RecordRef {
  const slash = text.indexOf('/')
  const name = slash < 1 ? null : unescaped(text.slice(slash + 1))
  if (typeof name !== 'string') throw damaged('a reference')
  return { kind: text.slice(0, slash) as RecordRef['kind'], name } // written by refText
}

export const sequenceOf = (id: string): number => Number(id.slice(id.indexOf('-') + 1))
export const epochOfId = (id: string): string => id.slice(0, id.indexOf('-'))

export function entryOf(text: string): Entry {
  const [id, nonce, previous, at, flags, ref, version, mac, body, facts, news, ...more] = text.split(SEPARATOR)
  if (id === undefined || nonce === undefined || previous === undefined || ref === undefined || version === undefined || mac === undefined || body === undefined || facts === undefined || news === undefined || more.length > 0) throw damaged('a log entry')
  const sequence = sequenceOf(id)
  if (!Number.isSafeInteger(sequence)) throw damaged('the id of a log entry')
  return { id, nonce, previous, at: instant(Number(at)), awaited: flags === 'a', ref: ref === '' ? null : refOf(ref), version, mac, body, facts, news, epoch: epochOfId(id), sequence }
}

export type Kept = { readonly seen: Instant | null; readonly version: string; readonly mac: string; readonly body: string }

/** A stored record's text; null for an absent one. */
export function keptOf(text: string): Kept | null {
  if (text === '') return null
  const [seen, version, , mac, body, ...more] = text.split(SEPARATOR)
  if (seen === undefined || version === undefined || mac === undefined || body === undefined || more.length > 0) throw damaged('a record')
  return { seen: Number(seen) === 0 ? null : instant(Number(seen)), version, mac, body }
}

/** A record as a page of a list gives it: its reference, then its text. */
export function listedOf(text: string): { readonly ref: RecordRef; readonly kept: Kept } {
  const at = text.indexOf(SEPARATOR)
  const kept = at < 0 ? null : keptOf(text.slice(at + 1))
  if (kept === null) throw damaged('a listed record')
  return { ref: refOf(text.slice(0, at)), kept }
}

/** What lies under a record's reference. @throws TypeError for what is not JSON */
export const bodyOf = (record: StoredRecord): string => (record.record === 'session' ? sessionText(record) : JSON.stringify(record))

export function recordOf({ kind, name }: RecordRef, body: string): StoredRecord {
  const written: unknown = JSON.parse(body)
  return inPresentForm(kind === 'session' && Array.isArray(written) ? sessionOf(name, written) : (written as StoredRecord)) // written by commit, and under a MAC where a key is set
}

/** 72 bits of a digest: to meet another's by chance or by design is out of reach, and what is found is checked by its reader. */
const place = (text: string): string => sha256(text).slice(0, 12)
export const placeOfSelector = ({ kind, value }: Selector): string => place(`${kind}:${value}`)
export const placeOfTie = (ref: RecordRef): string => place(`tie:${refName(ref)}`)

/** Keys of the MAC: the first signs, each of them verifies. Without keys everything passes. SPEC: RULES 29 */
export class Seal {
  readonly #keys: readonly Uint8Array[]

  constructor(keys: readonly Uint8Array[]) {
    this.#keys = keys
  }

  /** Two parts: the record alone, and the record with what its commit told. */
  sign(dataSet: string, ref: string, version: string, body: string, told: string): string {
    const [key] = this.#keys
    return key === undefined ? '' : `${recordMac(key, dataSet, ref, version, body)}.${toldMac(key, dataSet, ref, version, body, told)}`
  }

  /** @throws StoreFault `forged` */
  checkRecord(dataSet: string, ref: string, { version, mac, body }: Kept): void {
    if (!this.#holds(mac.split('.')[0], key => recordMac(key, dataSet, ref, version, body))) throw forged(ref)
  }

  /** @throws StoreFault `forged` */
  checkEntry(dataSet: string, ref: string, entry: Entry): void {
    if (!this.isOn(dataSet, ref, entry)) throw forged(ref)
  }

  isOn(dataSet: string, ref: string, { version, mac, body, facts, news }: Entry): boolean {
    return this.#holds(mac.split('.')[1], key => toldMac(key, dataSet, ref, version, body, facts + SEPARATOR + news))
  }

  #holds(mac: string | undefined, made: (key: Uint8Array) => string): boolean { return this.#keys.length === 0 || this.#keys.some(key => made(key) === mac) }
}

const forged = (ref: string): StoreFault => new StoreFault('forged', `${ref} in Redis does not carry the MAC of this gateway's key: somebody else wrote it, or the key was changed without keeping the old one beside it`)
export const toldOf = (facts: string, news: string): string => facts + SEPARATOR + news
const recordMac = (key: Uint8Array, ...parts: readonly string[]): string => hmac(key, ['record', ...parts].join(SEPARATOR))
const toldMac = (key: Uint8Array, ...parts: readonly string[]): string => hmac(key, ['told', ...parts].join(SEPARATOR))
