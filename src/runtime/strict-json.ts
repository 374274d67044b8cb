// JSON read so that no two parsers can disagree on what it says: refused are members named twice in any spelling, case or form, numbers that lose digits,
// lone surrogates, a byte order mark, whatever JSON does not know, and deep nesting. Objects become Maps: no name of theirs means anything to JavaScript. SPEC: INS1
const DEPTH_MAX = 64
/** No double needs more to be written exactly enough; longer ones are work without a use. */
const NUMBER_MAX = 64
const [QUOTE, COMMA, COLON, OPEN_ARRAY, CLOSE_ARRAY, OPEN_OBJECT, CLOSE_OBJECT] = [34, 44, 58, 91, 93, 123, 125]
const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const PARTS = /^-?(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d{1,6}))?$/
/** With at most fifteen digits: every double keeps those. */
const SHORT = /^-?[\d.]{1,15}$/
/** Names that are their own fold. */
const PLAIN = /^[a-z0-9_.:-]*$/
const ASCII = /^[\0-\x7f]*$/
/** What makes a string more than the text between its quotes. */
const SPECIAL = /\\|[^ -\uffff]/
const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

class Misread extends Error {}

/** One form of each decimal: its digits without outer zeros, and its exponent. */
function decimalOf(text: string): string {
  const [, whole = '', part = '', exponent = '0'] = PARTS.exec(text) ?? []
  const digits = `${whole}${part}`.replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  return significant === '' ? '0' : `${significant}e${Number(exponent) - part.length + digits.length - significant.length}`
}

/** As a parser knows it that ignores case, width or composition. */
export const folded = (name: string): string => (ASCII.test(name) ? name.toLowerCase() : name.normalize('NFKC').toUpperCase().toLowerCase().normalize('NFKC'))

class Reading {
  readonly #text: string
  #at = 0
  #depth = 0

  constructor(text: string) {
    this.#text = text
  }

  whole(): unknown {
    const value = this.#value()
    this.#space()
    if (this.#at !== this.#text.length) throw new Misread()
    return value
  }

  #value(): unknown {
    this.#space()
    switch (this.#text.charCodeAt(this.#at)) {
      case OPEN_OBJECT: return this.#object()
      case OPEN_ARRAY: return this.#array()
      case QUOTE: return this.#string()
      case 116: return this.#word('true', true)
      case 102: return this.#word('false', false)
      case 110: return this.#word('null', null)
      default: return this.#number()
    }
  }

  #object(): unknown {
    const object = new Map<string, unknown>()
    /** As others may know its names; null while they know them all as they are. */
    let folds: Set<string> | null = null
    this.#enter()
    if (!this.#passes(CLOSE_OBJECT)) {
      do {
        this.#space()
        const name = this.#string()
        if (folds === null && !PLAIN.test(name)) folds = new Set(object.keys())
        if (folds === null ? object.has(name) : folds.size === folds.add(folded(name)).size) throw new Misread()
        if (!this.#passes(COLON)) throw new Misread()
        object.set(name, this.#value())
      } while (this.#passes(COMMA))
      if (!this.#passes(CLOSE_OBJECT)) throw new Misread()
    }
    this.#depth--
    return object
  }

  #array(): unknown {
    const array: unknown[] = []
    this.#enter()
    if (!this.#passes(CLOSE_ARRAY)) {
      do array.push(this.#value())
      while (this.#passes(COMMA))
      if (!this.#passes(CLOSE_ARRAY)) throw new Misread()
    }
    this.#depth--
    return array
  }

  #enter(): void {
    if (++this.#depth > DEPTH_MAX) throw new Misread()
    this.#at++
  }

  #string(): string {
    const from = this.#at
    const end = this.#text.charCodeAt(from) === QUOTE ? this.#text.indexOf('"', from + 1) : -1
    if (end < 0) throw new Misread()
    const plain = this.#text.slice(from + 1, end)
    if (SPECIAL.test(plain)) return this.#escaped(from)
    this.#at = end + 1
    return plain
  }

  #escaped(from: number): string {
    let end = from + 1
    for (let char = this.#text[end]; char !== '"'; char = this.#text[end]) {
      if (char === undefined) throw new Misread()
      end += char === '\\' ? 2 : 1
    }
    this.#at = end + 1
    const text: unknown = JSON.parse(this.#text.slice(from, end + 1))
    if (typeof text !== 'string' || !text.isWellFormed()) throw new Misread()
    return text
  }

  #number(): number {
    NUMBER.lastIndex = this.#at
    const text = NUMBER.test(this.#text) ? this.#text.slice(this.#at, NUMBER.lastIndex) : ''
    const value = Number(text)
    if (text === '' || text.length > NUMBER_MAX || !Number.isFinite(value) || Object.is(value, -0)) throw new Misread()
    if (!SHORT.test(text) && decimalOf(text) !== decimalOf(String(value))) throw new Misread()
    this.#at += text.length
    return value
  }

  #word<T>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) throw new Misread()
    this.#at += word.length
    return value
  }

  #passes(code: number): boolean {
    this.#space()
    if (this.#text.charCodeAt(this.#at) !== code) return false
    this.#at++
    return true
  }

  #space(): void {
    for (let code = this.#text.charCodeAt(this.#at); code === 32 || code === 10 || code === 13 || code === 9; code = this.#text.charCodeAt(this.#at)) this.#at++
  }
}

/** What was read, as JSON in its shortest form, members in their order. */
export function writeJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(writeJson).join()}]`
  return value instanceof Map ? `{${[...value].map(([name, of]) => `${JSON.stringify(name)}:${writeJson(of)}`).join()}}` : JSON.stringify(value)
}

/** @returns undefined, which no JSON says, where the bytes have no one reading */
export function readStrictJson(bytes: Uint8Array): unknown {
  try {
    return new Reading(UTF8.decode(bytes)).whole()
  } catch {
    return undefined // a SyntaxError of JSON.parse, a TypeError of the decoder, or our own: there is nothing else it could be
  }
}
