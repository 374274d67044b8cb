import fc from 'fast-check'
import { expect, test } from 'vitest'
import { sourcePrefix } from '../../../src/audit/source-prefix.ts'

test('[AUD9] IPv4 counts by /24, IPv6 by /48', () => {
  expect(sourcePrefix('203.0.113.9')).toBe('203.0.113.0/24')
  expect(sourcePrefix('::ffff:203.0.113.9')).toBe('203.0.113.0/24')
  expect(sourcePrefix('2001:DB8:7:1::9')).toBe('2001:db8:7::/48')
  expect(sourcePrefix('2001:db8::9')).toBe('2001:db8:0::/48')
  expect(sourcePrefix('2001:db8:0007:1:2:3:4:5')).toBe('2001:db8:7::/48')
  expect(sourcePrefix('fe80::1%eth0')).toBe('fe80:0:0::/48')
  expect(sourcePrefix('::1')).toBe('0:0:0::/48')
})

test('[AUD9] anything else is one prefix', () => {
  for (const source of ['', 'localhost', '1.2.3', '1.2.3.400', '1:2:3', 'g::1', 'x'.repeat(100)]) expect(sourcePrefix(source)).toBe('unknown')
})

test('[AUD9] every address of a network has the same prefix', () => {
  const byte = fc.integer({ min: 0, max: 255 })
  fc.assert(fc.property(byte, byte, byte, byte, byte, (a, b, c, d, e) => {
    expect(sourcePrefix(`${a}.${b}.${c}.${d}`)).toBe(sourcePrefix(`${a}.${b}.${c}.${e}`))
    expect(sourcePrefix(`${a}.${b}.${c}.${d}`)).toBe(`${a}.${b}.${c}.0/24`)
  }))
})

test('[AUD9] no text makes a prefix longer than an address', () => {
  fc.assert(fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), text => {
    expect(sourcePrefix(text).length).toBeLessThan(24)
  }))
})
