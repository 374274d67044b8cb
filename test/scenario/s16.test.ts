// S16: a known host asks for unfamiliar tenants at volume, through A: from 50 on it is kept to its own tenant, with the feed of another one open on B, from 80 on nothing of
// it passes. Each story is played once on each setting; each clause is asserted on what was seen of it.
import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { sha256 } from '../../src/runtime/id.ts'
import type { TestGateway } from '../support/gateway.ts'
import { request } from '../support/raw-client.ts'
import { ClientAuthority, type Leaf, svidLeaf } from '../support/tls.ts'
import { until } from '../wire/support.ts'
import { paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, connect, driftsKept, elevatedAt, on, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { bearer, factsIn, type Line, loadsAsItStands, outcome, tokenFor, word } from './stage.ts'

const SYNC = 'spiffe://mesh.example/ns/sync/sa/svc-sync'
const OTHER = 'spiffe://mesh.example/ns/web/sa/shop'
const HOST = { host: 'records.internal' }
const OWN = '/t1/records/list'
const LIVE = '/t1/records/live'
const FEED = '/t2/feed'
const BULK = '/t1/bulk/all'
const IMPORT = '/t1/imports/7'
const STRANGERS = ['t2', 't3', 't4', 't5', 't6', 't7', 't8', 't9'] as const
const [NARROWED, HELD] = ['own-tenant', 'held'] as const
const REFUSED = '403 condition_false'
const KEPT = '403 binding_broken'
const FROZEN = '403 frozen'
const TOO_MANY = 429
/** Of 200 a second, one for each of the eight. */
const PACE = 40
const TURNS_MAX = 400
/** At once, and one more in each second; each further gateway may let a tenth more pass. */
const BURST = 10

const byText = (a: unknown, b: unknown): number => (String(a) < String(b) ? -1 : 1)

let mesh: ClientAuthority
let leaf: Leaf
let rotated: Leaf
let shop: Leaf
beforeAll(async () => {
  mesh = await ClientAuthority.create('Mesh')
  ;[leaf, rotated, shop] = [await issue(SYNC), await issue(SYNC), await issue(OTHER)]
})
const issue = (id: string): Promise<Leaf> => mesh.issue({ subject: '/O=Acme', extensions: svidLeaf(id) })

/** svc-sync of t1, by a token that is bound to the certificate; or somebody else of that tenant. */
const syncOf = async ({ a }: Setting, sid: string, { by = leaf, subject = 'svc-sync', client = 'eu' } = {}): Promise<Caller> =>
  ({ leaf: by, headers: bearer(await tokenFor(a.issuer, subject, { sid, org: 't1', client_id: client, cnf: { 'x5t#S256': sha256(by.der) } }), HOST) })

const levelAt = ({ parts: { mirror, clock } }: TestGateway, session: string): string | null => {
  const live = mirror.byId(session)
  return live === null ? null : (mirror.effective(live, clock.now()).level?.name ?? null)
}

/** 200 a second to the eight tenants through A, until the level is in force on both gateways. */
async function storm({ a, b }: Setting, caller: Caller, session: string, level: string): Promise<void> {
  const clients = await Promise.all(STRANGERS.map(() => connect(a, caller)))
  let turn = 0
  try {
    while (levelAt(a, session) !== level || levelAt(b, session) !== level) {
      if (++turn > TURNS_MAX) throw new Error(`${level} was not reached by ${turn * STRANGERS.length} requests`)
      const next = pause(PACE)
      for (const [i, client] of clients.entries()) expect((await on(client, caller, 'GET', `/${STRANGERS[i]}/records/list`)).status).toBe(403)
      await next
    }
  } finally {
    for (const client of clients) client.close()
  }
}

/** An operator on A takes what was added away from whoever has the session. */
const cleared = ({ a }: Setting, session: string): Promise<unknown> => word(a, `/v1/principals/${a.parts.mirror.byId(session)?.principal.name}/clear`, { risk: true })

/** The levels that were reached, as the log has them. */
const risesIn = (lines: readonly Line[]): readonly Line[] => {
  const marks = factsIn(lines, 'anchor.told').map(({ matter }) => (matter as Line)['level'] as Line | null) // of a principal
  return marks.filter((mark, i): mark is Line => mark !== null && mark !== undefined && marks.findIndex(other => other?.['name'] === mark['name']) === i)
}

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s16.yaml'))

describe.each(SETTINGS)('S16 %s', (_, raise) => {
  let setting: Setting
  let lines: readonly Line[] = []
  const seen = {
    session: '', rotated: '', passed: [] as (readonly string[])[], unproven: [] as (readonly string[])[], refused: [] as (readonly string[])[], feed: [] as (readonly string[])[], asks: [] as string[],
    bulk: { passed: 0, limited: 0, retryAfter: [] as number[], own: [] as readonly string[], took: 0 },
    narrowed: { behind: [] as number[], cutAfter: 0, aborted: false, own: false, other: false, told: [] as (readonly string[])[] },
    held: { behind: [] as number[], states: [] as string[], other: false, told: [] as (readonly string[])[], fresh: [] as readonly string[], others: [] as readonly string[], dispatched: -1 },
    after: { own: [] as readonly string[], says: false, refused: [] as (readonly string[])[] },
  }

  const gets = (caller: Caller, path: string): Promise<readonly string[]> => through(setting, caller, 'GET', path)
  const strangers = async (caller: Caller): Promise<(readonly string[])[]> => [await gets(caller, '/t2/records/list'), await gets(caller, '/t9/records/list')]

  async function itsOwn(sync: Caller): Promise<void> {
    seen.session = await sessionAt(setting.a, sync)
    seen.passed.push(await gets(sync, OWN))
    seen.unproven = [await gets({ ...sync, leaf: null }, OWN), await gets({ ...sync, leaf: shop }, OWN), await gets(await syncOf(setting, 'eu-1', { by: shop }), OWN)]
    await driftsKept(setting.a, seen.session, 1)
    const renewed = await syncOf(setting, 'eu-1', { by: rotated })
    seen.passed.push(await gets(renewed, OWN))
    seen.rotated = await sessionAt(setting.b, renewed)
    seen.refused = await strangers(sync)
    seen.asks.push(outcome(await asked(setting.a, sync, 'POST', '/.narrowgate/elevations', { profile: 'feed', params: { tenant: 't3' } })))
    await elevatedAt(setting.a, sync, { profile: 'feed', params: { tenant: 't2' } })
    seen.feed = [await gets(sync, FEED), await gets(sync, '/t3/feed')]
  }

  /** Twice the burst at once, through each gateway. */
  async function bulk(sync: Caller): Promise<void> {
    const at = performance.now()
    for (const gate of [setting.a, setting.b]) {
      const client = await connect(gate, sync)
      for (let i = 0; i < 2 * BURST; i++) {
        await client.send(request('GET', BULK, sync.headers))
        const { status, headers, body } = await client.response()
        if (status === 200) seen.bulk.passed++
        if (status !== TOO_MANY) continue
        seen.bulk.limited++
        expect(JSON.parse(body.toString())).toMatchObject({ reason: 'rate_limited' })
        seen.bulk.retryAfter.push(Number(headers.find(([name]) => name.toLowerCase() === 'retry-after')?.[1]))
      }
      client.close()
    }
    seen.bulk.took = performance.now() - at
    seen.bulk.own = await gets(sync, OWN)
  }

  type Open = { readonly text: () => string; readonly over: () => Promise<unknown>; readonly close: () => void }
  async function open(caller: Caller, path: string): Promise<Open> {
    const client = await connect(setting.b, caller)
    await client.send(request('GET', path, caller.headers))
    expect((await client.head()).status, client.bytes().toString()).toBe(200)
    return { text: () => client.bytes().toString('latin1'), over: () => client.response().catch(() => null), close: () => client.close() } // by a reset, or at an event's end
  }
  const goesOn = ({ text }: Open, at: number): Promise<void> => until(() => timesIn(text()).some(time => time > at + 50), 'what was written since')
  const behind = ({ text }: Open, at: number): number[] => timesIn(text()).filter(time => time > at)

  async function theStorm(sync: Caller, other: Caller): Promise<void> {
    const { a } = setting
    const [feed, own, beside] = [await open(sync, FEED), await open(sync, LIVE), await open(other, LIVE)]
    const stop = paced(a, 'feed', 'live')
    await Promise.all([feed, own, beside].map(({ text }) => until(() => timesIn(text()).length > 3, 'all to be under way')))
    await narrows(sync, feed, own, beside)
    await freezes(sync, other, own, beside)
    await cleared(setting, seen.session)
    const at = performance.now()
    await goesOn(own, at)
    seen.after = { own: await gets(sync, OWN), says: true, refused: await strangers(sync) }
    stop()
    for (const stream of [own, beside]) stream.close()
  }

  async function narrows(sync: Caller, feed: Open, own: Open, beside: Open): Promise<void> {
    await storm(setting, sync, seen.session, NARROWED)
    const at = performance.now()
    await feed.over()
    const cutAfter = performance.now() - at
    await Promise.all([goesOn(own, at), goesOn(beside, at)])
    await until(() => (setting.a.upstream.requests.find(({ path, abortedAt }) => path === FEED && abortedAt > 0)?.abortedAt ?? 0) > 0, 'the upstream to see the end')
    const dispatched = setting.a.upstream.requests.length
    const told = [await gets(sync, FEED), ...(await strangers(sync))]
    expect(setting.a.upstream.requests).toHaveLength(dispatched)
    Object.assign(seen.narrowed, { behind: behind(feed, at), cutAfter, aborted: true, own: true, other: true, told: [...told, await gets(sync, OWN)] })
  }

  async function freezes(sync: Caller, other: Caller, own: Open, beside: Open): Promise<void> {
    const { a, b } = setting
    await storm(setting, sync, seen.session, HELD)
    const at = performance.now()
    await goesOn(beside, at)
    const dispatched = a.upstream.requests.length
    const told = [await gets(sync, OWN), await gets(sync, FEED), ...(await strangers(sync)), await gets(sync, LIVE)]
    const fresh = await gets(await syncOf(setting, 'eu-2'), OWN)
    Object.assign(seen.held, {
      behind: behind(own, at), states: b.parts.inflight.all().filter(({ live }) => live?.record.id === seen.session).map(({ state }) => state), other: true,
      told, fresh, dispatched: a.upstream.requests.length - dispatched, others: await gets(other, OWN),
    })
  }

  beforeAll(async () => {
    setting = await raise('s16.yaml', { clientsCaFile: mesh.cert.certFile })
    setting.a.upstream.plays.set(OWN, '/ok').set(BULK, '/ok').set(LIVE, '/sse/live')
    setting.a.upstream.plays.set(FEED, '/ok')
    const [sync, other] = [await syncOf(setting, 'eu-1'), await syncOf(setting, 'other', { subject: 'svc-report' })]
    await itsOwn(sync)
    await bulk(sync)
    setting.a.upstream.plays.set(FEED, '/sse/feed')
    await theStorm(sync, other)
    lines = await setting.trail()
  }, 60_000)
  afterAll(() => setting.stop())

  test('[S16.a] svc-sync of t1 passes from its workload, with a rotated certificate too; without one, from another workload, or with a token for that one, it does not', () => {
    expect([seen.passed, seen.rotated]).toEqual([[both('200'), both('200')], seen.session])
    expect(seen.unproven).toEqual([both('401 credential_invalid'), both('401 credential_invalid'), both('403 binding_broken')])
  })

  test('[S16.d] tenants it is not bound to are refused before the storm, narrowed, frozen and when the risk was taken back; the feed of one is open to it by what it was given, of another it is not given', () => {
    expect(seen.refused).toEqual([both(REFUSED), both(REFUSED)])
    expect([seen.feed, seen.asks]).toEqual([[both('200'), both(REFUSED)], ['403 not_eligible']])
    expect([seen.narrowed.told.slice(1, 3), seen.held.told.slice(2, 4), seen.after.refused]).toEqual([[both(KEPT), both(KEPT)], [both(FROZEN), both(FROZEN)], [both(REFUSED), both(REFUSED)]])
    expect([...new Set(setting.a.upstream.requests.map(({ path }) => path))].toSorted()).toEqual([BULK, OWN, LIVE, FEED])
  })

  test('[S16.e] bulk beyond the limit of t1 is refused with 429 and when to come again, over both gateways together; the rest of t1 is not', () => {
    const { passed, limited, retryAfter, own, took } = seen.bulk
    expect(passed).toBeGreaterThan(0)
    expect(passed).toBeLessThanOrEqual(1.2 * (BURST + took / 1_000) + 1)
    expect(limited).toBe(4 * BURST - passed)
    for (const seconds of retryAfter) expect(seconds).toBeGreaterThanOrEqual(1)
    expect(own).toEqual(both('200'))
  })

  test('[S16.b] at 50 it is kept to t1 on both gateways, by what it asks of A: what it was given of another tenant is refused, its own goes on', () => {
    expect(seen.narrowed.told).toEqual([both(KEPT), both(KEPT), both(KEPT), both('200')])
    expect([seen.narrowed.own, seen.narrowed.other]).toEqual([true, true])
  })

  test('[S16.g] the open feed of the other tenant is cut then, on B, and no byte that came later goes through it', () => {
    expect([seen.narrowed.behind, seen.narrowed.aborted]).toEqual([[], true])
    expect(seen.narrowed.cutAfter).toBeLessThan(BOUND)
    const opened = new Map(lines.filter(({ kind }) => kind === 'exchange.opened').map(({ exchange, path }) => [exchange, path]))
    const cut = lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === seen.session)
    expect(cut.map(({ exchange, reason }) => [opened.get(exchange), reason])).toEqual([[FEED, 'binding_broken']])
    for (const { latencyMs, gateway } of cut) expect([Number(latencyMs) < BOUND, gateway]).toEqual([true, setting.b.parts.gateway])
  })

  test('[S16.c, S16.f] at 80 it is frozen on both gateways: no byte passes on what is open, everything is refused, in a new session too; its connection stays, and goes on when an operator takes the risk back', () => {
    const { behind, states, told, fresh, others, other, dispatched } = seen.held
    expect([behind, states]).toEqual([[], ['frozen']])
    expect(told).toEqual(Array.from({ length: 5 }, () => both(FROZEN)))
    expect([fresh, dispatched]).toEqual([both(FROZEN), 0])
    expect([other, others]).toEqual([true, both('200')])
    expect([seen.after.says, seen.after.own]).toEqual([true, both('200')])
  })

  const whyOf = (mark: Line | undefined): Line => mark?.['why'] as Line // every mark has one

  test('[S16.h] the log has what added up: the tenants and the volume at first, the refusals later', () => {
    const [first, second] = risesIn(lines)
    const rulesOf = (mark: Line | undefined): readonly unknown[] => (whyOf(mark)['contributions'] as readonly Line[]).map(({ rule }) => rule)
    expect(rulesOf(first).toSorted(byText)).toEqual(['many-tenants', 'second-tenant', 'volume'])
    expect(rulesOf(second).toSorted(byText)).toEqual(['hammering', 'many-tenants', 'second-tenant', 'volume'])
    for (const mark of [first, second]) {
      const sum = (whyOf(mark)['contributions'] as readonly Line[]).reduce((points, { points: more }) => points + Number(more), 0)
      expect(Math.abs(sum - Number(mark?.['score']))).toBeLessThan(0.5)
    }
  })

  test('[S16.i] the log has the levels that were crossed, each once, with their thresholds, the score, whose it is and the request that crossed', () => {
    const told = factsIn(lines, 'anchor.told').filter(({ by }) => by === 'risk')
    expect(told.map(({ matter }) => ((matter as Line)['level'] as Line)['name'])).toEqual([NARROWED, HELD])
    const marks = risesIn(lines)
    expect(marks).toMatchObject([{ name: NARROWED, at: 50, who: `${setting.a.issuer.issuer}|svc-sync` }, { name: HELD, at: 80, who: `${setting.a.issuer.issuer}|svc-sync` }])
    for (const mark of marks) {
      expect(Number(mark['score'])).toBeGreaterThanOrEqual(Number(mark['at']))
      expect(whyOf(mark)['request']).toMatchObject({ route: 'records', rule: 'records#1', method: 'GET', path: expect.stringMatching(/^\/t[2-9]\/records\/list$/) })
    }
    const crossed = lines.filter(({ kind, risk }) => kind === 'request.refused' && Number((risk as Line | null)?.['before']) < 50 && Number((risk as Line | null)?.['after']) >= 50)
    expect(crossed).toMatchObject([{ session: seen.session, risk: { level: NARROWED }, reason: 'binding_broken' }])
  })

  test('[S16.j] the log lists the tenants: its own, and the eight that it asked for', () => {
    for (const mark of risesIn(lines)) expect((whyOf(mark)['tenants'] as readonly string[]).toSorted(byText)).toEqual(['t1', ...STRANGERS])
  })
})

