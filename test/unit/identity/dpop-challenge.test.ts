import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type DpopChallenge, dpopChallenge, errorOf } from '../../../src/identity/dpop/challenge.ts'

const challenge = (changes: Partial<DpopChallenge>): string => dpopChallenge({ error: null, algorithms: ['ES256', 'EdDSA'], scope: null, acrValues: null, maxAge: null, ...changes })

/** The parameters of a challenge, read as RFC 9110 §11.2 and §5.6.4 say; throws for what is none. */
function parametersOf(line: string): readonly (readonly [string, string])[] {
  const rest = /^DPoP (.+)$/s.exec(line)?.[1] ?? ''
  const found: (readonly [string, string])[] = []
  let at = 0
  while (at < rest.length) {
    const one = /^(?:, )?([!#$%&'*+\-.^_`|~\w]+)="((?:[\t \x21\x23-\x5b\x5d-\x7e]|\\[\t \x21-\x7e])*)"/.exec(rest.slice(at))
    if (one === null) throw new Error(`no parameter at ${at}`)
    found.push([one[1] ?? '', (one[2] ?? '').replace(/\\(.)/g, '$1')])
    at += one[0].length
  }
  return found
}

describe('a DPoP challenge', () => {
  test.each(['invalid_dpop_proof', 'invalid_token', 'use_dpop_nonce', 'insufficient_scope', 'insufficient_user_authentication'] as const)('[BND2, WIRE9] names %s and what a proof may be signed with', error => {
    expect(challenge({ error })).toMatch(new RegExp(`^DPoP realm="narrowgate", error="${error}", error_description="[^"\\\\]+", algs="ES256 EdDSA"$`))
  })

  test('[BND2, WIRE9] names no error where no credential was shown', () => {
    expect(challenge({})).toBe('DPoP realm="narrowgate", algs="ES256 EdDSA"')
  })

  test('[BND2, WIRE9] names scope, acr_values and max_age where they are asked for', () => {
    const line = challenge({ error: 'insufficient_user_authentication', scope: 'a:read b', acrValues: 'urn:mfa "strong\\"', maxAge: 0 })
    expect(parametersOf(line).filter(([name]) => name !== 'error_description')).toEqual([['realm', 'narrowgate'], ['error', 'insufficient_user_authentication'], ['scope', 'a:read b'], ['acr_values', 'urn:mfa "strong\\"'], ['max_age', '0'], ['algs', 'ES256 EdDSA']])
    expect(line).toContain('acr_values="urn:mfa \\"strong\\\\\\""')
  })

  test('[BND2, WIRE9] leaves out what printable ASCII cannot say: no line breaks, no parameter of another’s making', () => {
    const bare = challenge({})
    for (const text of ['', 'a\r\nX-Evil: 1', 'a\nb', 'é', '\u0000', 'a\tb', '\u2028', '😀']) expect([challenge({ scope: text }), challenge({ acrValues: text })]).toEqual([bare, bare])
    fc.assert(fc.property(fc.string({ unit: 'binary' }), fc.string({ unit: 'binary-ascii' }), (scope, acrValues) => {
      const line = challenge({ error: 'invalid_token', scope, acrValues })
      const sayable = (text: string): boolean => /^[ -~]+$/.test(text)
      expect(line).toMatch(/^[ -~]+$/)
      expect(parametersOf(line).filter(([name]) => name === 'scope' || name === 'acr_values')).toEqual([...(sayable(scope) ? [['scope', scope]] : []), ...(sayable(acrValues) ? [['acr_values', acrValues]] : [])])
    }), { numRuns: 300 })
  })

  test('[BND2, WIRE9] a nonce is asked for by its own error, everything else is an invalid proof', () => {
    expect((['nonce_missing', 'nonce_stale', 'signature_invalid', 'too_old', 'malformed', 'jti_missing'] as const).map(errorOf)).toEqual(['use_dpop_nonce', 'use_dpop_nonce', 'invalid_dpop_proof', 'invalid_dpop_proof', 'invalid_dpop_proof', 'invalid_dpop_proof'])
  })
})
