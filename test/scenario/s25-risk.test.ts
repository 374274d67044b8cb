// S25: defenders tell of an agent what they found, a gateway at a time: below the level nothing ends, at it the console is over on both, with its WebSocket. The
// story is played once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { trailFiles } from '../../src/audit/tail.ts'
import { readTimeline, type Timeline } from '../../src/audit/timeline.ts'
import { eventually } from '../support/redis-server.ts'
import { type Closed, upgrade, WebSocketCaller } from '../wire/websocket-callers.ts'
import { until } from '../wire/support.ts'
import { paced, timesIn } from './brokers.ts'
import { both, type Caller, sessionAt, type Setting, SETTINGS, speaks, through } from './callers.ts'
import { BOUND, told } from './duties.ts'
import { approve } from './operators.ts'
import { bearer, elevate, factsIn, type Line, OpenStream, risksAreNamed, tokenFor, word } from './stage.ts'

const HOST = { host: 'work.internal' }
const [TICKET_1, TICKET_2] = ['T-1', 'T-2'].map(ticket => ({ 'narrowgate-ticket': ticket }))
const CONSOLE = '/console/db-1'
const FEED = '/feed'
const JOB = '/jobs/J/run'
/** Points of each of two findings: of both together `high` is reached. */
const POINTS = 40

