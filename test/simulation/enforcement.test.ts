// Open exchanges under whatever operators, callers and time do to them, against a plain account of what may live. Real judge, mirror, ledger, store, register,
// timers and sweep; doubles for the wire and the clock. After each acknowledged change the two agree on everything that was ever opened.
// SPEC: ENF1-ENF9, DEC4, SES4, SES6, ELV6, CFG10
import { setImmediate as nextTurn } from 'node:timers/promises'
import * as fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type AnchorRef, LOCK_EFFECTS, type LockEffect, type Selector, SELECTOR_KINDS, type SelectorKind, stronger } from '../../src/core/anchor.ts'
import { type Bindings, NOT_BOUND } from '../../src/core/binding.ts'
import { grantName } from '../../src/core/decision.ts'
import { evaluate } from '../../src/core/evaluate.ts'
import { type Elevation, type ElevationId, PLAIN as PLAIN_ELEVATION } from '../../src/core/elevation.ts'
import type { Evaluation } from '../../src/core/evaluation.ts'
import type { Evidence } from '../../src/core/evidence.ts'
import { pathPattern } from '../../src/core/path-pattern.ts'
import type { Policy } from '../../src/core/policy.ts'
import { NOT_RISKED } from '../../src/core/risk.ts'
import { sessionRef } from '../../src/core/record.ts'
import { placeOf, type Route, routeOf, routeTable, type Rule } from '../../src/core/route.ts'
import { scopeOf } from '../../src/core/scope.ts'
import type { Credential, SessionId, SessionKey } from '../../src/core/session.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { duration, FOREVER, type Instant, instant } from '../../src/core/time.ts'
import { caseOf, type Channel, Exchange, type GateKeeper, NO_CLAIMS } from '../../src/enforcement/exchange.ts'
import { Inflight } from '../../src/enforcement/inflight.ts'
import { Reassessor, type Witness } from '../../src/enforcement/reassess.ts'
import { Sweeper } from '../../src/enforcement/sweeper.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { newLockId } from '../../src/runtime/id.ts'
import { openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import { Ledger } from '../../src/sessions/ledger.ts'
import type { LiveSession } from '../../src/sessions/live-session.ts'
import { Mirror } from '../../src/sessions/mirror.ts'
import { Timekeeper } from '../../src/sessions/timekeeper.ts'
import { Intake, type Word } from '../../src/signals/intake.ts'
import { type Ask, type Life, Model, newer, type Raise, type Shown, type Variant } from './enforcement-model.ts'
import { NO_RISK, PLAIN_CONTEXT, PLAIN_PROFILE, PLAIN_ROUTE, PLAIN_RULE } from '../support/plain.ts'

const START = 1_800_000_000_000
const WORD: Word = { by: 'operator', note: 'test', id: null }
const SCOPES: { readonly [path: string]: string | null } = { '/free': null, '/a': 'a:read', '/b': 'b:read', '/w': 'db:write', '/other/b': 'b:read', '/public': null }
const PATHS = Object.keys(SCOPES)
const CALLERS = [{ issuer: 'https://one.test', tenant: 't1', subject: 'ann' }, { issuer: 'https://one.test', tenant: 't2', subject: 'bob' }, { issuer: 'https://two.test', tenant: 't1', subject: 'ann' }] as const
const TICKETS = ['T-1', 'T-2'] as const
const PROFILES = { fix: ['b:read', 'db:write'], hot: ['a:read', 'db:write'] } as const
const PLAIN: Variant = { baseline: ['a:read', 'b:read'], profiles: PROFILES, closed: [], credentialEnd: 'cut', distrusted: [] }

// ---- what the model calls by plain words, as the gateway knows it

function policyOf({ baseline, profiles, closed, credentialEnd }: Variant): Policy {
  const rule = (path: string, i: number): Rule => ({ name: `r#${i}`, effect: 'allow', methods: null, paths: [pathPattern(path)], upgrade: null, anonymous: path === '/public', scope: SCOPES[path] ?? null, condition: null, messages: null, requireAuth: null, ...PLAIN_RULE })
  const route = (name: string, path: string, own: readonly string[]): Route => ({
    name, host: { is: 'any' }, path: pathPattern(path), upstream: 'api', authn: ['login'], mode: 'enforce', staleness: duration(0), encodedSlash: 'reject', upstreamFolds: { case: true, params: true }, cors: null, rewrite: null, tenant: null, ...PLAIN_ROUTE,
    rules: own.filter(each => !closed.includes(each)).map(rule),
  })
  const routes = [route('api', '/**', PATHS.filter(path => !path.startsWith('/other'))), route('other', '/other/**', ['/other/b'])]
  const profile = ([name, adds]: readonly [string, readonly string[]]) => ({ ...PLAIN_PROFILE, name, title: name, adds, for: duration(60_000), max: duration(60_000) })
  return {
    digest: JSON.stringify([baseline, profiles, closed]), routes, table: routeTable(routes), profiles: new Map(Object.entries(profiles).map(entry => [entry[0], profile(entry)])), purposes: new Map(), brokers: new Map(), identities: [], windows: new Map(), streams: [], connectors: new Map(), risk: NO_RISK,
    sessions: { key: [], aliases: {}, credentialEnd, bind: { key: 'required', workload: 'required', device: 'off', source: 'off', tenant: 'required' }, idle: duration(86_400_000), max: duration(86_400_000), frozenFor: duration(86_400_000), baseline: [{ when: null, scopes: baseline }], exchangesPerSession: 1_000 },
  }
}

/** The first is bound to what its requests show, the second to nothing, the third also to a device that it does not show. */
const SHOWS: readonly { readonly device: string | null; readonly workload: string | null; readonly bound: Bindings }[] = [
  { device: 'laptop-0', workload: 'spiffe://test/0', bound: { ...NOT_BOUND, device: 'laptop-0', workload: 'spiffe://test/0' } },
  { device: 'laptop-1', workload: 'spiffe://test/1', bound: NOT_BOUND },
  { device: null, workload: 'spiffe://test/2', bound: { ...NOT_BOUND, device: 'laptop-2', workload: 'spiffe://test/2' } },
]
const lockNames = ({ device, workload }: Pick<Bindings, 'device' | 'workload'>): readonly string[] => [...(device === null ? [] : [`device:${device}`]), ...(workload === null ? [] : [`workload:${workload}`])]
const shownBy = (who: number) => SHOWS[who] ?? { device: null, workload: null, bound: NOT_BOUND }
const evidenceOf = (who: number, { id, keys: [keyId], issued, ends }: Shown): Evidence => ({ provider: 'login', fingerprint: `key ${who}`, credential: id, issuer: CALLERS[who]?.issuer ?? '', keyId: keyId ?? null, issuedAt: nullable(issued), expiresAt: nullable(ends), keyThumbprint: null, device: shownBy(who).device, claimed: {} })
const evaluationOf = ({ who, path, ticket, credential }: Ask): Evaluation => ({
  evidence: credential === null || who === null ? null : evidenceOf(who, credential),
  action: { method: 'GET', upgrade: null, call: null }, resource: { host: 'api.test', path, segments: path.slice(1).split('/'), query: '' },
  context: { protocol: 'http', source: '192.0.2.1', secure: true, workload: who === null ? null : shownBy(who).workload, certified: null, purposes: ticket === null ? {} : { ticket }, ...PLAIN_CONTEXT, headers: [] },
})
const nullable = (ms: number | null): Instant | null => (ms === null ? null : instant(ms))
const credentialOf = ({ id, keys: [keyId], issued, ends }: Shown): Credential => ({ id, keyId: keyId ?? null, issuedAt: nullable(issued), expiresAt: nullable(ends) })
const anchorOf = (ticket: string): AnchorRef => ({ kind: 'ticket', name: `manual//${ticket}` })
/** Two issuers give their keys the same ids. */
const signedBy = (who: number, kid: string): readonly string[] => [kid, `${CALLERS[who]?.issuer}|${kid}`]
const keyOf = (who: number): SessionKey => `key_${who}` as SessionKey // a test word

/** A wire that remembers the last word; a word to one that is cut is a fault. */
class Wire implements Channel {
  readonly status = 0
  state: 'open' | 'frozen' | 'ended' = 'open'
  freeze(): void { this.#become('frozen') }
  resume(): void { this.#become('open') }
  cut(): void { this.#become('ended') }
  tick(): void {}

  #become(state: Wire['state']): void {
    if (this.state === 'ended') throw new Error(`a wire that was cut is told ${state}`)
    this.state = state
  }
}

class SetClock implements Clock {
  current = instant(START)
  now(): Instant { return this.current }
  elapsed(): number { return this.current }
}

const seen = new Map<string, number>()
const count = (what: string): void => void seen.set(what, (seen.get(what) ?? 0) + 1)

const counted = (what: string) => ({ permit }: Exchange): void => count(`${what} ${permit.grant.is}`)
const WITNESS: Witness = { regranted: counted('regranted'), frozen: counted('froze'), resumed: counted('resumed'), finishing: counted('finishing'), cut: ({ exchange }) => counted('ended')(exchange) }

// ---- the two worlds side by side

type Opened = { readonly ask: Ask; readonly exchange: Exchange; readonly wire: Wire; cut: boolean }
class Twin {
  readonly clock = new SetClock()
  readonly model = new Model(START, PLAIN)
  readonly store = openEmbeddedStore({ file: ':memory:', clock: this.clock, ephemeral: true })
  readonly mirror = new Mirror(this.store, policyOf(PLAIN), 100)
  readonly ledger = new Ledger(this.store, this.mirror, this.clock)
  readonly intake = new Intake(this.ledger, this.store, this.clock, () => {})
  readonly inflight = new Inflight()
  readonly keeper: GateKeeper = { clock: this.clock, mirror: this.mirror, confirmedUntil: () => this.store.confirmedUntil(), vouchesFor: ({ fingerprint }) => !this.#distrusted.includes(fingerprint) }
  readonly reassessor = new Reassessor(this.keeper, this.inflight, WITNESS)
  readonly sweeper = new Sweeper(this.keeper, this.inflight, this.reassessor, { streams: () => duration(60_000), frozen: () => Infinity })
  readonly timekeeper = new Timekeeper(this.mirror, this.ledger, this.store, this.clock)
  readonly opened: Opened[] = []
  readonly lives: LiveSession[] = []
  readonly #credentials: Shown[][] = CALLERS.map(() => [])
  /** Exchanges whose gate let something pass after the stamps of a change had moved, before anything was judged again. */
  #passing: Opened[] = []
  #distrusted: readonly string[] = []
  #made = 0

  async start(): Promise<void> {
    this.mirror.onChange = change => {
      this.#passing.push(...this.opened.filter(({ exchange }) => exchange.open))
      if (change.sessions !== 'all') for (const live of change.sessions) this.timekeeper.watch(live)
      return this.reassessor.changed(change)
    }
    await this.mirror.start()
    for (const who of CALLERS.keys()) await this.begin(who)
  }

  async close(): Promise<void> {
    await this.ledger.settled()
    await this.timekeeper.stop()
    await this.store.close()
  }

  #id = (prefix: string): string => `${prefix}_${++this.#made}`

  async news(who: number, news: SessionNews): Promise<void> {
    const { rejected } = await this.intake.session(keyOf(who), news, WORD)
    expect(rejected).toBeNull()
  }

  /** A life begins: the caller's third kind of credential has neither issue time nor end. */
  async begin(who: number): Promise<void> {
    const { now } = this.model
    const names = CALLERS[who] ?? CALLERS[0]
    const shown: Shown = who === 2 ? { id: this.#id('cred'), keys: signedBy(who, 'k1'), issued: null, ends: null } : { id: this.#id('cred'), keys: signedBy(who, 'k1'), issued: now, ends: now + 150_000 }
    const id = this.#id('ses') as SessionId // a test word
    const mark = this.model.lives[who]?.mark ?? null
    const endsAt = now + 240_000
    await this.news(who, { kind: 'session.opened', key: keyOf(who), session: id, epoch: this.store.epochOf(sessionRef(keyOf(who))), principal: { kind: 'agent', ...names, client: 'app', owner: null, actor: null }, credential: credentialOf(shown), endsAt: instant(endsAt), bindings: shownBy(who).bound, aliases: [], brokered: null })
    const live = await this.mirror.load(keyOf(who))
    if (live === null) throw new Error('a session that was opened is not there')
    this.mirror.learn(live, NO_CLAIMS, evidenceOf(who, shown))
    this.timekeeper.watch(live)
    this.lives[who] = live
    this.#credentials[who]?.push(shown)
    const { issuer, tenant, subject } = names
    this.model.lives[who] = { names: [`subject:${issuer}|${subject}`, `subject:${subject}`, `tenant:${tenant}`, `issuer:${issuer}`, ...lockNames(shownBy(who).bound)], id, openedAt: now, over: 'no', mark, endsAt, newest: shown, frozen: null, toBaseline: false, only: null, barred: [] }
  }

  async renew(who: number, seconds: number): Promise<void> {
    const life = this.life(who)
    const shown: Shown = { id: this.#id('cred'), keys: signedBy(who, seconds % 2 === 0 ? 'k1' : 'k2'), issued: this.model.now, ends: this.model.now + seconds * 1_000 }
    await this.news(who, { kind: 'credential.renewed', credential: credentialOf(shown) })
    this.#credentials[who]?.push(shown)
    life.newest = newer(shown, life.newest)
  }

  life(who: number): Life {
    const life = this.model.lives[who]
    if (life === undefined) throw new Error(`no caller ${who}`)
    return life
  }

  raises = (who: number): readonly Raise[] => this.model.raises.filter(raise => raise.who === who && raise.life === this.life(who).id)

  /** The request's way in: judged at admission, then registered in the same turn. */
  open(who: number, path: string, ticket: string | null, old: boolean): void {
    const anonymous = path === '/public'
    if (!anonymous && this.model.variant.distrusted.includes(who)) return // its credential would not be taken
    const known = this.#credentials[who] ?? []
    const ask: Ask = { who: anonymous ? null : who, route: path.startsWith('/other') ? 'other' : 'api', path, scope: SCOPES[path] ?? null, ticket, credential: anonymous ? null : (known.at(old ? 0 : -1) ?? null), shows: anonymous ? [] : lockNames(shownBy(who)) }
    const { policy } = this.mirror
    const evaluation = evaluationOf(ask)
    const route = routeOf(policy.table, evaluation.resource)
    if (typeof route === 'string') throw new Error(route)
    const inquiry = { id: this.#id('exc'), policy, place: placeOf(route, evaluation.action, evaluation.resource), evaluation, live: anonymous ? null : (this.lives[who] ?? null), claims: NO_CLAIMS, vouchedUntil: FOREVER, external: null, risk: NOT_RISKED }
    const decision = evaluate(caseOf(inquiry, this.keeper, this.clock.now(), null))
    expect(`${path} ${decision.effect}`, JSON.stringify(decision)).toBe(`${path} ${this.model.verdict(ask) === 'open' ? 'permit' : 'refuse'}`)
    if (decision.effect === 'refuse') return count('refused')
    const wire = new Wire()
    const exchange = new Exchange(inquiry, decision, wire, this.keeper, this.clock.now())
    this.inflight.add(exchange)
    this.opened.push({ ask, exchange, wire, cut: false })
    count(`opened on ${decision.grant.is}`)
  }

  async elevate(who: number, profile: keyof typeof PROFILES, ticket: string | null, seconds: number): Promise<void> {
    const life = this.life(who)
    const tied = ticket === null ? null : await this.mirror.anchor(anchorOf(ticket))
    if (life.frozen !== null || this.raises(who).length >= 16 || tied?.state === 'ended') return
    const raise: Raise = { id: this.#id('elv'), who, life: life.id, profile, adds: PROFILES[profile], ticket, for: seconds * 1_000, until: null, over: false }
    const elevation: Elevation = {
      ...PLAIN_ELEVATION, id: raise.id as ElevationId, profile, adds: raise.adds, purposes: ticket === null ? {} : { ticket }, params: {}, for: duration(raise.for), max: duration(raise.for), startsAt: null, requestedAt: this.clock.now(), requestedBy: 'a|b', because: '', // a test word
      ties: ticket === null ? [] : [{ anchor: anchorOf(ticket), generation: tied?.generation ?? instant(0), reason: 'ticket_closed', position: null, level: null }],
      barred: [], state: { is: 'requested', expiresAt: null },
    }
    await this.news(who, { kind: 'elevation.requested', elevation, startsAt: null })
    await nextTurn()
    if (!life.toBaseline && !life.barred.includes(profile)) raise.until = this.model.now + raise.for
    this.model.raises.push(raise)
  }

  async anchor(ticket: string, state: 'opened' | 'ended'): Promise<void> {
    await this.intake.anchor(anchorOf(ticket), { kind: `anchor.${state}`, matter: null }, WORD)
    if (state === 'ended') for (const raise of this.model.raises) if (raise.ticket === ticket) raise.over = true
    this.check()
    await this.ledger.settled()
  }

  async lock(selector: Selector, effect: LockEffect, seconds: number | null): Promise<void> {
    const until = seconds === null ? Infinity : this.model.now + seconds * 1_000
    await this.intake.lock(selector, { kind: 'lock.set', lock: newLockId(), selector, effect, reason: 'locked', until: until === Infinity ? null : instant(until) }, WORD)
    const name = `${selector.kind}:${selector.value}`
    const held = this.model.locks.get(name)
    const stands = held !== undefined && held.until > this.model.now
    this.model.locks.set(name, stands ? { effect: stronger(held.effect, effect), until: Math.max(held.until, until) } : { effect, until })
  }

  async unlock(selector: Selector): Promise<void> {
    await this.intake.lock(selector, { kind: 'lock.lifted' }, WORD)
    this.model.locks.delete(`${selector.kind}:${selector.value}`)
  }

  async reload(variant: Variant): Promise<void> {
    this.#distrusted = variant.distrusted.map(each => `key ${each}`)
    await this.mirror.replacePolicy(policyOf(variant))
    for (const live of this.mirror.all()) this.timekeeper.watch(live)
    this.model.variant = variant
  }

  /** Time passes from boundary to boundary; a millisecond before each nothing has moved, at each the gate comes before the timers. */
  async wait(milliseconds: number): Promise<void> {
    const end = this.model.now + milliseconds
    const ahead = new Set(this.model.boundaries().filter(at => at > this.model.now && at <= end))
    for (const boundary of [...ahead].sort((a, b) => a - b)) {
      await this.#tick(boundary - 1)
      this.check()
      this.clock.current = instant(boundary)
      this.model.now = boundary
      const open = this.opened.filter(({ exchange }) => exchange.open)
      expect(open.filter(({ ask }) => this.model.verdict(ask) !== 'open'), 'let through at its end').toEqual([])
      await this.#tick(boundary, 1)
      this.model.pass()
      this.check()
      count('boundaries')
    }
    await this.#tick(end)
    this.check()
  }

  async #tick(to: number, behind = 0): Promise<void> {
    const span = to - this.model.now + behind
    this.clock.current = instant(to)
    this.model.now = to
    await vi.advanceTimersByTimeAsync(span)
    for (let i = 0; i < 4; i++) await nextTurn()
    this.sweeper.sweep()
    this.#passing = []
  }

  /** Everything that was ever opened stands where the account says, on the wire, at the gate and in the register. */
  check(): void {
    const passed = this.#passing.filter(({ ask }) => this.model.verdict(ask) !== 'open').map(({ exchange }) => exchange.id)
    this.#passing = []
    expect(passed, 'a gate passed, after the stamps had moved, what the new state refuses').toEqual([])
    expect(this.opened.flatMap(one => this.#differs(one))).toEqual([])
    const alive = this.opened.filter(({ cut }) => !cut)
    expect(this.inflight.size).toBe(alive.length)
    for (const live of this.lives) expect(live.pins).toBe(alive.filter(({ exchange }) => exchange.live === live).length)
  }

  #differs(one: Opened): readonly object[] {
    const { exchange, wire, ask } = one
    const verdict = one.cut ? 'cut' : this.model.verdict(ask)
    one.cut = verdict === 'cut'
    count(verdict)
    const wanted = verdict === 'cut' ? 'ended' : verdict
    const registered = this.inflight.of(exchange.holder).includes(exchange)
    const same = exchange.state === wanted && wire.state === wanted && exchange.open === (wanted === 'open') && registered !== one.cut
    return same && (wanted !== 'open' || this.#stands(exchange)) ? [] : [{ wanted, is: exchange.state, why: exchange.reason, wire: wire.state, gate: exchange.open, registered, on: grantName(exchange.permit.grant), ask }]
  }

  /** An elevation that carries something carries it now. */
  #stands({ live, permit: { grant } }: Exchange): boolean {
    return live === null || grant.is !== 'elevation' || this.mirror.effective(live, this.clock.now()).carriers.some(({ elevation }) => elevation.id === grant.elevation.id)
  }
}

// ---- what may happen

type Deed = { readonly says: string; readonly run: (twin: Twin) => Promise<void> | void; readonly toString: () => string }
const deed = (says: string, run: Deed['run']): Deed => ({ says, run, toString: () => says })

const who = fc.nat(CALLERS.length - 1)
const seconds = fc.integer({ min: 1, max: 90 })
const maybe = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | null> => fc.option(arbitrary, { nil: null, freq: 2 })
const ticket = maybe(fc.constantFrom(...TICKETS))

/** Verbs meet lives that are not over; what they do to others is another test's. */
const toLife = (says: string, caller: number, run: (twin: Twin, life: Life) => Promise<void>): Deed =>
  deed(`${says} ${caller}`, async twin => { if (twin.life(caller).over === 'no') await run(twin, twin.life(caller)) })

const opens = fc.record({ who, path: fc.constantFrom(...PATHS), ticket, old: fc.integer({ min: 0, max: 9 }).map(n => n === 0) })
  .map(({ who: caller, path, ticket: shown, old }) => deed(`open ${caller} ${path} ${shown ?? '-'}${old ? ' old' : ''}`, twin => twin.open(caller, path, shown, old)))

/** Asked for, and mostly used at once. */
const elevates = fc.tuple(who, fc.constantFrom('fix' as const, 'hot' as const), ticket, seconds, maybe(fc.constantFrom('/w', '/w', '/b', '/other/b', '/a'))).map(([caller, profile, tied, span, path]) =>
  toLife(`elevate ${profile} ${tied ?? '-'} ${span}s for ${path ?? 'later'}`, caller, async twin => {
    await twin.elevate(caller, profile, tied, span)
    if (path !== null) twin.open(caller, path, tied, false)
  }))

const narrows = fc.tuple(who, fc.oneof(fc.constant(null), fc.constant('baseline' as const), fc.subarray(['a:read', 'b:read', 'db:write']).map(scopeOf)), maybe(fc.nat())).map(([caller, to, pick]) =>
  toLife(`narrow ${JSON.stringify(to)} ${pick ?? '-'}`, caller, async (twin, life) => {
    const raises = twin.raises(caller)
    const named = pick === null || raises.length === 0 ? undefined : raises[pick % raises.length]
    await twin.news(caller, { kind: 'session.narrowed', to, elevations: named === undefined ? [] : [named.id as ElevationId] }) // a test word
    if (to === 'baseline') life.toBaseline = true
    else if (to !== null) life.only = life.only?.filter(scope => to.includes(scope)) ?? to
    if (named !== undefined) life.barred = [...life.barred, named.profile]
  }))

const widens = who.map(caller => toLife('widen', caller, async (twin, life) => {
  await twin.news(caller, { kind: 'session.widened' })
  Object.assign(life, { toBaseline: false, only: null, barred: [] })
  for (const raise of twin.raises(caller)) if (!raise.over && raise.until === null) raise.until = twin.model.now + raise.for
}))

const freezes = fc.tuple(who, seconds).map(([caller, span]) => toLife(`freeze ${span}s`, caller, async (twin, life) => {
  const until = twin.model.now + span * 1_000
  await twin.news(caller, { kind: 'session.frozen', until: instant(until) })
  life.frozen ??= { until }
}))

const resumes = who.map(caller => toLife('resume', caller, async (twin, life) => {
  await twin.news(caller, { kind: 'session.resumed' })
  life.frozen = null
}))

const terminates = who.map(caller => toLife('terminate', caller, async (twin, life) => {
  await twin.news(caller, { kind: 'session.terminated', reason: 'revoked' })
  Object.assign(life, { over: 'revoked', mark: twin.model.now })
}))

const shortens = fc.tuple(who, seconds).map(([caller, span]) => toLife(`shorten ${span}s`, caller, async (twin, life) => {
  const endsAt = twin.model.now + span * 1_000
  await twin.news(caller, { kind: 'session.shortened', endsAt: instant(endsAt) })
  life.endsAt = Math.min(life.endsAt, endsAt)
}))

const releases = fc.tuple(who, fc.nat()).map(([caller, pick]) => toLife(`release ${pick}`, caller, async twin => {
  const raises = twin.raises(caller)
  const raise = raises[pick % Math.max(1, raises.length)]
  if (raise === undefined) return
  await twin.news(caller, { kind: 'elevation.ended', elevation: raise.id as ElevationId, reason: 'released', because: 'test' }) // a test word
  raise.over = true
}))

const renews = fc.tuple(fc.nat({ max: 1 }), seconds).map(([caller, span]) => toLife(`renew ${span}s`, caller, twin => twin.renew(caller, span)))

/** The next life of a key: only with a credential from after the mark and after the birth of the last life. */
const begins = who.map(caller => deed(`begin ${caller}`, async twin => {
  const { over, mark, openedAt } = twin.life(caller)
  const issued = caller === 2 ? (mark === null ? Infinity : -Infinity) : twin.model.now
  if (over !== 'no' && issued > (mark ?? -Infinity) && issued > openedAt) await twin.begin(caller)
}))

const anchors = fc.tuple(fc.constantFrom(...TICKETS), fc.constantFrom('opened' as const, 'ended' as const)).map(([name, state]) => deed(`anchor ${name} ${state}`, twin => twin.anchor(name, state)))

const SELECTED: { readonly [K in SelectorKind]: (caller: number, twin: Twin) => string } = {
  subject: caller => (caller === 1 ? 'bob' : `${CALLERS[caller]?.issuer}|ann`), session: (caller, twin) => twin.life(caller).id, tenant: caller => CALLERS[caller]?.tenant ?? '', credential: (caller, twin) => twin.life(caller).newest.id,
  issuer: caller => CALLERS[caller]?.issuer ?? '', route: caller => (caller === 0 ? 'api' : 'other'), tool: caller => `${caller === 0 ? 'api' : 'other'}/read`, definition: caller => `api/read${caller}`, elevation: caller => `elv_nobody${caller}`, profile: caller => (caller === 0 ? 'fix' : 'hot'), keyId: (caller, twin) => twin.life(caller).newest.keys[caller === 1 ? 0 : 1] ?? '', device: caller => `laptop-${caller}`, workload: caller => `spiffe://test/${caller}`, alias: caller => `sid:${caller}`, parent: (caller, twin) => twin.life(caller).id, issuedBefore: (caller, twin) => [`${twin.model.now} https://one.test|ann`, String(twin.model.now), `${twin.model.now} ann`][caller] ?? '', all: () => '',
}
const selected = fc.tuple(fc.constantFrom(...SELECTOR_KINDS), who)
const locks = fc.tuple(selected, fc.constantFrom(...LOCK_EFFECTS), maybe(seconds)).map(([[kind, caller], effect, span]) =>
  deed(`lock ${kind} ${caller} ${effect} ${span ?? 'for good'}`, twin => twin.lock({ kind, value: SELECTED[kind](caller, twin) }, effect, span)))
const unlocks = fc.nat().map(pick => deed(`unlock ${pick}`, async twin => {
  const names = [...twin.model.locks.keys()]
  const [, kind, value] = /^(\w+):(.*)$/.exec(names[pick % Math.max(1, names.length)] ?? '') ?? []
  const known = SELECTOR_KINDS.find(each => each === kind)
  if (known !== undefined) await twin.unlock({ kind: known, value: value ?? '' })
}))

const variant: fc.Arbitrary<Variant> = fc.record({
  baseline: fc.subarray(['a:read', 'b:read']), closed: fc.subarray(PATHS, { maxLength: 1 }), credentialEnd: fc.constantFrom('cut' as const, 'cut' as const, 'ignore' as const), distrusted: fc.oneof({ weight: 3, arbitrary: fc.constant([]) }, who.map(each => [each])),
  profiles: fc.constantFrom<Variant['profiles']>(PROFILES, PROFILES, { fix: PROFILES.fix }, { fix: ['db:write'], hot: ['a:read', 'b:read'] }, {}),
})
const reloads = variant.map(next => deed(`reload ${JSON.stringify(next)}`, twin => twin.reload(next)))
const restores = fc.constant(deed('reload as it was', twin => twin.reload(PLAIN)))
const waits = fc.integer({ min: 1, max: 40_000 }).map(span => deed(`wait ${span}ms`, twin => twin.wait(span)))

const anyDeed = fc.oneof(
  { weight: 14, arbitrary: opens }, { weight: 9, arbitrary: elevates }, { weight: 2, arbitrary: narrows }, { weight: 3, arbitrary: widens }, { weight: 1, arbitrary: freezes }, { weight: 4, arbitrary: resumes },
  { weight: 1, arbitrary: terminates }, { weight: 1, arbitrary: shortens }, { weight: 2, arbitrary: releases }, { weight: 2, arbitrary: renews }, { weight: 3, arbitrary: begins }, { weight: 2, arbitrary: anchors },
  { weight: 2, arbitrary: locks }, { weight: 5, arbitrary: unlocks }, { weight: 1, arbitrary: reloads }, { weight: 2, arbitrary: restores }, { weight: 4, arbitrary: waits },
)

describe('whatever happens', () => {
  beforeEach(() => void vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] }))
  afterEach(() => void vi.useRealTimers())

  test('[ENF1, ENF2, ENF3, ENF4, ENF5, ENF6, ENF7, ENF8, ENF9, SIG1] nothing refused is open, nothing allowed was cut, what is frozen is held: at every step and at every instant that decides', async () => {
    seen.clear()
    await fc.assert(fc.asyncProperty(fc.array(anyDeed, { minLength: 5, maxLength: 80, size: 'max' }), async deeds => {
      const twin = new Twin()
      try {
        await twin.start()
        await twin.elevate(0, 'fix', null, 50)
        await twin.elevate(1, 'hot', 'T-1', 70)
        for (const path of PATHS) for (const caller of CALLERS.keys()) twin.open(caller, path, 'T-1', false)
        for (const each of deeds) {
          await each.run(twin)
          twin.check()
        }
        await twin.wait(30_000)
      } finally {
        await twin.close()
      }
    }), { numRuns: 120, interruptAfterTimeLimit: 14_000 })
    const least = { open: 10_000, frozen: 500, cut: 5_000, refused: 100, boundaries: 100, 'opened on elevation': 150, 'froze elevation': 3, 'resumed elevation': 0, 'ended elevation': 80, 'ended baseline': 150, 'ended anonymous': 3, 'regranted elevation': 10 } // a tenth of what is usual
    for (const [what, times] of Object.entries(least)) expect(seen.get(what) ?? 0, what).toBeGreaterThan(times)
  })
})
