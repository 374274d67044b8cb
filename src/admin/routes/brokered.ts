// Opening a session for somebody else's task, and saying that the task is done. The token is in one answer and nowhere else: not stored, not logged,
// not told again. SPEC: SES20, SES21, BND7, PUR4, ADM23
import { type Prepared, prepare } from '../../approvals/asking.ts'
import { isDeclined } from '../../approvals/declined.ts'
import { requestElevation } from '../../approvals/requesting.ts'
import type { Broker } from '../../core/policy.ts'
import { PURPOSE_KINDS, type Purposes } from '../../core/purpose.ts'
import { sessionRef } from '../../core/record.ts'
import { scopeOf } from '../../core/scope.ts'
import type { Brokered, Session, SessionKey } from '../../core/session.ts'
import type { SessionNews } from '../../core/signal.ts'
import { duration, type Instant } from '../../core/time.ts'
import { sessionCredential } from '../../identity/session-token.ts'
import { newSessionId } from '../../runtime/id.ts'
import type { LiveSession } from '../../sessions/live-session.ts'
import { type Answer, done, timeText } from '../answer.ts'
import { barredUnder, boundTo, brokerFor, delegatedFrom, endFor, issuerFor, mayActAs, parentFor, purposesUnder, representedBy } from '../brokering.ts'
import { claimsOf } from '../directory.ts'
import { enforced } from '../enforced.ts'
import { AdminFault, faultOf } from '../fault.ts'
import { isFirstUse } from '../once.ts'
import { repeatKeyOf } from '../repeat-key.ts'
import { mayDo } from '../roles.ts'
import { elevationOf, principalView, scopesOf } from '../session-view.ts'
import { countRequest } from './elevations.ts'
import { type Call, givenReason, type Handlers, purposesIn, wordOf } from './handler.ts'

type Opening = Call<'session.open'>
type Profile = NonNullable<Opening['body']['profiles']>[number]
type Draft = Extract<SessionNews, { kind: 'session.opened' }> & { readonly brokered: Brokered }

const DAY = 86_400_000
/** A value that opened a session is remembered so long at least, and longer than that session can live. */
const VALUES_REMEMBERED = 28 * DAY
const VALUE_OUTLIVES = 7 * DAY
const REPEATS_REMEMBERED = duration(DAY)

/** The session as it would be opened now. @throws AdminFault */
async function drafted(call: Opening, broker: Broker, key: SessionKey, now: Instant): Promise<Draft> {
  const { room, caller, body } = call
  const issuer = await issuerFor(broker, call)
  const parent = await parentFor(call)
  if (parent !== null) claimsOf(parent)
  const delegated = parent === null ? null : delegatedFrom(room, parent)
  const { principal, claims } = representedBy(broker, issuer, call, parent)
  const { bindings, possession } = boundTo(broker, body)
  const endsAt = endFor(broker, body, parent, now)
  const brokered: Brokered = {
    broker: broker.name, by: caller.identity, claims, possession, scopes: body.scopes === undefined ? null : scopeOf(body.scopes), profiles: broker.profiles,
    purposes: purposesUnder(parent, purposesIn(body.purpose)), barred: barredUnder(parent), parent: delegated,
  }
  const credential = { id: sessionCredential({ key }), keyId: null, issuedAt: now, expiresAt: endsAt }
  return { kind: 'session.opened', key, session: newSessionId(), epoch: room.store.epochOf(sessionRef(key)), principal, credential, endsAt, bindings, aliases: [], brokered }
}

/** Of what the session is for, what this profile asks about. */
function purposesFor({ room }: Opening, { profile }: Profile, all: Purposes): Purposes {
  const asked = room.mirror.policy.profiles.get(profile)?.purposes ?? []
  return Object.fromEntries(PURPOSE_KINDS.filter(kind => all[kind] !== undefined && asked.includes(kind)).map(kind => [kind, all[kind]])) as Purposes // kinds of the list
}

async function elevationFor(call: Opening, wanted: Profile, { session, principal, bindings, brokered }: Draft, now: Instant): Promise<Prepared> {
  const { room, caller, body } = call
  const ask = { profile: wanted.profile, for: wanted.for ?? null, purposes: purposesFor(call, wanted, brokered.purposes), params: wanted.params ?? {}, note: body.reason, startsAt: null, held: false }
  const asker = { principal, claims: brokered.claims, keyThumbprint: bindings.key, workload: bindings.workload, shown: null, holds: { id: session, brokered, elevations: [] }, filedBy: caller.identity }
  const prepared = await prepare(ask, asker, { policy: room.mirror.policy, look: room.lookUp, now, unreviewed: room.unreviewed })
  if (!isDeclined(prepared)) return prepared
  countRequest(room, wanted.profile, prepared.declined)
  throw faultOf({ rejected: prepared.declined, says: prepared.says })
}

/** The last question, asked when everything else is right: what is used up here is not given back. */
async function assertFirst({ room, caller }: Opening, repeatKey: string | null, { name, max, once }: Broker, { principal, brokered }: Draft, now: Instant): Promise<void> {
  if (repeatKey !== null && !(await isFirstUse(room.store, ['repeat', caller.identity, repeatKey], REPEATS_REMEMBERED, now))) {
    throw new AdminFault('conflict', 'this `Idempotency-Key` was used already: a token is shown once, and never again')
  }
  if (once === null) return
  const value = brokered.purposes[once]
  if (value === undefined) return
  const above = brokered.parent === null ? null : (room.mirror.byId(brokered.parent.id)?.record.brokered ?? null)
  if (above?.broker === name && above.purposes[once] === value) return // a part of what was opened for it
  const memory = duration(VALUES_REMEMBERED * Math.ceil((max + VALUE_OUTLIVES) / VALUES_REMEMBERED))
  if (!(await isFirstUse(room.store, ['once', name, principal.tenant, once, value], memory, now))) throw new AdminFault('conflict', `${name} has opened a session for this ${once} already`)
}

