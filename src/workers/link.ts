// A worker's side of the primary: whom it obeys, and what it tells. Signals of the system are the primary's business: a terminal or a service manager
// sends them to every process of the group, and one stop must not count twice. SPEC: ADM20, ADM21
import cluster from 'node:cluster'
import type { Metrics } from '../runtime/metrics.ts'
import { ALONE, SEAT } from './fork.ts'
import type { Seat, ToPrimary, ToWorker } from './messages.ts'

const TOLD_WITHIN = 6_000
const EVERY = 1_000

type Serving = { readonly metrics: Metrics; /** Exchanges that are open. */ readonly open: () => number }

type Waiting = { readonly promise: Promise<string>; readonly told: (text: string | null) => void }

export class WorkerLink {
  readonly seat: Seat
  readonly #stopped = Promise.withResolvers<string>()
  #serving: Serving | null = null
  #reload: () => void = () => { this.#early = true }
  #early = false
  #timer: NodeJS.Timeout | null = null
  #waiting: Waiting | null = null

  /** Null in a process that is no worker. */
  static open(env: { readonly [name: string]: string | undefined }): WorkerLink | null {
    const index = Number(env[SEAT])
    return cluster.isWorker && Number.isSafeInteger(index) && index > 0 ? new WorkerLink({ index, alone: env[ALONE] === '1' }) : null
  }

  private constructor(seat: Seat) {
    this.seat = seat
    process.on('message', (message: ToWorker) => this.#heard(message)) // our own program says nothing else
    this.#say({ is: 'here' })
  }

  /** Why it is to end. */
  get stopped(): Promise<string> {
    return this.#stopped.promise
  }

  /** From now on a reload is done when it is asked for, and one that was asked for before is done now. */
  reloads(reload: () => void): void {
    this.#reload = reload
    if (this.#early) reload()
  }

  /** It serves: others may start, and scrapes are answered for all. */
  ready(serving: Serving): void {
    this.#serving = serving
    serving.metrics.gatheredBy(() => this.#scrape())
    this.#timer = setInterval(() => this.#say({ is: 'open', exchanges: serving.open() }), EVERY).unref()
    this.#say({ is: 'ready' })
  }

  /** The process may end by itself from here on: without this the primary keeps it. */
  release(): void {
    process.channel?.unref()
    if (this.#timer !== null) clearInterval(this.#timer)
  }

  #say(message: ToPrimary): void {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined) // without a primary this process is about to end
  }

  #heard(message: ToWorker): void {
    switch (message.is) {
      case 'stop': return this.#stopped.resolve(message.by)
      case 'reload': return this.#reload()
      case 'tell': return void this.#tell(message.turn)
      case 'told': return this.#waiting?.told(message.text)
    }
  }

  async #tell(turn: number): Promise<void> {
    const snapshot = await this.#serving?.metrics.snapshot()
    if (snapshot !== undefined) this.#say({ is: 'metrics', turn, snapshot })
  }

  /** Scrapes that come while one is under way get its answer. @throws Error when the primary does not answer */
  #scrape(): Promise<string> {
    this.#waiting ??= this.#ask()
    return this.#waiting.promise
  }

  #ask(): Waiting {
    const { promise, resolve, reject } = Promise.withResolvers<string>()
    const over = (settle: () => void) => (): void => {
      clearTimeout(timer)
      this.#waiting = null
      settle()
    }
    const failed = over(() => reject(new Error('the metrics of the workers could not be had')))
    const timer = setTimeout(failed, TOLD_WITHIN)
    this.#say({ is: 'scraped' })
    return { promise, told: text => (text === null ? failed() : over(() => resolve(text))()) }
  }
}
