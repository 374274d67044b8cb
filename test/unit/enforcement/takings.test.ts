// What a gateway remembers of what it took: bounded, and never so that callers who get nothing keep others from taking.
import { expect, test } from 'vitest'
import { Takings } from '../../../src/enforcement/takings.ts'
import { instant } from '../../../src/core/time.ts'
import type { Taking } from '../../../src/sessions/store.ts'
import { StoreFull } from '../../../src/sessions/store-fault.ts'

const MOST = 16_384

function desk() {
  const said: string[] = []
  const store = { take: async ({ counter, amount }: Taking) => (counter === 'used up' ? 0 : amount), takeAgain: async ({ request }: Taking) => { said.push(request) }, give: async () => undefined, taken: async () => 0 }
  const takings = new Takings(store as unknown as ConstructorParameters<typeof Takings>[0], { now: () => instant(1_000), elapsed: () => 0 }) // what it asks of a store
  return { said, ask: (counter: string, request: string) => takings.ask({ counter, request, amount: 1, limit: 1, forgetAt: instant(1e9) }), sayAgain: () => takings.sayAgain() }
}

test('[LIM1] a caller whose limit is used up may ask as often as it likes: others take as before, and what they took is still remembered', async () => {
  const { said, ask, sayAgain } = desk()
  await ask('free', 'first').answer
  for (let i = 0; i < 2 * MOST; i++) await ask('used up', `idle ${i}`).answer
  const taken = ask('free', 'second')
  await taken.answer
  expect(taken.holds).toBe(1)
  await sayAgain()
  expect(said.toSorted()).toEqual(['first', 'second'])
})

test('[LIM1, STO12] what cannot be said again is not taken', async () => {
  const { ask } = desk()
  for (let i = 0; i < MOST; i++) await ask('free', `taken ${i}`).answer
  expect(() => ask('free', 'one more')).toThrow(StoreFull)
})
