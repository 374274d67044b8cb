// S24 over Redis: the token of a run that the platform got from A is good for nothing but that run on either gateway, and for nothing at all after it. The story is
// played once; each clause is asserted on what was seen of it.
import { constants } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { DpopKey, seconds } from '../support/possession.ts'
import { ClientAuthority, type Leaf, svidLeaf } from '../support/tls.ts'
import { CallerStream, connectHttp2 } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { asBroker, ENGINE, opened, type Opened, paced, raiseBrokeredPair, refusedBeside, Runner, type Shown, timesIn } from './brokers.ts'
import { goneForLonger, isEnforced, type Raised } from './pair.ts'
import { bearer, type Headers, type Line, OpenStream, recordsAreWhole, risksAreNamed, tokenFor, word } from './stage.ts'

const OPS = 'spiffe://mesh.example/ns/ops/sa/operator'
const WEB = 'spiffe://mesh.example/ns/web/sa/shop'
const STATUS = '/fleet/status/all'
const LIVE = '/fleet/status/live'
const HOST = '/fleet/hosts/db-1'
const CONSOLE = '/fleet/hosts/db-1/console'
const PASSED = ['200', '200']
const INVALID = ['401 credential_invalid', '401 credential_invalid']
const BROKEN = ['403 binding_broken', '403 binding_broken']
const DONE = ['403 purpose_over', '403 purpose_over']
const OVER = ['401 credential_revoked', '401 credential_revoked']
const ELSEWHERE = '127.0.0.2'

let pair: Raised
let ops: Leaf
let web: Leaf
let run: Opened
let runner: Runner
let desk: Headers
let lines: readonly Line[] = []
const beside: Line[] = []
const seen = {
  passed: [] as readonly string[], replays: [] as readonly string[], mixed: [] as readonly string[], elsewhere: [] as readonly string[], otherRun: [] as readonly string[], second: [] as readonly number[], race: [] as readonly number[],
  completed: {} as Line, behind: [] as readonly number[], ends: [] as readonly (string | number)[], others: [] as readonly boolean[], after: [] as readonly string[], reconnect: [] as readonly string[], undone: [] as readonly string[],
  again: [] as readonly number[],
  revoked: [] as (readonly string[])[], gone: [] as readonly string[], dispatched: -1, leaked: -1,
}

const forRun = (id: string, key: DpopKey): Line => ({
  subject: { kind: 'operator', subject: 'fleet-operator', tenant: 'acme' }, bind: { jkt: key.thumbprint, workload: OPS }, purpose: { run: id }, profiles: [{ profile: 'operate' }], for: '30m',
})
const both = async (path: string, shown: Shown = {}, holder = runner): Promise<readonly string[]> => [await holder.ask(pair.a, path, shown), await holder.ask(pair.b, path, shown)]
const openedOn = async (gate: TestGateway, body: Line): Promise<number> => (await asBroker(gate, '/v1/sessions', body)).status

async function inTheRun(): Promise<void> {
  seen.passed = [...(await both(STATUS)), ...(await both(HOST)), ...(await both(HOST, { method: 'POST', wire: 'HTTP/2', headers: { 'narrowgate-run': 'U' } }))]
  const other = { 'narrowgate-run': 'V' }
  seen.otherRun = [...(await both(STATUS, { headers: other })), ...(await both(HOST, { headers: other, wire: 'HTTP/2' }))]
}

/** What A took once, neither takes again; and what else a thief may have. */
async function stolenDuringTheRun(): Promise<void> {
  const { a, b } = pair
  const proofOf = async (path: string, claims: Line = {}): Promise<string> => runner.key.proof('GET', `https://api.test${path}`, run.token, { claims })
  const copy = await proofOf(HOST)
  const first = await runner.ask(a, HOST, { proof: copy })
  seen.replays = [first, ...(await both(HOST, { proof: copy })), await runner.ask(b, HOST, { proof: copy, from: ELSEWHERE, leaf: null })]
  const same = { jti: crypto.randomUUID(), iat: seconds() }
  expect(await runner.ask(b, HOST, { proof: await proofOf(HOST, same) })).toBe('200')
  seen.mixed = [
    ...(await both(HOST, { proof: await proofOf(HOST, { ...same, note: 'made anew' }) })),
    ...(await both(CONSOLE, { proof: await proofOf(HOST) })),
    ...(await both(HOST, { method: 'POST', proof: await proofOf(HOST) })),
    ...(await both(HOST, { proof: await proofOf(HOST, { iat: seconds(-120) }) })),
  ]
  seen.elsewhere = [
    ...(await both(HOST, { from: ELSEWHERE, leaf: null })), ...(await both(HOST, { from: ELSEWHERE, leaf: web })),
    ...(await both(STATUS, { from: ELSEWHERE, leaf: web })), ...(await both(HOST, { key: await DpopKey.make() })),
  ]
}

