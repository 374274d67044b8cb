// An admin server on a loopback port over a real ledger, mirror and embedded store; open exchanges are real ones without sockets.
// The clock is moved by hand; what the trail would be told is kept in a list. For tests only.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, request as httpRequest, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Authorizer } from '../../src/admin/authorize.ts'
import { entryFor, newToken } from '../../src/admin/first-token.ts'
import type { Role } from '../../src/admin/roles.ts'
import type { AdminRoom, GatewayEvent } from '../../src/admin/room.ts'
import { adminHandler } from '../../src/admin/server.ts'
import { load } from '../../src/config/load.ts'
import { processEnvironment } from '../../src/config/source.ts'
import { NOT_BOUND } from '../../src/core/binding.ts'
import type { Claims, Principal } from '../../src/core/principal.ts'
import { NOT_RISKED } from '../../src/core/risk.ts'
import { evaluate } from '../../src/core/evaluate.ts'
import type { Policy } from '../../src/core/policy.ts'
import type { Refused } from '../../src/audit/record.ts'
import { sessionRef } from '../../src/core/record.ts'
import { placeOf, routeOf } from '../../src/core/route.ts'
import type { SessionId, SessionKey } from '../../src/core/session.ts'
import { after, duration, FOREVER, type Instant, instant } from '../../src/core/time.ts'
import { type Channel, caseOf, Exchange, type GateKeeper, type Inquiry } from '../../src/enforcement/exchange.ts'
import { Inflight } from '../../src/enforcement/inflight.ts'
import { reachOf } from '../../src/enforcement/reach.ts'
import { Reassessor } from '../../src/enforcement/reassess.ts'
import { aliasing } from '../../src/identity/aliases.ts'
import { SessionTokens } from '../../src/identity/session-tokens.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { newExchangeId, newSessionId } from '../../src/runtime/id.ts'
import { supposedCall } from '../../src/proxy/describe/supposed-call.ts'
import { describeTarget } from '../../src/proxy/describe/target.ts'
import { openLog } from '../../src/runtime/log.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import { openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { Intake } from '../../src/signals/intake.ts'
import { Inbox } from '../../src/signals/outside/inbox.ts'
import { PLAIN_CONTEXT } from '../support/plain.ts'

const NOON = 1_800_000_000_000

