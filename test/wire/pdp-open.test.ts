// What is open under the answer of a policy decision point: asked about again ahead of its end, at once when what it was asked about changes, held meanwhile
// for half a second at most, and then continued byte by byte or cut. SPEC: PEP4, ENF3, RULES 4
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { instant } from '../../src/core/time.ts'
import { AuthzenPdp, denies, permits, type Reply } from '../support/authzen-pdp.ts'
import { TestGateway } from '../support/gateway.ts'
import { exchangesOf, type Flight, KINDS, operate, pause, takeOff, TapUpstream, until } from './support.ts'

let pdp: AuthzenPdp
let hanging: AuthzenPdp
let upstream: TapUpstream
let gate: TestGateway

beforeAll(async () => {
  ;[pdp, hanging, upstream] = await Promise.all([AuthzenPdp.start(), AuthzenPdp.start(), TapUpstream.start()])
  gate = await TestGateway.start({
    baseline: '[{ scopes: [base:use] }]',
    elevations: 'long: { adds: [extra:use], for: 10m }',
    more: `pdps: { main: { url: "${pdp.url}", timeout: 5s }, failing: { url: "${pdp.url}", timeout: 5s }, hanging: { url: "${hanging.url}", timeout: 5s } }`,
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use, decision: { pdp: main, for: 1m } }
    - { allow: { paths: ["/*/also"] }, scope: base:use, decision: { pdp: failing, for: 1s } }
    - { allow: { paths: ["/*/slow"] }, scope: base:use, decision: { pdp: hanging, for: 2s } }
    - { allow: { paths: ["/*/extra"] }, scope: base:use }`,
  })
})
afterEach(() => {
  for (const answer of waiting.splice(0)) answer(permits())
  pdp.say = () => permits()
})
afterAll(async () => {
  await gate.stop()
  await Promise.all([pdp.close(), hanging.close(), upstream.close()])
})

/** Answers that a test holds back. */
const waiting: ((reply: Reply) => void)[] = []
let turn = 0
type Open = { readonly flight: Flight; readonly token: string; readonly session: string; readonly exchange: string }
async function open(kind: Flight['kind'] = 'sse', place: 'base' | 'also' | 'extra' = 'base'): Promise<Open> {
  const token = await gate.token({ sub: `open-${++turn}`, sid: `open-${turn}` })
  const flight = await takeOff(gate, upstream, kind, place, token)
  const { id: session } = await gate.session(token)
  return { flight, token, session, exchange: exchangesOf(gate, session)[0]?.id ?? '' }
}

const stateOf = ({ session }: Open): readonly unknown[] => exchangesOf(gate, session).map(({ state, reason }) => `${state} ${reason ?? ''}`.trim())
const isOver = (each: Open): Promise<void> => until(() => exchangesOf(gate, each.session).length === 0, 'the end')
async function endOf({ exchange }: Open): Promise<unknown> {
  return (await gate.trail()).findLast(line => line['kind'] === 'exchange.closed' && line['exchange'] === exchange)?.['reason']
}

/** Any news of the session makes it another one than was asked about. */
async function change({ session }: Open): Promise<void> {
  const live = gate.parts.mirror.byId(session)
  if (live === null) throw new Error('the session is not known')
  await gate.parts.intake.session(live.record.key, { kind: 'session.shortened', endsAt: instant(live.record.endsAt - 1_000) }, { by: 'test', note: '', id: null })
}

function held(): { readonly count: () => number; readonly release: (reply: Reply) => void } {
  const first = pdp.asked.length
  pdp.say = () => new Promise(resolve => { waiting.push(resolve) })
  return { count: () => pdp.asked.length - first, release: reply => { for (const answer of waiting.splice(0)) answer(reply) } }
}

test('[PEP4] its no, at the next question, cuts a stream while the answer before still counts', async () => {
  const each = await open('sse', 'also')
  const opened = pdp.asked.length
  await until(() => pdp.asked.length > opened, 'another question')
  await each.flight.move()
  pdp.say = () => denies()
  const from = performance.now()
  await isOver(each)
  expect(performance.now() - from).toBeLessThan(1_000)
  expect(await endOf(each)).toBe('external_denied')
  await until(() => each.flight.tap.abortedAt > 0, 'the end of it upstream')
})

test.each(KINDS)('[PEP4, ENF3] a %s whose session changed is held while it is asked about, and comes through whole behind a yes', async kind => {
  const each = await open(kind)
  const { count, release } = held()
  await change(each)
  expect(stateOf(each)).toEqual(['frozen external_unavailable'])
  const arrived = each.flight.arrived()
  each.flight.push()
  await until(() => count() === 1, 'a question')
  await pause(100)
  expect(each.flight.arrived()).toBe(arrived)
  release(permits())
  await until(() => stateOf(each)[0] === 'open', 'the resumption')
  await each.flight.finish()
  expect(count()).toBe(1)
})

test('[PEP4] its no ends what is held', async () => {
  const each = await open('download')
  const { count, release } = held()
  await change(each)
  await until(() => count() === 1, 'a question')
  release(denies())
  await isOver(each)
  expect([await each.flight.ended, await endOf(each)]).toEqual(['reset', 'external_denied'])
})

test('[PEP4] silence holds it for half a second at most, and ends it', async () => {
  const each = await open('download')
  held()
  const from = performance.now()
  await change(each)
  await isOver(each)
  const took = performance.now() - from
  expect(took).toBeGreaterThan(300)
  expect(took).toBeLessThan(650)
  expect(await endOf(each)).toBe('external_unavailable')
})

test('[PEP4] silence ahead of time leaves it as it is, and the end of the answer does not', async () => {
  const each = await open('sse', 'also')
  const opened = performance.now()
  pdp.say = () => ({ status: 503, body: '' })
  await pause(500)
  await each.flight.move()
  await isOver(each)
  const took = performance.now() - opened
  expect(took).toBeGreaterThan(900)
  expect(took).toBeLessThan(2_200)
  expect(await endOf(each)).toBe('external_unavailable')
})

test('[PEP4] what ends here ends it at once, whoever is being asked', async () => {
  const each = await open('download')
  held()
  await change(each)
  expect(stateOf(each)).toEqual(['frozen external_unavailable'])
  const { answer } = await operate(gate, each.session, 'terminate')
  expect(answer.json).toMatchObject({ exchanges: { cut: 1 } })
  expect(await endOf(each)).toBe('revoked')
})

test('[PEP4] it changes again while it is asked about: the answer counts for nothing, and the next one does', async () => {
  const each = await open('download')
  const { count, release } = held()
  await change(each)
  await until(() => count() === 1, 'a question')
  await change(each)
  release(permits())
  await until(() => count() === 2, 'the next question')
  expect(stateOf(each)).toEqual(['frozen external_unavailable'])
  release(permits())
  await until(() => stateOf(each)[0] === 'open', 'the resumption')
  await each.flight.finish()
})

test('[PEP4, PEP2] many streams of one session are asked about one by one target, and an elevation that begins is told', async () => {
  const each = await open('sse', 'base')
  const others = await Promise.all(['sse', 'download', 'upload'].map(kind => takeOff(gate, upstream, kind as Flight['kind'], 'base', each.token))) // names of the list
  const { count, release } = held()
  const elevation = await gate.elevate(each.token, 'long')
  await until(() => count() >= 4, 'a question for each')
  expect(pdp.last.subject.properties['elevations']).toMatchObject([{ id: elevation, profile: 'long' }])
  release(permits())
  await until(() => stateOf(each).every(state => state === 'open'), 'the resumption')
  for (const flight of [each.flight, ...others]) await flight.finish()
  expect(count()).toBe(4)
})

test('[PEP4] a decision point that hangs keeps nothing waiting that another one is asked about', async () => {
  const each = await open()
  const token = await gate.token({ sub: 'hanging', sid: 'hanging' })
  for (let i = 0; i < 5; i++) await Promise.all(Array.from({ length: 8 }, () => takeOff(gate, upstream, 'sse', 'slow', token)))
  const { id: session } = await gate.session(token)
  const asked = hanging.asked.length
  hanging.say = () => 'silent'
  await until(() => hanging.asked.length - asked >= 32, 'as many questions as it is asked at once')
  const others = pdp.asked.length
  await change(each)
  await until(() => stateOf(each)[0] !== 'frozen external_unavailable', 'an answer')
  expect([stateOf(each), pdp.asked.length - others]).toEqual([['open'], 1])
  await each.flight.finish()
  await until(() => exchangesOf(gate, session).length === 0, 'the end of the others')
})

test('[PEP4, CFG10] hundreds whose question a reload changes are all asked about in time, and go on', async () => {
  const streams: Flight[] = []
  for (let i = 0; i < 6; i++) {
    const token = await gate.token({ sub: `many-${i}`, sid: `many-${i}` })
    for (let j = 0; j < 5; j++) streams.push(...(await Promise.all(Array.from({ length: 10 }, () => takeOff(gate, upstream, 'sse', 'base', token)))))
  }
  const asked = pdp.asked.length
  writeFileSync(gate.configFile, readFileSync(gate.configFile, 'utf8').replace('decision: { pdp: main, for: 1m }', 'decision: { pdp: main, for: 50s }'))
  expect((await gate.gateway.reload('test')).ok).toBe(true)
  await until(() => gate.parts.inflight.all().every(({ state }) => state === 'open'), 'all of them')
  expect([gate.parts.inflight.size, pdp.asked.length - asked]).toEqual([300, 300])
  await Promise.all(streams.map(flight => flight.finish()))
}, 60_000)

test('[PEP4, CFG10] a reload that wants it asked has what is open asked about; its no cuts it', async () => {
  const each = await open('download', 'extra')
  const asked = pdp.asked.length
  pdp.say = () => denies()
  const text = readFileSync(gate.configFile, 'utf8')
  writeFileSync(gate.configFile, text.replace('paths: ["/*/extra"] }, scope: base:use }', 'paths: ["/*/extra"] }, scope: base:use, decision: { pdp: main } }'))
  expect((await gate.gateway.reload('test')).ok).toBe(true)
  await isOver(each)
  expect([await endOf(each), pdp.asked.length - asked]).toEqual(['external_denied', 1])
})

test('[PEP4, CFG10] behind a reload that wants nobody asked any more what is open is looked at no oftener than anything else', async () => {
  const each = await open('sse', 'also')
  const asked = pdp.asked.length
  const text = readFileSync(gate.configFile, 'utf8')
  writeFileSync(gate.configFile, text.replace(', decision: { pdp: failing, for: 1s }', ''))
  expect((await gate.gateway.reload('test')).ok).toBe(true)
  await pause(1_200) // what was said is over
  const looks = vi.spyOn(gate.parts.mirror, 'effective')
  await pause(500)
  expect([looks.mock.calls.filter(([live]) => live.record.id === each.session).length, pdp.asked.length - asked]).toEqual([0, 0])
  looks.mockRestore()
  await each.flight.finish()
})
