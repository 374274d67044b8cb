// What node:http lets through and a gateway must not: framing, single headers, aliases, nominations.
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Head, onlyValue, readHead } from '../../../src/proxy/http/head.ts'

type Header = readonly [name: string, value: string]

const read = (headers: readonly Header[], version = '1.1', { connects = null as string | null, complete = false } = {}): Head | string => readHead({ headers: headers.flat(), version, connects, complete })
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
    for (const version of ['0.9', '1.2', '2.0', '1.32', '3', '']) expect(read([HOST], version), version).toBeTypeOf('string')
    expect(read([HOST, ['Transfer-Encoding', 'chunked']], '1.0')).toBeTypeOf('string')
    expect(read([HOST, ['Content-Length', '5']], '1.0')).toMatchObject({ contentLength: 5 })
  })

  test('[WIRE3] a request names its host', () => {
    expect(read([])).toBe('no Host header')
    expect(read([['Host', '']])).toBe('no Host header')
  })
})

describe('single headers and aliases', () => {
  test.each(['Host', 'Authorization', 'Content-Type', 'Expect', 'Upgrade', 'Origin', 'Max-Forwards', 'Access-Control-Request-Method', 'Narrowgate-Ticket', 'narrowgate-anything'])('[WIRE4] %s stands once', name => {
    const headers: readonly Header[] = name === 'Host' ? [['hOST', 'api.test']] : [[name, 'a'], [name.toUpperCase(), 'a']]
    expect(read([HOST, ...headers])).toMatch(/stands twice$/)
  })

  test('[WIRE4] other headers may stand as often as they like', () => {
    expect(good(['Cookie', 'a=1'], ['Cookie', 'b=2'], ['X-Tier', 'a'], ['X-Tier', 'b'])).toMatchObject({ authorization: null })
  })

  test.each(['X_Forwarded_For', 'x-forwarded_proto', 'Content_Length', 'TRANSFER_ENCODING', 'Narrowgate_Subject', 'narrowgate-_', 'X_Real_IP', 'Client_Cert', 'X_Original_URL', 'HTTP2_Settings', 'proxy_authorization', 'Narrowgate.Context', 'x.forwarded.for', 'Client!Cert', 'Max_Forwards'])(
    '[WIRE4] %s is an alias of what the gateway decides by, and refused', name => expect(read([HOST, [name, '1']])).toMatch(/alias/))

  test('[WIRE4] an underscore in a name of the caller’s own is nothing', () => {
    expect(good(['X_Tier', 'a'], ['session_id', '1']).nominated.size).toBe(0)
  })
})

describe('nominations', () => {
  test('[WIRE6] what a request nominates is told, lower case, over all lines', () => {
    expect([...good(['Connection', 'Keep-Alive, X-Hop'], ['connection', ' ,x-more,, ']).nominated]).toEqual(['keep-alive', 'x-hop', 'x-more'])
  })

  test.each(['Authorization', 'host', 'Cookie', 'Content-Length', 'content-type', 'X-Forwarded-For', 'x-real-ip', 'Forwarded', 'Narrowgate-Context', 'narrowgate-ticket', 'Via', 'X-HTTP-Method-Override', 'client-cert', 'x-envoy-peer', 'DPoP', 'Range', 'Origin', 'Early-Data', 'Max-Forwards', 'X_Forwarded_For', 'narrowgate_context'])(
    '[WIRE6] a request does not nominate %s', name => expect(read([HOST, ['Connection', `close, ${name}`]])).toMatch(/may not be removed/))

  test('[WIRE3] an upgrade is one only where Connection says so', () => {
    expect(good(['Upgrade', 'websocket']).upgrade).toBeNull()
    expect(good(['Connection', 'Upgrade'], ['Upgrade', ' WebSocket ']).upgrade).toBe('websocket')
    expect(good(['Connection', 'upgrade']).upgrade).toBe('')
  })
})

