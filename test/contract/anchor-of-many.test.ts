// One ticket behind a hundred thousand sessions: its end is one commit and one announcement, and everything that stood on it is cut.
import { expect, test } from 'vitest'
import type { AnchorRef } from '../../src/core/anchor.ts'
import type { Permit } from '../../src/core/decision.ts'
import { NO_CLAIMS, Exchange, type GateKeeper } from '../../src/enforcement/exchange.ts'
import { Inflight } from '../../src/enforcement/inflight.ts'
import { Reassessor } from '../../src/enforcement/reassess.ts'
import { pathPattern } from '../../src/core/path-pattern.ts'
import { type Route, routeTable } from '../../src/core/route.ts'
import { NOT_RISKED } from '../../src/core/risk.ts'
import type { SessionId, SessionKey } from '../../src/core/session.ts'
import type { SignalId } from '../../src/core/signal.ts'
import { duration, FOREVER, instant } from '../../src/core/time.ts'
import { openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { PLAIN_CONTEXT, PLAIN_ROUTE, PLAIN_RULE } from '../support/plain.ts'
import { at, elevation, NOW, policyOf, profile, SESSION } from '../unit/core/world.ts'

const SESSIONS = 100_000
const STREAMS = 2_000
const ticket: AnchorRef = { kind: 'ticket', name: 'manual//T-1' }
const fix = elevation('elv_1', { ties: [{ anchor: ticket, generation: instant(0), reason: 'ticket_closed', position: null, level: null }] })
const route: Route = {
  name: 'api', host: { is: 'any' }, path: pathPattern('/**'), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
  rules: [{ name: 'api#1', effect: 'allow', methods: null, paths: null, upgrade: null, anonymous: false, scope: 'db:write', condition: null, messages: null, requireAuth: null, ...PLAIN_RULE }],
}
const policy = { ...policyOf(profile('fix', ['db:write'])), routes: [route], table: routeTable([route]) }
const clock = { now: () => at(1), elapsed: () => 0 }
const quiet = { regranted() {}, frozen() {}, finishing() {}, resumed() {}, cut() {} }

test('[ELV6, ENF3, STORE-36] the end of a ticket behind 100,000 sessions is one announcement, and all that stood on it is cut', async () => {
  const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  const mirror = new Mirror(store, policy, 2 * SESSIONS)
  const keeper: GateKeeper = { clock, mirror, confirmedUntil: () => Infinity, vouchesFor: () => true }
  const inflight = new Inflight()
  const reassessor = new Reassessor(keeper, inflight, quiet)
  await mirror.start()
  const word = { id: 'sig_1' as SignalId, by: 'test', note: '' } // a test word
  const ledger = new Ledger(store, mirror, clock)
  await ledger.applyToAnchor(ticket, { kind: 'anchor.opened', matter: null, ...word })
  let cut = 0
  for (let i = 0; i < SESSIONS; i++) {
    const live = await mirror.adopt({ ...SESSION, key: `key_${i}` as SessionKey, id: `ses_${i}` as SessionId, elevations: [fix] }, () => true) // test words
    if (live === null || i >= STREAMS) continue
    const evaluation = { evidence: null, action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'a', path: '/x', segments: ['x'], query: '' }, context: { protocol: 'http', source: '', secure: true, workload: null, certified: null, purposes: {}, ...PLAIN_CONTEXT, headers: [] } } as const
    const permit = { effect: 'permit', grant: { is: 'elevation', elevation: fix, schedules: [] }, until: at(600), would: null } as unknown as Permit // stands for one the judge made
    const channel = { status: 200, freeze() {}, resume() {}, tick() {}, cut: () => void cut++ }
    inflight.add(new Exchange({ id: `exc_${i}`, policy, place: { route, rule: route.rules[0] ?? null, params: {} }, evaluation, live, claims: NO_CLAIMS, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }, permit, channel, keeper, NOW))
  }
  let announced = 0
  let announcedAt = 0
  mirror.onAnnounced = () => announced++
  mirror.onChange = async change => {
    announcedAt = performance.now()
    return reassessor.changed(change)
  }

  const started = performance.now()
  const { position } = await ledger.applyToAnchor(ticket, { kind: 'anchor.ended', matter: null, ...word, id: 'sig_2' as SignalId }) // a test word
  if (position === null) throw new Error('nothing was committed')
  const { exchanges } = await store.enforced(position)
  const toStamps = announcedAt - started
  const toCut = performance.now() - started

  console.log(`100,000 sessions: every gate closed after ${toStamps.toFixed(1)} ms, ${STREAMS} streams cut after ${toCut.toFixed(1)} ms`)
  expect({ announced, cut, tally: exchanges.cut, open: inflight.size }).toEqual({ announced: 1, cut: STREAMS, tally: STREAMS, open: 0 })
  expect(toStamps).toBeLessThan(500)
  await ledger.settled()
  await store.close()
})
