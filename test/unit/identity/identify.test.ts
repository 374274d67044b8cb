import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { Evidence } from '../../../src/core/evidence.ts'
import { ApiKeyProvider } from '../../../src/identity/api-key.ts'
import { apiKeysOf } from '../../../src/identity/api-key-file.ts'
import { CREDENTIAL_MAX, type Identification, type Presented, type Proof, type Provider } from '../../../src/identity/credential.ts'
import { Identifier } from '../../../src/identity/identify.ts'
import { NEW_MAX } from '../../../src/identity/verifier.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { apiKeySettings, bearer, DIGEST_KEY, HandClock, jwtProvider, NO_STORE, NOON } from './fixtures.ts'

let people: TokenIssuer
let robots: TokenIssuer
let clock: HandClock
beforeAll(async () => {
  people = await TokenIssuer.create({ issuer: 'https://people.example' })
  robots = await TokenIssuer.create({ issuer: 'https://robots.example' })
})
beforeEach(() => {
  clock = new HandClock()
})

const SECRET = 'correct-horse-battery'
const apiKeys = (changes = {}, subject = 'billing'): Provider => new ApiKeyProvider(apiKeySettings(changes), apiKeysOf([{ id: 'k1', sha256: sha256(SECRET), subject }]), clock, subject)
const jwt = (name: string, issuer: TokenIssuer, changes = {}): Provider => jwtProvider(issuer, clock, { name, ...changes })
const byName = (providers: readonly Provider[]): ReadonlyMap<string, Provider> => new Map(providers.map(provider => [provider.name, provider]))
const identifier = (...providers: readonly Provider[]): Identifier => new Identifier(byName(providers), { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })
const sign = (issuer: TokenIssuer, claims = {}): Promise<string> => issuer.sign(claims, { now: NOON })

/** Provider and subject, or the reason and what was wrong. */
const told = (answer: Identification | null): string => {
  if (answer === null) return 'unknown'
  return answer.is === 'verified' ? `${answer.verified.provider} ${answer.verified.principal.subject}` : `${answer.reason} ${answer.detail}`
}

/** A provider that answers when told to, and counts how often it was asked. */
class Slow implements Provider {
  readonly name = 'slow'
  readonly header = 'authorization'
  readonly issuer = null
  readonly opaque = 'any'
  readonly fingerprint: string
  asked = 0
  readonly #inner: Provider
  #open: () => void = () => {}
  readonly #gate = new Promise<void>(resolve => {
    this.#open = resolve
  })

  vouchesFor(evidence: Evidence): boolean { return this.#inner.vouchesFor(evidence) }

  constructor(inner: Provider, fingerprint = 'slow') {
    this.#inner = inner
    this.fingerprint = fingerprint
  }

  release(): void {
    this.#open()
  }

  async prove(text: string, digest: string): Promise<Proof> {
    this.asked++
    await this.#gate
    return this.#inner.prove(text, digest)
  }
}

describe('which provider answers', () => {
  test('[SES15] the one whose header and issuer fit, of those the route lists', async () => {
    const all = identifier(jwt('people', people), jwt('robots', robots), apiKeys())
    const names = ['people', 'robots', 'legacy']
    expect(told(await all.identify(names, bearer(await sign(people))))).toBe('people agent-1')
    expect(told(await all.identify(names, bearer(await sign(robots))))).toBe('robots agent-1')
    expect(told(await all.identify(names, [{ header: 'x-api-key', value: SECRET }]))).toBe('legacy billing')
    expect(told(await all.identify(['robots', 'legacy'], bearer(await sign(people))))).toBe('credential_invalid issuer_unknown')
    expect(told(await all.identify(['people'], [{ header: 'x-api-key', value: SECRET }]))).toBe('no_credential none')
    expect(told(await all.identify([], bearer(await sign(people))))).toBe('no_credential none')
    expect(all.headers(names)).toEqual(['authorization', 'x-api-key'])
  })

  test('[SES15] a refusal is final: no other provider is asked', async () => {
    const strict = jwt('strict', people, { audience: ['elsewhere'] })
    const both = identifier(strict, jwt('people', people), apiKeys({ header: 'authorization' }))
    const text = await sign(people)
    expect(told(await both.identify(['people', 'strict'], bearer(text)))).toBe('people agent-1')
    expect(told(await both.identify(['strict', 'people', 'legacy'], bearer(text)))).toBe('credential_invalid audience_refused')
    expect(told(both.identifyNow(['strict', 'people'], bearer(text)))).toBe('unknown')
  })

  test('[SES15] keys and tokens in one header are told apart by form', async () => {
    const both = identifier(jwt('people', people), apiKeys({ header: 'authorization' }))
    const names = ['people', 'legacy']
    expect(told(await both.identify(names, bearer(SECRET)))).toBe('legacy billing')
    expect(told(await both.identify(names, bearer(await sign(people))))).toBe('people agent-1')
    expect(told(await both.identify(names, bearer(await sign(robots))))).toBe('credential_invalid issuer_unknown')
    expect(told(await both.identify(['people'], bearer(SECRET)))).toBe('credential_invalid malformed')
  })

  test('[SES15] several credentials are refused, also the same twice', async () => {
    const all = identifier(jwt('people', people), apiKeys())
    const [line] = bearer(await sign(people))
    if (line === undefined) throw new Error('no line')
    const names = ['people', 'legacy']
    for (const lines of [[line, { header: 'x-api-key', value: SECRET }], [line, line]]) expect(told(all.identifyNow(names, lines))).toBe('credential_invalid several_credentials')
    expect(told(await all.identify(['people'], [line, { header: 'x-api-key', value: SECRET }]))).toBe('people agent-1')
  })
})

