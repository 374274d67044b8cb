// What a caller does with what it has: gives an elevation back, takes a request back, asks for more time, has its session renewed. SPEC: ADM1, ELV9
import type { ElevationId } from '../../core/elevation.ts'
import type { ProxyRoom } from '../room.ts'
import { sessionAnswer } from './answers.ts'
import { extensionAsk, noteAsk, parsed } from './asks.ts'
import { type Callers, type Known, wordOf } from './callers.ts'
import { elevationReply, ok, type Reply, says } from './reply.ts'

type Room = Pick<ProxyRoom, 'intake' | 'mirror'>

export class Acting {
  readonly #room: Room
  readonly #callers: Callers

  constructor(room: Room, callers: Callers) {
    this.#room = room
    this.#callers = callers
  }

  /** The credential was taken over where it is newer. What a broker gave has its time, and nobody else's word moves it. */
  renew({ live }: Known): Reply {
    return live.record.brokered === null ? ok(sessionAnswer(this.#callers.effective(live), this.#callers.now)) : says('denied', 'a session that a broker opened cannot be renewed')
  }

  async giveBack(known: Known, id: ElevationId, body: string, what: 'release' | 'withdraw'): Promise<Reply> {
    const asked = parsed(noteAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const news = what === 'release' ? ({ kind: 'elevation.ended', elevation: id, reason: 'released', because: 'caller' } as const) : ({ kind: 'elevation.withdrawn', elevation: id } as const)
    return elevationReply(await this.#room.intake.session(known.live.record.key, news, wordOf(known, asked.value.reason ?? '')), id, () => 200, this.#callers.now)
  }

  async extend(known: Known, id: ElevationId, body: string): Promise<Reply> {
    const asked = parsed(extensionAsk, body)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const elevation = this.#callers.current(known).record.elevations.find(each => each.id === id)
    const profile = elevation === undefined ? undefined : this.#room.mirror.policy.profiles.get(elevation.profile)
    const extend = profile?.approval?.extend ?? 'free'
    if (extend === 'approval') return says('denied', 'only an operator extends what was approved')
    if (extend !== 'free' && asked.value.for > extend.once) return says('limit_reached', 'the extension is longer than the profile gives without an approval')
    const news = { kind: 'elevation.extended', elevation: id, more: asked.value.for, once: extend !== 'free' } as const
    return elevationReply(await this.#room.intake.session(known.live.record.key, news, wordOf(known, asked.value.reason ?? '')), id, () => 200, this.#callers.now)
  }
}
