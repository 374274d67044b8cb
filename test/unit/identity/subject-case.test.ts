// Where an issuer does not tell letters' cases apart, whom it names is known by one spelling, before anything is kept under it; what has none is refused.
import * as fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { load } from '../../../src/config/load.ts'
import type { ClaimNames } from '../../../src/config/settings.ts'
import { foldedName, isCanonicalName } from '../../../src/identity/canonical-name.ts'
import { principalOf } from '../../../src/identity/claims.ts'
import { WORLD } from '../../golden/fixture.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { HandClock, jwtProvider, NO_CLAIM_NAMES, NOON, proven, refused } from './fixtures.ts'

const ISSUER = 'https://idp.test'
const FOLD: ClaimNames = { ...NO_CLAIM_NAMES, owner: 'owner', subjectCase: 'fold' }
const read = (claims: { readonly [name: string]: unknown }, names: ClaimNames = FOLD) => {
  const found = principalOf({ kind: 'person', issuer: ISSUER, claims: names }, claims)
  return found.is === 'fault' ? found.fault : found.principal
}

describe('a name', () => {
  test.each(['bob\u00a0', ' bob', 'bob ', 'bo  b', 'bo\tb', 'bo\u0000b', 'bo\u200bb', 'bo\u00adb', '\ufeffbob', 'bob\u202e', 'e\u0301', 'ｂｏｂ', '𝐛𝐨𝐛', 'ﬁn', 'bob²', 'Ⅷ', '\u212aelvin'])('[HDR-041, SES11] %j is none: it looks like another one, or folds to it', name => {
    expect([isCanonicalName(name), read({ sub: name }), read({ sub: name }, NO_CLAIM_NAMES)]).toEqual([false, 'claim_malformed', 'claim_malformed'])
  })

  test.each([['BOB', 'bob'], ['Bob', 'bob'], ['bob', 'bob'], ['ÉLODIE', 'élodie'], ['ΑΘΗΝΑ', 'αθηνα'], ['Иван', 'иван'], ['auth0|BOB', 'auth0|bob'], ['ΝΙΚΟΣ', 'νικος'], ['李', '李']])('[HDR-041, SES11] %s is known as %s', (name, known) => {
    expect(foldedName(name)).toBe(known)
  })

  test.each(['straße', 'νικοσ', 'bıll'])('[HDR-041, SES11] %s has no one spelling, and is refused rather than taken for another', name => {
    expect([foldedName(name), read({ sub: name })]).toEqual([null, 'claim_malformed'])
  })

  test('[HDR-041, SES11] whatever the case of its letters, it is known alike or not at all', () => {
    const letters = fc.constantFrom('a', 'b', 'z', 'A', 'B', 'Z', 'é', 'É', 'ß', 'ſ', 'ı', 'İ', 'i', 'I', 'σ', 'Σ', 'ς', 'к', 'К', '\u212a', '-', '|', '.', '@', '1', ' ')
    let known = 0
    fc.assert(fc.property(fc.string({ unit: letters, minLength: 1, maxLength: 8 }), name => {
      const folded = isCanonicalName(name) ? foldedName(name) : null
      if (folded === null) return
      known++
      expect(isCanonicalName(folded)).toBe(true)
      for (const other of [name.toUpperCase(), name.toLowerCase(), folded]) if (isCanonicalName(other)) expect([folded, null]).toContain(foldedName(other))
      expect(foldedName(folded)).toBe(folded)
    }), { numRuns: 2_000 })
    expect(known).toBeGreaterThan(200)
  })
})

describe('whom a token names', () => {
  test('[HDR-041, SES11] is folded with its actors and its owner where they are of that issuer, and nowhere else', () => {
    const act = { sub: 'ANN', act: { iss: 'https://other.test', sub: 'Cy', act: { iss: ISSUER, sub: 'Dee' } } }
    expect(read({ sub: 'BOB', act, owner: 'EVE' })).toMatchObject({
      subject: 'bob', owner: 'eve', actor: { issuer: ISSUER, subject: 'ann', actsFor: { issuer: 'https://other.test', subject: 'Cy', actsFor: { issuer: ISSUER, subject: 'dee' } } },
    })
    expect([`${ISSUER}|EVE`, 'auth0|EVE', 'https://other.test|EVE', 'x509:mesh|EVE'].map(owner => read({ sub: 'bob', owner }))).toMatchObject([`${ISSUER}|eve`, 'auth0|eve', 'https://other.test|EVE', 'x509:mesh|EVE'].map(owner => ({ owner })))
    expect([read({ sub: 'bob', owner: 'straße' }), read({ sub: 'bob', act: { sub: 'straße' } }), read({ sub: 'bob', act: { sub: 'straße', iss: 'https://other.test' } })]).toMatchObject(['claim_malformed', 'actor_malformed', { subject: 'bob' }])
  })

  test('[HDR-041, SES11] keeps its case unless the issuer is said to fold it: two subjects then, as OpenID Connect has it', () => {
    const exact: ClaimNames = { ...FOLD, subjectCase: 'exact' }
    expect(read({ sub: 'BOB', act: { sub: 'ANN' }, owner: 'EVE' }, exact)).toMatchObject({ subject: 'BOB', owner: 'EVE', actor: { subject: 'ANN' } })
    expect(read({ sub: 'straße' }, exact)).toMatchObject({ subject: 'straße' })
  })
})

describe('a JWT', () => {
  let issuer: TokenIssuer
  beforeAll(async () => { issuer = await TokenIssuer.create() })

  test('[HDR-041, SES10, SES11] of such an issuer gives the folded subject', async () => {
    const provider = jwtProvider(issuer, new HandClock(), { claims: FOLD })
    for (const sub of ['bob', 'Bob', 'BOB']) expect((await proven(provider, await issuer.sign({ sub }, { now: NOON }))).principal.subject).toBe('bob')
    expect((await refused(provider, await issuer.sign({ sub: 'bob\u00a0' }, { now: NOON }))).detail).toBe('claim_malformed')
  })
})

test('[HDR-041, APR2] an operator of such an issuer is known by the same spelling, so that nobody approves for itself in other letters', () => {
  const oidcOf = (more: string) => {
    const loaded = load(`
version: 1
authn:
  people: { jwt: { issuer: https://people.example, audience: narrowgate }, kind: person${more} }
admin: { auth: { oidc: { issuer: https://people.example, audience: operators, roles: { approver: '"ops" in identity.claims.groups' } } } }
routes:
  - { name: api, match: { host: api.test }, upstream: http://api:8081, authn: [people], rules: [{ allow: {} }] }`, 'gateway.yaml', WORLD)
    return loaded.ok ? loaded.settings.admin.oidc?.provider.claims.subjectCase : loaded.problems
  }
  expect([oidcOf(', subjectCase: fold'), oidcOf('')]).toEqual(['fold', 'exact'])
})
