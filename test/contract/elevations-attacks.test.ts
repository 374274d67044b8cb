// What callers try to keep, to get twice or to shake off: an emergency's review, what another holds alone, a pause, a ticket that was taken back for a moment.
import { afterEach, describe, expect, test } from 'vitest'
import { eventually } from '../support/redis-server.ts'
import { ApprovalsGate } from './approvals-gate.ts'

type Json = Readonly<Record<string, unknown>>

const closing: (() => unknown)[] = []
afterEach(async () => { for (const close of closing.splice(0).reverse()) await close() })

async function own(more: Parameters<typeof ApprovalsGate.open>[0] = {}): Promise<ApprovalsGate> {
  const made = await ApprovalsGate.open(more)
  closing.push(() => made.close())
  return made
}

const reviewed = async (gate: ApprovalsGate): Promise<readonly string[]> =>
  ((await gate.operate('operator', 'GET', '/v1/reviews')).json['reviews'] as readonly Json[]).map(({ elevation, verdict }) => `${String(elevation)} ${String(verdict)}`) // a list by the contract

const again = (gate: ApprovalsGate, token: string, key: string, body: object) =>
  gate.gate.ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json', 'idempotency-key': key }, JSON.stringify({ reason: 'INC-1', ...body }))

describe('the review of an emergency', () => {
  test('[APR7, ELV17] is not shaken off by asking for something else under the same key', async () => {
    const gate = await own()
    const token = await gate.caller('a')
    const id = String((await again(gate, token, 'k', { profile: 'emergency' })).json['id'])
    await gate.release(token, id)
    expect((await again(gate, token, 'k', { profile: 'emergency', reason: 'INC-2' })).json['reason']).toBe('repeat_differs')
    expect(await reviewed(gate)).toEqual([`${id} pending`])
  })

  test('[APR7, ELV17] is not that of an earlier one of the same key, which its session has forgotten', async () => {
    const gate = await own()
    const token = await gate.caller('b')
    const id = String((await again(gate, token, 'k', { profile: 'emergency' })).json['id'])
    await gate.release(token, id)
    expect((await gate.operate('ann', 'POST', `/v1/reviews/${id}`, { verdict: 'accepted', reason: 'looked at it' })).status).toBe(200)
    for (let i = 0; i < 40; i++) await gate.release(token, await gate.asked(token, 'alone', { params: { host: `h-${i}` } }))
    const second = await again(gate, token, 'k', { profile: 'emergency' })
    expect([second.status === 201, await reviewed(gate)]).not.toEqual([true, []])
  })
})

describe('a pause', () => {
  test('[ELV11, ELV10] is not gone round by what was asked for before the end that begins it', async () => {
    const gate = await own()
    const token = await gate.caller('d')
    const first = await gate.asked(token, 'rests')
    const ahead = await gate.asked(token, 'rests', { startAt: new Date(gate.clock.now() + 1_500).toISOString() })
    await gate.release(token, first)
    await eventually('its start', 5_000, async () => (Date.parse(String((await gate.view(ahead))['startsAt'])) > gate.clock.now() + 3_000_000 || (await gate.state(ahead)) !== 'scheduled' ? true : null))
    expect(await gate.state(ahead)).toBe('scheduled')
  })

  test('[ELV11] is not cut short by an approval of what was asked for before it', async () => {
    const gate = await own({ elevations: 'elevations:\n  rests: { adds: [base:admin], for: 10m, cooldown: 1h, approval: { within: 10m } }\n' })
    const token = await gate.caller('e')
    const [first, second] = [await gate.asked(token, 'rests'), await gate.asked(token, 'rests')]
    await gate.approve('ann', first)
    await gate.release(token, first)
    await gate.approve('ann', second)
    expect([await gate.state(first), await gate.state(second)]).toEqual(['ended released', 'scheduled'])
  })
})

test('[ELV10, ELV1] what waited does not start for a caller that is not eligible any more', async () => {
  const elevations = (eligible: string): string => `elevations:\n  later: { adds: [base:admin], for: 10m, eligible: '${eligible}' }\n`
  const gate = await own({ elevations: elevations('true') })
  const token = await gate.caller('f')
  const id = await gate.asked(token, 'later', { startAt: new Date(gate.clock.now() + 2_000).toISOString() })
  await gate.reload({ elevations: elevations('subject.kind == "person"') })
  expect(await gate.state(id)).toBe('scheduled')
  await gate.settles(id, 'ended not_eligible')
})

test('[APR2, APR6] an approver on whom a lock stands extends nothing that needs an approver', async () => {
  const gate = await own({ elevations: 'elevations:\n  far: { adds: [base:admin], for: 5m, max: 30m, approval: { within: 10m } }\n' })
  const id = await gate.asked(await gate.caller('g'), 'far')
  expect((await gate.approve('bob', id)).status).toBe(200)
  await gate.operate('operator', 'POST', '/v1/locks', { selector: { subject: 'ops|ann' }, reason: 'odd' })
  const extended = async (person: 'ann' | 'bob') => (await gate.operate(person, 'POST', `/v1/elevations/${id}/extend`, { for: '5m', reason: 'more' })).status
  expect([await extended('ann'), await extended('bob')]).toEqual([403, 200])
})
