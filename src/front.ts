// The listeners of a gateway and what each of them serves: callers on some, operators and probes on others. Drains them in the right order.
// SPEC: ADM9, CFG8
import { resolve } from 'node:path'
import { Authorizer } from './admin/authorize.ts'
import { firstToken } from './admin/first-token.ts'
import type { TokenEntry } from './admin/token-file.ts'
import { healthHandler, healthServices } from './admin/health.ts'
import { ControlListener } from './admin/listener.ts'
import { openOperators } from './admin/operators.ts'
import type { AdminRoom, GatewayEvent, Reloaded } from './admin/room.ts'
import { adminHandler } from './admin/server.ts'
import { foldsSubjects, isVouchedIssuer } from './admin/vouched-issuers.ts'
import { NOBODY } from './audit/record.ts'
import { trailFiles } from './audit/tail.ts'
import { readTimeline } from './audit/timeline.ts'
import { load } from './config/load.ts'
import type { Loaded } from './config/load.ts'
import type { Problem } from './config/problem.ts'
import { processEnvironment } from './config/source.ts'
import type { ListenerSettings, Settings } from './config/settings.ts'
import { type Reason, REASONS } from './core/reason.ts'
import type { Instant } from './core/time.ts'
import type { Heard } from './enforcement/hub.ts'
import type { Parts } from './running-gateway.ts'
import type { ProviderTools } from './identity/provider.ts'
import { type Certificate, readCertificate } from './proxy/certificate.ts'
import { supposedCall } from './proxy/describe/supposed-call.ts'
import { describeTarget } from './proxy/describe/target.ts'
import { Listener } from './proxy/listener.ts'
import type { Door } from './proxy/room.ts'
import { newEvaluationId } from './runtime/id.ts'
import { writeSecretFile } from './runtime/secret-file.ts'

/** What runs, since when, and how another configuration is asked for. */
export type ConfigDesk = {
  readonly file: string
  readonly running: () => { readonly loadedAt: Instant; readonly warnings: readonly Problem[] }
  readonly reload: (by: string) => Promise<Loaded>
}

/** What the listeners of one configuration read from disk; a reload swaps it. */
export type Doors = { readonly certificates: ReadonlyMap<string, Certificate>; readonly authorizer: Authorizer }

/** @param first the token of a gateway without a token file. @throws Error naming the file, and its listener where it has one */
export async function openDoors({ listeners, admin }: Settings, first: TokenEntry | null, ports: ProviderTools & Pick<Parts, 'log'>): Promise<Doors> {
  const certificates = new Map<string, Certificate>()
  for (const listener of listeners) {
    const certificate = await readCertificate(listener)
    if (certificate !== null) certificates.set(listener.name, certificate)
  }
  const authorizer = new Authorizer({ tokenFile: admin.tokenFile, breakGlassTokenFile: admin.breakGlassTokenFile, first }, ports, await openOperators(admin, ports))
  await authorizer.check()
  return { certificates, authorizer }
}

/** The token that `run` writes where operators have no other way in; null where none is needed. */
export async function ownToken({ admin, listeners, stateDir }: Settings): Promise<TokenEntry | null> {
  const needed = admin.tokenFile === null && admin.oidc === null && admin.mtls === null && listeners.some(({ serves }) => serves.includes('admin'))
  return needed ? firstToken(`${stateDir}/admin.token`, writeSecretFile) : null
}

type Address = { readonly address: string; readonly port: number; readonly family: string }
type Bound = { readonly settings: ListenerSettings; readonly address: Address }

const DRAIN_LOOK = 50

export class Front {
  readonly #parts: Parts
  readonly #config: ConfigDesk
  readonly #doors: Doors
  readonly #listeners = new Map<string, Listener>()
  readonly #controls = new Map<string, ControlListener>()
  readonly #closing = new AbortController()
  readonly bound = new Map<string, Bound>()
  #ready = false
  #draining = false
  /** What is known here was fresh once. Later lapses refuse requests, but leave the gateway where its callers find it: all lapse together. */
  #confirmed = false

  constructor(parts: Parts, config: ConfigDesk, doors: Doors) {
    this.#parts = parts
    this.#config = config
    this.#doors = doors
  }

