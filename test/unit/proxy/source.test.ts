// Whose address counts: the peer's own, or what trusted proxies say, read from the right.
import { isIP } from 'node:net'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { forwardedFor } from '../../../src/proxy/describe/forwarded.ts'
import { schemeOf, type Source, sourceOf } from '../../../src/proxy/describe/source.ts'

const from = (peer: string, headers: readonly string[]): Source => sourceOf({ peer, headers }, TRUSTED)
const of = (peer: string, forwarded: readonly string[], trusted: readonly string[]): string => sourceOf({ peer, headers: forwarded.flatMap(value => ['X-Forwarded-For', value]) }, trusted).address

const TRUSTED = ['10.0.0.0/8', '192.0.2.7', '2001:db8::/32']

test.each<readonly [string, string, readonly string[], readonly string[], string]>([
  ['nobody is trusted by default', '203.0.113.1', ['10.0.0.1'], [], '203.0.113.1'],
  ['a peer that is not trusted', '203.0.113.1', ['198.51.100.1'], TRUSTED, '203.0.113.1'],
  ['a trusted peer that says nothing', '10.1.1.1', [], TRUSTED, '10.1.1.1'],
  ['a trusted peer', '10.1.1.1', ['198.51.100.1'], TRUSTED, '198.51.100.1'],
  ['a single trusted address', '192.0.2.7', ['198.51.100.1'], TRUSTED, '198.51.100.1'],
  ['its neighbour', '192.0.2.8', ['198.51.100.1'], TRUSTED, '192.0.2.8'],
  ['several trusted hops', '10.1.1.1', ['198.51.100.1, 10.2.2.2, 192.0.2.7'], TRUSTED, '198.51.100.1'],
  ['what an untrusted hop claims', '10.1.1.1', ['127.0.0.1, 198.51.100.1'], TRUSTED, '198.51.100.1'],
  ['only trusted hops', '10.1.1.1', ['10.3.3.3, 10.2.2.2'], TRUSTED, '10.3.3.3'],
  ['two headers', '10.1.1.1', ['198.51.100.1', '198.51.100.2'], TRUSTED, '10.1.1.1'],
  ['a hop that is no address', '10.1.1.1', ['198.51.100.1, unknown'], TRUSTED, '10.1.1.1'],
  ['a hop with a port', '10.1.1.1', ['198.51.100.1:80'], TRUSTED, '10.1.1.1'],
  ['an empty list', '10.1.1.1', [''], TRUSTED, '10.1.1.1'],
  ['an IPv4 peer on an IPv6 socket', '::ffff:10.1.1.1', ['198.51.100.1'], TRUSTED, '198.51.100.1'],
  ['the same, not trusted', '::ffff:203.0.113.1', ['198.51.100.1'], TRUSTED, '203.0.113.1'],
  ['a mapped hop', '10.1.1.1', ['198.51.100.1, ::ffff:10.2.2.2'], TRUSTED, '198.51.100.1'],
  ['IPv6', '2001:db8::5', ['2001:db9::1'], TRUSTED, '2001:db9::1'],
  ['everybody', '203.0.113.1', ['198.51.100.1, 198.51.100.2'], ['0.0.0.0/0'], '198.51.100.1'],
])('[WIRE5] %s', (_, peer, forwarded, trusted, source) => expect(of(peer, forwarded, trusted)).toBe(source))

test('[WIRE5] read from the right, the first untrusted hop is the source; nothing left of it counts', () => {
  const hop = fc.constantFrom('10.0.0.1', '10.9.9.9', '198.51.100.1', '203.0.113.5', 'x')
  const isTrusted = (address: string): boolean => address.startsWith('10.')
  fc.assert(fc.property(hop.filter(each => each !== 'x'), fc.array(hop, { minLength: 1, maxLength: 5 }), (peer, hops) => {
    const chain = [...hops].reverse()
    const stop = chain.findIndex(each => !isTrusted(each))
    const named = stop === -1 ? (chain.at(-1) ?? peer) : (chain[stop] ?? peer)
    expect(of(peer, [hops.join(', ')], ['10.0.0.0/8'])).toBe(!isTrusted(peer) || named === 'x' ? peer : named)
  }))
})

test('[WIRE5] whatever the header holds, the answer is an address', () => {
  fc.assert(fc.property(fc.string(), fc.constantFrom('10.0.0.1', '203.0.113.5'), (header, peer) => {
    expect(of(peer, [header], ['10.0.0.0/8'])).toMatch(/^[0-9a-f.:]+$/i)
  }))
})

