// Asking for an elevation on behalf of a session, reading them, and ending them. What they may be is decided by approvals/ and the core.
// SPEC: ADM12, ELV1, APR2
import { approvalNews, type Approver, isLastWord } from '../../approvals/approving.ts'
import { type Prepared, prepare, type World } from '../../approvals/asking.ts'
import { barredFrom } from '../../approvals/barred.ts'
import { isDeclined } from '../../approvals/declined.ts'
import { type Repeat, repeatable, statusOf, unrepeated } from '../../approvals/repeat.ts'
import { requestElevation } from '../../approvals/requesting.ts'
import { isAsked, isLockedOut } from '../../approvals/standing.ts'
import type { EndReason } from '../../core/reason.ts'
import type { SessionNews } from '../../core/signal.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { type Answer, done, spanText, told } from '../answer.ts'
import { claimsOf, isRunning, type Owned } from '../directory.ts'
import { enforced } from '../enforced.ts'
import { AdminFault, faultOf } from '../fault.ts'
import { keptOf } from '../kept.ts'
import { repeatKeyOf } from '../repeat-key.ts'
import { type Caller, holdsRole, mayDo } from '../roles.ts'
import { elevationOf, elevationView } from '../session-view.ts'
import { type Call, givenReason, type Handlers, purposesIn, wordOf } from './handler.ts'

type OnOne = 'elevation.approve' | 'elevation.deny' | 'elevation.withdraw' | 'elevation.extend' | 'elevation.release' | 'elevation.revoke'

const LISTED = 100

/** Labels are a closed set: a profile nobody configured is counted without its name. */
export function countRequest({ metrics, mirror }: Call<'elevation.request'>['room'], profile: string, answer: string): void {
  metrics.elevationsRequested.inc({ profile: mirror.policy.profiles.has(profile) ? profile : '', answer })
}

export const worldOf = ({ mirror, clock, lookUp, unreviewed }: Call<'elevation.request'>['room']): World => ({ policy: mirror.policy, look: lookUp, now: clock.now(), unreviewed })

async function asked({ room, caller, body }: Call<'elevation.request'>, live: LiveSession, repeat: Repeat): Promise<Prepared> {
  const { principal } = live.record
  const ask = { profile: body.profile, for: body.for ?? null, purposes: purposesIn(body.purpose), params: body.params ?? {}, note: body.reason, startsAt: body.startAt ?? null, held: false }
  const prepared = await prepare(ask, { principal, claims: claimsOf(live), keyThumbprint: null, workload: null, shown: null, holds: live.record, filedBy: caller.identity }, worldOf(room), repeat)
  if (!isDeclined(prepared)) return prepared
  countRequest(room, body.profile, prepared.declined)
  throw faultOf({ rejected: prepared.declined, says: prepared.says })
}

async function request(call: Call<'elevation.request'>): Promise<Answer> {
  const { room, directory, caller, body, repeatKeys } = call
  const repeatKey = repeatKeyOf(repeatKeys)
  const live = await directory.session(body.session)
  const repeat = repeatKey === null ? unrepeated() : repeatable(live.record.id, caller.identity, repeatKey, body)
  const before = live.record.elevations.find(({ id, asked: same }) => id === repeat.id && same === repeat.asked)
  if (before !== undefined) return done(elevationOf(room, live, before), before.id, statusOf(before))
  const prepared = await asked(call, live, repeat)
  const { elevation } = prepared
  if (body.dryRun === true) return told(elevationView(live.record, elevation, null, null, null))
  const { record, rejected } = await requestElevation({ intake: room.intake, now: room.clock.now(), sessionAt: async key => (await room.mirror.load(key))?.record ?? null }, live.record.key, prepared, wordOf(caller, body.reason))
  countRequest(room, body.profile, rejected?.rejected ?? 'taken')
  if (rejected !== null) throw faultOf(rejected)
  directory.note(elevation.id, live.record.key)
  const made = record?.elevations.find(({ id }) => id === elevation.id) ?? elevation
  return done(elevationOf(room, live, made), elevation.id, statusOf(made))
}

async function apply(call: Pick<Call<OnOne>, 'room' | 'directory' | 'caller' | 'params' | 'body'>, newsOf: (owned: Owned) => SessionNews | Promise<SessionNews>): Promise<Answer> {
  const { room, directory, caller, params, body } = call
  const owned = await directory.elevation(params.id)
  const word = wordOf(caller, body.reason)
  const news = await newsOf(owned)
  return enforced(room.intake.session(owned.live.record.key, news, word), params.id, givenReason(body.reason))
}

const barred = ({ room }: Pick<Call<OnOne>, 'room'>, { live, elevation }: Owned): readonly string[] => barredFrom(room.mirror.policy, live.record.principal, elevation)

function assertFiled({ caller }: Pick<Call<OnOne>, 'caller'>, { elevation }: Owned): void {
  if (elevation.requestedBy !== caller.identity) throw new AdminFault('forbidden', 'only who filed the request takes it back')
}

