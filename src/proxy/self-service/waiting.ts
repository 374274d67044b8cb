// What a caller waits for: an answer to its request, what happens to its session, and the end of an elevation that it holds.
// SPEC: ADM1, ADM2, ADM6, ELV15
import { type Elevation, type ElevationId, isOver } from '../../core/elevation.ts'
import type { Reason } from '../../core/reason.ts'
import type { Full, Hub } from '../../enforcement/hub.ts'
import type { Ask } from '../ask.ts'
import type { ProxyRoom } from '../room.ts'
import { elevationAnswer } from './answers.ts'
import type { Callers, Known } from './callers.ts'
import { openEvents } from './events.ts'
import { ok, type Reply, says } from './reply.ts'
import { heldStory, sessionStory } from './stories.ts'

type Room = Pick<ProxyRoom, 'metrics' | 'mirror' | 'holders'>

const LONGEST_WAIT = 60

/** `wait=30` in a query. */
export const secondsAsked = ({ target: { query } }: Ask): number => Math.min(LONGEST_WAIT, Number(/[?&]wait=(\d{1,3})(?:&|$)/.exec(query)?.[1] ?? 0))

export class Waiting {
  readonly #room: Room
  readonly #hub: Hub
  readonly #callers: Callers

  constructor(room: Room, hub: Hub, callers: Callers) {
    this.#room = room
    this.#hub = hub
    this.#callers = callers
  }

  /** @param seconds it may wait for an answer to a request, or for its start @param path by which it may ask that */
  async elevation(ask: Ask, known: Known, id: ElevationId, seconds: number, path = `elevations/${id}`): Promise<Reply> {
    const find = (): Elevation | undefined => this.#callers.current(known).record.elevations.find(e => e.id === id)
    const first = find()
    if (first === undefined) return says('no_route')
    const standing = (): Reason | null => this.#callers.standing(known, path)
    const isWaiting = first.state.is === 'requested' || first.state.is === 'scheduled'
    const waited = isWaiting ? await this.for(ask, known, path, seconds, () => find()?.state.is !== first.state.is || standing() !== null) : null
    const elevation = find()
    return waited ?? (elevation === undefined ? says('no_route') : ok(elevationAnswer(elevation, this.#callers.now)))
  }

  /** As long as the caller asked to wait, for something to happen to its session. @returns why it may not be told; null where it may */
  async for(ask: Ask, known: Known, path: string, seconds: number, happened: () => boolean): Promise<Reply | null> {
    if (seconds === 0) return null
    const full = await this.#change(ask, known, happened, seconds * 1000)
    if (full !== null) return this.#full(full)
    const refused = await this.#callers.since(ask, known, path)
    return refused === null ? null : says(refused)
  }

  events(ask: Ask, known: Known): Reply {
    const full = openEvents(ask.arrival.answer, this.#hub, sessionStory(this.#parts, known))
    return full === null ? 'streaming' : this.#full(full)
  }

  /** As long as the stream is open it is held; the stream ends with it. */
  async hold({ arrival: { answer } }: Ask, known: Known, id: ElevationId): Promise<Reply> {
    const { record } = this.#callers.current(known)
    const elevation = record.elevations.find(each => each.id === id)
    if (elevation === undefined) return says('no_route')
    if (!elevation.held) return says('bad_request', 'it was not asked for with `hold`')
    const letGo = isOver(elevation) ? () => {} : await this.#room.holders.hold(id, record)
    if (letGo === null) return says('limit_reached', 'too many elevations are held')
    const full = answer.gone ? null : openEvents(answer, this.#hub, heldStory(this.#parts, known, id))
    if (full === null && !answer.gone && !answer.finished) answer.onClose(letGo)
    else letGo()
    return full === null ? 'streaming' : this.#full(full)
  }

  get #parts() { return { callers: this.#callers, mirror: this.#room.mirror } }

  /** Settles when the session changed so that `happened`, when time is up, or when the caller went away; at once, with the limit, when too many wait. */
  #change(ask: Ask, { life }: Known, happened: () => boolean, within: number): Promise<Full | null> {
    return new Promise(resolve => {
      const stop = this.#hub.follow(life, heard => {
        if (heard.is === 'announced') queueMicrotask(() => happened() && done()) // told before the mirror has it
      })
      if (typeof stop === 'string') return resolve(stop)
      const timer = setTimeout(() => done(), within)
      const done = (): void => {
        clearTimeout(timer)
        stop()
        resolve(null)
      }
      ask.arrival.answer.onClose(done)
      if (happened()) done()
    })
  }

  #full(limit: Full): Reply {
    this.#room.metrics.limitReached.inc({ limit })
    return says('limit_reached')
  }
}
