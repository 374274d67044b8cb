// Two gateways over one Redis: whoever hears an approver, a review or an end, the other one knows.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { storeAt } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { ApprovalsGate } from './approvals-gate.ts'

let server: RedisServer
let a: ApprovalsGate
let b: ApprovalsGate
beforeAll(async () => {
  server = await RedisServer.start()
  const store = storeAt(server)
  a = await ApprovalsGate.open({ store })
  b = await ApprovalsGate.open({ store, beside: a })
})
afterAll(async () => {
  await b?.close()
  await a?.close()
  await server?.stop()
})

const changes = (gate: ApprovalsGate, token: string): Promise<number> => gate.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` }).then(({ status }) => status)

test('[APR5, APR4] stages are given on one gateway and on the other; two that race for one place are one', async () => {
  const token = await a.caller('a')
  const id = await a.asked(token, 'two')
  const both = await Promise.all([a.approve('ann', id), b.approve('annToo', id)])
  expect([both.map(({ status }) => status).toSorted((x, y) => x - y), await b.state(id)]).toEqual([[200, 409], 'requested'])
  expect((await b.approve('bob', id)).status).toBe(200)
  expect([await changes(a, token), await changes(b, token)]).toEqual([200, 200])
  expect((await b.operate('bob', 'POST', `/v1/elevations/${id}/revoke`, { reason: 'x' })).status).toBe(200)
  expect([await changes(a, token), await changes(b, token), await a.state(id)]).toEqual([403, 403, 'ended approval_withdrawn'])
})

test('[APR6] whichever gateway starts it asks whether the approver still counts', async () => {
  const token = await a.caller('b')
  const id = await a.asked(token, 'one', { startAt: new Date(Date.now() + 2_000).toISOString() })
  expect((await a.approve('ann', id)).status).toBe(200)
  expect(await changes(b, token)).toBe(403)
  await b.operate('operator', 'POST', '/v1/locks', { selector: { subject: 'ops|ann' }, reason: 'gone' })
  await b.settles(id, 'ended approval_withdrawn')
  expect(await changes(a, token)).toBe(403)
  const { locks } = (await a.operate('operator', 'GET', '/v1/locks')).json as { readonly locks: readonly { readonly id: string }[] } // a list by the contract
  await a.operate('operator', 'DELETE', `/v1/locks/${locks[0]?.id ?? ''}`, { reason: 'test' })
})

test('[APR7, ELV11] emergencies and pauses of a caller count on every gateway', async () => {
  const token = await a.caller('c')
  const ids = []
  for (const gate of [a, b, a, b]) ids.push(await gate.asked(token, 'emergency'))
  await eventually('both gateways know', 5_000, async () => ([await a.ask(token, 'emergency'), await b.ask(token, 'emergency')].every(({ json }) => json['reason'] === 'limit_reached') ? true : null))
  expect((await b.operate('bob', 'POST', `/v1/reviews/${ids[0]}`, { verdict: 'rejected', reason: 'x' })).status).toBe(200)
  expect(await a.state(ids[0] ?? '')).toBe('ended approval_withdrawn')
  await eventually('there is room again', 5_000, async () => ((await a.ask(token, 'emergency')).status === 201 ? true : null))
  const resting = await a.asked(token, 'rests')
  await b.release(token, resting)
  await eventually('the pause is known', 5_000, async () => ((await a.ask(token, 'rests', { dryRun: true })).json['reason'] === 'cooling_down' ? true : null))
})

test('[WIN4] a window moved on one gateway is moved on the other when the answer is there', async () => {
  const { json: { windows } } = await a.operate('operator', 'GET', '/v1/windows')
  const [{ open } = { open: false }] = windows as readonly { readonly open: boolean }[] // a list by the contract
  const token = await b.caller('d')
  const soon = new Date(Date.now() + 3_600_000).toISOString()
  if (!open) await a.operate('operator', 'POST', '/v1/windows/nights/override', { until: soon, reason: 'x' })
  const id = await b.asked(token, 'windowed')
  expect([await b.state(id), await changes(b, token)]).toEqual(['active', 200])
  expect((await a.operate('operator', 'POST', '/v1/windows/nights/override', { until: 'now', reason: 'x' })).status).toBe(200)
  expect(await changes(b, token)).toBe(403)
  await b.settles(id, 'ended window_closed')
})
