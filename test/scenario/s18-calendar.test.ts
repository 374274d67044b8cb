// S18 by the calendar, on clocks that are moved: the nightly job passes between 01:00 and 02:00; at 14:00 it is revalidated, at 14:10 that is over. Each part is
// played once, on a gateway of its own; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { type RawClient, request } from '../support/raw-client.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { until } from '../wire/support.ts'
import { factsOf, paced, timesIn } from './brokers.ts'
import { asked, type Caller, connect, elevatedAt, sessionAt } from './callers.ts'
import { told } from './duties.ts'
import { challengeIn, confirms, Nightly } from './nightly.ts'
import { type Line, outcome, OWNER, raise } from './stage.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND
const REPORTS = '/reports/last'
const EXPORTS = '/exports/last'
const TOOLS = '/tools/compact'
const FOLLOW = '/tools/follow'
const REVALIDATE = '/.narrowgate/session/revalidate'
const ASKED = '401 step_up_required'
const PASSED = ['200', '200', '200']
const BY_DAY = ['200', ASKED, ASKED]
const BOUND = 1_000
const CLOCKS = 5
const CLOSES = Date.parse('2026-11-21T02:00:00Z')

/** A gateway at that time of a Saturday, and the runs of the job there. */
class Hour {
  readonly gate: TestGateway
  readonly clock: ShiftedClock
  readonly #job: Nightly

  private constructor(gate: TestGateway, clock: ShiftedClock, job: Nightly) {
    this.gate = gate
    this.clock = clock
    this.#job = job
  }

  static async at(time: string, job: Nightly): Promise<Hour> {
    const clock = new ShiftedClock(time)
    const hour = new Hour(await raise('s18.yaml', { ...job.staging, clock }), clock, job)
    for (const path of [REPORTS, EXPORTS, TOOLS]) hour.gate.upstream.plays.set(path, '/ok')
    hour.gate.upstream.plays.set(FOLLOW, '/sse/follow')
    return hour
  }

  /** By a token of now. */
  run(pod: string): Promise<Caller> { return this.#job.projected(pod, this.clock.now()) }

  async asks(run: Caller): Promise<string[]> { return [await told(this.gate, run, 'GET', REPORTS), await told(this.gate, run, 'GET', EXPORTS), await told(this.gate, run, 'POST', TOOLS)] }

  moveTo(at: number): void { this.clock.moveTo(new Date(at).toISOString()) }
  reached(at: number): Promise<void> { return until(() => this.clock.now() >= at, `it to be ${new Date(at).toISOString()}`) }
  /** `performance.now()` at that time; whatever comes between the two readings makes it earlier. */
  instantOf(at: number): number { return Math.max(...Array.from({ length: 5 }, () => performance.now() + at - this.clock.now())) }
}

/** What it asked for stays open, and tells how far it is. */
class Following {
  readonly client: RawClient

  private constructor(client: RawClient) {
    this.client = client
  }

  static async open({ gate }: Hour, run: Caller): Promise<Following> {
    const client = await connect(gate, run)
    await client.send(request('POST', FOLLOW, run.headers))
    const { status } = await client.head()
    expect(status, client.bytes().toString()).toBe(200)
    const following = new Following(client)
    await until(() => following.times.length > 3, 'it to be under way')
    return following
  }

  get times(): readonly number[] { return timesIn(this.client.bytes().toString('latin1')) }

