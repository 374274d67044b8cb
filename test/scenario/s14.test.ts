// S14: somebody holds a valid credential of the web app `shop` and goes deeper: configuration, keys, an upload. The risk goes from 20 to 85; from there on all but
// reading at rest needs somebody's word, who says no. Then an operator locks out what that key signed, and the issuer. Played once on each setting.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/redis-server.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import type { CallerStream } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { factsOf, paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, elevatedAt, keySetOf, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { asHolder } from './operators.ts'
import { SharedConnection } from './shared-connection.ts'
import { APPROVER, bearer, factsIn, type Line, loadsAsItStands, OpenStream, tokenFor, word } from './stage.ts'

const SHOP = 'https://login.shop.example'
const LEAKED = 'key-1'
const [CATALOG, STOCK, CART, ORDERS] = ['/catalog/list', '/stock/shoes', '/carts/c-7', '/orders']
const NORMAL = [['GET', CATALOG], ['GET', STOCK], ['GET', CART], ['POST', ORDERS], ['POST', '/uploads/shoe.png']] as const
const [CONFIG, KEYS, UPLOAD] = ['/internal/config', '/admin/keys', '/uploads/shell.png']
const [WATCHED, PHOTO, HERS] = ['/stock/live', '/uploads/large.png', '/uploads/hers.png']
const UNKNOWN = [['GET', '/internal/debug'], ['POST', '/admin/users'], ['GET', ORDERS], ['DELETE', CART], ['POST', '/catalog/list']] as const
const ORDER = { item: 'shoe' }
const STEP_UP = '401 step_up_required'
const REVOKED = both('401 credential_revoked')
const LOCKED = both('403 locked')
const NOT_ELEVATED = '403 elevation_required'
const EXPORT = { profile: 'export' }
const FOUND = 'the key was found in a dump'

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s14.yaml'))

