// Windows at the operator's side: how they stand, and a word that moves one at once, for what waits and for what is open.
import { afterEach, expect, test } from 'vitest'
import { ApprovalsGate } from './approvals-gate.ts'

type Json = Readonly<Record<string, unknown>>
const opened: ApprovalsGate[] = []
const at = async (time: string): Promise<ApprovalsGate> => {
  const made = await ApprovalsGate.open({ at: time })
  opened.push(made)
  return made
}
afterEach(async () => { for (const each of opened.splice(0)) await each.close() })

const nights = async (gate: ApprovalsGate): Promise<Json | undefined> => ((await gate.operate('operator', 'GET', '/v1/windows')).json['windows'] as readonly Json[])[0] // a list by the contract
const move = (gate: ApprovalsGate, body: object) => gate.operate('operator', 'POST', '/v1/windows/nights/override', { reason: 'test', ...body })
const changes = (gate: ApprovalsGate, token: string): Promise<number> => gate.gate.ask('DELETE', '/x', { authorization: `Bearer ${token}` }).then(({ status }) => status)
const restore = (gate: ApprovalsGate) => gate.operate('operator', 'DELETE', '/v1/windows/nights/override', { reason: 'back' })

test('[WIN4, ADM12] the list tells whether a window is open, when that changes, and who moved it', async () => {
  const gate = await at('2027-01-10T23:00:00Z')
  const before = await nights(gate)
  expect(before).toMatchObject({ name: 'nights', open: true, opens: '2027-01-10T22:00:00.000Z', closes: '2027-01-11T04:00:00.000Z', timeZone: 'UTC', override: null })
  expect((await move(gate, { until: '2027-01-11T05:00:00Z' })).json).toMatchObject({ enforced: true, durable: true })
  const after = await nights(gate)
  expect(after).toMatchObject({ open: true, opens: '2027-01-10T22:00:00.000Z', closes: '2027-01-11T05:00:00.000Z', override: { from: '2027-01-10T22:00:00.000Z', until: '2027-01-11T05:00:00.000Z' } })
  expect(after?.['version']).not.toBe(before?.['version'])
  expect([(await restore(gate)).status, (await restore(gate)).status, (await nights(gate))?.['closes']]).toEqual([200, 404, '2027-01-11T04:00:00.000Z'])
})

test('[WIN4] closing ends what stands on it in the same answer, and the calendar opens it again', async () => {
  const gate = await at('2027-01-10T23:00:00Z')
  const token = await gate.caller('a')
  const id = await gate.asked(token, 'windowed')
  expect([await gate.state(id), await changes(gate, token)]).toEqual(['active', 200])
  const closed = await move(gate, { until: 'now' })
  expect([closed.status, await changes(gate, token)]).toEqual([200, 403])
  await gate.settles(id, 'ended window_closed')
  expect(await nights(gate)).toMatchObject({ open: false, opens: '2027-01-11T22:00:00.000Z', closes: null })
  expect((await move(gate, { until: 'now' })).status).toBe(409)
  await restore(gate)
  expect([await gate.state(id), await changes(gate, token), (await nights(gate))?.['open']]).toEqual(['ended window_closed', 403, true])
})

test('[WIN4, ELV10] opening starts what waited, at once', async () => {
  const gate = await at('2027-01-10T12:00:00Z')
  const token = await gate.caller('b')
  const id = await gate.asked(token, 'windowed')
  expect([await gate.state(id), (await nights(gate))?.['opens']]).toEqual(['scheduled', '2027-01-10T22:00:00.000Z'])
  expect((await move(gate, { until: '2027-01-10T13:00:00Z' })).status).toBe(200)
  await gate.settles(id, 'active')
  expect([(await nights(gate))?.['closes'], await changes(gate, token)]).toEqual(['2027-01-10T13:00:00.000Z', 200])
})

test('[ADM12, WIN4] who may, which window, and how far', async () => {
  const gate = await at('2027-01-10T12:00:00Z')
  expect((await gate.operate('ann', 'POST', '/v1/windows/nights/override', { until: 'now', reason: 'x' })).status).toBe(403)
  expect((await gate.operate('operator', 'POST', '/v1/windows/days/override', { until: 'now', reason: 'x' })).status).toBe(404)
  expect((await gate.operate('operator', 'POST', '/v1/windows/nights/override', { until: '2027-01-10T13:00:00Z' })).status).toBe(400)
  for (const body of [{ until: '2027-01-10T11:00:00Z' }, { until: '2027-02-11T12:00:00Z' }, { from: '2026-12-01T00:00:00Z', until: '2027-01-10T13:00:00Z' }, { from: '2027-01-10T14:00:00Z', until: '2027-01-10T13:00:00Z' }]) {
    expect([body, (await move(gate, body)).status]).toEqual([body, 400])
  }
  expect(await nights(gate)).toMatchObject({ open: false, override: null })
})
