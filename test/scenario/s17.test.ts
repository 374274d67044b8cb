// S17: a session that was delegated for an hour reads personal data: five minutes are left, and nothing goes out any more; and the session that it was delegated from is
// revoked. The story is played once on each setting; each clause is asserted on what was seen of it. What the minutes do by themselves: s17-calendar.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { TestGateway } from '../support/gateway.ts'
import { until } from '../wire/support.ts'
import { BROKERED_SETTINGS, ENGINE, factsOf, opened, paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, elevatedAt, sessionAt, type Setting, through } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { bearer, type Line, loadsAsItStands, OpenStream, tokenFor, word } from './stage.ts'

const DATA = 'customers.internal'
const EGRESS = 'egress.internal'
const PII = '/pii/customers/7'
const REPORT = '/reports/weekly'
const OUTBOX = '/reports/outbox'
const CATALOG = '/catalog/live'
const EXPORT = '/exports/u'
const RUN = 'U'
const MINUTE = 60_000
const HOUR = 60 * MINUTE
const TAINTED = '403 tainted'
/** By its parent, until its own end is written. */
const REVOKED = ['401 parent_ended', '401 credential_revoked']

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s17.yaml'))

describe.each(BROKERED_SETTINGS)('S17 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    lives: [] as number[], ofAnother: [] as readonly string[], before: [] as (readonly string[])[], read: '', left: [] as number[], again: [] as (readonly string[])[], leftAgain: [] as number[], egress: { cutAfter: 0, behind: [] as readonly number[], aborted: false }, kept: [] as boolean[],
    tainted: [] as (readonly string[])[], below: [] as (readonly string[])[], others: [] as (readonly string[])[], delegated: '', from: '', other: '', exchange: '',
    revoked: { cutAfter: [] as number[], behind: [] as number[], kept: false, after: [] as (readonly string[])[], own: [] as readonly string[], beside: [] as readonly string[], sessions: [] as string[], dispatched: -1 },
  }

  type Held = { readonly session: string; readonly to: (host: string) => Caller }
  const held = (session: string, token: string): Held => ({ session, to: host => ({ leaf: null, headers: bearer(token, { host }) }) })

  async function pipeline(): Promise<Held> {
    const token = await tokenFor(setting.a.issuer, 'nightly')
    return held(await sessionAt(setting.a, { leaf: null, headers: bearer(token, { host: DATA }) }), token)
  }

  /** A worker to whom the orchestrator hands on what that session may do. */
  async function worker(name: string, { session: parent }: Pick<Held, 'session'>, more: Line = {}): Promise<Held> {
    const { token, session, endsAt } = await opened(setting.a, { subject: { kind: 'service', subject: name, tenant: 'acme' }, parent, purpose: { run: RUN }, ...more })
    seen.lives.push(endsAt - Date.now())
    return held(session, token)
  }

  const reads = (who: Held): Promise<readonly string[]> => through(setting, who.to(DATA), 'GET', PII)
  const looks = (who: Held): Promise<readonly string[]> => through(setting, who.to(DATA), 'GET', '/catalog/list')
  const sends = (who: Held): Promise<readonly string[]> => through(setting, who.to(EGRESS), 'POST', REPORT, { rows: 1 })
  /** Milliseconds that its session has left, as each gateway tells it. */
  const leftTo = (who: Held): Promise<number[]> => Promise.all([setting.a, setting.b].map(async gate => Date.parse(String((await asked(gate, who.to(DATA), 'GET', '/.narrowgate/session')).json['endsAt'])) - Date.now()))
  const open = (gate: TestGateway, who: Held, path: string, host = DATA): Promise<OpenStream> => OpenStream.open(gate, path, who.to(host).headers)

  /** What it sends out is open on B, and so is what somebody else does, when it reads personal data through A. */
  async function theDataIsRead(): Promise<void> {
    const [parent, { a, b }] = [await pipeline(), setting]
    const [own, other] = [await worker('w-1', parent), await worker('w-2', parent)]
    Object.assign(seen, { delegated: own.session, from: parent.session, other: other.session })
    seen.before = [await sends(own), await sends(other), await looks(own)]
    const [out, beside, catalog] = [await open(b, own, OUTBOX, EGRESS), await open(b, other, OUTBOX, EGRESS), await open(b, own, CATALOG)]
    const stop = paced(a, 'outbox', 'catalog')
    await Promise.all([out, beside, catalog].map(stream => until(() => timesIn(stream.text).length > 3, 'all to be under way')))
    const { status } = await asked(a, own.to(DATA), 'GET', PII)
    const at = performance.now()
    await out.cut().catch(() => null) // by a reset, or at an event's end
    const cutAfter = performance.now() - at
    const goOn = (stream: OpenStream): boolean => timesIn(stream.text).some(time => time > at + 50)
    await until(() => goOn(beside) && goOn(catalog), 'what was written since')
    stop()
    const sent = a.upstream.requests.find(({ path }) => path === OUTBOX)
    await until(() => (sent?.abortedAt ?? 0) > 0, 'the upstream to see the end')
    Object.assign(seen, { read: String(status), egress: { cutAfter, behind: timesIn(out.text).filter(time => time > at), aborted: true }, kept: [goOn(beside), goOn(catalog)] })
    for (const { client } of [beside, catalog]) client.close()
    seen.left = await leftTo(own)
    const requests = a.upstream.requests.length
    seen.tainted = [await sends(own), await through(setting, own.to(EGRESS), 'GET', OUTBOX)]
    expect(a.upstream.requests).toHaveLength(requests)
    seen.again = [await reads(own), await looks(own)]
    seen.leftAgain = await leftTo(own)
    seen.below = [await sends(await worker('w-1-1', own))]
    seen.others = [await sends(other), await sends(parent)]
  }

  /** Work of a worker is handed on once more; then A hears that the pipeline's own session is revoked. */
  async function theParentIsRevoked(): Promise<void> {
    const [parent, stranger, { a, b }] = [await pipeline(), await pipeline(), setting]
    const own = await worker('w-3', parent)
    const below = await worker('w-3-1', own)
    const beside = await worker('w-4', stranger)
    const workers = [own, below]
    const streams = await Promise.all(workers.map(who => open(b, who, CATALOG)))
    const kept = await open(b, beside, CATALOG)
    const stop = paced(a, 'catalog')
    await Promise.all([...streams, kept].map(stream => until(() => timesIn(stream.text).length > 3, 'all to be under way')))
    await word(a, `/v1/sessions/${parent.session}/terminate`)
    const at = performance.now()
    const requests = a.upstream.requests.length
    const after = [await looks(own), await reads(own), await looks(below), await sends(below), await through(setting, own.to(DATA), 'GET', CATALOG)]
    const dispatched = a.upstream.requests.length - requests
    await Promise.all(streams.map(stream => stream.cut().catch(() => null)))
    const cutAfter = performance.now() - at
    await until(() => timesIn(kept.text).some(time => time > at + 50), 'what was written for the others since')
    stop()
    kept.client.close()
    const behind = streams.flatMap(({ text }) => timesIn(text)).filter(time => time > at)
    const lock = (await word(a, '/v1/locks', { selector: { session: own.session } })).json['lock'] as Line // the contract's shape
    await word(a, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
    after.push(await looks(own), await looks(below))
    Object.assign(seen.revoked, { cutAfter: [cutAfter], behind, kept: true, after, own: await looks(parent), beside: await looks(beside), sessions: [parent.session, own.session, below.session], dispatched })
  }

  const duties = new Duties({
    carried: { method: 'POST', path: `${EXPORT}?format=csv`, body: { customers: 3 } }, stream: `${EXPORT}/live`, rest: '/catalog/list', before: '403 elevation_required', after: '403 purpose_over', reason: 'purpose_over',
    actors: [ENGINE, 'nightly', 'scheduler', 'olga'],
    caller: async (_setting, name) => {
      await word(setting.a, `/v1/anchors/run/${name}`, { state: 'open', tenant: 'acme' })
      return (await worker(name, await pipeline(), { purpose: { run: name } })).to(DATA)
    },
    other: async () => ({ caller: (await worker('w-9', await pipeline())).to(DATA), path: '/catalog/beside' }),
    give: async ({ a }, caller, name) => elevatedAt(a, caller, { profile: 'export', purpose: { run: name } }),
    end: ({ a }) => word(a, '/v1/anchors/run/first', { state: 'ended', tenant: 'acme' }),
    revive: ({ a }) => word(a, '/v1/anchors/run/first', { state: 'open', tenant: 'acme' }),
  })

  beforeAll(async () => {
    setting = await raise('s17.yaml')
    setting.a.upstream.plays.set(PII, '/ok').set(REPORT, '/ok').set('/catalog/list', '/ok').set(CATALOG, '/sse/catalog').set(OUTBOX, '/sse/outbox')
    await theDataIsRead()
    await theParentIsRevoked()
    await duties.play(setting, async caller => { seen.ofAnother = await through(setting, caller, 'GET', PII) })
  }, 60_000)
  afterAll(() => setting.stop())

  const factsTold = (session: string, what: string): readonly Line[] => factsOf(duties.lines, session).filter(fact => fact['what'] === what)

  test('[S17.a] the read goes through, and leaves five minutes of an hour and a taint, on both gateways; reading again gives no more', () => {
    expect([seen.read, ...seen.again, seen.ofAnother]).toEqual(['200', both('200'), both('200'), both('200')])
    for (const life of seen.lives.slice(0, 2)) expect(Math.abs(life - HOUR)).toBeLessThan(MINUTE)
    for (const left of seen.left) {
      expect(left).toBeGreaterThan(4 * MINUTE)
      expect(left).toBeLessThanOrEqual(5 * MINUTE)
    }
    for (const [i, left] of seen.leftAgain.entries()) expect(left).toBeLessThanOrEqual(seen.left[i] ?? 0)
    expect([setting.a, setting.b].map(({ parts: { mirror } }) => mirror.byId(seen.delegated)?.record.taints.map(({ name }) => name))).toEqual([['pii'], ['pii']])
  })

  test('[S17.f] nothing goes out any more: what is open is cut with no byte behind the answer, what comes is refused on both gateways, also of those it hands work on to; of nobody else', () => {
    expect(seen.before).toEqual([both('200'), both('200'), both('200')])
    expect([seen.egress.behind, seen.egress.aborted, seen.kept]).toEqual([[], true, [true, true]])
    expect(seen.egress.cutAfter).toBeLessThan(BOUND)
    expect([...seen.tainted, ...seen.below]).toEqual([both(TAINTED), both(TAINTED), both(TAINTED)])
    expect(seen.others).toEqual([both('200'), both('200')])
  })

  test('[S17.c] the pipeline\'s session is revoked: its workers, and those of its workers, are refused at once on both gateways, and what they have open is cut; others go on', () => {
    const { cutAfter, behind, kept, after, own, beside, dispatched } = seen.revoked
    expect([behind, kept, own, beside, dispatched]).toEqual([[], true, both('401 credential_revoked'), both('200'), 0])
    for (const told of after.flat()) expect(REVOKED).toContain(told)
    for (const each of cutAfter) expect(each).toBeLessThan(BOUND)
  })

  test('[S17.g] the log has the end it was given, and the one that the read left it', () => {
    const [born] = factsTold(seen.delegated, 'session.opened')
    const shortened = factsTold(seen.delegated, 'session.shortened')
    expect(shortened).toMatchObject([{ by: 'aftereffect', note: 'customers#1' }])
    expect(Math.abs(Number(born?.['endsAt']) - Number(born?.['at']) - HOUR)).toBeLessThan(MINUTE)
    expect(Math.abs(Number(shortened[0]?.['endsAt']) - Number(shortened[0]?.['at']) - 5 * MINUTE)).toBeLessThan(MINUTE / 2)
    expect(factsTold(seen.other, 'session.shortened')).toEqual([])
  })

  test('[S17.h] the log names the source of the taint: the rule, and the very request that read', () => {
    const [told, ...more] = factsTold(seen.delegated, 'session.tainted')
    expect(more).toEqual([])
    const taint = told?.['taint'] as Line // such a fact has one
    expect(taint).toMatchObject({ name: 'pii', rule: 'customers#1' })
    const source = duties.lines.filter(({ kind, exchange }) => kind === 'exchange.opened' && exchange === taint['exchange'])
    expect(source).toMatchObject([{ session: seen.delegated, path: PII, route: 'customers', gateway: setting.a.parts.gateway }])
    const refused = duties.lines.filter(({ kind, session, reason }) => kind === 'request.refused' && session === seen.delegated && reason === 'tainted')
    expect(new Set(refused.map(({ route }) => route))).toEqual(new Set(['egress']))
    expect(duties.lines.filter(({ kind, session, reason }) => kind === 'exchange.cut' && session === seen.delegated && reason === 'tainted')).toHaveLength(1)
  })

  test('[S17.i] the log has the chain: from which session each was delegated, and who acts for whom, in every record', () => {
    const [, own = '', below = ''] = seen.revoked.sessions
    const parentOf = (session: string): unknown => {
      const [born = {}] = factsTold(session, 'session.opened')
      return ((born['brokered'] as Line)['parent'] as Line)['id'] // of delegated ones
    }
    expect([parentOf(seen.delegated), parentOf(own), parentOf(below)]).toEqual([seen.from, seen.revoked.sessions[0], own])
    const chainOf = (session: string): readonly unknown[] => [...new Set(duties.lines.flatMap(line => (line['session'] === session && line['actors'] !== undefined ? [(line['actors'] as readonly string[]).map(actor => actor.split('|')[1]).join(' ')] : [])))]
    expect([chainOf(seen.delegated), chainOf(below)]).toEqual([[`${ENGINE} nightly scheduler olga`], [`${ENGINE} w-3 ${ENGINE} nightly scheduler olga`]])
    const ends = seen.revoked.sessions.map(session => factsTold(session, 'session.revoked').map(({ reason }) => reason))
    expect(ends).toEqual([['revoked'], ['parent_ended'], ['parent_ended']])
  })

  test('[S17.p, S17.q, S17.r] behind the revocation the same tokens are refused, reconnecting is, and a lock that is lifted revives nothing', () => {
    expect(seen.revoked.after).toHaveLength(7)
    for (const told of seen.revoked.after.flat()) expect(REVOKED).toContain(told)
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S17.j', risk: 'S17.k', digest: 'S17.l', life: 'S17.m', exchanges: 'S17.n', verify: 'S17.o', replay: 'S17.p', reconnect: 'S17.q', revive: 'S17.r', across: 'S17.s', upstream: 'S17.u', shared: 'S17.v',
  })) test(`[${id}] ${says}`, prove)

  test('[S17.t] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
