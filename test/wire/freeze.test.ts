// A freeze stops relaying, not the peers: one that closes meanwhile ends the exchange as `frozen_peer_closed`, never as complete; peers that wait
// get every byte; our own time limits stand still; what was not dispatched yet is refused. SPEC: ENF6, WIRE14, ENF2
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { after, instant } from '../../src/core/time.ts'
import { TestGateway } from '../support/gateway.ts'
import { patternAt } from '../support/pattern.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { exchangesOf, isWhole, KINDS, operate, pause, planFor, takeOff, type Tap, TapUpstream, until } from './support.ts'

/** How long the peers of these tests wait. */
const PATIENCE = 1_000
const BIG = 24 * 1024 * 1024

let upstream: TapUpstream
let gate: TestGateway
beforeAll(async () => {
  upstream = await TapUpstream.start()
  const plan = planFor(upstream, { more: 'audit: { trail: { fsync: true } }' })
  gate = await TestGateway.start({ ...plan, routes: plan.routes.replace(`{ url: "${upstream.origin}" }`, `{ url: "${upstream.origin}", timeout: 1s }`) })
})
afterEach(() => { vi.restoreAllMocks() })
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

async function begin(): Promise<{ readonly token: string; readonly session: string }> {
  const token = await gate.token()
  await gate.elevate(token, 'long')
  return { token, session: (await gate.session(token)).id }
}

const freeze = (session: string) => operate(gate, session, 'freeze')
const resume = (session: string) => operate(gate, session, 'resume', { reason: 'test' })

/** How the trail says that an exchange ended. */
async function endingOf(exchange: string): Promise<readonly unknown[]> {
  const closed = (await gate.trail()).filter(line => line['kind'] === 'exchange.closed' && line['exchange'] === exchange)
  return closed.map(line => [line['reason'], line['complete']])
}

const idOf = (session: string): string => exchangesOf(gate, session)[0]?.id ?? ''
const isOver = (session: string): Promise<void> => until(() => exchangesOf(gate, session).length === 0, 'the end of the exchange')
const resetBy = (tap: Tap): void => { tap.message.socket.resetAndDestroy() }

describe.concurrent('peers that do not wait', () => {
  test.each(KINDS)('[ENF6] the upstream of a %s resets while it is frozen', async kind => {
    const { token, session } = await begin()
    const flight = await takeOff(gate, upstream, kind, 'extra', token)
    const id = idOf(session)
    const mark = flight.client.mark()
    await freeze(session)
    if (kind !== 'upload') flight.push()
    await pause(PATIENCE)
    resetBy(flight.tap)
    await isOver(session)
    await resume(session)
    if (kind !== 'upload') expect([await flight.ended, flight.client.receivedSince(mark)]).toEqual(['reset', 0])
    else expect((await flight.client.response('POST')).body.toString()).toContain('frozen_peer_closed')
    expect(await endingOf(id)).toEqual([['frozen_peer_closed', false]])
    flight.client.close()
  })

  test('[ENF6] an upstream that sends and resets when nothing is read for a second: seen at the latest after the resume, never complete', async () => {
    const { token, session } = await begin()
    const flight = await takeOff(gate, upstream, 'chunked download', 'extra', token)
    const id = idOf(session)
    flight.tap.pump()
    await flight.client.until(() => flight.arrived() > 1024 * 1024)
    await freeze(session)
    await pause(PATIENCE)
    resetBy(flight.tap)
    await resume(session)
    expect(await flight.ended).toBe('reset')
    expect(flight.client.bytes().subarray(-5).toString('latin1')).not.toBe('0\r\n\r\n')
    await isOver(session)
    expect(await endingOf(id)).toEqual([['frozen_peer_closed', false]])
  })

  test.each([...KINDS.map(kind => [kind, 'close'] as const), ...KINDS.map(kind => [kind, 'reset'] as const)])('[ENF6] the caller of a %s goes away while it is frozen: %s', async (kind, how) => {
    const { token, session } = await begin()
    const flight = await takeOff(gate, upstream, kind, 'extra', token)
    const id = idOf(session)
    await freeze(session)
    flight.push()
    await pause(PATIENCE)
    flight.client.close(how)
    await isOver(session)
    await until(() => flight.tap.abortedAt > 0, 'the upstream to see it')
    expect(flight.tap.bodyEnded).toBe(kind !== 'upload')
    expect(await endingOf(id)).toEqual([['frozen_peer_closed', false]])
    expect((await resume(session)).answer.json['exchanges']).toMatchObject({ continued: 0 })
  })
})

test.each(['close', 'reset'] as const)('[ENF6] the caller of a big upload goes away with much of it unread: seen at the latest after the resume, never complete: %s', async how => {
  const { token, session } = await begin()
  const path = `/gone-${how}/extra`
  const client = await RawClient.connect(gate.target)
  client.push(request('POST', path, { authorization: `Bearer ${token}`, 'content-length': String(BIG) }))
  const tap = await (client.push(patternAt(0, BIG / 2)), upstream.tap(path))
  const id = idOf(session)
  await freeze(session)
  await pause(PATIENCE)
  client.close(how)
  await resume(session)
  await isOver(session)
  await until(() => tap.abortedAt > 0, 'the upstream to see it')
  expect([tap.bodyEnded, tap.wrongAt]).toEqual([false, null])
  expect(await endingOf(id)).toEqual([['frozen_peer_closed', false]])
})

