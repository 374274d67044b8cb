// What two gateways see of one principal is one: counts, sequences, strikes and scores of both together, one level, told once; and what both would do is done once.
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { instant } from '../../src/core/time.ts'
import { type Answer, type GatewayPair, type GatewayPlan, storeAt, TestGateway } from '../support/gateway.ts'
import { eventually, RedisServer } from '../support/redis-server.ts'

let server: RedisServer
const pairs: GatewayPair[] = []
beforeAll(async () => { server = await RedisServer.start() })
afterEach(async () => {
  for (const pair of pairs.splice(0)) await pair.stop()
  await server.command('FLUSHALL')
})
afterAll(() => server.stop())

const ROUTES = `
- name: tools
  match: { host: api.test }
  upstream: api
  authn: [login]
  rules:
    - { deny: { methods: [GET], paths: [/tools/out] }, onHit: { addRisk: 15, strikes: 4, within: 10m, do: terminate } }
    - { allow: { methods: [GET], paths: [/tickets/**] }, scope: base:read, label: tickets }
    - { allow: { methods: [GET], paths: [/vault/**] }, scope: base:read, label: vault }
    - { allow: { methods: [GET] }, scope: base:read }
`

const risk = (rules: string, more = ''): string => `risk:\n  halfLife: 1h\n${more}  rules:\n${rules}\n  levels:\n    - { name: out, at: 70, do: [terminate] }`

async function start(rules: string, more: Partial<GatewayPlan> = {}): Promise<GatewayPair> {
  const pair = await TestGateway.pair(server, { routes: ROUTES, more: risk(rules), ...more })
  pairs.push(pair)
  return pair
}

const NONE = `    - { name: never, when: 'stats.requestsPerMinute < 0.0', add: 1 }`
const FAST = `    - { name: fast, when: 'stats.requestsPerMinute > 9.5', add: 80, every: 1m }`

const bearer = async (gate: TestGateway, claims: { readonly [name: string]: unknown } = {}) => ({ authorization: `Bearer ${await gate.token({ sub: 'bot', ...claims })}` })
const said = ({ status, json }: Answer): unknown => [status, json['reason'] ?? null]
const factsIn = (lines: readonly Record<string, unknown>[]): readonly Record<string, unknown>[] => lines.flatMap(({ fact }) => (fact === undefined ? [] : [fact as Record<string, unknown>])) // lines of kind `fact` have one
const metric = async (gate: TestGateway, name: string): Promise<number> => Number((await gate.ops('/metrics')).text.split('\n').find(line => line.startsWith(`narrowgate_${name} `))?.split(' ').at(-1) ?? 0)
const scores = (gate: TestGateway): readonly number[] => [...gate.parts.mirror.all()].map(live => gate.parts.trust.risk.view(live)?.score ?? 0)

