// gRPC calls that are refused, and calls that are open when their right ends: what the caller's library reads, what the server's library notices, and
// that nothing else on the same connection does. SPEC: ENF3-ENF7, ENF9, ENF10, WIRE8, WIRE9, WIRE16, WIRE17
import { status as CODE } from '@grpc/grpc-js'
import { constants } from 'node:http2'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { CALL_KINDS, type CallKind, type ClientCall, detailsOf, type EchoCall, type GrpcCaller } from '../support/grpc-echo.ts'
import { GrpcStage } from './grpc-harness.ts'
import { type Acted, exchangesOf, operate, pause, tallyOf, until } from './support.ts'

/** The promise is 250 ms; room for a busy machine, what it took is printed. */
const SOON = 1_000
const QUIET = 300
const PIECE = 1_000
const took: number[] = []

/** What the store says of its freshness. */
const lease = { until: Infinity }
const leased = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    if (name === 'confirmedUntil') return () => lease.until
    const member: unknown = Reflect.get(target, name, target)
    return typeof member === 'function' ? member.bind(target) : member
  },
})

let stage: GrpcStage
let counted = 0
let token = ''
let session = ''
beforeAll(async () => {
  stage = await GrpcStage.start({ wrapStore: leased })
})
beforeEach(async () => {
  token = await stage.gate.token({ sub: `caller-${++counted}` })
  session = (await stage.gate.session(token)).id
})
afterEach(() => (lease.until = Infinity))
afterAll(async () => {
  await stage.stop()
  const sorted = took.toSorted((a, b) => a - b)
  console.log(`gRPC: the caller reads the end of a call ${sorted[Math.floor(sorted.length / 2)]?.toFixed(1)} ms behind the decision (median), ${sorted.at(-1)?.toFixed(1)} ms at most (${sorted.length})`)
})

type Open = { readonly call: ClientCall; readonly served: EchoCall }

/** A call that is open from end to end, held by the test; behind the first message where its kind has more. */
async function open(kind: CallKind, service: 'echo' | 'vault', of = token, { ticket = '', client = stage.tls, begun = true }: { readonly ticket?: string; readonly client?: GrpcCaller; readonly begun?: boolean } = {}): Promise<Open> {
  const before = stage.echo.calls.length
  const call = client[service](kind, of, { metadata: { 'x-held': '1', ...(ticket === '' ? {} : { 'narrowgate-ticket': ticket }) } })
  call.send(PIECE)
  if (kind === 'One' || kind === 'Pour') call.done()
  await until(() => stage.echo.calls.length > before || call.status !== null, `the ${kind} of ${service} at the server`)
  expect(call.status).toBeNull()
  const served = await stage.arrival(before)
  await until(() => served.received === PIECE, 'the first message')
  if (begun && (kind === 'Pour' || kind === 'Chat')) {
    served.send(PIECE)
    await until(() => call.received === PIECE, 'the first message back')
  }
  return { call, served }
}

/** It goes on in both directions, as far as its kind has them, and ends well. */
async function landed({ call, served }: Open): Promise<void> {
  expect([call.status, served.cancelledAt]).toEqual([null, 0])
  if (served.kind === 'Pour' || served.kind === 'Chat') served.send(PIECE)
  if (served.kind === 'Collect' || served.kind === 'Chat') {
    call.send(PIECE)
    call.done()
    await until(() => served.halfClosed, 'all that the caller sent')
  }
  served.end()
  const { code } = await call.ended
  expect([code, call.wrongAt, served.wrongAt, served.received]).toEqual([CODE.OK, null, null, call.sent])
  expect(call.received).toBe(served.kind === 'One' || served.kind === 'Collect' ? served.received : served.sent)
}

/** The call was cut with this status, soon; the server knows, and nothing goes to either side any more. */
async function isCut({ call, served }: Open, code: number, reason: string, acceptedAt: number): Promise<void> {
  const status = await call.ended
  expect([status.code, detailsOf(status)?.reason, detailsOf(status)?.code]).toEqual([code, reason, code])
  if (acceptedAt > 0) took.push(call.endedAt - acceptedAt)
  if (acceptedAt > 0) expect(call.endedAt - acceptedAt).toBeLessThan(SOON)
  await until(() => served.cancelledAt > 0, 'the cancellation at the server')
  const { received } = call
  const before = served.received
  call.stream.write({ data: Buffer.alloc(PIECE) })
  await pause(QUIET)
  expect([call.received, served.received]).toEqual([received, before])
}

