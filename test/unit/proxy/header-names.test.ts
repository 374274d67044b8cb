// Names: which never go upstream, which come back from it, and what the outgoing head is made of.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isDropped, isNominable, isSingle, isTrailerAllowed } from '../../../src/proxy/http/header-names.ts'
import { outgoingHeaders } from '../../../src/proxy/http/outgoing.ts'
import { responseHead, trailersOf } from '../../../src/proxy/http/response-head.ts'

const OURS = ['narrowgate-context', 'narrowgate-subject', 'narrowgate-', 'forwarded', 'x-forwarded-for', 'x-forwarded-client-cert', 'x-forwarded-', 'x-real-ip', 'true-client-ip', 'cf-connecting-ip', 'x-client-ip', 'via', 'host', 'authorization', 'x-original-url', 'x-rewrite-url', 'x-original-host', 'x-http-method-override', 'x-method-override', 'x-http-method', 'client-cert', 'client-cert-chain', 'x-ssl-client-verify', 'x-ssl-client-s-dn', 'x-tls-client-subject', 'x-arr-clientcert', 'x-envoy-original-path', 'txn-token', 'max-forwards', 'http2-settings']
const HOPS = ['connection', 'keep-alive', 'proxy-connection', 'proxy-authenticate', 'proxy-authorization', 'te', 'trailer', 'transfer-encoding', 'upgrade', 'expect']
const FREE = ['accept', 'cookie', 'content-type', 'content-length', 'user-agent', 'x-tier', 'x-request-id', 'traceparent', 'if-none-match', 'range', 'origin', 'name', 'x', 'n', '']

describe('inbound names', () => {
  test.each([...OURS, ...HOPS])('[WIRE6, WIRE13] %s never goes upstream', name => expect(isDropped(name)).toBe(true))
  test.each(FREE)('[WIRE6] %s does', name => expect(isDropped(name)).toBe(false))
  test('[WIRE6] nothing that is ours may be nominated away', () => {
    for (const name of OURS.filter(each => !['host', 'max-forwards', 'http2-settings'].includes(each))) expect(isNominable(name), name).toBe(false)
    for (const name of ['host', 'cookie', 'content-length', 'content-type', 'content-encoding', 'dpop', 'date']) expect(isNominable(name), name).toBe(false)
    for (const name of ['close', 'keep-alive', 'upgrade', 'te', 'x-hop']) expect(isNominable(name), name).toBe(true)
  })
  test('[WIRE4] every name of the gateway stands once', () => {
    for (const name of ['narrowgate-context', 'narrowgate-x', 'host', 'authorization', 'content-length', 'transfer-encoding']) expect(isSingle(name), name).toBe(true)
    for (const name of ['cookie', 'accept', 'x-forwarded-for']) expect(isSingle(name), name).toBe(false)
  })
  test('[WIRE11] a trailer frames, authorizes and caches nothing', () => {
    for (const name of ['content-length', 'transfer-encoding', 'authorization', 'set-cookie', 'host', 'www-authenticate', 'trailer', 'narrowgate-reason', 'connection']) expect(isTrailerAllowed(name), name).toBe(false)
    for (const name of ['x-checksum', 'grpc-status', 'server-timing']) expect(isTrailerAllowed(name), name).toBe(true)
  })
})

const FORWARDING = { nominated: new Set<string>(), kept: new Set<string>(), authority: 'api.test', source: '192.0.2.1', secure: false, inject: null, context: null }
const pairs = (list: readonly string[]): readonly (readonly [string, string])[] => list.flatMap((name, i) => (i % 2 === 0 ? [[name.toLowerCase(), list[i + 1] ?? ''] as const] : []))
const valuesOf = (list: readonly string[], name: string): readonly string[] => pairs(list).filter(([known]) => known === name).map(([, value]) => value)

