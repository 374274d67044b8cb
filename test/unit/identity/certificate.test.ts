import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { X509Certificate } from 'node:crypto'
import { instant } from '../../../src/core/time.ts'
import { type CertificateRead, type ClientCertificate, readLeaf, timely } from '../../../src/identity/certificate/client-certificate.ts'
import { readX509 } from '../../../src/identity/certificate/x509.ts'
import { CLIENT_LEAF, ClientAuthority, derOf, type Leaf, svidLeaf } from '../../support/tls.ts'

let authority: ClientAuthority
let svid: Leaf
beforeAll(async () => {
  authority = await ClientAuthority.create('Clients')
  svid = await authority.issue({ subject: '/O=Acme/OU=Build/CN=runner', extensions: [...CLIENT_LEAF, 'subjectAltName=URI:spiffe://example.org/ns/prod/sa/api,DNS:api.example.org'] })
})

const read = (der: Buffer): CertificateRead => readLeaf(der, 'tls')
function shown(answer: CertificateRead): ClientCertificate {
  if (answer.is === 'refused') throw new Error(`refused: ${answer.fault}`)
  return answer.certificate
}
const fault = (answer: CertificateRead): string => (answer.is === 'refused' ? answer.fault : 'shown')
const subject = async (text: string): Promise<string | null> => shown(read((await authority.issue({ subject: text })).der)).subject

