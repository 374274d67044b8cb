// The total tables of anchors and locks. Restrictive news on an absent record creates it: the end is known before the thing was. SPEC: SIG3, SIG4
import { type Anchor, type AnchorRef, type Lock, type Matter, stronger } from '../anchor.ts'
import type { AnchorHappening, LockHappening } from '../fact.ts'
import type { AnchorSignal, LockSignal, SignalOf } from '../signal.ts'
import { NO_STANDING, REACHED_MAX, type Standing } from '../risk.ts'
import { isInForce, isNewTaint, withTaint } from '../taint.ts'
import { type Instant, later } from '../time.ts'
import { NOTHING, type Outcome, reject } from './rule.ts'
import { accepts, seen } from './tools.ts'

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

/** News that was acted on is over for good. */
const opens: AnchorRule<'anchor.opened'> = ({ kind, name }, anchor, { matter }) => (anchor?.matter?.is === 'event' ? NOTHING : [{ what: 'anchor.opened', kind, name, matter: remembering(anchor?.matter ?? null, matter) }])
/** Once: what was taken, and perhaps acted on, is none again. */
const takes: AnchorRule<'event.taken'> = ({ kind, name }, anchor, { matter }) => (anchor === null ? [{ what: 'anchor.opened', kind, name, matter }] : NOTHING)
const ends: AnchorRule<'anchor.ended'> = ({ kind, name }, anchor, { matter }) => [{ what: 'anchor.ended', kind, name, matter: remembering(anchor?.matter ?? null, matter) }]
/** Open or over already: only what is known of it may be new. */
function same(ref: AnchorRef, anchor: Anchor | null, { matter }: { readonly matter: Matter | null }): Outcome<AnchorHappening> {
  const held = anchor?.matter ?? null
  if (held?.is === 'event') return NOTHING // it was taken, and perhaps acted on, once
  const next = matter === null ? null : remembering(held, matter)
  return next === null || isAlike(next, held) ? NOTHING : tells(ref, next)
}

/** Only ever forward. */
const advances: AnchorRule<'anchor.advanced'> = (ref, anchor, { position, value }) =>
  anchor?.matter?.is === 'progress' && anchor.matter.position >= position ? NOTHING : tells(ref, { is: 'progress', position, value })

const isHeldByOther = (held: Matter | null, wanted: Matter, now: Instant): boolean =>
  held?.is === 'resource' && wanted.is === 'resource' && held.holder !== null && wanted.holder !== null && held.holder.elevation !== wanted.holder.elevation && held.holder.until > now

type Stream = Extract<Matter, { is: 'stream' }>
function heardMore(held: Stream, told: Stream): Stream {
  const { status, statusAt } = told.statusAt > held.statusAt ? told : held
  return { is: 'stream', heardAt: later(held.heardAt, told.heardAt), status, statusAt }
}

/** What is further stays. A pause that runs is never made shorter; one that is over makes way. */
function merged(held: Matter | null, told: Matter, now: Instant): Matter {
  if (held?.is === 'order' && told.is === 'order') return held.at >= told.at ? held : told
  if (held?.is === 'stream' && told.is === 'stream') return heardMore(held, told)
  if (held?.is === 'progress' && told.is === 'progress') return held.position >= told.position ? held : told
  if (held?.is === 'window' && told.is === 'window') return { ...told, reopened: later(held.reopened, told.reopened) }
  if (held?.is !== 'principal' || told.is !== 'principal') return remembering(held, told)
  const running = Object.entries({ ...held.cooling, ...told.cooling }).map(([profile, until]) => [profile, Math.max(until, held.cooling[profile] ?? 0) as Instant] as const)
  return { ...held, cooling: Object.fromEntries(running.filter(([, until]) => until > now)) } // what else is kept of it has news of its own
}

type Principal = Extract<Matter, { is: 'principal' }>
const NOBODY_KNOWN: Principal = { is: 'principal', cooling: {}, ...NO_STANDING }
const principalIn = (anchor: Anchor | null): Principal => (anchor?.matter?.is === 'principal' ? anchor.matter : NOBODY_KNOWN)
const changes = (ref: AnchorRef, held: Principal, change: Partial<Standing>): Outcome<AnchorHappening> => tells(ref, { ...held, ...change })

/** Only ever higher; the same level again is no news, and neither is one that was crossed before an operator's word took the score back. */
const rises: AnchorRule<'risk.rose'> = (ref, anchor, { level }, now) => {
  const held = principalIn(anchor)
  if ((held.level !== null && held.level.at >= level.at) || level.since <= held.clearedAt) return NOTHING
  const reached = [{ at: level.at, when: now }, ...held.reached.filter(({ at }) => at > level.at)].slice(0, REACHED_MAX) // lower ones are reached with it
  return changes(ref, held, { level, reached })
}

const falls: AnchorRule<'risk.fell'> = (ref, anchor, { level }) => {
  const held = principalIn(anchor)
  return held.level === null || (level !== null && level.at >= held.level.at) ? NOTHING : changes(ref, held, { level })
}

const taints: AnchorRule<'principal.tainted'> = (ref, anchor, { taint }, now) => {
  const held = principalIn(anchor)
  return isNewTaint(held.taints, taint, now) ? changes(ref, held, { taints: withTaint(held.taints, taint, now) }) : NOTHING
}

const clears: AnchorRule<'principal.cleared'> = (ref, anchor, { risk, taints: names }, now) => {
  const held = principalIn(anchor)
  const kept = names === null ? held.taints : held.taints.filter(taint => isInForce(taint, now) && names !== 'all' && !names.includes(taint.name))
  if (!risk && kept.length === held.taints.length) return NOTHING
  return changes(ref, held, { taints: kept, ...(risk ? { level: null, clearedAt: later(now, held.clearedAt) } : {}) })
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

const OF_PRINCIPALS = { 'risk.rose': rises, 'risk.fell': falls, 'principal.tainted': taints, 'principal.cleared': clears } as const
const OF_TOOLS = { 'tools.seen': seen, 'tool.accepted': accepts } as const

export const ANCHOR_TABLE: { readonly [S in Anchor['state'] | 'absent']: AnchorRow } = {
  absent: { 'event.taken': takes, 'anchor.opened': opens, 'anchor.ended': ends, 'anchor.advanced': advances, 'anchor.told': told, ...OF_PRINCIPALS, ...OF_TOOLS },
  open: { 'event.taken': takes, 'anchor.opened': same, 'anchor.ended': ends, 'anchor.advanced': advances, 'anchor.told': told, ...OF_PRINCIPALS, ...OF_TOOLS },
  ended: { 'event.taken': takes, 'anchor.opened': opens, 'anchor.ended': same, 'anchor.advanced': advances, 'anchor.told': told, ...OF_PRINCIPALS, ...OF_TOOLS },
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
