// S25: a queued job inherits nothing, and defenders narrow, freeze and cut a session. The story is played once; each clause is asserted on what was seen of it.
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { trailFiles } from '../../src/audit/tail.ts'
import { readTimeline, type Timeline } from '../../src/audit/timeline.ts'
import { sessionRef } from '../../src/core/record.ts'
import type { TestGateway } from '../support/gateway.ts'
import type { RawResponse } from '../support/raw-client.ts'
import { approve, auditVerify } from './operators.ts'
import { argumentsAreDigested, bearer, elevate, factsIn, type Headers, type Line, linesOf, loadsAsItStands, OpenStream, outcome, raise, recordsAreWhole, toldAndKept, tokenFor, verifyFindsEveryMissingRecord, word } from './stage.ts'

const HOST = { host: 'work.internal' }
const TICKET_1 = { 'narrowgate-ticket': 'T-1' }
const TICKET_2 = { 'narrowgate-ticket': 'T-2' }
const JOB = { path: '/jobs/J/run', query: '?attempt=1', body: '{"shard":7}' }
const NOTHING_MOVED = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
/** T of the scenario, with room for a busy machine. */
const BOUND = 1_000
const WITHIN = { timeout: 5_000, interval: 5 }

let gate: TestGateway
let agent: Headers
let bystander: OpenStream
let feed: OpenStream
let shell: OpenStream
let session = ''
let events = 0
let timeline: Timeline
let lines: readonly Line[] = []
const seen = {
  job: [] as string[], dispatched: [] as string[], narrowed: {} as unknown, queued: '', running: '', meanwhile: [] as string[],
  frozen: {} as unknown, leaked: [] as number[], refusedFrozen: [] as string[], resumed: {} as unknown, widened: '',
  ended: {} as unknown, console: null as RawResponse | null, consoleHeld: 0, consoleAborted: 0, feedLivedOn: '', reconnect: [] as string[], reopened: [] as string[],
  terminated: {} as unknown, feed: null as RawResponse | null, feedHeld: 0, last: '', feedAborted: 0, replay: [] as string[], told: '', kept: '', stored: '',
  locked: [] as string[], lifted: [] as string[], newer: [] as string[], others: null as RawResponse | null,
}

const agentToken = (issuedIn = 0): Promise<string> => gate.issuer.sign({ sub: 'agent-7', sid: 's25', org: 'acme', jti: `job-${Math.random()}`, act: { sub: 'scheduler', act: { sub: 'olga' } } }, { now: Date.now() + issuedIn })
const ask = async (method: string, path: string, more: Headers = {}): Promise<string> => outcome(await gate.ask(method, path, { ...agent, ...more }))
const told = async (path: string, body: object = {}): Promise<unknown> => (await word(gate, path, body)).json['exchanges']

/** What a whole stream says when nothing of it was lost or doubled. */
const feedOf = (n: number): string => Array.from({ length: n }, (_, i) => `data: event ${i + 1}.\n\n`).join('')
const consoleOf = (n: number): string => Array.from({ length: n }, (_, i) => `line ${i + 1}.\n`).join('')

/** One more event on every open stream; the named ones have it before this resolves. */
async function tick(...streams: readonly OpenStream[]): Promise<void> {
  events++
  gate.upstream.feed('feed').emit(`event ${events}.`)
  gate.upstream.feed('console').write(`line ${events}.\n`)
  for (const stream of streams) await stream.says(`${events}.\n`)
}

async function ticks(count: number, ...streams: readonly OpenStream[]): Promise<void> {
  for (let i = 0; i < count; i++) await tick(...streams)
}

async function begin(): Promise<readonly [first: string, second: string]> {
  for (const ticket of ['T-1', 'T-2']) await word(gate, `/v1/anchors/ticket/${ticket}`, { state: 'open', tenant: 'acme' })
  const first = await elevate(gate, agent, { profile: 'job', purpose: { ticket: 'T-1' } })
  const second = await elevate(gate, agent, { profile: 'console', purpose: { ticket: 'T-2' }, reason: 'look at db-1' })
  await approve(gate, second)
  bystander = await OpenStream.open(gate, '/feed', bearer(await tokenFor(gate.issuer, 'agent-8'), HOST))
  feed = await OpenStream.open(gate, '/feed', agent)
  shell = await OpenStream.open(gate, '/console/db-1', { ...agent, ...TICKET_2 })
  await ticks(5, bystander, feed, shell)
  seen.job = [outcome(await gate.ask('POST', `${JOB.path}${JOB.query}`, { ...agent, ...TICKET_1 }, JOB.body)), await ask('POST', '/jobs/J/run'), await ask('POST', '/jobs/J/run', TICKET_2)]
  seen.dispatched = gate.upstream.requests.map(({ path }) => path)
  return [first, second]
}

