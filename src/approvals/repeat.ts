// An ask that may come twice: the same key of the same asker in the same life of a session names one elevation, on every gateway. Remembered as long as
// the session remembers the elevation: while it lasts, and behind its end with the newest that are over. SPEC: ELV17
import { type Elevation, isOver } from '../core/elevation.ts'
import type { Session, SessionId } from '../core/session.ts'
import type { Instant } from '../core/time.ts'
import { elevationIdOf, newElevationId, sha256 } from '../runtime/id.ts'

/** What an `Idempotency-Key` looks like. */
export const REPEAT_KEY = /^[\x21-\x7e]{1,255}$/

/** The elevation's name, and what tells another ask under it. */
export type Repeat = Pick<Elevation, 'id' | 'asked'>

export const unrepeated = (): Repeat => ({ id: newElevationId(), asked: null })

/** @param by who asks; @param body what is asked, as it was parsed */
export const repeatable = (session: SessionId, by: string, key: string, body: unknown): Repeat =>
  ({ id: elevationIdOf(JSON.stringify([session, by, key])), asked: sha256(JSON.stringify(body)) })

/** How long an ask without a key that comes again as it was is the one it was; at least this, at most twice. */
const LATELY = 30_000
/** Of the same ask within that time, each behind the end of the one before. */
const TRIES = 16

/** For those who ask over what may lose an answer and try again by itself. @param body what is asked, as it was parsed */
export function repeatedLately({ id: session, elevations }: Pick<Session, 'id' | 'elevations'>, by: string, body: unknown, now: Instant): Repeat {
  const asked = sha256(JSON.stringify(body))
  const span = Math.floor(now / LATELY)
  for (const at of [span - 1, span]) {
    for (let tries = 0; tries < TRIES; tries++) {
      const id = elevationIdOf(JSON.stringify([session, by, 'lately', asked, at, tries]))
      const known = elevations.find(each => each.id === id)
      if (known === undefined && at !== span) break
      if (known === undefined || !isOver(known)) return { id, asked }
    }
  }
  return unrepeated()
}

/** 201 where it was made or stands, 202 while somebody has to decide, 200 where a repeated ask finds it over. */
export const statusOf = (elevation: Elevation): number => (elevation.state.is === 'requested' ? 202 : isOver(elevation) ? 200 : 201)
