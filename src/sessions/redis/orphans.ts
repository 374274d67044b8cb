// What a server that became the master does not have: entries this member had applied. SPEC: STO16
import type { RecordRef } from '../../core/record.ts'
import type { Signal } from '../../core/signal.ts'
import type { Lost } from '../store.ts'
import { recordOf } from './entry.ts'
import type { Applied } from './follower.ts'

/** Records that may be another than is known here. */
export const refsOf = (orphans: readonly Applied[]): readonly RecordRef[] => orphans.flatMap(({ ref }) => (ref === null ? [] : [ref]))

/** Ends among them, to be said again. */
export const newsOf = (orphans: readonly Applied[]): readonly Lost[] =>
  orphans.flatMap(({ ref, news, body }) => (ref === null || news === '' ? [] : [{ ref, news: JSON.parse(news) as Signal, record: recordOf(ref, body) }])) // written by commit
