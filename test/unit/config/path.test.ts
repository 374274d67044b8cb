import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { compilePath, includes, overlap } from '../../../src/config/compile/path.ts'
import { coversPath, type PathPattern } from '../../../src/core/path-pattern.ts'

function pattern(text: string): PathPattern {
  const made = compilePath(text)
  if (typeof made === 'string') throw new Error(made)
  return made
}

describe('path patterns', () => {
  it.each([
    ['/', '/'], ['/**', '/**'], ['/a/{id}/*/**', '/a/{id}/*/**'], ['/%7euser', '/~user'], ['/caf%c3%a9', '/caf%C3%A9'], ['/%41%2d', '/A-'], ['/a%20b', '/a%20b'], ['/a:b@c;d=1', '/a:b@c;d=1'], ['/%25', '/%25'],
  ])('[CFG3] %s is kept as %s', (written, canonical) => {
    expect(pattern(written).source).toBe(canonical)
  })

  it.each(['', 'a', '/a/', '//', '/a//b', '/.', '/a/../b', '/%2e', '/.%2E', '/%2f', '/a%2Fb', '/%5C', '/%00', '/**/a', '/a*', '/*a', '/***', '/{}', '/{A}', '/{a-b}', '/a{b}', '/{a}{b}', '/{a}/{a}', '/a b', '/a?b', '/a#b', '/a\\b', '/é', '/%', '/%g0', '/%ff', '/%c3', `/${'a'.repeat(1025)}`])(
    '[CFG3] %j is refused', written => {
      expect(compilePath(written)).toBeTypeOf('string')
    })

  it('[CFG3] never throws, and what it accepts is canonical already', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.stringMatching(/^\/[a-z%0-9A-F.*{}/~-]{0,20}$/)), written => {
      const made = compilePath(written)
      if (typeof made !== 'string') expect(compilePath(made.source)).toEqual(made)
    }))
  })

  const segment = fc.constantFrom('a', 'b', '{x}', '*')
  const anyPattern = fc.tuple(fc.uniqueArray(segment, { maxLength: 3, selector: text => (text.startsWith('{') ? text : Symbol()) }), fc.boolean())
    .map(([segments, tail]) => pattern(`/${[...segments, ...(tail ? ['**'] : [])].join('/')}`))
  const PATHS = ['a', 'b', 'c'].flatMap(one => [[one], ...['a', 'b', 'c'].flatMap(two => [[one, two], ...['a', 'b', 'c'].flatMap(three => [[one, two, three], [one, two, three, 'd']])])])

  it('[CFG3] overlap and inclusion agree with what patterns cover', () => {
    fc.assert(fc.property(anyPattern, anyPattern, (a, b) => {
      const both = PATHS.some(path => coversPath(a, path) && coversPath(b, path))
      if (both) expect(overlap(a, b)).toBe(true)
      if (includes(a, b)) for (const path of PATHS) if (coversPath(b, path)) expect(coversPath(a, path)).toBe(true)
    }))
  })
})
