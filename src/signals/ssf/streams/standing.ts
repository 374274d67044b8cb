// Whether a stream is heard of, told to all gateways through its anchor: by whoever noticed, no more often than has to be; and that it is paused or
// stopped, at once. Where the store does not take it, silence follows by itself. SPEC: SSF6, SSF9, OUT7
import type { AnchorRef, Matter, StreamStatus } from '../../../core/anchor.ts'
import { after, duration, type Duration, earlier, type Instant, instant, later } from '../../../core/time.ts'
import type { Clock } from '../../../runtime/clock.ts'
import type { Mirror } from '../../../sessions/mirror.ts'
import type { Intake } from '../../intake.ts'

type Ports = {
  readonly intake: Pick<Intake, 'anchor'>
  readonly mirror: Pick<Mirror, 'anchors'>
  readonly clock: Clock
  readonly failed: (fault: unknown) => void
}

type Stream = Extract<Matter, { is: 'stream' }>
type Said = Pick<Stream, 'status' | 'statusAt'>

/** Milliseconds until a store that did not take it is told again. */
const AGAIN_IN = 1_000
/** A transmitter names seconds: it was before the end of that one. */
const SECOND = duration(999)

export class Standing {
  readonly #ref: AnchorRef
  readonly #freshness: Duration | null
  readonly #ports: Ports
  readonly #since: Instant
  #heardAt: Instant | null = null
  #said: Said | null = null
  #telling = false
  #againAt = -Infinity

  /** @param freshness null: nothing depends on it, and nobody is told */
  constructor(source: string, freshness: Duration | null, ports: Ports) {
    this.#ref = { kind: 'stream', name: source }
    this.#freshness = freshness
    this.#ports = ports
    this.#since = ports.clock.now()
  }

  /** Never throws, and nobody waits for it. */
  heard(): void {
    const { clock, failed } = this.#ports
    const now = this.#heardAt = clock.now()
    if (this.#freshness === null || this.#telling || clock.elapsed() < this.#againAt || now < after(this.#known?.heardAt ?? instant(0), duration(this.#freshness / 3))) return
    const { status, statusAt } = this.#lastSaid ?? { status: 'enabled', statusAt: instant(0) }
    this.#telling = true
    void this.#tell({ is: 'stream', heardAt: now, status, statusAt }).catch((error: unknown) => {
      this.#againAt = clock.elapsed() + AGAIN_IN
      failed(error)
    }).finally(() => { this.#telling = false })
  }

  /** What the transmitter says of it, to the second. Rejects where the store does not take it. */
  updated(status: StreamStatus, at: Instant): Promise<void> { return this.told(status, earlier(this.#ports.clock.now(), after(at, SECOND))) }

  /** As it was then. Rejects where the store does not take it. */
  async told(status: StreamStatus, at: Instant): Promise<void> {
    const [known, before] = [this.#known, this.#lastSaid]
    if (before === null || at >= before.statusAt) this.#said = { status, statusAt: at }
    if (this.#freshness !== null && known?.status !== status) await this.#tell({ is: 'stream', heardAt: known?.heardAt ?? instant(0), status, statusAt: at })
  }

  /** For people: `silent` where it was not heard of for too long, `unknown` where this gateway was told nothing. */
  get status(): StreamStatus | 'silent' | 'unknown' {
    const said = this.#lastSaid?.status ?? 'unknown'
    if (this.#freshness === null || (said !== 'enabled' && said !== 'unknown')) return said
    const heardAt = this.#known?.heardAt ?? null
    return heardAt === null || this.#ports.clock.now() >= after(heardAt, this.#freshness) ? 'silent' : 'enabled'
  }

  /** Seconds since anybody heard of it, as far as is known here; since this gateway looks where nobody did. */
  get silentFor(): number {
    const heardAt = later(this.#heardAt ?? this.#since, this.#known?.heardAt ?? this.#since)
    return Math.max(0, this.#ports.clock.now() - heardAt) / 1000
  }

  get #known(): Stream | null {
    const matter = this.#ports.mirror.anchors.known(this.#ref)?.matter ?? null
    return matter?.is === 'stream' ? matter : null
  }

  /** The later of what is known everywhere and what was said here. */
  get #lastSaid(): Said | null {
    const known = this.#known
    return known === null || (this.#said !== null && this.#said.statusAt > known.statusAt) ? this.#said : known
  }

  async #tell(matter: Stream): Promise<void> {
    await this.#ports.intake.anchor(this.#ref, { kind: 'anchor.told', matter }, { by: `ssf:${this.#ref.name}`, note: matter.status, id: null })
  }
}
