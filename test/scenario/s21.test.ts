// S21: a rotation robot rotates the credentials of one database once, during one run of a pipeline, and reads the old secret meanwhile. The run is cancelled between
// rotate and verify. The story is played once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest'
import { factsOf } from './brokers.ts'
import { asked, both, type Caller, elevatedAt, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told as toldAt } from './duties.ts'
import { told, useSecrets } from './news.ts'
import { bearer, type Headers, type Line, loadsAsItStands, outcome, tokenFor } from './stage.ts'

const HOST = { host: 'db.internal' }
const RUN = '7712'
const ROTATE = '/db/credentials/rotate'
const ROLLBACK = '/db/credentials/rollback'
const SECRET = '/db/orders/secret'
const OVER = '403 purpose_over'
const LIMIT = '403 limit_reached'
const TWO_MINUTES = 120_000

const of = (database: string): object => ({ database, reason: 'quarterly' })

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s21.yaml'))

describe.each(SETTINGS)('S21 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    early: [] as string[], rotated: [] as (readonly string[])[], second: [] as (readonly string[])[], others: [] as (readonly string[])[], asksOther: [] as string[], old: [] as readonly string[], robots: [] as string[], rotation: '', passed: [] as string[],
    cancelled: [] as (readonly string[])[], rollback: [] as string[], follows: {} as Line, afterwards: [] as string[], whole: { session: '', rotated: [] as string[], rollback: [] as readonly string[] },
  }

  const robot = async (name: string, run = RUN): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, 'rot-bot', { sid: name }), { ...HOST, 'narrowgate-run': run }) })
  const pipeline = (state: string, run = RUN, database = 'orders'): Promise<void> => told(setting.a, 'pipeline', { run, state, database })
  const ask = (profile: string, database: string, run: string): object => ({ profile, purpose: { run }, params: { database } })
  const asks = async (caller: Caller, profile: string, database = 'orders', run = RUN): Promise<string> => outcome(await asked(setting.a, caller, 'POST', '/.narrowgate/elevations', ask(profile, database, run)))
  const posts = (caller: Caller, path: string, database = 'orders'): Promise<readonly string[]> => through(setting, caller, 'POST', path, of(database))
  const rotation = (caller: Caller, database = 'orders', run = RUN): Promise<string> => elevatedAt(setting.a, caller, ask('rotate', database, run))
  /** Bodies that came to the upstream. */
  const cameTo = (path: string): string[] => setting.a.upstream.requests.filter(each => each.path === path).map(each => each.body().toString())

  /** While the run goes on: what is rotated once, by whom, and what is not. */
  async function rotatesOnce(caller: Caller): Promise<void> {
    const { b } = setting
    seen.asksOther = [await asks(caller, 'rotate', 'billing'), await asks(caller, 'old-secret', 'billing'), await asks(caller, 'rollback'), await asks(caller, 'rotate', 'orders', '7713')]
    seen.rotated.push(await posts(caller, ROTATE))
    seen.rotation = await rotation(caller)
    for (const database of ['billing', 'Orders', 'orders ']) seen.others.push(await posts(caller, ROTATE, database))
    seen.others.push(await through(setting, caller, 'POST', ROTATE, { databases: ['orders'] }), await through(setting, caller, 'GET', '/db/billing/secret'), await through(setting, caller, 'GET', '/db/orders/../billing/secret'))
    seen.rotated.push([await toldAt(b, caller, 'POST', ROTATE, of('orders'))])
    seen.second.push(await posts(caller, ROTATE))
    seen.old = await through(setting, caller, 'GET', `${SECRET}?version=old`)
    const other = await robot('another')
    seen.robots = [await asks(other, 'rotate'), ...await posts(other, ROTATE), await asks(caller, 'rotate')]
    seen.passed = cameTo(ROTATE)
  }

  /** Behind the cancellation: every secret is refused, and one rollback passes. */
  async function halfDone(caller: Caller): Promise<void> {
    const { a, b } = setting
    for (const path of [SECRET, `${SECRET}/live`, '/db/billing/secret']) seen.cancelled.push(await through(setting, caller, 'GET', path))
    seen.second.push(await posts(caller, ROTATE))
    const { json } = await asked(b, caller, 'GET', '/.narrowgate/session')
    seen.follows = (json['elevations'] as readonly Line[]).find(({ profile }) => profile === 'rollback') ?? {} // the contract's shape
    seen.rollback.push(...await posts(caller, ROLLBACK, 'billing'))
    seen.rollback.push((await Promise.all([a, b, a].map(gate => toldAt(gate, caller, 'POST', ROLLBACK, of('orders'))))).toSorted().join(', '), ...await posts(caller, ROLLBACK))
    seen.afterwards = [await asks(caller, 'rotate'), await asks(caller, 'old-secret'), await asks(caller, 'rollback')]
  }

  /** A robot that is done gives its rotation back: nothing is half done, nothing is there to roll back, and another one in the same run gives no second use. */
  async function whole(): Promise<void> {
    const { a } = setting
    await pipeline('running', '7700', 'stock')
    const caller = await robot('whole', '7700')
    seen.whole.session = await sessionAt(a, caller)
    for (let round = 0; round < 2; round++) {
      const elevation = await vi.waitFor(() => rotation(caller, 'stock', '7700'), BOUND) // what the last one held is free soon behind its end
      seen.whole.rotated.push(await toldAt(setting.b, caller, 'POST', ROTATE, of('stock')))
      await asked(a, caller, 'POST', `/.narrowgate/elevations/${elevation}/release`, {})
    }
    await pipeline('completed', '7700', 'stock')
    seen.whole.rollback = await posts(caller, ROLLBACK, 'stock')
  }

  let first: Caller
  const duties = new Duties({
    carried: { method: 'GET', path: `${SECRET}?version=old` }, stream: `${SECRET}/live`, rest: '/health', before: '403 elevation_required', after: OVER, reason: 'purpose_over',
    caller: async (_setting, name) => {
      const caller = await robot(name)
      if (name === 'first') first = caller
      return caller
    },
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'watch-bot'), HOST) as Headers }, path: '/health/live' }),
    give: async ({ a }, caller, name) => {
      if (name === 'first') seen.early = [await asks(caller, 'rotate'), await asks(caller, 'old-secret')]
      await pipeline('running')
      return elevatedAt(a, caller, ask('old-secret', 'orders', RUN))
    },
    end: () => pipeline('cancelled'),
    revive: async () => {
      await halfDone(first)
      await pipeline('running')
      seen.second.push(await posts(first, ROTATE))
      await vi.waitFor(() => rotation(first), BOUND) // likewise
      seen.second.push(await posts(first, ROTATE))
    },
  })

  beforeAll(async () => {
    setting = await raise('s21.yaml', { adapt: useSecrets })
    setting.a.upstream.plays.set(ROTATE, '/ok').set(ROLLBACK, '/ok').set('/health', '/ok')
    await whole()
    await duties.play(setting, rotatesOnce)
  }, 60_000)
  afterAll(() => setting.stop())

  const own = (): readonly Line[] => duties.lines.filter(({ session }) => session === duties.session)
  const endOf = (elevation: string): Line | undefined => factsOf(duties.lines, duties.session).find(fact => fact['what'] === 'elevation.ended' && fact['elevation'] === elevation)
  const carriedBy = (path: string): readonly Line[] => own().filter(line => line['kind'] === 'exchange.opened' && line['path'] === path)

  test('[S21.a] the robot rotates during its run: not before the pipeline told of it, and not without asking', () => {
    expect([seen.early, seen.rotated]).toEqual([['403 purpose_mismatch', '403 purpose_mismatch'], [both('403 elevation_required'), ['200']]])
    expect(seen.passed.slice(1)).toEqual([JSON.stringify(of('orders'))])
    expect(carriedBy(ROTATE)).toMatchObject([{ elevation: { id: seen.rotation, profile: 'rotate' }, purposes: { run: RUN }, bodyDigest: expect.stringMatching(/^[\w-]{43}$/) }])
  })

  test('[S21.b] it reads the old secret meanwhile', () => expect(seen.old).toEqual(both('200')))

  test('[S21.c] the run is cancelled: any secret is refused from then on, what is open is cut', () => {
    expect(seen.cancelled).toEqual(Array.from({ length: 3 }, () => both(OVER)))
    expect(duties.after).toEqual(both(OVER))
    expect(duties.cutAfter).toBeLessThan(BOUND)
  })

  test('[S21.d] it rotates no second time: in its run, behind the cancellation, by another robot, and not where the run goes on after all and it asks again', () => {
    expect(seen.second).toEqual([both(LIMIT), both(OVER), both(OVER), both(LIMIT)])
    expect(seen.robots).toEqual(['403 resource_held', '403 elevation_required', '403 elevation_required', '403 resource_held'])
    expect(cameTo(ROTATE)).toHaveLength(2) // the other one is another run's
  })

  test('[S21.e] a database that is not in the run is refused: at the ask, as the pipeline said what the run is about, and in the body', () => {
    expect(seen.asksOther).toEqual(['403 ticket_changed', '403 ticket_changed', '403 not_eligible', '403 purpose_mismatch'])
    expect(seen.others).toEqual([...Array.from({ length: 3 }, () => both('403 condition_false')), both('403 condition_error'), both('403 condition_false'), both('400 bad_request')])
  })

  test('[S21.f] one rollback passes behind the cancellation, under a grant of its own of two minutes, for the same database', () => {
    expect(seen.rollback).toEqual(['403 condition_false', '403 condition_false', ['200', LIMIT, LIMIT].join(', '), LIMIT, LIMIT])
    expect(Date.parse(String(seen.follows['until'])) - Date.parse(String(seen.follows['since']))).toBe(TWO_MINUTES)
    expect(carriedBy(ROLLBACK)).toMatchObject([{ grant: seen.follows['id'], elevation: { profile: 'rollback' }, purposes: { run: RUN } }])
    expect(cameTo(ROLLBACK)).toEqual([JSON.stringify(of('orders'))])
    expect(seen.afterwards).toEqual([OVER, OVER, '403 not_eligible'])
  })

  test('[S21.g] what was half done is flagged, with what was given to put it in order; what its robot gave back is not', () => {
    expect(endOf(seen.rotation)).toMatchObject({ reason: 'purpose_over', unfinished: true })
    expect(endOf(duties.elevation)).toMatchObject({ reason: 'purpose_over', unfinished: false })
    const given = factsOf(duties.lines, duties.session).filter(({ what }) => what === 'elevation.requested').map(({ elevation }) => elevation as Line)
    expect(given.filter(({ follows }) => follows !== null)).toMatchObject([{ id: seen.follows['id'], follows: seen.rotation, for: TWO_MINUTES, limits: { uses: 1 } }])
    expect([seen.whole.rotated, seen.whole.rollback]).toEqual([['200', LIMIT], both('403 elevation_required')])
    const ends = factsOf(duties.lines, seen.whole.session).filter(({ what }) => what === 'elevation.ended')
    expect(ends.map(({ reason, unfinished }) => [reason, unfinished])).toEqual([['released', false], ['released', false]])
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S21.h', risk: 'S21.i', digest: 'S21.j', life: 'S21.k', exchanges: 'S21.l', verify: 'S21.m', replay: 'S21.n', reconnect: 'S21.o', revive: 'S21.p', across: 'S21.q', upstream: 'S21.s', shared: 'S21.t',
  })) test(`[${id}] ${says}`, prove)

  test('[S21.r] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
