// The life of elevations against real stores: two gateways over one Redis, one over a file, told the same things at once in any order, and dropped in the middle.
// Whatever happened, the record is the fold of its facts, and at no point of the log has anybody more than was asked and approved. SPEC: AUD1, ELV5, ELV12, APR4
import { copyFileSync, existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setImmediate as turn, setTimeout as pause } from 'node:timers/promises'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { shownDigest } from '../../src/approvals/shown.ts'
import type { Anchor } from '../../src/core/anchor.ts'
import { type Elevation, type ElevationId, isOver, stageOf } from '../../src/core/elevation.ts'
import type { Fact } from '../../src/core/fact.ts'
import { tieBroken } from '../../src/core/footing.ts'
import { sessionRef, type StoredRecord } from '../../src/core/record.ts'
import type { Session, SessionKey } from '../../src/core/session.ts'
import type { SessionNews } from '../../src/core/signal.ts'
import { duration } from '../../src/core/time.ts'
import { SystemClock } from '../../src/runtime/clock.ts'
import type { Applied } from '../../src/sessions/doing.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import type { SessionStore } from '../../src/sessions/store.ts'
import { openMember } from '../support/redis-members.ts'
import { RedisServer } from '../support/redis-server.ts'
import { lineOf, readLog, refOf } from './elevations-log.ts'
import { FILER, PROFILE_NAMES, Seat } from './elevations-stage.ts'
import { commitOf, keyOf, opening, sessionOf } from './session-store-contract.ts'

const KEYS: readonly SessionKey[] = ['a', 'b'].map(name => keyOf(name))
const APPROVERS = ['corp|ann', 'corp|bob', 'corp|cy', FILER, 'https://idp.test|agent-a']

// ---- what may happen

type On = { readonly at: number; readonly who: number; readonly which: number }
type Deed = On & (
  | { readonly does: 'ask'; readonly profile: string; readonly turn: number; readonly startsIn: number | null; readonly filed: boolean }
  | { readonly does: 'approve'; readonly by: string; readonly seen: 'now' | 'first'; readonly less: 'nothing' | 'scope' | 'time' | 'uses' | 'params' }
  | { readonly does: 'deny' | 'withdraw' | 'release' | 'close' | 'spend' | 'extend' | 'start' }
  | { readonly does: 'narrow' | 'widen' | 'settle' | 'end ticket' | 'open ticket' }
  | { readonly does: 'turn'; readonly turn: number }
  | { readonly does: 'wait'; readonly ms: number }
)
/** Deeds at once; `crash` takes one of the gateways with it, so many turns later. */
type Round = { readonly deeds: readonly Deed[]; readonly crash: { readonly at: number; readonly turns: number } | null }

const turns = fc.integer({ min: 0, max: 6 })
const what = fc.oneof(
  { weight: 8, arbitrary: fc.record({ does: fc.constant('ask' as const), profile: fc.constantFrom(...PROFILE_NAMES, 'two', 'two', 'staged', 'exclusive', 'ticketed'), turn: turns, startsIn: fc.option(fc.integer({ min: 1, max: 25 }), { nil: null, freq: 4 }), filed: fc.boolean() }) },
  { weight: 12, arbitrary: fc.record({ does: fc.constant('approve' as const), by: fc.constantFrom(...APPROVERS), seen: fc.constantFrom('now' as const, 'now' as const, 'first' as const), less: fc.constantFrom('nothing' as const, 'nothing' as const, 'scope' as const, 'time' as const, 'uses' as const, 'params' as const) }) },
  { weight: 9, arbitrary: fc.record({ does: fc.constantFrom('deny' as const, 'withdraw' as const, 'release' as const, 'close' as const, 'spend' as const, 'extend' as const, 'start' as const) }) },
  { weight: 8, arbitrary: fc.record({ does: fc.constantFrom('narrow' as const, 'widen' as const, 'widen' as const, 'settle' as const, 'settle' as const, 'end ticket' as const, 'open ticket' as const, 'open ticket' as const) }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('turn' as const), turn: turns }) },
  { weight: 2, arbitrary: fc.record({ does: fc.constant('wait' as const), ms: fc.integer({ min: 1, max: 30 }) }) },
)
const deed: fc.Arbitrary<Deed> = fc.tuple(fc.record({ at: fc.nat({ max: 1 }), who: fc.nat({ max: 1 }), which: fc.nat({ max: 7 }) }), what).map(([on, does]) => ({ ...on, ...does }))
const round: fc.Arbitrary<Round> = fc.record({
  deeds: fc.array(deed, { minLength: 1, maxLength: 5, size: 'max' }),
  crash: fc.oneof({ weight: 14, arbitrary: fc.constant(null) }, { weight: 1, arbitrary: fc.record({ at: fc.nat({ max: 1 }), turns: fc.nat({ max: 8 }) }) }),
})
const play = fc.array(round, { minLength: 20, maxLength: 40, size: 'max' })

