import { createSecretKey } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import type { MtlsSettings } from '../../../src/config/settings.ts'
import { instant } from '../../../src/core/time.ts'
import { type ClientCertificate, readLeaf } from '../../../src/identity/certificate/client-certificate.ts'
import { spiffeIdOf } from '../../../src/identity/certificate/spiffe-id.ts'
import type { Proven } from '../../../src/identity/credential.ts'
import { MtlsProvider } from '../../../src/identity/mtls.ts'
import { buildProviders } from '../../../src/identity/provider.ts'
import { sessionKeyOf } from '../../../src/identity/session-key.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { ClientAuthority, svidLeaf } from '../../support/tls.ts'
import { DIGEST_KEY, HandClock, NO_CLAIM_NAMES, NOON } from './fixtures.ts'

const DEPLOY = 'spiffe://example.org/ns/prod/sa/deploy'
const DN = 'CN=deploy,OU=CI,O=Example'
const HOUR = 3_600_000

const settings = (by: MtlsSettings['by'], names: readonly string[], changes: Partial<MtlsSettings> = {}): MtlsSettings => ({ is: 'mtls', name: 'workloads', kind: 'service', claims: NO_CLAIM_NAMES, by, names, ...changes })
const provider = (by: MtlsSettings['by'], names: readonly string[], changes: Partial<MtlsSettings> = {}): MtlsProvider => {
  const made = settings(by, names, changes)
  return new MtlsProvider(made, sha256(JSON.stringify(made)))
}

let made = 0
/** A certificate that was believed, of its own key. */
const certificate = ({ spiffe = null, ...changes }: Partial<Omit<ClientCertificate, 'spiffe'>> & { readonly spiffe?: string | null } = {}): ClientCertificate => ({
  thumbprint: sha256(`certificate ${made++}`), subject: DN, issuer: 'CN=Authority', serial: '01', uris: spiffe === null ? [] : [spiffe], dnsNames: ['build.example'],
  notBefore: instant(NOON - HOUR), notAfter: instant(NOON + HOUR), source: 'tls', ...changes, spiffe: spiffe === null ? null : spiffeIdOf(spiffe),
})
const proven = (by: MtlsProvider, shown: ClientCertificate): Proven => {
  const proof = by.prove(shown)
  if (proof.is === 'refused') throw new Error(proof.detail)
  return proof.proven
}
const subject = (by: MtlsProvider, shown: ClientCertificate): string => {
  const proof = by.prove(shown)
  return proof.is === 'refused' ? `${proof.reason} ${proof.detail}` : `${proof.proven.principal.issuer} ${proof.proven.principal.subject}`
}
const session = (by: MtlsProvider, shown: ClientCertificate): string => sessionKeyOf(createSecretKey(DIGEST_KEY), [], proven(by, shown))

const REFUSED = 'credential_invalid subject_refused'

