// What all bodies together may hold that were read before their decision, with what is made of them, from the first byte until the answer is over; and what
// of it one session may: else one caller had it all. SPEC: INS1
/** One session has that part of it, or twice its largest body where that is more. */
const SHARE = 4
/** What is made of JSON, by the octet that begins it, strings included: many small values take far more room than they have octets. */
const [OBJECT, ARRAY, COMMA] = [123, 91, 44]

/** Room that the values of a body take, beside its octets; never too little. */
export function roomFor(json: Buffer): number {
  let room = 0
  for (const octet of json) room += octet === OBJECT ? 192 : octet === ARRAY ? 64 : octet === COMMA ? 40 : 0
  return room
}

export class InspectedBytes {
  readonly #most: () => number
  readonly #full: () => void
  /** By session. */
  readonly #own = new Map<string, number>()
  #held = 0

  /** @param full the limit was met */
  constructor(most: () => number, full: () => void) {
    this.#most = most
    this.#full = full
  }

  /** @param largest body that its rule takes */
  take(bytes: number, session: string, largest: number): boolean {
    const most = this.#most()
    const own = (this.#own.get(session) ?? 0) + bytes
    if (this.#held + bytes > most || own > Math.max(most / SHARE, 2 * largest)) {
      this.#full()
      return false
    }
    this.#held += bytes
    this.#own.set(session, own)
    return true
  }

  give(bytes: number, session: string): void {
    this.#held -= bytes
    const own = (this.#own.get(session) ?? 0) - bytes
    if (own > 0) this.#own.set(session, own)
    else this.#own.delete(session)
  }
}
