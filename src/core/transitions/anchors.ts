// The total tables of anchors and locks. Restrictive news on an absent record creates it: the end is known before the thing was. SPEC: SIG3, SIG4
import { type Anchor, type AnchorRef, type Lock, stronger } from '../anchor.ts'
import type { AnchorHappening, LockHappening } from '../fact.ts'
import type { AnchorSignal, LockSignal, SignalOf } from '../signal.ts'
import type { Instant } from '../time.ts'
import { NOTHING, type Outcome } from './rule.ts'

type AnchorRule = (ref: AnchorRef) => Outcome<AnchorHappening>
const opens: AnchorRule = ({ kind, name }) => [{ what: 'anchor.opened', kind, name }]
const ends: AnchorRule = ({ kind, name }) => [{ what: 'anchor.ended', kind, name }]
const same: AnchorRule = () => NOTHING

export const ANCHOR_TABLE: { readonly [S in Anchor['state'] | 'absent']: { readonly [K in AnchorSignal['kind']]: AnchorRule } } = {
  absent: { 'anchor.opened': opens, 'anchor.ended': ends },
  open: { 'anchor.opened': same, 'anchor.ended': ends },
  ended: { 'anchor.opened': opens, 'anchor.ended': same },
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
