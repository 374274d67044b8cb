// Asking for an elevation on behalf of a session, reading them, and ending them. What they may be is decided by approvals/ and the core.
// SPEC: ADM12, ELV1, APR2
import { prepare } from '../../approvals/asking.ts'
import { barredFrom } from '../../approvals/barred.ts'
import type { Elevation } from '../../core/elevation.ts'
import type { EndReason } from '../../core/reason.ts'
import type { SessionNews } from '../../core/signal.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { type Answer, done, spanText, told } from '../answer.ts'
import { claimsOf, isRunning, type Owned } from '../directory.ts'
import { enforced } from '../enforced.ts'
import { AdminFault, faultOf } from '../fault.ts'
import { mayDo } from '../roles.ts'
import { elevationOf, elevationView } from '../session-view.ts'
import { type Call, givenReason, type Handlers, purposesIn, wordOf } from './handler.ts'

type OnOne = 'elevation.approve' | 'elevation.deny' | 'elevation.withdraw' | 'elevation.extend' | 'elevation.release' | 'elevation.revoke'

const LISTED = 100

/** Labels are a closed set: a profile nobody configured is counted without its name. */
export function countRequest({ metrics, mirror }: Call<'elevation.request'>['room'], profile: string, answer: string): void {
  metrics.elevationsRequested.inc({ profile: mirror.policy.profiles.has(profile) ? profile : '', answer })
}

async function asked({ room, caller, body }: Call<'elevation.request'>, live: LiveSession): Promise<Elevation> {
  const { principal } = live.record
  const ask = { profile: body.profile, for: body.for ?? null, purposes: purposesIn(body.purpose), params: body.params ?? {}, note: body.reason, startsAt: body.startAt ?? null }
  const prepared = await prepare(ask, { principal, claims: claimsOf(live), keyThumbprint: null, workload: null, holds: live.record, filedBy: caller.identity }, room.mirror.policy, room.mirror, room.clock.now())
  if (!('declined' in prepared)) return prepared
  countRequest(room, body.profile, prepared.declined)
  throw faultOf({ rejected: prepared.declined, says: prepared.says })
}

async function request(call: Call<'elevation.request'>): Promise<Answer> {
  const { room, directory, caller, body } = call
  const live = await directory.session(body.session)
  const elevation = await asked(call, live)
  if (body.dryRun === true) return told(elevationView(live.record, elevation, null, null, null))
  const { record, rejected } = await room.intake.session(live.record.key, { kind: 'elevation.requested', elevation, askedUntil: null }, wordOf(caller, body.reason))
  countRequest(room, body.profile, rejected?.rejected ?? 'taken')
  if (rejected !== null) throw faultOf(rejected)
  directory.note(elevation.id, live.record.key)
  const made = record?.elevations.find(({ id }) => id === elevation.id) ?? elevation
  return done(elevationOf(room, live, made), elevation.id, made.state.is === 'requested' ? 202 : 201)
}

async function apply(call: Pick<Call<OnOne>, 'room' | 'directory' | 'caller' | 'params' | 'body'>, newsOf: (owned: Owned) => SessionNews): Promise<Answer> {
  const { room, directory, caller, params, body } = call
  const owned = await directory.elevation(params.id)
  const word = wordOf(caller, body.reason)
  return enforced(room.intake.session(owned.live.record.key, newsOf(owned), word), params.id, givenReason(body.reason))
}

const barred = ({ room }: Pick<Call<OnOne>, 'room'>, { live, elevation }: Owned): readonly string[] => barredFrom(room.mirror.policy, live.record.principal, elevation)

function assertFiled({ caller }: Pick<Call<OnOne>, 'caller'>, { elevation }: Owned): void {
  if (elevation.requestedBy !== caller.identity) throw new AdminFault('forbidden', 'only who filed the request takes it back')
}

/** Where extending needs a new approval, extending is approving. */
function assertMayExtend(call: Call<'elevation.extend'>, owned: Owned): void {
  const approval = call.room.mirror.policy.profiles.get(owned.elevation.profile)?.approval ?? null
  if (approval === null || approval.extend) {
    if (mayDo(call.caller, ['operator', 'broker'])) return
    throw new AdminFault('forbidden', 'extending this one is for operators')
  }
  if (!mayDo(call.caller, ['approver'])) throw new AdminFault('forbidden', 'extending needs the word of an approver')
  if (barred(call, owned).includes(call.caller.identity)) throw new AdminFault('forbidden', 'nobody approves its own request')
}

/** Who gave the approval withdraws it; an operator revokes. */
function revocation({ caller }: Pick<Call<OnOne>, 'caller'>, { elevation }: Owned): EndReason {
  if (mayDo(caller, ['approver']) && elevation.approvals.some(({ by }) => by === caller.identity)) return 'approval_withdrawn'
  if (mayDo(caller, ['operator'])) return 'revoked'
  throw new AdminFault('forbidden', 'an approver revokes what it approved')
}

/** An approval gives what was asked or less: more would be taken for a promise that is not kept. */
function approved(call: Call<'elevation.approve'>, owned: Owned): SessionNews {
  const { elevation } = owned
  const { adds = null, for: span = null } = call.body
  if (span !== null && span > elevation.for) throw new AdminFault('bad_request', `an approval gives at most what was asked: ${spanText(elevation.for)}`)
  return { kind: 'elevation.approved', elevation: elevation.id, adds, for: span, barred: barred(call, owned) }
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
  return { kind: 'elevation.extended', elevation: owned.elevation.id, more: call.body.for }
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
