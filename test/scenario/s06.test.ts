// S6: a token for triaging the tickets of one queue, which is over when its workflow is. The story is played once; each clause is asserted on what was seen of it.
import { constants } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { firstMismatch } from '../support/pattern.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { until } from '../wire/support.ts'
import { asBroker, ENGINE, factsOf, opened, type Opened, outcomeFrom, paced, raiseBrokered, refusedBeside, timesIn } from './brokers.ts'
import { approve, asHolder } from './operators.ts'
import { SharedConnection, uploading } from './shared-connection.ts'
import { bearer, elevate, factsIn, type Headers, type Line, linesOf, loadsAsItStands, OpenStream, outcome, recordsAreWhole, risksAreNamed, toldAndKept, tokenFor, verifyFindsEveryMissingRecord, word } from './stage.ts'

const HOST = { host: 'tickets.internal' }
const HOUR = 3_600_000
const BOUND = 1_000
const LIST = '/queues/Q/tickets'
const LIVE = '/queues/Q/live'
const TICKET = '/queues/Q/tickets/7'
const COMMENTS = `${TICKET}/comments`
const LONG_COMMENT = '/queues/Q/tickets/8/comments'
const OVER = '401 credential_revoked'

let gate: TestGateway
let triage: Opened
let agent: Headers
let desk: Headers
let lines: readonly Line[] = []
let beside: readonly Line[] = []
const called: string[] = []
const seen = {
  passed: [] as string[], outside: [] as string[], purged: '', merged: [] as string[], otherHost: [] as string[], refresh: [] as (string | number)[], suspended: [] as string[],
  completed: {} as Line, behind: [] as number[], upload: {} as Line, others: [] as boolean[], sameConnections: [] as (string | number)[],
  later: [] as string[], reconnect: [] as string[], undone: [] as string[], secondTask: [] as string[], told: '', kept: '-',
}

const workflow = (task: string): Line => ({
  subject: { kind: 'agent', subject: 'triage-bot', tenant: 'acme', owner: 'https://login.example|tess', claims: { queue: 'Q' } }, bind: { source: '127.0.0.1' },
  scopes: ['tickets:read', 'tickets:comment'], purpose: { task }, profiles: [{ profile: 'comment' }], for: '1h',
})

const note = (method: string, path: string, told: string): string => {
  called.push(`${method} ${path} ${told === '200' ? 'passed' : told.slice(4)}`)
  return told
}
const ask = async (method: string, path: string, more: Headers = {}): Promise<string> => note(method, path, outcome(await gate.ask(method, path, { ...agent, ...more })))
const fromElsewhere = async (method: string, path: string, more: Headers = {}): Promise<string> => note(method, path, await outcomeFrom(gate, '127.0.0.2', method, path, { ...agent, ...more }))
const self = (method: string, path: string, body: object = {}) => gate.ask(method, `/.narrowgate/${path}`, { ...agent, 'content-type': 'application/json' }, JSON.stringify(body))

async function outsideTheList(): Promise<void> {
  seen.outside = [await ask('DELETE', TICKET), await ask('GET', '/queues/R/tickets'), await ask('POST', '/queues/R/tickets/9/comments'), await ask('PUT', TICKET), await ask('GET', LIST, { 'narrowgate-task': 'V' })]
  seen.purged = outcome(await self('POST', 'elevations', { profile: 'clean-up', purpose: { task: 'W' } }))
  const merge = await elevate(gate, agent, { profile: 'merge', purpose: { task: 'W' } })
  await approve(gate, merge)
  seen.merged = [String((await self('GET', `elevations/${merge}`)).json['state']), await ask('DELETE', TICKET)]
  await word(gate, `/v1/elevations/${merge}/revoke`)
  seen.merged.push(outcome(await self('POST', 'elevations', { profile: 'comment', purpose: { task: 'V' } })), await ask('POST', COMMENTS, { 'narrowgate-task': 'V' }))
}

async function narrowedForAWhile(): Promise<void> {
  await word(gate, `/v1/sessions/${triage.session}/narrow`)
  seen.suspended = [await ask('POST', COMMENTS), await ask('GET', LIST)]
  await word(gate, `/v1/sessions/${triage.session}/widen`)
  seen.suspended.push(await ask('POST', COMMENTS))
}

