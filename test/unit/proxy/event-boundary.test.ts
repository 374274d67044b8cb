// Where an event stream stands, against a parser that reads all of it at once.
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { EventBoundary } from '../../../src/proxy/sse/event-boundary.ts'

/** Nothing came yet, or the last line that ended was empty: CRLF, LF and CR all end lines. */
const naive = (text: string): boolean => text === '' || /(?:^|\n)\n$/.test(text.replace(/\r\n?/g, '\n'))

const follow = (chunks: readonly string[]): boolean => {
  const boundary = new EventBoundary()
  for (const chunk of chunks) boundary.follow(Buffer.from(chunk))
  return boundary.at
}

const piece = fc.constantFrom('\n', '\r', '\r\n', '\n\n', '\r\n\r\n', 'a', 'data: x', ':', ' ', 'é')

test('[WIRE10] it stands between two events exactly when a parser of the whole stream says so, after every chunk of every chunking', () => {
  const met = { between: 0, within: 0 }
  fc.assert(fc.property(fc.array(fc.array(piece, { maxLength: 6 }).map(pieces => pieces.join('')), { maxLength: 8 }), chunks => {
    const boundary = new EventBoundary()
    let text = ''
    for (const chunk of chunks) {
      boundary.follow(Buffer.from(chunk))
      text += chunk
      met[naive(text) ? 'between' : 'within']++
      expect(boundary.at, JSON.stringify(text)).toBe(naive(text))
    }
  }), { numRuns: 5_000 })
  expect(Math.min(met.between, met.within)).toBeGreaterThan(1_000)
})

test('[WIRE10] cutting a stream elsewhere changes nothing', () => {
  fc.assert(fc.property(fc.array(piece, { maxLength: 12 }).map(pieces => pieces.join('')), fc.array(fc.nat(40)), (text, cuts) => {
    const at = [...new Set(cuts.map(cut => Math.min(cut, text.length)))].sort((a, b) => a - b)
    const chunks = [0, ...at].map((from, i) => text.slice(from, at[i] ?? text.length))
    expect(follow(chunks)).toBe(follow([text]))
    expect(follow(text.split(''))).toBe(follow([text]))
  }), { numRuns: 3_000 })
})

test.each([
  ['', true], ['data: 1\n\n', true], ['data: 1\r\n\r\n', true], ['data: 1\r\r', true], ['data: 1\n', false], ['data: 1', false], ['data: 1\n\nid: 2\n', false], [':\n\n', true], ['\n', true],
])('[WIRE10] after %j: %s', (text, at) => expect(follow([text])).toBe(at))
