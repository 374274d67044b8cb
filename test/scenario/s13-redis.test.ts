// S13: a standing key leaked and its session is live, on two gateways over Redis. The investigator types `narrowgate …` against A; each clause is asserted on
// what was seen of the story through A and B.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { goneForLonger, outcomeAt, type Raised, raisePair, STALE, throughBoth } from './pair.ts'
import { argumentsAreDigested, bearer, elevate, factsIn, type Headers, type Line, loadsAsItStands, OpenStream, outcome, recordsAreWhole, risksAreNamed, tokenFor, verifyFindsEveryMissingRecord } from './stage.ts'

const MAIN = join(import.meta.dirname, '../../src/main.ts')
const HOST = { host: 'reports.internal' }
const MINUTE = 60_000
const LEAKED = 'reporting/key-1'
const BOUND = 1_000
const QUIET = 300
const EXPORT = { path: '/exports', query: '?month=2026-10', body: '{"format":"csv"}' }
const REVOKED = ['401 credential_revoked', '401 credential_revoked']
const INVESTIGATOR = 'https://login.example|olga'

let pair: Raised
let k: Headers
let second: Headers
let older: Headers
let session = ''
let lines: readonly Line[] = []
/** Of key 2, on A and on B, over the whole story. */
let bystanders: readonly OpenStream[] = []
const sent: string[] = []
const seen = {
  start: [] as readonly string[], frozen: {} as Line, leaked: [] as number[], held: [] as readonly string[], refusedFrozen: [] as readonly string[],
  terminated: {} as Line, bodies: [] as string[], passedOn: [] as number[], replay: [] as readonly string[], reconnect: [] as readonly string[], resumed: [] as readonly string[],
  cutOff: {} as Line, olderCut: '', olderAfter: [] as readonly string[], secondAfter: [] as readonly string[], newKey: [] as readonly string[], newElevated: [] as readonly string[],
  lifted: [] as readonly string[], others: [] as string[], gone: [] as readonly string[], dispatched: -1,
}

