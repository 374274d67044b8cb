// A redis-server process of the test's own on loopback, with its own port and directory; also as a sentinel (redis-sentinel.ts) or node (redis-cluster.ts).
// It is the real thing, never a mock, and dies with the test process however that ends: a guardian shell sees its pipe close and kills it.
import { type ChildProcess, spawn } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Redis } from 'ioredis'

const PROGRAM_PATH = [process.env['PATH'] ?? '', '/usr/sbin', '/usr/local/sbin'].join(delimiter)
const BOUND = 10_000
const STARTS = 8
/** Below the ports the system hands out by itself, so that a restart finds its port free; the bus of a cluster (port + 10000) also fits there. */
const [FIRST_PORT, LAST_PORT] = [11_000, 21_000]

export type Address = { readonly host: string; readonly port: number }
export type RedisTls = { readonly caFile: string; readonly certFile: string; readonly keyFile: string }

export type RedisServerOptions = {
  /** More lines of redis.conf; they come last and win. */
  readonly config?: readonly string[]
  /** A RedisServer is an Address too; its password becomes `masterauth`. */
  readonly replicaOf?: RedisServer | Address
  /** An existing directory to work in (a copied RDB or AOF), which is then kept at the end; else one of its own. */
  readonly directory?: string
  /** Else any free one. */
  readonly port?: number
  /** `requirepass`, and `masterauth` where the master says no other. */
  readonly password?: string
  /** Speaks only TLS; client certificates are optional unless `config` says `tls-auth-clients yes`. */
  readonly tls?: RedisTls
  readonly as?: 'server' | 'sentinel'
}

/** Polls until `look` finds something; what it throws counts as "not yet". @throws after `ms`, with the last fault as cause. */
export async function eventually<T>(what: string, ms: number, look: () => Promise<T | null>): Promise<T> {
  const end = performance.now() + ms
  for (let cause: unknown = null; ; await sleep(20)) {
    try {
      const found = await look()
      if (found !== null) return found
    } catch (error) {
      cause = error
    }
    if (performance.now() > end) throw new Error(`not within ${ms} ms: ${what}`, { cause })
  }
}

const ownDirectories = new Set<string>()
process.once('exit', () => ownDirectories.forEach(directory => rmSync(directory, { recursive: true, force: true })))

