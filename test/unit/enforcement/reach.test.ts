// What a dry run tells of a lock is what the lock then does: for every kind of selector, over sessions and exchanges that differ in everything locks ask about.
import { afterEach, beforeEach, expect, test } from 'vitest'
import { cutOffFor, type LockEffect, type Selector, SELECTOR_KINDS } from '../../../src/core/anchor.ts'
import type { Call } from '../../../src/core/call.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import { evaluate } from '../../../src/core/evaluate.ts'
import type { Evidence } from '../../../src/core/evidence.ts'
import { pathPattern } from '../../../src/core/path-pattern.ts'
import type { Policy } from '../../../src/core/policy.ts'
import { sessionRef } from '../../../src/core/record.ts'
import { NOT_RISKED } from '../../../src/core/risk.ts'
import { placeOf, type Route, routeTable } from '../../../src/core/route.ts'
import type { Brokered, SessionId } from '../../../src/core/session.ts'
import { duration, FOREVER, type Instant, instant } from '../../../src/core/time.ts'
import { type Channel, caseOf, Exchange, type GateKeeper } from '../../../src/enforcement/exchange.ts'
import { Inflight } from '../../../src/enforcement/inflight.ts'
import { reachOf } from '../../../src/enforcement/reach.ts'
import { Reassessor } from '../../../src/enforcement/reassess.ts'
import { newLockId, newSignalId } from '../../../src/runtime/id.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../../support/plain.ts'
import { NOW, SESSION } from '../core/world.ts'
import { asks, evidence, keyOf, POLICY, World } from '../sessions/world.ts'

const routeAt = (name: string, scope: string | null): Route => ({
  name, host: { is: 'any' }, path: pathPattern(`/${name}/**`), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: `${name}#1`, effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: name === 'public', scope, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
})
const ROUTES = { free: routeAt('free', null), db: routeAt('db', 'db:write'), public: routeAt('public', null), mcp: routeAt('mcp', null) }
const routes = Object.values(ROUTES)
const policy: Policy = {
  ...POLICY, routes, table: routeTable(routes), sessions: { ...POLICY.sessions, bind: { key: 'off', workload: 'off', device: 'off', source: 'off', tenant: 'off' } },
  brokers: new Map([['factory', { name: 'factory', who: null, may: { source: 'true', test: () => 'true' }, profiles: [], max: duration(3_600_000), bindRequired: false, once: null }]]),
}
const nothing = (): void => {}
const channel: Channel = { status: 200, freeze: nothing, resume: nothing, cut: nothing, tick: nothing }

let world: World
let keeper: GateKeeper
let inflight: Inflight
let reassessor: Reassessor
let cut: string[]
/** Frozen and not resumed. */
let frozen: Set<string>

/** Whose: the first letter is the subject, and of what it has. */
async function opened(name: string, tenant: string, brokered: Brokered | null = null): Promise<LiveSession> {
  const credential = { id: `cred_${name}`, keyId: `k_${name}`, issuedAt: instant(NOW + (name === 'b' ? 1_000 : 0)), expiresAt: null }
  await world.tell(name, {
    kind: 'session.opened', key: keyOf(name), session: `ses_${name}` as SessionId, epoch: world.store.epochOf(sessionRef(keyOf(name))), principal: { ...SESSION.principal, subject: name, tenant, issuer: brokered === null ? SESSION.principal.issuer : 'broker:factory' }, // a word of the test
    endsAt: instant(NOW + 3_600_000), credential, bindings: { ...NOT_BOUND, device: `device_${name}`, workload: `pod/${name}` }, aliases: [`sid:${name}`], brokered,
  })
  return world.live(name)
}

