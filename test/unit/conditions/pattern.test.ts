import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { patternFault, SUBJECT_MAX } from '../../../src/conditions/pattern.ts'

describe('regular expressions', () => {
  it.each([
    '^refs/heads/(main|release-.*)$', '^[a-z]+-[a-z]+$', '^\\d+\\.\\d+\\.\\d+$', '^[a-z]{1,63}\\.[a-z]{1,63}$', '^\\w+@\\w+\\.com$', '(?i:abc)', '^(foo){3}$',
    '^.*foo.*$', '^a|b$', '^(?:dev|test|prod)-[0-9]+$', '^\\u0041[\\x41-\\x5a]*$', '', 'x{3}', '^(?<year>\\d{4})-(?<month>\\d\\d)$',
  ])('[CFG5] %s is harmless', pattern => {
    expect(patternFault(pattern)).toBeNull()
  })

  it.each([
    ['(a+)+$', /nested repetition/], ['(a*)*', /nested/], ['(a|a)*b', /nested/], ['(a|ab)+$', /nested/], ['((a{1,9}){1,9}){1,9}', /nested/], ['^(\\w+\\s?)*$', /nested/],
    ['(?:[a-z]+\\.)*x', /nested/], ['.*foo.*', /overlapping/], ['^.*.*.*$', /overlapping/], ['\\w+\\d+x', /overlapping/], ['a?a?a?a?a?a?a?aaaaaaa', /more than 100 ways/], ['a*(?:a+)b', /overlapping/], ['x(a|b)(a|b)(a|b)(a|b)(a|b)a*', /more than 20 ways/],
    ['(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)(a|a)$', /more than 100 ways/], ['^(\\w+)\\1$', /refers back/], ['(?<a>x)\\k<a>', /refers back/], ['^(?=a)b', /looks ahead/], ['(?<!a)b', /looks/],
    ['(', /not a regular expression/], ['[z', /not a regular expression/], ['x{5000}', /more than 1024 times/], ['a'.repeat(201), /longer than 200/], [`${'('.repeat(20)}a${')'.repeat(20)}`, /deeply/],
  ])('[CFG5] %s is refused', (pattern, why) => {
    expect(patternFault(pattern)).toMatch(why)
  })

  it('[CFG5] what passes is fast on the longest text it may meet', () => {
    const piece = fc.constantFrom('a', '.', '[ab]', '\\w', 'b', '(?:a|b)', '(?:ab)', '(?:a+)', '^', '$', '-')
    const quantified = fc.tuple(piece, fc.constantFrom('', '', '*', '+', '?', '{1,30}', '*?')).map(([one, times]) => (one === '^' || one === '$' ? one : one + times))
    const pattern = fc.array(quantified, { minLength: 1, maxLength: 12 }).map(pieces => pieces.join(''))
    const text = fc.constantFrom('a'.repeat(SUBJECT_MAX), 'ab'.repeat(SUBJECT_MAX / 2), `${'a'.repeat(SUBJECT_MAX - 1)}!`)
    fc.assert(fc.property(pattern, text, (source, subject) => {
      if (patternFault(source) !== null) return
      const began = performance.now()
      new RegExp(source).test(subject)
      expect(performance.now() - began).toBeLessThan(500)
    }), { numRuns: 2000 })
  })

  it('[CFG5] never throws', () => {
    fc.assert(fc.property(fc.oneof(fc.string(), fc.stringMatching(/^[ab()[\]*+?|{},0-9\\^$.:=!<>-]{0,40}$/)), source => {
      patternFault(source)
    }))
  })
})
