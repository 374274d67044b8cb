// Emergencies that somebody must look at, and the word of who did. A rejected one ends where it still runs; what was missed may still be given. SPEC: APR7, ADM12
import { isBarredFrom, type Review, reviewAnchor } from '../../approvals/review.ts'
import { isOver } from '../../core/elevation.ts'
import type { Page } from '../../sessions/store.ts'
import { type Answer, timeText, told } from '../answer.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { type Call, type Handlers, wordOf } from './handler.ts'

const LISTED = 100
const PAGE = 500
/** Reviews one question looks at. */
const LOOKS_MAX = 10_000

const reviewView = ({ elevation, session, profile, subject, dueAt, verdict, by }: Review) => ({ elevation, session, profile, subject, dueAt: timeText(dueAt), verdict, by: by === '' ? null : by })

/** Those of emergencies that were taken, each once. */
async function all({ store }: Call<'review.list'>['room']): Promise<readonly Review[]> {
  const found = new Map<string, Review>() // a store may tell of one twice
  let looked = 0
  for (let cursor: string | null = ''; cursor !== null && looked < LOOKS_MAX;) {
    const page: Page = await store.list('review', cursor, PAGE)
    for (const record of page.records) if (record.record === 'anchor' && record.state === 'open' && record.matter?.is === 'review') found.set(record.name, record.matter)
    looked += page.records.length
    cursor = page.next
  }
  return [...found.values()]
}

async function list({ room, query: { limit = LISTED, verdict } }: Call<'review.list'>): Promise<Answer> {
  const wanted = (review: Review): boolean => (verdict === undefined ? review.verdict === 'pending' || review.verdict === 'missed' : review.verdict === verdict)
  const reviews = (await all(room)).filter(wanted).toSorted((a, b) => a.dueAt - b.dueAt)
  return told({ reviews: reviews.slice(0, limit).map(reviewView), more: reviews.length > limit })
}

async function reviewFor({ room, params }: Call<'review.give'>): Promise<Review> {
  const record = await room.store.load({ kind: 'review', name: params.elevation })
  if (record?.record !== 'anchor' || record.state !== 'open' || record.matter?.is !== 'review') throw new AdminFault('not_found', 'there is no such emergency')
  return record.matter
}

/** What nobody accepts does not run on. */
async function endRejected({ room, directory, caller, body }: Call<'review.give'>, { elevation }: Review): Promise<void> {
  const owned = await directory.elevation(elevation).catch((error: unknown) => {
    if (error instanceof AdminFault && error.code === 'not_found') return null
    throw error
  })
  if (owned === null || isOver(owned.elevation)) return
  await room.intake.session(owned.live.record.key, { kind: 'elevation.ended', elevation, reason: 'approval_withdrawn', because: 'review' }, wordOf(caller, body.reason))
}

async function give(call: Call<'review.give'>): Promise<Answer> {
  const { room, caller, body } = call
  const review = await reviewFor(call)
  if (isBarredFrom(room.mirror.policy, review, caller.identity)) throw new AdminFault('forbidden', 'nobody reviews its own emergency')
  const { elevation: id } = review
  const answer = await enforced(room.intake.anchor(reviewAnchor(id), { kind: 'anchor.told', matter: { ...review, verdict: body.verdict, by: caller.identity } }, wordOf(caller, body.reason)), id, body.reason)
  if (body.verdict === 'rejected') await endRejected(call, review)
  return answer
}

export const REVIEW_HANDLERS: Handlers<'review.list' | 'review.give'> = { 'review.list': list, 'review.give': give }
