// What waits in this process for the caller's socket when a session is frozen stays here: only what the system was handed before goes out still,
// and from the resume on every byte comes, in order and once. SPEC: ENF6, ENF9
import type { Socket } from 'node:net'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Http1Arrival } from '../../src/proxy/http1/http1-arrival.ts'
import { HttpRelay } from '../../src/proxy/http/relay.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { exchangesOf, isWhole, operate, pause, planFor, tallyOf, type Tap, TapUpstream, until } from './support.ts'

const BIG = 24 * 1024 * 1024
/** Long enough for whatever is on its way through a system to arrive. */
const QUIET = 400
const KERNEL = 256 * 1024

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
})

/** The TCP socket under a TLS one; node keeps it there. */
const under = (socket: Socket): Socket => (Reflect.get(socket, '_parent') as Socket | null | undefined) ?? socket

/** Sends the pattern as fast as it is taken, up to so many bytes, and ends. */
function sendAll(tap: Tap, bytes: number): void {
  while (tap.sent < bytes && tap.send()) continue
  if (tap.sent < bytes) tap.answer.once('drain', () => sendAll(tap, bytes))
  else tap.answer.end()
}

async function download(gate: TestGateway, name: string, length: number | null) {
  const token = await gate.token()
  const { id } = await gate.session(token)
  const path = `/${name}/base`
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', path, { authorization: `Bearer ${token}` }))
  const tap = await upstream.tap(path)
  tap.begin(length)
  await client.head()
  const [exchange] = exchangesOf(gate, id)
  if (!(exchange?.channel instanceof HttpRelay)) throw new Error('no relay')
  return { client, tap, id, exchange, socket: under((exchange.channel.arrival as Http1Arrival).socket) }
}
const resume = (gate: TestGateway, id: string) => operate(gate, id, 'resume', { reason: 'test' })

/** Bytes that wait in the stream, behind those the system was handed. `writableBuffer` is node's own list of them. */
const waiting = (socket: Socket): number => (Reflect.get(socket, 'writableBuffer') as readonly { readonly chunk: Uint8Array }[]).reduce((sum, { chunk }) => sum + chunk.length, 0)

async function stands(count: () => number, what: string): Promise<void> {
  let before = -1
  await until(() => before === (before = count()) && before > 0, what, 20_000, 100)
}

describe.each(['plain', 'TLS'])('%s', transport => {
  const gate = (): TestGateway => gates.get(transport) as TestGateway // both were started

  test.each([['sized', BIG], ['chunked', null]])('[ENF6, ENF9] a %s download at full speed stands from the acknowledgement on, and goes on at the very byte', async (framing, length) => {
    const { client, tap, id } = await download(gate(), `fast-${framing}-${transport}`, length)
    sendAll(tap, BIG)
    for (const share of [0.2, 0.5]) {
      await client.until(() => client.bodyBytes > BIG * share, 20_000)
      expect(tallyOf(await operate(gate(), id, 'freeze'))).toMatchObject({ frozen: 1 })
      const acknowledged = client.mark()
      await pause(QUIET)
      const quiet = client.mark()
      await pause(QUIET)
      expect([quiet - acknowledged <= KERNEL, client.receivedSince(quiet)]).toEqual([true, 0])
      expect(client.bodyBytes).toBeLessThan(BIG)
      await resume(gate(), id)
    }
    isWhole(await client.response('GET', 30_000), BIG)
    client.close()
  })

  test('[ENF6, ENF9] a reader that paused, and reads on while it is frozen, gets nothing that was not the system\'s already', async () => {
    const { client, tap, id, exchange } = await download(gate(), `paused-${transport}`, BIG)
    client.pause()
    sendAll(tap, BIG)
    await stands(() => exchange.bytesDown, 'every buffer on the way to be full')
    await operate(gate(), id, 'freeze')
    const handed = exchange.bytesDown
    client.resume()
    await stands(() => client.received, 'what was on its way')
    const quiet = client.mark()
    await pause(QUIET)
    expect([exchange.bytesDown, client.receivedSince(quiet)]).toEqual([handed, 0])
    expect(client.bodyBytes).toBeLessThanOrEqual(handed)
    await resume(gate(), id)
    isWhole(await client.response('GET', 30_000), BIG)
    client.close()
  })
})

test('[ENF6, ENF9] of what waits behind the system\'s buffers no byte leaves, though they are empty', async () => {
  const gate = gates.get('plain') as TestGateway // it was started
  const { client, tap, id, exchange, socket } = await download(gate, 'waiting', null)
  client.pause()
  sendAll(tap, BIG)
  await stands(() => exchange.bytesDown, 'every buffer on the way to be full')
  await operate(gate, id, 'freeze')
  const [held, written] = [waiting(socket), socket.bytesWritten]
  expect(held).toBeGreaterThan(0)
  client.resume()
  await stands(() => client.received, 'what was on its way')
  await pause(QUIET)
  expect([client.received, waiting(socket), socket.bytesWritten]).toEqual([written - held, held, written])
  await resume(gate, id)
  isWhole(await client.response('GET', 30_000), BIG)
  client.close()
})

test('[ENF6, ENF9] the tail of an answer that has ended upstream stays as well', async () => {
  const gate = gates.get('plain') as TestGateway // it was started
  const { client, tap, id, exchange, socket } = await download(gate, 'tail', null)
  client.pause()
  for (let before = -1; waiting(socket) === 0 || tap.sent < 4 * KERNEL; before = exchange.bytesDown) {
    tap.send()
    await until(() => exchange.bytesDown > before || waiting(socket) > 0, 'the next piece to be handed on')
  }
  const whole = tap.sent
  tap.answer.end()
  await until(() => exchange.bytesDown === whole, 'the end to arrive', 2_000).catch(() => undefined) // it may wait in front of a full socket
  await operate(gate, id, 'freeze')
  const held = waiting(socket)
  expect(held).toBeGreaterThan(0)
  client.resume()
  await stands(() => client.received, 'what was on its way')
  await pause(QUIET)
  expect([client.bodyBytes < whole, waiting(socket)]).toEqual([true, held])
  await resume(gate, id)
  isWhole(await client.response(), whole)
  client.close()
})
