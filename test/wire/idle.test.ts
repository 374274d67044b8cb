// When a session is idle: without a request or a byte for so long, whatever else happens, and wherever it was kept meanwhile. SPEC: SES5, SES8
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { pause, type Tap, TapUpstream, until } from './support.ts'

const IDLE = 2_000
const SOON = 2_000
const OFTEN = 250
let upstream: TapUpstream
let gate: TestGateway
let small: TestGateway
let tiny: TestGateway
let turn = 0

beforeAll(async () => {
  upstream = await TapUpstream.start()
  const plan = {
    baseline: `[{ scopes: [base:use] }]\n  idle: ${IDLE}ms`,
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/**"] }, scope: base:use }`,
  }
  gate = await TestGateway.start(plan)
  ;[small, tiny] = await Promise.all([0, 1].map(() => TestGateway.start({ ...plan, server: 'limits: { mirroredSessions: 1 }' }))) as [TestGateway, TestGateway] // two
})
afterAll(async () => {
  for (const one of [gate, small, tiny]) await one.stop()
  await upstream.close()
})

async function open(of: TestGateway, token: string): Promise<{ readonly client: RawClient; readonly tap: Tap }> {
  const path = `/open${++turn}`
  const client = await RawClient.connect(of.target)
  client.push(request('GET', path, { authorization: `Bearer ${token}` }))
  const tap = await upstream.tap(path)
  tap.begin(null)
  await client.head()
  return { client, tap }
}
async function often(ms: number, act: () => unknown): Promise<void> {
  for (const until = performance.now() + ms; performance.now() < until; await pause(OFTEN)) await act()
}
const stored = (of: TestGateway, key: string): Promise<unknown> => of.parts.store.load({ kind: 'session', name: key })
const LAPSED = { state: { is: 'lapsed', reason: 'idle' } }

/** When the upstream saw the end, in milliseconds since `from`. */
async function endedAfter({ tap }: { readonly tap: Tap }, from: number): Promise<number> {
  await until(() => tap.abortedAt > 0, 'the end of what is idle', IDLE + SOON)
  return tap.abortedAt - from
}

describe.concurrent('a session', () => {
  test('[SES5] lapses while a silent exchange of it is open; news of others keeps nobody awake', async () => {
    const token = await gate.token()
    const { key } = await gate.session(token)
    const held = await open(gate, token)
    const from = performance.now()
    let news = 0
    await Promise.all([endedAfter(held, from), often(IDLE + 500, async () => {
      const { json } = await gate.admin('POST', '/v1/locks', { selector: { subject: `other-${++turn}` } })
      const { id } = json['lock'] as { id: string } // the answer of a lock that was set
      await gate.admin('DELETE', `/v1/locks/${id}?reason=test`)
      news++
    })])
    expect(news).toBeGreaterThan(4)
    expect(held.tap.abortedAt - from).toBeGreaterThan(IDLE - 200)
    expect(await held.client.ended).toBe('reset')
    expect(await stored(gate, key)).toMatchObject(LAPSED)
  })

  test('[SES5] lapses while an answer is waited for', async () => {
    const token = await gate.token()
    const { key } = await gate.session(token)
    const client = await RawClient.connect(gate.target)
    const from = performance.now()
    client.push(request('GET', '/never', { authorization: `Bearer ${token}` }))
    expect(await endedAfter({ tap: await upstream.tap('/never') }, from)).toBeGreaterThan(IDLE - 200)
    expect((await client.response()).status).toBe(401)
    expect(await stored(gate, key)).toMatchObject(LAPSED)
    client.close()
  })

  test('[SES5] does not while bytes move, and so long after the last one it does', async () => {
    const token = await gate.token()
    const { key } = await gate.session(token)
    const held = await open(gate, token)
    await often(2.5 * IDLE, () => held.tap.send(100))
    expect(held.tap.abortedAt).toBe(0)
    await until(() => held.client.bodyBytes === held.tap.sent, 'every byte')
    expect(await stored(gate, key)).toMatchObject({ state: { is: 'live' } })
    expect(await endedAfter(held, held.client.lastByteAt)).toBeGreaterThan(IDLE - 200)
    expect(await stored(gate, key)).toMatchObject(LAPSED)
  })

  test('[SES5] does not while requests come, also where no body does', async () => {
    const token = await gate.token()
    const { id } = await gate.session(token)
    const held = await open(gate, token)
    await often(2 * IDLE, async () => {
      const path = `/empty${++turn}`
      const answer = gate.ask('HEAD', path, { authorization: `Bearer ${token}` })
      const tap = await upstream.tap(path)
      tap.answer.writeHead(204).end()
      expect((await answer).status).toBe(204)
    })
    expect([held.tap.abortedAt, (await gate.session(token)).id]).toEqual([0, id])
    held.client.close()
  })

  test('[SES5, SES8] that was idle for too long out of memory is not brought back by an operator who looks at it', async () => {
    const token = await tiny.token()
    const { id } = await tiny.session(token)
    const last = performance.now()
    const before = tiny.parts.mirror.byId(id)
    for (let i = 0; tiny.parts.mirror.byId(id) === before && i < 10; i++) await tiny.session(await tiny.token())
    expect(tiny.parts.mirror.byId(id)).not.toBe(before)
    await pause(last + IDLE + 200 - performance.now())
    expect((await tiny.admin('GET', `/v1/sessions/${id}`)).status).toBe(200)
    const held = await open(tiny, token)
    held.client.close()
    expect((await tiny.session(token)).id).not.toBe(id)
  })

  test('[SES5, SES8] that made way in memory and came back is not ended by what was kept of it', async () => {
    const token = await small.token()
    const { id, key } = await small.session(token)
    const before = small.parts.mirror.byId(id)
    for (let i = 0; small.parts.mirror.byId(id) === before && i < 10; i++) await small.session(await small.token())
    expect(small.parts.mirror.byId(id)).not.toBe(before)
    const held = await open(small, token)
    await often(2.5 * IDLE, () => held.tap.send(100))
    expect(held.tap.abortedAt).toBe(0)
    expect(await stored(small, key)).toMatchObject({ id, state: { is: 'live' } })
    expect(await endedAfter(held, held.client.lastByteAt)).toBeGreaterThan(IDLE - 200)
  })
})