class HandClock implements Clock {
  #now = NOON
  now(): Instant { return instant(this.#now) }
  elapsed(): number { return this.#now - NOON }
  advance(ms: number): void { this.#now += ms }
}

export const CONFIG = `
version: 1
stateDir: /nowhere
authn:
  login: { jwt: { issuer: https://idp.test, audience: narrowgate }, kind: agent }
sessions:
  baseline: [{ scopes: [base:read] }]
purposes:
  ticket: { header: X-Ticket, source: manual }
routes:
  - name: api
    match: { host: api.test }
    upstream: http://api:8080
    rules:
      - allow: { methods: [GET] }
        scope: base:read
      - allow: { methods: [POST] }
        scope: base:write
identities:
  - [ 'https://idp.test|dana', 'corp|dana' ]
elevations:
  fix: { adds: [base:write], for: 15m, max: 1h }
  ticketed: { adds: [base:write], for: 15m, max: 1h, purpose: [ticket] }
  approved: { adds: [base:write, base:admin], for: 15m, max: 1h, approval: { by: approver, within: 10m } }
  closed: { adds: [base:admin], for: 5m, eligible: subject.claims.team == "core" }
`

export function policyOf(text: string): Policy {
  const loaded = load(text, 'test.yaml', processEnvironment('/'))
  if (!loaded.ok) throw new Error(loaded.problems.map(({ line, message }) => `${line}: ${message}`).join('\n'))
  return loaded.settings.policy
}

export type Answer = { readonly status: number; readonly headers: IncomingMessage['headers']; readonly text: string; readonly json: Record<string, unknown> }
export type Asked = { readonly token?: string | null; readonly headers?: Readonly<Record<string, string>>; readonly raw?: string }
export type Recorded = { readonly who: string; readonly action: string; readonly target: string; readonly note: string }

const channel: Channel = { status: 200, freeze: () => {}, resume: () => {}, cut: () => {}, tick: () => {} }
const witness = { regranted: () => {}, frozen: () => {}, resumed: () => {}, finishing: () => {}, cut: () => {} }

export type Plan = { /** Default `:memory:`. */ readonly file?: string; readonly wrapStore?: (store: SessionStore) => SessionStore; readonly room?: (room: AdminRoom) => AdminRoom }

export class AdminDesk {
  readonly clock = new HandClock()
  readonly directory = mkdtempSync(join(tmpdir(), 'ng-admin-'))
  readonly tokenFile = join(this.directory, 'tokens.json')
  readonly breakGlassFile = join(this.directory, 'break-glass.json')
  readonly metrics = new Metrics()
  readonly records: Recorded[] = []
  readonly refusals: Refused[] = []
  /** What is known of scores, by session, and what was told of them. */
  readonly views = new Map<string, NonNullable<ReturnType<AdminRoom['risk']['view']>>>()
  readonly scores: Parameters<AdminRoom['risk']['told']>[] = []
  readonly listeners = new Set<(event: GatewayEvent) => void>()
  readonly closing = new AbortController()
  readonly inflight = new Inflight()
  readonly policy = policyOf(CONFIG)
  readonly tokens: { readonly [R in Role]: string } = { viewer: newToken(), approver: newToken(), operator: newToken(), broker: newToken(), admin: newToken() }
  readonly breakGlass = newToken()
  readonly store: SessionStore
  readonly mirror: Mirror
  readonly ledger: Ledger
  readonly #keeper: GateKeeper
  readonly #server
  ready = true

  static async open(plan: Plan = {}): Promise<AdminDesk> {
    const desk = new AdminDesk(plan)
    desk.mirror.onSurvey = selector => reachOf(selector, desk.mirror, desk.inflight, desk.clock.now())
    await desk.mirror.start()
    desk.#server.listen(0, '127.0.0.1')
    await once(desk.#server, 'listening')
    return desk
  }

  private constructor({ file = ':memory:', wrapStore = store => store, room = made => made }: Plan) {
    this.store = wrapStore(openEmbeddedStore({ file, clock: this.clock, ephemeral: true }))
    this.mirror = new Mirror(this.store, this.policy, 1_000)
    this.ledger = new Ledger(this.store, this.mirror, this.clock)
    this.#keeper = { clock: this.clock, mirror: this.mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
    const reassessor = new Reassessor(this.#keeper, this.inflight, witness)
    this.mirror.onChange = change => reassessor.changed(change)
    this.mirror.onAnnounced = ({ position, ref, record, facts }) => {
      for (const listener of this.listeners) for (const fact of facts) listener({ event: 'fact', position, record: ref, session: record.record === 'session' ? record.id : null, fact })
    }
    this.writeTokens()
    writeFileSync(this.breakGlassFile, JSON.stringify({ tokens: [{ ...entryFor(this.breakGlass, 'glass', ['operator'], 'emergency|oncall'), expires: undefined }] }))
    this.#server = createServer(adminHandler(room(this.#room())))
  }

  /** A token file with one token for each role; identities are `corp|<role>`. */
  writeTokens(changes: Readonly<Record<string, object>> = {}): void {
    const tokens = Object.entries(this.tokens).map(([role, token]) => ({ ...entryFor(token, role, [role as Role], `corp|${role}`), expires: undefined, ...changes[role] })) // keys are roles
    writeFileSync(this.tokenFile, JSON.stringify({ tokens }))
  }

  #room(): AdminRoom {
    const log = openLog('silent')
    const risk = { told: (...words: Parameters<AdminRoom['risk']['told']>): void => void this.scores.push(words) }
    return {
      inbox: new Inbox({ ledger: this.ledger, store: this.store, mirror: this.mirror, clock: this.clock, risk, witness: { acted: () => {}, failed: () => {}, full: () => {}, unread: () => {} } }),
      naming: { alias: aliasing(Buffer.alloc(32, 7)), folds: issuer => issuer === null || issuer === 'https://people.test' },
      risk: { view: live => this.views.get(live.record.id) ?? null, viewOfPrincipal: () => null, watched: () => [], ...risk }, describeTarget, describeCall: supposedCall,
      intake: new Intake(this.ledger, this.store, this.clock, () => undefined), mirror: this.mirror, store: this.store, inflight: this.inflight, metrics: this.metrics, clock: this.clock, log, lookUp: ref => this.mirror.anchor(ref), unreviewed: () => 0, objection: async () => null, closing: this.closing.signal,
      authorizer: new Authorizer({ tokenFile: this.tokenFile, breakGlassTokenFile: this.breakGlassFile, first: null }, { clock: this.clock, log }),
      sessionTokens: new SessionTokens(Buffer.alloc(32, 7)), vouchedIssuer: issuer => issuer === 'https://idp.test', foldsSubjects: issuer => issuer === null || issuer === 'https://people.test',
      config: {
        current: () => ({ digest: this.policy.digest, loadedAt: instant(NOON), file: 'gateway.yaml', warnings: [] }),
        validate: text => this.#checked(text),
        reload: async () => ({ ...this.#checked(CONFIG), digest: this.policy.digest }),
      },
      timeline: async () => ({ session: null, gap: null, lines: [], left: 0 }), trailSoFar: async () => [],
      refused: refused => void this.refusals.push(refused),
      record: (who, action, target, note) => void this.records.push({ who, action, target, note }),
      head: () => ({ file: 'trail.jsonl', seq: 7, hash: 'abc' }), trailFile: '/nowhere/trail.jsonl',
      ready: () => ({ ok: this.ready, checks: { store: this.ready ? 'ok' : 'gone' } }),
      events: { subscribe: listener => { this.listeners.add(listener); return () => void this.listeners.delete(listener) } },
    }
  }

  #checked(text: string) {
    const loaded = load(text, 'sent', processEnvironment('/'))
    return loaded.ok ? { errors: [], warnings: loaded.warnings } : { errors: loaded.problems, warnings: [] }
  }

  get port(): number { return (this.#server.address() as AddressInfo).port } // it listens on a port

  async close(): Promise<void> {
    this.closing.abort()
    this.#server.close()
    this.#server.closeAllConnections()
    await this.ledger.settled()
    await this.store.close()
    rmSync(this.directory, { recursive: true, force: true })
  }

  /** Opens a session as a first request would, and shows its claims unless they are null. */
  async session(name: string, claims: Claims | null = {}): Promise<LiveSession> {
    const now = this.clock.now()
    const key = `key-${name}` as SessionKey // a test word
    const session: SessionId = newSessionId()
    const principal: Principal = { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: name, client: 'cli', owner: null, actor: null }
    const credential = { id: `cred-${name}`, keyId: null, issuedAt: now, expiresAt: after(now, duration(8 * 3_600_000)) }
    await this.ledger.applyToSession(key, { kind: 'session.opened', key, session, epoch: this.store.epochOf(sessionRef(key)), principal, credential, endsAt: after(now, duration(8 * 3_600_000)), bindings: NOT_BOUND, aliases: [], brokered: null, id: `sig_${name}` as never, by: 'test', note: '' }) // a test word
    const live = await this.mirror.load(key)
    if (live === null) throw new Error('the session was not opened')
    if (claims !== null) this.mirror.learn(live, claims, { ...credential, provider: 'login', fingerprint: 'f', credential: credential.id, issuer: principal.issuer, keyThumbprint: null, device: null, claimed: {} })
    return live
  }

  /** Something open, judged and registered as `admit` would; null when the judge refuses. */
  exchange(live: LiveSession, method: string, ticket: string | null = null): Exchange | null {
    const now = this.clock.now()
    const resource = { host: 'api.test', path: '/things', segments: ['things'], query: '' }
    const route = routeOf(this.policy.table, resource)
    if (typeof route === 'string') throw new Error(route)
    const evidence = { provider: 'login', fingerprint: 'f', credential: live.record.credential.id, issuer: live.record.principal.issuer, keyId: null, issuedAt: live.record.credential.issuedAt, expiresAt: live.record.credential.expiresAt, keyThumbprint: null, device: null, claimed: {} }
    const evaluation = { evidence, action: { method, upgrade: null, call: null }, resource, context: { protocol: 'http', source: '127.0.0.1', secure: false, workload: null, certified: null, purposes: ticket === null ? {} : { ticket }, ...PLAIN_CONTEXT, headers: [] } } as const
    const inquiry: Inquiry = { id: newExchangeId(), policy: this.policy, place: placeOf(route, evaluation.action, resource), evaluation, live, claims: live.claims ?? {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
    const decision = evaluate(caseOf(inquiry, this.#keeper, now, null))
    if (decision.effect === 'refuse') return null
    const exchange = new Exchange(inquiry, decision, channel, this.#keeper, now)
    this.inflight.add(exchange)
    return exchange
  }

  /** @param role whose token is shown; `token` in the options overrides it */
  async ask(role: Role, method: string, path: string, body: unknown = null, { token = this.tokens[role], headers = {}, raw }: Asked = {}): Promise<Answer> {
    const text = raw ?? (body === null ? '' : JSON.stringify(body))
    const sent = httpRequest({ host: '127.0.0.1', port: this.port, method, path, agent: false, headers: {
      ...(token === null ? {} : { authorization: `Bearer ${token}` }), ...(text === '' ? {} : { 'content-type': 'application/json', ...(headers['transfer-encoding'] === undefined ? { 'content-length': String(Buffer.byteLength(text)) } : {}) }), ...headers,
    } })
    sent.on('error', () => {}) // a refusal of a large body may end the upload
    sent.end(text)
    const [response] = (await once(sent, 'response')) as [IncomingMessage] // what this event carries
    const chunks: Buffer[] = []
    for await (const chunk of response as AsyncIterable<Buffer>) chunks.push(chunk) // without an encoding chunks are Buffers
    const answered = Buffer.concat(chunks).toString()
    return { status: response.statusCode ?? 0, headers: response.headers, text: answered, json: answered.startsWith('{') ? (JSON.parse(answered) as Record<string, unknown>) : {} } // an object by its first letter
  }

  /** An approver's word on a request as it is now. */
  async approve(path: string, body: object = {}, role: Role = 'approver'): Promise<Answer> {
    const { shown } = (await this.operate('GET', path)).json
    return this.ask(role, 'POST', `${path}/approve`, { shown, reason: 'looked at it', ...body })
  }

  operate(method: string, path: string, body: unknown = null): Promise<Answer> { return this.ask('operator', method, path, body) }
}
