// What may be done once, on all gateways: a use is marked for its period and for the next one, so that it is found again for a whole period at least.
// Within a period every use has the same two marks: stores find a mark again only under the end it was made with. SPEC: ADM23
import { type Duration, instant, type Instant } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'
import type { SessionStore } from '../sessions/store.ts'

/** @param memory how long it is remembered at least; the same for every use. @throws StoreFault where nobody can tell */
export async function isFirstUse(store: Pick<SessionStore, 'mark'>, what: readonly string[], memory: Duration, now: Instant): Promise<boolean> {
  const period = Math.floor(now / memory)
  for (const end of [period + 1, period + 2]) {
    const forgetAt = instant(end * memory)
    if ((await store.mark(sha256(JSON.stringify([...what, forgetAt])), now, forgetAt)) === 'again') return false
  }
  return true
}
