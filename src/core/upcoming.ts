// What of a session ends next as time passes, for people to see: nothing is decided by it. Pure. SPEC: EXP2
import type { Effective } from './effective.ts'
import type { Elevation } from './elevation.ts'
import { FOREVER, type Instant } from './time.ts'

/** `request`: an elevation nobody has decided on. `coverage`: what a step-up covers. `freeze`: one that becomes a revocation. */
export type Upcoming = { readonly at: Instant; readonly what: 'session' | 'credential' | 'freeze' | 'elevation' | 'request' | 'stepUp' | 'coverage' | 'taint'; /** Its id, or the taint's name. */ readonly name: string }

function ofElevation({ id, state }: Elevation, { carriers }: Effective): Upcoming | null {
  if (state.is === 'requested') return state.expiresAt === null ? null : { at: state.expiresAt, what: 'request', name: id }
  if (state.is !== 'active' && state.is !== 'suspended') return null
  const at = carriers.find(({ elevation }) => elevation.id === id)?.until ?? state.until // windows may close before its own time is up
  return at === null ? null : { at, what: 'elevation', name: id }
}

/** Soonest first; only what is still to come. @param cutsAtEnd `sessions.credentialEnd` is `cut` */
export function upcoming(standing: Effective, cutsAtEnd: boolean, now: Instant): readonly Upcoming[] {
  const { session, taints } = standing
  if (session.state.is !== 'live') return []
  const { id, endsAt, credential, frozen, elevations, stepUps } = session
  const found: Upcoming[] = [{ at: endsAt, what: 'session', name: id }]
  if (cutsAtEnd && credential.expiresAt !== null) found.push({ at: credential.expiresAt, what: 'credential', name: credential.id })
  if (frozen !== null && frozen.until !== null) found.push({ at: frozen.until, what: 'freeze', name: id })
  for (const elevation of elevations) found.push(...[ofElevation(elevation, standing)].filter(each => each !== null))
  for (const { id: stepUp, state, expiresAt } of stepUps) {
    if (state.is === 'pending') found.push({ at: expiresAt, what: 'stepUp', name: stepUp })
    if (state.is === 'satisfied' && state.until !== null) found.push({ at: state.until, what: 'coverage', name: stepUp })
  }
  for (const { name, until } of taints) if (until !== null) found.push({ at: until, what: 'taint', name })
  return found.filter(({ at }) => at > now && at !== FOREVER).toSorted((a, b) => a.at - b.at)
}
