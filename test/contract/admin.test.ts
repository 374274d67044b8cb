// The admin API through real HTTP: who may do what, what a verb does to what is open, and what is never answered.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { entryFor, newToken } from '../../src/admin/first-token.ts'
import { type OperationName, OPERATION_NAMES, OPERATIONS, type Operation } from '../../src/admin/contract.ts'
import { LISTENERS_MAX } from '../../src/admin/event-stream.ts'
import { enforcedAnswer } from '../../src/admin/contract-schemas.ts'
import type { Role } from '../../src/admin/roles.ts'
import type { AdminRoom } from '../../src/admin/room.ts'
import type { Policy } from '../../src/core/policy.ts'
import { duration } from '../../src/core/time.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { Intake } from '../../src/signals/intake.ts'
import { AdminDesk, type Plan } from './admin-desk.ts'

const open: AdminDesk[] = []
/** Folders that outlive a desk. */
const kept: string[] = []
const opened = async (plan: Plan = {}): Promise<AdminDesk> => {
  const desk = await AdminDesk.open(plan)
  open.push(desk)
  return desk
}
afterEach(async () => {
  for (const desk of open.splice(0)) await desk.close()
  for (const directory of kept.splice(0)) rmSync(directory, { recursive: true, force: true })
})

const NOBODY = 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa'
const pathOf = (name: OperationName): string => OPERATIONS[name].path.replace('{kind}', 'ticket').replaceAll(/\{\w+\}/g, NOBODY)
const NONE = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }

/** Asks for an elevation and expects it. */
async function elevated(desk: AdminDesk, session: string, profile: string, more: object = {}): Promise<string> {
  const { status, json, text } = await desk.operate('POST', '/v1/elevations', { session, profile, reason: 'INC-1', ...more })
  expect([201, 202], text).toContain(status)
  return String(json['id'])
}

describe('who may do what', () => {
  /** Written out by hand: the contract must not be its own proof. */
  const CHANGES: Readonly<Record<string, readonly Role[]>> = {
    'session.open': ['broker'], 'session.complete': ['operator', 'admin', 'broker'],
    'session.narrow': ['operator', 'admin'], 'session.widen': ['operator', 'admin'], 'session.freeze': ['operator', 'admin'], 'session.resume': ['operator', 'admin'],
    'session.terminate': ['operator', 'admin'], 'session.shorten': ['operator', 'admin'], 'lock.set': ['operator', 'admin'], 'lock.lift': ['operator', 'admin'], 'signal.tell': ['operator', 'admin'], 'anchor.word': ['operator', 'admin'],
    'config.validate': ['operator', 'admin'], 'config.reload': ['operator', 'admin'], 'elevation.request': ['operator', 'admin', 'broker'], 'elevation.withdraw': ['operator', 'admin', 'broker'],
    'elevation.release': ['operator', 'admin', 'broker'], 'elevation.extend': ['operator', 'admin', 'broker', 'approver'], 'elevation.approve': ['approver', 'operator', 'admin'], 'tool.accept': ['operator', 'admin'], 'window.override': ['operator', 'admin'], 'window.restore': ['operator', 'admin'], 'review.give': ['approver'],
    'session.clearTaints': ['operator', 'admin'],
    'principal.clear': ['operator', 'admin'], 'principal.score': ['operator', 'admin', 'broker'], 'explain': ['viewer', 'approver', 'operator', 'broker', 'admin'],
    'stepUp.approve': ['approver', 'operator', 'admin'], 'stepUp.deny': ['approver', 'operator', 'admin'],
    'elevation.deny': ['approver', 'operator', 'admin'], 'elevation.revoke': ['approver', 'operator', 'admin'],
  }

  test('[ADM18] without a token nothing is answered but health', async () => {
    const desk = await opened()
    for (const name of OPERATION_NAMES) {
      const { method }: Operation = OPERATIONS[name]
      const { status, headers } = await desk.ask('viewer', method, pathOf(name), null, { token: null })
      expect([name, status]).toEqual([name, name.startsWith('health.') ? 200 : 401])
      if (status === 401) expect(headers['www-authenticate']).toMatch(/^Bearer /)
    }
  })

  test('[ADM18, ADM22] whoever is not let in, or may not do that, is counted and on record with where it came from, and its token is not', async () => {
    const desk = await opened()
    const stranger = `nga_${'x'.repeat(43)}`
    for (const token of [null, stranger]) expect((await desk.ask('viewer', 'GET', '/v1/sessions?limit=1', null, { token })).status).toBe(401)
    expect((await desk.ask('viewer', 'POST', '/v1/locks', { selector: { all: true } })).status).toBe(403)
    expect((await desk.ask('viewer', 'GET', '/v1/sessions', null)).status).toBe(200)
    expect(desk.refusals.map(({ reason, method, path, source }) => [reason, method, path, source])).toEqual([
      ['no_credential', 'GET', '/v1/sessions', '127.0.0.1'], ['credential_invalid', 'GET', '/v1/sessions', '127.0.0.1'], ['denied', 'POST', '/v1/locks', '127.0.0.1'],
    ])
    expect(JSON.stringify(desk.refusals)).not.toContain(stranger)
    expect((await desk.metrics.operatorsRefused.get()).values.map(({ labels, value }) => [labels['why'], value])).toEqual([['unauthenticated', 2], ['forbidden', 1]])
  })

  test('[ADM18] each role does what is its own and reads the rest', async () => {
    const desk = await opened()
    const changes = OPERATION_NAMES.filter(name => OPERATIONS[name].method !== 'GET')
    expect(changes.toSorted()).toEqual(Object.keys(CHANGES).toSorted())
    for (const role of ['viewer', 'approver', 'operator', 'broker', 'admin'] as const) {
      for (const name of changes) {
        const { status } = await desk.ask(role, OPERATIONS[name].method, pathOf(name), null)
        expect([role, name, status === 403]).toEqual([role, name, CHANGES[name]?.includes(role) !== true])
      }
      for (const name of OPERATION_NAMES.filter(each => OPERATIONS[each].method === 'GET' && each !== 'event.watch')) expect([role, name, (await desk.ask(role, 'GET', pathOf(name))).status >= 401 && (await desk.ask(role, 'GET', pathOf(name))).status <= 403]).toEqual([role, name, false])
    }
  })

  test('[ADM11] a token counts until it expires, and is read again from the file within a second', async () => {
    const desk = await opened()
    expect((await desk.operate('GET', '/v1/sessions')).status).toBe(200)
    expect((await desk.ask('viewer', 'GET', '/v1/sessions', null, { token: newToken() })).status).toBe(401)
    desk.writeTokens({ operator: { expires: new Date(desk.clock.now() + 5_000).toISOString() } })
    desk.clock.advance(1_000)
    expect((await desk.operate('GET', '/v1/sessions')).status).toBe(200)
    desk.clock.advance(4_000)
    expect((await desk.operate('GET', '/v1/sessions')).status).toBe(401)
    desk.writeTokens()
    expect((await desk.operate('GET', '/v1/sessions')).status).toBe(401)
    desk.clock.advance(1_000)
    expect((await desk.operate('GET', '/v1/sessions')).status).toBe(200)
  })

  test('[ADM11] two Authorization headers, another scheme or a cut-off token are nobody', async () => {
    const desk = await opened()
    for (const authorization of [`Basic ${desk.tokens.operator}`, `Bearer ${desk.tokens.operator.slice(0, -1)}`, `Bearer ${desk.tokens.operator} `, `bearer`, `Bearer ${desk.tokens.operator},x`]) {
      const { status } = await desk.ask('operator', 'GET', '/v1/sessions', null, { token: null, headers: { authorization } })
      expect([authorization.slice(0, 8), status]).toEqual([authorization.slice(0, 8), authorization.endsWith(' ') ? 200 : 401]) // HTTP strips the blank at the end
    }
  })

  test('[ADM14] a break-glass token works beside a broken token file, and every use alarms, reads too', async () => {
    const desk = await opened()
    writeFileSync(desk.tokenFile, '{')
    expect((await desk.operate('GET', '/v1/sessions')).status).toBe(401)
    const { id } = (await desk.session('a')).record
    for (const [method, path] of [['GET', '/v1/sessions'], ['POST', `/v1/sessions/${id}/terminate`], ['POST', `/v1/sessions/${NOBODY}/terminate`]] as const) await desk.ask('viewer', method, path, null, { token: desk.breakGlass })
    expect((await desk.metrics.breakGlass.get()).values[0]?.value).toBe(3)
    expect(desk.records.filter(({ action }) => action === 'break_glass.used').map(({ who, target }) => [who, target])).toEqual([
      ['emergency|oncall', '/v1/sessions'], ['emergency|oncall', `/v1/sessions/${id}/terminate`], ['emergency|oncall', `/v1/sessions/${NOBODY}/terminate`],
    ])
  })

  test('[ADM14] every change is on record with who, what, whom and why; what was refused or changed nothing is not', async () => {
    const desk = await opened()
    const { id } = (await desk.session('a')).record
    await desk.operate('POST', `/v1/sessions/${id}/freeze`, { reason: 'odd traffic' })
    await desk.operate('POST', `/v1/sessions/${id}/freeze`)
    await desk.operate('POST', `/v1/sessions/${NOBODY}/freeze`)
    await desk.operate('POST', `/v1/sessions/${id}/terminate`)
    expect(desk.records).toEqual([
      { who: 'corp|operator', action: 'session.freeze', target: id, note: 'odd traffic' },
      { who: 'corp|operator', action: 'session.terminate', target: id, note: 'unspecified' },
    ])
    const counted = (await desk.metrics.operatorChanges.get()).values.map(({ labels, value }) => `${Object.values(labels).join(' ')} ${value}`)
    expect(counted).toEqual(['session.freeze done 2', 'session.freeze refused 1', 'session.terminate done 1'])
  })
})