const AS_ASKED = { adds: null, for: null, uses: null, params: null }
const GIVEN = { nothing: AS_ASKED, scope: { ...AS_ASKED, adds: ['db:read'] }, time: { ...AS_ASKED, for: duration(30_000) }, uses: { ...AS_ASKED, uses: 3 }, params: { ...AS_ASKED, params: { customers: ['a'] } } }

type News = Extract<Deed['does'], 'deny' | 'withdraw' | 'release' | 'close' | 'spend' | 'extend' | 'start'>
const TOLD: { readonly [D in News]: (elevation: ElevationId) => SessionNews } = {
  deny: elevation => ({ kind: 'elevation.denied', elevation }), withdraw: elevation => ({ kind: 'elevation.withdrawn', elevation }),
  release: elevation => ({ kind: 'elevation.ended', elevation, reason: 'released', because: 'test' }), close: elevation => ({ kind: 'elevation.ended', elevation, reason: 'limit_reached', because: 'test' }),
  spend: elevation => ({ kind: 'elevation.spent', elevation }), extend: elevation => ({ kind: 'elevation.extended', elevation, more: duration(20), once: false }), start: elevation => ({ kind: 'elevation.started', elevation }),
}

/** What a deed is usually done to; one in eight is done to whatever is over. */
const MEANT: { readonly [D in News | 'approve']: Elevation['state']['is'] } = { approve: 'requested', deny: 'requested', withdraw: 'requested', release: 'active', close: 'active', spend: 'active', extend: 'active', start: 'scheduled' }

async function one(seat: Seat, key: SessionKey, does: keyof typeof MEANT, which: number): Promise<Elevation | null> {
  const { elevations } = await seat.session(key)
  const fitting = elevations.filter(elevation => (which === 7 ? isOver(elevation) : elevation.state.is === MEANT[does]))
  return fitting[which % Math.max(1, fitting.length)] ?? null
}

// ---- the stage

/** Where gateways come from. */
type House = { readonly seats: number; readonly raise: () => Promise<Seat>; readonly crashed: (seat: Seat) => void; readonly store: () => SessionStore; readonly leave: () => Promise<void> }

class Stage {
  readonly met: Map<string, number>
  readonly #house: House
  readonly #seats: Seat[] = []
  /** What each request was first shown as. */
  readonly #first = new Map<string, string>()
  /** What somebody was told is done. */
  readonly promised: { readonly ref: string; readonly facts: readonly Fact[] }[] = []

  constructor(house: House, met: Map<string, number>) {
    this.#house = house
    this.met = met
  }

  async begin(): Promise<void> {
    for (let i = 0; i < this.#house.seats; i++) this.#seats.push(await this.#house.raise())
    for (const [i, name] of ['a', 'b'].entries()) {
      const { store, clock } = this.#seat(i)
      expect((await store.commit(commitOf(null, opening(name, clock.now(), store.epochOf(sessionRef(keyOf(name)))), clock.now()))).is).toBe('OK')
    }
    await this.#seat(0).ticket('anchor.opened')
  }

  #seat(at: number): Seat {
    const seat = this.#seats[at % this.#seats.length]
    if (seat === undefined) throw new Error('nobody there')
    return seat
  }

  async play({ deeds, crash }: Round): Promise<void> {
    const gone = Promise.withResolvers<void>()
    const victim = crash === null ? null : this.#seat(crash.at)
    const doing = deeds.map(each => {
      const seat = this.#seat(each.at)
      const done = this.#does(seat, each)
      return seat === victim ? Promise.race([done, gone.promise]) : done
    })
    if (crash !== null && victim !== null) {
      for (let i = 0; i < crash.turns; i++) await turn()
      this.#house.crashed(victim)
      gone.resolve()
      this.#count('crash')
    }
    await Promise.all(doing)
    if (victim !== null) this.#seats[this.#seats.indexOf(victim)] = await this.#house.raise()
  }

