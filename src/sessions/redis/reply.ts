// What the library's heartbeat answers, and what a member tells in an acknowledgement, read from their texts. SPEC: STO14
import { type Instant, instant } from '../../core/time.ts'
import type { Reach, Tally } from '../store.ts'
import { StoreFault } from '../store-fault.ts'
import { entryOf } from './entry.ts'
import type { Reply } from './follower.ts'

export type Heartbeat = Reply & { readonly now: number; readonly settled: boolean; /** The epoch was settled before this member came. */ readonly late: boolean; readonly epochStart: number; readonly born: Instant }

const STATUS: ReadonlySet<unknown> = new Set(['NEW', 'OK', 'FORK', 'LOST'])

export function heartbeatOf(answer: unknown): Heartbeat {
  if (!Array.isArray(answer) || answer.length !== 12 || !STATUS.has(answer[0])) throw new StoreFault('corrupt', 'the heartbeat of the library answers something this version does not know')
  const [status, epoch, dataSet, head, headNonce, now, epochStart, base, baseNonce, settled, born, entries] = answer as readonly unknown[]
  return {
    status: status as Reply['status'], epoch: String(epoch), dataSet: String(dataSet), head: { id: String(head), nonce: String(headNonce) }, base: { id: String(base), nonce: String(baseNonce) },
    now: Number(now), settled: settled === '1', late: settled === 'late', epochStart: Number(epochStart), born: instant(Number(born)), entries: (entries as readonly string[]).map(entryOf), // both as the library returns them
  }
}

export const tallyText = ({ continued, regranted, narrowed, frozen, cut }: Tally): string => [continued, regranted, narrowed, frozen, cut].join(' ')

export function tallyOf(text: string): Tally {
  const [continued = 0, regranted = 0, narrowed = 0, frozen = 0, cut = 0] = text.split(' ').map(part => Number(part) || 0)
  return { continued, regranted, narrowed, frozen, cut }
}

export const reachText = ({ sessions, exchanges }: Reach): string => `${sessions} ${exchanges}`

export function reachOf(text: string): Reach {
  const [sessions = 0, exchanges = 0] = text.split(' ').map(part => Number(part) || 0)
  return { sessions, exchanges }
}
