// Whole gateways over a store that lost everything, lost the last of it, or is not there when they start: what was ended stays ended, credentials from
// before a total loss are refused until an operator accepts it, and probes are told why nobody is ready. SPEC: STO11, STO16, STO17, STO19, ADM16
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { ConfigSource } from '../../src/config/source.ts'
import { sessionRef } from '../../src/core/record.ts'
import { openGateway } from '../../src/gateway.ts'
import type { Gateway } from '../../src/running-gateway.ts'
import { acceptLoss } from '../../src/sessions/data-set.ts'
import { storeAt, TestGateway, type GatewayPlan } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'
import { Desk } from './redis-desk.ts'
import { freePort } from '../support/free-port.ts'

const ROUTES = `
- name: api
  match: { host: api.test }
  upstream: api
  rules:
    - { allow: { paths: ["/base"] }, scope: base:read }
    - { allow: { paths: ["/extra"] }, scope: extra:use }`
const PLAN: GatewayPlan = { routes: ROUTES, elevations: 'long: { adds: [extra:use], for: 10m, max: 1h }' }

const ends: (() => Promise<unknown>)[] = []
afterEach(async () => { for (const end of ends.splice(0).toReversed()) await end() })
const owned = <T>(part: T, end: (part: T) => unknown): T => {
  ends.push(async () => end(part))
  return part
}
const serverOf = async (): Promise<RedisServer> => owned(await RedisServer.start(), its => its.dispose())

const asked = async (gate: TestGateway, token: string, path = '/base'): Promise<unknown> => {
  const { status, json } = await gate.ask('GET', path, { authorization: `Bearer ${token}` })
  return status === 200 ? 200 : `${status} ${String(json['reason'])}`
}
const isFresh = ({ parts: { store, clock } }: TestGateway): boolean => store.confirmedUntil() > clock.elapsed()
const lossesOf = async ({ parts: { metrics } }: TestGateway): Promise<number> => (await metrics.store.dataSetChanges.get()).values.reduce((sum, { value }) => sum + value, 0)
/** Tokens tell their second only. */
const nextSecond = (): Promise<unknown> => {
  const second = Math.floor(Date.now() / 1_000)
  return eventually('the next second', 2_000, async () => Math.floor(Date.now() / 1_000) > second || null)
}

test('[STO11, STO16, STORE-25] §11.25 two gateways lose their data set: old credentials are refused until the loss is accepted, ends and locks stand, elevations are gone', async () => {
  const server = await serverOf()
  const pair = owned(await TestGateway.pair(server, PLAN), its => its.stop())
  const both = [pair.a, pair.b]
  const [ended, innocent, barred] = [await pair.a.token({ sub: 'ended' }), await pair.a.token({ sub: 'innocent' }), { sub: 'barred' }]
  for (const gate of both) for (const token of [ended, innocent]) expect(await asked(gate, token)).toBe(200)
  await pair.b.elevate(innocent, 'long')
  expect(await asked(pair.a, innocent, '/extra')).toBe(200)
  const { id } = await pair.a.session(ended)
  expect(await pair.a.admin('POST', `/v1/sessions/${id}/terminate`)).toMatchObject({ status: 200, json: { enforced: true, gateways: { total: 2, acknowledged: 2 } } })
  expect((await pair.b.admin('POST', '/v1/locks', { selector: { subject: `${pair.a.issuer.issuer}|barred` } })).json).toMatchObject({ enforced: true })

  await server.command('FLUSHALL')
  await eventually('both have seen it', 10_000, async () => ((await lossesOf(pair.a)) === 1 && (await lossesOf(pair.b)) === 1 && both.every(isFresh)) || null)
  for (const gate of both) expect([await asked(gate, ended), await asked(gate, innocent), await asked(gate, innocent, '/extra')]).toEqual(['401 state_lost', '401 state_lost', '401 state_lost'])
  await nextSecond()
  const renewed = await pair.a.token({ sub: 'innocent' })
  for (const gate of both) expect([await asked(gate, renewed), await asked(gate, renewed, '/extra'), await asked(gate, await gate.token(barred))]).toEqual([200, '403 elevation_required', '403 locked'])
  expect((await pair.a.ops('/metrics')).text).toContain('narrowgate_store_data_set_changes_total 1')

  expect(await acceptLoss(pair.a.parts.settings(), 'ops', 'the server was replaced')).toBe('accepted')
  await eventually('both have heard of it', 5_000, async () => both.every(({ parts }) => parts.mirror.standingLocks().every(({ selector }) => selector.kind !== 'issuedBefore')) || null)
  for (const gate of both) expect([await asked(gate, innocent), await asked(gate, ended), await asked(gate, await gate.token(barred))]).toEqual([200, '401 credential_revoked', '403 locked'])
}, 40_000)

