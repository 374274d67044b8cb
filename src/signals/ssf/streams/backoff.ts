// How long to leave a transmitter alone that failed: longer each time, never two gateways alike, and as long as it asks for. SPEC: SSF7
import { setTimeout as wait } from 'node:timers/promises'
import { HttpFault } from '../../../runtime/http-client.ts'

/** Milliseconds; `asked` is the longest that a transmitter may ask for. */
const BACKOFF = { least: 1_000, most: 30_000, asked: 600_000 } as const

/** Milliseconds until then, as seconds or as a date (RFC 9110 §10.2.3); 0 where it says nothing of use. */
export function retryAfterOf(error: unknown, now: number): number {
  const text = error instanceof HttpFault ? (error.retryAfter ?? '') : ''
  const wanted = /^\d{1,9}$/.test(text) ? Number(text) * 1000 : Date.parse(text) - now
  return Number.isNaN(wanted) ? 0 : Math.min(BACKOFF.asked, Math.max(0, wanted))
}

export class Backoff {
  #failures = 0

  get failing(): boolean { return this.#failures > 0 }

  succeeded(): void { this.#failures = 0 }

  /** @returns milliseconds to wait for */
  failed(error: unknown, now: number): number {
    const longest = Math.min(BACKOFF.most, BACKOFF.least * 2 ** Math.min(this.#failures++, 10))
    return Math.max(longest * (0.75 + Math.random() / 4), retryAfterOf(error, now))
  }
}

/** Also over when nobody waits any more. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await wait(Math.max(0, ms), undefined, { signal, ref: false }).catch(() => undefined)
}
