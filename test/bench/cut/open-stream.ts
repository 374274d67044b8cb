// One exchange that a caller of bench:cut holds open: from its request until its last byte, or the word that no more will come, was here.

const OPEN_WITHIN = 30_000

/** `ended` is the `performance.now()` of its end; it rejects where it ended in a way it must not. */
export type OpenStream = { readonly ended: Promise<number>; readonly isOver: () => boolean; readonly close: () => void }

/** What its connection tells of it. */
export class Opening {
  readonly #path: string
  readonly #close: () => void
  readonly #opened = Promise.withResolvers<OpenStream>()
  readonly #ended = Promise.withResolvers<number>()
  readonly #late: NodeJS.Timeout
  #isOver = false

  /** @param close gives its connection up */
  constructor(path: string, close: () => void) {
    this.#path = path
    this.#close = close
    this.#ended.promise.catch(() => {}) // whoever waits for it is told; nobody does where a round was given up
    this.#late = setTimeout(() => {
      this.broken('did not answer')
      close()
    }, OPEN_WITHIN)
  }

  get opened(): Promise<OpenStream> { return this.#opened.promise }

  /** Its body moves. */
  begun(): void {
    clearTimeout(this.#late)
    this.#opened.resolve({ ended: this.#ended.promise, isOver: () => this.#isOver, close: this.#close })
  }

  over(): void {
    this.#ended.resolve(performance.now())
    this.#settle('was over before it began')
  }

  broken(why: string): void {
    this.#ended.reject(new Error(`${this.#path} ${why}`))
    this.#settle(why)
  }

  #settle(why: string): void {
    this.#isOver = true
    clearTimeout(this.#late)
    this.#opened.reject(new Error(`${this.#path} ${why}`))
  }
}
