// A whole gateway in the test's own process: real configuration text, real sockets, embedded store in a fresh folder, a real token issuer and a
// recording upstream. What a test replaces (clock, store port, rules) it says. For tests only.
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { type IncomingMessage, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { trailFiles } from '../../src/audit/tail.ts'
import { load } from '../../src/config/load.ts'
import { ConfigSource, processEnvironment } from '../../src/config/source.ts'
import type { Settings } from '../../src/config/settings.ts'
import { openGateway } from '../../src/gateway.ts'
import type { Gateway } from '../../src/running-gateway.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { initStore } from '../../src/sessions/data-set.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import type { SessionKey } from '../../src/core/session.ts'
import { RecordingUpstream } from './recording-upstream.ts'
import { eventually, type RedisServer } from './redis-server.ts'
import { type Target } from './raw-client.ts'
import { testAuthority } from './tls.ts'
import { TokenIssuer } from './token-issuer.ts'

export type GatewayPlan = {
  readonly routes: string
  readonly elevations?: string
  /** Further top-level YAML. */
  readonly more?: string
  /** Further YAML under `server`, such as `limits: { … }`. */
  readonly server?: string
  readonly baseline?: string
  readonly tls?: boolean
  /** Further YAML of the data listener, such as `protocols: [http1, http2]`. */
  readonly listener?: string
  readonly clock?: Clock
  readonly wrapStore?: (store: SessionStore) => SessionStore
  /** YAML of `store`, put behind the rest; the embedded one where it is left out. */
  readonly store?: string
  /** The whole configuration, in place of the one made of the members above; its listeners are called main, admin and ops. */
  readonly config?: (made: { readonly directory: string; readonly upstream: RecordingUpstream; readonly issuer: TokenIssuer }) => string
  readonly directory?: string
  readonly upstream?: RecordingUpstream
  readonly issuer?: TokenIssuer
}

export type Answer = { readonly status: number; readonly headers: { readonly [name: string]: string | readonly string[] | undefined }; readonly text: string; readonly json: Record<string, unknown> }

function configText(plan: GatewayPlan, upstream: RecordingUpstream, issuer: TokenIssuer, directory: string, tls: string): string {
  return `
version: 1
stateDir: ${directory}/state
server:
  listeners:
    - { name: main, address: "127.0.0.1:0", serves: [proxy, keys]${tls}${plan.listener === undefined ? '' : `, ${plan.listener}`} }
    - { name: admin, address: "127.0.0.1:0", serves: [admin] }
    - { name: ops, address: "127.0.0.1:0", serves: [health, metrics] }
  ${plan.server ?? ''}
authn:
  login: { jwt: { issuer: "${issuer.issuer}", audience: narrowgate, jwksFile: ${directory}/jwks.json }, kind: agent }
sessions:
  baseline: ${plan.baseline ?? '[{ scopes: [base:read] }]'}
upstreams:
  api: { url: "${upstream.origin}", timeout: 5s }
telemetry: { logs: { level: silent } }
${plan.more ?? ''}
routes:
${plan.routes.trim().split('\n').map(line => `  ${line}`).join('\n')}
${plan.elevations === undefined ? '' : `elevations:\n${plan.elevations.trim().split('\n').map(line => `  ${line}`).join('\n')}`}
`
}

/** Two gateways of one installation, for one upstream and callers of one issuer. */
export type GatewayPair = {
  readonly a: TestGateway
  readonly b: TestGateway
  /** Every line of both trails so far, facts wherever they were drained. */
  readonly trail: () => Promise<readonly Record<string, unknown>[]>
  readonly stop: () => Promise<void>
}

/** YAML of a `store` in Redis on loopback. */
export const storeAt = ({ port }: { readonly port: number }, more = ''): string => `{ redis: { url: "redis://127.0.0.1:${port}" }${more === '' ? '' : `, ${more}`} }`

function loaded(text: string, file: string): Settings {
  const result = load(text, file, processEnvironment())
  if (!result.ok) throw new Error(result.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
  return result.settings
}

export class TestGateway {
  readonly gateway: Gateway
  readonly upstream: RecordingUpstream
  readonly issuer: TokenIssuer
  readonly directory: string
  readonly configFile: string
  readonly target: Target
  readonly adminToken: string
  readonly #owned: readonly (() => Promise<void> | void)[]

  private constructor(gateway: Gateway, upstream: RecordingUpstream, issuer: TokenIssuer, directory: string, configFile: string, target: Target, owned: readonly (() => Promise<void> | void)[]) {
    this.gateway = gateway
    this.upstream = upstream
    this.issuer = issuer
    this.directory = directory
    this.configFile = configFile
    this.target = target
    this.#owned = owned
    this.adminToken = readFileSync(join(directory, 'state', 'admin.token'), 'utf8').trim()
  }

  static async start(plan: GatewayPlan): Promise<TestGateway> {
    const directory = plan.directory ?? mkdtempSync(join(tmpdir(), 'ng-test-'))
    const upstream = plan.upstream ?? (await RecordingUpstream.start())
    const issuer = plan.issuer ?? (await TokenIssuer.create())
    await issuer.writeJwks(join(directory, 'jwks.json'))
    const authority = plan.tls === true ? await testAuthority() : null
    const tls = authority === null ? '' : `, tls: { certFile: ${authority.server.certFile}, keyFile: ${authority.server.keyFile} }`
    const configFile = join(directory, 'gateway.yaml')
    const { writeFileSync } = await import('node:fs')
    const text = plan.config?.({ directory, upstream, issuer }) ?? configText(plan, upstream, issuer, directory, tls)
    writeFileSync(configFile, plan.store === undefined ? text : `${text}\nstore: ${plan.store}\n`)
    const source = new ConfigSource(configFile)
    const first = source.load()
    if (!first.ok) throw new Error(first.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
    await initStore(first.settings)
    const gateway = await openGateway({ settings: first.settings, source, ...(plan.clock === undefined ? {} : { clock: plan.clock }), ...(plan.wrapStore === undefined ? {} : { wrapStore: plan.wrapStore }) })
    const { port } = gateway.front.bound.get('main')?.address ?? { port: 0 }
    const owned = [
      ...(plan.upstream === undefined ? [() => upstream.close()] : []),
      ...(plan.directory === undefined ? [() => rmSync(directory, { recursive: true, force: true })] : []),
    ]
    return new TestGateway(gateway, upstream, issuer, directory, configFile, { port, ...(authority === null ? {} : { tls: { ca: authority.ca } }) }, owned)
  }

  /** @param store what else stands under it; @param way by which the second one reaches the server, such as a proxy */
  static async pair(server: RedisServer, { store = '', ...plan }: GatewayPlan, way: { readonly port: number } = server): Promise<GatewayPair> {
    const a = await TestGateway.start({ ...plan, store: storeAt(server, store) })
    const b = await TestGateway.start({ ...plan, upstream: a.upstream, issuer: a.issuer, store: storeAt(way, store) })
    const trail = async () => {
      await eventually('every fact is in a trail', 10_000, async () => {
        await Promise.all([a, b].map(({ parts }) => parts.ledger.settled().then(() => parts.drainer.drainNow())))
        return Number(await server.command('XLEN', 'ng:{0}:O')) === 0 ? 'empty' : null
      })
      return [...(await a.trail()), ...(await b.trail())]
    }
    return { a, b, trail, stop: () => b.stop().then(() => a.stop()) }
  }

  get parts() { return this.gateway.parts }

  /** Ends the gateway, as SIGTERM would with no time to drain left; what it was given stays. */
  async stop(): Promise<void> {
    for (const exchange of this.parts.inflight.all()) this.parts.reassessor.end(exchange, 'drained', 'test', null)
    await this.gateway.close('test')
    for (const close of this.#owned) await close()
  }

  token(claims: { readonly [name: string]: unknown } = {}): Promise<string> { return this.issuer.sign({ jti: Math.random().toString(36).slice(2), ...claims }) }

  /** A plain request through the data listener. */
  ask(method: string, path: string, headers: { readonly [name: string]: string } = {}, body = ''): Promise<Answer> {
    return this.#request('main', method, path, { host: 'api.test', ...headers }, body)
  }

  /** A request to the admin listener with the operator's token. */
  admin(method: string, path: string, body: unknown = null): Promise<Answer> {
    const text = body === null ? '' : JSON.stringify(body)
    return this.#request('admin', method, path, { authorization: `Bearer ${this.adminToken}`, ...(text === '' ? {} : { 'content-type': 'application/json' }) }, text)
  }

  ops(path: string): Promise<Answer> { return this.#request('ops', 'GET', path, {}, '') }

  /** Opens a ticket by an operator's word, then asks for the elevation. */
  async elevate(token: string, profile: string, ticket: string | null = null, more: { readonly [name: string]: unknown } = {}): Promise<string> {
    if (ticket !== null) await this.admin('POST', `/v1/anchors/ticket/${ticket}`, { state: 'open', reason: 'test' })
    const answer = await this.ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, JSON.stringify({ profile, ...(ticket === null ? {} : { purpose: { ticket } }), ...more }))
    if (answer.status !== 201) throw new Error(`elevation refused: ${answer.status} ${answer.text}`)
    return String(answer.json['id'])
  }

  /** The session of a token, as the gateway knows it. */
  async session(token: string): Promise<{ readonly id: string; readonly key: SessionKey }> {
    const answer = await this.ask('GET', '/.narrowgate/session', { authorization: `Bearer ${token}` })
    const live = this.parts.mirror.byId(String(answer.json['id']))
    if (live === null) throw new Error(`no session: ${answer.status} ${answer.text}`)
    return { id: live.record.id, key: live.record.key }
  }

  /** Every line of the trail so far, as JSON. */
  async trail(): Promise<readonly Record<string, unknown>[]> {
    await this.parts.ledger.settled()
    await this.parts.drainer.drainNow()
    this.parts.trail.flushNow()
    return trailFiles(this.trailFile).flatMap(file => readFileSync(file, 'utf8').trim().split('\n').map(line => JSON.parse(line) as Record<string, unknown>))
  }

  get trailFile(): string { return join(this.directory, 'state', 'trail.jsonl') }

  async #request(listener: string, method: string, path: string, headers: { readonly [name: string]: string }, body: string): Promise<Answer> {
    const { address } = this.gateway.front.bound.get(listener) ?? {}
    const { tls } = this.target
    const { request } = listener === 'main' && tls !== undefined ? await import('node:https') : { request: httpRequest }
    const sent = request({ host: '127.0.0.1', port: address?.port, method, path, headers: { ...headers, ...(body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) }) }, agent: false, ...(tls === undefined ? {} : { ca: tls.ca, servername: 'api.test' }) })
    sent.end(body)
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    const chunks: Buffer[] = []
    for await (const chunk of response) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString('utf8')
    let json: Record<string, unknown> = {}
    try {
      json = JSON.parse(text) as Record<string, unknown>
    } catch {
      json = {}
    }
    return { status: response.statusCode ?? 0, headers: response.headers, text, json }
  }
}

export { loaded as settingsOf }