async function narrowTheFirst(first: string): Promise<void> {
  const running = ask('POST', '/jobs/J-running/run', TICKET_1)
  await gate.upstream.request('/jobs/J-running/run')
  seen.narrowed = await told(`/v1/sessions/${session}/narrow`, { elevations: [first] })
  seen.running = await running
  seen.queued = await ask('POST', '/jobs/J/run', TICKET_1)
  await ticks(5, bystander, feed, shell)
  seen.meanwhile = [await ask('GET', '/console/db-2', TICKET_2), String(gate.upstream.requests.filter(({ path }) => path === JOB.path).length)]
}

async function freezeAndResume(): Promise<void> {
  seen.frozen = await told(`/v1/sessions/${session}/freeze`)
  const marks = [feed.client.mark(), shell.client.mark()]
  const before = gate.upstream.requests.length
  await ticks(20, bystander)
  seen.refusedFrozen = [await ask('POST', '/jobs/J/run', TICKET_1), await ask('GET', '/console/db-1', TICKET_2), await ask('GET', '/feed'), String(gate.upstream.requests.length - before)]
  await ticks(20, bystander)
  seen.leaked = [feed.client.receivedSince(marks[0] ?? 0), shell.client.receivedSince(marks[1] ?? 0)]
  seen.resumed = await told(`/v1/sessions/${session}/resume`)
  await ticks(5, bystander, feed, shell)
  await word(gate, `/v1/sessions/${session}/widen`)
  seen.widened = await ask('POST', '/jobs/J/run', TICKET_1)
}

async function endTheSecond(): Promise<void> {
  const recorded = await gate.upstream.request('/console/db-1')
  seen.consoleHeld = events
  seen.ended = await told('/v1/anchors/ticket/T-2', { state: 'ended', tenant: 'acme' })
  await ticks(5, bystander, feed)
  seen.console = await shell.cut()
  await vi.waitUntil(() => recorded.abortedAt > 0, WITHIN)
  seen.consoleAborted = recorded.abortedAt
  seen.feedLivedOn = feed.text.trimEnd().split('\n').at(-1) ?? ''
  seen.reconnect = [await ask('GET', '/console/db-1', TICKET_2), await ask('GET', '/console/db-1', TICKET_1)]
  await word(gate, '/v1/anchors/ticket/T-2', { state: 'open', tenant: 'acme' })
  seen.reopened = [await ask('GET', '/console/db-1', TICKET_2)]
}

async function terminate(): Promise<void> {
  const last = ask('POST', '/jobs/J-last/run', TICKET_1)
  await gate.upstream.request('/jobs/J-last/run')
  const recorded = gate.upstream.requests.filter(({ url }) => url === '/feed')[1] // the first one is the bystander's
  seen.feedHeld = events
  seen.terminated = await told(`/v1/sessions/${session}/terminate`)
  await ticks(5, bystander)
  seen.feed = await feed.cut()
  seen.last = await last
  await vi.waitUntil(() => (recorded?.abortedAt ?? 0) > 0, WITHIN)
  seen.feedAborted = recorded?.abortedAt ?? 0
  seen.replay = [await ask('GET', '/feed'), await ask('POST', '/jobs/J/run', TICKET_1), outcome(await gate.ask('GET', '/.narrowgate/session', agent))]
}

async function keepTheLog(): Promise<void> {
  const key = gate.parts.mirror.byId(session)?.record.key
  if (key === undefined) throw new Error('the session is not in memory')
  ;[seen.told, seen.kept] = await toldAndKept(gate, session)
  seen.stored = JSON.stringify(await gate.parts.store.load(sessionRef(key)))
  timeline = await readTimeline(trailFiles(gate.trailFile), session)
}

