// The caller's own side under the reserved prefix, on every configured host, with the caller's own credential; never forwarded.
// What a session may see of itself, and how it asks for, waits for, extends and gives back elevations. SPEC: ADM1, ADM2
import type { ElevationId } from '../../core/elevation.ts'
import type { Reason } from '../../core/reason.ts'
import type { StepUpId } from '../../core/step-up.ts'
import type { Hub } from '../../enforcement/hub.ts'
import { StoreFault } from '../../sessions/store-fault.ts'
import type { Ask } from '../ask.ts'
import type { ProxyRoom } from '../room.ts'
import { answerJson } from '../own-answer.ts'
import { nonceLines } from '../challenge.ts'
import { refusalText } from '../refusal.ts'
import { sessionAnswer } from './answers.ts'
import type { Callers, Known } from './callers.ts'
import { type OwnSide, ownSide } from './own-side.ts'
import { challengesFor } from './protected-resource.ts'
import { ok, type Reply } from './reply.ts'
import { stepUpTold } from '../step-up-text.ts'
import { nonceFor } from '../stepping-up.ts'
import { OwnStepUps } from './step-ups.ts'
import { readBody } from './request-body.ts'
import { secondsAsked } from './waiting.ts'

export const RESERVED = '/.narrowgate/'
const KEYS = '/.well-known/jwks.json'
/** Whoever keeps them for so long has a new one before it signs. */
const KEYS_CACHED = 'public, max-age=60'
/** Both places of our keys. */
export const isKeySet = (path: string): boolean => path === KEYS || path === `${RESERVED}jwks.json`
/** Nothing is announced: some clients never end what they do not send. */
const NO_BODY = { text: '' }
const OF_ONE = /^(elevations(?=\/elv)|step-ups(?=\/stp))\/((?:elv|stp)_[a-z2-7]{26})(\/[a-z]+)?$/

/** Both kinds of ids have their own paths. */
type Handler = (ask: Ask, known: Known, id: ElevationId & StepUpId, body: string) => Reply | Promise<Reply>

export class SelfService {
  readonly own: OwnSide
  readonly #room: ProxyRoom
  readonly #callers: Callers
  readonly #handlers: ReadonlyMap<string, Handler>

  constructor(room: ProxyRoom, hub: Hub) {
    this.own = ownSide(room, hub)
    const { callers, asking, acting, waiting } = this.own
    const stepUps = new OwnStepUps(room, callers, waiting)
    this.#room = room
    this.#callers = callers
    this.#handlers = new Map<string, Handler>([
      ['GET session', (_ask, { live }) => ok(sessionAnswer(callers.effective(live), callers.now))],
      ['POST session/renew', (_ask, known) => acting.renew(known)],
      ['POST session/revalidate', (ask, known) => stepUps.revalidate(ask, known)],
      ['GET step-ups/{id}', (ask, known, id) => stepUps.get(ask, known, id)],
      ['GET profiles', (_ask, known) => asking.profiles(known)],
      ['POST elevations', (ask, known, _id, body) => asking.request(ask, known, body)],
      ['GET elevations/{id}', (ask, known, id) => waiting.elevation(ask, known, id, secondsAsked(ask))],
      ['POST elevations/{id}/release', (_ask, known, id, body) => acting.giveBack(known, id, body, 'release')],
      ['POST elevations/{id}/withdraw', (_ask, known, id, body) => acting.giveBack(known, id, body, 'withdraw')],
      ['POST elevations/{id}/extend', (_ask, known, id, body) => acting.extend(known, id, body)],
      ['GET elevations/{id}/hold', (ask, known, id) => waiting.hold(ask, known, id)],
      ['GET events', (ask, known) => waiting.events(ask, known)],
    ])
  }

  /** Our keys at the well-known place, where no route of the host claims it. */
  servesWithoutRoute(ask: Ask): boolean { return ask.keys && ask.target.path === KEYS && ask.arrival.method === 'GET' }

  serve(ask: Ask): void {
    const path = ask.target.path
    if (isKeySet(path)) return answerJson(ask.arrival, 200, this.#room.minter.jwks, KEYS_CACHED)
    void this.#serve(ask, path.slice(RESERVED.length)).catch(error => this.#failed(ask, error))
  }

  #failed(ask: Ask, error: unknown): void {
    const { log, hold } = this.#room
    log.error({ error: String(error) }, 'a self-service request failed')
    this.#refuse(ask, !(error instanceof StoreFault) ? 'internal_error' : hold.fresh ? 'store_failed' : 'stale', null)
  }

  async #serve(ask: Ask, path: string): Promise<void> {
    const callers = this.#callers
    const [, kind = '', id = '', verb = ''] = OF_ONE.exec(path) ?? []
    const handler = this.#handlers.get(`${ask.arrival.method} ${kind === '' ? path : `${kind}/{id}${verb}`}`)
    if (handler === undefined) return this.#refuse(ask, 'no_route', null)
    const known = await callers.known(ask)
    if ('effect' in known) return this.#refuse(ask, known.reason, null)
    ask.live = known.live
    const standing = callers.standing(known, path) ?? callers.drifted(ask, known)
    if (standing !== null) return this.#refuse(ask, standing, null)
    const body = ask.head.contentLength === 0 ? NO_BODY : await readBody(ask.arrival.body)
    if ('reason' in body) return this.#refuse(ask, body.reason, null)
    const since = await callers.since(ask, known, path)
    if (since !== null) return this.#refuse(ask, since, null)
    const reply = await handler(ask, known, id as ElevationId & StepUpId, body.text) // matched by the pattern of its path's ids
    if (reply === 'streaming') return
    if ('status' in reply) answerJson(ask.arrival, reply.status, reply.body)
    else this.#refuse(ask, reply.reason, reply.says)
  }

  #refuse(ask: Ask, reason: Reason, detail: string | null): void {
    if (reason === 'caller_closed') return
    const { identifier } = this.#room
    const text = refusalText(reason, { detail, session: ask.live?.record.id ?? null, challenges: challengesFor(ask, reason), headers: [...nonceLines(ask.credentialFault, identifier.nonce), ...nonceFor(ask, identifier)], stepUp: ask.stepUp === null ? null : stepUpTold(ask.stepUp) })
    if (ask.live !== null) ask.risk = this.#room.risk.uncounted(ask.live)
    this.#room.refused(ask.refused(text.evaluation, reason))
    ask.arrival.answer.refuse(text, ask.head.contentLength, false)
  }
}
