// One gateway of bench:cut: the real one, from a configuration file, in a process of its own that also watches its event loop.
import { ConfigSource } from '../../../src/config/source.ts'
import { openGateway } from '../../../src/gateway.ts'
import { answering } from './talk.ts'

const source = new ConfigSource(process.argv[2] ?? '')
const loaded = source.load()
if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
const gateway = await openGateway({ settings: loaded.settings, source })
const { inflight, reassessor } = gateway.parts

const portOf = (name: string): number => gateway.front.bound.get(name)?.address.port ?? 0

/** Processor time of the whole process. */
export type Watched = { readonly maxStallMs: number; readonly emptyAt: number; readonly userMs: number; readonly systemMs: number }

/** A tick each millisecond: the longest time between two of them, and when nothing was open any more, on the clock that all processes share. */
class LoopWatch {
  #timer: NodeJS.Timeout | null = null
  #last = 0
  #longest = 0
  #emptyAt = 0
  #processor = process.cpuUsage()

  start(): void {
    this.#last = performance.now()
    this.#longest = 0
    this.#emptyAt = 0
    this.#processor = process.cpuUsage()
    this.#timer = setInterval(() => this.#tick(), 1)
  }

  #tick(): void {
    const now = performance.now()
    this.#longest = Math.max(this.#longest, now - this.#last)
    this.#last = now
    if (this.#emptyAt === 0 && inflight.size === 0) this.#emptyAt = Number(process.hrtime.bigint()) / 1e6
  }

  stop(): Watched {
    this.#tick()
    if (this.#timer !== null) clearInterval(this.#timer)
    const { user, system } = process.cpuUsage(this.#processor)
    return { maxStallMs: this.#longest, emptyAt: this.#emptyAt, userMs: user / 1000, systemMs: system / 1000 }
  }
}

const watch = new LoopWatch()

answering({
  ports: () => ({ main: portOf('main'), http2: portOf('http2'), admin: portOf('admin'), news: portOf('news') }),
  watch: () => watch.start(),
  watched: () => watch.stop(),
  open: () => inflight.size,
}, async () => {
  for (const exchange of inflight.all()) reassessor.end(exchange, 'drained', 'bench', null)
  await gateway.close('bench')
})
