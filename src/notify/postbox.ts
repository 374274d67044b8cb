// What waits for one channel: bounded, one attempt at a time, and one that failed holds up no other. Nobody waits for it, and it never throws.
// SPEC: NOT2
import type { Clock } from '../runtime/clock.ts'
import type { HttpClient } from '../runtime/http-client.ts'
import type { Log } from '../runtime/log.ts'
import type { Channel, ChannelKind } from './channel.ts'
import { isLoud, type Notice } from './notice.ts'
import { type Outcome, outcomeOf, type Pace, pauseAfter } from './pace.ts'

export type PostTools = {
  readonly http: Pick<HttpClient, 'post'>
  readonly clock: Clock
  readonly log: Log
  readonly count: (kind: ChannelKind, outcome: 'sent' | 'failed' | 'dropped') => void
}

type Waiting = { readonly notice: Notice; attempts: number; due: number }

const TAKEN_STATUSES = Array.from({ length: 100 }, (_, i) => 200 + i)
const ANSWER_BYTES = 16 * 1024

export class Postbox {
  readonly #name: string
  readonly #tools: PostTools
  readonly #pace: Pace
  /** In the order in which they came. */
  readonly #waiting: Waiting[] = []
  #channel: Channel
  #underWay: Waiting | null = null
  #timer: NodeJS.Timeout | null = null
  /** Before then nothing is sent: the receiver asked for it. */
  #pausedUntil = -Infinity
  /** So that the log says once that a channel fails, and once that it overflows. */
  #failing = false
  #overflowing = false
  /** Called when nothing waits any more; from when it is there each notice is tried once, at once. */
  #emptied: (() => void) | null = null

  constructor(name: string, channel: Channel, tools: PostTools, pace: Pace) {
    this.#name = name
    this.#channel = channel
    this.#tools = tools
    this.#pace = pace
  }

  put(notice: Notice): void {
    if (this.#waiting.length >= this.#pace.waiting) this.#overflow()
    this.#waiting.push({ notice, attempts: 0, due: -Infinity })
    this.#next()
  }

  /** Another address or secret: what waits begins anew with it, at once. */
  replace(channel: Channel): void {
    this.#channel = channel
    this.#pausedUntil = -Infinity
    for (const waiting of this.#waiting) {
      waiting.attempts = 0
      waiting.due = -Infinity
    }
    this.#next()
  }

  /** Tries once more what waits, at once. Settles when nothing waits; `close` bounds it. */
  drain(): Promise<void> {
    return new Promise(resolve => {
      this.#emptied = resolve
      this.#next()
    })
  }

  /** Gives up what waits. */
  close(): void {
    if (this.#timer !== null) clearTimeout(this.#timer)
    const given = this.#waiting.splice(0)
    for (const _ of given) this.#tools.count(this.#channel.kind, 'dropped')
    if (given.length > 0) this.#tools.log.warn({ channel: this.#name, notices: given.length }, 'notices were not delivered: their channel is closed')
  }

  /** The oldest goes, and one about an emergency only where there is nothing else. */
  #overflow(): void {
    const may = (waiting: Waiting): boolean => waiting !== this.#underWay
    const quiet = this.#waiting.findIndex(waiting => may(waiting) && !isLoud(waiting.notice))
    this.#waiting.splice(quiet === -1 ? this.#waiting.findIndex(may) : quiet, 1)
    this.#tools.count(this.#channel.kind, 'dropped')
    if (!this.#overflowing) this.#tools.log.warn({ channel: this.#name, waiting: this.#pace.waiting }, 'more notices wait for a channel than may; the oldest are dropped')
    this.#overflowing = true
  }

  #next(): void {
    if (this.#underWay !== null) return
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = null
    if (this.#waiting.length === 0) return this.#emptied?.()
    const now = this.#tools.clock.elapsed()
    const due = this.#dueAt(now)
    if (due !== undefined) void this.#send(due)
    else this.#timer = setTimeout(() => this.#next(), this.#until(now)).unref()
  }

  #dueAt(now: number): Waiting | undefined {
    const ending = this.#emptied !== null
    if (now < this.#pausedUntil && !ending) return undefined
    const isDue = (waiting: Waiting): boolean => ending || waiting.due <= now
    return this.#waiting.find(waiting => isLoud(waiting.notice) && isDue(waiting)) ?? this.#waiting.find(isDue)
  }

  /** Milliseconds until one is due. */
  #until(now: number): number {
    const first = this.#waiting.reduce((least, { due }) => Math.min(least, due), Infinity)
    return Math.max(1, Math.ceil(Math.max(first, this.#pausedUntil) - now))
  }

  async #send(waiting: Waiting): Promise<void> {
    this.#underWay = waiting
    const outcome = await this.#attempt(waiting.notice)
    this.#underWay = null
    waiting.attempts++
    const at = this.#waiting.indexOf(waiting)
    if (at === -1) return // the box was closed meanwhile
    if (outcome.is === 'failed' && this.#emptied === null && waiting.attempts < this.#pace.attempts) this.#later(waiting, outcome)
    else this.#settle(at, waiting, outcome)
    this.#next()
  }

  async #attempt(notice: Notice): Promise<Outcome> {
    const { http, clock } = this.#tools
    try {
      const { url, ...letter } = this.#channel.letter(notice, clock.now())
      await http.post(url, { ...letter, statuses: TAKEN_STATUSES }, { timeout: this.#pace.timeout, bytes: ANSWER_BYTES }, 'new')
      return { is: 'taken' }
    } catch (error) {
      return outcomeOf(error, clock.now(), this.#pace)
    }
  }

  #later(waiting: Waiting, { status, pause }: Extract<Outcome, { readonly is: 'failed' }>): void {
    const now = this.#tools.clock.elapsed()
    waiting.due = now + pauseAfter(this.#pace, waiting.attempts)
    this.#pausedUntil = now + pause
    if (!this.#failing) this.#tools.log.warn({ channel: this.#name, status }, 'a channel does not take notices; they are tried again')
    this.#failing = true
  }

  #settle(at: number, { notice, attempts }: Waiting, outcome: Outcome): void {
    this.#waiting.splice(at, 1)
    this.#tools.count(this.#channel.kind, outcome.is === 'taken' ? 'sent' : 'failed')
    if (outcome.is === 'taken') {
      this.#failing = false
      this.#overflowing = false
    } else this.#tools.log.warn({ channel: this.#name, event: notice.event, notice: notice.id, status: outcome.status, attempts }, 'a notice was not delivered')
  }
}
