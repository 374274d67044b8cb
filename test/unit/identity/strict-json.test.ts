import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { DEPTH_MAX, isAmbiguousJson } from '../../../src/identity/strict-json.ts'

describe('JSON every parser reads the same', () => {
  test.each(['{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"x":{"a":1 , \n"a" : 2}}', '[{"a":1},{"b":[{"c":1,"c":1}]}]', '{"":1,"":1}', `{"a":1,"a"${' '.repeat(500)}:2}`, '{"a":"\\"","b":{},"a":1}'])('[SES10] %j names a member twice', text => {
    expect(isAmbiguousJson(text)).toBe(true)
  })

  test.each(['{"a":"a","b":"a"}', '{"a":["a","a"],"b":{"a":1}}', '[{"a":1},{"a":1}]', '{"a":"\\\\","b":"a:"}', '"a"', '{"__proto__":1,"a":{"__proto__":1}}', '{"a":"{\\"a\\":1,\\"a\\":2}"}'])('[SES10] %j does not', text => {
    expect(isAmbiguousJson(text)).toBe(false)
  })

  test('[SES10] nests to 32 levels', () => {
    const nested = (levels: number): string => '['.repeat(levels) + ']'.repeat(levels)
    expect([isAmbiguousJson(nested(DEPTH_MAX)), isAmbiguousJson(nested(DEPTH_MAX + 1))]).toEqual([false, true])
  })

  test('[SES10] whatever JSON.stringify writes is clear, and stops being so with any object’s member repeated', () => {
    const shallow = fc.json({ maxDepth: 5 })
    fc.assert(fc.property(shallow, text => !isAmbiguousJson(text)))
    fc.assert(fc.property(fc.string(), fc.string(), shallow, (name, other, value) => isAmbiguousJson(`[{${JSON.stringify(name)}:${value},${JSON.stringify(`${name}${other}x`)}:[${value}],${JSON.stringify(name)}:${value}}]`)))
  })
})
