// S10: an agent with approved tools asks for others. One that is known to be dangerous is denied and costs it trust, and with that its elevation; one that nobody
// knows ends its session, with two streams open on A and B. The story is played once on each setting; each clause is asserted on what was seen of it.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { eventually } from '../support/redis-server.ts'
import { until } from '../wire/support.ts'
import { factsOf, paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, elevatedAt, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { SharedConnection } from './shared-connection.ts'
import { bearer, factsIn, type Line, loadsAsItStands, OpenStream, tokenFor, word } from './stage.ts'

const CATALOG = '/tools/catalog'
const [SEARCH, SUMMARIZE] = ['/tools/search', '/tools/summarize']
const [SEARCHING, SUMMARIZING] = [`${SEARCH}/live`, `${SUMMARIZE}/live`]
/** Known to be dangerous; known to nobody. */
const [DELETE, TRANSFER] = ['/tools/delete', '/tools/transfer']
const QUERY = { query: 'prices' }
const PUBLISH = { profile: 'publish' }
const REVOKED = both('401 credential_revoked')
const NOT_ELEVATED = '403 elevation_required'

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s10.yaml'))

describe.each(SETTINGS)('S10 %s', (_, raise) => {
  let setting: Setting
  const seen = {
    tools: [] as (readonly string[])[], session: '', denied: '', afterDenial: [] as (readonly string[])[], riskyAsk: [] as string[], enforcedAfter: 0,
    unknown: '', cutAfter: 0, behind: [] as readonly number[], aborted: false, others: [] as readonly boolean[],
    after: [] as (readonly string[])[], otherToken: [] as readonly string[], locked: [] as readonly string[], undone: [] as (readonly string[])[], asks: [] as string[],
    cleared: [] as (readonly string[])[], again: [] as string[], next: '', reached: [] as readonly string[],
  }

  const agent = async (name: string): Promise<Caller> => ({ leaf: null, headers: bearer(await tokenFor(setting.a.issuer, name, { sid: `${name}-1` }), { host: 'tools.internal' }) })
  const uses = (caller: Caller, tool: string): Promise<readonly string[]> => through(setting, caller, 'POST', tool, QUERY)
  const asksToPublish = async (gate: Setting['a'], caller: Caller): Promise<string> => {
    const { status, json } = await asked(gate, caller, 'POST', '/.narrowgate/elevations', PUBLISH)
    return `${status} ${String(json['reason'])}`
  }
  const doubtfulAt = async (gate: Setting['a'], subject: string): Promise<Line | null> =>
    ((await gate.admin('GET', `/v1/principals?level=doubtful&subject=${subject}`)).json['principals'] as readonly Line[])[0] ?? null // the contract's shape

  /** Two streams stand open, on A and on B, where the agent asks A for a tool that no rule knows; beside them somebody else's, one of them on the same connection. */
  async function aToolThatNobodyKnows(caller: Caller, neighbour: Caller): Promise<void> {
    const { a, b } = setting
    const [search, beside, shared] = [await OpenStream.open(a, SEARCHING, caller.headers), await OpenStream.open(b, SEARCHING, neighbour.headers), await SharedConnection.to(b)]
    const [summarize, onTheSame] = [await shared.open(SUMMARIZING, caller.headers), await shared.open(SEARCHING, neighbour.headers)]
    const texts = [() => search.text, () => summarize.body, () => beside.text, () => onTheSame.body] as const
    const stop = paced(a, 'search', 'summarize')
    await Promise.all(texts.map(text => until(() => timesIn(text()).length > 3, 'all to be under way')))
    seen.unknown = await told(a, caller, 'POST', TRANSFER, { to: 'elsewhere', amount: 3 })
    const at = performance.now()
    await Promise.all([search.cut().catch(() => null), summarize.over()]) // by a reset, or at an event's end
    const over = performance.now()
    const goOn = (text: () => string): boolean => timesIn(text()).some(time => time > over + 50)
    await until(() => texts.slice(2).every(goOn), 'what was written for the others since')
    stop()
    for (const path of [SEARCHING, SUMMARIZING]) await until(() => (a.upstream.requests.find(request => request.path === path)?.abortedAt ?? 0) > 0, 'the upstream to see the end') // the first of each is its own
    seen.others = [...texts.slice(2).map(goOn), shared.isUp, (await shared.outcome('GET', CATALOG, neighbour.headers)) === '200']
    Object.assign(seen, { cutAfter: over - at, behind: texts.slice(0, 2).flatMap(text => timesIn(text())).filter(time => time > at + BOUND), aborted: true })
    beside.client.close()
    shared.close()
  }

  /** The same credential is tried again, on either and in every way; somebody undoes what can be undone; then an operator clears it. */
  async function theWayBack(caller: Caller): Promise<void> {
    const { a, b } = setting
    const looks = (): Promise<readonly string[]> => through(setting, caller, 'GET', CATALOG)
    seen.after = [await looks(), await uses(caller, SEARCH), await through(setting, caller, 'GET', SEARCHING), await uses(caller, TRANSFER)]
    seen.asks = [await asksToPublish(a, caller), await asksToPublish(b, caller)]
    const lock = (await word(a, '/v1/locks', { selector: { subject: 'curious' } })).json['lock'] as Line // the contract's shape
    await word(b, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
    for (const verb of ['resume', 'widen']) await b.admin('POST', `/v1/sessions/${seen.session}/${verb}`, { reason: 'once more' })
    const { id } = (await doubtfulAt(b, 'curious')) ?? {}
    await word(a, `/v1/principals/${String(id)}/clear`, { risk: true })
    seen.undone = [await looks(), await uses(caller, SEARCH)]
    await word(a, `/v1/locks/mark_${seen.session}`, {}, 'DELETE')
    seen.cleared = [await looks(), await uses(caller, SUMMARIZE)]
    seen.next = await sessionAt(b, caller)
    seen.again.push(await told(b, caller, 'POST', TRANSFER, { to: 'elsewhere', amount: 3 }))
    seen.again.push(await eventually('that session has ended on A', BOUND, async () => (await looks()).find(says => says === '401 credential_revoked') ?? null))
  }

  const duties = new Duties({
    carried: { method: 'POST', path: '/tools/publish?channel=news', body: { text: 'found it' } }, stream: '/tools/publish/live', rest: CATALOG, before: NOT_ELEVATED, after: NOT_ELEVATED, reason: 'risk',
    caller: (_setting, name) => agent(name),
    other: async () => ({ caller: await agent('diligent'), path: SUMMARIZING }),
    give: ({ a }, caller) => elevatedAt(a, caller, PUBLISH),
    end: async ({ a, b }) => {
      const caller = await agent('first')
      seen.denied = await told(a, caller, 'POST', DELETE, { name: 'backup' })
      const at = performance.now()
      await eventually('the level stands on B', BOUND, () => doubtfulAt(b, 'first'))
      seen.enforcedAfter = performance.now() - at
      seen.afterDenial = [await uses(caller, SEARCH), await uses(caller, SUMMARIZE), await through(setting, caller, 'POST', DELETE, { name: 'backup' })]
    },
    revive: async ({ a, b }) => {
      const caller = await agent('first')
      seen.riskyAsk = [await asksToPublish(a, caller), await asksToPublish(b, caller)]
      const { id } = (await doubtfulAt(b, 'first')) ?? {}
      await word(a, `/v1/principals/${String(id)}/clear`, { risk: true })
      await eventually('the level is gone on B', 10_000, async () => ((await doubtfulAt(b, 'first')) === null ? true : null))
    },
  })

  beforeAll(async () => {
    setting = await raise('s10.yaml', {})
    const { a } = setting
    a.upstream.plays.set(SEARCHING, '/sse/search').set(SUMMARIZING, '/sse/summarize')
    const [caller, neighbour] = [await agent('curious'), await agent('careful')]
    seen.session = await sessionAt(a, caller)
    await sessionAt(a, neighbour)
    seen.tools = [await uses(caller, SEARCH), await uses(caller, SUMMARIZE), await through(setting, caller, 'GET', CATALOG)]
    await aToolThatNobodyKnows(caller, neighbour)
    await theWayBack(caller)
    await duties.play(setting)
    seen.reached = a.upstream.requests.map(({ path }) => path)
  }, 90_000)
  afterAll(() => setting.stop())

  const ofTheAgent = (kind: string): readonly Line[] => duties.lines.filter(line => line['kind'] === kind && line['session'] === seen.session)
  const risen = (subject: string): readonly Line[] =>
    factsIn(duties.lines, 'anchor.told').flatMap(({ matter }) => ((matter as Line | null)?.['level'] == null ? [] : [(matter as Line)['level'] as Line])).filter(({ who }) => String(who).endsWith(`|${subject}`)) // one of a principal has it

  test('[S10.a] calls of a and b pass, through either gateway', () => expect(seen.tools).toEqual([both('200'), both('200'), both('200')]))

  test('[S10.b] a call of c never reaches the upstream, whether it is denied or unknown, before its session ended and after', () => {
    expect([seen.denied, seen.unknown]).toEqual(['403 denied', '403 no_rule'])
    expect(seen.reached.filter(path => path === DELETE || path === TRANSFER)).toEqual([])
    expect(seen.reached).toContain(SEARCH)
  })

  test('[S10.c] of one kind of tool strike 1 is a denial and raises the risk: what it could publish is over, and its other tools go on', () => {
    expect(seen.denied).toBe('403 denied')
    expect(seen.afterDenial).toEqual([both('200'), both('200'), both('403 denied')])
    const denied = duties.lines.filter(({ kind, path, session }) => kind === 'request.refused' && path === DELETE && session === duties.session)
    expect(denied[0]).toMatchObject({ reason: 'denied', risk: { before: 0, after: 40, level: 'doubtful' } })
    expect(Math.max(...denied.map(({ risk }) => (risk as { readonly after: number }).after))).toBeGreaterThanOrEqual(79.9) // as records have it
    expect(risen('first')[0]).toMatchObject({ name: 'doubtful', score: 40, why: { contributions: [{ rule: 'tools#5', points: 40 }], request: { path: DELETE, evaluation: denied[0]?.['evaluation'] } } })
    expect(seen.riskyAsk).toEqual(both('403 risk'))
  })

  test('[S10.d] of a tool that no rule knows strike 1 ends the session, on A and B within T', () => {
    expect(seen.unknown).toBe('403 no_rule')
    expect(seen.cutAfter).toBeLessThan(BOUND)
    expect(seen.after).toEqual([REVOKED, REVOKED, REVOKED, REVOKED])
    expect(factsOf(duties.lines, seen.session).filter(({ what }) => what === 'session.revoked')).toMatchObject([{ reason: 'risk' }, { reason: 'risk' }]) // of its session, and of the one that came when it was cleared
  })

  test('[S10.e] its two other streams are cut, on A and on B, and the upstream sees that', () => {
    expect([seen.aborted, seen.behind]).toEqual([true, []])
    expect(ofTheAgent('exchange.cut')).toHaveLength(2)
  })

  test('[S10.f] the same credential opens no session, on either gateway, until an operator clears it; then it is a new one, with what it had at rest, and the next attempt ends that', () => {
    expect([seen.undone, seen.asks]).toEqual([[REVOKED, REVOKED], both('401 credential_revoked')])
    expect(seen.cleared).toEqual([both('200'), both('200')])
    expect(seen.next).not.toBe(seen.session)
    expect(seen.again).toEqual(['403 no_rule', '401 credential_revoked'])
  })

  test('[S10.i] the log has the rule of the strike, and that it was the first', () => {
    const revoked = factsOf(duties.lines, seen.session).filter(({ what }) => what === 'session.revoked')
    expect(revoked).toMatchObject(Array.from({ length: 2 }, () => ({ by: 'risk', note: 'strike 1 of 1 on tools' })))
    expect(ofTheAgent('request.refused').filter(({ reason }) => reason === 'no_rule')).toMatchObject([{ path: TRANSFER, route: 'tools', rule: null, risk: { before: 0, after: 60, level: 'doubtful' } }])
  })

  test('[S10.j] the log has every stream that was cut, by the strike and how soon', () => {
    const [revoked] = factsOf(duties.lines, seen.session).filter(({ what }) => what === 'session.revoked')
    const opened = new Map(ofTheAgent('exchange.opened').map(line => [line['exchange'], line['path']]))
    const cuts = ofTheAgent('exchange.cut')
    expect(cuts.map(({ exchange }) => String(opened.get(exchange))).toSorted()).toEqual([SEARCHING, SUMMARIZING])
    for (const cut of cuts) {
      expect(cut).toMatchObject({ reason: 'risk', because: revoked?.['because'], grant: 'baseline', latencyMs: expect.any(Number) })
      expect(cut['latencyMs']).toBeLessThan(BOUND)
      expect(duties.lines.filter(({ exchange }) => exchange === cut['exchange']).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
    }
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S10.k', risk: 'S10.l', digest: 'S10.m', life: 'S10.n', exchanges: 'S10.o', verify: 'S10.p', replay: 'S10.q', reconnect: 'S10.r', revive: 'S10.s', across: 'S10.t', upstream: 'S10.v', shared: 'S10.w',
  })) test(`[${id}] ${says}`, prove)

  test('[S10.q, S10.r, S10.s] what a strike ended is refused on every way back: the same token, its streams anew, a lock that is lifted, a risk that is cleared', () => {
    expect(seen.after).toEqual([REVOKED, REVOKED, REVOKED, REVOKED])
    expect(seen.undone).toEqual([REVOKED, REVOKED])
  })

  test('[S10.t] a level that A told stands on B within T', () => expect(seen.enforcedAfter).toBeLessThan(BOUND))

  test('[S10.v, S10.w] where a strike cuts, somebody else goes on, on the same upstream and on the same HTTP/2 connection', () => expect(seen.others).toEqual([true, true, true, true]))

  test('[S10.u] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
