// The parser of HTTP/1.1 answers by itself: what it takes, what it refuses and at which octet, and that the cut of the chunks changes nothing.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { AnswerHead } from '../../../src/upstream/handler.ts'
import { BAD } from '../../../src/http1/field-block.ts'
import { type AnswerReader, RESPONSE_LIMITS, ResponseParser, type ResponseLimits } from '../../../src/upstream/http1/response-parser.ts'

type Told = { readonly informed: readonly AnswerHead[]; readonly head: AnswerHead | null; readonly body: string; readonly trailers: readonly string[] | null; readonly bad: boolean; readonly taken: number; readonly reusable: boolean }
const octets = (text: string): Buffer => Buffer.from(text, 'latin1')

class Listener implements AnswerReader {
  readonly heads: AnswerHead[] = []
  readonly chunks: Buffer[] = []
  trailers: readonly string[] | null = null
  onData: () => void = () => undefined
  informed(head: AnswerHead): void { this.heads.push(head) }
  answered(head: AnswerHead): void { this.heads.push(head) }
  ended(trailers: readonly string[]): void { this.trailers = trailers }
  data(chunk: Buffer): void {
    this.chunks.push(chunk)
    this.onData()
  }
}

function read(chunks: readonly Buffer[], { toHead = false, closes = true, limits = RESPONSE_LIMITS }: { toHead?: boolean; closes?: boolean; limits?: ResponseLimits } = {}): Told {
  const listener = new Listener()
  const parser = new ResponseParser(listener, limits)
  parser.begin(toHead)
  let taken = 0
  let bad = false
  for (const chunk of chunks) {
    const n = parser.read(chunk)
    bad = n === BAD
    taken += bad ? 0 : n
    if (bad || n < chunk.length || listener.trailers !== null) break
  }
  if (!bad && closes && parser.close()) parser.read(Buffer.alloc(0))
  const heads = listener.heads
  const last = heads.at(-1)
  const head = last !== undefined && last.status >= 200 ? last : null
  return { informed: head === null ? heads : heads.slice(0, -1), head, body: Buffer.concat(listener.chunks).toString('latin1'), trailers: listener.trailers, bad, taken, reusable: parser.reusable }
}
const readText = (text: string, options: Parameters<typeof read>[1] = {}): Told => read([octets(text)], options)
const split = (text: string, cuts: readonly number[]): Buffer[] => {
  const at = [...new Set(cuts.map(cut => Math.min(cut, text.length)))].sort((a, b) => a - b)
  return [0, ...at].map((from, i) => octets(text.slice(from, at[i] ?? text.length))).filter(chunk => chunk.length > 0)
}

const everywhere = (text: string): number[] => Array.from({ length: text.length }, (_, place) => place)

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

test('[WIRE12] an answer in one piece is told whole, its fields as they came, its data not copied', () => {
  const bytes = octets(`${OK}Content-Length: 5\r\nSet-Cookie: a=1\r\nset-cookie:b=2 \t\r\nX-Empty:\r\nX-\xe9: no\r\n\r\nhello`.replace('X-\xe9: no', 'X-Latin: \xe9'))
  const listener = new Listener()
  const parser = new ResponseParser(listener, RESPONSE_LIMITS)
  parser.begin(false)
  expect(parser.read(bytes)).toBe(bytes.length)
  expect(listener.heads).toEqual([{ status: 200, text: 'OK', headers: ['Content-Length', '5', 'Set-Cookie', 'a=1', 'set-cookie', 'b=2', 'X-Empty', '', 'X-Latin', '\xe9'] }])
  expect(listener.chunks.map(String)).toEqual(['hello'])
  expect(listener.chunks[0]?.buffer).toBe(bytes.buffer)
  expect(listener.trailers).toEqual([])
})

const ANSWERS: readonly string[] = [
  `${OK}Content-Length: 5\r\n\r\nhello`,
  `HTTP/1.0 404 Not Found\r\nX: y\r\n\r\nuntil the end`,
  `${CHUNKED}5\r\nhello\r\nA;a=b;c="d\\"e; f"\r\n0123456789\r\n000\r\nX-Sum: 1\r\nX-More:  two words \r\n\r\n`,
  'HTTP/1.1 204 No Content\r\n\r\n',
  'HTTP/1.1 304 \r\nContent-Length: 77\r\n\r\n',
  `HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n${OK}Content-Length: 0\r\n\r\n`,
]