describe.each(SETTINGS)('S14 %s', (_, raise) => {
  let setting: Setting
  let shop: TokenIssuer
  let partners: TokenIssuer
  const seen = {
    normal: [] as string[], unknown: [] as (readonly string[])[], nowhere: [] as readonly string[], session: '',
    before: '', steps: [] as string[], enforcedAfter: 0, reads: [] as (readonly string[])[], rest: [] as (readonly string[])[], elsewhere: [] as (readonly string[])[], kept: false, passedOn: [] as readonly number[],
    challenge: {} as Line, shown: [] as (string | number)[],
    denied: 0, cutAfter: 0, behind: [] as readonly number[], aborted: false, after: [] as (readonly string[])[], others: [] as readonly boolean[],
    locks: { before: [] as (readonly string[])[], kid: [] as (readonly string[])[], issuer: [] as (readonly string[])[], lifted: [] as (readonly string[])[], set: [] as Line[] },
  }

  const tokenOf = (name: string, issuer = shop): Promise<string> => tokenFor(issuer, name, { sid: `${name}-1` })
  const as = (token: string): Caller => ({ leaf: null, headers: bearer(token, { host: 'shop.internal' }) })
  const app = async (name: string, issuer = shop): Promise<Caller> => as(await tokenOf(name, issuer))
  const buys = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'POST', ORDERS, ORDER)
  const reads = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'GET', CATALOG)
  const severeAt = async (gate: Setting['a'], subject: string): Promise<Line | null> =>
    ((await gate.admin('GET', `/v1/principals?level=severe&subject=${subject}`)).json['principals'] as readonly Line[])[0] ?? null // the contract's shape

  /** An operator's word on B takes the points and the level back, everywhere. */
  async function trusted(subject: string): Promise<void> {
    const { a, b } = setting
    await word(b, `/v1/principals/${String((await severeAt(b, subject))?.['id'])}/clear`, { risk: true })
    for (const gate of [a, b]) await eventually('the level is gone', 10_000, async () => ((await severeAt(gate, subject)) === null ? true : null))
  }

  /** Until what it uses is known to be what it uses. */
  async function asEveryDay(caller: Caller): Promise<string[]> {
    const says: string[] = []
    for (let i = 0; i < 4; i++) for (const [method, path] of NORMAL) says.push(await told(setting.a, caller, method, path, method === 'POST' ? ORDER : null))
    return says
  }

  async function deeper(caller: Caller): Promise<string[]> {
    return [await told(setting.a, caller, 'GET', CONFIG), await told(setting.a, caller, 'GET', KEYS), await told(setting.a, caller, 'POST', UPLOAD, { image: 'none' })]
  }

  /** An upload that goes on, a piece with its time every few milliseconds. */
  function uploads(stream: CallerStream): () => void {
    const pace = setInterval(() => { if (stream.raw.writable) stream.raw.write(`at ${performance.now()} .`) }, 5)
    return () => clearInterval(pace)
  }

  const gotOf = (path: string): string => setting.a.upstream.requests.find(request => request.path === path)?.body().toString() ?? ''

  /** What it is asked for; nothing that the workload has, or gets anew, is that. @param renew gives a token signed behind the question  @returns the question */
  async function theChallenge(caller: Caller, renew: () => Promise<string>): Promise<string> {
    const { a, b } = setting
    const { status, json } = await asked(b, caller, 'POST', ORDERS, ORDER)
    seen.challenge = { status, ...json }
    const id = String((json['step_up'] as Line)['id']) // the contract's shape
    const token = await renew()
    const { status: revalidated } = await asked(a, as(token), 'POST', '/.narrowgate/session/revalidate')
    const { status: itself } = await asHolder(a, token, `/v1/step-ups/${id}/approve`)
    seen.shown = [revalidated, itself, ...(await buys(as(token)))]
    return id
  }

  /** An upload stands open on B, and stock is watched there, when A sees the sequence; then somebody on call says no. */
  async function theFoothold(token: string, neighbour: Caller): Promise<void> {
    const [{ a, b }, caller] = [setting, as(token)]
    const [shared, watching, beside] = [await SharedConnection.to(b), await OpenStream.open(b, WATCHED, caller.headers), await OpenStream.open(b, WATCHED, neighbour.headers)]
    const [photo, hers, onTheSame] = [shared.stream('POST', PHOTO, caller.headers), shared.stream('POST', HERS, neighbour.headers), await shared.open(WATCHED, neighbour.headers)]
    const stops = [uploads(photo), uploads(hers), paced(a, 'stock')]
    const others = [() => beside.text, () => onTheSame.body, () => gotOf(HERS)]
    const all = [() => watching.text, ...others]
    const goOn = (behind: number) => (text: () => string): boolean => timesIn(text()).some(time => time > behind + 50)
    await Promise.all([() => gotOf(PHOTO), ...all].map(text => until(() => timesIn(text()).length > 3, 'all to be under way')))
    seen.before = await told(a, caller, 'POST', ORDERS, ORDER)
    seen.steps = await deeper(caller)
    const risen = performance.now()
    await eventually('the level stands on B', BOUND, () => severeAt(b, 'web'))
    const at = performance.now()
    seen.enforcedAfter = at - risen
    seen.reads = [await reads(caller), await through(setting, caller, 'GET', CART)]
    seen.rest = [await buys(caller), await through(setting, caller, 'POST', UPLOAD, ORDER)]
    const another = as(await tokenFor(shop, 'web'))
    seen.elsewhere = [await buys(another), await reads(another)]
    let renewed = ''
    const question = await theChallenge(caller, async () => (renewed = await tokenOf('web')))
    await until(() => all.every(goOn(at)), 'what was written for the others since')
    Object.assign(seen, { kept: goOn(at)(() => watching.text), passedOn: timesIn(gotOf(PHOTO)).filter(time => time > at) })
    seen.denied = (await asHolder(a, APPROVER, `/v1/step-ups/${question}/deny`)).status
    const no = performance.now()
    await Promise.all([photo.over(), watching.cut().catch(() => null)]) // by a reset, or at an event's end
    const over = performance.now()
    await until(() => others.every(goOn(over)), 'what was written for the others since')
    for (const stop of stops) stop()
    await until(() => (a.upstream.requests.find(({ path }) => path === PHOTO)?.abortedAt ?? 0) > 0, 'the upstream to see the end')
    Object.assign(seen, { cutAfter: over - no, behind: [...timesIn(gotOf(PHOTO)).filter(time => time > at), ...timesIn(watching.text).filter(time => time > no)], aborted: true })
    hers.raw.end()
    await hers.over()
    seen.others = [...others.map(goOn(over)), shared.isUp, hers.status === 200]
    beside.client.close()
    shared.close()
    seen.after = [await reads(caller), await buys(caller), await through(setting, caller, 'GET', WATCHED), await reads(as(renewed))]
  }

  /** Whoever investigates: what that key signed, then all of its issuer; and what it is worth when that is lifted. @param unseen signed by that key too, and not shown before */
  async function theClassIsLocked(token: string, leaked: Caller, unseen: Caller, neighbour: Caller): Promise<void> {
    const { a, b } = setting
    const [partner, open] = [await app('warehouse', partners), await OpenStream.open(b, WATCHED, leaked.headers)]
    const set = async (selector: Line): Promise<void> => void seen.locks.set.push((await word(a, '/v1/locks', { selector, reason: FOUND })).json)
    seen.locks.before = [await reads(leaked), await reads(neighbour), await reads(partner)]
    await set({ keyId: `${SHOP}|${LEAKED}` })
    await open.cut().catch(() => null)
    seen.locks.kid = [await reads(leaked), await reads(unseen), await through(setting, leaked, 'GET', WATCHED), await reads(neighbour), await reads(partner)]
    await set({ issuer: SHOP })
    seen.locks.issuer = [await reads(leaked), await reads(neighbour), await reads(await app('new')), await reads(partner)]
    for (const { lock } of seen.locks.set) await word(b, `/v1/locks/${String((lock as Line)['id'])}`, {}, 'DELETE') // the contract's shape
    await trusted('web')
    seen.locks.lifted = [await reads(as(token)), await buys(as(token)), await reads(leaked)]
  }

  const duties = new Duties({
    carried: { method: 'POST', path: '/exports?format=csv', body: { month: '2026-10' } }, stream: '/exports/live', rest: CATALOG, before: NOT_ELEVATED, after: NOT_ELEVATED, reason: 'risk',
    caller: async (_setting, name) => {
      const caller = await app(name)
      if (name === 'first') await asEveryDay(caller)
      return caller
    },
    other: async () => ({ caller: await app('warehouse', partners), path: WATCHED }),
    give: ({ a }, caller) => elevatedAt(a, caller, EXPORT),
    end: async ({ b }) => {
      await deeper(await app('first'))
      await eventually('the level stands on B', BOUND, () => severeAt(b, 'first'))
    },
    revive: () => trusted('first'),
  })

  beforeAll(async () => {
    ;[shop, partners] = await Promise.all([TokenIssuer.create({ issuer: SHOP }), TokenIssuer.create({ issuer: 'https://login.partners.example' })])
    const [token, leaked, unseen] = [await tokenOf('web'), await tokenOf('mobile'), await tokenOf('kiosk')]
    await shop.rotate({ keepOld: true })
    setting = await raise('s14.yaml', { keySets: { shop: keySetOf(shop), partners: keySetOf(partners) } })
    const { a } = setting
    a.upstream.plays.set(WATCHED, '/sse/stock').set(PHOTO, '/upload').set(HERS, '/upload')
    const [caller, neighbour] = [as(token), await app('desktop')]
    seen.session = await sessionAt(a, caller)
    seen.normal = await asEveryDay(caller)
    for (const [method, path] of UNKNOWN) seen.unknown.push(await through(setting, neighbour, method, path))
    seen.nowhere = await through(setting, { ...neighbour, headers: { ...neighbour.headers, host: 'vault.internal' } }, 'GET', CATALOG)
    await theFoothold(token, neighbour)
    await theClassIsLocked(token, as(leaked), as(unseen), neighbour)
    await duties.play(setting)
  }, 90_000)
  afterAll(() => setting.stop())

  const ofTheFoothold = (): readonly Line[] => duties.lines.filter(({ kind, session }) => (kind === 'exchange.opened' || kind === 'request.refused') && session === seen.session)
  /** The level that it reached, as it was told. */
  const risen = (): Line => factsIn(duties.lines, 'anchor.told').flatMap(({ matter }) => ((matter as Line | null)?.['level'] == null ? [] : [(matter as Line)['level'] as Line])).find(({ who }) => who === `${SHOP}|web`) ?? {} // one of a principal has it
  const refusals = (): readonly Line[] => ofTheFoothold().filter(({ kind }) => kind === 'request.refused')

  test('[S14.a] the five rules of the normal profile pass', () => {
    expect(seen.normal).toEqual(Array.from({ length: 20 }, () => '200'))
    expect(new Set(ofTheFoothold().filter(({ kind }) => kind === 'exchange.opened').map(({ rule }) => rule)).size).toBe(5)
  })

  test('[S14.b] config, keys and an upload are the sequence: with the first the risk is 20, with the last 85, in the records as in the level that it reached', () => {
    expect(seen.steps).toEqual(['403 denied', '403 denied', STEP_UP])
    expect(refusals().slice(0, 3).map(({ path, risk }) => [path, risk])).toEqual([
      [CONFIG, { before: 0, after: 20 }], [KEYS, { before: 20, after: 20 }], [UPLOAD, { before: 20, after: 85, level: 'severe' }],
    ])
    expect(risen()).toMatchObject({ name: 'severe', at: 80, score: 85 })
    expect(seen.enforcedAfter).toBeLessThan(BOUND)
  })

  test('[S14.c] what no rule lets through is refused by default, whoever asks, and never reaches the upstream', () => {
    expect(seen.unknown).toEqual(UNKNOWN.map(() => both('403 no_rule')))
    expect(seen.nowhere).toEqual(both('421 wrong_host'))
    const passed = new Set(setting.a.upstream.requests.map(({ method, path }) => `${method} ${path}`))
    expect([['GET', CONFIG], ['GET', KEYS], ...UNKNOWN].filter(([method, path]) => passed.has(`${method} ${path}`))).toEqual([])
  })

  test('[S14.d] at 85 all but reading at rest needs a step-up, in another session of it too, and what is open of that stands still, to the byte', () => {
    expect(seen.before).toBe('200')
    expect(seen.reads).toEqual([both('200'), both('200')])
    expect(seen.rest).toEqual([both(STEP_UP), both(STEP_UP)])
    expect(seen.elsewhere).toEqual([both(STEP_UP), both('200')])
    expect([seen.kept, seen.passedOn]).toEqual([true, []])
    expect(setting.a.upstream.requests.some(({ path }) => path === UPLOAD)).toBe(false)
  })

  test('[S14.d] the step-up is a person\'s word, which the workload cannot give: not by a credential that was signed for it, and not by its own approval', () => {
    expect(seen.challenge).toMatchObject({ status: 401, reason: 'step_up_required', step_up: { by: ['approval'], all: false } })
    expect(seen.shown).toEqual([401, 401, ...both(STEP_UP)])
  })

  test('[S14.e] somebody says no, and the session is over on A and B: what it watched and what it uploaded is cut within T', () => {
    expect(seen.denied).toBe(200)
    expect(seen.cutAfter).toBeLessThan(BOUND)
    expect([seen.aborted, seen.behind]).toEqual([true, []])
    expect(seen.after[0]).toEqual(REVOKED)
    expect(factsOf(duties.lines, seen.session).filter(({ what }) => what === 'session.revoked')).toMatchObject([{ reason: 'step_up_denied', by: 'https://login.example|ann' }])
  })

  test('[S14.f] an operator locks out what that key signed, seen before or not, then all of the issuer; other keys, then other issuers, go on', () => {
    const { before, kid, issuer, set } = seen.locks
    expect(before).toEqual([both('200'), both('200'), both('200')])
    expect(kid).toEqual([LOCKED, LOCKED, LOCKED, both('200'), both('200')])
    expect(issuer).toEqual([LOCKED, LOCKED, LOCKED, both('200')])
    expect(set).toMatchObject([{ enforced: true, exchanges: { cut: 1 } }, { enforced: true }])
    expect(duties.lines.filter(({ kind, note }) => kind === 'admin.changed' && note === FOUND).map(({ who, action, target }) => [who, action, target])).toEqual([
      ['https://login.example|olga', 'lock.set', `keyId:${SHOP}|${LEAKED}`], ['https://login.example|olga', 'lock.set', `issuer:${SHOP}`],
    ])
  })

  test('[S14.g] the log has the sequence that fired, what else had added to it, and the request that completed it', () => {
    const [, , upload] = refusals()
    expect(risen()['why']).toMatchObject({ contributions: [{ rule: 'deeper', points: 65 }, { rule: 'unusual', points: 20 }], request: { evaluation: upload?.['evaluation'], method: 'POST', path: UPLOAD, rule: 'shop#5' } })
  })

  test('[S14.h] the log has the first request that was none of its own: the first that added to its risk, when the rise says that it did', () => {
    const own = ofTheFoothold()
    const first = own.findIndex(({ risk }) => (risk as { readonly after: number }).after > 0) // as records have it
    expect(own[first]).toMatchObject({ kind: 'request.refused', session: seen.session, subject: `${SHOP}|web`, method: 'GET', path: CONFIG, rule: 'shop#8', reason: 'denied', risk: { before: 0, after: 20 } })
    expect(own.slice(0, first).every(({ kind }) => kind === 'exchange.opened')).toBe(true)
    const { contributions } = risen()['why'] as { readonly contributions: readonly { readonly rule: string; readonly at: number }[] } // as the fact has it
    const added = contributions.find(({ rule }) => rule === 'unusual')?.at ?? 0
    expect(Math.abs(Number(own[first]?.['at']) - added)).toBeLessThan(BOUND)
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S14.i', risk: 'S14.j', digest: 'S14.k', life: 'S14.l', exchanges: 'S14.m', verify: 'S14.n', replay: 'S14.o', reconnect: 'S14.p', revive: 'S14.q', across: 'S14.r', upstream: 'S14.t', shared: 'S14.u',
  })) test(`[${id}] ${says}`, prove)

  test('[S14.m] what stood open in the foothold is on record: the upload held for a step-up, then both cut for the no, and how soon', () => {
    const lived = duties.lines.filter(({ kind, session }) => session === seen.session && (kind === 'exchange.frozen' || kind === 'exchange.cut'))
    expect(lived.map(({ kind, reason }) => `${String(kind)} ${String(reason)}`).toSorted()).toEqual(['exchange.cut step_up_denied', 'exchange.cut step_up_denied', 'exchange.frozen step_up_required'])
    const no = factsOf(duties.lines, seen.session).find(({ what }) => what === 'stepUp.denied')
    for (const cut of lived.filter(({ kind }) => kind === 'exchange.cut')) {
      expect(cut).toMatchObject({ grant: 'baseline', because: no?.['because'], latencyMs: expect.any(Number) })
      expect(cut['latencyMs']).toBeLessThan(BOUND)
    }
  })

  test('[S14.o, S14.p, S14.q] the token again, one renewed before the end, and its stream anew are refused on both; so they are when the locks are lifted and the risk is cleared', () => {
    expect(seen.after).toEqual([REVOKED, REVOKED, REVOKED, REVOKED])
    expect(seen.locks.lifted).toEqual([REVOKED, REVOKED, both('200')])
  })

  test('[S14.t, S14.u] where the foothold is held and cut, others go on, on the same upstream and on the same HTTP/2 connection, their upload to its end', () => expect(seen.others).toEqual([true, true, true, true, true]))

  test('[S14.s] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
