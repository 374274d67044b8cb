// Streams over another configuration: what stays as it is goes on, what is gone ends, and one that takes the place of another begins behind it.
import { afterEach, expect, test } from 'vitest'
import { Room } from './room.ts'

let room: Room
afterEach(() => room.close())

const polls = (): number => room.transmitter.askedFor('/poll/').length
const waits = (times = 1): Promise<void> => expect.poll(() => room.transmitter.waiting, { timeout: 5_000 }).toBe(times)

test('[SSF12] one that stays as it is goes on; one that is another begins when the first has stopped; one that is gone ends', async () => {
  room = await Room.start()
  await waits()
  room.streams.take(new Map([['idp', room.opened()]]))
  await room.streams.metadataOf('idp')
  expect([polls(), room.transmitter.waiting]).toEqual([1, 1])
  room.streams.take(new Map([['idp', room.opened({ most: 1 })]]))
  room.streams.take(new Map())
  room.streams.take(new Map([['idp', room.opened({ most: 2 })]]))
  await expect.poll(polls).toBe(2)
  await waits()
  expect([room.transmitter.mostWaiting, room.transmitter.streams.size]).toEqual([1, 1])
  room.streams.take(new Map())
  await waits(0)
  await expect(room.streams.metadataOf('idp')).rejects.toThrow('nobody is called idp')
})

test('[SSF12] nobody is asked for anything before it starts, and after it stopped', async () => {
  room = await Room.open()
  room.streams.take(new Map([['idp', room.opened({ most: 1 })]]))
  await room.streams.stop()
  expect(room.transmitter.asked).toEqual([])
  room.streams.take(new Map([['idp', room.opened({ most: 2 })]]))
  await room.streams.stop()
  expect(room.transmitter.asked).toEqual([])
})

test('[SSF12] what is not known is told as such', async () => {
  room = await Room.open()
  expect([room.streams.audienceOf('idp'), room.streams.authorizationOf('idp'), room.streams.audienceOf('nobody'), room.streams.authorizationOf('nobody')]).toEqual([null, null, null, null])
  room.streams.heard('nobody')
  expect(await room.streams.verified('nobody', null)).toBe('wrong')
  expect(await room.metrics.text()).toMatch(/narrowgate_ssf_streams\{source="idp",status="unknown"\} 1/)
})

test('[SSF5] a stream that does not say whom its tokens are for is none that they could be refused by: they come again', async () => {
  room = await Room.start({}, transmitter => { Object.assign(transmitter, { audience: '' }) })
  await waits()
  expect(room.streams.audienceOf('idp')).toBeNull()
})
