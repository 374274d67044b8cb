// What is done about somebody who has no session here: earlier credentials are refused, as long as that fills no memory.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { OutsideEvent } from '../../../../src/core/outside.ts'
import { Acting } from '../../../../src/signals/outside/acting.ts'
import { NOW } from '../../core/world.ts'
import { World } from '../../sessions/world.ts'

const LIMIT = 100_000
let world: World
beforeEach(async () => { world = await World.start() })
afterEach(() => world.close())

const revoked = (subject: string): OutsideEvent => ({
  source: 'idp', issuer: 'https://idp.test', jti: subject, type: 'session-revoked', at: NOW, takenAt: NOW, subject: [{ of: 'user', any: [{ kind: 'subject', value: `https://idp.test|${subject}` }] }],
  effects: [{ do: 'terminate' }], order: null, most: 10, notify: [], note: '',
})

/** As if so many locks stood. */
function acting(locks: number): { readonly act: (subject: string) => Promise<string>; readonly full: () => number } {
  let full = 0
  const mirror = new Proxy(world.mirror, { get: (target, name) => (name === 'locks' ? { ...target.locks, size: locks } : typeof Reflect.get(target, name) === 'function' ? (...args: unknown[]): unknown => Reflect.apply(Reflect.get(target, name) as () => unknown, target, args) : Reflect.get(target, name)) as unknown })
  const one = new Acting({ store: world.store, mirror, ledger: world.ledger, clock: world.clock, risk: { told: () => undefined }, full: () => { full++ } })
  return { act: async subject => (await one.act(revoked(subject), new Set())).outcome, full: () => full }
}
const cutOffs = (): number => world.mirror.locks.issuedBefore.size

test('[OUT3] credentials of a user that nobody saw yet are refused from then on', async () => {
  expect([await acting(LIMIT - 1).act('ghost'), cutOffs()]).toEqual(['nobody', 1])
})

test('[OUT3, SES8] whoever revokes the invented fills no memory: it is told of as a limit, and those who have a session are met all the same', async () => {
  const { act, full } = acting(LIMIT)
  expect([await act('invented'), cutOffs(), full()]).toEqual(['nobody', 0, 1])
  await world.opened('a', { issuedAt: NOW })
  expect([await act('a'), cutOffs(), full()]).toEqual(['acted', 1, 1])
  expect((await world.stored('a')).state.is).toBe('revoked')
})