describe('a call that is refused', () => {
  test.each(CALL_KINDS)('[WIRE8, WIRE17] %s: without the right it is PERMISSION_DENIED, with the reason, the evaluation, and what to ask for', async kind => {
    const before = stage.echo.calls.length
    const call = stage.tls.vault(kind, token)
    for (let i = 0; i < 20; i++) call.send(PIECE) // a refusal reaches who is still sending
    const status = await call.ended
    expect(status.code).toBe(CODE.PERMISSION_DENIED)
    const details = detailsOf(status)
    expect(details).toMatchObject({ code: 7, reason: 'elevation_required', domain: 'narrowgate', message: status.details, told: { session } })
    expect(details?.told['evaluation_id']).toMatch(/^[a-z]+_[a-z2-7]{26}$/)
    expect(JSON.parse(details?.told['access_request'] ?? '')).toMatchObject({ endpoint: '/.narrowgate/elevations' })
    expect(stage.echo.calls.length).toBe(before)
  })

  test.each(['tls', 'h2c'] as const)('[WIRE9, WIRE17] over %s: without a credential, or with one that is none, it is UNAUTHENTICATED', async listener => {
    for (const [shown, reason] of [[null, 'no_credential'], ['no.token.atall', 'credential_invalid']] as const) {
      const status = await stage[listener].echo('One', shown).done().ended
      expect([status.code, detailsOf(status)?.reason]).toEqual([CODE.UNAUTHENTICATED, reason])
    }
  })

  test('[WIRE17] a session that has ended is UNAUTHENTICATED, one that is frozen PERMISSION_DENIED', async () => {
    await operate(stage.gate, session, 'freeze')
    const frozen = await stage.tls.echo('One', token).done().ended
    expect([frozen.code, detailsOf(frozen)?.reason]).toEqual([CODE.PERMISSION_DENIED, 'frozen'])
    await operate(stage.gate, session, 'terminate')
    expect((await stage.tls.echo('One', token).done().ended).code).toBe(CODE.UNAUTHENTICATED)
  })

  test('[WIRE17] where the gateway cannot prove that its knowledge is fresh it is UNAVAILABLE, and the next one passes again', async () => {
    lease.until = 0
    const call = stage.tls.echo('One', token)
    call.send(1)
    const status = await call.done().ended
    expect([status.code, detailsOf(status)?.reason]).toEqual([CODE.UNAVAILABLE, 'stale'])
    lease.until = Infinity
    const next = stage.tls.echo('One', token)
    next.send(PIECE)
    expect((await next.done().ended).code).toBe(CODE.OK)
  })

  test('[WIRE17] a service that no route has is UNIMPLEMENTED, a method in another case is another method', async () => {
    const bare = stage.caller('h2c', {}, 'bare.test')
    const unknown = await bare.call('/narrowgate.test.Nothing/One', token).done().ended
    expect([unknown.code, detailsOf(unknown)?.reason]).toEqual([CODE.UNIMPLEMENTED, 'no_route'])
    bare.close()
    const before = stage.echo.calls.length
    for (const path of ['/narrowgate.test.echo/One', '/narrowgate.test.Echo/../Vault/One', '/narrowgate.test.Echo//One', '/narrowgate.test.Vault%2fOne', '/narrowgate.test.Echo/One/One']) {
      const status = await stage.tls.call(path, token).done().ended
      expect([path, status.code === CODE.OK, detailsOf(status) === null, stage.echo.calls.length]).toEqual([path, false, false, before])
    }
  })
})

/** What ends the right to a call of `Vault`; whoever stands on the baseline keeps it. */
const ENDS: readonly { readonly what: string; readonly profile: string; readonly ticket: string; readonly reason: string; readonly act: () => Promise<Acted | null> }[] = [
  { what: 'narrow', profile: 'long', ticket: '', reason: 'narrowed', act: () => operate(stage.gate, session, 'narrow') },
  { what: 'the end of its ticket', profile: 'bound', ticket: 'T', reason: 'ticket_closed', act: () => stage.gate.admin('POST', `/v1/anchors/ticket/T-${counted}`, { state: 'ended', reason: 'test' }).then(({ status }) => (expect(status).toBe(200), null)) },
  { what: 'the end of its time', profile: 'short', ticket: '', reason: 'time_up', act: () => Promise.resolve(null) },
]

describe.each(ENDS)('a call that is open at $what', ({ profile, ticket, reason, act }) => {
  test.each(CALL_KINDS)('[ENF4, ENF5, ENF10, WIRE17] %s ends with status 7 and is cancelled at the server; others of the connection go on', async kind => {
    const other = await open('Chat', 'echo', await stage.gate.token({ sub: `other-${counted}` }))
    const own = await open(kind, 'echo')
    const named = ticket === '' ? '' : `${ticket}-${counted}`
    await stage.gate.elevate(token, profile, named === '' ? null : named)
    const mine = await open(kind, 'vault', token, { ticket: named })
    const acted = await act()
    await isCut(mine, CODE.PERMISSION_DENIED, reason, acted?.acceptedAt ?? 0)
    await landed(own)
    await landed(other)
  })
})

