// A reload and what is open: 1,000 exchanges it does not touch come through byte for byte, a scope it takes from the baseline cuts exactly what stood
// on it, and one that is invalid changes nothing and is reported. SPEC: CFG10, ENF3, ENF9, ENF10
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { type Answer, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { exchangesOf, type Flight, isWhole, type Kind, takeOff, TapUpstream, until } from './support.ts'

const MIXED: readonly Kind[] = ['download', 'sse', 'chunked download', 'upload', 'sse']
const OPEN = 1_000
const SLOW = 10
const SESSIONS = 20
const BIG = 8 * 1024 * 1024
const AT_ONCE = 25
const BASELINE = '[{ scopes: [base:use, also:use] }]'

let upstream: TapUpstream
let gate: TestGateway
let original: string
beforeAll(async () => {
  upstream = await TapUpstream.start()
  gate = await TestGateway.start({
    baseline: BASELINE,
    routes: `
- name: api
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use }
    - { allow: { paths: ["/*/also"] }, scope: also:use }
    - { allow: { paths: ["/*/extra"] }, scope: extra:use }`,
    elevations: `
long: { adds: [extra:use], for: 10m }
likewise: { adds: [also:use], for: 10m }`,
  })
  original = readFileSync(gate.configFile, 'utf8')
})
afterEach(async () => { expect((await reload(original)).status).toBe(200) })
afterAll(async () => {
  await gate.stop()
  await upstream.close()
})

function reload(text: string): Promise<Answer> {
  writeFileSync(gate.configFile, text)
  return gate.admin('POST', '/v1/config/reload', { reason: 'test' })
}

const withRoute = (): string => original.replace('routes:\n', `routes:\n  - name: newcomer\n    match: { host: new.test }\n    upstream: { url: "${upstream.origin}" }\n    rules: [{ allow: {}, scope: base:use }]\n`)
const withoutScope = (): string => original.replace(BASELINE, '[{ scopes: [base:use] }]')
const digest = async (): Promise<unknown> => (await gate.admin('GET', '/v1/config')).json['digest']

/** In small groups: as many connections at once as a listener's queue takes with ease. */
async function inGroups<T, R>(items: readonly T[], work: (item: T, index: number) => Promise<R>): Promise<readonly R[]> {
  const done: R[] = []
  for (let at = 0; at < items.length; at += AT_ONCE) done.push(...(await Promise.all(items.slice(at, at + AT_ONCE).map((item, i) => work(item, at + i)))))
  return done
}

/** A download whose caller reads nothing for now, so that it waits in every buffer on the way. */
async function slow(token: string, name: string): Promise<{ readonly client: RawClient; readonly finish: () => Promise<void> }> {
  const client = await RawClient.connect(gate.target)
  client.push(request('GET', `/${name}/base`, { authorization: `Bearer ${token}` }))
  const tap = await upstream.tap(`/${name}/base`)
  tap.begin(BIG)
  client.pause()
  const sending = (): void => {
    while (tap.sent < BIG && tap.send()) continue
    if (tap.sent < BIG) tap.answer.once('drain', sending)
    else tap.answer.end()
  }
  sending()
  return { client, finish: async () => {
    client.resume()
    isWhole(await client.response('GET', 30_000), BIG)
  } }
}

test('[CFG10][ENF3] 1,000 mixed exchanges survive a reload that does not touch them, each to its last byte', async () => {
  const tokens = await Promise.all(Array.from({ length: SESSIONS }, () => gate.token()))
  for (const token of tokens) await gate.elevate(token, 'long')
  const places = Array.from({ length: OPEN - SLOW }, (_, i) => ({ kind: MIXED[i % MIXED.length] ?? 'sse', place: i % 3 === 0 ? 'extra' : 'base', token: tokens[i % SESSIONS] ?? '' }) as const)
  const slowOnes = await inGroups(tokens.slice(0, SLOW), (token, i) => slow(token, `slow${i}`))
  const flights = await inGroups(places, ({ kind, place, token }) => takeOff(gate, upstream, kind, place, token))
  expect(gate.parts.inflight.size).toBe(OPEN)

  const before = await digest()
  for (const flight of flights) flight.push()
  expect((await reload(withRoute())).status).toBe(200)
  expect(await digest()).not.toBe(before)
  expect((await gate.ask('GET', '/new/one', { host: 'new.test' })).status).toBe(401)
  expect(gate.parts.inflight.size).toBe(OPEN)

  await inGroups(flights, async flight => {
    await until(() => flight.arrived() === flight.handed(), `what a ${flight.kind} handed over during the reload`)
    await flight.move()
    await flight.finish()
    flight.client.close()
  })
  for (const { client, finish } of slowOnes) {
    await finish()
    client.close()
  }
  await until(() => gate.parts.inflight.size === 0, 'every exchange to be over')
  const ended = (await gate.trail()).filter(line => line['kind'] === 'exchange.closed')
  expect([ended.length, ended.filter(line => line['complete'] !== true).length]).toEqual([OPEN, 0])
})

test('[CFG10][ENF3][ENF10] a reload that takes a scope from the baseline cuts exactly what stood on it', async () => {
  const [plain, elevated] = [await gate.token(), await gate.token()]
  await gate.elevate(plain, 'long')
  await gate.elevate(elevated, 'likewise')
  const fly = (place: 'base' | 'also' | 'extra', token: string): Promise<readonly Flight[]> => inGroups(['download', 'upload', 'sse'] as const, kind => takeOff(gate, upstream, kind, place, token))
  const losing = await fly('also', plain)
  const staying = [...(await fly('base', plain)), ...(await fly('extra', plain)), ...(await fly('base', elevated)), ...(await fly('also', elevated))]
  const grants = exchangesOf(gate, (await gate.session(elevated)).id).map(({ permit }) => permit.grant.is)
  expect(grants).toEqual(grants.map(() => 'baseline'))

  expect((await reload(withoutScope())).status).toBe(200)
  const marks = losing.map(({ client }) => client.mark())
  const contents = losing.map(flight => flight.arrived())
  for (const flight of losing) flight.push()
  for (const [i, flight] of losing.entries()) {
    await until(() => flight.tap.abortedAt > 0, `the end of a ${flight.kind}`)
    if (flight.kind === 'sse') expect((await flight.client.response()).body.length).toBe(contents[i])
    else expect([await flight.ended, flight.client.receivedSince(marks[i] ?? 0)]).toEqual(['reset', 0])
    flight.client.close()
  }
  expect(losing[1]?.tap.received).toBe(contents[1])
  expect(gate.parts.inflight.size).toBe(staying.length)
  expect(exchangesOf(gate, (await gate.session(elevated)).id).map(({ permit }) => permit.grant.is)).toEqual(['baseline', 'baseline', 'baseline', 'elevation', 'elevation', 'elevation'])
  expect((await gate.ask('GET', '/again/also', { authorization: `Bearer ${plain}` })).json['reason']).toBe('elevation_required')
  for (const flight of staying) {
    await flight.move()
    await flight.finish()
    flight.client.close()
  }
  const { id } = await gate.session(plain)
  const cut = (await gate.trail()).filter(line => line['kind'] === 'exchange.cut')
  expect(cut.map(line => [line['session'], line['reason']])).toEqual(losing.map(() => [id, 'elevation_required']))
})

const ALSO = '- { allow: { paths: ["/*/also"] }, scope: also:use }'
test.each([
  ['asks for another scope', '- { allow: { paths: ["/*/also"] }, scope: other:use }', 'elevation_required'], ['denies', '- { deny: { paths: ["/*/also"] } }', 'denied'], ['is gone', '', 'no_rule'],
])('[CFG10][ENF3] what is open is judged by the new rules: where the rule %s, it is cut', async (_, rule, reason) => {
  const token = await gate.token()
  const { id } = await gate.session(token)
  const [losing, staying] = [await takeOff(gate, upstream, 'download', 'also', token), await takeOff(gate, upstream, 'download', 'base', token)]
  expect((await reload(original.replace(ALSO, rule))).status).toBe(200)
  const mark = losing.client.mark()
  losing.push()
  expect([await losing.ended, losing.client.receivedSince(mark)]).toEqual(['reset', 0])
  await staying.move()
  await staying.finish()
  staying.client.close()
  const cut = (await gate.trail()).filter(line => line['kind'] === 'exchange.cut' && line['session'] === id)
  expect(cut.map(line => line['reason'])).toEqual([reason])
})

test('[CFG10][CFG1] an invalid reload changes nothing that runs, and says all that is wrong', async () => {
  const token = await gate.token()
  await gate.elevate(token, 'long')
  const flights = [await takeOff(gate, upstream, 'download', 'base', token), await takeOff(gate, upstream, 'upload', 'extra', token), await takeOff(gate, upstream, 'sse', 'also', token)]
  const before = await digest()
  const refused = await reload(`${withoutScope().replace('timeout: 5s', 'timeout: soon')}\nsurprise: 1\n`)
  expect(refused.status).toBe(422)
  expect(refused.text).toContain('surprise')
  expect(refused.text).toContain('timeout')
  expect(await digest()).toBe(before)
  expect((await gate.ops('/metrics')).text).toContain('narrowgate_config_last_reload_success 0')
  for (const flight of flights) {
    await flight.move()
    await flight.finish()
    flight.client.close()
  }
  const again = await takeOff(gate, upstream, 'download', 'also', token)
  await again.finish()
  again.client.close()
})
