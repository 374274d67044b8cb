// S12: a pipeline that is narrowed to signing. The story is played once; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import type { SessionFact } from '../../src/core/fact.ts'
import { replaySession } from '../../src/core/replay.ts'
import type { TestGateway } from '../support/gateway.ts'
import { firstMismatch, patternAt } from '../support/pattern.ts'
import { type Ending, RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { until } from '../wire/support.ts'
import { keySetOf, signedStep } from './callers.ts'
import { type Adapted, argumentsAreDigested, bearer, elevate, factsIn, type Headers, type Line, linesOf, loadsAsItStands, outcome, raise, recordsAreWhole, risksAreNamed, toldAndKept, tokenFor, verifyFindsEveryMissingRecord, word } from './stage.ts'

const SIGN = { host: 'sign.internal' }
const OPERATOR = 'local|operator'
const RUN = 'run-881'
const PIECE = 64 * 1024
const SIGNED = { path: '/sign', query: '?key=release', body: 'digest' }
const BOUND = 1_000

let gate: TestGateway
let runner: TokenIssuer
/** At the repository, in the first step of the run. */
let git: Headers
let token = ''
let session = ''
let lines: readonly Line[] = []
const seen = {
  start: [] as string[], narrowed: {} as Line, upload: { ending: 'closed here' as Ending, passedOn: 0, afterAck: 0, exact: false, aborted: false },
  signing: [] as (readonly [status: number, complete: boolean])[], later: [] as string[], undo: [] as (string | number)[], widened: [] as string[], others: { received: 0, status: 0 },
  announced: { ending: 'closed here' as Ending, status: [] as number[], afterAck: 0, aborted: false, later: [] as string[], asks: [] as string[], next: [] as string[] },
  reopened: [] as string[], replay: '', second: [] as string[], told: '', kept: '-',
}

const ask = async (method: string, path: string, host: Headers, bearerOf = token): Promise<string> => outcome(await gate.ask(method, path, bearer(bearerOf, host)))
const push = (bearerOf = token, at = git): Promise<string> => ask('POST', '/shop/git-receive-pack', at, bearerOf)
const fetchRefs = (bearerOf = token, at = git): Promise<string> => ask('GET', '/shop/info/refs', at, bearerOf)
const sign = (bearerOf = token): Promise<string> => ask('POST', '/sign', SIGN, bearerOf)

/** At the repository, in a step as its runner signs it. */
async function inStep(step: string, seq: number, run = RUN): Promise<Headers> {
  return { host: 'git.internal', 'narrowgate-step': await signedStep(runner, run, step, seq) }
}

/** A push whose pack is still on its way: the pattern, piece by piece. */
class Push {
  readonly client: RawClient
  sent = 0
  #pace: NodeJS.Timeout | null = null

  constructor(client: RawClient) {
    this.client = client
  }

  static async begin(repository: string, bearerOf: string, at = git): Promise<Push> {
    const push = new Push(await RawClient.connect(gate.target))
    await push.client.send(request('POST', `/${repository}/git-receive-pack`, { ...bearer(bearerOf, at), 'Content-Type': 'application/x-git-receive-pack-request', 'Transfer-Encoding': 'chunked' }))
    push.#pace = setInterval(() => push.#more(), 5)
    return push
  }

  stop(): void {
    if (this.#pace !== null) clearInterval(this.#pace)
  }

  async finish(): Promise<RawResponse> {
    this.stop()
    await this.client.send('0\r\n\r\n')
    return this.client.response()
  }

  #more(): void {
    this.client.push(Buffer.concat([Buffer.from(`${PIECE.toString(16)}\r\n`), patternAt(this.sent, PIECE), Buffer.from('\r\n')]))
    this.sent += PIECE
  }
}

const signs = async (client: RawClient, query = ''): Promise<void> => client.send(request('POST', `${SIGNED.path}${query}`, { ...bearer(token, SIGN) }, SIGNED.body))
async function signed(client: RawClient): Promise<void> {
  const { status, complete } = await client.response()
  seen.signing.push([status, complete])
}

async function narrowedAtTheStep(): Promise<void> {
  const signer = await RawClient.connect(gate.target)
  await signs(signer, SIGNED.query)
  await signed(signer)
  gate.upstream.plays.set('/sign', '/gate/signature')
  await signs(signer)
  await gate.upstream.request('/sign')
  const upload = await Push.begin('shop', token)
  const [other, elsewhere] = [await tokenFor(gate.issuer, 'pipeline-2', { run_id: 'run-882' }), await inStep('build', 1, 'run-882')]
  await elevate(gate, bearer(other, elsewhere), { profile: 'build', purpose: { run: 'run-882' } })
  const beside = await Push.begin('other', other, elsewhere)
  const received = await gate.upstream.request('/shop/git-receive-pack')
  await vi.waitFor(() => expect(received.bodyBytes).toBeGreaterThan(4 * PIECE))
  seen.narrowed = (await word(gate, `/v1/sessions/${session}/narrow`, { to: ['sign:create'] })).json
  const atAck = received.bodyBytes
  seen.upload.ending = await upload.client.ended
  upload.stop()
  await vi.waitFor(() => expect(received.abortedAt).toBeGreaterThan(0))
  Object.assign(seen.upload, { passedOn: received.bodyBytes, afterAck: received.bodyBytes - atAck, exact: firstMismatch(received.body()) === null, aborted: true })
  gate.upstream.release('signature')
  await signed(signer)
  gate.upstream.plays.set('/sign', '/ok')
  await signs(signer)
  await signed(signer)
  signer.close()
  const { status } = await beside.finish()
  const besideReceived = await gate.upstream.request('/other/git-receive-pack')
  seen.others = { status, received: besideReceived.bodyBytes - beside.sent }
  beside.client.close()
}

async function nothingTheCallerCanDo(): Promise<void> {
  const self = (method: string, path: string, body: object = {}, bearerOf = token) => gate.ask(method, `/.narrowgate/${path}`, { ...bearer(bearerOf, git), 'content-type': 'application/json' }, JSON.stringify(body))
  const renewed = await tokenFor(gate.issuer, 'pipeline', { run_id: RUN }, 2_000)
  seen.undo.push((await self('POST', 'session/widen')).status, (await self('POST', 'session/renew', {}, renewed)).status, await push(renewed))
  await elevate(gate, bearer(token, git), { profile: 'build', purpose: { run: RUN } })
  seen.undo.push(await push(), await fetchRefs())
  const { port } = gate.gateway.front.bound.get('admin')?.address ?? { port: 0 }
  const operator = await RawClient.connect({ port })
  await operator.send(request('POST', `/v1/sessions/${session}/widen`, { Host: `127.0.0.1:${port}`, Authorization: `Bearer ${token}`, 'Content-Type': 'application/json' }, '{"reason":"I say so"}'))
  seen.undo.push((await operator.response()).status)
  operator.close()
}

/** Another run announces its step `sign` with what it signs there, while a push of the step before is in progress. */
async function narrowedByTheStep(): Promise<void> {
  const run = 'run-883'
  const other = await tokenFor(gate.issuer, 'pipeline-3', { run_id: run })
  const [build, signing, publish] = [await inStep('build', 1, run), await inStep('sign', 2, run), await inStep('publish', 3, run)]
  await elevate(gate, bearer(other, build), { profile: 'build' })
  gate.upstream.plays.set('/step/git-receive-pack', '/upload')
  const upload = await Push.begin('step', other, build)
  const received = await gate.upstream.request('/step/git-receive-pack')
  await until(() => received.bodyBytes > 4 * PIECE, 'the push to be under way')
  const signer = await RawClient.connect(gate.target)
  const signs = async (): Promise<number> => {
    await signer.send(request('POST', '/sign', bearer(other, { ...signing, ...SIGN }), 'digest'))
    return (await signer.response()).status
  }
  seen.announced.status.push(await signs())
  const atAnswer = received.bodyBytes
  seen.announced.ending = await upload.client.ended
  upload.stop()
  await until(() => received.abortedAt > 0, 'the upstream to see the end')
  Object.assign(seen.announced, { afterAck: received.bodyBytes - atAnswer, aborted: true })
  seen.announced.status.push(await signs())
  signer.close()
  for (const step of [signing, build]) seen.announced.later.push(await push(other, step), await fetchRefs(other, step))
  const asks = async (step: Headers): Promise<string> => outcome(await gate.ask('POST', '/.narrowgate/elevations', { ...bearer(other, step), 'content-type': 'application/json' }, '{"profile":"build"}'))
  seen.announced.asks.push(await asks(signing), await asks(build), await asks(await inStep('build', 1, run)))
  seen.announced.next.push(await push(other, publish))
  await elevate(gate, bearer(other, publish), { profile: 'build' })
  seen.announced.next.push(await push(other, publish), await push(other, signing), await push(other, build))
}

async function widenedAgain(): Promise<void> {
  const { json } = await gate.admin('GET', `/v1/sessions/${session}`)
  for (const { id, state } of json['elevations'] as readonly { readonly id: string; readonly state: string }[]) if (state === 'active') await word(gate, `/v1/elevations/${id}/revoke`) // the contract's shape
  await word(gate, `/v1/sessions/${session}/widen`)
  seen.widened.push(await push(), await fetchRefs(), await sign())
  await elevate(gate, bearer(token, git), { profile: 'build', purpose: { run: RUN } })
  seen.widened.push(await push(), await fetchRefs(), await sign())
}

async function theWayBack(): Promise<void> {
  await word(gate, `/v1/anchors/run/${RUN}`, { state: 'ended', tenant: 'acme' })
  await word(gate, `/v1/anchors/run/${RUN}`, { state: 'open', tenant: 'acme' })
  seen.reopened = [await push(), await fetchRefs(), await sign()]
  await word(gate, `/v1/sessions/${session}/terminate`)
  ;[seen.told, seen.kept] = await toldAndKept(gate, session)
  seen.replay = await sign()
  const newer = await tokenFor(gate.issuer, 'pipeline', { run_id: RUN }, 4_000)
  seen.second = [await sign(newer), await push(newer)]
}

beforeAll(async () => {
  runner = await TokenIssuer.create({ algorithm: 'ES256' })
  const jwksFile = keySetOf(runner)
  gate = await raise('s12.yaml', { adapt: (example: Adapted) => { example['purposes'].step.signed.jwksFile = jwksFile } })
  git = await inStep('build', 1)
  gate.upstream.plays.set('/shop/git-receive-pack', '/upload').set('/other/git-receive-pack', '/upload').set('/shop/info/refs', '/ok').set('/sign', '/ok')
  token = await tokenFor(gate.issuer, 'pipeline', { run_id: RUN })
  session = String((await gate.ask('GET', '/.narrowgate/session', bearer(token, git))).json['id'])
  await elevate(gate, bearer(token, git), { profile: 'build', purpose: { run: RUN } })
  seen.start = [await fetchRefs(), await push(), await sign()]
  gate.upstream.forget()
  await narrowedAtTheStep()
  seen.later = [await push(), await fetchRefs(), await ask('POST', '/shop/git-upload-pack', git)]
  await nothingTheCallerCanDo()
  await widenedAgain()
  await theWayBack()
  await narrowedByTheStep()
  lines = await linesOf(gate)
}, 60_000)
afterAll(() => gate.stop())

const narrowing = (): Line => {
  const [fact] = factsIn(lines, 'session.narrowed')
  if (fact === undefined) throw new Error('no narrowing is on record')
  return fact
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s12.yaml'))
test('[S12.a] the session starts with reading, writing and signing: all three pass', () => expect(seen.start).toEqual(['200', '200', '200']))

test('[S12.b] narrowed while a push is in progress: the push is aborted on both sides, and nothing of it goes on behind the answer', () => {
  expect(seen.narrowed).toMatchObject({ enforced: true, exchanges: { cut: 1, continued: 1, frozen: 0 } })
  expect(seen.narrowed['tookMs']).toBeLessThan(BOUND)
  expect(seen.upload).toMatchObject({ ending: 'reset', exact: true, aborted: true })
  expect(seen.upload.passedOn).toBeGreaterThan(4 * PIECE)
  expect(seen.upload.afterAck).toBeLessThanOrEqual(256 * 1024) // out of the kernel's buffers; nothing was handed to it
})

test('[S12.c] the announced step narrows alike: the push of the step before is aborted behind nothing but what was on its way, signing goes on, and only a later step is given it anew', () => {
  const { status, ending, aborted, afterAck, later, asks, next } = seen.announced
  expect([status, ending, aborted]).toEqual([[200, 200], 'reset', true])
  expect(afterAck).toBeLessThanOrEqual(256 * 1024) // out of the kernel's buffers; nothing was handed to it
  expect(later).toEqual(['403 elevation_required', '403 elevation_required', '403 purpose_over', '403 purpose_over'])
  expect(asks).toEqual(['403 not_eligible', '403 purpose_over', '403 purpose_over'])
  expect(next).toEqual(['403 elevation_required', '200', '403 purpose_over', '403 purpose_over'])
  const ended = factsIn(lines, 'elevation.ended').filter(({ reason }) => reason === 'purpose_over').map(({ elevation }) => elevation)
  expect(lines.find(({ kind, path }) => kind === 'exchange.opened' && path === '/step/git-receive-pack')).toMatchObject({ grant: expect.toSatisfy(grant => ended.includes(grant)), purposes: { step: 'build' } })
})

test('[S12.d] a later git-receive-pack is refused', () => expect(seen.later[0]).toBe('403 narrowed'))
test('[S12.e] later reads are refused', () => expect(seen.later.slice(1)).toEqual(['403 narrowed', '403 narrowed']))
test('[S12.f] the caller cannot undo it: by no route of its own, no newer credential, no new elevation, no operator\'s verb', () => expect(seen.undo).toEqual([404, 200, '403 narrowed', '403 narrowed', '403 narrowed', 401]))
test('[S12.g] widened by an operator, what ended meanwhile stays ended: reading and writing need a new grant', () => expect(seen.widened).toEqual(['403 elevation_required', '403 elevation_required', '200', '200', '200', '200']))
test('[S12.h] signing is unaffected on its connection: before, across and after the narrowing', () => expect(seen.signing).toEqual([[200, true], [200, true], [200, true]]))

test('[S12.j] the log tells the scope before and after', () => {
  const birth = lines.find(({ kind, session: id }) => kind === 'fact' && id === session)
  const keyOf = (line: Line | undefined): unknown => (line?.['record'] as Line | undefined)?.['name'] // fact lines name their record
  const own = lines.filter(line => line['kind'] === 'fact' && keyOf(line) === keyOf(birth)).map(({ fact }) => fact as SessionFact) // a session's facts
  const at = own.findIndex(({ what }) => what === 'session.narrowed')
  expect(replaySession(own.slice(0, at))).toMatchObject({ cap: { is: 'none' }, elevations: [{ profile: 'build', adds: ['repo:read', 'repo:write'], state: { is: 'active' } }] })
  expect(replaySession(own.slice(0, at + 1))).toMatchObject({ cap: { is: 'scopes', scopes: ['sign:create'] } })
})

test('[S12.k] the log tells who narrowed, and why', () => {
  expect(narrowing()).toMatchObject({ by: OPERATOR, note: 'as the scenario says' })
  expect(lines.filter(({ kind }) => kind === 'admin.changed').map(({ who, action, target }) => [who, action, target])).toContainEqual([OPERATOR, 'session.narrow', session])
})

test('[S12.l] the log tells which streams were cut and which were kept', () => {
  const { because } = narrowing()
  const cut = lines.filter(line => line['kind'] === 'exchange.cut' && line['because'] === because)
  const cutPaths = cut.map(({ exchange }) => lines.find(line => line['kind'] === 'exchange.opened' && line['exchange'] === exchange)?.['path'])
  expect(cutPaths).toEqual(['/shop/git-receive-pack'])
  const at = lines.indexOf(cut[0] ?? {})
  const opened = lines.slice(0, at).filter(line => line['kind'] === 'exchange.opened' && line['session'] === session).map(({ exchange }) => exchange)
  const kept = lines.slice(at).filter(line => line['kind'] === 'exchange.closed' && line['complete'] === true && opened.includes(line['exchange']))
  expect(kept.map(({ exchange }) => lines.find(line => line['kind'] === 'exchange.opened' && line['exchange'] === exchange)?.['path'])).toEqual(['/sign'])
})

test('[S12.m] each record names who, on whose behalf, with what, where, what was decided and why, and what went through', () => recordsAreWhole(lines, session))

test('[S12.n] each record names the risk before and after', () => risksAreNamed(lines, gate))

test('[S12.o] each record has the digest of the arguments', () => argumentsAreDigested(lines, session, SIGNED))

test('[S12.p] the life of each elevation is there', () => {
  const own = lines.filter(({ kind, fact }) => kind === 'fact' && String((fact as Line)['what']).startsWith('elevation.')).map(({ fact }) => String((fact as Line)['what']))
  expect(own.filter(what => what === 'elevation.requested')).toHaveLength(6)
  expect(own.filter(what => what === 'elevation.activated')).toHaveLength(6)
  expect(factsIn(lines, 'elevation.ended').map(({ reason }) => reason)).toEqual(['revoked', 'revoked', 'purpose_over', 'purpose_over'])
  expect(lines.filter(({ kind, elevation }) => kind === 'exchange.opened' && elevation !== null).length).toBeGreaterThan(4)
  expect(seen.told).toBe(seen.kept)
})

test('[S12.q] the life of each exchange is there: opened, and cut with grant and latency', () => {
  const cuts = lines.filter(({ kind }) => kind === 'exchange.cut')
  const told = { because: expect.stringMatching(/^sig_/), grant: expect.stringMatching(/^elv_/), latencyMs: expect.any(Number) }
  expect(cuts).toMatchObject([{ ...told, session, reason: 'narrowed' }, { ...told, reason: 'purpose_over' }])
  expect(cuts[0]?.['latencyMs']).toBeLessThan(BOUND)
  expect(lines.filter(({ exchange }) => exchange === cuts[0]?.['exchange']).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
})

test('[S12.r] `audit verify` passes, and fails when one record is removed, whichever', () => verifyFindsEveryMissingRecord(gate))
test('[S12.s] the same token again is refused', () => expect(seen.replay).toBe('401 credential_revoked'))
test('[S12.t] beginning the push again after the cut is refused', () => expect(seen.later[0]).toBe('403 narrowed'))

test('[S12.u] opening the run again revives nothing, and a new life begins at its baseline', () => {
  expect(seen.reopened).toEqual(['403 purpose_over', '403 purpose_over', '200'])
  expect(seen.second).toEqual(['200', '403 elevation_required'])
})

test('[S12.x] another session\'s push to the same upstream goes through whole', () => expect(seen.others).toEqual({ status: 200, received: 0 }))
