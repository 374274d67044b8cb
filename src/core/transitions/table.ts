// The total table of sessions: every status against every kind of news, no default. The compiler lists what a new kind must answer.
// SPEC: SIG2
import type { SessionHappening } from '../fact.ts'
import type { Session } from '../session.ts'
import type { SessionSignal, SignalOf } from '../signal.ts'
import * as elevations from './elevations.ts'
import * as outside from './outside.ts'
import * as stepUps from './step-ups.ts'
import * as taints from './taints.ts'
import { NOTHING, type Outcome, reject, type SessionRule } from './rule.ts'
import * as life from './session-life.ts'
import * as verbs from './session-verbs.ts'

type Row = { readonly [K in SessionSignal['kind']]: SessionRule<SignalOf<K>> }

const nothing: SessionRule<unknown> = () => NOTHING
const over: SessionRule<unknown> = (session): Outcome<SessionHappening> => reject('session_ended', `the session is ${session.state.is}`)

export const SESSION_TABLE: { readonly [S in Session['state']['is']]: Row } = {
  live: {
    'session.opened': nothing,
    'binding.drifted': life.drift,
    'credential.renewed': life.renew,
    'session.narrowed': verbs.narrow,
    'session.widened': verbs.widen,
    'session.frozen': verbs.freeze,
    'session.resumed': verbs.resume,
    'session.shortened': verbs.shorten,
    'session.terminated': life.terminate,
    'session.lapsed': life.lapse,
    'mark.cleared': life.clearMark,
    'elevation.requested': elevations.request,
    'elevation.approved': elevations.approve,
    'elevation.started': elevations.begin,
    'elevation.deferred': elevations.defer,
    'elevation.spent': elevations.spend,
    'elevation.denied': elevations.deny,
    'elevation.withdrawn': elevations.withdraw,
    'elevation.extended': elevations.extend,
    'elevation.ended': elevations.end,
    'session.tainted': taints.taint,
    'taints.cleared': taints.clear,
    'stepUp.asked': stepUps.ask,
    'stepUp.answered': stepUps.answer,
    'stepUp.denied': stepUps.deny,
    'stepUp.used': stepUps.use,
    'stepUp.returned': stepUps.giveBack,
    'claims.changed': outside.changeClaims,
    'proof.demanded': outside.demand,
    'time.passed': life.passTime,
  },
  lapsed: {
    'session.opened': life.openNext,
    'binding.drifted': nothing,
    'credential.renewed': over,
    'session.narrowed': nothing,
    'session.widened': over,
    'session.frozen': nothing,
    'session.resumed': over,
    'session.shortened': nothing,
    'session.terminated': life.markRevoked,
    'session.lapsed': nothing,
    'mark.cleared': life.clearMark,
    'elevation.requested': over,
    'elevation.approved': over,
    'elevation.started': nothing,
    'elevation.deferred': nothing,
    'elevation.spent': nothing,
    'elevation.denied': nothing,
    'elevation.withdrawn': nothing,
    'elevation.extended': over,
    'elevation.ended': nothing,
    'session.tainted': nothing,
    'taints.cleared': nothing,
    'stepUp.asked': over,
    'stepUp.answered': over,
    'stepUp.denied': nothing,
    'stepUp.used': over,
    'stepUp.returned': nothing,
    'claims.changed': nothing,
    'proof.demanded': nothing,
    'time.passed': nothing,
  },
  revoked: {
    'session.opened': life.openNext,
    'binding.drifted': nothing,
    'credential.renewed': over,
    'session.narrowed': nothing,
    'session.widened': over,
    'session.frozen': nothing,
    'session.resumed': over,
    'session.shortened': nothing,
    'session.terminated': life.markRevoked,
    'session.lapsed': nothing,
    'mark.cleared': life.clearMark,
    'elevation.requested': over,
    'elevation.approved': over,
    'elevation.started': nothing,
    'elevation.deferred': nothing,
    'elevation.spent': nothing,
    'elevation.denied': nothing,
    'elevation.withdrawn': nothing,
    'elevation.extended': over,
    'elevation.ended': nothing,
    'session.tainted': nothing,
    'taints.cleared': nothing,
    'stepUp.asked': over,
    'stepUp.answered': over,
    'stepUp.denied': nothing,
    'stepUp.used': over,
    'stepUp.returned': nothing,
    'claims.changed': nothing,
    'proof.demanded': nothing,
    'time.passed': nothing,
  },
}
