// What callers read of themselves: plain JSON shapes of the effective view. SPEC: ADM1
import { approvalWord } from '../../approvals/offering.ts'
import type { Effective } from '../../core/effective.ts'
import { approvalsNeeded, type Elevation } from '../../core/elevation.ts'
import type { Profile } from '../../core/policy.ts'
import { isPending } from '../../core/step-up.ts'
import type { Instant } from '../../core/time.ts'
import { stepUpAnswer } from '../step-up-text.ts'

const iso = (at: Instant | null): string | null => (at === null || !Number.isFinite(at) ? null : new Date(at).toISOString())
const secondsTo = (at: Instant | null, now: Instant): number | null => (at === null ? null : Math.max(0, Math.floor((at - now) / 1000)))

export function elevationAnswer(elevation: Elevation, now: Instant) {
  const { state } = elevation
  const until = 'until' in state ? state.until : null
  return {
    id: elevation.id, profile: elevation.profile, adds: elevation.adds, purpose: elevation.purposes, params: elevation.params,
    state: state.is, reason: state.is === 'ended' ? state.reason : null, for: elevation.for / 1000, max: elevation.max / 1000,
    requestedAt: iso(elevation.requestedAt), since: 'since' in state ? iso(state.since) : null, until: iso(until), secondsLeft: secondsTo(until, now),
    startsAt: state.is === 'scheduled' ? iso(state.startsAt) : null, approvals: { needed: approvalsNeeded(elevation), given: elevation.approvals.length }, held: elevation.held,
  }
}

export function sessionAnswer({ session, state, reason, baseline, carriers }: Effective, now: Instant) {
  const { principal, credential } = session
  return {
    id: session.id, version: session.version, state: state === 'refused' ? 'ended' : state, reason,
    subject: principal.subject, issuer: principal.issuer, tenant: principal.tenant, kind: principal.kind,
    openedAt: iso(session.openedAt), endsAt: iso(session.endsAt), credentialEndsAt: iso(credential.expiresAt), secondsLeft: secondsTo(session.endsAt, now),
    scopes: { baseline, elevated: [...new Set(carriers.flatMap(({ carries }) => carries))] }, cap: session.cap.is,
    elevations: session.elevations.map(elevation => elevationAnswer(elevation, now)), stepUps: session.stepUps.filter(isPending).map(stepUpAnswer),
  }
}

export const profileAnswer = (profile: Profile) => ({
  name: profile.name, title: profile.title, adds: profile.adds, for: profile.for / 1000, max: profile.max / 1000, purpose: profile.purposes,
  approval: approvalWord(profile), params: Object.fromEntries([...profile.params].map(([name, spec]) => [name, spec])),
})
