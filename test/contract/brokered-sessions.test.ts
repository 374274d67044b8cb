// Brokers at the real admin listener of a real gateway: whom they may open sessions for and within what, that a token is told once and kept nowhere,
// and who says that a task is done.
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { runCommandLine } from '../../src/cli/command-line.ts'
import type { Commit } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { approves, asks, brokerPlan, BROKERS, identityOf, type Json, opened, opens, type Person, type Told, wanted } from '../support/brokers.ts'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { AheadClock, sessionsOf } from '../support/possession.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { RedisServer } from '../support/redis-server.ts'
import { StoreTap } from '../support/tapped-store.ts'
import { TokenIssuer } from '../support/token-issuer.ts'

const HOUR = 3_600_000
const THUMBPRINT = 'abcdefghijklmnopqrstuvwxyz0123456789ABCDEFE'
const CHAIN = ['two', 'three', 'four', 'five', 'six', 'seven', 'eight']
const nested = (depth: number): Json => (depth === 1 ? { deep: 1 } : { in: nested(depth - 1) })
const actChain = (names: readonly string[]): Json | undefined => names.reduceRight<Json | undefined>((act, sub) => ({ sub, ...(act === undefined ? {} : { act }) }), undefined)

let gate: TestGateway
let operatorsIssuer: TokenIssuer

beforeAll(async () => {
  operatorsIssuer = await TokenIssuer.create({ issuer: 'https://operators.example', audience: 'narrowgate-admin' })
  const keys = join(mkdtempSync(join(tmpdir(), 'ng-brokers-')), 'keys.json')
  await operatorsIssuer.writeJwks(keys)
  gate = await TestGateway.start(await brokerPlan({ admin: () => `, oidc: { issuer: "https://operators.example", audience: narrowgate-admin, jwksFile: ${keys}, roles: { broker: "true" } }` }))
})
afterAll(() => gate.stop())

const auth = (token: string) => ({ authorization: `Bearer ${token}` })
const view = async (session: string): Promise<Json> => (await asks(gate, 'flows', 'GET', `/v1/sessions/${session}`)).json

/** Refused so, without a token, and nothing was opened. */
async function opensNothing(asked: () => Promise<Told>, told: object): Promise<void> {
  const before = await sessionsOf(gate)
  const answer = await asked()
  expect({ ...answer, ...answer.json }).toMatchObject(told)
  expect(answer.headers['content-type']).toBe('application/problem+json')
  expect(answer.text).not.toContain('ngs_')
  expect(await sessionsOf(gate)).toEqual(before)
}

/** Every octet of every file of a folder. */
const filesIn = (directory: string): readonly string[] =>
  readdirSync(directory, { recursive: true, encoding: 'utf8' }).map(file => join(directory, file)).filter(file => statSync(file).isFile())

