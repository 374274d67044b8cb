// What a caller began under /.narrowgate/ and has not finished: open event streams, waits, bodies on their way. None of it outlives the right
// to it, none of it reaches another life of the session, and none of it takes the room or the process from everybody else.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { newSignalId } from '../../src/runtime/id.ts'
import { SESSION_LISTENERS_MAX } from '../../src/enforcement/hub.ts'
import { TestGateway } from '../support/gateway.ts'
import { RawClient, request } from '../support/raw-client.ts'
import { planFor, takeOff, TapUpstream, until } from './support.ts'

const OPERATORS = { operator: ['corp|operator', 'operator'], ann: ['corp|ann', 'approver'], bob: ['https://login.example|bob', 'approver'] } as const
type Who = keyof typeof OPERATORS
type Claims = { readonly [name: string]: unknown }
const tokenOf = (who: Who): string => `nga_${who.padEnd(42, 'x')}A`

let upstream: TapUpstream
let directory: string
let gate: TestGateway
let turn = 0
const clients: RawClient[] = []

const bearer = (text: string) => ({ authorization: `Bearer ${text}` })

beforeAll(async () => {
  directory = mkdtempSync(join(tmpdir(), 'ng-standing-'))
  mkdirSync(join(directory, 'state'), { mode: 0o700 })
  writeFileSync(join(directory, 'state', 'admin.token'), `${tokenOf('operator')}\n`, { mode: 0o600 })
  const tokens = Object.entries(OPERATORS).map(([name, [identity, role]]) => ({ name, sha256: createHash('sha256').update(tokenOf(name as Who)).digest('base64url'), roles: [role], identity })) // keys of the literal above
  writeFileSync(join(directory, 'operators.json'), JSON.stringify({ tokens }), { mode: 0o600 })
  upstream = await TapUpstream.start()
  gate = await TestGateway.start(planFor(upstream, {
    directory,
    elevations: `
plain: { adds: [extra:use], for: 10m, max: 1h }
ticketed: { adds: [extra:use], for: 10m, purpose: [ticket] }
guarded: { adds: [extra:use], for: 10m, approval: { by: approver, within: 10m } }`,
    more: `
purposes: { ticket: { header: narrowgate-ticket, source: manual } }
admin: { auth: { tokenFile: ${directory}/operators.json } }`,
  }))
})
afterAll(async () => {
  await gate.stop()
  await upstream.close()
  rmSync(directory, { recursive: true, force: true })
})
afterEach(async () => {
  for (const client of clients.splice(0)) client.close()
  await until(() => gate.parts.hub.size === 0, 'every listener to be gone')
})

// ---- how tests speak

/** A subject of its own, so that a lock on it meets no other test. */
async function caller(claims: Claims = {}, issued: { readonly now?: number; readonly lifetime?: number } = {}) {
  const [sub, sid] = [`caller-${++turn}`, `sid-${turn}`]
  const again = (more: Claims = {}, at: typeof issued = {}): Promise<string> => gate.issuer.sign({ sub, sid, ...more }, at)
  const token = await again(claims, issued)
  return { sub, token, again, ...(await gate.session(token)) }
}

async function connected(): Promise<RawClient> {
  const client = await RawClient.connect(gate.target)
  clients.push(client)
  return client
}

async function listening(token: string): Promise<RawClient> {
  const client = await connected()
  await client.send(request('GET', '/.narrowgate/events', bearer(token)))
  return client
}

async function streaming(token: string): Promise<RawClient> {
  const client = await listening(token)
  expect((await client.head()).status).toBe(200)
  return client
}

const textOf = (client: RawClient): string => client.bytes().toString('utf8')

async function operate(path: string, body: Claims = {}, who: Who = 'operator') {
  const response = await fetch(`http://${gate.gateway.front.address('admin')}${path}`, { method: 'POST', headers: { ...bearer(tokenOf(who)), 'content-type': 'application/json' }, body: JSON.stringify({ reason: 'test', ...body }) })
  return { status: response.status, json: (await response.json()) as Claims } // an answer of the API
}

async function view(elevation: string): Promise<Claims> {
  const response = await fetch(`http://${gate.gateway.front.address('admin')}/v1/elevations/${elevation}`, { headers: bearer(tokenOf('operator')) })
  return (await response.json()) as Claims // an answer of the API
}

async function lock(selector: Claims, effect = 'deny'): Promise<void> {
  const { status, json } = await operate('/v1/locks', { selector, effect })
  expect(status, JSON.stringify(json)).toBe(200)
}

const ask = (token: string, body: Claims) => gate.ask('POST', '/.narrowgate/elevations', bearer(token), JSON.stringify(body))
const elevationsOf = (id: string): readonly unknown[] | undefined => gate.parts.mirror.byId(id)?.record.elevations
const reasonOf = (body: Buffer | string): unknown => (JSON.parse(body.toString()) as Claims)['reason'] // problem+json

