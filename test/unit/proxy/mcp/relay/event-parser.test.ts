// Event streams read from bytes, however they are split: the same events for the same bytes, and no reader who ends lines elsewhere finds others in what goes on. SPEC: MCP6
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { EventParser, type ServerEvent } from '../../../../../src/proxy/mcp/relay/event-parser.ts'

type Read = { readonly events: readonly ServerEvent[]; readonly ok: boolean; readonly waiting: number }

function read(chunks: readonly Buffer[], most = 1_000_000): Read {
  const events: ServerEvent[] = []
  const parser = new EventParser(most, event => void events.push(event))
  const ok = chunks.every(chunk => parser.read(chunk))
  return { events, ok, waiting: parser.waiting }
}

const of = (text: string, most?: number): Read => read([Buffer.from(text)], most)
const told = ({ events }: Read): unknown => events.map(({ type, data }) => [type, data])
const passed = ({ events }: Read): string => events.map(({ bytes }) => bytes.toString()).join('')

describe('one stream', () => {
  it('[MCP6] data of many lines is one text, and a space behind the colon is none of it', () => {
    expect(told(of('data: {"a":\ndata:1}\n\ndata:  x\n\n'))).toEqual([['', '{"a":\n1}'], ['', ' x']])
  })

  it('[MCP6] lines end with LF, CR or both, and go on with LF', () => {
    const read = of('id: 1\r\nevent: message\r\ndata: a\r\n\r\ndata: b\r\rdata: c\n\n')
    expect(told(read)).toEqual([['message', 'a'], ['', 'b'], ['', 'c']])
    expect(passed(read)).toBe('id: 1\nevent: message\ndata: a\n\ndata: b\n\ndata: c\n\n')
  })

  it('[MCP6] an event of too many lines is none, however short they are', () => {
    expect(of(`${':\n'.repeat(16_384)}\n`).ok).toBe(true)
    expect(of(`${':\n'.repeat(16_385)}\n`)).toMatchObject({ ok: false, events: [] })
  })

  it('[MCP6] comments, ids, waits and events without data tell nothing and go on', () => {
    const text = ':keep\n\nid: 3\nretry: 5\n\nevent: message\ndata\n\nid: 4\ndata: \n\n'
    expect(told(of(text))).toEqual([['', null], ['', null], ['message', null], ['', null]])
    expect(passed(of(text))).toBe(text)
  })

  it('[MCP6] fields are named exactly, the last type counts, and a mark at the very beginning is none of a name', () => {
    const read = of('\ufeffdata: a\nDATA: b\n data: c\ndatas: d\nevent: x\nevent: y\n\n\ufeffdata: e\n\n')
    expect(told(read)).toEqual([['y', 'a']])
    expect(passed(read)).toBe('data: a\nevent: x\nevent: y\n\n')
  })

  it('[MCP6] a mark that would be the first of what goes on makes no message that was not looked at', () => {
    expect(passed(of('\n\ufeffdata: {"a":1}\n\n'))).toBe('')
    expect(passed(of('\n\ufeff:\nid: 1\n\n'))).toBe('id: 1\n\n')
  })

  it('[MCP6] what does not come to its end is no event', () => {
    expect(told(of('data: a\n\ndata: b\n'))).toEqual([['', 'a']])
    expect(told(of('data: a\n\ndata: b'))).toEqual([['', 'a']])
  })

  it('[MCP6] an event has its limit, also one that never ends, and one without line ends', () => {
    expect(of(`data: ${'x'.repeat(20)}\n\n`, 27).ok).toBe(true)
    expect(of(`data: ${'x'.repeat(20)}\n\n`, 26).ok).toBe(false)
    expect(of('x'.repeat(30), 26).ok).toBe(false)
    expect(of(':\n'.repeat(20), 26).ok).toBe(false)
    expect(of('\n'.repeat(100), 26).ok).toBe(true)
  })

  it('[MCP6] what is no UTF-8 is refused', () => {
    expect(read([Buffer.from([100, 97, 116, 97, 58, 0xc3, 0x28, 10, 10])]).ok).toBe(false)
  })
})

const line = fc.oneof(fc.constantFrom('data: {"a":1}', 'data', 'data:', ':', ': hi', 'id: 7', 'event: message', 'event:', 'retry: 1', '\ufeffdata: x', 'dataé: ü€😀', ''), fc.string({ unit: 'grapheme', maxLength: 12 }).map(text => `data: ${text.replace(/[\r\n]/g, '')}`))
const ending = fc.constantFrom('\n', '\r', '\r\n')
const stream = fc.array(fc.tuple(line, ending), { maxLength: 24 }).map(lines => lines.map(([text, end]) => text + end).join(''))

function split(bytes: Buffer, at: readonly number[]): Buffer[] {
  const places = [...new Set(at.map(each => each % (bytes.length + 1)))].toSorted((a, b) => a - b)
  return [...places, bytes.length].map((place, i) => bytes.subarray(i === 0 ? 0 : places[i - 1], place))
}

/** As the standard says it, on all of the text at once. */
function plainly(text: string): unknown {
  const events: unknown[] = []
  let [read, data, type] = [false, [] as string[], '']
  for (const each of text.replace(/^\ufeff/, '').replace(/\r\n?/g, '\n').split('\n').slice(0, -1)) {
    const found = /^([^:]*)(?::( ?)(.*))?$/su.exec(each)
    if (each === '') {
      if (read) events.push([type, data.join('\n') || null])
      ;[read, data, type] = [false, [], '']
      continue
    }
    read ||= ['', 'data', 'id', 'event', 'retry'].includes(found?.[1] ?? 'none')
    if (found?.[1] === 'data') data.push(found[3] ?? '')
    if (found?.[1] === 'event') type = found[3] ?? ''
  }
  return events
}

describe('any stream', () => {
  it('[MCP6] is the same wherever its reads end', () => {
    fc.assert(fc.property(stream, fc.array(fc.nat(), { maxLength: 12 }), (text, at) => {
      const bytes = Buffer.from(text)
      const [whole, pieces, octets] = [read([bytes]), read(split(bytes, at)), read([...bytes].map(octet => Buffer.from([octet])))]
      expect(pieces).toEqual(whole)
      expect(octets).toEqual(whole)
    }), { numRuns: 500 })
  })

  it('[MCP6] is read as the standard reads it, and what goes on is read the same again', () => {
    fc.assert(fc.property(stream, text => {
      const first = of(text)
      expect(told(first)).toEqual(plainly(text))
      const second = of(passed(first))
      expect(told(second)).toEqual(told(first))
      expect(passed(second)).toBe(passed(first))
      expect(passed(first)).not.toContain('\r')
    }), { numRuns: 500 })
  })
})
