// Elevations that live as long as somebody holds them, asks that come twice, and warnings before an end: over real sockets, on one gateway and on two.
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type ClientRequest, type IncomingMessage, request as httpRequest } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { OPEN_ELEVATIONS_MAX } from '../../src/core/session.ts'
import { Holders } from '../../src/sessions/holders.ts'
import { type Answer, type GatewayPair, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'

const PLAN: GatewayPlan = {
  routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: [/write/**] }, scope: api:write }
    - { allow: { paths: [/extra/**] }, scope: api:extra }
    - allow: {}`,
  elevations: `
writer: { adds: [api:write], for: 10m, max: 1h, purpose: [task] }
plain: { adds: [api:extra], for: 10m }
brief: { adds: [api:extra], for: 4s, max: 1h, warn: 2s }
asked: { adds: [api:extra], for: 10m, approval: { by: approver, within: 10m } }`,
  more: 'purposes: { task: { header: x-task } }',
}

type Json = Record<string, unknown>
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

const ask = (gate: TestGateway, token: string, body: object, key: string | null = null, headers: Record<string, string> = {}): Promise<Answer> =>
  gate.ask('POST', '/.narrowgate/elevations', { ...bearer(token), 'content-type': 'application/json', ...(key === null ? {} : { 'idempotency-key': key }), ...headers }, JSON.stringify(body))

async function elevated(gate: TestGateway, token: string, body: object): Promise<string> {
  const { status, text, json } = await ask(gate, token, body)
  expect(status, text).toBe(201)
  return String(json['id'])
}

const visit = async (gate: TestGateway, token: string, path = '/extra/1'): Promise<number> => (await gate.ask('GET', path, bearer(token))).status
const stateOf = async (gate: TestGateway, token: string, id: string): Promise<Json> => (await gate.ask('GET', `/.narrowgate/elevations/${id}`, bearer(token))).json

/** An event stream of the caller's own, and what came of it. */
class Stream {
  readonly #sent: ClientRequest
  readonly events: { readonly event: string; readonly data: Json }[] = []
  closed = false

  private constructor(sent: ClientRequest, response: IncomingMessage) {
    this.#sent = sent
    let held = ''
    response.setEncoding('utf8').on('data', (chunk: string) => {
      const frames = (held + chunk).split('\n\n')
      held = frames.pop() ?? ''
      for (const frame of frames) {
        const [, event, data] = /^event: (.*)\ndata: (.*)$/.exec(frame) ?? []
        if (event !== undefined && data !== undefined) this.events.push({ event, data: JSON.parse(data) as Json })
      }
    })
    response.on('close', () => { this.closed = true }).on('error', () => {})
  }

  static async open(gate: TestGateway, token: string, path: string): Promise<Stream> {
    const sent = httpRequest({ host: '127.0.0.1', port: gate.target.port, path: `/.narrowgate/${path}`, headers: { host: 'api.test', ...bearer(token) }, agent: false })
    sent.on('error', () => {}).end()
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    expect(response.statusCode).toBe(200)
    return new Stream(sent, response)
  }

  of(event: string): readonly Json[] { return this.events.filter(each => each.event === event).map(({ data }) => data) }
  drop(): void { this.#sent.destroy() }
}

const within = async (ms: number, what: string, holds: () => Promise<boolean> | boolean): Promise<void> => { await eventually(what, ms, async () => ((await holds()) ? true : null)) }
const seconds = (since: number): number => (performance.now() - since) / 1000

let gate: TestGateway
beforeAll(async () => { gate = await TestGateway.start(PLAN) })
afterAll(() => gate.stop())

describe.concurrent('held', () => {
  test('[ELV15] it carries while its stream is open, and ends as given back by its holder five seconds behind it', async () => {
    const token = await gate.token()
    const id = await elevated(gate, token, { profile: 'plain', hold: true })
    const held = await Stream.open(gate, token, `elevations/${id}/hold`)
    await within(2_000, 'it is told', () => held.of('elevation').some(({ state }) => state === 'active'))
    await new Promise(resolve => setTimeout(resolve, 6_500)) // longer than what is given back behind it
    expect(await visit(gate, token)).toBe(200)
    const left = performance.now()
    held.drop()
    await within(8_000, 'it ends', async () => (await stateOf(gate, token, id))['state'] === 'ended')
    expect(seconds(left)).toBeGreaterThan(4.5)
    expect(seconds(left)).toBeLessThan(7)
    expect(await visit(gate, token)).toBe(403)
    const lines = await gate.trail()
    expect(lines.flatMap(({ kind, fact }) => (kind === 'fact' && (fact as Json)['what'] === 'elevation.ended' && (fact as Json)['elevation'] === id ? [fact as Json] : []))).toMatchObject([{ reason: 'released', cause: 'holder' }])
  }, 30_000)

  test('[ELV15] who takes hold of it again in time keeps it, and two holders keep it until the last is gone', async () => {
    const token = await gate.token()
    const id = await elevated(gate, token, { profile: 'plain', hold: true })
    const [first, second] = [await Stream.open(gate, token, `elevations/${id}/hold`), await Stream.open(gate, token, `elevations/${id}/hold`)]
    first.drop()
    await new Promise(resolve => setTimeout(resolve, 6_000))
    expect(await visit(gate, token)).toBe(200)
    second.drop()
    await new Promise(resolve => setTimeout(resolve, 3_000))
    const third = await Stream.open(gate, token, `elevations/${id}/hold`)
    await new Promise(resolve => setTimeout(resolve, 4_000))
    expect(await visit(gate, token)).toBe(200)
    third.drop()
  }, 30_000)

  test('[ELV15] the stream tells its end, and ends with it; what was not asked for so is not held', async () => {
    const token = await gate.token()
    const id = await elevated(gate, token, { profile: 'plain', hold: true })
    const held = await Stream.open(gate, token, `elevations/${id}/hold`)
    expect((await gate.ask('POST', `/.narrowgate/elevations/${id}/release`, bearer(token))).status).toBe(200)
    await within(2_000, 'the stream ends', () => held.closed)
    expect(held.of('elevation').at(-1)).toMatchObject({ state: 'ended', reason: 'released' })
    const plain = await elevated(gate, token, { profile: 'plain' })
    expect((await gate.ask('GET', `/.narrowgate/elevations/${plain}/hold`, bearer(token))).status).toBe(400)
    expect((await gate.ask('GET', `/.narrowgate/elevations/elv_${'a'.repeat(26)}/hold`, bearer(token))).status).toBe(404)
  })

  test('[ELV15] an ask to hold that is not taken leaves nothing behind: asking takes no places from others', async () => {
    const token = await gate.token()
    const left = vi.spyOn(Holders.prototype, 'unexpect')
    const asks = await Promise.all(Array.from({ length: 36 }, () => ask(gate, token, { profile: 'plain', hold: true })))
    expect(asks.filter(({ status }) => status === 201)).toHaveLength(OPEN_ELEVATIONS_MAX)
    expect(left).toHaveBeenCalledTimes(36 - OPEN_ELEVATIONS_MAX)
    left.mockRestore()
  })

  test('[ELV15] nobody holds what is another session’s', async () => {
    const [mine, other] = [await gate.token(), await gate.token()]
    const id = await elevated(gate, mine, { profile: 'plain', hold: true })
    expect((await gate.ask('GET', `/.narrowgate/elevations/${id}/hold`, bearer(other))).status).toBe(404)
  })

  test('[ELV15, ENF6] a frozen session holds on to what it has', async () => {
    const token = await gate.token()
    const { id: session } = await gate.session(token)
    const id = await elevated(gate, token, { profile: 'plain', hold: true })
    await gate.admin('POST', `/v1/sessions/${session}/freeze`, { reason: 'test' })
    const held = await Stream.open(gate, token, `elevations/${id}/hold`)
    await new Promise(resolve => setTimeout(resolve, 6_500))
    expect(held.closed).toBe(false)
    await gate.admin('POST', `/v1/sessions/${session}/resume`, { reason: 'test' })
    expect(await visit(gate, token)).toBe(200)
    held.drop()
  }, 30_000)
})

test('[ELV15] a gateway that comes back carries nothing more of what nobody holds, from the first request on', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-held-'))
  const before = await TestGateway.start({ ...PLAN, directory })
  const token = await before.token()
  const id = await elevated(before, token, { profile: 'plain', hold: true })
  const kept = await elevated(before, token, { profile: 'writer', purpose: { task: 'T-1' } })
  await Stream.open(before, token, `elevations/${id}/hold`)
  expect(await visit(before, token)).toBe(200)
  await before.stop()
  const after = await TestGateway.start({ ...PLAN, directory, issuer: before.issuer })
  expect(await visit(after, token)).toBe(403)
  expect([(await stateOf(after, token, id))['reason'], (await stateOf(after, token, kept))['state']]).toEqual(['released', 'active'])
  await after.stop()
  rmSync(directory, { recursive: true, force: true })
}, 30_000)

describe('asked twice', () => {
  test('[ELV17] the same ask under the same key is the same elevation, whatever became of it', async () => {
    const token = await gate.token()
    const first = await ask(gate, token, { profile: 'plain' }, 'k-1')
    expect(first.status).toBe(201)
    const again = await ask(gate, token, { profile: 'plain' }, 'k-1')
    expect([again.status, again.json['id']]).toEqual([201, first.json['id']])
    const id = String(first.json['id'])
    await gate.ask('POST', `/.narrowgate/elevations/${id}/release`, bearer(token))
    const over = await ask(gate, token, { profile: 'plain' }, 'k-1')
    expect([over.status, over.json['id'], over.json['state']]).toEqual([200, id, 'ended'])
    expect((await ask(gate, token, { profile: 'plain' }, 'k-2')).json['id']).not.toBe(id)
    expect((await ask(gate, await gate.token(), { profile: 'plain' }, 'k-1')).json['id']).not.toBe(id)
    const waiting = await ask(gate, token, { profile: 'asked' }, 'k-3')
    expect([waiting.status, (await ask(gate, token, { profile: 'asked' }, 'k-3')).json['id']]).toEqual([202, waiting.json['id']])
  })

  test('[ELV17] another ask under it is refused, also one that shows another purpose, and a key that is none', async () => {
    const token = await gate.token()
    const asked = (task: string, more: object = {}) => ask(gate, token, { profile: 'writer', ...more }, 'k-1', { 'x-task': task })
    expect((await asked('T-1')).status).toBe(201)
    for (const other of [await asked('T-1', { for: '5m' }), await asked('T-2'), await ask(gate, token, { profile: 'plain' }, 'k-1')]) expect([other.status, other.json['reason']], other.text).toEqual([409, 'repeat_differs'])
    for (const key of ['', 'a b', 'x'.repeat(256)]) expect((await ask(gate, token, { profile: 'plain' }, key)).status, JSON.stringify(key)).toBe(400)
  })

  test('[ELV17] many at once make one', async () => {
    const token = await gate.token()
    await gate.session(token)
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask(gate, token, { profile: 'plain' }, 'burst')))
    expect(new Set(answers.map(({ json }) => json['id'])).size).toBe(1)
    expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([201]))
  })

  test('[ELV17, ADM12] so it is where an operator asks for a session', async () => {
    const { id: session } = await gate.session(await gate.token())
    const asked = async (key: string, more: object = {}) => {
      const response = await fetch(`http://${gate.gateway.front.address('admin')}/v1/elevations`, { method: 'POST', headers: { ...bearer(gate.adminToken), 'content-type': 'application/json', 'idempotency-key': key }, body: JSON.stringify({ session, profile: 'plain', reason: 'test', ...more }) })
      return { status: response.status, json: (await response.json()) as Json }
    }
    const [first, again] = [await asked('a'), await asked('a')]
    expect([first.status, again.status, again.json['id']]).toEqual([201, 201, first.json['id']])
    expect((await asked('a', { for: '1m' })).status).toBe(409)
    expect((await asked('b')).json['id']).not.toBe(first.json['id'])
    expect((await asked('a b')).status).toBe(400)
  })
})