describe('the six verbs', () => {
  test('[ADM3] narrow without a word or a reason cuts what stood on an elevation and nothing else, and says so', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    await elevated(desk, live.record.id, 'fix')
    const [baseline, onElevation] = [desk.exchange(live, 'GET'), desk.exchange(live, 'POST')]
    const { status, json } = await desk.operate('POST', `/v1/sessions/${live.record.id}/narrow`)
    expect(status).toBe(200)
    expect(json).toMatchObject({ enforced: true, durable: true, reasonMissing: true, version: live.record.version, gateways: { total: 1, acknowledged: 1, expired: 0 }, exchanges: { ...NONE, continued: 1, cut: 1 }, exchangesUnknown: 0 })
    expect([baseline?.state, onElevation?.state]).toEqual(['open', 'ended'])
    expect(desk.exchange(live, 'POST')).toBeNull()
    expect((await desk.operate('POST', `/v1/sessions/${live.record.id}/widen`, { reason: 'over' })).json['reasonMissing']).toBeUndefined()
    expect(desk.exchange(live, 'POST')).not.toBeNull()
  })

  test('[ADM3] narrow to scopes caps the baseline too; naming elevations suspends only those', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const [fix, other] = [await elevated(desk, live.record.id, 'fix'), await elevated(desk, live.record.id, 'fix')]
    await desk.operate('POST', `/v1/sessions/${live.record.id}/narrow`, { to: ['base:write'], reason: 'x' })
    expect([desk.exchange(live, 'GET'), desk.exchange(live, 'POST') === null]).toEqual([null, false])
    await desk.operate('POST', `/v1/sessions/${live.record.id}/widen`, { reason: 'x' })
    await desk.operate('POST', `/v1/sessions/${live.record.id}/narrow`, { elevations: [fix], reason: 'x' })
    const { json } = await desk.operate('GET', `/v1/sessions/${live.record.id}`)
    expect(json['cap']).toEqual({ is: 'none' })
    expect(json['barred']).toEqual(['fix'])
    expect((json['elevations'] as { id: string; state: string }[]).map(({ id, state }) => [id === fix || id === other, state])).toEqual([[true, 'suspended'], [true, 'suspended']]) // the body is JSON
    expect(desk.exchange(live, 'GET')).not.toBeNull()
  })

  test('[ADM3] freeze holds what is open and ends as a revocation after the configured time; resume needs a reason', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const exchange = desk.exchange(live, 'GET')
    const { json } = await desk.operate('POST', `/v1/sessions/${live.record.id}/freeze`, { for: '10m' })
    expect(json['exchanges']).toEqual({ ...NONE, frozen: 1 })
    expect([exchange?.state, live.record.frozen?.until]).toEqual(['frozen', desk.clock.now() + 600_000])
    expect((await desk.operate('POST', `/v1/sessions/${live.record.id}/resume`)).status).toBe(400)
    expect(exchange?.state).toBe('frozen')
    expect((await desk.operate('POST', `/v1/sessions/${live.record.id}/resume`, { reason: 'false alarm' })).status).toBe(200)
    expect(exchange?.state).toBe('open')
    await desk.operate('POST', `/v1/sessions/${live.record.id}/freeze`)
    expect(live.record.frozen?.until).toBe(desk.clock.now() + desk.policy.sessions.frozenFor)
  })

  test('[ADM3] terminate cuts everything, twice is once, and what is over can not be widened', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const exchange = desk.exchange(live, 'GET')
    const { json } = await desk.operate('POST', `/v1/sessions/${live.record.id}/terminate`, { reason: 'leak' })
    expect(json).toMatchObject({ enforced: true, exchanges: { ...NONE, cut: 1 } })
    expect(exchange?.state).toBe('ended')
    expect((await desk.operate('POST', `/v1/sessions/${live.record.id}/terminate`)).json).toMatchObject({ enforced: true, exchanges: NONE, gateways: { total: 0 } })
    const { status, json: problem } = await desk.operate('POST', `/v1/sessions/${live.record.id}/widen`, { reason: 'x' })
    expect([status, problem['reason']]).toEqual([409, 'session_ended'])
  })

  test('[ADM3] shorten moves the end nearer, never further, and wants exactly one end', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const path = `/v1/sessions/${live.record.id}/shorten`
    await desk.operate('POST', path, { for: '1h' })
    expect(live.record.endsAt).toBe(desk.clock.now() + 3_600_000)
    await desk.operate('POST', path, { endsAt: new Date(desk.clock.now() + 7_200_000).toISOString() })
    expect(live.record.endsAt).toBe(desk.clock.now() + 3_600_000)
    for (const body of [{}, { for: '1h', endsAt: new Date(desk.clock.now()).toISOString() }]) expect((await desk.operate('POST', path, body)).status).toBe(400)
  })

  test('[ADM3] a verb finds a session that is not in memory, and 404 is for one that never was', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ng-admin-'))
    kept.push(directory)
    const before = await AdminDesk.open({ file: join(directory, 'store.db') })
    const { record: { id } } = await before.session('a')
    await before.close()
    const desk = await opened({ file: join(directory, 'store.db') })
    expect(desk.mirror.size).toBe(0)
    expect((await desk.operate('GET', '/v1/sessions')).json['sessions']).toMatchObject([{ id, state: 'live' }])
    expect((await desk.operate('POST', `/v1/sessions/${id}/terminate`)).json).toMatchObject({ enforced: true })
    expect((await desk.operate('GET', `/v1/sessions/${id}`)).json).toMatchObject({ state: 'revoked', reason: 'revoked' })
    expect((await desk.operate('POST', `/v1/sessions/${NOBODY}/terminate`)).status).toBe(404)
  })

  /** A store that takes nothing away any more. */
  const failing = (store: SessionStore): SessionStore => new Proxy(store, {
    get: (target, name): unknown => {
      const value: unknown = Reflect.get(target, name, target)
      if (name === 'commitRestrictive') return () => Promise.reject(new StoreFault('unreachable', 'the disk is gone'))
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
  /** As it is where gateways share the store. */
  const shared = (made: AdminRoom): AdminRoom => {
    const { store, mirror, clock } = made
    const policy = (): Policy => ({ ...mirror.policy, routes: mirror.policy.routes.map(route => ({ ...route, staleness: duration(5_000) })) })
    return { ...made, intake: new Intake(new Ledger(store, mirror, clock), store, clock, () => undefined, { lease: duration(1_000), policy }) }
  }

  test('[ADM3] a store that fails does not stop what takes away: 202, in force here, and not durable', async () => {
    const desk = await opened({ wrapStore: failing })
    const live = await desk.session('a')
    const exchange = desk.exchange(live, 'GET')
    const { status, json } = await desk.operate('POST', `/v1/sessions/${live.record.id}/terminate`)
    expect([status, enforcedAnswer.parse(json)]).toEqual([202, expect.objectContaining({ enforced: true, durable: false, journaled: false, laterOn: [], exchanges: { ...NONE, cut: 1 }, reasonMissing: true })])
    expect(json).not.toHaveProperty('othersFailClosedAt')
    expect([exchange?.state, desk.exchange(live, 'GET')]).toEqual(['ended', null])
    expect(desk.records.map(({ action }) => action)).toEqual(['session.terminate'])
    const lock = await desk.operate('POST', '/v1/locks', { selector: { tenant: 'acme' } })
    expect([lock.status, lock.json['lock']]).toEqual([202, expect.objectContaining({ effect: 'deny' })])
  })

  test('[ADM3] with a shared store the same says when the others have lost their lease, and is not called enforced', async () => {
    const desk = await opened({ wrapStore: failing, room: shared })
    const live = await desk.session('a')
    const exchange = desk.exchange(live, 'GET')
    const { status, json } = await desk.operate('POST', `/v1/sessions/${live.record.id}/terminate`, { reason: 'x' })
    expect([status, enforcedAnswer.parse(json)]).toEqual([202, expect.objectContaining({
      enforced: false, durable: false, journaled: false, othersFailClosedAt: new Date(desk.clock.now() + 1_100).toISOString(), laterOn: [{ route: 'api', withinMs: 6_000 }], exchanges: { ...NONE, cut: 1 },
    })])
    expect(exchange?.state).toBe('ended')
  })

  test('[ADM3] every answer has the members that the contract names, also where nothing had to change', async () => {
    for (const [room, laterOn] of [[(made: AdminRoom) => made, []], [shared, [{ route: 'api', withinMs: 6_000 }]]] as const) {
      const desk = await opened({ room })
      const { id } = (await desk.session('a')).record
      for (const total of [1, 0]) {
        const { status, json } = await desk.operate('POST', `/v1/sessions/${id}/freeze`, { reason: 'x' })
        expect([status, enforcedAnswer.parse(json)]).toEqual([200, { version: 2, enforced: true, durable: true, gateways: { total, acknowledged: total, expired: 0 }, exchanges: NONE, exchangesUnknown: 0, laterOn, tookMs: json['tookMs'] }])
      }
    }
  })
})

describe('reading', () => {
  test('[ADM12] a session shows its scopes now, what each elevation carries, and what is open on which grant', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const id = await elevated(desk, live.record.id, 'fix')
    desk.exchange(live, 'GET')
    desk.exchange(live, 'POST')
    const { json } = await desk.operate('GET', `/v1/sessions/${live.record.id}`)
    expect(json).toMatchObject({
      id: live.record.id, state: 'live', reason: null, principal: { kind: 'agent', issuer: 'https://idp.test', subject: 'a', tenant: 'acme', client: 'cli', owner: null, actors: [] },
      scopes: { baseline: ['base:read'], now: ['base:read', 'base:write'] }, cap: { is: 'none' }, frozen: null, notBefore: null, exchangesOpen: 2, version: live.record.version,
      elevations: [{ id, profile: 'fix', state: 'active', until: new Date(desk.clock.now() + 900_000).toISOString(), carries: ['base:write'], lost: null, for: '15m', max: '1h', exchanges: 1 }],
    })
    expect((json['exchanges'] as { grant: string; method: string; route: string; rule: string }[]).map(({ grant, method, route, rule }) => [grant, method, route, rule])).toEqual([['baseline', 'GET', 'api', 'api#1'], [id, 'POST', 'api', 'api#2']]) // the body is JSON
  })

  test('[ADM12] a baseline nobody has shown a credential for is unknown, not empty', async () => {
    const desk = await opened()
    const live = await desk.session('a', null)
    expect((await desk.operate('GET', `/v1/sessions/${live.record.id}`)).json['scopes']).toEqual({ baseline: null, now: null })
  })

  test('[ADM12] lists name each session once, by state, up to the limit, and say when there are more', async () => {
    const desk = await opened()
    for (const name of ['a', 'b', 'c']) await desk.session(name)
    await desk.operate('POST', `/v1/sessions/${(await desk.session('d')).record.id}/terminate`)
    const listed = async (query: string) => {
      const { json } = await desk.operate('GET', `/v1/sessions${query}`)
      return [(json['sessions'] as unknown[]).length, json['more']] // the body is JSON
    }
    expect(await listed('')).toEqual([3, false])
    expect(await listed('?state=any')).toEqual([4, false])
    expect(await listed('?state=revoked')).toEqual([1, false])
    expect(await listed('?limit=2')).toEqual([2, true])
    for (const query of ['?limit=0', '?limit=501', '?limit=x', '?limt=1', '?limit=1&limit=2', '?state=gone']) expect([query, (await desk.operate('GET', `/v1/sessions${query}`)).status]).toEqual([query, 400])
  })

  test('[ADM12] profiles, routes, configuration and checkpoint are what runs', async () => {
    const desk = await opened()
    expect((await desk.operate('GET', '/v1/profiles')).json['profiles']).toMatchObject([{ name: 'fix', adds: ['base:write'], for: '15m', max: '1h', approval: null }, { name: 'ticketed', purpose: ['ticket'] }, { name: 'approved', approval: { stages: [{ role: 'approver', count: 1 }], within: '10m' } }, { eligible: 'subject.claims.team == "core"' }])
    expect((await desk.operate('GET', '/v1/routes')).json['routes']).toMatchObject([{ name: 'api', host: 'api.test', mode: 'enforce', rules: [{ name: 'api#1', effect: 'allow', methods: ['GET'], scope: 'base:read' }, { name: 'api#2' }] }])
    expect((await desk.operate('GET', '/v1/config')).json).toMatchObject({ digest: desk.policy.digest, file: 'gateway.yaml', warnings: [] })
    expect((await desk.operate('GET', '/v1/audit/checkpoint')).json).toEqual({ file: 'trail.jsonl', seq: 7, hash: 'abc', path: '/nowhere/trail.jsonl' })
  })

  test('[ADM12] a configuration is checked whole, with places, and nothing is changed', async () => {
    const desk = await opened()
    const send = (raw: string, type = 'application/yaml') => desk.ask('operator', 'POST', '/v1/config/validate', null, { raw, headers: { 'content-type': type } })
    expect((await send('version: 1\nroutez: []\n')).json).toMatchObject({ ok: false, problems: [{ file: 'sent', line: 1 }, { file: 'sent', line: 2, column: 1, hint: "did you mean 'routes'?" }] })
    expect((await send('version: 1', 'application/json')).status).toBe(415)
    expect((await send(`# ${'x'.repeat(1024 * 1024)}`)).status).toBe(413)
    expect(desk.records).toEqual([])
    expect((await desk.operate('POST', '/v1/config/reload', { reason: 'new route' })).json['digest']).toBe(desk.policy.digest)
    expect(desk.records.map(({ action, note }) => [action, note])).toEqual([['config.reload', 'new route']])
  })

  test('[ADM12] a reload with errors answers 422 with every problem, and is no change', async () => {
    const problem = { file: 'gateway.yaml', line: 3, column: 5, message: 'unknown key', hint: null, excerpt: null }
    const desk = await opened({ room: room => ({ ...room, config: { ...room.config, reload: async () => ({ errors: [problem], warnings: [], digest: 'old' }) } }) })
    const { status, json } = await desk.operate('POST', '/v1/config/reload')
    expect(status).toBe(422)
    expect(json['problems']).toMatchObject([{ line: 3, text: 'gateway.yaml:3:5: unknown key' }])
    expect(desk.records).toEqual([])
  })
})