describe('opening a session', () => {
  test('[ADM23, SES20] answers with a token that is shown once: no file, view or trail holds it, and nothing may keep the answer', async () => {
    const answer = await opens(gate, 'flows', { for: '20m', scopes: ['base:read', 'base:write'], profiles: [{ profile: 'fix', for: '5m' }], purpose: { task: 'T-1' }, bind: { source: '2001:DB8:0::1', workload: 'spiffe://example.org/p-1', jkt: THUMBPRINT } })
    expect(answer.status).toBe(201)
    expect(answer.headers['cache-control']).toBe('no-store')
    const { token, session, endsAt } = answer.json as { readonly token: string; readonly session: string; readonly endsAt: string } // as the contract has it
    expect(token).toMatch(/^ngs_[\w-]{43}$/)
    expect(answer.json).toMatchObject({
      principal: { kind: 'agent', issuer: 'broker:flows', subject: 'triage', tenant: 'acme', client: '', owner: null, actors: [identityOf('flows')] }, purpose: { task: 'T-1' }, parent: null,
      scopes: { baseline: ['base:read'], now: ['base:read', 'base:write'] }, elevations: [{ profile: 'fix', state: 'active', carries: ['base:write'] }],
      bind: { jkt: THUMBPRINT, workload: 'spiffe://example.org/p-1', source: '2001:db8:0:0::/64' },
    })
    expect(Math.abs(Date.parse(endsAt) - Date.now() - 20 * 60_000)).toBeLessThan(10_000)
    const lines = JSON.stringify(await gate.trail())
    expect(lines).toContain('"action":"session.open"')
    for (const text of [lines, JSON.stringify(await view(session)), (await asks(gate, 'viewer', 'GET', '/v1/sessions')).text]) expect(text).not.toContain(token.slice(4))
    for (const file of filesIn(gate.directory)) expect([file, readFileSync(file).includes(token.slice(4))]).toEqual([file, false])
  })

  test('[ADM23, BND7, PUR4] a session and the list tell its broker, what it is bound to, and what was shown instead', async () => {
    const { session, token } = await opened(gate, 'flows', { bind: { source: '192.0.2.1' }, purpose: { task: 'T-2' } })
    expect((await gate.ask('GET', '/x', auth(token))).json).toMatchObject({ reason: 'binding_broken' })
    await gate.parts.ledger.settled()
    const shown = { broker: { name: 'flows', by: identityOf('flows'), profiles: ['fix', 'approved', 'picked'], scopes: null, purpose: { task: 'T-2' } }, parent: null, bindings: { key: null, workload: null, device: null, source: '192.0.2.1' }, drifts: [{ binding: 'source', shown: '127.0.0.1' }] }
    await expect.poll(() => view(session)).toMatchObject(shown)
    const { json } = await asks(gate, 'viewer', 'GET', '/v1/sessions?limit=500')
    expect((json['sessions'] as readonly Json[]).find(({ id }) => id === session)).toMatchObject(shown) // as the contract has it
  })

  test('[ADM23, SES20] gives what was not named its default: the only broker there is, its longest time, no bound on scopes, its own issuer', async () => {
    const { json } = await opened(gate, 'loose', { subject: { kind: 'service', subject: 'job', tenant: 'any', client: 'cli', owner: 'https://idp|dana', issuer: 'https://robots.example', claims: { team: 'core', list: [1, 'a', null] } }, bind: undefined })
    expect(json).toMatchObject({ bind: {}, principal: { kind: 'service', issuer: 'https://robots.example', client: 'cli', owner: 'https://idp|dana' }, scopes: { baseline: ['base:core', 'base:read'] }, elevations: [], purpose: {} })
    expect(Math.abs(Date.parse(String(json['endsAt'])) - Date.now() - 2 * HOUR)).toBeLessThan(10_000)
    expect((await opens(gate, 'both', { broker: 'loose', subject: { kind: 'agent', subject: 'x', issuer: 'broker:loose' } })).json).toMatchObject({ principal: { issuer: 'broker:loose' } })
    expect((await opens(gate, 'second')).status).toBe(201)
  })

  type Refused = { readonly what: string; readonly who?: Person; readonly more: Json; readonly told: object }
  const paired = (pairs: readonly (readonly [what: string, value: Json])[]) => pairs
  const malformed = { status: 400 }
  const notEligible = { status: 403, reason: 'not_eligible' }
  const REFUSED: readonly Refused[] = [
    { what: 'a broker that is not the caller’s', more: { broker: 'loose' }, told: { ...notEligible, detail: 'this caller may not act as a broker loose' } },
    { what: 'a broker nobody configured', more: { broker: 'ghost' }, told: { ...notEligible, detail: 'this caller may not act as a broker ghost' } },
    { what: 'no broker, where there are several', who: 'both', more: {}, told: { status: 400, detail: expect.stringContaining('several brokers') } },
    { what: 'a principal the broker may not ask for', more: { subject: { kind: 'agent', subject: 'triage', tenant: 'globex' } }, told: { ...notEligible, detail: 'flows may not ask for broker:flows|triage' } },
    { what: 'a kind it may not ask for', more: { subject: { kind: 'person', subject: 'triage', tenant: 'acme' } }, told: notEligible },
    { what: 'a principal of whom its condition reads what is not there', who: 'nobody', more: {}, told: { ...notEligible, detail: expect.stringContaining('can not be told') } },
    { what: 'nothing bound, where that is required', more: { bind: undefined }, told: { status: 400, detail: expect.stringContaining('`bind` names a key') } },
    { what: 'an empty binding, where one is required', more: { bind: {} }, told: { status: 400, detail: expect.stringContaining('`bind` names a key') } },
    { what: 'a profile that its broker does not list', more: { profiles: [{ profile: 'fix' }, { profile: 'other' }] }, told: notEligible },
    { what: 'a profile this principal is not eligible for', more: { profiles: [{ profile: 'fix' }, { profile: 'picked' }] }, told: notEligible },
    { what: 'a profile for longer than that allows', more: { profiles: [{ profile: 'fix', for: '2h' }] }, told: { status: 409, reason: 'limit_reached' } },
    { what: 'more time than its broker may give', more: { for: '61m' }, told: { status: 403, reason: 'limit_reached' } },
    { what: 'no task, where each task opens one session', who: 'tasks', more: {}, told: { status: 400, detail: 'each session of tasks names its task in `purpose`' } },
    { what: 'a parent nobody knows', more: { parent: 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa' }, told: { status: 409, detail: 'there is no such parent' } },
    { what: 'the issuer of an operator', more: { subject: { kind: 'agent', subject: 'x', tenant: 'acme', issuer: 'https://operators.example' } }, told: notEligible },
    ...['broker:loose', 'broker:ghost', 'Broker:flows', 'ops', 'api-key:x', 'API-KEY:keys', 'x509:CN=ca', 'introspection:x'].map(issuer => ({ what: `the issuer ${issuer}`, more: { subject: { kind: 'agent', subject: 'x', tenant: 'acme', issuer } }, told: { ...notEligible, detail: expect.stringContaining('vouched for by somebody else') } })),
    ...paired([
      ['an issuer with a bar', { subject: 'x', issuer: 'a|b' }], ['a subject of two spellings', { subject: 'e\u0301' }], ['an invisible subject', { subject: 'x\u200b' }], ['an empty tenant', { subject: 'x', tenant: '' }], ['a client with a blank', { subject: 'x', client: ' x' }],
      ['an owner that is no text', { subject: 'x', owner: 1 }], ['a kind there is not', { subject: 'x', kind: 'root' }], ['a member there is not', { subject: 'x', roles: [] }],
      ['claims that are a list', { subject: 'x', claims: [] }], ['claims that nest too deep', { subject: 'x', claims: nested(5) }], ['claims that are too large', { subject: 'x', claims: { text: 'x'.repeat(4_096) } }],
      ...['acr', 'auth_time', 'cnf', 'act', 'sid', 'client_id'].map(claim => [`the claim ${claim}`, { subject: 'x', claims: { [claim]: 'x' } }] as const),
    ]).map(([what, subject]) => ({ what, more: { subject: { kind: 'agent', tenant: 'acme', ...subject } }, told: malformed })),
    ...paired([
      ['two keys', { jkt: THUMBPRINT, 'x5t#S256': THUMBPRINT }], ['a thumbprint that is too short', { jkt: THUMBPRINT.slice(1) }], ['a second spelling of a thumbprint', { jkt: `${THUMBPRINT.slice(0, -1)}F` }], ['padding', { jkt: `${THUMBPRINT}=` }],
      ['a SPIFFE pattern', { workload: 'spiffe://example.org/ns/*/sa/x' }], ['a bare trust domain', { workload: 'spiffe://example.org' }], ['a pod, which nothing beside the token shows', { workload: 'pod/0f9b' }], ['a workload of no kind', { workload: 'x' }],
      ['a name for an address', { source: 'localhost' }], ['a block of addresses', { source: '10.0.0.0/8' }], ['a mapped address', { source: '::ffff:127.0.0.1' }], ['a mapped address in hexadecimal', { source: '::FFFF:7f00:1' }], ['a mapped address in full', { source: '0:0:0:0:0:ffff:7f00:1' }], ['a mapped address in another form', { source: '0::ffff:7f00:1' }], ['a compatible address', { source: '::7f00:1' }], ['a zone', { source: 'fe80::1%eth0' }], ['a device', { device: 'd' }],
    ]).map(([what, bind]) => ({ what, more: { bind }, told: malformed })),
    { what: 'a purpose that is no name', more: { purpose: { task: 'a b' } }, told: malformed },
    { what: 'no reason', more: { reason: ' ' }, told: malformed },
    { what: 'no time at all', more: { for: '0s' }, told: malformed },
    { what: 'more than sixteen elevations', more: { profiles: Array.from({ length: 17 }, () => ({ profile: 'fix' })) }, told: malformed },
  ]
  test.each(REFUSED)('[ADM23, SES20] $what is refused, without a token', ({ who = 'flows', more, told }) => opensNothing(() => opens(gate, who, more), told))

  test('[ADM23, BND7] an address is bound as requests come from it: IPv4 whole, of IPv6 the network, the loopback as itself', async () => {
    for (const [source, bound] of [['192.0.2.7', '192.0.2.7'], ['2001:0DB8::7', '2001:db8:0:0::/64'], ['::1', '0:0:0:0::/64']] as const) expect((await opened(gate, 'flows', { bind: { source } })).json).toMatchObject({ bind: { source: bound } })
  })

  test('[ADM23, SES20] the longest claims and the deepest that are taken are taken', async () => {
    expect((await opens(gate, 'loose', { subject: { kind: 'agent', subject: 'x', claims: nested(4) } })).status).toBe(201)
    expect((await opens(gate, 'loose', { subject: { kind: 'agent', subject: 'x', claims: { text: 'x'.repeat(4_096 - '{"text":""}'.length) } } })).status).toBe(201)
  })

  test('[ADM18, ADM23] is for the role broker: an operator or an admin opens none', async () => {
    for (const person of ['operator', 'admin', 'viewer', 'approver'] as const) await opensNothing(() => opens(gate, person), { status: 403, detail: 'this needs the role broker' })
  })

  test('[ADM23, ADM22] the name of a token-file entry is not that of somebody whom an issuer calls so', async () => {
    const token = await operatorsIssuer.sign({ sub: 'flows' })
    expect((await asks(gate, { token }, 'GET', '/v1/sessions')).status).toBe(200)
    await opensNothing(() => asks(gate, { token }, 'POST', '/v1/sessions', wanted()), { status: 403, reason: 'not_eligible', detail: 'this caller may act as no broker' })
  })

  test('[ADM23] a principal of a configured provider is for that to make', async () => {
    await opensNothing(() => opens(gate, 'loose', { subject: { kind: 'agent', subject: 'agent-1', issuer: gate.issuer.issuer } }), { status: 403, reason: 'not_eligible' })
  })
})

describe('what is done once', () => {
  test('[ADM23, SES20] a task opens one session of its tenant; what was refused, dry or for another tenant uses nothing up', async () => {
    const asked = (tenant: string, more: Json = {}): Promise<Told> => opens(gate, 'tasks', { purpose: { task: 'once-1' }, subject: { kind: 'agent', subject: 'x', tenant }, ...more })
    await opensNothing(() => asked('acme', { for: '2h' }), { status: 403 })
    await opensNothing(() => asked('acme', { profiles: [{ profile: 'fix' }] }), { status: 403 })
    expect((await asked('acme')).status).toBe(201)
    await opensNothing(() => asked('acme'), { status: 409, detail: 'tasks has opened a session for this task already' })
    expect((await asked('globex')).status).toBe(201)
  })

  test('[ADM23] a repeated Idempotency-Key gets no second token, whatever it asks; it is the caller’s own', async () => {
    const once = { 'idempotency-key': 'k-1' }
    await opensNothing(() => opens(gate, 'flows', { for: '2h' }, once), { status: 403 })
    expect((await opens(gate, 'flows', {}, once)).status).toBe(201)
    for (const more of [{}, { for: '5m' }]) await opensNothing(() => opens(gate, 'flows', more, once), { status: 409, detail: expect.stringContaining('a token is shown once') })
    expect((await opens(gate, 'second', {}, once)).status).toBe(201)
    for (const key of ['', 'x y', 'x'.repeat(256)]) await opensNothing(() => opens(gate, 'flows', {}, { 'idempotency-key': key }), { status: 400 })
    await opensNothing(() => opens(gate, 'flows', {}, { 'idempotency-key': ['a', 'b'] }), { status: 400 })
  })
})

describe('what is done once, on two gateways over Redis', () => {
  let server: RedisServer
  let pair: GatewayPair
  const clock = new AheadClock()
  beforeAll(async () => {
    server = await RedisServer.start()
    pair = await TestGateway.pair(server, { ...(await brokerPlan()), clock })
  })
  afterAll(async () => {
    await pair.stop()
    await server.dispose()
  })

  test('[ADM23, SES20] of many at once on both gateways one gets the token, and nobody gets one minutes, hours or days later', async () => {
    const asked = (i: number, key: string): Promise<Told> => opens(i % 2 === 0 ? pair.a : pair.b, 'tasks', { purpose: { task: key } })
    const repeated = (i: number): Promise<Told> => opens(i % 2 === 0 ? pair.a : pair.b, 'flows', {}, { 'idempotency-key': 'k-2' })
    const statuses = (await Promise.all(Array.from({ length: 12 }, (_, i) => asked(i, 'T-many')))).map(({ status }) => status)
    expect([statuses.length, statuses.filter(status => status === 201).length, statuses.filter(status => status === 409).length]).toEqual([12, 1, 11])
    expect(new Set((await Promise.all([0, 1].map(repeated))).map(({ status }) => status))).toEqual(new Set([201, 409]))
    for (const ahead of [2 * 60_000, HOUR, 20 * HOUR]) {
      clock.ahead = ahead
      expect([ahead, ...(await Promise.all([0, 1].map(i => asked(i, 'T-many')))).map(({ status }) => status)]).toEqual([ahead, 409, 409])
      expect([ahead, ...(await Promise.all([0, 1].map(repeated))).map(({ status }) => status)]).toEqual([ahead, 409, 409])
    }
    clock.ahead = 25 * 24 * HOUR
    expect((await Promise.all([0, 1].map(i => asked(i, 'T-many')))).map(({ status }) => status)).toEqual([409, 409])
    clock.ahead = 0
  })
})

describe('elevations a session begins with', () => {
  test('[ADM23, APR2] one that waits for an approval answers 202; nobody who speaks for the session approves it', async () => {
    const { status, json } = await opens(gate, 'flows', { profiles: [{ profile: 'fix' }, { profile: 'approved' }], subject: { kind: 'agent', subject: 'triage', tenant: 'acme', owner: identityOf('other') } })
    expect(status).toBe(202)
    const waiting = (json['elevations'] as readonly Json[]).find(({ profile }) => profile === 'approved') // as the contract has it
    expect(waiting).toMatchObject({ state: 'requested', carries: [], requestedBy: identityOf('flows'), because: 'task T-1' })
    const approve = (person: Person): Promise<Told> => approves(gate, person, waiting?.['id'])
    for (const person of ['flows', 'other'] as const) expect([person, (await approve(person)).status]).toEqual([person, 403])
    expect((await approve('approver')).status).toBe(200)
  })

  test('[ADM23, PUR4] each gets the purposes that it asks about, and the key and the workload that the session is bound to', async () => {
    const own = await TestGateway.start(await brokerPlan({ brokers: BROKERS.replace('profiles: [fix], max: 2h', 'profiles: [fix, ticketed], max: 2h') }))
    try {
      await asks(own, 'operator', 'POST', '/v1/anchors/task/T-3', { state: 'open', tenant: 'acme', reason: 'it begins' })
      const { session } = await opened(own, 'loose', { purpose: { task: 'T-3', run: '7' }, profiles: [{ profile: 'fix' }, { profile: 'ticketed' }], bind: { jkt: THUMBPRINT, workload: 'spiffe://example.org/p-1' } })
      const elevations = own.parts.mirror.byId(session)?.record.elevations ?? []
      expect(elevations.map(({ profile, purposes, keyThumbprint, workload }) => [profile, purposes, keyThumbprint, workload])).toEqual([['fix', {}, THUMBPRINT, 'spiffe://example.org/p-1'], ['ticketed', { task: 'T-3' }, THUMBPRINT, 'spiffe://example.org/p-1']])
      await asks(own, 'operator', 'POST', '/v1/anchors/task/T-3', { state: 'ended', tenant: 'acme' })
      expect((await asks(own, 'loose', 'GET', `/v1/sessions/${session}`)).json['elevations']).toMatchObject([{ lost: null }, { lost: 'purpose_over' }])
      const late = await opens(own, 'loose', { purpose: { task: 'T-3' }, profiles: [{ profile: 'ticketed' }] })
      expect(late).toMatchObject({ status: 403, json: { reason: 'purpose_over' } })
    } finally {
      await own.stop()
    }
  })

  test('[ADM23, ELV1] more of them may be asked for on its behalf before its token was ever shown here, within what its broker lists', async () => {
    const { session } = await opened(gate, 'flows')
    const ask = (profile: string): Promise<Told> => asks(gate, 'operator', 'POST', '/v1/elevations', { session, profile, reason: 'on its behalf' })
    expect((await ask('fix')).status).toBe(201)
    expect(await ask('other')).toMatchObject({ status: 403, json: { reason: 'not_eligible' } })
  })

  test('[ADM23, SES20] where the store does not take one of them the session is ended, and its token told to nobody', async () => {
    const tap = new StoreTap()
    const own = await TestGateway.start({ ...(await brokerPlan()), wrapStore: store => tap.wrap(store) })
    try {
      const isRequest = (of: unknown): boolean => (of as Commit).facts.some(fact => fact.what === 'elevation.requested' && fact.elevation.profile === 'approved') // what commits are called with
      tap.listen(({ name, side, first }) => {
        if (name === 'commit' && side === 'before' && isRequest(first)) throw new StoreFault('full', 'there is no room')
      })
      const { status, text } = await opens(own, 'flows', { profiles: [{ profile: 'fix' }, { profile: 'approved' }] })
      expect([status, text.includes('ngs_')]).toEqual([503, false])
      const { json } = await asks(own, 'viewer', 'GET', '/v1/sessions?state=any')
      expect(json['sessions']).toMatchObject([{ state: 'revoked', reason: 'revoked', elevations: 0 }])
    } finally {
      await own.stop()
    }
  })
})

describe('a session delegated from another', () => {
  async function login(claims: Json = {}): Promise<string> {
    return (await gate.session(await gate.token(claims))).id
  }

  test('[ADM23, SES21] names its parent, whom that acts for behind its broker, and ends no later', async () => {
    const parent = await login({ sub: 'lead', act: { sub: 'boss' } })
    await asks(gate, 'operator', 'POST', `/v1/sessions/${parent}/shorten`, { for: '10m' })
    const { session, json } = await opened(gate, 'flows', { parent })
    expect(json).toMatchObject({ parent, principal: { actors: [identityOf('flows'), `${gate.issuer.issuer}|lead`, `${gate.issuer.issuer}|boss`] } })
    expect(json['endsAt']).toBe((await view(parent))['endsAt'])
    expect(gate.parts.mirror.byId(session)?.record.brokered?.parent).toMatchObject({ id: parent, baseline: ['base:read'], depth: 0 })
    expect(await view(session)).toMatchObject({ parent })
  })

  test('[ADM23, SES21] at most four are delegated one from the other', async () => {
    let parent = await login({ sub: 'deep' })
    for (let i = 0; i < 4; i++) parent = (await opened(gate, 'flows', { parent })).session
    await opensNothing(() => opens(gate, 'flows', { parent }), { status: 403, reason: 'limit_reached', detail: 'sessions are delegated at most 4 times in a row' })
  })

  test('[ADM23, SES21] at most eight act for one another', async () => {
    const six = await login({ sub: 'one', act: actChain(CHAIN.slice(0, 6)) })
    expect((await opens(gate, 'flows', { parent: six })).status).toBe(201)
    const seven = await login({ sub: 'one', act: actChain(CHAIN) })
    await opensNothing(() => opens(gate, 'flows', { parent: seven }), { status: 403, reason: 'limit_reached', detail: 'at most 8 may act for one another' })
  })

  test('[ADM23, SES21] a parent that is over or frozen delegates nothing', async () => {
    const parent = await login({ sub: 'gone' })
    await asks(gate, 'operator', 'POST', `/v1/sessions/${parent}/freeze`)
    await opensNothing(() => opens(gate, 'flows', { parent }), { status: 409, detail: 'the parent is frozen' })
    await asks(gate, 'operator', 'POST', `/v1/sessions/${parent}/terminate`)
    await opensNothing(() => opens(gate, 'flows', { parent }), { status: 409, detail: 'the parent is over' })
  })

  test('[ADM23, SES21] nor does one whose credential this gateway has not seen since its start', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'ng-brokers-'))
    const [upstream, issuer] = [await RecordingUpstream.start(), await TokenIssuer.create()]
    const start = async (): Promise<TestGateway> => TestGateway.start({ ...(await brokerPlan()), directory, upstream, issuer })
    let own = await start()
    const token = await own.token({ sub: 'early' })
    const { id: parent } = await own.session(token)
    await own.stop()
    own = await start()
    const unseen = await opens(own, 'flows', { parent })
    expect([unseen.status, unseen.json['detail']]).toEqual([409, expect.stringContaining('let the session make one request')])
    await own.session(token)
    expect((await opens(own, 'flows', { parent })).status).toBe(201)
    await own.stop()
    await upstream.close()
    rmSync(directory, { recursive: true, force: true })
  })
})

