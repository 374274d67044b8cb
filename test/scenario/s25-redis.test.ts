// S25 over Redis: defenders narrow, freeze, end and cut through A, an agent's job and streams go through B. The story is played once; each clause is asserted
// on what was seen of it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { approve } from './operators.ts'
import { goneForLonger, isEnforced, outcomeAt, type Raised, raisePair, STALE, throughBoth } from './pair.ts'
import { bearer, elevate, type Headers, type Line, OpenStream, tokenFor, word } from './stage.ts'

const HOST = { host: 'work.internal' }
const TICKET_1 = { 'narrowgate-ticket': 'T-1' }
const TICKET_2 = { 'narrowgate-ticket': 'T-2' }
const REFUSED = ['403 elevation_required', '403 elevation_required']
const CLOSED = ['403 ticket_closed', '403 ticket_closed']
const FROZEN = ['403 frozen', '403 frozen']
const REVOKED = ['401 credential_revoked', '401 credential_revoked']

let pair: Raised
let agent: Headers
let bystander: OpenStream
let feed: OpenStream
let shell: OpenStream
let session = ''
let events = 0
const seen = {
  job: [] as readonly string[], narrowed: {} as Line, queued: [] as readonly string[], frozen: {} as Line, refusedFrozen: [] as readonly string[], leaked: [] as number[],
  resumed: {} as Line, widened: [] as readonly string[], ended: {} as Line, shell: '', reconnect: [] as readonly string[], reopened: [] as readonly string[],
  terminated: {} as Line, feed: '', fed: 0, shelled: 0, replay: [] as readonly string[], newer: [] as readonly string[], others: '', gone: [] as readonly string[], dispatched: -1, silent: -1,
}

const both = (method: string, path: string, more: Headers = {}): Promise<readonly string[]> => throughBoth(pair, method, path, { ...agent, ...more })
const say = async (path: string, body: object = {}): Promise<Line> => (await word(pair.a, path, body)).json
const feedOf = (n: number): string => Array.from({ length: n }, (_, i) => `data: event ${i + 1}.\n\n`).join('')
const shellOf = (n: number): string => Array.from({ length: n }, (_, i) => `line ${i + 1}.\n`).join('')

/** One more event on every open stream; the named ones have it before this resolves. */
async function tick(...streams: readonly OpenStream[]): Promise<void> {
  events++
  pair.a.upstream.feed('feed').emit(`event ${events}.`)
  pair.a.upstream.feed('console').write(`line ${events}.\n`)
  for (const stream of streams) await stream.says(`${events}.\n`)
}

async function begin(): Promise<string> {
  const { a, b } = pair
  for (const ticket of ['T-1', 'T-2']) await say(`/v1/anchors/ticket/${ticket}`, { state: 'open', tenant: 'acme' })
  const first = await elevate(b, agent, { profile: 'job', purpose: { ticket: 'T-1' } })
  const second = await elevate(b, agent, { profile: 'console', purpose: { ticket: 'T-2' }, reason: 'look at db-1' })
  await approve(a, second)
  bystander = await OpenStream.open(b, '/feed', bearer(await tokenFor(a.issuer, 'agent-8'), HOST))
  feed = await OpenStream.open(b, '/feed', agent)
  shell = await OpenStream.open(b, '/console/db-1', { ...agent, ...TICKET_2 })
  await tick(bystander, feed, shell)
  seen.job = await both('POST', '/jobs/J/run', TICKET_1)
  return first
}

async function narrowFreezeResume(first: string): Promise<void> {
  seen.narrowed = await say(`/v1/sessions/${session}/narrow`, { elevations: [first] })
  seen.queued = await both('POST', '/jobs/J/run', TICKET_1)
  await tick(bystander, feed, shell)
  seen.frozen = await say(`/v1/sessions/${session}/freeze`)
  const marks = [feed.client.mark(), shell.client.mark()]
  for (let i = 0; i < 10; i++) await tick(bystander)
  seen.refusedFrozen = [...(await both('POST', '/jobs/J/run', TICKET_1)), ...(await both('GET', '/feed'))]
  for (let i = 0; i < 10; i++) await tick(bystander)
  seen.leaked = [feed.client.receivedSince(marks[0] ?? 0), shell.client.receivedSince(marks[1] ?? 0)]
  seen.resumed = await say(`/v1/sessions/${session}/resume`)
  await tick(bystander, feed, shell)
  await say(`/v1/sessions/${session}/widen`)
  seen.widened = await both('POST', '/jobs/J/run', TICKET_1)
}

