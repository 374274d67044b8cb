// What is open under a credential that is vouched for a while at a time (introspection, TokenReview): asked about again shortly before that while is over, held
// from then on, and ended unless the answer is yes, for the same session. What nobody can be asked about in time ends as well. SPEC: SES16, SES18
import type { SessionKey } from '../core/session.ts'
import { after, duration, FOREVER, instant, type Instant, later } from '../core/time.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { Verified } from '../identity/credential.ts'
import type { Ask } from './ask.ts'
import { presentedIn } from './describe/presented.ts'
import type { ProxyRoom } from './room.ts'

/** Milliseconds between two looks for what is due. */
const LOOK_EVERY = 100
/** Exchanges that are asked about at once: new requests have questions too. */
const ASKED_AT_ONCE = 256
/** So long before it is due each is asked about, so that an answer in time holds up nothing; where less than twice that is known, at half of it. */
const AHEAD = 1_000
/** What has to be asked about all the time is asked about so often while it is open. */
export const ASKED_EVERY = duration(1_000)
/** How long one may be held for its turn and its answer. */
const PATIENCE = duration(500)

type Watched = { readonly ask: Ask; readonly exchange: Exchange; readonly key: SessionKey; askAt: Instant; asking: boolean }

export class Vouching {
  readonly #room: Pick<ProxyRoom, 'identifier' | 'mirror' | 'reassessor' | 'keeper'>
  /** No more than there are open exchanges, and those that ended since the last look. */
  readonly #watched = new Set<Watched>()
  #asking = 0
  #timer: NodeJS.Timeout | null = null

  constructor(room: Pick<ProxyRoom, 'identifier' | 'mirror' | 'reassessor' | 'keeper'>) {
    this.#room = room
  }

  /** From its admission until it ended. */
  watch(ask: Ask, exchange: Exchange): void {
    const { verified } = ask
    if (verified === null || verified.knownUntil === null) return
    this.#watched.add({ ask, exchange, key: verified.key, askAt: this.#askAt(exchange), asking: false })
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
  }

  #askAt({ vouchedUntil }: Exchange): Instant {
    const now = this.#room.keeper.clock.now()
    return instant(Math.floor(vouchedUntil - Math.min(AHEAD, (vouchedUntil - now) / 2)))
  }

  #look(): void {
    const now = this.#room.keeper.clock.now()
    for (const watched of this.#watched) {
      const { exchange, askAt, asking } = watched
      if (exchange.state === 'ended') this.#watched.delete(watched)
      else if (after(exchange.vouchedUntil, PATIENCE) <= now) this.#end(watched)
      else if (askAt <= now && !asking && this.#asking < ASKED_AT_ONCE) void this.#askAgain(watched)
    }
    if (this.#watched.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  async #askAgain(watched: Watched): Promise<void> {
    watched.asking = true
    this.#asking++
    const verified = await this.#identified(watched).catch(() => null)
    this.#asking--
    watched.asking = false
    const { exchange, key } = watched
    if (exchange.state === 'ended') return
    if (verified?.key !== key) return this.#end(watched)
    if (exchange.live !== null) this.#room.mirror.learn(exchange.live, verified.claims, verified.evidence)
    this.#vouched(watched, verified.knownUntil)
  }

  /** It goes on, or may from where it was held. */
  #vouched(watched: Watched, until: Instant | null): void {
    const { exchange } = watched
    if (until === null) this.#watched.delete(watched)
    exchange.vouchedUntil = until === null ? FOREVER : later(until, after(this.#room.keeper.clock.now(), ASKED_EVERY))
    watched.askAt = this.#askAt(exchange)
    this.#room.reassessor.doubt(exchange)
  }

  /** By what it showed, as if it came now, and not by what is known already; null where that is refused. */
  async #identified({ ask, exchange }: Watched): Promise<Verified | null> {
    const { identifier } = this.#room
    const { authn } = exchange.place.route
    const answer = await identifier.identify(authn, presentedIn(ask.arrival.headers, identifier.headers(authn)), ask, exchange.vouchedUntil)
    return answer.is === 'verified' ? answer.verified : null
  }

  #end(watched: Watched): void {
    this.#watched.delete(watched)
    this.#room.reassessor.end(watched.exchange, 'credential_invalid', 'credential', null)
  }
}
