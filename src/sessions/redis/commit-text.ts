// A commit as the library takes it, and what it answers: the texts that are signed, the places in the index, who has to acknowledge. SPEC: STO14, STO18
import type { RecordRef, StoredRecord } from '../../core/record.ts'
import type { Signal } from '../../core/signal.ts'
import { instant } from '../../core/time.ts'
import type { Ahead, Commit, CommitAnswer } from '../store.ts'
import { StoreFault, StoreFull } from '../store-fault.ts'
import { type Roll, rollOf } from './acknowledgements.ts'
import { bodyOf, keptOf, placeOfSelector, placeOfTie, recordOf, refText, type Seal, toldOf } from './entry.ts'
import { LinkLost } from './link.ts'
import type { Shard } from './shard.ts'

type Way = {
  readonly nonce: string
  readonly shards: number
  readonly dataSet: string
  readonly seal: Seal
  /** The lock that may go ahead lies in the same shard. */
  readonly aheadHere: boolean
}

const newsText = (news: Signal | null): string => (news === null ? '' : JSON.stringify(news))

/** Version, MAC and body. */
function written({ dataSet, seal }: Way, ref: RecordRef, record: StoredRecord, told: string, news: string): readonly [string, string, string] {
  const body = bodyOf(record)
  const version = String(record.version)
  return [version, seal.sign(dataSet, refText(ref), version, body, toldOf(told, news)), body]
}

function aheadArgs(way: Way, { ref, record, facts, forgetAt, expectedVersion, news }: Ahead): readonly (string | number)[] {
  const [told, said] = [JSON.stringify(facts), newsText(news)]
  return [refText(ref), expectedVersion, ...written(way, ref, record, told, said), forgetAt ?? '', told, said]
}

/** In the order that commit.lua names. @throws TypeError for what is not JSON */
export function commitArgs(commit: Commit, way: Way): readonly (string | number)[] {
  const { ref, record, facts, index, ties, forgetAt, due, expectedVersion, expectedEpoch, ahead } = commit
  const told = JSON.stringify(facts)
  const news = newsText(commit.news)
  const places = [...new Set([...index.map(placeOfSelector), ...ties.map(placeOfTie)])].join('')
  return [
    way.nonce, way.shards, commit.operation, refText(ref), expectedVersion === 'any' ? '' : expectedVersion, expectedEpoch === 'any' ? '' : expectedEpoch,
    ...written(way, ref, record, told, news), places, forgetAt ?? '', due ?? '', told, facts.length, news, commit.awaited ? 'a' : '',
    ...(ahead === null || !way.aheadHere ? [] : aheadArgs(way, ahead)),
  ]
}

/** Reads the library's answer, and begins to wait for those who have to acknowledge. @param again it was said before: what is done may be its own. @throws StoreFull, StoreFault */
export function commitAnswer(shard: Shard, seal: Seal, commit: Commit, nonce: string, answer: unknown, again: boolean): CommitAnswer {
  const [is, first, second, third] = answer as readonly unknown[] // as commit.lua returns it
  switch (is) {
    case 'OK': case 'DUP': return done(shard, commit, nonce, again ? 'OK' : is, String(first), second)
    case 'CONFLICT': return conflict(shard, seal, commit, nonce, String(first), String(second), third)
    case 'EPOCH':
      if (!shard.accept(String(first), String(second), null)) throw new LinkLost('a server of an older epoch answered; nothing was written there')
      return { is, epoch: `${String(first)}.${String(second)}` }
    case 'EARLY': return { is, now: instant(Number(first)) }
    case 'FULL': throw new StoreFull(`${String(first)} facts wait to be written to a trail; nothing is given before some are`)
    default: throw new StoreFault('failed', `the library answered ${String(is)} to a commit`)
  }
}

/** What a master took that was replaced is said to the one of now. @throws LinkLost */
function heard(shard: Shard, answer: unknown): Roll {
  const roll = rollOf(answer)
  if (!shard.accept(shard.dataSet, roll.epoch, null)) throw new LinkLost('a server of an older epoch answered')
  return roll
}

function done(shard: Shard, commit: Commit, nonce: string, is: 'OK' | 'DUP', id: string, witnesses: unknown): CommitAnswer {
  const roll = heard(shard, witnesses)
  if (commit.awaited) shard.acknowledgements.committed(id, roll)
  if (is === 'OK' && commit.news !== null) shard.pledge(id, nonce, commit.ref, JSON.stringify(commit.news), bodyOf(commit.record))
  return { is, position: shard.positionOf(id) }
}

function conflict(shard: Shard, seal: Seal, { ref, ahead: lock }: Commit, nonce: string, text: string, ahead: string, witnesses: unknown): CommitAnswer {
  const roll = heard(shard, witnesses)
  if (ahead !== '') shard.acknowledgements.committed(ahead, roll)
  if (ahead !== '' && lock !== null) shard.pledge(ahead, `${nonce}a`, lock.ref, newsText(lock.news), bodyOf(lock.record))
  const kept = keptOf(text)
  if (kept !== null) seal.checkRecord(shard.dataSet, refText(ref), kept)
  return { is: 'CONFLICT', record: kept === null ? null : recordOf(ref, kept.body), ahead: ahead === '' ? null : shard.positionOf(ahead) }
}
