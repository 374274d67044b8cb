// Calls and streams of MCP that are cut, held or given up while they are open, on real sockets: what the caller reads last, what the server is told, and that
// nothing comes behind that. SPEC: MCP6, MCP8, MCP9
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { after, instant } from '../../src/core/time.ts'
import { Departures } from '../../src/proxy/departures.ts'
import { McpRelay } from '../../src/proxy/mcp/relay/relay.ts'
import { AheadClock } from '../support/possession.ts'
import { type Era, type Json, RelayStage, type McpTap, type Protocol, type Reading, requestOf, VERSION } from './mcp-relay-stage.ts'
import { exchangesOf, operate, pause, until } from './support.ts'

const PROTOCOLS: readonly Protocol[] = ['http1', 'http2']
const SUBSCRIPTION = 'io.modelcontextprotocol/subscriptionId'
const result = (id: unknown): Json => ({ jsonrpc: '2.0', id, result: { content: [] } })
const progress = (step: number): Json => ({ jsonrpc: '2.0', method: 'notifications/progress', params: { progressToken: 1, progress: step } })
const updated = (uri: string): Json => ({ jsonrpc: '2.0', method: 'notifications/resources/updated', params: { uri } })

let stage: RelayStage
beforeAll(async () => { stage = await RelayStage.start() })
afterEach(() => {
  vi.restoreAllMocks()
  stage.upstream.taps.length = 0
})
afterAll(() => stage.stop())

type Flight = { readonly token: string; readonly session: string; readonly id: string | number; readonly tap: McpTap; readonly reading: Reading }
let count = 0

/** A call with a token of its own, and what it needs to be `deploy`; its stream has begun. */
async function fly(protocol: Protocol, era: Era, tool = 'look', id: string | number = ++count): Promise<Flight> {
  const token = await stage.gate.token()
  if (tool === 'deploy') await stage.gate.elevate(token, 'long')
  const called = stage.call(protocol, era, id, 'tools/call', { name: tool }, token)
  const tap = (await stage.upstream.tap(id)).streams().event(progress(1))
  const reading = await called
  await reading.message(1)
  return { token, session: (await stage.gate.session(token)).id, id, tap, reading }
}

async function listens(protocol: Protocol, id: string | number): Promise<Flight> {
  const token = await stage.gate.token()
  const called = stage.call(protocol, 'modern', id, 'subscriptions/listen', { notifications: { resourceSubscriptions: ['file:///a', 'secret://b'], toolsListChanged: true } }, token)
  const tap = (await stage.upstream.tap(id)).streams().event({ jsonrpc: '2.0', method: 'notifications/subscriptions/acknowledged', params: { notifications: {}, _meta: { [SUBSCRIPTION]: id } } })
  const reading = await called
  await reading.message(1)
  return { token, session: (await stage.gate.session(token)).id, id, tap, reading }
}

async function streams(protocol: Protocol): Promise<Flight> {
  const token = await stage.gate.token()
  const sent = stage.send(protocol, { token, method: 'GET', headers: { 'mcp-protocol-version': VERSION.legacy, accept: 'text/event-stream' } })
  const tap = (await stage.upstream.tap('GET')).streams()
  tap.answer.write(':\n\n')
  const reading = await sent
  await until(() => reading.text.length > 0, `the beginning of the stream: ${reading.status}`)
  return { token, session: (await stage.gate.session(token)).id, id: '', tap, reading }
}

const terminate = (session: string) => operate(stage.gate, session, 'terminate')
const freeze = (session: string) => operate(stage.gate, session, 'freeze')
const resume = (session: string) => operate(stage.gate, session, 'resume', { reason: 'test' })
const cancelled = (): McpTap | undefined => stage.upstream.taps.find(({ text }) => text.includes('notifications/cancelled'))

