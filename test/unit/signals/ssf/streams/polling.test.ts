// Polls of a stream: what is acknowledged, what is not, and how often at most.
import { afterEach, expect, test } from 'vitest'
import { Room } from './room.ts'

let room: Room
afterEach(() => room.close())

const SUBJECT = { format: 'opaque', id: 'one' }
const polls = () => room.transmitter.askedFor('/poll/')
const waits = (): Promise<void> => expect.poll(() => room.transmitter.waiting, { timeout: 5_000 }).toBe(1)
const acked = (): readonly string[] => room.transmitter.acknowledged

test('[SSF7] a poll waits for events, and what was taken is acknowledged with the next one', async () => {
  room = await Room.start()
  await waits()
  const jtis = [await room.transmitter.emit('session-revoked', SUBJECT), await room.transmitter.emit('session-revoked', SUBJECT)]
  await expect.poll(() => [...acked()].sort()).toEqual([...jtis].sort())
  expect(polls()[0]?.body).toEqual({ maxEvents: 100, returnImmediately: false, ack: [], setErrs: {} })
  expect([room.received.length, room.transmitter.stream.queue.size]).toEqual([2, 0])
})

test('[SSF7] what was refused is said to be, with its fault, and is not acknowledged', async () => {
  room = await Room.start({ receive: async () => ({ is: 'refused', err: 'invalid_audience', description: 'it is for somebody else' }) })
  await waits()
  const jti = await room.transmitter.emit('session-revoked', SUBJECT)
  await expect.poll(() => room.transmitter.refused.get(jti)).toEqual({ err: 'invalid_audience', description: 'it is for somebody else' })
  expect(acked()).toEqual([])
})

test('[SSF7] names that mean something to JavaScript, and what is no text, are refused like any other', async () => {
  room = await Room.start()
  await waits()
  room.transmitter.queue('__proto__', 7 as unknown as string)
  await expect.poll(() => room.transmitter.refused.get('__proto__')).toEqual({ err: 'invalid_request', description: 'no security event token' })
})

test('[SSF7] what the store did not take is neither acknowledged nor refused, and comes again', async () => {
  let down = true
  room = await Room.start({ receive: async () => { if (down) throw new Error('the store is down'); return { is: 'again' } } })
  await waits()
  const jti = await room.transmitter.emit('session-revoked', SUBJECT)
  await expect.poll(() => room.counted('ssfPolls', 'untaken')).toBe(1)
  down = false
  await expect.poll(acked, { timeout: 5_000 }).toEqual([jti])
  expect([...room.transmitter.refused, room.received.length]).toEqual([1])
  expect(polls().filter(({ body }) => (body['ack'] as readonly string[]).length > 0).length).toBe(1)
})

test('[SSF7] an answer that never ends is asked for once a second, not in a loop', async () => {
  room = await Room.start({}, ({ conduct }) => { conduct.neverEnds = true })
  await expect.poll(() => polls().length, { timeout: 5_000 }).toBe(3)
  const [first, third] = [performance.now(), await expect.poll(() => polls().length, { timeout: 5_000 }).toBe(5).then(() => performance.now())]
  expect(third - first).toBeGreaterThan(1_500)
})

test('[SSF7] a stream that has ever more to give is read no faster than it may speak', async () => {
  room = await Room.start({ settings: { perSecond: 5 } }, ({ conduct }) => { conduct.deaf = true })
  await waits()
  const began = performance.now()
  for (let i = 0; i < 5; i++) room.transmitter.queue(`jti-${i}`, 'a token')
  await expect.poll(() => room.received.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(11)
  expect(performance.now() - began).toBeGreaterThan(1_500)
})

test('[SSF7] an answer of a mebibyte is read, one beyond eight is not, and is no end', async () => {
  room = await Room.start({}, ({ conduct }) => { conduct.padding = 1024 * 1024 })
  await waits()
  const first = await room.transmitter.emit('session-revoked', SUBJECT)
  await expect.poll(acked).toEqual([first])
  room.transmitter.conduct.padding = 8 * 1024 * 1024
  await room.transmitter.emit('session-revoked', SUBJECT)
  await expect.poll(() => room.counted('ssfPolls', 'failed')).toBe(1)
  room.transmitter.conduct.padding = 0
  await expect.poll(() => new Set(acked()).size, { timeout: 5_000 }).toBe(2)
  expect(room.lines).toEqual(['a stream cannot be polled', 'a trouble with a stream is over'])
})

test('[SSF7] more sets than may be are not read at all', async () => {
  room = await Room.start()
  await waits()
  const { stream } = room.transmitter
  room.transmitter.stream.queue.set('first', 'x')
  for (let i = 0; i < 1_001; i++) stream.queue.set(`jti-${i}`, 'x')
  room.transmitter.conduct.overfull = true
  room.transmitter.releasePolls()
  await expect.poll(() => room.counted('ssfPolls', 'failed')).toBe(1)
  expect(room.received).toEqual([])
})

test('[SSF7] a transmitter that fails is left alone for as long as it asks for', async () => {
  room = await Room.start({}, ({ conduct }) => { conduct.retryAfter = '2' })
  await waits()
  const before = polls().length
  room.transmitter.conduct.down = 429
  room.transmitter.releasePolls()
  await expect.poll(() => polls().length, { timeout: 5_000 }).toBe(before + 1)
  const began = performance.now()
  room.transmitter.conduct.down = 0
  await expect.poll(() => polls().length, { timeout: 10_000 }).toBe(before + 2)
  expect(performance.now() - began).toBeGreaterThan(1_500)
})

test('[SSF7] who stops waits for no long poll', async () => {
  room = await Room.start()
  await waits()
  const began = performance.now()
  await room.streams.stop()
  expect(performance.now() - began).toBeLessThan(1_000)
})

test('[SSF7] a stream that is not managed is polled where the configuration says', async () => {
  room = await Room.open()
  const made = await fetch(`${room.transmitter.origin}/streams`, { method: 'POST', body: '{}' })
  const { delivery } = (await made.json()) as { readonly delivery: { readonly endpoint_url: string } } // as it answers
  room.streams.take(new Map([['idp', room.opened({ manage: false, pollUrl: delivery.endpoint_url })]]))
  room.streams.start()
  await waits()
  const jti = await room.transmitter.emit('session-revoked', SUBJECT)
  await expect.poll(acked).toEqual([jti])
  expect(room.transmitter.askedFor('/.well-known').length).toBe(0)
})