  /** How long behind that instant it ended, and the last of what came. */
  async endedBy(instant: number): Promise<{ readonly after: number; readonly late: number }> {
    await this.client.response().catch(() => null) // by a reset, or at an event's end
    return { after: performance.now() - instant, late: Math.max(...this.times) - instant }
  }
}

type End = { readonly after: number; readonly late: number }
const NEVER: End = { after: Infinity, late: Infinity }
const seen = {
  night: { began: [] as string[], late: [] as string[], end: NEVER, behind: '' },
  waits: '', first: [] as string[], asked: [] as string[], half: [] as string[], confirmed: [] as unknown[], passes: [] as string[][], before: [] as string[], end: NEVER, over: [] as string[], dispatched: -1,
  id: '', later: '', replayed: [] as string[], reconnect: '', words: [] as number[], again: [] as unknown[], session: '',
}
let lines: readonly Line[] = []
const hours: Hour[] = []

/** A run at 01:00, and one that goes on over 02:00. */
async function byNight(first: Hour, last: Hour): Promise<void> {
  const early = await first.run('pod-1')
  await elevatedAt(first.gate, early, { profile: 'nightly' })
  seen.night.began = await first.asks(early)
  const { gate } = last
  const late = await last.run('pod-2')
  await elevatedAt(gate, late, { profile: 'nightly' })
  seen.night.late = await last.asks(late)
  const stop = paced(gate, 'follow')
  const following = await Following.open(last, late)
  expect(last.clock.now()).toBeLessThan(CLOSES) // all of it was begun in time
  const at = last.instantOf(CLOSES)
  await last.reached(CLOSES)
  seen.night.behind = await told(gate, late, 'POST', TOOLS)
  seen.night.end = await following.endedBy(at)
  stop()
}

/** Credentials tell whole seconds: the next one. */
const nextSecond = (hour: Hour): Promise<void> => hour.reached(Math.floor(hour.clock.now() / SECOND) * SECOND + SECOND)

async function revalidated(hour: Hour, run: Caller): Promise<Caller> {
  const { gate } = hour
  const challenge = challengeIn(await asked(gate, run, 'POST', TOOLS))
  seen.id = String(challenge['id'])
  await nextSecond(hour)
  const fresh = await hour.run('pod-3')
  seen.half = [outcome(await asked(gate, fresh, 'POST', REVALIDATE)), ...(await hour.asks(fresh))]
  seen.confirmed = [await confirms(gate, OWNER, seen.id)]
  return fresh
}

const untilOf = ({ gate }: Hour): number => {
  const stepUp = gate.parts.mirror.byId(seen.session)?.record.stepUps.find(({ id }) => id === seen.id)
  return stepUp?.state.is === 'satisfied' ? (stepUp.state.until ?? 0) : 0
}

async function byDay(hour: Hour): Promise<void> {
  const { gate } = hour
  const run = await hour.run('pod-3')
  const { json: { startsAt } } = await asked(gate, run, 'POST', '/.narrowgate/elevations', { profile: 'nightly' })
  seen.waits = String(startsAt)
  seen.first = await hour.asks(run)
  await elevatedAt(gate, run, { profile: 'catch-up' })
  seen.session = await sessionAt(gate, run)
  seen.asked = await hour.asks(run)
  const fresh = await revalidated(hour, run)
  const overAt = untilOf(hour)
  seen.confirmed.push(Math.abs(overAt - hour.clock.now() - 10 * MINUTE) < SECOND)
  const stop = paced(gate, 'follow')
  const following = await Following.open(hour, fresh)
  seen.passes.push(await hour.asks(fresh))
  for (const minute of [4, 8]) {
    hour.moveTo(overAt - (10 - minute) * MINUTE)
    seen.passes.push(await hour.asks(fresh))
  }

  hour.moveTo(overAt - 5 * SECOND)
  await elevatedAt(gate, await hour.run('pod-4'), { profile: 'catch-up', for: '1s' }) // a timer that was set before the clock is moved comes late: an end before it has it set anew
  seen.before = await hour.asks(fresh)
  expect(hour.clock.now()).toBeLessThan(overAt) // all of it was begun in time
  const at = hour.instantOf(overAt)
  await hour.reached(overAt)
  const tools = (): number => gate.upstream.requests.filter(({ path }) => path.startsWith('/tools/')).length
  const requests = tools()
  const again = await asked(gate, fresh, 'POST', TOOLS)
  seen.over = [outcome(again), ...(await hour.asks(fresh))]
  seen.end = await following.endedBy(at)
  stop()
  seen.later = String(challengeIn(again)['id'])
  seen.reconnect = await told(gate, fresh, 'POST', FOLLOW)
  seen.replayed = [outcome(await asked(gate, fresh, 'POST', REVALIDATE)), outcome(await asked(gate, run, 'POST', REVALIDATE))]
  seen.words = [await confirms(gate, OWNER, seen.id), await confirms(gate, OWNER, seen.later)]
  seen.again = [await hour.asks(fresh)]
  seen.dispatched = tools() - requests
  await nextSecond(hour)
  const newer = await hour.run('pod-3')
  seen.again.push((await asked(gate, newer, 'POST', REVALIDATE)).json, await hour.asks(newer))
  lines = await gate.trail()
}

beforeAll(async () => {
  const job = await Nightly.make()
  const at = async (time: string): Promise<Hour> => {
    const hour = await Hour.at(time, job)
    hours.push(hour)
    return hour
  }
  await byNight(await at('2026-11-21T01:00:00Z'), await at('2026-11-21T01:59:56Z'))
  await byDay(await at('2026-11-21T14:00:00Z'))
}, 60_000)
afterAll(() => Promise.all(hours.map(({ gate }) => gate.stop())))

test('[S18.a] the job passes at 01:00 and shortly before 02:00; at 02:00 what is open of its tools is cut, and they are refused', () => {
  const { began, late, end, behind } = seen.night
  expect([began, late, behind]).toEqual([PASSED, PASSED, '403 window_closed'])
  expect(end.late).toBeLessThan(CLOCKS)
  expect(end.after).toBeLessThan(BOUND)
})

test('[S18.b, S18.e] at 14:00 its tools wait for the next night; with an elevation for now they are refused until it is revalidated, exports are too, and reports are read', () => {
  expect([seen.waits, seen.first, seen.asked]).toEqual(['2026-11-22T01:00:00.000Z', ['200', ASKED, '403 window_closed'], BY_DAY])
})

test('[S18.d] a fresh token of its pod and its owner\'s yes let it pass for ten minutes, and neither of them alone does', () => {
  expect([seen.half, seen.confirmed]).toEqual([['200', ...BY_DAY], [200, true]])
  expect(seen.passes).toEqual([PASSED, PASSED, PASSED])
})

test('[S18.f] at 14:10 the revalidation is over, to the instant: what is open of its tools is cut, and they are refused by a question of their own; reports are read as before', () => {
  expect(seen.before).toEqual(PASSED)
  expect([seen.over, seen.later === seen.id]).toEqual([[ASKED, ...BY_DAY], false])
  expect(seen.end.late).toBeLessThan(CLOCKS)
  expect(seen.end.after).toBeLessThan(BOUND)
  expect(lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === seen.session)).toMatchObject([{ reason: 'step_up_over', latencyMs: expect.any(Number) }])
})

