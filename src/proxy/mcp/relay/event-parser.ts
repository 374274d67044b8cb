// An event stream of a server, read event by event (WHATWG HTML §9.2): lines end with LF, CR or both, wherever a read of the socket ends. What is read
// is what goes on, every line with LF and none that is no field: no other reader can find another message in it. What never becomes whole goes nowhere. SPEC: MCP6
import { isUtf8 } from 'node:buffer'
import { GatheredBytes } from '../../../runtime/gathered-bytes.ts'

export type ServerEvent = {
  /** As it goes on, with its empty line. */
  readonly bytes: Buffer
  /** Its lines that are not data, as they go on. */
  readonly lead: string
  /** Empty where it names none. */
  readonly type: string
  /** null where it has none, or nothing in it: a comment, an id. */
  readonly data: string | null
}

const [LF, CR, COLON, SPACE] = [10, 13, 58, 32]
const END: Buffer = Buffer.from('\n')
const BOM: Buffer = Buffer.from('\ufeff')
const NONE = -1
/** Of one event: each takes more room than it has bytes. */
const LINES_MAX = 16_384

/** Value of a line that is this field; null where it is another. */
function valueOf(line: Buffer, field: string): string | null {
  if (line.length < field.length || line.toString('latin1', 0, field.length) !== field) return null
  if (line.length === field.length) return ''
  if (line[field.length] !== COLON) return null
  return line.toString('utf8', field.length + (line[field.length + 1] === SPACE ? 2 : 1))
}

/** Comments and the fields that a stream has; what is none of them nobody reads, or somebody as something else. */
const isRead = (line: Buffer): boolean => line[0] === COLON || ['id', 'event', 'retry'].some(field => valueOf(line, field) !== null)

/** What an event is called to the caller; null where it cannot be called anything, and nobody goes on from it. */
export type EventName = (id: string) => string | null

/** As it goes on; null where it does not. */
function renamed(line: Buffer, nameOf: EventName): Buffer | null {
  const id = valueOf(line, 'id')
  if (id === null || id === '') return line
  const name = nameOf(id)
  return name === null ? null : Buffer.from(`id: ${name}`)
}

/** null where it is none of anybody's. */
function eventOf(lines: readonly Buffer[], nameOf: EventName): ServerEvent | null {
  let [lead, type] = ['', '']
  const [kept, data]: [Buffer[], string[]] = [[], []]
  for (const came of lines) {
    const line = renamed(came, nameOf)
    if (line === null) continue
    const text = valueOf(line, 'data')
    if (text !== null) data.push(text)
    else if (isRead(line)) {
      lead += `${line.toString()}\n`
      type = valueOf(line, 'event') ?? type
    } else continue
    kept.push(line, END)
  }
  const all = data.join('\n')
  return kept.length === 0 ? null : { bytes: Buffer.concat([...kept, END]), lead, type, data: all === '' ? null : all }
}

export class EventParser {
  readonly #most: number
  readonly #take: (event: ServerEvent) => void
  readonly #nameOf: EventName
  #lines: Buffer[] = []
  /** Of a line whose end has not come. */
  readonly #begun = new GatheredBytes()
  #waiting = 0
  #afterCr = false
  #first = true

  /** @param most bytes of one event */
  constructor(most: number, take: (event: ServerEvent) => void, nameOf: EventName = id => id) {
    this.#most = most
    this.#take = take
    this.#nameOf = nameOf
  }

  /** Bytes of an event that is not whole. */
  get waiting(): number { return this.#waiting }

  /** @returns false where an event is larger than it may be, has more lines, or is no UTF-8: nothing of it is taken */
  read(chunk: Buffer): boolean {
    let at = this.#afterCr && chunk[0] === LF ? 1 : 0
    if (chunk.length > 0) this.#afterCr = false
    let [lf, cr] = [chunk.indexOf(LF, at), chunk.indexOf(CR, at)]
    while (lf !== NONE || cr !== NONE) {
      const end = lf === NONE || (cr !== NONE && cr < lf) ? cr : lf
      if (!this.#line(chunk.subarray(at, end))) return false
      at = end + 1
      if (end === cr) {
        if (chunk[at] === LF) at++
        else this.#afterCr = at === chunk.length
        cr = chunk.indexOf(CR, at)
      }
      if (lf !== NONE && lf < at) lf = chunk.indexOf(LF, at)
    }
    return at === chunk.length || this.#begin(chunk.subarray(at))
  }

  #begin(rest: Buffer): boolean {
    this.#begun.add(rest)
    this.#waiting += rest.length
    return this.#waiting <= this.#most
  }

  #line(rest: Buffer): boolean {
    const line = this.#withoutMark(this.#begun.size === 0 ? rest : this.#whole(rest))
    if (line.length === 0) return this.#dispatch()
    this.#lines.push(line)
    this.#waiting += rest.length + 1
    return this.#waiting <= this.#most && this.#lines.length <= LINES_MAX && isUtf8(line)
  }

  #whole(rest: Buffer): Buffer {
    this.#begun.add(rest)
    return this.#begun.take()
  }

  /** A byte order mark is none of the stream's first line. */
  #withoutMark(line: Buffer): Buffer {
    const marked = this.#first && line.subarray(0, BOM.length).equals(BOM)
    this.#first = false
    return marked ? line.subarray(BOM.length) : line
  }

  #dispatch(): true {
    const lines = this.#lines
    this.#lines = []
    this.#waiting = 0
    const event = eventOf(lines, this.#nameOf)
    if (event !== null) this.#take(event)
    return true
  }
}
