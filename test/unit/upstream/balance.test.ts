// Which address takes the next request: shares to the request, never in bursts, and what is out takes none. SPEC: WIRE20
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { nextOf, type Share } from '../../../src/upstream/balance.ts'

type Address = { readonly name: number; readonly weight: number; well: boolean; credit: number }

const addresses = (weights: readonly number[]): readonly Address[] => weights.map((weight, name) => ({ name, weight, well: true, credit: 0 }))
const picks = (shares: readonly Address[], runs: number, not: readonly Address[] = []): readonly number[] => Array.from({ length: runs }, () => nextOf(shares, not)?.name ?? -1)
const sum = (weights: readonly number[]): number => weights.reduce((total, weight) => total + weight, 0)

const weightsOf = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 8 })

test('[WIRE20] any run as long as the weights together, wherever it begins, gives each address exactly its weight', () => {
  fc.assert(fc.property(weightsOf, fc.nat(500), (weights, skipped) => {
    const shares = addresses(weights)
    picks(shares, skipped)
    const run = picks(shares, sum(weights))
    expect(weights.map((_, name) => run.filter(pick => pick === name).length)).toEqual(weights)
  }))
})

test('[WIRE20] at no moment is an address a whole request ahead of its share', () => {
  fc.assert(fc.property(weightsOf, weights => {
    const [shares, counts] = [addresses(weights), weights.map(() => 0)]
    for (let taken = 1; taken <= sum(weights); taken++) {
      const pick = nextOf(shares, [])?.name ?? -1
      counts[pick] = (counts[pick] ?? 0) + 1
      expect((counts[pick] ?? 0) - (taken * (weights[pick] ?? 0)) / sum(weights)).toBeLessThan(1)
    }
  }))
})

test('[WIRE20] the order is the smooth one', () => {
  expect(picks(addresses([5, 1, 1]), 7)).toEqual([0, 0, 1, 0, 2, 0, 0])
  expect(picks(addresses([1, 1, 1]), 6)).toEqual([0, 1, 2, 0, 1, 2])
})

test('[WIRE20] what is not well takes nothing, the others share by weight; well again, it takes its share and no more', () => {
  const shares = addresses([2, 1, 1])
  const [first] = shares
  if (first === undefined) throw new Error('there are three')
  picks(shares, 5)
  first.well = false
  const without = picks(shares, 100)
  expect([0, 1, 2].map(name => without.filter(pick => pick === name).length)).toEqual([0, 50, 50])
  first.well = true
  const after = picks(shares, 8)
  expect(after.filter(pick => pick === 0).length).toBeLessThanOrEqual(5)
  expect(picks(shares, 4).filter(pick => pick === 0)).toHaveLength(2)
})

test('[WIRE20] where none is well each is tried by its weight', () => {
  const shares = addresses([3, 1])
  for (const share of shares) share.well = false
  expect(picks(shares, 4).toSorted((a, b) => a - b)).toEqual([0, 0, 0, 1])
})

test('[WIRE20] what was tried is not tried again: a well one first, then one that is not, then none', () => {
  const shares = addresses([1, 1, 1])
  const [a, b, c] = shares
  if (a === undefined || b === undefined || c === undefined) throw new Error('there are three')
  b.well = false
  expect([nextOf(shares, [a])?.name, nextOf(shares, [a, c])?.name, nextOf(shares, [a, b, c])]).toEqual([2, 1, null])
  expect([nextOf([a], [])?.name, nextOf([a], [a]), nextOf<Share>([], [])]).toEqual([0, null, null])
})