async function aSecondRun(): Promise<void> {
  const { a, b } = pair
  const key = await DpopKey.make()
  seen.second = [await openedOn(a, forRun('U', key)), await openedOn(b, forRun('U', key))]
  seen.race = await Promise.all([a, b, a, b].map(gate => openedOn(gate, forRun('U2', key))))
}

/** The platform tells A, while a console is open on B, beside somebody else on its connection and on the upstream. */
async function completed(): Promise<void> {
  const { a, b } = pair
  const session = await connectHttp2(b, { cert: ops.cert, key: ops.key })
  const on = async (path: string, headers: Headers): Promise<CallerStream> => {
    const stream = new CallerStream(session, 'GET', path, headers)
    await until(() => stream.status !== 0, `the head of ${path}`)
    return stream
  }
  const [console, besideIt, onTheSame] = [await on(CONSOLE, await runner.headers('GET', CONSOLE)), await OpenStream.open(b, LIVE, desk), await on(LIVE, desk)] // hers is bound to no workload: she came without one
  const stop = paced(a, 'console', 'live')
  await until(() => timesIn(console.body).length > 3, 'it to be under way')
  seen.completed = (await asBroker(a, `/v1/sessions/${run.session}/complete`)).json
  const at = performance.now()
  const ending = await console.over()
  const since = (text: string): boolean => timesIn(text).some(time => time > at + 50)
  await until(() => since(besideIt.text) && since(onTheSame.body), 'what was written for the others since')
  stop()
  seen.behind = timesIn(console.body).filter(time => time > at)
  seen.ends = [console.status, ending, (await on(HOST, await runner.headers('GET', HOST))).status]
  seen.others = [since(besideIt.text), since(onTheSame.body), !session.destroyed && onTheSame.closedAt === 0, (await on(STATUS, desk)).status === 200]
  besideIt.client.close()
  session.destroy()
}

