// Reading sessions, and the six verbs on one of them. The verbs that take away need no reason, no version and no patience. SPEC: ADM3, ADM12
import { isDeepStrictEqual } from 'node:util'
import { sessionRef } from '../../core/record.ts'
import type { Session } from '../../core/session.ts'
import { after, type Instant } from '../../core/time.ts'
import type { SessionNews } from '../../core/signal.ts'
import { type Answer, told } from '../answer.ts'
import { enforced } from '../enforced.ts'
import { AdminFault } from '../fault.ts'
import { sessionRow, sessionView } from '../session-view.ts'
import { type Call, givenReason, type Handlers, wordOf } from './handler.ts'

type Verb = 'session.narrow' | 'session.widen' | 'session.freeze' | 'session.resume' | 'session.terminate' | 'session.shorten' | 'session.clearTaints'

const LISTED = 100

async function apply(call: Pick<Call<Verb>, 'room' | 'directory' | 'caller' | 'params' | 'body'>, newsAt: (now: Instant) => SessionNews): Promise<Answer> {
  const { room, directory, caller, params, body } = call
  const { record } = await directory.session(params.id)
  return enforced(room.intake.session(record.key, newsAt(room.clock.now()), { ...wordOf(caller, body.reason), life: record.id }), params.id, givenReason(body.reason))
}

/** What was approved under a cap and never ran starts with it: it is looked at again first. */
async function endObjected({ room, directory, caller, params }: Call<'session.widen'>): Promise<void> {
  const { record } = await directory.session(params.id)
  for (const elevation of record.elevations) {
    if (elevation.state.is !== 'suspended' || elevation.state.since !== null) continue
    const reason = await room.objection(record, elevation)
    if (reason !== null) await room.intake.session(record.key, { kind: 'elevation.ended', elevation: elevation.id, reason, because: 'approval' }, { ...wordOf(caller, 'an approval counts no more'), life: record.id })
  }
}

async function widen(call: Call<'session.widen'>): Promise<Answer> {
  await endObjected(call)
  return apply(call, () => ({ kind: 'session.widened' }))
}

/** Without arguments everything but the baseline goes; elevations alone leave the rest. */
const narrowTo = ({ to, elevations }: Call<'session.narrow'>['body']): 'baseline' | readonly string[] | null => to ?? (elevations === undefined ? 'baseline' : null)

export const SESSION_HANDLERS: Handlers<Verb | 'session.list' | 'session.get' | 'session.timeline'> = {
  'session.list': async ({ room, directory, query }) => {
    const { state = 'live', limit = LISTED } = query
    const { items, more } = await directory.sessions(session => state === 'any' || session.state.is === state, limit)
    return told({ sessions: items.map(session => sessionRow(room, session)), more })
  },
  'session.get': async ({ room, directory, params }) => told(sessionView(room, await directory.session(params.id))),
  'session.timeline': async ({ room, params }) => {
    const { session, gap, lines, left } = await room.timeline(params.id)
    if (lines.length === 0) throw new AdminFault('not_found', 'the trail does not name this session')
    return told({ session: params.id, version: session?.version ?? null, ...(await compared(room, session)), complete: gap === null && left === 0, gap, left, lines })
  },
  'session.narrow': call => apply(call, () => ({ kind: 'session.narrowed', to: narrowTo(call.body), elevations: call.body.elevations ?? [] })),
  'session.widen': widen,
  'session.freeze': call => apply(call, now => ({ kind: 'session.frozen', until: call.body.until ?? after(now, call.body.for ?? call.room.mirror.policy.sessions.frozenFor) })),
  'session.resume': call => apply(call, () => ({ kind: 'session.resumed' })),
  'session.terminate': call => apply(call, () => ({ kind: 'session.terminated', reason: 'revoked' })),
  'session.clearTaints': call => apply(call, () => ({ kind: 'taints.cleared', names: call.body.names ?? null })),
  'session.shorten': call => apply(call, now => ({ kind: 'session.shortened', endsAt: endOf(call.body, now) })),
}

/** `stored`: version in the store, null where a later life took its place or it was forgotten. `asStored`: null where the versions differ. */
async function compared({ store }: Call<'session.timeline'>['room'], folded: Session | null): Promise<{ readonly stored: number | null; readonly asStored: boolean | null }> {
  const found = folded === null ? null : await store.load(sessionRef(folded.key))
  if (folded === null || found?.record !== 'session' || found.id !== folded.id) return { stored: null, asStored: null }
  return { stored: found.version, asStored: found.version === folded.version ? isDeepStrictEqual(found, folded) : null }
}

const endOf = (body: Call<'session.shorten'>['body'], now: Instant): Instant => body.endsAt ?? (body.for === undefined ? now : after(now, body.for))
