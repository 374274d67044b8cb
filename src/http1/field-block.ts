// A request or status line and fields, or trailer fields alone, up to their empty line: read as they come, each octet looked at once, and refused
// at the first one that has no place there. Strict: CRLF only, no folding, no space before a colon. It gives the fields no meaning. SPEC: WIRE3, WIRE12
import { CR, DIGIT, LF, TEXT, TOKEN, VISIBLE } from './octets.ts'

export type BlockLimits = { readonly bytes: number; readonly fields: number }

/** The octets do not form a message. */
export const BAD = -1

const VERSION = Buffer.from('HTTP/1.')
const VERSION_LENGTH = VERSION.length + 1
/** Octets of a status line in front of its reason phrase: `HTTP/1.1 200 `. */
const STATUS_LENGTH = 13
const [TAB, SPACE, COLON, ZERO] = [9, 32, 58, 48]
/** Marks kept for each field: where its name begins and ends, where its value begins and its line ends. */
const MARKS = 4

/** What stands in front of the fields. */
type FirstLine = 'request' | 'status' | 'none'
type State = 'method' | 'target' | 'version' | 'status' | 'reason' | 'line end' | 'field' | 'name' | 'before value' | 'value' | 'block end' | 'whole'

const BEGINNINGS: { readonly [line in FirstLine]: State } = { request: 'method', status: 'status', none: 'field' }

/** Of `HTTP/1.0` and `HTTP/1.1`. */
const inVersion = (octet: number, place: number): boolean => (place < VERSION.length ? octet === VERSION[place] : octet === ZERO || octet === ZERO + 1)

const inStatus = (octet: number, place: number): boolean => {
  if (place < VERSION_LENGTH) return inVersion(octet, place)
  return place === 8 || place === 12 ? octet === SPACE : DIGIT[octet] === 1
}

export class FieldBlock {
  /** It was refused for its size or the number of its fields. */
  overflowed = false
  readonly #limits: BlockLimits
  readonly #beginning: State
  readonly #marks: number[] = []
  #state: State
  #text = ''
  #fields = 0
  /** Where the target and the version begin. */
  #targetAt = 0
  #versionAt = 0
  /** Octets of this block that were read before the chunk at hand, and its place of that chunk's first octet. */
  #length = 0
  #origin = 0
  #kept: Buffer | null = null

  constructor(limits: BlockLimits, line: FirstLine) {
    this.#limits = limits
    this.#beginning = BEGINNINGS[line]
    this.#state = this.#beginning
  }

