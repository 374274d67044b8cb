// S5 over Redis: the time and the task of an elevation end on both gateways alike. The story is played once; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { goneForLonger, isEnforced, outcomeAt, type Raised, raisePair, STALE, throughBoth } from './pair.ts'
import { bearer, elevate, type Headers, type Line, OpenStream, tokenFor, word } from './stage.ts'

const TASK = { host: 'fleet.internal', 'narrowgate-task': 'P-3' }
const SHORT = 1_500
const BOUND = 1_000
const REFUSED = ['403 elevation_required', '403 elevation_required']
const OVER = ['403 purpose_over', '403 purpose_over']

let pair: Raised
let patch: Headers
let other: Headers
const seen = {
  before: [] as readonly string[], passed: [] as readonly string[], cutAfter: 0, late: 0, afterTime: [] as readonly string[],
  ended: {} as Line, heldBack: 0, after: [] as readonly string[], status: [] as readonly string[], reconnect: [] as readonly string[],
  reopened: [] as readonly string[], replay: [] as readonly string[], others: false, gone: [] as readonly string[], dispatched: -1, leaked: -1,
}

const both = (method: string, path: string, headers = patch): Promise<readonly string[]> => throughBoth(pair, method, path, headers)
const grant = (more: object = {}): Promise<string> => elevate(pair.a, patch, { profile: 'patch', purpose: { task: 'P-3' }, ...more })

/** Given on A, and its time ends by the clock of B, with a stream open there. */
async function endsByTheClock(): Promise<void> {
  const { a, b } = pair
  await grant({ for: `${SHORT}ms` })
  const until = performance.now() + SHORT
  seen.passed = await both('GET', '/admin/hosts')
  const open = await OpenStream.open(b, '/admin/console', patch)
  const pace = setInterval(() => a.upstream.feed('console').emit(`at ${performance.now()} .`), 5)
  await open.cut()
  clearInterval(pace)
  seen.cutAfter = performance.now() - until
  seen.late = Math.max(...[...open.text.matchAll(/at ([\d.]+) \./g)].map(([, at]) => Number(at))) - until
  seen.afterTime = await both('GET', '/admin/hosts')
}

/** An operator tells A that the task is over, with streams open on B. */
async function theTaskIsOver(): Promise<void> {
  const { a, b } = pair
  await grant()
  const [open, beside] = [await OpenStream.open(b, '/admin/console', patch), await OpenStream.open(b, '/status/live', other)]
  a.upstream.feed('console').emit('first')
  await open.says('first')
  seen.ended = (await word(a, '/v1/anchors/task/P-3', { state: 'ended', tenant: 'acme' })).json
  a.upstream.feed('console').emit('behind')
  a.upstream.feed('status').emit('behind')
  await open.cut()
  seen.heldBack = open.text.split('behind').length - 1
  await beside.says('behind')
  seen.others = true
  beside.client.close()
  seen.after = [...(await both('GET', '/admin/hosts')), ...(await both('POST', '/admin/run'))]
  seen.status = await both('GET', '/status')
  seen.reconnect = await both('GET', '/admin/console')
  await word(b, '/v1/anchors/task/P-3', { state: 'open', tenant: 'acme' })
  seen.reopened = await both('GET', '/admin/hosts')
}

async function theStoreIsGone(): Promise<void> {
  const { a, b } = pair
  await grant()
  expect(await both('GET', '/admin/hosts')).toEqual(['200', '200'])
  const open = await OpenStream.open(b, '/admin/console', patch)
  await goneForLonger(pair)
  const [requests, mark] = [a.upstream.requests.length, open.client.mark()]
  a.upstream.feed('console').emit('nobody hears this')
  seen.gone = await both('POST', '/admin/run')
  seen.dispatched = a.upstream.requests.length - requests
  seen.leaked = open.client.receivedSince(mark)
  open.client.close()
}

beforeAll(async () => {
  pair = await raisePair('s05.yaml')
  const { a, b } = pair
  a.upstream.plays.set('/admin/console', '/sse/console').set('/status/live', '/sse/status').set('/status', '/ok')
  patch = bearer(await tokenFor(a.issuer, 'svc-patch', { sid: 'patch' }), TASK)
  other = bearer(await tokenFor(a.issuer, 'svc-monitor'), { host: 'fleet.internal' })
  seen.before = await both('GET', '/admin/hosts')
  await endsByTheClock()
  await theTaskIsOver()
  const { id } = (await a.ask('GET', '/.narrowgate/session', patch)).json
  await word(b, `/v1/sessions/${String(id)}/terminate`)
  seen.replay = await both('GET', '/status')
  patch = bearer(await tokenFor(a.issuer, 'svc-patch', { sid: 'patch' }, 4_500), TASK)
  await vi.waitFor(async () => expect(await outcomeAt(a, 'GET', '/status', patch)).toBe('200'))
  await theStoreIsGone()
}, 60_000)
afterAll(() => pair.stop())

test('[S5.s] what ends on A is enforced on B: by the clock, and by an operator\'s word before it is answered; and the way back is closed through both', () => {
  expect([seen.before, seen.passed, seen.afterTime]).toEqual([REFUSED, ['200', '200'], REFUSED])
  expect(seen.cutAfter).toBeLessThan(BOUND)
  expect(seen.late).toBeLessThanOrEqual(50) // the caller learnt of its elevation after it had begun
  isEnforced(seen.ended, { cut: 1 })
  expect([seen.heldBack, seen.after, seen.reconnect]).toEqual([0, [...OVER, ...OVER], OVER])
  expect([seen.status, seen.others]).toEqual([['200', '200'], true])
  expect([seen.reopened, seen.replay]).toEqual([OVER, ['401 credential_revoked', '401 credential_revoked']])
})

test('[S5.t] with Redis gone no elevated call passes after the lease, on A or B, and nothing of an open stream', () => {
  expect([seen.gone, seen.dispatched, seen.leaked]).toEqual([STALE, 0, 0])
})
