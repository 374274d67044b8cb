// Turns that an orchestrator signed, over real sockets, on one gateway and on two over one Redis: what a turn was given ends where the next one begins, open streams included,
// and none comes back; what is not signed for this caller, in time, by the right key, is as if it were not shown. SPEC: PUR5, PUR6
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { SessionStore } from '../../src/sessions/store.ts'
import { StoreFault } from '../../src/sessions/store-fault.ts'
import { BROKERS, brokerPlan, opened } from '../support/brokers.ts'
import { type Answer, type GatewayPair, TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { RedisServer } from '../support/redis-server.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { type Tap, TapUpstream, until } from './support.ts'

let directory: string
let server: RedisServer
let upstream: TapUpstream
let orchestrator: TokenIssuer
let alone: TestGateway
let pair: GatewayPair
/** No write of a turn's progress is taken while it stands. */
let storeFails = false

const failing = (store: SessionStore): SessionStore => new Proxy(store, {
  get: (target, name): unknown => {
    const member: unknown = Reflect.get(target, name, target)
    if (name === 'commitRestrictive') return async (...given: Parameters<SessionStore['commitRestrictive']>) => {
      if (storeFails && given[0].ref.kind === 'turn') throw new StoreFault('failed', 'for the test')
      return target.commitRestrictive(...given)
    }
    return typeof member === 'function' ? member.bind(target) : member
  },
})

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-turns-'))
  ;[server, upstream, orchestrator] = await Promise.all([RedisServer.start(), TapUpstream.start(), TokenIssuer.create({ algorithm: 'ES256' })])
  const jwksFile = join(directory, 'orchestrator.json')
  await orchestrator.writeJwks(jwksFile)
  const plan = {
    routes: `
- name: crm
  match: { host: api.test }
  upstream: { url: "${upstream.origin}" }
  rules:
    - { allow: { paths: ["/*/base"] }, scope: base:use }
    - { allow: { paths: ["/*/customer"] }, scope: crm:read }`,
    baseline: '[{ scopes: [base:use] }]',
    elevations: 'customer: { adds: [crm:read], for: 10m, purpose: [turn] }',
    more: `purposes: { turn: { signed: { header: x-turn, jwksFile: "${jwksFile}", within: talk } } }`,
  }
  alone = await TestGateway.start({ ...plan, wrapStore: failing })
  pair = await TestGateway.pair(server, { ...plan, store: 'lease: 1s, hold: { requests: 5s, streams: 30s }' })
})
afterEach(() => {
  storeFails = false
})
afterAll(async () => {
  await Promise.all([alone.stop(), pair.stop()])
  await Promise.all([upstream.close(), server.dispose()])
  rmSync(directory, { recursive: true, force: true })
})

type Claims = { readonly [name: string]: unknown }
/** A conversation of a fresh session, as its orchestrator signs its turns. */
type Talk = { readonly token: string; readonly turn: (at: number, claims?: Claims) => Promise<string> }
let talks = 0
async function newTalk(gate: TestGateway): Promise<Talk> {
  const talk = `c-${++talks}`
  return { token: await gate.token(), turn: (at, claims = {}) => orchestrator.sign({ iss: undefined, aud: undefined, client_id: undefined, talk, turn: at, ...claims }, { header: { typ: undefined } }) }
}

let asked = 0
const freshPath = (place: 'base' | 'customer'): string => `/t${++asked}/${place}`
/** 200 where it reached the upstream, else the reason of its refusal. */
async function outcome(gate: TestGateway, place: 'base' | 'customer', token: string, turn: string | null): Promise<unknown> {
  const path = freshPath(place)
  let answered = false
  const answer = gate.ask('GET', path, { authorization: `Bearer ${token}`, ...(turn === null ? {} : { 'x-turn': turn }) }).finally(() => (answered = true))
  await until(() => answered || upstream.taps.has(path), `an outcome of ${path}`)
  const tap = upstream.taps.get(path)
  expect(tap?.message.headers['x-turn']).toBeUndefined()
  tap?.answer.end('ok')
  const { status, json } = await answer
  return status === 200 ? status : json['reason']
}

const ask = (gate: TestGateway, token: string, turn: string | null): Promise<Answer> =>
  gate.ask('POST', '/.narrowgate/elevations', { authorization: `Bearer ${token}`, 'content-type': 'application/json', ...(turn === null ? {} : { 'x-turn': turn }) }, JSON.stringify({ profile: 'customer' }))

async function granted(gate: TestGateway, token: string, turn: string): Promise<string> {
  const { status, text, json } = await ask(gate, token, turn)
  expect(status, text).toBe(201)
  return String(json['id'])
}

