// An event stream of a caller's own: what happened to its session or to one elevation, and what is about to end, until it is over, its caller may no longer
// read it, or the reader falls behind. Nothing is written after its end. SPEC: ADM2, ADM6, ELV16
import type { Full, Heard, Hub } from '../../enforcement/hub.ts'
import type { Instant } from '../../core/time.ts'
import type { Answer } from '../arrival.ts'
import { ownHead } from '../own-answer.ts'

const HEARTBEAT = 15_000
const BEHIND_MAX = 262_144

export type Told = { readonly event: string; readonly data: unknown }

/** What is told, and what decides whether the caller still reads, asked at everything told and at every heartbeat. */
export type Hearing = {
  readonly session: string
  readonly allowed: () => boolean
  /** Milliseconds until its credential ends; may be Infinity. */
  readonly left: () => number
  readonly now: () => Instant
  /** Of what is heard, before the mirror has it. */
  readonly told: (heard: Heard) => readonly Told[]
  /** How things stand, where that is news: at the opening, and behind everything that is heard. */
  readonly standing: () => readonly Told[]
  /** Nothing more will happen to what it tells of. */
  readonly isOver: () => boolean
  /** What time brings, and when it brings more. */
  readonly due: () => { readonly told: readonly Told[]; readonly next: Instant }
}

const isEnd = (heard: Heard): boolean => heard.is === 'announced' && heard.announcement.record.record === 'session' && heard.announcement.record.state.is !== 'live'

class EventStream {
  readonly #answer: Answer
  readonly #hearing: Hearing
  #timer: NodeJS.Timeout | null = null
  #stop = (): void => {}

  constructor(answer: Answer, hearing: Hearing) {
    this.#answer = answer
    this.#hearing = hearing
  }

  open(hub: Hub): Full | null {
    const stop = hub.follow(this.#hearing.session, heard => this.#hear(heard))
    if (typeof stop === 'string') return stop
    this.#stop = stop
    this.#answer.onClose(() => this.#leave())
    this.#answer.sendHead(ownHead(200, ['content-type', 'text/event-stream', 'cache-control', 'no-store'], null))
    this.#beat()
    this.#settled()
    return null
  }

  get #isClosed(): boolean { return this.#answer.ended || this.#answer.gone }

  #hear(heard: Heard): void {
    if (!this.#stillAllowed()) return
    this.#tell(this.#hearing.told(heard))
    if (isEnd(heard)) this.#end()
    else queueMicrotask(() => this.#settled()) // told before the mirror has it
  }

  /** How it stands now, and what time brings of that. */
  #settled(): void {
    if (!this.#stillAllowed()) return
    this.#tell(this.#hearing.standing())
    if (this.#hearing.isOver()) this.#end()
    else this.#look()
  }

  #beat(): void {
    if (!this.#stillAllowed()) return
    this.#write(':\n\n')
    this.#look()
  }

  /** Tells what is due, and looks again at the next of that, or a heartbeat on. */
  #look(): void {
    if (this.#isClosed) return
    const { now, due, left } = this.#hearing
    const { told, next } = due()
    this.#tell(told)
    if (this.#timer !== null) clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#beat(), Math.max(1, Math.min(HEARTBEAT, left(), next - now())))
  }

  /** Ends it where the answer is no. */
  #stillAllowed(): boolean {
    if (!this.#isClosed && !this.#hearing.allowed()) this.#end()
    return !this.#isClosed
  }

  #tell(told: readonly Told[]): void {
    for (const { event, data } of told) this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
  }

  #write(text: string): void {
    if (this.#isClosed) return
    this.#answer.send(Buffer.from(text))
    if (this.#answer.waiting > BEHIND_MAX) this.#answer.cut('limit_reached', false)
  }

  #end(): void {
    this.#leave()
    if (!this.#isClosed) this.#answer.finish([])
  }

  #leave(): void {
    this.#stop()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }
}

/** @returns the limit that is met, with nothing sent yet; null when it streams */
export const openEvents = (answer: Answer, hub: Hub, hearing: Hearing): Full | null => new EventStream(answer, hearing).open(hub)
