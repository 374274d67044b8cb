// The total tables of anchors and locks. Restrictive news on an absent record creates it: the end is known before the thing was. SPEC: SIG3, SIG4
import { type Anchor, type AnchorRef, type Lock, type Matter, stronger } from '../anchor.ts'
import type { AnchorHappening, LockHappening } from '../fact.ts'
import type { AnchorSignal, LockSignal, SignalOf } from '../signal.ts'
import { type Instant, later } from '../time.ts'
import { NOTHING, type Outcome, reject } from './rule.ts'

type AnchorRule<K extends AnchorSignal['kind']> = (ref: AnchorRef, anchor: Anchor | null, signal: SignalOf<K>, now: Instant) => Outcome<AnchorHappening>
type AnchorRow = { readonly [K in AnchorSignal['kind']]: AnchorRule<K> }

const isAlike = (a: object | null, b: object | null): boolean => JSON.stringify(a) === JSON.stringify(b)
const tells = ({ kind, name }: AnchorRef, matter: Matter): Outcome<AnchorHappening> => [{ what: 'anchor.told', kind, name, matter }]

/** Changes of a ticket that are remembered: what an earlier one ended is settled long before. */
const WAS_MAX = 8

/** A ticket remembers what it said before. */
function remembering<M extends Matter | null>(held: Matter | null, told: M): M | Matter {
  if (held?.is !== 'ticket' || told?.is !== 'ticket') return told
  const { facts, seenAt, was } = held
  return { ...told, was: isAlike(facts, told.facts) ? was : [{ facts, seenAt }, ...was].slice(0, WAS_MAX) }
}

const opens: AnchorRule<'anchor.opened'> = ({ kind, name }, anchor, { matter }) => [{ what: 'anchor.opened', kind, name, matter: remembering(anchor?.matter ?? null, matter) }]
const ends: AnchorRule<'anchor.ended'> = ({ kind, name }, anchor, { matter }) => [{ what: 'anchor.ended', kind, name, matter: remembering(anchor?.matter ?? null, matter) }]
/** Open or over already: only what is known of it may be new. */
function same(ref: AnchorRef, anchor: Anchor | null, { matter }: { readonly matter: Matter | null }): Outcome<AnchorHappening> {
  const held = anchor?.matter ?? null
  const next = matter === null ? null : remembering(held, matter)
  return next === null || isAlike(next, held) ? NOTHING : tells(ref, next)
}

/** Only ever forward. */
const advances: AnchorRule<'anchor.advanced'> = (ref, anchor, { position, value }) =>
  anchor?.matter?.is === 'progress' && anchor.matter.position >= position ? NOTHING : tells(ref, { is: 'progress', position, value })

const isHeldByOther = (held: Matter | null, wanted: Matter, now: Instant): boolean =>
  held?.is === 'resource' && wanted.is === 'resource' && held.holder !== null && wanted.holder !== null && held.holder.elevation !== wanted.holder.elevation && held.holder.until > now

/** What is further stays. A pause that runs is never made shorter; one that is over makes way. */
function merged(held: Matter | null, told: Matter, now: Instant): Matter {
  if (held?.is === 'progress' && told.is === 'progress') return held.position >= told.position ? held : told
  if (held?.is === 'window' && told.is === 'window') return { ...told, reopened: later(held.reopened, told.reopened) }
  if (held?.is !== 'principal' || told.is !== 'principal') return remembering(held, told)
  const running = Object.entries({ ...held.cooling, ...told.cooling }).map(([profile, until]) => [profile, Math.max(until, held.cooling[profile] ?? 0) as Instant] as const)
  return { is: 'principal', cooling: Object.fromEntries(running.filter(([, until]) => until > now)) }
}

type Review = Extract<Matter, { is: 'review' }>

/** What was given stays; one that was missed may still be given. Nothing else of it ever changes. */
function reviewed(ref: AnchorRef, held: Review, { verdict, by }: Review): Outcome<AnchorHappening> {
  if (verdict === 'pending' || (held.verdict === verdict && held.by === by)) return NOTHING
  const isGiven = held.verdict !== 'pending' && (held.verdict !== 'missed' || verdict === 'missed')
  return isGiven ? reject('conflict', `the review is done: ${held.verdict}`) : tells(ref, { ...held, verdict, by })
}

const told: AnchorRule<'anchor.told'> = (ref, anchor, { matter }, now) => {
  const held = anchor?.matter ?? null
  if (isHeldByOther(held, matter, now)) return reject('conflict', 'another elevation holds it')
  if (held?.is === 'review' && matter.is === 'review') return reviewed(ref, held, matter)
  const next = merged(held, matter, now)
  return isAlike(held, next) ? NOTHING : tells(ref, next)
}

export const ANCHOR_TABLE: { readonly [S in Anchor['state'] | 'absent']: AnchorRow } = {
  absent: { 'anchor.opened': opens, 'anchor.ended': ends, 'anchor.advanced': advances, 'anchor.told': told },
  open: { 'anchor.opened': same, 'anchor.ended': ends, 'anchor.advanced': advances, 'anchor.told': told },
  ended: { 'anchor.opened': opens, 'anchor.ended': same, 'anchor.advanced': advances, 'anchor.told': told },
}

type LockRule<S> = (lock: Lock, signal: S, now: Instant) => Outcome<LockHappening>
type Setting = SignalOf<'lock.set'>

export const setLock = ({ lock, selector, effect, reason, until }: Setting): Outcome<LockHappening> => [{ what: 'lock.set', lock, selector, effect, reason, until }]

/** A second lock on one selector only ever adds: the stronger effect, the later end. */
const strengthen: LockRule<Setting> = (held, signal) => {
  const effect = stronger(held.effect, signal.effect)
  const until = held.until === null || signal.until === null ? null : (Math.max(held.until, signal.until) as Instant)
  if (effect === held.effect && until === held.until) return NOTHING
  const reason = effect === held.effect ? held.reason : signal.reason
  return [{ what: 'lock.set', lock: held.id, selector: held.selector, effect, reason, until }]
}

export const LOCK_TABLE: { readonly [S in Lock['state']]: { readonly [K in LockSignal['kind']]: LockRule<SignalOf<K>> } } = {
  set: { 'lock.set': (held, signal, now) => (held.until !== null && held.until <= now ? setLock(signal) : strengthen(held, signal, now)), 'lock.lifted': () => [{ what: 'lock.lifted' }] },
  lifted: { 'lock.set': (_held, signal) => setLock(signal), 'lock.lifted': () => NOTHING },
}
