// Several gateways over one Redis that tell others of what happens in any of them: one stream, one that pushes at a time, nothing lost when that one is killed.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { request, requestOnce, type Target } from '../support/raw-client.ts'
import { RecordingUpstream } from '../support/recording-upstream.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { TokenIssuer } from '../support/token-issuer.ts'
import { ChildGateway } from './child-gateway.ts'
import { CAEP, ISSUER, PUSH_TOKEN, PushTarget, Receiver, transmitting } from './transmit-stage.ts'

const ends: (() => Promise<unknown>)[] = []
const owned = <T>(part: T, end: (part: T) => Promise<unknown>): T => {
  ends.push(() => end(part))
  return part
}
let server: RedisServer
beforeEach(async () => { server = owned(await RedisServer.start(), its => its.dispose()) })
afterEach(async () => { for (const end of ends.splice(0).toReversed()) await end() })

async function call(target: Target, token: string): Promise<void> {
  expect((await requestOnce(target, request('GET', '/base/x', { host: 'api.test', authorization: `Bearer ${token}` }))).status).toBe(200)
}

test('[TRM2, TRM4, TRM5] a stream set up at one gateway is told of what happens at another, by whichever it polls, and is one', { timeout: 60_000 }, async () => {
  const { a, b } = owned(await TestGateway.pair(server, transmitting({ receiver: 'events: [session-established]' })), its => its.stop())
  const [atA, atB] = [new Receiver(a), new Receiver(b)]
  const made = await Promise.all([atA, atB, atA, atB].map(receiver => receiver.create()))
  expect(made.map(({ status }) => String(status)).toSorted()).toEqual(['201', '409', '409', '409'])
  atA.stream = atB.stream = String((await atA.ask('GET', '/ssf/streams')).text.match(/stm_[\w-]+/)?.[0])
  const since = performance.now()
  const waiting = [atA, atB].map(receiver => receiver.poll({ returnImmediately: false }))
  await call(b.target, await b.token({ sub: 'b', org: 'acme' }))
  const [first, second] = await Promise.all(waiting)
  expect(performance.now() - since).toBeLessThan(5_000)
  const jtis = Object.keys(first?.json['sets'] as object)
  expect([jtis.length, Object.keys(second?.json['sets'] as object)]).toEqual([1, jtis])
  await atB.poll({ maxEvents: 0, ack: jtis })
  expect((await atA.poll()).json).toEqual({ sets: {} })
  await atB.ask('DELETE', `/ssf/streams?stream_id=${atB.stream}`)
  expect((await atA.poll()).status).toBe(404)
})

test('[TRM5] whichever gateway is killed, another goes on pushing within fifteen seconds: in order, nothing lost, one again only as the same one', { timeout: 120_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-transmit-'))
  const to = owned(await PushTarget.start(), its => its.close())
  to.slow = 150 // two that pushed at once would both push the same
  const upstream = owned(await RecordingUpstream.start(), async its => {
    await its.close()
    rmSync(directory, { recursive: true })
  })
  const issuer = await TokenIssuer.create()
  const manager = await TestGateway.start({ ...transmitting({ pushTo: to.origin }), store: storeAt(server) })
  await new Receiver(manager, PUSH_TOKEN).createPush(`${to.origin}/events`, {})
  await manager.stop()
  writeFileSync(join(directory, 'pushed'), PUSH_TOKEN)
  const plan: GatewayPlan = {
    routes: `- { name: api, match: { host: api.test }, upstream: { url: "${upstream.origin}" }, rules: [{ allow: { paths: [/base/**] }, scope: api:base }] }`, baseline: '[{ scopes: [api:base] }]', store: storeAt(server),
    more: `signals: { transmit: { issuer: "${ISSUER}", receivers: [{ name: pushed, tokenFile: ${directory}/pushed, audience: "https://idp.example", pushTo: ["${to.origin}"], events: [session-established] }] } }`,
  }
  const child = async (): Promise<ChildGateway> => owned(await ChildGateway.start(plan, issuer), its => its.dispose())
  const subs: string[] = []
  const open = async (gateway: ChildGateway, count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      subs.push(`agent-${subs.length}`)
      await call(gateway.target, await issuer.sign({ sub: subs.at(-1) ?? '' }))
    }
  }
  const told = (): readonly string[] => {
    const claims = to.taken.map(({ set }) => JSON.parse(Buffer.from(set.split('.')[1] ?? '', 'base64url').toString()) as { readonly jti: string; readonly sub_id: { readonly user: { readonly sub: string } }; readonly events: object })
    expect(claims.every(({ events }) => Object.keys(events)[0] === `${CAEP}session-established`)).toBe(true)
    return [...new Map(claims.map(({ jti, sub_id: { user } }) => [jti, user.sub])).values()]
  }
  let [stays, goes] = [await child(), await child()]
  for (let turn = 0; turn < 2; turn++) {
    await open(goes, 5)
    await eventually('something is pushed', 15_000, async () => (told().length > turn * 20 ? 'pushed' : null))
    await open(stays, 5)
    await goes.kill()
    const killedAt = performance.now()
    const before = told().length
    await open(stays, 10)
    await eventually('another goes on', 20_000, async () => (told().length > before ? 'goes on' : null))
    expect(performance.now() - killedAt).toBeLessThan(15_000)
    await eventually('everything is pushed', 30_000, async () => (told().length === subs.length ? 'pushed' : null))
    expect(told()).toEqual(subs)
    expect(to.taken.length - subs.length).toBeLessThanOrEqual(turn + 1) // what was under way when one was killed
    ;[goes, stays] = [stays, await child()]
  }
})
