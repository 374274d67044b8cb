// Polls of receivers (RFC 8936): what they have is done with, what waits is given, and where nothing does they may wait for it a while. What was given and
// not acknowledged is given again. SPEC: TRM5
import type { PollAsked } from './requests.ts'
import type { Sending } from './sending.ts'
import type { Stream } from './stream.ts'
import type { Streams } from './streams.ts'
import type { Waits } from './waits.ts'

type PollPorts = { readonly streams: Pick<Streams, 'read'>; readonly sending: Sending; readonly waits: Waits }
type PollAnswer = { readonly sets: { readonly [jti: string]: string }; readonly moreAvailable?: true }

const NOTHING: PollAnswer = { sets: {} }
const EVENTS_MAX = 100
const LONGEST_MS = 30_000
/** Another gateway may have put something: looked at so often. */
const LOOK_EVERY_MS = 250
/** Of one receiver that wait at once; a further one is answered at once. */
const WAITING_MAX = 4

export class Polls {
  readonly #ports: PollPorts
  readonly #open = new Map<string, number>()

  constructor(ports: PollPorts) {
    this.#ports = ports
  }

  /** @param gone whoever asked is not there any more */
  async answer(receiver: string, stream: Stream, { maxEvents = EVENTS_MAX, returnImmediately = false, ack = [], setErrs = {} }: PollAsked, gone: AbortSignal): Promise<PollAnswer> {
    const { sending } = this.#ports
    if (ack.length > 0) await sending.done(receiver, stream, ack)
    for (const [err, named] of Map.groupBy(Object.entries(setErrs), ([, fault]) => fault.err)) await sending.refused(receiver, stream, '', named.map(([jti]) => jti), err)
    if (maxEvents === 0) return NOTHING
    const most = Math.min(maxEvents, EVENTS_MAX)
    const waiting = this.#open.get(receiver) ?? 0
    if (returnImmediately || waiting >= WAITING_MAX) return this.#look(receiver, stream.id, most)
    this.#open.set(receiver, waiting + 1)
    return this.#await(receiver, stream.id, most, gone).finally(() => this.#open.set(receiver, (this.#open.get(receiver) ?? 1) - 1))
  }

  async #await(receiver: string, id: string, most: number, gone: AbortSignal): Promise<PollAnswer> {
    const until = performance.now() + LONGEST_MS
    for (;;) {
      const found = await this.#look(receiver, id, most)
      if (found !== NOTHING || gone.aborted || this.#ports.waits.isStopped || performance.now() >= until) return found
      await this.#ports.waits.wait(receiver, LOOK_EVERY_MS, gone)
    }
  }

  /** A stream that is paused, or another one by now, has nothing to give. */
  async #look(receiver: string, id: string, most: number): Promise<PollAnswer> {
    const { streams, sending } = this.#ports
    const stream = await streams.read(receiver)
    if (stream === null || stream.id !== id || stream.status !== 'enabled' || stream.push !== null) return NOTHING
    const { letters, more } = await sending.next(receiver, stream, most)
    if (letters.length === 0) return NOTHING
    for (const letter of letters) sending.sent(receiver, letter)
    return { sets: Object.fromEntries(letters.map(({ jti, jws }) => [jti, jws])), ...(more ? { moreAvailable: true } : {}) }
  }
}
