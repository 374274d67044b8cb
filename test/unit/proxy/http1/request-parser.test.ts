// The request parser alone: what it takes and refuses and as what, octet by octet as well as whole, and that it stops and goes on at the very octet.
import { describe, expect, test } from 'vitest'
import { BAD } from '../../../../src/http1/field-block.ts'
import { KeptOctets } from '../../../../src/proxy/http1/kept-octets.ts'
import { RequestParser, type RequestReader } from '../../../../src/proxy/http1/request-parser.ts'

const LIMITS = { head: 256, fields: 8 }

class Heard implements RequestReader {
  readonly told: string[] = []
  readonly parser = new RequestParser(this, LIMITS)
  halts = false

  arrived(): void { this.#tell(`${this.parser.method} ${this.parser.target} 1.${this.parser.minor} ${this.parser.headers.join('|')}`) }
  data(chunk: Buffer): void { this.#tell(`data ${chunk.toString('latin1')}`) }
  ended(trailers: readonly string[]): void { this.#tell(`end ${trailers.join('|')}`) }

  #tell(what: string): void {
    this.told.push(what)
    if (this.halts) this.parser.halt()
  }
}

/** What became of one request: told, or the reason why not; null where more must come. */
function readAs(bytes: string, size: number): string | null {
  const heard = new Heard()
  for (let at = 0; at < bytes.length; at += size) {
    if (heard.parser.read(Buffer.from(bytes.slice(at, at + size), 'latin1')) === BAD) return heard.parser.fault
    if (heard.parser.whole) return heard.told.join(', ')
  }
  return null
}
const outcome = (bytes: string): string | null => {
  const whole = readAs(bytes, bytes.length)
  expect(readAs(bytes, 1), 'octet by octet').toBe(whole)
  return whole
}

const get = (lines: string, line = 'GET / HTTP/1.1'): string => `${line}\r\n${lines}\r\n`

describe('refuses', () => {
  const BROKEN: readonly (readonly [what: string, bytes: string, fault?: string])[] = [
    ['a bare LF behind the request line', 'GET / HTTP/1.1\nHost: a\r\n\r\n'], ['a bare LF behind a field', get('Host: a\nX: b\r\n')], ['a bare LF for the empty line', 'GET / HTTP/1.1\r\nHost: a\r\n\n'],
    ['a bare CR', get('Host: a\rX: b\r\n')], ['a bare CR in front', '\rGET / HTTP/1.1\r\n\r\n'], ['a bare LF in front', '\nGET / HTTP/1.1\r\n\r\n'], ['a folded line', get('Host: a\r\n b\r\n')],
    ['a space before the colon', get('Host : a\r\n')], ['no name', get(': a\r\n')], ['no colon', get('Host\r\n')], ['a NUL in a value', get('X: a\0b\r\n')], ['a space in front of the method', ' GET / HTTP/1.1\r\n\r\n'],
    ['two spaces', 'GET  / HTTP/1.1\r\n\r\n'], ['a space behind the version', 'GET / HTTP/1.1 \r\n\r\n'], ['a tab for a space', 'GET\t/ HTTP/1.1\r\n\r\n'], ['no version', 'GET /\r\n\r\n'], ['no target', 'GET HTTP/1.1\r\n\r\n'],
    ['HTTP/1.2', get('', 'GET / HTTP/1.2')], ['HTTP/2.0', get('', 'PRI * HTTP/2.0')], ['HTTP/0.9', get('', 'GET / HTTP/0.9')], ['http/1.1', get('', 'GET / http/1.1')], ['RTSP', get('', 'OPTIONS / RTSP/1.0')], ['ICE', get('', 'SOURCE / ICE/1.0')],
    ['HTTP/1.10', get('', 'GET / HTTP/1.10')], ['an unknown method', get('', 'GRT / HTTP/1.1')], ['a method in small letters', get('', 'get / HTTP/1.1')], ['a target beyond ASCII', get('', 'GET /\xe9 HTTP/1.1')],
    ['a target that is no path', get('', 'GET admin HTTP/1.1')], ['an asterisk with more', get('', 'OPTIONS *x HTTP/1.1')], ['two users in an authority', get('', 'GET http://a@b@c/ HTTP/1.1')], ['an authority alone', get('', 'GET a:80 HTTP/1.1')],
    ['two lengths', get('Content-Length: 1\r\nContent-Length: 2\r\n')], ['two lengths that agree', get('Content-Length: 1\r\ncontent-length: 1\r\n')], ['a list of lengths', get('Content-Length: 1, 1\r\n')], ['a length with a sign', get('Content-Length: +1\r\n')],
    ['a length in hexadecimal', get('Content-Length: 0x1\r\n')], ['an empty length', get('Content-Length:\r\n')], ['a length beyond all', get('Content-Length: 9999999999999999\r\n')],
    ['a length and chunks', get('Content-Length: 1\r\nTransfer-Encoding: chunked\r\n')], ['chunks and a length', get('Transfer-Encoding: chunked\r\nContent-Length: 1\r\n')], ['another coding', get('Transfer-Encoding: gzip\r\n')],
    ['another coding before', get('Transfer-Encoding: gzip, chunked\r\n')], ['chunks twice', get('Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n')], ['an empty coding', get('Transfer-Encoding:\r\n')], ['a tab behind the coding', get('Transfer-Encoding: chunked\t\r\n')],
    ['chunks in HTTP/1.0', get('Transfer-Encoding: chunked\r\n', 'GET / HTTP/1.0')], ['an upgrade with a body', get('Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n')], ['a length in a trailer', `${get('Transfer-Encoding: chunked\r\n')}0\r\nContent-Length: 1\r\n\r\n`],
    ['a Connection in a trailer', `${get('Transfer-Encoding: chunked\r\n')}0\r\nConnection: close\r\n\r\n`], ['a chunk longer than it says', `${get('Transfer-Encoding: chunked\r\n')}1\r\nab\r\n0\r\n\r\n`], ['a chunk line that ends in LF', `${get('Transfer-Encoding: chunked\r\n')}1\nab\r\n`],
    ['CONNECT', get('', 'CONNECT a:443 HTTP/1.1'), 'method_refused'], ['an expectation nobody knows', get('Expect: 200-ok\r\n'), 'expectation_failed'], ['two expectations, the last unknown', get('Expect: 100-continue\r\nExpect: x\r\n'), 'expectation_failed'],
    ['a field too many', get(Array.from({ length: 9 }, (_, i) => `X${i}: a\r\n`).join('')), 'headers_too_large'], ['a head too large', get(`X: ${'a'.repeat(256)}\r\n`), 'headers_too_large'], ['a target too large', get('', `GET /${'a'.repeat(256)} HTTP/1.1`), 'headers_too_large'],
    ['a method too large', 'G'.repeat(300), 'headers_too_large'], ['trailers too large', `${get('Transfer-Encoding: chunked\r\n')}0\r\nX: ${'a'.repeat(256)}\r\n\r\n`, 'headers_too_large'],
  ]
  test.each(BROKEN.map(([what, bytes, fault]) => ({ what, bytes, fault: fault ?? 'bad_request' })))('[WIRE3] $what', ({ bytes, fault }) => expect(outcome(bytes)).toBe(fault))
})

describe('takes', () => {
  const GOOD: readonly (readonly [what: string, bytes: string, told: string])[] = [
    ['a request without fields', get(''), 'GET / 1.1 , end '], ['one of HTTP/1.0', get('', 'GET / HTTP/1.0'), 'GET / 1.0 , end '], ['empty lines in front', `\r\n\r\n${get('')}`, 'GET / 1.1 , end '],
    ['names and values as they came', get('hOsT:a\r\nX: \t b c \t\r\nX:\r\n'), 'GET / 1.1 hOsT|a|X|b c|X|, end '], ['octets beyond ASCII in a value', get('X: \xe9\r\n'), 'GET / 1.1 X|\xe9, end '],
    ['an absolute target', get('', 'GET http://u:p@a:80/b?c#d HTTP/1.1'), 'GET http://u:p@a:80/b?c#d 1.1 , end '], ['an asterisk', get('', 'OPTIONS * HTTP/1.1'), 'OPTIONS * 1.1 , end '], ['any visible octet in a target', get('', 'GET /"<>\\^`{|}#?# HTTP/1.1'), 'GET /"<>\\^`{|}#?# 1.1 , end '],
    ['a body of no bytes', get('Content-Length: 0\r\n'), 'GET / 1.1 Content-Length|0, end '], ['methods that are refused elsewhere', get('', 'PURGE / HTTP/1.1'), 'PURGE / 1.1 , end '], ['methods llhttp does not know', get('', 'BASELINE-CONTROL / HTTP/1.1'), 'BASELINE-CONTROL / 1.1 , end '],
    ['an expectation in HTTP/1.0', get('Expect: x\r\n', 'GET / HTTP/1.0'), 'GET / 1.0 Expect|x, end '],
  ]
  test.each(GOOD)('[WIRE3] %s', (_, bytes, told) => expect(outcome(bytes)).toBe(told))

  test.each([1, 2, 7, 1_000])('[WIRE3, WIRE7] bodies of both kinds, in pieces of %d octets', size => {
    const bytes = `${get('Content-Length: 5\r\n', 'PUT /a HTTP/1.1')}hello${get('Transfer-Encoding: Chunked\r\n', 'PUT /b HTTP/1.1')}3;x="y"\r\nabc\r\n0002\r\nde\r\n0\r\nX-Sum: 1\r\n\r\n${get('')}`
    const heard = new Heard()
    for (let at = 0; at < bytes.length; at += size) {
      for (let rest = Buffer.from(bytes.slice(at, at + size), 'latin1'); rest.length > 0;) {
        rest = rest.subarray(heard.parser.read(rest))
        if (heard.parser.whole) heard.parser.begin()
      }
    }
    expect(heard.told.join(',').replaceAll(/,?data /g, '')).toBe('PUT /a 1.1 Content-Length|5hello,end ,PUT /b 1.1 Transfer-Encoding|Chunkedabcde,end X-Sum|1,GET / 1.1 ,end ')
  })
})

test('[WIRE3] stops behind each request and goes on where it was halted', () => {
  const heard = new Heard()
  heard.halts = true
  const bytes = Buffer.from(`${get('Transfer-Encoding: chunked\r\n', 'PUT /a HTTP/1.1')}1\r\na\r\n2\r\nbc\r\n0\r\n\r\n${get('')}`, 'latin1')
  const stops: string[] = []
  for (let at = 0; !heard.parser.whole;) {
    heard.parser.proceed()
    at += heard.parser.read(bytes.subarray(at))
    stops.push(bytes.toString('latin1', at, at + 3))
  }
  expect(stops).toEqual(['1\r\n', '\r\n2', '\r\n0', 'GET'])
  expect(heard.told).toEqual(['PUT /a 1.1 Transfer-Encoding|chunked', 'data a', 'data bc', 'end '])
  expect(heard.parser.read(bytes)).toBe(0)
})

test('[WIRE3] tells what the connection is asked for', () => {
  const asked = (lines: string, line = 'GET / HTTP/1.1'): unknown => {
    const heard = new Heard()
    heard.parser.read(Buffer.from(get(lines, line), 'latin1'))
    const { keeps, expectsContinue, upgrades } = heard.parser.framing
    return [keeps, expectsContinue, upgrades]
  }
  expect(asked('')).toEqual([true, false, false])
  expect(asked('Connection: a, CLOSE\r\n')).toEqual([false, false, false])
  expect(asked('Connection: close\r\nConnection: keep-alive\r\n')).toEqual([false, false, false])
  expect(asked('Proxy-Connection: Close\r\n')).toEqual([false, false, false])
  expect(asked('', 'GET / HTTP/1.0')).toEqual([false, false, false])
  expect(asked('Connection: Keep-Alive\r\n', 'GET / HTTP/1.0')).toEqual([true, false, false])
  expect(asked('Expect: 100-Continue\r\n')).toEqual([true, true, false])
  expect(asked('Expect: 100-continue\r\n', 'GET / HTTP/1.0')).toEqual([false, false, false])
  expect(asked('Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n')).toEqual([true, false, true])
  for (const lines of ['Upgrade: websocket\r\n', 'Connection: upgrade\r\n', 'Connection: upgrade\r\nUpgrade: h2c\r\n', 'Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n', 'Connection: upgrade\r\nUpgrade: websocket, h2c\r\n']) {
    expect(asked(lines), lines).toEqual([true, false, false])
  }
})

test('[WIRE14] what waits is counted by requests where it begins with one, bodies are not taken for requests, and nonsense counts for nothing', () => {
  const counted = (...pieces: readonly string[]): number => {
    const kept = new KeptOctets(LIMITS)
    for (const piece of pieces) kept.add(Buffer.from(piece, 'latin1'), true)
    return kept.requests
  }
  expect(counted(get('').repeat(5))).toBe(5)
  expect(counted(...get('').repeat(5).match(/[^]{1,3}/g) ?? [])).toBe(5)
  expect(counted(`${get('Content-Length: 36\r\n')}${get('').repeat(2)}`)).toBe(1)
  expect(counted(`${get('')}nonsense\r\n\r\n${get('')}`)).toBe(1)
  const kept = new KeptOctets(LIMITS)
  kept.add(Buffer.from(get('').repeat(3)), true)
  const octets = kept.take()
  kept.begun()
  kept.putBack(octets.subarray(get('').length))
  kept.add(Buffer.from(get('')), true)
  expect([kept.requests, kept.take().toString()]).toEqual([3, get('').repeat(3)])
  kept.putBack(Buffer.alloc(0))
  expect([kept.requests, kept.length]).toEqual([0, 0])
})
