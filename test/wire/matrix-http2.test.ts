// The verb table on HTTP/2: what a caller and an upstream see when an exchange on a stream is refused, narrowed, frozen, terminated or ended by the clock, over
// TLS and by prior knowledge. A second session has a stream on the same connection all the while, and gets every byte of it. SPEC: ENF3-ENF7, ENF9, ENF10, WIRE16
import { type ClientHttp2Session, constants } from 'node:http2'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { TestGateway } from '../support/gateway.ts'
import { FRAME, frame, FrameClient, headers, PREFACE, requestFields, windowUpdate } from '../support/http2-frames.ts'
import { CallerStream, connectHttp2, STREAM_KINDS, type StreamFlight, type StreamKind, takeOffOn } from './http2-flights.ts'
import { type Acted, exchangesOf, operate, pause, planFor, tallyOf, type Tap, TapUpstream, until } from './support.ts'

const SOON = 2_000
const QUIET = 350
/** As HTTP/2 has it where nobody says more. */
const WINDOW = 65_535
const cuts: number[] = []
const late: number[] = []

let upstream: TapUpstream
const gates = new Map<string, TestGateway>()
/** Two seconds: what an upstream is told of a grant ends with a whole one. */
const elevations = `
long: { adds: [extra:use], for: 10m, max: 1h }
short: { adds: [extra:use], for: 2s }`
/** One connection of each gateway, for all sessions of all tests. */
const connections = new Map<string, ClientHttp2Session>()
beforeAll(async () => {
  upstream = await TapUpstream.start()
  gates.set('TLS', await TestGateway.start(planFor(upstream, { elevations, tls: true })))
  gates.set('prior knowledge', await TestGateway.start(planFor(upstream, { elevations, listener: 'protocols: [http1, http2]' })))
  for (const [transport, gate] of gates) {
    const session = await connectHttp2(gate)
    connections.set(transport, session)
    await asked(session, '/first/extra', await gate.token()) // one that is not used is not kept
  }
})
afterAll(async () => {
  const shared = [...connections.values()].map(session => [session.closed, session.destroyed])
  for (const session of connections.values()) session.destroy()
  for (const gate of gates.values()) await gate.stop()
  await upstream.close()
  const line = (name: string, times: readonly number[]): string => {
    const sorted = times.toSorted((a, b) => a - b)
    return `${name} p50 ${sorted[Math.floor(sorted.length / 2)]?.toFixed(1)} ms, max ${sorted.at(-1)?.toFixed(1)} ms (${sorted.length})`
  }
  console.log(`HTTP/2 matrix: ${line('accepted change to end at the caller', cuts)}; ${line('end of time to end at the caller', late)}`)
  expect(shared).toEqual([[false, false], [false, false]]) // no cut of a stream took the connection with it
})

const TRANSPORTS = ['TLS', 'prior knowledge'] as const
const cells = STREAM_KINDS.flatMap(kind => TRANSPORTS.map(transport => [kind, transport] as const))
const at = (transport: string): { readonly gate: TestGateway; readonly session: ClientHttp2Session } => ({ gate: gates.get(transport) as TestGateway, session: connections.get(transport) as ClientHttp2Session }) // both were started

async function elevated(gate: TestGateway, profile = 'long'): Promise<{ readonly token: string; readonly session: string }> {
  const token = await gate.token()
  await gate.elevate(token, profile)
  return { token, session: (await gate.session(token)).id }
}

async function asked(session: ClientHttp2Session, path: string, token: string): Promise<readonly [number, unknown]> {
  const stream = new CallerStream(session, 'GET', path, { authorization: `Bearer ${token}` })
  expect(await stream.over()).toBe('whole')
  return [stream.status, (stream.json as { readonly reason?: unknown }).reason] // an object, by the contract
}

/** It ended at both ends, as its kind ends, and nothing more came through, however much was waiting. */
async function isCut(flight: StreamFlight, { acceptedAt }: Acted): Promise<void> {
  const { caller, tap, kind } = flight
  const content = flight.arrived()
  expect(content).toBe(flight.handed())
  for (let i = 0; i < 4; i++) flight.push()
  expect(await caller.over()).toBe(kind === 'sse' ? 'whole' : constants.NGHTTP2_CANCEL)
  cuts.push(caller.closedAt - acceptedAt)
  expect(caller.closedAt - acceptedAt).toBeLessThan(SOON)
  await until(() => tap.abortedAt > 0, 'the upstream to see the end')
  expect(tap.abortedAt - acceptedAt).toBeLessThan(SOON)
  expect([flight.arrived(), tap.bodyEnded, tap.received]).toEqual([content, kind !== 'upload', kind === 'upload' ? content : 0])
  if (kind === 'sse') expect(caller.body.endsWith('\n\n')).toBe(true)
}