  #count(outcome: string): void { this.met.set(outcome, (this.met.get(outcome) ?? 0) + 1) }

  async #does(seat: Seat, each: Deed): Promise<void> {
    const key = KEYS[each.who % KEYS.length] ?? keyOf('a')
    const outcome = await this.#done(seat, key, each)
    if (seat.isGone || outcome === null) return
    if (typeof outcome === 'string') return this.#count(`${each.does}: ${outcome}`)
    const { facts, rejected, position, assumed } = outcome
    this.#count(`${each.does}: ${rejected?.rejected ?? (facts.length > 0 ? 'done' : 'nothing')}`)
    if (position !== null && assumed === null && facts.length > 0 && outcome.record !== null) this.promised.push({ ref: refOf(outcome.record), facts })
  }

  async #done(seat: Seat, key: SessionKey, each: Deed): Promise<Applied<StoredRecord> | string | null> {
    switch (each.does) {
      case 'wait': await pause(each.ms); return null
      case 'settle': await seat.settle(key); return null
      case 'end ticket': return seat.ticket('anchor.ended')
      case 'open ticket': return seat.ticket('anchor.opened')
      case 'turn': return seat.turn(each.turn)
      case 'narrow': return seat.tell(key, { kind: 'session.narrowed', to: 'baseline', elevations: [] })
      case 'widen': return seat.tell(key, { kind: 'session.widened' })
      case 'ask': return this.#asked(await seat.ask(key, each))
      case 'approve': return this.#approved(seat, key, each)
      case 'deny': case 'withdraw': case 'release': case 'close': case 'spend': case 'extend': case 'start': {
        const found = await one(seat, key, each.does, each.which)
        return found === null ? null : seat.tell(key, TOLD[each.does](found.id))
      }
    }
  }

  async #approved(seat: Seat, key: SessionKey, { which, by, seen, less }: Extract<Deed, { does: 'approve' }>): Promise<Applied<Session> | string | null> {
    const found = await one(seat, key, 'approve', which)
    if (found === null) return null
    const names = seen === 'now' ? 'as shown' : { digest: this.#first.get(found.id) ?? '' }
    const outcome = await seat.approve(key, found, { ...GIVEN[less], by, names })
    if (typeof outcome !== 'string' && names !== 'as shown') for (const fact of outcome.facts) if (fact.what === 'elevation.approved') expect(fact.shown).toBe(names.digest)
    return outcome
  }

  #asked(outcome: Applied<Session> | string): Applied<Session> | string {
    if (typeof outcome === 'string' || outcome.record === null) return outcome
    for (const fact of outcome.facts) if (fact.what === 'elevation.requested') this.#first.set(fact.elevation.id, shownDigest(outcome.record, fact.elevation))
    return outcome
  }

  /** Everything that is decided is written; then what the log tells is what there is, on every gateway. */
  async end(): Promise<void> {
    for (const key of KEYS) await this.#seat(0).settle(key)
    for (const seat of this.#seats) await seat.stop()
    const store = this.#house.store()
    const told = readLog(await store.drain(100_000))
    for (const [name, record] of told.records) expect(JSON.parse(JSON.stringify(await store.load(record.record === 'session' ? sessionRef(record.key) : record as Anchor)))).toEqual(JSON.parse(JSON.stringify(told.records.get(name)))) // an anchor is its own reference
    for (const { ref, facts } of this.promised) for (const fact of facts) expect(told.ahead.has(fact.because) || told.lines.has(lineOf(ref, fact)), lineOf(ref, fact)).toBe(true)
    const anchors = { find: ({ kind, name }: { readonly kind: string; readonly name: string }) => told.records.get(`${kind}/${name}`) as Anchor | undefined ?? null } // named so by the log
    for (const key of KEYS) {
      const stored = sessionOf(await store.load(sessionRef(key)))
      for (const elevation of stored.elevations) if (!isOver(elevation)) expect([elevation.id, elevation.state.is, tieBroken(elevation, anchors)]).toEqual([elevation.id, elevation.state.is, null])
      for (const seat of this.#seats) {
        const live = seat.mirror.known(key)
        if (live !== null) await expect.poll(() => live.record, { interval: 2, timeout: 5_000 }).toEqual(stored)
        for (const { elevation } of live === null ? [] : seat.mirror.effective(live, seat.clock.now()).carriers) expect([elevation.state.is, stageOf(elevation)]).toEqual(['active', null])
      }
    }
  }

  async leave(): Promise<void> {
    for (const seat of this.#seats) this.#house.crashed(seat)
    await this.#house.leave()
  }
}

// ---- over each store

async function played(name: string, house: () => Promise<House>, seconds: number): Promise<ReadonlyMap<string, number>> {
  const met = new Map<string, number>()
  const seed = Date.now() & 0x7fffffff
  let runs = 0
  await fc.assert(fc.asyncProperty(play, async rounds => {
    const stage = new Stage(await house(), met)
    try {
      await stage.begin()
      for (const each of rounds) await stage.play(each)
      await stage.end()
      runs++
    } finally {
      await stage.leave()
    }
  }), { seed, numRuns: 60, endOnFailure: true, interruptAfterTimeLimit: seconds * 1_000 })
  console.log(`${name}: ${runs} plays, seed ${seed}: ${[...met].map(([outcome, times]) => `${outcome} ${times}`).toSorted((a, b) => (a < b ? -1 : 1)).join(', ')}`)
  return met
}

/** Otherwise a play shows nothing. */
const MUST_MEET = ['crash', 'ask: done', 'approve: done', 'approve: conflict', 'approve: denied', 'end ticket: done', 'turn: done']

test('[AUD1, STO2, APR4, APR5, ELV5, ELV12, PUR6] two gateways over one Redis, whatever they are told at once and whichever is dropped: the log tells what is stored, and nobody has more than was approved', { timeout: 60_000 }, async () => {
  const server = await RedisServer.start()
  try {
    const met = await played('Redis', async () => {
      await server.command('FLUSHALL')
      const members = new Map<Seat, { readonly close: () => Promise<void> }>()
      const closing: Promise<void>[] = []
      const reader = await openMember(server.port)
      return {
        seats: 2, store: () => reader.store,
        raise: async () => {
          const { store, clock } = await openMember(server.port)
          const seat = await Seat.take(store, clock)
          members.set(seat, store)
          return seat
        },
        crashed: seat => {
          seat.crash()
          closing.push(members.get(seat)?.close() ?? Promise.resolve())
        },
        leave: async () => {
          await Promise.all(closing)
          await reader.store.close()
        },
      }
    }, 11)
    for (const outcome of MUST_MEET) expect([outcome, met.get(outcome) ?? 0]).toEqual([outcome, expect.toSatisfy((times: number) => times > 0)])
  } finally {
    await server.dispose()
  }
})

test('[AUD1, STO2, APR4, APR5, ELV5, ELV12, PUR6] one gateway over a file, whatever it is told at once and wherever it is dropped: the same', { timeout: 60_000 }, async () => {
  const directory = mkdtempSync(join(tmpdir(), 'ng-model-'))
  let files = 0
  try {
    const met = await played('file', async () => {
      let file = join(directory, `${++files}.db`)
      let store: EmbeddedStore | null = null
      const closing: Promise<void>[] = []
      const clock = new SystemClock()
      return {
        seats: 1,
        store: () => { if (store === null) throw new Error('closed'); return store },
        raise: async () => {
          store = openEmbeddedStore({ file, clock, ephemeral: false })
          return Seat.take(store, clock)
        },
        /** What the disk has at that instant is all that is left. */
        crashed: seat => {
          seat.crash()
          const left = join(directory, `${++files}.db`)
          for (const end of ['', '-wal']) if (existsSync(`${file}${end}`)) copyFileSync(`${file}${end}`, `${left}${end}`)
          if (store !== null) closing.push(store.close())
          file = left
          store = null
        },
        leave: async () => void (await Promise.all(closing)),
      }
    }, 7)
    for (const outcome of MUST_MEET) expect([outcome, met.get(outcome) ?? 0]).toEqual([outcome, expect.toSatisfy((times: number) => times > 0)])
  } finally {
    rmSync(directory, { recursive: true, force: true })
  }
})
