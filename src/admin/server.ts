// The life of an admin request: own origin, operation, token, role, body, route, record, answer. Nothing of the inside is ever answered.
// A break-glass token alarms at every use, whatever comes of it. SPEC: ADM3, ADM11-ADM15, ADM18, ADM22
import type { IncomingMessage, ServerResponse } from 'node:http'
import { NOBODY as NOBODY_KNOWN } from '../audit/record.ts'
import { newEvaluationId } from '../runtime/id.ts'
import type { Answer } from './answer.ts'
import { type OperationName, type Operation, OPERATIONS } from './contract.ts'
import { Directory } from './directory.ts'
import { EventStreams } from './event-stream.ts'
import { AdminFault } from './fault.ts'
import { assertOwnOrigin } from './origin.ts'
import { readBody } from './request-body.ts'
import { type Caller, mayDo } from './roles.ts'
import type { AdminRoom } from './room.ts'
import { type Found, route } from './router.ts'
import { type Call, type Desk, type Handler, UNSPECIFIED } from './routes/handler.ts'
import { HANDLERS } from './routes/table.ts'
import { send, sendFault } from './send.ts'

const NOBODY: Caller = { name: '', via: 'token', identity: '', roles: [], claims: {}, breakGlass: false }
const CHALLENGE = 'Bearer realm="narrowgate-admin"'

function unauthenticated(says: string, error = ''): AdminFault {
  return new AdminFault('unauthenticated', says, { headers: { 'www-authenticate': `${CHALLENGE}${error}` } })
}

function tokenOf(given: readonly string[]): string | null {
  const [, token] = /^Bearer +([\x21-\x7e]{1,16384})$/i.exec(given[0] ?? '') ?? []
  return given.length === 1 && token !== undefined ? token : null
}

function certifiedCaller({ authorizer }: AdminRoom, { socket }: IncomingMessage): Caller {
  const caller = authorizer.certified(socket)
  if (caller === 'none') throw unauthenticated('a token is required')
  if (caller === null) throw unauthenticated('the client certificate is nobody’s here, or does not count')
  return caller
}

/** By the one credential shown: a certificate is asked about only where no `Authorization` is there, whatever becomes of that. */
async function callerOf(room: AdminRoom, request: IncomingMessage): Promise<Caller> {
  const given = request.headersDistinct['authorization']
  if (given === undefined) return certifiedCaller(room, request)
  const token = tokenOf(given)
  if (token === null) throw unauthenticated('a token is required')
  const caller = await room.authorizer.identify(token)
  if (caller === null) throw unauthenticated('the token is not known or no longer counts', ', error="invalid_token"')
  return caller
}

/** Loud on purpose: the metric is what alarms are built on. */
function alarm(room: AdminRoom, { name, identity }: Caller, { name: operation }: Found, request: IncomingMessage): void {
  const target = (request.url ?? '').split('?', 1)[0] ?? ''
  room.metrics.breakGlass.inc()
  room.log.warn({ token: name, identity, operation, target }, 'a break-glass token was used')
  room.record(identity, 'break_glass.used', target, operation)
}

/** @throws AdminFault with every field that is wrong */
function parsed(schema: Operation['body'], value: unknown, what: string): unknown {
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const errors = result.error.issues.slice(0, 20).map(({ path, message }) => ({ field: path.join('.'), message }))
  const [first] = errors
  throw new AdminFault('bad_request', first === undefined ? `the ${what} is wrong` : `${first.field === '' ? `the ${what}` : first.field}: ${first.message}`, { more: { errors } })
}

async function callOf(desk: Desk, caller: Caller, found: Found, operation: Operation, request: IncomingMessage): Promise<Call<OperationName>> {
  const query = parsed(operation.query, found.query, 'query')
  const body = await readBody(request, operation.takes)
  const fields = operation.takes === 'yaml' ? { body: {}, text: body } : { body: parsed(operation.body, body, 'body'), text: '' }
  const call: unknown = { ...desk, caller, params: found.params, query, repeatKeys: request.headersDistinct['idempotency-key'] ?? [], ...fields }
  return call as Call<OperationName> // as the operation's own schemas and path made it
}

