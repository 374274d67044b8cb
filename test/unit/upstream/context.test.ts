// The word that goes upstream: how long it counts, and that a request that may still pass has one.
import { decodeJwt } from 'jose'
import { expect, test } from 'vitest'
import { type Instant, instant } from '../../../src/core/time.ts'
import { type About, ContextMinter } from '../../../src/upstream/context.ts'

const START = 1_800_000_000_250
let now = START
const clock = { now: (): Instant => instant(now), elapsed: () => now }
const minter = await ContextMinter.open(await ContextMinter.newKey(), 'narrowgate', clock)
const about = (until: number): About => ({
  session: { id: 'ses_a', version: 1, principal: { tenant: '', client: 'c', issuer: 'i', subject: 's' } } as unknown as About['session'], // what the minter reads
  grant: { is: 'baseline' }, upstream: 'api', until: instant(until),
})

test('[WIRE13] in the last moments of a right there is a word too, and it ends with the right', async () => {
  for (const left of [1, 500, 749, 750, 999]) {
    now = START
    const asked = about(START + left)
    await minter.mint(asked)
    const token = minter.ready(asked)
    expect(decodeJwt(token ?? '').exp, String(left)).toBe((START + left) / 1000)
    now = START + left
    expect(minter.ready(asked)).toBeNull()
  }
})

test('[WIRE13] whole seconds where there is time, and nothing that outlives the right', async () => {
  now = START
  const asked = about(START + 5_500)
  await minter.mint(asked)
  expect(decodeJwt(minter.ready(asked) ?? '').exp).toBe(Math.floor((START + 5_500) / 1000))
  expect(minter.ready(about(START + 4_000))).toBeNull()
})

test('[WIRE13] a word that was ready when it was asked for is not missing a moment later', async () => {
  now = START
  const asked = about(START + 600_000)
  await minter.mint(asked)
  now = START + 15_000
  expect([minter.isReady(asked), minter.ready(asked) === null]).toEqual([false, false])
  now = START + 30_000
  expect(minter.ready(asked)).toBeNull()
})

test('[WIRE13] words that are past their end make way for new ones: what is kept follows the sessions that ask', async () => {
  const fresh = await ContextMinter.open(await ContextMinter.newKey(), 'narrowgate', clock)
  const of = (i: number, until: number): About => { const asked = about(until); return { ...asked, session: { ...asked.session, id: `ses_${i}` as typeof asked.session.id } } } // the form of an id does not matter here
  now = START
  for (let i = 0; i < 100; i++) await fresh.mint(of(i, START + 600_000))
  expect(fresh.size).toBe(100)
  now = START + 31_000
  for (let i = 100; i < 150; i++) await fresh.mint(of(i, START + 600_000))
  expect(fresh.size).toBe(50)
})
