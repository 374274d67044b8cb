// The connections on which one shard is heard: one at a time, a second one beside it when it is silent, the first that answers stays. A new one is
// made after each end, later and later while nothing answers. SPEC: STO15, STO17
import type { Clock } from '../../runtime/clock.ts'
import type { ReconnectCause, StoreMetrics } from '../../runtime/metrics.ts'
import { StoreFault } from '../store-fault.ts'
import { Beat, type BeatOwner } from './beat.ts'
import type { FunctionName } from './library.ts'
import { LinkLost, type Wire } from './link.ts'

export type EarPorts = {
  readonly clock: Clock
  readonly metrics: Pick<StoreMetrics, 'reconnects'>
  readonly key: string
  /** Milliseconds. */
  readonly lease: number
  /** A connection that is checked and subscribed. */
  readonly open: () => Promise<Wire>
  readonly ask: (link: Wire) => Promise<unknown>
  /** @returns milliseconds until the next one; 0 at once */
  readonly answered: (beat: Beat, answer: unknown, sentAt: number) => Promise<number>
  /** None is left for the moment. */
  readonly deaf: (fault: StoreFault, cause: ReconnectCause) => void
}

/** Another connection is tried after a third of the lease, at moments that differ between gateways. */
const hedgeAfter = (lease: number): number => lease * (0.35 + Math.random() * 0.04)
const BACKOFF_FIRST = 20
const BACKOFF_MAX = 500

/** The first connection to answer ended this one. */
class Slower extends LinkLost {
  override readonly name = 'LinkLost'
}

function causeOf(fault: StoreFault): ReconnectCause {
  if (fault instanceof Slower) return 'hedge'
  if (!(fault instanceof LinkLost)) return 'refused'
  return /too late/.test(fault.message) ? 'late' : /within the lease|timed out/.test(fault.message) ? 'silence' : /does not serve/.test(fault.message) ? 'refused' : 'closed'
}

export class Ears implements BeatOwner {
  readonly clock: Clock
  readonly #ports: EarPorts
  readonly #beats = new Set<Beat>()
  #failures = 0
  #retry: NodeJS.Timeout | null = null
  #closed = false

  constructor(ports: EarPorts) {
    this.clock = ports.clock
    this.#ports = ports
  }

  start(): void {
    if (!this.#closed) this.#beats.add(new Beat(this, { hedgeAfter: hedgeAfter(this.#ports.lease), deadAfter: this.#ports.lease }))
  }

  /** Something is missing: asks now. */
  hurry(): void {
    for (const beat of this.#beats) beat.hurry()
  }

  /** Not waited for: what gets lost is said again by the next heartbeat. */
  send(name: FunctionName, args: readonly string[]): void {
    for (const { link } of this.#beats) {
      if (link === null) continue
      link.call(name, this.#ports.key, args).catch(() => undefined)
      return
    }
  }

  close(): void {
    this.#closed = true
    if (this.#retry !== null) clearTimeout(this.#retry)
    for (const beat of this.#beats) beat.end(new StoreFault('closed', 'the store is closed'))
  }

  open(): Promise<Wire> { return this.#ports.open() }
  ask(link: Wire): Promise<unknown> { return this.#ports.ask(link) }

  answered(beat: Beat, answer: unknown, sentAt: number): Promise<number> {
    this.#failures = 0
    for (const other of this.#beats) if (other !== beat) other.end(new Slower('another connection was faster'))
    return this.#ports.answered(beat, answer, sentAt)
  }

  late(beat: Beat): void {
    if (this.#beats.size === 1 && this.#beats.has(beat)) this.start()
  }

  ended(beat: Beat, cause: unknown): void {
    this.#beats.delete(beat)
    if (this.#closed) return
    const fault = cause instanceof StoreFault ? cause : new LinkLost(cause instanceof Error ? cause.message : String(cause), cause)
    const kind = causeOf(fault)
    this.#ports.metrics.reconnects.inc({ cause: kind })
    if (this.#beats.size > 0) return
    this.#ports.deaf(fault, kind)
    const wait = Math.min(BACKOFF_MAX, BACKOFF_FIRST * 2 ** Math.min(this.#failures++, 8)) * (0.5 + Math.random())
    this.#retry = setTimeout(() => this.start(), wait)
  }
}