/** The head of an ask, with its body to come; settles when the gateway has had every occasion to look at the head. */
async function halfAsked(token: string, body: string): Promise<RawClient> {
  const client = await connected()
  await client.send(request('GET', '/.narrowgate/session', bearer(token)))
  await client.response()
  await client.send(request('POST', '/.narrowgate/elevations', { ...bearer(token), 'content-length': String(body.length) }))
  for (let i = 0; i < 3; i++) await gate.session(token)
  return client
}

describe('an event stream', () => {
  test('[ADM6, ENF7, ENF9] of a session that is terminated with something open: the exchange is cut, nobody writes behind the end', async () => {
    const faults: unknown[] = []
    const watch = (error: unknown): void => void faults.push(error)
    const theirs = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException').on('uncaughtException', watch)
    try {
      const { token, id } = await caller()
      const events = await streaming(token)
      const flights = [await takeOff(gate, upstream, 'download', 'base', token), await takeOff(gate, upstream, 'sse', 'base', token)]
      const before = gate.parts.hub.size
      const { status, json } = await operate(`/v1/sessions/${id}/terminate`)
      expect([status, json['exchanges']]).toEqual([200, expect.objectContaining({ cut: 2 })])
      expect((await events.response()).complete).toBe(true)
      expect(textOf(events).match(/^event: .+$/gm)?.at(-1)).toBe('event: session.revoked')
      await until(() => flights.every(({ tap }) => tap.abortedAt > 0), 'the cut upstream')
      await until(() => gate.parts.hub.size === before - 1, 'the listener to be gone')
      expect((await gate.session(await gate.token())).id).not.toBe(id)
      for (const { client } of flights) client.close()
      expect(faults).toEqual([])
    } finally {
      process.removeAllListeners('uncaughtException')
      for (const listener of theirs) process.on('uncaughtException', listener)
    }
  })

  const LOCKS: readonly (readonly [what: string, selectorOf: (who: { readonly sub: string; readonly id: string }) => Claims])[] = [
    ['subject', ({ sub }) => ({ subject: sub })],
    ['session', ({ id }) => ({ session: id })],
    ['credential', ({ id }) => ({ credential: gate.parts.mirror.byId(id)?.record.credential.id })],
  ]
  for (const [what, selectorOf] of LOCKS) {
    test(`[ADM2, ENF8] ends with a lock on the ${what}, and tells nothing of what follows`, async () => {
      const who = await caller()
      const bystander = await caller()
      const [events, others] = [await streaming(who.token), await streaming(bystander.token)]
      await lock(selectorOf(who))
      await operate(`/v1/sessions/${who.id}/narrow`)
      expect((await events.response()).complete).toBe(true)
      expect(textOf(events)).not.toContain('event:')
      await operate(`/v1/sessions/${bystander.id}/narrow`)
      await others.until(() => textOf(others).includes('event: session.narrowed'))
    })
  }

  test('[ADM2, ENF6] stays under a lock that only freezes', async () => {
    const who = await caller()
    const events = await streaming(who.token)
    await lock({ subject: who.sub }, 'freeze')
    await operate(`/v1/sessions/${who.id}/narrow`)
    await events.until(() => textOf(events).includes('event: session.narrowed'))
  })

  test('[ADM2, SES6] ends with the newest credential of its session, and not before', async () => {
    const brief = { lifetime: -1 } // within the tolerance of 5 s
    const [left, renewed] = [await caller({}, brief), await caller({}, brief)]
    const [ending, staying] = [await streaming(left.token), await streaming(renewed.token)]
    await gate.session(await renewed.again())
    expect((await ending.response()).complete).toBe(true)
    expect(Date.now()).toBeGreaterThanOrEqual(gate.parts.mirror.byId(left.id)?.record.credential.expiresAt ?? Infinity)
    await operate(`/v1/sessions/${renewed.id}/narrow`)
    await staying.until(() => textOf(staying).includes('event: session.narrowed'))
  })

  test('[SES8, ADM2] a session has few of them, and what is over the limit is refused and counted', async () => {
    const counted = async (limit: string): Promise<number> => (await gate.parts.metrics.limitReached.get()).values.find(({ labels }) => labels.limit === limit)?.value ?? 0
    const [greedy, other] = [await caller(), await caller()]
    const open = await Promise.all(Array.from({ length: SESSION_LISTENERS_MAX }, () => streaming(greedy.token)))
    const waiting = await ask(greedy.token, { profile: 'guarded' })
    const over = await listening(greedy.token)
    const { status, body } = await over.response()
    expect([status, reasonOf(body)]).toEqual([403, 'limit_reached'])
    const wait = await gate.ask('GET', `/.narrowgate/elevations/${String(waiting.json['id'])}?wait=60`, bearer(greedy.token))
    expect([wait.status, wait.json['reason']]).toEqual([403, 'limit_reached'])
    expect(await counted('session_event_listeners')).toBe(2)
    await streaming(other.token)
    open[0]?.close()
    await until(() => gate.parts.hub.size === SESSION_LISTENERS_MAX, 'a place')
    await streaming(greedy.token)
  })

  test('[ADM6, ADM17] of an operator that can not be had is refused, never empty', async () => {
    const stops: (() => void)[] = []
    for (let stop = gate.parts.hub.subscribe(() => undefined); stop !== null; stop = gate.parts.hub.subscribe(() => undefined)) stops.push(stop)
    const answer = await gate.admin('GET', '/v1/events')
    for (const stop of stops) stop()
    expect([answer.status, answer.json['title']]).toEqual([503, 'limit reached'])
  })
})

