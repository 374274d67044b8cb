// Facts on their way into the queues of streams, where the store does not take them, or somebody knows of them already: a real store in memory, with its faults.
import { afterEach, describe, expect, test } from 'vitest'
import type { Outgoing } from '../../../../src/audit/record.ts'
import type { TransmitSettings } from '../../../../src/config/compile/transmit.ts'
import { TOLD_EVENTS } from '../../../../src/config/schema/signals.ts'
import { NO_STANDING } from '../../../../src/core/risk.ts'
import type { AnchorFact, Fact, SessionFact } from '../../../../src/core/fact.ts'
import { duration, instant } from '../../../../src/core/time.ts'
import { SystemClock } from '../../../../src/runtime/clock.ts'
import { openLog } from '../../../../src/runtime/log.ts'
import { Metrics } from '../../../../src/runtime/metrics.ts'
import { openEmbeddedStore } from '../../../../src/sessions/embedded-store.ts'
import { StoreFull } from '../../../../src/sessions/store-fault.ts'
import type { SessionStore } from '../../../../src/sessions/store.ts'
import { queueOf, type Stream } from '../../../../src/signals/transmit/stream.ts'
import { Streams } from '../../../../src/signals/transmit/streams.ts'
import { Teller, type TellerPorts } from '../../../../src/signals/transmit/teller.ts'
import { commitOf, opening } from '../../../contract/session-store-contract.ts'
import { birth, outgoing } from '../../audit/samples.ts'

const clock = new SystemClock()
const ISSUERS: ReadonlyMap<string, readonly string[]> = new Map([['idp', ['https://idp.test']], ['edr', ['https://edr.test']]])
const stores: SessionStore[] = []
afterEach(async () => { for (const store of stores.splice(0)) await store.close() })

const stream = (id: string): Stream => ({ id, status: 'enabled', reason: null, held: false, push: null, requested: null, description: null, verifiedAt: instant(0), choice: 0 })
const receiver = (name: string, issuers: readonly string[] = []) => ({ name, tokenFile: '', audience: name, events: TOLD_EVENTS, issuers, tenants: [], pushTo: [], caFile: null })
const SETTINGS: TransmitSettings = {
  issuer: 'https://gw', keyFile: null, queue: 100, keepFor: duration(60_000), inactivityTimeout: duration(60_000),
  receivers: new Map([['siem', receiver('siem')], ['idp', receiver('idp', ['https://idp.test'])]]),
}

/** @param failing what the store fails, as often as this says so */
async function stage(failing: (name: string) => boolean = () => false) {
  const real = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  stores.push(real)
  const store: SessionStore = new Proxy(real, {
    get: (target, name): unknown => {
      const member: unknown = Reflect.get(target, name, target)
      return typeof member !== 'function' ? member : (...args: unknown[]): unknown => (failing(String(name)) ? Promise.reject(new StoreFull('full')) : Reflect.apply(member, target, args))
    },
  })
  const streams = new Streams(store)
  for (const name of SETTINGS.receivers.keys()) await streams.change(name, async () => ({ stream: stream(`${name}-1`), answer: null }))
  const metrics = new Metrics()
  const mirror: TellerPorts['mirror'] = { known: () => null, all: () => [], policy: { risk: { levels: [{ name: 'hot', at: 20 }] } } as unknown as TellerPorts['mirror']['policy'] } // what is read of it
  const woken: string[] = []
  const teller = new Teller({ store, streams, metrics, mirror, log: openLog('silent'), now: () => clock.now(), settings: () => SETTINGS, issuersOf: source => ISSUERS.get(source) ?? [], put: name => woken.push(name) })
  const queued = async (name: string): Promise<readonly string[]> =>
    (await real.waiting(queueOf(name, stream(`${name}-1`)), 100)).items.map(({ text }) => Object.keys((JSON.parse(text) as { readonly events: object }).events)[0]?.split('/').at(-1) ?? '') // as it is put there
  const count = async (outcome: string): Promise<number> => (await metrics.ssfTold.get()).values.filter(({ labels }) => (labels as { readonly outcome?: unknown }).outcome === outcome).reduce((sum, { value }) => sum + value, 0) // all have it
  return { real, streams, teller, woken, queued, count }
}

