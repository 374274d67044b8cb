// The way back of a call that somebody is asked about: text that its caller keeps and shows again with the same call (`requestState`). Sealed, for one life of one
// session, one call at one place, one elevation and a time: whatever comes back is looked at as if an attacker had written it. SPEC: MCP16
import type { Call } from '../../../core/call.ts'
import type { ElevationId } from '../../../core/elevation.ts'
import type { SessionId } from '../../../core/session.ts'
import { duration, type Instant, instant } from '../../../core/time.ts'
import { sha256 } from '../../../runtime/id.ts'
import { Seal } from '../../../runtime/sealing.ts'

/** Longest way there is. */
export const WAY_LASTS = duration(15 * 60_000)
const TEXT_MAX = 1_024
const PREFIX = 'narrowgate.'
const FORM = /^narrowgate\.([\w-]+)$/
const PURPOSE = 'request state of MCP'

export type WayBack = { readonly elevation: ElevationId; readonly until: Instant }

/** One call, wherever and however often it is sent. */
export type Going = { readonly life: SessionId; readonly route: string; readonly call: Call }

const aboutOf = ({ route, call: { method, name, digest } }: Going): string => sha256(JSON.stringify([route, method, name, digest]))

/** Anything else is the upstream's own. */
export const isOurs = (text: unknown): text is string => typeof text === 'string' && text.startsWith(PREFIX)

/** The text of bytes has one form. */
const isCanonical = (text: string): boolean => Buffer.from(text, 'base64url').toString('base64url') === text

export class WaysBack {
  readonly #seal: Seal

  /** @param key of the data set: the same on every gateway of it */
  constructor(key: Uint8Array) {
    this.#seal = new Seal(Buffer.from(key).toString('base64'), PURPOSE)
  }

  write(going: Going, { elevation, until }: WayBack): string {
    return PREFIX + this.#seal.seal(JSON.stringify([going.life, aboutOf(going), elevation, until]), PURPOSE)
  }

  /** @returns one sentence on why it leads nowhere, or where to */
  read(text: string, going: Going, now: Instant): WayBack | string {
    const [, sealed = ''] = text.length > TEXT_MAX ? [] : (FORM.exec(text) ?? [])
    const opened = isCanonical(sealed) ? this.#seal.open(sealed, PURPOSE) : null
    if (opened === null) return 'the `requestState` is not one that this gateway gave'
    const [life, about, elevation, until] = JSON.parse(opened) as [SessionId, string, ElevationId, number] // written above, as its seal proves
    if (life !== going.life) return 'the `requestState` is of another session'
    if (about !== aboutOf(going)) return 'the `requestState` is of another call'
    return until <= now ? 'the `requestState` has expired: call again without it' : { elevation, until: instant(until) }
  }
}
