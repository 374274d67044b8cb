// What a caller and an upstream see when an exchange is refused, narrowed, frozen, terminated or ended by the clock: downloads, uploads and
// event streams, plain and over TLS. Nothing is handed on after the acknowledgement. SPEC: ENF3-ENF7, ENF9, ENF10, WIRE8, WIRE10
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { exchangesOf, type Acted, type Flight, type Kind, KINDS, operate, pause, planFor, takeOff, tallyOf, TapUpstream, until } from './support.ts'

/** Far above what it takes, so that a busy machine does not fail it; what it took is printed. */
const SOON = 2_000
/** Long enough for several turns of every timer of the gateway that could let something through. */
const QUIET = 350
const KERNEL = 256 * 1024
const cuts: number[] = []
const acks: number[] = []
const late: number[] = []

let upstream: TapUpstream
const gates = new Map<string, TestGateway>()
beforeAll(async () => {
  upstream = await TapUpstream.start()
  gates.set('plain', await TestGateway.start(planFor(upstream)))
  gates.set('TLS', await TestGateway.start(planFor(upstream, { tls: true })))
})
afterAll(async () => {
  for (const gate of gates.values()) await gate.stop()
  await upstream.close()
  const line = (name: string, times: readonly number[]): string => {
    const sorted = times.toSorted((a, b) => a - b)
    return `${name} p50 ${sorted[Math.floor(sorted.length / 2)]?.toFixed(1)} ms, max ${sorted.at(-1)?.toFixed(1)} ms (${sorted.length})`
  }
  console.log(`wire matrix: ${line('accepted change to end at the caller', cuts)}; ${line('call to acknowledgement', acks)}; ${line('end of time to end at the caller', late)}`)
})

const gateOf = (transport: string): TestGateway => gates.get(transport) as TestGateway // both were started
const cells = ['plain', 'TLS'].flatMap(transport => KINDS.map(kind => [kind, transport] as const))

async function elevated(gate: TestGateway, profile = 'long'): Promise<{ readonly token: string; readonly session: string }> {
  const token = await gate.token()
  await gate.elevate(token, profile)
  return { token, session: (await gate.session(token)).id }
}

/** It ended at both ends, as its kind ends, and nothing more came through, however much was waiting. */
async function isCut(flight: Flight, { calledAt, acceptedAt, ackedAt }: Acted): Promise<void> {
  const { client, tap, kind } = flight
  const [content, octets] = [flight.arrived(), client.mark()]
  expect(content).toBe(flight.handed())
  for (let i = 0; i < 4; i++) flight.push()
  if (kind === 'sse') {
    const { body } = await client.response()
    expect([body.length, body.toString().endsWith('\n\n')]).toEqual([content, true])
  } else {
    expect([await client.ended, client.receivedSince(octets)]).toEqual(['reset', 0])
  }
  cuts.push(flight.endedAt() - acceptedAt)
  acks.push(ackedAt - calledAt)
  expect(flight.endedAt() - acceptedAt).toBeLessThan(SOON)
  await until(() => tap.abortedAt > 0, 'the upstream to see the end')
  expect(tap.abortedAt - acceptedAt).toBeLessThan(SOON)
  expect([tap.bodyEnded, tap.received]).toEqual(kind === 'upload' ? [false, content] : [true, 0])
}

