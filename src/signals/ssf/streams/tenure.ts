// Which of all gateways looks after a stream: whoever the store gave its one share, for as long as it surely holds it. Whoever may have lost it stops at
// once, and another takes over when it has run out. SPEC: SSF10
import { duration } from '../../../core/time.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { SessionStore } from '../../../sessions/store.ts'

/** Milliseconds: a share lasts, is asked for so often, and is given up so long before its end; whether it holds is looked at so often. */
const TENURE = { for: 10_000, every: 2_500, margin: 1_000, look: 250 } as const

type Ports = {
  readonly store: Pick<SessionStore, 'share'>
  readonly clock: Pick<Clock, 'elapsed'>
  /** It is ours: works until the signal says that it is not any more. Never rejects. */
  readonly work: (signal: AbortSignal) => Promise<void>
}

export class Tenure {
  readonly #bucket: string
  readonly #ports: Ports
  #timer: NodeJS.Timeout | null = null
  #until = -Infinity
  #askAt = -Infinity
  #asking: Promise<void> | null = null
  #holding: AbortController | null = null
  #working: Promise<void> = Promise.resolve()

  /** @param bucket what is shared */
  constructor(bucket: string, ports: Ports) {
    this.#bucket = bucket
    this.#ports = ports
  }

  get isHeld(): boolean { return this.#holding !== null }

  start(): void {
    this.#timer ??= setInterval(() => this.#look(), TENURE.look).unref()
    this.#look()
  }

  /** Gives it back, so that another gateway need not wait for its end. Never rejects. */
  async stop(): Promise<void> {
    if (this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
    const was = this.isHeld
    this.#drop()
    await this.#asking
    await this.#working
    if (was) await this.#ports.store.share({ bucket: this.#bucket, wanted: 0, limit: 1, for: duration(TENURE.for) }).catch(() => undefined) // it runs out
  }

  #look(): void {
    const now = this.#ports.clock.elapsed()
    if (now >= this.#until) this.#drop()
    if (now < this.#askAt || this.#asking !== null) return
    this.#askAt = now + TENURE.every
    this.#asking = this.#ask(now).catch(() => undefined).finally(() => { this.#asking = null }) // one that it holds runs out
  }

  async #ask(now: number): Promise<void> {
    const share = await this.#ports.store.share({ bucket: this.#bucket, wanted: 1, limit: 1, for: duration(TENURE.for) })
    if (this.#timer === null) return
    if (share < 1) return this.#drop()
    this.#until = now + TENURE.for - TENURE.margin
    if (this.#holding !== null || this.#ports.clock.elapsed() >= this.#until) return
    const holding = this.#holding = new AbortController()
    this.#working = this.#working.then(() => this.#ports.work(holding.signal)) // what it did before is over first
  }

  #drop(): void {
    this.#until = -Infinity
    this.#holding?.abort()
    this.#holding = null
  }
}
