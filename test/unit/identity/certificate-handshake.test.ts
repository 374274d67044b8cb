import { readFileSync } from 'node:fs'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { presentedBy, readAuthority } from '../../../src/identity/certificate/authority.ts'
import { readLeaf } from '../../../src/identity/certificate/client-certificate.ts'
import { pemText } from '../../../src/identity/certificate/pem.ts'
import { type Authority, type Certificate, ClientAuthority, type Leaf, svidLeaf, testAuthority } from '../../support/tls.ts'
import { closeFronts, faultOf, Front, VERSIONS, withChain } from './handshake-front.ts'

const HOUR = 3_600_000

let outside: Authority
let root: ClientAuthority
let leaf: Leaf
beforeAll(async () => {
  outside = await testAuthority()
  root = await ClientAuthority.create('Root')
  leaf = await root.issue({ extensions: svidLeaf('spiffe://example.org/ns/prod/sa/api') })
})

afterEach(closeFronts)

const forged = (of: Leaf): Promise<Certificate> => {
  const der = Buffer.from(of.der)
  der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1)
  return Promise.resolve({ ...of, cert: pemText(der, 'CERTIFICATE') })
}

describe('what a handshake proves', () => {
  test.each(VERSIONS)('[BND4] over %s a certificate of the authority is shown, and none is none', async version => {
    const front = await Front.open(root.cert.certFile)
    expect((await front.call({ leaf, version })).presented).toEqual(readLeaf(leaf.der, 'tls'))
    expect((await front.call({ version })).presented).toBeNull()
  })

  test('[BND4] a certificate that ends while its connection is open counts no longer', async () => {
    const front = await Front.open(root.cert.certFile)
    const { socket, presented } = await front.call({ leaf })
    const { notAfter } = presented?.is === 'shown' ? presented.certificate : expect.unreachable('it is shown')
    expect(presentedBy(socket, instant(Number(notAfter) - 1))).toBe(presented)
    expect(presentedBy(socket, instant(Number(notAfter)))).toEqual({ is: 'refused', fault: 'expired' })
  })

  const bad: readonly (readonly [string, string, () => Promise<Certificate>])[] = [
    ['expired', 'expired', () => root.issue({ from: new Date(Date.now() - 2 * HOUR), to: new Date(Date.now() - HOUR) })],
    ['not yet valid', 'not_yet_valid', () => root.issue({ from: new Date(Date.now() + HOUR), to: new Date(Date.now() + 2 * HOUR) })],
    ['of another authority', 'unknown_authority', async () => (await ClientAuthority.create('Stranger')).issue()],
    ['of another authority with the same name', 'unknown_authority', async () => (await ClientAuthority.create('Root')).issue()],
    ['with another signature', 'signature_invalid', () => forged(leaf)],
    ['of another authority, which is sent along', 'unknown_authority', async () => {
      const stranger = await ClientAuthority.create('Stranger')
      return withChain(await stranger.issue(), stranger)
    }],
    ['signed by itself', 'self_signed', async () => (await ClientAuthority.create('Alone', 'digitalSignature,keyCertSign')).cert],
    ['the authority itself, which may only sign others', 'purpose_refused', () => Promise.resolve(root.cert)],
    ['a server\'s', 'purpose_refused', () => root.issue({ extensions: ['extendedKeyUsage=serverAuth'] })],
    ['an authority\'s that may also sign for itself', 'authority_as_leaf', () => root.issue({ extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,digitalSignature,keyCertSign'] })],
    ['an SVID with a second id', 'svid_names', () => root.issue({ extensions: svidLeaf('spiffe://example.org/a', 'spiffe://example.org/b') })],
    ['below an authority that was not sent', 'unknown_authority', async () => (await root.intermediate('Middle')).issue()],
    ['below a leaf that signs', 'purpose_refused', async () => {
      const middle = await root.intermediate('Middle', 'CA:FALSE')
      return withChain(await middle.issue(), middle)
    }],
    ['deeper than an authority allows', 'chain_refused', async () => {
      const first = await root.intermediate('First', 'CA:TRUE,pathlen:0')
      const second = await first.intermediate('Second')
      return withChain(await second.issue(), second, first)
    }],
    ['below an authority that is expired', 'expired', async () => {
      const times = { from: new Date(Date.now() - 2 * HOUR), to: new Date(Date.now() - HOUR) }
      const middle = await root.intermediate('Middle', 'CA:TRUE', times)
      return withChain(await middle.issue(), middle)
    }],
  ]
  test.each(bad)('[BND4] %s: %s', async (_, expected, made) => {
    const front = await Front.open(root.cert.certFile)
    expect(faultOf(await front.call({ leaf: await made() }))).toBe(expected)
  })

  test('[BND4] a chain that leads to the authority is believed', async () => {
    const front = await Front.open(root.cert.certFile)
    const middle = await root.intermediate('Middle')
    expect(faultOf(await front.call({ leaf: withChain(await middle.issue(), middle) }))).toBe('shown')
  })
})

describe('what is revoked', () => {
  test('[BND4] a certificate on the list is refused, its neighbour is not', async () => {
    const authority = await ClientAuthority.create('Revoking')
    const [kept, lost] = [await authority.issue(), await authority.issue()]
    await authority.revoke(lost)
    const front = await Front.open(authority.cert.certFile, await authority.crl())
    for (const version of VERSIONS) {
      expect(faultOf(await front.call({ leaf: lost, version }))).toBe('revoked')
      expect(faultOf(await front.call({ leaf: kept, version }))).toBe('shown')
    }
  })

  test('[BND4] without a list in force of every authority above it nothing is believed', async () => {
    const authority = await ClientAuthority.create('Revoking')
    const middle = await authority.intermediate('Middle')
    const below = withChain(await middle.issue(), middle)
    const own = await authority.issue()
    const [ofRoot, ofMiddle, stale] = [await authority.crl(), await middle.crl(), await authority.crl(new Date(Date.now() - 1_000))]
    const text = (file: string): string => readFileSync(file, 'utf8')
    expect(faultOf(await (await Front.open(authority.cert.certFile, stale)).call({ leaf: own }))).toBe('revocation_unknown')
    expect(faultOf(await (await Front.open(authority.cert.certFile, ofMiddle)).call({ leaf: own }))).toBe('revocation_unknown')
    expect(faultOf(await (await Front.open(authority.cert.certFile, ofRoot)).call({ leaf: below }))).toBe('revocation_unknown')
    const both = authority.bundle(text(ofRoot), text(ofMiddle))
    expect(faultOf(await (await Front.open(authority.cert.certFile, both)).call({ leaf: below }))).toBe('shown')
    await authority.revoke(middle.cert)
    const without = authority.bundle(text(await authority.crl()), text(ofMiddle))
    expect(faultOf(await (await Front.open(authority.cert.certFile, without)).call({ leaf: below }))).toBe('revoked')
  })
})

describe('a session that is resumed', () => {
  test.each(VERSIONS)('[TOK-028, BND3] over %s carries the certificate of its first handshake, whatever the client has by then', async version => {
    const front = await Front.open(root.cert.certFile)
    const other = await root.issue({ subject: '/CN=other' })
    const { session } = await front.call({ leaf, version })
    for (const later of [leaf, null, other]) {
      const met = await front.call({ leaf: later, version, session })
      expect([met.reused, met.presented]).toEqual([true, readLeaf(leaf.der, 'tls')])
    }
  })

  test.each(VERSIONS)('[TOK-028, BND3] over %s that was refused at first is refused again', async version => {
    const front = await Front.open(root.cert.certFile)
    const stranger = await (await ClientAuthority.create('Stranger')).issue()
    const { session } = await front.call({ leaf: stranger, version })
    const met = await front.call({ leaf, version, session })
    expect([met.reused, faultOf(met)]).toEqual([true, 'unknown_authority'])
  })

  test.each(VERSIONS)('[TOK-028, BND3] over %s that showed none shows none, whatever the client has by then', async version => {
    const front = await Front.open(root.cert.certFile)
    const { session } = await front.call({ version })
    const met = await front.call({ leaf, version, session })
    expect([met.reused, met.presented]).toEqual([true, null])
  })

  test.each(VERSIONS)('[BND4] over %s is not resumed once the listener has other files: what was revoked is noticed', async version => {
    const authority = await ClientAuthority.create('Revoking')
    const lost = await authority.issue()
    const front = await Front.open(authority.cert.certFile, await authority.crl())
    const { session } = await front.call({ leaf: lost, version })
    await authority.revoke(lost)
    expect(faultOf(await front.call({ leaf: lost, version, session }))).toBe('shown')
    front.server.setSecureContext({ cert: outside.server.cert, key: outside.server.key, ...(await readAuthority('public', { caFile: authority.cert.certFile, crlFile: await authority.crl(), trustDomains: [] })).options })
    const met = await front.call({ leaf: lost, version, session })
    expect([met.reused, faultOf(met)]).toEqual([false, 'revoked'])
  })
})

describe('the files of a listener', () => {
  const load = (caFile: string, crlFile: string | null = null): Promise<string> => readAuthority('public', { caFile, crlFile, trustDomains: [] }).then(() => 'loaded', (error: Error) => error.message)

  test('[CFG3] authorities and lists are read from bundles with words around them', async () => {
    const other = await ClientAuthority.create('Other')
    const file = root.bundle('# ours\n', root.cert.cert, '\n# theirs\n', other.cert.cert)
    expect(await readAuthority('public', { caFile: file, crlFile: null, trustDomains: [] })).toEqual({ options: { ca: [root.cert.cert, other.cert.cert], requestCert: true, rejectUnauthorized: false }, vouchers: null })
  })

  const wrong: readonly (readonly [string, RegExp, () => Promise<readonly [string, string | null]>])[] = [
    ['an authority that is missing', /^listener public: \/nowhere\/ca: no such file$/, () => Promise.resolve(['/nowhere/ca', null])],
    ['a list that is missing', /^listener public: \/nowhere\/crl: no such file$/, () => Promise.resolve([root.cert.certFile, '/nowhere/crl'])],
    ['words', /pem: does not hold certificates in PEM/, () => Promise.resolve([root.bundle('nothing'), null])],
    ['a key among the authorities', /pem: does not hold certificates in PEM/, () => Promise.resolve([root.bundle(root.cert.cert, root.cert.key), null])],
    ['half an authority', /pem: does not hold certificates in PEM/, () => Promise.resolve([root.bundle(root.cert.cert.slice(0, 300)), null])],
    ['an authority cut inside', /pem: certificate 2 is not an authority's$/, () => Promise.resolve([root.bundle(root.cert.cert, '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'), null])],
    ['a leaf among the authorities', /pem: certificate 2 is not an authority's$/, () => Promise.resolve([root.bundle(root.cert.cert, leaf.cert), null])],
    ['a certificate in place of a list', /ca\.crt: does not hold revocation lists in PEM/, () => Promise.resolve([root.cert.certFile, root.cert.certFile])],
    ['a list in place of an authority', /crl: does not hold certificates in PEM/, async () => [await root.crl(), null]],
    ['a broken list', /pem: does not hold revocation lists that can be used$/, () => Promise.resolve([root.cert.certFile, root.bundle('-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----\n')])],
  ]
  test.each(wrong)('[CFG3] %s is an error that names listener and file', async (_, message, files) => {
    const [caFile, crlFile] = await files()
    const told = await load(caFile, crlFile)
    expect(told).toMatch(/^listener public: \//)
    expect(told).toMatch(message)
    expect(told).not.toContain('BEGIN')
  })
})