describe('warned', () => {
  test('[ELV16] each end is told once ahead of it, on the session’s stream and on the holder’s; an extension has a new one', async () => {
    const token = await gate.token()
    await gate.session(token)
    const events = await Stream.open(gate, token, 'events')
    const id = await elevated(gate, token, { profile: 'brief', hold: true })
    const held = await Stream.open(gate, token, `elevations/${id}/hold`)
    const other = await elevated(gate, token, { profile: 'plain' })
    await within(4_000, 'it is told', () => events.of('elevation.expiring').length === 1 && held.of('elevation.expiring').length === 1)
    const [warned] = held.of('elevation.expiring')
    expect(warned).toMatchObject({ elevation: id, profile: 'brief' })
    expect(Number(warned?.['secondsLeft'])).toBeLessThanOrEqual(2)
    const extended = await gate.ask('POST', `/.narrowgate/elevations/${id}/extend`, { ...bearer(token), 'content-type': 'application/json' }, '{"for":"3s"}')
    expect(extended.status, extended.text).toBe(200)
    await within(6_000, 'the new end is told', () => events.of('elevation.expiring').length === 2)
    expect(events.of('elevation.expiring').map(({ elevation }) => elevation)).toEqual([id, id])
    expect(events.of('elevation.expiring')[1]?.['until']).toBe(extended.json['until'])
    await within(5_000, 'it ends', () => held.closed)
    expect(events.of('elevation.expiring')).toHaveLength(2)
    expect(other).not.toBe(id)
    events.drop()
  }, 30_000)
})

