import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { readClientCert } from '../../../src/identity/certificate/client-cert.ts'
import { type CertificateRead, type ClientCertificate, readLeaf } from '../../../src/identity/certificate/client-certificate.ts'
import { CERTIFICATE_HEADERS, forwardedCertificate } from '../../../src/identity/certificate/trust.ts'
import { readXfcc } from '../../../src/identity/certificate/xfcc.ts'
import { nameOf } from '../../../src/proxy/http/header-names.ts'
import { ClientAuthority, derOf, type Leaf, svidLeaf } from '../../support/tls.ts'

const ID = 'spiffe://example.org/ns/prod/sa/api'
const OTHER_ID = 'spiffe://example.org/ns/prod/sa/other'

let root: ClientAuthority
let middle: ClientAuthority
let mine: Leaf
let other: Leaf
let expired: Leaf
beforeAll(async () => {
  root = await ClientAuthority.create('Root')
  middle = await root.intermediate('Middle')
  mine = await middle.issue({ subject: '/O=Acme/CN=mine', extensions: svidLeaf(ID) })
  other = await middle.issue({ subject: '/O=Acme/CN=other', extensions: svidLeaf(OTHER_ID) })
  expired = await root.issue({ from: new Date(Date.now() - 7_200_000), to: new Date(Date.now() - 3_600_000) })
})

function shown(answer: CertificateRead | null): ClientCertificate {
  if (answer?.is !== 'shown') throw new Error(`not shown: ${answer?.fault ?? 'none'}`)
  return answer.certificate
}
const fault = (answer: CertificateRead | null): string => (answer === null ? 'none' : answer.is === 'refused' ? answer.fault : `shown ${answer.certificate.thumbprint}`)
const thumbprint = ({ der }: Leaf): string => shown(readLeaf(der, 'tls')).thumbprint
const hash = (leaf: Leaf): string => Buffer.from(thumbprint(leaf), 'base64url').toString('hex')
const encoded = (...pems: readonly string[]): string => encodeURIComponent(pems.join(''))
const xfcc = (text: string): CertificateRead => readXfcc([text])
const bytes = (der: Buffer): string => `:${der.toString('base64')}:`
const now = (): ReturnType<typeof instant> => instant(Date.now())

