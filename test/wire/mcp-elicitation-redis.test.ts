// A call that somebody is asked about on one gateway goes on on another: over one Redis, with the word of an operator of either. SPEC: MCP15, MCP16
import { afterAll, beforeAll, expect, test } from 'vitest'
import { storeAt } from '../support/gateway.ts'
import { RedisServer } from '../support/redis-server.ts'
import { AskingStage } from './mcp-asking-stage.ts'

type Json = Record<string, unknown>

let server: RedisServer
let [a, b]: readonly [AskingStage | null, AskingStage | null] = [null, null]
beforeAll(async () => {
  server = await RedisServer.start()
  a = await AskingStage.start('modern', { store: storeAt(server) })
  b = await AskingStage.beside(a, storeAt(server))
})
afterAll(async () => {
  await b?.stop()
  await a?.stop()
  await server.dispose()
})

function both(): readonly [AskingStage, AskingStage] {
  if (a === null || b === null) throw new Error('they did not start')
  return [a, b]
}

test('[MCP16] the way back that one gateway gave leads on through another', async () => {
  const [one, other] = both()
  const [token, ticket] = [await one.gate.token(), await one.ticket('INC-1')]
  const call = (stage: AskingStage, more: object) => stage.send({ token, headers: { 'x-ticket': ticket }, capabilities: { elicitation: { url: {} } }, params: { name: 'runbook_write', arguments: { incident: 'inc-1', text: 'x' }, ...more } })
  const asked = await call(one, {})
  const { requestState, inputRequests } = asked.json['result'] as Json // as the gateway asks
  const id = /elv_[a-z2-7]{26}/.exec(JSON.stringify(inputRequests))?.[0] ?? ''
  const waiting = call(other, { requestState, inputResponses: { narrowgate: { action: 'accept' } } })
  expect(await one.approve(id)).toBe(200)
  expect((await waiting).json['result']).toMatchObject({ content: [{ text: 'written' }] })
})

test('[MCP15, ELV17] an ask that is lost on one gateway and tried again on another is one, and its answer is heard there', async () => {
  const [one, other] = both()
  const [token, ticket] = [await one.gate.token(), await one.ticket('INC-2')]
  const ask = (stage: AskingStage) => stage.call(token, 'request_elevation', { profile: 'writing', purpose: { ticket } })
  const [first, again] = [await ask(one), await ask(other)]
  const id = String(first.told['id'])
  expect(again.told['id']).toBe(id)
  const waiting = other.call(token, 'elevation_status', { id, wait: 30 })
  expect(await one.approve(id)).toBe(200)
  expect((await waiting).told).toMatchObject({ id, state: 'active' })
})
