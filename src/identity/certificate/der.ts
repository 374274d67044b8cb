// DER, as strictly as certificates need it (X.690 §10): definite lengths in their shortest form, low tags, nothing left over. A reader throws
// `NotDer` at the first doubt; whoever starts to read catches it. SPEC: SES1

export const TAG = {
  boolean: 0x01, integer: 0x02, bits: 0x03, octets: 0x04, oid: 0x06, utf8: 0x0c, printable: 0x13, ia5: 0x16, utcTime: 0x17, generalizedTime: 0x18, sequence: 0x30, set: 0x31,
  /** Context-specific and constructed. */
  explicit: (number: number): number => 0xa0 | number,
  /** Context-specific and primitive. */
  implicit: (number: number): number => 0x80 | number,
} as const

export class NotDer extends Error {}

/** One element: `body` is its content, `whole` has tag and length before it. */
export type Element = { readonly tag: number; readonly body: Buffer; readonly whole: Buffer }

/** Octets of a length in its long form: enough for 16 MiB. */
const LENGTH_OCTETS_MAX = 3

export class DerReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get done(): boolean {
    return this.#at === this.#bytes.length
  }

  /** The next element, whatever it is. */
  any(): Element {
    const from = this.#at
    const tag = this.#octet()
    if ((tag & 0x1f) === 0x1f) throw new NotDer()
    const length = this.#length()
    const to = this.#at + length
    if (to > this.#bytes.length) throw new NotDer()
    const body = this.#bytes.subarray(this.#at, to)
    this.#at = to
    return { tag, body, whole: this.#bytes.subarray(from, to) }
  }

  next(tag: number): Element {
    const element = this.any()
    if (element.tag !== tag) throw new NotDer()
    return element
  }

  /** The next element if it has this tag; null at the end and before another one. */
  optional(tag: number): Element | null {
    return this.#bytes[this.#at] === tag ? this.next(tag) : null
  }

  /** What is inside the next element. */
  into(tag: number): DerReader {
    return new DerReader(this.next(tag).body)
  }

  end(): void {
    if (!this.done) throw new NotDer()
  }

  #octet(): number {
    const octet = this.#bytes[this.#at++]
    if (octet === undefined) throw new NotDer()
    return octet
  }

  #length(): number {
    const first = this.#octet()
    if (first < 0x80) return first
    const count = first & 0x7f
    if (count === 0 || count > LENGTH_OCTETS_MAX) throw new NotDer()
    let length = 0
    for (let i = 0; i < count; i++) length = length * 256 + this.#octet()
    if (length < 0x80 || length < 256 ** (count - 1)) throw new NotDer()
    return length
  }
}

/** Everything between the first and the last element of a SEQUENCE OF or SET OF; at least one. */
export function allOf(bytes: Buffer): readonly Element[] {
  const reader = new DerReader(bytes)
  const elements: Element[] = []
  do elements.push(reader.any())
  while (!reader.done)
  return elements
}

/** Longest number read, in octets: the time it takes grows with the square of it. */
const OID_MAX = 128

/** Dotted decimal. */
export function oidText({ body }: Element): string {
  if (body.length > OID_MAX) throw new NotDer()
  const numbers: bigint[] = []
  let number = 0n
  let open = false
  for (const octet of body) {
    if (!open && octet === 0x80) throw new NotDer()
    number = number * 128n + BigInt(octet & 0x7f)
    open = octet >= 0x80
    if (open) continue
    numbers.push(number)
    number = 0n
  }
  const [first, ...rest] = numbers
  if (open || first === undefined) throw new NotDer()
  const root = first < 80n ? first / 40n : 2n
  return [root, first - root * 40n, ...rest].join('.')
}

export function booleanOf({ body }: Element): boolean {
  if (body.length !== 1 || (body[0] !== 0 && body[0] !== 0xff)) throw new NotDer()
  return body[0] === 0xff
}

/** Upper-case hexadecimal of a whole number from 0, in whole octets. */
export function integerHex({ body }: Element): string {
  const [first, second] = body
  if (first === undefined || first >= 0x80 || (first === 0 && second !== undefined && second < 0x80)) throw new NotDer()
  return (first === 0 && body.length > 1 ? body.subarray(1) : body).toString('hex').toUpperCase()
}

/** Is a named bit set? Bit 0 is the first. */
export function hasBit({ body }: Element, bit: number): boolean {
  const [unused] = body
  if (unused === undefined || unused > 7 || (body.length === 1 && unused !== 0)) throw new NotDer()
  return bit < (body.length - 1) * 8 - unused && ((body[1 + (bit >> 3)] ?? 0) & (0x80 >> (bit & 7))) !== 0
}