describe('x-forwarded-client-cert', () => {
  test('[BND4] a digest in hexadecimal is a thumbprint in base64url; what was not told is null', () => {
    expect(shown(xfcc(`By=spiffe://example.org/gw;Hash=${hash(mine)};Subject="";URI=${ID}`))).toEqual({
      thumbprint: thumbprint(mine), subject: null, issuer: null, serial: null, uris: [ID], dnsNames: [], notBefore: null, notAfter: null, spiffe: expect.objectContaining({ text: ID }), source: 'xfcc',
    })
    expect(shown(xfcc(`hash=${hash(mine).toUpperCase()}`)).thumbprint).toBe(thumbprint(mine))
  })

  test('[BND4] a certificate and a chain in it are read whole, and agree with what else is told', () => {
    const whole = shown(xfcc(`Hash=${hash(mine)};Cert="${encoded(mine.cert)}";Chain="${encoded(mine.cert, middle.cert.cert)}";Subject="CN=mine,O=Acme";URI=${ID}`))
    expect(whole).toEqual({ ...shown(readLeaf(mine.der, 'tls')), source: 'xfcc' })
    expect(shown(xfcc(`Chain="${encoded(mine.cert, middle.cert.cert)}"`))).toBe(whole)
  })

  test('[TOK-028, BND3] the right-most element alone counts', () => {
    const [a, b] = [`Hash=${hash(other)};Subject="CN=\\"x\\", O=y";URI=${OTHER_ID}`, `By=spiffe://example.org/gw;Hash=${hash(mine)};URI=${ID}`]
    for (const comma of [',', ', ', ' ,\t']) expect(shown(xfcc(`${a}${comma}${b}`)).thumbprint).toBe(thumbprint(mine))
    expect(fault(xfcc(`${a},By=spiffe://example.org/gw`))).toBe('thumbprint_missing')
  })

  test('[TOK-031, BND3] the subject a proxy writes is compared with nothing', () => {
    expect(shown(xfcc(`Hash=${hash(mine)};Subject="CN=admin,O=x"`)).subject).toBeNull()
  })

  test('[TOK-028, BND3] what a caller puts in front of a proxy\'s own element refuses the request or changes nothing', () => {
    const own = [`By=spiffe://example.org/gw;Hash=${hash(mine)};Subject="O=Acme,CN=mine";URI=${ID}`, `Hash=${hash(mine)};Subject="";URI=${ID}`, `Hash=${hash(mine)};Cert="${encoded(mine.cert)}"`, `Hash=${hash(mine)}`]
    const evil = `Hash=${hash(other)}`
    const piece = fc.constantFrom('"', '\\"', '\\', '\\\\', ';', ',', '=', evil, 'Subject="', 'URI=', `URI=${OTHER_ID}`, 'Subject="\\', 'Cert="', 'By=', ' ', 'x', '""')
    const prefix = fc.array(piece, { maxLength: 8 }).map(pieces => pieces.join(''))
    const unchanged = (text: string): void => {
      const answer = xfcc(text)
      if (answer.is === 'shown') expect(answer.certificate.thumbprint).toBe(thumbprint(mine))
    }
    for (const element of own) fc.assert(fc.property(prefix, before => unchanged(`${before},${element}`)), { numRuns: 1_000 })
  })

  const broken: readonly (readonly [string, string, () => string])[] = [
    ['a second digest', 'ambiguous', () => `Hash=${hash(mine)};Hash=${hash(other)}`],
    ['the same digest twice, once in capitals', 'ambiguous', () => `Hash=${hash(mine)};HASH=${hash(mine)}`],
    ['two certificates under one key', 'malformed', () => `Cert="${encoded(mine.cert, other.cert)}"`],
    ['a second certificate', 'ambiguous', () => `Cert="${encoded(mine.cert)}";Cert="${encoded(other.cert)}"`],
    ['a second subject', 'ambiguous', () => `Hash=${hash(mine)};Subject="";Subject=""`],
    ['a digest twice in an element further left', 'ambiguous', () => `Hash=${hash(other)};Hash=${hash(other)},Hash=${hash(mine)}`],
    ['a quote that is not closed', 'ambiguous', () => `Hash=${hash(mine)};Subject="CN=x`],
    ['a quote that was never opened', 'ambiguous', () => `Hash=${hash(mine)};URI=x"`],
    ['something behind a quote', 'ambiguous', () => `Subject="CN=x"y;Hash=${hash(mine)}`],
    ['two backslashes before a quote', 'ambiguous', () => `Subject="CN=x\\\\";Hash=${hash(mine)};DNS="`],
    ['a backslash outside quotes', 'ambiguous', () => `Hash=${hash(mine)};URI=a\\,b`],
    ['an equals sign outside quotes', 'ambiguous', () => `Hash=${hash(mine)};URI=a=b`],
    ['an unknown key', 'ambiguous', () => `Hash=${hash(mine)};Thumbprint=x`],
    ['no key', 'ambiguous', () => hash(mine)],
    ['an end of an element without its beginning', 'ambiguous', () => `Hash=${hash(mine)};`],
    ['an empty element on the right', 'ambiguous', () => `Hash=${hash(mine)},`],
    ['an empty element on the left', 'ambiguous', () => `,Hash=${hash(mine)}`],
    ['space inside', 'ambiguous', () => `Hash= ${hash(mine)}`],
    ['nothing', 'ambiguous', () => ''],
    ['a character that is not ASCII', 'ambiguous', () => `Hash=${hash(mine)};Subject="CN=ä"`],
    ['a control', 'ambiguous', () => `Hash=${hash(mine)};Subject="CN=\u0001"`],
    ['more than 16 KiB', 'too_long', () => `Hash=${hash(mine)};Subject="${'x'.repeat(16_384)}"`],
    ['a digest of another length', 'malformed', () => `Hash=${hash(mine)}00`],
    ['a digest in base64url', 'malformed', () => `Hash=${thumbprint(mine)}`],
    ['an empty digest', 'malformed', () => 'Hash='],
    ['no digest', 'thumbprint_missing', () => `By=x;URI=${ID}`],
    ['an empty certificate', 'malformed', () => 'Cert=""'],
    ['a certificate and the digest of another one', 'disagreeing', () => `Hash=${hash(other)};Cert="${encoded(mine.cert)}"`],
    ['a certificate and the chain of another one', 'disagreeing', () => `Cert="${encoded(mine.cert)}";Chain="${encoded(other.cert, middle.cert.cert)}"`],
    ['a chain and the digest of another one', 'disagreeing', () => `Hash=${hash(mine)};Chain="${encoded(other.cert, mine.cert)}"`],
    ['a certificate and the id of another one', 'disagreeing', () => `Cert="${encoded(mine.cert)}";URI=${OTHER_ID}`],
    ['a certificate and one id too many', 'disagreeing', () => `Cert="${encoded(mine.cert)}";URI=${ID};URI=${OTHER_ID}`],
    ['a certificate and a name it has not', 'disagreeing', () => `Cert="${encoded(mine.cert)}";DNS=api.example.org`],
    ['two ids', 'svid_names', () => `Hash=${hash(mine)};URI=${ID};URI=${OTHER_ID}`],
    ['an id that is none', 'svid_names', () => `Hash=${hash(mine)};URI=spiffe://example.org/ns/../x`],
    ['a chain that begins with the authority', 'authority_as_leaf', () => `Chain="${encoded(middle.cert.cert, mine.cert)}"`],
    ['a certificate that is not URL-encoded', 'malformed', () => `Cert="${mine.cert.replaceAll('\n', ' ')}"`],
    ['a certificate with a broken escape', 'malformed', () => `Cert="${encoded(mine.cert)}%0"`],
    ['escapes that are no UTF-8', 'malformed', () => `Cert="${encoded(mine.cert)}%ff"`],
    ['something in front of a certificate', 'malformed', () => `Cert="${encoded('x', mine.cert)}"`],
    ['a key in place of a certificate', 'malformed', () => `Cert="${encoded(mine.key)}"`],
    ['a certificate and its key', 'malformed', () => `Cert="${encoded(mine.cert, mine.key)}"`],
  ]
  test.each(broken)('[BND4] %s: %s', (_, expected, text) => {
    expect(fault(xfcc(text()))).toBe(expected)
  })

  test('[BND4] two lines are refused, whatever they say', () => {
    const line = `Hash=${hash(mine)}`
    expect(fault(readXfcc([line, line]))).toBe('several_headers')
  })

  test('[TOK-028, BND3] of 3,000 values changed at one place none names another certificate', () => {
    const values = [`By=spiffe://example.org/gw;Hash=${hash(mine)};Subject="CN=a\\"b";URI=${ID},Hash=${hash(mine)};URI=${ID}`, `Hash=${hash(mine)};Cert="${encoded(mine.cert)}";URI=${ID}`, `Hash=${hash(mine)};Chain="${encoded(mine.cert, middle.cert.cert)}"`]
    const piece = fc.oneof(fc.constantFrom('"', '\\', ';', ',', '=', '%', '%00', '\\"', 'Hash=', `Hash=${hash(other)}`, `,Hash=${hash(other)}`.slice(0, 9), `;URI=${OTHER_ID}`, '0', 'f'), fc.string({ maxLength: 3 }))
    for (const value of values) {
      const change = fc.record({ at: fc.nat({ max: value.length }), drop: fc.nat({ max: 4 }), put: piece })
      const stays = (text: string): void => {
        const answer = xfcc(text)
        if (answer.is === 'refused' || answer.certificate.thumbprint === thumbprint(mine)) return
        // Another digest is another digest: only a digest alone can be changed into one, and that is nobody's certificate here.
        expect(text).not.toContain('Cert=')
        expect(text).not.toContain('Chain=')
        expect([thumbprint(other), thumbprint(expired)]).not.toContain(answer.certificate.thumbprint)
      }
      fc.assert(fc.property(change, ({ at, drop, put }) => stays(value.slice(0, at) + put + value.slice(at + drop))), { numRuns: 1_000 })
    }
  })
})