describe.each(PROTOCOLS)('over %s', protocol => {
  it.each<Era>(['modern', 'legacy'])('[MCP8, MCP9] a call that is cut ends with its error, and the server sees the end of it: %s', async era => {
    const { session, id, tap, reading } = await fly(protocol, era)
    const { acceptedAt } = await terminate(session)
    await reading.whole()
    expect(reading.end).toBe('whole')
    expect(reading.messages.slice(1)).toMatchObject([{ jsonrpc: '2.0', id, error: { data: { reason: 'revoked', session } } }])
    await until(() => tap.abortedAt > 0, 'the end at the server')
    expect(tap.abortedAt - acceptedAt).toBeLessThan(500)
  })

  it('[MCP8] a call is cut when the elevation that carries it is over', async () => {
    const { session, token, id, reading } = await fly(protocol, 'modern', 'deploy')
    const [elevation] = (stage.gate.parts.mirror.byId(session)?.record.elevations ?? []).map(each => each.id)
    await stage.gate.ask('POST', `/.narrowgate/elevations/${elevation}/release`, { authorization: `Bearer ${token}`, 'content-type': 'application/json' }, '{}')
    await reading.whole()
    expect(reading.messages[1]).toMatchObject({ id, error: { data: { type: expect.stringMatching(/^urn:narrowgate:reason:/) } } })
  })

  it('[MCP9] what the server sends behind a cut reaches nobody', async () => {
    const { session, id, tap, reading } = await fly(protocol, 'legacy')
    await terminate(session)
    tap.event(result(id))
    await reading.whole()
    await pause(30)
    expect(reading.messages.filter(message => 'result' in message)).toEqual([])
  })

  it('[MCP8] a call that has its answer already ends without another one', async () => {
    const { session, id, tap, reading } = await fly(protocol, 'modern')
    tap.event(result(id))
    await reading.message(2)
    await terminate(session)
    await reading.whole()
    expect([reading.end, reading.messages]).toEqual(['whole', [progress(1), result(id)]])
  })

  it('[MCP8] a call whose answer has not begun is refused', async () => {
    const token = await stage.gate.token()
    const id = `early-${protocol}`
    const called = stage.call(protocol, 'modern', id, 'tools/call', { name: 'look' }, token)
    const tap = await stage.upstream.tap(id)
    await terminate((await stage.gate.session(token)).id)
    const { status, messages } = await (await called).whole()
    expect(status).toBeGreaterThanOrEqual(401)
    expect(messages).toMatchObject([{ id, error: { data: { reason: 'revoked' } } }])
    await until(() => tap.abortedAt > 0, 'the end at the server')
  })

  it.each([['sub'], [41]])('[MCP8] a subscription ends as one that is over, under its own id: %j', async id => {
    const { session, tap, reading } = await listens(protocol, id)
    await terminate(session)
    await reading.whole()
    expect(reading.end).toBe('whole')
    expect(reading.messages.at(-1)).toEqual({ jsonrpc: '2.0', id, result: { resultType: 'complete', _meta: { [SUBSCRIPTION]: id } } })
    await until(() => tap.abortedAt > 0, 'the end at the server')
  })

  it('[MCP8] a stream of the older protocol just ends', async () => {
    const { session, reading } = await streams(protocol)
    await terminate(session)
    await reading.whole()
    expect([reading.end, reading.text]).toEqual(['whole', ':\n\n'])
  })

  it('[MCP6] what is held goes on from the very byte', async () => {
    const { session, id, tap, reading } = await fly(protocol, 'modern')
    await freeze(session)
    for (let step = 2; step < 400; step++) tap.event({ ...progress(step), pad: 'x'.repeat(1_000) })
    tap.event(result(id)).answer.end()
    await pause(30)
    expect(reading.messages.length).toBe(1)
    await resume(session)
    await reading.whole()
    expect(reading.end).toBe('whole')
    expect(reading.messages.map(message => (message['params'] as Json | undefined)?.['progress'] ?? 'answer')).toEqual([...Array.from({ length: 399 }, (_, i) => i + 1), 'answer'])
  })

  it('[MCP8] what is held and then cut ends with its error, and nothing of what waited', async () => {
    const { session, id, tap, reading } = await fly(protocol, 'modern')
    await freeze(session)
    tap.event(progress(2)).event(result(id))
    await pause(20)
    await terminate(session)
    await reading.whole()
    expect(reading.messages.slice(1)).toMatchObject([{ id, error: { data: { reason: 'revoked' } } }])
  })

  it('[MCP6] what came before its right was lost, and waited, goes nowhere', async () => {
    const { session, token, tap, reading } = await listens(protocol, `re-${protocol}`)
    const elevation = await stage.gate.elevate(token, 'long')
    tap.event(updated('secret://b'))
    await until(() => reading.text.includes('"secret://b"}'), 'what the elevation lets through')
    const before = reading.messages.filter(({ method }) => method === 'notifications/resources/updated').length
    await freeze(session)
    tap.event(updated('secret://b')).event(updated('file:///a'))
    await until(() => stage.gate.parts.inflight.all().length > 0, 'the exchange')
    await pause(30)
    await stage.gate.admin('POST', `/v1/elevations/${elevation}/revoke`, { reason: 'test' })
    await resume(session)
    await until(() => reading.text.includes('"file:///a"}'), 'what it may still hear')
    expect(reading.messages.filter(({ method }) => method === 'notifications/resources/updated').length).toBe(before + 1)
  })

  it('[MCP8] a caller that does not read is reset, and what waits for it is dropped', async () => {
    const { session, tap, reading } = await fly(protocol, 'modern')
    reading.pause()
    for (let step = 0; step < 3_000; step++) tap.event({ ...progress(step), pad: 'x'.repeat(10_000) })
    const down = (): number => exchangesOf(stage.gate, session)[0]?.bytesDown ?? 0
    for (let [last, still] = [0, 0]; still < 4; last = down()) {
      await pause(30)
      still = down() === last && last > 100_000 ? still + 1 : 0
    }
    await terminate(session)
    reading.resume()
    await reading.whole()
    expect(reading.end).toBe('broken')
    expect(reading.text).not.toContain('revoked')
  })

  it.each<Era>(['modern', 'legacy'])('[MCP9] a caller that goes away ends its request upstream; it is no word of the gateway’s: %s', async era => {
    const { tap, reading } = await fly(protocol, era)
    reading.close()
    await until(() => tap.abortedAt > 0, 'the end at the server')
    await pause(30)
    expect(cancelled()).toBeUndefined()
  })
})

