// What is wrong with a stream: each counted, and told to people once when it begins and once when it is over. SPEC: SSF12
import type { Log } from '../../../runtime/log.ts'

export type Trouble = 'management' | 'poll' | 'heartbeat' | 'subjects' | 'store' | 'verification' | 'undelivered'

const TEXTS: { readonly [T in Trouble]: string } = {
  management: 'a stream can be neither found nor made, or is gone',
  poll: 'a stream cannot be polled',
  heartbeat: 'a stream cannot be asked to verify, or for its status',
  subjects: 'a transmitter does not take subjects',
  store: 'the store does not take what is known of a stream',
  verification: 'a stream was verified with a state that nobody asked with',
  undelivered: 'a stream does not deliver session-revoked',
}

export class Troubles {
  readonly #source: string
  readonly #log: Log
  readonly #count: (trouble: Trouble) => void
  readonly #standing = new Set<Trouble>()

  constructor(source: string, log: Log, count: (trouble: Trouble) => void) {
    this.#source = source
    this.#log = log
    this.#count = count
  }

  /** @returns whether it is new */
  met(trouble: Trouble, cause: unknown): boolean {
    this.#count(trouble)
    if (this.#standing.has(trouble)) return false
    this.#standing.add(trouble)
    this.#log.warn({ stream: this.#source, trouble, cause: cause instanceof Error ? cause.message : String(cause) }, TEXTS[trouble])
    return true
  }

  over(trouble: Trouble): void {
    if (this.#standing.delete(trouble)) this.#log.info({ stream: this.#source, trouble }, 'a trouble with a stream is over')
  }
}
