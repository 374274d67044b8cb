// Last words on an event stream: only between two events, only where nothing waits, and within 250 ms; in every other case a reset, and not a byte of them. SPEC: MCP8, RULES 17
import { afterEach, describe, expect, it } from 'vitest'
import type { Arrival } from '../../src/proxy/arrival.ts'
import type { ResponseHead } from '../../src/proxy/http/response-head.ts'
import { FLAG, FRAME, FrameClient, headers, requestFields } from '../support/http2-frames.ts'
import { TestListener } from '../support/http2-listener.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { pause, until } from './support.ts'

const WORDS: Buffer = Buffer.from('data: {"last":true}\n\n')
/** What a peer of HTTP/2 takes before it says more. */
const WINDOW = 65_535
const EVENTS: ResponseHead = { status: 200, text: '', headers: ['content-type', 'text/event-stream'], delimitedByClose: false, eventStream: true, encoded: false, length: null }

let listener: TestListener
let close = (): void => {}
afterEach(() => {
  close()
  listener.stop()
})

type Caller = { readonly arrival: Arrival; readonly text: () => string; readonly end: () => 'whole' | 'reset' | null }

async function overHttp1(): Promise<Caller> {
  listener = await TestListener.start({ onRequest: () => {} })
  const client = await RawClient.connect(listener)
  close = () => client.close()
  let end: 'whole' | 'reset' | null = null
  void client.ended.then(how => { if (how === 'reset') end = 'reset' })
  client.push(request('GET', '/'))
  await until(() => listener.arrivals.length === 1, 'the request')
  const text = (): string => client.bytes().toString('latin1')
  return { arrival: listener.arrivals[0] as Arrival, text, end: () => end ?? (text().endsWith('0\r\n\r\n') ? 'whole' : null) } // waited for
}

async function overHttp2(): Promise<Caller> {
  listener = await TestListener.start({ onRequest: () => {} })
  const client = await FrameClient.connect(listener)
  close = () => client.close()
  client.push(headers(1, requestFields('GET', '/')))
  await until(() => listener.arrivals.length === 1, 'the request')
  const mine = () => client.frames.filter(({ stream }) => stream === 1)
  return {
    arrival: listener.arrivals[0] as Arrival, // waited for
    text: () => Buffer.concat(mine().filter(({ type }) => type === FRAME.data).map(({ payload }) => payload)).toString(),
    end: () => (mine().some(({ type }) => type === FRAME.reset) ? 'reset' : mine().some(({ flags, type }) => (type === FRAME.data || type === FRAME.headers) && (flags & FLAG.endStream) !== 0) ? 'whole' : null),
  }
}

describe.each([['HTTP/1.1', overHttp1], ['HTTP/2', overHttp2]])('over %s', (_, open) => {
  const begin = async (first = 'data: 1\n\n'): Promise<Caller> => {
    const caller = await open()
    caller.arrival.answer.sendHead(EVENTS)
    caller.arrival.answer.send(Buffer.from(first))
    await until(() => caller.text().includes(first.slice(0, 7)), 'the first event')
    return caller
  }

  it('[MCP8] between two events they come, and a whole end', async () => {
    const { arrival: { answer }, text, end } = await begin()
    answer.farewell(WORDS)
    await until(() => end() !== null, 'the end')
    expect([end(), text().includes(WORDS.toString())]).toEqual(['whole', true])
  })

  it('[MCP8] also where it was held', async () => {
    const { arrival: { answer }, text, end } = await begin()
    answer.hold()
    answer.farewell(WORDS)
    await until(() => end() !== null, 'the end')
    expect([end(), text().includes(WORDS.toString())]).toEqual(['whole', true])
  })

  it('[MCP8] within an event it is a reset', async () => {
    const { arrival: { answer }, text, end } = await begin('data: 1\n')
    answer.farewell(WORDS)
    await until(() => end() !== null, 'the end')
    expect([end(), text().includes('last')]).toEqual(['reset', false])
  })

  it('[MCP8] where something waits it is a reset, which drops that', async () => {
    const { arrival: { answer }, text, end } = await begin()
    answer.hold()
    answer.send(Buffer.from('data: waits\n\n'))
    answer.farewell(WORDS)
    await until(() => end() !== null, 'the end')
    expect([end(), text().includes('waits'), text().includes('last')]).toEqual(['reset', false, false])
  })

  it('[MCP8] behind its end they are nothing', async () => {
    const { arrival: { answer }, text, end } = await begin()
    answer.finish([])
    await until(() => end() === 'whole', 'the end')
    answer.farewell(WORDS)
    await pause(20)
    expect(text()).not.toContain('last')
  })
})

it('[MCP8] a caller of HTTP/2 that takes nothing more has a reset within 250 ms', async () => {
  const { arrival: { answer }, text, end } = await overHttp2()
  answer.sendHead(EVENTS)
  answer.send(Buffer.from(`data: ${'x'.repeat(WINDOW - 8)}\n\n`))
  await until(() => text().length === WINDOW && answer.waiting === 0, 'the whole window')
  const from = performance.now()
  answer.farewell(WORDS)
  await until(() => end() !== null, 'the end')
  expect([end(), text().length]).toEqual(['reset', WINDOW])
  expect(performance.now() - from).toBeLessThan(1_000)
})
