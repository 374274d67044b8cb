// One connection to one server, once: no reconnecting, no queue, nothing sent twice. When it fails it is thrown away and another object is made.
// Calls the library as functions, or as scripts where the server has none. SPEC: STO14, STO17
import { Redis } from 'ioredis'
import { sha1 } from '../../runtime/id.ts'
import { StoreFault, StoreFull } from '../store-fault.ts'
import { BUILD, type FunctionName, LIBRARY, LIBRARY_TEXT, scriptOf } from './library.ts'

export type Address = { readonly host: string; readonly port: number }
export type Access = {
  readonly username: string | null
  readonly password: string | null
  readonly database: number
  readonly tls: { readonly ca: Buffer | null; readonly cert: Buffer | null; readonly key: Buffer | null; readonly serverName: string | null } | null
  /** Longest wait for a connection and for an answer, in milliseconds. */
  readonly connectTimeout: number
  readonly commandTimeout: number
}

/** The connection is of no use any more; whether a command was done is not known. */
export class LinkLost extends StoreFault {
  override readonly name = 'LinkLost'

  constructor(says: string, cause?: unknown) {
    super('unreachable', says, cause)
  }
}

type Listener = (channel: string, message: string) => void

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Answers that say: this is not the master to talk to, or not now. */
const ELSEWHERE = /^(READONLY|MOVED|ASK|TRYAGAIN|CLUSTERDOWN|LOADING|MASTERDOWN|NOREPLICAS|MISCONF|UNBLOCKED|BUSY)\b/
const CURES: readonly (readonly [RegExp, (message: string) => StoreFault])[] = [
  [/^(WRONGPASS|NOAUTH)|invalid password|without any password configured/i, m => new StoreFault('misconfigured', `Redis refuses the user or the password (${m}): check store.redis.username and passwordFile`)],
  [/NOPERM|^ERR The user executing the script/, m => new StoreFault('misconfigured', `the Redis user lacks a right (${m}): set the ACL of docs/operations-redis.md`)],
  [/NGFOREIGN|^WRONGTYPE/, () => new StoreFault('not_ours', 'the keys under this prefix belong to another program: choose another store.redis.prefix or database')],
  [/NGFORMAT (\S+)/, m => new StoreFault('newer_schema', `the data in Redis has format ${/NGFORMAT (\S+)/.exec(m)?.[1] ?? ''}, which this version does not read: run the version that wrote it, or use another prefix`)],
  [/NGSHARDS (\d+)/, m => new StoreFault('misconfigured', `the data in Redis has ${/NGSHARDS (\d+)/.exec(m)?.[1] ?? ''} shards, the configuration says otherwise: set store.redis.shards to that number; it can not change afterwards`)],
  [/:SSL routines:/, m => new StoreFault('misconfigured', `Redis and this gateway find no TLS together (${/:SSL routines:[^:]*:([^:]*)/.exec(m)?.[1] ?? ''}): check that the port speaks TLS, and store.redis.tls.certFile and keyFile where it asks for a certificate`)],
  [/altnames|certificate/, m => new StoreFault('misconfigured', `the certificate of Redis is not accepted (${m}): check store.redis.tls.caFile and serverName`)],
  [/cluster support disabled/, () => new StoreFault('misconfigured', 'this server is not a node of a cluster: set `store.redis.mode: single` or `sentinel`')],
  [/unknown command '?SENTINEL/i, () => new StoreFault('misconfigured', 'this server is not a sentinel: `store.redis.nodes` names the sentinels where the mode is sentinel')],
  [/unknown command '?EVAL/i, () => new StoreFault('misconfigured', 'this server runs neither functions nor scripts: a sentinel, or no Redis; check `store.redis.mode` and the address')],
  [/NGFULL/, m => new StoreFull(`the store is full: ${m}`)],
  [/^OOM|OOM command not allowed/, () => new StoreFull('Redis is out of memory: only ends are taken until there is more (maxmemory)')],
]

export function faultOf(error: unknown): StoreFault {
  if (error instanceof StoreFault) return error
  const message = messageOf(error)
  const cure = CURES.find(([pattern]) => pattern.test(message))
  if (cure !== undefined) return cure[1](message)
  return ELSEWHERE.test(message) || isConnection(message) ? new LinkLost(`Redis does not serve this now: ${message}`, error) : new StoreFault('failed', `Redis answered: ${message}`, error)
}

const isConnection = (message: string): boolean => /Connection is closed|ECONN|ETIMEDOUT|EPIPE|EHOST|ENET|ENOTFOUND|EAI_AGAIN|timed out|Command timed out|isn't writeable|closed|max retries/i.test(message)

/** A name to ask for and to check; an address is checked as it is, and must not be asked for (RFC 6066, section 3). */
const serverNameOf = ({ host }: Address, name: string | null): { readonly servername?: string } => (name !== null ? { servername: name } : /^[\d.]+$|:/.test(host) ? {} : { servername: host })

/** What the others need of a link. */
export type Wire = Pick<Link, 'call' | 'command' | 'destroy' | 'isDown' | 'listen' | 'onDown'>

export class Link {
  readonly address: Address
  readonly #redis: Redis
  #scripted = false
  #down: Error | null = null
  onDown: (cause: Error) => void = () => {}

  private constructor(address: Address, redis: Redis) {
    this.address = address
    this.#redis = redis
  }

  /** @param key where the library is to be used; null for a server without it, such as a sentinel. @throws StoreFault with the cause and the cure */
  static async open(address: Address, access: Access, name: string, key: string | null): Promise<Link> {
    const { username, password, database, tls, connectTimeout, commandTimeout } = access
    const redis = new Redis({
      ...address, db: database, lazyConnect: true, connectionName: name, connectTimeout, commandTimeout, retryStrategy: null, enableOfflineQueue: false, autoResendUnfulfilledCommands: false,
      autoResubscribe: false, maxRetriesPerRequest: 0, enableReadyCheck: false, disableClientInfo: true, enableAutoPipelining: false,
      ...(username === null ? {} : { username }), ...(password === null ? {} : { password }),
      ...(tls === null ? {} : { tls: { ...(tls.ca === null ? {} : { ca: tls.ca }), ...(tls.cert === null ? {} : { cert: tls.cert }), ...(tls.key === null ? {} : { key: tls.key }), ...serverNameOf(address, tls.serverName) } }),
    })
    const link = new Link(address, redis)
    redis.on('error', error => link.#failed(error))
    redis.on('close', () => link.#failed(new LinkLost('the connection was closed')))
    const late = Promise.withResolvers<never>()
    const patience = Math.max(connectTimeout, commandTimeout)
    const timer = setTimeout(() => late.reject(new LinkLost(`no connection to Redis within ${patience} ms`)), patience) // all its steps together; a silent server would hold each that long
    try {
      await Promise.race([link.#ready(key), late.promise])
      return link
    } catch (error) {
      link.destroy()
      throw faultOf(link.#down !== null && isConnection(messageOf(error)) ? link.#down : error)
    } finally {
      clearTimeout(timer)
    }
  }

  async #ready(key: string | null): Promise<void> {
    await this.#redis.connect()
    if (key !== null) await this.#prepare(key)
  }

  get isDown(): boolean { return this.#down !== null }

  /** Makes sure that the library is there, the very text of this version, and that this user may do all it does: half of a write is never done. */
  async #prepare(key: string): Promise<void> {
    const { build, lacks } = await this.#hello(key).catch((error: unknown) => this.#introduced(key, error))
    if (build !== BUILD) throw new StoreFault('library', `another text of the library ${LIBRARY} is loaded in Redis (${build}, this version has ${BUILD}): run \`narrowgate store init\` of the version that shall run`)
    if (lacks !== '') throw new StoreFault('misconfigured', `the Redis user lacks the rights ${lacks}: set the ACL of docs/operations-redis.md`)
  }

  async #introduced(key: string, error: unknown): Promise<{ readonly build: string; readonly lacks: string }> {
    const message = messageOf(error)
    if (/unknown command/i.test(message)) this.#scripted = true
    else if (/Function not found/i.test(message)) await this.#load()
    else throw faultOf(error)
    return this.#hello(key).catch((again: unknown) => {
      if (/Function not found/i.test(messageOf(again))) return { build: 'of another program', lacks: '' }
      throw faultOf(again)
    })
  }

  async #hello(key: string): Promise<{ readonly build: string; readonly lacks: string }> {
    const answer = await this.#raw('hello', key, [])
    const [build = 'of another program', , lacks = ''] = Array.isArray(answer) ? (answer as readonly string[]) : [] // as `hello` returns it; another program has no such name
    return { build, lacks }
  }

  async #load(): Promise<void> {
    try {
      await this.#redis.call('FUNCTION', 'LOAD', LIBRARY_TEXT)
    } catch (error) {
      const message = messageOf(error)
      if (/unknown (sub)?command/i.test(message)) this.#scripted = true
      else if (message.startsWith('NOPERM')) throw new StoreFault('library', `the library ${LIBRARY} is not loaded and this Redis user may not load it: run \`narrowgate store init\` as a user that may FUNCTION LOAD`)
      else if (!/already exists/i.test(message)) throw faultOf(error)
    }
  }

  /** Loads this version's text in place of another one: a deploy's word. */
  async replaceLibrary(): Promise<void> {
    await this.#redis.call('FUNCTION', 'LOAD', 'REPLACE', LIBRARY_TEXT)
  }

  /** @param key the shard's meta key. @throws StoreFault; LinkLost where it is not known whether it was done */
  async call(name: FunctionName, key: string, args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#raw(name, key, args)
    } catch (error) {
      if (/Function not found/i.test(messageOf(error))) {
        await this.#load()
        return this.#raw(name, key, args).catch((again: unknown) => { throw faultOf(again) })
      }
      const fault = faultOf(error)
      if (fault instanceof LinkLost) this.#failed(fault)
      throw fault
    }
  }

  #raw(name: FunctionName, key: string, args: readonly (string | number)[]): Promise<unknown> {
    if (this.#down !== null) return Promise.reject(this.#down)
    return this.#scripted ? this.#script(name, key, args) : this.#redis.call('FCALL', `${LIBRARY}_${name}`, 1, key, ...args)
  }

  async #script(name: FunctionName, key: string, args: readonly (string | number)[]): Promise<unknown> {
    const text = scriptOf(name)
    try {
      return await this.#redis.call('EVALSHA', sha1(text), 1, key, name, ...args)
    } catch (error) {
      if (!messageOf(error).startsWith('NOSCRIPT')) throw error
      return this.#redis.call('EVAL', text, 1, key, name, ...args)
    }
  }

  /** Any other command: INFO, WAIT, CLUSTER, SENTINEL. */
  async command(name: string, ...args: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.#redis.call(name, ...args)
    } catch (error) {
      throw faultOf(error)
    }
  }

  async listen(channels: readonly string[], listener: Listener): Promise<void> {
    this.#redis.on('smessage', listener)
    for (const channel of channels) await this.#redis.ssubscribe(channel).catch((error: unknown) => { throw faultOf(error) })
  }

  #failed(cause: Error): void {
    if (this.#down !== null) return
    this.#down = cause
    this.#redis.disconnect()
    this.onDown(cause)
  }

  destroy(): void { this.#failed(new LinkLost('the connection was given up')) }
}
