// Which ends of its elevations a caller is warned of, and when: once for each end there is, so that an extension is followed by a new warning. SPEC: ELV16
import type { Effective } from '../../core/effective.ts'
import type { ElevationId } from '../../core/elevation.ts'
import type { Policy } from '../../core/policy.ts'
import { earlier, FOREVER, type Instant, instant } from '../../core/time.ts'

type Expiring = { readonly elevation: ElevationId; readonly profile: string; readonly until: string; readonly secondsLeft: number }
export type Due = { readonly told: readonly Expiring[]; /** When there is more to tell, should nothing change. */ readonly next: Instant }

type Ends = Pick<Effective, 'carriers' | 'frozen'>

/** What a ticket's source said last is no end: it is said anew. A window's closing is one. */
const endOf = ({ elevation: { state, ticket }, until }: Ends['carriers'][number]): Instant => (ticket === null || state.is !== 'active' ? until : state.until)

export class Expiry {
  /** The end that was told last. */
  readonly #told = new Map<ElevationId, Instant>()

  due({ carriers, frozen }: Ends, { profiles }: Pick<Policy, 'profiles'>, now: Instant): Due {
    const told: Expiring[] = []
    let next = FOREVER
    for (const carrier of [...carriers, ...frozen]) {
      const { elevation: { id, profile } } = carrier
      const [until, warn] = [endOf(carrier), profiles.get(profile)?.warn ?? null]
      if (warn === null || until === FOREVER || this.#told.get(id) === until) continue
      const at = instant(until - warn)
      if (at > now) next = earlier(next, at)
      else {
        this.#told.set(id, until)
        told.push({ elevation: id, profile, until: new Date(until).toISOString(), secondsLeft: Math.max(0, Math.round((until - now) / 1000)) })
      }
    }
    for (const id of this.#told.keys()) if (![...carriers, ...frozen].some(({ elevation }) => elevation.id === id)) this.#told.delete(id)
    return { told, next }
  }
}
