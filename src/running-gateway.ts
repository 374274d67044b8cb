// A gateway that runs: what is asked of it as a whole. Swaps configurations whole, one after the other, and shuts down without losing a record.
// SPEC: CFG10, AUD8
import type { Drainer } from './audit/drainer.ts'
import type { Noise } from './audit/noise.ts'
import type { Trail } from './audit/trail.ts'
import type { Loaded } from './config/load.ts'
import { aboutFile, type Problem } from './config/problem.ts'
import type { ConfigSource } from './config/source.ts'
import type { Settings } from './config/settings.ts'
import type { Decisions } from './decisions/decisions.ts'
import type { GatherStep } from './enforcement/gather.ts'
import type { Hub } from './enforcement/hub.ts'
import type { Inflight } from './enforcement/inflight.ts'
import type { Reassessor } from './enforcement/reassess.ts'
import type { Following } from './following.ts'
import type { Front } from './front.ts'
import type { Identifier } from './identity/identify.ts'
import type { SessionTokens } from './identity/session-tokens.ts'
import type { Outside } from './outside.ts'
import type { ForwardAuth } from './proxy/forward-auth/forward-auth.ts'
import type { Pipeline } from './proxy/pipeline.ts'
import type { Clock } from './runtime/clock.ts'
import { closeAll, type Closer } from './runtime/close-all.ts'
import type { Log } from './runtime/log.ts'
import type { Metrics } from './runtime/metrics.ts'
import type { Ledger } from './sessions/ledger.ts'
import type { Mirror } from './sessions/mirror.ts'
import type { SessionStore } from './sessions/store.ts'
import type { Intake } from './signals/intake.ts'
import type { Trust } from './trust.ts'
import type { ContextMinter } from './upstream/context.ts'
import type { Instant } from './core/time.ts'

/** Parts of a running gateway that its fronts and tests reach. */
export type Parts = {
  /** Its name, the same at each start. */
  readonly gateway: string
  readonly settings: () => Settings
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Metrics
  readonly store: SessionStore
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly intake: Intake
  readonly inflight: Inflight
  readonly reassessor: Reassessor
  readonly hub: Hub
  readonly trail: Trail
  /** The newest of its files; rotated ones stand beside it. */
  readonly trailFile: string
  readonly noise: Noise
  readonly pipeline: Pipeline
  readonly forwardAuth: ForwardAuth
  readonly decisions: Decisions
  readonly identifier: Identifier
  readonly sessionTokens: SessionTokens
  readonly minter: ContextMinter
  readonly drainer: Drainer
  readonly following: Following
  readonly outside: Outside
  readonly trust: Trust
  /** What a request may have to wait for between preview and admission. */
  readonly steps: readonly GatherStep[]
}

type Ends = {
  readonly front: Front
  readonly source: ConfigSource | null
  /** Takes other settings over, or throws and changed nothing. */
  readonly swap: (settings: Settings) => Promise<void>
  readonly closers: readonly Closer[]
}

export class Gateway {
  readonly parts: Parts
  readonly front: Front
  readonly #ends: Ends
  #turn: Promise<unknown> = Promise.resolve()
  #running: { readonly loadedAt: Instant; readonly warnings: readonly Problem[] }
  #closed: Promise<void> | null = null

  constructor(parts: Parts, ends: Ends) {
    this.parts = parts
    this.front = ends.front
    this.#ends = ends
    this.#running = { loadedAt: parts.clock.now(), warnings: ends.source?.warnings ?? [] }
  }

  /** Since when the configuration runs that runs now, and what was odd about it. */
  get running() { return this.#running }

  /** Reads the configuration again; what runs stays where anything is wrong with it. Reloads come one after the other, whoever asks. */
  reload(by: string): Promise<Loaded> { return this.#inTurn(by, () => this.#ends.source?.reload() ?? this.#refusal('this gateway runs without a configuration file')) }

  /** Reloads whenever the file changes. */
  watch(): void {
    this.#ends.source?.watch(() => void this.reload('file'), problem => void this.#inTurn('file', () => ({ ok: false, problems: [problem] })))
  }

  #inTurn(by: string, read: () => Loaded): Promise<Loaded> {
    const next = this.#turn.then(() => (this.#closed === null ? this.#take(read(), by) : this.#refusal('the gateway is shutting down')))
    this.#turn = next.catch(() => undefined)
    return next
  }

  /** Whole or not at all. */
  async #take(loaded: Loaded, by: string): Promise<Loaded> {
    const { metrics, log, trail, clock } = this.parts
    const outcome = loaded.ok ? await this.#trySwap(loaded) : loaded
    metrics.configReloads.inc({ outcome: outcome.ok ? 'taken' : 'refused' })
    metrics.configOk.set(outcome.ok ? 1 : 0)
    if (outcome.ok) {
      this.#running = { loadedAt: clock.now(), warnings: outcome.warnings }
      metrics.configLoadedAt.set(clock.now() / 1000)
      trail.configLoaded({ digest: outcome.settings.digest, by })
      log.info({ digest: outcome.settings.digest, by }, 'configuration loaded')
    } else log.error({ by, problems: outcome.problems.map(({ file, line, message }) => `${file}:${line} ${message}`) }, 'configuration refused; the running one stays')
    return outcome
  }

  async #trySwap(loaded: Extract<Loaded, { ok: true }>): Promise<Loaded> {
    try {
      await this.#ends.swap(loaded.settings)
      return loaded
    } catch (error) {
      return this.#refusal(error instanceof Error ? error.message : String(error))
    }
  }

  #refusal(message: string): Loaded { return { ok: false, problems: [aboutFile(this.#ends.source?.file ?? '', message)] } }

  /** Drains: no new requests, open exchanges may finish for a while and are ended then, everything is on record. */
  close(reason: string): Promise<void> {
    this.#closed ??= this.#close(reason)
    return this.#closed
  }

  async #close(reason: string): Promise<void> {
    const { log } = this.parts
    log.info({ reason }, 'draining')
    await this.front.drain()
    await this.#turn
    await closeAll(this.#ends.closers)
  }
}
