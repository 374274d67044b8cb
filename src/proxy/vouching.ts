// What is open under a credential that is vouched for a while at a time (introspection, TokenReview): asked about again before that while is over, once for
// all that show it, held from then on, and ended unless the answer is yes, for the same session and what it is bound to. A no ends it at once; silence is
// asked again, and ends what nobody could be asked about in time. SPEC: SES16, SES18, BND5
import { boundDrift } from '../core/drift.ts'
import type { Reason } from '../core/reason.ts'
import type { SessionKey } from '../core/session.ts'
import { after, duration, earlier, FOREVER, type Instant, instant } from '../core/time.ts'
import type { Exchange } from '../enforcement/exchange.ts'
import type { Identification, Verified } from '../identity/credential.ts'
import { INQUIRY_LIMITS } from '../identity/inquiry.ts'
import { isDefinite, OPEN_MAX } from '../identity/verifier.ts'
import type { Ask } from './ask.ts'
import { presentedIn } from './describe/presented.ts'
import type { ProxyRoom } from './room.ts'

/** Between two looks for what is due, and between two questions where there was no answer. */
const LOOK_EVERY = duration(100)
/** How long one may be held for its turn and its answer. */
const PATIENCE = duration(500)
/** So long before it is due each is asked about, so that an answer in time holds up nothing; where less than twice that is known, at half of it. */
const AHEAD = INQUIRY_LIMITS.timeout + PATIENCE
/** What has to be asked about all the time is asked about so often while it is open. */
const ASKED_EVERY = duration(1_000)

/** How long something open goes by an answer. */
export function vouchedUntil(known: Instant | null, now: Instant): Instant {
  if (known === null) return FOREVER
  return known > now ? known : after(now, ASKED_EVERY)
}

type Watched = { readonly ask: Ask; readonly exchange: Exchange; readonly key: SessionKey }
/** One credential at one provider, with everything open under it. */
type Question = { readonly name: string; readonly watched: Map<Exchange, Watched>; askAt: Instant; asking: boolean }
type Room = Pick<ProxyRoom, 'identifier' | 'mirror' | 'reassessor' | 'keeper'>

const nameOf = (provider: string, digest: string): string => `${provider} ${digest}`

export class Vouching {
  readonly #room: Room
  /** Those asked longest ago first. They hold no more than there are open exchanges, and those that ended since the last look. */
  readonly #questions = new Map<string, Question>()
  #asking = 0
  #timer: NodeJS.Timeout | null = null

  constructor(room: Room) {
    this.#room = room
    room.identifier.onDenied = (provider, digest) => this.#denied(nameOf(provider, digest))
  }