async function theWayBack(): Promise<void> {
  const { a, b } = pair
  const { dpop: copy = '' } = await runner.headers('GET', HOST)
  seen.after = [...(await both(HOST)), ...(await both(STATUS, { wire: 'HTTP/2' })), ...(await both(HOST, { proof: copy })), ...(await both(HOST, { from: ELSEWHERE, leaf: null }))]
  seen.reconnect = [...(await both(CONSOLE)), ...(await both(LIVE, { wire: 'HTTP/2' }))]
  const lock = (await word(a, '/v1/locks', { selector: { workload: OPS } })).json['lock'] as Line // the contract's shape
  await word(b, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
  for (const [gate, state] of [[a, 'ended'], [b, 'open']] as const) await word(gate, '/v1/anchors/run/U', { state, tenant: 'acme' })
  for (const verb of ['resume', 'widen', 'complete']) await b.admin('POST', `/v1/sessions/${run.session}/${verb}`, { reason: 'once more' })
  await word(b, `/v1/locks/mark_${run.session}`, {}, 'DELETE')
  seen.undone = [...(await both(HOST)), ...(await both(STATUS))]
  seen.again = [await openedOn(b, forRun('U', runner.key)), await openedOn(a, forRun('U', runner.key))]
}

async function revokedByTheOperator(): Promise<void> {
  const { a, b } = pair
  const { token, session } = await opened(b, forRun('X', runner.key))
  const holder = new Runner(token, runner.key, ops)
  const look = async (): Promise<void> => void seen.revoked.push(await both(HOST, {}, holder))
  await look()
  await word(a, '/v1/anchors/run/X', { state: 'ended', tenant: 'acme' })
  await look()
  await word(b, '/v1/anchors/run/X', { state: 'open', tenant: 'acme' })
  await look()
  await word(a, `/v1/sessions/${session}/terminate`)
  await look()
}

async function theStoreIsGone(): Promise<void> {
  const { a, b } = pair
  const holder = new Runner((await opened(b, forRun('Y', runner.key))).token, runner.key, ops)
  expect(await both(HOST, {}, holder)).toEqual(PASSED)
  const session = await connectHttp2(b, { cert: ops.cert, key: ops.key })
  const open = new CallerStream(session, 'GET', CONSOLE, await holder.headers('GET', CONSOLE))
  await until(() => open.status === 200, 'the console')
  await goneForLonger(pair)
  const [requests, bytes] = [a.upstream.requests.length, open.bytes]
  a.upstream.feed('console').emit('nobody hears this')
  seen.gone = [...(await both(HOST, {}, holder)), ...(await both(STATUS, {}, holder))]
  seen.dispatched = a.upstream.requests.length - requests
  seen.leaked = open.bytes - bytes
  session.destroy()
}

beforeAll(async () => {
  const mesh = await ClientAuthority.create('Mesh')
  ;[ops, web] = [await mesh.issue({ subject: '/CN=operator', extensions: svidLeaf(OPS) }), await mesh.issue({ subject: '/CN=shop', extensions: svidLeaf(WEB) })]
  pair = await raiseBrokeredPair('s24.yaml', { clientsCaFile: mesh.cert.certFile })
  const { a, b } = pair
  a.upstream.plays.set(LIVE, '/sse/live').set(CONSOLE, '/sse/console').set(HOST, '/ok').set(STATUS, '/ok')
  const key = await DpopKey.make()
  run = await opened(a, forRun('U', key))
  runner = new Runner(run.token, key, ops)
  desk = bearer(await tokenFor(a.issuer, 'dora'))
  await inTheRun()
  await stolenDuringTheRun()
  await aSecondRun()
  await completed()
  await theWayBack()
  await revokedByTheOperator()
  lines = await pair.trail()
  beside.push(...(await refusedBeside(a)), ...(await refusedBeside(b)))
  await theStoreIsGone()
}, 60_000)
afterAll(() => pair.stop())

test('[S24.a] with its key, its workload and its run it passes on both, whichever gave it', () => expect(seen.passed).toEqual([...PASSED, ...PASSED, ...PASSED]))

test('[S24.c, S24.d, S24.e, S24.p] what one gateway took neither takes again, from the same host or another, and no part of it is worth anything', () => {
  expect(seen.replays).toEqual(['200', ...INVALID, INVALID[0]])
  expect(seen.mixed).toEqual([...INVALID, ...INVALID, ...INVALID, ...INVALID])
  expect(seen.elsewhere).toEqual([...BROKEN, ...BROKEN, ...BROKEN, ...INVALID])
})

test('[S24.g] a second run beside it is refused, and of those who ask both gateways at once one gets a token', () => {
  expect([seen.second, seen.race.toSorted((x, y) => x - y)]).toEqual([[409, 409], [201, 409, 409, 409]])
  expect(seen.otherRun).toEqual(Array.from({ length: 4 }, () => '403 purpose_mismatch'))
})

test('[S24.b, S24.f, S24.o, S24.q, S24.r, S24.s] completed through A it is over on B before that is answered, with the key too, and the way back is closed through both', () => {
  isEnforced(seen.completed, { cut: 1 })
  expect([seen.ends[0], seen.ends[2], seen.behind]).toEqual([200, 401, []])
  expect(['whole', constants.NGHTTP2_CANCEL]).toContain(seen.ends[1]) // between two events, or in one
  expect([seen.after, seen.reconnect]).toEqual([[...OVER, ...OVER, ...OVER, ...OVER], [...OVER, ...OVER]])
  expect([seen.undone, seen.again]).toEqual([[...OVER, ...OVER], [409, 409]])
  expect(seen.revoked).toEqual([PASSED, DONE, DONE, OVER])
})

test('[S24.h, S24.i, S24.j] attempts on either are on record with their source, and each record is whole', () => {
  const told = (of: readonly Line[], reason: string): readonly string[] => [...new Set(of.filter(line => line['reason'] === reason).map(({ gateway, source }) => `${String(gateway)} ${String(source)}`))]
  expect(told(beside, 'credential_revoked')).toHaveLength(4)
  expect(told(beside, 'credential_invalid')).toHaveLength(3) // the copy came to B from elsewhere
  expect(told(lines.filter(({ session }) => session === run.session), 'binding_broken')).toHaveLength(2)
  recordsAreWhole(lines, run.session, { actors: [ENGINE] })
  risksAreNamed(lines, pair.a)
})

test('[S24.u, S24.v] another session\'s traffic on B flows, on the same upstream and on the same HTTP/2 connection', () => expect(seen.others).toEqual([true, true, true, true]))

test('[S24.t] with Redis gone no call passes after the lease, on A or B, and nothing of an open console', () => {
  expect(seen.gone).toEqual(Array.from({ length: 4 }, () => expect.stringMatching(/^503 (?:stale|store_failed)$/))) // nobody can tell a first proof from a copy
  expect([seen.dispatched, seen.leaked]).toEqual([0, 0])
})