describe('Client-Cert', () => {
  test('[BND4] the leaf is one byte sequence, its issuers a list in order, on one line or more', () => {
    const chain = [derOf(middle.cert.cert), derOf(root.cert.cert)].map(bytes)
    const whole = { ...shown(readLeaf(mine.der, 'tls')), source: 'client-cert' }
    for (const lines of [[], [chain.join(', ')], [chain.join(',')], chain, [chain[0] ?? '']]) expect(shown(readClientCert([bytes(mine.der)], lines))).toEqual(whole)
  })

  const leaf = (): string => bytes(mine.der)
  const link = (): string => bytes(derOf(middle.cert.cert))
  const top = (): string => bytes(derOf(root.cert.cert))
  const broken: readonly (readonly [string, string, () => readonly [readonly string[], readonly string[]]])[] = [
    ['two lines', 'several_headers', () => [[leaf(), leaf()], []]],
    ['two leaves on one line', 'malformed', () => [[`${leaf()}, ${leaf()}`], []]],
    ['no colons', 'malformed', () => [[mine.der.toString('base64')], []]],
    ['one colon', 'malformed', () => [[leaf().slice(0, -1)], []]],
    ['a text', 'malformed', () => [[`"${mine.der.toString('base64')}"`], []]],
    ['a parameter', 'malformed', () => [[`${leaf()};a=1`], []]],
    ['space around it', 'malformed', () => [[` ${leaf()}`], []]],
    ['base64url', 'malformed', () => [[`:${mine.der.toString('base64url')}:`], []]],
    ['base64 without its padding or with too much', 'malformed', () => [[`:${mine.der.toString('base64').replace(/=*$/, mine.der.length % 3 === 0 ? '=' : '')}:`], []]],
    ['PEM', 'malformed', () => [[encodeURIComponent(mine.cert)], []]],
    ['nothing', 'malformed', () => [[''], []]],
    ['an empty sequence', 'malformed', () => [['::'], []]],
    ['more than 24 KiB', 'too_long', () => [[`:${'A'.repeat(24_576)}:`], []]],
    ['an authority', 'authority_as_leaf', () => [[link()], [top()]]],
    ['a chain without a leaf', 'malformed', () => [[], [link()]]],
    ['a chain in another order', 'disagreeing', () => [[leaf()], [`${top()}, ${link()}`]]],
    ['a chain that begins with the leaf', 'disagreeing', () => [[leaf()], [`${leaf()}, ${link()}`]]],
    ['a chain with a gap', 'disagreeing', () => [[leaf()], [top()]]],
    ['a chain of somebody else', 'disagreeing', () => [[bytes(expired.der)], [link()]]],
    ['a chain that is empty', 'malformed', () => [[leaf()], ['']]],
    ['a chain with an empty member', 'malformed', () => [[leaf()], [`${link()},, ${top()}`]]],
    ['a chain of eleven', 'too_long', () => [[leaf()], [Array.from({ length: 11 }, link).join(',')]]],
    ['a chain of more than 64 KiB', 'too_long', () => [[leaf()], [`:${'A'.repeat(65_536)}:`]]],
  ]
  test.each(broken)('[BND4] %s: %s', (_, expected, lines) => {
    expect(fault(readClientCert(...lines()))).toBe(expected)
  })

  test('[TOK-028, BND3] of 1,500 values changed at one place none names another certificate that counts here', () => {
    const value = leaf()
    const change = fc.record({ at: fc.nat({ max: value.length }), drop: fc.nat({ max: 3 }), put: fc.oneof(fc.constantFrom(':', '=', ';a=1', ',', ' ', '-', '_', '"', 'A', '/'), fc.string({ maxLength: 2 })) })
    const stays = (text: string): void => {
      const answer = readClientCert([text], [])
      if (answer.is === 'refused') return
      expect(bytes(Buffer.from(text.slice(1, -1), 'base64'))).toBe(text)
      expect(answer.certificate.thumbprint === thumbprint(mine)).toBe(text === value)
    }
    fc.assert(fc.property(change, ({ at, drop, put }) => stays(value.slice(0, at) + put + value.slice(at + drop))), { numRuns: 1_500 })
  })
})