describe('HTTP/2', () => {
  const H: Header = ['host', 'api.test']
  test.each(['connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'upgrade'])('[H2-008, WIRE16] %s has no place in it', name => {
    for (const value of ['close', 'x-hop', 'chunked', '']) expect(read([H, [name, value]], '2')).toBe(`header ${name} has no place in HTTP/2`)
  })

  test('[WIRE16] a name in capitals is malformed', () => {
    for (const name of ['Host', 'X-Tier', 'x-Tier']) expect(read([H, [name, 'a']], '2'), name).toMatch(/no place in HTTP\/2/)
  })

  test('[H2-008, WIRE16] TE is trailers or malformed', () => {
    expect(read([H, ['te', 'trailers']], '2')).toMatchObject({ trailers: true })
    expect(read([H], '2')).toMatchObject({ trailers: false })
    for (const value of ['gzip', 'trailers, gzip', 'trailers;q=1', '', 'trailers, trailers']) expect(read([H, ['te', value]], '2'), value).toBe('TE is something other than trailers')
  })

  test('[WIRE16] without a length only the end of the body tells, unless it is there already', () => {
    expect(read([H], '2')).toMatchObject({ contentLength: null })
    expect(read([H], '2', { complete: true })).toMatchObject({ contentLength: 0 })
    expect(read([H, ['content-length', '5']], '2')).toMatchObject({ contentLength: 5 })
    for (const value of ['-1', '5,5', 'x']) expect(read([H, ['content-length', value]], '2')).toBe('Content-Length is not a number')
  })

  test('[WIRE16] an extended CONNECT is the upgrade it names', () => {
    expect(read([H], '2', { connects: 'WebSocket' })).toMatchObject({ upgrade: 'websocket' })
    expect(read([H], '2')).toMatchObject({ upgrade: null })
  })

  test('[WIRE15] the same headers make the same head in both versions', () => {
    const name = fc.constantFrom('authorization', 'origin', 'via', 'early-data', 'content-length', 'x-tier', 'x_real_ip', 'narrowgate-ticket', 'max-forwards', 'x y', '')
    fc.assert(fc.property(fc.array(fc.tuple(name, fc.constantFrom('5', 'a', '')), { maxLength: 6 }), headers => {
      const [one, two] = [read([H, ...headers], '1.1'), read([H, ...headers], '2', { complete: true })]
      if (typeof one === 'string' || typeof two === 'string') expect(two).toEqual(one)
      else expect({ ...two, version: '1.1' }).toEqual({ ...one })
    }), { numRuns: 2_000 })
  })
})

describe('what else a head tells', () => {
  test('[WIRE22] trailers are asked for by a nominated TE', () => {
    expect(good(['TE', 'trailers'], ['Connection', 'TE']).trailers).toBe(true)
    expect(good(['TE', 'deflate;q=0.5, Trailers'], ['Connection', 'keep-alive, te']).trailers).toBe(true)
    for (const headers of [[['TE', 'trailers']], [['TE', 'gzip'], ['Connection', 'te']], [['Connection', 'te']]] as const) expect(good(...headers).trailers).toBe(false)
  })

  test('[AZ-018, WIRE22] any Early-Data at all is early data', () => {
    for (const headers of [[['Early-Data', '1']], [['early-data', '0']], [['Early-Data', '1'], ['Early-Data', '1']]] as const) expect(good(...headers).earlyData).toBe(true)
    expect(good().earlyData).toBe(false)
  })

  test('[WIRE22] all lines of Via, the last forward, and who asks from which page', () => {
    expect(good(['Via', '1.1 a, 1.0 b'], ['via', '2 c'], ['Max-Forwards', '3'], ['Origin', 'https://a.test'], ['Access-Control-Request-Method', 'PUT'])).toMatchObject({ via: '1.1 a, 1.0 b, 2 c', maxForwards: '3', origin: 'https://a.test', asksForMethod: 'PUT' })
    expect(good()).toMatchObject({ via: null, maxForwards: null, origin: null, asksForMethod: null })
  })

  test.each(['', ' ', 'x y', 'x-tier ', '\tx', 'x\u0000', 'é', 'x:y', 'narrowgate-context ', 'Narrowgate-Subject\t'])('[WIRE4] %j is no name of a header', name => expect(read([HOST, [name, '1']])).toBe('a header name is no name'))
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