describe('how it is presented', () => {
  const lines = (value: string, header = 'authorization'): readonly Presented[] => [{ header, value }]

  test('[SES15] the Bearer scheme in any case; another scheme is no credential', async () => {
    const all = identifier(jwt('people', people))
    const text = await sign(people)
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEaReR ']) expect(told(await all.identify(['people'], lines(`${scheme} ${text}`)))).toBe('people agent-1')
    expect(told(await all.identify(['people'], lines(`DPoP ${text}`)))).toBe('credential_invalid scheme_refused') // bound to no key
    for (const value of [`Basic ${text}`, text, `Bearer${text}`]) expect(told(await all.identify(['people'], lines(value)))).toBe('no_credential other_scheme')
    for (const value of ['Bearer', 'Bearer ', `Bearer ${text} x`, `Bearer ${text},Bearer ${text}`, `Bearer ${text}\u00a0`, `Bearer {"payload":""}`]) expect(told(await all.identify(['people'], lines(value)))).toMatch(/^credential_invalid malformed$/)
    expect(told(all.identifyNow(['people'], []))).toBe('no_credential none')
    expect(told(all.identifyNow(['people'], lines('')))).toBe('no_credential none')
  })

  test('[SES15] what was read of one header is not taken for another', async () => {
    const all = identifier(apiKeys(), apiKeys({ name: 'other', header: 'authorization' }))
    expect(told(await all.identify(['legacy'], lines(SECRET, 'x-api-key')))).toBe('legacy billing')
    expect(told(await all.identify(['other'], bearer(SECRET)))).toBe('other billing')
    expect(told(all.identifyNow(['other'], lines(SECRET)))).toBe('no_credential other_scheme')
    expect(told(all.identifyNow(['legacy'], lines(`Bearer ${SECRET}`, 'x-api-key')))).toBe('credential_invalid malformed')
  })

  test.each(['malformed', 'other_scheme'])('[SES15] a key may read like a word of ours: %s', async text => {
    const keys = new ApiKeyProvider(apiKeySettings(), apiKeysOf([{ id: 'k1', sha256: sha256(text), subject: 'billing' }]), clock, '')
    expect(told(await identifier(keys).identify(['legacy'], lines(text, 'x-api-key')))).toBe('legacy billing')
  })

  test('[SES10] over-long credentials are refused before anything is read of them', async () => {
    const slow = new Slow(apiKeys())
    const all = identifier(slow)
    expect(told(await all.identify(['slow'], lines(`Bearer ${'x'.repeat(CREDENTIAL_MAX)}`)))).toBe('credential_invalid too_long')
    expect(slow.asked).toBe(0)
  })
})