describe('a whole answer', () => {
  /** Something happens behind the answer's end, in the same turn. */
  async function answered(id: string, meanwhile: (session: string) => void): Promise<{ readonly session: string; readonly reading: Reading }> {
    const token = await stage.gate.token()
    const { id: session } = await stage.gate.session(token)
    const spy = vi.spyOn(Departures.prototype, 'add').mockImplementationOnce(function (this: Departures, departing) {
      this.add(departing) // the second time it is the real one
      meanwhile(session)
    })
    const called = stage.call('http1', 'modern', id, 'tools/call', { name: 'look' }, token)
    ;(await stage.upstream.tap(id)).json(result(id))
    await until(() => spy.mock.calls.length > 0, 'the answer is whole')
    vi.restoreAllMocks()
    return { session, reading: await called }
  }

  function freezeNow(session: string): void {
    const live = stage.gate.parts.mirror.byId(session)
    if (live === null) throw new Error(`no session ${session}`)
    void stage.gate.parts.intake.session(live.record.key, { kind: 'session.frozen', until: after(instant(Date.now()), stage.gate.parts.mirror.policy.sessions.frozenFor) }, { by: 'test', note: 'test', id: null })
  }

  it('[MCP6] that is frozen behind its last byte leaves at the resume, whole', async () => {
    const { session, reading } = await answered('whole-1', freezeNow)
    await until(() => exchangesOf(stage.gate, session)[0]?.state === 'frozen', 'it is frozen')
    await pause(20)
    expect(reading.status).toBe(0)
    await resume(session)
    expect((await reading.whole()).messages).toEqual([result('whole-1')])
  })

  it('[MCP9] whose right is lost behind its last byte reaches nobody', async () => {
    const { session, reading } = await answered('whole-2', freezeNow)
    await until(() => exchangesOf(stage.gate, session)[0]?.state === 'frozen', 'it is frozen')
    await terminate(session)
    await reading.whole()
    expect(reading.messages).toMatchObject([{ id: 'whole-2', error: { data: { reason: 'revoked' } } }])
  })
})

describe('the word to the server', () => {
  it('[MCP9] of the older protocol is a notification, with the session, the version and the standing of the request', async () => {
    const { session, id, tap } = await fly('http1', 'legacy')
    await terminate(session)
    const { headers, body, method, answer } = await stage.upstream.tap('notifications/cancelled')
    answer.writeHead(202).end()
    expect(body).toEqual({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: id, reason: 'revoked' } })
    expect([method, headers['mcp-protocol-version'], headers['content-type'], headers['narrowgate-context']]).toEqual(['POST', VERSION.legacy, 'application/json', tap.headers['narrowgate-context']])
    await until(() => tap.abortedAt > 0, 'the end of the call')
    await counted('done')
  })

  it('[MCP9] of the newer one is the end of the connection alone', async () => {
    const { session, tap } = await fly('http1', 'modern')
    await terminate(session)
    await until(() => tap.abortedAt > 0, 'the end of the call')
    await pause(30)
    expect(cancelled()).toBeUndefined()
  })

  it('[MCP9] is not said of `initialize`, nor of what is answered', async () => {
    const token = await stage.gate.token()
    const id = ++count
    const called = stage.send('http1', { token, body: requestOf('legacy', id, 'initialize', { protocolVersion: VERSION.legacy, capabilities: {}, clientInfo: { name: 't', version: '1' } }).body })
    const tap = (await stage.upstream.tap(id)).streams().event(progress(1))
    await (await called).message(1)
    await terminate((await stage.gate.session(token)).id)
    await until(() => tap.abortedAt > 0, 'the end at the server')
    const answered = await fly('http1', 'legacy')
    answered.tap.event(result(answered.id))
    await answered.reading.message(2)
    await terminate(answered.session)
    await until(() => answered.tap.abortedAt > 0, 'the end at the server')
    await pause(30)
    expect(cancelled()).toBeUndefined()
  })

  it('[MCP9] is said where an answer takes too long', async () => {
    const id = ++count
    const called = stage.call('http1', 'legacy', id, 'tools/call', { name: 'look' })
    await stage.upstream.tap(id)
    expect((await (await called).whole()).status).toBe(504)
    const word = await stage.upstream.tap('notifications/cancelled')
    expect(word.body['params']).toMatchObject({ requestId: id })
    word.answer.writeHead(500).end()
    await counted('refused')
  })
})

