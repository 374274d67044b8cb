import fc from 'fast-check'
import { BlockList, isIP } from 'node:net'
import { describe, expect, it } from 'vitest'
import { addressBytes, inCidr, parseCidr } from '../../../src/conditions/cidr.ts'

const within = (block: string, address: string): boolean => {
  const parsed = parseCidr(block)
  if (parsed === null) throw new Error(`not a block: ${block}`)
  return inCidr(parsed, address)
}

describe('address blocks', () => {
  it.each([
    ['10.0.0.0/8', '10.255.0.1', true], ['10.0.0.0/8', '11.0.0.0', false], ['10.20.0.0/15', '10.21.9.9', true], ['10.20.0.0/15', '10.22.0.0', false],
    ['0.0.0.0/0', '255.255.255.255', true], ['192.0.2.7', '192.0.2.7', true], ['192.0.2.7', '192.0.2.8', false],
    ['10.0.0.0/8', '::ffff:10.1.2.3', true], ['::ffff:10.0.0.0/104', '10.1.2.3', true], ['2001:db8::/33', '2001:db8:7fff::1', true], ['2001:db8::/33', '2001:db8:8000::', false],
    ['::/0', '10.0.0.1', false], ['::1', '::1', true], ['fe80::/10', 'fe80::1%eth0', true], ['10.0.0.0/8', 'unknown', false], ['10.0.0.0/8', '', false],
  ])('[DEC5] %s holds %s: %s', (block, address, answer) => {
    expect(within(block, address)).toBe(answer)
  })

  it.each(['', '10.0.0.0/33', '10.0.0.1/8', '10.0.0/8', '010.0.0.0/8', '256.0.0.0/8', '10.0.0.0/-1', '10.0.0.0/8/8', '::/129', ':::/8', '1::2::3/64', 'fe80::%eth0/64', '10.0.0.0/', ' 10.0.0.0/8', '::ffff:10.0.0.0/95'])(
    '[DEC5] %j is no block', text => {
      expect(parseCidr(text)).toBeNull()
    })

  const address = fc.oneof(fc.ipV4(), fc.ipV6())

  it('[DEC5] agrees with node:net about what an address is', () => {
    fc.assert(fc.property(fc.oneof(address, fc.string({ maxLength: 20 }), fc.stringMatching(/^[0-9a-f:.]{0,24}$/)), text => {
      fc.pre(!text.includes('%'))
      expect(addressBytes(text) !== null).toBe(isIP(text) !== 0)
    }))
  })

  it('[DEC5] agrees with node:net about what a block holds', () => {
    fc.assert(fc.property(fc.ipV4(), fc.ipV4(), fc.integer({ min: 0, max: 32 }), (network, other, bits) => {
      const list = new BlockList()
      list.addSubnet(network, bits, 'ipv4')
      const masked = parseCidr(`${network}/${bits}`)
      fc.pre(masked !== null)
      if (masked !== null) expect(inCidr(masked, other)).toBe(list.check(other, 'ipv4'))
    }))
  })
})