function open(id: string, route: Route, live: LiveSession | null, shown: Partial<Evidence> = {}, call: Call | null = null): void {
  const resource = { host: 'api.test', path: `/${route.name}/x`, segments: [route.name, 'x'], query: '' }
  const credential = live?.record.credential ?? null
  const own = live === null ? null : { ...evidence(credential?.id ?? '', credential?.issuedAt ?? null, null), issuer: live.record.principal.issuer, keyId: credential?.keyId ?? null, device: live.record.bindings.device, ...shown }
  const evaluation = { evidence: own, action: { method: 'GET', upgrade: null, call }, resource, context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: live?.record.bindings.workload ?? null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const
  const inquiry = { id, policy, place: placeOf(route, evaluation.action, resource), evaluation, live, claims: {}, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
  const decision = evaluate(caseOf(inquiry, keeper, world.clock.now(), null))
  if (decision.effect !== 'permit') throw new Error(`${id}: ${decision.reason}`)
  inflight.add(new Exchange(inquiry, decision, channel, keeper, world.clock.now()))
}

beforeEach(async () => {
  world = await World.start(policy)
  keeper = { clock: world.clock, mirror: world.mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
  inflight = new Inflight()
  cut = []
  frozen = new Set()
  reassessor = new Reassessor(keeper, inflight, { regranted: nothing, frozen: ({ id }) => void frozen.add(id), resumed: ({ id }) => void frozen.delete(id), finishing: nothing, cut: ({ exchange }) => void cut.push(exchange.id) })
  world.mirror.onChange = change => reassessor.changed(change)
  const [a, b] = [await opened('a', 'acme'), await opened('b', 'other')]
  await world.tell('a', asks('elv_a', instant(0), { requestedAt: NOW }))
  const child = await opened('c', 'acme', { broker: 'factory', by: 'x|y', claims: {}, possession: null, scopes: null, profiles: [], purposes: {}, barred: [], parent: { key: keyOf('a'), id: a.record.id, baseline: [], depth: 0 } })
  open('a1', ROUTES.free, a)
  open('a2', ROUTES.db, a)
  open('a3', ROUTES.free, a, { credential: 'cred_old', keyId: 'k_old', issuedAt: instant(NOW - 5_000) })
  open('m1', ROUTES.mcp, a, {}, { kind: 'tool', method: 'tools/call', name: 'write', args: null, digest: null })
  open('b1', ROUTES.free, b)
  open('c1', ROUTES.free, child)
  open('p1', ROUTES.public, null)
})
afterEach(() => world.close())

const ALL_OF_A = ['a1', 'a2', 'a3', 'c1', 'm1']
const before = (ms: number, subject: string | null = null): string => cutOffFor({ before: instant(NOW + ms), subject }).value

const CASES: readonly (readonly [kind: Selector['kind'], value: string, sessions: number, meets: readonly string[]])[] = [
  ['subject', 'a', 2, ALL_OF_A], ['subject', 'https://idp.test|b', 1, ['b1']], ['subject', 'nobody', 0, []], ['session', 'ses_a', 2, ALL_OF_A], ['session', 'ses_c', 1, ['c1']],
  ['elevation', 'elv_a', 1, ['a2']], ['profile', 'fix', 1, ['a2']], ['profile', 'other', 0, []], ['tenant', 'acme', 2, ALL_OF_A], ['tenant', 'other', 1, ['b1']],
  ['credential', 'cred_b', 1, ['b1']], ['credential', 'cred_old', 1, ['a3']], ['keyId', 'k_b', 1, ['b1']], ['keyId', 'https://idp.test|k_old', 1, ['a3']], ['issuer', 'https://idp.test', 3, [...ALL_OF_A, 'b1']], ['issuer', 'broker:factory', 1, ['c1']],
  ['device', 'device_b', 1, ['b1']], ['workload', 'pod/b', 1, ['b1']], ['alias', 'sid:b', 1, ['b1']], ['parent', 'ses_a', 1, ['c1']], ['tool', 'mcp/write', 1, ['m1']], ['tool', 'mcp/read', 0, []], ['tool', 'free/write', 0, []], ['definition', 'mcp/write', 1, ['m1']], ['route', 'free', 3, ['a1', 'a3', 'b1', 'c1']], ['route', 'public', 0, ['p1']], ['route', 'nowhere', 0, []],
  ['issuedBefore', before(1_000), 3, [...ALL_OF_A, 'b1']], ['issuedBefore', before(0), 2, ALL_OF_A], ['issuedBefore', before(-1), 1, ['a3']], ['issuedBefore', before(1_000, 'b'), 1, ['b1']], ['all', '', 3, [...ALL_OF_A, 'b1', 'p1']],
]

async function set(selector: Selector, effect: LockEffect, until: Instant | null): Promise<void> {
  const { rejected, position } = await world.ledger.applyToLock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect, reason: 'locked', until, id: newSignalId(), by: 'operator', note: '' })
  expect([rejected, position !== null]).toEqual([null, true])
  if (position !== null) await world.store.enforced(position)
}

test('[ENF8] every kind of selector is among them', () => expect(new Set(CASES.map(([kind]) => kind))).toEqual(new Set(SELECTOR_KINDS)))

test.each(CASES)('[ENF8, ADM3] a lock on %s %j would meet %i sessions and %j, and the lock then cuts exactly those', async (kind, value, sessions, meets) => {
  const selector: Selector = { kind, value }
  expect(reachOf(selector, world.mirror, inflight, world.clock.now())).toEqual({ sessions, exchanges: meets.length })
  expect([cut, inflight.size], 'nothing is set').toEqual([[], 7])
  await set(selector, 'deny', null)
  expect(cut.toSorted()).toEqual(meets.toSorted())
})

test.each(CASES)('[ENF8] a lock on %s %j that freezes holds what it meets (%i sessions, %j) and nothing else, until its time or an operator’s word', async (kind, value, _, meets) => {
  const selector: Selector = { kind, value }
  await set(selector, 'freeze', instant(NOW + 60_000))
  expect([[...frozen].toSorted(), cut]).toEqual([meets.toSorted(), []])
  world.clock.pass(59_999)
  await reassessor.changed({ sessions: 'all', anonymous: true, announcement: null })
  expect([...frozen].toSorted(), 'a moment before').toEqual(meets.toSorted())
  world.clock.pass(1)
  await reassessor.changed({ sessions: 'all', anonymous: true, announcement: null })
  expect([[...frozen], cut], 'its time').toEqual([[], []])
  await set(selector, 'freeze', null)
  expect([...frozen].toSorted(), 'again').toEqual(meets.toSorted())
  const { position } = await world.ledger.applyToLock(selector, { kind: 'lock.lifted', id: newSignalId(), by: 'operator', note: 'over' })
  if (position !== null) await world.store.enforced(position)
  expect([[...frozen], cut], 'lifted').toEqual([[], []])
})

test('[ENF8] lives that are over are not met, whatever they were', async () => {
  for (const exchange of inflight.all()) inflight.remove(exchange)
  await world.tell('b', { kind: 'session.terminated', reason: 'revoked' })
  expect([reachOf({ kind: 'subject', value: 'b' }, world.mirror, inflight, world.clock.now()), reachOf({ kind: 'all', value: '' }, world.mirror, inflight, world.clock.now())]).toEqual([{ sessions: 0, exchanges: 0 }, { sessions: 2, exchanges: 0 }])
})