it('[MCP8, MCP9] caller and server hear of a cut within 50 ms, at the median', async () => {
  const heard: { readonly caller: number; readonly server: number }[] = []
  for (let i = 0; i < 25; i++) {
    const { session, tap, reading } = await fly(i % 2 === 0 ? 'http1' : 'http2', i % 4 < 2 ? 'modern' : 'legacy')
    const { acceptedAt } = await terminate(session)
    await reading.whole()
    await until(() => tap.abortedAt > 0, 'the end at the server')
    heard.push({ caller: reading.endedAt - acceptedAt, server: tap.abortedAt - acceptedAt })
  }
  const median = (times: readonly number[]): number => times.toSorted((a, b) => a - b)[12] ?? Infinity
  const [caller, server] = [median(heard.map(each => each.caller)), median(heard.map(each => each.server))]
  console.log(`cut of a call: the caller reads it ${caller.toFixed(1)} ms behind its acceptance, the server ${server.toFixed(1)} ms (p50 of 25)`)
  expect(Math.max(caller, server)).toBeLessThan(50)
})

it('[MCP6] a request whose right is lost before its connection is there never goes up', async () => {
  const clock = new AheadClock()
  const late = await RelayStage.start('{}', { clock })
  const token = await late.gate.token({ exp: Math.floor(Date.now() / 1000) + 86_400 })
  const { dispatch } = McpRelay.prototype // oxlint-disable-line typescript/unbound-method -- called with the relay it was called on
  vi.spyOn(McpRelay.prototype, 'dispatch').mockImplementationOnce(function (this: McpRelay) {
    dispatch.call(this)
    clock.ahead += 7 * 86_400_000
  })
  const { status, messages } = await (await late.call('http1', 'modern', 'late', 'tools/call', { name: 'look' }, token)).whole()
  expect([status === 200, late.upstream.taps]).toEqual([false, []])
  expect(messages).toMatchObject([{ id: 'late', error: { data: { reason: 'max_reached' } } }])
  await late.stop()
})

describe('what answers may hold of memory', () => {
  let small: RelayStage
  beforeAll(async () => { small = await RelayStage.start('{ messageBytes: 64KiB }', { server: 'limits: { inspectTotal: 96KiB }' }) })
  afterAll(() => small.stop())

  it('[MCP6] counts with what is held of bodies: over that an answer is refused, and with its end there is room again', async () => {
    const big = { ...result(0), pad: 'x'.repeat(60_000) }
    const taps: McpTap[] = []
    const calls: Promise<Reading>[] = []
    for (const id of ['a', 'b', 'c']) {
      calls.push(small.call('http1', 'modern', id, 'tools/call', { name: 'look' }))
      const tap = await small.upstream.tap(id)
      taps.push(tap)
      tap.answer.writeHead(200, { 'content-type': 'application/json' })
      if (id !== 'c') tap.answer.write(JSON.stringify({ ...big, id }).slice(0, -1))
      await pause(30)
    }
    const [first, second] = [await calls[0], await calls[1]]
    await until(() => second?.end === 'whole' || first?.end === 'whole', 'a refusal')
    expect([first, second].map(reading => reading?.status).filter(status => status !== 0)).toEqual([403])
    expect((second?.messages ?? [])[0]).toMatchObject({ id: 'b', error: { data: { reason: 'limit_reached' } } })
    taps[0]?.answer.end('}')
    await first?.whole()
    taps[2]?.answer.end(JSON.stringify({ ...big, id: 'c' }))
    expect([first?.status, (await (await calls[2])?.whole())?.status]).toEqual([200, 200])
  })
})

async function counted(outcome: string): Promise<void> {
  const { mcpErrands } = stage.gate.parts.metrics
  for (let tries = 0; tries < 100; tries++) {
    const { values } = await mcpErrands.get()
    if (values.some(({ labels, value }) => Object.values(labels).includes(outcome) && value > 0)) return
    await pause(20)
  }
  throw new Error(`no errand was counted as ${outcome}: ${JSON.stringify((await mcpErrands.get()).values)}`)
}
