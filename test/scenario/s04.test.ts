// S4: a support chatbot, one case, one turn: what turn 7 was given is over where its orchestrator has signed turn 8, at whichever gateway that arrives first.
// The story is played once on each setting; each clause is asserted on what was seen of it.
import { createHash } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { RawClient, request } from '../support/raw-client.ts'
import { eventually } from '../support/redis-server.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { asked, both, type Caller, elevatedAt, keySetOf, sessionAt, type Setting, SETTINGS, through } from './callers.ts'
import { BOUND, Duties, told } from './duties.ts'
import { type Adapted, bearer, factsIn, type Headers, type Line, loadsAsItStands, OpenStream, outcome, tokenFor } from './stage.ts'

const CRM = { host: 'crm.internal' }
const ARTICLE = '/articles/12'
const CUSTOMER = '/cases/C-9/customers/K-17'
const OTHERS = '/cases/C-10/customers/K-99'
const RETURNED = '/cases/C-9/customers/K-23'
const RESULTS = '/cases/C-9/results'
const ANSWER = JSON.stringify({ id: 'K-23', name: 'Erika Mustermann', iban: 'DE02120300000000202051' })
const CALLS = 3
/** Points of it, in the example. */
const LATE_RETRY = 20
const LIMIT = '403 limit_reached'
const OVER = both('403 purpose_over')

/** Spellings of another case's customer, and what becomes of each. */
const SPELLINGS = [
  [OTHERS, '403 condition_false'], ['/cases/c-9/customers/K-17', '403 condition_false'], ['/cases/C-9%20/customers/K-17', '403 condition_false'], ['/cases/%43-10/customers/K-99', '403 condition_false'],
  ['/cases/C-9/../C-10/customers/K-99', '400 bad_request'], ['/cases/C-9%2f..%2fC-10/customers/K-99', '400 bad_request'], ['/cases/C-10/customers/K-99?case=C-9', '403 condition_false'],
] as const

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s04.yaml'))

