// Last words over HTTP/1.1 to a caller whose system takes nothing more, though nothing waits here: a reset in 250 ms, and none where they went out. SPEC: MCP8, RULES 17
import type { Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { instant } from '../../../../src/core/time.ts'
import { Http1Answer } from '../../../../src/proxy/http1/http1-answer.ts'

beforeEach(() => { vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }) })
afterEach(() => { vi.useRealTimers() })

/** The caller's socket, which takes what it is given until it is stuck. */
function stage() {
  const is = { stuck: false, text: '', resets: 0 }
  const socket = new Duplex({
    read: () => {},
    write: (chunk: Buffer, _encoding, taken) => {
      if (is.stuck) return
      is.text += chunk.toString('latin1')
      taken()
    },
  })
  const raw = Object.assign(socket, { resetAndDestroy: () => void is.resets++ }) as unknown as Socket // an answer asks no more of it
  const answer: Http1Answer = new Http1Answer({ method: 'GET', version: '1.1', expectsContinue: false, complete: true, keeps: true }, {
    socket: raw, raw, keepAlive: '', closing: false, flushed: () => answer.close(true), now: () => instant(0), drain: () => {}, linger: () => {},
  })
  answer.sendHead({ status: 200, text: '', headers: ['content-type', 'text/event-stream'], delimitedByClose: false, eventStream: true, encoded: false, length: null })
  answer.send(Buffer.from('data: 1\n\n'))
  return { is, answer }
}

it('[MCP8] what does not go out in 250 ms is reset', () => {
  const { is, answer } = stage()
  is.stuck = true
  answer.farewell(Buffer.from('data: last\n\n'))
  vi.advanceTimersByTime(249)
  expect(is.resets).toBe(0)
  vi.advanceTimersByTime(1)
  expect([is.resets, is.text.includes('last')]).toEqual([1, false])
})

it('[MCP8] what went out is not', async () => {
  const { is, answer } = stage()
  answer.farewell(Buffer.from('data: last\n\n'))
  await new Promise(resolve => { setImmediate(resolve) })
  vi.advanceTimersByTime(1_000)
  expect([is.resets, is.text.includes('last'), is.text.endsWith('0\r\n\r\n'), answer.finished]).toEqual([0, true, true, true])
})
