// How long and how often a notice is tried. SPEC: NOT2
import { type Duration, duration, type Instant } from '../core/time.ts'
import { HttpFault } from '../runtime/http-client.ts'

export type Pace = {
  /** Of one attempt. */
  readonly timeout: Duration
  readonly attempts: number
  /** Before the second attempt; three times as long before each further one. */
  readonly first: Duration
  readonly longest: Duration
  /** What `Retry-After` may ask for. */
  readonly asked: Duration
  /** What is left to those that wait at the stop. */
  readonly stop: Duration
  /** Notices that wait for one channel. */
  readonly waiting: number
}

/** Eight attempts within about an hour. */
export const PACE: Pace = { timeout: duration(10_000), attempts: 8, first: duration(5_000), longest: duration(30 * 60_000), asked: duration(10 * 60_000), stop: duration(3_000), waiting: 1_000 }

/** With a quarter more or less, so that receivers that come back are not met by everybody at once. */
export const pauseAfter = ({ first, longest }: Pace, attempts: number): Duration => duration(Math.min(longest, first * 3 ** (attempts - 1)) * (0.75 + Math.random() / 2))

/** What an attempt came to: `refused` stays so however often it is tried; `pause` is what the receiver asked for. */
export type Outcome = { readonly is: 'taken' } | { readonly is: 'refused'; readonly status: number } | { readonly is: 'failed'; readonly status: number; readonly pause: Duration }

const TEMPORARY = [408, 425, 429]
/** The answer was one of success; only what came with it is of no use, and of no interest. */
const TAKEN: readonly string[] = ['too_large', 'encoded', 'not_json']

function pauseIn(retryAfter: string | null, now: Instant, most: Duration): Duration {
  if (retryAfter === null) return duration(0)
  const ms = /^\d{1,9}$/.test(retryAfter) ? Number(retryAfter) * 1_000 : Date.parse(retryAfter) - now
  return duration(Number.isFinite(ms) ? Math.max(0, Math.min(ms, most)) : 0)
}

export function outcomeOf(error: unknown, now: Instant, { asked }: Pace): Outcome {
  if (!(error instanceof HttpFault)) return { is: 'refused', status: 0 } // it could not even be written down
  const { code, status, retryAfter } = error
  if (TAKEN.includes(code)) return { is: 'taken' }
  if (status >= 400 && status < 500 && !TEMPORARY.includes(status)) return { is: 'refused', status }
  return { is: 'failed', status, pause: pauseIn(retryAfter, now, asked) }
}
