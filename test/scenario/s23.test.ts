// S23: a contractor reads one cloud subscription in a session that a broker opened, until the contract ends, whose end is moved to today: in the file, and by an
// operator's word that A gets. The story is played once on each setting; each clause is asserted on what was seen of it.
import { readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { connectHttp2 } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { extendedConnect, WebSocketCaller } from '../wire/websocket-callers.ts'
import { asBroker, BROKERED_SETTINGS, ENGINE, opened } from './brokers.ts'
import { asked, both, type Caller, type Setting, takesUpgrades, through, upgraded } from './callers.ts'
import { BOUND, Duties } from './duties.ts'
import { type Adapted, bearer, factsIn, type Headers, type Line, loadsAsItStands, OpenStream, tokenFor, word } from './stage.ts'

const HOST = { host: 'cloud.internal' }
const OWN = '/subscriptions/S'
const CARRIED = `${OWN}/resources?page=1`
const STREAM = `${OWN}/activity`
const OVERRIDE = '/v1/windows/contract/override'
const DAY = 86_400_000
const METHODS = ['POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'QUERY'] as const
const CLOSED = both('403 window_closed')

/** In Berlin, so many milliseconds from now. */
const local = (fromNow: number): string => new Date(Date.now() + fromNow).toLocaleString('sv-SE', { timeZone: 'Europe/Berlin' }).slice(0, 16).replace(' ', 'T')

/** The contract of the example ends in a month from whenever this runs. */
const adapt = (example: Adapted): void => { example['windows'].contract.validUntil = local(30 * DAY) }

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s23.yaml'))

describe.each(BROKERED_SETTINGS)('S23 %s', (_, raise) => {
  let setting: Setting
  const sessions = new Map<Caller, string>()
  const seen = {
    methods: [] as (readonly string[])[], head: [] as number[], upgrades: [] as unknown[], taken: [] as readonly string[], disguised: [] as (readonly string[])[], upstream: [] as (readonly [string, boolean])[], others: [] as (readonly string[])[],
    rest: [] as readonly string[], edited: [] as Line[], cutBy: [] as boolean[], behindEdit: [] as readonly string[], behindReturn: [] as readonly string[],
    moved: {} as Line, early: '', colleague: '', colleagueAfter: [] as readonly string[], restAfter: [] as readonly string[], asksAgain: [] as number[],
  }

  async function contractor(name: string): Promise<Caller> {
    const body = { subject: { kind: 'person', subject: `contractor-${name}`, tenant: 'acme' }, for: '12h', reason: 'contract 4711' }
    const { token, session } = await opened(setting.a, body)
    const caller: Caller = { leaf: null, headers: bearer(token, HOST) }
    sessions.set(caller, session)
    return caller
  }

  const sessionOf = (caller: Caller): string => sessions.get(caller) ?? ''
  const asksFor = (caller: Caller, subscription: string) =>
    asBroker(setting.a, '/v1/elevations', { session: sessionOf(caller), profile: 'contract', params: { subscription } })

  async function contracted(caller: Caller, subscription = 'S'): Promise<string> {
    const { status, json } = await asksFor(caller, subscription)
    if (status !== 201) throw new Error(`not given: ${status} ${JSON.stringify(json)}`)
    return String(json['id'])
  }

  /** On both gateways, each of which has the file. */
  async function editedTo(until: string): Promise<Line[]> {
    const answers: Line[] = []
    for (const { configFile } of new Set([setting.a, setting.b])) writeFileSync(configFile, readFileSync(configFile, 'utf8').replace(/validUntil: .*/, `validUntil: "${until}"`))
    for (const gate of new Set([setting.a, setting.b])) answers.push((await word(gate, '/v1/config/reload')).json)
    return answers
  }

  /** The end is moved in the file, with a stream open on each gateway; then it is moved back. */
  async function endsInTheFile(): Promise<void> {
    const caller = await contractor('early')
    seen.early = sessionOf(caller)
    await contracted(caller)
    const open = [await OpenStream.open(setting.a, STREAM, caller.headers), await OpenStream.open(setting.b, STREAM, caller.headers)]
    seen.edited = await editedTo(local(-DAY / 12))
    setting.a.upstream.feed('own').emit('behind')
    await Promise.all(open.map(stream => stream.cut().catch(() => null))) // by a reset, or at an event's end
    seen.cutBy = open.map(({ text }) => !text.includes('behind'))
    seen.behindEdit = await through(setting, caller, 'GET', CARRIED)
    await until(() => [setting.a, setting.b].every(({ parts: { mirror } }) => mirror.byId(seen.early)?.record.elevations[0]?.state.is === 'ended'), 'the end to be written')
    await editedTo(local(30 * DAY))
    seen.behindReturn = await through(setting, caller, 'GET', CARRIED)
  }

  async function asksForMore(caller: Caller): Promise<void> {
    const { a, b } = setting
    seen.rest = await through(setting, caller, 'GET', '/subscriptions')
    for (const method of METHODS) seen.methods.push(await through(setting, caller, method, CARRIED, method === 'OPTIONS' ? null : {}))
    for (const gate of [a, b]) seen.head.push((await asked(gate, caller, 'HEAD', CARRIED)).status)
    for (const gate of [a, b]) {
      seen.upgrades.push(await upgraded(gate, caller, `${OWN}/console`))
      const session = await connectHttp2(gate)
      const socket = await extendedConnect(session, `${OWN}/console`, caller.headers)
      seen.upgrades.push(socket instanceof WebSocketCaller ? '101' : `${socket.status} ${String(socket.reason)}`)
      session.destroy()
    }
    await inDisguise(caller)
    for (const path of ['/subscriptions/T/resources', '/subscriptions/T', '/subscriptions/s/resources', '/subscriptions/S/../T/resources', '/subscriptions/S%2f..%2fT/resources', '/subscriptions//resources']) {
      seen.others.push(await through(setting, caller, 'GET', path))
    }
  }

  /** A header that some servers take for the method. */
  async function inDisguise(caller: Caller): Promise<void> {
    const as = (name: string, method: string): Caller => ({ ...caller, headers: { ...caller.headers, [name]: method } })
    for (const name of ['X-HTTP-Method-Override', 'X-HTTP-Method', 'X-Method-Override', 'X_HTTP_Method_Override']) seen.disguised.push(await through(setting, as(name, 'GET'), 'DELETE', `${OWN}/vm-1`))
    seen.disguised.push(await through(setting, as('X_HTTP_Method_Override', 'DELETE'), 'GET', `${OWN}/vm-2`))
    const names = ['X-HTTP-Method-Override', 'x-http-method', 'X-Method-Override']
    for (const name of names) seen.disguised.push(await through(setting, as(name, 'DELETE'), 'GET', `${OWN}/vm-3`))
    seen.upstream = setting.a.upstream.requests.filter(({ path }) => path.startsWith(`${OWN}/vm-`)).map(({ method, path, rawHead }) => [`${method} ${path}`, rawHead.includes('DELETE')] as const)
  }

  const duties = new Duties({
    carried: { method: 'GET', path: CARRIED }, stream: STREAM, rest: null, before: '403 elevation_required', after: '403 window_closed', reason: 'window_closed', actors: [ENGINE],
    caller: (_setting, name) => contractor(name),
    other: async ({ a }) => ({ caller: { leaf: null, headers: bearer(await tokenFor(a.issuer, 'ulla'), HOST) as Headers }, path: '/status/live' }),
    give: (_setting, caller) => contracted(caller),
    end: async ({ a }) => {
      const colleague = await contractor('colleague')
      seen.colleague = sessionOf(colleague)
      await contracted(colleague, 'T')
      seen.moved = (await word(a, OVERRIDE, { until: 'now' })).json
      seen.colleagueAfter = await through(setting, colleague, 'GET', '/subscriptions/T/resources')
      seen.restAfter = await through(setting, colleague, 'GET', '/subscriptions')
      seen.asksAgain = [(await asksFor(colleague, 'T')).status]
    },
    revive: ({ a }) => word(a, OVERRIDE, {}, 'DELETE'),
  })

  beforeAll(async () => {
    setting = await raise('s23.yaml', { adapt })
    setting.a.upstream.plays.set(STREAM, '/sse/own')
    seen.taken = takesUpgrades(setting.a)
    await endsInTheFile()
    await duties.play(setting, asksForMore)
  }, 60_000)
  afterAll(() => setting.stop())

  const own = (): readonly Line[] => duties.lines.filter(({ session }) => session === duties.session)
  const moves = (): readonly Line[] => factsIn(duties.lines, 'anchor.told')

  test('[S23.a] in the session that a broker opened it may GET on its subscription, until the contract ends', () => {
    expect(seen.rest).toEqual(both('200'))
    const carried = own().filter(({ kind, elevation }) => kind === 'exchange.opened' && elevation !== null)
    expect(carried.length).toBeGreaterThan(5)
    for (const { method, elevation, until } of carried) {
      expect([method, (elevation as Line)['profile'], (elevation as Line)['schedules']]).toEqual(['GET', 'contract', [expect.stringMatching(/^contract@/)]]) // an elevated exchange's
      expect(Number(until)).toBeLessThanOrEqual(Date.now() + 30 * DAY)
    }
  })

  test('[S23.b, S23.g] behind the end everything is refused, what it may do at rest too, and it is given nothing more', () => {
    expect([seen.colleagueAfter, seen.restAfter, seen.asksAgain]).toEqual([CLOSED, CLOSED, [403]])
    expect(duties.after).toEqual(CLOSED)
  })

  test('[S23.c] the end of the contract is moved to today: what is open is cut with the answer, by an operator\'s word and by another file', () => {
    expect(seen.moved).toMatchObject({ enforced: true, exchanges: { cut: 2 } })
    expect(seen.moved['tookMs']).toBeLessThan(BOUND)
    expect(duties.cutAfter).toBeLessThan(BOUND)
    expect([seen.cutBy, seen.behindEdit]).toEqual([[true, true], CLOSED])
  })

  test('[S23.d] any method but GET is refused', () => {
    expect(seen.methods).toEqual(METHODS.map(() => both('403 no_rule')))
    expect(seen.head).toEqual([403, 403])
  })

  test('[S23.e] a WebSocket is refused although its upgrade is a GET, over HTTP/2 too', () => expect([seen.upgrades, seen.taken]).toEqual([Array.from({ length: 4 }, () => '403 denied'), []]))

  test('[S23.f] a header that names another method changes neither the method nor the rule, and no upstream sees it', () => {
    expect(seen.disguised.slice(0, 3)).toEqual(Array.from({ length: 3 }, () => both('403 no_rule')))
    expect(seen.disguised.slice(3, 5)).toEqual([both('400 bad_request'), both('400 bad_request')])
    expect(seen.disguised.slice(5)).toEqual(Array.from({ length: 3 }, () => both('200')))
    expect(seen.upstream).toEqual(Array.from({ length: 6 }, () => [`GET ${OWN}/vm-3`, false]))
  })

  test('[S23.h] other subscriptions are refused, however they are written', () => {
    expect(seen.others.slice(0, 3)).toEqual(Array.from({ length: 3 }, () => both('403 condition_false')))
    expect(seen.others.slice(3)).toEqual(Array.from({ length: 3 }, () => both('400 bad_request')))
  })

  test('[S23.i] the change of the entitlement is on record: who moved the end and when to, and each file that was taken', () => {
    expect(moves().length).toBeGreaterThanOrEqual(2)
    expect(moves()[0]).toMatchObject({ kind: 'window', name: 'contract', by: 'https://login.example|olga', note: 'as the scenario says', matter: { is: 'window', override: { until: expect.any(Number) } } })
    const loaded = duties.lines.filter(({ kind }) => kind === 'config.loaded').map(({ digest }) => digest)
    expect(loaded).toEqual(expect.arrayContaining(seen.edited.map(({ digest }) => digest)))
  })

  test('[S23.j] the sessions that it ended are on record, each with the version of the contract that ended it', () => {
    const { version = '' } = setting.a.parts.mirror.policy.windows.get('contract') ?? {}
    const ends = duties.lines.filter(({ kind, fact }) => kind === 'fact' && (fact as Line)['what'] === 'elevation.ended' && (fact as Line)['reason'] === 'window_closed')
    const nameIn = ({ record }: Line): unknown => duties.lines.find(({ kind, session, record: of }) => kind === 'fact' && session !== null && (of as Line)['name'] === (record as Line)['name'])?.['session'] // only its opening names it
    const moved = ends.filter(({ fact }) => (fact as Line)['note'] === `contract@${version}+${String(moves()[0]?.['version'])}`)
    expect(new Set(moved.map(nameIn))).toEqual(new Set([duties.session, seen.colleague]))
    expect(moved).toHaveLength(2)
    const edited = ends.filter(line => !moved.includes(line))
    expect(edited.map(nameIn)).toEqual([seen.early])
    expect(edited).toMatchObject([{ fact: { note: expect.stringMatching(/^contract@[\w-]+\[Europe\/Berlin\]$/) } }])
  })

  test('[S23.s] an end in the file that is taken back revives nothing', () => expect(seen.behindReturn).toEqual(CLOSED))

  for (const [id, says, prove] of duties.clauses({
    whole: 'S23.k', risk: 'S23.l', digest: 'S23.m', life: 'S23.n', exchanges: 'S23.o', verify: 'S23.p', replay: 'S23.q', reconnect: 'S23.r', revive: 'S23.s', across: 'S23.t', upstream: 'S23.v', shared: 'S23.w',
  })) test(`[${id}] ${says}`, prove)

  test('[S23.u] with Redis gone no elevated call passes after the lease, and nothing of what is open', () => duties.provesGone())
})
