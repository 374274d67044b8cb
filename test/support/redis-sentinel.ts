// Sentinel processes of the test's own that watch one RedisServer and its replicas.
// They never start or stop the servers they watch: those are the test's.
import { type Address, eventually, RedisServer } from './redis-server.ts'

const READY = 30_000
const FAILED_OVER = 60_000

export type RedisSentinelsOptions = {
  /** Its replicas must be online already: sentinels look for new ones only every 10 s. */
  readonly master: RedisServer
  readonly name: string
  readonly count?: number
  readonly quorum?: number
  /** Milliseconds without a valid answer until the master counts as down. */
  readonly downAfter?: number
  readonly failoverTimeout?: number
  /** Of the sentinels themselves; that of the master is taken from `master`. */
  readonly password?: string
  /** More lines of each sentinel's file. */
  readonly config?: readonly string[]
}

type Told = readonly Readonly<Record<string, string>>[]

/** SENTINEL SENTINELS and SENTINEL REPLICAS answer with flat lists of names and values. */
const records = (reply: unknown): Told =>
  (Array.isArray(reply) ? reply : []).map((flat: readonly string[]) => Object.fromEntries(Array.from({ length: flat.length / 2 }, (_, i) => [flat[2 * i] ?? '', flat[2 * i + 1] ?? ''])))

const healthy = ({ flags = '' }: Readonly<Record<string, string>>): boolean => !/down|disconnected/.test(flags)

/**
 * `count` sentinels; `start` resolves when each sees every other, the master's replicas with their links up, and a quorum.
 * A failover is made by ending the master (`master.kill()`, `master.pause()`) and awaiting `failedOver(master)`, about 2 to 5 s with the defaults;
 * another one of the same master within twice `failoverTimeout` is not begun by the sentinels. A master that comes back is made a replica by them after some 10 s.
 * `processes` are RedisServers: kill, pause and restart them one by one as you like.
 */
export class RedisSentinels {
  readonly name: string
  readonly processes: readonly RedisServer[]

  private constructor(name: string, processes: readonly RedisServer[]) {
    this.name = name
    this.processes = processes
  }

  static async start(options: RedisSentinelsOptions): Promise<RedisSentinels> {
    const { count = 3, password, master, name } = options
    const replicas = Number((await master.info('replication')).get('connected_slaves'))
    const config = [...sentinelLines(options), ...(options.config ?? [])]
    const started = await Promise.allSettled(Array.from({ length: count }, () => RedisServer.start({ as: 'sentinel', config, ...(password === undefined ? {} : { password }) })))
    const sentinels = new RedisSentinels(name, started.flatMap(each => (each.status === 'fulfilled' ? [each.value] : [])))
    try {
      if (sentinels.processes.length < count) throw new Error(`only ${sentinels.processes.length} of ${count} sentinels started`, { cause: started.find(({ status }) => status === 'rejected') })
      await Promise.all(sentinels.processes.map(sentinel => sentinels.#sees(sentinel, count - 1, replicas)))
      return sentinels
    } catch (error) {
      await sentinels.dispose()
      throw error
    }
  }

  /** `host:port` of each, as in `store.redis.nodes`. */
  get addresses(): readonly string[] {
    return this.processes.map(({ address }) => address)
  }

  /** What the first sentinel that runs says. */
  async masterAddress(): Promise<Address> {
    const [first] = this.#running()
    if (first === undefined) throw new Error('no sentinel is running')
    return this.#masterOf(first)
  }

  /** When all running sentinels name one and the same other master than `from`. @throws after `ms` */
  async failedOver(from: Address, ms = FAILED_OVER): Promise<Address> {
    return eventually(`the sentinels have replaced the master on port ${from.port}`, ms, async () => {
      const [named, ...others] = await Promise.all(this.#running().map(sentinel => this.#masterOf(sentinel)))
      return named !== undefined && named.port !== from.port && others.every(({ port }) => port === named.port) ? named : null
    })
  }

  async dispose(): Promise<void> {
    await Promise.all(this.processes.map(sentinel => sentinel.dispose()))
  }

  #running(): readonly RedisServer[] {
    return this.processes.filter(sentinel => sentinel.alive && !sentinel.paused)
  }

  async #masterOf(sentinel: RedisServer): Promise<Address> {
    const reply = await sentinel.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', this.name)
    const [host, port]: readonly unknown[] = Array.isArray(reply) ? reply : []
    return { host: String(host), port: Number(port) }
  }

  async #sees(sentinel: RedisServer, others: number, replicas: number): Promise<void> {
    await eventually(`the sentinel on port ${sentinel.port} sees ${others} others and ${replicas} replicas`, READY, async () => {
      await sentinel.command('SENTINEL', 'CKQUORUM', this.name)
      const peers = records(await sentinel.command('SENTINEL', 'SENTINELS', this.name)).filter(healthy)
      const known = records(await sentinel.command('SENTINEL', 'REPLICAS', this.name)).filter(told => healthy(told) && told['master-link-status'] === 'ok')
      return peers.length >= others && known.length >= replicas ? known : null
    })
  }
}

function sentinelLines({ master, name, quorum = 2, downAfter = 1_000, failoverTimeout = 10_000, password }: RedisSentinelsOptions): readonly string[] {
  return [
    `sentinel monitor ${name} ${master.host} ${master.port} ${quorum}`, `sentinel down-after-milliseconds ${name} ${downAfter}`, `sentinel failover-timeout ${name} ${failoverTimeout}`,
    ...(master.password === null ? [] : [`sentinel auth-pass ${name} ${master.password}`]),
    ...(password === undefined ? [] : [`sentinel sentinel-pass ${password}`]),
  ]
}
