// What receivers of our own events meet: metadata and keys, a stream of their own, polls and pushes of signed tokens about what happened here, and what
// becomes of a stream that is paused, full or asked for by somebody else. SPEC: TRM1-TRM6
import { readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterEach, describe, expect, test } from 'vitest'
import { EventTokens } from '../../src/identity/security-event-token.ts'
import { createLocalJWKSet, type JSONWebKeySet } from 'jose'
import { type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { ShiftedClock } from '../support/shifted-clock.ts'
import { eventually } from '../support/redis-server.ts'
import { CAEP, ISSUER, NEXT_TOKEN, POLL, PUSH, PUSH_TOKEN, PushTarget, readSet, Receiver, SSF, type Told, transmitting, type TransmitPlan } from './transmit-stage.ts'
import { until } from './support.ts'

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => { for (const end of ends.splice(0).toReversed()) await end() })
const owned = <T>(part: T, end: (part: T) => Promise<unknown>): T => {
  ends.push(() => end(part))
  return part
}

const start = async (plan: TransmitPlan = {}, more: Partial<GatewayPlan> = {}): Promise<TestGateway> => owned(await TestGateway.start({ ...transmitting(plan), ...more }), its => its.stop())
const target = async (): Promise<PushTarget> => owned(await PushTarget.start(), its => its.close())

/** A caller's session that is open. */
async function call(gateway: TestGateway, sub: string, claims: { readonly [name: string]: unknown } = { org: 'acme' }): Promise<{ readonly token: string; readonly id: string }> {
  const token = await gateway.token({ sub, ...claims })
  expect((await gateway.ask('GET', '/base/x', { authorization: `Bearer ${token}` })).status).toBe(200)
  return { token, id: (await gateway.session(token)).id }
}
const end = (gateway: TestGateway, id: string) => gateway.admin('POST', `/v1/sessions/${id}/terminate`, { reason: 'over' })

const types = (told: readonly Told[]): readonly string[] => told.map(({ type }) => type)
const subOf = ({ claims }: Told): unknown => (claims['sub_id'] as { readonly user?: { readonly sub: string } }).user?.sub
const setsOf = (json: { readonly [name: string]: unknown }): readonly string[] => Object.keys(json['sets'] as object)