describe('elevations', () => {
  test('[ELV1, ADM12] asked on behalf of a session: as the profile says, bound to its purpose, with the asker named', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    await desk.operate('POST', '/v1/anchors/ticket/INC-7', { state: 'open', tenant: 'acme', reason: 'confirmed' })
    const { status, json } = await desk.ask('broker', 'POST', '/v1/elevations', { session: live.record.id, profile: 'ticketed', purpose: { ticket: 'INC-7' }, for: '5m', reason: 'repair' })
    expect([status, json['state'], json['requestedBy'], json['for'], json['purposes'], json['because']]).toEqual([201, 'active', 'corp|broker', '5m', { ticket: 'INC-7' }, 'repair'])
    expect([desk.exchange(live, 'POST'), desk.exchange(live, 'POST', 'INC-7') === null]).toEqual([null, false])
    expect((await desk.operate('GET', `/v1/elevations/${String(json['id'])}`)).json).toMatchObject({ id: json['id'], exchanges: 1 })
  })

  test('[ADM12] what can not be: unknown profile, not eligible, too long, unknown ticket, no claims, an ended session, no reason', async () => {
    const desk = await opened()
    const session = (await desk.session('a')).record.id
    const unseen = (await desk.session('b', null)).record.id
    const ended = (await desk.session('c')).record.id
    await desk.operate('POST', `/v1/sessions/${ended}/terminate`)
    const cases = [
      [{ session, profile: 'none', reason: 'x' }, 403, 'not_eligible'], [{ session, profile: 'closed', reason: 'x' }, 403, 'not_eligible'], [{ session, profile: 'fix', for: '2h', reason: 'x' }, 409, 'limit_reached'],
      [{ session, profile: 'ticketed', purpose: { ticket: 'INC-8' }, reason: 'x' }, 403, 'ticket_unknown'], [{ session: unseen, profile: 'fix', reason: 'x' }, 409, undefined], [{ session: ended, profile: 'fix', reason: 'x' }, 409, 'session_ended'],
      [{ session, profile: 'fix' }, 400, undefined], [{ session: NOBODY, profile: 'fix', reason: 'x' }, 404, undefined], [{ session, profile: 'fix', purpose: { tickt: 'a' }, reason: 'x' }, 400, undefined],
    ] as const
    for (const [body, status, reason] of cases) {
      const answer = await desk.operate('POST', '/v1/elevations', body)
      expect([body, answer.status, answer.json['reason']]).toEqual([body, status, reason])
    }
  })

  test('[ADM12] a dry run writes nothing', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const { version } = live.record
    const { status, json } = await desk.operate('POST', '/v1/elevations', { session: live.record.id, profile: 'fix', reason: 'x', dryRun: true })
    expect([status, json['adds'], live.record.version, desk.records]).toEqual([200, ['base:write'], version, []])
  })

  test('[APR2, ADM12] an approver approves as asked or less; who filed it never does, and nobody twice', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const made = await desk.operate('POST', '/v1/elevations', { session: live.record.id, profile: 'approved', reason: 'x' })
    const path = `/v1/elevations/${String(made.json['id'])}`
    expect(made.status).toBe(202)
    expect(desk.exchange(live, 'POST')).toBeNull()
    desk.writeTokens({ approver: { identity: 'corp|operator' } })
    desk.clock.advance(1_000)
    const own = await desk.approve(path)
    expect([own.status, own.json['reason']]).toEqual([403, 'denied'])
    desk.writeTokens()
    desk.clock.advance(1_000)
    expect((await desk.approve(path, { adds: ['base:write', 'base:more'], for: '5m' })).status).toBe(200)
    expect((await desk.operate('GET', path)).json).toMatchObject({ state: 'active', adds: ['base:write'], for: '5m', approvals: [{ by: 'corp|approver' }] })
    expect((await desk.approve(path)).status).toBe(409)
  })

  test('[ADM18, APR5] whoever the open stage does not ask for gives no word, an operator and an admin neither', async () => {
    const desk = await opened()
    const path = `/v1/elevations/${await elevated(desk, (await desk.session('a')).record.id, 'approved')}`
    for (const role of ['operator', 'admin'] as const) expect([role, (await desk.approve(path, {}, role)).status]).toEqual([role, 403])
    expect((await desk.operate('GET', path)).json).toMatchObject({ state: 'requested', approvals: [] })
  })

  test('[APR4, ADM12] an approval is for what was shown: of a request that is not that any more it is none', async () => {
    const desk = await opened()
    const path = `/v1/elevations/${await elevated(desk, (await desk.session('a')).record.id, 'approved')}`
    expect((await desk.ask('approver', 'POST', `${path}/approve`, { reason: 'x' })).status).toBe(400)
    expect((await desk.approve(path, { shown: 'another digest' })).status).toBe(409)
    expect((await desk.operate('GET', path)).json).toMatchObject({ state: 'requested', approvals: [] })
    expect((await desk.approve(path)).status).toBe(200)
  })

  test('[APR2] the caller is barred under every name it is known by', async () => {
    const desk = await opened()
    const live = await desk.session('dana')
    const id = await elevated(desk, live.record.id, 'approved')
    desk.writeTokens({ approver: { identity: 'corp|dana' } })
    desk.clock.advance(1_000)
    expect((await desk.approve(`/v1/elevations/${id}`)).status).toBe(403)
  })

  test('[ADM12] revoking tells who took it away: the approver who gave it, or an operator; another approver may not', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const approved = async () => {
      const id = await elevated(desk, live.record.id, 'approved')
      await desk.approve(`/v1/elevations/${id}`)
      return `/v1/elevations/${id}`
    }
    const [first, second] = [await approved(), await approved()]
    const exchange = desk.exchange(live, 'POST')
    expect((await desk.ask('approver', 'POST', `${first}/revoke`)).status).toBe(200)
    expect((await desk.operate('POST', `${second}/revoke`)).status).toBe(200)
    expect([(await desk.operate('GET', first)).json['reason'], (await desk.operate('GET', second)).json['reason'], exchange?.state]).toEqual(['approval_withdrawn', 'revoked', 'ended'])
    const own = `/v1/elevations/${await elevated(desk, live.record.id, 'fix')}`
    expect((await desk.ask('approver', 'POST', `${own}/revoke`)).status).toBe(403)
  })

  test('[ADM12] deny, withdraw, release and extend: each by whom it belongs to', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const asked = async (role: Role, profile: string) => `/v1/elevations/${String((await desk.ask(role, 'POST', '/v1/elevations', { session: live.record.id, profile, reason: 'x' })).json['id'])}`
    const state = async (path: string) => (await desk.operate('GET', path)).json['state']
    const denied = await asked('operator', 'approved')
    await desk.ask('approver', 'POST', `${denied}/deny`)
    const filed = await asked('broker', 'approved')
    expect((await desk.operate('POST', `${filed}/withdraw`)).status).toBe(403)
    await desk.ask('broker', 'POST', `${filed}/withdraw`)
    const running = await asked('operator', 'fix')
    expect((await desk.ask('broker', 'POST', `${running}/release`)).status).toBe(403)
    await desk.operate('POST', `${running}/release`)
    expect([await state(denied), await state(filed), await state(running)]).toEqual(['denied', 'withdrawn', 'ended'])
    const longer = await asked('operator', 'fix')
    expect((await desk.operate('POST', `${longer}/extend`, { for: '10m', reason: 'x' })).status).toBe(200)
    expect((await desk.operate('GET', longer)).json['until']).toBe(new Date(desk.clock.now() + 25 * 60_000).toISOString())
    expect((await desk.operate('POST', `${longer}/extend`, { for: '1h', reason: 'x' })).json['reason']).toBe('limit_reached')
    expect((await desk.ask('approver', 'POST', `${longer}/extend`, { for: '1m', reason: 'x' })).status).toBe(403)
  })

  test('[APR2] where extending needs a new approval, an operator alone can not extend', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const path = `/v1/elevations/${await elevated(desk, live.record.id, 'approved')}`
    await desk.approve(path)
    expect((await desk.operate('POST', `${path}/extend`, { for: '1m', reason: 'x' })).status).toBe(403)
    expect((await desk.ask('approver', 'POST', `${path}/extend`, { for: '1m', reason: 'x' })).status).toBe(200)
  })

  test('[ADM12] the list is of those not over, of one state, of one session', async () => {
    const desk = await opened()
    const [a, b] = [await desk.session('a'), await desk.session('b')]
    const gone = await elevated(desk, a.record.id, 'fix')
    await desk.operate('POST', `/v1/elevations/${gone}/release`)
    const [kept, waits] = [await elevated(desk, a.record.id, 'fix'), await elevated(desk, b.record.id, 'approved')]
    const ids = async (query: string) => ((await desk.operate('GET', `/v1/elevations${query}`)).json['elevations'] as { id: string }[]).map(({ id }) => id) // the body is JSON
    expect([(await ids('')).toSorted(), await ids('?state=ended'), await ids('?state=requested'), await ids(`?session=${a.record.id}`)]).toEqual([[kept, waits].toSorted(), [gone], [waits], [kept]])
  })
})