  /** Where a listener is bound: `127.0.0.1:8080`. */
  address(name: string): string {
    const bound = this.bound.get(name)
    if (bound === undefined) throw new RangeError(`no listener ${name}`)
    const { address, port, family } = bound.address
    return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
  }

  /** Binds every listener, or none: what was bound is closed again when one fails. @throws Error naming the listener */
  async listen(): Promise<void> {
    const { listeners } = this.#parts.settings()
    const room = this.#adminRoom()
    try {
      for (const settings of listeners) this.bound.set(settings.name, { settings, address: await this.#open(settings, room) })
    } catch (error) {
      this.shut()
      throw error
    }
    this.#ready = true
    this.#standing()
    this.#parts.log.info({ listeners: listeners.map(({ name, serves }) => `${name} ${this.address(name)} ${serves.join('+')}`) }, 'listening')
  }

  /** Ready no more; after the configured delay nothing new, then open exchanges get their time, then they end. */
  async drain(): Promise<void> {
    if (this.#draining) return
    this.#draining = true
    const { drain } = this.#parts.settings()
    await pause(drain.delay)
    this.#parts.pipeline.drain()
    for (const listener of this.#listeners.values()) listener.stop()
    const until = performance.now() + drain.timeout
    while (this.#parts.inflight.all().some(({ kind }) => kind !== 'task') && performance.now() < until) await pause(DRAIN_LOOK) // what goes on upstream is not waited for
    for (const exchange of this.#parts.inflight.all()) this.#parts.reassessor.end(exchange, 'drained', 'shutdown', null)
    this.shut()
  }

  /** Ends every connection and every listener at once. */
  shut(): void {
    this.#closing.abort()
    for (const listener of this.#listeners.values()) listener.destroy()
    for (const control of this.#controls.values()) control.close()
  }

  /** Certificates and operators of a configuration that has the same listeners; cannot fail. */
  take({ certificates, authorizer }: Doors): void {
    this.#doors.authorizer.replace(authorizer)
    for (const [name, certificate] of certificates) (this.#listeners.get(name) ?? this.#controls.get(name))?.secure(certificate)
  }

  async #open(settings: ListenerSettings, room: AdminRoom): Promise<Address> {
    try {
      return await this.#bind(settings, room)
    } catch (error) {
      throw bindProblem(settings, error)
    }
  }

  #bind(settings: ListenerSettings, room: AdminRoom): Promise<Address> {
    const tls = this.#doors.certificates.get(settings.name) ?? null
    if (settings.serves.includes('proxy') || settings.serves.includes('keys')) return this.#openProxy(settings, tls)
    const handler = settings.serves.includes('decisions') ? decisionsHandler(this.#parts) : settings.serves.includes('signals') ? this.#parts.outside.handler : settings.serves.includes('admin') ? adminHandler(room) : healthHandler(room, healthServices(settings))
    const listener = new ControlListener({ host: settings.host, port: settings.port, tls, handler })
    this.#controls.set(settings.name, listener)
    return listener.listen()
  }

  #openProxy(settings: ListenerSettings, tls: Certificate | null): Promise<Address> {
    const { pipeline, noise, metrics, clock } = this.#parts
    const refused = (reason: Reason, source: string): void => noise.refused({ ...NOBODY, evaluation: newEvaluationId(), source, method: '', host: '', path: '', reason })
    const door: Door = { serves: settings.serves, forwardedCertificates: settings.forwardedCertificates, isMisdirected: (serverName, host) => listener.isMisdirected(serverName, host) }
    const listener = new Listener({
      host: settings.host, port: settings.port, tls, protocols: settings.protocols, limits: this.#parts.settings().limits, clock,
      proxies: settings.proxyProtocol ? () => this.#parts.settings().trustedProxies : null,
      onRequest: arrival => pipeline.serve(arrival, door),
      onFault: (reason, source, protocol) => {
        metrics.requests.count('', '', protocol, REASONS[reason].status, reason, null)
        metrics.limited(reason)
        refused(reason, source)
      },
      onFull: () => metrics.limitReached.inc({ limit: 'streams_per_connection' }),
      onLimit: (limit, source) => {
        metrics.limitReached.inc({ limit })
        refused('limit_reached', source)
      },
    })
    this.#listeners.set(settings.name, listener)
    return listener.listen()
  }

  #adminRoom(): AdminRoom {
    const { settings, clock, log, metrics, store, mirror, intake, inflight, trail, noise, hub, sessionTokens, following, outside, trust } = this.#parts
    return {
      inbox: outside.inbox, naming: outside.naming, risk: trust.risk, describeTarget, describeCall: supposedCall, intake, mirror, store, inflight, clock, metrics, log, authorizer: this.#doors.authorizer, closing: this.#closing.signal,
      sessionTokens, lookUp: outside.lookUp, unreviewed: following.unreviewed, objection: following.objection, vouchedIssuer: issuer => isVouchedIssuer(settings(), issuer), foldsSubjects: issuer => foldsSubjects(settings(), issuer),
      ready: () => this.#readiness(),
      config: {
        current: () => ({ digest: settings().digest, file: this.#config.file, ...this.#config.running() }),
        validate: text => checked(load(text, 'configuration', processEnvironment())),
        reload: by => this.#reloaded(by),
      },
      timeline: async session => readTimeline(await this.#trailSoFar(), session), trailSoFar: () => this.#trailSoFar(),
      record: (who, action, target, note) => trail.adminChanged({ who, action, target, note }), refused: refused => noise.refused(refused),
      head: () => trail.head, trailFile: resolve(this.#parts.trailFile),
      events: { subscribe: listener => hub.subscribe(heard => { for (const event of told(heard)) listener(event) }) },
    }
  }

  async #trailSoFar(): Promise<readonly string[]> {
    const { trail, drainer } = this.#parts
    await drainer.drainNow()
    trail.flushNow()
    return trailFiles(this.#parts.trailFile)
  }

  async #reloaded(by: string): Promise<Reloaded> {
    const loaded = await this.#config.reload(by)
    return { ...checked(loaded), digest: this.#parts.settings().digest }
  }

  #readiness() {
    const store = this.#standing()
    const checks = { gateway: this.#draining ? 'draining' : this.#ready ? 'ok' : 'starting', store, trail: this.#parts.trail.healthy ? 'ok' : 'elevated requests cannot be recorded' }
    return { ok: this.#ready && !this.#draining && this.#confirmed, checks }
  }

  #standing(): 'ok' | 'lapsed' | 'never confirmed' {
    const { store, clock } = this.#parts
    const fresh = store.confirmedUntil() > clock.elapsed()
    this.#confirmed ||= fresh
    return fresh ? 'ok' : this.#confirmed ? 'lapsed' : 'never confirmed'
  }
}

/** Other proxies ask about their requests there; everybody else by AuthZEN. */
const decisionsHandler = ({ forwardAuth, decisions }: Parts): Parts['decisions']['handler'] => (request, response) =>
  ((request.url ?? '').startsWith('/forward-auth') ? forwardAuth : decisions).handler(request, response)

const pause = (ms: number): Promise<void> => new Promise(resolve => setTimeout(resolve, ms))
const BIND_PROBLEMS: { readonly [code: string]: string } = { EADDRINUSE: 'is in use', EADDRNOTAVAIL: 'is not an address of this machine', EACCES: 'needs a permission that this process lacks' }

/** Names the listener, and the address where that is what is wrong. */
export function bindProblem({ name, host, port }: ListenerSettings, error: unknown): Error {
  const said = error instanceof Error && 'code' in error ? BIND_PROBLEMS[String(error.code)] : undefined
  return new Error(`listener ${name}: ${said === undefined ? String(error) : `${host}:${port} ${said}`}`, { cause: error })
}

const checked = (loaded: Loaded) => (loaded.ok ? { errors: [], warnings: loaded.warnings } : { errors: loaded.problems, warnings: [] })

const told = (heard: Heard): readonly GatewayEvent[] =>
  heard.is === 'announced'
    ? heard.announcement.facts.map(fact => ({ event: 'fact', position: heard.announcement.position, record: heard.announcement.ref, session: heard.session, fact }))
    : [{ event: 'exchange', what: heard.what, exchange: heard.exchange, session: heard.session, route: heard.route, reason: heard.reason, because: heard.because, at: heard.at }]
