// Takes news from outside: it is in the store before its sender is answered, and acted on behind that. What stays open, because its gateway died or the store
// failed it, is acted on by whoever finds it; doing it twice does it once. SPEC: OUT1
import { setTimeout as pause } from 'node:timers/promises'
import type { Matter } from '../../core/anchor.ts'
import type { OutsideEvent, OutsideOutcome } from '../../core/outside.ts'
import type { StoredRecord } from '../../core/record.ts'
import type { SessionId } from '../../core/session.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import type { Clock } from '../../runtime/clock.ts'
import { OPEN_NEWS } from '../../sessions/placement.ts'
import type { SessionStore } from '../../sessions/store.ts'
import { isUnreachable } from '../../sessions/store-fault.ts'
import { Acting, type ActPorts, type Deeds } from './acting.ts'
import { newsRef } from './names.ts'
import { Writes } from './writes.ts'

type Acted = { readonly outcome: OutsideOutcome; readonly met: number; /** No gateway lets anything through any more that it takes away. */ readonly enforced: boolean }

interface TakesNews {
  /**
   * Resolves once the event is in the store: every gateway may act on it then. Rejects where the store does not take it: the sender is told to try again. Acting
   * begins behind the current turn, so that the sender is answered first. `acted` is for those who wait; it never rejects, and is `failed` while it is tried again.
   */
  take(event: OutsideEvent): Promise<{ readonly is: 'taken' | 'again'; readonly acted: Promise<Acted> }>
}

export type InboxWitness = {
  readonly acted: (event: OutsideEvent, outcome: OutsideOutcome, met: number) => void
  /** It is tried again. */
  readonly failed: (event: OutsideEvent, cause: unknown) => void
  readonly full: () => void
  readonly unread: (cause: unknown) => void
}

type Ports = Omit<ActPorts, 'full'> & { readonly store: Pick<SessionStore, 'tiedTo'>; readonly clock: Pick<Clock, 'elapsed'>; readonly witness: InboxWitness }

/** News underway here, and of that so much at once. */
const UNDERWAY_MAX = 10_000
const AT_ONCE = 64
/** Milliseconds that news may stay open elsewhere; how often that is looked at; how often the store is asked what else is open. */
const TAKEN_OVER_AFTER = 2_000
const LOOK_EVERY = 500
const ASK_EVERY = 60_000
const FIRST_PAUSE = 250
const LONGEST_PAUSE = 30_000
/** Where the store answers and it fails all the same. */
const ATTEMPTS = 12

type News = Extract<Matter, { is: 'event' }>
const newsIn = (record: StoredRecord | null): News | null => (record?.record === 'anchor' && record.matter?.is === 'event' ? record.matter : null)
const isOpen = (record: StoredRecord | null): boolean => record?.record === 'anchor' && record.state === 'open'

export class Inbox implements TakesNews {
  readonly #ports: Ports
  readonly #acting: Acting
  /** By the name of their anchors. */
  readonly #underway = new Map<string, Promise<Acted>>()
  readonly #waiting: (() => void)[] = []
  /** Open in the store as far as is known, with the time since when, and so late that it is looked at here. */
  readonly #open = new BoundedMap<string, { readonly name: string; readonly since: number }>(UNDERWAY_MAX)
  readonly #runs = new Set<Promise<void>>()
  readonly #stopping = new AbortController()
  #taking = 0
  #seats = AT_ONCE
  #timers: readonly NodeJS.Timeout[] = []

  constructor(ports: Ports) {
    this.#ports = ports
    this.#acting = new Acting({ ...ports, full: ports.witness.full })
  }

  start(): void {
    void this.#ask()
    this.#timers = [setInterval(() => void this.#takeOver(), LOOK_EVERY).unref(), setInterval(() => void this.#ask(), ASK_EVERY).unref()]
  }

  /** Before the store closes: what is underway is finished or left to others. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    for (const timer of this.#timers) clearInterval(timer)
    while (this.#runs.size > 0) await Promise.all(this.#runs)
  }

  async take(event: OutsideEvent): ReturnType<TakesNews['take']> {
    if (this.#stopping.signal.aborted) throw new Error('the gateway is shutting down')
    if (this.#underway.size + this.#taking >= UNDERWAY_MAX) {
      this.#ports.witness.full()
      throw new Error(`${UNDERWAY_MAX} events are underway`)
    }
    this.#taking++
    try {
      return await this.#taken(event)
    } finally {
      this.#taking--
    }
  }

  async #taken(event: OutsideEvent): ReturnType<TakesNews['take']> {
    const ref = newsRef(event)
    const { record, facts, rejected } = await new Writes(this.#ports, event).anchor(ref, '', { kind: 'event.taken', matter: { is: 'event', event, outcome: null, met: 0 } })
    const news = newsIn(record)
    if (rejected !== null || news === null) throw new Error(`the event was not taken: ${rejected?.says ?? 'its name is another anchor’s'}`)
    if (news.outcome !== null) return { is: 'again', acted: Promise.resolve({ outcome: news.outcome, met: news.met, enforced: true }) }
    return { is: facts.length > 0 ? 'taken' : 'again', acted: this.#begin(ref.name, news.event) }
  }

  /** An operator's word that no store takes: in force here from memory, for whoever is known here. @returns how many are met */
  readonly here = (event: OutsideEvent): Promise<number> => this.#acting.here(event)

