// Admission and the gate by themselves: the real mirror, judge and register; upstream and record are doubles that do nothing.
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Grant } from '../../src/core/decision.ts'
import { Admission, type Relay } from '../../src/enforcement/admit.ts'
import type { Exchange, GateKeeper, Inquiry } from '../../src/enforcement/exchange.ts'
import { Inflight } from '../../src/enforcement/inflight.ts'
import { Reassessor } from '../../src/enforcement/reassess.ts'
import type { Recorder } from '../../src/enforcement/recorder.ts'
import { FOREVER } from '../../src/core/time.ts'
import { NOT_RISKED } from '../../src/core/risk.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import { Metrics } from '../../src/runtime/metrics.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { medianMicros } from './batches.ts'
import { cases, claims, policy, session } from './micro-case.ts'
import { spreadOf } from './statistics.ts'

/** Requests that come in one turn and share one write, as under load. */
const GROUP = 64
const BATCHES = 31
const GROUPS_PER_BATCH = 200
const WARM_UP_BATCHES = 10

const nothing = (): void => undefined

const recorder: Recorder = {
  opened: nothing, flush: nothing, intended: () => Promise.resolve(), notDispatched: nothing, completed: nothing,
  regranted: nothing, frozen: nothing, resumed: nothing, finishing: nothing, cut: nothing,
}

class SilentUpstream {
  dispatched = 0

  dispatch(): void {
    this.dispatched++
  }
}

class SilentRelay implements Relay {
  readonly upstream = { name: 'silent', settings: { transaction: null } }
  readonly #silent: SilentUpstream
  readonly status = 0
  exchange: Exchange | null = null

  constructor(upstream: SilentUpstream) {
    this.#silent = upstream
  }

  admitted(exchange: Exchange): void {
    this.exchange = exchange
  }

  obstacle(): null { return null }
  inspect(): Promise<null> { return Promise.resolve(null) }
  bearer(): null { return null }

  dispatch(): void {
    this.#silent.dispatch()
  }

  refused = nothing
  freeze = nothing
  resume = nothing
  cut = nothing
  tick = nothing
}

type Bench = { readonly admission: Admission; readonly keeper: GateKeeper; readonly store: EmbeddedStore; readonly inflight: Inflight; readonly live: LiveSession; readonly upstream: SilentUpstream; readonly close: () => Promise<void> }

export async function enforcement(): Promise<Bench> {
  const clock = new SystemClock()
  const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
  const mirror = new Mirror(store, policy, 100)
  await mirror.start()
  const live = await mirror.adopt(session, () => true)
  if (live === null) throw new Error('the session is not taken in')
  mirror.learn(live, claims, { ...session.credential, provider: 'login', fingerprint: 'f', credential: session.credential.id, issuer: session.principal.issuer, keyThumbprint: null, device: null, claimed: {} })
  const keeper: GateKeeper = { clock, mirror, confirmedUntil: () => store.confirmedUntil(), vouchesFor: () => true }
  const inflight = new Inflight()
  const metrics = new Metrics()
  const reassessor = new Reassessor(keeper, inflight, recorder)
  const upstream = new SilentUpstream()
  return { admission: new Admission(keeper, inflight, recorder, reassessor, [], metrics, () => 100_000), keeper, store, inflight, live, upstream, close: () => store.close() }
}

const inquiries = (live: LiveSession): readonly Inquiry[] => cases.map(({ place, evaluation }, i) => ({ id: `exc_${i}`, policy, place, evaluation, live, claims, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }))

const isElevated = (grant: Grant | undefined): boolean => grant?.is === 'elevation'

/** Admits one group, lets its turn end, and takes it off the register. */
async function admitGroup({ admission, inflight }: Bench, asked: readonly Inquiry[], relays: readonly SilentRelay[], before: (inquiry: Inquiry) => void): Promise<void> {
  for (const [i, relay] of relays.entries()) {
    const inquiry = asked[i % asked.length]
    if (inquiry !== undefined) before(inquiry)
    const refusal = inquiry === undefined ? null : admission.admit(inquiry, relay, null)
    if (refusal !== null) throw new Error(`admit refused: ${'reason' in refusal ? refusal.reason : 'something to gather'}`)
  }
  await nextTurn()
  for (const { exchange } of relays) {
    if (exchange === null || !isElevated(exchange.permit.grant)) throw new Error('admit gave no elevated exchange')
    inflight.remove(exchange)
  }
}

/**
 * Median µs per admission: judge, register, record (a double), the group's turn, dispatch (a double), and off the register again.
 * @param before is done for each of them first, and timed with it
 */
export async function admissionMicros(bench: Bench, before: (inquiry: Inquiry) => void): Promise<number> {
  const asked = inquiries(bench.live)
  const relays = Array.from({ length: GROUP }, () => new SilentRelay(bench.upstream))
  const taken: number[] = []
  for (let batch = 0; batch < WARM_UP_BATCHES + BATCHES; batch++) {
    const from = performance.now()
    for (let group = 0; group < GROUPS_PER_BATCH; group++) await admitGroup(bench, asked, relays, before)
    if (batch >= WARM_UP_BATCHES) taken.push(((performance.now() - from) * 1_000) / (GROUP * GROUPS_PER_BATCH))
  }
  const expected = GROUP * GROUPS_PER_BATCH * (WARM_UP_BATCHES + BATCHES)
  if (bench.upstream.dispatched !== expected) throw new Error(`${bench.upstream.dispatched} of ${expected} admissions were dispatched`)
  return spreadOf(taken).median
}

export async function admitMicros(): Promise<number> {
  const bench = await enforcement()
  const median = await admissionMicros(bench, nothing)
  await bench.close()
  return median
}

/** Median µs per look at the gate of an open elevated exchange. */
export async function gateMicros(): Promise<number> {
  const bench = await enforcement()
  const relays = Array.from({ length: GROUP }, () => new SilentRelay(bench.upstream))
  const asked = inquiries(bench.live)
  for (const [i, relay] of relays.entries()) {
    const inquiry = asked[i % asked.length]
    if (inquiry !== undefined) bench.admission.admit(inquiry, relay, null)
  }
  await nextTurn()
  const median = medianMicros('gate', turn => relays[turn % GROUP]?.exchange?.open === true)
  await bench.close()
  return median
}