/** A life in the store, and the fact of its end. */
async function ended(store: SessionStore, told: Partial<Fact>): Promise<Outgoing> {
  const commit = commitOf(null, opening('a', clock.now(), store.epochOf({ kind: 'session', name: 'key-a' })), clock.now())
  await store.commit(commit)
  return outgoing({ at: instant(clock.now() + 1), because: 'sig_1', by: 'https://ops|root', note: '', version: 2, what: 'session.revoked', reason: 'revoked', ...told } as SessionFact, 2, 0, 'e1', commit.ref) // of that kind
}

describe('facts', () => {
  test('[TRM2] are queued once for each that may hear of them, however often they come', async () => {
    const { teller, queued, woken, real } = await stage()
    const end = await ended(real, {})
    for (let i = 0; i < 3; i++) await teller.tell([outgoing(birth(), 1), end])
    expect([await queued('siem'), await queued('idp'), woken]).toEqual([['session-established', 'session-revoked'], ['session-revoked'], ['siem', 'idp']])
  })

  test('[TRM2] that the word of an issuer caused are not told to who hears of its principals; any other is', async () => {
    const { teller, queued, real } = await stage()
    const news = { because: 'sig_out_1.0' as Fact['because'] } // a test word
    await teller.tell([await ended(real, { ...news, by: 'signals:idp' })])
    expect([await queued('siem'), await queued('idp')]).toEqual([['session-revoked'], []])
    await teller.tell([await ended(real, { ...news, by: 'signals:edr', version: 3 })])
    expect([await queued('siem'), await queued('idp')]).toEqual([['session-revoked', 'session-revoked'], ['session-revoked']])
  })

  test('[TRM2] of risk are told as the principal was known, also when nothing but its digest is', async () => {
    const { teller, queued, real, count } = await stage()
    const risk = (version: number, at: number | null, because: string): Outgoing => outgoing({
      at: clock.now(), because, by: 'risk', note: '', version, what: 'anchor.told', kind: 'principal', name: 'digest',
      matter: { is: 'principal', cooling: {}, ...NO_STANDING, level: at === null ? null : { name: 'hot', at, score: at, since: clock.now(), who: 'https://idp.test|a', why: { contributions: [], tenants: [], request: null } } },
    } as AnchorFact, version, 0, 'e1', { kind: 'principal', name: 'digest' }) // of that kind
    await teller.tell([risk(1, null, 'sig_fell_0')])
    expect([await queued('siem'), await count('unknown')]).toEqual([[], 1])
    await teller.tell([risk(2, 20, 'sig_rose_1'), risk(3, 20, 'sig_rose_2'), risk(4, null, 'sig_fell_1')])
    expect(await queued('idp')).toEqual(['risk-level-change', 'risk-level-change'])
    const [, fell] = (await real.waiting(queueOf('idp', stream('idp-1')), 10)).items
    expect(JSON.parse(fell?.text ?? '')).toMatchObject({ sub_id: { format: 'iss_sub', iss: 'https://idp.test', sub: 'a' }, events: { 'https://schemas.openid.net/secevent/caep/event-type/risk-level-change': { current_level: 'LOW', previous_level: 'HIGH' } } })
  })

  test('[TRM2] that the store does not take for a moment are queued a moment later', async () => {
    let failures = 3
    const { teller, queued, count } = await stage(name => name === 'enqueue' && failures-- > 0)
    await teller.tell([outgoing(birth(), 1)])
    expect([await queued('siem'), await count('lost')]).toEqual([['session-established'], 0])
  })

  test('[TRM2, TRM6] that the store does not take hold nobody up: they are counted, and streams are paused until their receivers know', async () => {
    let isFull = true
    const { teller, queued, count, streams } = await stage(name => name === 'enqueue' && isFull)
    const since = performance.now()
    await teller.tell([outgoing(birth(), 1)])
    expect(performance.now() - since).toBeLessThan(5_000)
    const later = performance.now()
    await teller.tell([outgoing(birth(2), 2)])
    expect(performance.now() - later).toBeLessThan(500)
    expect(await count('lost')).toBe(4)
    expect([await streams.read('siem'), await streams.read('idp')]).toEqual(['siem', 'idp'].map(name => ({ ...stream(`${name}-1`), status: 'paused', reason: 'events_lost', held: true })))
    isFull = false
    await teller.tell([outgoing(birth(3), 3)])
    expect(await queued('siem')).toEqual(['session-established'])
  }, 15_000)
})