describe('a task that is done', () => {
  const complete = (person: Person, session: string, body: Json = { reason: 'it is done' }): Promise<Told> => asks(gate, person, 'POST', `/v1/sessions/${session}/complete`, body)

  test('[ADM23, S6.g] ends its session as other verbs do, and tells in the answer and in the trail what time was left', async () => {
    const { session, token } = await opened(gate, 'flows', { for: '30m' })
    const { status, json } = await complete('flows', session)
    expect({ status, ...json }).toMatchObject({ status: 200, enforced: true, durable: true, gateways: { total: 1, acknowledged: 1 } })
    const unused = Number(json['unusedMs'])
    expect(unused).toBeGreaterThan(29 * 60_000)
    expect(unused).toBeLessThanOrEqual(30 * 60_000)
    const facts = (await gate.trail()).map(({ fact }) => fact as Json | undefined) // of those lines that tell of one
    expect(facts.find(fact => fact?.['what'] === 'session.revoked' && String(fact['note']).includes(`${unused} ms unused`))).toMatchObject({ reason: 'purpose_over', by: identityOf('flows'), note: `it is done (${unused} ms unused)` })
    expect(await view(session)).toMatchObject({ state: 'revoked', reason: 'purpose_over' })
    expect((await gate.ask('GET', '/x', auth(token))).json).toMatchObject({ reason: 'credential_revoked' })
    expect((await complete('flows', session)).json).toMatchObject({ enforced: true, unusedMs: 0, gateways: { total: 0 } })
  })

  test('[ADM23] is said by who opened it, by whoever may act as its broker, or by an operator, and needs no reason', async () => {
    for (const [person, status] of [['loose', 403], ['nobody', 403], ['viewer', 403], ['approver', 403], ['second', 200]] as const) {
      const { session } = await opened(gate, 'flows')
      expect([person, (await complete(person, session)).status]).toEqual([person, status])
      if (status === 403) expect(await view(session)).toMatchObject({ state: 'live' })
    }
    const { session } = await opened(gate, 'flows')
    expect((await complete('operator', session, {})).json).toMatchObject({ enforced: true, reasonMissing: true })
    const { id: callers } = await gate.session(await gate.token({ sub: 'caller' }))
    expect((await complete('flows', callers)).status).toBe(403)
    expect(await view(callers)).toMatchObject({ state: 'live' })
    expect((await complete('flows', 'ses_aaaaaaaaaaaaaaaaaaaaaaaaaa')).status).toBe(404)
  })
})

