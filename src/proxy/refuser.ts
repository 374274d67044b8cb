// Refusals on their way out: on record, counted, and in words for the caller, with what it may ask for. SPEC: WIRE9, AUD2, ADM8
import { accessRequest } from '../approvals/offering.ts'
import { NOBODY } from '../audit/record.ts'
import type { Refusal } from '../core/decision.ts'
import { type Reason, REASONS } from '../core/reason.ts'
import { evaluationIdOf } from '../runtime/id.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import type { Arrival } from './arrival.ts'
import type { Ask } from './ask.ts'
import { nonceLines } from './challenge.ts'
import type { McpRoute } from '../core/call.ts'
import { corsHeaders } from './http/cors.ts'
import { rateFields, retryAfter } from './http/rate-fields.ts'
import type { MessageFault } from './mcp/message.ts'
import { methodsOf } from './mcp/reading.ts'
import { faultForm, rpcFormOf } from './mcp/rpc-form.ts'
import { type RefusalText, refusalText } from './refusal.ts'
import type { ProxyRoom } from './room.ts'
import { challengesFor } from './self-service/protected-resource.ts'
import { stepUpTold } from './step-up-text.ts'
import { nonceFor } from './stepping-up.ts'

const NO_LINES: readonly string[] = []

/** Who is turned away for what others do as well has done nothing by that. */
const isOfOthers = ({ short }: Ask): boolean => short !== null && (short.rate.by === 'tenant' || short.rate.by === 'everyone')

/** A request that there is not more of. */
export type Early = Pick<Arrival, 'protocol' | 'method' | 'target' | 'peer' | 'answer'>

export class Refuser {
  readonly #room: ProxyRoom

  constructor(room: ProxyRoom) {
    this.#room = room
  }

  /** Before there is a target to speak of; the connection is not used again. */
  early({ protocol, method, target, peer, answer }: Early, contentLength: number | null, reason: Reason, detail: string | null): void {
    const text = refusalText(reason, { detail })
    this.#room.refused({ ...NOBODY, evaluation: text.evaluation, source: peer, method, host: '', path: target, reason })
    this.#count('', method, protocol, reason)
    answer.refuse(text, contentLength, true)
  }

  refuse(ask: Ask, { reason, requestable }: Refusal): void {
    const { arrival, head, place } = ask
    const text = this.#textOf(ask, reason, requestable)
    this.#turnedDown(ask, reason)
    this.#room.refused(ask.refused(text.evaluation, reason))
    if (reason === 'condition_error') this.#room.metrics.conditionErrors.inc({ route: place?.route.name ?? '' })
    this.#count(place?.route.name ?? '', arrival.method, arrival.protocol, reason)
    arrival.answer.refuse(text, head.contentLength, false)
  }

  /** Its body is no message that could be judged. */
  malformed(ask: Ask, mcp: McpRoute, fault: MessageFault): void {
    const { arrival, head, place, live } = ask
    const { reason, detail } = fault
    const cors = place === null || place.route.cors === null ? NO_LINES : corsHeaders(place.route.cors, head.origin)
    const text = refusalText(reason, {
      detail, session: live?.record.id ?? null, headers: [...cors, ...(reason === 'method_refused' ? ['allow', methodsOf(mcp)] : NO_LINES)], challenges: challengesFor(ask, reason), rpc: faultForm(mcp, fault),
      ...(ask.attempt === null ? {} : { evaluation: evaluationIdOf(ask.attempt.id) }),
    })
    this.#turnedDown(ask, reason)
    this.#room.refused(ask.refused(text.evaluation, reason))
    this.#count(place?.route.name ?? '', arrival.method, arrival.protocol, reason)
    arrival.answer.refuse(text, ask.readBody === null ? head.contentLength : 0, false)
  }

  /** What it is refused for may raise its principal's risk. */
  #turnedDown(ask: Ask, reason: Reason): void {
    const { attempt, live, risk: { before } } = ask
    if (attempt !== null && !isOfOthers(ask)) ask.risk = { ...this.#room.risk.refused(attempt, reason), before }
    else if (live !== null) ask.risk = this.#room.risk.uncounted(live)
  }

  #count(route: string, method: string, protocol: Arrival['protocol'], reason: Reason): void {
    const { metrics } = this.#room
    metrics.requests.count(route, method, protocol, REASONS[reason].status, reason, null)
    metrics.limited(reason)
  }

  #textOf(ask: Ask, reason: Reason, requestable: boolean): RefusalText {
    const { place, head, verified, live } = ask
    const scope = place?.rule?.scope ?? null
    const cors = place === null || place.route.cors === null ? NO_LINES : corsHeaders(place.route.cors, head.origin)
    const { policy } = this.#room.mirror
    const relayed = reason === 'external_denied' ? (ask.external?.last?.access ?? null) : null
    const access = relayed ?? (requestable && scope !== null && verified !== null && live !== null ? accessRequest(policy, scope, live.record, live.knownClaims ?? verified.claims, ask.purposes, verified.evidence.expiresAt) : null)
    return refusalText(reason, {
      session: live?.record.id ?? null, headers: [...cors, ...(ask.short === null ? NO_LINES : rateFields(ask.short)), ...nonceLines(ask.credentialFault, this.#room.identifier.nonce), ...nonceFor(ask, this.#room.identifier)], challenges: challengesFor(ask, reason), access,
      ...(ask.short === null ? {} : { retryAfter: retryAfter(ask.short) }),
      stepUp: ask.stepUp === null ? null : stepUpTold(ask.stepUp), detail: ask.detail, rpc: rpcFormOf(ask),
      ...(ask.attempt === null ? {} : { evaluation: evaluationIdOf(ask.attempt.id) }), // a level that it crosses names it by that
    })
  }

  /** Nothing of it is known to stand: refused where nothing was said, cut where something was. */
  broken(arrival: Arrival, error: unknown): void {
    this.#room.log.error({ error: String(error) }, 'a request failed inside the gateway and was ended')
    if (arrival.answer.status === 0) this.early(arrival, null, 'internal_error', null)
    else arrival.answer.cut('internal_error', false)
  }

  /** What a fault inside the gateway, or of its store, is told as. */
  faultOf(error: unknown): Reason {
    this.#room.log.error({ error: String(error) }, 'a request failed inside the gateway and was refused')
    return !(error instanceof StoreFault) ? 'internal_error' : error.code === 'forged' ? 'store_forged' : 'store_failed'
  }
}
