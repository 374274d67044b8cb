// S5: privileged automation without standing privilege. The story is played once; each clause is asserted on what was seen of it.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { argumentsAreDigested, bearer, elevate, factsIn, type Headers, type Line, linesOf, loadsAsItStands, OpenStream, outcome, raise, recordsAreWhole, risksAreNamed, toldAndKept, tokenFor, verifyFindsEveryMissingRecord, word } from './stage.ts'

const HOST = { host: 'fleet.internal' }
const TASK = { ...HOST, 'narrowgate-task': 'P-3' }
/** The time a caller may ask for is short here, so that it ends by the real clock while the test looks. */
const SHORT = 1_500
const RUN = { path: '/admin/run', query: '?hosts=db', body: '{"patch":"2026-11"}' }
/** T of the scenario, with room for a busy machine. That no byte passes behind the end has no such room. */
const BOUND = 1_000
const CLOCKS = 5

let gate: TestGateway
let patch: Headers
let other: Headers
let session = ''
let lines: readonly Line[] = []
const seen = {
  reports: [] as Line[], before: [] as string[], offers: [] as unknown, granted: 0, passed: [] as string[], minutes: 0,
  extended: '', tooFar: '', endedAt: 0, cutAfter: 0, late: 0, aborted: false, others: false, head: 200,
  after: [] as string[], sameConnection: [] as number[], skewed: [] as string[], reconnect: '', reopened: [] as string[], secondLife: '', replay: '', newer: '', told: '', kept: '-',
}

const headersOf = async (sub: string, sid: string, issuedIn = 0): Promise<Headers> => bearer(await tokenFor(gate.issuer, sub, { sid }, issuedIn), TASK)
const ask = async (method: string, path: string, headers: Headers): Promise<string> => outcome(await gate.ask(method, path, headers))

async function onConnection(client: RawClient, path: string, headers: Headers): Promise<RawResponse> {
  await client.send(request('GET', path, headers))
  return client.response()
}

/** Scopes that somebody has at rest, with whom; rules without any; and what runs without use. */
async function reported(): Promise<void> {
  seen.reports.push((await gate.admin('GET', '/v1/reports/privilege')).json)
}

/** Given at rest, against which an elevation is worth nothing. Last in the story. */
async function standingAfterAll(): Promise<void> {
  writeFileSync(gate.configFile, readFileSync(gate.configFile, 'utf8').replace('- fleet:read', '- fleet:read\n        - fleet:admin'))
  await word(gate, '/v1/config/reload')
  await reported()
}

async function beforeActivation(): Promise<void> {
  for (const [method, path] of [['GET', '/admin/hosts'], ['POST', '/admin/run'], ['DELETE', '/admin/hosts/1'], ['PUT', '/admin']] as const) seen.before.push(await ask(method, path, patch))
  const refused = await gate.ask('GET', '/admin/hosts', patch)
  seen.offers = refused.json['access_request']
}

/** The default length, its limit, and the operator's word that the task is over. */
async function twentyMinutes(): Promise<void> {
  const id = await elevate(gate, patch, { profile: 'patch', purpose: { task: 'P-3' }, reason: 'patch round' })
  const { json } = await gate.ask('GET', `/.narrowgate/elevations/${id}`, patch)
  seen.minutes = (Date.parse(String(json['until'])) - Date.now()) / 60_000
  seen.passed = [await ask('GET', '/admin/hosts', patch), outcome(await gate.ask('POST', `${RUN.path}${RUN.query}`, patch, RUN.body))]
  const extend = async (span: string): Promise<string> => outcome(await gate.ask('POST', `/.narrowgate/elevations/${id}/extend`, { ...patch, 'content-type': 'application/json' }, JSON.stringify({ for: span })))
  seen.extended = await extend('9m')
  seen.tooFar = await extend('2m')
  await word(gate, `/v1/sessions/${session}/narrow`)
  await word(gate, `/v1/sessions/${session}/widen`)
  await word(gate, `/v1/elevations/${id}/revoke`)
}

