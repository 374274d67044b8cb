// Our parser of requests beside Node's own (llhttp, strict), on whole connections cut anywhere: whatever that one refuses we refuse, and what both take
// they read alike, one request behind the other. `SEED=… RUNS=…` goes elsewhere.
import { once } from 'node:events'
import { createServer, type IncomingMessage, METHODS } from 'node:http'
import { type Duplex, duplexPair } from 'node:stream'
import * as fc from 'fast-check'
import { afterAll, expect, test } from 'vitest'
import { BAD } from '../../../../src/http1/field-block.ts'
import { RequestParser, type RequestReader } from '../../../../src/proxy/http1/request-parser.ts'

const RUNS = Number(process.env['RUNS'] ?? 20_000)
const SEED = Number(process.env['SEED'] ?? 41)
const LIMITS = { head: 4_096, fields: 100 }

type Reading = { readonly method: string; readonly target: string; readonly version: string; readonly headers: readonly string[]; readonly switches: boolean; body: string; trailers: readonly string[]; whole: boolean }

// ---- both

/** What came whole on this connection, one behind the other. */
let seen: Reading[] = []
const server = createServer({ maxHeaderSize: 65_536, requireHostHeader: false, shouldUpgradeCallback: ({ headers: { upgrade } }) => upgrade?.trim().toLowerCase() === 'websocket' })
const begun = (message: IncomingMessage, switches: boolean): Reading => {
  const reading = { method: message.method ?? '', target: message.url ?? '', version: message.httpVersion, headers: message.rawHeaders, switches, body: '', trailers: [] as readonly string[], whole: switches }
  seen.push(reading)
  return reading
}
const asked = (message: IncomingMessage): void => {
  const reading = begun(message, false)
  message.on('error', () => undefined).on('data', (chunk: Buffer) => (reading.body += chunk.toString('latin1')))
  message.on('end', () => {
    reading.trailers = message.rawTrailers
    reading.whole = message.complete
  })
}
/** Behind the ends of what came whole before. */
const leave = (socket: Duplex): void => void setImmediate(() => socket.destroy())
server.maxHeadersCount = 0
server.on('request', asked).on('checkContinue', asked).on('checkExpectation', asked)
server.on('upgrade', (message: IncomingMessage, socket) => {
  begun(message, true)
  leave(socket)
})
server.on('connect', (_, socket) => leave(socket))
server.on('clientError', (_, socket) => leave(socket))
afterAll(() => server.close())

async function byNode(pieces: readonly Buffer[]): Promise<readonly Reading[]> {
  seen = []
  const [caller, called] = duplexPair()
  caller.on('error', () => undefined).resume()
  const closed = once(called, 'close')
  server.emit('connection', called)
  for (const piece of pieces) {
    caller.write(piece)
    await new Promise(setImmediate)
  }
  caller.end()
  await closed
  await new Promise(setImmediate)
  return seen
}

class Reader implements RequestReader {
  readonly readings: Reading[] = []
  readonly parser = new RequestParser(this, LIMITS)

  arrived(): void {
    const { method, target, minor, headers, framing: { upgrades } } = this.parser
    this.readings.push({ method, target, version: `1.${minor}`, headers, switches: upgrades, body: '', trailers: [], whole: false })
  }

  data(chunk: Buffer): void { (this.readings.at(-1) as Reading).body += chunk.toString('latin1') } // told behind a head
  ended(trailers: readonly string[]): void { Object.assign(this.readings.at(-1) as Reading, { trailers, whole: true }) } // likewise
}

function byUs(pieces: readonly Buffer[]): { readonly readings: readonly Reading[]; readonly broken: boolean } {
  const reader = new Reader()
  for (const piece of pieces) {
    for (let rest = piece; rest.length > 0;) {
      const taken = reader.parser.read(rest)
      const whole = reader.readings.filter(reading => reading.whole)
      if (taken === BAD || whole.at(-1)?.switches === true) return { readings: whole, broken: taken === BAD }
      rest = rest.subarray(taken)
      if (reader.parser.whole && !reader.parser.framing.keeps) return { readings: whole, broken: false } // nothing is read behind it
      if (reader.parser.whole) reader.parser.begin()
    }
  }
  return { readings: reader.readings.filter(reading => reading.whole), broken: false }
}

