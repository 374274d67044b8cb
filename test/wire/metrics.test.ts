// What a scrape says of the record and of limits: counters that only grow, each line and each limit counted once.
import { readFileSync } from 'node:fs'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'

let gate: TestGateway
let down = false
/** Restrictive commits fail while `down`. */
const failing = (store: SessionStore): SessionStore => new Proxy(store, {
  get(target, name) {
    const value: unknown = Reflect.get(target, name, target)
    if (typeof value !== 'function') return value
    return (...parameters: unknown[]) => (down && name === 'commitRestrictive' ? Promise.reject(new Error('down')) : (Reflect.apply(value, target, parameters) as unknown)) // as the store answers
  },
})

beforeEach(async () => {
  down = false
  gate = await TestGateway.start({
    wrapStore: failing, server: 'limits: { bodyBytes: 1KiB, headerBytes: 4KiB, mirroredSessions: 2 }',
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules: [{ allow: {} }]`,
  })
})
afterEach(async () => {
  down = false
  await gate.stop()
})

/** The value of a sample, 0 where there is none, and the type its name is told with. */
async function sample(name: string): Promise<{ readonly value: number; readonly type: string | undefined }> {
  const { text } = await gate.ops('/metrics')
  const line = text.split('\n').find(each => each.startsWith(`narrowgate_${name} `))
  const [, type] = new RegExp(`^# TYPE narrowgate_${name.replace(/\{.*/, '')} (\\w+)$`, 'm').exec(text) ?? []
  return { value: Number(line?.split(' ').at(-1) ?? 0), type }
}
const valueOf = async (name: string): Promise<number> => (await sample(name)).value
const limit = (name: string): Promise<number> => valueOf(`limit_reached_total{limit="${name}"}`)
const read = async (subject: string): Promise<number> => (await gate.ask('GET', '/json', { authorization: `Bearer ${await gate.token({ sub: subject })}` })).status

test('[ADM8, AUD4] every line of both lanes is counted, by counters', async () => {
  expect(await read('a')).toBe(200)
  await gate.ask('GET', '/json')
  await gate.parts.noise.flush()
  const lines = (await gate.trail()).length
  expect(await sample('audit_records_total{lane="trail"}')).toEqual({ value: lines, type: 'counter' })
  const noise = readFileSync(gate.trailFile.replace('trail', 'noise'), 'utf8').trim().split('\n').length
  expect(await sample('audit_records_total{lane="noise"}')).toEqual({ value: noise, type: 'counter' })
  for (const name of ['audit_write_failures_total', 'audit_dropped_total', 'audit_noise_dropped_total']) expect([name, await sample(name)]).toEqual([name, { value: 0, type: 'counter' }])
})

test('[ADM8] a life that is over is no active session, though it stays to refuse its credential', async () => {
  const token = await gate.token()
  const { id } = await gate.session(token)
  const active = 'sessions_active{kind="agent",state="live"}'
  expect(await valueOf(active)).toBe(1)
  await gate.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'x' })
  expect((await gate.ops('/metrics')).text).not.toMatch(/narrowgate_sessions_active\{.*\} [1-9]/)
  expect(await valueOf('sessions_mirrored')).toBe(1)
})

test('[ADM8, SES12] sessions that make way, bodies and heads beyond their limit are counted as limits', async () => {
  for (let i = 0; i < 20; i++) await read(`s${i}`)
  expect(await limit('mirrored_sessions')).toBe(gate.parts.mirror.evicted)
  expect(gate.parts.mirror.evicted).toBeGreaterThan(0)
  const authorization = `Bearer ${await gate.token()}`
  expect((await gate.ask('POST', '/json', { authorization }, 'x'.repeat(2_000))).status).toBe(413)
  expect(await limit('body_bytes')).toBe(1)
  const client = await RawClient.connect(gate.target)
  await client.send(request('POST', '/json', { host: 'api.test', authorization, 'transfer-encoding': 'chunked' }))
  await client.send(`7d0\r\n${'x'.repeat(2_000)}\r\n`)
  expect((await client.response('POST')).status).toBe(413)
  client.close()
  expect(await limit('body_bytes')).toBe(2)
  expect((await gate.ask('GET', '/json', { authorization, 'x-long': 'x'.repeat(6_000) })).status).toBe(431)
  expect(await limit('header_bytes')).toBe(1)
})

test('[ADM8, ADM3] what finds no place among the ends owed to the store is counted', async () => {
  down = true
  const lock = (value: string) => gate.parts.intake.lock({ kind: 'tenant', value }, { kind: 'lock.set', lock: `lck_${value}` as never, selector: { kind: 'tenant', value }, effect: 'deny', reason: 'locked', until: null }, { by: 'test', note: '', id: null }) // any id will do
  for (let i = 0; i < 10_000; i++) await lock(String(i))
  expect([gate.parts.ledger.owed, await limit('owed_signals')]).toEqual([10_000, 0])
  await expect(lock('more')).rejects.toThrow()
  expect(await limit('owed_signals')).toBe(1)
})

test('[ADM8] label names are a closed list, and no value is a caller\'s word: subject, session, host, method, path, query or header', async () => {
  const authorization = `Bearer ${await gate.token({ sub: 'zq-subject', sid: 'zq-sid', jti: 'zq-jti', client_id: 'zq-client' })}`
  const { id, key } = await gate.session(authorization.slice('Bearer '.length))
  for (const [method, path, host] of [['GET', '/json?zq-query=1', 'api.test'], ['ZQMETHOD', '/zq-path', 'api.test'], ['GET', '/zq-path', 'zq-host.test'], ['GET', '/zq%2epath', 'api.test']] as const) {
    const client = await RawClient.connect(gate.target)
    client.push(request(method, path, { host, authorization, 'x-zq-header': 'zq-value' }))
    await client.response()
    client.close()
  }
  await gate.admin('POST', '/v1/locks', { selector: { subject: 'zq-locked' }, reason: 'zq-reason' })
  await gate.admin('POST', '/v1/anchors/ticket/zq-ticket', { state: 'ended' })
  await gate.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'zq-reason' })
  await gate.ask('GET', '/json', { authorization })
  const { text } = await gate.ops('/metrics')
  const own = text.split('\n').filter(line => line.startsWith('narrowgate_'))
  expect(own.length).toBeGreaterThan(30)
  expect(own.filter(line => /zq/i.test(line) || line.includes(id) || line.includes(key))).toEqual([])
  const labels = new Set(own.flatMap(line => [...line.matchAll(/[{,](\w+)="/g)].map(([, name]) => name)))
  const closed = ['route', 'method', 'code', 'protocol', 'decision', 'reason', 'elevated', 'le', 'upstream', 'kind', 'source', 'action', 'outcome', 'state', 'profile', 'answer', 'limit', 'lane', 'cause', 'result']
  expect([...labels].filter(name => !closed.includes(name ?? ''))).toEqual([])
})
