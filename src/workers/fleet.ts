// The primary process: keeps as many workers running as there are seats, passes on what is said to all of them, and ends when they have ended.
// Serves nothing itself and opens no store; a worker that dies is counted, told with what it had open, and followed by another. SPEC: ADM20
import type { Log } from '../runtime/log.ts'
import type { PrimaryMetrics } from '../runtime/metrics.ts'
import type { Seat, ToPrimary, ToWorker } from './messages.ts'
import { afterDeath, recent } from './restarts.ts'
import { Scrapes } from './scrapes.ts'

export type Child = {
  readonly pid: number
  /** Said in vain to one that is gone. */
  readonly say: (message: ToWorker) => void
  readonly kill: () => void
}

export type Ears = { readonly said: (message: ToPrimary) => void; readonly ended: (code: number | null, signal: string | null) => void }

type Ports = {
  readonly fork: (seat: Seat, ears: Ears) => Child
  readonly log: Log
  readonly metrics: PrimaryMetrics
  /** Why none may be started now: a configuration that the running ones would not take. null: it may. */
  readonly refusal: () => string | null
}

type Worker = {
  readonly index: number
  child: Child | null
  state: 'down' | 'forked' | 'starting' | 'ready'
  /** It was ready at some time. */
  served: boolean
  exchanges: number
  /** When it last said how many, on `performance.now`'s scale. */
  heard: number
  deaths: readonly number[]
  timer: NodeJS.Timeout | null
}

const UNCLEAN = 1
/** A worker that was silent for so long hangs: what it holds lapsed long ago. */
const SILENT = 30_000
const LOOK_EVERY = 5_000

export class Fleet {
  readonly #ports: Ports
  readonly #workers: readonly Worker[]
  readonly #scrapes: Scrapes
  readonly #over = Promise.withResolvers<number>()
  readonly #watch: NodeJS.Timeout
  #stopping: string | null = null
  #code = 0
  #looked = performance.now()

  constructor(size: number, ports: Ports) {
    this.#ports = ports
    this.#workers = Array.from({ length: size }, (_, i) => ({ index: i + 1, child: null, state: 'down', served: false, exchanges: 0, heard: 0, deaths: [], timer: null }))
    this.#scrapes = new Scrapes({ metrics: ports.metrics, ask: turn => this.#ready().map(worker => (worker.child?.say({ is: 'tell', turn }), worker.index)) })
    this.#watch = setInterval(() => this.#look(), LOOK_EVERY).unref()
  }

  /** The first worker, and the others when it is ready: it writes what all of them read. */
  start(): void {
    const [first] = this.#workers
    if (first !== undefined) this.#fork(first)
  }

  /** Resolves with an exit code when the last worker has ended: 0 where each drained as asked. */
  get over(): Promise<number> {
    return this.#over.promise
  }

  reload(): void {
    this.#tell({ is: 'reload' })
  }

  /** Each drains and ends; none is started again. */
  stop(by: string): void {
    this.#stopping ??= by
    for (const worker of this.#workers) if (worker.timer !== null) clearTimeout(worker.timer)
    this.#tell({ is: 'stop', by: this.#stopping })
    this.#perhapsOver()
  }

  /** Whatever is left ends now. */
  kill(): void {
    this.#stopping ??= 'killed'
    for (const { child } of this.#workers) child?.kill()
  }

  #ready(): readonly Worker[] {
    return this.#workers.filter(({ state }) => state === 'ready')
  }

  /** One that was only just forked hears nothing yet; it is told when it says that it does. */
  #tell(message: ToWorker): void {
    for (const { state, child } of this.#workers) if (state !== 'forked') child?.say(message)
  }

  #fork(worker: Worker): void {
    worker.timer = null
    worker.state = 'forked'
    worker.exchanges = 0
    const seat = { index: worker.index, alone: this.#ready().length === 0 }
    const child = this.#ports.fork(seat, {
      said: message => { if (worker.child === child) this.#said(worker, message) },
      ended: (code, signal) => this.#ended(worker, code, signal),
    })
    worker.child = child
  }

