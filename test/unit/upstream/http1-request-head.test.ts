// The head a request is written with: what it looks like, and everything that keeps it from being written at all.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { UpstreamRequest } from '../../../src/upstream/handler.ts'
import { lastChunk, requestHead } from '../../../src/upstream/http1/request-head.ts'

const REQUEST: UpstreamRequest = { method: 'GET', path: '/a?b', headers: ['host', 'api.test', 'Accept', '*/*'], bodyLength: 0 }
const START = 'GET /a?b HTTP/1.1\r\nhost: api.test\r\nAccept: */*\r\n'

test('[WIRE12] framing is made here: nothing, a length or chunks', () => {
  expect(requestHead(REQUEST)).toBe(`${START}\r\n`)
  expect(requestHead({ ...REQUEST, bodyLength: 5 })).toBe(`${START}content-length: 5\r\n\r\n`)
  expect(requestHead({ ...REQUEST, bodyLength: null })).toBe(`${START}transfer-encoding: chunked\r\n\r\n`)
  expect(requestHead({ ...REQUEST, method: 'POST' })).toBe(`${START.replace('GET', 'POST')}content-length: 0\r\n\r\n`)
})

test('[WIRE22] te is nominated, as HTTP/1.1 wants it', () => {
  expect(requestHead({ ...REQUEST, headers: ['host', 'a', 'te', 'trailers'] })).toBe('GET /a?b HTTP/1.1\r\nhost: a\r\nte: trailers\r\nconnection: te\r\n\r\n')
})

const refused: ReadonlyMap<string, Partial<UpstreamRequest>> = new Map<string, Partial<UpstreamRequest>>([
  ['a method with a space', { method: 'GET /x' }], ['CONNECT', { method: 'CONNECT' }], ['no method', { method: '' }],
  ['a path with a space', { path: '/a b' }], ['a path with a line end', { path: '/a\r\nX: y' }], ['a path above ASCII', { path: '/\u0120' }], ['no path', { path: '' }],
  ['no host', { headers: ['accept', 'a'] }], ['no header at all', { headers: [] }], ['host not first', { headers: ['a', 'b', 'host', 'a'] }], ['two hosts', { headers: ['host', 'a', 'Host', 'b'] }],
  ['a name that holds another line', { headers: ['host', 'a', 'x: y', 'z'] }], ['a name that hides one of ours', { headers: ['host', 'a', 'host: b', 'c'] }],
  ['a name without value', { headers: ['host', 'a', 'b'] }],
  ...['connection', 'Content-Length', 'TRANSFER-ENCODING', 'keep-alive', 'upgrade', 'Proxy-Connection'].map(name => [`${name} of others`, { headers: ['host', 'a', name, '1'] }] as const),
  ['a negative length', { bodyLength: -1 }], ['half a byte', { bodyLength: 0.5 }], ['no number', { bodyLength: Number.NaN }], ['no end', { bodyLength: Infinity }],
])
test.each([...refused])('[WIRE12] not written: %s', (_, change) => expect(requestHead({ ...REQUEST, ...change })).toBeNull())

test('[WIRE6, WIRE12] whatever names and values are, the octets written hold one line for each field, or there are none', () => {
  const nasty = fc.constantFrom('\r', '\n', '\0', '\r\n', '\u010a', '\u010d', '\u560a', ':', ' ', '\t', '\x7f', '\x0b', 'a', 'content-length', '\xff', 'connection')
  const text = fc.array(fc.oneof(nasty, fc.string({ maxLength: 3, unit: 'binary' })), { maxLength: 4 }).map(parts => parts.join(''))
  const met = { written: 0, not: 0 }
  fc.assert(fc.property(fc.array(text, { maxLength: 3 }), fc.array(text, { maxLength: 3 }), (names, values) => {
    const extra = names.flatMap((name, i) => [name, values[i] ?? 'x'])
    for (const written of [requestHead({ ...REQUEST, headers: ['host', 'a', ...extra] }), lastChunk(extra)]) {
      met[written === null ? 'not' : 'written']++
      if (written === null) continue
      const lines = Buffer.from(written, 'latin1').toString('latin1').split('\r\n')
      expect(lines.join('')).not.toMatch(/[\r\n\0]/)
      const nominated = lines.includes('connection: te') ? 1 : 0
      expect(lines.length - nominated).toBe(names.length + (written.startsWith('GET') ? 4 : 3))
      expect(lines.slice(1, -2).every(line => /^[!#$%&'*+\-.^_`|~\w]+: /.test(line))).toBe(true)
    }
  }), { numRuns: 5_000 })
  expect(Math.min(met.written, met.not)).toBeGreaterThan(500)
})

test('[WIRE22] trailers stand behind the last chunk, and frame nothing', () => {
  expect(lastChunk([])).toBe('0\r\n\r\n')
  expect(lastChunk(['grpc-status', '0', 'X', ''])).toBe('0\r\ngrpc-status: 0\r\nX: \r\n\r\n')
  for (const trailers of [['content-length', '1'], ['Transfer-Encoding', 'chunked'], ['host', 'a'], ['a\r\nb', 'c'], ['a', 'b\r\n'], ['a'], ['', 'b']]) expect(lastChunk(trailers)).toBeNull()
})
