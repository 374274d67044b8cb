import { describe, expect, test } from 'vitest'
import { NO_PURPOSES } from '../../../src/core/purpose.ts'
import type { SessionKey } from '../../../src/core/session.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import type { VerifiedAnswer } from '../../../src/identity/credential.ts'
import { KEPT_AT_MOST, TokenCache } from '../../../src/identity/token-cache.ts'
import { NOON } from './fixtures.ts'

const keyOf = (name: string): SessionKey => name as SessionKey // a test's name for a digest

const verified = (credential: string, key: string, expiresAt: Instant | null = null, knownUntil: Instant | null = null): VerifiedAnswer => ({
  is: 'verified',
  verified: {
    provider: 'agents',
    principal: { kind: 'agent', issuer: 'i', tenant: '', subject: 's', client: '', owner: null, actor: null },
    claims: {},
    evidence: { provider: 'login', fingerprint: 'f', credential, issuer: 'i', keyId: null, issuedAt: null, expiresAt, keyThumbprint: null, device: null, claimed: NO_PURPOSES },
    key: keyOf(key),
    binding: null,
    workload: null,
    knownUntil,
    aliases: [],
    opens: true,
  },
})
const at = (ms: number): Instant => instant(NOON + ms)

describe('the cache of verified credentials', () => {
  test('[SES12] answers until the credential ends, not one millisecond longer', () => {
    const cache = new TokenCache()
    cache.put('d', verified('c', 'k', at(1000)), NOON)
    expect(cache.get('d', at(999))).toMatchObject({ is: 'verified', verified: { key: 'k' } })
    expect(cache.get('d', at(1000))).toBeNull()
    expect(cache.size).toBe(0)
    cache.put('e', verified('c', 'k', NOON), NOON)
    expect(cache.size).toBe(0)
  })

  test('[SES12] verifies anew after five minutes, so that a withdrawn key stops counting', () => {
    const cache = new TokenCache()
    cache.put('d', verified('c', 'k'), NOON)
    expect(cache.get('d', at(KEPT_AT_MOST - 1))).not.toBeNull()
    expect(cache.get('d', at(KEPT_AT_MOST))).toBeNull()
  })

  test('[SES12] keeps what is known for a while no longer than that, and never past the credential’s end', () => {
    const cache = new TokenCache()
    cache.put('d', verified('c', 'k', at(60_000), at(10_000)), NOON)
    expect(cache.get('d', at(9_999))).not.toBeNull()
    expect(cache.get('d', at(10_000))).toBeNull()
    cache.put('d', verified('c', 'k', at(5_000), at(10_000)), NOON)
    expect(cache.get('d', at(5_000))).toBeNull()
    cache.put('d', verified('c', 'k', at(60_000), NOON), NOON)
    expect(cache.size).toBe(0)
  })

  test('[SES12] forgets one text, and no other spelling of its credential', () => {
    const cache = new TokenCache()
    cache.put('d1', verified('c1', 'k1'), NOON)
    cache.put('d2', verified('c1', 'k1'), NOON)
    cache.forget('d1')
    cache.forget('unknown')
    expect([cache.get('d1', NOON), cache.get('d2', NOON), cache.size]).toMatchObject([null, { is: 'verified' }, 1])
  })

  test('[SES12] drops every spelling of a credential, and every credential of a session, at once', () => {
    const cache = new TokenCache()
    cache.put('d1', verified('c1', 'k1'), NOON)
    cache.put('d2', verified('c1', 'k1'), NOON)
    cache.put('d3', verified('c2', 'k1'), NOON)
    cache.put('d4', verified('c3', 'k2'), NOON)
    cache.drop('c1')
    expect(['d1', 'd2', 'd3', 'd4'].map(digest => cache.get(digest, NOON) !== null)).toEqual([false, false, true, true])
    cache.dropSession(keyOf('k1'))
    expect(['d3', 'd4'].map(digest => cache.get(digest, NOON) !== null)).toEqual([false, true])
    cache.drop('unknown')
    expect(cache.size).toBe(1)
  })

  test('[SES12] has a limit and says how often it was reached; what was pushed out is found by no index', () => {
    const cache = new TokenCache(2)
    cache.put('d1', verified('c1', 'k1'), NOON)
    cache.put('d2', verified('c2', 'k1'), NOON)
    cache.get('d1', NOON)
    cache.put('d3', verified('c3', 'k1'), NOON)
    expect([cache.size, cache.evicted]).toEqual([2, 1])
    expect(cache.get('d2', NOON)).toBeNull()
    cache.drop('c2')
    cache.dropSession(keyOf('k1'))
    expect(cache.size).toBe(0)
  })

  test('[SES12] a digest put twice leaves the newer entry only', () => {
    const cache = new TokenCache()
    cache.put('d', verified('c1', 'k1'), NOON)
    cache.put('d', verified('c2', 'k2'), NOON)
    cache.drop('c1')
    cache.dropSession(keyOf('k1'))
    expect(cache.get('d', NOON)).toMatchObject({ verified: { key: 'k2' } })
  })
})