describe('locks, marks and anchors', () => {
  test('[ADM3, ENF8] a dry run sets nothing and tells what a lock would meet', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    desk.exchange(live, 'GET')
    expect((await desk.operate('POST', '/v1/locks', { selector: { tenant: 'acme' }, dryRun: true })).json).toEqual({ dryRun: true, sessions: 1, exchanges: 1, gateways: { total: 1, answered: 1 } })
    expect((await desk.operate('POST', '/v1/locks', { selector: { route: 'api' }, dryRun: true })).json).toMatchObject({ sessions: 1, exchanges: 1 })
    expect((await desk.operate('POST', '/v1/locks', { selector: { profile: 'fix' }, dryRun: true })).json).toMatchObject({ sessions: 0, exchanges: 0 })
    const { id } = (await desk.session('b')).record
    expect((await desk.operate('POST', '/v1/locks', { selector: { session: id }, dryRun: true })).json).toMatchObject({ sessions: 1, exchanges: 0 })
    await desk.operate('POST', `/v1/sessions/${id}/terminate`)
    expect((await desk.operate('POST', '/v1/locks', { selector: { session: id }, dryRun: true })).json).toMatchObject({ sessions: 0 })
    expect((await desk.operate('GET', '/v1/locks')).json['locks']).toEqual([])
  })

  test('[ENF8, ADM3] a lock by selector cuts what it meets and nothing else, is listed, and lifts with a reason only', async () => {
    const desk = await opened()
    const [a, b] = [await desk.session('a'), await desk.session('b')]
    const [met, spared] = [desk.exchange(a, 'GET'), desk.exchange(b, 'GET')]
    const set = await desk.operate('POST', '/v1/locks', { selector: { subject: 'https://idp.test|a' }, for: '1h' })
    expect(set.json).toMatchObject({ enforced: true, reasonMissing: true, exchanges: { cut: 1, continued: 0 }, lock: { selector: { subject: 'https://idp.test|a' }, effect: 'deny', note: 'unspecified', by: 'corp|operator' } })
    expect([met?.state, spared?.state, desk.exchange(a, 'GET')]).toEqual(['ended', 'open', null])
    const [lock] = (await desk.operate('GET', '/v1/locks')).json['locks'] as { id: string; until: string }[] // the body is JSON
    expect(lock?.until).toBe(new Date(desk.clock.now() + 3_600_000).toISOString())
    expect((await desk.operate('DELETE', `/v1/locks/${lock?.id ?? ''}`)).status).toBe(400)
    expect((await desk.operate('DELETE', `/v1/locks/${lock?.id ?? ''}?reason=over`)).status).toBe(200)
    expect(desk.exchange(a, 'GET')).not.toBeNull()
    expect((await desk.operate('DELETE', `/v1/locks/${lock?.id ?? ''}`, { reason: 'again' })).status).toBe(404)
    expect(desk.records.map(({ action, target, note }) => [action, target, note])).toEqual([['lock.set', 'subject:https://idp.test|a', 'unspecified'], ['lock.lift', lock?.id, 'over']])
  })

  test('[ENF8] every kind of selector is taken, and freeze and baseline do what they say', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const at = new Date(desk.clock.now() - 1).toISOString()
    for (const selector of [{ subject: 'x' }, { session: NOBODY }, { tenant: 'x' }, { credential: 'x' }, { issuer: 'x' }, { route: 'x' }, { profile: 'x' }, { issuedBefore: at }]) expect((await desk.operate('POST', '/v1/locks', { selector })).status).toBe(200)
    expect((await desk.operate('GET', '/v1/locks')).json['locks']).toEqual(expect.arrayContaining([expect.objectContaining({ selector: { issuedBefore: at } })]))
    const exchange = desk.exchange(live, 'GET')
    await desk.operate('POST', '/v1/locks', { selector: { tenant: 'acme' }, effect: 'freeze' })
    expect(exchange?.state).toBe('frozen')
    await desk.operate('POST', '/v1/locks', { selector: { all: true }, effect: 'deny' })
    expect(exchange?.state).toBe('ended')
    for (const selector of [{}, { subject: 'a', tenant: 'b' }, { all: false }, { subject: '' }, { nobody: 'x' }, { subject: 'bob\u00a0' }, { subject: 'https://idp.test|' }, { subject: 'https://idp.test| bob' }, { issuedBefore: at, subject: 'ｂｏｂ' }]) expect((await desk.operate('POST', '/v1/locks', { selector })).status).toBe(400)
    expect((await desk.operate('POST', '/v1/locks', { selector: { tenant: 'x' }, for: '1h', until: at })).status).toBe(400)
  })

  test('[SES4, ADM12] a revoked session leaves a mark among the locks, which an operator clears', async () => {
    const desk = await opened()
    const { record: { id } } = await desk.session('a')
    await desk.operate('POST', `/v1/sessions/${id}/terminate`)
    const marks = async () => ((await desk.operate('GET', '/v1/locks')).json['marks'] as { id: string }[]).map(mark => mark.id) // the body is JSON
    expect(await marks()).toEqual([`mark_${id}`])
    expect((await desk.operate('DELETE', `/v1/locks/mark_${id}`, { reason: 'was a test' })).status).toBe(200)
    expect(await marks()).toEqual([])
    expect((await desk.operate('DELETE', `/v1/locks/mark_${id}`, { reason: 'again' })).status).toBe(404)
  })

  test('[ADM12] a ticket ended by an operator\'s word ends the elevation that stands on it and cuts what stood on that', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const said = await desk.operate('POST', '/v1/anchors/ticket/INC-7', { state: 'open', tenant: 'acme', reason: 'confirmed' })
    expect([said.status, said.json['warning']]).toEqual([200, undefined])
    const id = await elevated(desk, live.record.id, 'ticketed', { purpose: { ticket: 'INC-7' } })
    const [baseline, exchange] = [desk.exchange(live, 'GET'), desk.exchange(live, 'POST', 'INC-7')]
    expect((await desk.operate('POST', '/v1/anchors/ticket/INC-7', { state: 'ended', tenant: 'acme' })).json).toMatchObject({ enforced: true, reasonMissing: true, exchanges: { cut: 1, continued: 1 } })
    expect([baseline?.state, exchange?.state]).toEqual(['open', 'ended'])
    await desk.ledger.settled()
    expect((await desk.operate('GET', `/v1/elevations/${id}`)).json).toMatchObject({ state: 'ended', reason: 'ticket_closed' })
    expect((await desk.operate('GET', '/v1/anchors/ticket')).json['anchors']).toMatchObject([{ name: 'manual/acme/INC-7', state: 'ended' }])
  })

  test('[ADM12] opening needs a reason, kinds are known, and a word nothing listens to is flagged', async () => {
    const desk = await opened()
    expect((await desk.operate('POST', '/v1/anchors/ticket/INC-7', { state: 'open' })).status).toBe(400)
    expect((await desk.operate('POST', '/v1/anchors/window/x', { state: 'ended' })).status).toBe(404)
    expect((await desk.operate('POST', '/v1/anchors/run/x', { state: 'ended' })).json['warning']).toMatch(/nothing listens/)
    expect((await desk.operate('POST', '/v1/anchors/ticket/a%00b', { state: 'ended' })).status).toBe(400)
    expect((await desk.operate('POST', '/v1/anchors/ticket/a%2Fb', { state: 'ended' })).status).toBe(200)
  })
})

