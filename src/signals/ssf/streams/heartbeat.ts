// Proves again and again that a stream still tells: asks the transmitter to send a verification event, and looks at the stream's status, which also
// keeps a pushed stream from being paused for inactivity. Only while this gateway looks after it. SPEC: SSF6, SSF9
import { STREAM_STATUSES, type StreamStatus } from '../../../core/anchor.ts'
import type { Duration, Instant } from '../../../core/time.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { HttpFault } from '../../../runtime/http-client.ts'
import type { Caller } from './access.ts'
import { Backoff, pause } from './backoff.ts'
import { jsonIn, membersOf } from './json.ts'
import { MANAGE_LIMITS, type OurStream, StreamFault } from './management.ts'
import type { Metadata } from './metadata.ts'

type Ports = {
  readonly caller: Pick<Caller, 'ask'>
  readonly clock: Clock
  /** null: nothing depends on it, and it is not asked to verify. */
  readonly freshness: Duration | null
  /** Keeps a state that nobody had before. Rejects where the store does not take it. */
  readonly newState: () => Promise<string>
  /** @param at before it was asked for */
  readonly told: (status: StreamStatus, at: Instant) => Promise<void>
  /** It does not answer as it should; null: it does again. */
  readonly failed: (fault: unknown) => void
}

/** Milliseconds between two looks at the status where nothing asks for more, and between any two of a kind. */
const LOOK_EVERY = { most: 300_000, least: 1_000 } as const
/** Between looks at what is due. */
const TICK = 200

/** What is done again and again; `every` in milliseconds, null for never. */
class Beat {
  readonly #every: number | null
  readonly #backoff = new Backoff()
  #dueAt = -Infinity

  constructor(every: number | null) {
    this.#every = every
  }

  get failing(): boolean { return this.#backoff.failing }
  isDue(now: number): boolean { return this.#every !== null && now >= this.#dueAt }
  done(now: number): void {
    this.#backoff.succeeded()
    this.#dueAt = now + (this.#every ?? 0)
  }

  failed(error: unknown, clock: Clock): void { this.#dueAt = clock.elapsed() + this.#backoff.failed(error, clock.now()) }
}

export class Heartbeat {
  readonly #ports: Ports

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Until the signal, or until there is no such stream any more. Never rejects. */
  async run(stream: OurStream, metadata: Metadata, signal: AbortSignal): Promise<'over' | 'gone'> {
    const { clock, failed } = this.#ports
    const { verify, look } = this.#pace(stream, metadata)
    while (!signal.aborted) {
      const deeds = [[verify, () => this.#verify(stream, metadata, signal)], [look, () => this.#look(stream, metadata, signal)]] as const
      for (const [beat, deed] of deeds) {
        if (!beat.isDue(clock.elapsed())) continue
        if ((await this.#once(beat, deed, signal)) === 'gone') return 'gone'
        if (!verify.failing && !look.failing) failed(null)
      }
      await pause(TICK, signal)
    }
    return 'over'
  }

  /** Nothing is asked more than once a second, and everything three times within `freshness`. */
  #pace({ verifyEvery, inactiveAfter }: OurStream, metadata: Metadata): { readonly verify: Beat; readonly look: Beat } {
    const third = this.#ports.freshness === null ? null : Math.max(LOOK_EVERY.least, this.#ports.freshness / 3)
    const look = Math.max(LOOK_EVERY.least, Math.min(third ?? Infinity, LOOK_EVERY.most, (inactiveAfter ?? Infinity) / 3))
    return { verify: new Beat(third === null || metadata.verification === null ? null : Math.max(third, verifyEvery)), look: new Beat(metadata.status === null ? null : look) }
  }

  async #once(beat: Beat, deed: () => Promise<void>, signal: AbortSignal): Promise<'done' | 'gone'> {
    const { clock, failed } = this.#ports
    const now = clock.elapsed()
    try {
      await deed()
      beat.done(now)
    } catch (error) {
      if (error instanceof HttpFault && (error.status === 404 || error.status === 410)) return 'gone'
      if (!signal.aborted) failed(error)
      beat.failed(error, clock)
    }
    return 'done'
  }

  async #verify({ id }: OurStream, { verification: url }: Metadata, signal: AbortSignal): Promise<void> {
    if (url === null) return
    const state = await this.#ports.newState()
    await this.#ports.caller.ask({ method: 'POST', url, body: { stream_id: id, state }, statuses: [200, 202, 204] }, MANAGE_LIMITS, signal)
  }

  async #look({ id }: OurStream, { status: place }: Metadata, signal: AbortSignal): Promise<void> {
    if (place === null) return
    const at = this.#ports.clock.now()
    const url = new URL(place)
    url.searchParams.set('stream_id', id)
    const { text } = await this.#ports.caller.ask({ method: 'GET', url, body: null, statuses: [200] }, MANAGE_LIMITS, signal)
    const said = membersOf(jsonIn(text))?.['status']
    const status = STREAM_STATUSES.find(each => each === said)
    if (status === undefined) throw new StreamFault('the transmitter names no status of the stream')
    await this.#ports.told(status, at)
  }
}
