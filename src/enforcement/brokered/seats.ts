// So many of each at a time; the others wait in their order, and for nobody else's. SPEC: CRD8

type Row = { free: number; readonly waiting: (() => void)[] }

export class Seats {
  readonly #most: number
  /** Of those that have any taken. */
  readonly #rows = new Map<string, Row>()

  constructor(most: number) {
    this.#most = most
  }

  async take(of: string): Promise<void> {
    const row = this.#rows.get(of) ?? { free: this.#most, waiting: [] }
    this.#rows.set(of, row)
    if (row.free > 0) row.free--
    else await new Promise<void>(resolve => void row.waiting.push(resolve))
  }

  /** Goes to whoever waits longest. */
  free(of: string): void {
    const row = this.#rows.get(of)
    if (row === undefined) return
    const next = row.waiting.shift()
    if (next !== undefined) return next()
    row.free++
    if (row.free === this.#most) this.#rows.delete(of)
  }
}
