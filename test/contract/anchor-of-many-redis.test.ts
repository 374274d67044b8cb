// One ticket behind a hundred thousand sessions of a gateway on a shared store: its end is one commit and one entry of the log, and everything that stood on it is cut.
import { expect, test } from 'vitest'
import type { AnchorRef } from '../../src/core/anchor.ts'
import type { Permit } from '../../src/core/decision.ts'
import { pathPattern } from '../../src/core/path-pattern.ts'
import { type Route, routeTable } from '../../src/core/route.ts'
import { NOT_RISKED } from '../../src/core/risk.ts'
import type { SessionId, SessionKey } from '../../src/core/session.ts'
import type { SignalId } from '../../src/core/signal.ts'
import { after, duration, FOREVER, instant } from '../../src/core/time.ts'
import { Exchange, type GateKeeper, NO_CLAIMS } from '../../src/enforcement/exchange.ts'
import { Inflight } from '../../src/enforcement/inflight.ts'
import { Reassessor } from '../../src/enforcement/reassess.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../support/plain.ts'
import { openMember } from '../support/redis-members.ts'
import { RedisServer } from '../support/redis-server.ts'
import { elevation, policyOf, profile, SESSION } from '../unit/core/world.ts'

const SESSIONS = 100_000
const AT_ONCE = 1_000
const STREAMS = 2_000
const HOUR = duration(3_600_000)
/** For a machine that does other things. */
const ROOM = 500
const ticket: AnchorRef = { kind: 'ticket', name: 'manual//T-1' }
const route: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: 'db:write', condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
}
const policy = { ...policyOf(profile('fix', ['db:write'])), routes: [route], table: routeTable([route]) }
const quiet = { regranted() {}, frozen() {}, finishing() {}, resumed() {}, cut() {} }
const evaluation = { evidence: null, action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'a', path: '/x', segments: ['x'], query: '' }, context: { protocol: 'http', source: '', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const

test('[STORE-36R, STO6, ELV6, ENF3] the end of a ticket behind 100,000 sessions is one entry of the log, and all that stood on it is cut', { timeout: 120_000 }, async () => {
  const server = await RedisServer.start()
  const { store, clock } = await openMember(server.port)
  const mirror = new Mirror(store, policy, 2 * SESSIONS)
  const keeper: GateKeeper = { clock, mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
  const inflight = new Inflight()
  const reassessor = new Reassessor(keeper, inflight, quiet)
  await mirror.start()
  const word = { by: 'test', note: '' }
  const ledger = new Ledger(store, mirror, clock)
  await ledger.applyToAnchor(ticket, { kind: 'anchor.opened', matter: null, id: 'sig_1' as SignalId, ...word }) // a test word
  const [now, until] = [clock.now(), after(clock.now(), HOUR)]
  const fix = elevation('elv_1', { ties: [{ anchor: ticket, generation: instant(0), reason: 'ticket_closed', position: null, level: null }], state: { is: 'active', since: now, until } })
  let cut = 0
  const channel = { status: 200, freeze() {}, resume() {}, tick() {}, cut: () => void cut++ }
  const permit = { effect: 'permit', grant: { is: 'elevation', elevation: fix, schedules: [] }, until, would: null } as unknown as Permit // stands for one the judge made
  for (let first = 0; first < SESSIONS; first += AT_ONCE) {
    const lives = await Promise.all(Array.from({ length: AT_ONCE }, (_, i) => mirror.adopt({ ...SESSION, key: `key_${first + i}` as SessionKey, id: `ses_${first + i}` as SessionId, openedAt: now, endsAt: until, elevations: [fix] }, () => true))) // test words
    if (first < STREAMS) for (const live of lives) if (live !== null) inflight.add(new Exchange({ id: `exc_${live.record.id}`, policy, place: { route, rule: route.rules[0] ?? null, params: {} }, evaluation, live, claims: NO_CLAIMS, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }, permit, channel, keeper, now))
  }
  expect([mirror.size, inflight.size]).toEqual([SESSIONS, STREAMS])
  let [announced, heardAt, closedAt] = [0, 0, 0]
  mirror.onAnnounced = () => {
    announced++
    heardAt = performance.now()
  }
  mirror.onChange = async change => {
    closedAt = performance.now()
    return reassessor.changed(change)
  }
  const entries = Number(await server.command('XLEN', 'ng:{0}:L'))
  const started = performance.now()
  const { position } = await ledger.applyToAnchor(ticket, { kind: 'anchor.ended', matter: null, id: 'sig_2' as SignalId, ...word }) // a test word
  if (position === null) throw new Error('nothing was committed')
  const { exchanges, gateways } = await store.enforced(position)
  const [toStamps, toCut] = [closedAt - heardAt, performance.now() - started]
  console.log(`100,000 sessions over Redis: every gate closed ${toStamps.toFixed(1)} ms after the announcement, ${STREAMS} streams cut and acknowledged ${toCut.toFixed(1)} ms after the word`)
  expect({ announced, cut, tally: exchanges.cut, open: inflight.size, gateways, entries: Number(await server.command('XLEN', 'ng:{0}:L')) - entries })
    .toEqual({ announced: 1, cut: STREAMS, tally: STREAMS, open: 0, gateways: { total: 1, acknowledged: 1, expired: 0 }, entries: 1 })
  expect(toStamps).toBeLessThan(ROOM)
  await ledger.settled()
  await store.close()
  await server.dispose()
})