describe('what is refused, and how', () => {
  test('[ADM13] unknown paths, wrong methods, malformed paths', async () => {
    const desk = await opened()
    for (const path of ['/', '/v1', '/v1/sessions/', '/v2/sessions', '/v1/sessions/a/b/c', '//v1/sessions', '/v1/elevations/']) expect([path, (await desk.operate('GET', path)).status]).toEqual([path, 404])
    const wrong = await desk.operate('DELETE', '/v1/locks')
    expect([wrong.status, wrong.headers['allow'], wrong.headers['content-type']]).toEqual([405, 'GET, POST', 'application/problem+json'])
    expect(wrong.json).toMatchObject({ type: 'urn:narrowgate:admin:method_not_allowed', status: 405, title: 'method not allowed' })
    expect((await desk.operate('GET', '/v1/sessions/%zz')).status).toBe(400)
  })

  test('[ADM13] bodies: their type, their size, their shape', async () => {
    const desk = await opened()
    const path = `/v1/sessions/${NOBODY}/widen`
    const send = (raw: string, type = 'application/json') => desk.ask('operator', 'POST', path, null, { raw, headers: { 'content-type': type } })
    expect((await send('{"reason":"x"}', 'text/plain')).status).toBe(415)
    expect((await send('{"reason":"x"}', 'application/json; charset=latin1')).status).toBe(415)
    expect((await send('{"reason":"x"}', 'application/json; charset=utf-8')).status).toBe(404)
    expect((await send(`{"reason":"${'x'.repeat(64 * 1024)}"}`)).status).toBe(413)
    expect((await desk.ask('operator', 'POST', path, null, { raw: `{"reason":"${'x'.repeat(300 * 1024)}"}`, headers: { 'transfer-encoding': 'chunked', 'content-type': 'application/json' } })).status).toBe(413)
    for (const raw of ['{', '{"reason":"a","reason":"b"}', '\u{feff}{"reason":"a"}', '[]', '"x"', '{"reason":"a","more":1}', '{"reason":" "}', `{"reason":"${'x'.repeat(513)}"}`, '{"reason":7}']) expect([raw.slice(0, 30), (await send(raw)).status]).toEqual([raw.slice(0, 30), 400])
    expect((await send('{"reason":"a","more":1}')).json['errors']).toMatchObject([{ message: expect.stringContaining('more') as unknown }])
    expect((await desk.ask('operator', 'GET', '/v1/sessions', null, { raw: '{}' })).status).toBe(400)
  })

  test('[ADM3, ADM13] a reason too long never stops what takes away', async () => {
    const desk = await opened()
    const { record: { id } } = await desk.session('a')
    expect((await desk.operate('POST', `/v1/sessions/${id}/terminate`, { reason: 'x'.repeat(5_000) })).status).toBe(200)
    expect(desk.records.at(-1)?.note).toHaveLength(512)
  })

  test('[ADM13] a failure inside is answered without a word about the inside', async () => {
    const desk = await opened({ room: room => ({ ...room, timeline: () => Promise.reject(new Error('/secret/place is gone')), head: () => { throw new StoreFault('corrupt', 'page 7') } }) })
    for (const [path, status] of [[`/v1/sessions/${NOBODY}/timeline`, 500], ['/v1/audit/checkpoint', 503]] as const) {
      const answer = await desk.operate('GET', path)
      expect(answer.status).toBe(status)
      expect(answer.text).not.toMatch(/secret|page 7|\bat .*\.ts/)
    }
  })

  test('[ADM15] pages of elsewhere, and names of elsewhere, do not drive it', async () => {
    const desk = await opened()
    const own = `127.0.0.1:${desk.port}`
    const cases: readonly (readonly [Readonly<Record<string, string>>, number])[] = [
      [{ origin: 'https://evil.test' }, 403], [{ origin: 'null' }, 403], [{ origin: `http://${own}` }, 200], [{ origin: `https://${own}` }, 403], [{ origin: 'http://127.0.0.1:1' }, 403],
      [{ host: 'evil.test' }, 421], [{ host: `evil.test:${desk.port}`, origin: `http://evil.test:${desk.port}` }, 421], [{ host: 'localhost' }, 200], [{ host: 'admin.localhost:9443' }, 200], [{ host: '[::1]:9443' }, 200], [{ host: 'a b' }, 400],
      [{ 'sec-fetch-site': 'cross-site' }, 403], [{ 'sec-fetch-site': 'same-site' }, 403], [{ 'sec-fetch-site': 'same-origin' }, 200],
    ]
    for (const [headers, status] of cases) expect([headers, (await desk.ask('operator', 'GET', '/v1/sessions', null, { headers })).status]).toEqual([headers, status])
  })

  test('[ADM16] health: live always, ready only when it is, metrics for all', async () => {
    const desk = await opened()
    const status = async (path: string) => (await desk.ask('viewer', 'GET', path, null, { token: null })).status
    expect([await status('/livez'), await status('/readyz'), await status('/metrics')]).toEqual([200, 200, 200])
    desk.ready = false
    expect([await status('/livez'), await status('/readyz')]).toEqual([200, 503])
    expect((await desk.ask('viewer', 'GET', '/readyz', null, { token: null })).json).toEqual({ ok: false, checks: { store: 'gone' } })
  })
})