type Stream = { readonly client: RawClient; readonly tap: Tap }
async function stream(gate: TestGateway, place: 'base' | 'customer', token: string, turn: string): Promise<Stream> {
  const [path, client] = [freshPath(place), await RawClient.connect(gate.target)]
  client.push(request('GET', path, { authorization: `Bearer ${token}`, 'x-turn': turn }))
  const tap = await upstream.tap(path)
  tap.beginEvents()
  expect((await client.head()).status).toBe(200)
  tap.emit()
  await until(() => client.bodyBytes === tap.sent, 'the first event')
  return { client, tap }
}

/** Cut towards both sides, between two events: nothing passes any more, on a connection that stays. */
async function isCut({ client, tap }: Stream): Promise<void> {
  await until(() => tap.abortedAt > 0, 'the upstream is let go')
  expect((await client.response()).body.toString()).toBe(tap.text)
  client.close()
}

async function lives({ client, tap }: Stream): Promise<void> {
  tap.emit()
  await until(() => client.bodyBytes === tap.sent, 'another event')
}

const lastRefusal = async (gate: TestGateway): Promise<Record<string, unknown> | undefined> => (await gate.trail()).findLast(({ kind }) => kind === 'request.refused')
async function counted(gate: TestGateway, fault: string): Promise<number> {
  const { text } = await gate.ops('/metrics')
  return Number(new RegExp(`^narrowgate_purposes_refused_total\\{purpose="turn",fault="${fault}"\\} (\\d+)$`, 'm').exec(text)?.[1] ?? 0)
}

describe('when the next turn begins', () => {
  test('[PUR6, S4] what its predecessor was given ends, its open stream is cut, its late retry is refused and told as a reuse; the baseline goes on', async () => {
    const { token, turn } = await newTalk(alone)
    const [seven, eight] = [await turn(7), await turn(8)]
    const id = await granted(alone, token, seven)
    const [elevated, plain] = [await stream(alone, 'customer', token, seven), await stream(alone, 'base', token, seven)]
    expect(await outcome(alone, 'customer', token, seven)).toBe(200)
    const before = await counted(alone, 'purpose_reused')
    expect(await outcome(alone, 'base', token, eight)).toBe(200)
    await isCut(elevated)
    await lives(plain)
    expect(await outcome(alone, 'customer', token, seven)).toBe('purpose_over')
    expect(await lastRefusal(alone)).toMatchObject({ reason: 'purpose_over', fault: 'purpose_reused', purposes: { turn: '7' } })
    expect(await outcome(alone, 'customer', token, eight)).toBe('elevation_required')
    expect(await ask(alone, token, seven)).toMatchObject({ status: 403, json: { reason: 'purpose_over' } })
    expect(await outcome(alone, 'base', token, seven)).toBe(200)
    expect(await counted(alone, 'purpose_reused')).toBe(before + 3)
    await lives(plain)
    plain.client.close()
    const facts = (await alone.trail()).filter(({ kind }) => kind === 'fact').map(({ fact }) => fact)
    expect(facts).toContainEqual(expect.objectContaining({ what: 'elevation.ended', elevation: id, reason: 'purpose_over' }))
  })

  test('[PUR6, S4] a late retry is over, not merely another purpose, while the new turn has its own', async () => {
    const { token, turn } = await newTalk(alone)
    const [seven, eight] = [await turn(7), await turn(8)]
    await granted(alone, token, seven)
    await granted(alone, token, eight)
    expect([await outcome(alone, 'customer', token, eight), await outcome(alone, 'customer', token, seven), await outcome(alone, 'customer', token, null)]).toEqual([200, 'purpose_over', 'purpose_missing'])
  })

  test('[PUR6] a turn that was skipped is over before it was ever shown', async () => {
    const { token, turn } = await newTalk(alone)
    expect(await outcome(alone, 'base', token, await turn(9))).toBe(200)
    expect((await ask(alone, token, await turn(8))).json['reason']).toBe('purpose_over')
  })

  test('[PUR6] another conversation goes on', async () => {
    const [one, two] = [await newTalk(alone), await newTalk(alone)]
    const seven = await one.turn(7)
    await granted(alone, one.token, seven)
    const open = await stream(alone, 'customer', one.token, seven)
    expect(await outcome(alone, 'base', two.token, await two.turn(8))).toBe(200)
    await lives(open)
    expect(await outcome(alone, 'customer', one.token, seven)).toBe(200)
    open.client.close()
  })

  test('[PUR6] many requests of two turns at once: the earlier one is over behind them, whichever came first', async () => {
    const { token, turn } = await newTalk(alone)
    const [seven, eight] = [await turn(7), await turn(8)]
    await granted(alone, token, seven)
    const outcomes = await Promise.all([seven, eight, seven, eight, eight, seven].map(each => outcome(alone, 'base', token, each)))
    expect(outcomes).toEqual(outcomes.map(() => 200))
    expect(await outcome(alone, 'customer', token, seven)).toBe('purpose_over')
  })

  test('[PUR6] where the store does not take it nothing elevated passes, in either turn, and the baseline goes on', async () => {
    const { token, turn } = await newTalk(alone)
    const [seven, eight] = [await turn(7), await turn(8)]
    await granted(alone, token, seven)
    const open = await stream(alone, 'customer', token, seven)
    storeFails = true
    expect([await outcome(alone, 'base', token, eight), await outcome(alone, 'customer', token, eight), (await ask(alone, token, eight)).json['reason']]).toEqual([200, 'elevation_required', 'purpose_missing'])
    expect(await lastRefusal(alone)).toMatchObject({ fault: 'purpose_unheard' })
    expect(await outcome(alone, 'customer', token, seven)).toBe('purpose_over')
    await isCut(open)
    storeFails = false
    expect((await ask(alone, token, eight)).status).toBe(201)
  })
})

