// What becomes of a caller's own request: an answer, a refusal, or a stream that goes on by itself. SPEC: ADM1
import { type Reason, REASONS } from '../../core/reason.ts'
import type { Elevation, ElevationId } from '../../core/elevation.ts'
import type { Session } from '../../core/session.ts'
import type { Instant } from '../../core/time.ts'
import type { Applied } from '../../sessions/doing.ts'
import { elevationAnswer } from './answers.ts'

export type Told = { readonly status: number; readonly body: unknown } | { readonly reason: Reason; readonly says: string | null }
export type Reply = Told | 'streaming'

export const says = (reason: Reason, text: string | null = null): Told => ({ reason, says: text })
export const ok = (body: unknown): Told => ({ status: 200, body })

const REASON_OF: { readonly [word: string]: Reason } = { conflict: 'limit_reached', not_found: 'no_route' }
export const reasonOf = (word: string): Reason => REASON_OF[word] ?? (word in REASONS ? (word as Reason) : 'denied') // checked by `in`

/** The elevation as it is behind the news, or why it was not taken. */
export function elevationReply({ record, rejected }: Pick<Applied<Session>, 'record' | 'rejected'>, id: ElevationId, status: (elevation: Elevation) => number, now: Instant): Reply {
  if (rejected !== null) return says(reasonOf(rejected.rejected), rejected.says)
  const elevation = record?.elevations.find(each => each.id === id)
  return elevation === undefined ? says('no_route') : { status: status(elevation), body: elevationAnswer(elevation, now) }
}