  /** From its admission until it ended. */
  watch(ask: Ask, exchange: Exchange): void {
    const { verified } = ask
    if (verified === null || verified.knownUntil === null) return
    const name = nameOf(verified.provider, this.#room.identifier.digestOf(exchange.place.route.authn, this.#presented(ask, exchange)))
    const question = this.#questions.get(name) ?? { name, watched: new Map<Exchange, Watched>(), askAt: FOREVER, asking: false }
    this.#questions.set(name, question)
    question.watched.set(exchange, { ask, exchange, key: verified.key })
    question.askAt = earlier(question.askAt, this.#askAt(exchange))
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
  }

  #askAt({ vouchedUntil: until }: Exchange): Instant {
    return instant(Math.floor(until - Math.min(AHEAD, (until - this.#room.keeper.clock.now()) / 2)))
  }

  #look(): void {
    const now = this.#room.keeper.clock.now()
    for (const question of this.#questions.values()) {
      this.#sift(question, now)
      if (question.watched.size === 0) this.#questions.delete(question.name)
      else if (question.askAt <= now && !question.asking && this.#asking < OPEN_MAX) void this.#askAgain(question)
    }
    if (this.#questions.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  /** Leaves those that go on. */
  #sift({ watched }: Question, now: Instant): void {
    for (const exchange of watched.keys()) {
      if (exchange.state !== 'ended' && after(exchange.vouchedUntil, PATIENCE) > now) continue
      watched.delete(exchange)
      this.#end(exchange, 'credential_invalid')
    }
  }

  /** All in one turn, so that the provider is asked once; each answer is for its own route and what its own request proved. */
  async #askAgain(question: Question): Promise<void> {
    this.#questions.delete(question.name)
    this.#questions.set(question.name, question) // behind all others
    question.asking = true
    this.#asking++
    const asked = [...question.watched.values()]
    const answers = new Map(await Promise.all(asked.map(async watched => [watched.exchange, await this.#identified(watched)] as const)))
    this.#asking--
    await this.#room.reassessor.inSlices([...answers.keys()], exchange => this.#answered(question, exchange, answers.get(exchange) ?? null))
    question.asking = false
    const silent = [...answers.values()].some(answer => answer === null || (answer.is === 'refused' && !isDefinite(answer)))
    question.askAt = silent ? after(this.#room.keeper.clock.now(), LOOK_EVERY) : this.#soonest(question)
  }

  #soonest({ watched }: Question): Instant {
    let soonest = FOREVER
    for (const exchange of watched.keys()) soonest = earlier(soonest, this.#askAt(exchange))
    return soonest
  }

  /** @param answer null where a fault of ours kept it from being asked about */
  #answered({ watched }: Question, exchange: Exchange, answer: Identification | null): void {
    const known = watched.get(exchange)
    if (known === undefined || exchange.state === 'ended' || answer === null) return
    if (answer.is === 'refused' && !isDefinite(answer)) return
    const lost = answer.is === 'refused' ? 'credential_invalid' : this.#lost(known, answer.verified)
    if (lost === null && answer.is === 'verified') return this.#vouched(watched, known, answer.verified)
    watched.delete(exchange)
    this.#end(exchange, lost ?? 'credential_invalid')
  }

  /** Why what is known now does not carry it any more. */
  #lost({ exchange: { live, evaluation: { context } }, key }: Watched, verified: Verified): Reason | null {
    if (verified.key !== key) return 'credential_invalid'
    const drift = live === null ? null : boundDrift(live.record, this.#room.mirror.policy.sessions.bind, 'required', { evidence: verified.evidence, context })
    return drift === null ? null : 'binding_broken'
  }

  /** It goes on, or may from where it was held. */
  #vouched(watched: Question['watched'], { exchange }: Watched, { claims, evidence, knownUntil }: Verified): void {
    if (exchange.live !== null) this.#room.mirror.learn(exchange.live, claims, evidence)
    if (knownUntil === null) watched.delete(exchange)
    exchange.vouchedUntil = vouchedUntil(knownUntil, this.#room.keeper.clock.now())
    this.#room.reassessor.doubt(exchange)
  }

  /** By what it showed, as if it came now, and not by what is known already. */
  async #identified({ ask, exchange }: Watched): Promise<Identification | null> {
    try {
      return await this.#room.identifier.identify(exchange.place.route.authn, this.#presented(ask, exchange), ask, exchange.vouchedUntil)
    } catch {
      return null
    }
  }

  #presented({ arrival }: Ask, { place: { route } }: Exchange): ReturnType<typeof presentedIn> {
    return presentedIn(arrival.headers, this.#room.identifier.headers(route.authn))
  }

  /** Whoever heard it: its provider does not take this credential any more. */
  #denied(name: string): void {
    const question = this.#questions.get(name)
    if (question === undefined) return
    const exchanges = [...question.watched.keys()]
    question.watched.clear()
    void this.#room.reassessor.inSlices(exchanges, exchange => this.#end(exchange, 'credential_invalid'))
  }

  #end(exchange: Exchange, reason: Reason): void {
    this.#room.reassessor.end(exchange, reason, 'credential', null)
  }
}