describe('over two gateways', () => {
  test('[PUR6, S4] a turn that begins at one ends its predecessor at the other: its stream, its retry, its asking', async () => {
    const { a, b } = pair
    const { token, turn } = await newTalk(a)
    const [seven, eight] = [await turn(7), await turn(8)]
    await granted(b, token, seven)
    const streams = [await stream(b, 'customer', token, seven), await stream(a, 'customer', token, seven)]
    expect(await outcome(a, 'base', token, eight)).toBe(200)
    expect(await outcome(b, 'customer', token, seven)).toBe('purpose_over')
    for (const each of streams) await isCut(each)
    for (const gate of [a, b]) {
      expect(await outcome(gate, 'customer', token, seven)).toBe('purpose_over')
      expect(await lastRefusal(gate)).toMatchObject({ fault: 'purpose_reused' })
      expect((await ask(gate, token, seven)).json['reason']).toBe('purpose_over')
      expect(await outcome(gate, 'base', token, seven)).toBe(200)
    }
    expect((await ask(b, token, eight)).status).toBe(201)
    expect(await outcome(a, 'customer', token, eight)).toBe(200)
  })

  test('[PUR6] turns that begin at both at once leave the later one, everywhere', async () => {
    const { a, b } = pair
    for (let round = 0; round < 5; round++) {
      const { token, turn } = await newTalk(a)
      const [seven, eight] = [await turn(7), await turn(8)]
      await Promise.all([outcome(a, 'base', token, seven), outcome(b, 'base', token, eight), outcome(b, 'base', token, seven), outcome(a, 'base', token, eight)])
      for (const gate of [a, b]) expect((await ask(gate, token, seven)).json['reason']).toBe('purpose_over')
      expect((await ask(a, token, eight)).status).toBe(201)
    }
  })
})