describe.concurrent('peers that wait', () => {
  test('[ENF6] a big download frozen in the middle comes through whole', async () => {
    const { token, session } = await begin()
    const client = await RawClient.connect(gate.target)
    client.push(request('GET', '/big-down/extra', { authorization: `Bearer ${token}` }))
    const tap = await upstream.tap('/big-down/extra')
    tap.begin(BIG)
    const sending = (): void => {
      while (tap.sent < BIG && tap.send()) continue
      if (tap.sent < BIG) tap.answer.once('drain', sending)
      else tap.answer.end()
    }
    sending()
    await client.head()
    await client.until(() => client.bodyBytes > 1024 * 1024)
    for (const _ of [1, 2]) {
      await freeze(session)
      await pause(300)
      const mark = client.mark()
      await pause(PATIENCE)
      expect(client.receivedSince(mark)).toBe(0)
      await resume(session)
      await client.until(() => client.receivedSince(mark) > 1024 * 1024)
    }
    isWhole(await client.response('GET', 30_000), BIG)
    client.close()
  })

  test('[ENF6] a big upload frozen in the middle comes through whole', async () => {
    const { token, session } = await begin()
    const client = await RawClient.connect(gate.target)
    client.push(request('POST', '/big-up/extra', { authorization: `Bearer ${token}`, 'content-length': String(BIG) }))
    const all = client.send(patternAt(0, BIG))
    const tap = await upstream.tap('/big-up/extra')
    await until(() => tap.received > 1024 * 1024, 'the first MiB')
    const [exchange] = exchangesOf(gate, session)
    await freeze(session)
    await pause(300)
    const [mark, taken] = [tap.received, exchange?.bytesUp ?? 0]
    await pause(PATIENCE)
    expect([tap.received, exchange?.bytesUp]).toEqual([mark, taken])
    await resume(session)
    await all
    await until(() => tap.bodyEnded, 'the end of the upload')
    expect([tap.received, tap.wrongAt]).toEqual([BIG, null])
    tap.answer.end('ok')
    expect((await client.response('POST')).complete).toBe(true)
    client.close()
  })

  test('[ENF6][WIRE14] an answer that came while it was frozen waits; our time limit for it stood still', async () => {
    const { token, session } = await begin()
    const [early, late] = [await RawClient.connect(gate.target), await RawClient.connect(gate.target)]
    early.push(request('GET', '/early/extra', { authorization: `Bearer ${token}` }))
    late.push(request('GET', '/late/base', { authorization: `Bearer ${token}` }))
    const [first, second] = [await upstream.tap('/early/extra'), await upstream.tap('/late/base')]
    await freeze(session)
    first.answer.end('early')
    await pause(PATIENCE + 1_000)
    expect([early.received, late.received, second.abortedAt]).toEqual([0, 0, 0])
    await resume(session)
    second.answer.end('late')
    for (const [client, said] of [[early, 'early'], [late, 'late']] as const) {
      const { status, complete, body } = await client.response()
      expect([status, complete, body.toString()]).toEqual([200, true, said])
      client.close()
    }
  })
})

describe('what was not dispatched', () => {
  const frozen = { status: 403, reason: 'frozen' }
  const freezeNow = async (session: string): Promise<void> => {
    const live = gate.parts.mirror.byId(session)
    if (live === null) throw new Error(`no session ${session}`)
    const news = { kind: 'session.frozen', until: after(instant(Date.now()), gate.parts.mirror.policy.sessions.frozenFor) } as const
    await gate.parts.intake.session(live.record.key, news, { by: 'test', note: 'test', id: null })
  }

  test('[ENF2][ENF6] frozen while its intent is put on disk: refused, the upstream sees nothing', async () => {
    const { token, session } = await begin()
    let freezing: Promise<void> | null = null
    const intended = vi.spyOn(gate.parts.trail, 'intended')
    const sync = gate.parts.trail.sync.bind(gate.parts.trail)
    vi.spyOn(gate.parts.trail, 'sync').mockImplementation(() => (intended.mock.calls.length === 0 ? sync() : (freezing ??= freezeNow(session))))
    const answer = await gate.ask('GET', '/gathered/extra', { authorization: `Bearer ${token}` })
    expect({ status: answer.status, reason: answer.json['reason'] }).toEqual(frozen)
    expect([intended.mock.calls.length, upstream.taps.has('/gathered/extra')]).toEqual([1, false])
  })

  test('[ENF2][ENF6] frozen between its admission and its dispatch: refused, the upstream sees nothing, and the record says so', async () => {
    const { token, session } = await begin()
    const real = gate.parts.trail.opened.bind(gate.parts.trail)
    const spy = vi.spyOn(gate.parts.trail, 'opened').mockImplementationOnce((record, elevated) => {
      real(record, elevated)
      void freezeNow(session)
    })
    const answer = await gate.ask('GET', '/admitted/extra', { authorization: `Bearer ${token}` })
    expect({ status: answer.status, reason: answer.json['reason'] }).toEqual(frozen)
    expect([spy.mock.calls.length, upstream.taps.has('/admitted/extra'), exchangesOf(gate, session).length]).toEqual([1, false, 0])
    const said = (await gate.trail()).filter(line => line['kind'] === 'request.not_dispatched' && line['session'] === session)
    expect(said.map(line => line['reason'])).toEqual(['frozen'])
  })
})
