// Names: which never go upstream, which come back from it, and what the outgoing head is made of.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Head, readHead } from '../../../src/proxy/http/head.ts'
import { isNominable, nameOf } from '../../../src/proxy/http/header-names.ts'
import { endToEnd, type Forwarding, outgoingHeaders, trailersUp } from '../../../src/proxy/http/outgoing.ts'
import { interimHead, type Passing, responseHead, trailersOf } from '../../../src/proxy/http/response-head.ts'
import { viaOf } from '../../../src/proxy/http/via.ts'

const OURS = ['narrowgate-context', 'narrowgate-subject', 'narrowgate-', 'forwarded', 'x-forwarded-for', 'x-forwarded-client-cert', 'x-forwarded-', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-client-ip', 'host', 'authorization', 'x-original-url', 'x-rewrite-url', 'x-original-host', 'x-http-method-override', 'x-method-override', 'x-http-method', 'client-cert', 'client-cert-chain', 'x-ssl-client-verify', 'x-ssl-client-s-dn', 'x-tls-client-subject', 'x-arr-clientcert', 'x-envoy-original-path', 'txn-token', 'max-forwards', 'http2-settings']
const HOPS = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect']
const FREE = ['accept', 'cookie', 'content-type', 'user-agent', 'x-tier', 'x-request-id', 'traceparent', 'if-none-match', 'range', 'origin', 'name', 'x', 'n', 'via', 'early-data']

describe('inbound names', () => {
  test.each([...OURS, ...HOPS])('[WIRE6, WIRE13] %s never goes upstream', name => expect(nameOf(name).dropped).toBe(true))
  test.each(FREE)('[WIRE6] %s does', name => expect(nameOf(name).dropped).toBe(false))
  test('[WIRE6] nothing that is ours may be nominated away', () => {
    for (const name of [...OURS.filter(each => each !== 'http2-settings'), 'via', 'early-data']) for (const spelled of [name, name.replaceAll('-', '_'), name.replace('-', '.')]) expect(isNominable(spelled), spelled).toBe(false)
    for (const name of ['host', 'cookie', 'content-length', 'content-type', 'content-encoding', 'dpop', 'date']) expect(isNominable(name), name).toBe(false)
    for (const name of ['close', 'keep-alive', 'upgrade', 'te', 'x-hop']) expect(isNominable(name), name).toBe(true)
  })
  test('[WIRE4] every name of the gateway stands once', () => {
    for (const name of ['narrowgate-context', 'narrowgate-x', 'host', 'authorization', 'content-length', 'transfer-encoding']) expect(nameOf(name).single, name).toBe(true)
    for (const name of ['cookie', 'accept', 'x-forwarded-for']) expect(nameOf(name).single, name).toBe(false)
  })
  test('[WIRE4] what is known of a name does not depend on how often, or behind how many others, it was asked', () => {
    const first = nameOf('X-Never-Seen')
    for (let i = 0; i < 5_000; i++) nameOf(`x-filler-${i}`)
    expect(nameOf('X-Never-Seen')).toEqual(first)
    expect(nameOf('X-Seen-Late')).toEqual(nameOf('X-Seen-Late'))
    expect(nameOf('Narrowgate-Late')).toMatchObject({ dropped: true, single: true })
  })
})

const VIA = viaOf('gw_abcdefghijklmnopqrstuvwxyz')
const HEAD: Forwarding['head'] = { version: '1.1', authority: 'api.test', nominated: new Set<string>(), trailers: false, maxForwards: null }
const FORWARDING: Forwarding = { headers: [], head: HEAD, kept: new Set<string>(), host: null, method: 'GET', source: { address: '192.0.2.1', hops: [] }, secure: false, via: VIA, inject: null, passthrough: false, context: null, transaction: null }
const pairs = (list: readonly string[]): readonly (readonly [string, string])[] => list.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), list[i + 1] ?? ''] as const] : []))
const valuesOf = (list: readonly string[], name: string): readonly string[] => pairs(list).filter(([known]) => known === name).map(([, value]) => value)

const FORMS: readonly ((name: string) => string)[] = [name => name, name => name.toUpperCase(), name => name.replace(/(?:^|-)[a-z]/g, at => at.toUpperCase()), name => name.replace(/^\w/, at => at.toUpperCase()), name => name.replace(/[a-z]$/, at => at.toUpperCase())]
const FOLDS: readonly ((name: string) => string)[] = [name => name, name => name.replaceAll('-', '_'), name => name.replace('-', '_'), name => name.replace('-', '.'), name => name.replace('-', '~')]
const spelled = (name: fc.Arbitrary<string>, folds = FOLDS): fc.Arbitrary<string> => fc.tuple(name, fc.constantFrom(...FORMS), fc.constantFrom(...folds)).map(([each, form, fold]) => form(fold(each)))

