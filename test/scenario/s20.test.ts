// S20: an engineer of a service provider, 30 minutes, ends with the ticket. Here what the session is bound to: the device it was opened on, and one customer,
// whatever is asked, in whatever spelling, and whatever else the caller holds.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import type { TokenClaims } from '../support/token-issuer.ts'
import { asked, both, type Caller, connect, driftsKept, driftsOf, elevatedAt, on, sessionAt, type Setting, SETTINGS, takesUpgrades, through, upgraded } from './callers.ts'
import { Psa } from './psa.ts'
import { bearer, factsIn, loadsAsItStands, outcome, tokenFor } from './stage.ts'

const HOST = { host: 'firewalls.internal', 'narrowgate-ticket': 'CHG-88' }
const ASK = { profile: 'change', purpose: { ticket: 'CHG-88' } }
const BROKEN = '403 binding_broken'

/** Other spellings of a customer's path, and what becomes of each: as C1's own one, or not at all. */
const SPELLINGS: readonly (readonly [path: string, told: string])[] = [
  ['/v1/%63%31/rules', '200'], ['/v1/%63%32/rules', BROKEN], ['/v1/C1/rules', BROKEN], ['/v1/C2/rules', BROKEN], ['/v1/%43%32/rules', BROKEN],
  ['/v1/c1;x/rules', BROKEN], ['/v1/c2;x/rules', BROKEN], ['/v1/c1%3bx/rules', BROKEN], ['/v1/c1,c2/rules', BROKEN], ['/v1/c1%20/rules', BROKEN],
  ['/v1/c1%2f..%2fc2/rules', '400 bad_request'], ['/v1/c1/../c2/rules', '400 bad_request'], ['/v1/c1/%2e%2e/c2/rules', '400 bad_request'], ['/v1/c1/..;/c2/rules', '400 bad_request'],
  ['/v1/c1\\..\\c2/rules', '400 bad_request'], ['/v1/%2563%2532/rules', '400 bad_request'], ['/v1//c2/rules', '400 bad_request'], ['//v1/c2/rules', '400 bad_request'], ['/v1/c1%00/rules', '400 bad_request'],
  ['/v1/c%ef%bc%92/rules', BROKEN], ['/V1/c2/rules', '404 no_route'], ['/v1/c2/rules?customer=c1', BROKEN], ['http://firewalls.internal/v1/c2/rules', BROKEN],
]

test('[CFG2] the example loads as it stands', () => loadsAsItStands('s20.yaml'))

