// Where a run of bench:cut lives: a real redis-server, a token issuer, an upstream and two gateways, each a process of its own, on loopback.
import { hash, randomBytes } from 'node:crypto'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { ConfigSource } from '../../../src/config/source.ts'
import { initStore } from '../../../src/sessions/data-set.ts'
import { RedisServer } from '../../support/redis-server.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { Operator } from './operator.ts'
import { Child } from './talk.ts'

const AUDIENCE = 'narrowgate'
export const TRANSMITTER = 'idp'
const LIMIT = 100_000
const HEAP = ['--max-semi-space-size=64', '--min-semi-space-size=64', '--no-allocation-site-pretenuring']
/** What a process needs beside the sockets of its exchanges. */
const FILES_BESIDE = 100

/** `main` speaks HTTP/1.1 and WebSocket alone. */
export type Ports = { readonly main: number; readonly http2: number; readonly admin: number; readonly news: number }
export type GatewayChild = { readonly child: Child; readonly ports: Ports }

/** Exchanges that fit into one gateway process where each has two sockets there; over HTTP/2 it has little more than one. */
export function exchangesThatFit(): number {
  const [, files = '0'] = /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  return files === 'unlimited' ? LIMIT : Math.floor((Number(files) - FILES_BESIDE) / 2)
}

const configuration = (directory: string, upstream: number, redis: RedisServer, issuer: TokenIssuer): string => stringify({
  version: 1,
  stateDir: join(directory, 'state'),
  server: {
    workers: 1,
    listeners: [
      { name: 'main', address: '127.0.0.1:0', serves: ['proxy', 'keys'] },
      { name: 'http2', address: '127.0.0.1:0', serves: ['proxy'], protocols: ['http2'] },
      { name: 'admin', address: '127.0.0.1:0', serves: ['admin'] },
      { name: 'news', address: '127.0.0.1:0', serves: ['signals'] },
      { name: 'ops', address: '127.0.0.1:0', serves: ['health', 'metrics'] },
    ],
    limits: { exchangesPerSession: LIMIT, connections: LIMIT },
  },
  store: { redis: { url: redis.url } },
  admin: { auth: { tokenFile: join(directory, 'operators.json') } },
  authn: { login: { jwt: { issuer: issuer.issuer, audience: AUDIENCE, jwksFile: join(directory, 'jwks.json') }, kind: 'agent' } },
  purposes: { ticket: { header: 'narrowgate-ticket', source: 'manual' } },
  signals: { ssf: [{ name: TRANSMITTER, transmitter: issuer.issuer, delivery: 'push', manage: false, audience: AUDIENCE, authorizationFile: join(directory, 'transmitter'), jwksFile: join(directory, 'jwks.json'), perSecond: 10_000 }] },
  telemetry: { logs: { level: 'warn' } },
  upstreams: { api: { url: `http://127.0.0.1:${upstream}`, connections: LIMIT } },
  routes: [{
    name: 'bench', match: { host: '127.0.0.1' }, upstream: 'api',
    rules: [{ allow: { methods: ['GET'] }, scope: 'bench:read' }, { allow: { paths: ['/ws'], upgrade: 'websocket' }, scope: 'bench:read' }],
  }],
  elevations: { bench: { adds: ['bench:read'], for: '1h', purpose: ['ticket'], approval: 'none' } },
})

export class Site {
  readonly redis: RedisServer
  readonly issuer: TokenIssuer
  readonly #upstream: Child
  readonly #directory: string
  readonly #children: Child[] = []
  readonly #token = `nga_${randomBytes(32).toString('base64url')}`
  /** What the transmitter of events says as `Authorization`. */
  readonly transmitterWord = `Bearer ${randomBytes(32).toString('base64url')}`
  #made = 0

  private constructor(redis: RedisServer, issuer: TokenIssuer, directory: string) {
    this.redis = redis
    this.issuer = issuer
    this.#directory = directory
    this.#upstream = new Child('./upstream-process.ts', [])
  }

  static async open(): Promise<Site> {
    return new Site(await RedisServer.start(), await TokenIssuer.create({ audience: AUDIENCE }), mkdtempSync(join(tmpdir(), 'narrowgate-bench-cut-')))
  }

  async gateway(): Promise<GatewayChild> {
    const child = this.#start('./gateway-process.ts', await this.#configured(), HEAP)
    return { child, ports: (await child.ask('ports')) as Ports } // as gateway-process.ts tells it
  }

  /** A member of the same store without a gateway around it. */
  async member(flags: readonly string[]): Promise<Child> { return this.#start('./sessions-process.ts', await this.#configured(), flags) }

  #start(program: string, file: string, flags: readonly string[]): Child {
    const child = new Child(program, [file], flags)
    this.#children.push(child)
    return child
  }

  /** A configuration file in a folder of its own. */
  async #configured(): Promise<string> {
    const directory = join(this.#directory, `member-${++this.#made}`)
    mkdirSync(directory)
    const operator = { name: 'bench', sha256: hash('sha256', this.#token), roles: ['operator', 'admin'], identity: 'file|bench' }
    writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens: [operator] }), { mode: 0o600 })
    writeFileSync(join(directory, 'transmitter'), this.transmitterWord, { mode: 0o600 })
    await this.issuer.writeJwks(join(directory, 'jwks.json'))
    const file = join(directory, 'gateway.yaml')
    writeFileSync(file, configuration(directory, await this.#upstream.figure('port'), this.redis, this.issuer))
    if (this.#made === 1) await this.#install(file)
    return file
  }

  operator(gateway: GatewayChild): Operator { return new Operator(gateway.ports.admin, this.#token) }

  async #install(file: string): Promise<void> {
    const loaded = new ConfigSource(file).load()
    if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
    await initStore(loaded.settings)
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map(child => child.end()))
    await this.#upstream.end()
    await this.redis.dispose()
    rmSync(this.#directory, { recursive: true, force: true })
  }
}
