import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readStrictJson, writeJson } from '../../../src/runtime/strict-json.ts'

const read = (text: string): unknown => readStrictJson(Buffer.from(text))
const nested = (levels: number): string => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`

describe('JSON that everybody reads the same', () => {
  test.each([
    '{"a":1,"a":2}', '{"a":1,"\\u0061":2}', '{"x":{"a":1 ,\n"a" : 2}}', '[{"a":1,"b":[{"c":1,"c":1}]}]', '{"":1,"":1}', `{${Array.from({ length: 40 }, (_, i) => `"n${i}":1`).join()},"n39":2}`,
  ])('[AZ-003, INS1] refuses %j, which names a member twice', text => {
    expect(read(text)).toBeUndefined()
  })

  test.each([
    '{"method":1,"Method":2}', '{"AMOUNT":1,"amount":1}', '{"s":1,"\u017f":2}', '{"k":1,"\u212a":2}', '{"ß":1,"SS":2}', '{"é":1,"e\u0301":2}', '{"\uff41":1,"a":2}', `{${Array.from({ length: 40 }, (_, i) => `"n${i}":1`).join()},"N3":2}`,
  ])('[AZ-003, INS1] refuses %j, whose names differ in case, width or composition only', text => {
    expect(read(text)).toBeUndefined()
  })

  test.each([
    '\ufeff{}', '{} {}', '{}x', '', ' ', '{"a":1,}', '[1,]', '[,1]', '{,}', '{"a"}', '{"a":}', '{a:1}', "{'a':1}", '// x\n{}', '{/* x */}', '{"a":/**/1}', '{"a":NaN}', '{"a":Infinity}', '{"a":undefined}', '{"a":tru}', '{"a":nulll}', '{"a":"x', '{"a":"\\"}', '{"a":"\\x41"}', '{"a":"\n"}',
    '{"a":"\\ud800"}', '{"\\udc00":1}', '{"a":"\\ud83d \\ude00"}', '{"a":01}', '{"a":+1}', '{"a":.5}', '{"a":5.}', '{"a":1e}', '{"a":0x10}', '{"a":1_000}', '\u00a0{}', '{"a":1\u000b}', '{"a":1]', '[1}',
  ])('[AZ-003, INS1] refuses %j, which is not JSON or not well-formed', text => {
    expect(read(text)).toBeUndefined()
  })

  test.each(['1e400', '-1e400', '12345678901234567890', '9007199254740993', '0.30000000000000001', '1e-400', '-0', '-0.0', '-0e5', '123456789012345678', `0.${'0'.repeat(70)}1`])('[AZ-003, INS1] refuses the number %s, which another parser reads as another one', number => {
    expect(read(`{"a":${number}}`)).toBeUndefined()
  })

  test.each([['1.10', 1.1], ['1E3', 1000], ['100e-2', 1], ['0.000', 0], ['0e9', 0], ['9007199254740992', 2 ** 53], ['1e21', 1e21], ['5e-324', 5e-324], ['1.7976931348623157e308', Number.MAX_VALUE], ['0.1', 0.1], ['-12.50', -12.5]])('[INS1] reads the number %s as it is', (text, value) => {
    expect(read(`[${text}]`)).toEqual([value])
  })

  test('[INS1] refuses bytes that are no UTF-8, and more than 64 levels', () => {
    for (const bytes of [[0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d], [0xfe, 0xff, 0, 0x7b, 0, 0x7d], [0x22, 0xed, 0xa0, 0x80, 0x22], [0x22, 0xc0, 0xaf, 0x22]]) expect(readStrictJson(Uint8Array.from(bytes))).toBeUndefined()
    expect(read(nested(64))).toBeDefined()
    expect(read(nested(65))).toBeUndefined()
    expect(read('['.repeat(100_000))).toBeUndefined()
  })

  test('[INS1] no name reaches a prototype', () => {
    const value = read('{"__proto__":{"admin":true},"constructor":1,"toString":2}')
    expect([...(value instanceof Map ? value.keys() : [])]).toEqual(['__proto__', 'constructor', 'toString'])
    expect(writeJson(value)).toBe('{"__proto__":{"admin":true},"constructor":1,"toString":2}')
    expect(Reflect.get({}, 'admin')).toBeUndefined()
  })

  const clear = fc.json({ maxDepth: 6 }).filter(text => !/-0(?![.\d]*[1-9])/.test(text))

  test('[INS1] whatever it accepts is what JSON.parse reads, and says the same when written again', () => {
    const shuffled = fc.tuple(clear, fc.nat(), fc.constantFrom('', ' ', '"', '\\', '{', '}', ',', ':', '0', '-', 'e', '.', '\u0000', '\ufeff', 'é', '[', ']', 'null')).map(([text, at, put]) => text.slice(0, at % (text.length + 1)) + put + text.slice((at + 1) % (text.length + 1)))
    fc.assert(fc.property(fc.oneof(clear, shuffled, fc.string()), text => {
      const value = read(text)
      if (value === undefined) return true
      const written = writeJson(value)
      return isDeepStrictEqual(JSON.parse(written), JSON.parse(text)) && writeJson(read(written)) === written
    }), { numRuns: 3000 })
  })

  test('[INS1] whatever JSON.stringify writes of names that differ is accepted', () => {
    const value = fc.letrec<{ readonly any: unknown }>(tie => ({
      any: fc.oneof({ maxDepth: 5, depthSize: 'small' }, fc.string({ unit: 'grapheme' }), fc.double({ noNaN: true, noDefaultInfinity: true }).map(number => (Object.is(number, -0) ? 0 : number)), fc.boolean(), fc.constant(null), fc.array(tie('any')), fc.dictionary(fc.stringMatching(/^[a-z]{1,8}$/), tie('any'))),
    })).any
    fc.assert(fc.property(value, written => writeJson(read(JSON.stringify(written))) === JSON.stringify(written)))
  })

  test('[INS1] what both would read differently is refused: a member that a second one contradicts', () => {
    fc.assert(fc.property(fc.string({ unit: 'grapheme' }), clear, clear, (name, one, other) => read(`{${JSON.stringify(name)}:${one},${JSON.stringify(name.toUpperCase())}:${other}}`) === undefined))
  })
})