describe.each(cells)('%s, %s', (kind: StreamKind, transport) => {
  test('[DEC1, WIRE8, WIRE16] refused before the answer: the reason can be read, the upstream sees nothing', async () => {
    const { gate, session } = at(transport)
    const other = await takeOffOn(session, upstream, kind, 'base', await gate.token())
    const path = `/h2-refused-${kind.replace(' ', '-')}-${transport.replace(' ', '-')}/extra`
    const stream = new CallerStream(session, kind === 'upload' ? 'POST' : 'GET', path, { authorization: `Bearer ${await gate.token()}` })
    if (kind === 'upload') stream.raw.write(Buffer.alloc(100_000))
    expect(await stream.over()).toBe('whole')
    expect([stream.status, stream.json]).toMatchObject([403, { type: 'urn:narrowgate:reason:elevation_required', status: 403, reason: 'elevation_required' }])
    expect(upstream.taps.has(path)).toBe(false)
    await other.move()
    await other.finish()
  })

  test('[ENF5, ENF3, ENF9, ENF10, WIRE16] narrowed: what stood on the elevation is cut, what stands on the baseline is untouched', async () => {
    const { gate, session } = at(transport)
    const { token, session: id } = await elevated(gate)
    const extra = await takeOffOn(session, upstream, kind, 'extra', token)
    const [base, other] = [await takeOffOn(session, upstream, kind, 'base', token), await takeOffOn(session, upstream, kind, 'base', await gate.token())]
    const acted = await operate(gate, id, 'narrow')
    expect(tallyOf(acted)).toMatchObject({ cut: 1, continued: 1, frozen: 0, regranted: 0 })
    await isCut(extra, acted)
    expect(await asked(session, '/again/extra', token)).toEqual([403, 'narrowed'])
    for (const flight of [base, other]) {
      await flight.move()
      await flight.finish()
    }
  })

  test('[ENF6, ENF9, WIRE16] frozen and resumed: both directions stop, new requests are refused, then every byte comes through', async () => {
    const { gate, session } = at(transport)
    const { token, session: id } = await elevated(gate)
    const flights = [await takeOffOn(session, upstream, kind, 'extra', token), await takeOffOn(session, upstream, kind, 'base', token)]
    const other = await takeOffOn(session, upstream, kind, 'base', await gate.token())
    const acted = await operate(gate, id, 'freeze')
    expect(tallyOf(acted)).toMatchObject({ frozen: 2, cut: 0, continued: 0 })
    const marks = flights.map(flight => flight.arrived())
    for (const flight of flights) flight.push()
    expect(await asked(session, '/new/base', token)).toEqual([403, 'frozen'])
    await pause(QUIET)
    await other.move()
    await other.finish()
    expect(flights.map(flight => flight.arrived())).toEqual(marks)
    expect(flights.map(({ tap, caller }) => [tap.abortedAt, caller.closedAt])).toEqual([[0, 0], [0, 0]])
    await operate(gate, id, 'resume', { reason: 'test' })
    for (const flight of flights) {
      await until(() => flight.arrived() === flight.handed(), 'what waited while it was frozen')
      await flight.move()
      await flight.finish()
    }
  })

  test('[ENF7, ENF9, ENF10, WIRE16] terminated: everything of the session is cut, nothing of another one, and the way back is closed', async () => {
    const { gate, session } = at(transport)
    const { token, session: id } = await elevated(gate)
    const flights = [await takeOffOn(session, upstream, kind, 'extra', token), await takeOffOn(session, upstream, kind, 'base', token)]
    const other = await takeOffOn(session, upstream, kind, 'base', await gate.token())
    const acted = await operate(gate, id, 'terminate')
    expect(tallyOf(acted)).toMatchObject({ cut: 2, continued: 0, frozen: 0 })
    for (const flight of flights) await isCut(flight, acted)
    expect((await asked(session, '/again/base', token))[0]).toBe(401)
    await other.move()
    await other.finish()
  })

  test('[ENF4, ENF10, WIRE16] its time is over: cut by the clock, without any message; the baseline goes on', async () => {
    const { gate, session } = at(transport)
    const { token, session: id } = await elevated(gate, 'short')
    const extra = await takeOffOn(session, upstream, kind, 'extra', token)
    const [base, other] = [await takeOffOn(session, upstream, kind, 'base', token), await takeOffOn(session, upstream, kind, 'base', await gate.token())]
    const over = exchangesOf(gate, id)[0]?.until ?? 0
    let inTime = 0
    const sending = setInterval(() => {
      extra.push()
      if (Date.now() < over) inTime = extra.handed()
    }, 250) // fewer pieces than make it whole
    expect(await extra.caller.over()).toBe(kind === 'sse' ? 'whole' : constants.NGHTTP2_CANCEL)
    const took = Date.now() - over
    clearInterval(sending)
    late.push(took)
    expect(took).toBeGreaterThanOrEqual(0)
    expect(took).toBeLessThan(SOON)
    await until(() => extra.tap.abortedAt > 0, 'the upstream to see the end')
    expect(extra.arrived()).toBeLessThanOrEqual(inTime)
    expect(await asked(session, '/again/extra', token)).toEqual([403, 'elevation_required'])
    for (const flight of [base, other]) {
      await flight.move()
      await flight.finish()
    }
  })
})