describe('Forwarded', () => {
  test.each<readonly [string, string, Source]>([
    ['an address', 'for=198.51.100.1', { address: '198.51.100.1', hops: ['10.1.1.1'] }],
    ['one with its port', 'for="198.51.100.1:4711";proto=https', { address: '198.51.100.1', hops: ['10.1.1.1'] }],
    ['IPv6, in brackets and quoted', 'By=_us; FOR="[2001:db9::1]:4711" ;host=api.test', { address: '2001:db9::1', hops: ['10.1.1.1'] }],
    ['several hops', 'for=127.0.0.1, for=198.51.100.1;by=x, for=10.2.2.2', { address: '198.51.100.1', hops: ['10.2.2.2', '10.1.1.1'] }],
    ['a quoted pair', 'for="198.51\\.100.1"', { address: '198.51.100.1', hops: ['10.1.1.1'] }],
    ['a comma in quotes', 'host="a, for=127.0.0.1";for=198.51.100.1', { address: '198.51.100.1', hops: ['10.1.1.1'] }],
  ])('[WIRE5] says from whom: %s', (_, value, source) => expect(from('10.1.1.1', ['Forwarded', value])).toEqual(source))

  test.each(['for=unknown', 'for=_hidden', 'for=198.51.100.1, for=unknown', 'for=198.51.100.1, for=_a, for=10.2.2.2', 'for=198.51.100.1, proto=http', 'for=[2001:db9::1]', 'for="2001:db9::1"', 'for=198.51.100', 'for=198.51.100.1;for=127.0.0.1', 'for = 198.51.100.1', 'for="198.51.100.1', 'for=198.51.100.1,', ';for=198.51.100.1', 'for', '', 'for=198.51.100.1\u0000'])(
    '[WIRE5] %j counts for nothing', value => expect(from('10.1.1.1', ['forwarded', value])).toEqual({ address: '10.1.1.1', hops: [] }))

  test('[WIRE5] of a peer that is not trusted it is not read', () => expect(from('203.0.113.1', ['forwarded', 'for=198.51.100.1'])).toEqual({ address: '203.0.113.1', hops: [] }))

  test('[WIRE5] beside X-Forwarded-For it has to say the same; a doubt, or a line too many, leaves the peer', () => {
    expect(from('10.1.1.1', ['Forwarded', 'for=198.51.100.1', 'X-Forwarded-For', '198.51.100.1'])).toEqual({ address: '198.51.100.1', hops: ['10.1.1.1'] })
    expect(from('10.1.1.1', ['Forwarded', 'for=1.2.3.4, for=198.51.100.1', 'X-Forwarded-For', '198.51.100.1']).address).toBe('198.51.100.1') // left of it nothing counts
    for (const headers of [
      ['Forwarded', 'for=198.51.100.2', 'X-Forwarded-For', '198.51.100.1'], ['Forwarded', 'for=198.51.100.1, for=10.2.2.2', 'X-Forwarded-For', '198.51.100.1'], ['Forwarded', 'for=unknown', 'X-Forwarded-For', '198.51.100.1'],
      ['Forwarded', 'for=198.51.100.1', 'X-Forwarded-For', 'x'], ['Forwarded', 'for=198.51.100.1', 'Forwarded', 'for=198.51.100.1'], ['Forwarded', 'nonsense', 'X-Forwarded-For', '198.51.100.1'],
    ]) expect(from('10.1.1.1', headers), headers.join()).toEqual({ address: '10.1.1.1', hops: [] })
  })

  test('[WIRE5] more proxies in a row than are believed leave the peer', () => {
    const chain = (length: number): string => ['198.51.100.1', ...Array.from({ length }, () => '10.2.2.2')].join(', ')
    expect(from('10.1.1.1', ['X-Forwarded-For', chain(31)])).toMatchObject({ address: '198.51.100.1' })
    expect(from('10.1.1.1', ['X-Forwarded-For', chain(32)])).toEqual({ address: '10.1.1.1', hops: [] })
  })

  test('[WIRE5] what one writes the other reads', () => {
    const address = fc.oneof(fc.ipV4(), fc.ipV6().filter(each => isIP(each) === 6))
    fc.assert(fc.property(fc.array(address, { minLength: 1, maxLength: 5 }), fc.constantFrom('', ';proto=http', ';host="a;b, for=x"'), (hops, more) => {
      expect(forwardedFor(hops.map(hop => `for=${hop.includes(':') ? `"[${hop}]"` : hop}${more}`).join(' ,\t'))).toEqual(hops)
    }))
  })

  test('[WIRE5] any text at all is read or refused, in time', () => {
    fc.assert(fc.property(fc.array(fc.constantFrom('for=', '198.51.100.1', '"', '\\', ',', ';', ' ', '=', '[', ']', 'unknown', 'by', '\t'), { maxLength: 200 }).map(parts => parts.join('')), value => {
      const hops = forwardedFor(value)
      for (const hop of hops ?? []) if (hop !== null) expect(isIP(hop)).toBeGreaterThan(0)
    }), { numRuns: 2_000 })
  })
})

test('[WIRE5, BND2] the scheme a caller used is that of the connection, or what a listed proxy says once and clearly', () => {
  const of = (peer: string, headers: readonly string[], secure = false): string => schemeOf({ peer, headers, secure }, ['10.0.0.0/8'])
  expect(of('10.1.1.1', ['X-Forwarded-Proto', 'https'])).toBe('https')
  expect(of('10.1.1.1', ['x-forwarded-proto', 'http'], true)).toBe('http')
  expect(of('192.0.2.1', ['x-forwarded-proto', 'https'])).toBe('http')
  for (const unclear of [['x-forwarded-proto', 'https, http'], ['x-forwarded-proto', 'HTTPS'], ['x-forwarded-proto', 'https', 'X-Forwarded-Proto', 'https'], ['x-forwarded-proto', '']]) expect(of('10.1.1.1', unclear)).toBe('http')
  expect(schemeOf({ peer: '10.1.1.1', headers: ['x-forwarded-proto', 'https'], secure: false }, [])).toBe('http')
})
