import { X509Certificate } from 'node:crypto'
import { beforeAll, describe, expect, test } from 'vitest'
import { allOf, booleanOf, DerReader, hasBit, integerHex, NotDer, oidText, TAG } from '../../../src/identity/certificate/der.ts'
import { readX509 } from '../../../src/identity/certificate/x509.ts'
import { ClientAuthority, svidLeaf } from '../../support/tls.ts'

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')
const first = (text: string): ReturnType<DerReader['any']> => new DerReader(hex(text)).any()

describe('DER', () => {
  test.each([['30 00', ''], ['04 03 010203', '010203'], [`04 8180 ${'00'.repeat(128)}`, '00'.repeat(128)], [`04 820100 ${'00'.repeat(256)}`, '00'.repeat(256)]])('[SES1] %.20s has its content', (text, body) => {
    expect(first(text).body.toString('hex')).toBe(body)
  })

  test.each(['', '30', '30 80 0000', '30 8100', `04 817f ${'00'.repeat(127)}`, `04 8200ff ${'00'.repeat(255)}`, '30 01', '1f 20 00', '3f 8100 00', '04 8400000001 00', '04 ff'])('[SES1] %.20j is none', text => {
    expect(() => first(text)).toThrow(NotDer)
  })

  test('[SES1] what is left over, missing or of another tag is none', () => {
    expect(() => new DerReader(hex('0500')).end()).toThrow(NotDer)
    expect(() => new DerReader(hex('0500')).next(TAG.integer)).toThrow(NotDer)
    expect(() => allOf(hex(''))).toThrow(NotDer)
    expect(new DerReader(hex('0500')).optional(TAG.integer)).toBeNull()
  })

  test('[SES1] numbers of objects in their one form', () => {
    expect(['06 03 55 04 03', '06 01 2a', '06 02 88 37', '06 09 2a864886f70d010901'].map(text => oidText(first(text)))).toEqual(['2.5.4.3', '1.2', '2.999', '1.2.840.113549.1.9.1'])
    for (const text of ['06 00', '06 01 80', '06 02 80 01', '06 03 55 80 03', '06 02 55 84', `06 8181 ${'01'.repeat(129)}`]) expect(() => oidText(first(text))).toThrow(NotDer)
  })

  test('[SES1] whole numbers, truth values and bits in their one form', () => {
    expect(['02 01 00', '02 01 7f', '02 02 0080', '02 02 0102'].map(text => integerHex(first(text)))).toEqual(['00', '7F', '80', '0102'])
    for (const text of ['02 00', '02 01 80', '02 02 007f', '02 02 ffff']) expect(() => integerHex(first(text))).toThrow(NotDer)
    expect([booleanOf(first('01 01 ff')), booleanOf(first('01 01 00'))]).toEqual([true, false])
    for (const text of ['01 00', '01 01 01', '01 02 ffff']) expect(() => booleanOf(first(text))).toThrow(NotDer)
    expect([0, 1, 5, 7, 8].map(bit => hasBit(first('03 02 02 84'), bit))).toEqual([true, false, true, false, false])
    for (const text of ['03 00', '03 01 01', '03 02 08 80']) expect(() => hasBit(first(text), 0)).toThrow(NotDer)
  })
})

function tlv(tag: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const octets = body.length < 0x80 ? [body.length] : body.length < 0x100 ? [0x81, body.length] : [0x82, body.length >> 8, body.length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...octets]), body])
}

type Pieces = { readonly fields: readonly Buffer[]; readonly extensions: readonly Buffer[]; readonly algorithm: Buffer; readonly signature: Buffer }

function take(der: Buffer): Pieces {
  const [fields, algorithm, signature] = allOf(first(der.toString('hex')).body)
  if (fields === undefined || algorithm === undefined || signature === undefined) throw new Error('no certificate')
  const all = allOf(fields.body)
  const extensions = allOf(new DerReader(all.at(-1)?.body ?? Buffer.alloc(0)).next(TAG.sequence).body)
  return { fields: all.slice(0, -1).map(({ whole }) => whole), extensions: extensions.map(({ whole }) => whole), algorithm: algorithm.whole, signature: signature.whole }
}

const join = ({ fields, extensions, algorithm, signature }: Pieces): Buffer =>
  tlv(TAG.sequence, tlv(TAG.sequence, ...fields, ...(extensions.length === 0 ? [] : [tlv(TAG.explicit(3), tlv(TAG.sequence, ...extensions))])), algorithm, signature)

describe('certificates that OpenSSL reads and two readers may read differently', () => {
  let pieces: Pieces
  beforeAll(async () => {
    const authority = await ClientAuthority.create('Clients')
    pieces = take((await authority.issue({ extensions: svidLeaf('spiffe://example.org/a') })).der)
  })

  test('[SES1] put together as it was, it is read', () => {
    expect(readX509(join(pieces))).toMatchObject({ subject: 'CN=runner', uris: ['spiffe://example.org/a'] })
  })

  const names = (text: string): Buffer => tlv(TAG.sequence, tlv(TAG.oid, hex('551d11')), tlv(TAG.octets, tlv(TAG.sequence, tlv(TAG.implicit(6), Buffer.from(text, 'latin1')))))
  const otherNames = ({ extensions }: Pieces): readonly Buffer[] => extensions.filter(extension => !extension.includes(hex('0603551d11')))
  const odd: readonly (readonly [string, (whole: Pieces) => Pieces])[] = [
    ['the same extension twice', whole => ({ ...whole, extensions: [...whole.extensions, ...whole.extensions.slice(0, 1)] })],
    ['two lists of names', whole => ({ ...whole, extensions: [...whole.extensions, names('spiffe://example.org/b')] })],
    ['another algorithm outside than inside', whole => ({ ...whole, algorithm: tlv(TAG.sequence, tlv(TAG.oid, hex('2a8648ce3d040303'))) })],
    ['a name with a zero octet', whole => ({ ...whole, extensions: [...otherNames(whole), names('spiffe://example.org/a\0.evil')] })],
    ['a name that is empty', whole => ({ ...whole, extensions: [...otherNames(whole), names('')] })],
    ['extensions in a certificate of the first version', whole => ({ ...whole, fields: whole.fields.slice(1) })],
  ]
  test.each(odd)('[SES1] %s', (_, change) => {
    const der = join(change(pieces))
    expect(() => new X509Certificate(der)).not.toThrow()
    expect(readX509(der)).toBeNull()
  })

  test('[SES1] only the names change with the names', () => {
    expect(readX509(join({ ...pieces, extensions: [...otherNames(pieces), names('spiffe://example.org/b')] }))?.uris).toEqual(['spiffe://example.org/b'])
    expect(readX509(join({ ...pieces, extensions: [], fields: pieces.fields.slice(1) }))).toMatchObject({ uris: [], keyUsage: null, purposes: null })
  })
})