  /** Any record that is announced. */
  heard(record: StoredRecord): void {
    if (record.record !== 'anchor' || newsIn(record) === null) return
    if (isOpen(record)) this.#open.set(record.name, { name: record.name, since: this.#ports.clock.elapsed() })
    else this.#open.delete(record.name)
  }

  // ---- acting

  /** The event as it was taken first counts, whatever is said again. */
  #begin(name: string, event: OutsideEvent): Promise<Acted> {
    const known = this.#underway.get(name)
    if (known !== undefined) return known
    const first = Promise.withResolvers<Acted>()
    this.#underway.set(name, first.promise)
    const run = new Promise<void>(resolve => void setImmediate(resolve)).then(() => this.#run(event, first.resolve)).finally(() => {
      this.#underway.delete(name)
      this.#runs.delete(run)
    })
    this.#runs.add(run)
    return first.promise
  }

  /** Until it is done. */
  async #run(event: OutsideEvent, tell: (acted: Acted) => void): Promise<void> {
    const failed: Acted = { outcome: 'failed', met: 0, enforced: false }
    const met = new Set<SessionId>()
    for (let attempt = 1, wait = FIRST_PAUSE; ; attempt++, wait = Math.min(LONGEST_PAUSE, 2 * wait)) {
      const deeds = await this.#attempt(event, attempt, met)
      if (deeds !== null) return tell({ outcome: deeds.outcome, met: deeds.met, enforced: deeds.outcome !== 'failed' && (await deeds.writes.enforced().catch(() => false)) })
      tell(failed)
      if (this.#stopping.signal.aborted) return
      await pause(wait, undefined, { signal: this.#stopping.signal, ref: false }).catch(() => undefined) // stopped: once more, at once
    }
  }

  /** @returns null where it is to be done again */
  async #attempt(event: OutsideEvent, attempt: number, met: Set<SessionId>): Promise<Deeds | null> {
    await this.#seat()
    try {
      const deeds = await this.#acting.act(event, met)
      await this.#ended(event, deeds)
      return deeds
    } catch (error) {
      this.#ports.witness.failed(event, error)
      return attempt < ATTEMPTS || isUnreachable(error) ? null : await this.#givenUp(event)
    } finally {
      this.#seats++
      this.#waiting.shift()?.()
    }
  }

  async #givenUp(event: OutsideEvent): Promise<Deeds | null> {
    const deeds: Deeds = { outcome: 'failed', met: 0, writes: new Writes(this.#ports, event) }
    return this.#ended(event, deeds).then(() => deeds, () => null)
  }

  /** Told of by whoever wrote it. */
  async #ended(event: OutsideEvent, { outcome, met, writes }: Deeds): Promise<void> {
    const { facts } = await writes.anchor(newsRef(event), 'done', { kind: 'anchor.ended', matter: { is: 'event', event, outcome, met } })
    if (facts.length > 0) this.#ports.witness.acted(event, outcome, met)
  }

  async #seat(): Promise<void> {
    while (this.#seats === 0) await new Promise<void>(resolve => void this.#waiting.push(resolve))
    this.#seats--
  }

  // ---- what others left

  async #ask(): Promise<void> {
    try {
      const refs = await this.#ports.store.tiedTo(OPEN_NEWS, UNDERWAY_MAX)
      for (const { name } of refs) if (!this.#open.has(name)) this.#open.set(name, { name, since: this.#ports.clock.elapsed() })
    } catch (error) {
      this.#ports.witness.unread(error)
    }
  }

  async #takeOver(): Promise<void> {
    const late = this.#ports.clock.elapsed() - TAKEN_OVER_AFTER
    const left = [...this.#open.values()].filter(({ name, since }) => since <= late && !this.#underway.has(name)).slice(0, AT_ONCE)
    for (const { name } of left) this.#open.set(name, { name, since: this.#ports.clock.elapsed() }) // looked at again should this fail
    await Promise.all(left.map(({ name }) => this.#takeOne(name).catch(this.#ports.witness.unread)))
  }

  async #takeOne(name: string): Promise<void> {
    const record = await this.#ports.store.load({ kind: 'event', name })
    const news = newsIn(record)
    if (news === null || !isOpen(record)) return void this.#open.delete(name)
    if (this.#underway.size < UNDERWAY_MAX && !this.#stopping.signal.aborted) void this.#begin(name, news.event)
  }
}
