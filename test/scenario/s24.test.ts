// S24: a token for one automation run, bound to a key and a workload, which nobody can replay. The story is played once; each clause is asserted on what was seen
// of it.
import { constants } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { DpopKey, seconds } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { ClientAuthority, type Leaf, svidLeaf } from '../support/tls.ts'
import { CallerStream, connectHttp2 } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { asBroker, ENGINE, factsOf, opened, type Opened, paced, raiseBrokered, refusedBeside, Runner, timesIn } from './brokers.ts'
import { argumentsAreDigested, bearer, factsIn, type Headers, type Line, linesOf, loadsAsItStands, OpenStream, recordsAreWhole, risksAreNamed, toldAndKept, tokenFor, verifyFindsEveryMissingRecord, word } from './stage.ts'

const OPS = 'spiffe://mesh.example/ns/ops/sa/operator'
const WEB = 'spiffe://mesh.example/ns/web/sa/shop'
const BOUND = 1_000
const STATUS = '/fleet/status/all'
const LIVE = '/fleet/status/live'
const HOST = '/fleet/hosts/db-1'
const DRAIN = '?drain=1'
const CONSOLE = '/fleet/hosts/db-1/console'
const INVALID = '401 credential_invalid'
const OVER = '401 credential_revoked'
const ELSEWHERE = '127.0.0.2'

let gate: TestGateway
let ops: Leaf
let web: Leaf
let run: Opened
let runner: Runner
let desk: Headers
let lines: readonly Line[] = []
let beside: readonly Line[] = []
const seen = {
  passed: [] as string[], unproved: [] as string[], suspended: '', replays: [] as string[], mixed: [] as string[], elsewhere: [] as string[], bound: [] as string[],
  second: [] as number[], race: [] as number[], otherRun: [] as string[],
  completed: {} as Line, behind: [] as number[], ends: [] as (string | number)[], others: [] as boolean[], sameConnection: [] as (string | number)[],
  later: [] as string[], reconnect: [] as string[], undone: [] as string[], again: [] as number[], revoked: [] as string[], told: '', kept: '-',
}

const forRun = (id: string, key: DpopKey): Line => ({
  subject: { kind: 'operator', subject: 'fleet-operator', tenant: 'acme' }, bind: { jkt: key.thumbprint, workload: OPS }, purpose: { run: id }, profiles: [{ profile: 'operate' }], for: '30m',
})
const ask = (path: string, shown: Parameters<Runner['ask']>[2] = {}): Promise<string> => runner.ask(gate, path, shown)

async function inTheRun(): Promise<void> {
  const rotated = await mesh.issue({ subject: '/CN=operator', extensions: svidLeaf(OPS) })
  seen.passed = [await ask(STATUS), await ask(HOST), await ask(`${HOST}${DRAIN}`, { method: 'POST', headers: { 'narrowgate-run': 'U' } }), await ask(HOST, { wire: 'HTTP/2' }), await ask(HOST, { leaf: rotated })]
  await word(gate, `/v1/sessions/${run.session}/narrow`)
  seen.suspended = await ask(HOST)
  await word(gate, `/v1/sessions/${run.session}/widen`)
}

/** Somebody saw a whole request, or has a part of what it takes. */
async function stolenDuringTheRun(): Promise<void> {
  const { dpop: copy = '' } = await runner.headers('GET', HOST)
  seen.passed.push(await ask(HOST, { proof: copy }))
  seen.replays = [await ask(HOST, { proof: copy }), await ask(HOST, { proof: copy, from: ELSEWHERE, leaf: null }), await ask(HOST, { proof: copy, wire: 'HTTP/2' })]
  const jti = crypto.randomUUID()
  const made = (claims: Line): Promise<string> => runner.key.proof('GET', `https://api.test${HOST}`, run.token, { claims: { jti, ...claims } })
  seen.passed.push(await ask(HOST, { proof: await made({}) }))
  seen.mixed = [
    await ask(HOST, { proof: await made({ iat: seconds(1) }) }), await ask(CONSOLE, { proof: (await runner.headers('GET', HOST))['dpop'] ?? '' }),
    await ask(HOST, { method: 'POST', proof: (await runner.headers('GET', HOST))['dpop'] ?? '' }), await ask(HOST, { proof: await made({ jti: crypto.randomUUID(), iat: seconds(-120) }) }),
  ]
  const thief = await DpopKey.make()
  seen.unproved = [await ask(HOST, { key: thief }), await ask(HOST, { headers: { authorization: `Bearer ${run.token}` } }), await ask(HOST, { from: ELSEWHERE, key: thief, leaf: web })]
  seen.elsewhere = [await ask(HOST, { from: ELSEWHERE, leaf: null }), await ask(HOST, { from: ELSEWHERE, leaf: web }), await ask('/.narrowgate/session', { from: ELSEWHERE, leaf: web }), await ask(STATUS, { from: ELSEWHERE, leaf: web })]
}