async function fromAnotherHost(): Promise<void> {
  seen.otherHost = [await fromElsewhere('GET', LIST), await fromElsewhere('POST', COMMENTS), await fromElsewhere('GET', LIST, { 'x-forwarded-for': '127.0.0.1' })]
  for (const [method, path] of [['GET', 'session'], ['POST', 'elevations'], ['POST', 'session/renew']] as const) seen.otherHost.push(await outcomeFrom(gate, '127.0.0.2', method, `/.narrowgate/${path}`, agent))
  seen.otherHost.push(await ask('GET', LIST))
}

async function refresh(): Promise<void> {
  seen.refresh.push(outcome(await self('POST', 'session/renew')), (await asHolder(gate, triage.token, '/v1/sessions', workflow('W'))).status)
  const { json } = await self('GET', 'session')
  seen.refresh.push(Date.parse(String(json['endsAt'])) - triage.endsAt)
}

/** The workflow is done while events are read and a comment is sent, on connections of either protocol; others use both. */
async function completedEarly(): Promise<void> {
  const [kept, shared] = [await RawClient.connect(gate.target), await SharedConnection.to(gate)]
  const onKept = async (): Promise<void> => {
    await kept.send(request('GET', LIST, agent))
    seen.sameConnections.push((await kept.response()).status)
  }
  await onKept()
  note('GET', LIST, '200')
  const feed = await OpenStream.open(gate, LIVE, agent)
  note('GET', LIVE, '200')
  const upload = shared.stream('POST', LONG_COMMENT, agent)
  const sending = uploading(upload)
  note('POST', LONG_COMMENT, '200')
  const [besideIt, onTheSame] = [await OpenStream.open(gate, LIVE, desk), await shared.open(LIVE, desk)]
  const stop = paced(gate, 'live')
  const received = await gate.upstream.request(LONG_COMMENT)
  await until(() => received.bodyBytes > 65_536 && timesIn(feed.text).length > 3, 'both to be under way')
  const { status, json } = await asBroker(gate, `/v1/sessions/${triage.session}/complete`, { reason: 'W is done' })
  const at = performance.now()
  seen.completed = { status, ...json }
  const passedOn = received.bodyBytes
  await feed.cut()
  const code = await upload.over()
  sending.stop()
  await until(() => received.abortedAt > 0, 'the upstream to see the end')
  seen.upload = { code, behind: received.bodyBytes - passedOn, wrongAt: firstMismatch(received.body()), complete: received.bodyEndedAt > 0 }
  const since = (text: string): boolean => timesIn(text).some(time => time > at + 50)
  await until(() => since(besideIt.text) && since(onTheSame.body), 'what was written for the others since')
  seen.others = [since(besideIt.text), since(onTheSame.body), shared.isUp, onTheSame.closedAt === 0]
  stop()
  seen.behind = timesIn(feed.text).filter(time => time > at)
  await onKept()
  seen.sameConnections.push(await shared.outcome('GET', LIST, agent), await shared.outcome('GET', LIST, desk))
  for (const close of [kept, besideIt.client, shared]) close.close()
}

