// A session's own event stream: what happened to it and to its exchanges, until it ends, its caller may no longer read it, or the reader falls
// behind. Nothing is written after its end. SPEC: ADM2, ADM6
import type { Full, Heard, Hub } from '../../enforcement/hub.ts'
import type { Answer } from '../arrival.ts'
import { ownHead } from '../own-answer.ts'

const HEARTBEAT = 15_000
const BEHIND_MAX = 262_144

/** What decides whether the caller still reads, asked at everything told and at every heartbeat. */
type Hearing = {
  readonly session: string
  readonly allowed: () => boolean
  /** Milliseconds until its credential ends; may be Infinity. */
  readonly left: () => number
}

const told = (heard: Heard, session: string): readonly { readonly event: string; readonly data: unknown }[] => {
  if (heard.session !== session) return []
  return heard.is === 'announced'
    ? heard.announcement.facts.map(fact => ({ event: fact.what, data: fact }))
    : [{ event: `exchange.${heard.what}`, data: { exchange: heard.exchange, route: heard.route, grant: heard.grant, reason: heard.reason } }]
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
    return null
  }

  get #isOver(): boolean { return this.#answer.ended || this.#answer.gone }

  #hear(heard: Heard): void {
    if (!this.#stillAllowed()) return
    for (const { event, data } of told(heard, this.#hearing.session)) this.#write(`event: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    if (isEnd(heard)) this.#end()
    else queueMicrotask(() => this.#stillAllowed()) // told before the mirror has it
  }

  #beat(): void {
    if (!this.#stillAllowed()) return
    this.#write(':\n\n')
    this.#timer = setTimeout(() => this.#beat(), Math.max(1, Math.min(HEARTBEAT, this.#hearing.left())))
  }

  /** Ends it where the answer is no. */
  #stillAllowed(): boolean {
    if (!this.#isOver && !this.#hearing.allowed()) this.#end()
    return !this.#isOver
  }

  #write(text: string): void {
    if (this.#isOver) return
    this.#answer.send(Buffer.from(text))
    if (this.#answer.waiting > BEHIND_MAX) this.#answer.cut('limit_reached', false)
  }

  #end(): void {
    this.#leave()
    if (!this.#isOver) this.#answer.finish([])
  }

  #leave(): void {
    this.#stop()
    if (this.#timer !== null) clearTimeout(this.#timer)
  }
}

/** @returns the limit that is met, with nothing sent yet; null when it streams */
export const openEvents = (answer: Answer, hub: Hub, hearing: Hearing): Full | null => new EventStream(answer, hearing).open(hub)
