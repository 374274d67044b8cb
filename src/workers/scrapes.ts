// One answer to a scrape out of all workers: each is asked, what does not answer in five seconds is left out and counted. What only grew in a worker
// that died, or keeps silent, stays in the sum as it was last told: sums never fall. SPEC: ADM21
import { lasting, type PrimaryMetrics, type Snapshot, textOf } from '../runtime/metrics.ts'

const WITHIN = 5_000

type Ports = {
  readonly metrics: PrimaryMetrics
  /** Asks every worker that serves; returns their seats. */
  readonly ask: (turn: number) => readonly number[]
}

export class Scrapes {
  readonly #ports: Ports
  readonly #last = new Map<number, Snapshot>()
  readonly #waiting = new Map<number, (snapshot: Snapshot | null) => void>()
  /** Of workers that died; one set, added up at the next scrape. */
  readonly #gone: Snapshot[] = []
  #turn = 0
  #running: Promise<string> | null = null

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Whoever asks while one is under way gets the same answer. */
  text(): Promise<string> {
    this.#running ??= this.#gather().finally(() => (this.#running = null))
    return this.#running
  }

  heard(index: number, turn: number, snapshot: Snapshot): void {
    if (turn !== this.#turn) return
    this.#last.set(index, snapshot)
    this.#waiting.get(index)?.(snapshot)
  }

  /** A worker is no more. */
  left(index: number): void {
    const last = this.#last.get(index)
    if (last !== undefined) this.#gone.push(last)
    this.#last.delete(index)
    this.#waiting.get(index)?.(null)
  }

  async #gather(): Promise<string> {
    const { ask, metrics } = this.#ports
    const asked = ask(++this.#turn)
    const answers = (await Promise.all(asked.map(index => this.#answer(index)))).filter(answer => answer !== null)
    metrics.silent.inc(asked.length - answers.length)
    const gone = [...this.#gone]
    const told = answers.filter(answer => !gone.includes(answer)) // one that died behind its answer counts once
    const silent = [...this.#last.values()].filter(last => !told.includes(last))
    const past = await lasting(gone)
    this.#gone.splice(0, gone.length, past)
    return textOf([...told, await lasting(silent), past, await metrics.snapshot()])
  }

  #answer(index: number): Promise<Snapshot | null> {
    const { promise, resolve } = Promise.withResolvers<Snapshot | null>()
    const timer = setTimeout(() => resolve(null), WITHIN)
    this.#waiting.set(index, resolve)
    return promise.finally(() => {
      clearTimeout(timer)
      this.#waiting.delete(index)
    })
  }
}
