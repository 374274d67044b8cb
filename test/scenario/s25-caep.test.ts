// S25, the word from outside: who vouches for an agent says at A that its risk is high. Its console on B is over, and the rest of its session goes on. The story is played
// once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/redis-server.ts'
import { until } from '../wire/support.ts'
import { upgrade, WebSocketCaller } from '../wire/websocket-callers.ts'
import { paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, sessionAt, type Setting, SETTINGS, speaks, through } from './callers.ts'
import { BOUND } from './duties.ts'
import { approve } from './operators.ts'
import { bearer, elevate, factsIn, type Line, OpenStream, tokenFor, word } from './stage.ts'
import { hasTold, issSub, outsideNews, type Pushed, Transmitter } from './transmitter.ts'

const HOST = { host: 'work.internal' }
const CONSOLE = '/console/db-1'
const FEED = '/feed'
const JOB = '/jobs/J/run'
const LOGIN = 'https://login.example'
const POINTS = 80

describe.each(SETTINGS)('S25 %s', (_, raise) => {
  let setting: Setting
  let login: Transmitter
  let elevations: readonly string[] = []
  let lines: readonly Line[] = []
  let console: WebSocketCaller
  const open: { readonly client: { close(): void } }[] = []
  const seen = {
    before: [] as (readonly string[])[], idle: [] as Pushed[], lived: [] as boolean[], jti: crypto.randomUUID(), cutAfter: 0, behind: [] as readonly number[], kept: [] as boolean[], after: [] as (readonly string[])[], given: [] as unknown[],
    level: null as Line | null, low: [] as (readonly string[])[], asked: [] as unknown[],
  }

  const agentOf = async (sub: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, sub, { owner: 'support' }), HOST) })
  const at = (caller: Caller, ticket: string): Caller => ({ ...caller, headers: { ...caller.headers, 'narrowgate-ticket': ticket } })
  const isHigh = async (gate: Setting['a']): Promise<Line | null> => ((await gate.admin('GET', '/v1/principals?level=high')).json['principals'] as readonly Line[])[0] ?? null // the contract's shape
  const asksAgain = (gate: Setting['a'], caller: Caller) => asked(gate, caller, 'POST', '/.narrowgate/elevations', { profile: 'console', purpose: { ticket: 'T-2' }, reason: 'again' })

  async function consoleOf({ headers }: Caller): Promise<WebSocketCaller> {
    const opened = await upgrade(setting.b, CONSOLE, headers)
    if (!(opened instanceof WebSocketCaller)) throw new Error(`no console: ${opened.status} ${String(opened.reason)}`)
    open.push({ client: opened })
    await until(() => opened.messages.length > 3, 'the console to be under way')
    return opened
  }

  async function mayUseTheConsole(caller: Caller): Promise<string> {
    const id = await elevate(setting.a, caller.headers, { profile: 'console', purpose: { ticket: 'T-2' }, reason: 'look at db-1' })
    await approve(setting.a, id)
    return id
  }

  const goesOn = async (text: () => string): Promise<boolean> => {
    const since = performance.now()
    await until(() => timesIn(text()).some(time => time > since), 'what was written since')
    return true
  }

  /** Nobody is meant by it, or nothing follows. */
  async function whatChangesNothing(subject: Line): Promise<void> {
    const high = { principal: 'USER', current_level: 'HIGH' }
    for (const [about, details] of [
      [issSub(LOGIN, 'agent-9'), high], [subject, { principal: 'USER', current_level: 'LOW' }], [subject, { principal: 'ORG_UNIT', current_level: 'HIGH' }], [subject, { principal: 'USER', current_level: 'high' }], [issSub('https://ci.example', 'agent-7'), high],
    ] as const) seen.idle.push(await login.push(setting.a, await login.sign('risk-level-change', about, details)))
  }

  beforeAll(async () => {
    setting = await raise('s25.yaml', {})
    const { a, b } = setting
    login = new Transmitter(a.issuer, 'login', LOGIN, 'https://gateway.example')
    a.upstream.plays.set(FEED, '/sse/feed')
    speaks(a)
    const [agent, other] = [await agentOf('agent-7'), await agentOf('agent-8')]
    const [session, subject] = [await sessionAt(a, agent), issSub(LOGIN, 'agent-7')]
    for (const ticket of ['T-1', 'T-2']) await word(a, `/v1/anchors/ticket/${ticket}`, { state: 'open', tenant: 'acme' })
    await mayUseTheConsole(other)
    elevations = [await elevate(a, agent.headers, { profile: 'job', purpose: { ticket: 'T-1' } }), await mayUseTheConsole(agent)]
    const feed = await OpenStream.open(b, FEED, agent.headers)
    open.push(feed)
    console = await consoleOf(at(agent, 'T-2'))
    const beside = await consoleOf(at(other, 'T-2'))
    const stop = paced(a, 'feed')
    const [text, besides] = [() => feed.text, () => beside.messages.join('')]

    await whatChangesNothing(subject)
    seen.before = [await through(setting, at(agent, 'T-2'), 'GET', CONSOLE), await through(setting, at(agent, 'T-1'), 'POST', JOB)]
    seen.lived = [await goesOn(() => console.messages.join('')), console.closed === null]

    const answered = await login.tells(a, 'risk-level-change', subject, { principal: 'USER', current_level: 'HIGH', previous_level: 'LOW', risk_reason: 'IMPOSSIBLE_TRAVEL' }, { claims: { jti: seen.jti } })
    await console.over()
    seen.cutAfter = performance.now() - answered
    seen.behind = timesIn(console.messages.join('')).filter(time => time > answered + BOUND)
    seen.kept = [await goesOn(text), await goesOn(besides), beside.closed === null]
    seen.after = [await through(setting, at(agent, 'T-2'), 'GET', CONSOLE), await through(setting, at(agent, 'T-1'), 'POST', JOB), await through(setting, at(other, 'T-2'), 'GET', CONSOLE)]
    seen.given = [(await asksAgain(a, agent)).json['reason'], (await asksAgain(b, agent)).json['reason']]
    seen.level = await eventually('B has the level', BOUND, () => isHigh(b))

    await hasTold(login, setting, 'risk-level-change', subject, { principal: 'USER', current_level: 'LOW', previous_level: 'HIGH' })
    seen.low = [await through(setting, at(agent, 'T-2'), 'GET', CONSOLE)]
    seen.asked = [(await asksAgain(b, agent)).json['reason'], (await isHigh(b))?.['level'], await goesOn(text)]
    stop()
    await word(a, `/v1/sessions/${session}/terminate`)
    lines = await setting.trail()
  }, 60_000)
  afterAll(() => {
    for (const { client } of open) client.close()
    return setting.stop()
  })

  test('[S25.k] A hears that the risk of the agent is high: the second elevation is ended and its WebSocket on B cut, the SSE stream on the baseline and the first elevation are kept, and so is what others have open', () => {
    expect([seen.before, seen.lived]).toEqual([[both('200'), both('200')], [true, true]])
    expect([console.closed, seen.behind, seen.kept]).toEqual([{ code: 1008, reason: 'risk' }, [], [true, true, true]])
    expect(seen.cutAfter).toBeLessThan(BOUND)
    expect(seen.after).toEqual([both('403 elevation_required'), both('200'), both('200')])
    expect(factsIn(lines, 'elevation.ended').filter(({ elevation }) => elevations.includes(String(elevation))).map(({ elevation, reason }) => [elevation, reason])).toEqual([[elevations[1], 'risk'], [elevations[0], 'session_ended']])
  })

  test('[S25.k] as long as it stands the console is given to it no more; that the risk is low again gives nothing back', () => {
    expect([seen.given, seen.level?.['level']]).toEqual([['risk', 'risk'], 'high'])
    expect([seen.low, seen.asked]).toEqual([[both('403 elevation_required')], ['risk', 'high', true]])
  })

  test('[S25.k] about somebody else, another kind of principal, in letters that mean nothing or by somebody who does not vouch for it, it changes nothing', () =>
    expect(seen.idle.map(({ status, err }) => `${status} ${err}`.trim())).toEqual(['202', '202', '202', '400 invalid_request', '400 access_denied']))

  test('[S25.k] the log has the event, the points it was mapped to, the level they reached and the cut that followed', () => {
    const { taken: [taken], done: [done] } = outsideNews(lines, seen.jti)
    expect(taken).toMatchObject({ matter: { event: { source: 'login', issuer: LOGIN, type: 'risk-level-change', effects: [{ do: 'risk', points: POINTS }] } } })
    expect(done).toMatchObject({ matter: { outcome: 'acted', met: 1 } })
    const rises = factsIn(lines, 'anchor.told').filter(({ matter }) => (matter as Line | null)?.['level'] != null) // one of a principal has it
    expect(rises.map(({ matter }) => (matter as Line)['level'])).toMatchObject([{ name: 'high', at: 70, score: expect.closeTo(POINTS, 0), why: { contributions: [expect.objectContaining({ rule: 'login' })] } }])
    expect(lines.filter(({ kind, grant }) => kind === 'exchange.cut' && grant === elevations[1])).toMatchObject([{ reason: 'risk', because: rises[0]?.['because'], latencyMs: expect.any(Number) }])
  })
})