test('[S18.o, S18.p, S18.q] neither the tokens from before, nor another yes, nor both of them revive it, and what was open is not opened again; a newer token with a yes does', () => {
  expect([seen.replayed, seen.reconnect]).toEqual([[ASKED, ASKED], ASKED])
  expect([seen.words[1], seen.again[0], seen.dispatched]).toEqual([200, BY_DAY, 0])
  expect(seen.again.slice(1)).toEqual([{ satisfied: [seen.later], pending: [] }, PASSED])
})

test('[S18.g, S18.h] the log has the deviation at 14:00, and each revalidation with its proof and its end', () => {
  const own = factsOf(lines, seen.session)
  const satisfied = own.filter(({ what }) => what === 'stepUp.satisfied')
  expect(satisfied.map(({ stepUp }) => stepUp)).toEqual([seen.id, seen.later])
  for (const { at, until: end } of satisfied) expect(Number(end) - Number(at)).toBe(10 * MINUTE)
  const givenFor = (id: string): readonly unknown[] => own.filter(({ what, stepUp }) => what === 'stepUp.answered' && stepUp === id).map(({ given }) => (given as Line)['means']) // such a fact has one
  expect([givenFor(seen.id), givenFor(seen.later)]).toEqual([['attest', 'approval'], ['approval', 'attest']])
  const [first] = lines.filter(({ kind, session }) => kind === 'exchange.opened' && session === seen.session)
  expect(first).toMatchObject({ path: REPORTS, risk: { before: 0, after: 100, level: 'off-schedule' } })
})