describe('whether a forwarded certificate counts', () => {
  const lines = (): readonly { readonly header: string; readonly value: string }[] => [
    { header: 'x-forwarded-client-cert', value: `Hash=${hash(mine)}` },
    { header: 'client-cert', value: bytes(other.der) },
    { header: 'authorization', value: 'Bearer x' },
  ]

  test('[TOK-028, WIRE5] only from a listed peer, only in the form that it writes', () => {
    expect(forwardedCertificate(lines(), false, 'xfcc', now())).toBeNull()
    expect(forwardedCertificate(lines(), false, 'client-cert', now())).toBeNull()
    expect(shown(forwardedCertificate(lines(), true, 'xfcc', now())).thumbprint).toBe(thumbprint(mine))
    expect(shown(forwardedCertificate(lines(), true, 'client-cert', now())).thumbprint).toBe(thumbprint(other))
    expect(forwardedCertificate(lines().slice(1), true, 'xfcc', now())).toBeNull()
    expect(forwardedCertificate(lines().slice(0, 1), true, 'client-cert', now())).toBeNull()
    expect(fault(forwardedCertificate([...lines(), ...lines()], true, 'xfcc', now()))).toBe('several_headers')
    expect(fault(forwardedCertificate([{ header: 'client-cert-chain', value: bytes(derOf(middle.cert.cert)) }], true, 'client-cert', now()))).toBe('malformed')
  })

  test('[BND4] a forwarded certificate that is expired or not yet valid is refused, each time anew', () => {
    const told = [{ header: 'x-forwarded-client-cert', value: `Cert="${encoded(mine.cert)}"` }]
    const { notBefore, notAfter } = shown(readLeaf(mine.der, 'xfcc'))
    const at = (ms: number | null): string => fault(forwardedCertificate(told, true, 'xfcc', instant(Number(ms))))
    expect([at(Number(notBefore) - 1), at(notBefore), at(notAfter)]).toEqual(['not_yet_valid', `shown ${thumbprint(mine)}`, 'expired'])
    expect(fault(forwardedCertificate([{ header: 'client-cert', value: bytes(expired.der) }], true, 'client-cert', now()))).toBe('expired')
  })

  test('[WIRE5] the headers of certificates are names in lower case, each once, the ones read here among them', () => {
    expect(CERTIFICATE_HEADERS).toEqual([...new Set(CERTIFICATE_HEADERS.map(name => nameOf(name).dashed))])
    expect(CERTIFICATE_HEADERS).toEqual(expect.arrayContaining(['x-forwarded-client-cert', 'client-cert', 'client-cert-chain']))
  })

  test('[BND4] a refusal holds none of what was shown', () => {
    const secret = 'CN=do-not-tell'
    expect(JSON.stringify([xfcc(`Hash=${hash(mine)};Subject="${secret}`), readClientCert([secret], []), readLeaf(Buffer.from(secret), 'tls')])).not.toContain('do-not-tell')
  })
})