async function endAndTerminate(): Promise<void> {
  seen.shelled = events
  seen.ended = await say('/v1/anchors/ticket/T-2', { state: 'ended', tenant: 'acme' })
  await tick(bystander, feed)
  seen.shell = (await shell.cut()).body.toString()
  seen.reconnect = await both('GET', '/console/db-1', TICKET_2)
  await word(pair.b, '/v1/anchors/ticket/T-2', { state: 'open', tenant: 'acme' })
  seen.reopened = await both('GET', '/console/db-1', TICKET_2)
  seen.fed = events
  seen.terminated = await say(`/v1/sessions/${session}/terminate`)
  await tick(bystander)
  seen.feed = (await feed.cut()).body.toString()
  seen.replay = [...(await both('GET', '/feed')), ...(await both('POST', '/jobs/J/run', TICKET_1))]
  pair.a.upstream.feed('feed').end()
  seen.others = (await bystander.client.response()).body.toString()
}

async function theStoreIsGone(): Promise<void> {
  const { a, b } = pair
  agent = bearer(await tokenFor(a.issuer, 'agent-7', { sid: 's25' }, 4_000), HOST)
  seen.newer = await both('POST', '/jobs/J/run', TICKET_1)
  await elevate(b, agent, { profile: 'job', purpose: { ticket: 'T-1' } })
  expect(await both('POST', '/jobs/J/run', TICKET_1)).toEqual(['200', '200'])
  const open = await OpenStream.open(b, '/feed', agent)
  await goneForLonger(pair)
  const [requests, mark] = [a.upstream.requests.length, open.client.mark()]
  await tick()
  seen.gone = await both('POST', '/jobs/J/run', TICKET_1)
  seen.dispatched = a.upstream.requests.length - requests
  seen.silent = open.client.receivedSince(mark)
  open.client.close()
}

beforeAll(async () => {
  pair = await raisePair('s25.yaml')
  const { a } = pair
  a.upstream.plays.set('/feed', '/sse/feed').set('/console/db-1', '/stream/console')
  agent = bearer(await tokenFor(a.issuer, 'agent-7', { sid: 's25' }), HOST)
  session = String((await a.ask('GET', '/.narrowgate/session', agent)).json['id'])
  expect(await outcomeAt(a, 'POST', '/jobs/J/run', { ...agent, ...TICKET_1 })).toBe('403 elevation_required')
  await narrowFreezeResume(await begin())
  await endAndTerminate()
  await theStoreIsGone()
}, 60_000)
afterAll(() => pair.stop())

test('[S25.y] each word through A is in force on B when it is answered, to the byte, and the way back is closed through both', () => {
  expect([seen.job, seen.queued]).toEqual([['200', '200'], ['403 narrowed', '403 narrowed']])
  isEnforced(seen.narrowed, { cut: 0, continued: 2 })
  isEnforced(seen.frozen, { frozen: 2 })
  expect([seen.refusedFrozen, seen.leaked]).toEqual([[...FROZEN, ...FROZEN], [0, 0]])
  isEnforced(seen.resumed, { continued: 2 })
  expect(seen.widened).toEqual(['200', '200'])
  isEnforced(seen.ended, { cut: 1, continued: 1 })
  expect([seen.shell === shellOf(seen.shelled), seen.reconnect, seen.reopened]).toEqual([true, CLOSED, CLOSED])
  isEnforced(seen.terminated, { cut: 1 })
  expect([seen.feed === feedOf(seen.fed), seen.replay, seen.newer]).toEqual([true, [...REVOKED, ...REVOKED], REFUSED])
  expect(seen.others).toBe(feedOf(events - 1)) // the last one came when nobody was confirmed
})

test('[S25.z] with Redis gone no elevated call passes after the lease, on A or B, and nothing of an open stream', () => {
  expect([seen.gone, seen.dispatched, seen.silent]).toEqual([STALE, 0, 0])
})