async function theWayBack(): Promise<void> {
  const old = agent
  agent = bearer(await agentToken(2_000), HOST)
  const again = await OpenStream.open(gate, '/feed', agent)
  await tick(bystander, again)
  seen.newer = [await ask('POST', '/jobs/J/run', TICKET_1), await ask('GET', '/console/db-1', TICKET_2)]
  const lock = (await word(gate, '/v1/locks', { selector: { subject: 'agent-7' } })).json['lock'] as Line // the contract's shape
  seen.locked = [String((await again.cut()).complete), await ask('GET', '/feed')]
  await word(gate, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
  for (const state of ['ended', 'open']) await word(gate, '/v1/anchors/ticket/T-1', { state, tenant: 'acme' })
  seen.lifted = [await ask('POST', '/jobs/J/run', TICKET_1), await ask('GET', '/console/db-1', TICKET_2), outcome(await gate.ask('GET', '/feed', old))]
  await tick(bystander)
  gate.upstream.feed('feed').end()
  seen.others = await bystander.client.response()
}

beforeAll(async () => {
  gate = await raise('s25.yaml')
  gate.upstream.plays.set('/feed', '/sse/feed').set('/console/db-1', '/stream/console').set('/jobs/J-running/run', '/gate/running').set('/jobs/J-last/run', '/gate/last')
  agent = bearer(await agentToken(), HOST)
  session = String((await gate.ask('GET', '/.narrowgate/session', agent)).json['id'])
  const [first] = await begin()
  await narrowTheFirst(first)
  await freezeAndResume()
  await endTheSecond()
  await terminate()
  await keepTheLog()
  await theWayBack()
  lines = await linesOf(gate)
}, 60_000)
afterAll(() => gate.stop())

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s25.yaml'))

test('[S25.a] two elevations for two tickets live in one session, beside a stream on the baseline', () => {
  expect(lines.filter(({ kind, session: of }) => kind === 'exchange.opened' && of === session).slice(0, 3).map(({ path, grant, elevation, purposes }) => [path, grant === 'baseline', (elevation as Line | null)?.['profile'] ?? null, purposes])).toEqual([
    ['/feed', true, null, {}],
    ['/console/db-1', false, 'console', { ticket: 'T-2' }],
    ['/jobs/J/run', false, 'job', { ticket: 'T-1' }],
  ])
})

test('[S25.b] the queued job passes with its ticket, and inherits nothing without it or with the other one', () => {
  expect(seen.job).toEqual(['200', '403 purpose_missing', '403 purpose_mismatch'])
  expect(seen.dispatched).toEqual(['/feed', '/feed', '/console/db-1', '/jobs/J/run'])
})

test('[S25.c] an operator narrows the first: the job\'s next call is refused, and the one under way is cut', () => {
  expect([seen.queued, seen.running]).toEqual(['403 narrowed', '403 narrowed'])
})

test('[S25.d] meanwhile a stream on the second and the one on the baseline live on', () => {
  expect(seen.narrowed).toEqual({ ...NOTHING_MOVED, cut: 1, continued: 2 })
  expect(seen.meanwhile).toEqual(['200', '1'])
  expect(shell.text.startsWith(consoleOf(10))).toBe(true)
})

test('[S25.f] freeze pauses every stream, and nothing new begins', () => {
  expect(seen.frozen).toEqual({ ...NOTHING_MOVED, frozen: 2 })
  expect(seen.leaked).toEqual([0, 0])
  expect(seen.refusedFrozen).toEqual(['403 frozen', '403 frozen', '403 frozen', '0'])
})

test('[S25.g] resume: nothing lost, nothing twice, nothing leaked', () => {
  expect(seen.resumed).toEqual({ ...NOTHING_MOVED, continued: 2 })
  expect(seen.widened).toBe('200')
  expect(seen.console?.body.toString()).toBe(consoleOf(seen.consoleHeld))
  expect(seen.feed?.body.toString()).toBe(feedOf(seen.feedHeld))
})

test('[S25.i] the second is ended: its stream is cut, the one on the baseline kept', () => {
  expect(seen.ended).toEqual({ ...NOTHING_MOVED, cut: 1, continued: 1 })
  expect(seen.console?.complete).toBe(false)
  expect(seen.console?.body.toString()).toBe(consoleOf(seen.consoleHeld))
  expect(seen.consoleAborted).toBeGreaterThan(0)
  expect(seen.feedLivedOn).toBe(`data: event ${seen.consoleHeld + 5}.`)
})

test('[S25.l] terminate cuts everything', () => {
  expect(seen.terminated).toEqual({ ...NOTHING_MOVED, cut: 2 })
  expect(seen.last).toBe('403 revoked')
  expect(seen.feed?.body.toString()).toBe(feedOf(seen.feedHeld))
  expect(seen.feedAborted).toBeGreaterThan(0)
})

test('[S25.n] the log alone reproduces this timeline', () => {
  const facts = timeline.lines.flatMap(line => (line.kind === 'fact' && line.record.kind === 'session' ? [line.fact.what] : []))
  expect(facts).toEqual([
    'session.opened', 'elevation.requested', 'elevation.activated', 'elevation.requested', 'elevation.approved', 'elevation.activated',
    'session.narrowed', 'elevation.suspended', 'session.frozen', 'session.resumed', 'session.widened', 'elevation.resumed',
    'elevation.ended', 'elevation.ended', 'session.revoked',
  ])
  const judged = timeline.lines.flatMap(line => (line.kind === 'exchange.cut' || line.kind === 'exchange.frozen' || line.kind === 'exchange.resumed' ? [`${line.kind} ${line.reason ?? ''}`] : []))
  expect(judged).toEqual(['exchange.cut narrowed', 'exchange.frozen frozen', 'exchange.frozen frozen', 'exchange.resumed ', 'exchange.resumed ', 'exchange.cut ticket_closed', 'exchange.cut revoked', 'exchange.cut revoked'])
  expect([timeline.gap, timeline.left]).toEqual([null, 0])
  expect(timeline.session).toMatchObject({ id: session, state: { is: 'revoked', reason: 'revoked' } })
  expect([seen.told, seen.stored]).toEqual([seen.kept, seen.kept])
})

test('[S25.o] `audit verify` with the head that was kept passes, and one deleted line makes it fail', async () => {
  await gate.trail()
  const head = (await gate.admin('GET', '/v1/audit/checkpoint')).json as Parameters<typeof auditVerify>[1] // the contract's shape
  expect(await auditVerify(gate.trailFile, head)).toBe('ok')
  const copy = join(gate.directory, 'one-less.jsonl')
  const text = readFileSync(gate.trailFile, 'utf8').split('\n')
  writeFileSync(copy, text.filter(line => !line.includes('"session.frozen"')).join('\n'))
  expect(await auditVerify(copy, head)).toBe('auditBroken')
})

test('[S25.p] each record names who, on whose behalf, with what, where, what was decided and why, and what went through', () => recordsAreWhole(lines, session))

test('[S25.r] each record has the digest of the arguments', () => argumentsAreDigested(lines, session, JOB))

test('[S25.s] the life of each elevation is there: requested, approved, activated, used, suspended, ended with its reason', () => {
  const [first, second] = factsIn(lines, 'elevation.requested').map(({ elevation }) => (elevation as Line)['id'])
  const lifeOf = (id: unknown): readonly unknown[] => lines.flatMap(({ kind, fact, elevation, grant }) => {
    if (kind === 'exchange.opened') return grant === id && (elevation as Line)['id'] === id ? ['used'] : []
    const { what, elevation: of, reason } = (fact ?? {}) as Line // a fact line has one
    if (kind !== 'fact' || typeof what !== 'string' || !what.startsWith('elevation.')) return []
    return of === id || (of as Line)['id'] === id ? [typeof reason === 'string' ? `${what} ${reason}` : what] : []
  })
  expect(lifeOf(first)).toEqual(['elevation.requested', 'elevation.activated', 'used', 'used', 'elevation.suspended', 'elevation.resumed', 'used', 'used', 'elevation.ended session_ended'])
  expect(lifeOf(second)).toEqual(['elevation.requested', 'elevation.approved', 'elevation.activated', 'used', 'used', 'elevation.ended ticket_closed'])
  expect(factsIn(lines, 'elevation.approved')).toMatchObject([{ elevation: second, approver: 'https://login.example|ann' }])
})

test('[S25.t] the life of each exchange is there: opened, and cut with grant and latency', () => {
  const cuts = lines.filter(({ kind, session: of }) => kind === 'exchange.cut' && of === session)
  expect(cuts.map(({ reason }) => reason)).toEqual(['narrowed', 'ticket_closed', 'revoked', 'revoked'])
  expect(cuts.filter(({ grant }) => grant === 'baseline').map(({ reason }) => reason)).toEqual(['revoked'])
  for (const cut of cuts) {
    expect(cut['because']).toMatch(/^sig_/)
    expect(cut['latencyMs']).toBeGreaterThanOrEqual(0)
    expect(cut['latencyMs']).toBeLessThan(BOUND)
    const kinds = lines.filter(({ exchange }) => exchange === cut['exchange']).map(({ kind }) => kind)
    expect([kinds[0], kinds.at(-2), kinds.at(-1)]).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
  }
})

test('[S25.u] `audit verify` passes, and fails when one record is removed, whichever', () => verifyFindsEveryMissingRecord(gate))
test('[S25.v] the same token again is refused, also where nothing but the baseline is asked', () => expect(seen.replay).toEqual(Array.from({ length: 3 }, () => '401 credential_revoked')))
test('[S25.w] reconnecting after a cut is refused', () => expect([...seen.reconnect, seen.replay[0]]).toEqual(['403 ticket_closed', '403 elevation_required', '401 credential_revoked']))

test('[S25.x] opening a ticket again, lifting a lock on the subject, or a new life revives nothing', () => {
  expect(seen.reopened).toEqual(['403 ticket_closed'])
  expect(seen.newer).toEqual(['403 elevation_required', '403 elevation_required'])
  expect(seen.locked).toEqual(['true', '403 locked'])
  expect(seen.lifted).toEqual(['403 elevation_required', '403 elevation_required', '401 credential_revoked'])
})

test('[S25.aa] another session\'s traffic on the same upstream keeps flowing, to the byte', () => {
  expect(seen.others?.complete).toBe(true)
  expect(seen.others?.body.toString()).toBe(feedOf(events))
})
