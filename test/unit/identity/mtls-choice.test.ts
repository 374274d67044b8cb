import { beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { MtlsSettings } from '../../../src/config/settings.ts'
import { instant } from '../../../src/core/time.ts'
import { type CertificateFault, type CertificateRead, type ClientCertificate, refused } from '../../../src/identity/certificate/client-certificate.ts'
import { spiffeIdOf } from '../../../src/identity/certificate/spiffe-id.ts'
import type { AnyProvider, Identification, Presented } from '../../../src/identity/credential.ts'
import { Identifier } from '../../../src/identity/identify.ts'
import { MtlsProvider } from '../../../src/identity/mtls.ts'
import { type Circumstances, nothingShown } from '../../../src/identity/possession.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { TokenIssuer } from '../../support/token-issuer.ts'
import { bearer, DIGEST_KEY, HandClock, jwtProvider, NO_CLAIM_NAMES, NO_STORE, NOON } from './fixtures.ts'

const DEPLOY = 'spiffe://example.org/ns/prod/sa/deploy'
const HOUR = 3_600_000
const ROUTE = ['people', 'mesh', 'hosts']

/** Counts what it is asked. */
class Counting extends MtlsProvider {
  asked = 0

  override prove(shown: ClientCertificate) {
    this.asked++
    return super.prove(shown)
  }
}

let people: TokenIssuer
let clock: HandClock
let mesh: Counting
beforeAll(async () => {
  people = await TokenIssuer.create({ issuer: 'https://people.example' })
})
beforeEach(() => {
  clock = new HandClock()
  mesh = certificates('mesh', 'spiffe', ['spiffe://example.org/ns/*/sa/deploy'])
})

function certificates(name: string, by: MtlsSettings['by'], names: readonly string[]): Counting {
  const settings: MtlsSettings = { is: 'mtls', name, kind: 'service', claims: NO_CLAIM_NAMES, by, names }
  return new Counting(settings, JSON.stringify(settings))
}
const providers = (): readonly AnyProvider[] => [jwtProvider(people, clock, { name: 'people' }), mesh, certificates('hosts', 'dnsNames', ['build.example'])]
const identifierOf = (all: readonly AnyProvider[]): Identifier => new Identifier(new Map(all.map(provider => [provider.name, provider])), { clock, digestKey: DIGEST_KEY, sessionKey: [], aliases: {}, marks: NO_STORE, wantsNonces: () => false, sessions: 1_000 })

const leaf = ({ spiffe = DEPLOY, ...changes }: Partial<Omit<ClientCertificate, 'spiffe'>> & { readonly spiffe?: string | null } = {}): ClientCertificate => ({
  thumbprint: sha256(JSON.stringify({ spiffe, ...changes })), subject: 'CN=deploy', issuer: 'CN=Authority', serial: '01', uris: spiffe === null ? [] : [spiffe], dnsNames: [],
  notBefore: instant(NOON - HOUR), notAfter: instant(NOON + HOUR), source: 'tls', ...changes, spiffe: spiffe === null ? null : spiffeIdOf(spiffe),
})
const shown = (certificate: ClientCertificate): CertificateRead => ({ is: 'shown', certificate })
const by = (clientCertificate: CertificateRead | null): Circumstances => ({ ...nothingShown(), clientCertificate })
const DEPLOYER = by(shown(leaf()))

const told = (answer: Identification | null): string => {
  if (answer === null) return 'unknown'
  return answer.is === 'verified' ? `${answer.verified.provider} ${answer.verified.principal.subject}` : `${answer.reason} ${answer.detail}`
}
/** The answer at once and the one that may be awaited: they are the same. */
async function both(identifier: Identifier, names: readonly string[], presented: readonly Presented[], circumstances: Circumstances): Promise<string> {
  const now = told(identifier.identifyNow(names, presented, circumstances))
  expect(told(await identifier.identify(names, presented, circumstances))).toBe(now)
  return now
}

describe('a certificate and headers', () => {
  test('[SES19] without a header the certificate counts, at once', async () => {
    const identifier = identifierOf(providers())
    expect(identifier.headers(ROUTE)).toEqual(['authorization'])
    expect(await both(identifier, ROUTE, [], DEPLOYER)).toBe(`mesh ${DEPLOY}`)
    expect(await both(identifier, ['mesh'], [{ header: 'authorization', value: 'Bearer x' }], DEPLOYER)).toBe(`mesh ${DEPLOY}`)
    expect(await both(identifier, ROUTE, [], by(null))).toBe('no_credential none')
  })

  test('[SES19, SES15] a credential in a header is looked at first and alone', async () => {
    const identifier = identifierOf(providers())
    expect(told(await identifier.identify(ROUTE, bearer(await people.sign({}, { now: NOON })), DEPLOYER))).toBe('people agent-1')
    const expired = bearer(await people.sign({}, { now: NOON - 10 * HOUR, lifetime: 60 }))
    for (let i = 0; i < 2; i++) expect(told(await identifier.identify(ROUTE, expired, DEPLOYER))).toBe('credential_expired expired')
    const other = await TokenIssuer.create({ issuer: 'https://people.example' })
    expect(told(await identifier.identify(ROUTE, bearer(await other.sign({}, { now: NOON })), DEPLOYER))).toBe('credential_invalid signature_invalid')
    expect(mesh.asked).toBe(0)
  })

  test.each([
    ['Bearer nonsense', 'credential_invalid malformed'], ['Bearer ', 'credential_invalid malformed'], ['DPoP x', 'credential_invalid malformed'], ['Basic dTpw', 'no_credential other_scheme'], ['', 'no_credential none'],
  ])('[SES19, SES15] the header `%s` never makes the certificate count', async (value, answer) => {
    const identifier = identifierOf(providers())
    const line = { header: 'authorization', value }
    expect(await both(identifier, ROUTE, [line], DEPLOYER)).toBe(answer)
    expect(await both(identifier, ROUTE, [line, line], DEPLOYER)).toBe('credential_invalid several_credentials')
    expect(mesh.asked).toBe(0)
  })

  test('[SES19] a route without a provider of certificates takes none', async () => {
    expect(await both(identifierOf(providers()), ['people'], [], DEPLOYER)).toBe('no_credential none')
    expect(await both(identifierOf(providers()), [], [], DEPLOYER)).toBe('no_credential none')
  })
})

describe('a certificate that is not believed', () => {
  test.each<readonly [CertificateFault, string]>([
    ['expired', 'certificate_expired'], ['revoked', 'certificate_revoked'], ['unknown_authority', 'certificate_untrusted'], ['self_signed', 'certificate_untrusted'],
    ['not_yet_valid', 'certificate_refused'], ['revocation_unknown', 'certificate_refused'], ['unverified', 'certificate_refused'], ['malformed', 'certificate_refused'],
  ])('[SES19] %s is refused, never nobody', async (fault, detail) => {
    expect(await both(identifierOf(providers()), ROUTE, [], by(refused(fault)))).toBe(`credential_invalid ${detail}`)
    expect(mesh.asked).toBe(0)
  })

  test('[SES19] counts from its first moment to its last, though the answer is remembered', async () => {
    const identifier = identifierOf(providers())
    const short = by(shown(leaf({ notBefore: instant(NOON + 1_000), notAfter: instant(NOON + 5_000) })))
    const at = async (ms: number): Promise<string> => {
      clock.advance(ms - clock.elapsed())
      return both(identifier, ROUTE, [], short)
    }
    expect(await at(999)).toBe('credential_invalid certificate_refused')
    expect(await at(1_000)).toBe(`mesh ${DEPLOY}`)
    expect(identifier.counts.cached).toBe(1)
    expect(await at(4_999)).toBe(`mesh ${DEPLOY}`)
    expect(await at(5_000)).toBe('credential_invalid certificate_expired')
    const answer = identifierOf(providers()).identifyNow(ROUTE, [], DEPLOYER)
    expect(answer?.is === 'verified' && answer.verified.evidence.expiresAt).toBe(NOON + HOUR)
  })
})

describe('several providers of certificates', () => {
  test('[SES19, SES15] the first by the route’s order answers for its own, and its refusal is final', async () => {
    const own = certificates('own', 'dnsNames', ['build.example'])
    const every = certificates('every', 'spiffe', ['spiffe://example.org/ns/prod/sa/*'])
    const identifier = identifierOf([...providers(), own, every])
    const two = by(shown(leaf({ dnsNames: ['build.example'] })))
    expect(await both(identifier, ['hosts', 'mesh'], [], two)).toBe('hosts build.example')
    expect(await both(identifier, ['mesh', 'hosts'], [], two)).toBe(`mesh ${DEPLOY}`)
    expect(await both(identifier, ['mesh', 'hosts'], [], by(shown(leaf({ spiffe: 'spiffe://example.org/other', dnsNames: ['build.example'] }))))).toBe('hosts build.example')
    expect(await both(identifier, ['hosts', 'every'], [], by(shown(leaf({ dnsNames: ['build.example'], issuer: 'CN=a|b' }))))).toBe('credential_invalid issuer_unknown')
    expect(await both(identifier, ['mesh', 'hosts'], [], by(shown(leaf({ spiffe: null }))))).toBe('credential_invalid subject_refused')
  })
})

describe('what is remembered of certificates', () => {
  const times = (count: number, identifier: Identifier, circumstances: Circumstances): readonly string[] => Array.from({ length: count }, () => told(identifier.identifyNow(ROUTE, [], circumstances)))

  test('[SES19, SES12] answers, until the credential or its session is revoked or the provider changes', () => {
    const identifier = identifierOf(providers())
    expect(new Set(times(3, identifier, DEPLOYER))).toEqual(new Set([`mesh ${DEPLOY}`]))
    expect(mesh.asked).toBe(1)
    const answer = identifier.identifyNow(ROUTE, [], DEPLOYER)
    if (answer?.is !== 'verified') throw new Error('refused')
    identifier.drop(answer.verified.evidence.credential)
    times(2, identifier, DEPLOYER)
    expect(mesh.asked).toBe(2)
    identifier.dropSession(answer.verified.key)
    times(2, identifier, DEPLOYER)
    expect(mesh.asked).toBe(3)
    const same = certificates('mesh', 'spiffe', ['spiffe://example.org/ns/*/sa/deploy'])
    identifier.replace(new Map([['mesh', same]]), [])
    expect(times(1, identifier, DEPLOYER)).toEqual([`mesh ${DEPLOY}`])
    expect([mesh.asked, same.asked]).toEqual([3, 0])
    expect(identifier.vouchesFor(answer.verified.evidence)).toBe(true)
    identifier.replace(new Map([['mesh', certificates('mesh', 'spiffe', ['spiffe://example.org/ns/*/sa/other'])]]), [])
    expect(times(1, identifier, DEPLOYER)).toEqual(['credential_invalid subject_refused'])
    expect(identifier.vouchesFor(answer.verified.evidence)).toBe(false)
  })

  test('[SES19, SES12] no refusal, and at most as many as tokens', () => {
    const identifier = identifierOf(providers())
    times(2, identifier, by(shown(leaf({ spiffe: 'spiffe://example.org/other' }))))
    expect([mesh.asked, identifier.counts]).toEqual([2, { cached: 0, pending: 0, evicted: 0, busy: 0 }])
  })

  test('[SES19] a digest that a proxy tells with other names is another answer', () => {
    const identifier = identifierOf(providers())
    const digestOnly = { thumbprint: sha256('one'), subject: null, issuer: null, serial: null, notBefore: null, notAfter: null, source: 'xfcc' } as const
    const [deploy, other] = [DEPLOY, 'spiffe://example.org/ns/test/sa/deploy']
    expect([deploy, other, deploy].map(spiffe => told(identifier.identifyNow(ROUTE, [], by(shown(leaf({ ...digestOnly, spiffe }))))))).toEqual([`mesh ${deploy}`, `mesh ${other}`, `mesh ${deploy}`])
  })

  test('[SES19] a certificate read whole and the same one told by its digest keep their own ends', () => {
    const identifier = identifierOf(providers())
    const ends = [leaf({ thumbprint: leaf().thumbprint, notBefore: null, notAfter: null, issuer: null, subject: null, serial: null, source: 'xfcc' }), leaf()].map(certificate => {
      const answer = identifier.identifyNow(ROUTE, [], by(shown(certificate)))
      return answer?.is === 'verified' ? answer.verified.evidence.expiresAt : 'refused'
    })
    expect(ends).toEqual([null, NOON + HOUR])
  })
})
