// A member of the shared store with very many sessions: opens them as the proxy would, holds them in a mirror, reads them again. A process of its
// own, so that its heap is nothing else; started with --expose-gc.
import { ConfigSource } from '../../../src/config/source.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import { sessionRef } from '../../../src/core/record.ts'
import type { Claims } from '../../../src/core/principal.ts'
import type { SessionKey } from '../../../src/core/session.ts'
import { after, instant } from '../../../src/core/time.ts'
import { SystemClock } from '../../../src/runtime/clock.ts'
import { newSessionId, newSignalId, sha256 } from '../../../src/runtime/id.ts'
import { Metrics } from '../../../src/runtime/metrics.ts'
import { openStore } from '../../../src/sessions/data-set.ts'
import { Ledger } from '../../../src/sessions/ledger.ts'
import { Mirror } from '../../../src/sessions/mirror.ts'
import { answering } from './talk.ts'

const AT_ONCE = 250
const ISSUER = 'https://login.example'
const TOKENS_LAST = 600_000

const loaded = new ConfigSource(process.argv[2] ?? '').load()
if (!loaded.ok) throw new Error(loaded.problems.map(({ message }) => message).join('\n'))
const { settings } = loaded
const { policy } = settings
const { store, clock } = await openStore(settings, { clock: new SystemClock(), metrics: new Metrics().store, configuration: () => 'bench', observes: false, says: () => undefined })
const mirror = new Mirror(store, policy, 1_000_000)
const ledger = new Ledger(store, new Mirror(store, policy, 1), clock)

/** As long as the digests of real ones. */
const keyOf = (i: number): SessionKey => sha256(`session ${i}`) as SessionKey // a word of the bench
const subjectOf = (i: number): string => `agent-${String(i).padStart(6, '0')}`

async function each(count: number, act: (i: number) => Promise<unknown>): Promise<void> {
  for (let i = 0; i < count; i += AT_ONCE) await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - i) }, (_, k) => act(i + k)))
}

function open(i: number): Promise<unknown> {
  const now = clock.now()
  const issuedAt = instant(Math.floor(now / 1000) * 1000)
  return ledger.applyToSession(keyOf(i), {
    kind: 'session.opened', key: keyOf(i), session: newSessionId(), epoch: store.epochOf(sessionRef(keyOf(i))), endsAt: after(now, policy.sessions.max), id: newSignalId(), by: 'caller', note: '', bindings: NOT_BOUND, aliases: [], brokered: null,
    principal: { kind: 'agent', issuer: ISSUER, tenant: 'acme', subject: subjectOf(i), client: 'client-1', owner: null, actor: null },
    credential: { id: sha256(`credential ${i}`), keyId: 'key-1', issuedAt, expiresAt: instant(issuedAt + TOKENS_LAST) },
  })
}

const narrow = (i: number): Promise<unknown> => ledger.applyToSession(keyOf(i), { kind: 'session.narrowed', to: 'baseline', elevations: [], id: newSignalId(), by: 'bench', note: '' })

function heapUsed(): number {
  if (globalThis.gc === undefined) throw new Error('the heap is measured with --expose-gc')
  for (let i = 0; i < 3; i++) globalThis.gc()
  return process.memoryUsage().heapUsed
}

/** One claims object for all: a gateway has them from its cache of verified credentials, where they are counted. */
const CLAIMS: Claims = { sub: 'agent', scope: 'bench' }

const EVIDENCE = { provider: 'login', fingerprint: 'bench', credential: 'bench', issuer: ISSUER, keyId: 'key-1', issuedAt: clock.now(), expiresAt: after(clock.now(), policy.sessions.max), keyThumbprint: null, device: null, claimed: {} }

function serveAll(): void {
  for (const live of mirror.all()) {
    mirror.learn(live, CLAIMS, EVIDENCE)
    mirror.effective(live, clock.now())
  }
}

/** Bytes of heap per session: as read from the store, and when it is served here. The first ones only warm the code. */
async function hold(count: number): Promise<{ readonly held: number; readonly served: number }> {
  const warm = Math.ceil(count / 10)
  await each(warm, i => mirror.load(keyOf(i)))
  serveAll()
  const before = heapUsed()
  await each(count, i => mirror.load(keyOf(i)))
  if (mirror.size !== count) throw new Error(`${mirror.size} sessions are in the mirror, not ${count}`)
  const held = heapUsed() - before
  serveAll()
  return { held: held / (count - warm), served: (heapUsed() - before) / (count - warm) }
}

/** Milliseconds until everything is known again. */
async function doubted(how: 'missed' | 'all'): Promise<number> {
  const from = performance.now()
  await mirror.doubted(how)
  return performance.now() - from
}

answering({
  joined: () => store.born,
  open: count => each(Number(count), open),
  narrow: count => each(Number(count), narrow),
  hold: count => hold(Number(count)),
  missed: () => doubted('missed'),
  pinned: () => {
    for (const live of mirror.all()) live.pins++
    return doubted('all')
  },
}, () => store.close())