/** By itself, or by its parent. */
function assertNamed({ name, once }: Broker, { brokered: { purposes } }: Draft): void {
  if (once !== null && purposes[once] === undefined) throw new AdminFault('bad_request', `each session of ${name} names its ${once} in \`purpose\``)
}

/** @throws AdminFault where the store has another opinion */
async function commit({ room, caller, body }: Opening, draft: Draft): Promise<LiveSession> {
  const { record, rejected, position } = await room.intake.session(draft.key, draft, wordOf(caller, body.reason))
  if (rejected !== null) throw faultOf(rejected)
  if (position === null || record?.id !== draft.session) throw new AdminFault('conflict', 'the session was not opened')
  room.metrics.sessionsOpened.inc({ kind: draft.principal.kind })
  const live = await room.mirror.load(draft.key)
  if (live === null) throw new AdminFault('conflict', 'the session is over already')
  return live
}

async function elevate({ room, directory, caller, body }: Opening, live: LiveSession, prepared: Prepared): Promise<void> {
  const { elevation } = prepared
  const { rejected } = await requestElevation({ intake: room.intake, now: room.clock.now(), sessionAt: async key => (await room.mirror.load(key))?.record ?? null }, live.record.key, prepared, wordOf(caller, body.reason))
  countRequest(room, elevation.profile, rejected?.rejected ?? 'taken')
  if (rejected !== null) throw faultOf(rejected)
  directory.note(elevation.id, live.record.key)
}

/** All of them, or no session: whoever asked never learns its token then. */
async function elevateAll(call: Opening, live: LiveSession, elevations: readonly Prepared[]): Promise<void> {
  try {
    for (const prepared of elevations) await elevate(call, live, prepared)
  } catch (error) {
    await call.room.intake.session(live.record.key, { kind: 'session.terminated', reason: 'revoked' }, { ...wordOf(call.caller, 'an elevation it was to begin with was not taken'), life: live.record.id })
    throw error
  }
}

const bindView = ({ bindings: { key, workload, source }, brokered }: Draft) => ({
  ...(key === null ? {} : { [brokered.possession === 'dpop' ? 'jkt' : 'x5t#S256']: key }), ...(workload === null ? {} : { workload }), ...(source === null ? {} : { source }),
})

function answerOf({ room }: Opening, token: string, live: LiveSession, draft: Draft): Answer {
  const { record } = live
  const waits = record.elevations.some(({ state }) => state.is === 'requested')
  return done({
    token, session: record.id, principal: principalView(record), scopes: scopesOf(live, room.mirror.effective(live, room.clock.now())), elevations: record.elevations.map(elevation => elevationOf(room, live, elevation)),
    endsAt: timeText(record.endsAt), bind: bindView(draft), parent: draft.brokered.parent?.id ?? null, purpose: draft.brokered.purposes,
  }, record.id, waits ? 202 : 201)
}

async function open(call: Opening): Promise<Answer> {
  const { room, body } = call
  const broker = brokerFor(call)
  const repeatKey = repeatKeyOf(call.repeatKeys)
  const now = room.clock.now()
  const { token, key } = room.sessionTokens.issue()
  const draft = await drafted(call, broker, key, now)
  assertNamed(broker, draft)
  const elevations: Prepared[] = []
  for (const wanted of body.profiles ?? []) elevations.push(await elevationFor(call, wanted, draft, now))
  await assertFirst(call, repeatKey, broker, draft, now)
  const live = await commit(call, draft)
  await elevateAll(call, live, elevations)
  return answerOf(call, token, live, draft)
}

function assertMayComplete({ room, caller }: Call<'session.complete'>, { brokered }: Session): void {
  if (mayDo(caller, ['operator'])) return
  const broker = brokered === null ? undefined : room.mirror.policy.brokers.get(brokered.broker)
  if (brokered !== null && (brokered.by === caller.identity || (broker !== undefined && mayActAs(broker, caller)))) return
  throw new AdminFault('forbidden', 'a broker completes what it opened')
}

/** What was left of its time stands in the fact, beside the reason. */
async function complete(call: Call<'session.complete'>): Promise<Answer> {
  const { room, directory, caller, params, body } = call
  const { record } = await directory.session(params.id)
  assertMayComplete(call, record)
  const unusedMs = record.state.is === 'live' ? Math.max(0, record.endsAt - room.clock.now()) : 0
  const word = wordOf(caller, body.reason)
  const answer = await enforced(room.intake.session(record.key, { kind: 'session.terminated', reason: 'purpose_over' }, { ...word, note: `${word.note} (${unusedMs} ms unused)`, life: record.id }), params.id, givenReason(body.reason))
  return answer.is === 'json' ? { ...answer, body: { ...answer.body, unusedMs } } : answer
}

export const BROKERED_HANDLERS: Handlers<'session.open' | 'session.complete'> = { 'session.open': open, 'session.complete': complete }
