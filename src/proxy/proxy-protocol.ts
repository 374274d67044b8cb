// The header of the PROXY protocol, version 2, in front of a caller's connection: who the caller is, in the words of a proxy that is believed.
// https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt §2.2. Strict: version 1, other transports, unknown addresses and broken lengths are
// no header at all, and the connection is dropped. SPEC: WIRE23
import { SocketAddress } from 'node:net'
import type { Finding } from './first-bytes.ts'

/** `own`: the proxy speaks for itself, such as for a health check. */
export type Origin = { readonly is: 'caller'; readonly address: string } | { readonly is: 'own' } | { readonly is: 'malformed' }

const SIGNATURE = Buffer.from('\r\n\r\n\0\r\nQUIT\n', 'latin1')
const FIXED = 16
/** Addresses and extensions together; proxies send some hundred bytes. */
const LENGTH_MAX = 4_096
const [LOCAL, PROXY] = [0x20, 0x21]
const [TCP4, TCP6] = [0x11, 0x21]
const [IPV4_BYTES, IPV6_BYTES] = [12, 36]
const CRC32C = 0x03

const MALFORMED: Finding<Origin> = { found: { is: 'malformed' }, used: 0 }

/** Null while the header is not whole. */
export function readProxyHeader(bytes: Buffer): Finding<Origin> | null {
  const known = Math.min(bytes.length, SIGNATURE.length)
  if (bytes.compare(SIGNATURE, 0, known, 0, known) !== 0) return MALFORMED
  if (bytes.length < FIXED) return null
  const length = bytes.readUInt16BE(14)
  const command = bytes.readUInt8(12)
  if ((command !== LOCAL && command !== PROXY) || length > LENGTH_MAX) return MALFORMED
  const used = FIXED + length
  if (bytes.length < used) return null
  const header = bytes.subarray(0, used)
  const found = command === LOCAL ? OWN : sourceIn(header)
  return found === null ? MALFORMED : { found, used }
}

const OWN: Origin = { is: 'own' }

function sourceIn(header: Buffer): Origin | null {
  const family = header.readUInt8(13)
  const addresses = family === TCP4 ? IPV4_BYTES : family === TCP6 ? IPV6_BYTES : null
  if (addresses === null || header.length < FIXED + addresses || !extensionsFit(header, FIXED + addresses)) return null
  return { is: 'caller', address: family === TCP4 ? header.subarray(FIXED, FIXED + 4).join('.') : ipv6(header.subarray(FIXED, FIXED + 16)) }
}

function ipv6(bytes: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16))
  return new SocketAddress({ address: groups.join(':'), family: 'ipv6' }).address
}

/** Type, length, value to the very end; a checksum among them is right. */
function extensionsFit(header: Buffer, start: number): boolean {
  let at = start
  while (at + 3 <= header.length) {
    const [type, length] = [header.readUInt8(at), header.readUInt16BE(at + 1)]
    const value = at + 3
    at = value + length
    if (at > header.length) return false
    if (type === CRC32C && (length !== 4 || header.readUInt32BE(value) !== checksum(header, value))) return false
  }
  return at === header.length
}

/** CRC-32C (RFC 4960, appendix B) of the header with the four bytes of the checksum itself as zero. */
function checksum(header: Buffer, field: number): number {
  let crc = 0xffffffff
  for (let i = 0; i < header.length; i++) {
    crc ^= i >= field && i < field + 4 ? 0 : (header[i] ?? 0)
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
  }
  return (crc ^ 0xffffffff) >>> 0
}