describe('a certificate alone', () => {
  test('[SES19] of an SVID proves the workload, until the end of the certificate', async () => {
    const authority = await ClientAuthority.create('Root')
    const { der } = await authority.issue({ subject: '/O=Example/CN=deploy', extensions: svidLeaf(DEPLOY) })
    const read = readLeaf(der, 'tls')
    if (read.is === 'refused') throw new Error(read.fault)
    const { thumbprint, notBefore, notAfter, serial } = read.certificate
    const [one] = (await buildProviders(new Map([['workloads', settings('spiffe', [DEPLOY], { kind: 'ci' })]]), { clock: new HandClock(), http: { getJson: () => Promise.reject(), post: () => Promise.reject() }, findSession: () => Promise.reject(), parseYaml: () => null, notice: () => {} })).values()
    if (one?.header !== null) throw new Error('no provider of certificates')
    const proof = one.prove(read.certificate)
    expect(proof).toEqual({ is: 'proven', proven: {
      principal: { kind: 'ci', issuer: 'spiffe://example.org', tenant: '', subject: DEPLOY, client: '', owner: null, actor: null },
      claims: { sub: DEPLOY, spiffe: DEPLOY, dns: [], uris: [DEPLOY], serial },
      evidence: { provider: 'workloads', fingerprint: one.fingerprint, credential: sha256(JSON.stringify(['x5t#S256', thumbprint])), issuer: 'spiffe://example.org', keyId: null, issuedAt: notBefore, expiresAt: notAfter, keyThumbprint: null, device: null, claimed: {} },
      mark: { is: 'workload', value: DEPLOY }, binding: null, workload: DEPLOY, knownUntil: null,
    } })
    expect(notAfter).not.toBeNull()
    expect(one.vouchesFor({ ...(proof.is === 'proven' ? proof.proven.evidence : proven(provider('spiffe', []), read.certificate).evidence) })).toBe(true)
  })

  test('[SES19] of another kind proves the name that is listed, by the authority that gave it, with its key', () => {
    const shown = certificate({ spiffe: DEPLOY })
    expect(proven(provider('subjects', [DN]), shown)).toMatchObject({
      principal: { issuer: 'x509:CN=Authority', subject: DN }, claims: { sub: DN, spiffe: DEPLOY, dns: ['build.example'], serial: '01' }, workload: DEPLOY,
      evidence: { keyThumbprint: shown.thumbprint, issuedAt: shown.notBefore, expiresAt: shown.notAfter }, mark: { is: 'certificate', value: shown.thumbprint },
    })
    expect(proven(provider('dnsNames', ['build.example']), certificate())).toMatchObject({ principal: { issuer: 'x509:CN=Authority', subject: 'build.example' }, claims: { sub: 'build.example' }, workload: null })
    expect(Object.hasOwn(proven(provider('dnsNames', ['build.example']), certificate()).claims, 'spiffe')).toBe(false)
  })

  test.each([
    ['spiffe://example.org/ns/prod/sa/other'], ['spiffe://example.org/ns/prod/sa/deploy/x'], ['spiffe://example.org/ns/prod/sa'], ['spiffe://example.com/ns/prod/sa/deploy'], ['spiffe://example.org/ns/prod/sa/Deploy'],
    [null],
  ])('[SES19] is nobody by the SPIFFE id %s', spiffe => {
    expect(subject(provider('spiffe', ['spiffe://example.org/ns/*/sa/deploy']), certificate({ spiffe, subject: DEPLOY, dnsNames: [DEPLOY] }))).toBe(REFUSED)
  })

  test.each([
    ['CN=deploy'], ['CN=deploy,O=Example,OU=CI'], ['O=Example,OU=CI,CN=deploy'], ['CN=deploy,OU=CI,O=example'], ['CN=deploy,OU=CI,O=Example,C=DE'], ['CN=deploy+OU=CI,O=Example'], ['CN=deploy,OU=CI'], [''], [null],
  ])('[SES19, SES11] is nobody by the subject %s', name => {
    expect(subject(provider('subjects', [DN]), certificate({ subject: name, dnsNames: [DN], spiffe: DEPLOY }))).toBe(REFUSED)
    expect(subject(provider('subjects', [DN]), certificate())).toBe(`x509:CN=Authority ${DN}`)
  })

  test.each([
    [[]], [['*.example']], [['BUILD.example']], [['build.example.']], [['x.build.example']], [['build.example', 'test.example']],
  ])('[SES19] is nobody by the DNS names %j', dnsNames => {
    expect(subject(provider('dnsNames', ['build.example', 'test.example']), certificate({ dnsNames, subject: 'CN=build.example' }))).toBe(REFUSED)
  })

  test('[SES19] may have other DNS names beside the listed one, and that one twice', () => {
    expect(subject(provider('dnsNames', ['build.example', 'test.example']), certificate({ dnsNames: ['other.example', 'build.example', 'build.example'] }))).toBe('x509:CN=Authority build.example')
  })

  test('[SES19, SES11] is nobody where its authority is not told or its names have two readings', () => {
    for (const issuer of [null, '', 'CN=a|b', `CN=${'a'.repeat(512)}`, 'CN=a  b']) expect(subject(provider('subjects', [DN]), certificate({ issuer })), String(issuer)).toBe('credential_invalid issuer_unknown')
    expect(subject(provider('spiffe', [DEPLOY]), certificate({ issuer: null, subject: null, serial: null, notBefore: null, notAfter: null, spiffe: DEPLOY }))).toBe(`spiffe://example.org ${DEPLOY}`)
    expect(subject(provider('subjects', ['CN=a  b']), certificate({ subject: 'CN=a  b' }))).toBe('credential_invalid claim_malformed')
    const long = `spiffe://example.org/${'a'.repeat(600)}`
    expect(subject(provider('spiffe', ['spiffe://example.org/*']), certificate({ spiffe: long }))).toBe('credential_invalid claim_malformed')
  })

  test('[SES19] has the tenant, owner and client that its claims name, or is nobody', () => {
    const named = (claims: Partial<MtlsSettings['claims']>): MtlsProvider => provider('dnsNames', ['build.example'], { claims: { ...NO_CLAIM_NAMES, ...claims } })
    expect(proven(named({ tenant: 'spiffe', client: 'serial' }), certificate({ spiffe: DEPLOY })).principal).toMatchObject({ tenant: DEPLOY, client: '01' })
    expect(subject(named({ tenant: 'spiffe' }), certificate())).toBe('credential_invalid claim_missing')
    expect(subject(named({ tenant: 'dns' }), certificate())).toBe('credential_invalid claim_malformed')
  })

  test('[SES19] is vouched for by the very settings that proved it', () => {
    const { evidence } = proven(provider('spiffe', [DEPLOY]), certificate({ spiffe: DEPLOY }))
    expect(provider('spiffe', [DEPLOY]).vouchesFor(evidence)).toBe(true)
    expect(provider('spiffe', ['spiffe://example.org/ns/*/sa/deploy']).vouchesFor(evidence)).toBe(false)
    expect(provider('spiffe', [DEPLOY], { kind: 'agent' }).vouchesFor(evidence)).toBe(false)
  })

  test('[SES19] with a pattern that is none is no provider at all', () => {
    expect(() => provider('spiffe', ['spiffe://example.org/*x'])).toThrow('spiffe://example.org/*x is no pattern of SPIFFE ids')
  })
})