describe.each(SETTINGS)('%s', (_, raised) => {
  let setting: Setting
  let consoles: readonly string[] = []
  let turn = 0
  let psa: Psa
  beforeAll(async () => {
    psa = await Psa.start()
    psa.has('c1', 'CHG-88', 'open')
    setting = await raised('s20.yaml', { adapt: psa.stands })
    setting.a.upstream.plays.set('/v1/c1/status', '/ok').set('/v1/c2/status', '/ok')
    consoles = takesUpgrades(setting.a)
  }, 30_000)
  afterAll(async () => {
    await setting.stop()
    await psa.close()
  })
  beforeEach(() => { turn++ })

  /** A token of the engineer's session in this test. */
  async function engineer(device: string | null, { from, ...claims }: TokenClaims & { readonly from?: string } = {}): Promise<Caller> {
    const token = await tokenFor(setting.a.issuer, 'eve', { sid: `login-${turn}`, customer: 'c1', manager: 'max', ...(device === null ? {} : { device_id: device }), ...claims })
    return { leaf: null, headers: bearer(token, HOST), ...(from === undefined ? {} : { from }) }
  }

  /** The engineer at the laptop, with the firewall of C1 opened for CHG-88. */
  async function atWork(): Promise<{ readonly eve: Caller; readonly session: string; readonly elevation: string }> {
    const eve = await engineer('laptop')
    expect(await through(setting, eve, 'GET', '/v1/c1/status')).toEqual(both('200'))
    expect(await through(setting, eve, 'GET', '/v1/c1/rules')).toEqual(both('403 elevation_required'))
    const elevation = await elevatedAt(setting.a, eve, ASK)
    expect(await through(setting, eve, 'GET', '/v1/c1/rules')).toEqual(both('200'))
    return { eve, session: await sessionAt(setting.a, eve), elevation }
  }

  const upgrades = async (caller: Caller, path: string): Promise<readonly string[]> => [await upgraded(setting.a, caller, path), await upgraded(setting.b, caller, path)]
  /** What has gone to the upstream so far. */
  const passed = (): readonly string[] => [...setting.a.upstream.requests.map(({ url }) => url), ...consoles]

  /** Refusals for a drift of this kind so far, of all gateways. */
  async function violations(binding: string): Promise<number> {
    const scrapes = await Promise.all([...new Set([setting.a, setting.b])].map(async gate => (await gate.ops('/metrics')).text))
    const line = new RegExp(`^narrowgate_binding_violations_total\\{binding="${binding}",mode="required"\\} (\\d+)$`, 'm')
    return scrapes.reduce((sum, text) => sum + Number(line.exec(text)?.[1] ?? 0), 0)
  }

  test('[S20.b] from another device, or from one that is not named, the engineer is refused and reaches nothing; at the own one the work goes on', async () => {
    const { eve } = await atWork()
    const before = passed()
    for (const other of [await engineer('phone'), await engineer(null), await engineer('Laptop'), await engineer('phone', { from: '127.0.0.2' })]) {
      expect(await through(setting, other, 'GET', '/v1/c1/status')).toEqual(both(BROKEN))
      expect(await through(setting, other, 'GET', '/v1/c1/rules')).toEqual(both(BROKEN))
      expect(await through(setting, other, 'POST', '/v1/c1/rules/7')).toEqual(both(BROKEN))
      expect(await upgrades(other, '/v1/c1/console')).toEqual(both(BROKEN))
    }
    expect(passed()).toEqual(before)
    expect(await through(setting, eve, 'GET', '/v1/c1/rules')).toEqual(both('200'))
    expect(await upgrades(eve, '/v1/c1/console')).toEqual(both('101'))
  })

  test('[S20.b] the other device has no part in the elevation: it neither sees, asks, extends nor gives one back', async () => {
    const { eve, elevation } = await atWork()
    const phone = await engineer('phone')
    for (const [method, path, body] of [
      ['GET', 'session', null], ['POST', 'session/renew', {}], ['GET', 'profiles', null], ['GET', 'events', null], ['POST', 'elevations', ASK],
      ['GET', `elevations/${elevation}`, null], ['POST', `elevations/${elevation}/extend`, { for: '1m' }], ['POST', `elevations/${elevation}/release`, {}],
    ] as const) expect(await through(setting, phone, method, `/.narrowgate/${path}`, body), path).toEqual(both(BROKEN))
    expect(await through(setting, eve, 'GET', '/v1/c1/rules')).toEqual(both('200'))
    const { json } = await asked(setting.b, eve, 'GET', '/.narrowgate/session')
    expect((json['elevations'] as readonly { readonly id: string }[]).map(({ id }) => id)).toEqual([elevation]) // the contract's shape
  })

  test('[S20.b] it is on record with what it showed and where from, counted each time and told once', async () => {
    const { session } = await atWork()
    const before = await violations('device')
    const phone = await engineer('phone', { from: '127.0.0.2' })
    for (let i = 0; i < 3; i++) expect(await through(setting, phone, 'GET', '/v1/c1/rules')).toEqual(both(BROKEN))
    expect(await violations('device')).toBe(before + 6)
    await driftsKept(setting.a, session, 1)
    const lines = await setting.trail()
    expect(driftsOf(lines, session)).toEqual([{ binding: 'device', shown: 'phone' }])
    const refused = lines.filter(({ kind, reason, session: of }) => kind === 'request.refused' && reason === 'binding_broken' && of === session)
    expect(refused).toHaveLength(6)
    for (const line of refused) expect(line).toMatchObject({ subject: expect.stringMatching(/\|eve$/), tenant: 'c1', source: '127.0.0.2', drift: { binding: 'device', shown: 'phone' }, proved: { device: 'phone' }, method: 'GET', path: '/v1/c1/rules', decision: 'refuse' })
    expect(new Set(refused.map(({ gateway }) => gateway)).size).toBe(new Set([setting.a, setting.b]).size)
  })

  test('[S20.f] any call to C2 during the window is refused while C1 goes on, on the same connection', async () => {
    const { eve, session } = await atWork()
    const before = passed().length
    for (const gate of [setting.a, setting.b]) {
      const kept = await connect(gate, eve)
      const heard: string[] = []
      for (const [method, path] of [['GET', '/v1/c1/rules'], ['GET', '/v1/c2/rules'], ['GET', '/v1/c2/status'], ['POST', '/v1/c2/rules/7'], ['POST', '/v1/c1/rules/7'], ['GET', '/v1/c1/status']] as const) heard.push(outcome(await on(kept, eve, method, path)))
      kept.close()
      expect(heard).toEqual(['200', BROKEN, BROKEN, BROKEN, '200', '200'])
      expect(await upgraded(gate, eve, '/v1/c2/console')).toBe(BROKEN)
      expect(await upgraded(gate, eve, '/v1/c1/console')).toBe('101')
    }
    expect(passed().slice(before).filter(url => !url.startsWith('/v1/c1/'))).toEqual([])
    expect(passed()).toHaveLength(before + 8)
    await driftsKept(setting.a, session, 1)
    const lines = await setting.trail()
    expect(driftsOf(lines, session)).toEqual([{ binding: 'tenant', shown: 'c2' }])
    for (const line of lines.filter(({ kind, path }) => kind === 'request.refused' && String(path).startsWith('/v1/c2/'))) expect(line).toMatchObject({ session, tenant: 'c1', reason: 'binding_broken', drift: { binding: 'tenant', shown: 'c2' } })
    expect(factsIn(lines, 'elevation.ended')).toEqual([])
  })

  test('[S20.f] a right on C1 reaches C2 in no spelling of the path', async () => {
    const { eve } = await atWork()
    for (const gate of new Set([setting.a, setting.b])) {
      for (const [path, told] of SPELLINGS) {
        const before = passed().length
        expect.soft(outcome(await asked(gate, eve, 'GET', path)), path).toBe(told)
        expect.soft(await upgraded(gate, eve, path.replace('rules', 'console')), `an upgrade to ${path}`).toBe(told === '200' ? '101' : told)
        expect.soft(passed().length - before, path).toBe(told === '200' ? 2 : 0)
      }
    }
    expect(passed().filter(url => !url.startsWith('/v1/c1/'))).toEqual([])
  })

  test('[S20.f] nor does a token of the same session that names C2, or none, take C1\'s right along', async () => {
    const { session } = await atWork()
    const [moved, nobody] = [await engineer('laptop', { customer: 'c2' }), await engineer('laptop', { customer: undefined })]
    expect(await sessionAt(setting.b, moved)).not.toBe(session)
    expect(await through(setting, moved, 'GET', '/v1/c1/status')).toEqual(both(BROKEN))
    expect(await through(setting, moved, 'GET', '/v1/c2/rules')).toEqual(both('403 elevation_required'))
    for (const path of ['/v1/c1/status', '/v1/c2/status', '/v1/c1/rules']) expect(await through(setting, nobody, 'GET', path)).toEqual(both('401 credential_invalid'))
  })
})
