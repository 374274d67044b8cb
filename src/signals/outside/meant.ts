// Finds the sessions that news from outside means: by what tells most of them, in the store's own index. Where that are too many it says no more than that.
// SPEC: OUT2, OUT4
import type { Selector } from '../../core/anchor.ts'
import { findableBy, isMeant, type Member, type OutsideEvent } from '../../core/outside.ts'
import { type RecordRef, refName } from '../../core/record.ts'
import type { Session, SessionKey } from '../../core/session.ts'
import type { Mirror } from '../../sessions/mirror.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { inSlices } from './slices.ts'

export type LookPorts = { readonly store: Pick<SessionStore, 'find' | 'load'>; readonly mirror: Pick<Mirror, 'known'> }

export type Found =
  | { readonly is: 'found'; readonly sessions: readonly Session[] }
  /** `under`: everything that was found by these is meant, or is more than can be looked at. Empty where others lie there as well: then those of `sessions` are. */
  | { readonly is: 'tooMany'; readonly count: number; readonly under: readonly Selector[]; readonly sessions: readonly Session[] }

/** Sessions of one selector that are looked at. */
const LOOKED_AT_MAX = 10_000

async function refsOf({ store }: LookPorts, selectors: readonly Selector[], limit: number): Promise<readonly RecordRef[]> {
  const found = await Promise.all(selectors.map(selector => store.find(selector, limit)))
  return [...new Map(found.flat().map(ref => [refName(ref), ref])).values()]
}

async function sessionOf({ mirror, store }: LookPorts, ref: RecordRef): Promise<Session | null> {
  const record = mirror.known(ref.name as SessionKey)?.record ?? (await store.load(ref)) // a session lies under its key
  return record?.record === 'session' ? record : null
}

/** One that is found over, by its id, has credentials still. */
export async function meantBy(ports: LookPorts, { subject, most }: Pick<OutsideEvent, 'subject' | 'most'>): Promise<Found> {
  const telling = findableBy(subject)
  if (telling === null) return { is: 'found', sessions: [] }
  const isWhole = subject.length === 1 // whoever is found by it is meant
  const { refs, by } = isWhole ? { refs: await refsOf(ports, telling.any, most + 1), by: telling } : await fewestOf(ports, [telling, ...subject.filter(({ of }) => of === 'issuer')])
  if (isWhole ? refs.length > most : refs.length >= LOOKED_AT_MAX) return { is: 'tooMany', count: refs.length, under: telling.any, sessions: [] }
  const looked = await inSlices(refs, ref => sessionOf(ports, ref))
  const sessions = looked.filter(session => session !== null).filter(session => session.state.is !== 'revoked' && isMeant(session, subject))
  if (sessions.length <= most) return { is: 'found', sessions }
  return by === telling && sessions.length === refs.length ? { is: 'tooMany', count: sessions.length, under: telling.any, sessions: [] } : { is: 'tooMany', count: sessions.length, under: [], sessions }
}

/** By what tells most, or where that are too many by whom its source may speak for: one that speaks for few holds nobody else of a large tenant. */
async function fewestOf(ports: LookPorts, members: readonly Member[]): Promise<{ readonly refs: readonly RecordRef[]; readonly by: Member | null }> {
  let found: { readonly refs: readonly RecordRef[]; readonly by: Member | null } = { refs: [], by: null }
  for (const by of members) {
    found = { refs: await refsOf(ports, by.any, LOOKED_AT_MAX), by }
    if (found.refs.length < LOOKED_AT_MAX) break
  }
  return found
}