describe('with two gateways', () => {
  let server: RedisServer
  let pair: GatewayPair
  beforeAll(async () => {
    server = await RedisServer.start()
    pair = await TestGateway.pair(server, PLAN)
  }, 60_000)
  afterAll(async () => {
    await pair.stop()
    await server.stop()
  })

  test('[ELV15] a stream at either keeps it at both, and it ends at both when it is gone', async () => {
    const { a, b } = pair
    const token = await a.token()
    const id = await elevated(a, token, { profile: 'plain', hold: true })
    const first = await Stream.open(a, token, `elevations/${id}/hold`)
    await within(3_000, 'it is known there', async () => (await visit(b, token)) === 200)
    await new Promise(resolve => setTimeout(resolve, 6_500))
    expect([await visit(a, token), await visit(b, token)]).toEqual([200, 200])
    first.drop()
    const second = await Stream.open(b, token, `elevations/${id}/hold`)
    await new Promise(resolve => setTimeout(resolve, 7_000))
    expect([await visit(a, token), await visit(b, token)]).toEqual([200, 200])
    const left = performance.now()
    second.drop()
    await within(9_000, 'it ends', async () => (await visit(a, token)) === 403 && (await visit(b, token)) === 403)
    expect(seconds(left)).toBeGreaterThan(4)
  }, 60_000)

  test('[ELV17] the same ask at either is the same elevation, and another one is refused by both', async () => {
    const { a, b } = pair
    const token = await a.token()
    const [first, again] = await Promise.all([ask(a, token, { profile: 'plain' }, 'k'), ask(b, token, { profile: 'plain' }, 'k')])
    expect([first.status, again.status, again.json['id']]).toEqual([201, 201, first.json['id']])
    for (const at of [a, b]) expect((await ask(at, token, { profile: 'plain', for: '1m' }, 'k')).status).toBe(409)
  })

  test('[ELV15] a gateway that dies holds nothing any more: another one ends it, and one that never heard of it lets nothing through', async () => {
    const third = await TestGateway.start({ ...PLAN, upstream: pair.a.upstream, issuer: pair.a.issuer, store: `{ redis: { url: "redis://127.0.0.1:${server.port}" } }` })
    const token = await pair.a.token()
    const id = await elevated(third, token, { profile: 'plain', hold: true })
    const held = await Stream.open(third, token, `elevations/${id}/hold`)
    const left = performance.now()
    await third.stop()
    await within(3_000, 'the stream breaks', () => held.closed)
    await within(9_000, 'it ends', async () => (await visit(pair.b, token)) === 403)
    expect(seconds(left)).toBeGreaterThan(3)
    expect((await stateOf(pair.b, token, id))['reason']).toBe('released')
  }, 60_000)
})
