// What a caller sent ahead of its turn: kept unread, as it came, and counted by requests where it begins with one. Judges nothing. SPEC: WIRE14
import { BAD } from '../../http1/field-block.ts'
import { RequestParser, type RequestLimits, type RequestReader } from './request-parser.ts'

const NOTHING: Buffer = Buffer.alloc(0)

/** Whole heads among the octets that are shown to it, up to the first that is none. */
class Count implements RequestReader {
  heads = 0
  readonly #parser: RequestParser
  #broken = false

  constructor(limits: RequestLimits) {
    this.#parser = new RequestParser(this, limits)
  }

  see(octets: Buffer): void {
    for (let rest = octets; rest.length > 0 && !this.#broken;) {
      const taken = this.#parser.read(rest)
      if (taken === BAD || this.#parser.framing.upgrades) this.#broken = true
      else rest = rest.subarray(taken)
    }
  }

  arrived(): void { this.heads++ }
  data(): void {}
  ended(): void { this.#parser.begin() }
}

export class KeptOctets {
  readonly #limits: RequestLimits
  #octets = NOTHING
  #count: Count | null = null

  constructor(limits: RequestLimits) {
    this.#limits = limits
  }

  get length(): number { return this.#octets.length }
  get counted(): boolean { return this.#count !== null }
  /** Requests whose heads are whole in it; 0 where nobody counts. */
  get requests(): number { return this.#count?.heads ?? 0 }

  /** @param counts they stand where a request begins */
  add(octets: Buffer, counts: boolean): void {
    this.#octets = this.#octets.length === 0 ? octets : Buffer.concat([this.#octets, octets])
    if (counts) this.#count ??= new Count(this.#limits)
    this.#count?.see(octets)
  }

  /** All of it, to be read now. */
  take(): Buffer {
    const octets = this.#octets
    this.#octets = NOTHING
    return octets
  }

  /** A head of it was read. */
  begun(): void {
    if (this.#count !== null) this.#count.heads--
  }

  /** What was not read of what was taken. */
  putBack(rest: Buffer): void {
    this.#octets = rest
    if (rest.length === 0) this.#count = null
  }
}
