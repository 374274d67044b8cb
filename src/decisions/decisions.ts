// The life of a request for decisions: place, who asks, what it may, body, question, decision, record. Only known callers are answered, and what cannot be decided
// is an error, never a denial that somebody might take for more than it is. SPEC: PDP1-PDP6
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import { NOBODY } from '../audit/record.ts'
import type { PdpServed } from '../config/compile/decisions.ts'
import type { Settings } from '../config/settings.ts'
import { newEvaluationId } from '../runtime/id.ts'
import { readStrictJson } from '../runtime/strict-json.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import { messageBody } from '../signals/message-body.ts'
import { givenOf, type Json, type Told, toldOf } from './answer.ts'
import { batchIn, evaluated } from './evaluations.ts'
import { DecisionFault, malformed } from './fault.ts'
import { Judge } from './judge.ts'
import { type Endpoint, isSearch, metadata, servedAt } from './metadata.ts'
import { type Pep, Peps } from './peps.ts'
import { isMembers, type Members, type Question, questionIn } from './question.ts'
import type { DecisionsRoom } from './room.ts'
import { searched } from './search.ts'

/** What one configuration's files hold; null where nobody is answered. */
export type OpenDecisions = { readonly served: PdpServed; readonly peps: Peps } | null
type Open = NonNullable<OpenDecisions>

const CHALLENGE = 'Bearer realm="narrowgate-decisions"'
const REQUEST_ID = /^[\x21-\x7e]{1,256}$/

/** @throws Error naming the file that is wrong */
export async function openDecisions({ decisions }: Pick<Settings, 'decisions'>): Promise<OpenDecisions> {
  const served = decisions?.pdp ?? null
  return served === null ? null : { served, peps: await Peps.open(served) }
}

async function membersOf(request: IncomingMessage): Promise<Members> {
  const bytes = await messageBody(request)
  if ('fault' in bytes) throw malformed(`the body cannot be taken: ${bytes.fault}`)
  const body = readStrictJson(bytes)
  if (body === undefined) throw malformed('the body is not JSON that has one reading')
  if (!isMembers(body)) throw malformed('the body must be an object')
  return body
}

/** What is told back of it; null where that is nothing to tell back. */
function echoOf({ headersDistinct }: IncomingMessage): { readonly [name: string]: string } | null {
  const [id, other] = headersDistinct['x-request-id'] ?? []
  if (id === undefined) return {}
  return other === undefined && REQUEST_ID.test(id) ? { 'x-request-id': id } : null
}

export class Decisions {
  readonly #room: DecisionsRoom
  readonly #judge: Judge
  #open: OpenDecisions

  constructor(open: OpenDecisions, room: DecisionsRoom) {
    this.#open = open
    this.#room = room
    this.#judge = new Judge(room)
  }

  /** Of another configuration. */
  take(open: OpenDecisions): void { this.#open = open }

  /** For a listener that serves `decisions`. */
  readonly handler: RequestListener = (request, response) => void this.#handle(request, response)

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const echoed = echoOf(request)
    try {
      if (echoed === null) throw malformed('X-Request-ID must be one text of at most 256 visible characters')
      send(request, response, 200, await this.#answer(request), echoed)
    } catch (error) {
      const fault = this.#asFault(error)
      if (fault.of === 'unauthenticated' || fault.of === 'forbidden') this.#turnedAway(fault, request)
      send(request, response, fault.status, fault.message, { ...echoed, ...fault.headers })
    }
  }

  async #answer(request: IncomingMessage): Promise<Json> {
    const open = this.#open
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    const at = open === null ? null : servedAt(open.served, path)
    if (open === null || at === null) throw new DecisionFault('not_found', 'nothing is served here')
    if (at === 'metadata') return this.#metadata(open, request)
    const pep = this.#callerOf(open, request)
    try {
      return await this.#permitted(open, pep, at, request)
    } catch (error) {
      const fault = this.#asFault(error)
      this.#room.metrics.decisions.inc({ pep: pep.settings.name, decision: 'error', reason: fault.of })
      throw fault
    }
  }