test('[ADM23, SES5] a session whose token was never shown is on record as over when its time is', async () => {
  const { session } = await opened(gate, 'flows', { for: '1s' })
  await expect.poll(() => view(session), { timeout: 8_000 }).toMatchObject({ state: 'lapsed', reason: 'max_reached' })
})

describe('from the command line', () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-brokers-'))
  afterAll(() => rmSync(directory, { recursive: true, force: true }))

  async function typed(...words: readonly string[]): Promise<{ readonly exit: number; readonly out: string; readonly err: string }> {
    let [out, err] = ['', '']
    const file = join(directory, 'token')
    writeFileSync(file, `nga_${'flows'.padEnd(43, '0')}\n`, { mode: 0o600 })
    const env = { NARROWGATE_SERVER: `http://${gate.gateway.front.address('admin')}`, NARROWGATE_TOKEN_FILE: file }
    const exit = await runCommandLine(words, { out: text => { out += text }, err: text => { err += text }, env, quit: () => undefined, onSignal: () => () => undefined, demo: async () => false })
    return { exit, out, err }
  }

  test('[ADM10, ADM23] session open prints the token, alone where that is asked for, and complete ends the session', async () => {
    const words = ['session', 'open', '--subject', 'triage', '--tenant', 'acme', '--bind-source', '127.0.0.1', '--reason', 'task T-9'] as const
    const alone = await typed(...words, '--only-token')
    expect(alone).toMatchObject({ exit: 0, out: expect.stringMatching(/^ngs_[\w-]{43}\n$/), err: '' })
    expect((await gate.ask('GET', '/x', auth(alone.out.trim()))).status).toBe(200)
    const whole = await typed(...words, '-o', 'json', '--broker', 'flows', '--kind', 'agent', '--client', 'cli', '--owner', 'dana', '--issuer', 'https://robots.example', '--claim', 'team="core"', '--bind-key', THUMBPRINT, '--bind-workload', 'spiffe://example.org/p', '--scopes', 'base:read', 'base:write', '--purpose', 'task=T-9', '--profile', 'fix=5m', '--profile', 'approved', '--for', '10m')
    expect(whole.err).toBe('an elevation waits for an approval\n')
    const json = JSON.parse(whole.out) as Json // what it was asked to print
    expect(json).toMatchObject({ token: expect.stringMatching(/^ngs_/), principal: { issuer: 'https://robots.example', client: 'cli', owner: 'dana' }, bind: { jkt: THUMBPRINT, workload: 'spiffe://example.org/p', source: '127.0.0.1' }, purpose: { task: 'T-9' }, scopes: { baseline: ['base:read'] }, elevations: [{ profile: 'fix', for: '5m' }, { profile: 'approved' }] })
    expect(await typed('complete', String(json['session']), '--reason', 'done')).toMatchObject({ exit: 0, out: expect.stringMatching(/^enforced at version \d+ on 1 of 1 gateways/) })
    expect(await view(String(json['session']))).toMatchObject({ state: 'revoked', reason: 'purpose_over' })
    const child = await typed(...words, '-o', 'json', '--parent', (await gate.session(await gate.token({ sub: 'cli' }))).id, '--bind-certificate', THUMBPRINT)
    expect(JSON.parse(child.out)).toMatchObject({ parent: expect.stringMatching(/^ses_/), bind: { 'x5t#S256': THUMBPRINT } })
    expect(await typed(...words, '--for', '2h')).toMatchObject({ exit: 5, out: '', err: expect.stringContaining('live no longer') })
  })
})
