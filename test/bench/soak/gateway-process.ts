// The gateway of soak:wire: the real one, from a configuration file, in a process of its own that says what it holds.
import { readdirSync, readlinkSync } from 'node:fs'
import { ConfigSource } from '../../../src/config/source.ts'
import { openGateway } from '../../../src/gateway.ts'
import { answering } from '../cut/talk.ts'
import type { Figures } from './verdict.ts'

const source = new ConfigSource(process.argv[2] ?? '')
const loaded = source.load()
if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
const gateway = await openGateway({ settings: loaded.settings, source })
const { inflight, reassessor, mirror, metrics } = gateway.parts

const portOf = (name: string): number => gateway.front.bound.get(name)?.address.port ?? 0

function isSocket(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`).startsWith('socket:')
  } catch {
    return false // closed meanwhile
  }
}

/** Heap and buffers behind a full collection, so that what is counted is held. */
function figures(): Figures {
  globalThis.gc?.()
  const { rss, heapUsed, external } = process.memoryUsage()
  return {
    rss, heap: heapUsed, external, handles: process.getActiveResourcesInfo().length, sockets: readdirSync('/proc/self/fd').filter(isSocket).length,
    exchanges: inflight.size, sessions: mirror.size,
  }
}

/** Those that were met, as metrics tell them. */
async function limits(): Promise<readonly string[]> {
  const text = await metrics.text()
  return text.split('\n').filter(told => told.startsWith('narrowgate_limit_reached_total{') && !told.endsWith(' 0'))
}

answering({ ports: () => ({ main: portOf('main'), admin: portOf('admin') }), figures, limits }, async () => {
  for (const exchange of inflight.all()) reassessor.end(exchange, 'drained', 'soak', null)
  await gateway.close('soak')
})
