import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matches, spiffeIdOf, spiffePatternOf, type SpiffeId, type SpiffePattern } from '../../../src/identity/certificate/spiffe-id.ts'

const ID = 'spiffe://example.org/ns/prod/sa/api'
const id = (text: string): SpiffeId => spiffeIdOf(text) ?? expect.unreachable(`no id: ${text}`)
const pattern = (text: string): SpiffePattern => spiffePatternOf(text) ?? expect.unreachable(`no pattern: ${text}`)

describe('SPIFFE ids', () => {
  test.each([ID, 'spiffe://example.org/a', 'spiffe://e_x-1.org/A.b_c-D/...', `spiffe://${'a'.repeat(255)}/x`, `spiffe://a/${'b'.repeat(2_037)}`])('[SES11] %s is one, and keeps its text', text => {
    expect(id(text).text).toBe(text)
  })

  test('[SES11] an id has its trust domain and its segments', () => {
    expect(id(ID)).toEqual({ text: ID, trustDomain: 'example.org', segments: ['ns', 'prod', 'sa', 'api'] })
  })

  const none = [
    '', 'spiffe://', 'spiffe:///a', 'spiffe://example.org', 'spiffe://example.org/', 'spiffe://example.org//a', 'spiffe://example.org/a/', 'spiffe://example.org/a//b', 'spiffe://example.org/.', 'spiffe://example.org/a/./b',
    'spiffe://example.org/ns/prod/../x', 'spiffe://example.org/..', 'SPIFFE://example.org/a', 'Spiffe://example.org/a', 'spiffe://Example.org/a', 'spiffe://example.org:443/a', 'spiffe://user@example.org/a',
    'spiffe://user:pw@example.org/a', 'spiffe://example.org/a?x=1', 'spiffe://example.org/a?', 'spiffe://example.org/a#x', 'spiffe://example.org/a#', 'spiffe://example.org/%61', 'spiffe://ex%61mple.org/a', 'spiffe://example.org/a%2fb',
    'spiffe://example.org/a b', ' spiffe://example.org/a', 'spiffe://example.org/a ', 'spiffe://example.org/a\n', 'spiffe://example.org/a\0', 'spiffe://example.org/ä', 'spiffe://exämple.org/a', 'spiffe://example.org\\a', 'spiffe:/example.org/a',
    'spiffe:example.org/a', 'https://example.org/a', 'xspiffe://example.org/a', 'spiffe://example.org/a/*', 'spiffe://example.org/a~b', `spiffe://${'a'.repeat(256)}/x`, `spiffe://a/${'b'.repeat(2_038)}`,
  ]
  test.each(none)('[SES11] %j is none', text => {
    expect(spiffeIdOf(text)).toBeNull()
  })

  test('[SES11] of 1,000 ids changed at one place, what is still an id is another one, in its own form', () => {
    const odd = fc.constantFrom(...Array.from('/.%:@?#*\\ \0\näAZ~_-"\',;=+&'), '..', '%2e', '//', '/./', '/../')
    const change = fc.record({ at: fc.nat({ max: ID.length }), drop: fc.nat({ max: 2 }), put: fc.oneof(odd, fc.string({ maxLength: 3 })) })
    const names = (text: string): void => {
      const read = spiffeIdOf(text)
      if (read === null || text === ID) return
      expect(read.text).toBe(text)
      expect(matches(pattern(ID), read)).toBe(false)
      expect(`spiffe://${read.trustDomain}/${read.segments.join('/')}`).toBe(text)
      expect(read.segments.every(segment => /^[A-Za-z0-9._-]+$/.test(segment) && segment !== '.' && segment !== '..')).toBe(true)
    }
    fc.assert(fc.property(change, ({ at, drop, put }) => names(ID.slice(0, at) + put + ID.slice(at + drop))), { numRuns: 1_000 })
  })
})

describe('patterns of SPIFFE ids', () => {
  test.each([
    ['spiffe://example.org/ns/*/sa/*', ID, true],
    [ID, ID, true],
    ['spiffe://example.org/*/*/*/*', ID, true],
    ['spiffe://example.org/ns/*', ID, false],
    ['spiffe://example.org/*', ID, false],
    ['spiffe://example.org/ns/*/sa/*/*', ID, false],
    ['spiffe://example.com/ns/*/sa/*', ID, false],
    ['spiffe://example.org/ns/*/sa/web', ID, false],
    ['spiffe://example.org/NS/*/sa/*', ID, false],
    ['spiffe://example.org/ns/*/sa/*', 'spiffe://example.org.evil/ns/prod/sa/api', false],
  ])('[SES11] %s and %s: %j', (of, text, holds) => {
    expect(matches(pattern(of), id(text))).toBe(holds)
  })

  test.each(['spiffe://*/a', 'spiffe://example.*/a', 'spiffe://example.org', 'spiffe://example.org/a*', 'spiffe://example.org/**', 'spiffe://example.org/a/', 'spiffe://example.org/..', 'spiffe://example.org/{a}', '*', ''])('[SES11] %j is no pattern', text => {
    expect(spiffePatternOf(text)).toBeNull()
  })

  test('[SES11] what climbs out of the segments of a pattern is no id, so it never meets the pattern', () => {
    for (const climbing of ['spiffe://example.org/ns/prod/../x', 'spiffe://example.org/ns/%2e%2e/sa/api', 'spiffe://example.org/ns//sa/api']) expect(spiffeIdOf(climbing)).toBeNull()
  })
})
