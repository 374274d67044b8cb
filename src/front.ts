// The listeners of a gateway and what each of them serves: callers on some, operators and probes on others. Drains them in the right order.
// SPEC: ADM9, CFG8
import { Authorizer } from './admin/authorize.ts'
import { firstToken } from './admin/first-token.ts'
import { healthHandler, type HealthService } from './admin/health.ts'
import { ControlListener } from './admin/listener.ts'
import type { AdminRoom, GatewayEvent, Reloaded } from './admin/room.ts'
import { adminHandler } from './admin/server.ts'
import { NOBODY } from './audit/record.ts'
import { trailFiles } from './audit/tail.ts'
import { readTimeline } from './audit/timeline.ts'
import { load } from './config/load.ts'
import type { Loaded } from './config/load.ts'
import { type ConfigSource, processEnvironment } from './config/source.ts'
import type { ListenerSettings } from './config/settings.ts'
import { type Reason, REASONS } from './core/reason.ts'
import type { Instant } from './core/time.ts'
import type { Heard } from './enforcement/hub.ts'
import type { Parts } from './gateway.ts'
import { Listener } from './proxy/listener.ts'
import { newEvaluationId } from './runtime/id.ts'
import { readSecretFile, writeSecretFile } from './runtime/secret-file.ts'

type Reload = (by: string) => Promise<Loaded>
type Address = { readonly address: string; readonly port: number; readonly family: string }
type Bound = { readonly settings: ListenerSettings; readonly address: Address }

const DRAIN_LOOK = 50

export class Front {
  readonly #parts: Parts
  readonly #source: ConfigSource | null
  readonly #reload: Reload
  readonly #listeners: Listener[] = []
  readonly #controls: ControlListener[] = []
  readonly #closing = new AbortController()
  readonly bound = new Map<string, Bound>()
  #loadedAt: Instant
  #ready = false
  #draining = false

  constructor(parts: Parts, source: ConfigSource | null, reload: Reload) {
    this.#parts = parts
    this.#source = source
    this.#reload = reload
    this.#loadedAt = parts.clock.now()
  }

  /** Where a listener is bound: `127.0.0.1:8080`. */
  address(name: string): string {
    const bound = this.bound.get(name)
    if (bound === undefined) throw new RangeError(`no listener ${name}`)
    const { address, port, family } = bound.address
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
  }

