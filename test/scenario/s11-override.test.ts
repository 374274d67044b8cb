// S11 by an operator's word on the window, on one gateway and on two: A hears it, and what is open on B lives on or is cut. The story is played once on each; each
// clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { pause, until } from '../wire/support.ts'
import { type Caller, elevatedAt, SETTINGS, type Setting } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { approve } from './operators.ts'
import { bearer, elevate, factsIn, type Line, OpenStream, tokenFor, word } from './stage.ts'

const OVERRIDE = '/v1/windows/maintenance/override'
const HOUR = 3_600_000
const SHORT = 1_500
const MANY = 30
/** As much as clocks of gateways may differ by. */
const CLOCKS = 100

const time = (fromNow: number): string => new Date(Date.now() + fromNow).toISOString()

describe.each(SETTINGS)('S11 %s', (_, raise) => {
  let setting: Setting
  const seen = { earlier: {} as Line, later: {} as Line, closed: {} as Line, outlived: 0, asked: [] as string[], shut: [] as string[], anew: '' }

  const moved = async (fromNow: number, from: object = {}): Promise<Line> => (await word(setting.a, OVERRIDE, { until: time(fromNow), ...from })).json
  const dba = async (sid: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'svc-dba', { sid }), { host: 'db.prod.internal' }) })
  const asks = async (caller: Caller): Promise<void> => { for (const gate of [setting.a, setting.b]) seen.asked.push(await told(gate, caller, 'POST', '/sql/query')) }

  /** Made shorter while a report of B runs, then longer: the report goes on over the end that was. */
  async function shorterThenLonger(caller: Caller): Promise<void> {
    const { a, b } = setting
    a.upstream.plays.set('/reports/weekly', '/sse/weekly')
    const report = await OpenStream.open(b, '/reports/weekly', caller.headers)
    seen.earlier = await moved(SHORT)
    const old = performance.now() + SHORT
    seen.later = await moved(HOUR)
    const pace = setInterval(() => a.upstream.feed('weekly').emit(`at ${performance.now()} .`), 5)
    const last = (): number => Math.max(0, ...[...report.text.matchAll(/at ([\d.]+) \./g)].map(([, at]) => Number(at)))
    await until(() => last() > old + 300, 'the report to go on')
    clearInterval(pace)
    seen.outlived = last() - old
    report.client.close()
    await asks(caller)
  }

  /** Shut and opened again by two words, the one behind the other, while what follows from the first is still written. */
  async function shutAndReopened(): Promise<void> {
    const { a, b } = setting
    await moved(HOUR, { from: time(-1_000) })
    const callers: Caller[] = []
    for (let i = 0; i < MANY; i++) {
      const caller = await dba(`many-${i}`)
      await elevatedAt(a, caller, { profile: 'window-maintenance' })
      callers.push(caller)
    }
    await pause(2 * CLOCKS) // what began within that of the word is taken for new
    for (const body of [{ until: 'now' }, { from: time(-60_000), until: time(HOUR) }]) await word(a, OVERRIDE, body)
    for (const caller of callers) for (const gate of [a, b]) seen.shut.push(await told(gate, caller, 'GET', '/sql/tables'))
    const [first] = callers
    if (first !== undefined) seen.anew = await elevatedAt(a, first, { profile: 'window-maintenance' }).then(() => told(b, first, 'GET', '/sql/tables'))
  }

  const duties = new Duties({
    carried: { method: 'GET', path: '/sql/tables?schema=public' }, stream: '/reports/daily', rest: null, before: '403 elevation_required', after: '403 window_closed', reason: 'window_closed',
    caller: (_setting, name) => dba(name),
    other: async ({ a, b }) => {
      const caller = await dba('beside')
      await approve(b, await elevate(a, caller.headers, { profile: 'maintenance' }))
      return { caller, path: '/reports/beside' }
    },
    give: async ({ a }, caller) => {
      await moved(HOUR, { from: time(-1_000) })
      return elevatedAt(a, caller, { profile: 'window-maintenance' })
    },
    end: async ({ a }) => { seen.closed = (await word(a, OVERRIDE, { until: 'now' })).json },
    revive: () => moved(HOUR, { from: time(-1_000) }),
  })
  beforeAll(async () => {
    setting = await raise('s11.yaml', {})
    await shutAndReopened()
    await duties.play(setting, shorterThenLonger)
  }, 60_000)
  afterAll(() => setting.stop())

  test('[S11.j] an operator ends the window while a report is open: it is cut on the other gateway with the answer', () => {
    expect(seen.closed).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
    expect(seen.closed['tookMs']).toBeLessThan(BOUND)
  })

  test('[S11.l] an operator extends the window: what is open survives the end that was, and requests pass through both', () => {
    expect([seen.earlier, seen.later].map(({ enforced, exchanges }) => [enforced, (exchanges as Line)['cut']])).toEqual([[true, 0], [true, 0]]) // the contract's shape
    expect(seen.outlived).toBeGreaterThan(300)
    expect(seen.asked).toEqual(['200', '200'])
  })

  test('[S11.n] every request names the version of the schedule that applied to it, with each move of the window another; who moved it is on record', () => {
    const { version = '' } = setting.a.parts.mirror.policy.windows.get('maintenance') ?? {}
    const own = duties.lines.filter(({ kind, session, elevation }) => kind === 'exchange.opened' && session === duties.session && elevation !== null)
    const told = own.map(({ elevation }) => String((elevation as { readonly schedules: readonly string[] }).schedules)) // an elevated exchange's
    expect([...new Set(told)].toSorted()).toEqual([`maintenance@${version}+4`, `maintenance@${version}+6`])
    const moves = duties.lines.filter(({ kind, fact }) => kind === 'fact' && (fact as Line)['what'] === 'anchor.told').map(({ fact }) => fact as Line) // a fact line has one
    expect(moves.length).toBeGreaterThanOrEqual(8)
    for (const move of moves) expect(move).toMatchObject({ kind: 'window', name: 'maintenance', by: 'https://login.example|olga', note: 'as the scenario says', matter: { is: 'window' } })
    expect(factsIn(duties.lines, 'elevation.requested').find(({ elevation }) => (elevation as Line)['id'] === duties.elevation)).toMatchObject({ elevation: { schedules: [`maintenance@${version}+4`] } })
  })

  test('[S11.w] a window that is shut and opened again at once brings nothing back of what stood on it; who asks anew is given it', () => {
    expect(seen.shut).toEqual(Array.from({ length: 2 * MANY }, () => '403 window_closed'))
    expect(seen.anew).toBe('200')
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S11.o', risk: 'S11.p', digest: 'S11.q', life: 'S11.r', exchanges: 'S11.s', verify: 'S11.t', replay: 'S11.u', reconnect: 'S11.v', revive: 'S11.w', across: 'S11.x', upstream: 'S11.z', shared: 'S11.aa',
  })) test(`[${id}] ${says}`, prove)

  test('[S11.y] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
