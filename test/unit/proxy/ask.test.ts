// The certificate of a request's caller: read once, and again only where another configuration says which proxies are believed. SPEC: BND4, ENF8
import { expect, test } from 'vitest'
import { instant } from '../../../src/core/time.ts'
import { refused } from '../../../src/identity/certificate/client-certificate.ts'
import type { Verified } from '../../../src/identity/credential.ts'
import type { Arrival } from '../../../src/proxy/arrival.ts'
import { Ask, type AskOwner } from '../../../src/proxy/ask.ts'
import type { Head } from '../../../src/proxy/http/head.ts'
import type { World } from '../../../src/proxy/room.ts'

const XFCC = `By=spiffe://example.org/gw;Hash=${'ab'.repeat(32)};URI=spiffe://example.org/job`
const believing = (...trustedProxies: readonly string[]): World => ({ settings: { trustedProxies } }) as Partial<World> as World // nothing else of it is asked
const askOf = (arrival: Partial<Arrival>): Ask =>
  new Ask({ peer: '192.0.2.9', certificate: null, headers: ['X-Forwarded-Client-Cert', XFCC], at: instant(0), ...arrival } as Arrival, believing('192.0.2.0/24'), {} as Head, { host: '', path: '/', segments: [''], query: '' }, {} as never, {} as AskOwner) // nothing else of them is asked

test('[BND4] a forwarded certificate is read once for a request, and once more under each other configuration', () => {
  let reads = 0
  const ask = askOf({ get headers() { reads++; return ['X-Forwarded-Client-Cert', XFCC] } })
  ask.forwardedCertificates = 'xfcc'
  const [shown, again, workload] = [ask.clientCertificate, ask.clientCertificate, ask.certified]
  expect([again === shown, workload]).toEqual([true, 'spiffe://example.org/job'])
  const once = reads
  expect(ask.clientCertificate?.is).toBe('shown')
  expect(reads).toBe(once)
  ask.world = believing('198.51.100.0/24')
  expect([ask.clientCertificate, ask.certified], 'its peer is no proxy any more').toEqual([null, null])
  ask.world = believing('192.0.2.9')
  expect(ask.certified).toBe('spiffe://example.org/job')
})

test('[BND5, ENF8] locks are told what its connection is certified as, whatever the credential says; a certificate that is none says nothing', () => {
  const token = { workload: 'pod/1' } as Partial<Verified> as Verified // nothing else of it is asked
  const ask = askOf({})
  ask.forwardedCertificates = 'xfcc'
  expect([ask.workload, ask.certified]).toEqual([null, 'spiffe://example.org/job'])
  ask.verified = token
  expect([ask.workload, ask.certified]).toEqual(['pod/1', 'spiffe://example.org/job'])
  expect([askOf({}).certified, askOf({ certificate: refused('too_long') }).certified]).toEqual([null, null])
})
