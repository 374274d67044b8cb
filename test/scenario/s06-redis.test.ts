// S6 over Redis: a token that a workflow engine got from A counts and ends on both gateways alike. The story is played once; each clause is asserted on what was
// seen of it.
import { constants } from 'node:http2'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../wire/support.ts'
import { asBroker, ENGINE, factsOf, opened, type Opened, outcomeFrom, paced, raiseBrokeredPair, timesIn } from './brokers.ts'
import { asHolder } from './operators.ts'
import { goneForLonger, isEnforced, type Raised, STALE, throughBoth } from './pair.ts'
import { SharedConnection, uploading } from './shared-connection.ts'
import { bearer, factsIn, type Headers, type Line, OpenStream, recordsAreWhole, risksAreNamed, tokenFor, word } from './stage.ts'

const HOST = { host: 'tickets.internal' }
const LIST = '/queues/Q/tickets'
const LIVE = '/queues/Q/live'
const TICKET = '/queues/Q/tickets/7'
const COMMENTS = `${TICKET}/comments`
const LONG_COMMENT = '/queues/Q/tickets/8/comments'
const PASSED = ['200', '200']
const REFUSED = ['403 elevation_required', '403 elevation_required']
const TASK_OVER = ['403 purpose_over', '403 purpose_over']
const BROKEN = ['403 binding_broken', '403 binding_broken']
const OVER = ['401 credential_revoked', '401 credential_revoked']

let pair: Raised
let triage: Opened
let agent: Headers
let desk: Headers
let lines: readonly Line[] = []
const seen = {
  passed: [] as readonly string[], outside: [] as readonly string[], otherHost: [] as readonly string[], refresh: [] as readonly (string | number)[], completed: {} as Line, behind: [] as readonly number[],
  upload: {} as Line, others: [] as readonly boolean[], after: [] as readonly string[], reconnect: [] as readonly string[], undone: [] as readonly string[], unseen: [] as readonly string[], secondTask: [] as (readonly string[])[],
  gone: [] as readonly string[], dispatched: -1, leaked: -1,
}

const workflow = (task: string): Line => ({
  subject: { kind: 'agent', subject: 'triage-bot', tenant: 'acme', owner: 'https://login.example|tess', claims: { queue: 'Q' } }, bind: { source: '127.0.0.1' },
  scopes: ['tickets:read', 'tickets:comment'], purpose: { task }, profiles: [{ profile: 'comment' }], for: '1h',
})
const both = (method: string, path: string, headers = agent): Promise<readonly string[]> => throughBoth(pair, method, path, headers)
const elsewhere = async (method: string, path: string): Promise<readonly string[]> => [await outcomeFrom(pair.a, '127.0.0.2', method, path, agent), await outcomeFrom(pair.b, '127.0.0.2', method, path, agent)]

async function whileItLives(): Promise<void> {
  seen.passed = [...(await both('GET', LIST)), ...(await both('POST', COMMENTS)), ...(await both('GET', LIST, { ...agent, 'narrowgate-task': 'W' }))]
  seen.outside = [...(await both('DELETE', TICKET)), ...(await both('GET', LIST, { ...agent, 'narrowgate-task': 'V' })), ...(await both('GET', '/queues/R/tickets'))]
  seen.otherHost = [...(await elsewhere('GET', LIST)), ...(await elsewhere('POST', COMMENTS)), ...(await elsewhere('GET', '/.narrowgate/session')), ...(await both('GET', LIST))]
  const opening = await Promise.all([pair.a, pair.b].map(gate => asHolder(gate, triage.token, '/v1/sessions', workflow('W'))))
  seen.refresh = [...(await both('POST', '/.narrowgate/session/renew')), ...opening.map(({ status }) => status)]
}

/** The engine tells A, while the agent reads and comments through B. */
async function completedEarly(): Promise<void> {
  const { a, b } = pair
  const [feed, besideIt, shared] = [await OpenStream.open(b, LIVE, agent), await OpenStream.open(b, LIVE, desk), await SharedConnection.to(b)]
  const upload = shared.stream('POST', LONG_COMMENT, agent)
  const sending = uploading(upload)
  const onTheSame = await shared.open(LIVE, desk)
  const stop = paced(a, 'live')
  const received = await a.upstream.request(LONG_COMMENT)
  await until(() => received.bodyBytes > 65_536 && timesIn(feed.text).length > 3, 'both to be under way')
  seen.completed = (await asBroker(a, `/v1/sessions/${triage.session}/complete`)).json
  const [at, passedOn] = [performance.now(), received.bodyBytes]
  await feed.cut()
  const code = await upload.over()
  sending.stop()
  await until(() => received.abortedAt > 0, 'the upstream to see the end')
  seen.upload = { code, behind: received.bodyBytes - passedOn, complete: received.bodyEndedAt > 0 }
  const since = (text: string): boolean => timesIn(text).some(time => time > at + 50)
  await until(() => since(besideIt.text) && since(onTheSame.body), 'what was written for the others since')
  seen.others = [since(besideIt.text), since(onTheSame.body), shared.isUp, onTheSame.closedAt === 0, (await shared.outcome('GET', LIST, agent)) === OVER[0], (await shared.outcome('GET', LIST, desk)) === '200']
  stop()
  seen.behind = timesIn(feed.text).filter(time => time > at)
  for (const close of [besideIt.client, shared]) close.close()
}