async function aSecondRun(): Promise<void> {
  const key = await DpopKey.make()
  const asked = async (body: Line): Promise<number> => (await asBroker(gate, '/v1/sessions', body)).status
  seen.second = [await asked(forRun('U', key)), await asked({ ...forRun('U', key), subject: { kind: 'operator', subject: 'somebody-else', tenant: 'acme' } }), await asked({ ...forRun('U', key), purpose: {} })]
  seen.race = await Promise.all(Array.from({ length: 4 }, () => asked(forRun('U2', key))))
  const other = { 'narrowgate-run': 'V' }
  seen.otherRun = [await ask(STATUS, { headers: other }), await ask(HOST, { headers: other }), await ask(HOST, { method: 'POST', headers: other, wire: 'HTTP/2' })]
  seen.bound = [await ask(HOST)]
}

/** Done while a console is open over HTTP/2 and the status is followed over HTTP/1.1, with somebody else on both. */
async function completed(): Promise<void> {
  const { cert, key } = ops
  const session = await connectHttp2(gate, { cert, key })
  const on = async (path: string, headers: Headers): Promise<CallerStream> => {
    const stream = new CallerStream(session, 'GET', path, headers)
    await until(() => stream.status !== 0, `the head of ${path}`)
    seen.sameConnection.push(stream.status)
    return stream
  }
  const feed = await RawClient.connect({ ...gate.target, tls: { ca: gate.target.tls?.ca ?? '', leaf: ops } })
  await feed.send(request('GET', LIVE, await runner.headers('GET', LIVE)))
  seen.ends.push((await feed.head()).status)
  const [console, besideIt, onTheSame] = [await on(CONSOLE, await runner.headers('GET', CONSOLE)), await OpenStream.open(gate, LIVE, desk), await on(LIVE, desk)]
  const stop = paced(gate, 'console', 'live')
  const textOf = (): string => feed.bytes().toString('latin1')
  await until(() => timesIn(console.body).length > 3 && timesIn(textOf()).length > 3, 'both to be under way')
  const { status, json } = await asBroker(gate, `/v1/sessions/${run.session}/complete`, { reason: 'U is over' })
  const at = performance.now()
  seen.completed = { status, ...json }
  await feed.response()
  seen.ends.push(await console.over())
  const since = (text: string): boolean => timesIn(text).some(time => time > at + 50)
  await until(() => since(besideIt.text) && since(onTheSame.body), 'what was written for the others since')
  stop()
  seen.behind = [...timesIn(console.body), ...timesIn(textOf())].filter(time => time > at)
  await on(HOST, await runner.headers('GET', HOST))
  await on(STATUS, desk)
  seen.others = [since(besideIt.text), since(onTheSame.body), !session.destroyed && onTheSame.closedAt === 0]
  for (const recorded of gate.upstream.requests.filter(({ path }) => path === CONSOLE)) await until(() => recorded.abortedAt > 0, 'the upstream to see the end')
  besideIt.client.close()
  session.destroy()
}