describe('everybody', () => {
  test('[TRM1] finds the metadata where the path of the issuer says, and its keys without a private part', async () => {
    const receiver = new Receiver(await start())
    const metadata = await receiver.ask('GET', '/.well-known/ssf-configuration/narrowgate', null, { authorization: '' })
    expect(metadata.json).toMatchObject({
      spec_version: '1_0', issuer: ISSUER, jwks_uri: 'https://gw.example/ssf/jwks.json', delivery_methods_supported: [PUSH, POLL], configuration_endpoint: 'https://gw.example/ssf/streams',
      status_endpoint: 'https://gw.example/ssf/status', verification_endpoint: 'https://gw.example/ssf/verify', default_subjects: 'ALL',
    })
    const [key] = (await receiver.ask('GET', '/ssf/jwks.json', null, { authorization: '' })).json['keys'] as readonly { readonly [member: string]: unknown }[]
    expect(Object.keys(key ?? {}).toSorted()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use'])
    expect((await receiver.ask('GET', '/.well-known/ssf-configuration')).status).toBe(404)
    expect((await receiver.ask('POST', '/ssf/jwks.json', {})).status).toBe(405)
  })

  test('[TRM4] who shows no token of a receiver has no stream, and finds none', async () => {
    const gateway = await start()
    await new Receiver(gateway).create()
    const [stranger, other] = [new Receiver(gateway, 'somebody-else-somebody-else'), new Receiver(gateway, PUSH_TOKEN)]
    for (const [method, path] of [['GET', '/ssf/streams'], ['POST', '/ssf/streams'], ['GET', '/ssf/status'], ['POST', '/ssf/verify'], ['POST', '/ssf/poll/x']] as const) {
      const { status, headers } = await stranger.ask(method, path, method === 'GET' ? null : {})
      expect([status, headers.get('www-authenticate')]).toEqual([401, 'Bearer'])
    }
    expect((await new Receiver(gateway, NEXT_TOKEN).ask('GET', '/ssf/streams')).json).toHaveLength(1)
    expect((await other.ask('GET', '/ssf/streams')).text).toBe('[]')
  })
})

describe('a stream', () => {
  test('[TRM4] is set up once, read, changed, replaced and deleted by its receiver', async () => {
    const gateway = await start()
    const receiver = new Receiver(gateway)
    const made = await receiver.create({ events_requested: [`${CAEP}session-revoked`, 'urn:unknown'], description: 'mine' })
    expect([made.status, made.json]).toEqual([201, expect.objectContaining({
      iss: ISSUER, aud: 'https://siem.example', events_requested: [`${CAEP}session-revoked`, 'urn:unknown'], events_delivered: [`${CAEP}session-revoked`],
      delivery: { method: POLL, endpoint_url: `https://gw.example/ssf/poll/${receiver.stream}` }, min_verification_interval: 10, description: 'mine',
    })])
    expect((await receiver.ask('POST', '/ssf/streams', {})).status).toBe(409)
    expect((await receiver.ask('GET', `/ssf/streams?stream_id=${receiver.stream}`)).json).toEqual(made.json)
    expect((await receiver.ask('GET', '/ssf/streams?stream_id=other')).status).toBe(404)
    const patched = await receiver.ask('PATCH', '/ssf/streams', { stream_id: receiver.stream, description: 'yours' })
    expect([patched.status, patched.json]).toEqual([200, { ...made.json, description: 'yours' }])
    const replaced = await receiver.ask('PUT', '/ssf/streams', { ...patched.json, description: undefined })
    expect([replaced.status, replaced.json]).toEqual([200, { ...patched.json, description: undefined }])
    const whole = await receiver.ask('PUT', '/ssf/streams', { stream_id: receiver.stream })
    expect([whole.json['description'], whole.json['events_delivered']]).toEqual([undefined, whole.json['events_supported']])
    expect((await receiver.ask('DELETE', `/ssf/streams?stream_id=${receiver.stream}`)).status).toBe(204)
    expect((await receiver.ask('GET', '/ssf/streams')).text).toBe('[]')
    expect((await receiver.ask('DELETE', `/ssf/streams?stream_id=${receiver.stream}`)).status).toBe(404)
  })

  test('[TRM4] is not what its receiver may not have, or cannot say', async () => {
    const receiver = new Receiver(await start({ pushTo: 'http://127.0.0.1:9' }), PUSH_TOKEN)
    const wrong = [
      [403, { delivery: { method: PUSH, endpoint_url: 'http://127.0.0.1:10/x' } }], [403, { delivery: { method: PUSH, endpoint_url: 'http://localhost:9/x' } }], [400, { delivery: { method: PUSH } }],
      [400, { delivery: { method: PUSH, endpoint_url: 'http://a:b@127.0.0.1:9/x' } }], [400, { delivery: { method: 'urn:ietf:rfc:1' } }], [400, { events_requested: 'all' }], [400, []], [400, '{'],
      [400, { delivery: { method: PUSH, endpoint_url: 'http://127.0.0.1:9/x', authorization_header: 'a\r\nb: c' } }],
    ] as const
    for (const [status, body] of wrong) expect([(await receiver.create(body as never)).status, body]).toEqual([status, body])
    expect((await receiver.ask('POST', '/ssf/streams', '{}', { 'content-type': 'text/plain' })).status).toBe(415)
    expect((await receiver.ask('POST', '/ssf/streams', { description: 'x'.repeat(300_000) })).status).toBe(413)
    const made = await receiver.createPush('http://127.0.0.1:9/x', { authorization_header: 'Bearer secret' })
    expect([made.status, made.text.includes('secret')]).toEqual([201, false])
    for (const [member, value] of [['iss', 'other'], ['aud', 'other'], ['events_delivered', []]] as const) expect((await receiver.ask('PATCH', '/ssf/streams', { stream_id: receiver.stream, [member]: value })).status).toBe(400)
    expect((await receiver.ask('PATCH', '/ssf/streams', { stream_id: 'other' })).status).toBe(404)
    expect((await receiver.ask('PATCH', '/ssf/streams', {})).status).toBe(400)
    expect((await receiver.ask('DELETE', '/ssf/streams')).status).toBe(400)
  })

  test('[TRM4] is one, however many ask for it at once', async () => {
    const gateway = await start()
    const made = await Promise.all(Array.from({ length: 5 }, () => new Receiver(gateway).create()))
    expect(made.map(({ status }) => String(status)).toSorted()).toEqual(['201', '409', '409', '409', '409'])
  })
})

describe('a receiver that polls', () => {
  test('[TRM2, TRM3] is told in order of what happened: a session that began, what it was granted, and its end', async () => {
    const gateway = await start()
    const receiver = new Receiver(gateway)
    await receiver.create()
    const { token, id } = await call(gateway, 'agent-7')
    const elevation = await gateway.elevate(token, 'fix', null, { purpose: { task: 'secret-task' } })
    await end(gateway, id)
    const told = await receiver.drain()
    expect(types(told)).toEqual([`${CAEP}session-established`, `${ISSUER}/events/elevation-granted`, `${ISSUER}/events/elevation-ended`, `${CAEP}session-revoked`])
    const sub_id = { format: 'complex', session: { format: 'opaque', id }, user: { format: 'iss_sub', iss: gateway.issuer.issuer, sub: 'agent-7' }, tenant: { format: 'opaque', id: 'acme' } }
    for (const { claims, header } of told) {
      expect(header).toMatchObject({ typ: 'secevent+jwt', alg: 'RS256' })
      expect(Object.keys(claims).toSorted()).toEqual(['aud', 'events', 'iat', 'iss', 'jti', 'sub_id', 'txn'])
      expect(claims).toMatchObject({ iss: ISSUER, aud: 'https://siem.example', sub_id })
    }
    const [, granted, , revoked] = told
    expect(granted?.event).toMatchObject({ elevation, profile: 'fix', purposes: ['task'], until: expect.any(Number), initiating_entity: 'user' })
    expect(JSON.stringify(granted)).not.toContain('secret-task')
    expect(revoked?.event).toMatchObject({ initiating_entity: 'admin', reason_admin: { en: 'revoked' }, event_timestamp: expect.any(Number) })
    expect(setsOf((await receiver.poll()).json)).toEqual([])
  })

  test('[TRM3] gets tokens that our own receiver takes', async () => {
    const gateway = await start()
    const receiver = new Receiver(gateway)
    await receiver.create()
    await call(gateway, 'agent-7')
    await gateway.trail()
    const [set = ''] = Object.values((await receiver.poll()).json['sets'] as { readonly [jti: string]: string })
    const keys = createLocalJWKSet((await receiver.ask('GET', '/ssf/jwks.json')).json as unknown as JSONWebKeySet) // as above
    const tokens = new EventTokens({ issuer: ISSUER, algorithms: ['RS256'], audience: () => ['https://siem.example'] }, { find: keys, fingerprintOf: () => '' }, gateway.parts.clock)
    expect(await tokens.read(set)).toMatchObject({ is: 'event', type: `${CAEP}session-established` })
  })

  test('[TRM5] gets the same again until it acknowledges, no more than it asked for, and is told that there is more', async () => {
    const gateway = await start()
    const receiver = new Receiver(gateway)
    await receiver.create()
    for (const sub of ['a', 'b', 'c']) await call(gateway, sub)
    await gateway.trail()
    const first = await receiver.poll({ maxEvents: 2 })
    expect([setsOf(first.json).length, first.json['moreAvailable']]).toEqual([2, true])
    expect(setsOf((await receiver.poll({ maxEvents: 2 })).json)).toEqual(setsOf(first.json))
    const [one = '', two = ''] = setsOf(first.json)
    const second = await receiver.poll({ ack: [one], setErrs: { [two]: { err: 'invalid_request', description: 'no' } } })
    expect([setsOf(second.json).length, second.json['moreAvailable']]).toEqual([1, undefined])
    expect(setsOf(first.json)).not.toContain(setsOf(second.json)[0])
    expect((await gateway.ops('/metrics')).text).toMatch(/ssf_told_total\{receiver="poller",event="",outcome="refused"\} 1/)
    expect((await receiver.ask('POST', `/ssf/poll/${receiver.stream}`, { maxEvents: 0, ack: setsOf(second.json) })).json).toEqual({ sets: {} })
    expect(setsOf((await receiver.poll()).json)).toEqual([])
  })

  test('[TRM5] may wait for what is not there yet, and hears of it at once', async () => {
    const gateway = await start()
    const receiver = new Receiver(gateway)
    await receiver.create()
    const waiting = receiver.poll({ returnImmediately: false })
    await receiver.poll({ maxEvents: 0 }) // the other one is under way by now
    const since = performance.now()
    await call(gateway, 'late')
    expect(setsOf((await waiting).json)).toHaveLength(1)
    expect(performance.now() - since).toBeLessThan(5_000)
  })

  test('[TRM5] polls its own stream and nothing else', async () => {
    const gateway = await start()
    const [receiver, other] = [new Receiver(gateway), new Receiver(gateway, PUSH_TOKEN)]
    await receiver.create()
    await other.createPush('http://127.0.0.1:9/x')
    expect((await other.ask('POST', `/ssf/poll/${receiver.stream}`, {})).status).toBe(404)
    expect((await other.poll()).status).toBe(404) // it is pushed
    for (const wrong of [{ maxEvents: -1 }, { ack: 'x' }, { setErrs: { x: 'y' } }, { setErrs: Object.fromEntries(Array.from({ length: 1_001 }, (_, i) => [`j${i}`, { err: 'x' }])) }, { returnImmediately: 'true' }]) expect((await receiver.poll(wrong)).status).toBe(400)
  })

  test('[TRM2] hears of those only whom it may hear of, and of what it asked for', async () => {
    const gateway = await start({ receiver: 'tenants: [acme], events: [session-established, session-revoked]' })
    const receiver = new Receiver(gateway)
    await receiver.create({ events_requested: [`${CAEP}session-revoked`, `${CAEP}session-presented`] })
    for (const [sub, org] of [['a', 'acme'], ['b', 'other']] as const) await end(gateway, (await call(gateway, sub, { org })).id)
    const told = await receiver.drain()
    expect(told.map(each => [each.type, subOf(each)])).toEqual([[`${CAEP}session-revoked`, 'a']])
  })

  test('[TRM4] hears of those it adds and of nobody else, and of everybody but those it takes away', async () => {
    const gateway = await start({ receiver: 'events: [session-established]' })
    const receiver = new Receiver(gateway)
    await receiver.create()
    const user = (sub: string) => ({ format: 'iss_sub', iss: gateway.issuer.issuer, sub })
    const choose = (how: 'add' | 'remove', subject: unknown) => receiver.ask('POST', `/ssf/subjects/${how}`, { stream_id: receiver.stream, subject })
    expect((await choose('remove', user('a'))).status).toBe(204)
    for (const sub of ['a', 'b']) await call(gateway, sub)
    expect((await receiver.drain()).map(subOf)).toEqual(['b'])
    expect((await choose('add', { format: 'complex', tenant: { format: 'opaque', id: 'acme' }, user: user('d') })).status).toBe(200)
    await call(gateway, 'c')
    await call(gateway, 'd', { org: 'other' })
    await gateway.token({ sub: 'd' })
    await call(gateway, 'd', { org: 'acme', client_id: 'another' })
    expect((await receiver.drain()).map(subOf)).toEqual(['d'])
    expect((await choose('remove', { format: 'complex', tenant: { format: 'opaque', id: 'acme' }, user: user('d') })).status).toBe(204)
    await call(gateway, 'e')
    expect(await receiver.drain()).toEqual([])
    for (const wrong of [{ format: 'email', email: 'a@b' }, {}, 'x', { format: 'complex' }, { format: 'iss_sub', iss: 'x' }]) expect((await choose('add', wrong)).status).toBe(400)
    expect((await receiver.ask('POST', '/ssf/subjects/add', { stream_id: 'other', subject: user('a') })).status).toBe(404)
  })
})

describe('what is said of a stream itself', () => {
  test('[TRM4] a verification comes with its state, behind what waits, and not too often', async () => {
    const gateway = await start()
    const receiver = new Receiver(gateway)
    await receiver.create()
    await call(gateway, 'a')
    await gateway.trail()
    const verify = (stream_id = receiver.stream) => receiver.ask('POST', '/ssf/verify', { stream_id, state: 'once upon a time' })
    expect([(await verify()).status, (await verify()).status, (await verify('other')).status]).toEqual([204, 429, 404])
    const [, verification, more] = await receiver.drain()
    expect(more).toBeUndefined()
    expect([verification?.type, verification?.event, verification?.claims['sub_id']]).toEqual([`${SSF}verification`, { state: 'once upon a time' }, { format: 'opaque', id: receiver.stream }])
  })

  test('[TRM6] a stream that is paused keeps what happens until it goes on, one that is disabled does not', async () => {
    const gateway = await start({ receiver: 'events: [session-established]' })
    const receiver = new Receiver(gateway)
    await receiver.create()
    const paused = await receiver.setStatus('paused')
    expect([paused.status, paused.json]).toEqual([200, { stream_id: receiver.stream, status: 'paused' }])
    await call(gateway, 'a')
    expect(await receiver.drain()).toEqual([])
    expect((await receiver.ask('GET', `/ssf/status?stream_id=${receiver.stream}`)).json['status']).toBe('paused')
    await receiver.setStatus('enabled')
    expect((await receiver.drain()).map(subOf)).toEqual(['a'])
    await call(gateway, 'b')
    await gateway.trail()
    await receiver.setStatus('disabled')
    await call(gateway, 'c')
    await gateway.trail()
    await receiver.setStatus('enabled')
    expect(await receiver.drain()).toEqual([])
    expect((await receiver.setStatus('asleep')).status).toBe(400)
  })

  test('[TRM6, LIM1] a stream that is full is paused, keeps what it has, and its receiver is told when it goes on', async () => {
    const gateway = await start({ receiver: 'events: [session-established]', transmit: 'queue: 100' })
    const receiver = new Receiver(gateway)
    await receiver.create()
    for (let i = 0; i < 102; i++) await call(gateway, `u${i}`)
    await gateway.trail()
    expect((await receiver.ask('GET', `/ssf/status?stream_id=${receiver.stream}`)).json).toMatchObject({ status: 'paused', reason: 'queue_full' })
    expect(setsOf((await receiver.poll()).json)).toEqual([])
    expect((await gateway.ops('/metrics')).text).toMatch(/ssf_told_total\{receiver="poller",event="session-established",outcome="full"\} 2/)
    await receiver.setStatus('enabled')
    const told = [...(await receiver.drain()), ...(await receiver.drain())]
    expect(told.slice(0, 100).map(subOf)).toEqual(Array.from({ length: 100 }, (_, i) => `u${i}`))
    expect(told.slice(100).map(({ type, event }) => [type, event])).toEqual([[`${SSF}stream-updated`, { status: 'enabled', reason: 'queue_full' }]])
  }, 60_000)

  test('[TRM6] a stream that nobody asks about for too long is paused, and its receiver is told when it asks again', async () => {
    const clock = new ShiftedClock(new Date().toISOString())
    const first = await TestGateway.start({ ...transmitting({ transmit: 'inactivityTimeout: 1h', receiver: 'events: [session-established]' }), clock })
    const receiver = new Receiver(first)
    await receiver.create()
    const { directory, upstream, issuer } = first
    const later = async (hours: number, before: TestGateway): Promise<Receiver> => {
      await before.gateway.close('test')
      clock.shift += hours * 3_600_000
      const next = owned(await TestGateway.start({ ...transmitting({ transmit: 'inactivityTimeout: 1h', receiver: 'events: [session-established]' }), clock, directory, upstream, issuer }), its => its.gateway.close('test'))
      const again = new Receiver(next)
      again.stream = receiver.stream
      running = next
      return again
    }
    ends.push(async () => {
      await upstream.close()
      rmSync(directory, { recursive: true })
    })
    let running = first
    const soon = await later(0.9, running)
    expect((await soon.ask('GET', `/ssf/status?stream_id=${receiver.stream}`)).json['status']).toBe('enabled')
    const late = await later(1.1, running)
    await eventually('the stream is paused', 5_000, async () => ((await late.ask('GET', `/ssf/status?stream_id=${receiver.stream}`)).json['reason'] === 'inactive' ? 'paused' : null))
    await late.setStatus('enabled')
    expect((await late.drain()).map(({ type, event }) => [type, event])).toEqual([[`${SSF}stream-updated`, { status: 'enabled', reason: 'inactive' }]])
  }, 30_000)

  test('[TRM2] what waits outlives the gateway, and what happened before nobody asked is told to nobody', async () => {
    const first = await TestGateway.start(transmitting({ receiver: 'events: [session-established]' }))
    await call(first, 'before')
    await first.trail()
    const receiver = new Receiver(first)
    await receiver.create()
    await call(first, 'after')
    await first.gateway.close('test')
    const { directory, upstream, issuer } = first
    const second = owned(await TestGateway.start({ ...transmitting({ receiver: 'events: [session-established]' }), directory, upstream, issuer }), async its => {
      await its.stop()
      await upstream.close()
      rmSync(directory, { recursive: true })
    })
    const again = new Receiver(second)
    again.stream = receiver.stream
    expect((await again.drain()).map(subOf)).toEqual(['after'])
  })
})

describe('a configuration that is loaded anew', () => {
  test('[TRM1] has other tokens, receivers and places, and keeps the streams', async () => {
    const [one, other] = [await target(), await target()]
    const gateway = await start({ pushTo: one.origin })
    const receiver = new Receiver(gateway, PUSH_TOKEN)
    await receiver.createPush(`${one.origin}/events`)
    await call(gateway, 'a')
    await until(() => one.taken.length >= 1, 'a push')
    writeFileSync(gateway.configFile, readFileSync(gateway.configFile, 'utf8').replace(one.origin, other.origin))
    writeFileSync(join(gateway.directory, 'pushed'), NEXT_TOKEN.toUpperCase())
    expect((await gateway.admin('POST', '/v1/config/reload', {})).status).toBe(200)
    expect((await receiver.ask('GET', '/ssf/streams')).status).toBe(401)
    const again = new Receiver(gateway, NEXT_TOKEN.toUpperCase())
    again.stream = receiver.stream
    await call(gateway, 'b')
    await gateway.trail()
    expect((await again.ask('PATCH', '/ssf/streams', { stream_id: again.stream, delivery: { method: PUSH, endpoint_url: `${one.origin}/events` } })).status).toBe(403)
    expect((await again.ask('PATCH', '/ssf/streams', { stream_id: again.stream, delivery: { method: PUSH, endpoint_url: `${other.origin}/events` } })).status).toBe(200)
    await until(() => other.taken.length >= 1, 'a push elsewhere')
    expect([one.seen, (await Promise.all(other.taken.map(({ set }) => readSet(gateway, set)))).map(subOf)]).toEqual([1, ['b']])
  })

  test('[TRM1] is refused with tokens that are none, or of two, and everything stays', async () => {
    const gateway = await start()
    for (const tokens of ['short', `${PUSH_TOKEN}\n${PUSH_TOKEN}1\n${PUSH_TOKEN}2`, `${PUSH_TOKEN} x`, NEXT_TOKEN]) {
      writeFileSync(join(gateway.directory, 'pushed'), tokens)
      writeFileSync(gateway.configFile, `${readFileSync(gateway.configFile, 'utf8')}\n# changed`)
      expect((await gateway.admin('POST', '/v1/config/reload', {})).status).not.toBe(200)
    }
    expect((await new Receiver(gateway, PUSH_TOKEN).ask('GET', '/ssf/streams')).status).toBe(200)
  })
})

describe('a receiver that has it pushed', () => {
  test('[TRM3, TRM5] gets each once, in order, with what it said to send along', async () => {
    const to = await target()
    const gateway = await start({ pushTo: to.origin })
    await new Receiver(gateway, PUSH_TOKEN).createPush(`${to.origin}/events`, { authorization_header: 'Bearer of-mine' })
    for (const sub of ['a', 'b', 'c']) await call(gateway, sub)
    await until(() => to.taken.length >= 3, 'three pushes')
    const told = await Promise.all(to.taken.map(({ set }) => readSet(gateway, set)))
    expect(told.map(subOf)).toEqual(['a', 'b', 'c'])
    expect(to.taken[0]?.headers).toMatchObject({ 'content-type': 'application/secevent+jwt', accept: 'application/json', authorization: 'Bearer of-mine' })
    expect(told[0]?.claims['aud']).toBe('https://idp.example')
    expect(to.seen).toBe(3)
  })

  test('[TRM5] that fails gets it again later and nothing before it, and one it says is wrong goes no further', async () => {
    const to = await target()
    const gateway = await start({ pushTo: to.origin })
    to.answers = nth => [{ status: 503 }, { status: 200 }, { status: 202 }, { status: 400, body: '{"err":"invalid_request","description":"no"}' }, { status: 202 }][nth] ?? { status: 202 }
    await new Receiver(gateway, PUSH_TOKEN).createPush(`${to.origin}/events`)
    for (const sub of ['a', 'b', 'c']) await call(gateway, sub)
    await until(() => to.seen >= 5, 'five attempts', 20_000)
    expect((await Promise.all(to.taken.map(({ set }) => readSet(gateway, set)))).map(subOf)).toEqual(['a', 'c'])
    expect((await gateway.ops('/metrics')).text).toMatch(/ssf_told_total\{receiver="pushed",event="session-established",outcome="refused"\} 1/)
  }, 30_000)

  test('[TRM6] whose stream is paused gets nothing until it goes on', async () => {
    const to = await target()
    const gateway = await start({ pushTo: to.origin })
    const receiver = new Receiver(gateway, PUSH_TOKEN)
    await receiver.createPush(`${to.origin}/events`)
    await receiver.setStatus('paused')
    await call(gateway, 'a')
    await gateway.trail()
    await receiver.setStatus('enabled')
    await until(() => to.taken.length >= 1, 'a push')
    await receiver.setStatus('paused')
    const seen = to.seen
    await call(gateway, 'b')
    await gateway.trail()
    await new Promise(resolve => setTimeout(resolve, 700)) // longer than anybody waits who looks
    expect(to.seen).toBe(seen)
  })
})