  #metadata({ served }: Open, { method }: IncomingMessage): Json {
    if (method !== 'GET' && method !== 'HEAD') throw new DecisionFault('method', 'only GET is answered here', { allow: 'GET' })
    return metadata(served)
  }

  #callerOf({ peps }: Open, request: IncomingMessage): Pep {
    const pep = peps.known(request, this.#room.keeper.clock.now())
    if (pep !== null && pep !== 'none') return pep
    this.#room.metrics.decisions.inc({ pep: '', decision: 'error', reason: 'unauthenticated' })
    throw new DecisionFault('unauthenticated', pep === 'none' ? 'a token or a certificate is required' : 'nobody who may ask is known by this', { 'www-authenticate': pep === 'none' ? CHALLENGE : `${CHALLENGE}, error="invalid_token"` })
  }

  async #permitted(open: Open, pep: Pep, endpoint: Endpoint, request: IncomingMessage): Promise<Json> {
    if (request.method !== 'POST') throw new DecisionFault('method', 'only POST is answered here', { allow: 'POST' })
    if (!pep.settings.may.has(isSearch(endpoint) ? 'search' : 'evaluate')) throw new DecisionFault('forbidden', 'you may not ask this')
    const body = await membersOf(request)
    if (isSearch(endpoint)) return this.#search(open, pep, endpoint, body)
    const batch = endpoint === 'evaluation' ? null : batchIn(body, open.served)
    this.#take(pep, batch?.questions.length ?? 1)
    return batch === null ? this.#told(open, pep, questionIn(body)) : { evaluations: await evaluated(batch, question => this.#askedOf(open, pep, question)) }
  }

  #take({ pace }: Pep, count: number): void {
    if (!pace.take(count, this.#room.keeper.clock.elapsed())) throw new DecisionFault('busy', 'too many decisions for now', { 'retry-after': '1' })
  }

  async #search({ served }: Open, pep: Pep, what: Parameters<typeof searched>[0], body: Members): Promise<Json> {
    this.#take(pep, 1)
    const asking = { pep: pep.settings, served }
    const holds = async (question: Question): Promise<boolean> => {
      pep.pace.owe(1) // at once: others that begin meanwhile, and one that fails, are to pay as well
      return (await this.#judge.asKnown(asking, question)).decision.effect === 'permit'
    }
    const told = await searched(what, body, { mirror: this.#room.keeper.mirror, forms: served.questions, holds })
    this.#room.metrics.decisions.inc({ pep: pep.settings.name, decision: 'search', reason: what })
    return told
  }

  /** One of several: what the store does not tell is that one's error. */
  async #askedOf(open: Open, pep: Pep, question: unknown): Promise<Told> {
    try {
      return await this.#told(open, pep, questionIn(question))
    } catch (error) {
      const fault = this.#asFault(error)
      this.#room.metrics.decisions.inc({ pep: pep.settings.name, decision: 'error', reason: fault.of })
      throw fault
    }
  }

  async #told({ served }: Open, { settings: pep }: Pep, question: Question): Promise<Told> {
    const judged = await this.#judge.judged({ pep, served }, question)
    const { decision } = judged
    const given = givenOf(pep.name, judged)
    if (given !== null) this.#room.trail.decisionGiven(given)
    this.#room.metrics.decisions.inc({ pep: pep.name, decision: decision.effect === 'permit' ? 'permit' : 'deny', reason: decision.effect === 'permit' ? '' : decision.reason })
    return toldOf(judged)
  }

  #asFault(error: unknown): DecisionFault {
    if (error instanceof DecisionFault) return error
    this.#room.log.error({ error: String(error) }, 'a decision for somebody else could not be taken')
    return error instanceof StoreFault ? new DecisionFault('unavailable', 'the session store does not answer') : new DecisionFault('failed', 'the gateway failed; see its log')
  }

  #turnedAway({ of }: DecisionFault, { method = '', url = '', headers, socket: { remoteAddress = '' } }: IncomingMessage): void {
    const reason = of === 'forbidden' ? 'denied' : headers.authorization === undefined ? 'no_credential' : 'credential_invalid'
    this.#room.refused({ ...NOBODY, evaluation: newEvaluationId(), source: remoteAddress, method, host: '', path: url.split('?', 1)[0] ?? '', reason })
  }
}

function send(request: IncomingMessage, response: ServerResponse, status: number, body: Json | string, more: { readonly [name: string]: string }): void {
  if (response.headersSent || response.destroyed) return
  request.resume() // what was not read is discarded, so that the answer is
  const bytes = Buffer.from(`${JSON.stringify(body)}\n`)
  const close = request.complete ? {} : { connection: 'close' }
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': bytes.length, 'cache-control': 'no-store', 'x-content-type-options': 'nosniff', ...close, ...more })
  response.end(request.method === 'HEAD' ? undefined : bytes)
}
