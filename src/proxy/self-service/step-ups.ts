// A caller and its step-ups: how one stands, waiting for its answer, and showing anew what it is. SPEC: STU3, STU6, ADM1
import { isPending, type StepUp, type StepUpId } from '../../core/step-up.ts'
import type { Reason } from '../../core/reason.ts'
import type { Ask } from '../ask.ts'
import type { ProxyRoom } from '../room.ts'
import { shownBy } from '../stepping-up.ts'
import { stepUpAnswer } from '../step-up-text.ts'
import type { Callers, Known } from './callers.ts'
import { ok, type Reply, says } from './reply.ts'
import { secondsAsked, type Waiting } from './waiting.ts'

export class OwnStepUps {
  readonly #room: Pick<ProxyRoom, 'stepUps'>
  readonly #callers: Callers
  readonly #waiting: Waiting

  constructor(room: Pick<ProxyRoom, 'stepUps'>, callers: Callers, waiting: Waiting) {
    this.#room = room
    this.#callers = callers
    this.#waiting = waiting
  }

  async get(ask: Ask, known: Known, id: StepUpId): Promise<Reply> {
    const find = (): StepUp | undefined => this.#callers.current(known).record.stepUps.find(each => each.id === id)
    const first = find()
    if (first === undefined) return says('no_route')
    const path = `step-ups/${id}`
    const standing = (): Reason | null => this.#callers.standing(known, path)
    const waited = isPending(first) ? await this.#waiting.for(ask, known, path, secondsAsked(ask), () => find()?.state.is !== first.state.is || standing() !== null) : null
    const now = find()
    return waited ?? (now === undefined ? says('no_route') : ok(stepUpAnswer(now)))
  }

  /** Whatever waits in its session is answered by what this request shows, as far as that goes; 200 where something was, or nothing waits. */
  async revalidate(ask: Ask, known: Known): Promise<Reply> {
    const { record } = this.#callers.current(known)
    const waiting = record.stepUps.filter(isPending)
    await this.#room.stepUps.show(record, shownBy(known.verified, ask), this.#callers.now)
    const since = await this.#callers.since(ask, known, 'session/revalidate')
    if (since !== null) return says(since)
    const { stepUps } = this.#callers.current(known).record
    const is = (state: StepUp['state']['is']): readonly string[] => waiting.flatMap(({ id }) => (stepUps.some(each => each.id === id && each.state.is === state) ? [id] : []))
    const moved = waiting.some(({ id, given }) => (stepUps.find(each => each.id === id)?.given.length ?? 0) > given.length)
    if (moved || waiting.length === 0) return ok({ satisfied: is('satisfied'), pending: is('pending') })
    ask.stepUp = waiting.find(({ by }) => by.includes('attest')) ?? waiting[0] ?? null
    return says('step_up_required')
  }
}