describe.each(TRANSPORTS)('at full speed, %s', transport => {
  test.each(['terminate', 'narrow'])('[ENF9, ENF10, WIRE16] %s while everything is full: nothing is handed to the connection behind the acknowledgement', async verb => {
    const { gate, session } = at(transport)
    const { token, session: id } = await elevated(gate)
    const other = await takeOffOn(session, upstream, 'download', 'base', await gate.token())
    const { caller, tap } = await takeOffOn(session, upstream, 'chunked download', 'extra', token)
    const [exchange] = exchangesOf(gate, id)
    tap.pump()
    await until(() => caller.bytes > 4 * 1024 * 1024, 'full speed')
    const acted = await operate(gate, id, verb)
    const handed = exchange?.bytesDown
    expect(tallyOf(acted)).toMatchObject({ cut: 1, continued: 0 })
    expect(await caller.over()).toBe(constants.NGHTTP2_CANCEL)
    await until(() => tap.abortedAt > 0, 'the upstream to see the end')
    expect([exchange?.state, exchange?.bytesDown]).toEqual(['ended', handed])
    expect(caller.bytes).toBeLessThanOrEqual(handed ?? 0)
    expect(caller.wrongAt).toBeNull()
    await other.finish()
  })

  test('[ENF9, ENF10, WIRE16] a connection nobody reads, of a caller that granted windows of 16 MiB: what comes behind the acknowledgement was in the system\'s buffers, and the other stream goes on', async () => {
    const { gate } = at(transport)
    const { token, session: id } = await elevated(gate)
    const client = await FrameClient.connect(gate.target, Buffer.concat([PREFACE, frame(FRAME.settings, 0, 0, Buffer.from([0, 4, 1, 0, 0, 0])), windowUpdate(0, 16 * 1024 * 1024)]))
    const open = async (stream: number, place: string, of: string): Promise<Tap> => {
      const path = `/still-${transport.replace(' ', '-')}-${stream}/${place}`
      client.push(headers(stream, requestFields('GET', path, [['authorization', `Bearer ${of}`]], 'https')))
      const tap = await upstream.tap(path)
      tap.begin(null)
      tap.send()
      await client.until(() => received(stream) === tap.sent)
      return tap
    }
    const received = (stream: number): number => client.frames.reduce((sum, { type, stream: of, payload }) => sum + (type === FRAME.data && of === stream ? payload.length : 0), 0)
    const [mine, other] = [await open(1, 'extra', token), await open(3, 'base', await gate.token())]
    const [exchange] = exchangesOf(gate, id)
    client.pause()
    mine.pump()
    let before = -1
    await until(() => before === (before = mine.sent) && before > 4 * WINDOW, 'every buffer on the way to be full', 20_000, 100)
    const read = received(1)
    expect(tallyOf(await operate(gate, id, 'terminate'))).toMatchObject({ cut: 1 })
    const handed = exchange?.bytesDown ?? 0
    client.resume()
    await client.first(({ type, stream }) => type === FRAME.reset && stream === 1)
    console.log(`${transport}: ${received(1) - read} bytes of the cut stream came behind the acknowledgement, of ${handed} handed and ${mine.sent} sent by the upstream`)
    expect([exchange?.bytesDown, exchange?.state]).toEqual([handed, 'ended'])
    expect(received(1)).toBeLessThanOrEqual(handed)
    other.send()
    await client.until(() => received(3) === other.sent)
    client.close()
  })

  test('[WIRE10, ENF10, WIRE16] an event stream that stands inside an event is reset; at a boundary it ends whole', async () => {
    const { gate, session } = at(transport)
    const { token, session: id } = await elevated(gate)
    const [inside, between] = [await takeOffOn(session, upstream, 'sse', 'extra', token), await takeOffOn(session, upstream, 'sse', 'extra', token)]
    inside.tap.emit('data: half of')
    await until(() => inside.arrived() === inside.handed(), 'half an event')
    const mark = inside.caller.bytes
    await operate(gate, id, 'narrow')
    inside.tap.emit(' an event\n\n')
    expect([await inside.caller.over(), inside.caller.bytes]).toEqual([constants.NGHTTP2_CANCEL, mark])
    expect([await between.caller.over(), between.caller.body]).toEqual(['whole', between.tap.text])
    expect(await asked(session, '/again/extra', token)).toEqual([403, 'narrowed'])
  })
})
