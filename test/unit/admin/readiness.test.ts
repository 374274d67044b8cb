// When a gateway says that it is ready: not before its store was fresh once, and whatever the store does afterwards.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { SessionStore } from '../../../src/sessions/store.ts'
import { TestGateway } from '../../support/gateway.ts'

let gate: TestGateway
let until = 0
/** As fresh as the test says. */
const leased = (store: SessionStore): SessionStore => new Proxy(store, {
  get(target, name) {
    if (name === 'confirmedUntil') return () => until
    const value: unknown = Reflect.get(target, name, target)
    return typeof value === 'function' ? (...parameters: unknown[]) => Reflect.apply(value, target, parameters) as unknown : value // as the store answers
  },
})

const ready = async (): Promise<readonly unknown[]> => {
  const { status, json } = await gate.ops('/readyz')
  return [status, (json['checks'] as Record<string, string>)['store']] // what /readyz answers
}

beforeEach(async () => {
  until = -1
  gate = await TestGateway.start({ wrapStore: leased, routes: '- name: api\n  match: { host: api.test }\n  upstream: api\n  rules: [{ allow: {} }]' })
})
afterEach(() => gate.stop())

test('[ADM19] not ready before the store confirmed once; a lapse afterwards is told and leaves it ready', async () => {
  expect(await ready()).toEqual([503, 'never confirmed'])
  until = Infinity
  expect(await ready()).toEqual([200, 'ok'])
  until = -1
  expect(await ready()).toEqual([200, 'lapsed'])
  expect((await gate.ops('/livez')).status).toBe(200)
})