describe('what does not count', () => {
  const CASES: readonly (readonly [string, string, (talk: Talk) => Promise<string>])[] = [
    ['purpose_foreign', 'of another subject', ({ turn }) => turn(7, { sub: 'agent-2' })],
    ['purpose_foreign', 'of another session of the same subject', ({ turn }) => turn(7, { sid: 'another' })],
    ['purpose_foreign', 'for nobody in particular', ({ turn }) => turn(7, { sub: undefined })],
    ['purpose_untimely', 'that has expired', ({ turn }) => turn(7, { exp: Math.floor(Date.now() / 1000) - 10 })],
    ['purpose_untimely', 'that is not valid yet', ({ turn }) => turn(7, { nbf: Math.floor(Date.now() / 1000) + 60 })],
    ['purpose_unverified', 'without an end', ({ turn }) => turn(7, { exp: undefined })],
    ['purpose_unverified', 'by another key', ({ token }) => Promise.resolve(token)],
    ['purpose_unverified', 'that was changed', async ({ turn }) => (await turn(7)).replace(/\.[^.]+\./, `.${Buffer.from(JSON.stringify({ sub: 'agent-1', turn: 9, exp: 9_999_999_999 })).toString('base64url')}.`)],
  ]
  test.each(CASES)('[PUR5] %s: a turn %s opens nothing, ends nothing, and is counted; the baseline goes on', async (fault, _, shown) => {
    const talk = await newTalk(alone)
    const six = await talk.turn(6)
    await granted(alone, talk.token, six)
    const [text, before] = [await shown(talk), await counted(alone, fault)]
    expect([await outcome(alone, 'customer', talk.token, text), (await ask(alone, talk.token, text)).json['reason'], await outcome(alone, 'base', talk.token, text)]).toEqual(['purpose_missing', 'purpose_missing', 200])
    expect(await lastRefusal(alone)).toMatchObject({ reason: 'purpose_missing', fault, purposes: {} })
    expect(await counted(alone, fault)).toBe(before + 3)
    expect(await outcome(alone, 'customer', talk.token, six)).toBe(200)
  })

  test('[PUR5, S4] the turn of another conversation opens nothing of this one', async () => {
    const [one, two] = [await newTalk(alone), await newTalk(alone)]
    await granted(alone, one.token, await one.turn(7))
    expect(await outcome(alone, 'customer', one.token, await two.turn(8))).toBe('purpose_mismatch')
  })

  test('[PUR5] a stream ends with the word that it was opened with', async () => {
    const { token, turn } = await newTalk(alone)
    const seven = await turn(7)
    await granted(alone, token, seven)
    const short = await turn(7, { exp: Math.floor(Date.now() / 1000) - 3 }) // its end and the tolerance
    const [open, stays] = [await stream(alone, 'customer', token, short), await stream(alone, 'customer', token, seven)]
    await isCut(open)
    await lives(stays)
    expect([await outcome(alone, 'customer', token, short), await outcome(alone, 'customer', token, seven)]).toEqual(['purpose_missing', 200])
    stays.client.close()
  })

  test.each<[string, (turn: Talk['turn']) => Promise<string>]>([
    ['twice', async turn => `${await turn(7)}\r\nX-Turn: ${await turn(7)}`], ['two in one line', async turn => `${await turn(7)}, ${await turn(7)}`], ['no JWS', async () => '7'], ['nothing', async () => ''],
    ['too long', turn => turn(7, { more: 'x'.repeat(4_096) })], ['no place in its order', turn => turn(7, { turn: 'seventh' })], ['no value', turn => turn(7, { turn: undefined })],
  ])('[PUR5] %s: malformed, on the baseline too', async (_, shown) => {
    const { token, turn } = await newTalk(alone)
    const [path, client] = [freshPath('base'), await RawClient.connect(alone.target)]
    client.push(request('GET', path, { authorization: `Bearer ${token}`, 'x-turn': await shown(turn) }))
    const { status, body } = await client.response()
    expect([status, (JSON.parse(body.toString()) as { reason: string }).reason, upstream.taps.has(path)]).toEqual([400, 'bad_request', false])
    client.close()
  })

  test('[PUR5] a reload with other keys forgets what was verified by the old ones', async () => {
    const { token, turn } = await newTalk(alone)
    const seven = await turn(7)
    await granted(alone, token, seven)
    expect(await outcome(alone, 'customer', token, seven)).toBe(200)
    await orchestrator.rotate()
    await orchestrator.writeJwks(join(directory, 'orchestrator.json'))
    expect(await outcome(alone, 'customer', token, seven)).toBe(200)
    expect((await alone.gateway.reload('test')).ok).toBe(true)
    expect([await outcome(alone, 'customer', token, seven), await outcome(alone, 'customer', token, await turn(7))]).toEqual(['purpose_missing', 200])
  })
})

test('[PUR4, PUR5] the session of a broker serves no request whose signed word for its purpose does not count, or says another thing', async () => {
  const keys = await TokenIssuer.create()
  const jwksFile = join(directory, 'tasks.json')
  await keys.writeJwks(jwksFile)
  const plan = await brokerPlan({ brokers: BROKERS.replace('profiles: [fix], max: 2h', 'profiles: [ticketed], max: 2h') })
  const gate = await TestGateway.start({ ...plan, config: made => plan.config?.(made).replace('{ header: x-task, source: manual }', `{ signed: { header: x-task, jwksFile: "${jwksFile}" } }`) ?? '' })
  try {
    const { token } = await opened(gate, 'loose', { purpose: { task: 'T-3' }, profiles: [{ profile: 'ticketed' }] })
    const signed = (task: string, sub = 'triage'): Promise<string> => keys.sign({ task, sub }, { header: { typ: 'purpose+jwt' } })
    const removes = async (task: string | null): Promise<unknown> => {
      const { status, json } = await gate.ask('DELETE', '/x', { authorization: `Bearer ${token}`, ...(task === null ? {} : { 'x-task': task }) })
      return status === 200 ? status : json['reason']
    }
    expect([await removes(null), await removes(await signed('T-3')), await removes(await signed('T-4')), await removes(await signed('T-3', 'other'))]).toEqual([200, 200, 'purpose_mismatch', 'purpose_mismatch'])
  } finally {
    await gate.stop()
  }
})
