// A histogram with one label whose observations are plain numbers until a scrape asks: the library's own way of taking one costs more than the
// judge, and every request is timed. SPEC: ADM8
import { Histogram, type MetricObjectWithValues, type MetricValueWithName, type Registry } from 'prom-client'

/** What was observed under one value of the label; times in seconds. */
export class Timing {
  readonly counts: Float64Array
  readonly #bounds: readonly number[]
  sum = 0
  count = 0

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.counts = new Float64Array(bounds.length)
  }

  observe(seconds: number): void {
    if (!Number.isFinite(seconds)) return
    this.sum += seconds
    this.count++
    for (let i = 0; i < this.#bounds.length; i++) if (seconds <= (this.#bounds[i] ?? 0)) return void (this.counts[i] = (this.counts[i] ?? 0) + 1)
  }
}

type Values<L extends string> = MetricObjectWithValues<MetricValueWithName<L | 'le'>>

export class Timings<L extends string> extends Histogram<L | 'le'> {
  readonly #about: { readonly name: string; readonly help: string; readonly label: L; readonly bounds: readonly number[] }
  readonly #timings = new Map<string, Timing>()

  constructor(name: string, help: string, label: L, bounds: readonly number[], registry: Registry) {
    super({ name, help, labelNames: [label], buckets: [...bounds], registers: [registry] })
    this.#about = { name, help, label, bounds }
  }

  /** @param value of the label, one out of the configuration */
  of(value: string): Timing {
    let timing = this.#timings.get(value)
    if (timing === undefined) this.#timings.set(value, (timing = new Timing(this.#about.bounds)))
    return timing
  }

  override get(): Promise<Values<L>> {
    const { name, help, label, bounds } = this.#about
    const values: Values<L>['values'] = []
    const tell = (metricName: string, value: number, labels: object): void => void values.push({ metricName, value, labels: labels as Values<L>['values'][number]['labels'] }) // label names are `L` and `le`
    for (const [of, { counts, sum, count }] of this.#timings) {
      let below = 0
      for (const [i, le] of bounds.entries()) tell(`${name}_bucket`, (below += counts[i] ?? 0), { le, [label]: of })
      tell(`${name}_bucket`, count, { le: '+Inf', [label]: of })
      tell(`${name}_sum`, sum, { [label]: of })
      tell(`${name}_count`, count, { [label]: of })
    }
    return Promise.resolve({ name, help, type: 'histogram', aggregator: 'sum', values } as unknown as Values<L>) // but for a function that nobody asks for
  }

  /** Where the library looks first. */
  getForPromString(): Promise<Values<L>> { return this.get() }
}
