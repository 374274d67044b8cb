// An ask that may come twice: the same key of the same asker in the same life of a session names one elevation, on every gateway. Remembered as long as
// the session remembers the elevation: while it lasts, and behind its end with the newest that are over. SPEC: ELV17
import { type Elevation, isOver } from '../core/elevation.ts'
import type { SessionId } from '../core/session.ts'
import { elevationIdOf, newElevationId, sha256 } from '../runtime/id.ts'

/** What an `Idempotency-Key` looks like. */
export const REPEAT_KEY = /^[\x21-\x7e]{1,255}$/

/** The elevation's name, and what tells another ask under it. */
export type Repeat = Pick<Elevation, 'id' | 'asked'>

export const unrepeated = (): Repeat => ({ id: newElevationId(), asked: null })

/** @param by who asks; @param body what is asked, as it was parsed */
export const repeatable = (session: SessionId, by: string, key: string, body: unknown): Repeat =>
  ({ id: elevationIdOf(JSON.stringify([session, by, key])), asked: sha256(JSON.stringify(body)) })

/** 201 where it was made or stands, 202 while somebody has to decide, 200 where a repeated ask finds it over. */
export const statusOf = (elevation: Elevation): number => (elevation.state.is === 'requested' ? 202 : isOver(elevation) ? 200 : 201)
