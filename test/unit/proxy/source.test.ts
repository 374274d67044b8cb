// Whose address counts: the peer's own, or what trusted proxies say, read from the right.
import type { IncomingMessage } from 'node:http'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { sourceOf } from '../../../src/proxy/describe/source.ts'

const of = (peer: string, forwarded: readonly string[], trusted: readonly string[]): string =>
  sourceOf({ socket: { remoteAddress: peer }, rawHeaders: forwarded.flatMap(value => ['X-Forwarded-For', value]) } as unknown as IncomingMessage, trusted) // the members it reads

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
