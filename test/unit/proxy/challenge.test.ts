// The lines of `WWW-Authenticate`: which schemes, with which error, and never a text that ends its own quotes.
import { describe, expect, test } from 'vitest'
import { REASON_WORDS, REASONS } from '../../../src/core/reason.ts'
import { duration } from '../../../src/core/time.ts'
import { challengesOf, NOTHING_ASKED, type Scheme, schemeShown } from '../../../src/proxy/challenge.ts'

const METADATA = 'https://api.test/.well-known/oauth-protected-resource/a'
const SCHEMES: readonly (readonly Scheme[])[] = [[], ['Bearer'], ['DPoP'], ['Bearer', 'DPoP']]
const UNAUTHORIZED = REASON_WORDS.filter(word => REASONS[word].challenge !== 'none')

describe('without a credential', () => {
  test('[WIRE25] one line for each scheme that the route takes, none with an error', () => {
    const schemesOf = (schemes: readonly Scheme[]) => challengesOf('no_credential', { ...NOTHING_ASKED, schemes, metadata: METADATA })
    expect(schemesOf([])).toEqual([`Bearer realm="narrowgate", resource_metadata="${METADATA}"`])
    expect(schemesOf(['Bearer'])).toEqual(schemesOf([]))
    const [bearer, dpop, ...others] = schemesOf(['Bearer', 'DPoP'])
    expect([bearer, others]).toEqual([`Bearer realm="narrowgate", resource_metadata="${METADATA}"`, []])
    expect(dpop).toMatch(/^DPoP realm="narrowgate", algs="ES256 [A-Za-z0-9 ]+", resource_metadata="https:[^"]+"$/)
    expect(schemesOf(['DPoP'])).toEqual([dpop])
  })
})

describe('with a credential that was not enough', () => {
  test.each(UNAUTHORIZED.filter(word => REASONS[word].challenge !== 'bearer'))('[WIRE9] %s is one line with its error, for the scheme shown where the route takes it', reason => {
    for (const schemes of SCHEMES) {
      for (const shown of [null, 'Bearer', 'DPoP'] as const) {
        const lines = challengesOf(reason, { ...NOTHING_ASKED, schemes, shown, metadata: METADATA })
        const wanted = schemes.length === 0 || (shown === 'Bearer' && schemes.includes('Bearer')) || (shown !== 'DPoP' && schemes[0] === 'Bearer') || !schemes.includes('DPoP') ? 'Bearer' : 'DPoP'
        expect(lines.map(line => line.split(' ')[0])).toEqual([wanted])
        expect(lines[0]).toContain(`, error="${REASONS[reason].challenge}"`)
        expect(lines[0]).toMatch(/, resource_metadata="[^"]+"$/)
      }
    }
  })

  test('[BND2, WIRE25] a key that was not shown asks for its proof where the route takes DPoP, and nowhere else', () => {
    const told = (schemes: readonly Scheme[], fault: 'dpop_missing' | 'dpop_nonce' | 'scheme_refused' | 'expired') => challengesOf('credential_invalid', { ...NOTHING_ASKED, schemes, shown: 'Bearer', fault })
    expect(told(['Bearer', 'DPoP'], 'dpop_missing')).toEqual([expect.stringMatching(/^DPoP .*error="invalid_dpop_proof"/)])
    expect(told(['DPoP'], 'dpop_nonce')).toEqual([expect.stringMatching(/^DPoP .*error="use_dpop_nonce"/)])
    expect(told(['Bearer', 'DPoP'], 'scheme_refused')).toEqual([expect.stringMatching(/^DPoP .*error="invalid_token"/)])
    expect(told(['Bearer'], 'scheme_refused')).toEqual([expect.stringMatching(/^Bearer .*error="invalid_token"/)])
    expect(told(['Bearer', 'DPoP'], 'expired')).toEqual([expect.stringMatching(/^Bearer .*error="invalid_token"/)])
  })

  test('[BND6, WIRE25] a stronger sign-in is asked for in the words of RFC 9470, in either scheme', () => {
    const asked = { ...NOTHING_ASKED, requireAuth: { acr: ['urn:acr:gold', 'silver'], maxAge: duration(300_500) }, scope: 'a:b' }
    expect(challengesOf('authentication_insufficient', asked)).toEqual([`Bearer realm="narrowgate", error="insufficient_user_authentication", error_description="${REASONS.authentication_insufficient.says}", acr_values="urn:acr:gold silver", max_age="300"`])
    expect(challengesOf('authentication_insufficient', { ...asked, schemes: ['DPoP'] })).toEqual([expect.stringMatching(/^DPoP .*error="insufficient_user_authentication".*, acr_values="urn:acr:gold silver", max_age="300"/)])
    expect(challengesOf('authentication_insufficient', { ...asked, requireAuth: { acr: [], maxAge: duration(1_000) } })[0]).not.toContain('acr_values')
    expect(challengesOf('authentication_insufficient', { ...asked, requireAuth: { acr: ['x'], maxAge: null } })[0]).not.toContain('max_age')
    expect(challengesOf('elevation_required', asked)).toEqual(['Bearer realm="narrowgate", error="insufficient_scope", scope="a:b"'])
    expect(challengesOf('credential_expired', asked)[0]).not.toMatch(/scope=|acr_values=|max_age=/)
  })
})

test('[WIRE9] every line is one list of quoted parameters in printable ASCII, each name once', () => {
  for (const reason of UNAUTHORIZED) {
    for (const schemes of SCHEMES) {
      for (const line of challengesOf(reason, { schemes, shown: null, fault: null, scope: 'a:b', requireAuth: { acr: ['x'], maxAge: duration(5_000) }, metadata: METADATA })) {
        expect(line).toMatch(/^(?:Bearer|DPoP) [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(?:, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*$/)
        const names = [...line.matchAll(/([a-z_]+)="/g)].map(([, name]) => name)
        expect(new Set(names).size).toBe(names.length)
      }
    }
  }
})

test('[WIRE25] the scheme is read from Authorization alone, in any case, and only as a whole word', () => {
  expect(schemeShown(['Authorization', 'Bearer x'])).toBe('Bearer')
  expect(schemeShown(['x', 'DPoP x', 'AUTHORIZATION', 'dPoP x'])).toBe('DPoP')
  expect(schemeShown(['authorization', 'DPoP'])).toBe('DPoP')
  for (const headers of [[], ['x-api-key', 'bearer x'], ['authorization', 'Basic bearer x'], ['authorization', 'DPoPx y'], ['authorization', ''], ['DPoP', 'authorization']]) expect(schemeShown(headers)).toBeNull()
})
