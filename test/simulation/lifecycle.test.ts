// Whole lives against a second, smaller account of what must be: once pure, once through a store, with gateways that act on what they last read. SPEC: SIG2, SIG4, SES4, ELV3, STO1, STO2, AUD1
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Elevation, ElevationId, Then } from '../../src/core/elevation.ts'
import type { SessionFact } from '../../src/core/fact.ts'
import { indexOf, sessionRef, tiesOf } from '../../src/core/record.ts'
import { replaySession } from '../../src/core/replay.ts'
import { cappedTo, type Session, type SessionKey } from '../../src/core/session.ts'
import { isRestrictive, type SessionSignal } from '../../src/core/signal.ts'
import { type Instant, instant } from '../../src/core/time.ts'
import { transition } from '../../src/core/transition.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { type EmbeddedStore, openEmbeddedStore } from '../../src/sessions/embedded-store.ts'
import type { CommitAnswer } from '../../src/sessions/store.ts'
import { hearing, NO_TALLY } from '../contract/session-store-contract.ts'
import { anyStep, signalOf, START, story, tell } from '../unit/core/news.ts'

/** What an operator would say of one life at any time, told in the order of events and nothing else: no facts, no table. */
type Account = {
  life: string | null
  ended: boolean
  mark: number | null
  endsAt: number
  frozen: boolean
  baselineOnly: boolean
  /** null is everything. */
  only: Set<string> | null
  barred: Set<string>
  /** Elevations that may carry something, and the latest instant until which. */
  mayRun: Map<ElevationId, number>
}

/** Ends behind which a profile may have something put in order. */
const UNASKED: readonly string[] = ['ticket_closed', 'window_closed', 'limit_reached']

const fresh = (): Account => ({ life: null, ended: true, mark: null, endsAt: 0, frozen: false, baselineOnly: false, only: null, barred: new Set(), mayRun: new Map() })

function begin(account: Account, signal: Extract<SessionSignal, { kind: 'session.opened' }>, accepted: boolean): void {
  if (!account.ended || !accepted) return
  Object.assign(account, fresh(), { life: signal.session, ended: false, mark: account.mark, endsAt: signal.endsAt })
}

/** @param newest issue time of the newest credential seen: it never survives its own revocation, whatever the issuer's clock says */
function end(account: Account, now: Instant, revoked: boolean, wasRevoked: boolean, newest: Instant | null): void {
  if (revoked && !wasRevoked) account.mark = Math.max(now, account.mark ?? 0, newest ?? 0)
  account.ended = true
  account.mayRun.clear()
}

/** Narrowing takes what it names away, whatever it held before; a name nobody knows takes nothing and spoils nothing. */
function narrow(account: Account, before: Session, { to, elevations }: Extract<SessionSignal, { kind: 'session.narrowed' }>): void {
  if (to === 'baseline') account.baselineOnly = true
  else if (to !== null) account.only = account.only === null ? new Set(to) : new Set([...account.only].filter(name => to.includes(name)))
  for (const id of elevations) {
    const named = before.elevations.find(elevation => elevation.id === id)
    if (named !== undefined) account.barred.add(named.profile)
  }
}

/** It is over by itself; only what ran, or was held back, leaves something behind. */
function endsUnasked(account: Account, { id, state, afterEnd }: { readonly id: ElevationId; readonly state: Elevation['state']; readonly afterEnd: Then | null }): void {
  account.mayRun.delete(id)
  if (afterEnd !== null && (state.is === 'active' || state.is === 'suspended')) account.mayRun.set(afterEnd.id, Infinity)
}

/** Whatever of these time alone has ended. */
function late(account: Account, before: Session | null, of: readonly Elevation['state']['is'][], now: Instant): void {
  for (const elevation of before?.elevations ?? []) {
    const { state, endsBy } = elevation
    if ((state.is === 'active' || state.is === 'suspended') && of.includes(state.is) && ((state.until ?? Infinity) <= now || (endsBy ?? Infinity) <= now)) endsUnasked(account, elevation)
  }
}

/** Somebody who may answer a step-up that waits says no, and that ends the session. */
function deniesForGood({ stepUps, principal: { issuer, subject } }: Session, { stepUp: id, by, barred }: Extract<SessionSignal, { kind: 'stepUp.denied' }>, now: Instant): boolean {
  const asked = stepUps.find(stepUp => stepUp.id === id)
  return asked !== undefined && asked.state.is === 'pending' && asked.expiresAt > now && asked.onDeny === 'terminate' && ![`${issuer}|${subject}`, ...asked.barred, ...barred].includes(by)
}