describe('the outgoing head', () => {
  const name = spelled(fc.constantFrom(...OURS, ...HOPS, ...FREE, 'x-api-key', 'narrowgate-ticket', 'x-hop'), [each => each])
  const headers = fc.array(fc.tuple(name, fc.constantFrom('forged', 'a', '127.0.0.1')), { maxLength: 20 })

  test('[WIRE5, WIRE6, WIRE13, WIRE22] whatever came, what is ours is there once with our value, and nothing else of it', () => {
    fc.assert(fc.property(headers, sent => {
      const out = outgoingHeaders({ ...FORWARDING, headers: sent.flat(), head: { ...HEAD, nominated: new Set(['x-hop']) }, kept: new Set(['x-api-key', 'narrowgate-ticket']), context: 'ours', inject: { header: 'x-api-key', value: 'injected' } })
      const ours: readonly (readonly [string, string])[] = [['host', 'api.test'], ['x-forwarded-for', '192.0.2.1'], ['x-forwarded-proto', 'http'], ['x-forwarded-host', 'api.test'], ['forwarded', 'for=192.0.2.1;host="api.test";proto=http'], ['narrowgate-context', 'ours'], ['x-api-key', 'injected']]
      for (const [known, value] of ours) expect(valuesOf(out, known)).toEqual([value])
      const gone = new Set([...OURS, ...HOPS, 'x-api-key', 'narrowgate-ticket', 'x-hop'])
      const theirs = sent.map(([each, value]) => [each.toLowerCase(), value]).filter(([each]) => !gone.has(each ?? ''))
      expect(pairs(out).filter(([known]) => !ours.some(([each]) => each === known))).toEqual([...theirs, ['via', '1.1 narrowgate-abcdef']])
    }))
  })

  /** A header whatever an upstream folds into it. */
  const folded = (each: string): string => each.toLowerCase().replace(/[^a-z0-9]/g, '-')

  test('[HDR-001, HDR-003, HDR-006, WIRE4, WIRE13] no spelling, number or nomination of an identity header is read by a folding upstream: refused, or ours alone', () => {
    const identity = ['narrowgate-context', 'narrowgate-subject', 'narrowgate-scope', 'x-forwarded-for', 'x-forwarded-user', 'forwarded', 'x-real-ip', 'client-cert', 'txn-token', 'x-ssl-client-s-dn', 'x-upstream-key', 'authorization', 'x-http-method-override', 'x-original-url']
    const forged = fc.array(fc.tuple(spelled(fc.constantFrom(...identity)), fc.constant('forged')), { minLength: 1, maxLength: 4 })
    const nominations = fc.array(spelled(fc.constantFrom(...identity, 'x-hop', 'close')), { maxLength: 2 })
    let passed = 0
    fc.assert(fc.property(forged, nominations, (sent, named) => {
      const list = ['Host', 'api.test', ...sent.flat(), ...(named.length === 0 ? [] : ['Connection', named.join(', ')])]
      const head = readHead({ headers: list, version: '1.1', connects: null, complete: true })
      if (typeof head === 'string') return
      passed++
      const kept = new Set(['x-upstream-key'])
      for (const seen of [outgoingHeaders({ ...FORWARDING, headers: list, head, kept, context: 'ours', inject: { header: 'x-upstream-key', value: 'ours' } }), endToEnd({ headers: list, head, kept })]) expect(seen.filter(value => value === 'forged')).toEqual([])
      const out = pairs(outgoingHeaders({ ...FORWARDING, headers: list, head, kept, context: 'ours', inject: { header: 'x-upstream-key', value: 'ours' } }))
      for (const each of ['narrowgate-context', 'x-upstream-key']) expect(out.filter(([seen]) => folded(seen) === each)).toEqual([[each, 'ours']])
    }), { numRuns: 5_000 })
    expect(passed).toBeGreaterThan(100)
  })

  test('[HDR-031, WIRE19] a method override goes nowhere and changes nothing', () => {
    const override = spelled(fc.constantFrom('x-http-method-override', 'x-method-override', 'x-http-method'))
    fc.assert(fc.property(override, fc.constantFrom('DELETE', 'PUT', 'GET'), (each, value) => {
      const list = ['host', 'api.test', each, value]
      const head = readHead({ headers: list, version: '1.1', connects: null, complete: true })
      if (typeof head !== 'string') expect(outgoingHeaders({ ...FORWARDING, headers: list, head })).not.toContain(value)
      else expect(head).toMatch(/alias/)
    }))
  })

  test('[WIRE13] without a context or an injected header there is none', () => {
    const out = outgoingHeaders({ ...FORWARDING, headers: ['Narrowgate-Context', 'forged', 'Authorization', 'Bearer x', 'Content-Length', '5'] })
    expect(pairs(out).map(([known]) => known)).toEqual(['host', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'via'])
  })

  test('[WIRE5] an IPv6 address is written as RFC 7239 wants it, and believed hops stand behind the source', () => {
    const six = outgoingHeaders({ ...FORWARDING, source: { address: '2001:db8::1', hops: [] }, secure: true })
    expect(valuesOf(six, 'forwarded')).toEqual(['for="[2001:db8::1]";host="api.test";proto=https'])
    const chain = outgoingHeaders({ ...FORWARDING, headers: ['X-Forwarded-For', '127.0.0.1, 198.51.100.1, 10.2.2.2'], source: { address: '198.51.100.1', hops: ['10.2.2.2', 'fd00::1'] } })
    expect(valuesOf(chain, 'x-forwarded-for')).toEqual(['198.51.100.1, 10.2.2.2, fd00::1'])
    expect(valuesOf(chain, 'forwarded')).toEqual(['for=198.51.100.1, for=10.2.2.2, for="[fd00::1]";host="api.test";proto=http'])
  })

  test('[WIRE22] Via is added behind what is there, by the version of what came', () => {
    const out = outgoingHeaders({ ...FORWARDING, headers: ['Via', '1.0 fred', 'via', '1.1 p'], head: { ...HEAD, version: '2' } })
    expect(valuesOf(out, 'via')).toEqual(['1.0 fred', '1.1 p', '2 narrowgate-abcdef'])
  })

  test('[WIRE22] TE is made anew for a caller who takes trailers', () => {
    expect(valuesOf(outgoingHeaders({ ...FORWARDING, headers: ['TE', 'trailers, deflate'], head: { ...HEAD, trailers: true } }), 'te')).toEqual(['trailers'])
    expect(valuesOf(outgoingHeaders({ ...FORWARDING, headers: ['TE', 'trailers'] }), 'te')).toEqual([])
  })

  test('[WIRE22] OPTIONS has one forward less', () => {
    const left = (method: string, maxForwards: string): readonly string[] => valuesOf(outgoingHeaders({ ...FORWARDING, method, headers: ['Max-Forwards', maxForwards], head: { ...HEAD, maxForwards } }), 'max-forwards')
    expect([left('OPTIONS', '7'), left('OPTIONS', '1'), left('GET', '7')]).toEqual([['6'], ['0'], []])
  })

  test('[WIRE24] a rewritten host is told upstream, the one that was asked for beside it', () => {
    const out = outgoingHeaders({ ...FORWARDING, host: 'internal.test' })
    expect([valuesOf(out, 'host'), valuesOf(out, 'x-forwarded-host')]).toEqual([['internal.test'], ['api.test']])
  })
})

