// Where news enters: one id is one event, restrictive news needs no version, and the answer comes when it is enforced.
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { AnchorRef } from '../../../src/core/anchor.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import { sessionRef } from '../../../src/core/record.ts'
import type { SignalId, SignalKind } from '../../../src/core/signal.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { newLockId } from '../../../src/runtime/id.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../../src/sessions/embedded-store.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import type { LiveSession } from '../../../src/sessions/live-session.ts'
import { NO_TALLY } from '../../../src/sessions/change.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import { Intake, type Word } from '../../../src/signals/intake.ts'
import { policyOf, SESSION } from '../core/world.ts'

const said = (id: string | null): Word => ({ by: 'operator', note: '', id: id as SignalId | null }) // a test word
const TICKET: AnchorRef = { kind: 'ticket', name: 'manual//T-1' }

let store: EmbeddedStore
let mirror: Mirror
let intake: Intake
let live: LiveSession
let told: (readonly [SignalKind, string])[]

beforeEach(async () => {
  const clock = new SystemClock()
  store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  mirror = new Mirror(store, policyOf(), 10)
  await mirror.start()
  told = []
  intake = new Intake(new Ledger(store, mirror, clock), store, clock, (kind, outcome) => void told.push([kind, outcome]))
  const { key, principal, credential, id } = SESSION
  await intake.session(key, { kind: 'session.opened', key, session: id, epoch: store.epochOf(sessionRef(key)), principal, credential, endsAt: SESSION.endsAt, bindings: NOT_BOUND, aliases: [], brokered: null }, said(null))
  const found = await mirror.load(key)
  if (found === null) throw new Error('the session is not there')
  live = found
})
afterEach(() => store.close())

test('[SIG5] news told again under its id is one event, also when it would mean something again', async () => {
  const first = await intake.session(SESSION.key, { kind: 'session.frozen', until: null }, said('sig_a'))
  await intake.session(SESSION.key, { kind: 'session.resumed' }, said('sig_b'))
  const again = await intake.session(SESSION.key, { kind: 'session.frozen', until: null }, said('sig_a'))
  expect([first.facts.length, again.facts.length, again.position]).toEqual([1, 0, first.position])
  expect([live.record.frozen, live.record.version]).toEqual([null, 3])
  const other = await intake.session(SESSION.key, { kind: 'session.frozen', until: null }, said('sig_c'))
  expect([other.facts.length, live.record.frozen === null, live.record.version]).toEqual([1, false, 4])
})

test('[SIG5] one id may touch many records, and each once', async () => {
  const end = () => Promise.all([intake.anchor(TICKET, { kind: 'anchor.ended', matter: null }, said('sig_a')), intake.session(SESSION.key, { kind: 'session.narrowed', to: 'baseline', elevations: [] }, said('sig_a'))])
  expect((await end()).map(({ facts }) => facts.length)).toEqual([1, 1])
  await intake.anchor(TICKET, { kind: 'anchor.opened', matter: null }, said('sig_b'))
  expect((await end()).map(({ facts }) => facts.length)).toEqual([0, 0])
  expect(await mirror.anchor(TICKET)).toMatchObject({ state: 'open', version: 2 })
})

test('[SIG3, SIG4] an end of what nobody ever saw is kept, and said twice it is one end', async () => {
  const ended = await intake.anchor(TICKET, { kind: 'anchor.ended', matter: null }, said(null))
  const again = await intake.anchor(TICKET, { kind: 'anchor.ended', matter: null }, said(null))
  expect([ended.facts.length, again.facts.length, again.enforcement]).toEqual([1, 0, null])
  expect(await mirror.anchor(TICKET)).toMatchObject({ state: 'ended', version: 1, generation: ended.facts[0]?.at })
})

test('[ENF9] the answer comes when the last exchange has its verdict, and tells what became of them', async () => {
  const order: string[] = []
  let finish = (): void => {}
  mirror.onChange = () => new Promise(resolve => {
    order.push('asked')
    finish = () => {
      order.push('judged')
      resolve({ ...NO_TALLY, cut: 3 })
    }
  })
  const answer = intake.session(SESSION.key, { kind: 'session.terminated', reason: 'revoked' }, said(null)).then(enforced => {
    order.push('answered')
    return enforced
  })
  expect(await Promise.race([answer, new Promise(resolve => setTimeout(resolve, 50, 'waits'))])).toBe('waits')
  expect([order, live.record.state.is]).toEqual([['asked'], 'revoked'])
  finish()
  expect((await answer).enforcement).toMatchObject({ gateways: { total: 1, acknowledged: 1 }, exchanges: { cut: 3 } })
  expect(order).toEqual(['asked', 'judged', 'answered'])
})

test('[SIG1] what is counted is what the record took: taken, unchanged, rejected', async () => {
  told = []
  const lock = { kind: 'lock.set', lock: newLockId(), selector: { kind: 'all', value: '' }, effect: 'deny', reason: 'locked', until: null } as const
  await intake.lock(lock.selector, lock, said(null))
  await intake.lock(lock.selector, lock, said(null))
  await intake.session(SESSION.key, { kind: 'session.terminated', reason: 'revoked' }, said(null))
  await intake.session(SESSION.key, { kind: 'session.widened' }, said(null))
  expect(told).toEqual([['lock.set', 'taken'], ['lock.set', 'unchanged'], ['session.terminated', 'taken'], ['session.widened', 'rejected']])
})

test('[SES3] news for one life leaves the next one alone', async () => {
  const other = await intake.session(SESSION.key, { kind: 'session.terminated', reason: 'revoked' }, { ...said(null), life: 'ses_other' as typeof SESSION.id }) // a test word
  expect([other.rejected?.rejected, live.record.state.is]).toEqual(['session_ended', 'live'])
})