describe('what a certificate says', () => {
  test('[BND4] its thumbprint, names, serial number and times are those OpenSSL finds', () => {
    const found = shown(read(svid.der))
    const theirs = new X509Certificate(svid.der)
    expect(Buffer.from(found.thumbprint, 'base64url').toString('hex').toUpperCase()).toBe(theirs.fingerprint256.replaceAll(':', ''))
    expect(found).toEqual({
      thumbprint: expect.stringMatching(/^[\w-]{43}$/), subject: 'CN=runner,OU=Build,O=Acme', issuer: 'CN=Clients', serial: theirs.serialNumber,
      uris: ['spiffe://example.org/ns/prod/sa/api'], dnsNames: ['api.example.org'], notBefore: theirs.validFromDate.getTime(), notAfter: theirs.validToDate.getTime(),
      spiffe: expect.objectContaining({ text: 'spiffe://example.org/ns/prod/sa/api' }), source: 'tls',
    })
  })

  test('[BND4] the same bytes are the same object, of one source', () => {
    expect(shown(readLeaf(Buffer.from(svid.der), 'tls'))).toBe(shown(read(svid.der)))
    expect(shown(readLeaf(svid.der, 'xfcc')).source).toBe('xfcc')
  })

  test('[SES1] a certificate without extensions is one', async () => {
    const { der } = await authority.issue({ extensions: [] })
    expect(shown(read(der))).toMatchObject({ uris: [], dnsNames: [], spiffe: null })
  })

  test('[TOK-031, SES11] another order of a name, a part put into a value and a multi-valued part are other texts', async () => {
    const texts = [
      await subject('/O=x/CN=admin'), await subject('/CN=admin/O=x'), await subject('/CN=admin,O=x'), await subject('/CN=admin+O=x'), await subject('/CN=admin, O=y'), await subject('/CN=admin'),
      await subject('/CN=Admin/O=x'), await subject('/O=x/CN=admin /'), await subject('/O=x/CN=admin/CN=admin'), await subject('/O=x/CN= admin'),
    ]
    expect(texts).toEqual(['CN=admin,O=x', 'O=x,CN=admin', 'CN=admin\\,O=x', 'O=x+CN=admin', 'CN=admin\\, O=y', 'CN=admin', 'O=x,CN=Admin', 'CN=admin\\ ,O=x', 'CN=admin,CN=admin,O=x', 'CN=\\ admin,O=x'])
    expect(new Set(texts).size).toBe(texts.length)
  })

  test('[TOK-031, SES11] special, unseen and foreign characters have one form; unknown types are numbers', async () => {
    expect(await subject('/CN=#a"b;c<d>e\\\\f')).toBe('CN=\\#a\\"b\\;c\\<d\\>e\\\\f')
    expect(await subject('/CN=zoë')).toBe('CN=zoë')
    expect(await subject('/CN=a\u202eb\u200bc\td')).toBe('CN=a\\E2\\80\\AEb\\E2\\80\\8Bc\\09d')
    expect(await subject('/emailAddress=a@b.c/UID=u/DC=org')).toMatch(/^DC=org,UID=u,1\.2\.840\.113549\.1\.9\.1=#1605[0-9a-f]+$/)
  })
})

describe('what is no client certificate', () => {
  const words: readonly (readonly [string, string, readonly string[]])[] = [
    ['an authority', 'authority_as_leaf', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,digitalSignature']],
    ['an authority that is an SVID', 'authority_as_leaf', ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,digitalSignature', 'subjectAltName=URI:spiffe://example.org/a']],
    ['one that may sign certificates', 'authority_as_leaf', ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature,keyCertSign']],
    ['one that may sign revocation lists', 'authority_as_leaf', ['basicConstraints=critical,CA:FALSE', 'keyUsage=critical,digitalSignature,cRLSign']],
    ['a server', 'purpose_refused', ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth']],
    ['one for any purpose but ours by name', 'purpose_refused', ['extendedKeyUsage=anyExtendedKeyUsage,codeSigning']],
    ['an SVID with a second URI', 'svid_names', svidLeaf('spiffe://example.org/a', 'spiffe://example.org/b')],
    ['an SVID with another kind of URI', 'svid_names', svidLeaf('https://example.org/a', 'spiffe://example.org/b')],
    ['an SVID named twice', 'svid_names', svidLeaf('spiffe://example.org/a', 'spiffe://example.org/a')],
    ['an SVID whose id is none', 'svid_names', svidLeaf('spiffe://example.org/a/../b')],
    ['an SVID of a trust domain', 'svid_names', svidLeaf('spiffe://example.org')],
    ['an SVID in capitals', 'svid_names', svidLeaf('SPIFFE://example.org/a')],
    ['an SVID without key usage', 'svid_usage', ['subjectAltName=URI:spiffe://example.org/a']],
    ['an SVID that cannot sign', 'svid_usage', ['keyUsage=critical,keyAgreement', 'subjectAltName=URI:spiffe://example.org/a']],
    ['one with a critical extension that nobody knows', 'malformed', [...CLIENT_LEAF, '1.2.3.4=critical,ASN1:NULL']],
    ['one with a space in a name', 'malformed', [...CLIENT_LEAF, 'subjectAltName=DNS:a b']],
  ]
  test.each(words)('[BND4] %s: %s', async (_, expected, extensions) => {
    expect(fault(read((await authority.issue({ extensions })).der))).toBe(expected)
  })

  test('[BND4] one of several URIs of which none is a SPIFFE id is a certificate, and no SVID', async () => {
    const { der } = await authority.issue({ extensions: svidLeaf('https://example.org/a', 'urn:x:y') })
    expect(shown(read(der))).toMatchObject({ uris: ['https://example.org/a', 'urn:x:y'], spiffe: null })
  })

  test('[BND4] before its first and from its last second on', () => {
    const { notBefore, notAfter } = shown(read(svid.der))
    const at = (ms: number): string => fault(timely(read(svid.der), instant(ms)))
    expect([at(Number(notBefore) - 1), at(Number(notBefore)), at(Number(notAfter) - 1), at(Number(notAfter))]).toEqual(['not_yet_valid', 'shown', 'shown', 'expired'])
  })

  test('[SES1] nothing, noise, too much, something behind it or in front', () => {
    for (const der of [Buffer.alloc(0), Buffer.from('certificate'), Buffer.concat([svid.der, Buffer.from([0])]), Buffer.concat([Buffer.from([0]), svid.der]), Buffer.concat([svid.der, svid.der]), svid.der.subarray(0, -1)]) expect(fault(read(der))).toBe('malformed')
    expect(fault(read(Buffer.alloc(16 * 1024 + 1, 0x30)))).toBe('too_long')
    expect(fault(read(Buffer.from(svid.cert)))).toBe('malformed')
    expect(fault(read(derOf(authority.cert.cert)))).toBe('authority_as_leaf')
  })

  test('[SES1] 2,000 certificates with octets exchanged, put in or left out: read or refused, never under the same thumbprint, and our reader says what OpenSSL says', () => {
    const whole = shown(read(svid.der))
    let sound = 0
    const look = (der: Buffer): void => {
      if (der.equals(svid.der)) return
      const answer = read(der)
      if (answer.is === 'refused') return
      sound++
      expect(answer.certificate.thumbprint).not.toBe(whole.thumbprint)
      const theirs = new X509Certificate(der)
      expect([theirs.ca, theirs.serialNumber.toUpperCase(), theirs.validToDate.getTime()]).toEqual([false, answer.certificate.serial, answer.certificate.notAfter])
    }
    const change = fc.record({ at: fc.nat({ max: svid.der.length - 1 }), drop: fc.constantFrom(0, 1, 1, 1, 2), put: fc.uint8Array({ maxLength: 2 }) })
    fc.assert(fc.property(change, ({ at, drop, put }) => look(Buffer.concat([svid.der.subarray(0, at), put, svid.der.subarray(at + drop)]))), { numRuns: 2_000 })
    expect(sound).toBeGreaterThan(0)
  })

  test('[SES1] noise never throws', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), bytes => readX509(Buffer.from(bytes)) === null), { numRuns: 500 })
  })
})
