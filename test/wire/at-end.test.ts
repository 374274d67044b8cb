// Requests that finish behind the end of their elevation: for so long and no longer, not behind an end that somebody means, and never sent anew.
import { once } from 'node:events'
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request, type RawResponse } from '../support/raw-client.ts'
import { until } from './support.ts'

const TWO = createServer()
const streams: ServerHttp2Stream[] = []
const sessions: ServerHttp2Session[] = []
TWO.on('session', session => sessions.push(session)).on('stream', (stream: ServerHttp2Stream) => {
  stream.on('error', () => undefined)
  streams.push(stream)
})

let gate: TestGateway
beforeAll(async () => {
  TWO.listen(0, '127.0.0.1')
  await once(TWO, 'listening')
  const { port } = TWO.address() as AddressInfo // it listens on a port
  gate = await TestGateway.start({
    routes: `
- name: two
  match: { host: two.test }
  upstream: { url: "http://127.0.0.1:${port}", protocol: http2 }
  rules: [{ allow: { paths: [/**] }, scope: api:extra, atEnd: { finish: 30s } }]
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: { paths: [/**] }, scope: api:extra, atEnd: { finish: 30s } }]`,
    elevations: 'short: { adds: [api:extra], for: 1s, purpose: [task] }',
    more: 'purposes: { task: { header: x-task, source: manual } }',
  })
})
afterAll(async () => {
  await gate.stop()
  for (const session of sessions) session.destroy()
  TWO.close()
})

let callers = 0

/** A request that runs behind the end of its elevation; `release` lets its upstream answer. */
async function finishing(): Promise<{ readonly client: RawClient; readonly name: string; readonly id: string; readonly session: string; readonly answer: () => Promise<RawResponse> }> {
  const name = `T-${++callers}`
  const token = await gate.token({ sub: name })
  const id = await gate.elevate(token, 'short', null, { purpose: { task: name } })
  const client = await RawClient.connect(gate.target)
  gate.upstream.plays.set(`/held/${name}`, `/gate/${name}`)
  client.push(request('GET', `/held/${name}`, { authorization: `Bearer ${token}`, 'x-task': name }))
  await gate.upstream.request(`/held/${name}`)
  await until(() => gate.parts.inflight.all().some(({ permit: { grant }, finishUntil }) => grant.is === 'elevation' && grant.elevation.id === id && finishUntil !== null), 'it runs behind the end')
  return { client, name, id, session: (await gate.session(token)).id, answer: () => client.response() }
}

const reasonOf = ({ status, body }: RawResponse): unknown => (status === 200 ? 200 : (JSON.parse(body.toString()) as { readonly reason: unknown }).reason) // a problem of ours

describe('a request that finishes', () => {
  test('[ELV14] gets its answer', async () => {
    const { name, answer } = await finishing()
    gate.upstream.release(name)
    expect(reasonOf(await answer())).toBe(200)
  })

  test('[ELV14, ENF8] is cut by a lock on its elevation or its profile', async () => {
    const { id, answer } = await finishing()
    expect((await gate.admin('POST', '/v1/locks', { selector: { elevation: id }, effect: 'deny', reason: 'test' })).status).toBe(200)
    expect(reasonOf(await answer())).toBe('locked')
  })

  test('[ELV14, ENF6] is cut when its session is narrowed to its baseline', async () => {
    const { session, answer } = await finishing()
    expect((await gate.admin('POST', `/v1/sessions/${session}/narrow`, { reason: 'test' })).status).toBe(200)
    expect(reasonOf(await answer())).toBe('narrowed')
  })

  test('[ELV14, PUR3] is cut when its task ends, as the elevation would have been', async () => {
    const { name, answer } = await finishing()
    expect((await gate.admin('POST', `/v1/anchors/task/${name}`, { state: 'ended', reason: 'test' })).status).toBe(200)
    expect(reasonOf(await answer())).toBe('purpose_over')
  })

  test('[ELV14, WIRE20] is not sent a second time where its upstream had not begun with it', async () => {
    const name = `T-${++callers}`
    const token = await gate.token({ sub: name })
    await gate.elevate(token, 'short', null, { purpose: { task: name } })
    const client = await RawClient.connect(gate.target)
    client.push(request('GET', '/once', { host: 'two.test', authorization: `Bearer ${token}`, 'x-task': name }))
    await until(() => streams.length === 1 && gate.parts.inflight.all().some(({ place, finishUntil }) => place.route.name === 'two' && finishUntil !== null), 'it runs behind the end')
    streams[0]?.close(7) // REFUSED_STREAM
    expect((await client.response()).status).not.toBe(200)
    expect(streams).toHaveLength(1)
  })
})
