// What the gateway's own tools do: the same that a caller does on its own side, said as the result of a tool. A refusal is one too, with what to do about it, and is
// on record like any other. SPEC: MCP15, ELV17
import type { ElevationId } from '../../../core/elevation.ts'
import { identityOf } from '../../../core/principal.ts'
import { type Reason, REASONS } from '../../../core/reason.ts'
import { repeatable, type Repeat, REPEAT_KEY, repeatedLately } from '../../../approvals/repeat.ts'
import type { Verified } from '../../../identity/credential.ts'
import { newEvaluationId } from '../../../runtime/id.ts'
import { writeJson } from '../../../runtime/strict-json.ts'
import type { LiveSession } from '../../../sessions/live-session.ts'
import type { Ask } from '../../ask.ts'
import type { ProxyRoom } from '../../room.ts'
import { elevationAnswer } from '../../self-service/answers.ts'
import { parsed, releaseAsk, statusAsk, toolAsk } from '../../self-service/asks.ts'
import type { Known } from '../../self-service/callers.ts'
import { ok, type Reply, says, type Told } from '../../self-service/reply.ts'
import type { OwnSide } from '../../self-service/own-side.ts'
import type { Message, OwnTool } from '../message.ts'
import { metaOf, REPEAT_META } from '../meta.ts'
import type { JsonObject } from '../sieve.ts'

type Room = Pick<ProxyRoom, 'refused' | 'risk'>

/** As whoever reads how the session stands: while that is frozen the answer waits for its gate. */
const READING = 'session'
const REQUESTED = 'Somebody has to approve it. Wait with elevation_status and this id until its state is not `requested` any more.'
const GIVEN = 'It carries what it adds now; list the tools again. Give it back with release_elevation when you are done.'

/** What a model can do about a refusal. */
const ADVICE: { readonly [R in Reason]?: string } = {
  not_eligible: 'Only the profiles in the description of this tool can be asked for; they change, so list the tools again.',
  purpose_missing: 'Name it in `purpose`, or have your requests show it.',
  ticket_unknown: 'Use the name of a ticket that exists and is open.',
  cooling_down: 'Ask again at that time, not before.',
  frozen: 'The session is on hold. Stop, and ask whoever you work for.',
}

/** The caller of an admitted message. */
export const knownOf = (ask: Ask, live: LiveSession, verified: Verified): Known => ({ live, verified, workload: ask.workload, certified: ask.certified, life: live.record.id })

/** By its own key where it has one; else one that comes again at once counts as the one it was. */
export function repeatOf(key: unknown, { live, verified: { principal }, life }: Known, body: object, now: Parameters<typeof repeatedLately>[3]): Repeat | 'malformed' {
  if (key === undefined) return repeatedLately(live.record, identityOf(principal), body, now)
  return typeof key === 'string' && REPEAT_KEY.test(key) ? repeatable(life, identityOf(principal), key, body) : 'malformed'
}

function toldOf(reply: Told, evaluation: string): JsonObject {
  if ('reason' in reply) {
    const advice = ADVICE[reply.reason]
    return { reason: reply.reason, detail: reply.says ?? REASONS[reply.reason].says, evaluation_id: evaluation, ...(advice === undefined ? {} : { next: advice }) }
  }
  const body = reply.body as JsonObject // every answer of the caller's own side is an object
  return body['state'] === 'requested' ? { ...body, next: REQUESTED } : body['state'] === 'active' ? { ...body, next: GIVEN } : body
}

export class OwnCalls {
  readonly #room: Room
  readonly #side: OwnSide

  constructor(room: Room, side: OwnSide) {
    this.#room = room
    this.#side = side
  }

  /** The result of the tool. */
  async result(ask: Ask, known: Known, message: Message, tool: OwnTool): Promise<JsonObject> {
    const reply = await this.#use(ask, known, message, tool)
    const evaluation = newEvaluationId()
    if ('reason' in reply) {
      ask.risk = this.#room.risk.uncounted(known.live)
      this.#room.refused(ask.refused(evaluation, reply.reason))
    }
    const told = toldOf(reply, evaluation)
    return { ...(message.era === 'modern' ? { resultType: 'complete' } : {}), content: [{ type: 'text', text: JSON.stringify(told) }], structuredContent: told, isError: 'reason' in reply }
  }

  async #use(ask: Ask, known: Known, message: Message, tool: OwnTool): Promise<Told> {
    const args = message.call.args instanceof Map ? writeJson(message.call.args) : ''
    const reply = await this.#tool(ask, known, message, tool, args)
    return reply === 'streaming' ? says('internal_error') : reply
  }

  #tool(ask: Ask, known: Known, message: Message, tool: OwnTool, args: string): Reply | Promise<Reply> {
    switch (tool) {
      case 'request_elevation': return this.#request(ask, known, message, args)
      case 'elevation_status': return this.#status(ask, known, args)
      case 'release_elevation': return this.#release(known, args)
    }
  }

  async #request(ask: Ask, known: Known, message: Message, args: string): Promise<Reply> {
    const { asking, callers } = this.#side
    const asked = parsed(toolAsk, args)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const shown = await asking.shown(ask, known)
    if (shown === 'malformed') return says('bad_request', 'a purpose that the request shows is malformed, or stands twice')
    const repeat = repeatOf(metaOf(message).get(REPEAT_META), known, { ...asked.value, shown: shown.purposes }, callers.now)
    if (repeat === 'malformed') return says('bad_request', `\`${REPEAT_META}\` is one line of at most 255 visible characters`)
    const standing = callers.standing(known, 'elevations') // what it shows was awaited
    if (standing !== null) return says(standing)
    return asking.wanted(ask, known, asked.value, shown, repeat)
  }

  async #status(ask: Ask, known: Known, args: string): Promise<Reply> {
    const { callers, waiting } = this.#side
    const asked = parsed(statusAsk, args)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const { id, wait = 0 } = asked.value
    if (id !== undefined) return this.#found(await waiting.elevation(ask, known, id as ElevationId, wait, READING)) // its pattern is that of an id
    if (wait > 0) return says('bad_request', '`wait` needs the `id` of an elevation')
    return ok({ elevations: callers.current(known).record.elevations.map(elevation => elevationAnswer(elevation, callers.now)) })
  }

  /** An answered request is withdrawn no more, and what was never given is not released: which it is, is not the model's to know. */
  async #release(known: Known, args: string): Promise<Reply> {
    const { acting, callers } = this.#side
    const asked = parsed(releaseAsk, args)
    if ('fault' in asked) return says('bad_request', asked.fault)
    const { id, reason } = asked.value
    const elevation = callers.current(known).record.elevations.find(each => each.id === id)
    if (elevation === undefined) return this.#found(says('no_route'))
    return acting.giveBack(known, elevation.id, JSON.stringify(reason === undefined ? {} : { reason }), elevation.state.is === 'requested' ? 'withdraw' : 'release')
  }

  /** There are no paths here to be missed. */
  #found(reply: Reply): Reply { return reply !== 'streaming' && 'reason' in reply && reply.reason === 'no_route' ? says('bad_request', 'this session has no elevation of that id') : reply }
}
