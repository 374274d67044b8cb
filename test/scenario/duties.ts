// What every scenario with an elevation has to show beside its own story: played once on a stage, asserted clause by clause. Whatever carries, stands open and
// ends it is the scenario's; the change is made on A and looked at on B. For tests only.
import type { ClientHttp2Session } from 'node:http2'
import { expect } from 'vitest'
import type { RecordingUpstream } from '../support/recording-upstream.ts'
import { type RawClient, request } from '../support/raw-client.ts'
import { CallerStream } from '../wire/http2-flights.ts'
import { until } from '../wire/support.ts'
import { paced, timesIn } from './brokers.ts'
import { asked, both, type Caller, connect, connectHttp2, sessionAt, type Setting, through } from './callers.ts'
import { goneForLonger, type Raised, STALE } from './pair.ts'
import { factsIn, type Line, outcome, recordsAreWhole, risksAreNamed, toldAndKept, verifyFindsEveryMissingRecord, word } from './stage.ts'

/** T of the scenarios, with room for a busy machine. That no byte passes behind the answer has no such room. */
export const BOUND = 2_000

export type Ask = { readonly method: string; readonly path: string; readonly body?: object }

const GET: Pick<Ask, 'method' | 'body'> = { method: 'GET' }
const JSON_BODY = { 'content-type': 'application/json' }

export interface Story {
  /** What the elevation carries, and what stays open of it. */
  readonly carried: Ask
  readonly stream: string
  /** How that is asked for; a GET where nothing is said. */
  readonly streamed?: Pick<Ask, 'method' | 'body'>
  /** What the caller may do at rest; null for nothing. */
  readonly rest: string | null
  /** Refusals of `carried` before there is an elevation, behind its end, and behind an end of its session. */
  readonly before: string
  readonly after: string
  /** Reason of the end, in its fact. */
  readonly reason: string
  /** Reason of the cuts, where it is another: the session ended with it. */
  readonly cut?: string
  /** Refusal for good, where something else than its session's end refuses it. */
  readonly gone?: string
  /** Its news is answered before it is in force: so many milliseconds behind that it has to be. */
  readonly within?: number
  readonly tenant?: string
  readonly actors?: readonly string[]
  /** It has three uses, no more: two of them are its streams, so that what it carries passes once, through B. */
  readonly sparing?: boolean
  /** A caller in a session of its own for each name. */
  caller(setting: Setting, name: string): Promise<Caller>
  /** Somebody else with a GET that stays open and has nothing to do with it. */
  other(setting: Setting): Promise<{ readonly caller: Caller; readonly path: string }>
  /** Gives it to the caller, in whatever way the scenario does. Its id. */
  give(setting: Setting, caller: Caller, name: string): Promise<string>
  /** Ends what the first caller was given, by news that A gets; resolves when that is answered. */
  end(setting: Setting, elevation: string): Promise<unknown>
  /** Takes the news back, as far as anybody can. */
  revive(setting: Setting): Promise<unknown>
}

/** Which clause each duty proves. */
export type Clauses = {
  readonly whole: string
  readonly risk: string
  readonly digest: string
  readonly life: string
  readonly exchanges: string
  readonly verify: string
  readonly replay: string
  readonly reconnect: string
  readonly revive: string
  readonly across: string
  readonly upstream: string
  readonly shared: string
}

type Clause = readonly [id: string, says: string, prove: () => void | Promise<void>]

const isPair = (setting: Setting): setting is Raised => 'server' in setting

/** A stream over HTTP/1.1 or HTTP/2, as far as duties look at it. */
type Open = { readonly text: () => string; readonly over: () => Promise<unknown> }