describe('a wait', () => {
  test('[ADM2, ENF8] ends with a lock, as a refusal', async () => {
    const { sub, token } = await caller()
    const { json } = await ask(token, { profile: 'guarded' })
    const client = await connected()
    const started = performance.now()
    await client.send(request('GET', `/.narrowgate/elevations/${String(json['id'])}?wait=60`, bearer(token)))
    await until(() => gate.parts.hub.size === 1, 'the wait')
    await lock({ subject: sub })
    const { status, body } = await client.response()
    expect([status, reasonOf(body)]).toEqual([403, 'locked'])
    expect(performance.now() - started).toBeLessThan(8_000)
  })
})

describe('a body that comes late', () => {
  const body = JSON.stringify({ profile: 'plain' })

  test('[SES3, SES4] after a revocation reaches neither its own life nor the next', async () => {
    const { token, again, id } = await caller({}, { now: Date.now() - 100_000 })
    const client = await halfAsked(token, body)
    await operate(`/v1/sessions/${id}/terminate`)
    const next = await gate.session(await again({}, { now: Date.now() + 2_000 })) // a later second than the revocation's
    expect(next.id).not.toBe(id)
    await client.send(body)
    const answer = await client.response('POST')
    expect([answer.status, reasonOf(answer.body)]).toEqual([401, 'credential_revoked'])
    expect(elevationsOf(next.id)).toEqual([])
  })

  test('[SES3] after its life lapsed does not reach the next, though the credential still counts there', async () => {
    const { token, id, key } = await caller()
    const client = await halfAsked(token, body)
    await gate.parts.ledger.applyToSession(key, { kind: 'session.lapsed', reason: 'idle', id: newSignalId(), by: 'timekeeper', note: '' })
    const next = await gate.session(token)
    await client.send(body)
    const answer = await client.response('POST')
    expect([next.id === id, answer.status, reasonOf(answer.body)]).toEqual([false, 401, 'session_ended'])
    expect(elevationsOf(next.id)).toEqual([])
  })

  test('[ENF8] after a lock on its credential is refused', async () => {
    const { token, id } = await caller()
    const client = await halfAsked(token, body)
    await lock({ credential: gate.parts.mirror.byId(id)?.record.credential.id })
    await client.send(body)
    expect(reasonOf((await client.response('POST')).body)).toBe('locked')
    expect(elevationsOf(id)).toEqual([])
  })

  test('[SES3] what is asked in one life is news for no other, even between its last check and its commit', async () => {
    const { token, again, id } = await caller({}, { now: Date.now() - 100_000 })
    await operate('/v1/anchors/ticket/T-1', { state: 'open' })
    const { mirror } = gate.parts
    const anchor = mirror.anchor.bind(mirror)
    let next = id
    mirror.anchor = async ref => {
      mirror.anchor = anchor
      await operate(`/v1/sessions/${id}/terminate`)
      next = (await gate.session(await again({}, { now: Date.now() + 2_000 }))).id
      return anchor(ref)
    }
    const answer = await ask(token, { profile: 'ticketed', purpose: { ticket: 'T-1' } })
    expect([next === id, answer.status, answer.json['reason']]).toEqual([false, 401, 'session_ended'])
    expect(elevationsOf(next)).toEqual([])
  })
})

test('[APR2] whom only a later credential of the session names does not approve what was asked with it', async () => {
  const { token, again, id } = await caller({ act: { sub: 'runner' } })
  const asked = await ask(await again({ act: { sub: 'runner', act: { sub: 'bob' } } }), { profile: 'guarded' })
  expect([asked.status, elevationsOf(id)?.length]).toEqual([202, 1])
  const elevation = String(asked.json['id'])
  const shown = (await view(elevation))['shown']
  const own = await operate(`/v1/elevations/${elevation}/approve`, { shown }, 'bob')
  expect([own.status, own.json['reason']]).toEqual([403, 'denied'])
  expect((await operate(`/v1/elevations/${elevation}/approve`, { shown }, 'ann')).status).toBe(200)
  expect((await gate.ask('GET', `/.narrowgate/elevations/${elevation}`, bearer(token))).json['state']).toBe('active')
})
