// Patterns against regular expressions made from the same text.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { coversPath, lowerCase, paramsOf, pathPattern } from '../../../src/core/path-pattern.ts'

const segmentsOf = (path: string): readonly string[] => path.slice(1).split('/')
const covers = (source: string, path: string): boolean => coversPath(pathPattern(source), segmentsOf(path))

/** What the pattern means, said in another language. */
function naive(source: string): RegExp {
  const segments = source.slice(1).split('/').filter(segment => segment !== '')
  const tail = segments.at(-1) === '**'
  const one = (segment: string): string => (segment === '*' ? '/[^/]+' : segment.startsWith('{') ? `/(?<${segment.slice(1, -1)}>[^/]+)` : `/${segment.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')}`)
  return new RegExp(`^${(tail ? segments.slice(0, -1) : segments).map(one).join('')}${tail ? '(?:/.*)?' : '/?'}$`)
}

const word = fc.constantFrom<string>('a', 'b', 'A', 'a.b', '%C3%A9', 'a;v=1')
const anySource = fc.tuple(fc.array(fc.oneof({ weight: 3, arbitrary: word }, { weight: 1, arbitrary: fc.constantFrom<string>('*', '{x}', '{y}') }), { maxLength: 4 }), fc.boolean())
  .map(([segments, tail]) => `/${[...segments.filter((segment, i) => !segment.startsWith('{') || segments.indexOf(segment) === i), ...(tail ? ['**'] : [])].join('/')}`)
const anyPath = fc.tuple(fc.array(fc.oneof(word, fc.constant('c')), { maxLength: 5 }), fc.boolean()).map(([segments, slash]) => (segments.length === 0 ? '/' : `/${segments.join('/')}${slash ? '/' : ''}`))

describe('patterns', () => {
  test('[DEC3] cover what the regular expression of the same text covers', () => {
    const met = { covered: 0, not: 0 }
    fc.assert(fc.property(anySource, anyPath, (source, path) => {
      const wanted = naive(source).test(path)
      met[wanted ? 'covered' : 'not']++
      expect(covers(source, path), `${source} over ${path}`).toBe(wanted)
    }), { numRuns: 10_000 })
    expect(Math.min(met.covered, met.not)).toBeGreaterThan(500)
  })

  test('[DEC3] name what the expression names', () => {
    let named = 0
    fc.assert(fc.property(anySource, anyPath, (source, path) => {
      const match = naive(source).exec(path)
      if (match?.groups === undefined) return
      named++
      expect({ ...paramsOf(pathPattern(source), segmentsOf(path)) }).toEqual({ ...match.groups })
    }), { numRuns: 10_000 })
    expect(named).toBeGreaterThan(100)
  })

  test.each([
    ['/', '/', true], ['/', '/a', false], ['/a', '/a', true], ['/a', '/a/', true], ['/a', '/a//', false], ['/a', '/ab', false], ['/a', '/A', false], ['/a/b', '/a', false], ['/*', '/', false], ['/*', '/a', true],
    ['/*', '/a/b', false], ['/**', '/', true], ['/**', '/a/b/', true], ['/a/**', '/a', true], ['/a/**', '/a/', true], ['/a/**', '/ab', false], ['/a/**', '/a/b/c', true], ['/a/*/**', '/a', false], ['/a/*/**', '/a/', false], ['/a/*/**', '/a/b', true],
  ])('[DEC3] %s over %s: %s', (source, path, covered) => expect(covers(source, path)).toBe(covered))

  test('[DEC3] a parameter of any name is a member, and nothing else is', () => {
    const params = paramsOf(pathPattern('/{__proto__}/{constructor}/b'), ['x', 'y', 'b'])
    expect(Object.keys(params)).toEqual(['__proto__', 'constructor'])
    expect([params['__proto__'], params['constructor'], params['toString']]).toEqual(['x', 'y', undefined])
    expect(paramsOf(pathPattern('/{x}/**'), ['a%2Fb', 'c'])).toEqual({ x: 'a%2Fb' })
  })

  test('[DEC4] precedence counts the characters before the first open segment, then literals', () => {
    const of = (source: string) => (({ literalPrefix, literals, tail }) => [literalPrefix, literals, tail])(pathPattern(source))
    expect(of('/api/v1/*')).toEqual([7, 2, false])
    expect(of('/api/*/users/**')).toEqual([4, 2, true])
    expect(of('/{x}')).toEqual([0, 0, false])
    expect(of('/**')).toEqual([0, 0, true])
  })

  test('[DEC2] read by an upstream that ignores case, literals are compared in lower case; escapes are no letters', () => {
    const lower = (source: string, path: string): boolean => coversPath(pathPattern(source), segmentsOf(path), 'lower')
    expect(lower('/Admin/**', '/admin/x')).toBe(true)
    expect(lower('/admin', '/admin')).toBe(true)
    expect(lower('/%C3%89t', '/%C3%89t')).toBe(true)
    expect(lower('/Admin', '/user')).toBe(false)
    expect([lowerCase('A%C3%89Z'), lowerCase('%3BADMIN'), lowerCase('x')]).toEqual(['a%C3%89z', '%3Badmin', 'x'])
  })
})
