// Trust as operators read it: scores with what they are made of, levels, taints, step-ups, and what ends next. It reads and decides nothing.
// SPEC: EXP2, EXP3
import type { Effective } from '../core/effective.ts'
import type { Matter } from '../core/anchor.ts'
import type { Contribution, LevelMark } from '../core/risk.ts'
import type { StepUp } from '../core/step-up.ts'
import type { Taint } from '../core/taint.ts'
import { type Upcoming, upcoming } from '../core/upcoming.ts'
import type { LiveSession } from '../sessions/live-session.ts'
import type { RiskView } from '../signals/risk/view.ts'
import { type Json, timeText } from './answer.ts'
import type { AdminRoom } from './room.ts'

/** Contributions told of one by one. */
const CONTRIBUTIONS_SHOWN = 32

const toTenth = (points: number): number => Math.round(points * 10) / 10

const contributionView = ({ rule, points, at }: Contribution): Json => ({ rule, points: toTenth(points), at: timeText(at) })

export const contributionsView = (contributions: readonly Contribution[]): readonly Json[] => contributions.toSorted((a, b) => b.points - a.points).slice(0, CONTRIBUTIONS_SHOWN).map(contributionView)

/** null where nothing is known of it here. */
export const riskView = (risk: RiskView | null): Json | null =>
  risk === null ? null : { score: toTenth(risk.score), level: risk.level, since: timeText(risk.since), contributions: contributionsView(risk.contributions), strikes: risk.strikes.map(({ rule, at, times }) => ({ rule, at: timeText(at), times })), fallsAt: timeText(risk.fallsAt), fallsTo: risk.fallsTo }

export const markView = ({ name, at, score, since, why }: LevelMark): Json => ({ name, at, score: toTenth(score), since: timeText(since), contributions: contributionsView(why.contributions), tenants: why.tenants, request: why.request })

export const taintView = ({ name, since, until, rule, exchange }: Taint): Json => ({ name, since: timeText(since), until: timeText(until), rule, exchange })

export const stepUpView = ({ id, state, covers, by, all, because, askedAt, expiresAt, uses, used }: StepUp): Json =>
  ({ id, state: state.is, covers, by, all, because, askedAt: timeText(askedAt), expiresAt: state.is === 'pending' ? timeText(expiresAt) : null, until: state.is === 'satisfied' ? timeText(state.until) : null, uses, used: used.length })

export const upcomingView = (next: Upcoming | undefined): Json | null => (next === undefined ? null : { at: timeText(next.at), what: next.what, name: next.name })

export const pausesView = ({ cooling }: Extract<Matter, { is: 'principal' }>): Json => Object.fromEntries(Object.entries(cooling).map(([profile, until]) => [profile, timeText(until)]))

export const endsOf = ({ mirror: { policy }, clock }: Pick<AdminRoom, 'mirror' | 'clock'>, standing: Effective): readonly Upcoming[] => upcoming(standing, policy.sessions.credentialEnd === 'cut', clock.now())

/** Of one session. */
export const trustView = (room: Pick<AdminRoom, 'risk' | 'mirror' | 'clock'>, live: LiveSession, standing: Effective): Json =>
  ({ risk: riskView(room.risk.view(live)), taints: standing.taints.map(taintView), stepUps: live.record.stepUps.map(stepUpView), next: upcomingView(endsOf(room, standing)[0]) })
