// Which commits are on stable storage: flushes the write-ahead log of the store's file, or nothing in memory. Never opens or writes the log. SPEC: STO7
import { fdatasync } from 'node:fs'
import { promisify } from 'node:util'
import { SharedSync } from './shared-sync.ts'

export class DurableLog {
  readonly #wal: number | null
  readonly #sync = new SharedSync(() => this.#flush())
  #written: number
  #durable: number

  /** @param wal descriptor of the log, null in memory. @param sequence of the newest commit, which is on stable storage. */
  constructor(wal: number | null, sequence: number) {
    this.#wal = wal
    this.#written = sequence
    this.#durable = sequence
  }

  /** Sequence of the newest commit. */
  get written(): number {
    return this.#written
  }

  /** The commit of that sequence is in the log. */
  wrote(sequence: number): void {
    this.#written = sequence
  }

  /** Settles when the commit of that sequence is on stable storage. @throws StoreFault `not_durable` */
  async durable(sequence: number): Promise<void> {
    if (sequence > this.#durable) await this.synced()
  }

  /** Settles when everything written until now is. @throws StoreFault `not_durable` */
  async synced(): Promise<void> {
    if (this.#wal !== null) await this.#sync.synced()
  }

  /** What cannot be kept safe is not given. @throws StoreFault `not_durable` */
  assertSound(): void {
    if (this.#sync.failure !== null) throw this.#sync.failure
  }

  /** Settles when nothing is under way. */
  idle(): Promise<void> {
    return this.#sync.idle()
  }

  /**
   * Under `synchronous = NORMAL` a commit has written its frames to the log, in order, when it returns; recovery replays the log up to the first frame that
   * is missing. So once the log file is flushed, every commit made before the flush began survives. A checkpoint in between does no harm: SQLite flushes the
   * log, copies it into the database, flushes that, and only then starts the log anew, so that at each moment one of the two flushed files has the commit.
   * The descriptor stays right: the log is rewound or truncated while it is open, never replaced.
   */
  async #flush(): Promise<void> {
    if (this.#wal === null) return
    const upTo = this.#written
    await promisify(fdatasync)(this.#wal)
    this.#durable = Math.max(this.#durable, upTo)
  }
}