/** Where extending needs a new approval, extending is approving. */
function assertMayExtend(call: Call<'elevation.extend'>, owned: Owned): void {
  const approval = call.room.mirror.policy.profiles.get(owned.elevation.profile)?.approval ?? null
  if (approval === null || approval.extend !== 'approval') {
    if (mayDo(call.caller, ['operator', 'broker'])) return
    throw new AdminFault('forbidden', 'extending this one is for operators')
  }
  const standing = { claims: call.caller.claims, holds: (role: string) => holdsRole(call.caller, role) }
  if (!owned.elevation.stages.some((_, stage) => isAsked(call.room.mirror.policy, owned.elevation, stage, standing))) throw new AdminFault('forbidden', 'extending needs the word of an approver')
  if (barred(call, owned).includes(call.caller.identity)) throw new AdminFault('forbidden', 'nobody approves its own request')
  if (isLockedOut({ locks: call.room.mirror.locks, now: call.room.clock.now() }, call.caller.identity)) throw faultOf({ rejected: 'locked', says: 'a lock stands on the approver' })
}

/** Who gave the approval withdraws it; an operator revokes. */
function revocation({ caller }: Pick<Call<OnOne>, 'caller'>, { elevation }: Owned): EndReason {
  if (elevation.approvals.some(({ by }) => by === caller.identity)) return 'approval_withdrawn'
  if (mayDo(caller, ['operator'])) return 'revoked'
  throw new AdminFault('forbidden', 'an approver revokes what it approved')
}

function approverOf(caller: Caller): Approver {
  const kept = keptOf(caller)
  if (kept === null) throw new AdminFault('conflict', 'this credential says more than can be kept with an approval: at most 4 KiB', { reason: 'limit_reached' })
  return { identity: caller.identity, claims: caller.claims, kept, holds: role => holdsRole(caller, role) }
}

/** Before anything starts: an earlier approval that counts no more ends the request, and nobody's further word mends that. */
async function assertEarlierCount({ room, caller }: Call<'elevation.approve'>, { live, elevation }: Owned): Promise<void> {
  const reason = await room.objection(live.record, elevation)
  if (reason === null) return
  await room.intake.session(live.record.key, { kind: 'elevation.ended', elevation: elevation.id, reason, because: 'approval' }, { ...wordOf(caller, 'an earlier approval counts no more'), life: live.record.id })
  throw new AdminFault('conflict', 'an earlier approval counts no more: the request is over', { reason })
}

/** An approval gives what was asked or less: more would be taken for a promise that is not kept. */
async function approved(call: Call<'elevation.approve'>, { live, elevation }: Owned): Promise<SessionNews> {
  const { room, caller, body } = call
  const { adds = null, for: span = null, uses = null, params = null, shown } = body
  if (span !== null && span > elevation.for) throw new AdminFault('bad_request', `an approval gives at most what was asked: ${spanText(elevation.for)}`)
  const news = await approvalNews(live.record, elevation, approverOf(caller), { adds, for: span, uses, params, shown }, { ...worldOf(room), locks: room.mirror.locks })
  if (isDeclined(news)) throw faultOf({ rejected: news.declined, says: news.says })
  if (isLastWord(elevation)) await assertEarlierCount(call, { live, elevation })
  return news
}

const ended = ({ elevation }: Owned, reason: EndReason): SessionNews => ({ kind: 'elevation.ended', elevation: elevation.id, reason, because: 'admin' })

function released(call: Pick<Call<OnOne>, 'caller'>, owned: Owned): SessionNews {
  if (!mayDo(call.caller, ['operator'])) assertFiled(call, owned)
  return ended(owned, 'released')
}

function withdrawn(call: Pick<Call<OnOne>, 'caller'>, owned: Owned): SessionNews {
  assertFiled(call, owned)
  return { kind: 'elevation.withdrawn', elevation: owned.elevation.id }
}

function extended(call: Call<'elevation.extend'>, owned: Owned): SessionNews {
  assertMayExtend(call, owned)
  return { kind: 'elevation.extended', elevation: owned.elevation.id, more: call.body.for, once: false }
}

export const ELEVATION_HANDLERS: Handlers<OnOne | 'elevation.request' | 'elevation.list' | 'elevation.get'> = {
  'elevation.request': request,
  'elevation.list': async ({ room, directory, query: { state, session, limit = LISTED } }) => {
    const { items, more } = await directory.elevations((elevation, owner) => (session === undefined || owner.id === session) && (state === undefined ? isRunning(elevation) : elevation.state.is === state), limit)
    const rows = items.map(({ session: owner, elevation }) => {
      const live = room.mirror.byId(owner.id)
      return live === null ? elevationView(owner, elevation, null, null, null) : elevationOf(room, live, elevation)
    })
    return told({ elevations: rows, more })
  },
  'elevation.get': async ({ room, directory, params }) => {
    const { live, elevation } = await directory.elevation(params.id)
    return told(elevationOf(room, live, elevation))
  },
  'elevation.approve': call => apply(call, owned => approved(call, owned)),
  'elevation.deny': call => apply(call, ({ elevation }) => ({ kind: 'elevation.denied', elevation: elevation.id })),
  'elevation.withdraw': call => apply(call, owned => withdrawn(call, owned)),
  'elevation.extend': call => apply(call, owned => extended(call, owned)),
  'elevation.release': call => apply(call, owned => released(call, owned)),
  'elevation.revoke': call => apply(call, owned => ended(owned, revocation(call, owned))),
}