  get whole(): boolean { return this.#state === 'whole' }
  /** The second digit of the version. */
  get minor(): number { return this.#text.charCodeAt(this.#versionAt + VERSION.length) - ZERO }
  get method(): string { return this.#text.slice(0, this.#targetAt - 1) }
  get target(): string { return this.#text.slice(this.#targetAt, this.#versionAt - 1) }
  get status(): number { return Number(this.#text.slice(9, 12)) }
  get reason(): string { return this.#text.slice(STATUS_LENGTH, this.#text.indexOf('\r')) }

  begin(): void {
    this.#state = this.#beginning
    this.overflowed = false
    this.#fields = this.#length = this.#origin = 0
    this.#kept = null
    this.#text = ''
  }

  /** @returns where it stopped: behind the block when that is `whole`, at the chunk's end when more must come; or BAD */
  read(chunk: Buffer, from: number): number {
    const room = Math.min(chunk.length, from + this.#limits.bytes - this.#length)
    this.#origin = this.#length - from
    let at = from
    while (at < room && at !== BAD && this.#state !== 'whole') at = this.#step(chunk, at, room)
    if (at === BAD) return BAD
    if (this.#state !== 'whole' && room < chunk.length) return this.#overflow()
    if (this.#state !== 'whole' || this.#kept !== null) this.#keep(chunk, from, at)
    if (this.#state === 'whole') this.#text = this.#kept === null ? chunk.toString('latin1', from, at) : this.#kept.toString('latin1', 0, this.#length)
    return at
  }

  /** Names and values in turn, as they came. */
  fields(): string[] {
    const [text, marks] = [this.#text, this.#marks]
    const fields: string[] = []
    for (let i = 0; i < this.#fields * MARKS; i += MARKS) {
      const from = marks[i + 2] ?? 0
      let to = marks[i + 3] ?? 0
      while (to > from && (text.charCodeAt(to - 1) === SPACE || text.charCodeAt(to - 1) === TAB)) to--
      fields.push(text.slice(marks[i], marks[i + 1]), text.slice(from, to))
    }
    return fields
  }

  /** Is the value of this field followed by a tab? Not everybody takes that for nothing. */
  endsInTab(field: number): boolean { return this.#text.charCodeAt((this.#marks[field * MARKS + 3] ?? 0) - 1) === TAB }

  #step(chunk: Buffer, at: number, end: number): number {
    switch (this.#state) {
      case 'method': return this.#readMethod(chunk, at, end)
      case 'target': return this.#readTarget(chunk, at, end)
      case 'version': return this.#readVersion(chunk, at, end)
      case 'status': return this.#readStatus(chunk, at, end)
      case 'reason': return this.#readText(chunk, at, end)
      case 'line end': return this.#readEnd(chunk[at], at, 'field')
      case 'field': return this.#beginField(chunk[at] ?? 0, at)
      case 'name': return this.#readName(chunk, at, end)
      case 'before value': return this.#skipSpace(chunk, at, end)
      case 'value': return this.#readText(chunk, at, end)
      case 'block end': return this.#readEnd(chunk[at], at, 'whole')
      case 'whole': return at
    }
  }

  #overflow(): number {
    this.overflowed = true
    return BAD
  }

  #readMethod(chunk: Buffer, from: number, end: number): number {
    let at = from
    while (at < end && TOKEN[chunk[at] ?? 0] === 1) at++
    if (at === end) return at
    if (chunk[at] !== SPACE || at + this.#origin === 0) return BAD
    this.#targetAt = at + 1 + this.#origin
    this.#state = 'target'
    return at + 1
  }

  #readTarget(chunk: Buffer, from: number, end: number): number {
    let at = from
    while (at < end && VISIBLE[chunk[at] ?? 0] === 1) at++
    if (at === end) return at
    if (chunk[at] !== SPACE || at + this.#origin === this.#targetAt) return BAD
    this.#versionAt = at + 1 + this.#origin
    this.#state = 'version'
    return at + 1
  }

  #readVersion(chunk: Buffer, from: number, end: number): number {
    const start = this.#versionAt - this.#origin
    const last = Math.min(end, start + VERSION_LENGTH)
    for (let at = from; at < last; at++) if (!inVersion(chunk[at] ?? 0, at - start)) return BAD
    if (last === end) return last
    if (chunk[last] !== CR) return BAD
    this.#state = 'line end'
    return last + 1
  }

  #readStatus(chunk: Buffer, from: number, end: number): number {
    const last = Math.min(end, STATUS_LENGTH - this.#origin)
    for (let at = from; at < last; at++) if (!inStatus(chunk[at] ?? 0, at + this.#origin)) return BAD
    if (last + this.#origin === STATUS_LENGTH) this.#state = 'reason'
    return last
  }

  /** A reason phrase or a value, up to its CR. */
  #readText(chunk: Buffer, from: number, end: number): number {
    let at = from
    while (at < end && TEXT[chunk[at] ?? 0] === 1) at++
    if (at === end) return at
    if (chunk[at] !== CR) return BAD
    if (this.#state === 'value') this.#marks[this.#fields++ * MARKS + 3] = at + this.#origin
    this.#state = 'line end'
    return at + 1
  }

  #readEnd(octet: number | undefined, at: number, next: State): number {
    if (octet !== LF) return BAD
    this.#state = next
    return at + 1
  }

  #beginField(octet: number, at: number): number {
    if (octet === CR) {
      this.#state = 'block end'
      return at + 1
    }
    if (TOKEN[octet] !== 1) return BAD
    if (this.#fields === this.#limits.fields) return this.#overflow()
    this.#marks[this.#fields * MARKS] = at + this.#origin
    this.#state = 'name'
    return at + 1
  }

  #readName(chunk: Buffer, from: number, end: number): number {
    let at = from
    while (at < end && TOKEN[chunk[at] ?? 0] === 1) at++
    if (at === end) return at
    if (chunk[at] !== COLON) return BAD
    this.#marks[this.#fields * MARKS + 1] = at + this.#origin
    this.#state = 'before value'
    return at + 1
  }

  #skipSpace(chunk: Buffer, from: number, end: number): number {
    let at = from
    while (at < end && (chunk[at] === SPACE || chunk[at] === TAB)) at++
    if (at === end) return at
    this.#marks[this.#fields * MARKS + 2] = at + this.#origin
    this.#state = 'value'
    return at
  }

  /** Keeps what came of a block that is not in one piece; grows by doubling, so that one octet at a time costs no more. */
  #keep(chunk: Buffer, from: number, to: number): void {
    const length = this.#length + to - from
    if (this.#kept === null || this.#kept.length < length) {
      const grown = Buffer.allocUnsafe(Math.max(1024, 2 * length))
      this.#kept?.copy(grown, 0, 0, this.#length)
      this.#kept = grown
    }
    chunk.copy(this.#kept, this.#length, from, to)
    this.#length = length
  }
}