  #said(worker: Worker, message: ToPrimary): void {
    switch (message.is) {
      case 'here': return this.#here(worker)
      case 'ready': return this.#serves(worker)
      case 'open': return this.#open(worker, message.exchanges)
      case 'metrics': return this.#scrapes.heard(worker.index, message.turn, message.snapshot)
      case 'scraped': return void this.#scraped(worker)
    }
  }

  #here(worker: Worker): void {
    worker.state = 'starting'
    if (this.#stopping !== null) worker.child?.say({ is: 'stop', by: this.#stopping })
  }

  #open(worker: Worker, exchanges: number): void {
    worker.exchanges = exchanges
    worker.heard = performance.now()
  }

  /** Not after a pause of this process: what was said meanwhile has not been read yet. */
  #look(): void {
    const now = performance.now()
    const late = now - this.#looked > 2 * LOOK_EVERY
    this.#looked = now
    if (late || this.#stopping !== null) return
    for (const { index, child, heard } of this.#ready()) {
      if (now - heard < SILENT) continue
      this.#ports.log.error({ worker: index, pid: child?.pid, silentMs: Math.round(now - heard) }, 'a worker hangs and is killed')
      child?.kill()
    }
  }

  #serves(worker: Worker): void {
    worker.state = 'ready'
    worker.heard = performance.now()
    worker.served = true
    this.#ports.metrics.ready.set(this.#ready().length)
    this.#ports.log.info({ worker: worker.index, pid: worker.child?.pid }, 'a worker is ready')
    if (this.#stopping !== null) return
    for (const other of this.#workers) if (other.child === null && other.timer === null) this.#fork(other)
  }

  async #scraped({ child }: Worker): Promise<void> {
    const text = await this.#scrapes.text().catch((error: unknown) => {
      this.#ports.log.error({ cause: String(error) }, 'the metrics of the workers could not be put together')
      return null
    })
    child?.say({ is: 'told', text })
  }

  #ended(worker: Worker, code: number | null, signal: string | null): void {
    const { state } = worker
    worker.state = 'down'
    const pid = worker.child?.pid
    worker.child = null
    this.#scrapes.left(worker.index)
    this.#ports.metrics.ready.set(this.#ready().length)
    if (this.#stopping !== null && code === 0) return this.#perhapsOver()
    const { log, metrics } = this.#ports
    metrics.exits.inc({ state: state === 'ready' ? 'ready' : 'starting' })
    metrics.exchangesLost.inc(worker.exchanges)
    log.error({ worker: worker.index, pid, code, signal, exchanges: worker.exchanges }, 'a worker died; the exchanges it had open are over')
    if (this.#stopping === null) return this.#again(worker, code ?? UNCLEAN)
    this.#code ||= code ?? UNCLEAN
    this.#perhapsOver()
  }

  #again(worker: Worker, code: number): void {
    const now = performance.now()
    worker.deaths = recent([...worker.deaths, now], now)
    const next = afterDeath(worker.deaths, worker.served)
    if (next.is === 'again') return this.#later(worker, next.afterMs)
    this.#ports.log.error({ worker: worker.index, deaths: worker.deaths.length }, 'a worker does not come up: the gateway ends')
    this.#code = code === 0 ? UNCLEAN : code
    this.stop('a worker does not come up')
  }

  #later(worker: Worker, afterMs: number): void {
    worker.timer = setTimeout(() => {
      const refusal = this.#ports.refusal()
      if (refusal === null) return this.#fork(worker)
      this.#ports.log.error({ worker: worker.index, cause: refusal }, 'a worker cannot be started again')
      this.#later(worker, Math.max(afterMs, 1_000))
    }, afterMs)
  }

  #perhapsOver(): void {
    if (this.#stopping === null || this.#workers.some(({ child }) => child !== null)) return
    clearInterval(this.#watch)
    this.#over.resolve(this.#code)
  }
}
