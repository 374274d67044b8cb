// What is open under a credential that is vouched for a while at a time (introspection, TokenReview): asked about again when that while is over, and ended
// unless the answer is yes, for the same session. What nobody can be asked about in time ends as well. SPEC: SES16, SES18
import type { SessionKey } from '../core/session.ts'
import { after, duration, type Instant } from '../core/time.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { Verified } from '../identity/credential.ts'
import type { Ask } from './ask.ts'
import { presentedIn } from './describe/presented.ts'
import type { ProxyRoom } from './room.ts'

/** Milliseconds between two looks for what is due. */
const LOOK_EVERY = 500
/** Exchanges that are asked about at once: new requests have questions too. */
const ASKED_AT_ONCE = 256
/** How long one may wait for its turn and its answer. */
const PATIENCE = duration(10_000)

type Watched = { readonly ask: Ask; readonly exchange: Exchange; readonly key: SessionKey; knownUntil: Instant; asking: boolean }

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
    this.#watched.add({ ask, exchange, key: verified.key, knownUntil: verified.knownUntil, asking: false })
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
  }

  #look(): void {
    const now = this.#room.keeper.clock.now()
    for (const watched of this.#watched) {
      if (watched.exchange.state === 'ended') this.#watched.delete(watched)
      else if (watched.knownUntil > now) continue
      else if (after(watched.knownUntil, PATIENCE) <= now) this.#end(watched)
      else if (!watched.asking && this.#asking < ASKED_AT_ONCE) void this.#askAgain(watched)
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
    if (verified.knownUntil === null) this.#watched.delete(watched)
    else watched.knownUntil = verified.knownUntil
  }

  /** By what it showed, as if it came now; null where that is refused. */
  async #identified({ ask, exchange }: Watched): Promise<Verified | null> {
    const { identifier } = this.#room
    const { authn } = exchange.place.route
    const answer = await identifier.identify(authn, presentedIn(ask.arrival.headers, identifier.headers(authn)), ask)
    return answer.is === 'verified' ? answer.verified : null
  }

  #end(watched: Watched): void {
    this.#watched.delete(watched)
    this.#room.reassessor.end(watched.exchange, 'credential_invalid', 'credential', null)
  }
}
