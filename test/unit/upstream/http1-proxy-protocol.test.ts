// The header we write for the PROXY protocol, against the binary form of its specification, octet by octet.
import { expect, test } from 'vitest'
import { localProxyHeader, proxyHeader } from '../../../src/upstream/proxy-protocol.ts'

const SIGNATURE = '0d0a0d0a000d0a515549540a'
const hex = (header: Buffer | null): string => header?.toString('hex') ?? 'none'

test('[WIRE23] version 2, PROXY, TCP over IPv4: addresses, then ports, in network order', () => {
  expect(hex(proxyHeader({ address: '192.0.2.1', port: 56_324 }, { address: '198.51.100.7', port: 443 }))).toBe(`${SIGNATURE}2111000cc0000201c6336407dc0401bb`)
})

test('[WIRE23] TCP over IPv6', () => {
  const header = `${SIGNATURE}21210024${'20010db8000000000000000000000001'}${'20010db80000000000000000000000ff'}${'0001'}${'ffff'}`
  expect(hex(proxyHeader({ address: '2001:db8::1', port: 1 }, { address: '2001:db8::ff', port: 65_535 }))).toBe(header)
})

test('[WIRE23] where one side is IPv4 and the other IPv6, both are told as IPv6; what is only written as IPv6 is IPv4', () => {
  const mixed = `${SIGNATURE}21210024${'00000000000000000000ffffc0000201'}${'20010db8000000000000000000000001'}00500050`
  expect(hex(proxyHeader({ address: '192.0.2.1', port: 80 }, { address: '2001:db8::1', port: 80 }))).toBe(mixed)
  expect(hex(proxyHeader({ address: '::ffff:192.0.2.1', port: 80 }, { address: '192.0.2.2', port: 80 }))).toBe(`${SIGNATURE}2111000cc0000201c000020200500050`)
})

test('[WIRE23] LOCAL for a connection of our own names nobody', () => expect(hex(localProxyHeader())).toBe(`${SIGNATURE}20000000`))

test.each([['unknown', 1], ['', 1], ['192.0.2', 1], ['192.0.2.1:80', 1], ['192.0.2.1', -1], ['192.0.2.1', 65_536], ['192.0.2.1', 1.5], ['192.0.2.1', Number.NaN]])('[WIRE23] no header is made of %j port %s', (address, port) => {
  const good = { address: '192.0.2.9', port: 9 }
  expect(proxyHeader({ address, port }, good)).toBeNull()
  expect(proxyHeader(good, { address, port })).toBeNull()
})