// ---- requests

const token = fc.stringMatching(/^[A-Za-z!#$%&'*+.^_`|~-]{1,8}$/)
const value = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,10}[!-~\x80-\xff])?)?$/)
const space = fc.constantFrom('', ' ', '  ', '\t')
const field = fc.tuple(token, space, value, space).map(([name, before, text, behind]) => `${name}:${before}${text}${behind}\r\n`)
const fields = fc.array(field, { maxLength: 4 }).map(lines => lines.join(''))
const extension = fc.constantFrom('', '', ';a', ';a=b', ';a="b c";d', ';x="\\""')
const text = fc.string({ minLength: 1, maxLength: 30, unit: 'binary-ascii' })
const chunk = fc.tuple(text, extension).map(([data, ext]) => `${data.length.toString(16)}${ext}\r\n${data}\r\n`)
const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS', ...METHODS.filter(name => name !== 'CONNECT'))
const target = fc.oneof(
  { weight: 4, arbitrary: fc.stringMatching(/^\/[!-~]{0,20}$/) },
  fc.tuple(fc.stringMatching(/^(?:https?|[A-Za-z]{1,6}):\/\/[\w.:[\]-]{1,6}(?:@[\w.:[\]-]{0,6})?$/), fc.constantFrom('', '/', '/a?b#c', '?a')).map(([origin, rest]) => origin + rest), fc.constant('*'),
)
const bare = fc.tuple(fc.constantFrom('', '\r\n'), method, target, fc.constantFrom('1.1', '1.1', '1.0'), fields).map(([before, verb, where, version, lines]) => `${before}${verb} ${where} HTTP/${version}\r\n${lines}\r\n`)
const sized = fc.tuple(method, target, fields, text).map(([verb, where, lines, body]) => `${verb} ${where} HTTP/1.1\r\n${lines}Content-Length: ${body.length}\r\n\r\n${body}`)
const chunked = fc.tuple(method, target, fields, fc.array(chunk, { maxLength: 4 }), fields).map(([verb, where, lines, chunks, trailers]) =>
  `${verb} ${where} HTTP/1.1\r\n${lines}Transfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n${trailers}\r\n`)
