// What expressions give to somebody outside: JSON values, or none.
import { describe, expect, test } from 'vitest'
import { compileValue } from '../../../src/conditions/compile.ts'
import { INPUT } from './fixture.ts'

const ASKED = { ...INPUT, evaluation: { ...INPUT.evaluation, resource: { ...INPUT.evaluation.resource, query: '?role=user&role=a%20b&role=c+d&flag&&bad=1' }, context: { ...INPUT.evaluation.context, headers: ['X-Tier', 'ok', 'Accept', '*/*', 'x-tier', 'internal'] } } }
function given(source: string, input = ASKED): unknown {
  const made = compileValue(source, new Set(['id']))
  if (!made.ok) throw new Error(made.faults.map(({ message }) => message).join('; '))
  const read = made.condition.read(input)
  return read.is === 'value' ? read.value : read.is
}

describe('an expression of a question', () => {
  test.each<readonly [string, unknown]>([
    ['"a"', 'a'], ['1 + 2', 3], ['1.5', 1.5], ['true', true], ['null', null], ['["a", 1, 2.5]', ['a', 1, 2.5]], ['{"a": {"b": [subject.kind]}}', { a: { b: [INPUT.principal.kind] } }],
    ['path.id', '42'], ['"x".startsWith("x")', true],
  ])('[PEP1] %s gives JSON', (source, value) => { expect(given(source)).toEqual(value) })

  test('[HDR-023, PEP1] all values of a header or a parameter, in their order', () => {
    expect([given('request.headerValues["x-tier"]'), given('request.headers["x-tier"]'), given('request.queryValues["role"]'), given('request.queryValues["flag"]')]).toEqual([['ok', 'internal'], 'ok, internal', ['user', 'a b', 'c d'], ['']])
    expect([given('request.headerValues["x-none"]'), given('request.headerValues[?"x-none"].orValue([])')]).toEqual(['error', []])
    expect(given('request.queryValues["a"]', { ...ASKED, evaluation: { ...ASKED.evaluation, resource: { ...ASKED.evaluation.resource, query: '?a=%ff' } } })).toBe('error')
  })

  test.each(['subject', 'request', 'source', 'type(1)', '1.0 / 0.0', '9007199254740993', 'timestamp("2026-01-01T00:00:00Z")', 'duration("1s")', 'b"abc"', 'subject.claims.none'])('[PEP1] %s gives none', source => {
    expect(given(source)).toBe('error')
  })

  test('[PEP1] that nests too deep, or holds too much, gives none', () => {
    let deep: unknown = 1
    for (let i = 0; i < 20; i++) deep = { a: deep }
    expect(given('subject.claims.deep', { ...ASKED, claims: { deep } })).toBe('error')
    expect(given('subject.claims.long', { ...ASKED, claims: { long: Array.from({ length: 1_001 }, () => 1) } })).toBe('error')
  })
})