async function theWayBack(): Promise<void> {
  const { dpop: copy = '' } = await runner.headers('GET', HOST)
  seen.later = [
    await ask(HOST), await ask(STATUS), await ask(HOST, { wire: 'HTTP/2' }), await ask(HOST, { proof: copy }), await ask(HOST, { proof: copy }),
    await ask(HOST, { from: ELSEWHERE }), await ask(HOST, { from: ELSEWHERE, leaf: null, proof: copy }),
    await ask('/.narrowgate/session'),
  ]
  seen.reconnect = [await ask(CONSOLE), await ask(LIVE, { wire: 'HTTP/2' })]
  const lock = (await word(gate, '/v1/locks', { selector: { workload: OPS } })).json['lock'] as Line // the contract's shape
  await word(gate, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
  for (const state of ['ended', 'open']) await word(gate, '/v1/anchors/run/U', { state, tenant: 'acme' })
  seen.undone.push(await ask(HOST))
  for (const verb of ['resume', 'widen', 'complete']) await gate.admin('POST', `/v1/sessions/${run.session}/${verb}`, { reason: 'once more' })
  await word(gate, `/v1/locks/mark_${run.session}`, {}, 'DELETE')
  seen.undone.push(await ask(HOST), await ask(STATUS))
  seen.again = [(await asBroker(gate, '/v1/sessions', forRun('U', runner.key))).status]
}

/** Another run of the same key and workload is another session, and an operator's word ends it. */
async function revokedByTheOperator(): Promise<void> {
  const next = await opened(gate, forRun('X', runner.key))
  const holder = new Runner(next.token, runner.key, ops)
  const asks = async (): Promise<void> => void seen.revoked.push(await holder.ask(gate, HOST))
  await asks()
  await word(gate, '/v1/anchors/run/X', { state: 'ended', tenant: 'acme' })
  await asks()
  await word(gate, '/v1/anchors/run/X', { state: 'open', tenant: 'acme' })
  await asks()
  await word(gate, `/v1/sessions/${next.session}/terminate`)
  await asks()
}

let mesh: ClientAuthority
beforeAll(async () => {
  mesh = await ClientAuthority.create('Mesh')
  ;[ops, web] = [await mesh.issue({ subject: '/CN=operator', extensions: svidLeaf(OPS) }), await mesh.issue({ subject: '/CN=shop', extensions: svidLeaf(WEB) })]
  gate = await raiseBrokered('s24.yaml', { clientsCaFile: mesh.cert.certFile })
  gate.upstream.plays.set(LIVE, '/sse/live').set(CONSOLE, '/sse/console').set(HOST, '/ok').set(STATUS, '/ok')
  const key = await DpopKey.make()
  run = await opened(gate, forRun('U', key))
  runner = new Runner(run.token, key, ops)
  desk = bearer(await tokenFor(gate.issuer, 'dora'))
  await inTheRun()
  await stolenDuringTheRun()
  await aSecondRun()
  await completed()
  ;[seen.told, seen.kept] = await toldAndKept(gate, run.session)
  await theWayBack()
  await revokedByTheOperator()
  lines = await linesOf(gate)
  beside = await refusedBeside(gate)
}, 60_000)
afterAll(() => gate.stop())

const own = (): readonly Line[] => lines.filter(({ session }) => session === run.session)
const attempts = (of: readonly Line[], reason: string): readonly (readonly [source: unknown, path: unknown])[] => of.filter(line => line['reason'] === reason).map(({ source, path }) => [source, path])

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s24.yaml'))

test('[S24.a] with its key, its workload and its run it passes, over either protocol, also with a rotated certificate; without any of the three it does not', () => {
  expect(seen.passed).toEqual(Array.from({ length: 7 }, () => '200'))
  expect(seen.unproved).toEqual([INVALID, INVALID, INVALID])
  expect([seen.elsewhere[1], seen.otherRun[1]]).toEqual(['403 binding_broken', '403 purpose_mismatch'])
})

test('[S24.b] the run completes: what is open is cut, nothing follows behind the answer, and nothing passes any more; and likewise after an operator\'s word', () => {
  expect(seen.completed).toMatchObject({ status: 200, enforced: true, exchanges: { cut: 2 } })
  expect(seen.completed['tookMs']).toBeLessThan(BOUND)
  expect([seen.ends[0], seen.behind]).toEqual([200, []])
  expect(['whole', constants.NGHTTP2_CANCEL]).toContain(seen.ends[1]) // between two events, or in one
  expect(seen.sameConnection).toEqual([200, 200, 401, 200])
  expect(seen.revoked).toEqual(['200', '403 purpose_over', '403 purpose_over', OVER])
})

test('[S24.c, S24.p] a request that was seen is refused when it comes again from the same host, on another connection and over the other protocol', () => expect([seen.replays[0], seen.replays[2]]).toEqual([INVALID, INVALID]))

test('[S24.d] from another host the same request is refused, and so is a fresh proof without the workload or as another one', () => {
  expect(seen.replays[1]).toBe(INVALID)
  expect(seen.elsewhere).toEqual(Array.from({ length: 4 }, () => '403 binding_broken'))
  expect(factsIn(lines, 'binding.drifted').map(({ drift }) => drift)).toEqual([{ binding: 'workload', shown: '' }, { binding: 'workload', shown: WEB }])
})

test('[S24.e] a proof is good for one use, one target, one method and one minute: the same jti, another path, another method, an old one are refused', () => expect(seen.mixed).toEqual([INVALID, INVALID, INVALID, INVALID]))
test('[S24.f] with the key and the workload, but after completion, it is refused', () => expect(seen.later.slice(0, 3)).toEqual([OVER, OVER, OVER]))

test('[S24.g] a second run beside it is refused: no second token for a run, whoever asks at once, and the one there is serves no other run', () => {
  expect(seen.second).toEqual([409, 409, 400])
  expect(seen.race.toSorted((x, y) => x - y)).toEqual([201, 409, 409, 409])
  expect(seen.otherRun).toEqual(Array.from({ length: 3 }, () => '403 purpose_mismatch'))
  expect(seen.bound).toEqual(['200'])
})

test('[S24.h] each attempt to replay is on record with its source: those that prove nothing beside the trail, those of the session in it', () => {
  const [here, there] = ['127.0.0.1', ELSEWHERE].map(source => [source, HOST])
  expect(attempts(beside, 'credential_invalid')).toEqual([here, there, here, here, ['127.0.0.1', CONSOLE], here, here, here, here, there])
  expect(beside.flatMap(({ fault }) => (fault === null || fault === undefined ? [] : [fault])), 'what was wrong').toContain('dpop_replayed')
  expect(attempts(beside, 'credential_revoked').slice(0, 10)).toEqual([here, here, ['127.0.0.1', STATUS], here, here, here, there, there, ['127.0.0.1', '/.narrowgate/session'], ['127.0.0.1', CONSOLE]]) // so many are told one by one in a minute
  expect(attempts(own(), 'binding_broken')).toEqual([there, there, [ELSEWHERE, '/.narrowgate/session'], [ELSEWHERE, STATUS]])
  expect(own().filter(({ reason }) => reason === 'binding_broken').map(({ proved, drift }) => [(proved as Line)['key'], (drift as Line)['shown']])).toEqual(['', WEB, WEB, WEB].map(shown => [runner.key.thumbprint, shown])) // neither is null
})

test('[S24.i] each record names who, for whom, with what it proved, where, what was decided and why, and what went through', () => {
  recordsAreWhole(lines, run.session, { actors: [ENGINE] })
  const bindings = { key: runner.key.thumbprint, workload: OPS }
  expect(factsOf(lines, run.session)[0]).toMatchObject({ what: 'session.opened', bindings, brokered: { broker: 'platform', by: `https://login.example|${ENGINE}`, possession: 'dpop', purposes: { run: 'U' } } })
  for (const line of own().filter(({ kind }) => kind === 'exchange.opened')) expect(line).toMatchObject({ proved: bindings, purposes: { run: 'U' } })
  expect(attempts(own(), 'purpose_mismatch')).toHaveLength(3)
  expect(JSON.stringify([lines, beside])).not.toContain(run.token.slice(4))
})

test('[S24.j] each record names the risk before and after', () => risksAreNamed(lines, gate))

test('[S24.k] each record has the digest of the arguments', () => argumentsAreDigested(lines, run.session, { path: HOST, query: DRAIN, body: '' }))

test('[S24.l] the life of the elevation is there', () => {
  const told = factsOf(lines, run.session).filter(({ what }) => String(what).startsWith('elevation.'))
  expect(told.map(({ what }) => what)).toEqual(['elevation.requested', 'elevation.activated', 'elevation.suspended', 'elevation.resumed', 'elevation.ended'])
  expect([told.at(-1)?.['reason'], seen.suspended]).toEqual(['session_ended', '403 narrowed'])
  const used = own().filter(({ kind, elevation }) => kind === 'exchange.opened' && elevation !== null)
  expect(used.map(({ path }) => path)).toEqual([...Array.from({ length: 7 }, () => HOST), CONSOLE])
  expect(seen.told).toBe(seen.kept)
})

test('[S24.m] the life of each exchange is there: opened, and cut with grant and latency', () => {
  const end = factsOf(lines, run.session).find(({ what }) => what === 'session.revoked')
  const cuts = own().filter(({ kind }) => kind === 'exchange.cut')
  expect(cuts.map(({ grant }) => String(grant).slice(0, 4)).toSorted()).toEqual(['base', 'elv_'])
  for (const cut of cuts) {
    expect(cut).toMatchObject({ because: end?.['because'], latencyMs: expect.any(Number) })
    expect(cut['latencyMs']).toBeLessThan(BOUND)
    expect(lines.filter(({ exchange }) => exchange === cut['exchange']).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
  }
})

test('[S24.n] `audit verify` passes, and fails when one record is removed, whichever', () => verifyFindsEveryMissingRecord(gate))
test('[S24.o] the same token again is refused, whatever comes with it and from wherever', () => expect(seen.later).toEqual(Array.from({ length: 8 }, () => OVER)))
test('[S24.q] reconnecting after the cut is refused', () => expect(seen.reconnect).toEqual([OVER, OVER]))

test('[S24.r] nothing revives it: no lock that is lifted, no run that is opened again, no verb and no cleared mark; and its run gets no other token', () => {
  expect(seen.undone).toEqual([OVER, OVER, OVER])
  expect(seen.again).toEqual([409])
})

test('[S24.u] another session\'s traffic on the same upstream keeps flowing', () => expect(seen.others[0]).toBe(true))
test('[S24.v] another session\'s traffic on the same HTTP/2 connection keeps flowing', () => expect(seen.others.slice(1)).toEqual([true, true]))