const switching = target.map(where => `GET ${where} HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n\x81\x00`)
const expecting = text.map(body => `PUT /a HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
const one = fc.oneof({ weight: 3, arbitrary: bare }, { weight: 3, arbitrary: sized }, { weight: 4, arbitrary: chunked }, expecting)
const valid = fc.tuple(fc.array(one, { minLength: 1, maxLength: 3 }), fc.oneof({ weight: 6, arbitrary: fc.constant('') }, switching)).map(([all, last]) => all.join('') + last)
  .filter(bytes => !/^Connection: *close/im.test(bytes))

const NASTY = ['\r', '\n', '\0', ' ', '\t', ':', ';', '"', '\\', ',', '0', '9', 'f', '-', '+', '\x7f', '\x0b', '\xff', '\x80', '#', '?', '/', '\r\n', '\n\n', '\r\n\r\n', '\r\n ', '\n ', '0\r\n\r\n', ' :', ' HTTP/1.1', 'GET / HTTP/1.1\r\n']
const LINES = ['Content-Length: 5', 'Content-Length: 0', 'content-length:5 ', 'Content-Length: 5, 5', 'Content-Length: 05', 'Content-Length: +5', 'Content-Length: 5;', 'Content-Length:', 'Content-Length : 5', 'Content-Length: 0x5',
  'Transfer-Encoding: chunked', 'transfer-encoding:CHUNKED\t', 'Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: chunked, identity', 'Transfer-Encoding: identity', 'Transfer-Encoding:\x0bchunked',
  'Transfer-Encoding: "chunked"', 'Transfer-Encoding:', ' folded', '\tfolded', 'X', ':', 'X : y', 'X\0: y', 'Connection: close', 'Connection: keep-alive, upgrade', 'Connection: upgrade', 'Upgrade: h2c', 'Upgrade: websocket', 'Upgrade: websocket, h2c',
  'Expect: 100-continue', 'Expect: 200-ok', 'Trailer: X', 'Host: a', 'Proxy-Connection: close']
type Mutation = (bytes: string) => string
const at = (bytes: string, place: number): number => place % (bytes.length + 1)
const place = fc.noBias(fc.nat(2_000))
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(place, fc.constantFrom(...NASTY)).map(([where, what]): Mutation => bytes => bytes.slice(0, at(bytes, where)) + what + bytes.slice(at(bytes, where))),
  fc.tuple(place, fc.integer({ min: 1, max: 3 })).map(([where, length]): Mutation => bytes => bytes.slice(0, at(bytes, where)) + bytes.slice(at(bytes, where) + length)),
  fc.tuple(place, fc.nat(255)).map(([where, octet]): Mutation => bytes => bytes.slice(0, at(bytes, where)) + String.fromCharCode(octet) + bytes.slice(at(bytes, where) + 1)),
  fc.tuple(place, fc.constantFrom(...LINES)).map(([where, line]): Mutation => bytes => {
    const ends = [...bytes.matchAll(/\r\n/g)].map(({ index }) => index + 2)
    const end = ends[where % Math.max(1, ends.length)] ?? 0
    return `${bytes.slice(0, end)}${line}\r\n${bytes.slice(end)}`
  }),
  fc.tuple(place, fc.nat(40)).map(([where, length]): Mutation => bytes => bytes.slice(0, at(bytes, where)) + bytes.slice(at(bytes, where), at(bytes, where) + length) + bytes.slice(at(bytes, where))),
  fc.tuple(place, fc.constantFrom('\n', '\r', '\n\r')).map(([where, end]): Mutation => bytes => {
    const ends = [...bytes.matchAll(/\r\n/g)].map(({ index }) => index)
    const line = ends[where % Math.max(1, ends.length)] ?? 0
    return bytes.slice(0, line) + end + bytes.slice(line + 2)
  }),
  place.map((where): Mutation => bytes => bytes.slice(0, at(bytes, where))),
)

const cuts = fc.array(fc.nat(600), { maxLength: 3 })
const cut = (bytes: string, places: readonly number[]): readonly Buffer[] => {
  const sorted = [...new Set(places.filter(where => where > 0 && where < bytes.length))].sort((a, b) => a - b)
  return [0, ...sorted].map((from, i) => Buffer.from(bytes.slice(from, sorted[i] ?? bytes.length), 'latin1')).filter(piece => piece.length > 0)
}

// ---- what holds

test(`[WIRE3] valid requests, cut anywhere, are read by both and alike (${RUNS / 4})`, async () => {
  await fc.assert(fc.asyncProperty(valid, cuts, async (bytes, places) => {
    const pieces = cut(bytes, places)
    const { readings, broken } = byUs(pieces)
    expect([broken, readings], JSON.stringify(bytes)).toEqual([false, await byNode(pieces)])
    expect(readings.length).toBeGreaterThan(0)
  }), { seed: SEED, numRuns: RUNS / 4 })
}, 120_000)

test(`[WIRE3] of requests that were tampered with, we take none that llhttp refuses, and read the others as it does (${RUNS})`, async () => {
  const met = { alike: 0, refusedByBoth: 0, stricter: 0 }
  await fc.assert(fc.asyncProperty(valid, fc.array(mutation, { minLength: 1, maxLength: 3 }), cuts, async (bytes, mutations, places) => {
    const tampered = mutations.reduce((so, change) => change(so), bytes)
    const pieces = cut(tampered, places)
    const { readings, broken } = byUs(pieces)
    const node = (await byNode(pieces)).filter(({ whole }) => whole)
    expect(readings, JSON.stringify(tampered)).toEqual(node.slice(0, readings.length))
    met[node.length > readings.length ? 'stricter' : broken ? 'refusedByBoth' : 'alike']++
  }), { seed: SEED, numRuns: RUNS })
  expect(met.alike).toBeGreaterThan(RUNS / 10)
  expect(met.refusedByBoth).toBeGreaterThan(RUNS / 10)
}, 240_000)