describe('the session of a certificate', () => {
  test('[SES19, SES2] is the workload’s where there is one: a rotated SVID keeps it, another workload has its own', () => {
    const mesh = provider('spiffe', ['spiffe://example.org/ns/*/sa/*'])
    const [first, rotated] = [certificate({ spiffe: DEPLOY }), certificate({ spiffe: DEPLOY, serial: '02', notBefore: instant(NOON), notAfter: instant(NOON + 2 * HOUR), issuer: 'CN=Next authority', dnsNames: [] })]
    expect(session(mesh, rotated)).toBe(session(mesh, first))
    expect(proven(mesh, rotated).evidence.credential).not.toBe(proven(mesh, first).evidence.credential)
    const others = ['spiffe://example.org/ns/prod/sa/api', 'spiffe://example.org/ns/test/sa/deploy'].map(spiffe => session(mesh, certificate({ spiffe })))
    expect(new Set([session(mesh, first), ...others]).size).toBe(3)
  })

  test('[SES19, SES2] is the key’s otherwise: another certificate of the same name has another, and so has the same name of another authority', () => {
    const ci = provider('subjects', [DN])
    const first = certificate({ spiffe: DEPLOY })
    expect(session(ci, { ...first })).toBe(session(ci, first))
    expect(session(ci, certificate({ spiffe: DEPLOY }))).not.toBe(session(ci, first))
    expect(session(ci, { ...first, issuer: 'CN=Another' })).not.toBe(session(ci, first))
    expect(session(provider('spiffe', [DEPLOY]), first)).not.toBe(session(ci, first))
  })
})
