// A whole answer waits for the end of its turn: what changes until then counts for it, and each gate is asked when its bytes leave. SPEC: ENF2, ENF6
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { after, instant } from '../../src/core/time.ts'
import { Departures } from '../../src/proxy/departures.ts'
import { TestGateway } from '../support/gateway.ts'
import { AheadClock } from '../support/possession.ts'
import { exchangesOf, operate, planFor, TapUpstream, until } from './support.ts'

const clock = new AheadClock()
let upstream: TapUpstream
let gate: TestGateway
let turn = 0

beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start({ ...planFor(upstream), clock })
})
afterEach(() => { vi.restoreAllMocks() })
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

/** Asks for what an elevation of its session adds, and is answered whole; meanwhile something happens behind the answer's end, in the same turn. */
async function answered(meanwhile: (session: string) => void): Promise<{ readonly session: string; readonly departed: number; readonly answer: ReturnType<TestGateway['ask']> }> {
  const token = await gate.token({ exp: Math.floor(Date.now() / 1000) + 86_400 })
  await gate.elevate(token, 'long')
  const { id: session } = await gate.session(token)
  const spy = vi.spyOn(Departures.prototype, 'add').mockImplementationOnce(function (this: Departures, departing) {
    this.add(departing) // the second time it is the real one
    meanwhile(session)
  })
  const path = `/whole${++turn}/extra`
  const answer = gate.ask('GET', path, { authorization: `Bearer ${token}` })
  await until(() => upstream.taps.has(path), 'the request is there')
  upstream.taps.get(path)?.answer.writeHead(200, { 'content-length': '7' }).end('secret!')
  await until(() => spy.mock.calls.length > 0, 'the answer is whole')
  return { session, departed: spy.mock.calls.length, answer }
}

/** In this very turn, as a signal of another would. */
function freezeNow(session: string): void {
  const live = gate.parts.mirror.byId(session)
  if (live === null) throw new Error(`no session ${session}`)
  const news = { kind: 'session.frozen', until: after(instant(clock.now()), gate.parts.mirror.policy.sessions.frozenFor) } as const
  void gate.parts.intake.session(live.record.key, news, { by: 'test', note: 'test', id: null })
}

test('[ENF2, ENF6] one that is frozen behind its last byte leaves at the resume, whole', async () => {
  let over = false
  const { session, answer } = await answered(freezeNow)
  void answer.finally(() => { over = true })
  await until(() => exchangesOf(gate, session)[0]?.state === 'frozen', 'it is frozen')
  expect(over).toBe(false)
  await operate(gate, session, 'resume', { reason: 'test' })
  expect(await answer).toMatchObject({ status: 200, text: 'secret!' })
})

test('[ENF2] an answer whose right ends by time behind its last byte does not leave', async () => {
  const { answer } = await answered(() => { clock.ahead += 7 * 86_400_000 })
  const { status, text } = await answer
  expect([status === 200, text.includes('secret!')]).toEqual([false, false])
})