describe.each(cells)('%s, %s', (kind: Kind, transport) => {
  test('[DEC1][WIRE8] refused before the answer: the reason can be read, the upstream sees nothing', async () => {
    const gate = gateOf(transport)
    const authorization = `Bearer ${await gate.token()}`
    const path = `/refused-${kind.replace(' ', '-')}-${transport}/extra`
    const client = await RawClient.connect(gate.target)
    client.push(kind === 'upload' ? request('POST', path, { authorization }, 'small') : request('GET', path, { authorization }))
    const { status, body } = await client.response()
    expect(status).toBe(403)
    expect(JSON.parse(body.toString())).toMatchObject({ type: 'urn:narrowgate:reason:elevation_required', status: 403, reason: 'elevation_required' })
    client.push(request('GET', path, { authorization }))
    expect((await client.response()).status).toBe(403)
    client.close()
    expect(upstream.taps.has(path)).toBe(false)
  })

  test('[ENF5][ENF3][ENF9][ENF10] narrowed: what stood on the elevation is cut, what stands on the baseline is untouched', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const extra = await takeOff(gate, upstream, kind, 'extra', token)
    const base = await takeOff(gate, upstream, kind, 'base', token)
    const acted = await operate(gate, session, 'narrow')
    expect(tallyOf(acted)).toMatchObject({ cut: 1, continued: 1, frozen: 0, regranted: 0 })
    await isCut(extra, acted)
    const again = await gate.ask('GET', '/again/extra', { authorization: `Bearer ${token}` })
    expect([again.status, again.json['reason']]).toEqual([403, 'narrowed'])
    await base.move()
    await base.finish()
    base.client.close()
  })

  test('[ENF6][ENF9] frozen and resumed: both directions stop, new requests are refused, then every byte comes through', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const flights = [await takeOff(gate, upstream, kind, 'extra', token), await takeOff(gate, upstream, kind, 'base', token)]
    const other = await takeOff(gate, upstream, kind, 'base', await gate.token())
    const acted = await operate(gate, session, 'freeze')
    expect(tallyOf(acted)).toMatchObject({ frozen: 2, cut: 0, continued: 0 })
    const marks = flights.map(flight => flight.arrived())
    for (const flight of flights) flight.push()
    const refused = await gate.ask('GET', '/new/base', { authorization: `Bearer ${token}` })
    expect([refused.status, refused.json['reason']]).toEqual([403, 'frozen'])
    await pause(QUIET)
    await other.move()
    await other.finish()
    expect(flights.map(flight => flight.arrived())).toEqual(marks)
    expect(flights.map(flight => flight.tap.abortedAt)).toEqual([0, 0])
    await operate(gate, session, 'resume', { reason: 'test' })
    for (const flight of flights) {
      await until(() => flight.arrived() === flight.handed(), 'what waited while it was frozen')
      await flight.move()
      await flight.finish()
    }
    for (const { client } of [...flights, other]) client.close()
  })

  test('[ENF7][ENF9][ENF10] terminated: everything of the session is cut, nothing of another one, and the way back is closed', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const flights = [await takeOff(gate, upstream, kind, 'extra', token), await takeOff(gate, upstream, kind, 'base', token)]
    const other = await takeOff(gate, upstream, kind, 'base', await gate.token())
    const acted = await operate(gate, session, 'terminate')
    expect(tallyOf(acted)).toMatchObject({ cut: 2, continued: 0, frozen: 0 })
    for (const flight of flights) await isCut(flight, acted)
    expect((await gate.ask('GET', '/again/base', { authorization: `Bearer ${token}` })).status).toBe(401)
    await other.move()
    await other.finish()
    other.client.close()
  })

  test('[ENF4][ENF10] its time is over: cut by the clock, without any message; the baseline goes on', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate, 'short')
    const extra = await takeOff(gate, upstream, kind, 'extra', token)
    const base = await takeOff(gate, upstream, kind, 'base', token)
    const over = exchangesOf(gate, session)[0]?.until ?? 0
    let inTime = 0
    const sending = setInterval(() => {
      extra.push()
      if (Date.now() < over) inTime = extra.handed()
    }, 100)
    if (kind === 'sse') await until(() => extra.tap.abortedAt > 0, 'the end of its time')
    else expect(await extra.ended).toBe('reset')
    const took = Date.now() - over
    clearInterval(sending)
    late.push(took)
    expect(took).toBeGreaterThanOrEqual(0)
    expect(took).toBeLessThan(SOON)
    await until(() => extra.tap.abortedAt > 0, 'the upstream to see the end')
    expect(extra.arrived()).toBeLessThanOrEqual(inTime)
    const again = await gate.ask('GET', '/again/extra', { authorization: `Bearer ${token}` })
    expect([again.status, again.json['reason']]).toEqual([403, 'elevation_required'])
    await base.move()
    await base.finish()
    base.client.close()
  })
})

describe.each(['plain', 'TLS'])('at full speed, %s', transport => {
  test.each(['terminate', 'narrow'])('[ENF9][ENF10] %s while everything is full: nothing is handed to the socket behind the acknowledgement', async verb => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const flight = await takeOff(gate, upstream, 'chunked download', 'extra', token)
    const [exchange] = exchangesOf(gate, session)
    flight.tap.pump()
    await flight.client.until(() => flight.client.bodyBytes > 4 * 1024 * 1024)
    const acted = await operate(gate, session, verb)
    const handed = exchange?.bytesDown
    expect(tallyOf(acted)).toMatchObject({ cut: 1, continued: 0 })
    expect(await flight.ended).toBe('reset')
    await until(() => flight.tap.abortedAt > 0, 'the upstream to see the end')
    expect([exchange?.state, exchange?.bytesDown]).toEqual(['ended', handed])
    expect(flight.client.bodyBytes).toBeLessThanOrEqual(handed ?? 0)
    expect(flight.client.bytes().subarray(-5).toString('latin1')).not.toBe('0\r\n\r\n')
  })

  test('[ENF9][ENF10] a reader that paused gets at most 256 KiB more, out of buffers that are not ours any more', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const flight = await takeOff(gate, upstream, 'chunked download', 'extra', token)
    flight.client.pause()
    flight.tap.pump()
    let before = -1
    await until(() => before === (before = flight.handed()) && before > KERNEL, 'every buffer on the way to be full', 20_000, 100)
    const acted = await operate(gate, session, 'terminate')
    expect(tallyOf(acted)).toMatchObject({ cut: 1 })
    const mark = flight.client.mark()
    flight.client.resume()
    expect(await flight.ended).toBe('reset')
    expect(flight.client.receivedSince(mark)).toBeLessThanOrEqual(KERNEL)
    expect(flight.client.receivedSince(mark)).toBeLessThan(flight.handed())
  })

  test('[WIRE10][ENF10] an event stream that stands inside an event is reset; at a boundary it ends whole and its connection is refused a new one', async () => {
    const gate = gateOf(transport)
    const { token, session } = await elevated(gate)
    const [inside, between] = [await takeOff(gate, upstream, 'sse', 'extra', token), await takeOff(gate, upstream, 'sse', 'extra', token)]
    inside.tap.emit('data: half of')
    await inside.client.until(() => inside.arrived() === inside.handed())
    const mark = inside.client.mark()
    await operate(gate, session, 'narrow')
    inside.tap.emit(' an event\n\n')
    expect([await inside.ended, inside.client.receivedSince(mark)]).toEqual(['reset', 0])
    const { complete, body } = await between.client.response()
    expect([complete, body.toString()]).toEqual([true, between.tap.text])
    between.client.push(request('GET', '/again/extra', { authorization: `Bearer ${token}` }))
    expect((await between.client.response()).status).toBe(403)
    between.client.close()
  })
})