const PASSING: Passing = { via: VIA, upstream: 'http1', personal: false, cors: null }

describe('the answer’s head', () => {
  const head = (...headers: readonly string[]) => responseHead({ status: 200, text: 'OK', headers }, PASSING)
  const passed = (headers: readonly string[], changes: Partial<Passing>) => responseHead({ status: 200, text: 'OK', headers }, { ...PASSING, ...changes })?.headers
  const OWN = ['via', '1.1 narrowgate-abcdef']

  test('[WIRE11] hop-by-hop fields, nominated ones and the gateway’s own stay here; the rest is as it came', () => {
    expect(head('Connection', 'keep-alive, X-Hop', 'X-Hop', '1', 'Keep-Alive', 'timeout=5', 'Narrowgate-Reason', 'forged', 'Alt-Svc', 'h2=":444"', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-A', '\u00e9', 'WWW-Authenticate', 'Basic')?.headers)
      .toEqual(['Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-A', '\u00e9', 'WWW-Authenticate', 'Basic', ...OWN])
  })

  test('[WIRE12] a transfer coding the caller would not be told of is broken framing', () => {
    for (const coding of ['gzip, chunked', 'chunked, gzip', 'identity', 'gzip', '']) expect(head('Transfer-Encoding', coding), coding).toBeNull()
    expect(head('Transfer-Encoding', 'Chunked')).toMatchObject({ headers: OWN, delimitedByClose: false })
    expect(head('Content-Length', '5')).toMatchObject({ delimitedByClose: false, length: 5 })
    expect(head()).toMatchObject({ delimitedByClose: true })
    expect(responseHead({ status: 204, text: '', headers: [] }, PASSING)).toMatchObject({ delimitedByClose: false })
    expect(responseHead({ status: 200, text: '', headers: [] }, { ...PASSING, upstream: 'http2' })).toMatchObject({ delimitedByClose: false })
  })

  test('[WIRE12] a length that is none, or two, is broken framing; the same twice goes on once', () => {
    for (const value of ['', '-1', '5, 5', '0x5', '1e3', '9'.repeat(16)]) expect(head('Content-Length', value), value).toBeNull()
    expect(head('Content-Length', '5', 'content-length', '6')).toBeNull()
    expect(head('Content-Length', '5', 'content-length', '5')?.headers).toEqual(['Content-Length', '5', ...OWN])
  })

  test('[WIRE22] Via is added behind what is there, by what the upstream speaks', () => {
    expect(passed(['Via', '1.0 inner'], { upstream: 'http2' })).toEqual(['Via', '1.0 inner', 'via', '2 narrowgate-abcdef'])
  })

  test('[WIRE22] an answer given for who the caller is, and silent on caches, is private; what the upstream says stands', () => {
    expect(passed([], { personal: true })).toEqual(['cache-control', 'private', ...OWN])
    expect(passed([], {})).toEqual(OWN)
    for (const value of ['no-store', 'private', 'public, max-age=5']) expect(passed(['Cache-Control', value], { personal: true })).toEqual(['Cache-Control', value, ...OWN])
    expect(passed(['Cache-Control', 'no-store', 'Connection', 'cache-control'], { personal: true })).toEqual(['cache-control', 'private', ...OWN])
  })

  test('[WIRE19] on a route with cors the gateway says who may read, and the upstream does not', () => {
    const theirs = ['Access-Control-Allow-Origin', '*', 'access-control-allow-credentials', 'true', 'Access-Control-Expose-Headers', 'x-a', 'Vary', 'accept']
    expect(passed(theirs, { cors: ['vary', 'origin'] })).toEqual(['Access-Control-Expose-Headers', 'x-a', 'Vary', 'accept', ...OWN, 'vary', 'origin'])
    expect(passed(theirs, {})).toEqual([...theirs, ...OWN])
  })

  test('[WIRE22] an interim answer brings what is end to end, nothing of a body, a credential or a cache', () => {
    expect(interimHead({ status: 103, text: '', headers: ['Link', '</a.css>; rel=preload', 'Connection', 'x-hop', 'X-Hop', '1', 'Set-Cookie', 'a=1', 'Content-Length', '5', 'Transfer-Encoding', 'chunked', 'Narrowgate-Reason', 'x', 'Access-Control-Allow-Origin', '*', 'X-A', '1'] })).toEqual(['Link', '</a.css>; rel=preload', 'X-A', '1'])
    expect(interimHead({ status: 102, text: '', headers: [] })).toEqual([])
  })
})

describe('trailers', () => {
  test('[WIRE11, WIRE22] frame, authorize, route and cache nothing, either way', () => {
    for (const name of [...OURS, ...HOPS, 'content-length', 'content-type', 'content-encoding', 'set-cookie', 'cookie', 'cache-control', 'www-authenticate', 'trailer', 'narrowgate-reason', 'if-match', 'range', 'via', 'access-control-allow-origin', 'content_length', 'X_Forwarded_For', 'Narrowgate.Subject', 'x y', ':path', '']) {
      expect(trailersOf([name, 'x']), name).toEqual([])
      expect(trailersUp([name, 'x'], new Set()), name).toEqual([])
    }
    const good = ['X-Checksum', 'abc', 'grpc-status', '0', 'grpc-message', 'ok', 'grpc-status-details-bin', 'aa', 'Server-Timing', 'a', 'x-more', 'a', 'x-more', 'b', 'ETag', '"e"']
    expect(trailersOf(good)).toEqual(good)
    expect(trailersUp(good, new Set())).toEqual(good)
    expect(trailersOf([])).toEqual([])
  })

  test('[SMG-023, WIRE13, WIRE22] of a request, what its head may not bring its trailers may not either', () => {
    fc.assert(fc.property(spelled(fc.constantFrom(...OURS, ...HOPS, 'x-upstream-key', 'x-ticket')), each => {
      expect(trailersUp([each, 'forged', 'x-sum', '1'], new Set(['x-upstream-key', 'x-ticket']))).toEqual(['x-sum', '1'])
    }))
  })
})

test('[DEC5, WIRE6] conditions see the headers that go on, with the length of the body', () => {
  const head = readHead({ headers: ['Host', 'api.test', 'Content-Length', '5', 'X-A', '1', 'Connection', 'x-b', 'X-B', '2', 'X_B', '3', 'Forwarded', 'for=1'], version: '1.1', connects: null, complete: false })
  expect(head).toBeTypeOf('object')
  expect(endToEnd({ headers: ['Content-Length', '5', 'X-A', '1', 'X-B', '2', 'X_B', '3', 'Forwarded', 'for=1'], head: head as Head, kept: new Set() })).toEqual(['host', 'api.test', 'Content-Length', '5', 'X-A', '1']) // told by the line before
})
