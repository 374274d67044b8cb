// A principal that is trusted less, as its requests feel it: the level that a request crosses is in force for that very request, in every session of it.
import { afterEach, describe, expect, test } from 'vitest'
import { type Answer, type GatewayPlan, TestGateway } from '../support/gateway.ts'
import { eventually } from '../support/redis-server.ts'

const gateways: TestGateway[] = []
afterEach(async () => {
  for (const gateway of gateways.splice(0)) await gateway.stop()
})

const ROUTES = `
- name: tools
  match: { host: api.test }
  upstream: api
  authn: [login]
  onMiss: { addRisk: 5, strikes: 2, within: 10m, do: terminate }
  rules:
    - { deny: { methods: [GET], paths: [/tools/secret/**] }, onHit: { addRisk: 30 } }
    - { deny: { methods: [GET], paths: [/tools/frozen] }, onHit: { strikes: 2, within: 10m, do: freeze } }
    - { deny: { methods: [GET], paths: [/tools/out] }, onHit: { strikes: 3, within: 10m, do: lock, for: 1h } }
    - { allow: { methods: [GET], paths: [/tickets/**] }, scope: base:read, label: tickets }
    - { allow: { methods: [GET], paths: [/vault/**] }, scope: base:read, label: vault }
    - { allow: { methods: [GET] }, scope: base:read }
`

const LEVELS = `
  levels:
    - { name: watch, at: 25, do: [narrow] }
    - { name: out, at: 70, do: [terminate] }
`

async function start(rules: string, more: Partial<GatewayPlan> = {}): Promise<TestGateway> {
  const gateway = await TestGateway.start({ routes: ROUTES, more: `risk:\n  halfLife: 1h\n  rules:\n${rules}\n${LEVELS}`, ...more })
  gateways.push(gateway)
  return gateway
}

const FAST = `    - { name: fast, when: 'stats.requestsPerMinute > 5.0', add: 80, every: 1m }`
const NONE = `    - { name: never, when: 'stats.requestsPerMinute < 0.0', add: 1 }`

const bearer = async (gate: TestGateway, claims: { readonly [name: string]: unknown } = {}) => ({ authorization: `Bearer ${await gate.token({ sub: 'bot', ...claims })}` })
const said = ({ status, json }: Answer): unknown => [status, json['reason'] ?? null]
const facts = async (gate: TestGateway): Promise<readonly Record<string, unknown>[]> => (await gate.trail()).flatMap(({ fact }) => (fact === undefined ? [] : [fact as Record<string, unknown>])) // lines of kind `fact` have one
const metric = async (gate: TestGateway, name: string): Promise<number> => Number((await gate.ops('/metrics')).text.split('\n').find(line => line.startsWith(`narrowgate_${name} `))?.split(' ').at(-1) ?? 0)

describe('levels', () => {
  test('[RSK2, RSK4] the request that crosses a level is judged by it, and so is the next session of its principal', async () => {
    const gate = await start(FAST)
    const own = await bearer(gate)
    for (let i = 0; i < 5; i++) expect((await gate.ask('GET', `/x${i}`, own)).status).toBe(200)
    expect(said(await gate.ask('GET', '/x5', own))).toEqual([403, 'risk'])
    expect(gate.upstream.requests.some(({ path }) => path === '/x5')).toBe(false)
    expect(said(await gate.ask('GET', '/x6', await bearer(gate)))).toEqual([403, 'risk'])
    expect((await gate.ask('GET', '/x7', await bearer(gate, { sub: 'other' }))).status).toBe(200)
    const risen = (await facts(gate)).filter(({ what }) => what === 'anchor.told')
    expect(risen).toHaveLength(1)
    expect(risen[0]).toMatchObject({ matter: { level: { name: 'out', score: 80, who: `${gate.issuer.issuer}|bot`, why: { contributions: [{ rule: 'fast', points: 80 }], request: { path: '/x5' } } } } })
  })

  test('[RSK9] a level that terminates ends every live session of its principal, whichever was used', async () => {
    const gate = await start(FAST)
    const [one, two] = [await bearer(gate), await bearer(gate)]
    expect((await gate.ask('GET', '/a', two)).status).toBe(200)
    for (let i = 0; i < 6; i++) await gate.ask('GET', '/x', one)
    const ended = await eventually('both have ended', 5_000, async () => {
      const found = (await facts(gate)).filter(({ what }) => what === 'session.revoked')
      return found.length === 2 ? found : null
    })
    expect(ended.map(({ reason }) => reason)).toEqual(['risk', 'risk'])
  })

  test('[RSK9] a level that shortens and locks does both, and each once', async () => {
    const acts = `    - { name: out, at: 70, do: [shorten, lock], shortenTo: 1m, lockFor: 1h }`
    const gate = await start(FAST, { more: `risk:\n  rules:\n${FAST}\n  levels:\n${acts}` })
    const own = await bearer(gate)
    for (let i = 0; i < 7; i++) await gate.ask('GET', '/x', own)
    await eventually('it is locked', 5_000, async () => ((await gate.ask('GET', '/x', own)).json['reason'] === 'locked' ? true : null))
    const found = await eventually('it is shortened', 5_000, async () => {
      const all = await facts(gate)
      return all.some(({ what }) => what === 'session.shortened') ? all : null
    })
    expect(found.filter(({ what }) => what === 'session.shortened')).toEqual([expect.objectContaining({ by: 'risk', note: 'risk reached out' })])
    expect(found.filter(({ what }) => what === 'lock.set')).toEqual([expect.objectContaining({ effect: 'deny', reason: 'locked', note: 'risk reached out' })])
  })

  test('[RSK2] what a request added is on its record', async () => {
    const gate = await start(NONE)
    const own = await bearer(gate)
    expect(said(await gate.ask('GET', '/tools/secret/a', own))).toEqual([403, 'denied'])
    expect((await gate.ask('GET', '/a', own)).status).toBe(200)
    const lines = await gate.trail()
    expect(lines).toEqual(expect.arrayContaining([expect.objectContaining({ kind: 'request.refused', risk: { before: 0, after: 30, level: 'watch' } })]))
    expect(lines).toEqual(expect.arrayContaining([expect.objectContaining({ kind: 'exchange.opened', risk: { before: 30, after: 30, level: 'watch' } })]))
  })
})

