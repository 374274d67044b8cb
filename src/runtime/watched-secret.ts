// A secret file that is read again every second, for as long as it is watched. One that is gone, or not what it must be, leaves what was read last; that is told.
// SPEC: CRD2
import { readSecretFile } from './secret-file.ts'

const EVERY = 1_000

export type SecretWitness = {
  /** It could not be read again; `first`: it could the time before. */
  readonly unread: (error: Error, first: boolean) => void
  readonly changed: (value: string) => void
}

export class WatchedSecret {
  readonly #file: string
  readonly #witness: SecretWitness
  readonly #timer: NodeJS.Timeout
  #value: string
  #failing = false
  #reading = false
  #closed = false

  /** @param value what was read of it already */
  constructor(file: string, value: string, witness: SecretWitness) {
    this.#file = file
    this.#value = value
    this.#witness = witness
    this.#timer = setInterval(() => void this.#look(), EVERY).unref()
  }

  get value(): string { return this.#value }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  async #look(): Promise<void> {
    if (this.#reading) return
    this.#reading = true
    try {
      this.#take(await readSecretFile(this.#file))
    } catch (error) {
      this.#failed(error instanceof Error ? error : new Error('it cannot be read'))
    }
    this.#reading = false
  }

  #take(value: string): void {
    this.#failing = false
    if (this.#closed || value === this.#value) return
    this.#value = value
    this.#witness.changed(value)
  }

  #failed(error: Error): void {
    if (!this.#closed) this.#witness.unread(error, !this.#failing)
    this.#failing = true
  }
}