const TURNED_AWAY: ReadonlySet<AdminFault['code']> = new Set<AdminFault['code']>(['unauthenticated', 'forbidden', 'cross_origin'])

type Outcome = 'done' | 'refused' | 'failed'

class AdminServer {
  readonly #room: AdminRoom
  readonly #desk: Desk

  constructor(room: AdminRoom) {
    this.#room = room
    this.#desk = { room, directory: new Directory(room.mirror, room.store), streams: new EventStreams(room) }
  }

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      assertOwnOrigin(request)
      const found = route(request.method ?? '', request.url ?? '')
      send(request, response, await this.#answer(found, request), () => this.#stillCounts(request, OPERATIONS[found.name]))
    } catch (error) {
      if (error instanceof AdminFault && TURNED_AWAY.has(error.code)) this.#turnedAway(error, request)
      sendFault(request, response, error, this.#room.log)
    }
  }

  /** Whoever was not let in, or was and may not do that: counted, and on record with where it came from. */
  #turnedAway({ code }: AdminFault, { method = '', url = '', headers, socket: { remoteAddress = '' } }: IncomingMessage): void {
    const reason = code !== 'unauthenticated' ? 'denied' : headers.authorization === undefined ? 'no_credential' : 'credential_invalid'
    this.#room.metrics.operatorsRefused.inc({ why: code })
    this.#room.refused({ ...NOBODY_KNOWN, evaluation: newEvaluationId(), source: remoteAddress, method, host: '', path: url.split('?', 1)[0] ?? '', reason })
  }

  async #answer(found: Found, request: IncomingMessage): Promise<Answer> {
    const operation: Operation = OPERATIONS[found.name]
    const caller = operation.roles.length === 0 ? NOBODY : await callerOf(this.#room, request)
    if (caller.breakGlass) alarm(this.#room, caller, found, request)
    if (operation.method === 'GET') return this.#permitted(caller, found, operation, request)
    return this.#counted(found.name, this.#permitted(caller, found, operation, request))
  }

  async #permitted(caller: Caller, found: Found, operation: Operation, request: IncomingMessage): Promise<Answer> {
    if (operation.roles.length > 0 && !mayDo(caller, operation.roles)) throw new AdminFault('forbidden', `this needs the role ${operation.roles.join(' or ')}`)
    const call = await callOf(this.#desk, caller, found, operation, request)
    const handler = HANDLERS[found.name] as Handler<OperationName> // the handler of the very name the call was made for
    const answer = await handler(call)
    if (answer.is === 'json' && answer.changed !== null) this.#room.record(caller.identity, found.name, answer.changed, noteIn(call))
    return answer
  }

  async #counted(action: OperationName, answering: Promise<Answer>): Promise<Answer> {
    let outcome: Outcome = 'failed'
    try {
      const answer = await answering
      outcome = 'done'
      return answer
    } catch (error) {
      if (error instanceof AdminFault && error.status < 500) outcome = 'refused'
      throw error
    } finally {
      this.#room.metrics.operatorChanges.inc({ action, outcome })
    }
  }

  async #stillCounts(request: IncomingMessage, { roles }: Operation): Promise<boolean> {
    const caller = await callerOf(this.#room, request).catch(() => null) // nobody, for whatever reason
    return caller !== null && mayDo(caller, roles)
  }
}

const reasonIn = (part: object): string => ('reason' in part && typeof part.reason === 'string' ? part.reason : '')
const noteIn = ({ body, query }: Call<OperationName>): string => reasonIn(body) || reasonIn(query) || UNSPECIFIED

/** For a listener that serves `admin`. */
export function adminHandler(room: AdminRoom): (request: IncomingMessage, response: ServerResponse) => void {
  const server = new AdminServer(room)
  return (request, response) => void server.handle(request, response)
}