describe('two gateways', () => {
  test('[RSK6, RSK4] each sees half of a burst: both refuse, and one level is told once', async () => {
    const { a, b, trail } = await start(FAST)
    const own = await bearer(a)
    for (let i = 0; i < 5; i++) for (const gate of [a, b]) await gate.ask('GET', '/x', own) // ten together, and five for each of them alone
    await eventually('it is told', 5_000, async () => (factsIn(await trail()).some(({ what }) => what === 'anchor.told') ? true : null))
    expect(await Promise.all([a, b].map(async gate => (await gate.ask('GET', '/y', own)).status))).not.toContain(200)
    await eventually('it has ended', 5_000, async () => (factsIn(await trail()).some(({ what }) => what === 'session.revoked') ? true : null))
    const facts = factsIn(await trail())
    expect(facts.filter(({ what }) => what === 'anchor.told')).toHaveLength(1)
    expect(facts.filter(({ what }) => what === 'session.revoked')).toHaveLength(1)
  })

  test('[RSK6] a burst on one gateway alone acts on the other before it has asked anything', async () => {
    const { a, b } = await start(FAST)
    const own = await bearer(a)
    expect((await b.ask('GET', '/x', own)).status).toBe(200)
    for (let i = 0; i < 10; i++) await a.ask('GET', '/x', own)
    await eventually('it is told', 5_000, async () => ((await b.ask('GET', '/x', await bearer(a))).status === 403 ? true : null))
  })

  test('[RSK3, RSK6] a sequence whose steps are seen by different gateways is complete on both', async () => {
    const { a, b } = await start(`    - { name: pivot, sequence: ['label:tickets', 'label:vault'], within: 10m, add: 40 }`)
    const own = await bearer(a)
    expect((await a.ask('GET', '/tickets/1', own)).status).toBe(200)
    expect((await b.ask('GET', '/vault/1', own)).status).toBe(200)
    await eventually('both know that it fired', 5_000, async () => {
      await Promise.all([a, b].map(gate => gate.ask('GET', '/x', own)))
      return [a, b].every(gate => scores(gate).every(score => score > 39)) ? true : null
    })
    expect([a, b].flatMap(scores).every(score => score <= 40)).toBe(true)
  })

  test('[CND1, RSK6] strikes on both count together, their points too, and the session ends once', async () => {
    const { a, b, trail } = await start(NONE, { more: risk(NONE).replace('at: 70', 'at: 700') })
    const own = await bearer(a)
    for (let i = 0; i < 2; i++) for (const gate of [a, b]) expect(said(await gate.ask('GET', '/tools/out', own))).toEqual([403, 'denied'])
    const facts = await eventually('it has ended', 5_000, async () => {
      const found = factsIn(await trail()).filter(({ what }) => what === 'session.revoked')
      return found.length > 0 ? found : null
    })
    expect(facts).toEqual([expect.objectContaining({ reason: 'risk', note: 'strike 4 of 4 on tools#1' })])
  })

  test('[RSK7] a gateway that dies leaves what it saw to the others, and a level outlives them all', async () => {
    const { a, b } = await start(NONE, { more: risk(NONE).replace('[terminate]', '[narrow]') })
    const own = await bearer(a)
    for (let i = 0; i < 5; i++) expect(said(await b.ask('GET', '/tools/out', await bearer(a)))).toEqual([403, 'denied'])
    await b.stop()
    expect((await a.ask('GET', '/x', own)).status).toBe(200)
    await eventually('the other has it', 5_000, async () => (scores(a).some(score => score > 70) ? true : null))
    const again = await TestGateway.start({ routes: ROUTES, more: risk(NONE).replace('[terminate]', '[narrow]'), upstream: a.upstream, issuer: a.issuer, store: storeAt(server) })
    expect((await again.ask('GET', '/x', own)).status).toBe(200)
    const [live] = [...again.parts.mirror.all()]
    expect(live === undefined ? null : again.parts.mirror.effective(live, again.parts.clock.now()).level?.name).toBe('out')
    await eventually('and its score', 5_000, async () => (scores(again).some(score => score > 70) ? true : null))
    await again.stop()
  })

  test('[RSK9, NOT1] channels are told of a level once, by whichever gateway had it told: who, how far, by what, and whether a lock was withheld', async () => {
    const heard: Record<string, unknown>[] = []
    const hook = createServer((request, response) => {
      let text = ''
      request.on('data', (chunk: Buffer) => { text += chunk.toString() })
      request.on('end', () => {
        heard.push(JSON.parse(text) as Record<string, unknown>) // a notice is an object
        response.writeHead(204).end()
      })
    }).listen(0, '127.0.0.1')
    await once(hook, 'listening')
    const directory = mkdtempSync(join(tmpdir(), 'hook-'))
    writeFileSync(join(directory, 'secret'), 'a secret of the test, long enough\n', { mode: 0o600 })
    const { port } = hook.address() as AddressInfo // it listens on a port
    const told = `${risk(FAST, '  lockReach: 1\n').replace('do: [terminate]', 'do: [notify, lock], notify: [oncall]')}\nnotify: { oncall: { webhook: { url: "http://127.0.0.1:${port}/", secretFile: ${join(directory, 'secret')} } } }`
    const { a, b, trail } = await start(FAST, { more: told })
    const own = [await bearer(a), await bearer(a)]
    for (let i = 0; i < 8; i++) for (const gate of [a, b]) for (const one of own) await gate.ask('GET', '/x', one)
    await eventually('it is told', 5_000, async () => (heard.length > 0 ? true : null))
    expect(factsIn(await trail()).filter(({ what }) => what === 'lock.set')).toEqual([])
    const data = { subject: `${a.issuer.issuer}|bot`, level: 'out', score: 80, contributions: ['fast 80'], withheld: true }
    expect(heard).toEqual([expect.objectContaining({ type: 'risk.reached', data: expect.objectContaining(data) })])
    expect(JSON.stringify(heard)).toContain('was NOT set')
    hook.close()
    hook.closeAllConnections()
    rmSync(directory, { recursive: true })
  })

  test('[RSK6, RSK4] a store that lost everything is told again: the level, and what each gateway knows of the score', async () => {
    const { a, b } = await start(NONE, { more: risk(NONE).replace('[terminate]', '[narrow]').replace('at: 70', 'at: 30') })
    const own = await bearer(a)
    for (let i = 0; i < 3; i++) for (const gate of [a, b]) expect(said(await gate.ask('GET', '/tools/out', await bearer(a)))).toEqual([403, 'denied'])
    await eventually('both know all of it', 5_000, async () => {
      for (const gate of [a, b]) await gate.ask('GET', '/x', own)
      return [a, b].every(gate => scores(gate).some(score => score > 85)) ? true : null
    })
    await eventually('nothing is left to say', 5_000, async () => ([a, b].every(gate => gate.parts.trust.risk.lag === 0) ? true : null))
    await a.parts.store.pool([]) // and what was being said is
    await server.command('FLUSHALL')
    await eventually('one knows all of it again, and the level stands, though the other was asked nothing', 10_000, async () => {
      if ((await a.ask('GET', '/x', await bearer(a))).status !== 200) return null // those issued before are refused
      const live = [...a.parts.mirror.all()].find(({ record }) => record.state.is === 'live')
      const known = live === undefined ? 0 : (await a.parts.store.pool([{ name: live.principal.name, text: '', forgetAt: instant(0) }])).flat().length
      return live !== undefined && known === 2 && scores(a).some(score => score > 85) && a.parts.mirror.effective(live, a.parts.clock.now()).level?.name === 'out' ? true : null
    })
  })

  test('[RSK4, RSK6] a level stands as long as any gateway sees the score that it stands for, also where another was asked nothing since', async () => {
    const { a, b, trail } = await start(NONE, { more: risk(NONE, '  hysteresis: 2\n  holdFor: 0s\n').replace('halfLife: 1h', 'halfLife: 1s').replace('[terminate]', '[narrow]').replace('at: 70', 'at: 12'), routes: ROUTES.replace('strikes: 4, within: 10m, do: terminate', 'do: none') })
    const [own, begun] = [await bearer(a), performance.now()]
    expect((await b.ask('GET', '/x', own)).status).toBe(200)
    let asked = 0
    await eventually('it has struck for as long as one half-life takes, and three more', 10_000, async () => {
      expect((await a.ask('GET', '/tools/out', own)).status).toBe(403)
      return ++asked > 3 && performance.now() - begun > 4_000 ? true : null
    })
    const told = factsIn(await trail()).filter(({ what }) => what === 'anchor.told')
    expect(told.map(({ matter }) => (matter as { readonly level: { readonly name: string } | null }).level?.name)).toEqual(['out']) // of a principal
  })

  test('[RSK4, EXP3] a level that an operator took back falls by itself where a store that lost everything is told of it again', async () => {
    const { a, b, trail } = await start(NONE, { more: risk(NONE, '  holdFor: 0s\n').replace('[terminate]', '[freeze]').replace('at: 70', 'at: 25') })
    for (let i = 0; i < 2; i++) await b.ask('GET', '/tools/out', await bearer(a))
    const id = [...b.parts.mirror.all()][0]?.principal.name ?? ''
    await eventually('it is told', 5_000, async () => (factsIn(await trail()).some(({ what }) => what === 'anchor.told') ? true : null))
    expect((await b.admin('POST', `/v1/principals/${id}/clear`, { risk: true, reason: 'false alarm' })).json).toMatchObject({ enforced: true })
    await server.command('FLUSHALL')
    await eventually('it is told again', 10_000, async () => ((await a.parts.store.load({ kind: 'principal', name: id })) === null ? null : true))
    await eventually('it is let pass by both', 10_000, async () => {
      const own = await bearer(a) // those issued before are refused
      const answers = await Promise.all([a, b].map(gate => gate.ask('GET', '/x', own)))
      return answers.every(({ status }) => status === 200) ? true : null
    })
  })

  test('[RSK7] parts that are none are counted and change nothing', async () => {
    const { a, b } = await start(NONE)
    const own = await bearer(a)
    expect((await a.ask('GET', '/x', own)).status).toBe(200)
    const name = [...a.parts.mirror.all()][0]?.principal.name ?? ''
    const texts = ['nonsense', '[1,"x"]', '[1,"evil",0,[],[[],[],[],[]],[],[["never",[1e999,0,0]]],[],[],[],[],[]]', '[1,"evil",0,[[0,-5,0,0]],[[],[],[],[]],[],[],[],[],[],[],[]]']
    for (const text of texts) {
      const before = await metric(a, 'risk_bad_parts_total')
      await b.parts.store.pool([{ name, text, forgetAt: instant(b.parts.clock.now() + 60_000) }])
      await eventually('it is counted', 5_000, async () => {
        expect((await a.ask('GET', `/x${Math.random()}`, own)).status).toBe(200)
        return (await metric(a, 'risk_bad_parts_total')) > before ? true : null
      })
    }
  })
})