/** An upper bound of what may run: from request to end, never past its longest time after the first instant it could have started. */
function follow(account: Account, before: Session | null, signal: SessionSignal, now: Instant): void {
  if (before === null && signal.kind !== 'session.opened') return
  if (account.ended && signal.kind !== 'session.terminated' && signal.kind !== 'mark.cleared') return
  switch (signal.kind) {
    case 'session.narrowed': { if (before !== null) narrow(account, before, signal); return }
    case 'session.widened': {
      if (account.baselineOnly || account.only !== null || account.barred.size > 0) late(account, before, ['suspended'], now)
      account.baselineOnly = false
      account.only = null
      account.barred.clear()
      return
    }
    case 'session.frozen': { account.frozen = true; return }
    case 'session.resumed': { account.frozen = false; return }
    case 'session.shortened': { account.endsAt = Math.min(account.endsAt, signal.endsAt); return }
    case 'session.terminated': { end(account, now, true, before?.state.is === 'revoked', before?.credential.issuedAt ?? null); return }
    case 'session.lapsed': {
      if (signal.reason !== 'idle' || !account.frozen) end(account, now, false, false, null) // nobody gets out of being frozen by waiting
      return
    }
    case 'mark.cleared': { account.mark = null; return }
    case 'elevation.denied': case 'elevation.withdrawn': {
      if (before?.elevations.find(({ id }) => id === signal.elevation)?.state.is === 'requested') account.mayRun.delete(signal.elevation)
      return
    }
    case 'elevation.ended': {
      const ended = before?.elevations.find(({ id }) => id === signal.elevation)
      if (ended !== undefined && UNASKED.includes(signal.reason)) endsUnasked(account, ended)
      else account.mayRun.delete(signal.elevation)
      return
    }
    case 'elevation.requested': { if (!account.frozen && !before?.elevations.some(({ id }) => id === signal.elevation.id)) account.mayRun.set(signal.elevation.id, Infinity); return }
    case 'time.passed': {
      if (account.endsAt <= now) end(account, now, false, false, null)
      else if (before?.frozen?.until != null && before.frozen.until <= now) end(account, now, true, false, before.credential.issuedAt)
      else if (before?.stepUps.some(({ state, expiresAt, onTimeout }) => state.is === 'pending' && expiresAt <= now && onTimeout === 'terminate') === true) end(account, now, true, false, before.credential.issuedAt)
      else late(account, before, ['active', 'suspended'], now)
      return
    }
    case 'stepUp.denied': {
      if (before !== null && deniesForGood(before, signal, now)) end(account, now, true, false, before.credential.issuedAt)
      return
    }
    case 'session.tainted': case 'taints.cleared': case 'claims.changed': case 'proof.demanded': case 'stepUp.asked': case 'stepUp.answered': case 'stepUp.used': case 'stepUp.returned':
    case 'session.opened': case 'binding.drifted': case 'credential.renewed': case 'elevation.approved': case 'elevation.started': case 'elevation.deferred': case 'elevation.spent': case 'elevation.extended':
  }
}

function bounded(account: Account, elevation: Elevation): void {
  const { id, state, profile, max, endsBy } = elevation
  if (state.is !== 'active') return
  expect(account.mayRun.has(id), `${id} runs though it was ended or never asked for`).toBe(true)
  expect([account.ended, account.baselineOnly, account.barred.has(profile)]).toEqual([false, false, false])
  const limit = Math.min(account.mayRun.get(id) ?? 0, state.since + max, endsBy ?? Infinity)
  expect(state.until).toBeLessThanOrEqual(limit)
  account.mayRun.set(id, limit) // whatever comes later, it stays within the first start's longest time
}

function agrees(account: Account, session: Session | null): void {
  if (session === null) {
    expect(account.life).toBeNull()
    return
  }
  expect({ life: session.id, ended: session.state.is !== 'live', mark: session.notBefore }).toEqual({ life: account.life, ended: account.ended, mark: account.mark })
  if (account.ended) return
  const only = cappedTo(session.cap)
  expect({ endsAt: session.endsAt, frozen: session.frozen !== null, baselineOnly: session.cap.is === 'baseline', only: only === null ? null : new Set(only), barred: new Set(session.barred) })
    .toEqual({ endsAt: account.endsAt, frozen: account.frozen, baselineOnly: account.baselineOnly, only: account.only, barred: account.barred })
}

