// What very many plain sessions cost: in Redis, in a mirror, and to compare again by a member that was cut off for longer than the log.
import type { RedisServer } from '../../support/redis-server.ts'
import type { Site } from './site.ts'

const GC = ['--expose-gc']
/** Of all sessions: those that changed while a member was away. */
const CHANGED = 0.01

export type Sessions = {
  readonly count: number
  readonly bytesInRedis: number
  /** As read from the store, and with what a gateway that serves them keeps beside: claims and what is in force. */
  readonly bytesHeld: number
  readonly bytesServed: number
  /** Milliseconds: comparing versions, one of a hundred having changed; and reading each of them again, all with something open. */
  readonly missedMs: number
  readonly pinnedMs: number
}

const usedBy = async (redis: RedisServer): Promise<number> => Number((await redis.info('memory')).get('used_memory'))

/** What is there for a while only, however many sessions there are: log, outbox, remembered operations. */
async function withoutPassing(redis: RedisServer): Promise<void> {
  for (const stream of ['L', 'O']) await redis.command('XTRIM', `ng:{0}:${stream}`, 'MAXLEN', 0)
  let cursor = '0'
  do {
    const [next, names] = (await redis.command('SCAN', cursor, 'MATCH', 'ng:{0}:o:*', 'COUNT', 5_000)) as readonly [string, readonly string[]] // as SCAN answers
    if (names.length > 0) await redis.command('DEL', ...names)
    cursor = next
  } while (cursor !== '0')
}

export async function measureSessions(site: Site, count: number): Promise<Sessions> {
  const [opener, member] = [await site.member(GC), await site.member(GC)]
  await Promise.all([opener.ask('joined'), member.ask('joined')])
  await withoutPassing(site.redis)
  const before = await usedBy(site.redis)
  await opener.ask('open', count)
  await withoutPassing(site.redis)
  const bytesInRedis = ((await usedBy(site.redis)) - before) / count
  const { held, served } = (await member.ask('hold', count)) as { readonly held: number; readonly served: number } // as sessions-process.ts tells it
  await opener.ask('narrow', Math.ceil(count * CHANGED))
  const missedMs = await member.figure('missed')
  return { count, bytesInRedis, bytesHeld: held, bytesServed: served, missedMs, pinnedMs: await member.figure('pinned') }
}
