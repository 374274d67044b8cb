// Polls a stream (RFC 8936) as long as this gateway looks after it: what was stored is acknowledged with the next poll, what was refused is said to be,
// and what the store did not take is neither, so that it comes again. Never faster than the stream may be, whatever it answers. SPEC: SSF7
import { setImmediate as turn } from 'node:timers/promises'
import { duration } from '../../../core/time.ts'
import type { Clock } from '../../../runtime/clock.ts'
import { HttpFault } from '../../../runtime/http-client.ts'
import type { Caller } from './access.ts'
import { Backoff, pause } from './backoff.ts'
import { jsonIn, membersOf } from './json.ts'

/** What became of a token: see the receiver. */
export type Received = { readonly is: 'taken' | 'again' } | { readonly is: 'refused'; readonly err: string; readonly description: string }

type Answer = { readonly sets: ReadonlyMap<string, unknown> }
type Refusal = { readonly err: string; readonly description: string }

export type PollOutcome = 'taken' | 'empty' | 'failed' | 'untaken'
type Ports = {
  readonly caller: Pick<Caller, 'ask'>
  readonly clock: Clock
  readonly perSecond: number
  /** Rejects where the store does not take it. */
  readonly receive: (text: string) => Promise<Received>
  readonly heard: () => void
  readonly count: (outcome: PollOutcome) => void
  /** It does not answer as it should; null: it does again. */
  readonly failed: (fault: unknown) => void
}

/** Longer than transmitters let a poll wait. */
const LIMITS = { timeout: duration(45_000), bytes: 8 * 1024 * 1024 } as const
const SETS_MAX = 1_000
const ASKED_MAX = 100
const AT_ONCE = 16
/** Between two polls that bring nothing, in milliseconds. */
const EMPTY_EVERY = 1_000
const NO_TOKEN: Refusal = { err: 'invalid_request', description: 'no security event token' }

function answerIn(text: string, where: URL): Answer {
  const sets = membersOf(membersOf(jsonIn(text))?.['sets'])
  if (sets === null) throw new HttpFault('not_json', `${where.origin}${where.pathname} did not answer with sets`, 200)
  const entries = Object.entries(sets)
  if (entries.length > SETS_MAX) throw new HttpFault('too_large', `${where.origin}${where.pathname} answered with more than ${SETS_MAX} sets`, 200)
  return { sets: new Map(entries) }
}

export class Poller {
  readonly #ports: Ports
  readonly #backoff = new Backoff()
  /** What the next poll that is answered settles. */
  #acks: string[] = []
  #refusals = new Map<string, Refusal>()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** Until the signal, or until there is no such stream any more. Never rejects. */
  async run(endpoint: URL, signal: AbortSignal): Promise<'over' | 'gone'> {
    const { clock, count, failed } = this.#ports
    while (!signal.aborted) {
      try {
        await pause(await this.#round(endpoint, signal), signal)
      } catch (error) {
        if (signal.aborted) break
        count('failed')
        if (error instanceof HttpFault && (error.status === 404 || error.status === 410)) return 'gone'
        failed(error)
        await pause(this.#backoff.failed(error, clock.now()), signal)
      }
    }
    return 'over'
  }

  /** @returns for how long to wait, in milliseconds */
  async #round(endpoint: URL, signal: AbortSignal): Promise<number> {
    const { clock, perSecond, heard, count, failed } = this.#ports
    const startedAt = clock.elapsed()
    const { sets } = await this.#ask(endpoint, signal)
    heard()
    const left = await this.#takeAll([...sets], signal)
    count(left > 0 ? 'untaken' : sets.size > 0 ? 'taken' : 'empty')
    if (left > 0) return this.#backoff.failed(null, clock.now())
    if (this.#backoff.failing) failed(null)
    this.#backoff.succeeded()
    const least = sets.size === 0 ? EMPTY_EVERY : (sets.size * 1000) / perSecond
    return startedAt + least - clock.elapsed()
  }

  async #ask(url: URL, signal: AbortSignal): Promise<Answer> {
    const [ack, setErrs] = [this.#acks, Object.fromEntries(this.#refusals)]
    const body = { maxEvents: Math.min(ASKED_MAX, this.#ports.perSecond * 10), returnImmediately: false, ack, setErrs }
    const { text } = await this.#ports.caller.ask({ method: 'POST', url, body, statuses: [200] }, LIMITS, signal)
    this.#acks = []
    this.#refusals.clear()
    return answerIn(text, url)
  }

  /** @returns how many the store did not take */
  async #takeAll(waiting: [string, unknown][], signal: AbortSignal): Promise<number> {
    let left = 0
    const take = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined && !signal.aborted; next = waiting.shift()) {
        await this.#take(...next).catch(() => { left++ })
        await turn() // requests are not held up by a batch
      }
    }
    await Promise.all(Array.from({ length: Math.min(AT_ONCE, waiting.length) }, take))
    return left
  }

  async #take(jti: string, text: unknown): Promise<void> {
    const received = typeof text === 'string' ? await this.#ports.receive(text) : { is: 'refused' as const, ...NO_TOKEN }
    if (received.is !== 'refused') this.#acks.push(jti)
    else this.#refusals.set(jti, { err: received.err, description: received.description })
  }
}