describe('core alone', () => {
  test('[SIG2] any story of a key reads the same in the record and in a plain account of it', () => {
    fc.assert(fc.property(story, steps => {
      const account = fresh()
      for (const { before, signal, now, result } of tell(steps).told) {
        follow(account, before, signal, now)
        if (signal.kind === 'session.opened') begin(account, signal, result.rejected === null)
        agrees(account, result.record)
        for (const elevation of result.record?.elevations ?? []) bounded(account, elevation)
      }
    }), { numRuns: 600 })
  })

  test('[SIG4] news that comes again late, in any order, never gives back what was taken', () => {
    fc.assert(fc.property(story, fc.array(fc.nat(), { minLength: 1, maxLength: 20, size: 'max' }), (steps, picks) => {
      const { told, session, now } = tell(steps)
      const taking = told.map(({ signal }) => signal).filter(({ kind }) => isRestrictive(kind) && kind !== 'time.passed')
      fc.pre(session !== null && taking.length > 0)
      let record: Session | null = session
      for (const pick of picks) record = transition(record, taking[pick % taking.length] ?? taking[0] as SessionSignal, now).record // not empty: see above
      const running = (of: Session | null): readonly ElevationId[] => of?.elevations.filter(({ state, follows }) => state.is === 'active' && follows === null).map(({ id }) => id) ?? []
      expect(running(session)).toEqual(expect.arrayContaining([...running(record)]))
      if (session?.state.is !== 'live') expect(record?.state.is).not.toBe('live')
      expect(record?.endsAt ?? 0).toBeLessThanOrEqual(session?.endsAt ?? 0)
    }), { numRuns: 300 })
  })
})

class SetClock implements Clock {
  current = START
  now(): Instant { return this.current }
  elapsed(): number { return this.current }
}

/** One of several that share the store: it decides on what it last read, as a gateway does whose view is a little old. */
type Actor = { seen: Session | null }

async function act(store: EmbeddedStore, actor: Actor, signal: SessionSignal, now: Instant): Promise<CommitAnswer['is'] | 'nothing'> {
  const { record, facts } = transition(actor.seen, signal, now)
  if (record === null || facts.length === 0) return 'nothing'
  const commit = {
    operation: `${signal.id}:${record.key}`, ref: sessionRef(record.key), expectedVersion: actor.seen?.version ?? 0, expectedEpoch: isRestrictive(signal.kind) ? 'any' : store.epochOf(sessionRef(record.key)),
    record, facts, index: indexOf(record), ties: tiesOf(record), forgetAt: null, due: null, news: isRestrictive(signal.kind) ? signal : null, awaited: false, ahead: null,
  }
  const answer = await (isRestrictive(signal.kind) ? store.commitRestrictive(commit) : store.commit(commit))
  if (answer.is === 'OK') actor.seen = record
  if (answer.is === 'CONFLICT') actor.seen = answer.record?.record === 'session' ? answer.record : null
  return answer.is
}

describe('core and a store', () => {
  const turns = fc.array(fc.record({ step: anyStep, actor: fc.nat({ max: 2 }), again: fc.boolean() }), { minLength: 5, maxLength: 50, size: 'max' })
  const key = sessionRef('key' as SessionKey) // the one key of the stories

  test('[AUD1] [STO2] however actors with old views interleave, the stored record is the fold of the facts on their way out', async () => {
    const met = new Map<string, number>()
    await fc.assert(fc.asyncProperty(turns, async steps => {
      const clock = new SetClock()
      const store = openEmbeddedStore({ file: ':memory:', clock, ephemeral: true })
      const heard: SessionFact[] = []
      store.subscribe(hearing(async ({ facts }) => {
        heard.push(...facts as readonly SessionFact[]) // only sessions are committed here
        return NO_TALLY
      }))
      const actors: readonly Actor[] = [{ seen: null }, { seen: null }, { seen: null }]
      for (const [turn, { step, actor, again }] of steps.entries()) {
        clock.current = instant(clock.current + step.wait * 1_000)
        const who = actors[actor] ?? { seen: null }
        const signal = signalOf(step, clock.now(), turn)
        let answer = await act(store, who, signal, clock.now())
        met.set(answer, (met.get(answer) ?? 0) + 1)
        if (answer === 'CONFLICT' && again) answer = await act(store, who, signal, clock.now())
        expect(answer).not.toBe('DUP')
      }
      const out = (await store.drain(10_000)).map(({ fact }) => fact) as readonly SessionFact[] // likewise
      const stored = await store.load(key)
      expect(out).toEqual(JSON.parse(JSON.stringify(heard)))
      expect(replaySession(out)).toEqual(stored)
      expect(out.map(({ version }) => version)).toEqual(out.map(({ version }) => version).toSorted((a, b) => a - b))
      if (stored?.record === 'session') for (const selector of indexOf(stored)) expect(await store.find(selector, 10)).toEqual([key])
      await store.close()
    }), { numRuns: 100 })
    for (const answer of ['OK', 'CONFLICT', 'nothing']) expect(met.get(answer) ?? 0, answer).toBeGreaterThan(5)
  })
})
