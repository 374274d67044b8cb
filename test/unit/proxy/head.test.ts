// What node:http lets through and a gateway must not: framing, single headers, aliases, nominations.
import type { IncomingMessage } from 'node:http'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Head, onlyValue, readHead } from '../../../src/proxy/http/head.ts'

type Header = readonly [name: string, value: string]

const read = (headers: readonly Header[], httpVersion = '1.1'): Head | string =>
  readHead({ rawHeaders: headers.flat(), httpVersion } as unknown as IncomingMessage) // the two members it reads
const HOST: Header = ['Host', 'api.test']
const good = (...headers: readonly Header[]): Head => {
  const head = read([HOST, ...headers])
  if (typeof head === 'string') throw new Error(head)
  return head
}

describe('framing', () => {
  test('[WIRE3] a body is sized, chunked or not there', () => {
    expect(good().contentLength).toBe(0)
    expect(good(['Content-Length', '0']).contentLength).toBe(0)
    expect(good(['content-length', '1234']).contentLength).toBe(1_234)
    expect(good(['TRANSFER-ENCODING', 'Chunked']).contentLength).toBeNull()
  })

  test.each<readonly [string, readonly Header[]]>([
    ['both framings', [['Content-Length', '5'], ['Transfer-Encoding', 'chunked']]], ['two lengths', [['Content-Length', '5'], ['Content-Length', '5']]],
    ['two encodings', [['Transfer-Encoding', 'chunked'], ['transfer-encoding', 'chunked']]],
  ])('[WIRE3] %s are refused', (_, headers) => expect(read([HOST, ...headers])).toBeTypeOf('string'))

  test.each(['', ' ', '+5', '-5', '5 ', ' 5', '5,5', '5, 5', '0x5', '1e3', '5.0', '1_000', '٥', '9'.repeat(16)])('[WIRE3] Content-Length %j is refused', value =>
    expect(read([HOST, ['Content-Length', value]])).toBe('Content-Length is not a number'))

  test.each(['', 'identity', 'gzip, chunked', 'chunked, identity', ',chunked', 'chunked,', 'chunked;q=1', '\u00a0chunked', 'chunked\u000b', ' chunked', 'xchunked', 'chunked, chunked'])('[WIRE3] Transfer-Encoding %j is refused', value =>
    expect(read([HOST, ['Transfer-Encoding', value]])).toBe('a Transfer-Encoding other than chunked'))

  test('[WIRE3] a version nobody speaks, or chunks before HTTP/1.1', () => {
    for (const version of ['0.9', '1.2', '2.0', '1.32', '']) expect(read([HOST], version), version).toBeTypeOf('string')
    expect(read([HOST, ['Transfer-Encoding', 'chunked']], '1.0')).toBeTypeOf('string')
    expect(read([HOST, ['Content-Length', '5']], '1.0')).toMatchObject({ contentLength: 5 })
  })

  test('[WIRE3] a request names its host', () => {
    expect(read([])).toBe('no Host header')
    expect(read([['Host', '']])).toBe('no Host header')
  })
})

describe('single headers and aliases', () => {
  test.each(['Host', 'Authorization', 'Content-Type', 'Expect', 'Upgrade', 'Narrowgate-Ticket', 'narrowgate-anything'])('[WIRE4] %s stands once', name => {
    const headers: readonly Header[] = name === 'Host' ? [['hOST', 'api.test']] : [[name, 'a'], [name.toUpperCase(), 'a']]
    expect(read([HOST, ...headers])).toMatch(/stands twice$/)
  })

  test('[WIRE4] other headers may stand as often as they like', () => {
    expect(good(['Cookie', 'a=1'], ['Cookie', 'b=2'], ['X-Tier', 'a'], ['X-Tier', 'b'])).toMatchObject({ authorization: null })
  })

  test.each(['X_Forwarded_For', 'x-forwarded_proto', 'Content_Length', 'TRANSFER_ENCODING', 'Narrowgate_Subject', 'narrowgate-_', 'X_Real_IP', 'Client_Cert', 'X_Original_URL', 'HTTP2_Settings', 'proxy_authorization'])(
    '[WIRE4] %s is an alias of what the gateway decides by, and refused', name => expect(read([HOST, [name, '1']])).toMatch(/alias/))

  test('[WIRE4] an underscore in a name of the caller’s own is nothing', () => {
    expect(good(['X_Tier', 'a'], ['session_id', '1']).nominated.size).toBe(0)
  })
})

describe('nominations', () => {
  test('[WIRE6] what a request nominates is told, lower case, over all lines', () => {
    expect([...good(['Connection', 'Keep-Alive, X-Hop'], ['connection', ' ,x-more,, ']).nominated]).toEqual(['keep-alive', 'x-hop', 'x-more'])
  })

  test.each(['Authorization', 'host', 'Cookie', 'Content-Length', 'content-type', 'X-Forwarded-For', 'x-real-ip', 'Forwarded', 'Narrowgate-Context', 'narrowgate-ticket', 'Via', 'X-HTTP-Method-Override', 'client-cert', 'x-envoy-peer', 'DPoP', 'Range', 'Origin'])(
    '[WIRE6] a request does not nominate %s', name => expect(read([HOST, ['Connection', `close, ${name}`]])).toMatch(/may not be removed/))

  test('[WIRE3] an upgrade is one only where Connection says so', () => {
    expect(good(['Upgrade', 'websocket']).upgrade).toBeNull()
    expect(good(['Connection', 'Upgrade'], ['Upgrade', ' WebSocket ']).upgrade).toBe('websocket')
    expect(good(['Connection', 'upgrade']).upgrade).toBe('')
  })
})

test('[WIRE3] the order of headers of different names changes nothing', () => {
  const header = fc.tuple(fc.constantFrom('Host', 'host', 'Authorization', 'Content-Length', 'Transfer-Encoding', 'Connection', 'Upgrade', 'X-Tier', 'X_Real_IP', 'Narrowgate-Ticket'), fc.constantFrom('api.test', '5', 'chunked', 'upgrade', 'close, x-tier', 'host', ''))
  fc.assert(fc.property(fc.uniqueArray(header, { maxLength: 8, selector: ([name]) => name }), fc.nat(), (headers, by) => {
    const turned = headers.map((_, i) => headers[(i + by) % headers.length] ?? HOST)
    const [one, other] = [read(headers), read(turned)]
    expect(typeof one).toBe(typeof other)
    if (typeof one !== 'string') expect(other).toEqual(one)
  }), { numRuns: 2_000 })
})

test('[WIRE4] the one value of a header: none, one, or too many', () => {
  expect(onlyValue(['A', '1', 'B', '2'], 'b')).toBe('2')
  expect(onlyValue(['A', '1'], 'b')).toBeNull()
  expect(onlyValue(['B', '1', 'b', '1'], 'b')).toBe(false)
  expect(onlyValue(['A', 'b'], 'b')).toBeNull()
  expect(onlyValue(['B', ''], 'b')).toBe('')
})
