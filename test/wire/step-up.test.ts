// Callers that have to show anew that they may go on: what they are told, what answers, what an answer covers, on two gateways over one Redis and on the
// embedded store. What was issued or proved before the question, and the word of the caller itself, answers nothing. SPEC: STU1-STU4, STU6
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sha256 } from '../../src/runtime/id.ts'
import { type GatewayPair, TestGateway } from '../support/gateway.ts'
import { call, seconds } from '../support/possession.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { approve, asks, bearer, BoundCaller, caller, freshPath, operate, type Operator, person, stepUpPlan, toldIn } from './step-up-stage.ts'
import { pause, TapUpstream, until } from './support.ts'

let server: RedisServer
let upstream: TapUpstream
let pair: GatewayPair
let alone: TestGateway

beforeAll(async () => {
  ;[server, upstream] = await Promise.all([RedisServer.start(), TapUpstream.start()])
  pair = await TestGateway.pair(server, stepUpPlan(upstream))
  alone = await TestGateway.start({ ...stepUpPlan(upstream), issuer: pair.a.issuer })
  await pause(1_020 - (Date.now() % 1_000)) // a proof's time has whole seconds, and what is older than the store counts as seen
})
afterAll(async () => {
  await Promise.all([pair.stop(), alone.stop()])
  await Promise.all([upstream.close(), server.dispose()])
})

/** Behind the second that is running: what is issued then is newer than what was asked for now. */
const nextSecond = (): Promise<void> => {
  const now = seconds()
  return until(() => seconds() > now, 'the next second')
}
const ID = /^stp_[a-z2-7]{26}$/

describe('what a caller is told', () => {
  test('[STU1, WIRE9] a person: RFC 9470, with the contexts that count and since when, and where it is answered; nothing goes upstream, and it is asked once', async () => {
    const [token, path] = [await person(alone)({ auth_time: seconds(-50) }), freshPath('once')]
    for (const wire of ['HTTP/1.1', 'HTTP/2'] as const) {
      const { status, reason, challenges, json } = await call(alone, { wire }, { path, headers: bearer(token) })
      expect([status, reason, challenges]).toEqual([401, 'step_up_required', [expect.stringMatching(/^Bearer realm="narrowgate", error="insufficient_user_authentication", .*acr_values="gold", max_age="\d"/)]])
      expect(json['step_up']).toEqual({ id: expect.stringMatching(ID), by: ['signIn', 'attest', 'approval'], all: false, expires_at: expect.any(String), endpoint: `/.narrowgate/step-ups/${toldIn({ json }).id}`, attest: { endpoint: '/.narrowgate/session/revalidate' } })
    }
    expect(upstream.taps.has(path)).toBe(false)
    expect((await alone.ask('GET', '/.narrowgate/session', bearer(token))).json['stepUps']).toHaveLength(1)
  })

  test('[STU1, STU3] an agent is not told to sign in; one with a key gets a nonce of now, its scheme and no acr', async () => {
    const agent = await BoundCaller.make(alone)
    const [path, token] = [freshPath('once'), await agent.token(seconds(-5))]
    const { status, headers, json } = await alone.ask('GET', path, await agent.headers('GET', path, token, null))
    expect([status, toldIn({ json }).by, headers['dpop-nonce']]).toEqual([401, ['attest', 'approval'], expect.stringMatching(/^[0-9a-z]+\.[\w-]{43}$/)])
    expect(headers['www-authenticate']).toMatch(/^DPoP realm="narrowgate", error="insufficient_user_authentication"(?!.*(acr_values|max_age))/)
    const plain = await alone.ask('GET', path, bearer(await caller(alone)()))
    expect([plain.status, plain.headers['dpop-nonce'], String(plain.headers['www-authenticate']).startsWith('Bearer ')]).toEqual([401, undefined, true])
  })

  test('[STU4, AUD3] a query is part of what is covered, and on record by its digest alone', async () => {
    const [token, path] = [await caller(alone)(), freshPath('once')]
    const first = toldIn(await alone.ask('GET', `${path}?card=4711-0815-2026`, bearer(token)))
    expect(toldIn(await alone.ask('GET', `${path}?card=4711-0815-2026`, bearer(token))).id).toBe(first.id)
    expect(toldIn(await alone.ask('GET', `${path}?card=4712`, bearer(token))).id).not.toBe(first.id)
    await alone.parts.drainer.drainNow()
    const trail = readFileSync(alone.parts.trailFile, 'utf8')
    expect([trail.includes(first.id), trail.includes('4711-0815-2026'), trail.includes(sha256('?card=4711-0815-2026'))]).toEqual([true, false, true])
  })

  test('[STU6] how it stands: its own caller reads it, waits for the answer and hears of it; nobody else finds it', async () => {
    const [token, other, path] = [await caller(alone)(), await caller(alone)(), freshPath('once')]
    const { id, endpoint } = toldIn(await alone.ask('GET', path, bearer(token)))
    expect((await alone.ask('GET', endpoint, bearer(token))).json).toMatchObject({ id, state: 'pending', role: 'approver', request: { method: 'GET', host: 'api.test', path } })
    expect(JSON.stringify((await alone.ask('GET', endpoint, bearer(token))).json)).not.toContain('barred')
    expect((await alone.ask('GET', endpoint, bearer(other))).status).toBe(404)
    const waiting = alone.ask('GET', `${endpoint}?wait=30`, bearer(token))
    expect((await approve(alone, id)).status).toBe(200)
    expect((await waiting).json).toMatchObject({ state: 'satisfied', usesLeft: 1, given: [{ means: 'approval' }] })
    const listed = (await operate(alone, 'ann', 'GET', '/v1/step-ups?state=satisfied&limit=500')).json['stepUps']
    expect(listed).toEqual(expect.arrayContaining([expect.objectContaining({ id, because: 'api#1' })]))
  })

  test('[STU6] its event stream tells the question and what became of it, and nobody who must not answer', async () => {
    const token = await caller(alone, { owner: 'boss' })()
    await alone.session(token)
    const client = await RawClient.connect(alone.target)
    client.push(request('GET', '/.narrowgate/events', bearer(token)))
    const told = (): string => client.bytes().toString('utf8')
    await client.until(() => told().includes('text/event-stream'))
    const { id } = toldIn(await alone.ask('GET', freshPath('mild'), bearer(token)))
    expect((await operate(alone, 'ann', 'POST', `/v1/step-ups/${id}/deny`)).status).toBe(200)
    await client.until(() => told().includes('event: stepUp.denied'))
    expect(told().match(/event: stepUp\.\w+/g)).toEqual(['event: stepUp.asked', 'event: stepUp.denied'])
    expect(told()).not.toMatch(/barred|boss/)
    client.close()
  })

  test('[STU2] at most eight wait in one session: the ninth is refused without one, and counted', async () => {
    const token = await caller(alone)()
    const ids: string[] = []
    for (let i = 0; i < 8; i++) ids.push(toldIn(await alone.ask('GET', freshPath('once'), bearer(token))).id)
    expect(new Set(ids).size).toBe(8)
    const { status, json } = await alone.ask('GET', freshPath('once'), bearer(token))
    expect([status, json['reason'], json['step_up']]).toEqual([401, 'step_up_required', undefined])
    const { text } = await alone.ops('/metrics')
    expect(text).toMatch(/narrowgate_limit_reached_total\{limit="step_ups"\} [1-9]/)
    expect(text).toMatch(/narrowgate_step_ups_total\{outcome="asked"\} [1-9]/)
  })
})

