// Where the master of a shard is: the configured server, what the sentinels say, or the cluster's node of its slot. Asked anew at every connection;
// whether it really is the master its heartbeat shows, which is a write. SPEC: STO17
import type { RedisHome } from '../../config/settings.ts'
import { StoreFault } from '../store-fault.ts'
import { type Access, type Address, Link, LinkLost } from './link.ts'

export type Locate = (shard: number) => Promise<Address>

/** FNV-1a, 32 bits: which shard a name lies in. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}

/** CRC-16/XMODEM of the hash tag: the cluster's slot of a key (Redis cluster specification, "Hash tags"). */
export function slotOf(tag: string): number {
  let crc = 0
  for (const byte of Buffer.from(tag)) {
    crc ^= byte << 8
    for (let bit = 0; bit < 8; bit++) crc = (crc & 0x8000) === 0 ? (crc << 1) & 0xffff : ((crc << 1) ^ 0x1021) & 0xffff
  }
  return crc % 16384
}

/** The first node that answers, beginning with another one each time. @throws LinkLost when none does */
async function firstAnswer<T>(nodes: readonly Address[], turn: number, ask: (node: Address) => Promise<T | null>): Promise<T> {
  const said: string[] = []
  for (let i = 0; i < nodes.length; i++) {
    const node = nodes[(turn + i) % nodes.length]
    if (node === undefined) continue
    try {
      const answer = await ask(node)
      if (answer !== null) return answer
      said.push(`${node.host}:${node.port} does not know it`)
    } catch (error) {
      if (error instanceof StoreFault && error.code === 'misconfigured') throw error
      said.push(`${node.host}:${node.port} ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  throw new LinkLost(`nobody tells where the master is: ${said.join('; ')}`)
}

async function once<T>(node: Address, access: Access, ask: (link: Link) => Promise<T>): Promise<T> {
  const link = await Link.open(node, access, 'narrowgate-locate', null)
  try {
    return await ask(link)
  } finally {
    link.destroy()
  }
}

const masterOf = (answer: unknown): Address | null => (Array.isArray(answer) && answer.length === 2 ? { host: String(answer[0]), port: Number(answer[1]) } : null)

/** The node in an answer of CLUSTER SLOTS that has the slot; one without a host of its own is the one that was asked. */
function nodeOf(answer: unknown, slot: number, asked: Address): Address | null {
  for (const row of Array.isArray(answer) ? (answer as readonly unknown[]) : []) {
    if (!Array.isArray(row) || slot < Number(row[0]) || slot > Number(row[1])) continue
    const [host, port] = Array.isArray(row[2]) ? (row[2] as readonly unknown[]) : []
    return { host: typeof host === 'string' && host !== '' ? host : asked.host, port: Number(port) }
  }
  return null
}

/** @param own access to the servers, `sentinels` to the sentinels */
export function locator({ mode, nodes, sentinel }: Pick<RedisHome, 'mode' | 'nodes' | 'sentinel'>, own: Access, sentinels: Access): Locate {
  let turn = 0
  if (mode === 'sentinel' && sentinel !== null) return () => firstAnswer(nodes, turn++, node => once(node, sentinels, async link => masterOf(await link.command('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', sentinel.master))))
  if (mode === 'cluster') return shard => firstAnswer(nodes, turn++, node => once(node, own, async link => nodeOf(await link.command('CLUSTER', 'SLOTS'), slotOf(String(shard)), node)))
  return async () => {
    const [server] = nodes
    if (server === undefined) throw new StoreFault('misconfigured', 'the configuration names no Redis server')
    return server
  }
}
