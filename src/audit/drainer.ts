// Carries facts from the store to the trail. The store forgets them only after the trail has them, so they arrive at least once;
// the trail drops the ones it has. SPEC: AUD8, TRM2
import type { Outgoing } from './record.ts'

type Position = Outgoing['position']

export type FactSource = {
  /** Oldest first, whole or torn commits, at most `limit`. */
  drain(limit: number): Promise<readonly Outgoing[]>
  /** Forgets up to and including the position. */
  drained(position: Position): Promise<void>
}

type FactSink = {
  fact(outgoing: Outgoing): void
  flushNow(): void
  sync(): Promise<void>
}

type DrainerPorts = {
  readonly source: FactSource
  readonly trail: FactSink
  /** The trail must be on stable storage before the store forgets. */
  readonly fsync: boolean
  /** Who else has to have them before the store forgets them; comes behind the trail, perhaps with facts it had already. Never rejects, and never takes long. */
  readonly also: (page: readonly Outgoing[]) => Promise<void>
  readonly failed: (cause: unknown, retryInMs: number) => void
}

const PAGE = 500
/** A commit larger than a page is read with larger ones; no commit has more facts than this. */
const PAGE_MAX = 64_000
/** Another gateway may have stopped draining: looked at so often. */
const LOOK_EVERY_MS = 5_000
const RETRY_FIRST_MS = 100
const RETRY_MAX_MS = 10_000

const same = (a: Position, b: Position): boolean => a.epoch === b.epoch && a.sequence === b.sequence

/** The last position of each epoch in the page. The last commit of a full page may go on in the next one and is left out. */
function complete(page: readonly Outgoing[], full: boolean): readonly Position[] {
  const last = page.at(-1)?.position
  const whole = full && last !== undefined ? page.filter(({ position }) => !same(position, last)) : page
  return whole.map(({ position }) => position).filter((position, index) => whole[index + 1]?.position.epoch !== position.epoch)
}

export class Drainer {
  readonly #ports: DrainerPorts
  readonly #looking: NodeJS.Timeout
  #running: Promise<boolean> | null = null
  #again = false
  #retry: NodeJS.Timeout | null = null
  #failures = 0
  #stopped = false

  constructor(ports: DrainerPorts) {
    this.#ports = ports
    this.#looking = setInterval(() => void this.drainNow(), LOOK_EVERY_MS).unref()
  }

  /** Moves everything the store has, also what is committed meanwhile. False when it failed: it is tried again by itself. Never rejects. */
  drainNow(): Promise<boolean> {
    this.#again = true
    this.#running ??= this.#run().finally(() => (this.#running = null))
    return this.#running
  }

  /** The last drain; no retry follows it. */
  async stop(): Promise<boolean> {
    this.#stopped = true
    clearInterval(this.#looking)
    return this.drainNow()
  }

  async #run(): Promise<boolean> {
    if (this.#retry !== null) clearTimeout(this.#retry)
    this.#retry = null
    try {
      while (this.#again) {
        this.#again = false
        await this.#drainDry()
      }
      this.#failures = 0
      return true
    } catch (error) {
      this.#retryLater(error)
      return false
    }
  }

  async #drainDry(): Promise<void> {
    for (let limit = PAGE; ; ) {
      const page = await this.#ports.source.drain(limit)
      if (page.length === 0) return
      const full = page.length >= limit
      const done = complete(page, full)
      await this.#record(page)
      await this.#ports.also(page)
      for (const position of done) await this.#ports.source.drained(position)
      if (!full) return
      if (done.length > 0) limit = PAGE
      else if (limit >= PAGE_MAX) throw new Error(`one commit has more than ${PAGE_MAX} facts`)
      else limit *= 2
    }
  }

  async #record(page: readonly Outgoing[]): Promise<void> {
    const { trail, fsync } = this.#ports
    for (const outgoing of page) trail.fact(outgoing)
    trail.flushNow()
    if (fsync) await trail.sync()
  }

  #retryLater(cause: unknown): void {
    const wait = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** this.#failures)
    this.#failures = Math.min(this.#failures + 1, 16)
    this.#ports.failed(cause, wait)
    if (!this.#stopped) this.#retry = setTimeout(() => void this.drainNow(), wait).unref()
  }
}
