// A value of a message, as strict JSON is read.
import { describe, expect, test } from 'vitest'
import { compileMessageValue } from '../../../src/conditions/compile.ts'
import { readStrictJson, writeJson } from '../../../src/runtime/strict-json.ts'

function read(source: string, message = '{}'): unknown {
  const made = compileMessageValue(source)
  if (!made.ok) throw new Error(made.faults[0]?.message)
  const value = made.condition.read(readStrictJson(Buffer.from(message)))
  return value === undefined ? undefined : writeJson(value)
}

describe('a value of a message', () => {
  test.each([
    ['body.a', '{"a":{"b":[1,"x",null,true,{"c":1.5}]}}', '{"b":[1,"x",null,true,{"c":1.5}]}'],
    ['{"owner": body.a, "n": 2, "list": [1.5, true]}', '{"a":"x"}', '{"owner":"x","n":2,"list":[1.5,true]}'],
    ['body.a + 1.0', '{"a":2}', '3'],
    ['"text"', '{}', '"text"'],
    ['{"a": 1}[?body.a].orValue(7)', '{"a":"b"}', '7'],
  ])('[PDP3] %s is JSON', (source, message, value) => {
    expect(read(source, message)).toBe(value)
  })

  test.each([['body.missing', '{}'], ['b"bytes"', '{}'], ['timestamp("2026-01-01T00:00:00Z")', '{}'], ['9223372036854775807', '{}'], ['1.0 / 0.0', '{}'], ['{"a": 1}[?body.a]', '{"a":"b"}'], ['type(body)', '{}']])('[PDP3] %s is none', (source, message) => {
    expect(read(source, message)).toBeUndefined()
  })

  test('[CFG4] what reads something else than the message does not compile', () => {
    for (const source of ['subject.kind', '', 'body.', 'request.method == "GET"']) expect(compileMessageValue(source).ok).toBe(false)
  })
})
