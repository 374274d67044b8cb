// Our parser beside Node's own (llhttp, strict) behind a real socket: whatever that one refuses we refuse, and what both take they read alike.
import { once } from 'node:events'
import { Agent, type IncomingMessage, request } from 'node:http'
import { type AddressInfo, createServer, type Server } from 'node:net'
import * as fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { AnswerHead } from '../../../src/upstream/handler.ts'
import { BAD } from '../../../src/http1/field-block.ts'
import { RESPONSE_LIMITS, ResponseParser } from '../../../src/upstream/http1/response-parser.ts'

type Reading = { readonly status: number; readonly text: string; readonly headers: readonly string[]; readonly body: string; readonly trailers: readonly string[] }

let server: Server
let port = 0
let pieces: readonly Buffer[] = []

beforeAll(async () => {
  server = createServer({ noDelay: true }, socket => {
    socket.on('error', () => undefined)
    socket.once('data', () => void answer(socket))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  port = (server.address() as AddressInfo).port // it listens on TCP
})
afterAll(() => server.close())

async function answer(socket: { write(chunk: Buffer): boolean; end(): unknown }): Promise<void> {
  for (const piece of pieces) {
    socket.write(piece)
    await new Promise(setImmediate)
  }
  socket.end()
}

/** null: refused, or not whole. */
async function byNode(method: string): Promise<Reading | null> {
  const agent = new Agent({ keepAlive: false })
  const over = Promise.withResolvers<Reading | null>()
  const asked = request({ host: '127.0.0.1', port, method, agent, maxHeaderSize: RESPONSE_LIMITS.head })
  asked.on('response', (response: IncomingMessage) => {
    const body: Buffer[] = []
    response.on('data', (chunk: Buffer) => body.push(chunk))
    response.on('error', () => undefined)
    response.on('close', () => over.resolve(!response.complete || !response.readableEnded ? null : {
      status: response.statusCode ?? 0, text: response.statusMessage ?? '', headers: response.rawHeaders, body: Buffer.concat(body).toString('latin1'), trailers: response.rawTrailers,
    }))
  })
  asked.on('upgrade', (_, socket) => socket.destroy())
  asked.on('error', () => undefined)
  asked.on('close', () => setImmediate(() => over.resolve(null)))
  asked.end()
  return over.promise
}

function byUs(method: string): { readonly reading: Reading | null; readonly surplus: boolean } {
  const heads: AnswerHead[] = []
  const body: Buffer[] = []
  let trailers: readonly string[] | null = null
  const parser = new ResponseParser({ informed: () => undefined, answered: head => heads.push(head), data: chunk => body.push(chunk), ended: told => (trailers = told) }, RESPONSE_LIMITS)
  parser.begin(method === 'HEAD')
  for (const [i, piece] of pieces.entries()) {
    const taken = parser.read(piece)
    if (taken === BAD) return { reading: null, surplus: false }
    if (trailers !== null) return { reading: readingOf(heads[0], body, trailers), surplus: taken < piece.length || i < pieces.length - 1 }
  }
  if (parser.close()) parser.read(Buffer.alloc(0))
  return { reading: trailers === null ? null : readingOf(heads[0], body, trailers), surplus: false }
}

function readingOf(head: AnswerHead | undefined, body: readonly Buffer[], trailers: readonly string[]): Reading | null {
  return head === undefined ? null : { status: head.status, text: head.text, headers: head.headers, body: Buffer.concat(body).toString('latin1'), trailers }
}

const token = fc.stringMatching(/^[A-Za-z!#$%&'*+.^_`|~-]{1,8}$/)
const value = fc.stringMatching(/^(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]{0,10}[!-~\x80-\xff])?)?$/)
const space = fc.constantFrom('', ' ', '  ', '\t')
const field = fc.tuple(token, space, value, space).map(([name, before, text, behind]) => `${name}:${before}${text}${behind}\r\n`)
const fields = fc.array(field, { maxLength: 4 }).map(lines => lines.join(''))
const extension = fc.constantFrom('', '', ';a', ';a=b', ';a="b c";d', ';x="\\""')
const chunk = fc.tuple(fc.string({ minLength: 1, maxLength: 20, unit: 'binary-ascii' }), extension).map(([data, ext]) => `${data.length.toString(16)}${ext}\r\n${data}\r\n`)
const body = fc.oneof(
  fc.tuple(fc.string({ maxLength: 30, unit: 'binary-ascii' }), fields).map(([text, more]) => `${more}Content-Length: ${text.length}\r\n\r\n${text}`),
  fc.tuple(fc.array(chunk, { maxLength: 4 }), fields, fields).map(([chunks, more, trailers]) => `${more}Transfer-Encoding: chunked\r\n\r\n${chunks.join('')}0\r\n${trailers}\r\n`),
  fc.tuple(fc.string({ maxLength: 30, unit: 'binary-ascii' }), fields).map(([text, more]) => `${more}\r\n${text}`),
)
const interim = fc.constantFrom('', '', '', 'HTTP/1.1 100 Continue\r\n\r\n', 'HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n')
const status = fc.constantFrom('200 OK', '200 OK', '200 ', '404 Not Found', '204 No Content', '304 Not Modified', '500 Internal \xe9rror')
const valid = fc.tuple(interim, fc.constantFrom('1.1', '1.1', '1.0'), status, body).map(([before, version, line, rest]) => `${before}HTTP/${version} ${line}\r\n${rest}`)

const NASTY = ['\r', '\n', '\0', ' ', '\t', ':', ';', '"', '\\', ',', '0', '9', 'f', '-', '+', '\x7f', '\x0b', '\xff', '\r\n', '\r\n\r\n', '\r\n ', '0\r\n\r\n', ' :', 'HTTP/1.1 200 OK\r\n']
const LINES = ['Content-Length: 5', 'Content-Length: 0', 'content-length:5 ', 'Content-Length: 5, 5', 'Content-Length: 05', 'Content-Length: 5;', 'Content-Length:', 'Content-Length : 5', 'Transfer-Encoding: chunked', 'transfer-encoding:CHUNKED\t', 'Transfer-Encoding: gzip, chunked',
  'Transfer-Encoding: chunked, chunked', 'Transfer-Encoding: identity', 'Transfer-Encoding:\x0bchunked', 'Transfer-Encoding: "chunked"', ' folded', '\tfolded', 'X', ':', 'X : y', 'X\0: y', 'Connection: close', 'Connection: keep-alive', 'Connection: upgrade', 'Upgrade: h2c', 'Keep-Alive: timeout=1', 'Trailer: X', 'Content-Encoding: gzip']
type Mutation = (text: string) => string
const at = (text: string, place: number): number => place % (text.length + 1)
const mutation: fc.Arbitrary<Mutation> = fc.oneof(
  fc.tuple(fc.nat(), fc.constantFrom(...NASTY)).map(([place, what]): Mutation => text => text.slice(0, at(text, place)) + what + text.slice(at(text, place))),
  fc.tuple(fc.nat(), fc.integer({ min: 1, max: 3 })).map(([place, length]): Mutation => text => text.slice(0, at(text, place)) + text.slice(at(text, place) + length)),
  fc.tuple(fc.nat(), fc.nat(255)).map(([place, octet]): Mutation => text => text.slice(0, at(text, place)) + String.fromCharCode(octet) + text.slice(at(text, place) + 1)),
  fc.tuple(fc.nat(), fc.constantFrom(...LINES)).map(([place, line]): Mutation => text => {
    const ends = [...text.matchAll(/\r\n/g)].map(({ index }) => index + 2)
    const end = ends[place % Math.max(1, ends.length)] ?? 0
    return `${text.slice(0, end)}${line}\r\n${text.slice(end)}`
  }),
  fc.tuple(fc.nat(), fc.nat(40)).map(([place, length]): Mutation => text => text.slice(0, at(text, place)) + text.slice(at(text, place), at(text, place) + length) + text.slice(at(text, place))),
  fc.nat().map((place): Mutation => text => text.slice(0, at(text, place))),
)
const cuts = fc.array(fc.nat(400), { maxLength: 4 })
const method = fc.constantFrom('GET', 'GET', 'GET', 'HEAD')

function set(text: string, places: readonly number[]): void {
  const sorted = [...new Set(places.filter(place => place > 0 && place < text.length))].sort((a, b) => a - b)
  pieces = [0, ...sorted].map((from, i) => Buffer.from(text.slice(from, sorted[i] ?? text.length), 'latin1')).filter(piece => piece.length > 0)
}

test('[WIRE12] a valid answer, cut anywhere, is read by both and alike', async () => {
  const legal = valid.filter(text => !/HTTP\/1\.0 [^]*\r\nTransfer-Encoding:/.test(text)) // that has no one reading, and llhttp takes it
  await fc.assert(fc.asyncProperty(legal, cuts, method, async (text, places, verb) => {
    set(text, places)
    const { reading, surplus } = byUs(verb)
    const node = await byNode(verb)
    if (!surplus) expect(reading, JSON.stringify(text)).toEqual(node)
    else if (node !== null) expect(reading).toEqual(node)
    expect(reading, JSON.stringify(text)).not.toBeNull()
  }), { numRuns: 600 })
}, 60_000)

test('[WIRE12] a tab behind the coding of an answer is refused: llhttp reads another end', async () => {
  set('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\t\r\n\r\n0\r\n\r\n', [])
  expect(byUs('GET').reading).toBeNull()
  expect((await byNode('GET'))?.body).toBe('0\r\n\r\n')
})

test('[WIRE12] of answers that were tampered with, we take none that llhttp refuses, and read the others as it does', async () => {
  const met = { both: 0, neither: 0, stricter: 0, surplus: 0 }
  await fc.assert(fc.asyncProperty(valid, fc.array(mutation, { minLength: 1, maxLength: 3 }), cuts, method, async (text, mutations, places, verb) => {
    const tampered = mutations.reduce((so, change) => change(so), text)
    set(tampered, places)
    const { reading, surplus } = byUs(verb)
    const node = await byNode(verb)
    if (surplus) met.surplus++
    else met[reading === null ? (node === null ? 'neither' : 'stricter') : 'both']++
    if (reading !== null && (!surplus || node !== null)) expect(reading, JSON.stringify(tampered)).toEqual(node)
  }), { numRuns: 4_000 })
  expect(met.both).toBeGreaterThan(200)
  expect(met.neither).toBeGreaterThan(200)
  expect(met.surplus).toBeGreaterThan(20)
}, 120_000)