describe('rules', () => {
  test('[RSK3] a sequence fires in its order, across sessions, and not backwards', async () => {
    const gate = await start(`    - { name: pivot, sequence: ['label:tickets', 'label:vault'], within: 10m, add: 80 }`)
    const back = await bearer(gate, { sub: 'back' })
    expect((await gate.ask('GET', '/vault/a', back)).status).toBe(200)
    expect((await gate.ask('GET', '/tickets/a', back)).status).toBe(200)
    expect((await gate.ask('GET', '/tickets/a', await bearer(gate))).status).toBe(200)
    expect(said(await gate.ask('GET', '/vault/a', await bearer(gate)))).toEqual([403, 'risk'])
  })

  test('[RSK3] steps that lie further apart than a sequence says do not complete it', async () => {
    const gate = await start(`    - { name: pivot, sequence: ['label:tickets', 'label:vault'], within: 1s, add: 80 }`)
    const own = await bearer(gate)
    expect((await gate.ask('GET', '/tickets/a', own)).status).toBe(200)
    const since = Date.now()
    await eventually('a second and more', 5_000, async () => (Date.now() - since > 1_050 ? true : null))
    expect((await gate.ask('GET', '/vault/a', own)).status).toBe(200)
    expect((await gate.ask('GET', '/tickets/a', own)).status).toBe(200)
    expect(said(await gate.ask('GET', '/vault/a', own))).toEqual([403, 'risk'])
  })

  test('[RSK2] a rule that cannot be evaluated adds nothing and is counted', async () => {
    const gate = await start(`    - { name: broken, when: 'subject.claims.nowhere == "x"', add: 80 }`)
    expect((await gate.ask('GET', '/a', await bearer(gate))).status).toBe(200)
    expect(await metric(gate, 'risk_rule_errors_total{rule="broken"}')).toBe(1)
    expect(await metric(gate, 'risk_rule_hits_total{rule="broken"}')).toBe(0)
  })

  test('[RSK2] a rule that reads the outcome is asked when a request was refused', async () => {
    const gate = await start(`    - { name: refused, when: 'outcome.reason == "denied"', add: 80 }`)
    const own = await bearer(gate)
    expect((await gate.ask('GET', '/a', own)).status).toBe(200)
    expect(said(await gate.ask('GET', '/tools/frozen', own))).toEqual([403, 'denied'])
    expect(said(await gate.ask('GET', '/a', own))).not.toEqual([200, null])
  })
})

describe('strikes', () => {
  test('[CND1] a rule freezes the session at as many strikes as it says, and not before', async () => {
    const gate = await start(NONE)
    const own = await bearer(gate)
    await gate.ask('GET', '/tools/frozen', own)
    expect((await gate.ask('GET', '/a', own)).status).toBe(200)
    await gate.ask('GET', '/tools/frozen', own)
    await eventually('it is frozen', 5_000, async () => ((await gate.ask('GET', '/a', own)).json['reason'] === 'frozen' ? true : null))
    expect(await facts(gate)).toEqual(expect.arrayContaining([expect.objectContaining({ what: 'session.frozen', note: 'strike 2 of 2 on tools#2', by: 'risk' })]))
  })

  test('[CND2] requests that no rule knows end the session, and its credential counts no more', async () => {
    const gate = await start(NONE)
    const own = await bearer(gate)
    expect(said(await gate.ask('POST', '/a', own))).toEqual([403, 'no_rule'])
    expect(said(await gate.ask('POST', '/b', own))).toEqual([403, 'no_rule'])
    await eventually('it has ended', 5_000, async () => ((await gate.ask('GET', '/a', own)).status === 401 ? true : null))
    expect(await facts(gate)).toEqual(expect.arrayContaining([expect.objectContaining({ what: 'session.revoked', reason: 'risk', note: 'strike 2 of 2 on tools' })]))
  })

  test('[CND1] strikes of all sessions count together, and lock out their principal', async () => {
    const gate = await start(NONE)
    for (let i = 0; i < 3; i++) await gate.ask('GET', '/tools/out', await bearer(gate))
    await eventually('it is locked', 5_000, async () => ((await gate.ask('GET', '/a', await bearer(gate))).json['reason'] === 'locked' ? true : null))
    expect((await gate.ask('GET', '/a', await bearer(gate, { sub: 'other' }))).status).toBe(200)
  })

  test('[RSK9] a lock that would reach too many sessions is not set, and is counted; the session that struck ends all the same', async () => {
    const gate = await start(NONE, { more: `risk:\n  lockReach: 2\n  rules:\n${NONE}\n${LEVELS}` })
    for (let i = 0; i < 2; i++) await gate.ask('GET', '/tools/out', await bearer(gate))
    const own = await bearer(gate)
    expect(said(await gate.ask('GET', '/tools/out', own))).toEqual([403, 'denied'])
    await eventually('it is withheld', 5_000, async () => ((await metric(gate, 'risk_locks_withheld_total')) === 1 ? true : null))
    await eventually('it has ended', 5_000, async () => ((await gate.ask('GET', '/a', own)).status === 401 ? true : null))
    expect((await gate.ask('GET', '/a', await bearer(gate))).status).toBe(200)
  })
})
