// /ssf/events/<name>: security event tokens as transmitters push them (RFC 8935), on listeners that serve `signals`. Who sends them shows that first, then
// there must be room, and only then anything is read. Answered once the event is in the store, and acted on behind the answer. SPEC: SSF2
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Clock } from '../../runtime/clock.ts'
import type { Log } from '../../runtime/log.ts'
import { isSameSecret } from '../../runtime/same-secret.ts'
import { Doorway, reply, type Reply } from '../doorway.ts'
import { messageBody, type MessageForm } from '../message-body.ts'
import type { EventSource, EventSources } from './open-sources.ts'
import type { Receiver } from './receiver.ts'
import { refusal, type Received, type SetFault } from './refusals.ts'
import type { StreamNews } from './stream-news.ts'

type PushRoom = {
  readonly sources: () => EventSources
  readonly receiver: Pick<Receiver, 'receive'>
  readonly news: Pick<StreamNews, 'authorizationOf'>
  readonly clock: Pick<Clock, 'elapsed'>
  readonly log: Log
  readonly count: (source: string, event: string, outcome: 'refused' | 'busy' | 'failed' | 'unknown') => void
  readonly refused: (source: string, fault: SetFault, address: string) => void
}

const PATH = /^\/ssf\/events\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/
const FORM: MessageForm = { type: /^application\/secevent\+jwt$/i, bytes: 64 * 1024 }
const RETRY_AFTER = '5'

const LATER: Reply = { status: 503, headers: { 'retry-after': RETRY_AFTER }, json: null }
const UNKNOWN: Reply = { status: 404, headers: {}, json: null }
const NOT_POSTED: Reply = { status: 405, headers: { allow: 'POST' }, json: null }

function replyTo(received: Received): Reply {
  if (received.is !== 'refused') return { status: 202, headers: {}, json: null }
  const { err, description } = received
  return { status: err === 'authentication_failed' ? 401 : 400, headers: { 'content-language': 'en', ...(err === 'authentication_failed' ? { 'www-authenticate': 'Bearer' } : {}) }, json: { err, description } }
}

const FAULT_OF: ReadonlyMap<string, SetFault> = new Map<string, SetFault>([['content_type', 'content_type'], ['too_large', 'too_large'], ['timeout', 'timeout']])

export class PushDoor {
  readonly #room: PushRoom
  readonly #doorway: Doorway

  constructor(room: PushRoom) {
    this.#room = room
    this.#doorway = new Doorway(room.clock)
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const name = PATH.exec((request.url ?? '').split('?', 1)[0] ?? '')?.[1] ?? ''
    const answer = await this.#answer(name, request).catch((error: unknown) => this.#broke(name, error))
    reply(request, response, answer)
  }

  async #answer(name: string, request: IncomingMessage): Promise<Reply> {
    const { sources, count } = this.#room
    const source = sources().get(name)
    if (source?.settings.delivery !== 'push') {
      count('', '', 'unknown')
      return UNKNOWN
    }
    if (request.method !== 'POST') return NOT_POSTED
    const address = request.socket.remoteAddress ?? ''
    const known = this.#isKnown(source, request)
    if (known === 'unknown') return LATER
    if (known === 'no') return this.#refuse(name, 'unauthenticated', address)
    const entrance = this.#doorway.enter(source.settings, address, known)
    if (entrance.is === 'in') return this.#read(name, request, address).finally(entrance.leave)
    count(name, '', 'busy')
    return { status: 429, headers: { 'retry-after': String(entrance.wait) }, json: null }
  }

  async #read(name: string, request: IncomingMessage, address: string): Promise<Reply> {
    const body = await messageBody(request, FORM)
    if ('fault' in body) return this.#refuse(name, FAULT_OF.get(body.fault) ?? 'aborted', address)
    return replyTo(await this.#room.receiver.receive(name, body.toString('latin1'), address))
  }

  /** Whatever it is that a stream which is managed here was told to send: before that is known nobody is let in. */
  #isKnown({ settings: { name, manage }, authorization }: EventSource, { headersDistinct }: IncomingMessage): 'shown' | 'stranger' | 'no' | 'unknown' {
    const expected = authorization ?? (manage ? this.#room.news.authorizationOf(name) : '')
    if (expected === null) return 'unknown'
    if (expected === '') return 'stranger'
    const [shown, other] = headersDistinct['authorization'] ?? []
    return shown !== undefined && other === undefined && isSameSecret(shown, expected) ? 'shown' : 'no'
  }

  #refuse(name: string, fault: SetFault, address: string): Reply {
    this.#room.count(name, '', 'refused')
    this.#room.refused(name, fault, address)
    return replyTo(refusal(fault))
  }

  #broke(name: string, error: unknown): Reply {
    this.#room.count(name, '', 'failed')
    this.#room.log.warn({ source: name, cause: error instanceof Error ? error.message : String(error) }, 'a security event could not be taken; its transmitter tries again')
    return LATER
  }
}