test.each(ANSWERS)('[WIRE12] cut anywhere, or into single octets, %j reads the same', text => {
  const whole = readText(text)
  expect(whole).toMatchObject({ bad: false, taken: text.length })
  expect(whole.trailers).not.toBeNull()
  expect(read(split(text, everywhere(text)))).toEqual(whole)
  for (let cut = 1; cut < text.length; cut++) expect(read(split(text, [cut]))).toEqual(whole)
  fc.assert(fc.property(fc.array(fc.nat(text.length)), cuts => {
    expect(read(split(text, cuts))).toEqual(whole)
  }), { numRuns: 300 })
})

test('[WIRE22] interim answers but 100 are told; trailers are told as they came', () => {
  expect(readText(ANSWERS[5] ?? '').informed).toEqual([{ status: 103, text: 'Early Hints', headers: ['Link', '</a>'] }, { status: 102, text: 'Processing', headers: [] }])
  expect(readText(ANSWERS[2] ?? '')).toMatchObject({ body: 'hello0123456789', trailers: ['X-Sum', '1', 'X-More', 'two words'] })
})

const REFUSED: ReadonlyMap<string, string> = new Map([
  ['another protocol', 'SSH-2.0-OpenSSH_9.2\r\n'],
  ['an empty line in front', `\r\n${OK}\r\n`],
  ['HTTP/2.0', 'HTTP/2.0 200 OK\r\n\r\n'],
  ['HTTP/1.2', 'HTTP/1.2 200 OK\r\n\r\n'],
  ['lower case', 'http/1.1 200 OK\r\n\r\n'],
  ['two spaces', 'HTTP/1.1  200 OK\r\n\r\n'],
  ['two digits', 'HTTP/1.1 20 OK\r\n\r\n'],
  ['four digits', 'HTTP/1.1 2000 OK\r\n\r\n'],
  ['a status below 100', 'HTTP/1.1 099 OK\r\n\r\n'],
  ['a status above 599', 'HTTP/1.1 600 OK\r\n\r\n'],
  ['no space behind the status', 'HTTP/1.1 200\r\n\r\n'],
  ['a NUL in the reason', 'HTTP/1.1 200 O\0K\r\n\r\n'],
  ['LF alone behind the status line', 'HTTP/1.1 200 OK\n\n'],
  ['LF alone behind a field', `${OK}X: y\n\r\n`],
  ['CR alone in a value', `${OK}X: y\rZ: a\r\n\r\n`],
  ['CR CR LF', `${OK}X: y\r\r\n\r\n`],
  ['NUL in a value', `${OK}X: y\0\r\n\r\n`],
  ['DEL in a value', `${OK}X: y\x7f\r\n\r\n`],
  ['a folded line', `${OK}X: y\r\n z\r\n\r\n`],
  ['a fold behind the status line', `${OK} X: y\r\n\r\n`],
  ['a space before the colon', `${OK}Content-Length : 5\r\n\r\nhello`],
  ['a name with a space', `${OK}Content Length: 5\r\n\r\nhello`],
  ['no colon', `${OK}Content-Length 5\r\n\r\nhello`],
  ['an empty name', `${OK}: y\r\n\r\n`],
  ['a name above ASCII', `${OK}X\xe9: y\r\n\r\n`],
  ['two different lengths', `${OK}Content-Length: 2\r\nContent-Length: 5\r\n\r\nhello`],
  ['the same length twice', `${OK}Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello`],
  ['a list of lengths', `${OK}Content-Length: 5, 5\r\n\r\nhello`],
  ['a negative length', `${OK}Content-Length: -5\r\n\r\nhello`],
  ['a signed length', `${OK}Content-Length: +5\r\n\r\nhello`],
  ['a hexadecimal length', `${OK}Content-Length: 0x5\r\n\r\nhello`],
  ['an empty length', `${OK}Content-Length:\r\n\r\nhello`],
  ['a length with an exponent', `${OK}Content-Length: 1e1\r\n\r\nhello`],
  ['a length of more digits than are exact', `${OK}Content-Length: 9007199254740993\r\n\r\nhello`],
  ['length and coding', `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['another coding', `${OK}Transfer-Encoding: gzip\r\n\r\n`],
  ['gzip, chunked', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked, gzip', `${OK}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['identity', `${OK}Transfer-Encoding: identity\r\n\r\n`],
  ['xchunked', `${OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['a vertical tab around chunked', `${OK}Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n`],
  ['a coding in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['101', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n'],
  ['an interim answer with a coding', `HTTP/1.1 103 x\r\nTransfer-Encoding: chunked\r\n\r\n${OK}\r\n`],
  ['an interim answer with a length', `HTTP/1.1 103 x\r\nContent-Length: 5\r\n\r\n${OK}\r\n`],
  ['an interim answer that closes', `HTTP/1.1 103 x\r\nConnection: close\r\n\r\n${OK}\r\n`],
  ['an interim answer in HTTP/1.0', `HTTP/1.0 100 Continue\r\n\r\n${OK}\r\n`],
  ['33 interim answers', `${'HTTP/1.1 100 Continue\r\n\r\n'.repeat(33)}${OK}\r\n`],
  ['a chunk size that is no number', `${CHUNKED}xyz\r\n`],
  ['an empty chunk size', `${CHUNKED}\r\nhello\r\n0\r\n\r\n`],
  ['a chunk size with 0x', `${CHUNKED}0x5\r\nhello\r\n0\r\n\r\n`],
  ['a signed chunk size', `${CHUNKED}+5\r\nhello\r\n0\r\n\r\n`],
  ['a space in front of a chunk size', `${CHUNKED} 5\r\nhello\r\n0\r\n\r\n`],
  ['a space behind a chunk size', `${CHUNKED}5 \r\nhello\r\n0\r\n\r\n`],
  ['a chunk size that overflows', `${CHUNKED}10000000000005\r\nhello\r\n0\r\n\r\n`],
  ['LF alone behind a chunk size', `${CHUNKED}5\nhello\r\n0\r\n\r\n`],
  ['LF alone behind a chunk', `${CHUNKED}5\r\nhello\n0\r\n\r\n`],
  ['LF alone in a chunk extension', `${CHUNKED}5;a\nhello\r\n0\r\n\r\n`],
  ['an extension without a name', `${CHUNKED}5;\r\nhello\r\n0\r\n\r\n`],
  ['an extension that is no token', `${CHUNKED}5;a b\r\nhello\r\n0\r\n\r\n`],
  ['an extension whose quotes do not close', `${CHUNKED}5;a="b\r\nhello\r\n0\r\n\r\n`],
  ['a chunk longer than it says', `${CHUNKED}3\r\nhello\r\n0\r\n\r\n`],
  ['a trailer without colon', `${CHUNKED}0\r\nX y\r\n\r\n`],
  ['a folded trailer', `${CHUNKED}0\r\nX: y\r\n z\r\n\r\n`],
  ['a length among the trailers', `${CHUNKED}0\r\nContent-Length: 5\r\n\r\n`],
  ['a coding among the trailers', `${CHUNKED}0\r\nTransfer-Encoding: chunked\r\n\r\n`],
])

test.each([...REFUSED])('[WIRE12] refused: %s', (_, text) => {
  for (const told of [readText(text), read(split(text, everywhere(text))), readText(text, { closes: false })]) expect(told).toMatchObject({ bad: true, trailers: null })
})

test('[WIRE12] what has no place is refused at that very octet, not when the head is whole', () => {
  for (const text of ['S', 'HTTP/1.1 200 OK\n', `${OK}Content `, `${OK}X: a\0`, `${CHUNKED}5\n`]) {
    expect(readText(text, { closes: false }).bad, JSON.stringify(text)).toBe(true)
    expect(readText(text.slice(0, -1), { closes: false }).bad, JSON.stringify(text)).toBe(false)
  }
})

test.each([['a head', 'HTTP/1.1 200 OK\r\nX: '], ['the trailers', `${CHUNKED}0\r\nX: `]])('[WIRE12] %s may be as long as the limit, and no octet longer', (what, before) => {
  const limits = { ...RESPONSE_LIMITS, head: 1_000, trailers: 1_000 }
  const used = what === 'a head' ? before.length : 3
  const fill = (length: number): string => `${before}${'y'.repeat(length - used - 4)}\r\n\r\n`
  for (const cut of [[], [5, 700], [...Array(1_100).keys()]]) {
    expect(read(split(fill(1_000), cut), { limits })).toMatchObject({ bad: false, trailers: expect.any(Array) })
    expect(read(split(fill(1_001), cut), { limits })).toMatchObject({ bad: true, trailers: null })
  }
  expect(read(split(`${before}${'y'.repeat(2_000)}`, [...Array(3_000).keys()]), { limits, closes: false }).bad).toBe(true)
})

test('[WIRE12] fields, trailers and the extensions of a chunk are counted', () => {
  const fields = (n: number): string => 'a: b\r\n'.repeat(n)
  expect(readText(`${OK}${fields(256)}\r\n`).head?.headers).toHaveLength(512)
  expect(readText(`${OK}${fields(257)}\r\n`).bad).toBe(true)
  expect(readText(`${CHUNKED}0\r\n${fields(256)}\r\n`).trailers).toHaveLength(512)
  expect(readText(`${CHUNKED}0\r\n${fields(257)}\r\n`).bad).toBe(true)
  const extended = (n: number): string => `${CHUNKED}1;${'a'.repeat(n - 1)}\r\nx\r\n1;${'a'.repeat(n - 1)}\r\ny\r\n0\r\n\r\n`
  expect(readText(extended(1_024))).toMatchObject({ bad: false, body: 'xy' })
  expect(readText(extended(1_025)).bad).toBe(true)
})

test('[WIRE12] the end of an answer is where its head, its status and its request put it', () => {
  expect(readText(`${OK}Content-Length: 5\r\n\r\n`, { toHead: true })).toMatchObject({ body: '', trailers: [], reusable: true })
  expect(readText(`${OK}Transfer-Encoding: CHUNKED\r\n\r\n`, { toHead: true })).toMatchObject({ trailers: [], reusable: true })
  expect(readText('HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n')).toMatchObject({ trailers: [], reusable: true })
  expect(readText('HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n')).toMatchObject({ trailers: [], reusable: false })
  expect(readText('HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n')).toMatchObject({ trailers: [], reusable: false })
  expect(readText(`${OK}\r\nto the end`)).toMatchObject({ body: 'to the end', trailers: [], reusable: false })
  for (const cut of [`${OK}Content-Length: 5\r\n\r\nhell`, CHUNKED, `${CHUNKED}5\r\nhello\r\n`, `${CHUNKED}5\r\nhello\r\n0\r\n`, `${OK}Content-Le`, '']) expect(readText(cut).trailers, JSON.stringify(cut)).toBeNull()
})

test('[WIRE12] what lies behind an answer is not taken', () => {
  for (const text of ANSWERS.filter(answer => !answer.includes('until the end'))) expect(readText(`${text}HTTP/1.1 200 OK\r\n\r\n`)).toMatchObject({ taken: text.length, bad: false, trailers: expect.any(Array) })
})

test.each([
  ['HTTP/1.1', '', true], ['HTTP/1.1', 'Connection: close', false], ['HTTP/1.1', 'Connection: foo, CLOSE', false], ['HTTP/1.1', 'connection: keep-alive\r\nConnection: close', false],
  ['HTTP/1.0', '', false], ['HTTP/1.0', 'Connection: Keep-Alive', true], ['HTTP/1.0', 'Connection: close, keep-alive', false],
])('[WIRE12] %s with %j keeps its connection: %s', (version, field, reusable) => {
  expect(readText(`${version} 200 OK\r\n${field === '' ? '' : `${field}\r\n`}Content-Length: 0\r\n\r\n`).reusable).toBe(reusable)
})

test('[WIRE7] halted behind any piece of data, it tells nothing more, and goes on at the very octet', () => {
  const text = ANSWERS[2] ?? ''
  fc.assert(fc.property(fc.array(fc.nat(text.length)), fc.integer({ min: 1, max: 4 }), (cuts, every) => {
    const listener = new Listener()
    const parser = new ResponseParser(listener, RESPONSE_LIMITS)
    parser.begin(false)
    listener.onData = () => { if (listener.chunks.length % every === 0) parser.halt() }
    for (const chunk of split(text, cuts)) {
      let rest = chunk
      for (;;) {
        const told = listener.chunks.length
        const taken = parser.read(rest)
        rest = rest.subarray(taken)
        if (rest.length === 0) break
        expect(listener.chunks.length % every).toBe(0)
        expect(parser.read(rest)).toBe(0)
        expect(listener.chunks.length - told).toBeLessThanOrEqual(every)
        parser.proceed()
      }
      parser.proceed()
    }
    parser.read(Buffer.alloc(0))
    expect(Buffer.concat(listener.chunks).toString()).toBe('hello0123456789')
    expect(listener.trailers).toEqual(['X-Sum', '1', 'X-More', 'two words'])
  }), { numRuns: 500 })
})

test('[WIRE12] a head that comes octet by octet costs no more than its length', () => {
  const chunks = split(`${OK}${`X: ${'y'.repeat(250)}\r\n`.repeat(250)}\r\n`, [...Array(65_000).keys()])
  const before = performance.now()
  expect(read(chunks).head?.headers).toHaveLength(500)
  expect(performance.now() - before).toBeLessThan(1_500)
})
