// Takes credentials back whose elevation or session is over: at once, again until that is confirmed, and loudly where it is not. Doing it twice does it once.
// One gateway at a time is at it; whoever finds it left takes over. SPEC: CRD8, CRD9
import { setTimeout as pause } from 'node:timers/promises'
import { duration, type Instant } from '../../core/time.ts'
import type { Clock } from '../../runtime/clock.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { isDead, type Told } from './held.ts'
import type { RevocationQueue } from './queue.ts'
import { Seats } from './seats.ts'
import { type Revocable, type Source, SourceError } from './source.ts'

export type Over = {
  readonly told: Told
  readonly source: Source
  readonly revocable: Revocable
  /** It lies in the store until somebody confirmed it. */
  readonly kept: boolean
  readonly since: Instant
}

/** `ms`: since it is over. */
export type Outcome = { readonly told: Told; readonly attempts: number; readonly ms: number }

export type RevokingWitness = {
  readonly revoked: (outcome: Outcome, at: Instant) => void
  /** It is tried again. */
  readonly retried: (told: Told, cause: string) => void
  /** Nobody has confirmed it in time, or whoever gave it refuses to take it back. It is tried on, where there is a way. */
  readonly unrevoked: (outcome: Outcome, cause: string) => void
  /** It lives no more, whether or not somebody took it back. */
  readonly expired: (told: Told) => void
  readonly full: () => void
}

type Ports = { readonly clock: Clock; readonly store: Pick<SessionStore, 'share'>; readonly queue: Pick<RevocationQueue, 'has' | 'done'>; readonly witness: RevokingWitness }

const UNDERWAY_MAX = 10_000
/** Of one upstream: who gives nothing back holds up nobody else's. */
const AT_ONCE = 64
const FIRST_PAUSE = 250
const LONGEST_PAUSE = 30_000
/** Milliseconds beyond its attempt and its next pause for which a gateway that is at it keeps the others from it. */
const CLAIM_SLACK = 1_000

/** @param pausing milliseconds, behind the attempt @returns whether nobody else is at it @throws where the store does not say */
export const claim = async (store: Pick<SessionStore, 'share'>, { id }: Told, { settings: { timeout } }: Source, pausing = 0): Promise<boolean> =>
  (await store.share({ bucket: `brokered/${id}`, wanted: 1, limit: 1, for: duration(timeout + pausing + CLAIM_SLACK) })) === 1

/** Whoever looks next finds it in the store. */
const STOPPED = new SourceError('unreachable', 'the gateway is shutting down', true)

export class Revoking {
  readonly #ports: Ports
  readonly #underway = new Map<string, Promise<void>>()
  readonly #seats = new Seats(AT_ONCE)
  readonly #stopping = new AbortController()

  constructor(ports: Ports) {
    this.#ports = ports
  }

  get size(): number { return this.#underway.size }
  has(id: string): boolean { return this.#underway.has(id) }

  /** Where too many are underway it is left in the store, for whoever looks next. */
  begin(over: Over): void {
    const { told: { id } } = over
    if (this.#underway.has(id) || this.#stopping.signal.aborted) return
    if (this.#underway.size >= UNDERWAY_MAX) return this.#ports.witness.full()
    this.#underway.set(id, this.#run(over).finally(() => void this.#underway.delete(id)))
  }

  /** Attempts that are made now come to their end; what is not confirmed then is left to others, or to the next start. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#underway.values())
  }

  async #run(over: Over): Promise<void> {
    const { told, since, source: { revoke } } = over
    const { clock, witness } = this.#ports
    const outcomeAt = (now: Instant): Outcome => ({ told, attempts: seen.attempts, ms: Math.max(0, now - since) })
    const seen = { attempts: 0, cause: 'it was not asked yet', alarmed: false }
    const alarm = (): void => {
      if (!seen.alarmed) witness.unrevoked(outcomeAt(clock.now()), seen.cause)
      seen.alarmed = true
    }
    const timer = setTimeout(alarm, Math.max(0, since + (revoke?.alarmAfter ?? 0) - clock.now())).unref() // whatever it waits for
    for (let wait = FIRST_PAUSE; !this.#stopping.signal.aborted; wait = Math.min(LONGEST_PAUSE, 2 * wait)) {
      const fault = await this.#attempt(over, wait, seen)
      const now = clock.now()
      if (fault === null || isDead(told, over.source, now)) {
        clearTimeout(timer)
        return fault === null ? this.#confirmed(outcomeAt(now), now) : this.#expired(told)
      }
      if (!fault.passing && (await this.#isDoneElsewhere(over))) return clearTimeout(timer)
      seen.cause = fault.message
      witness.retried(told, fault.message)
      if (!fault.passing) alarm()
      if (!fault.passing) wait = LONGEST_PAUSE
      await this.#pause(wait)
    }
    clearTimeout(timer)
  }

  /** Some refuse what was taken back already: who did that has it on record. */
  async #isDoneElsewhere({ told, kept }: Over): Promise<boolean> { return kept && !(await this.#ports.queue.has(told).catch(() => true)) }

  /** @returns why it is not confirmed */
  async #attempt({ told, source, revocable }: Over, next: number, seen: { attempts: number }): Promise<SourceError | null> {
    await this.#seats.take(source.upstream)
    try {
      if (this.#stopping.signal.aborted) return STOPPED
      seen.attempts++
      void claim(this.#ports.store, told, source, next).catch(() => undefined) // without it somebody else may do it as well
      await source.takeBack(revocable)
      return null
    } catch (error) {
      return error instanceof SourceError ? error : new SourceError('unreachable', 'it could not be asked', true)
    } finally {
      this.#seats.free(source.upstream)
    }
  }

  async #confirmed(outcome: Outcome, at: Instant): Promise<void> {
    this.#ports.witness.revoked(outcome, at)
    await this.#ports.queue.done(outcome.told).catch(() => undefined) // whoever finds it does it once more, which changes nothing
  }

  async #expired(told: Told): Promise<void> {
    this.#ports.witness.expired(told)
    await this.#ports.queue.done(told).catch(() => undefined) // it is forgotten there by itself
  }

  async #pause(ms: number): Promise<void> {
    await pause(ms, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined) // stopped
  }
}