describe('an operator’s word', () => {
  test('[STU4] once means once, on two gateways at the same moment', async () => {
    const [token, path] = [await caller(pair.a)(), freshPath('once')]
    const { id } = toldIn(await pair.a.ask('GET', path, bearer(token)))
    expect(toldIn(await pair.b.ask('GET', path, bearer(token))).id).toBe(id)
    expect((await approve(pair.b, id)).status).toBe(200)
    const answers = await Promise.all([pair.a, pair.b, pair.a, pair.b, pair.a, pair.b].map(gate => asks(gate, upstream, path, bearer(token))))
    expect(answers.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([200, 401, 401, 401, 401, 401])
  })

  test('[STU3] no: the session ends, on every gateway, and says so', async () => {
    const [token, path] = [await caller(pair.a)(), freshPath('once')]
    const { id } = toldIn(await pair.a.ask('GET', path, bearer(token)))
    expect((await operate(pair.b, 'ann', 'POST', `/v1/step-ups/${id}/deny`)).status).toBe(200)
    for (const gate of [pair.a, pair.b]) expect((await gate.ask('GET', '/base', bearer(token))).json['reason']).toBe('credential_revoked')
    expect((await approve(pair.a, id)).status).toBe(409)
  })

  test('[STU3] no, where the session may go on: what was asked for is refused for a while, and nobody is asked again', async () => {
    const [token, path] = [await caller(alone)(), freshPath('mild')]
    const { id } = toldIn(await alone.ask('GET', path, bearer(token)))
    expect((await operate(alone, 'olga', 'POST', `/v1/step-ups/${id}/deny`, { reason: 'no' })).status).toBe(200)
    const { status, json } = await alone.ask('GET', path, bearer(token))
    expect([status, json['reason'], json['step_up']]).toEqual([403, 'step_up_denied', undefined])
    expect((await asks(alone, upstream, freshPath('base'), bearer(token))).status).toBe(200)
  })

  const claims = { sub: 'selfish', owner: 'boss', act: { sub: 'orchestrator' } }
  test.each<readonly [Operator, number]>([['self', 403], ['owner', 403], ['actor', 403], ['alias', 403], ['olga', 403], ['ann', 200]])('[STU2, APR2] of %s: the caller, its owner, whom it acts for and their other names let nobody go on, nor does another role: %i', async (who, status) => {
    const [token, path] = [await caller(alone, claims)(), freshPath('once')]
    const { id } = toldIn(await alone.ask('GET', path, bearer(token)))
    expect((await approve(alone, id, who)).status).toBe(status)
    expect((await asks(alone, upstream, path, bearer(token))).status).toBe(status === 200 ? 200 : 401)
  })
})

describe('what a caller shows itself', () => {
  test('[STU3] a person: only a sign-in behind the question, in the context that is asked for, and once', async () => {
    const [token, path] = [person(alone), freshPath('once')]
    expect((await alone.ask('GET', path, bearer(await token({ auth_time: seconds(), acr: 'gold' })))).status).toBe(401)
    await nextSecond()
    for (const weak of [{ auth_time: seconds(-5), acr: 'gold' }, { auth_time: seconds(), acr: 'bronze' }, { acr: 'gold' }, { auth_time: String(seconds()), acr: 'gold' }, { auth_time: seconds(3_600), acr: 'gold' }]) {
      expect((await asks(alone, upstream, path, bearer(await token(weak)))).status, JSON.stringify(weak)).toBe(401)
    }
    expect((await alone.ask('POST', '/.narrowgate/session/revalidate', bearer(await token({ iat: seconds() })))).json['reason']).toBe('step_up_required') // renewed without anybody there
    const signedIn = await token({ iat: seconds(), auth_time: seconds(), acr: 'gold' })
    expect((await asks(alone, upstream, path, bearer(signedIn))).status).toBe(200)
    expect((await asks(alone, upstream, path, bearer(signedIn))).status).toBe(401)
  })

  test('[STU3] an agent with a key: neither a new token without a new nonce, nor an old token with one; both together, at either end', async () => {
    for (const [gate, way] of [[alone, 'revalidate'], [pair.a, 'revalidate'], [alone, 'request']] as const) {
      const agent = await BoundCaller.make(gate)
      const [path, before, old] = [freshPath('once'), freshPath('once'), await agent.token(seconds(-5))]
      const [target, method] = way === 'revalidate' ? ['/.narrowgate/session/revalidate', 'POST'] : [path, 'GET']
      const first = await gate.ask('GET', before, await agent.headers('GET', before, old, null))
      const early = String(first.headers['dpop-nonce'])
      await nextSecond()
      const asked = await gate.ask('GET', path, await agent.headers('GET', path, old, null))
      expect(asked.status).toBe(401)
      const nonce = String(asked.headers['dpop-nonce'])
      await nextSecond()
      const renewed = await agent.token(seconds())
      const show = async (token: string, shown: string | null) => (way === 'request' ? asks(gate, upstream, target, await agent.headers(method, target, token, shown), method) : gate.ask(method, target, await agent.headers(method, target, token, shown)))
      for (const [token, shown] of [[old, nonce], [renewed, null], [renewed, 'x'.repeat(43)], [renewed, `zzzzzzzz.${nonce.split('.')[1] ?? ''}`]] as const) expect((await show(token, shown)).json['reason'], way).toBe('step_up_required')
      const again = await show(renewed, early) // of two that wait it answers the first
      expect([again.status, again.json]).toEqual(way === 'request' ? [401, expect.anything()] : [200, { satisfied: [toldIn(first).id], pending: [toldIn(asked).id] }])
      const done = await show(renewed, nonce)
      expect([done.status, done.json]).toEqual(way === 'request' ? [200, {}] : [200, { satisfied: [toldIn(asked).id], pending: [] }])
      if (way === 'revalidate') expect((await asks(gate, upstream, path, await agent.headers('GET', path, renewed, null))).status).toBe(200)
    }
  })

  test('[STU3] an agent without one: a token issued behind the question, and no other', async () => {
    const [token, path] = [caller(alone), freshPath('once')]
    expect((await alone.ask('GET', path, bearer(await token()))).status).toBe(401)
    expect((await alone.ask('POST', '/.narrowgate/session/revalidate', bearer(await token()))).json['reason']).toBe('step_up_required')
    await nextSecond()
    const answer = await alone.ask('POST', '/.narrowgate/session/revalidate', bearer(await token({ iat: seconds() })))
    expect([answer.status, answer.json]).toEqual([200, { satisfied: [expect.stringMatching(ID)], pending: [] }])
    expect((await asks(alone, upstream, path, bearer(await token({ iat: seconds() })))).status).toBe(200)
  })
})

test('[STU3] a question that nobody answers is over in its time: asked anew, or the end of the session', async () => {
  const [token, brief, harsh] = [await caller(alone)(), freshPath('brief'), freshPath('harsh')]
  const { id } = toldIn(await alone.ask('GET', brief, bearer(token)))
  const { id: session, key } = await alone.session(token)
  await until(() => alone.parts.mirror.known(key)?.record.stepUps.find(each => each.id === id)?.state.is === 'expired', 'the end of the question')
  expect((await approve(alone, id)).status).toBe(409)
  expect(toldIn(await alone.ask('GET', brief, bearer(token))).id).not.toBe(id)
  await alone.ask('GET', harsh, bearer(token))
  await until(() => alone.parts.mirror.byId(session)?.record.state.is !== 'live', 'the end of the session')
  expect((await alone.ask('GET', '/base', bearer(token))).json['reason']).toBe('credential_revoked')
})
