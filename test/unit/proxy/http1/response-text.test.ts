// The text of heads and trailers towards callers: one line for each field, or none at all.
import { expect, test } from 'vitest'
import { headLines, plainLines } from '../../../../src/proxy/http1/response-text.ts'
import { instant } from '../../../../src/core/time.ts'

const NOW = instant(1_790_000_000_000)

test.each([
  ['a line end in a value', ['x', 'a\r\ny: b']], ['a line feed in a name', ['x\ny', 'a']], ['a name that holds another line', ['x: y', 'z']], ['a name that hides a length', ['content-length: 5', '0']],
  ['an empty name', ['', 'a']], ['a NUL', ['x', '\0']], ['what becomes a line end in latin-1', ['x', '\u560a']],
])('[WIRE12, WIRE11] not written: %s', (_, fields) => {
  expect([headLines(fields, NOW), plainLines(fields)]).toEqual([null, null])
})

test('[WIRE11] a length is read from its one field; two, or framing in a trailer, are not written', () => {
  expect(headLines(['Content-Length', '12', 'x', 'y'], NOW)?.length).toBe(12)
  expect([headLines(['content-length', '1', 'content-length', '1'], NOW), headLines(['content-length', '1x'], NOW), headLines(['transfer-encoding', 'chunked'], NOW), plainLines(['Content-Length', '1'])]).toEqual([null, null, null, null])
  expect(headLines(['x', 'y', 'date', 'never'], NOW)?.text).toBe('x: y\r\ndate: never\r\n')
  expect(headLines(['x', 'y'], NOW)?.text).toBe(`x: y\r\nDate: ${new Date(NOW).toUTCString()}\r\n`)
})