async function theWayBack(): Promise<void> {
  const { a, b } = pair
  seen.after = [...(await both('GET', LIST)), ...(await both('POST', COMMENTS)), ...(await both('GET', '/.narrowgate/session')), ...(await elsewhere('GET', LIST))]
  seen.reconnect = [...(await both('GET', LIVE)), ...(await both('POST', LONG_COMMENT))]
  const lock = (await word(a, '/v1/locks', { selector: { subject: 'triage-bot' } })).json['lock'] as Line // the contract's shape
  await word(b, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
  for (const [gate, state] of [[a, 'ended'], [b, 'open']] as const) await word(gate, '/v1/anchors/task/W', { state, tenant: 'acme' })
  for (const verb of ['resume', 'widen', 'complete']) await b.admin('POST', `/v1/sessions/${triage.session}/${verb}`, { reason: 'once more' })
  await word(b, `/v1/locks/mark_${triage.session}`, {}, 'DELETE')
  seen.undone = [...(await both('GET', LIST)), ...(await both('POST', COMMENTS)), ...(await both('GET', LIVE))]
  const unseen = await opened(a, workflow('W0'))
  await asBroker(a, `/v1/sessions/${unseen.session}/complete`)
  seen.unseen = await both('GET', LIST, bearer(unseen.token, HOST))
}

/** A's word on the task of another session, which goes on without what the task gave it. */
async function anotherTask(): Promise<void> {
  const { a, b } = pair
  const second = bearer((await opened(b, workflow('W2'))).token, HOST)
  const look = async (): Promise<void> => void seen.secondTask.push(await both('GET', LIST, second), await both('POST', COMMENTS, second))
  await look()
  await word(a, '/v1/anchors/task/W2', { state: 'ended', tenant: 'acme' })
  await look()
  await word(b, '/v1/anchors/task/W2', { state: 'open', tenant: 'acme' })
  await look()
}

async function theStoreIsGone(): Promise<void> {
  const { a, b } = pair
  const third = bearer((await opened(b, workflow('W3'))).token, HOST)
  expect(await both('POST', COMMENTS, third)).toEqual(PASSED)
  const open = await OpenStream.open(b, LIVE, third)
  await goneForLonger(pair)
  const [requests, mark] = [a.upstream.requests.length, open.client.mark()]
  a.upstream.feed('live').emit('nobody hears this')
  seen.gone = [...(await both('POST', COMMENTS, third)), ...(await both('GET', LIST, third))]
  seen.dispatched = a.upstream.requests.length - requests
  seen.leaked = open.client.receivedSince(mark)
  open.client.close()
}

beforeAll(async () => {
  pair = await raiseBrokeredPair('s06.yaml')
  const { a } = pair
  a.upstream.plays.set(LIVE, '/sse/live').set(COMMENTS, '/ok').set(LONG_COMMENT, '/upload').set(LIST, '/ok')
  triage = await opened(a, workflow('W'))
  agent = bearer(triage.token, HOST)
  desk = bearer(await tokenFor(a.issuer, 'dora', { queue: 'Q' }), HOST)
  await whileItLives()
  await completedEarly()
  await theWayBack()
  await anotherTask()
  lines = await pair.trail()
  await theStoreIsGone()
}, 60_000)
afterAll(() => pair.stop())

test('[S6.a] the token that A gave reads queue Q and comments there for workflow W through both', () => expect(seen.passed).toEqual([...PASSED, ...PASSED, ...PASSED]))
test('[S6.c] from another host it is refused by both, and told of once', () => {
  expect(seen.otherHost).toEqual([...BROKEN, ...BROKEN, ...BROKEN, ...PASSED])
  expect(factsIn(lines, 'binding.drifted')).toMatchObject([{ drift: { binding: 'source', shown: '127.0.0.2' } }])
})
test('[S6.d, S6.e] what is outside the list is refused by both, and so is a refresh', () => {
  expect(seen.outside).toEqual([...REFUSED, '403 purpose_mismatch', '403 purpose_mismatch', '403 condition_false', '403 condition_false'])
  expect(seen.refresh).toEqual(['403 denied', '403 denied', 401, 401])
})

test('[S6.b, S6.r] completed through A, what is open on B is cut before it is answered, and the way back is closed through both', () => {
  isEnforced(seen.completed, { cut: 2 })
  expect([seen.behind, seen.upload]).toEqual([[], { code: constants.NGHTTP2_CANCEL, behind: expect.any(Number), complete: false }])
  expect(seen.upload['behind']).toBeLessThanOrEqual(256 * 1024) // out of the kernel's buffers; nothing was handed to it
  expect([seen.after, seen.reconnect]).toEqual([[...OVER, ...OVER, ...OVER, ...OVER], [...OVER, ...OVER]])
  expect([seen.undone, seen.unseen]).toEqual([[...OVER, ...OVER, ...OVER], OVER])
  expect(seen.secondTask).toEqual([PASSED, PASSED, PASSED, TASK_OVER, PASSED, TASK_OVER])
})

test('[S6.g, S6.i, S6.j] the two logs together tell who opened it, who used it where, and the time that was left unused', () => {
  recordsAreWhole(lines, triage.session, { actors: [ENGINE] })
  risksAreNamed(lines, pair.a)
  const told = lines.filter(({ session, kind }) => session === triage.session && kind === 'exchange.opened')
  expect(new Set(told.map(({ gateway }) => gateway)).size).toBe(2)
  const end = factsOf(lines, triage.session).find(({ what }) => what === 'session.revoked')
  expect(end).toMatchObject({ reason: 'purpose_over', note: `as the scenario says (${String(seen.completed['unusedMs'])} ms unused)` })
})

test('[S6.t, S6.u] another session\'s traffic on B flows, on the same upstream and on the same HTTP/2 connection', () => expect(seen.others).toEqual(Array.from({ length: 6 }, () => true)))

test('[S6.s] with Redis gone no call passes after the lease, on A or B, and nothing of an open stream', () => {
  expect([seen.gone, seen.dispatched, seen.leaked]).toEqual([[...STALE, ...STALE], 0, 0])
})