describe.each(SETTINGS)('S25 %s', (_, raise) => {
  let setting: Setting
  let agent: Caller
  let session = ''
  let elevations: readonly string[] = []
  let lines: readonly Line[] = []
  let timeline: Timeline
  const open: { readonly client: { close(): void } }[] = []
  const seen = {
    job: [] as (readonly string[])[], below: '', console: { closed: null as Closed | null, cutAfter: 0, late: 0 }, others: { closed: null as Closed | null, lived: false }, feed: { head: '', lived: false },
    after: [] as (readonly string[])[], principal: {} as Line, asked: [] as Line[], cleared: '', falls: [] as (readonly string[])[], given: [] as readonly string[], ended: [] as (readonly string[])[],
  }

  const withTicket = (ticket: typeof TICKET_1): Caller => ({ ...agent, headers: { ...agent.headers, ...ticket } })
  const agentOf = async (sub: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, sub, { owner: 'support' }), HOST) })
  const levelAt = async (gate: Setting['a']): Promise<Line | null> => ((await gate.admin('GET', '/v1/principals?level=high')).json['principals'] as readonly Line[])[0] ?? null // the contract's shape

  async function consoleOf({ headers }: Caller): Promise<WebSocketCaller> {
    const console = await upgrade(setting.b, CONSOLE, headers)
    if (!(console instanceof WebSocketCaller)) throw new Error(`no console: ${console.status} ${String(console.reason)}`)
    await until(() => console.messages.length > 3, 'the console to be under way')
    return console
  }

  async function consoleFor(caller: Caller): Promise<string> {
    const id = await elevate(setting.a, caller.headers, { profile: 'console', purpose: { ticket: 'T-2' }, reason: 'look at db-1' })
    await approve(setting.a, id)
    return id
  }

  const tells = async (principal: string, name: string): Promise<void> => void (await word(setting.a, `/v1/principals/${principal}/risk`, { name, points: POINTS }))
  const since = (text: string, at: number): boolean => timesIn(text).some(time => time > at)

  beforeAll(async () => {
    setting = await raise('s25.yaml', {})
    const { a, b } = setting
    a.upstream.plays.set(FEED, '/sse/feed')
    speaks(a)
    agent = await agentOf('agent-7')
    session = await sessionAt(a, agent)
    for (const ticket of ['T-1', 'T-2']) await word(a, `/v1/anchors/ticket/${ticket}`, { state: 'open', tenant: 'acme' })
    const [other, ofT2] = [await agentOf('agent-8'), withTicket(TICKET_2)]
    await consoleFor(other)
    elevations = [await elevate(a, agent.headers, { profile: 'job', purpose: { ticket: 'T-1' } }), await consoleFor(agent)]
    seen.job.push(await through(setting, withTicket(TICKET_1), 'POST', JOB))
    const feed = await OpenStream.open(b, FEED, agent.headers)
    const [own, beside] = [await consoleOf(ofT2), await consoleOf({ ...other, headers: { ...other.headers, ...TICKET_2 } })]
    open.push(feed, { client: own }, { client: beside })
    const stop = paced(a, 'feed')
    const { principal: { name: principal } } = a.parts.mirror.byId(session) ?? { principal: { name: '' } }

    await tells(principal, 'siem')
    await tells(principal, 'siem') // in the place of the first one
    seen.below = `${await told(b, ofT2, 'GET', CONSOLE)} ${String(own.closed === null)}`
    const at = performance.now()
    await tells(principal, 'analyst')
    const closed = await own.over()
    const cutAt = performance.now()
    await until(() => since(feed.text, cutAt) && since(beside.messages.join(''), cutAt), 'what was written for the others since')
    seen.console = { closed, cutAfter: cutAt - at, late: timesIn(own.messages.join('')).filter(time => time > at + BOUND).length }
    seen.others = { closed: beside.closed, lived: since(beside.messages.join(''), cutAt) }
    seen.feed = { head: String(feed.head.status), lived: since(feed.text, cutAt) }
    seen.principal = await eventually('B has both findings', BOUND, async () => { // which takes it no longer than its level, and sharing
      const row = await levelAt(b)
      return Number(row?.['score']) > POINTS * 1.5 ? row : null
    })
    for (const gate of [a, b]) open.push(await OpenStream.open(gate, FEED, agent.headers))
    seen.after.push(await through(setting, ofT2, 'GET', CONSOLE), await through(setting, withTicket(TICKET_1), 'POST', JOB))
    for (const gate of [a, b]) seen.asked.push((await gate.ask('POST', '/.narrowgate/elevations', { ...agent.headers, 'content-type': 'application/json' }, JSON.stringify({ profile: 'console', purpose: { ticket: 'T-2' }, reason: 'again' }))).json)

    await word(a, `/v1/principals/${principal}/clear`, { risk: true })
    seen.cleared = await eventually('the level has fallen on B', 10_000, async () => ((await levelAt(b)) === null ? 'fell' : null))
    seen.falls.push(await through(setting, ofT2, 'GET', CONSOLE))
    await consoleFor(agent)
    seen.given = await through(setting, ofT2, 'GET', CONSOLE)
    stop()
    await word(a, `/v1/sessions/${session}/terminate`)
    seen.ended.push(await through(setting, ofT2, 'GET', CONSOLE), await through(setting, agent, 'GET', FEED))
    lines = await setting.trail()
    timeline = await readTimeline([...new Set([a, b])].flatMap(({ trailFile }) => trailFiles(trailFile)), session)
  }, 60_000)
  afterAll(() => {
    for (const { client } of open) client.close()
    return setting.stop()
  })

  const rises = (): readonly Line[] => factsIn(lines, 'anchor.told').flatMap(({ matter }) => ((matter as Line | null)?.['level'] == null ? [] : [(matter as Line)['level'] as Line])) // one of a principal has it

  test('[S25.j] the risk level goes high by what operators tell on A: the second elevation is ended, its WebSocket on B cut, the SSE stream on the baseline kept', () => {
    expect([seen.job, seen.below]).toEqual([[both('200')], '200 true'])
    expect(factsIn(lines, 'elevation.ended').filter(({ elevation }) => elevations.includes(String(elevation))).map(({ elevation, reason }) => [elevation, reason])).toEqual([[elevations[1], 'risk'], [elevations[0], 'session_ended']])
    expect(seen.console).toEqual({ closed: { code: 1008, reason: 'risk' }, cutAfter: expect.any(Number), late: 0 })
    expect(seen.console.cutAfter).toBeLessThan(BOUND)
    expect(lines.filter(({ kind, grant }) => kind === 'exchange.cut' && grant === elevations[1])).toMatchObject([{ session, reason: 'risk', because: expect.stringMatching(/^sig_/), latencyMs: expect.any(Number) }])
    expect(seen.feed).toEqual({ head: '200', lived: true })
    expect(seen.others).toEqual({ closed: null, lived: true })
  })

  test('[S25.j] as long as it stands the console is neither reached nor given, and the rest goes on; when it has fallen what ended stays ended, until somebody approves another one', () => {
    expect(seen.after).toEqual([both('403 elevation_required'), both('200')])
    expect(seen.asked.map(({ reason }) => reason)).toEqual(['risk', 'risk'])
    expect([seen.cleared, seen.falls, seen.given, seen.ended]).toEqual(['fell', [both('403 elevation_required')], both('200'), [both('401 credential_revoked'), both('401 credential_revoked')]])
  })

  test('[S25.j] it is reached once, by both findings together, and the story of the session has it', () => {
    expect(seen.principal).toMatchObject({ level: 'high' })
    expect(rises()).toMatchObject([{ name: 'high', at: 70, score: expect.closeTo(2 * POINTS, 0), why: { contributions: expect.arrayContaining(['siem', 'analyst'].map(rule => expect.objectContaining({ rule }))) } }])
    const story = timeline.lines.flatMap(line => (line.kind === 'fact' ? [line.fact.what] : line.kind === 'exchange.cut' ? [line.kind] : [])).filter(what => !what.startsWith('elevation.re') && what !== 'elevation.approved' && what !== 'elevation.activated')
    const [opened, ...rest] = story.slice(0, story.lastIndexOf('anchor.told')) // the last one is the clearing
    expect([opened, ...rest.toSorted()]).toEqual(['session.opened', 'anchor.told', 'elevation.ended', 'exchange.cut', 'session.shortened']) // what is cut is cut before it is told to all
    const rise = factsIn(lines, 'anchor.told').find(({ matter }) => (matter as Line | null)?.['level'] != null)
    expect(lines.find(({ kind, grant }) => kind === 'exchange.cut' && grant === elevations[1])?.['because']).toBe(rise?.['because'])
    expect(timeline.gap).toBeNull()
  })

  test('[S25.q] each record names the risk before and after, on the gateway that was told and on the other one', () => {
    risksAreNamed(lines, setting.a)
    const own = lines.filter(({ kind, session: of }) => (kind === 'exchange.opened' || kind === 'request.refused') && of === session).map(({ risk, gateway }) => ({ ...(risk as { readonly before: number; readonly level?: string }), gateway })) // as records have it
    const high = own.filter(({ level }) => level === 'high')
    expect(new Set(high.map(({ gateway }) => gateway)).size).toBe(new Set([setting.a, setting.b]).size)
    for (const { before } of high) expect(before).toBeGreaterThan(2 * POINTS - 1)
    expect(own[0]).toMatchObject({ before: 0, after: 0 })
  })
})
