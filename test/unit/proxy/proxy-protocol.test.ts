// The header a proxy puts in front of a caller's connection: read to the byte, or no header at all. SPEC: WIRE23
import { Buffer } from 'node:buffer'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { readProxyHeader } from '../../../src/proxy/proxy-protocol.ts'
import { localProxyHeader, proxyHeader } from '../../../src/upstream/proxy-protocol.ts'

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const V4 = [192, 0, 2, 7, 198, 51, 100, 1, 0x1f, 0x90, 0x01, 0xbb]
const V6 = [0x20, 0x01, 0x0d, 0xb8, ...Array.from({ length: 11 }, () => 0), 7, 0x20, 0x01, 0x0d, 0xb8, ...Array.from({ length: 11 }, () => 0), 1, 0x1f, 0x90, 0x01, 0xbb]
const MALFORMED = { found: { is: 'malformed' }, used: 0 }

const header = (command: number, family: number, rest: readonly number[], length = rest.length): Buffer => Buffer.concat([SIGNATURE, Buffer.from([command, family, length >> 8, length & 255]), Buffer.from(rest)])
const caller = (address: string, used: number) => ({ found: { is: 'caller', address }, used })

function crc32c(bytes: Buffer): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return (crc ^ 0xffffffff) >>> 0
}

describe('a PROXY header', () => {
  test('[WIRE23] names the caller of a connection over IPv4 or IPv6, and leaves what stands behind it', () => {
    expect(readProxyHeader(Buffer.concat([header(0x21, 0x11, V4), Buffer.from('GET / HTTP/1.1')]))).toEqual(caller('192.0.2.7', 28))
    expect(readProxyHeader(header(0x21, 0x21, V6))).toEqual(caller('2001:db8::7', 52))
  })

  test('[WIRE23] of the proxy\'s own connection names nobody', () => {
    expect(readProxyHeader(header(0x20, 0x00, []))).toEqual({ found: { is: 'own' }, used: 16 })
    expect(readProxyHeader(header(0x20, 0x11, V4))).toEqual({ found: { is: 'own' }, used: 28 })
  })

  test('[WIRE23] is what our own upstream side writes', () => {
    const written = proxyHeader({ address: '192.0.2.7', port: 8_080 }, { address: '198.51.100.1', port: 443 })
    expect(written).toEqual(header(0x21, 0x11, V4))
    expect(readProxyHeader(proxyHeader({ address: '2001:db8::7', port: 1 }, { address: '::1', port: 2 }) ?? Buffer.alloc(0))).toEqual(caller('2001:db8::7', 52))
    expect(readProxyHeader(localProxyHeader())).toEqual({ found: { is: 'own' }, used: 16 })
  })

  test('[WIRE23] is waited for byte by byte and read the same', () => {
    const whole = header(0x21, 0x11, [...V4, 0x04, 0, 2, 0, 0])
    for (let length = 1; length < whole.length; length++) expect(readProxyHeader(whole.subarray(0, length))).toBeNull()
    expect(readProxyHeader(whole)).toEqual(caller('192.0.2.7', whole.length))
  })

  test('[WIRE23] carries extensions, whose lengths fit and whose checksum is right', () => {
    expect(crc32c(Buffer.from('123456789'))).toBe(0xe3069283) // the published check value
    const summed = header(0x21, 0x11, [...V4, 0x03, 0, 4, 0, 0, 0, 0])
    summed.writeUInt32BE(crc32c(summed), summed.length - 4)
    expect(readProxyHeader(summed)).toEqual(caller('192.0.2.7', 35))
    summed.writeUInt8(9, 17)
    expect(readProxyHeader(summed)).toEqual(MALFORMED)
  })

  const BROKEN: readonly (readonly [name: string, bytes: Buffer])[] = [
    ['of version 1', Buffer.from('PROXY TCP4 192.0.2.7 198.51.100.1 8080 443\r\n')],
    ['that is a request', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['that is a TLS handshake', Buffer.from([0x16, 0x03, 0x01])],
    ['of version 3', header(0x31, 0x11, V4)],
    ['with an unknown command', header(0x22, 0x11, V4)],
    ['for a caller of no family', header(0x21, 0x00, [])],
    ['over UDP', header(0x21, 0x12, V4)],
    ['over a Unix socket', header(0x21, 0x31, Array.from({ length: 216 }, () => 0))],
    ['shorter than its addresses', header(0x21, 0x11, V4.slice(0, 11))],
    ['with IPv6 in the room of IPv4', header(0x21, 0x21, V4)],
    ['with an extension over its end', header(0x21, 0x11, [...V4, 0x04, 0, 9, 0])],
    ['with a piece of an extension', header(0x21, 0x11, [...V4, 0x04])],
    ['longer than the limit', header(0x21, 0x11, V4, 4_097)],
  ]
  for (const [name, bytes] of BROKEN) test(`[WIRE23] ${name} is none`, () => expect(readProxyHeader(bytes)).toEqual(MALFORMED))

  test('[WIRE23] is never read beyond what it says of itself, whatever the bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 80 }), fc.boolean(), (bytes, signed) => {
      const all = signed ? Buffer.concat([SIGNATURE, Buffer.from(bytes)]) : Buffer.from(bytes)
      const finding = readProxyHeader(all)
      expect(finding === null || finding.used <= all.length).toBe(true)
    }))
  })
})