describe.each(SETTINGS)('S16, what it was given ends with the level, %s', (_, raise) => {
  let setting: Setting
  let sync: Caller
  let session = ''

  const duties = new Duties({
    carried: { method: 'POST', path: `${IMPORT}?mode=all`, body: { records: 3 } }, stream: `${IMPORT}/live`, rest: OWN, before: '403 elevation_required', after: '403 elevation_required', reason: 'risk', tenant: 't1',
    async caller(_setting, name) {
      sync = await syncOf(setting, name)
      return sync
    },
    other: async () => ({ caller: await syncOf(setting, 'other', { subject: 'svc-report' }), path: '/t1/records/beside' }),
    async give({ a }, caller) {
      session = await sessionAt(a, caller)
      return elevatedAt(a, caller, { profile: 'import' })
    },
    end: () => storm(setting, sync, session, NARROWED),
    revive: () => cleared(setting, session),
  })

  beforeAll(async () => {
    setting = await raise('s16.yaml', { clientsCaFile: mesh.cert.certFile })
    setting.a.upstream.plays.set(OWN, '/ok')
    await duties.play(setting)
  }, 60_000)
  afterAll(() => setting.stop())

  for (const [id, says, prove] of duties.clauses({
    whole: 'S16.k', risk: 'S16.l', digest: 'S16.m', life: 'S16.n', exchanges: 'S16.o', verify: 'S16.p', replay: 'S16.q', reconnect: 'S16.r', revive: 'S16.s', across: 'S16.t', upstream: 'S16.v', shared: 'S16.w',
  })) test(`[${id}] ${says}`, prove)

  test('[S16.b] what it may do at rest in its own tenant goes on all the while', () => expect(duties.rest).toEqual(both('200')))
  test('[S16.u] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
