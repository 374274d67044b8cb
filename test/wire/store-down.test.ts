// The emergency path while the store fails: in force from memory at once, written as soon as the store answers.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'

let gate: TestGateway
let down = false

/** The gateway's own store with writes that fail while `down`. */
const failing = (store: SessionStore): SessionStore => new Proxy(store, {
  get(target, name) {
    const value: unknown = Reflect.get(target, name, target)
    if (typeof value !== 'function') return value
    return (...parameters: unknown[]) => {
      if (down && (name === 'commit' || name === 'commitRestrictive' || name === 'load')) return Promise.reject(new Error('the store is down'))
      return Reflect.apply(value, target, parameters) as unknown
    }
  },
})

beforeAll(async () => {
  gate = await TestGateway.start({
    wrapStore: failing,
    routes: `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - allow: { methods: [GET] }`,
  })
})
afterAll(() => gate.stop())

test('[ENF9] a terminate is enforced from memory while the store is down, and stored when it is back', async () => {
  const token = await gate.token()
  const { id, key } = await gate.session(token)
  const client = await RawClient.connect(gate.target)
  await client.send(request('GET', '/sse/news', { host: 'api.test', authorization: `Bearer ${token}` }))
  await client.head('GET')
  await gate.upstream.request('/sse/news')

  down = true
  const done = await gate.parts.intake.session(key, { kind: 'session.terminated', reason: 'revoked' }, { by: 'test', note: 'emergency', id: null })
  expect(done.assumed).toMatchObject({ cut: 1 })
  expect((await client.response('GET')).status).toBe(200) // ended at an event boundary, not left open
  expect((await gate.ask('GET', '/json', { authorization: `Bearer ${token}` })).status).toBeGreaterThanOrEqual(401)
  const locked = await gate.parts.intake.lock({ kind: 'all', value: '' }, { kind: 'lock.set', lock: 'lck_test' as never, selector: { kind: 'all', value: '' }, effect: 'deny', reason: 'locked', until: null }, { by: 'test', note: '', id: null }) // any id will do
  expect(locked.assumed).not.toBeNull()
  expect(gate.parts.ledger.owed).toBe(2)

  down = false
  await expect.poll(() => gate.parts.ledger.owed, { timeout: 10_000 }).toBe(0)
  expect(await gate.parts.store.load({ kind: 'session', name: key })).toMatchObject({ id, state: { is: 'revoked' } })
  expect(await gate.parts.store.load({ kind: 'lock', name: 'all:' })).toMatchObject({ state: 'set' })
})