function guard(child: ChildProcess, directory: string): void {
  const guardian = spawn('sh', ['-c', 'read -r _ || { kill -9 "$0"; rm -rf "$1"; }', String(child.pid), directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  guardian.on('error', () => undefined)
  guardian.stdin.on('error', () => undefined)
  child.once('exit', () => guardian.stdin.end('over\n'))
}

function masterLines(master: RedisServer | Address): readonly string[] {
  const password = master instanceof RedisServer ? master.password : null
  return [`replicaof ${master.host} ${master.port}`, ...(password === null ? [] : [`masterauth ${password}`])]
}

const tlsLines = ({ caFile, certFile, keyFile }: RedisTls, port: number): readonly string[] =>
  ['port 0', `tls-port ${port}`, `tls-ca-cert-file ${caFile}`, `tls-cert-file ${certFile}`, `tls-key-file ${keyFile}`, 'tls-auth-clients optional', 'tls-replication yes', 'tls-cluster yes']

const SERVER_LINES: readonly string[] = ['appendonly no', 'save ""', 'maxmemory-policy noeviction', 'repl-diskless-sync-delay 0', 'shutdown-timeout 1', 'enable-debug-command local']

function configuration({ config = [], replicaOf, password, tls, as = 'server' }: RedisServerOptions, directory: string, port: number): string {
  const lines = [
    `port ${port}`, 'bind 127.0.0.1', 'protected-mode no', `dir ${directory}`, ...(as === 'server' ? SERVER_LINES : []),
    ...(tls === undefined ? [] : tlsLines(tls, port)),
    ...(password === undefined ? [] : [`requirepass ${password}`, ...(as === 'server' ? [`masterauth ${password}`] : [])]),
    ...(replicaOf === undefined ? [] : masterLines(replicaOf)),
    ...config,
  ]
  return `${lines.join('\n')}\n`
}

/**
 * One redis-server. `start` resolves when it answers PING (a replica may still be synchronising: `master.waitForReplicas(n)`).
 * Defaults: no persistence, `noeviction`, DEBUG allowed, diskless synchronisation without delay. DEBUG SLEEP, REPLICAOF NO ONE, FAILOVER, SAVE … go through `command`.
 * - `kill` is a crash (the directory stays), `restart` starts it again with the same port, directory and redis.conf: what CONFIG SET or REPLICAOF
 *   changed is forgotten, unless CONFIG REWRITE was called. `pause` and `resume` are SIGSTOP and SIGCONT.
 * - `stop` is an orderly end, `dispose` the quickest one, from any state and as often as you like; both remove the directory and are final.
 */
export class RedisServer implements Address {
  readonly host = '127.0.0.1'
  readonly port: number
  readonly directory: string
  readonly password: string | null
  readonly tls: RedisTls | null
  readonly #owned: boolean
  readonly #arguments: readonly string[]
  #child: ChildProcess | null = null
  #spawnFault: Error | null = null
  #connection: Redis | null = null
  #paused = false
  #over = false

  private constructor(options: RedisServerOptions, port: number) {
    this.port = port
    this.#owned = options.directory === undefined
    this.directory = options.directory ?? mkdtempSync(join(tmpdir(), 'narrowgate-redis-'))
    if (this.#owned) ownDirectories.add(this.directory)
    this.password = options.password ?? null
    this.tls = options.tls ?? null
    const file = join(this.directory, 'redis.conf')
    writeFileSync(file, configuration(options, this.directory, port), { mode: 0o600 })
    this.#arguments = options.as === 'sentinel' ? [file, '--sentinel'] : [file]
  }

  /** @throws Error with the end of its log when it does not answer within 10 s. */
  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    for (let tries = 1; ; tries += 1) {
      const server = new RedisServer(options, options.port ?? randomInt(FIRST_PORT, LAST_PORT))
      try {
        await server.#launch()
        return server
      } catch (error) {
        const another = options.port === undefined && tries < STARTS && server.#log().includes('Address already in use')
        await server.dispose()
        if (!another) throw error
      }
    }
  }

  /** `host:port`, as in `store.redis.nodes`. */
  get address(): string { return `${this.host}:${this.port}` }

  /** Without the password. */
  get url(): string { return `${this.tls === null ? 'redis' : 'rediss'}://${this.address}` }

  /** Of the process that was started last. */
  get pid(): number { return this.#child?.pid ?? 0 }

  /** The process is there, perhaps paused. */
  get alive(): boolean { return this.#child?.pid !== undefined && this.#child.exitCode === null && this.#child.signalCode === null }

  get paused(): boolean { return this.alive && this.#paused }

  /** SIGTERM; it may write its last RDB where `config` has save points. Also wakes it when paused. */
  async stop(): Promise<void> {
    await this.#end('SIGTERM')
    this.#cleanUp()
  }

  /** SIGKILL. Nothing happens when it is dead already. */
  async kill(): Promise<void> { await this.#end('SIGKILL') }

  /** Kills it first where it still runs. Resolves when it answers again. */
  async restart(): Promise<void> {
    if (this.#over) throw new Error('a RedisServer that was stopped or disposed of cannot be restarted: use kill() before restart()')
    await this.kill()
    await this.#launch()
  }

  /** Connections stay open and unanswered until `resume`; `command` must not be used meanwhile. */
  pause(): void {
    if (!this.alive) throw new Error('a redis-server that is not running cannot be paused')
    this.#child?.kill('SIGSTOP')
    this.#paused = true
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
    this.#paused = false
  }

  async dispose(): Promise<void> {
    await this.kill()
    this.#cleanUp()
  }

  /** Over a RESP2 connection of its own named `test-support`, opened when needed. Error replies reject; so does silence of 10 s. */
  async command(name: string, ...args: readonly (string | number | Buffer)[]): Promise<unknown> {
    if (!this.alive) throw new Error(`the redis-server of port ${this.port} is not running`)
    return this.#connected().call(name, ...args)
  }

  async configSet(name: string, value: string | number): Promise<void> { await this.command('CONFIG', 'SET', name, value) }

  /** The fields of INFO: `(await server.info('replication')).get('role')`. */
  async info(section = 'default'): Promise<ReadonlyMap<string, string>> {
    const lines = String(await this.command('INFO', section)).split('\r\n').filter(line => line.includes(':'))
    return new Map(lines.map(line => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1)]))
  }

  /** Until at least `count` replicas of this master are synchronised and online. Not that they have the last write: that is WAIT. */
  async waitForReplicas(count: number, ms = BOUND): Promise<void> {
    await eventually(`${count} replicas of port ${this.port} online`, ms, async () => {
      const online = [...(await this.info('replication'))].filter(([name, value]) => /^slave\d+$/.test(name) && value.includes('state=online'))
      return online.length >= count ? online : null
    })
  }

  async #launch(): Promise<void> {
    const log = openSync(join(this.directory, 'redis.log'), 'a', 0o600)
    const child = spawn('redis-server', [...this.#arguments], { cwd: this.directory, env: { ...process.env, PATH: PROGRAM_PATH }, stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    this.#child = child
    this.#paused = false
    child.once('error', error => (this.#spawnFault = error))
    child.once('exit', () => this.#connection?.disconnect()) // another may listen on its port, and never answer
    if (child.pid !== undefined) guard(child, this.#owned ? this.directory : '')
    const state = await eventually('it answers PING', BOUND, () => this.#state()).catch((error: unknown) => error)
    if (state === 'answers') return
    throw new Error(`redis-server on port ${this.port} ${state === 'gone' ? 'ended at once' : 'did not answer'}; its log ends with:\n${this.#log().slice(-2_000)}`, { cause: this.#spawnFault ?? state })
  }

  async #state(): Promise<'answers' | 'gone' | null> {
    if (!this.alive) return 'gone'
    const answering = (await this.info('server')).get('process_id')
    if (answering !== String(this.pid)) return null
    await this.command('PING')
    return 'answers'
  }

  async #end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    this.#connection?.disconnect()
    this.#connection = null
    this.#child?.kill(signal)
    if (this.#paused) this.resume()
    await eventually(`the redis-server of pid ${this.pid} ends after ${signal}`, BOUND, () => Promise.resolve(this.alive ? null : 'ended'))
  }

  #cleanUp(): void {
    this.#over = true
    if (!this.#owned) return
    rmSync(this.directory, { recursive: true, force: true })
    ownDirectories.delete(this.directory)
  }

  #connected(): Redis {
    if (this.#connection !== null && this.#connection.status !== 'end' && this.#connection.status !== 'close') return this.#connection
    const { host, port, password, tls } = this
    const redis = new Redis({
      host, port, protocol: 2, connectionName: 'test-support', disableClientInfo: true, enableReadyCheck: false, retryStrategy: () => null,
      autoResendUnfulfilledCommands: false, maxRetriesPerRequest: 0, connectTimeout: BOUND, commandTimeout: BOUND, ...(password === null ? {} : { password }),
      ...(tls === null ? {} : { tls: { ca: readFileSync(tls.caFile), cert: readFileSync(tls.certFile), key: readFileSync(tls.keyFile) } }),
    })
    redis.on('error', () => undefined) // the command that meets it rejects
    this.#connection = redis
    return redis
  }

  #log(): string { return readFileSync(join(this.directory, 'redis.log'), 'utf8') }
}
