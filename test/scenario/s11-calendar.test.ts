// S11 by the calendar, on clocks that show Saturday 2026-11-21: the window opens at 01:00:00 and closes at 03:00:00, is edited to close at 02:00, and is kept open until
// 03:30. Each story is played once; the clauses are asserted on what was seen of it.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { WebSocketServer } from 'ws'
import type { TestGateway } from '../support/gateway.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { until } from '../wire/support.ts'
import { upgrade, WebSocketCaller } from '../wire/websocket-callers.ts'
import { paced, timesIn } from './brokers.ts'
import { upgraded } from './callers.ts'
import { approve } from './operators.ts'
import { bearer, elevate, type Headers, type Line, OpenStream, outcome, raise, tokenFor, word } from './stage.ts'

const DAY = '2026-11-21T'
const HOST = { host: 'db.prod.internal' }
const BOUND = 1_000
const CLOCKS = 5
const ASKED = ['GET /sql/tables', 'POST /sql/query', 'GET /reports/list'] as const

const stages: Stage[] = []

/** A gateway on which it is Saturday night, with somebody whom a maintenance of fixed time carries beside. */
class Stage {
  readonly gate: TestGateway
  readonly clock: ShiftedClock
  readonly dba: Headers
  readonly beside: OpenStream
  session = ''

  private constructor(gate: TestGateway, clock: ShiftedClock, dba: Headers, beside: OpenStream) {
    this.gate = gate
    this.clock = clock
    this.dba = dba
    this.beside = beside
  }

  /** @param at the time of day when everything is set up; nobody is idle for long before */
  static async at(at: string): Promise<Stage> {
    const clock = new ShiftedClock(new Date(Date.parse(`${DAY}${at}Z`) - 60_000).toISOString())
    const gate = await raise('s11.yaml', { clock })
    gate.upstream.plays.set('/reports/daily', '/stream/report').set('/reports/beside', '/stream/beside')
    speaksRows(gate)
    const of = async (sid: string): Promise<Headers> => bearer(await tokenFor(gate.issuer, 'svc-dba', { sid }, clock.shift), HOST)
    const [dba, other] = [await of('first'), await of('second')]
    await approve(gate, await elevate(gate, other, { profile: 'maintenance', for: '4h' }))
    const stage = new Stage(gate, clock, dba, await OpenStream.open(gate, '/reports/beside', other))
    stages.push(stage)
    stage.session = String((await gate.ask('GET', '/.narrowgate/session', dba)).json['id'])
    clock.moveTo(`${DAY}${at}Z`)
    return stage
  }

  /** `performance.now()` at that time of day; whatever comes between the two readings makes it earlier. */
  instantOf(at: string): number { return Math.max(...Array.from({ length: 5 }, () => performance.now() + Date.parse(`${DAY}${at}Z`) - this.clock.now())) }

  async reached(at: string): Promise<void> {
    await until(() => this.clock.now() >= Date.parse(`${DAY}${at}Z`), `it to be ${at}`)
  }

  /** What the caller is told now: by three requests and a WebSocket. */
  async asked(): Promise<readonly string[]> {
    const told: string[] = []
    for (const line of ASKED) told.push(outcome(await this.gate.ask(...(line.split(' ') as [string, string]), this.dba))) // two words each
    return [...told, await upgraded(this.gate, { leaf: null, headers: this.dba }, '/sql')]
  }

  /** A report and a console under way, rows of both with the time at which the upstream wrote them. */
  async open(): Promise<Open> {
    const report = await OpenStream.open(this.gate, '/reports/daily', this.dba)
    const console = await upgrade(this.gate, '/sql', this.dba)
    if (!(console instanceof WebSocketCaller)) throw new Error(`no console: ${console.status} ${String(console.reason)}`)
    const open = new Open(this, report, console, paced(this.gate, 'report', 'beside'))
    await until(() => open.last.every(time => time > 0), 'both to be under way')
    return open
  }

  async stop(): Promise<void> {
    this.beside.client.close()
    await this.gate.stop()
  }
}

class Open {
  readonly stage: Stage
  readonly report: OpenStream
  readonly console: WebSocketCaller
  readonly #stop: () => void

  constructor(stage: Stage, report: OpenStream, console: WebSocketCaller, stop: () => void) {
    this.stage = stage
    this.report = report
    this.console = console
    this.#stop = stop
  }

  /** When the last row that came was written: of the report, of the console. */
  get last(): readonly number[] { return [this.report.text, this.console.messages.join('')].map(text => Math.max(0, ...timesIn(text))) }

