// Our stream at a transmitter: found before it is made, made once, and made to be what the configuration says.
import { afterEach, expect, test } from 'vitest'
import { type Plan, Room } from './room.ts'
import type { SsfTransmitter, TransmitterStream } from '../../../../support/ssf-transmitter.ts'

const CAEP = 'https://schemas.openid.net/secevent/caep/event-type/'
const ENDPOINT = 'https://gateway.example/ssf/events/idp'
const PUSH: Plan = { settings: { delivery: 'push', endpoint: ENDPOINT } }
let room: Room
afterEach(() => room.close())

const there = (transmitter: SsfTransmitter, id: string, changes: Partial<TransmitterStream>): void => {
  transmitter.streams.set(id, { stream_id: id, events_requested: [], delivery: { method: 'urn:ietf:rfc:8936', endpoint_url: `${transmitter.origin}/poll/${id}` }, description: '', status: 'enabled', reason: '', queue: new Map(), ...changes })
}
const knows = (): Promise<void> => expect.poll(() => room.streams.audienceOf('idp'), { timeout: 5_000 }).toEqual([room.transmitter.audience])
const bodies = (method: string): readonly object[] => room.transmitter.askedFor('/streams', method).map(({ body }) => body)

test('[SSF4] a stream is made where there is none of ours, with every event of CAEP and our name', async () => {
  room = await Room.start({}, transmitter => there(transmitter, 'theirs', { description: 'somebody else' }))
  await knows()
  expect(bodies('POST')).toEqual([{
    events_requested: ['session-revoked', 'token-claims-change', 'session-established', 'session-presented', 'credential-change', 'assurance-level-change', 'device-compliance-change', 'risk-level-change'].map(name => CAEP + name),
    delivery: { method: 'urn:ietf:rfc:8936' }, description: 'narrowgate:idp',
  }])
  expect(room.transmitter.askedFor('/poll/theirs')).toEqual([])
})

test('[SSF4] one that is ours already is adopted, and asked for what it lacks', async () => {
  room = await Room.start({}, transmitter => there(transmitter, 'ours', { description: 'narrowgate:idp', events_requested: [`${CAEP}session-revoked`] }))
  await knows()
  expect([bodies('POST').length, bodies('PATCH').length, room.transmitter.streams.size]).toEqual([0, 1, 1])
  expect(room.transmitter.stream.events_requested).toContain(`${CAEP}risk-level-change`)
})

test('[SSF4] of two that are ours every gateway takes the same', async () => {
  room = await Room.start({}, transmitter => ['b', 'a', 'c'].forEach(id => there(transmitter, id, { description: 'narrowgate:idp' })))
  await expect.poll(() => room.transmitter.askedFor('/poll/').map(({ path }) => path)).toContain('/poll/a')
  expect(room.transmitter.askedFor('/poll/b').length + room.transmitter.askedFor('/poll/c').length).toBe(0)
})

test('[SSF4] where only one may be, it is made ours', async () => {
  room = await Room.start(PUSH, transmitter => {
    transmitter.conduct.oneStream = true
    there(transmitter, 'only', { delivery: { method: 'urn:ietf:rfc:8935', endpoint_url: 'https://old.example' } })
  })
  await knows()
  expect(room.transmitter.stream.delivery).toEqual({ method: 'urn:ietf:rfc:8935', endpoint_url: ENDPOINT, authorization_header: room.streams.authorizationOf('idp') })
})

test('[SSF5] what is sent along on push is made once, random, and told again to a stream that is adopted', async () => {
  room = await Room.start(PUSH)
  await knows()
  const header = room.streams.authorizationOf('idp')
  expect(header).toMatch(/^Bearer [A-Za-z0-9+/]{43}=$/)
  expect(room.transmitter.stream.delivery.authorization_header).toBe(header)
  room.transmitter.stream.delivery = { ...room.transmitter.stream.delivery, authorization_header: 'Bearer old' }
  room.streams.take(new Map([['idp', room.opened({ most: 499 })]])) // another configuration: everything anew
  await expect.poll(() => room.transmitter.stream.delivery.authorization_header, { timeout: 5_000 }).toBe(header)
  expect(room.transmitter.streams.size).toBe(1)
})

test('[SSF5] a stream that does not deliver session-revoked is told to people, once', async () => {
  room = await Room.start({}, transmitter => { transmitter.conduct.delivered = [`${CAEP}risk-level-change`] })
  await knows()
  expect(room.undelivered).toEqual([{ source: 'idp', channels: ['ops'] }])
  expect([await room.counted('ssfFaults', 'undelivered'), room.lines]).toEqual([1, ['a stream does not deliver session-revoked']])
})

test('[SSF4] metadata of another issuer is not believed: nothing is asked of it', async () => {
  room = await Room.start({}, transmitter => { transmitter.conduct.claimedIssuer = 'https://other.example' })
  await expect.poll(() => room.counted('ssfFaults', 'management')).toBeGreaterThan(0)
  expect(room.transmitter.askedFor('/streams')).toEqual([])
  await expect(room.streams.metadataOf('idp')).rejects.toThrow('not of the issuer')
})

test('[SSF4] a stream that is gone is made again', async () => {
  room = await Room.start()
  await expect.poll(() => room.transmitter.waiting).toBe(1)
  const { stream_id: first } = room.transmitter.stream
  room.transmitter.streams.clear()
  room.transmitter.releasePolls()
  await expect.poll(() => room.transmitter.streams.size, { timeout: 5_000 }).toBe(1)
  expect(room.transmitter.stream.stream_id).not.toBe(first)
})
