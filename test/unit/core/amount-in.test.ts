import fc from 'fast-check'
import { expect, test } from 'vitest'
import { amountIn } from '../../../src/core/amount.ts'

const BODY = { amount: 12.5, text: '99.90', list: [1, { sum: '0.01' }], 'a/b': 3, 'm~n': 4, '': 7, negative: -1, many: 1.005, none: null, word: 'ten', exponent: '1e3', huge: 1e21, tiny: 1e-7, sign: '+1', space: ' 1' }

test.each([['/amount', 1250], ['/text', 9990], ['/list/0', 100], ['/list/1/sum', 1], ['/a~1b', 300], ['/m~0n', 400], ['/', 700]])('[LIM2] reads %s', (pointer, units) => {
  expect(amountIn(BODY, pointer, 2)).toBe(units)
})

test.each(['/missing', '/amount/x', '/list/7', '/list/length', '/toString', '/__proto__', '/negative', '/many', '/none', '/word', '/exponent', '/huge', '/tiny', '/sign', '/space', '/list', ''])('[LIM2] %s is no amount', pointer => {
  expect(amountIn(BODY, pointer, 2)).toBeNull()
})

test('[LIM2] reads what the strict reader makes, and only its members', () => {
  const body = new Map<string, unknown>([['sum', new Map([['net', 1.25]])], ['list', [new Map([['a', '2']])]]])
  expect([amountIn(body, '/sum/net', 2), amountIn(body, '/list/0/a', 0), amountIn(body, '/size', 0), amountIn(body, '/sum/size', 0)]).toEqual([125, 2, null, null])
})

test('[LIM2] an amount of few enough digits is exact, as a number and as text; small ones too', () => {
  expect(amountIn({ a: 1e-7 }, '/a', 8)).toBe(10)
  fc.assert(fc.property(fc.nat({ max: 10 ** 9 }), fc.nat({ max: 6 }), (units, scale) => {
    const text = (units / 10 ** scale).toFixed(scale)
    return amountIn({ a: Number(text), b: text }, '/a', scale) === units && amountIn({ b: text }, '/b', scale) === units
  }))
})