  /** Binds every listener, or none: what was bound is closed again when one fails. */
  async listen(): Promise<void> {
    const { listeners } = this.#parts.settings()
    const room = await this.#adminRoom()
    try {
      for (const settings of listeners) this.bound.set(settings.name, { settings, address: await this.#open(settings, room) })
    } catch (error) {
      for (const listener of this.#listeners) listener.destroy()
      for (const control of this.#controls) control.close()
      throw error
    }
    this.#ready = true
    this.#parts.log.info({ listeners: listeners.map(({ name, serves }) => `${name} ${this.address(name)} ${serves.join('+')}`) }, 'listening')
  }

  /** Ready no more; after the configured delay nothing new, then open exchanges get their time, then they end. */
  async drain(): Promise<void> {
    if (this.#draining) return
    this.#draining = true
    const { drain } = this.#parts.settings()
    await pause(drain.delay)
    this.#parts.pipeline.drain()
    for (const listener of this.#listeners) listener.stop()
    const until = performance.now() + drain.timeout
    while (this.#parts.inflight.size > 0 && performance.now() < until) await pause(DRAIN_LOOK)
    for (const exchange of this.#parts.inflight.all()) this.#parts.reassessor.end(exchange, 'drained', 'shutdown', null)
    this.#closing.abort()
    for (const listener of this.#listeners) listener.destroy()
    for (const control of this.#controls) control.close()
  }

  async #open(settings: ListenerSettings, room: AdminRoom): Promise<Address> {
    const tls = settings.tls === null ? null : { cert: await readSecretFile(settings.tls.certFile), key: await readSecretFile(settings.tls.keyFile) }
    if (settings.serves.includes('proxy') || settings.serves.includes('keys')) return this.#openProxy(settings, tls)
    const handler = settings.serves.includes('admin') ? adminHandler(room) : healthHandler(room, settings.serves.filter((s): s is HealthService => s === 'health' || s === 'metrics'))
    const listener = new ControlListener({ host: settings.host, port: settings.port, tls, handler })
    this.#controls.push(listener)
    return listener.listen()
  }

  #openProxy(settings: ListenerSettings, tls: { readonly cert: string; readonly key: string } | null): Promise<Address> {
    const { pipeline, noise, metrics, clock } = this.#parts
    const refused = (reason: Reason, source: string): void => noise.refused({ ...NOBODY, evaluation: newEvaluationId(), source, method: '', host: '', path: '', reason })
    const listener = new Listener({
      host: settings.host, port: settings.port, tls, limits: this.#parts.settings().limits, clock,
      onRequest: (arrival, secure) => pipeline.serve(arrival, secure),
      onFault: (reason, source) => {
        metrics.requests.inc({ route: '', method: 'other', code: String(REASONS[reason].status), protocol: 'http1', decision: 'refuse', reason, elevated: 'false' })
        refused(reason, source)
      },
      onLimit: (limit, source) => {
        metrics.limitReached.inc({ limit })
        refused('limit_reached', source)
      },
    })
    this.#listeners.push(listener)
    return listener.listen()
  }

  async #adminRoom(): Promise<AdminRoom> {
    const { settings, clock, log, metrics, store, mirror, intake, inflight, trail, hub } = this.#parts
    const { admin, stateDir } = settings()
    const first = admin.tokenFile === null && settings().listeners.some(({ serves }) => serves.includes('admin'))
      ? await firstToken(`${stateDir}/admin.token`, writeSecretFile)
      : null
    const authorizer = new Authorizer({ tokenFile: admin.tokenFile, breakGlassTokenFile: admin.breakGlassTokenFile, first }, { clock, log })
    await authorizer.check()
    return {
      intake, mirror, store, inflight, clock, metrics, log, authorizer, closing: this.#closing.signal,
      ready: () => this.#readiness(),
      config: {
        current: () => ({ digest: settings().digest, loadedAt: this.#loadedAt, file: this.#source?.file ?? '', warnings: [] }),
        validate: text => checked(load(text, 'configuration', processEnvironment())),
        reload: by => this.#reloaded(by),
      },
      timeline: session => this.#timeline(session),
      record: (who, action, target, note) => trail.adminChanged({ who, action, target, note }),
      head: () => trail.head,
      events: { subscribe: listener => hub.subscribe(heard => { for (const event of told(heard)) listener(event) }) },
    }
  }

  async #timeline(session: string) {
    const { trail, drainer } = this.#parts
    await drainer.drainNow()
    trail.flushNow()
    return readTimeline(trailFiles(this.#parts.trailFile), session)
  }

  async #reloaded(by: string): Promise<Reloaded> {
    const loaded = await this.#reload(by)
    if (loaded.ok) this.#loadedAt = this.#parts.clock.now()
    return { ...checked(loaded), digest: this.#parts.settings().digest }
  }

  #readiness() {
    const checks = { gateway: this.#draining ? 'draining' : this.#ready ? 'ok' : 'starting', trail: this.#parts.trail.healthy ? 'ok' : 'elevated requests cannot be recorded' }
    return { ok: this.#ready && !this.#draining, checks }
  }
}

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const checked = (loaded: Loaded) => (loaded.ok ? { errors: [], warnings: loaded.warnings } : { errors: loaded.problems, warnings: [] })

const told = (heard: Heard): readonly GatewayEvent[] =>
  heard.is === 'announced'
    ? heard.announcement.facts.map(fact => ({ event: 'fact', position: heard.announcement.position, record: heard.announcement.ref, session: heard.session, fact }))
    : [{ event: 'exchange', what: heard.what, exchange: heard.exchange, session: heard.session, route: heard.route, reason: heard.reason, because: heard.because, at: heard.at }]