async function theWayBack(): Promise<void> {
  seen.later = [
    await outcomeOf('GET', LIST), await outcomeOf('POST', COMMENTS), await outcomeOf('DELETE', TICKET), outcome(await self('GET', 'session')), outcome(await self('POST', 'session/renew')),
    await outcomeFrom(gate, '127.0.0.2', 'GET', LIST, agent),
  ]
  seen.reconnect = [await outcomeOf('GET', LIVE), await outcomeOf('POST', LONG_COMMENT)]
  const lock = (await word(gate, '/v1/locks', { selector: { subject: 'triage-bot' } })).json['lock'] as Line // the contract's shape
  await word(gate, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
  seen.undone.push(await outcomeOf('GET', LIST))
  for (const state of ['ended', 'open']) await word(gate, '/v1/anchors/task/W', { state, tenant: 'acme' })
  seen.undone.push(await outcomeOf('POST', COMMENTS))
  for (const verb of ['resume', 'widen', 'complete']) await gate.admin('POST', `/v1/sessions/${triage.session}/${verb}`, { reason: 'once more' })
  await word(gate, `/v1/locks/mark_${triage.session}`, {}, 'DELETE')
  seen.undone.push(await outcomeOf('GET', LIST), await outcomeOf('POST', COMMENTS))
}
const outcomeOf = async (method: string, path: string, headers = agent): Promise<string> => outcome(await gate.ask(method, path, headers))

/** Another workflow's session lives, and what its task ended stays ended. */
async function anotherTask(): Promise<void> {
  const second = bearer((await opened(gate, workflow('W2'))).token, HOST)
  const both = async (): Promise<void> => void seen.secondTask.push(await outcomeOf('GET', LIST, second), await outcomeOf('POST', COMMENTS, second))
  await both()
  await word(gate, '/v1/anchors/task/W2', { state: 'ended', tenant: 'acme' })
  await both()
  await word(gate, '/v1/anchors/task/W2', { state: 'open', tenant: 'acme' })
  await both()
}

beforeAll(async () => {
  gate = await raiseBrokered('s06.yaml')
  gate.upstream.plays.set(LIVE, '/sse/live').set(COMMENTS, '/ok').set(LONG_COMMENT, '/upload').set(LIST, '/ok')
  triage = await opened(gate, workflow('W'))
  agent = bearer(triage.token, HOST)
  desk = bearer(await tokenFor(gate.issuer, 'dora', { queue: 'Q' }), HOST)
  seen.passed = [await ask('GET', LIST), await ask('POST', COMMENTS), await ask('GET', LIST, { 'narrowgate-task': 'W' })]
  await outsideTheList()
  await narrowedForAWhile()
  await fromAnotherHost()
  await refresh()
  await completedEarly()
  ;[seen.told, seen.kept] = await toldAndKept(gate, triage.session)
  await theWayBack()
  await anotherTask()
  lines = await linesOf(gate)
  beside = await refusedBeside(gate)
}, 60_000)
afterAll(() => gate.stop())

const own = (): readonly Line[] => lines.filter(({ session }) => session === triage.session)
const revocation = (): Line => {
  const fact = factsOf(lines, triage.session).find(({ what }) => what === 'session.revoked')
  if (fact === undefined) throw new Error('no end is on record')
  return fact
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s06.yaml'))
test('[S6.a] the token reads queue Q and comments there for workflow W, whether a request names W or nothing', () => expect(seen.passed).toEqual(['200', '200', '200']))

test('[S6.b] completed early: what is open is cut on both sides and nothing follows behind the answer, and every later call with the token is refused', () => {
  expect(seen.completed).toMatchObject({ status: 200, enforced: true, exchanges: { cut: 2 } })
  expect(seen.completed['tookMs']).toBeLessThan(BOUND)
  expect(seen.behind).toEqual([])
  expect(seen.upload).toEqual({ code: constants.NGHTTP2_CANCEL, behind: expect.any(Number), wrongAt: null, complete: false })
  expect(seen.upload['behind']).toBeLessThanOrEqual(256 * 1024) // out of the kernel's buffers; nothing was handed to it
  expect(seen.later).toEqual(Array.from({ length: 6 }, () => OVER))
  expect(seen.sameConnections).toEqual([200, 401, OVER, '200'])
})

test('[S6.c] from another host the token is refused, whatever a header says, and its own host goes on', () => {
  expect(seen.otherHost).toEqual([...Array.from({ length: 6 }, () => '403 binding_broken'), '200'])
  expect(factsIn(lines, 'binding.drifted')).toMatchObject([{ drift: { binding: 'source', shown: '127.0.0.2' } }])
  const elsewhere = own().filter(({ source }) => source === '127.0.0.2')
  expect(elsewhere.map(({ reason, drift }) => [reason, drift])).toEqual(Array.from({ length: 6 }, () => ['binding_broken', { binding: 'source', shown: '127.0.0.2' }]))
})

test('[S6.d] outside the list nothing passes: not deleting, not another queue, not for another workflow, and no elevation brings it', () => {
  expect(seen.outside).toEqual(['403 elevation_required', '403 condition_false', '403 condition_false', '403 no_rule', '403 purpose_mismatch'])
  expect(seen.purged).toBe('403 not_eligible')
  expect(seen.merged).toEqual(['active', '403 elevation_required', '403 purpose_mismatch', '403 purpose_mismatch'])
  expect(gate.upstream.requests.filter(({ method, path }) => method === 'DELETE' || path.startsWith('/queues/R'))).toEqual([])
})

test('[S6.e] a refresh is refused, a session token opens no other one, and the end stays where it was', () => expect(seen.refresh).toEqual(['403 denied', 401, 0]))

test('[S6.g] the log tells the time that was left unused', () => {
  const fact = revocation()
  const left = Number(seen.completed['unusedMs'])
  expect(left).toBeGreaterThan(HOUR - 60_000)
  expect(left).toBeLessThan(HOUR)
  expect(fact).toMatchObject({ reason: 'purpose_over', by: `https://login.example|${ENGINE}`, note: expect.stringMatching(new RegExp(`^W is done \\(${left} ms unused\\)$`)) })
  expect(Math.abs(triage.endsAt - Number(fact['at']) - left)).toBeLessThan(BOUND)
})

test('[S6.h] the log tells everything that was called, in its order', () => {
  const told = own().filter(({ kind, route }) => route !== null && (kind === 'exchange.opened' || kind === 'request.refused'))
  expect(told.map(({ method, path, reason = 'passed' }) => `${String(method)} ${String(path)} ${String(reason)}`)).toEqual(called)
})

test('[S6.i] each record names who, for whom, with what, where, what was decided and why, and what went through', () => {
  recordsAreWhole(lines, triage.session, { actors: [ENGINE] })
  expect(factsIn(lines, 'session.opened').find(({ session }) => session === triage.session)).toMatchObject({
    bindings: { source: '127.0.0.1' }, brokered: { broker: 'workflows', by: `https://login.example|${ENGINE}`, scopes: ['tickets:comment', 'tickets:read'], purposes: { task: 'W' } },
  })
  expect(own().filter(({ kind }) => kind === 'exchange.opened').map(({ purposes }) => purposes)).toEqual(called.filter(call => call.endsWith('passed')).map(() => ({ task: 'W' })))
  expect(JSON.stringify([lines, beside])).not.toContain(triage.token.slice(4))
})

test('[S6.j] each record names the risk before and after', () => risksAreNamed(lines, gate))

test('[S6.l] the life of each elevation is there', () => {
  const told = factsOf(lines, triage.session).filter(({ what }) => String(what).startsWith('elevation.'))
  expect(told.map(({ what }) => what)).toEqual([
    'elevation.requested', 'elevation.activated', 'elevation.requested', 'elevation.approved', 'elevation.activated', 'elevation.ended',
    'elevation.suspended', 'elevation.resumed', 'elevation.ended',
  ])
  expect(told.filter(({ what }) => what === 'elevation.ended').map(({ reason }) => reason)).toEqual(['revoked', 'session_ended'])
  const used = own().filter(({ kind, elevation }) => kind === 'exchange.opened' && elevation !== null)
  expect(used.map(({ path, elevation }) => [path, (elevation as Line)['profile']])).toEqual([[COMMENTS, 'comment'], [COMMENTS, 'comment'], [LONG_COMMENT, 'comment']]) // not null
  expect(seen.told).toBe(seen.kept)
})

test('[S6.m] the life of each exchange is there: opened, and cut with grant and latency', () => {
  const cuts = own().filter(({ kind }) => kind === 'exchange.cut')
  expect(cuts.map(({ grant }) => String(grant).slice(0, 4)).toSorted()).toEqual(['base', 'elv_'])
  for (const cut of cuts) {
    expect(cut).toMatchObject({ because: revocation()['because'], latencyMs: expect.any(Number) })
    expect(cut['latencyMs']).toBeLessThan(BOUND)
    expect(lines.filter(({ exchange }) => exchange === cut['exchange']).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
  }
})

test('[S6.n] `audit verify` passes, and fails when one record is removed, whichever', () => verifyFindsEveryMissingRecord(gate))

test('[S6.o] the same token again is refused, and each attempt is on record with its source', () => {
  expect(seen.later[0]).toBe(OVER)
  const attempts = beside.filter(({ reason }) => reason === 'credential_revoked')
  expect(attempts.map(({ source }) => source)).toEqual(expect.arrayContaining(['127.0.0.1', '127.0.0.2']))
})

test('[S6.p] reconnecting after the cut is refused', () => expect(seen.reconnect).toEqual([OVER, OVER]))

test('[S6.q] nothing revives it: no lock that is lifted, no task that is opened again, no verb and no cleared mark; nor what ended with the task of a session that lives', () => {
  expect(seen.undone).toEqual(Array.from({ length: 4 }, () => OVER))
  expect(seen.secondTask).toEqual(['200', '200', '200', '403 purpose_over', '200', '403 purpose_over'])
})

test('[S6.t] another session\'s traffic on the same upstream keeps flowing', () => expect(seen.others[0]).toBe(true))
test('[S6.u] another session\'s traffic on the same HTTP/2 connection keeps flowing', () => expect(seen.others.slice(1)).toEqual([true, true, true]))