// ---- starts

/** A gateway that ran, and was stopped: what it left behind is all there is. */
type Left = { readonly start: () => Promise<Gateway>; readonly probe: (path: string) => Promise<{ readonly status: number; readonly text: string }> }

async function ran(server: RedisServer, run: (gate: TestGateway) => Promise<void>): Promise<Left> {
  const directory = owned(mkdtempSync(join(tmpdir(), 'ng-test-')), its => rmSync(its, { recursive: true, force: true }))
  const gate = await TestGateway.start({ ...PLAN, directory, store: storeAt(server) })
  owned(gate, its => its.upstream.close())
  try {
    await run(gate)
  } finally {
    await gate.gateway.close('test')
  }
  const port = await freePort()
  writeFileSync(gate.configFile, readFileSync(gate.configFile, 'utf8').replace(/(name: ops, address: "127\.0\.0\.1:)0"/, `$1${port}"`))
  const probe = async (path: string): Promise<{ status: number; text: string }> => {
    const answer = await fetch(`http://127.0.0.1:${port}${path}`)
    return { status: answer.status, text: await answer.text() }
  }
  const start = (): Promise<Gateway> => {
    const source = new ConfigSource(gate.configFile)
    const loaded = source.load()
    if (!loaded.ok) throw new Error('the configuration does not load')
    return openGateway({ settings: loaded.settings, source }).then(opened => owned(opened, its => its.close('test')))
  }
  return { start, probe }
}

test('[STO19, ADM16, STORE-40R] §11.40 a gateway starts while the store is down: alive, not ready and why; then what it owed is said before it is ready', async () => {
  const server = await serverOf()
  let key = ''
  const left = await ran(server, async gate => {
    const token = await gate.token()
    expect(await asked(gate, token)).toBe(200)
    const session = await gate.session(token)
    key = session.key
    await server.command('SAVE')
    await server.kill()
    await eventually('the lease ends', 5_000, async () => !isFresh(gate) || null)
    expect(await gate.admin('POST', `/v1/sessions/${session.id}/terminate`)).toMatchObject({ status: 202, json: { durable: false, journaled: true, othersFailClosedAt: expect.any(String) } })
  })
  const starting = left.start()
  await eventually('probes are answered', 10_000, async () => ((await left.probe('/livez')).status === 200) || null)
  const waiting = await eventually('the reason is told', 10_000, async () => {
    const answer = await left.probe('/readyz')
    return answer.text.includes('ECONNREFUSED') ? answer : null
  })
  expect(waiting.status).toBe(503)
  await server.restart()
  const gateway = await starting
  await eventually('it is ready', 10_000, async () => ((await left.probe('/readyz')).status === 200) || null)
  expect(gateway.parts.ledger.owed).toBe(0)
  const other = owned(await Desk.open(server.port), its => its.close())
  expect(await other.store.load({ kind: 'session', name: key })).toMatchObject({ state: { is: 'revoked' } })
}, 40_000)

test('[STO19, STORE-40R] §11.40 gateway and store go down together and the store lost the last ends: the journal alone says them again, before anything is served', async () => {
  const server = await serverOf()
  const keys: string[] = []
  const left = await ran(server, async gate => {
    const tokens = await Promise.all(['a', 'b', 'c'].map(sub => gate.token({ sub })))
    for (const token of tokens) expect(await asked(gate, token)).toBe(200)
    await server.command('SAVE')
    for (const token of tokens) {
      const { id, key } = await gate.session(token)
      keys.push(key)
      expect((await gate.admin('POST', `/v1/sessions/${id}/terminate`)).status).toBe(200)
    }
    await server.kill()
  })
  await server.restart()
  const { parts } = await left.start()
  for (const key of keys) expect(await parts.store.load(sessionRef(key as Parameters<typeof sessionRef>[0]))).toMatchObject({ state: { is: 'revoked' } }) // as the gateway told it
  expect((await parts.metrics.store.reasserted.get()).values).toEqual([expect.objectContaining({ labels: { result: 'recorded' }, value: 3 })])
}, 40_000)