describe.each(['tls', 'h2c'] as const)('over %s: a call whose session is terminated', listener => {
  test.each(CALL_KINDS)('[ENF7, ENF9, WIRE17] %s ends with status 16 and is cancelled at the server; another session\'s goes on', async kind => {
    const client = stage[listener]
    const other = await open(kind, 'echo', await stage.gate.token({ sub: `other-${counted}` }), { client })
    const mine = await open(kind, 'echo', token, { client })
    const acted = await operate(stage.gate, session, 'terminate')
    expect(tallyOf(acted)).toMatchObject({ cut: 1 })
    await isCut(mine, CODE.UNAUTHENTICATED, 'revoked', acted.acceptedAt)
    await landed(other)
  })

  test('[ENF7, WIRE17] ends with status 16 also before the server has said a word', async () => {
    const mine = await open('Chat', 'echo', token, { client: stage[listener], begun: false })
    const acted = await operate(stage.gate, session, 'terminate')
    await isCut(mine, CODE.UNAUTHENTICATED, 'revoked', acted.acceptedAt)
  })
})

test('[ENF7, WIRE17] a call that is cut within a message ends with its status, and half of a message is none', async () => {
  const client = stage.caller('main', {}, 'localhost')
  stage.raw.does = 'stays'
  stage.raw.answer = Buffer.from([0, 0, 0, 0, 100, 10, 98, 1, 2, 3])
  const call = client.echo('Chat', token)
  call.send(1)
  call.done()
  await until(() => exchangesOf(stage.gate, session)[0]?.bytesDown === 10, 'half of a message')
  await operate(stage.gate, session, 'terminate')
  const status = await call.ended
  expect([status.code, detailsOf(status)?.reason, call.messages]).toEqual([CODE.UNAUTHENTICATED, 'revoked', 0])
  const { stream } = stage.raw.calls.at(-1) ?? {}
  await until(() => stream?.closed === true, 'the reset at the server')
  expect(stream?.rstCode).toBe(constants.NGHTTP2_CANCEL)
  client.close()
})

test('[ENF7, ENF9, WIRE17] a busy call whose caller reads along is reset as soon: its status would have to wait behind what is queued', async () => {
  const other = await open('Chat', 'echo', await stage.gate.token({ sub: `other-${counted}` }))
  const busy = await open('Pour', 'echo')
  busy.served.pump(PIECE)
  await until(() => busy.call.received > 100 * PIECE, 'that it is busy')
  const acted = await operate(stage.gate, session, 'terminate')
  const { code } = await busy.call.ended
  expect([CODE.CANCELLED, CODE.UNAUTHENTICATED]).toContain(code)
  expect(busy.call.endedAt - acted.acceptedAt).toBeLessThan(SOON)
  await until(() => busy.served.cancelledAt > 0, 'the cancellation at the server')
  const { received, wrongAt } = busy.call
  await landed(other)
  expect([busy.call.received, wrongAt]).toEqual([received, null])
})

describe('a call whose session is frozen', () => {
  test.each(CALL_KINDS)('[ENF6, WIRE17] %s stands still in both directions, and resumed it comes through to the byte', async kind => {
    const other = await open('Chat', 'echo', await stage.gate.token({ sub: `other-${counted}` }))
    const mine = await open(kind, 'echo')
    await operate(stage.gate, session, 'freeze')
    const [up, down] = [mine.served.received, mine.call.received]
    if (kind === 'Pour' || kind === 'Chat') for (let i = 0; i < 50; i++) mine.served.send(10 * PIECE)
    if (kind === 'Collect' || kind === 'Chat') for (let i = 0; i < 50; i++) mine.call.send(10 * PIECE)
    await landed(other)
    await pause(QUIET)
    expect([mine.served.received, mine.call.received, mine.call.status, mine.served.cancelledAt]).toEqual([up, down, null, 0])
    await operate(stage.gate, session, 'resume', { reason: 'test' })
    await landed(mine)
  })

  test('[ENF6, ENF7, WIRE17] ends with its status when it is terminated meanwhile', async () => {
    const mine = await open('Chat', 'echo')
    await operate(stage.gate, session, 'freeze')
    const acted = await operate(stage.gate, session, 'terminate')
    await isCut(mine, CODE.UNAUTHENTICATED, 'revoked', acted.acceptedAt)
  })
})

test('[ENF10, WIRE16, WIRE17] a caller that does not read is reset: nothing of what waits for it goes out any more', async () => {
  await stage.gate.elevate(token, 'long')
  const other = await open('Chat', 'echo')
  const before = stage.echo.calls.length
  const call = stage.tls.vault('Pour', token, { metadata: { 'x-held': '1' }, reads: false })
  call.send(1)
  call.done()
  const served = await stage.arrival(before)
  served.pump(100 * PIECE)
  const vault = exchangesOf(stage.gate, session).find(({ evaluation }) => evaluation.resource.path?.includes('Vault') === true)
  let still = 0
  for (let bytes = -1; still < 20; still = bytes === vault?.bytesDown ? still + 1 : 0) {
    bytes = vault?.bytesDown ?? 0
    await pause(10)
  }
  const acted = await operate(stage.gate, session, 'narrow')
  const handed = vault?.bytesDown
  await until(() => served.cancelledAt > 0, 'the cancellation at the server')
  call.stream.resume()
  const { code } = await call.ended
  expect([code, vault?.bytesDown]).toEqual([CODE.CANCELLED, handed])
  expect(served.cancelledAt - acted.acceptedAt).toBeLessThan(SOON)
  await landed(other)
})