describe.each(SETTINGS)('S4 %s', (_, raise) => {
  let setting: Setting
  let orchestrator: TokenIssuer
  const seen = {
    early: [] as (readonly string[])[], others: [] as (readonly string[])[], calls: [] as string[], fourth: [] as readonly string[], passed: 0, crowd: [] as string[], crowdPassed: 0, rest: [] as (readonly string[])[],
    ended: '', stream: { behind: '', cutAfter: 0, told: '' }, half: '', retry: [] as readonly string[], inEight: [] as readonly string[], ownEight: [] as readonly string[], seven: [] as readonly string[], asksSeven: 0, returned: '', session: '', flagged: {} as Line,
  }

  /** A conversation of the chatbot: as whom it calls in a turn, as its orchestrator signs it. */
  class Talk {
    readonly id: string
    readonly #token: string
    constructor(id: string, token: string) {
      this.id = id
      this.#token = token
    }

    async turn(at: number, { host } = CRM): Promise<Caller> {
      const claims = { iss: undefined, aud: undefined, client_id: undefined, sub: 'chatbot', conversation_id: this.id, turn: at, jti: crypto.randomUUID() }
      const word = await orchestrator.sign(claims, { header: { typ: 'purpose+jwt' } })
      return { leaf: null, headers: { ...this.without({ host }), 'narrowgate-turn': word } }
    }

    /** What it sends with no turn. */
    without({ host } = CRM): Headers { return bearer(this.#token, { host }) }
  }

  const KB = { host: 'kb.internal' }
  const talkOf = async (id: string): Promise<Talk> => new Talk(id, await tokenFor(setting.a.issuer, 'chatbot', { conversation_id: id, owner: 'support' }))
  const oneCase = (caller: Caller, kase = 'C-9'): Promise<string> => elevatedAt(setting.a, caller, { profile: 'one-case', params: { case: kase } })
  /** The next turn arrives at A: with a request of what the chatbot may do at rest. */
  const begins = async (talk: Talk, turn: number): Promise<string> => told(setting.a, await talk.turn(turn, KB), 'GET', ARTICLE)
  /** What a gateway shows of the chatbot once it has points. */
  const chatbotAt = async (gate: Setting['a']): Promise<Line | null> => ((await gate.admin('GET', '/v1/principals?subject=chatbot')).json['principals'] as readonly Line[]).find(({ score }) => Number(score) > 0) ?? null // the contract's shape
  const passedOf = (path: string): number => setting.a.upstream.requests.filter(each => each.path === path).length

  async function threeCalls(): Promise<void> {
    const [talk, another] = [await talkOf('three'), await talkOf('another')]
    const seven = await talk.turn(7)
    seen.early.push(await through(setting, seven, 'GET', CUSTOMER))
    await oneCase(seven)
    seen.early.push(await through(setting, { ...seven, headers: talk.without() }, 'GET', CUSTOMER))
    const { 'narrowgate-turn': foreign = '' } = (await another.turn(7)).headers
    seen.early.push(await through(setting, { ...seven, headers: { ...seven.headers, 'narrowgate-turn': foreign } }, 'GET', CUSTOMER))
    for (const [path] of SPELLINGS) seen.others.push(await through(setting, seven, 'GET', path))
    for (const gate of [setting.b, setting.a, setting.b]) seen.calls.push(await told(gate, seven, 'GET', CUSTOMER))
    seen.fourth = await through(setting, seven, 'GET', CUSTOMER)
    seen.passed = passedOf(CUSTOMER)
    seen.rest.push(await through(setting, await talk.turn(7, KB), 'GET', ARTICLE))
  }

  /** As many as want to at once, through both. */
  async function atOnce(): Promise<void> {
    const seven = await (await talkOf('crowd')).turn(7)
    await oneCase(seven)
    const before = passedOf(CUSTOMER)
    seen.crowd = await Promise.all(Array.from({ length: 12 }, (__, i) => told(i % 2 === 0 ? setting.a : setting.b, seven, 'GET', CUSTOMER)))
    seen.crowdPassed = passedOf(CUSTOMER) - before
  }

  /** Turn 8 begins at A while B has results of turn 7 open, and half a request of it. */
  async function theNextTurn(): Promise<void> {
    const { a, b } = setting
    const talk = await talkOf('next')
    const seven = await talk.turn(7)
    seen.session = await sessionAt(a, seven)
    seen.ended = await oneCase(seven)
    await reads(seven)
    const open = await OpenStream.open(b, RESULTS, seven.headers)
    const bytes = request('GET', CUSTOMER, seven.headers)
    const late = await RawClient.connect(b.target)
    await late.send(bytes.slice(0, bytes.length / 2))
    setting.a.upstream.feed('results').emit('before')
    await open.says('before')
    await begins(talk, 8)
    const at = performance.now()
    setting.a.upstream.feed('results').emit('behind')
    await open.cut().catch(() => null) // by a reset, or at an event's end
    seen.stream = { behind: open.text.includes('behind') ? 'there' : '', cutAfter: performance.now() - at, told: await told(b, seven, 'GET', RESULTS) }
    await late.send(bytes.slice(bytes.length / 2))
    const { status, body } = await late.response()
    late.close()
    seen.half = outcome({ status, json: JSON.parse(body.toString()) as Line }) // a problem is an object
    seen.flagged = await eventually('A has heard of what B refused', 10_000, () => chatbotAt(a))
    seen.retry = await through(setting, seven, 'GET', CUSTOMER)
    const eight = await talk.turn(8)
    seen.inEight = await through(setting, eight, 'GET', CUSTOMER)
    await oneCase(eight)
    seen.ownEight = await through(setting, eight, 'GET', CUSTOMER)
    seen.seven = [...await through(setting, seven, 'GET', CUSTOMER), ...await through(setting, await talk.turn(7), 'GET', CUSTOMER)]
    seen.asksSeven = (await asked(b, seven, 'POST', '/.narrowgate/elevations', { profile: 'one-case', params: { case: 'C-9' } })).status
    seen.rest.push(await through(setting, await talk.turn(8, KB), 'GET', ARTICLE), await through(setting, await talk.turn(7, KB), 'GET', ARTICLE))
  }

  /** A customer is returned, with what nobody may find in the log. */
  async function reads(caller: Caller): Promise<void> {
    const feed = setting.a.upstream.feed('customer')
    const open = await OpenStream.open(setting.b, RETURNED, caller.headers)
    feed.write(ANSWER)
    feed.end()
    const { body } = await open.cut()
    seen.returned = body.toString()
  }

  let first: Talk
  const duties = new Duties({
    carried: { method: 'GET', path: `${CUSTOMER}?fields=name` }, stream: RESULTS, rest: null, before: '403 elevation_required', after: '403 purpose_over', reason: 'purpose_over', sparing: true,
    caller: async (_setting, name) => {
      const talk = await talkOf(name)
      const caller = await talk.turn(7)
      if (name === 'first') first = talk
      return caller
    },
    other: async () => {
      const caller = await (await talkOf('beside')).turn(7)
      await oneCase(caller, 'C-10')
      return { caller, path: '/cases/C-10/results' }
    },
    give: (_setting, caller) => oneCase(caller),
    end: () => begins(first, 8),
    revive: async () => {
      for (const gate of [setting.a, setting.b]) await told(gate, await first.turn(7, KB), 'GET', ARTICLE)
    },
  })

  beforeAll(async () => {
    orchestrator = await TokenIssuer.create({ algorithm: 'ES256' })
    const jwksFile = keySetOf(orchestrator)
    setting = await raise('s04.yaml', { adapt: (example: Adapted) => { example['purposes'].turn.signed.jwksFile = jwksFile } })
    setting.a.upstream.plays.set(RESULTS, '/sse/results').set(RETURNED, '/stream/customer')
    await threeCalls()
    await atOnce()
    await theNextTurn()
    await duties.play(setting)
  }, 60_000)
  afterAll(() => setting.stop())

  const own = (): readonly Line[] => duties.lines.filter(({ session }) => session === seen.session)

  test('[S4.a] a customer of the case is read in turn 7, and neither before it was given nor without that turn', () => {
    expect(seen.early).toEqual([both('403 elevation_required'), both('403 purpose_missing'), both('403 purpose_missing')])
    expect(seen.calls).toEqual(['200', '200', '200'])
    const carried = own().filter(({ kind, elevation }) => kind === 'exchange.opened' && (elevation as Line | null)?.['id'] === seen.ended)
    expect(carried.map(({ purposes }) => purposes)).toEqual([{ turn: '7' }, { turn: '7' }])
  })

  test('[S4.b] three calls pass and no more, one after the other or all at once, through both together', () => {
    expect(seen.passed).toBe(CALLS)
    expect(seen.crowdPassed).toBe(CALLS)
    expect(seen.crowd.toSorted()).toEqual([...Array.from({ length: CALLS }, () => '200'), ...Array.from({ length: 12 - CALLS }, () => LIMIT)])
  })

  test('[S4.c] turn 8 begins, signed by the orchestrator: what turn 7 was given ends', () => {
    expect(factsIn(duties.lines, 'elevation.ended').find(({ elevation }) => elevation === seen.ended)).toMatchObject({ reason: 'purpose_over' })
    expect(seen.rest).toEqual([both('200'), both('200'), both('200')])
  })

  test('[S4.d] the same call in turn 8 is refused, until that turn is given something of its own', () => expect([seen.inEight, seen.ownEight]).toEqual([both('403 elevation_required'), both('200')]))

  test('[S4.e] a customer of another case is refused in turn 7, in whatever spelling', () => expect(seen.others).toEqual(SPELLINGS.map(([, refused]) => both(refused))))

  test('[S4.f] the fourth call is refused', () => expect(seen.fourth).toEqual(both(LIMIT)))

  test('[S4.g] a retry of turn 7 that arrives behind turn 8 is refused: whole, half of it sent before, signed anew, beside what turn 8 was given', () => {
    expect([seen.half, seen.retry, seen.seven, seen.asksSeven]).toEqual(['403 purpose_over', OVER, [...OVER, ...OVER], 403])
    const reused = own().filter(({ kind, fault, path }) => kind === 'request.refused' && fault === 'purpose_reused' && path === CUSTOMER)
    expect(reused).toHaveLength(7)
    for (const line of reused) expect(line).toMatchObject({ reason: 'purpose_over', purposes: { turn: '7' } })
  })

  test('[S4.h] the results of turn 7 that are still open are cut, and nothing written behind the answer is on them', () => {
    expect(seen.stream).toEqual({ behind: '', cutAfter: expect.any(Number), told: '403 purpose_over' })
    expect(seen.stream.cutAfter).toBeLessThan(BOUND)
    expect(own().find(({ kind, grant }) => kind === 'exchange.cut' && grant === seen.ended)).toMatchObject({ reason: 'purpose_over', latencyMs: expect.any(Number) })
  })

  test('[S4.i] the turn is on record: with what was asked, with each call and refusal, and where the next one began', () => {
    expect(factsIn(duties.lines, 'elevation.requested').map(({ elevation }) => elevation as Line).find(({ id }) => id === seen.ended)).toMatchObject({ purposes: { turn: '7' }, proofs: { turn: 'signed' } })
    const calls = own().filter(({ kind, route }) => (kind === 'exchange.opened' || kind === 'request.refused') && route === 'crm')
    expect(new Set(calls.map(({ purposes }) => (purposes as { readonly turn?: string }).turn))).toEqual(new Set(['7', '8']))
    const begun = factsIn(duties.lines, 'anchor.told').filter(({ kind }) => kind === 'turn').map(({ matter }) => matter)
    for (const turn of [7, 8]) expect(begun).toContainEqual({ is: 'progress', position: turn, value: String(turn) })
  })

  test('[S4.j] the records that were returned are on record by their ids, with a digest of what they said and not a word of it', () => {
    expect(seen.returned).toBe(ANSWER)
    const opened = own().filter(({ kind, path }) => kind === 'exchange.opened' && path === RETURNED)
    expect(opened).toHaveLength(1)
    const closed = duties.lines.find(({ kind, exchange }) => kind === 'exchange.closed' && exchange === opened[0]?.['exchange'])
    expect(closed).toMatchObject({ status: 200, answerDigest: createHash('sha256').update(ANSWER).digest('base64url'), bytesDown: ANSWER.length, complete: true })
    for (const secret of ['Erika', 'Mustermann', 'DE0212']) expect(JSON.stringify(duties.lines)).not.toContain(secret)
  })

  test('[S4.k] the attempt to reuse turn 7 is flagged and raises the risk, on the other gateway and in every conversation too', () => {
    const judged = duties.lines.filter(({ kind, session }) => (kind === 'exchange.opened' || kind === 'request.refused') && session !== null).toSorted((one, other) => Number(one['at']) - Number(other['at']))
    const first = judged.findIndex(({ fault }) => fault === 'purpose_reused')
    expect(judged[first]).toMatchObject({ session: seen.session, path: RESULTS, reason: 'purpose_over', purposes: { turn: '7' }, risk: { before: 0, after: LATE_RETRY } })
    expect(judged.slice(0, first).filter(({ at }) => at !== judged[first]?.['at']).map(({ risk }) => risk)).toEqual(Array.from({ length: first }, () => ({ before: 0, after: 0 })))
    expect(seen.flagged).toMatchObject({ contributions: [{ rule: 'late-retry', points: expect.closeTo(LATE_RETRY, 0) }] })
    const later = judged.filter(({ path, at }) => path !== RESULTS && Number(at) > Number(judged[first]?.['at']))
    expect(new Set(later.map(({ session }) => session)).size).toBeGreaterThan(1)
    for (const line of later) expect((line['risk'] as { readonly before: number }).before, JSON.stringify(line)).toBeGreaterThan(LATE_RETRY - 1) // as records have it
  })

  for (const [id, says, prove] of duties.clauses({
    whole: 'S4.l', risk: 'S4.m', digest: 'S4.n', life: 'S4.o', exchanges: 'S4.p', verify: 'S4.q', replay: 'S4.r', reconnect: 'S4.s', revive: 'S4.t', across: 'S4.u', upstream: 'S4.w', shared: 'S4.x',
  })) test(`[${id}] ${says}`, prove)

  test('[S4.v] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
