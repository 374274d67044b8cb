// All streams of those who tell of changes in trust. Starts with the gateway and waits for nobody; swapped at a reload, where those that stay as they
// are go on. Stops before the store and the HTTP client close. SPEC: SSF4-SSF12
import type { StreamStatus } from '../../../core/anchor.ts'
import type { Instant } from '../../../core/time.ts'
import type { Metrics } from '../../../runtime/metrics.ts'
import type { Mirror } from '../../../sessions/mirror.ts'
import type { StreamNews } from '../stream-news.ts'
import { type Metadata, MetadataFault } from './metadata.ts'
import type { OpenStream, OpenStreams } from './open-streams.ts'
import { StreamAtWork, type StreamTools } from './stream-at-work.ts'

type Tools = StreamTools & { readonly mirror: Pick<Mirror, 'onTaken'>; readonly metrics: Pick<Metrics, 'observeStreams'> }

const isAlike = (a: OpenStream, b: OpenStream): boolean => JSON.stringify(a) === JSON.stringify(b)

export class Streams implements StreamNews {
  readonly #tools: Tools
  #streams: ReadonlyMap<string, StreamAtWork>
  /** Those that are on their way out. */
  readonly #ending = new Map<string, Promise<void>>()
  #state: 'new' | 'started' | 'stopped' = 'new'

  constructor(open: OpenStreams, tools: Tools) {
    const { mirror, metrics } = tools
    this.#tools = tools
    this.#streams = new Map([...open].map(([name, one]) => [name, new StreamAtWork(one, tools)]))
    const before = mirror.onTaken
    mirror.onTaken = live => {
      before(live)
      for (const stream of this.#streams.values()) stream.taken(live)
    }
    metrics.observeStreams({
      statuses: () => [...this.#streams].map(([source, { standing: { status } }]) => ({ labels: { source, status }, value: 1 })),
      silentFor: () => [...this.#streams].map(([source, { standing: { silentFor } }]) => ({ labels: { source }, value: silentFor })),
    })
  }

  start(): void {
    this.#state = 'started'
    for (const stream of this.#streams.values()) stream.start()
  }

  /** Another configuration's. */
  take(open: OpenStreams): void {
    const before = this.#streams
    this.#streams = new Map([...open].map(([name, one]) => {
      const running = before.get(name)
      return [name, running !== undefined && isAlike(running.open, one) ? running : new StreamAtWork(one, this.#tools)]
    }))
    for (const name of new Set([...before.keys(), ...this.#streams.keys()])) {
      const [was, now] = [before.get(name), this.#streams.get(name)]
      if (was !== now) this.#replace(name, was ?? null, now ?? null)
    }
  }

  async stop(): Promise<void> {
    this.#state = 'stopped'
    await Promise.all([...[...this.#streams.values()].map(stream => stream.stop()), ...this.#ending.values()])
  }

  /** The one in its place begins when it has given back what only one may have. */
  #replace(name: string, was: StreamAtWork | null, next: StreamAtWork | null): void {
    const ending: Promise<void> = Promise.all([was?.stop(), this.#ending.get(name)]).then(() => {
      if (this.#ending.get(name) === ending) this.#ending.delete(name)
      if (this.#state === 'started') next?.start()
    })
    this.#ending.set(name, ending)
  }

  async verified(source: string, state: string | null): Promise<'heard' | 'wrong'> { return (await this.#streams.get(source)?.verified(state)) ?? 'wrong' }
  async updated(source: string, status: StreamStatus, at: Instant): Promise<void> { await this.#streams.get(source)?.standing.updated(status, at) }
  heard(source: string): void { this.#streams.get(source)?.standing.heard() }
  audienceOf(source: string): readonly string[] | null { return this.#streams.get(source)?.audience ?? null }
  authorizationOf(source: string): string | null { return this.#streams.get(source)?.authorization ?? null }

  async metadataOf(source: string): Promise<Metadata> {
    const stream = this.#streams.get(source)
    if (stream === undefined) throw new MetadataFault(`nobody is called ${source}`)
    return stream.metadata()
  }
}