describe('what is remembered', () => {
  test('[SES12] a verified credential is answered at once, until it ends', async () => {
    const all = identifier(jwt('people', people))
    const names = ['people']
    const shown = bearer(await people.sign({ exp: NOON / 1000 + 60 }, { now: NOON }))
    expect(all.identifyNow(names, shown)).toBeNull()
    const first = await all.identify(names, shown)
    expect(all.identifyNow(names, shown)).toBe(first)
    clock.advance(59_999)
    expect(all.identifyNow(names, shown)).toBe(first)
    clock.advance(1)
    expect(all.identifyNow(names, shown)).toBeNull()
    expect(told(await all.identify(names, shown))).toBe('credential_expired expired')
  })

  test('[SES12] a dropped credential or session is verified anew', async () => {
    const all = identifier(jwt('people', people))
    const shown = bearer(await sign(people, { jti: 'j' }))
    const answer = await all.identify(['people'], shown)
    if (answer.is !== 'verified') throw new Error('refused')
    all.drop(answer.verified.evidence.credential)
    expect(all.identifyNow(['people'], shown)).toBeNull()
    await all.identify(['people'], shown)
    all.dropSession(answer.verified.key)
    expect(all.identifyNow(['people'], shown)).toBeNull()
  })

  test('[SES12] refusals are not remembered', async () => {
    const slow = new Slow(apiKeys())
    slow.release()
    const all = identifier(slow)
    for (const asked of [1, 2]) {
      expect(told(await all.identify(['slow'], bearer('wrong')))).toBe('credential_invalid api_key_unknown')
      expect(slow.asked).toBe(asked)
    }
    expect(all.counts).toEqual({ cached: 0, pending: 0, evicted: 0, busy: 0 })
  })

  test('[SES12] one verification serves all who show the credential meanwhile, and the number under way has a limit', async () => {
    const slow = new Slow(apiKeys())
    const all = identifier(slow)
    const answers = [all.identify(['slow'], bearer(SECRET)), all.identify(['slow'], bearer(SECRET))]
    for (let other = 1; other < NEW_MAX; other++) answers.push(all.identify(['slow'], bearer(`other-${other}`)))
    expect(told(await all.identify(['slow'], bearer('one-too-many')))).toBe('credential_invalid busy')
    expect(all.counts).toMatchObject({ pending: NEW_MAX, busy: 1 })
    expect(slow.asked).toBe(NEW_MAX)
    slow.release()
    const [first, second, third] = await Promise.all(answers)
    expect([told(first ?? null), told(third ?? null)]).toEqual(['slow billing', 'credential_invalid api_key_unknown'])
    expect(second).toBe(first)
    expect(all.counts).toMatchObject({ cached: 1, pending: 0 })
  })
})

describe('a reload', () => {
  test('[SES12] keeps what unchanged providers verified and drops what changed ones did', async () => {
    const all = identifier(jwt('people', people), apiKeys())
    const names = ['people', 'legacy']
    const token = bearer(await sign(people))
    const key = [{ header: 'x-api-key', value: SECRET }]
    await all.identify(names, token)
    await all.identify(names, key)
    all.replace(byName([jwt('people', people), apiKeys({}, 'invoices')]), [])
    expect(told(all.identifyNow(names, token))).toBe('people agent-1')
    expect(told(all.identifyNow(names, key))).toBe('unknown')
    expect(told(await all.identify(names, key))).toBe('legacy invoices')
    all.replace(byName([apiKeys({}, 'invoices')]), [])
    expect(told(all.identifyNow(names, token))).toBe('no_credential none')
  })

  test('[SES2] that makes session keys otherwise drops everything', async () => {
    const all = identifier(jwt('people', people))
    const shown = bearer(await sign(people, { sid: 'S', run: 'R' }))
    const before = await all.identify(['people'], shown)
    all.replace(byName([jwt('people', people)]), ['claims.run'])
    expect(all.identifyNow(['people'], shown)).toBeNull()
    const after = await all.identify(['people'], shown)
    expect(before.is === 'verified' && after.is === 'verified' && before.verified.key !== after.verified.key).toBe(true)
  })

  test('[SES12] while a credential is being verified: the answer is that of the new configuration', async () => {
    const slow = new Slow(apiKeys(), 'old')
    const all = identifier(slow)
    const waiting = all.identify(['slow'], bearer(SECRET))
    const next = new Slow(apiKeys({}, 'invoices'), 'new')
    next.release()
    all.replace(byName([next]), [])
    slow.release()
    expect(told(await waiting)).toBe('slow invoices')

    const again = new Slow(apiKeys(), 'third')
    all.replace(byName([again]), [])
    const removed = all.identify(['slow'], bearer(SECRET))
    all.replace(new Map(), [])
    again.release()
    expect(told(await removed)).toBe('no_credential none')
  })

  test('[SES2] a digest key shorter than 32 bytes is refused', () => {
    expect(() => new Identifier(new Map(), { clock, digestKey: Buffer.alloc(31), sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })).toThrow('32 bytes')
  })
})