/** A short one that ends by the clock with a stream open on it, beside a stream that has nothing to do with it. */
async function endsByTheClock(): Promise<void> {
  await elevate(gate, patch, { profile: 'patch', for: `${SHORT}ms`, purpose: { task: 'P-3' } })
  const until = performance.now() + SHORT
  const kept = await RawClient.connect(gate.target)
  seen.sameConnection.push((await onConnection(kept, '/admin/hosts', patch)).status)
  const open = await OpenStream.open(gate, '/admin/console', patch)
  const beside = await OpenStream.open(gate, '/status/live', other)
  const pace = setInterval(() => {
    gate.upstream.feed('console').emit(`at ${performance.now()}`)
    gate.upstream.feed('status').emit(`at ${performance.now()}`)
  }, 5)
  await open.cut()
  seen.cutAfter = performance.now() - until
  seen.late = Math.max(...[...open.text.matchAll(/at ([\d.]+)/g)].map(([, at]) => Number(at))) - until
  await beside.says(`at ${Math.floor(performance.now() / 100)}`)
  clearInterval(pace)
  seen.others = beside.client.bodyBytes > 0
  const recorded = await gate.upstream.request('/admin/console')
  await vi.waitFor(() => expect(recorded.abortedAt).toBeGreaterThan(0))
  seen.aborted = true
  const requests = gate.upstream.requests.length
  seen.sameConnection.push((await onConnection(kept, '/admin/hosts', patch)).status, (await onConnection(kept, '/status', patch)).status)
  seen.after = [await ask('GET', '/admin/hosts', patch), await ask('POST', '/admin/run', patch), await ask('DELETE', '/admin/hosts/1', patch)]
  seen.reconnect = await ask('GET', '/admin/console', patch)
  const yesterday = new Date(Date.now() - 86_400_000)
  seen.skewed = [await ask('GET', '/admin/hosts', { ...patch, date: yesterday.toUTCString(), 'x-forwarded-for': '10.0.0.1' }), await ask('GET', '/admin/hosts', await headersOf('svc-patch', 'patch', 4_000))]
  expect(gate.upstream.requests.slice(requests).map(({ url }) => url)).toEqual(['/status'])
  beside.client.close()
  kept.close()
}

async function theWayBack(): Promise<void> {
  await word(gate, '/v1/anchors/task/P-3', { state: 'ended', tenant: 'acme' })
  await word(gate, '/v1/anchors/task/P-3', { state: 'open', tenant: 'acme' })
  seen.reopened = [await ask('GET', '/admin/hosts', patch)]
  const [lock] = [(await word(gate, '/v1/locks', { selector: { subject: 'svc-patch' } })).json['lock'] as Line] // the contract's shape
  seen.reopened.push(await ask('GET', '/status', patch))
  await word(gate, `/v1/locks/${String(lock?.['id'])}`, {}, 'DELETE')
  seen.reopened.push(await ask('GET', '/status', patch), await ask('GET', '/admin/hosts', patch))
  await word(gate, `/v1/sessions/${session}/terminate`)
  seen.replay = await ask('GET', '/status', patch)
  ;[seen.told, seen.kept] = await toldAndKept(gate, session)
  const again = await headersOf('svc-patch', 'patch', 4_500)
  seen.newer = await ask('GET', '/status', again)
  seen.secondLife = await ask('GET', '/admin/hosts', again)
}

beforeAll(async () => {
  gate = await raise('s05.yaml')
  gate.upstream.plays.set('/admin/console', '/sse/console').set('/status/live', '/sse/status').set('/status', '/ok')
  patch = await headersOf('svc-patch', 'patch')
  session = String((await gate.ask('GET', '/.narrowgate/session', patch)).json['id'])
  other = bearer(await tokenFor(gate.issuer, 'svc-monitor'), HOST)
  await beforeActivation()
  await reported()
  await twentyMinutes()
  await reported()
  await word(gate, '/v1/anchors/task/P-3', { state: 'open', tenant: 'acme' })
  await endsByTheClock()
  await theWayBack()
  await reported()
  lines = await linesOf(gate)
  await standingAfterAll()
}, 60_000)
afterAll(() => gate.stop())

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s05.yaml'))

test('[S5.a] svc-patch gets 20 minutes for task P-3, and /admin passes under it', () => {
  expect(seen.minutes).toBeGreaterThan(19.5)
  expect(seen.minutes).toBeLessThanOrEqual(20)
  expect(seen.passed).toEqual(['200', '200'])
})

test('[S5.b] its time ends by the clock: what is open on it is cut, nothing goes through behind it, and the upstream is aborted', () => {
  expect(seen.late).toBeLessThanOrEqual(CLOCKS) // the caller learnt of its elevation after it had begun
  expect(seen.cutAfter).toBeGreaterThan(-50)
  expect(seen.cutAfter).toBeLessThan(BOUND)
  expect(seen.aborted).toBe(true)
})

