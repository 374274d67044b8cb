// S18: the nightly job turns up by day, on one gateway and on two. Its tools are refused until it has attested itself anew and its owner has said yes, in either order,
// through either gateway. The story is played once on each; each clause is asserted on what was seen of it. What minutes do by themselves: s18-calendar.test.ts.
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Leaf } from '../support/tls.ts'
import { until } from '../wire/support.ts'
import { asked, both, type Caller, elevatedAt, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { challengeIn, confirms, dayBegins, HOST, nightBegins, Nightly, NIGHTLY, OTHER } from './nightly.ts'
import { APPROVER, bearer, factsIn, type Line, outcome, OWNER, tokenFor, word } from './stage.ts'

const REPORTS = '/reports/last'
const EXPORTS = '/exports/last'
const TOOLS = '/tools/compact'
const REVALIDATE = '/.narrowgate/session/revalidate'
const ASKED = '401 step_up_required'
const SHUT = '403 window_closed'
const CONFIRMER = 'https://login.example|omar'

let job: Nightly
beforeAll(async () => { job = await Nightly.make() })

describe.each(SETTINGS)('S18 %s', (_, raise) => {
  let setting: Setting
  let run: Caller
  let leaf: Leaf
  const seen = {
    rest: [] as (readonly string[])[], before: [] as (readonly string[])[], challenge: {} as Line, asked: [] as (readonly string[])[], stale: [] as string[], strange: [] as unknown[], words: [] as number[], half: [] as (readonly string[])[],
    given: [] as unknown[], passes: [] as (readonly string[])[], others: [] as (readonly string[])[], second: { id: '', half: [] as (readonly string[])[], wrong: 0, passes: [] as (readonly string[])[] }, night: {} as Line,
    session: '', id: '', denied: [] as (readonly string[])[],
  }

  const tools = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'POST', TOOLS)
  const exports = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'GET', EXPORTS)
  const reports = (caller: Caller): Promise<readonly string[]> => through(setting, caller, 'GET', REPORTS)
  const refused = async (caller: Caller): Promise<readonly string[]> => [...(await tools(caller)), ...(await exports(caller))]

  /** Issued behind the question: credentials tell whole seconds. */
  async function behind(challengedAt: number): Promise<number> {
    const next = Math.floor(challengedAt / 1_000) * 1_000 + 1_000
    await until(() => Date.now() >= next, 'the next second')
    return next
  }

  /** By the SVIDs of its connections: the owner says yes first, on B, then it attests itself on A. */
  async function bySvid(): Promise<void> {
    const { a, b } = setting
    const caller = await job.certified(NIGHTLY, 5)
    seen.session = await sessionAt(a, caller)
    seen.rest = [await reports(caller)]
    seen.before = [await tools(caller), await exports(caller)]
    await elevatedAt(a, caller, { profile: 'catch-up' })
    const said = await asked(a, caller, 'POST', TOOLS)
    const challenge = challengeIn(said)
    seen.id = String(challenge['id'])
    seen.challenge = challenge
    seen.asked = [await tools(caller), await exports(caller)]
    seen.stale = [outcome(await asked(b, caller, 'POST', REVALIDATE)), outcome(await asked(a, caller, 'POST', REVALIDATE))]
    seen.words = [await confirms(b, b.adminToken, seen.id), await confirms(b, OWNER, seen.id)]
    seen.half = [await refused(caller)]
    await behind(Date.now())
    const strange = await job.certified(OTHER, 0)
    seen.strange = [await sessionAt(a, strange) === seen.session, (await asked(a, strange, 'POST', REVALIDATE)).json['satisfied']]
    seen.half.push(await refused(caller))
    const fresh = await job.certified(NIGHTLY, 0)
    seen.given = [(await asked(a, fresh, 'POST', REVALIDATE)).json, await sessionAt(b, fresh) === seen.session]
    seen.passes = [await tools(fresh), await exports(fresh), await reports(fresh)]
    seen.others = [await reports(strange), await exports(strange)]
  }

  /** By projected tokens of its pod: it attests itself with its next request through B, then somebody says yes on A. */
  async function byPod(): Promise<void> {
    const { a, b } = setting
    const caller = await job.projected('pod-1', Date.now() - 60_000)
    await elevatedAt(a, caller, { profile: 'catch-up' })
    const { second } = seen
    second.id = String(challengeIn(await asked(b, caller, 'POST', TOOLS))['id'])
    const fresh = await job.projected('pod-1', await behind(Date.now()))
    second.half = [[await told(b, fresh, 'POST', TOOLS)], await refused(fresh), await refused(caller)]
    second.wrong = await confirms(a, a.adminToken, second.id)
    second.half.push(await refused(fresh))
    const words = await confirms(a, APPROVER, second.id)
    second.passes = [[String(words)], await tools(fresh), await exports(fresh)]
    const other = await job.projected('pod-2', Date.now())
    await elevatedAt(a, other, { profile: 'catch-up' })
    seen.denied = [await refused(other)]
  }

  const scheduled = async (name: string, sub = 'svc-nightly'): Promise<Caller> => ({ leaf, headers: bearer(await tokenFor(setting.a.issuer, sub, { sid: name }), HOST) })

  const duties: Duties = new Duties({
    carried: { method: 'POST', path: `${TOOLS}?shard=1`, body: { level: 2 } }, stream: '/tools/follow', streamed: { method: 'POST', body: { lines: 10 } }, rest: REPORTS, before: '403 elevation_required', after: SHUT, reason: 'window_closed',
    caller: (_setting, name) => scheduled(name),
    other: async () => ({ caller: await scheduled('beside', 'svc-report'), path: '/reports/beside' }),
    give: ({ a }, caller) => elevatedAt(a, caller, { profile: 'nightly' }),
    end: async () => { seen.night = await dayBegins(setting, run) },
    revive: async ({ a, b }) => {
      await nightBegins(setting, run)
      const principal = a.parts.mirror.byId(duties.session)?.principal
      if (principal === undefined) throw new Error('the session is not in memory')
      await word(a, `/v1/principals/${principal.name}/clear`, { risk: true })
      await until(() => [a, b].every(({ parts: { mirror } }) => { const trusted = mirror.trusted(principal); return trusted !== 'unknown' && trusted.level === null }), 'the level to fall')
    },
  })

  beforeAll(async () => {
    setting = await raise('s18.yaml', job.staging)
    setting.a.upstream.plays.set(REPORTS, '/ok').set(EXPORTS, '/ok').set(TOOLS, '/ok')
    ;[run, leaf] = [await job.projected('pod-0', Date.now()), await job.svid(NIGHTLY, 1)]
    await nightBegins(setting, run)
    await dayBegins(setting, run)
    await bySvid()
    await byPod()
    await nightBegins(setting, run)
    await duties.play(setting)
  }, 60_000)
  afterAll(() => setting.stop())

  const factsAbout = (id: string): readonly Line[] => duties.lines.flatMap(({ kind, fact }) => {
    const { what, stepUp } = (kind === 'fact' ? fact : {}) as Line // a fact line has one
    return String(what).startsWith('stepUp.') && (stepUp === id || (stepUp as Line)['id'] === id) ? [fact as Line] : []
  })
  const requestsOf = (session: string): readonly Line[] => duties.lines.filter(line => (line['kind'] === 'exchange.opened' || line['kind'] === 'request.refused') && line['session'] === session)

  test('[S18.b] by day its tools are refused, with an elevation and without, through both; the challenge names both of what is missing', () => {
    expect(seen.before[0]).toEqual(both('403 elevation_required'))
    expect(seen.asked).toEqual([both(ASKED), both(ASKED)])
    expect(seen.challenge).toMatchObject({ by: ['attest', 'approval'], all: true, attest: { endpoint: REVALIDATE } })
    expect(seen.denied).toEqual([[...both(ASKED), ...both(ASKED)]]) // another run of the job, after two of them were confirmed
  })

  test('[S18.d] its owner\'s yes alone opens nothing, nor does it with an attestation from before, or another workload\'s; with a fresh one of its own it passes, through both, with all that needed it', () => {
    expect(seen.stale).toEqual([ASKED, ASKED])
    expect([seen.strange, seen.words]).toEqual([[false, []], [403, 200]])
    expect(seen.half).toEqual(Array.from({ length: 2 }, () => [...both(ASKED), ...both(ASKED)]))
    expect(seen.given).toEqual([{ satisfied: [seen.id], pending: [] }, true])
    expect(seen.passes).toEqual([both('200'), both('200'), both('200')])
  })

  test('[S18.d] the other way round: a fresh token of its pod alone opens nothing, nor with the yes of somebody in another role; with the one of an approver it passes', () => {
    const { half, wrong, passes } = seen.second
    expect([half[0], ...half.slice(1)]).toEqual([[ASKED], ...Array.from({ length: 3 }, () => [...both(ASKED), ...both(ASKED)])])
    expect([wrong, passes]).toEqual([403, [['200'], both('200'), both('200')]])
  })

  test('[S18.e] its baseline by day: reports are read, exports are not until it is confirmed; of another job both are, all the while', () => {
    expect([seen.rest, seen.before[1]]).toEqual([[both('200')], both(ASKED)])
    expect(seen.others).toEqual([both('200'), both('200')])
  })

  test('[S18.r] an operator on A begins the day: what is open on B is cut with the answer', () => {
    expect(seen.night).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
    expect(duties.cutAfter).toBeLessThan(BOUND)
    expect(duties.rest).toEqual(both('200'))
  })

  test('[S18.g] the deviation is on record: with the very first request, in every record of the job from there on, and as the level of its principal with the rule that it broke', () => {
    const [first, ...others] = requestsOf(seen.session)
    expect(first).toMatchObject({ path: REPORTS, risk: { before: 0, after: 100, level: 'off-schedule' } })
    for (const { risk } of others) expect(risk).toMatchObject({ level: 'off-schedule' })
    const rises = factsIn(duties.lines, 'anchor.told').flatMap(({ matter }) => ((matter as Line | null)?.['level'] == null ? [] : [(matter as Line)['level'] as Line])) // one of a principal has it
    expect(rises.find(({ who }) => String(who).endsWith(NIGHTLY))).toMatchObject({ name: 'off-schedule', at: 50, why: { contributions: [{ rule: 'off-schedule', points: 100 }], request: { route: 'tools', method: 'GET', path: REPORTS } } })
  })

  test('[S18.h] the proof of revalidation is on record: who said yes, which credential attested it, that it was newer than the question, and that both were needed', () => {
    const facts = factsAbout(seen.id)
    expect(facts.map(({ what }) => what)).toEqual(['stepUp.asked', 'stepUp.answered', 'stepUp.answered', 'stepUp.satisfied'])
    const [question = {}, yes = {}, attested = {}, satisfied = {}] = facts
    expect(question).toMatchObject({ stepUp: { by: ['attest', 'approval'], all: true, role: 'approver', because: 'off-schedule', covers: { rule: null, request: null } } })
    expect(yes).toMatchObject({ by: CONFIRMER, given: { means: 'approval', by: CONFIRMER, proof: expect.stringMatching(/^[\w-]{43}$/) } })
    const { at, proof } = attested['given'] as Line // such a fact has one
    expect(attested).toMatchObject({ given: { means: 'attest', by: expect.stringMatching(new RegExp(`\\|${NIGHTLY}$`)) } })
    expect(Number(at)).toBeGreaterThanOrEqual(Number((question['stepUp'] as Line)['askedAt']))
    const carried = requestsOf(seen.session).filter(({ kind, path }) => kind === 'exchange.opened' && path === TOOLS)
    expect(carried.map(({ credential }) => credential)).toEqual([proof, proof])
    expect(Number(satisfied['until']) - Number(satisfied['at'])).toBe(600_000)
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S18.i', risk: 'S18.j', digest: 'S18.k', life: 'S18.l', exchanges: 'S18.m', verify: 'S18.n', replay: 'S18.o', reconnect: 'S18.p', revive: 'S18.q', across: 'S18.r', upstream: 'S18.t', shared: 'S18.u',
  })) test(`[${id}] ${says}`, prove)

  test('[S18.s] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