  /** The end of both, as seen against the instant from which on nothing may pass. */
  async cut(from: number) {
    await this.stage.gate.upstream.request('/reports/daily')
    const [{ complete }, closed] = await Promise.all([this.report.cut(), this.console.over()])
    const cutAt = performance.now()
    await until(() => timesIn(this.stage.beside.text).some(time => time > cutAt + 50), 'what was written beside since')
    this.#stop()
    for (const recorded of this.stage.gate.upstream.requests.filter(({ path }) => path === '/reports/daily')) await until(() => recorded.abortedAt > 0, 'the upstream to see the end')
    return { late: this.last.map(time => time - from), cutAfter: cutAt - from, complete, closed }
  }
}
type Cut = Awaited<ReturnType<Open['cut']>>

/** The upstream takes every upgrade and sends rows on it. */
function speaksRows({ upstream }: TestGateway): void {
  const server = new WebSocketServer({ noServer: true })
  upstream.upgrades((message, socket, head) => {
    socket.on('error', () => undefined) // shows at the caller
    server.handleUpgrade(message, socket, head, console => {
      const pace = setInterval(() => console.send(`at ${performance.now()} .`), 5)
      console.on('close', () => clearInterval(pace)).on('error', () => undefined)
    })
  })
}

const override = ({ gate }: Stage, at: string): Promise<unknown> => word(gate, '/v1/windows/maintenance/override', { until: `${DAY}${at}Z` })

function editedToClose({ gate }: Stage, at: string): Promise<unknown> {
  writeFileSync(gate.configFile, readFileSync(gate.configFile, 'utf8').replace(/to: "?03:00"?/, `to: "${at}"`))
  return word(gate, '/v1/config/reload')
}

const NOTHING: Cut = { late: [], cutAfter: 0, complete: true, closed: null }
const seen = {
  none: [] as readonly string[], waiting: [] as readonly string[], before: [] as string[], started: 0, inside: [] as readonly string[],
  edited: NOTHING, untilEdited: [] as readonly string[], behindEdited: [] as readonly string[],
  closed: NOTHING, behindClosed: [] as readonly string[], again: '', behindAgain: [] as readonly string[],
  outlived: [] as readonly number[], keptOpen: [] as readonly string[], ended: NOTHING, behindEnded: [] as readonly string[],
}
type Played = { readonly lines: readonly Line[]; readonly session: string; /** Of the window, at its beginning and at its end. */ readonly versions: readonly string[] }
const played: { [story: string]: Played } = {}

const versionOf = ({ gate }: Stage): string => gate.parts.mirror.policy.windows.get('maintenance')?.version ?? ''
const windowed = ({ gate, dba }: Stage): Promise<string> => elevate(gate, dba, { profile: 'window-maintenance' })

async function play(story: string, from: string, acts: (stage: Stage) => Promise<void>): Promise<void> {
  const stage = await Stage.at(from)
  const version = versionOf(stage)
  await acts(stage)
  played[story] = { lines: await stage.gate.trail(), session: stage.session, versions: [version, versionOf(stage)] }
}

/** Asked for before the window opens, it starts with it. */
async function opens(stage: Stage): Promise<void> {
  seen.none = await stage.asked()
  await windowed(stage)
  await stage.reached('00:59:59')
  seen.waiting = await stage.asked()
  const opensAt = stage.instantOf('01:00:00')
  const one = async (): Promise<string> => outcome(await stage.gate.ask('GET', '/sql/tables', stage.dba))
  for (let told = await one(); told !== '200' && performance.now() < opensAt + 10 * BOUND; told = await one()) seen.before.push(told)
  seen.started = performance.now() - opensAt
  seen.inside = await stage.asked()
}

/** The calendar in the file is edited while both are open. */
async function isEdited(stage: Stage): Promise<void> {
  await windowed(stage)
  const open = await stage.open()
  await editedToClose(stage, '02:00')
  seen.untilEdited = await stage.asked()
  seen.edited = await open.cut(stage.instantOf('02:00:00'))
  await stage.reached('02:00:01')
  seen.behindEdited = await stage.asked()
}

async function closes(stage: Stage): Promise<void> {
  await windowed(stage)
  const open = await stage.open()
  seen.closed = await open.cut(stage.instantOf('03:00:00'))
  await stage.reached('03:00:01')
  seen.behindClosed = await stage.asked()
  const next = await stage.gate.ask('POST', '/.narrowgate/elevations', { ...stage.dba, 'content-type': 'application/json' }, JSON.stringify({ profile: 'window-maintenance' }))
  seen.again = `${next.status} ${String(next.json['startsAt'])}`
  seen.behindAgain = await stage.asked()
}