export class Duties {
  readonly #story: Story
  #setting: Setting | null = null
  readonly #seen = {
    before: [] as readonly string[], passed: [] as readonly string[], rest: [] as readonly string[], cutAfter: 0, behind: [] as number[], others: [] as boolean[], after: [] as readonly string[],
    reconnect: [] as readonly string[], revived: [] as readonly string[], ended: [] as readonly string[], told: '', kept: '-', gone: [] as readonly string[], dispatched: 0, leaked: '', session: '', aborted: false,
  }
  #lines: readonly Line[] = []
  elevation = ''

  constructor(story: Story) {
    this.#story = story
  }

  /** Where it is played. */
  get setting(): Setting {
    if (this.#setting === null) throw new Error('not played yet')
    return this.#setting
  }
  get session(): string { return this.#seen.session }
  get lines(): readonly Line[] { return this.#lines }
  /** What happened to the first caller's elevation, in order. */
  get facts(): readonly Line[] { return this.#lines.filter(({ kind, fact }) => kind === 'fact' && this.#isOurs(fact as Line)).map(({ fact }) => fact as Line) } // a fact line has one

  #isOurs(fact: Line): boolean {
    const { elevation } = fact
    return elevation === this.elevation || (elevation as { readonly id?: unknown } | undefined)?.id === this.elevation
  }

  #carried(caller: Caller): Promise<readonly string[]> {
    const { method, path, body = null } = this.#story.carried
    return through(this.setting, caller, method, path, body)
  }

  #onceAtB(caller: Caller): Promise<string> {
    const { method, path, body = null } = this.#story.carried
    return told(this.setting.b, caller, method, path, body)
  }

  /** @param more of the scenario's own, while the elevation is there */
  async play(setting: Setting, more: (caller: Caller) => Promise<void> = async () => {}): Promise<void> {
    this.#setting = setting
    const [story, seen] = [this.#story, this.#seen]
    const { a } = setting
    a.upstream.plays.set(story.stream, '/sse/own')
    if (!a.upstream.plays.has(story.carried.path)) a.upstream.plays.set(story.carried.path, '/ok')
    const caller = await story.caller(setting, 'first')
    seen.session = await sessionAt(a, caller)
    seen.before = await this.#carried(caller)
    this.elevation = await story.give(setting, caller, 'first')
    seen.passed = story.sparing === true ? both(await this.#onceAtB(caller)) : await this.#carried(caller)
    await word(a, `/v1/sessions/${seen.session}/narrow`)
    await word(a, `/v1/sessions/${seen.session}/widen`)
    await more(caller)
    await this.#endsWhileOpen(caller)
    seen.after = await this.#carried(caller)
    const { method, body = null } = story.streamed ?? GET
    seen.reconnect = await through(setting, caller, method, story.stream, body)
    if (story.rest !== null) seen.rest = await through(setting, caller, 'GET', story.rest)
    await story.revive(setting)
    const lock = (await word(a, '/v1/locks', { selector: { session: seen.session } })).json['lock'] as Line // the contract's shape
    await word(a, `/v1/locks/${String(lock['id'])}`, {}, 'DELETE')
    seen.revived = await this.#carried(caller)
    ;[seen.told, seen.kept] = isPair(setting) ? ['', ''] : await toldAndKept(a, seen.session)
    await word(a, `/v1/sessions/${seen.session}/terminate`)
    seen.ended = await this.#carried(caller)
    this.#lines = await setting.trail()
    if (isPair(setting)) await this.#storeGone(setting)
  }

  /** Its own stream stands on B twice, over both protocols, beside somebody else's. */
  async #endsWhileOpen(caller: Caller): Promise<void> {
    const [setting, story, seen] = [this.setting, this.#story, this.#seen]
    const { a, b } = setting
    const { caller: neighbour, path } = await story.other(setting)
    a.upstream.plays.set(path, '/sse/beside')
    const shared = await this.#connection(caller)
    const own = [await this.#streamed(caller), multiplexed(shared, caller, story.stream, story.streamed)]
    const beside = [await plain(b, neighbour, path), multiplexed(shared, neighbour, path)]
    const stop = paced(a, 'own', 'beside')
    await Promise.all([...own, ...beside].map((open, i) => until(() => timesIn(open.text()).length > 3, `stream ${i} to be under way: ${open.text().slice(0, 300)}`)))
    await story.end(setting, this.elevation)
    const answered = performance.now()
    await Promise.all(own.map(({ over }) => over()))
    seen.cutAfter = performance.now() - answered
    const at = answered + (story.within ?? 0)
    await until(() => beside.every(({ text }) => timesIn(text()).some(time => time > at + 50)), 'what was written for the others since')
    stop()
    seen.behind = own.flatMap(({ text }) => timesIn(text())).filter(time => time > at)
    seen.others = [...beside.map(({ text }) => timesIn(text()).some(time => time > at + 50)), !shared.closed && !shared.destroyed]
    await abortedAt(a.upstream, story.stream)
    seen.aborted = true
    shared.destroy()
  }

  #streamed(caller: Caller): Promise<Open> {
    return plain(this.setting.b, caller, this.#story.stream, this.#story.streamed)
  }

  async #connection(caller: Caller): Promise<ClientHttp2Session> {
    const session = connectHttp2(this.setting.b, caller)
    await until(() => session.remoteSettings !== undefined && !session.connecting, 'the shared connection')
    return session
  }

  async #storeGone(pair: Raised): Promise<void> {
    const [story, seen] = [this.#story, this.#seen]
    const caller = await story.caller(pair, 'last')
    await sessionAt(pair.a, caller)
    await story.give(pair, caller, 'last')
    expect(await this.#carried(caller), 'carried before the store goes').toEqual(['200', '200'])
    const open = await this.#streamed(caller)
    await until(() => open.text().includes('200'), 'its head')
    await goneForLonger(pair)
    const requests = pair.a.upstream.requests.length
    const before = open.text()
    pair.a.upstream.feed('own').emit('nobody hears this')
    seen.gone = await this.#carried(caller)
    seen.dispatched = pair.a.upstream.requests.length - requests
    seen.leaked = open.text().slice(before.length)
  }

  /** Duties as tests, made before it is played: `for (const [id, says, prove] of duties.clauses({ … })) test(\`[${id}] ${says}\`, prove)`. */
  clauses({ whole, risk, digest, life, exchanges, verify, replay, reconnect, revive, across, upstream, shared }: Clauses): readonly Clause[] {
    const [story, seen] = [this.#story, this.#seen]
    const { tenant = 'acme', actors = ['scheduler', 'olga'] } = story
    const twice = (told: string): readonly string[] => [told, told]
    return [
      [whole, 'each record names who, for whom, with what, where, what was decided and why, and what went through', () => recordsAreWhole(this.#lines, seen.session, { tenant, actors: [...actors] })],
      [risk, 'each record names the risk before and after', () => risksAreNamed(this.#lines, this.setting.a)],
      [digest, 'each record has the digest of the arguments', () => this.#digests()],
      [life, 'the life of the elevation is there, from the request to its end with the reason', () => this.#lived()],
      [exchanges, 'the life of each exchange is there: opened, and cut with grant and latency', () => this.#exchanged()],
      [verify, '`audit verify` passes, and fails when one record is removed, whichever', async () => { if (!isPair(this.setting)) await verifyFindsEveryMissingRecord(this.setting.a) }],
      [replay, 'the same token again is refused: behind the end, and for good behind the end of its session', () => expect([seen.before, seen.passed, seen.after, seen.ended]).toEqual([twice(story.before), ['200', '200'], twice(story.after), twice(story.gone ?? '401 credential_revoked')])],
      [reconnect, 'reconnecting behind the cut is refused, over either gateway', () => expect(seen.reconnect).toEqual(twice(story.after))],
      [revive, 'taking the news back, or a lock on the session, revives nothing', () => expect(seen.revived).toEqual(twice(story.after))],
      [across, `what A hears is enforced on B ${story.within === undefined ? 'before it is answered' : `within ${story.within} ms of its answer`}, and no byte of what ended follows`, () => {
        expect(seen.behind).toEqual([])
        expect(seen.cutAfter).toBeLessThan(BOUND)
        expect(seen.aborted).toBe(true)
        expect(seen.told).toBe(seen.kept)
      }],
      [upstream, 'another session\'s traffic on the same upstream keeps flowing', () => expect(seen.others[0]).toBe(true)],
      [shared, 'another session\'s traffic on the same HTTP/2 connection keeps flowing, and the connection stays', () => expect(seen.others.slice(1)).toEqual([true, true])],
    ]
  }

  /** On the pair: with the store gone no elevated call passes after the lease, and nothing of what is open. */
  provesGone(): void {
    if (!isPair(this.setting)) return
    const { gone, dispatched, leaked } = this.#seen
    expect([gone, dispatched, leaked]).toEqual([STALE, 0, ''])
  }

  /** What its caller may do at rest goes on. */
  get rest(): readonly string[] { return this.#seen.rest }
  get after(): readonly string[] { return this.#seen.after }
  get before(): readonly string[] { return this.#seen.before }
  get cutAfter(): number { return this.#seen.cutAfter }

  #digests(): void {
    const own = this.#lines.filter(({ kind, session }) => (kind === 'exchange.opened' || kind === 'request.refused') && session === this.session)
    expect(own.length).toBeGreaterThan(0)
    for (const line of own) {
      expect(line).toHaveProperty('queryDigest')
      expect(line).toHaveProperty('bodyDigest')
    }
    const { path, body } = this.#story.carried
    const [place, query] = path.split('?')
    const refused = own.filter(({ kind, path: of }) => kind === 'request.refused' && of === place)
    expect(refused.map(({ queryDigest }) => typeof queryDigest)).toContain(query === undefined ? 'object' : 'string')
    const carried = own.filter(line => line['kind'] === 'exchange.opened' && line['path'] === place && line['elevation'] !== null)
    expect(carried.length).toBeGreaterThan(0)
    for (const { queryDigest, bodyDigest } of carried) expect([typeof queryDigest === 'string', typeof bodyDigest === 'string']).toEqual([path.includes('?'), body !== undefined])
  }

  #lived(): void {
    const told = this.facts.map(({ what }) => String(what))
    expect(told.filter(what => what !== 'elevation.approved' && what !== 'elevation.scheduled' && what !== 'elevation.spent')).toEqual(['elevation.requested', 'elevation.activated', 'elevation.suspended', 'elevation.resumed', 'elevation.ended'])
    expect(factsIn(this.#lines, 'elevation.ended').find(fact => this.#isOurs(fact))).toMatchObject({ reason: this.#story.reason })
    const uses = this.#lines.filter(({ kind, elevation }) => kind === 'exchange.opened' && (elevation as Line | null)?.['id'] === this.elevation)
    expect(uses.length).toBeGreaterThanOrEqual(this.#story.sparing === true ? 3 : 4)
  }

  #exchanged(): void {
    const cuts = this.#lines.filter(({ kind, session }) => kind === 'exchange.cut' && session === this.session)
    expect(cuts.length).toBeGreaterThanOrEqual(2)
    for (const cut of cuts.slice(0, 2)) {
      expect(cut).toMatchObject({ reason: this.#story.cut ?? this.#story.reason, grant: this.elevation, latencyMs: expect.any(Number) })
      expect(cut['latencyMs']).toBeLessThan(BOUND)
      expect(this.#lines.filter(({ exchange }) => exchange === cut['exchange']).map(({ kind }) => kind)).toEqual(['exchange.opened', 'exchange.cut', 'exchange.closed'])
    }
  }
}

async function abortedAt(upstream: RecordingUpstream, path: string): Promise<void> {
  for (const recorded of upstream.requests.filter(each => each.path === path)) await until(() => recorded.abortedAt > 0, 'the upstream to see the end')
}

async function plain(gate: Setting['a'], caller: Caller, path: string, { method, body } = GET): Promise<Open> {
  const client: RawClient = await connect(gate, caller)
  await client.send(body === undefined ? request(method, path, caller.headers) : request(method, path, { ...caller.headers, ...JSON_BODY }, JSON.stringify(body)))
  const { status } = await client.head()
  expect(status, `${path}: ${client.bytes().toString()}`).toBe(200)
  return { text: () => client.bytes().toString('latin1'), over: () => client.response().catch(() => null) } // by a reset, or at an event's end
}

function multiplexed(session: ClientHttp2Session, { headers: { host = 'api.test', ...headers } }: Caller, path: string, { method, body } = GET): Open {
  const stream = new CallerStream(session, method, path, { ':authority': host, ...headers, ...(body === undefined ? {} : JSON_BODY) })
  if (body !== undefined) stream.raw.end(JSON.stringify(body))
  return { text: () => stream.body, over: () => stream.over() }
}

/** One request as the caller makes it: `200`, or what refused it. */
export const told = async (gate: Setting['a'], caller: Caller, method: string, path: string, body: object | null = null): Promise<string> => outcome(await asked(gate, caller, method, path, body))
