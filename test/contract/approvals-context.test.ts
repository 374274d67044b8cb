// What an upstream is told of an elevation that somebody approved: the same that the trail and the operators' view have.
import { decodeJwt } from 'jose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { ApprovalsGate } from './approvals-gate.ts'

let desk: ApprovalsGate
beforeAll(async () => { desk = await ApprovalsGate.open() })
afterAll(() => desk.close())

async function contextOf(token: string): Promise<Record<string, unknown>> {
  const before = desk.gate.upstream.requests.length
  expect((await desk.gate.ask('DELETE', '/echo/x', { authorization: `Bearer ${token}` })).status).toBe(200)
  return decodeJwt(desk.gate.upstream.requests[before]?.header('narrowgate-context')[0] ?? '')
}

test('[CTX1] everybody who approved, by the name in the trail, when, and what was shown to them', async () => {
  const token = await desk.caller('a')
  const id = await desk.asked(token, 'two')
  for (const person of ['ann', 'bob'] as const) expect((await desk.approve(person, id)).status).toBe(200)
  const approvals = (await desk.view(id))['approvals'] as readonly { readonly by: string; readonly at: string; readonly shown: string }[] // a list by the contract
  const { elevation, approval, unasked, ticket } = await contextOf(token)
  expect([elevation, unasked, ticket]).toEqual([id, undefined, undefined])
  expect(approval).toEqual(approvals.map(({ by, at, shown }) => ({ by, at: Math.floor(Date.parse(at) / 1000), shown })))
  expect(approvals.map(({ by }) => by)).toEqual(['ops|ann', 'ops|bob'])
})

test('[CTX1] one that was taken in an emergency has nobody\'s approval, and says why', async () => {
  const token = await desk.caller('b')
  await desk.asked(token, 'emergency')
  expect(await contextOf(token)).toMatchObject({ profile: 'emergency', unasked: 'break_glass' })
  expect((await contextOf(token))['approval']).toBeUndefined()
})
