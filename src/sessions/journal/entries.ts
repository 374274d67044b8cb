// What stands in the journal: its lines, and what they come to. Owed news stays until it is paid, however old; said news 14 minutes.
// Knows no file; never gives up what is owed. SPEC: STO7, STO19
import { ANCHOR_KINDS } from '../../core/anchor.ts'
import { type RecordRef, refName } from '../../core/record.ts'
import type { Session } from '../../core/session.ts'
import { isRestrictive, type Signal, type SignalKind } from '../../core/signal.ts'
import { duration, type Instant } from '../../core/time.ts'

/** Restrictive news of this gateway, and since when it is in force. */
export type Journaled = {
  readonly ref: RecordRef
  readonly news: Signal
  readonly at: Instant
  /** The session it ends, as it was known: its opening may be lost as well. null for anything else. */
  readonly record: Session | null
}

/** `text` ends with LF. `at` of `paid` is when the store took it. */
export type Line = { readonly is: 'said' | 'owed' | 'paid'; readonly operation: string; readonly at: Instant; readonly text: string }

/** `since` counts the 14 minutes. */
type Kept = { readonly text: string; readonly bytes: number; readonly since: Instant }

export const ENTRIES_MAX = 100_000
export const ENTRY_BYTES_MAX = 64 * 1024 * 1024
/** Less than a store remembers an operation, so that saying one again never does it twice. */
const SAID_KEPT = duration(14 * 60_000)
const REF_KINDS: ReadonlySet<unknown> = new Set<RecordRef['kind']>(['session', 'lock', ...ANCHOR_KINDS])

type Fields = { readonly [name: string]: unknown }

function fieldsOf(text: string): Fields {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? value as Fields : {} // any object has fields of unknown type
  } catch {
    return {}
  }
}

const isFields = (value: unknown): value is Fields => typeof value === 'object' && value !== null
const isRef = (value: unknown): value is RecordRef => isFields(value) && REF_KINDS.has(value['kind']) && typeof value['name'] === 'string'
/** Kind and id; the rest of it is what this file was given. */
const isNews = (value: unknown): value is Signal =>
  isFields(value) && typeof value['id'] === 'string' && typeof value['kind'] === 'string' && isRestrictive(value['kind'] as SignalKind) // false for any other word

/** null when it is no line of a journal. @param text without LF */
export function readLine(text: string): Line | null {
  const { is, at, operation, ref, news } = fieldsOf(text)
  if (typeof at !== 'number') return null
  const common = { at: at as Instant, text: `${text}\n` } // written from an instant
  if (is === 'paid') return typeof operation === 'string' ? { is, operation, ...common } : null
  if ((is !== 'said' && is !== 'owed') || !isRef(ref) || !isNews(news)) return null
  return { is, operation: `${news.id}:${refName(ref)}`, ...common }
}

/** @throws TypeError for what could not be read again */
export function lineOf({ ref, news, at, record }: Journaled, owed: boolean): Line {
  const line = readLine(JSON.stringify({ is: owed ? 'owed' : 'said', at, ref, news, ...(record === null ? {} : { record }) }))
  if (line === null) throw new TypeError(`the journal takes restrictive news with an id and an instant, not ${news.kind} at ${at}`)
  return line
}

export const paidLine = (operation: string, at: Instant): Line => ({ is: 'paid', operation, at, text: `${JSON.stringify({ is: 'paid', operation, at })}\n` })

const entryOf = ({ text }: Kept): Journaled => {
  const { ref, news, at, record = null } = JSON.parse(text.slice(0, text.indexOf('\n'))) as Omit<Journaled, 'record'> & { readonly record?: Session } // its first line was read once already
  return { ref, news, at, record }
}

export class Entries {
  readonly #owed = new Map<string, Kept>()
  readonly #said = new Map<string, Kept>()
  #owedBytes = 0
  #saidBytes = 0
  #forgotten = 0

  /** In the order in which they came to be owed. */
  get owed(): readonly Journaled[] {
    return [...this.#owed.values()].map(entryOf)
  }

  /** What was said, or paid, in the last 14 minutes. */
  recent(now: Instant): readonly Journaled[] {
    return [...this.#said.values()].filter(({ since }) => since > now - SAID_KEPT).map(entryOf)
  }

  get bytes(): number {
    return this.#owedBytes + this.#saidBytes
  }

  /** Said ones given up before their time, for room. */
  get forgotten(): number {
    return this.#forgotten
  }

  owes(operation: string): boolean {
    return this.#owed.has(operation)
  }

  /** Is there room beside what is owed? */
  hasRoom(entries: number, bytes: number): boolean {
    return this.#owed.size + entries <= ENTRIES_MAX && this.#owedBytes + bytes <= ENTRY_BYTES_MAX
  }

  apply({ is, operation, at, text }: Line): void {
    const owed = this.#owed.get(operation)
    if (is === 'paid') {
      if (owed === undefined) return
      this.#drop(operation)
      this.#say(operation, `${owed.text}${text}`, at) // a store that loses it hears of it again
      return
    }
    if (owed !== undefined || (is === 'said' && this.#said.has(operation))) return // counted from the first time: the store may have it since then
    this.#drop(operation)
    if (is === 'said') this.#say(operation, text, at)
    else this.#owe(operation, text, at)
  }

  /** Lets go of what was said too long ago, and of the oldest that was said where there are too many. */
  forget(now: Instant): void {
    for (const [operation, { since }] of this.#said) {
      const tooMany = this.#owed.size + this.#said.size > ENTRIES_MAX || this.bytes > ENTRY_BYTES_MAX
      if (since > now - SAID_KEPT && !tooMany) return
      if (since > now - SAID_KEPT) this.#forgotten++
      this.#drop(operation)
    }
  }

  /** Everything that stands, as lines; reading them again gives the same. */
  * texts(): Iterable<string> {
    for (const { text } of this.#owed.values()) yield text
    for (const { text } of this.#said.values()) yield text
  }

  #owe(operation: string, text: string, since: Instant): void {
    const bytes = Buffer.byteLength(text)
    this.#owed.set(operation, { text, bytes, since })
    this.#owedBytes += bytes
  }

  #say(operation: string, text: string, since: Instant): void {
    const bytes = Buffer.byteLength(text)
    this.#said.set(operation, { text, bytes, since })
    this.#saidBytes += bytes
  }

  #drop(operation: string): void {
    this.#owedBytes -= this.#owed.get(operation)?.bytes ?? 0
    this.#saidBytes -= this.#said.get(operation)?.bytes ?? 0
    this.#owed.delete(operation)
    this.#said.delete(operation)
  }
}