describe('the outgoing head', () => {
  const name = fc.constantFrom(...OURS, ...HOPS, ...FREE.filter(each => each !== ''), 'x-api-key', 'narrowgate-ticket', 'x-hop').chain(each => fc.constantFrom(each, each.toUpperCase(), each.replace(/^\w/, c => c.toUpperCase())))
  const headers = fc.array(fc.tuple(name, fc.constantFrom('forged', 'a', '127.0.0.1')), { maxLength: 20 })

  test('[WIRE5, WIRE6, WIRE13] whatever came, what is ours is there once with our value, and nothing else of it', () => {
    fc.assert(fc.property(headers, sent => {
      const out = outgoingHeaders({ ...FORWARDING, rawHeaders: sent.flat(), nominated: new Set(['x-hop']), kept: new Set(['x-api-key', 'narrowgate-ticket']), context: 'ours', inject: { header: 'x-api-key', value: 'injected' } })
      const ours: readonly (readonly [string, string])[] = [['host', 'api.test'], ['x-forwarded-for', '192.0.2.1'], ['x-forwarded-proto', 'http'], ['x-forwarded-host', 'api.test'], ['forwarded', 'for=192.0.2.1;host="api.test";proto=http'], ['via', '1.1 narrowgate'], ['narrowgate-context', 'ours'], ['x-api-key', 'injected']]
      for (const [known, value] of ours) expect(valuesOf(out, known)).toEqual([value])
      const gone = new Set([...OURS, ...HOPS, 'x-api-key', 'narrowgate-ticket', 'x-hop'])
      expect(pairs(out).filter(([known]) => !ours.some(([each]) => each === known))).toEqual(sent.map(([each, value]) => [each.toLowerCase(), value]).filter(([each]) => !gone.has(each ?? '')))
    }))
  })

  test('[WIRE13] without a context or an injected header there is none', () => {
    const out = outgoingHeaders({ ...FORWARDING, rawHeaders: ['Narrowgate-Context', 'forged', 'Authorization', 'Bearer x'] })
    expect(pairs(out).map(([known]) => known)).toEqual(['host', 'x-forwarded-for', 'x-forwarded-proto', 'x-forwarded-host', 'forwarded', 'via'])
  })

  test('[WIRE5] an IPv6 address is written as RFC 7239 wants it', () => {
    expect(valuesOf(outgoingHeaders({ ...FORWARDING, rawHeaders: [], source: '2001:db8::1', secure: true }), 'forwarded')).toEqual(['for="[2001:db8::1]";host="api.test";proto=https'])
  })
})

describe('the answer’s head', () => {
  const head = (...raw: readonly string[]) => responseHead(raw.map(text => Buffer.from(text, 'latin1')), 200, 'OK')

  test('[WIRE11] hop-by-hop fields, nominated ones and the gateway’s own stay here; the rest is as it came', () => {
    expect(head('Connection', 'keep-alive, X-Hop', 'X-Hop', '1', 'Keep-Alive', 'timeout=5', 'Narrowgate-Reason', 'forged', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-A', '\u00e9')?.headers).toEqual(['Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-A', '\u00e9'])
  })

  test('[WIRE12] a transfer coding the caller would not be told of is broken framing', () => {
    for (const coding of ['gzip, chunked', 'chunked, gzip', 'identity', 'gzip', '']) expect(head('Transfer-Encoding', coding), coding).toBeNull()
    expect(head('Transfer-Encoding', 'Chunked')).toMatchObject({ headers: [], delimitedByClose: false })
    expect(head('Content-Length', '5')).toMatchObject({ delimitedByClose: false })
    expect(head()).toMatchObject({ delimitedByClose: true })
    expect(responseHead([], 204, '')).toMatchObject({ delimitedByClose: false })
  })

  test('[WIRE11] trailers: the allowed ones', () => {
    expect(trailersOf({ 'X-Checksum': 'abc', 'Set-Cookie': 'a=1', 'x-more': ['a', 'b'], 'Narrowgate-Reason': 'x', 'x-odd': 5 })).toEqual({ 'X-Checksum': 'abc', 'x-more': 'a, b' })
    for (const none of [null, undefined, 'x', {}]) expect(trailersOf(none)).toEqual({})
  })
})
