// One call of the gateway's own tools: answered once, through its gate alone, or not at all.
import { beforeEach, expect, test } from 'vitest'
import type { Grant } from '../../../../../src/core/decision.ts'
import type { Exchange } from '../../../../../src/enforcement/exchange.ts'
import type { Ask } from '../../../../../src/proxy/ask.ts'
import { type Message, plainCall } from '../../../../../src/proxy/mcp/message.ts'
import type { OwnCalls } from '../../../../../src/proxy/mcp/asking/own-calls.ts'
import { OwnRelay } from '../../../../../src/proxy/mcp/asking/own-relay.ts'

const MESSAGE: Message = { era: 'modern', version: '', is: 'request', id: 'a', method: 'tools/call', params: new Map(), value: new Map(), call: plainCall('protocol', 'tools/call'), own: 'elevation_status' }
const GRANT: Grant = { is: 'baseline' }

let told: string[] = []
let exchange = { state: 'open', open: true, pays: true }
let result: (value: object) => void = () => {}
let failed: (error: Error) => void = () => {}
beforeEach(() => {
  told = []
  exchange = { state: 'open', open: true, pays: true }
})

function relayOf(message = MESSAGE): OwnRelay {
  const calls = { result: () => new Promise((resolve, reject) => { [result, failed] = [resolve, reject] }) } as unknown as OwnCalls // all that is asked of it
  const answer = { status: 0, onClose: () => {}, hold: () => told.push('hold'), release: () => told.push('release'), cut: () => told.push('cut'), sendWhole: (_: unknown, bytes: Buffer) => told.push(bytes.toString()) }
  const ask = { arrival: { answer }, live: { record: { id: 'ses_1' } }, verified: {}, workload: null, certified: null, isTooEarly: () => false, doubt: () => told.push('doubt'), end: (_: unknown, reason: string) => told.push(`end ${reason}`), refuse: (_: unknown, reason: string) => told.push(`refuse ${reason}`), completed: () => told.push('completed') } as unknown as Ask // likewise
  const relay = new OwnRelay(ask, message, 'elevation_status', 'tools', calls, () => 'store_failed')
  const open = { get state() { return exchange.state }, get open() { return exchange.open }, finishUntil: null, reason: null, pays: () => exchange.pays, taped: () => true, passedDown: (bytes: Buffer) => told.push(`passed ${bytes.length}`) } as unknown as Exchange // likewise
  relay.admitted(open)
  return relay
}
const settled = (): Promise<void> => new Promise(resolve => { setImmediate(resolve) })
const ANSWER = '{"jsonrpc":"2.0","id":"a","result":{"x":1}}'

test('[MCP15] it is answered once, in one piece, and its bytes are counted', async () => {
  relayOf().dispatch()
  result({ x: 1 })
  await settled()
  expect(told).toEqual([`passed ${ANSWER.length}`, ANSWER])
})

test('[MCP15, ENF2] behind a closed gate its answer waits, and goes when that is open again', async () => {
  const relay = relayOf()
  relay.dispatch()
  exchange.open = false
  result({ x: 1 })
  await settled()
  expect(told).toEqual(['doubt'])
  exchange.state = 'frozen'
  relay.freeze()
  relay.resume()
  expect(told).toEqual(['doubt', 'hold'])
  exchange = { ...exchange, state: 'open', open: true }
  relay.resume()
  relay.resume()
  expect(told).toEqual(['doubt', 'hold', 'release', `passed ${ANSWER.length}`, ANSWER, 'release'])
})

test('[MCP15, ENF2] what is cut is not answered, whenever its result comes', async () => {
  const relay = relayOf()
  relay.dispatch()
  relay.cut('revoked')
  result({ x: 1 })
  await settled()
  relay.resume()
  expect(told).toEqual(['release', 'refuse revoked'])
})

test('[MCP15, LIM1] what is not paid for is not sent', async () => {
  relayOf().dispatch()
  exchange.pays = false
  result({ x: 1 })
  await settled()
  expect(told).toEqual([])
})

test('[MCP15] a fault of the gateway ends it as what it was', async () => {
  relayOf().dispatch()
  failed(new Error('for the test'))
  await settled()
  expect(told).toEqual(['end store_failed'])
})

test('[MCP15, ENF2] what was closed before it begins does not begin', () => {
  const relay = relayOf()
  exchange.open = false
  relay.dispatch()
  expect(told).toEqual(['end stale'])
})

test('[MCP15] only a request can be answered: a notification asks for nothing', () => {
  expect(relayOf().obstacle(GRANT)).toBeNull()
  expect(relayOf({ ...MESSAGE, is: 'notification', id: null }).obstacle(GRANT)).toBe('message_malformed')
})
