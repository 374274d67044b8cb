// What is open under an answer from outside: asked about again before that is over, and at once when it is about something that is no more. Held meanwhile,
// for half a second; then it goes on by the answer, or ends. Silence ahead of time leaves it as it is. SPEC: PEP4, RULES 4
import { duration, type Instant, instant } from '../../core/time.ts'
import { newEvaluationId } from '../../runtime/id.ts'
import type { Exchange, GateKeeper } from '../exchange.ts'
import type { Reassessor } from '../reassess.ts'
import type { Asking } from './asking.ts'

/** Between two looks for what is due, and between two questions where there was no answer. */
const LOOK_EVERY = duration(50)
/** How long something open may be held for an answer; the look that ends it comes within half a second. */
const PATIENCE = duration(450)
/** So long before it is due each is asked about; where less than twice that is known, at half of it. */
const AHEAD = duration(1_000)
/** Of one decision point, as many as there are connections to one place: a question that waits for one of them uses up its time. */
const ASKING_MAX = 32

type Watched = { askAt: Instant; asking: boolean }
/** Questions to one decision point: those on their way, and those that are due and wait for their turn. One that hangs keeps no others waiting. */
type Turns = { asking: number; readonly queue: Set<Exchange> }
type Ports = { readonly asking: Asking; readonly keeper: GateKeeper; readonly reassessor: Reassessor }

const isHeld = ({ state, reason }: Exchange): boolean => state === 'frozen' && reason === 'external_unavailable'

export class OpenAnswers {
  readonly #ports: Ports
  /** No more than are open, and those that ended since the last look. */
  readonly #watched = new Map<Exchange, Watched>()
  /** By decision point; only of those that are asked now. */
  readonly #turns = new Map<string, Turns>()
  #timer: NodeJS.Timeout | null = null

  constructor(ports: Ports) {
    this.#ports = ports
    ports.reassessor.onUnheard = exchange => this.#due(exchange)
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
    this.#watched.clear()
    this.#turns.clear()
  }

  /** From its admission until it ended. */
  watch(exchange: Exchange): void {
    if (exchange.external !== null) this.#put(exchange, this.#askAt(exchange))
  }

  /** Whoever tells stands in the middle of judging: it is asked behind that. */
  #due(exchange: Exchange): void {
    const watched = this.#put(exchange, this.#ports.keeper.clock.now())
    if (!watched.asking) queueMicrotask(() => this.#maybeAsk(exchange, watched))
  }

  #put(exchange: Exchange, askAt: Instant): Watched {
    const known = this.#watched.get(exchange)
    const watched = known ?? { askAt, asking: false }
    if (known === undefined) this.#watched.set(exchange, watched)
    this.#timer ??= setInterval(() => this.#look(), LOOK_EVERY).unref()
    return watched
  }

  #askAt({ external }: Exchange): Instant {
    const now = this.#ports.keeper.clock.now()
    const until = external?.last?.answer?.until ?? now
    return instant(Math.floor(until - Math.min(AHEAD, (until - now) / 2)))
  }

  #look(): void {
    const now = this.#ports.keeper.clock.now()
    for (const [exchange, watched] of this.#watched) {
      if (exchange.state === 'ended' || exchange.place.rule?.decision == null) this.#watched.delete(exchange) // a reload may want nobody asked any more
      else if (isHeld(exchange) && now - exchange.frozenAt >= PATIENCE) this.#end(exchange)
      else if (watched.askAt <= now) this.#maybeAsk(exchange, watched)
    }
    if (this.#watched.size > 0 || this.#timer === null) return
    clearInterval(this.#timer)
    this.#timer = null
  }

  #end(exchange: Exchange): void {
    this.#watched.delete(exchange)
    this.#ports.reassessor.end(exchange, 'external_unavailable', 'external', null)
  }

  #maybeAsk(exchange: Exchange, watched: Watched): void {
    if (watched.asking || exchange.state === 'ended') return
    const name = exchange.place.rule?.decision?.pdp ?? ''
    const turns = this.#turns.get(name) ?? { asking: 0, queue: new Set<Exchange>() }
    this.#turns.set(name, turns)
    if (turns.asking < ASKING_MAX) void this.#ask(exchange, watched, name, turns)
    else turns.queue.add(exchange)
  }

  #over(name: string, turns: Turns): void {
    turns.asking--
    for (const exchange of turns.queue) {
      turns.queue.delete(exchange)
      const watched = this.#watched.get(exchange)
      if (watched !== undefined) this.#maybeAsk(exchange, watched)
      if (turns.asking >= ASKING_MAX) return
    }
    if (turns.asking === 0) this.#turns.delete(name)
  }

  async #ask(exchange: Exchange, watched: Watched, name: string, turns: Turns): Promise<void> {
    const { asking, keeper: { clock, mirror }, reassessor } = this.#ports
    const { id, place, evaluation, live, claims, vouchedUntil, external } = exchange
    watched.asking = true
    turns.asking++
    const heard = await asking.ask({ id, policy: mirror.policy, place, evaluation, live, claims, vouchedUntil, external }, newEvaluationId(), 'open')
    this.#over(name, turns)
    watched.asking = false
    watched.askAt = instant(clock.now() + LOOK_EVERY)
    if (exchange.state === 'ended' || external === null || heard.answer === null) return
    external.last = heard
    watched.askAt = this.#askAt(exchange)
    reassessor.doubt(exchange)
  }
}
