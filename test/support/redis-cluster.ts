// A Redis Cluster of the test's own: cluster-enabled RedisServers on loopback with all slots assigned.
// It never moves slots by itself; a test does that with `command` on the nodes.
import { eventually, RedisServer } from './redis-server.ts'

const SLOTS = 16_384
const READY = 60_000

export type RedisClusterOptions = {
  readonly masters?: number
  readonly replicasPerMaster?: number
  /** Milliseconds until a silent node counts as failed (`cluster-node-timeout`). */
  readonly nodeTimeout?: number
  /** More lines of each node's redis.conf. */
  readonly config?: readonly string[]
}

/** What a node says of itself in CLUSTER NODES. */
type Self = { readonly id: string; readonly master: boolean; readonly epoch: number; readonly slots: readonly (readonly [first: number, last: number])[] }

async function selfOf(node: RedisServer): Promise<Self> {
  const lines = String(await node.command('CLUSTER', 'NODES')).split('\n')
  const [id = '', , flags = '', , , , epoch = '', , ...ranges] = lines.find(line => line.includes('myself'))?.split(' ') ?? []
  const slots = ranges.filter(range => /^\d+(?:-\d+)?$/.test(range)).map(range => {
    const [first = NaN, last = first] = range.split('-').map(Number)
    return [first, last] as const
  })
  return { id, master: flags.includes('master'), epoch: Number(epoch), slots }
}

/**
 * `masters` × (1 + `replicasPerMaster`) nodes; `start` resolves (after some seconds: nodes gossip) when every node says `cluster_state:ok` with all slots,
 * and every replica's link is up. `nodes` has the masters of the start first (equal shares of the slots, in order), then the replicas of the first master, of the second, ….
 * A node that is killed keeps its place and data for `restart`; with replicas, a dead master is replaced after about two `nodeTimeout`s.
 */
export class RedisCluster {
  readonly nodes: readonly RedisServer[]

  private constructor(nodes: readonly RedisServer[]) {
    this.nodes = nodes
  }

  static async start({ masters = 3, replicasPerMaster = 0, nodeTimeout = 2_000, config = [] }: RedisClusterOptions = {}): Promise<RedisCluster> {
    const size = masters * (1 + replicasPerMaster)
    const lines = ['cluster-enabled yes', 'cluster-announce-ip 127.0.0.1', `cluster-node-timeout ${nodeTimeout}`, ...config]
    const started = await Promise.allSettled(Array.from({ length: size }, () => RedisServer.start({ config: lines })))
    const cluster = new RedisCluster(started.flatMap(each => (each.status === 'fulfilled' ? [each.value] : [])))
    try {
      if (cluster.nodes.length < size) throw new Error(`only ${cluster.nodes.length} of ${size} nodes started`, { cause: started.find(({ status }) => status === 'rejected') })
      await cluster.#meet(masters)
      await cluster.#replicate(masters, replicasPerMaster)
      await cluster.ready()
      return cluster
    } catch (error) {
      await cluster.dispose()
      throw error
    }
  }

  /** `host:port` of each node, as in `store.redis.nodes`. */
  get addresses(): readonly string[] {
    return this.nodes.map(({ address }) => address)
  }

  /** Until every running node says that the cluster is ok. @throws after 60 s */
  async ready(): Promise<void> {
    await Promise.all(this.#running().map(node => eventually(`the cluster is ok for port ${node.port}`, READY, () => this.#isReady(node))))
  }

  /** The running node that says it serves this slot as master; of two, the one with the newer configuration. @throws where none does now */
  async masterOfSlot(slot: number): Promise<RedisServer> {
    const told = await Promise.all(this.#running().map(async node => ({ node, self: await selfOf(node) })))
    const serving = told.filter(({ self }) => self.master && self.slots.some(([first, last]) => first <= slot && slot <= last))
    const [newest] = serving.sort((one, other) => other.self.epoch - one.self.epoch)
    if (newest === undefined) throw new Error(`no running node serves slot ${slot}`)
    return newest.node
  }

  async dispose(): Promise<void> {
    await Promise.all(this.nodes.map(node => node.dispose()))
  }

  #running(): readonly RedisServer[] {
    return this.nodes.filter(node => node.alive && !node.paused)
  }

  async #meet(masters: number): Promise<void> {
    const [first, ...rest] = this.nodes
    for (const [index, node] of this.nodes.entries()) {
      await node.command('CLUSTER', 'SET-CONFIG-EPOCH', index + 1)
      if (index < masters) await node.command('CLUSTER', 'ADDSLOTSRANGE', Math.floor((SLOTS * index) / masters), Math.floor((SLOTS * (index + 1)) / masters) - 1)
    }
    for (const node of rest) await first?.command('CLUSTER', 'MEET', node.host, node.port)
    await Promise.all(this.nodes.map(node => eventually(`port ${node.port} knows all nodes`, READY, () => this.#knowsAll(node))))
  }

  async #knowsAll(node: RedisServer): Promise<true | null> {
    const lines = String(await node.command('CLUSTER', 'NODES')).trim().split('\n')
    return lines.length === this.nodes.length && !lines.some(line => line.includes('handshake')) ? true : null
  }

  async #replicate(masters: number, each: number): Promise<void> {
    for (const [index, replica] of this.nodes.slice(masters).entries()) {
      const master = this.nodes[Math.floor(index / each)]
      if (master !== undefined) await replica.command('CLUSTER', 'REPLICATE', (await selfOf(master)).id)
    }
    await Promise.all(this.nodes.slice(0, masters).map(master => master.waitForReplicas(each)))
  }

  async #isReady(node: RedisServer): Promise<true | null> {
    const told = String(await node.command('CLUSTER', 'INFO'))
    const replication = await node.info('replication')
    return told.includes('cluster_state:ok') && told.includes(`cluster_slots_ok:${SLOTS}`) && replication.get('master_link_status') !== 'down' ? true : null
  }
}