/** Kept open until 03:30, then closed by the same operator while both are open. */
async function isKeptOpen(stage: Stage): Promise<void> {
  await windowed(stage)
  const open = await stage.open()
  const old = stage.instantOf('03:00:00')
  await override(stage, '03:30:00')
  await until(() => open.last.every(time => time > old + 1_000), 'rows behind the old end')
  seen.outlived = open.last.map(time => time - old)
  seen.keptOpen = await stage.asked()
  await override(stage, '03:00:00')
  seen.ended = await open.cut(performance.now())
  seen.behindEnded = await stage.asked()
}

beforeAll(async () => {
  await Promise.all([play('opens', '00:59:57', opens), play('closes', '02:59:57', closes)])
  await Promise.all([play('edited', '01:59:57', isEdited), play('kept', '02:59:57', isKeptOpen)])
}, 60_000)
afterAll(async () => { for (const stage of stages) await stage.stop() })

const all = (...told: readonly string[]): readonly string[] => [...ASKED, 'a WebSocket'].map((_, i) => told[Math.min(i, told.length - 1)] ?? '')
const PASSED = all('200', '200', '200', '101')
const NONE = all('403 elevation_required')
const SHUT = all('403 window_closed')

function isExact({ late, cutAfter, complete, closed }: Cut): void {
  expect(late.length).toBe(2)
  for (const by of late) expect(by).toBeLessThanOrEqual(CLOCKS)
  expect([cutAfter >= -CLOCKS, cutAfter < BOUND]).toEqual([true, true])
  expect(complete).toBe(false)
  expect(closed).toEqual({ code: 1008, reason: expect.stringContaining('window_closed') })
}

test('[S11.c] what waited starts by itself at 01:00:00; inside the window its requests and its console pass', () => {
  expect(seen.before.length).toBeGreaterThan(3)
  expect([seen.started >= -CLOCKS, seen.started < BOUND]).toEqual([true, true])
  expect([seen.inside, seen.untilEdited]).toEqual([PASSED, PASSED])
})

test('[S11.e, S11.f] a running report and an open SQL console are cut when the window closes at 03:00:00: nothing goes through behind it, and the upstream is aborted', () => isExact(seen.closed))

test('[S11.h] connecting at 00:59:59 and at 03:00:01 is refused, with an elevation that waits for the window too', () => {
  expect([seen.none, seen.waiting]).toEqual([NONE, SHUT])
  expect(new Set([...seen.before, '403 elevation_required'])).toEqual(new Set(['403 window_closed', '403 elevation_required'])) // the latter while its start is written
  expect([seen.behindClosed, seen.again, seen.behindAgain]).toEqual([SHUT, '201 2026-11-28T01:00:00.000Z', SHUT])
})

test('[S11.j] the window is edited to end at 02:00 while it is open: report and console go on until then and not a byte longer', () => {
  isExact(seen.edited)
  expect(seen.behindEdited).toEqual(SHUT)
})

test('[S11.l] an operator keeps the window open until 03:30: report and console survive 03:00:00, and end with the answer when the same word closes it', () => {
  for (const time of seen.outlived) expect(time).toBeGreaterThan(1_000)
  expect(seen.keptOpen).toEqual(PASSED)
  isExact(seen.ended)
  for (const by of seen.ended.late) expect(by).toBeLessThanOrEqual(0)
  expect(seen.behindEnded).toEqual(SHUT)
})

/** Versions on record with each elevated request, in order, each once. */
const schedulesOf = ({ lines, session }: Played): readonly unknown[] =>
  [...new Set(lines.filter(line => line['kind'] === 'exchange.opened' && line['session'] === session).map(({ elevation }) => String((elevation as { readonly schedules: readonly string[] }).schedules)))] // an elevated exchange's

test('[S11.n] every request names the version of the schedule that applied to it, edited or moved; so do the facts', () => {
  const { opens: first, closes: second, edited, kept } = played
  if (first === undefined || second === undefined || edited === undefined || kept === undefined) throw new Error('not played')
  const [version = '', later = ''] = edited.versions
  expect([version === '', later === version, kept.versions]).toEqual([false, false, [version, version]])
  expect([first, second, edited, kept].map(schedulesOf)).toEqual([[`maintenance@${version}`], [`maintenance@${version}`], [`maintenance@${version}`, `maintenance@${later}`], [`maintenance@${version}`, `maintenance@${version}+1`]])
})
