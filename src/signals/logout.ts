// /logout/<name>: logouts as an identity provider tells of them (OpenID Connect Back-Channel Logout 1.0), on listeners that serve `signals`. Each is news from
// outside of the session it names, or of all of the user. SPEC: LGO1, LGO2
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { LogoutSettings } from '../config/compile/ssf.ts'
import type { Member, OutsideEvent, Subject } from '../core/outside.ts'
import { openidKeys } from '../identity/event-keys.ts'
import { foldedName, isCanonicalName } from '../identity/canonical-name.ts'
import { type EventTokenFault, type LogoutToken, LogoutTokens } from '../identity/security-event-token.ts'
import type { Clock } from '../runtime/clock.ts'
import type { HttpClient } from '../runtime/http-client.ts'
import type { Log } from '../runtime/log.ts'
import { Doorway, reply, type Reply } from './doorway.ts'
import { messageBody, type MessageForm } from './message-body.ts'
import { keysInFile } from './ssf/open-sources.ts'
import type { Naming } from './ssf/subjects.ts'

type LogoutSource = { readonly settings: LogoutSettings; readonly tokens: LogoutTokens }
export type LogoutSources = ReadonlyMap<string, LogoutSource>

export type LogoutFault = EventTokenFault | 'content_type' | 'too_large' | 'timeout' | 'aborted' | 'form_malformed'
type Outcome = 'taken' | 'again' | 'refused' | 'untimely' | 'busy' | 'failed' | 'unknown'

type LogoutRoom = {
  readonly sources: () => LogoutSources
  readonly take: (event: OutsideEvent) => Promise<{ readonly is: 'taken' | 'again' }>
  readonly naming: Naming
  readonly clock: Clock
  readonly log: Log
  readonly count: (source: string, event: string, outcome: Outcome) => void
  readonly refused: (source: string, fault: LogoutFault, address: string) => void
}

const PATH = /^\/logout\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/
const FORM: MessageForm = { type: /^application\/x-www-form-urlencoded(?:\s*;\s*charset="?utf-8"?)?$/i, bytes: 64 * 1024 }

const DONE: Reply = { status: 200, headers: {}, json: null }
const LATER: Reply = { status: 503, headers: { 'retry-after': '5' }, json: null }
const UNKNOWN: Reply = { status: 404, headers: {}, json: null }
const NOT_POSTED: Reply = { status: 405, headers: { allow: 'POST' }, json: null }
const REFUSED: Reply = { status: 400, headers: {}, json: { error: 'invalid_request', error_description: 'this is no logout token that counts here' } }

/** @throws SecretFileError; then none is open */
export async function openLogouts(settings: ReadonlyMap<string, LogoutSettings>, tools: { readonly clock: Clock; readonly http: Pick<HttpClient, 'ask'>; readonly notice: (source: string, error: Error) => void }): Promise<LogoutSources> {
  const opened = [...settings].map(async ([name, one]) => {
    const keys = one.jwksFile === null ? openidKeys(one.issuer, { ...tools, notice: error => tools.notice(name, error) }) : await keysInFile(one.jwksFile)
    return [name, { settings: one, tokens: new LogoutTokens({ issuer: one.issuer, algorithms: one.algorithms, audience: () => one.audience }, keys, tools.clock) }] as const
  })
  return new Map(await Promise.all(opened))
}

/** The one token of a form; null where there is none, or several. */
function tokenIn(body: Buffer): string | null {
  const [token, other] = new URLSearchParams(body.toString('latin1')).getAll('logout_token')
  return token === undefined || other !== undefined ? null : token
}

/** A session by what its issuer calls it, and its user where that is named; else all sessions of the user. */
function subjectIn({ sub, sid }: LogoutToken, { issuer }: LogoutSettings, { alias, folds }: Naming): Subject {
  const session: readonly Member[] = sid === null ? [] : [{ of: 'session', any: [{ kind: 'alias', value: alias('sid', issuer, sid) }] }]
  const spelled = sub === null || !folds(issuer) ? sub : foldedName(sub)
  const user: readonly Member[] = sub === null ? [] : [{ of: 'user', any: isCanonicalName(spelled) ? [{ kind: 'subject', value: `${issuer}|${spelled}` }] : [] }]
  return [...session, ...user]
}

export class LogoutDoor {
  readonly #room: LogoutRoom
  readonly #doorway: Doorway

  constructor(room: LogoutRoom) {
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
    if (source === undefined) {
      count('', 'logout', 'unknown')
      return UNKNOWN
    }
    if (request.method !== 'POST') return NOT_POSTED
    const address = request.socket.remoteAddress ?? ''
    const entrance = this.#doorway.enter(source.settings, address, 'stranger')
    if (entrance.is === 'in') return this.#read(source, request, address).finally(entrance.leave)
    count(name, 'logout', 'busy')
    return { status: 429, headers: { 'retry-after': String(entrance.wait) }, json: null }
  }

  async #read(source: LogoutSource, request: IncomingMessage, address: string): Promise<Reply> {
    const { settings, tokens } = source
    const body = await messageBody(request, FORM)
    if ('fault' in body) return this.#refuse(settings.name, body.fault === 'content_type' || body.fault === 'too_large' || body.fault === 'timeout' ? body.fault : 'aborted', address)
    const text = tokenIn(body)
    if (text === null) return this.#refuse(settings.name, 'form_malformed', address)
    const token = await tokens.read(text)
    if (token.is === 'logout') return this.#take(settings, token)
    if (token.fault !== 'keys_unavailable') return this.#refuse(settings.name, token.fault, address)
    this.#room.count(settings.name, 'logout', 'untimely')
    return LATER
  }

  async #take(settings: LogoutSettings, token: LogoutToken): Promise<Reply> {
    const { name: source, issuer, effects, most, notify } = settings
    const { take, clock, naming, count } = this.#room
    const event: OutsideEvent = {
      source, issuer, jti: token.jti, type: 'logout', at: token.at, takenAt: clock.now(), subject: subjectIn(token, settings, naming), effects, order: null, most, notify, note: 'logged out at the identity provider',
    }
    const { is } = await take(event)
    count(source, 'logout', is)
    return DONE
  }

  #refuse(name: string, fault: LogoutFault, address: string): Reply {
    this.#room.count(name, 'logout', 'refused')
    this.#room.refused(name, fault, address)
    return REFUSED
  }

  #broke(name: string, error: unknown): Reply {
    this.#room.count(name, 'logout', 'failed')
    this.#room.log.warn({ source: name, cause: error instanceof Error ? error.message : String(error) }, 'a logout could not be taken')
    return LATER
  }
}
