// The session of a verified credential: at once where it is known and nothing changed, else loaded, renewed or opened. SPEC: SES2-SES6
import { boundBy, NOT_BOUND } from '../core/binding.ts'
import { boundDrift } from '../core/drift.ts'
import { isNewer } from '../core/evidence.ts'
import { locksOnRequest, NO_CALL } from '../core/locks.ts'
import { type Refusal, refuse } from '../core/decision.ts'
import { type Reason, REASONS } from '../core/reason.ts'
import { sessionRef } from '../core/record.ts'
import { type Credential, isMarked } from '../core/session.ts'
import { after, type Instant } from '../core/time.ts'
import type { Verified } from '../identity/credential.ts'
import { newSessionId, newSignalId } from '../runtime/id.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { ProxyRoom } from './room.ts'

/** A later end that is worth a commit when nothing is open, in milliseconds. */
const WORTH_RENEWING = 30_000
const ATTEMPTS = 4

const credentialOf = ({ evidence: { credential, keyId, issuedAt, expiresAt } }: Verified): Credential => ({ id: credential, keyId, issuedAt, expiresAt })

function wantsRenewal(live: LiveSession, { evidence }: Verified): boolean {
  const { credential } = live.record
  if (evidence.credential === credential.id || !isNewer(evidence, credential)) return false
  const later = (evidence.expiresAt ?? Infinity) - (credential.expiresAt ?? Infinity)
  return live.pins > 0 || later >= WORTH_RENEWING || later < 0 // an end that came nearer bounds what older ones open
}

/** Nobody here saw it for so long; others may have. */
const mayBeIdle = ({ mirror, keeper }: ProxyRoom, { lastSeen, pins }: LiveSession): boolean => pins === 0 && after(lastSeen, mirror.policy.sessions.idle) <= keeper.clock.now()

/** What a request shows beside its credential. */
export type Shower = { readonly workload: string | null; readonly certified: string | null; readonly sourceAddress: string }

/** The judge will refuse it: nothing of what it shows counts for the session, neither its claims nor its end. */
const isDrifted = ({ mirror }: ProxyRoom, { record }: LiveSession, { evidence }: Verified, shower: Shower): boolean =>
  record.bindings !== NOT_BOUND && boundDrift(record, mirror.policy.sessions.bind, 'required', { evidence, context: { workload: shower.workload, source: shower.sourceAddress } }) !== null

/** No I/O: null when something has to be asked or written first. */
export function sessionNow(room: ProxyRoom, verified: Verified, shower: Shower): LiveSession | null {
  const live = room.mirror.peek(verified.key)
  if (live === null || live.record.state.is !== 'live' || isMarked(live.record, verified.evidence.issuedAt) || mayBeIdle(room, live)) return null
  if (isDrifted(room, live, verified, shower)) return live
  if (wantsRenewal(live, verified)) return null
  room.mirror.learn(live, verified.claims, verified.evidence)
  return live
}

/** Ends a life that time ended while nobody looked. */
async function lapseOverdue(room: ProxyRoom, live: LiveSession, now: Instant): Promise<boolean> {
  const { record } = live
  const { idle } = room.mirror.policy.sessions
  const idleFrom = after(mayBeIdle(room, live) ? await room.mirror.seenAnywhere(live) : live.lastSeen, idle)
  const news = { id: newSignalId(), by: 'timekeeper', note: '' }
  if (record.endsAt <= now) await room.ledger.applyToSession(record.key, { kind: 'time.passed', ...news }, record.endsAt)
  else if (idleFrom <= now && live.pins === 0 && record.frozen === null) await room.ledger.applyToSession(record.key, { kind: 'session.lapsed', reason: 'idle', ...news }, idleFrom)
  else return false
  return true
}

const reasonOf = (word: string): Reason => (word in REASONS ? (word as Reason) : 'session_ended') // checked by `in`

/** @param shower a session that it opens is bound to what it shows */
export async function sessionOf(room: ProxyRoom, verified: Verified, route: string, shower: Shower): Promise<LiveSession | Refusal> {
  const { mirror, ledger, timekeeper, keeper } = room
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const now = keeper.clock.now()
    const lock = mirror.locks.size === 0 ? null : locksOnRequest(mirror.locks, route, { evidence: verified.evidence, action: NO_CALL, context: shower }, verified.principal, now)
    if (lock?.effect === 'deny') return refuse(lock.reason)
    const known = mirror.peek(verified.key)
    const live = known ?? (await mirror.load(verified.key))
    if (live !== null && isMarked(live.record, verified.evidence.issuedAt)) return refuse('credential_revoked')
    if (live !== null && live.record.state.is === 'live') {
      if (await lapseOverdue(room, live, now)) continue
      if (known === null) await ledger.settle(live.record)
      if (isDrifted(room, live, verified, shower)) return live
      if (wantsRenewal(live, verified)) await ledger.applyToSession(verified.key, { kind: 'credential.renewed', credential: credentialOf(verified), id: newSignalId(), by: 'caller', note: '' })
      if (live.record.state.is !== 'live') continue
      mirror.learn(live, verified.claims, verified.evidence)
      timekeeper.watch(live)
      return live
    }
    if (!verified.opens) return refuse(live === null ? 'credential_invalid' : 'session_ended')
    const endsAt = after(now, mirror.policy.sessions.max)
    const opened = await ledger.applyToSession(verified.key, {
      kind: 'session.opened', key: verified.key, session: newSessionId(), epoch: room.store.epochOf(sessionRef(verified.key)), principal: verified.principal,
      credential: credentialOf(verified), endsAt, bindings: boundBy(verified.evidence, shower.workload, shower.sourceAddress, mirror.policy.sessions.bind), aliases: verified.aliases, brokered: null, id: newSignalId(), by: 'caller', note: '',
    })
    if (opened.rejected !== null) return refuse(reasonOf(opened.rejected.rejected))
    if (opened.record === null) continue
    if (opened.position !== null) room.metrics.sessionsOpened.inc({ kind: verified.principal.kind })
    // read back rather than taken over: what was announced since the commit is then not missed
  }
  return refuse('store_failed')
}