/** What somebody types, in a process of its own; its answer as JSON. */
async function narrowgate(gate: TestGateway, ...words: readonly string[]): Promise<Line> {
  const { NODE_OPTIONS: _, ...env } = process.env
  const server = `http://127.0.0.1:${gate.gateway.front.bound.get('admin')?.address.port}`
  const child = spawn(process.execPath, [MAIN, ...words, '-o', 'json', '--server', server, '--token-file', join(gate.directory, 'state/admin.token')], { env, stdio: ['ignore', 'pipe', 'pipe'] })
  let [out, err] = ['', '']
  child.stdout.on('data', (chunk: Buffer) => (out += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (err += chunk.toString()))
  const [exit] = (await once(child, 'close')) as [number | null] // what a close event carries
  expect(exit, err).toBe(0)
  return JSON.parse(out) as Line // the contract's answers are objects
}

const both = (method: string, path: string, headers = k): Promise<readonly string[]> => throughBoth(pair, method, path, headers)
const keyOf = async (key: string, issuedIn: number): Promise<Headers> => bearer(await tokenFor(pair.a.issuer, key, { service: 'reporting' }, issuedIn), HOST)
const open = (headers: Headers): Promise<OpenStream[]> => Promise.all([pair.a, pair.b].map(gate => OpenStream.open(gate, '/live', headers)))

/** One more event on every open stream; these have it before this resolves. */
async function tick(...streams: readonly OpenStream[]): Promise<void> {
  sent.push(`event ${sent.length}.`)
  pair.a.upstream.feed('live').emit(sent.at(-1) ?? '')
  for (const stream of streams) await stream.says(sent.at(-1) ?? '')
}

const eventsIn = (body: string): readonly string[] => [...body.matchAll(/data: (event \d+\.)\n\n/g)].map(([, event]) => event ?? '')
const wholeFrom = (body: string, first: number, to: number): boolean => body === sent.slice(first, to).map(event => `data: ${event}\n\n`).join('')

async function frozen(streams: readonly OpenStream[]): Promise<void> {
  seen.frozen = await narrowgate(pair.a, 'freeze', `subject=${LEAKED}`, '--reason', 'key 1 was found in a paste')
  const marks = streams.map(({ client }) => client.mark())
  for (let i = 0; i < 10; i++) await tick(...bystanders)
  seen.refusedFrozen = await both('GET', '/daily')
  await pause(QUIET)
  seen.leaked = streams.map(({ client }, i) => client.receivedSince(marks[i] ?? 0))
  seen.held = await Promise.all(streams.map(({ client }) => Promise.race([client.ended, pause(1).then(() => 'held')])))
}

async function terminated(streams: readonly OpenStream[]): Promise<void> {
  seen.terminated = await narrowgate(pair.a, 'terminate', session, '--reason', 'key 1 was found in a paste')
  const before = sent.length
  await tick(...bystanders)
  seen.bodies = await Promise.all(streams.map(async stream => (await stream.cut()).body.toString()))
  seen.passedOn = seen.bodies.map(body => eventsIn(body).filter(event => Number(/\d+/.exec(event)) >= before).length)
  seen.replay = await both('GET', '/daily')
  seen.reconnect = await both('GET', '/live')
  await narrowgate(pair.b, 'resume', `subject=${LEAKED}`, '--reason', 'its key is dead')
  seen.resumed = [...(await both('GET', '/daily')), ...(await both('POST', '/exports'))]
}

async function cutOff(): Promise<void> {
  const stream = await OpenStream.open(pair.b, '/live', older)
  await tick(stream, ...bystanders)
  seen.cutOff = await narrowgate(pair.a, 'lock', `issuedBefore=${new Date(Date.now() - 60 * MINUTE).toISOString()}`, '--reason', 'older keys lay beside it')
  await tick(...bystanders)
  seen.olderCut = (await stream.cut()).body.toString()
  seen.olderAfter = await both('GET', '/daily', older)
  seen.secondAfter = await both('GET', '/daily', second)
}

async function theWayBack(): Promise<void> {
  const renewed = await keyOf('reporting/key-3', 0)
  seen.newKey = await both('GET', '/daily', renewed)
  seen.newElevated = await both('POST', '/exports', renewed)
  await narrowgate(pair.b, 'unlock', String((seen.cutOff['lock'] as Line)['id']), '--reason', 'all of them were replaced') // the contract's shape
  seen.lifted = [...(await both('GET', '/daily')), ...(await both('GET', '/live')), ...(await both('POST', '/exports'))]
  await tick(...bystanders)
  pair.a.upstream.feed('live').end()
  seen.others = await Promise.all(bystanders.map(async stream => (await stream.cut()).body.toString()))
}

async function theStoreIsGone(): Promise<void> {
  const renewed = await keyOf('reporting/key-4', 0)
  await elevate(pair.a, renewed, { profile: 'export' })
  expect(await both('POST', '/exports', renewed)).toEqual(['200', '200'])
  await goneForLonger(pair)
  const requests = pair.a.upstream.requests.length
  seen.gone = await both('POST', '/exports', renewed)
  seen.dispatched = pair.a.upstream.requests.length - requests
}

beforeAll(async () => {
  pair = await raisePair('s13.yaml')
  const { a, b } = pair
  a.upstream.plays.set('/live', '/sse/live').set('/daily', '/ok').set('/exports', '/ok')
  ;[k, second, older] = [await keyOf(LEAKED, -30 * MINUTE), await keyOf('reporting/key-2', -30 * MINUTE), await keyOf('reporting/key-0', -120 * MINUTE)]
  session = String((await a.ask('GET', '/.narrowgate/session', k)).json['id'])
  await elevate(a, k, { profile: 'export' })
  seen.start = [...(await both('GET', '/daily')), outcome(await a.ask('POST', `${EXPORT.path}${EXPORT.query}`, k, EXPORT.body)), await outcomeAt(b, 'POST', EXPORT.path, k)]
  const streams = await open(k)
  bystanders = await open(second)
  await tick(...streams, ...bystanders)
  await frozen(streams)
  await terminated(streams)
  await cutOff()
  await theWayBack()
  lines = await pair.trail()
}, 90_000)
afterAll(() => pair.stop())

const DONE = { enforced: true, gateways: { total: 2, acknowledged: 2, expired: 0 } }

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s13.yaml'))

test('[S13.a] `narrowgate freeze subject=…`: no byte passes on its streams on A and B, and their connections are held', () => {
  expect(seen.start).toEqual(['200', '200', '200', '200'])
  expect(seen.frozen).toMatchObject({ ...DONE, exchanges: { frozen: 2 } })
  expect([seen.leaked, seen.held, seen.refusedFrozen]).toEqual([[0, 0], ['held', 'held'], ['403 frozen', '403 frozen']])
})

test('[S13.b] `narrowgate terminate` cuts both streams, and nothing that waited goes through', () => {
  expect(seen.terminated).toMatchObject({ ...DONE, exchanges: { cut: 2 } })
  expect(seen.terminated['tookMs']).toBeLessThan(BOUND)
  expect([seen.passedOn, seen.bodies.map(eventsIn)]).toEqual([[0, 0], [['event 0.'], ['event 0.']]])
})

test('[S13.c] the issued-before cut-off refuses what was issued before it, on both, and cuts what is open', () => {
  expect(seen.cutOff).toMatchObject({ ...DONE, exchanges: { cut: 1 } })
  expect(eventsIn(seen.olderCut)).toHaveLength(1)
  expect(seen.olderAfter).toEqual(['403 locked', '403 locked'])
})

test('[S13.d] K itself is refused, also when the freeze on its subject is lifted', () => expect([seen.replay, seen.resumed]).toEqual([REVOKED, [...REVOKED, ...REVOKED]]))
test('[S13.e] a new key works, from its baseline', () => expect([seen.newKey, seen.newElevated]).toEqual([['200', '200'], ['403 elevation_required', '403 elevation_required']]))

test('[S13.f] sessions of other keys of the same service are untouched, to the byte', () => {
  expect(seen.secondAfter).toEqual(['200', '200'])
  expect(seen.others.map(body => wholeFrom(body, 0, sent.length))).toEqual([true, true])
})

test('[S13.g] the log tells who did it and why', () => {
  expect(factsIn(lines, 'session.revoked')).toMatchObject([{ by: INVESTIGATOR, note: 'key 1 was found in a paste' }])
  expect(factsIn(lines, 'lock.set').map(({ by, note }) => [by, note])).toEqual([[INVESTIGATOR, 'key 1 was found in a paste'], [INVESTIGATOR, 'older keys lay beside it']])
  expect(lines.filter(({ kind }) => kind === 'admin.changed').map(({ who, action, note }) => [who, action, note])).toEqual(expect.arrayContaining([
    [INVESTIGATOR, 'session.terminate', 'key 1 was found in a paste'], [INVESTIGATOR, 'lock.set', 'older keys lay beside it'], [INVESTIGATOR, 'lock.lift', 'all of them were replaced'],
  ]))
})

test('[S13.i] each record names who, on whose behalf, with what, where, what was decided and why, and what went through', () => recordsAreWhole(lines, session))

test('[S13.j] each record names the risk before and after', () => risksAreNamed(lines, pair.a))

test('[S13.k] each record has the digest of the arguments', () => argumentsAreDigested(lines, session, EXPORT))

test('[S13.l] the life of its elevation is there: requested, activated, used on both, ended with its session', () => {
  const [elevation] = factsIn(lines, 'elevation.requested').map(({ elevation: whole }) => (whole as Line)['id']) // the first fact holds it whole
  const own = (line: Line): boolean => JSON.stringify(line).includes(String(elevation))
  expect(lines.filter(line => line['kind'] === 'fact' && own(line)).map(({ fact }) => [(fact as Line)['what'], (fact as Line)['reason']])).toEqual([['elevation.requested', undefined], ['elevation.activated', undefined], ['elevation.ended', 'session_ended']])
  const uses = lines.filter(({ kind, grant }) => kind === 'exchange.opened' && grant === elevation)
  expect([uses.length, new Set(uses.map(({ gateway }) => gateway)).size]).toEqual([2, 2])
})

test('[S13.m] the life of each exchange is there: opened, frozen, and cut with grant and latency', () => {
  const cuts = lines.filter(({ kind, session: of }) => kind === 'exchange.cut' && of === session)
  expect(cuts).toMatchObject(Array.from({ length: 2 }, () => ({ reason: 'revoked', because: expect.stringMatching(/^sig_/), grant: 'baseline', latencyMs: expect.any(Number) })))
  for (const { exchange, latencyMs } of cuts) {
    expect(latencyMs).toBeLessThan(BOUND)
    expect(lines.filter(line => line['exchange'] === exchange).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.frozen', 'exchange.cut', 'exchange.closed'])
  }
})

test('[S13.n] `audit verify` passes on both trails, and fails when one record is removed, whichever', async () => {
  for (const gate of [pair.a, pair.b]) await verifyFindsEveryMissingRecord(gate)
})

test('[S13.o] the same token again is refused', () => expect(seen.replay).toEqual(REVOKED))
test('[S13.p] reconnecting after the cut is refused', () => expect(seen.reconnect).toEqual(REVOKED))
test('[S13.q] lifting the freeze and the cut-off revives nothing', () => expect([seen.resumed, seen.lifted]).toEqual([[...REVOKED, ...REVOKED], [...REVOKED, ...REVOKED, ...REVOKED]]))

test('[S13.r] each word through one gateway was in force on both when it was answered', () => {
  for (const answer of [seen.frozen, seen.terminated, seen.cutOff]) expect(answer).toMatchObject(DONE)
  expect(new Set(lines.filter(({ kind, session: of }) => kind === 'exchange.cut' && of === session).map(({ gateway }) => gateway)).size).toBe(2)
})

test('[S13.t] another session\'s traffic on the same upstream keeps flowing', () => expect(seen.others.map(body => eventsIn(body).length)).toEqual([sent.length, sent.length]))

test('[S13.s] with Redis gone no elevated call passes after the lease', async () => {
  await theStoreIsGone()
  expect([seen.gone, seen.dispatched]).toEqual([STALE, 0])
})
