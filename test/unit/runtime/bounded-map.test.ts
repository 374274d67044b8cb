import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BoundedMap } from '../../../src/runtime/bounded-map.ts'

describe('a bounded map', () => {
  test('[SES12] pushes out what was not used for longest, and says so', () => {
    const gone: [string, number][] = []
    const map = new BoundedMap<string, number>(2, (key, value) => gone.push([key, value]))
    map.set('a', 1)
    map.set('b', 2)
    expect(map.get('a')).toBe(1)
    expect(map.has('b')).toBe(true)
    map.set('c', 3)
    expect(gone).toEqual([['b', 2]])
    expect([map.size, map.evicted, map.get('b')]).toEqual([2, 1, undefined])
    map.set('a', 4)
    map.set('d', 5)
    expect(gone.at(-1)).toEqual(['c', 3])
    expect(map.delete('a')).toBe(true)
    expect(map.delete('a')).toBe(false)
    map.clear()
    expect([map.size, map.evicted]).toEqual([0, 2])
  })

  test.each([0, -1, 1.5, NaN, Infinity])('[SES12] has no limit of %d', limit => {
    expect(() => new BoundedMap(limit)).toThrow(RangeError)
  })

  test('[SES12] behaves as a list ordered by use', () => {
    const step = fc.tuple(fc.constantFrom('get', 'set', 'delete', 'clear'), fc.nat(5))
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 40 }), (limit, steps) => {
        const map = new BoundedMap<number, number>(limit)
        let model: [number, number][] = []
        for (const [position, [verb, key]] of steps.entries()) {
          const known = model.find(([name]) => name === key)
          const rest = model.filter(([name]) => name !== key)
          if (verb === 'clear') {
            map.clear()
            model = []
          } else if (verb === 'delete') {
            expect(map.delete(key)).toBe(known !== undefined)
            model = rest
          } else if (verb === 'get') {
            expect(map.get(key)).toBe(known?.[1])
            if (known) model = [...rest, known]
          } else {
            map.set(key, position)
            const next: [number, number][] = [...rest, [key, position]]
            model = next.slice(-limit)
          }
          expect(map.size).toBe(model.length)
          for (const name of [0, 1, 2, 3, 4, 5]) expect(map.has(name)).toBe(model.some(([held]) => held === name))
        }
      }),
    )
  })
})