describe('the event stream', () => {
  async function listen(desk: AdminDesk): Promise<IncomingMessage> {
    const [response] = (await once(get({ host: '127.0.0.1', port: desk.port, path: '/v1/events', agent: false, headers: { authorization: `Bearer ${desk.tokens.viewer}` } }), 'response')) as [IncomingMessage] // what this event carries
    return response.setEncoding('utf8')
  }

  async function until(stream: IncomingMessage, pattern: RegExp): Promise<string> {
    let text = ''
    for (;;) {
      const [chunk] = (await once(stream, 'data')) as [string] // an encoding is set
      text += chunk
      if (pattern.test(text)) return text
    }
  }

  test('[ADM17] tells facts as they happen', async () => {
    const desk = await opened()
    const live = await desk.session('a')
    const stream = await listen(desk)
    await until(stream, /connected/)
    const heard = until(stream, /\n\n$/)
    await desk.operate('POST', `/v1/sessions/${live.record.id}/freeze`, { reason: 'look' })
    const text = await heard
    expect(text).toMatch(/^event: session\.frozen\ndata: \{"event":"fact"/)
    expect(JSON.parse(/data: (.*)/.exec(text)?.[1] ?? '')).toMatchObject({ session: live.record.id, fact: { what: 'session.frozen', by: 'corp|operator', note: 'look' } })
  })

  test('[ADM17] takes so many listeners and no more, forgets those that left, and ends at shutdown', async () => {
    const desk = await opened()
    const streams = await Promise.all(Array.from({ length: LISTENERS_MAX }, () => listen(desk)))
    expect((await desk.ask('viewer', 'GET', '/v1/events')).status).toBe(503)
    expect((await desk.metrics.limitReached.get()).values.find(({ labels }) => labels.limit === 'admin_event_listeners')?.value).toBe(1)
    const left = desk.listeners.size
    streams[0]?.destroy()
    while (desk.listeners.size === left) await new Promise(resolve => setImmediate(resolve))
    const again = await listen(desk)
    const ended = once(again.resume(), 'end')
    desk.closing.abort()
    await ended
  })

  test('[ADM17] drops a reader that does not keep up', async () => {
    const desk = await opened()
    const stream = await listen(desk)
    stream.on('error', () => {})
    await until(stream, /connected/)
    stream.pause()
    const [tell] = desk.listeners
    const fact = { what: 'session.widened', at: desk.clock.now(), because: 'sig_x', by: 'x', note: 'x'.repeat(200_000), version: 1 } as unknown as Parameters<NonNullable<typeof tell>>[0] // brands of test words
    for (let i = 0; i < 200 && desk.listeners.size > 0; i++) {
      tell?.({ event: 'fact', position: { epoch: 'e', sequence: i }, record: { kind: 'session', name: 'k' }, session: null, fact } as unknown as Parameters<NonNullable<typeof tell>>[0]) // likewise
      await new Promise(resolve => setImmediate(resolve))
    }
    expect(desk.listeners.size).toBe(0)
    expect((await desk.metrics.limitReached.get()).values.find(({ labels }) => labels.limit === 'admin_event_backlog')?.value).toBe(1)
  })
})

test('[ADM11] a file that became wrong keeps its last good entries; one that is gone knows nobody', async () => {
  const desk = await opened()
  expect((await desk.operate('GET', '/v1/sessions')).status).toBe(200)
  writeFileSync(desk.tokenFile, JSON.stringify({ tokens: [{ ...entryFor(newToken(), 'x', ['viewer'], 'no-bar') }] }))
  desk.clock.advance(1_000)
  expect((await desk.operate('GET', '/v1/sessions')).status).toBe(200)
  rmSync(desk.tokenFile)
  desk.clock.advance(1_000)
  expect((await desk.operate('GET', '/v1/sessions')).status).toBe(401)
})
