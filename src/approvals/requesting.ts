// Brings a prepared elevation into its session; first the resource it holds alone, which is let go again where the session does not take it, and of an
// emergency the review that must follow. SPEC: ELV12, APR7
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import { type Elevation, type ElevationId, isOver } from '../core/elevation.ts'
import type { Session, SessionId, SessionKey } from '../core/session.ts'
import { after, duration, type Instant } from '../core/time.ts'
import type { AnchorNews, SessionNews, SignalId } from '../core/signal.ts'
import type { Applied } from '../sessions/doing.ts'
import type { Prepared } from './asking.ts'
import { reviewAnchor } from './review.ts'

/** Longest that anything is held: no elevation waits for its word, its windows and its end as long as this. One that is over lets go long before. */
const HELD_FOR = duration(90 * 86_400_000)

export const resourceAnchor = (resource: string): AnchorRef => ({ kind: 'resource', name: resource })

type Word = { readonly by: string; readonly note: string; readonly id: SignalId | null; readonly life?: SessionId }

/** Where news is brought. */
interface Desk {
  session(key: SessionKey, news: SessionNews, word: Word): Promise<Applied<Session>>
  anchor(ref: AnchorRef, news: AnchorNews, word: Word): Promise<Applied<Anchor>>
}

/** `sessionAt`: a session as it is now, by its key; null where there is none. */
type Ports = { readonly intake: Desk; readonly now: Instant; readonly sessionAt: (key: SessionKey) => Promise<Session | null> }

/** Longest that somebody is between holding a resource and asking for what it holds. */
const ASKING = duration(30_000)

/** Who holds it is over, or never was there: whoever had to let it go died before that. */
async function isAbandoned({ now, sessionAt }: Ports, anchor: Anchor | null): Promise<boolean> {
  const holder = anchor?.matter?.is === 'resource' ? anchor.matter.holder : null
  if (holder === null || after(holder.since, ASKING) > now) return false
  const session = await sessionAt(holder.session as SessionKey) // written from one
  return session === null || !session.elevations.some(({ id, ...rest }) => id === holder.elevation && !isOver({ id, ...rest }))
}

/** @returns null when it is held for the elevation now, else what stands in the way */
async function hold(ports: Ports, key: SessionKey, { id, resource }: Elevation, until: Instant, word: Word): Promise<Applied<Anchor> | null> {
  const { intake, now } = ports
  const ref = resourceAnchor(resource ?? '')
  const tell = (elevation: ElevationId, session: string, end: Instant): Promise<Applied<Anchor>> =>
    intake.anchor(ref, { kind: 'anchor.told', matter: { is: 'resource', holder: { elevation, session, since: now, until: end } } }, word)
  const first = await tell(id, key, until)
  if (first.rejected === null) return null
  const held = first.record?.matter
  if (held?.is !== 'resource' || held.holder === null || !(await isAbandoned(ports, first.record))) return first
  await tell(held.holder.elevation, held.holder.session, now)
  const again = await tell(id, key, until)
  return again.rejected === null ? null : again
}

const inside = (session: Session | null, id: ElevationId): Elevation | null => session?.elevations.find(each => each.id === id) ?? null

/** @returns whether it is new; null where it is that of an earlier emergency of this name, which its session has forgotten */
async function reviewBegun({ intake, sessionAt }: Ports, key: SessionKey, { id }: Elevation, review: NonNullable<Prepared['review']>, word: Word): Promise<boolean | null> {
  const { facts } = await intake.anchor(reviewAnchor(id), { kind: 'anchor.told', matter: review }, word)
  return facts.length > 0 ? true : inside(await sessionAt(key), id) === null ? null : false
}

const EARLIER: Applied<Session> = {
  record: null, facts: [], rejected: { rejected: 'conflict', says: 'an earlier emergency was taken under this key: ask under another' }, position: null, assumed: null, journaled: false, cutOff: false,
}

/** `rejected` is `resource_held` where somebody else has what it needs alone. */
export async function requestElevation(ports: Ports, key: SessionKey, { elevation, startsAt, review }: Prepared, word: Word): Promise<Applied<Session>> {
  const { intake, now } = ports
  const { resource, id } = elevation
  const aside: Word = { by: word.by, note: word.note, id: null }
  if (resource !== null) {
    const held = await hold(ports, key, elevation, after(now, HELD_FOR), aside)
    if (held !== null) return { ...held, record: null, facts: [], rejected: { rejected: 'resource_held', says: `another elevation holds ${resource}` } }
  }
  const reviewed = review === null ? false : await reviewBegun(ports, key, elevation, review, aside) // no emergency without somebody who must look at it
  const done = reviewed === null ? EARLIER : await intake.session(key, { kind: 'elevation.requested', elevation, startsAt }, word)
  const there = inside(done.record, id)
  const lasts = there !== null && !isOver(there)
  if (resource !== null && !(lasts && there.resource === resource)) await hold(ports, key, elevation, now, aside)
  if (reviewed === true && !lasts && done.rejected !== null) await intake.anchor(reviewAnchor(id), { kind: 'anchor.ended', matter: null }, aside)
  return done
}