test('[S5.c] before activation everything on /admin is refused, with how to ask for it', () => {
  expect(seen.before).toEqual(Array.from({ length: 4 }, () => '403 elevation_required'))
  expect(seen.offers).toMatchObject({ endpoint: '/.narrowgate/elevations', offers: [{ profile: 'patch', purpose: ['task'], approval: 'none' }] })
})

test('[S5.d] after the time everything on /admin is refused', () => expect(seen.after).toEqual(Array.from({ length: 3 }, () => '403 elevation_required')))
test('[S5.e] also on a keep-alive connection that was opened before, which stays good for the rest', () => expect(seen.sameConnection).toEqual([200, 403, 200]))
test('[S5.g] a clock of the client that is off does not help', () => expect(seen.skewed).toEqual(['403 elevation_required', '403 elevation_required']))

test('[S5.h] extension beyond the hard maximum is refused, up to it is not', () => {
  expect(seen.extended).toBe('200')
  expect(seen.tooFar).toBe('403 limit_reached')
})

test('[S5.i] the report on standing privilege shows none before, between and behind its elevations, and would show it', () => {
  const baselineOf = ({ baseline }: Line): unknown => (baseline as readonly Line[]).map(({ scope, principals, rules }) => [scope, principals, rules]) // the contract's shape
  const rest = ['fleet:read', expect.any(Number), expect.any(Array)]
  for (const report of seen.reports.slice(0, 3)) {
    expect(baselineOf(report)).toEqual([rest])
    expect(report).toMatchObject({ withoutScope: [], unused: [] })
  }
  const [before = {}, , behind = {}, after] = seen.reports
  expect([before, behind].map(report => (report['profiles'] as readonly Line[]).map(({ granted, uses }) => [granted, uses]))).toEqual([[[0, 0]], [[2, 4]]]) // likewise
  expect(baselineOf(after ?? {})).toEqual([['fleet:admin', expect.any(Number), [expect.any(String)]], rest])
})

test('[S5.j] each record names who, on whose behalf, with what, where, what was decided and why, and what went through', () => recordsAreWhole(lines, session))

test('[S5.k] each record names the risk before and after', () => risksAreNamed(lines, gate))

test('[S5.l] each record has the digest of the arguments', () => argumentsAreDigested(lines, session, RUN))

test('[S5.m] the life of each elevation is there', () => {
  const told = lines.filter(({ kind, fact }) => kind === 'fact' && String((fact as Line)['what']).startsWith('elevation.')).map(({ fact }) => String((fact as Line)['what']))
  expect(told).toEqual([
    'elevation.requested', 'elevation.activated', 'elevation.extended', 'elevation.suspended', 'elevation.resumed', 'elevation.ended',
    'elevation.requested', 'elevation.activated', 'elevation.ended',
  ])
  expect(factsIn(lines, 'elevation.ended').map(({ reason }) => reason)).toEqual(['revoked', 'time_up'])
  const uses = lines.filter(({ kind, elevation }) => kind === 'exchange.opened' && elevation !== null)
  expect(uses).toHaveLength(4)
  expect(uses[0]).toMatchObject({ elevation: { profile: 'patch' }, purposes: { task: 'P-3' } })
  expect(seen.told).toBe(seen.kept)
})

test('[S5.n] the life of each exchange is there: opened, and cut with grant and latency', () => {
  const [cut] = lines.filter(({ kind }) => kind === 'exchange.cut')
  expect(cut).toMatchObject({ session, reason: 'time_up', because: 'time', grant: expect.stringMatching(/^elv_/), latencyMs: expect.any(Number) })
  expect(cut?.['latencyMs']).toBeLessThan(BOUND)
  expect(lines.filter(({ exchange }) => exchange === cut?.['exchange']).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
})

test('[S5.o] `audit verify` passes, and fails when one record is removed, whichever', () => verifyFindsEveryMissingRecord(gate))
test('[S5.p] the same token again is refused, once its session was ended also where nothing but the baseline is asked', () => expect([seen.after[0], seen.replay]).toEqual(['403 elevation_required', '401 credential_revoked']))
test('[S5.q] reconnecting after the cut is refused', () => expect(seen.reconnect).toBe('403 elevation_required'))

test('[S5.r] opening the task again, lifting a lock on the subject, or a new life revives nothing', () => {
  expect(seen.reopened).toEqual(['403 elevation_required', '403 locked', '200', '403 elevation_required'])
  expect([seen.newer, seen.secondLife]).toEqual(['200', '403 elevation_required'])
})

test('[S5.u] another session\'s traffic on the same upstream keeps flowing', () => expect(seen.others).toBe(true))
