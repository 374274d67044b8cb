// What every SessionStore must do, whichever it is: one suite, run by each store's test. Time is only ever compared with the store's own. SPEC: STO1-STO13
// `§11.n` quotes the items of the shared-state protocol's list of contract tests.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AnchorRef, Selector } from '../../src/core/anchor.ts'
import { NOT_BOUND } from '../../src/core/binding.ts'
import { type ElevationId, PLAIN } from '../../src/core/elevation.ts'
import { indexOf, lockRef, type RecordRef, sessionRef, type StoredRecord, tiesOf } from '../../src/core/record.ts'
import type { Session, SessionId, SessionKey } from '../../src/core/session.ts'
import { type AnchorSignal, isRestrictive, type SessionNews, type SessionSignal, type Signal, type SignalId } from '../../src/core/signal.ts'
import { after, duration, type Instant, instant } from '../../src/core/time.ts'
import { transition, transitionAnchor } from '../../src/core/transition.ts'
import { ITEM_BYTES, ITEMS_AT_ONCE } from '../../src/sessions/items.ts'
import { PART_BYTES, PARTS_AT_ONCE } from '../../src/sessions/parts.ts'
import type { Ahead, Announcement, Commit, CommitAnswer, Enforcement, Item, Page, Part, Position, Reach, SessionStore, Taking, Tally, Waiting, Watcher } from '../../src/sessions/store.ts'

export type StoreUnderTest = {
  readonly store: SessionStore
  /** The store's own time. */
  readonly now: () => Instant
  /** Do announcements reach the watcher in the turn of the commit? */
  readonly local: boolean
  /** Does anything outlive the store? */
  readonly survives: boolean
  /** Closes the store and opens it on the same data again. */
  readonly reopen: () => Promise<SessionStore>
  /** A second member on the same data, closed by `dispose`; null where a store has one. */
  readonly another: () => Promise<SessionStore> | null
  readonly dispose: () => Promise<void>
}

export const NO_TALLY: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
const HOUR = duration(3_600_000)
const NOTHING: Reach = { sessions: 0, exchanges: 0 }

/** A gateway that hears, and has nothing to say again. */
export const hearing = (heard: Watcher['heard'], reach: Watcher['reach'] = () => NOTHING): Watcher => ({ heard, reach, lost: async () => {}, doubted: async () => {}, confirmed: () => {} })

/** News with what every signal carries. */
export const signal = (id: string, news: SessionNews): SessionSignal => ({ id: id as SignalId, by: 'operator', note: 'test', ...news }) // ids of tests are plain words

export function opening(name: string, at: Instant, epoch: string): SessionSignal {
  return signal(`sig_open_${name}`, {
    kind: 'session.opened', key: keyOf(name), session: `ses_${name}` as SessionId, epoch, // brands of test words
    principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: `agent-${name}`, client: 'cli', owner: null, actor: null },
    credential: { id: `cred-${name}`, keyId: null, issuedAt: at, expiresAt: after(at, HOUR) }, endsAt: after(at, HOUR), bindings: NOT_BOUND, aliases: [], brokered: null,
  })
}

/** The commit a ledger makes of a session and news about it. */
export function commitOf(session: Session | null, news: SessionSignal, now: Instant, changes: Partial<Commit> = {}): Commit {
  const { record, facts } = transition(session, news, now)
  if (record === null) throw new Error('the news made no record')
  return {
    operation: `${news.id}:${record.key}`, ref: sessionRef(record.key), expectedVersion: session?.version ?? 0, expectedEpoch: 'any',
    record, facts, index: indexOf(record), ties: tiesOf(record), forgetAt: null, due: null, news: isRestrictive(news.kind) ? news : null, awaited: false, ahead: null, ...changes,
  }
}

export function anchorCommit(id: string, anchor: AnchorRef, kind: 'anchor.opened' | 'anchor.ended', now: Instant, changes: Partial<Commit> = {}): Commit {
  const news: AnchorSignal = { id: id as SignalId, by: 'operator', note: '', kind, matter: null } // a test word
  const { record, facts } = transitionAnchor(anchor, null, news, now)
  if (record === null) throw new Error('the news made no record')
  return {
    operation: `${id}:${anchor.kind}/${anchor.name}`, ref: anchor, expectedVersion: 'any', expectedEpoch: 'any',
    record, facts, index: [], ties: [], forgetAt: null, due: null, news: isRestrictive(kind) ? news : null, awaited: false, ahead: null, ...changes,
  }
}

/** Asks for an elevation that stands on a ticket. */
export const asking = (id: string, anchor: AnchorRef, now: Instant): SessionSignal => signal(`sig_ask_${id}`, {
  kind: 'elevation.requested', startsAt: null,
  elevation: {
    id: `elv_${id}` as ElevationId, profile: 'fix', adds: ['db:write'], purposes: {}, ties: [{ anchor, generation: instant(0), reason: 'ticket_closed', position: null, level: null }], params: {}, // a test word
    for: duration(60_000), max: HOUR, startsAt: null, requestedAt: now, requestedBy: 'someone', barred: [], because: '', ...PLAIN,
    state: { is: 'requested', expiresAt: null },
  },
})

export function positionOf(answer: CommitAnswer): Position {
  if (answer.is !== 'OK' && answer.is !== 'DUP') throw new Error(`not committed: ${answer.is}`)
  return answer.position
}

export function sessionOf(record: StoredRecord | null): Session {
  if (record?.record !== 'session') throw new Error('no session there')
  return record
}

const TICKET: AnchorRef = { kind: 'ticket', name: 'jira/acme/OPS-1' }
const bySubject = (name: string): Selector => ({ kind: 'subject', value: `https://idp.test|agent-${name}` })

/** @param logs one for everything, or several, each in an order of its own */
export function sessionStoreContract(name: string, open: () => Promise<StoreUnderTest>, logs: 'one log' | 'many logs' = 'one log'): void {
  describe(name, () => {
    const ordered: typeof test | (() => void) = logs === 'one log' ? test : (): void => {}
    let under: StoreUnderTest
    let store: SessionStore
    let now: Instant
    let heard: Announcement[]
    /** What the gateway does with what it hears. */
    let does: () => Promise<Tally>
    let reach: (selector: Selector) => Reach

    beforeEach(async () => {
      under = await open()
      store = under.store
      now = under.now()
      heard = []
      does = async () => NO_TALLY
      reach = () => NOTHING
      store.subscribe(hearing(announcement => {
        heard.push(announcement)
        return does()
      }, selector => reach(selector)))
      await confirmed(store)
    })
    afterEach(() => under.dispose())

    /** The store and a second member, or the store twice. */
    async function members(): Promise<readonly [SessionStore, SessionStore]> {
      const other = await under.another()
      if (other === null) return [store, store]
      other.subscribe(hearing(async () => NO_TALLY, selector => reach(selector)))
      await confirmed(other)
      return [store, other]
    }
    const opened = (who: string, changes: Partial<Commit> = {}): Commit => commitOf(null, opening(who, now, store.epochOf(sessionRef(keyOf(who)))), now, changes)
    const begin = async (who: string): Promise<Session> => {
      const commit = opened(who)
      await store.commit(commit)
      return sessionOf(commit.record)
    }
    /** What the store tells of a kind, each once. */
    async function listed(from: SessionStore, kind: RecordRef['kind'], limit = 10): Promise<readonly StoredRecord[]> {
      const found = new Map<string, StoredRecord>()
      for (let cursor: string | null = ''; cursor !== null;) {
        const page: Page = await from.list(kind, cursor, limit)
        for (const record of page.records) found.set(JSON.stringify(record), record)
        cursor = page.next
      }
      return [...found.values()]
    }
    const loaded = async (session: Session): Promise<Session> => sessionOf(await store.load(sessionRef(session.key)))

    describe('what a commit compares', () => {
      test('[STO2] an absent record has version 0, and what was committed is what is loaded', async () => {
        const commit = opened('a')
        expect(await store.load(commit.ref)).toBeNull()
        expect(await store.commit(commit)).toMatchObject({ is: 'OK', position: { epoch: store.epochOf(commit.ref) } })
        expect(await store.load(commit.ref)).toEqual(commit.record)
      })

      test('[STO2, STORE-5] §11.5 an old version conflicts, and the answer holds the record as it is now', async () => {
        const session = await begin('a')
        const frozen = commitOf(session, signal('sig_freeze', { kind: 'session.frozen', until: null }), now)
        await store.commitRestrictive(frozen)
        const late = commitOf(session, asking('1', TICKET, now), now)
        expect(await store.commit(late)).toEqual({ is: 'CONFLICT', record: frozen.record, ahead: null })
        expect(await loaded(session)).toEqual(frozen.record)
      })

      test('[STO2] an expected version of an absent record conflicts with null', async () => {
        const session = sessionOf(opened('a').record)
        expect(await store.commit(commitOf(session, asking('1', TICKET, now), now))).toEqual({ is: 'CONFLICT', record: null, ahead: null })
      })

      test('[STO2] `any` overwrites whatever is there', async () => {
        const session = await begin('a')
        await store.commit(commitOf(session, asking('1', TICKET, now), now))
        const ended = commitOf(session, signal('sig_end', { kind: 'session.terminated', reason: 'revoked' }), now, { expectedVersion: 'any' })
        expect((await store.commitRestrictive(ended)).is).toBe('OK')
        expect(await loaded(session)).toEqual(ended.record)
      })

      test('[STO2, STORE-3] §11.3 an end of something never seen leaves its record, which a later opening finds', async () => {
        const end = anchorCommit('sig_close', TICKET, 'anchor.ended', now)
        expect((await store.commitRestrictive(end)).is).toBe('OK')
        const late = anchorCommit('sig_reopen', TICKET, 'anchor.opened', now, { expectedVersion: 0 })
        expect(await store.commit(late)).toEqual({ is: 'CONFLICT', record: end.record, ahead: null })
      })

      test('[STO2, STORE-2] §11.2 after a revocation a freeze changes nothing; after a freeze a revocation wins', async () => {
        const session = await begin('a')
        await store.commitRestrictive(commitOf(session, signal('sig_freeze', { kind: 'session.frozen', until: null }), now))
        const frozen = await loaded(session)
        await store.commitRestrictive(commitOf(frozen, signal('sig_end', { kind: 'session.terminated', reason: 'revoked' }), now))
        const revoked = await loaded(session)
        expect(revoked.state.is).toBe('revoked')
        expect(transition(revoked, signal('sig_again', { kind: 'session.frozen', until: null }), now)).toEqual({ record: revoked, facts: [], rejected: null })
      })

      test('[STO3, STORE-6] §11.6 the same operation twice is done once: same position, one announcement, one set of facts', async () => {
        const commit = opened('a')
        const first = positionOf(await store.commit(commit))
        expect(await store.commit(commit)).toEqual({ is: 'DUP', position: first })
        expect(await store.commitRestrictive(commit)).toEqual({ is: 'DUP', position: first })
        await store.enforced(first)
        expect(heard).toHaveLength(1)
        expect(await store.drain(100)).toHaveLength(commit.facts.length)
      })

      test('[STO3] an operation that was refused is not remembered as done', async () => {
        const commit = opened('a')
        expect((await store.commit({ ...commit, expectedVersion: 3 })).is).toBe('CONFLICT')
        expect((await store.commit(commit)).is).toBe('OK')
      })

      test('[STO4, STORE-5] §11.5 a decision of another epoch is refused and told the one that holds', async () => {
        const commit = opened('a', { expectedEpoch: 'another' })
        expect(await store.commit(commit)).toEqual({ is: 'EPOCH', epoch: store.epochOf(commit.ref) })
        expect(await store.load(commit.ref)).toBeNull()
        expect((await store.commit({ ...commit, expectedEpoch: store.epochOf(commit.ref) })).is).toBe('OK')
      })

      test('[STO5, STORE-35] §11.35 a commit whose cause is time is EARLY until the store’s own time has reached it', async () => {
        const commit = opened('a', { due: after(under.now(), HOUR) })
        const answer = await store.commitRestrictive(commit)
        expect(answer.is).toBe('EARLY')
        expect(answer.is === 'EARLY' && answer.now >= now).toBe(true)
        expect(await store.load(commit.ref)).toBeNull()
        expect(heard).toEqual([])
        expect((await store.commitRestrictive({ ...commit, due: under.now() })).is).toBe('OK')
      })

      test('[STO2] which of many known versions are not the store’s any more: changed, forgotten and new ones', async () => {
        const [same, moved, early] = [await begin('a'), await begin('b'), opened('c')]
        await store.commit(commitOf(moved, asking('1', TICKET, now), now))
        const known = [...[same, moved, sessionOf(early.record)].map(({ key, version }) => ({ ref: sessionRef(key), version })), { ref: TICKET, version: 0 }]
        expect(await store.changed(known)).toEqual([sessionRef(moved.key), early.ref])
        await store.commit(early)
        expect(await store.changed(known)).toEqual([sessionRef(moved.key)])
        expect(await store.changed([{ ref: early.ref, version: 0 }])).toEqual([early.ref])
        expect(await store.changed([])).toEqual([])
      })
    })

    describe('what goes ahead', () => {
      /** An end of a session that changed since it was read, with a lock to stand for it. */
      async function lateEnd(): Promise<{ readonly end: Commit; readonly ahead: Ahead; readonly current: StoredRecord }> {
        const session = await begin('a')
        const changed = commitOf(session, asking('1', TICKET, now), now)
        await store.commit(changed)
        const { ref, record, facts } = lockCommit(now, { kind: 'session', value: session.id })
        const ahead: Ahead = { ref, record, facts, forgetAt: null, news: null, expectedVersion: 0 }
        return { ahead, current: changed.record, end: commitOf(session, signal('sig_end', { kind: 'session.terminated', reason: 'revoked' }), now, { ahead, awaited: true }) }
      }

      ordered('[STO13] an end whose record is at another version conflicts, and its lock is written, announced and enforced in its place', async () => {
        const { end, ahead, current } = await lateEnd()
        const answer = await store.commitRestrictive(end)
        expect(answer).toEqual({ is: 'CONFLICT', record: current, ahead: { epoch: store.epochOf(ahead.ref), sequence: expect.any(Number) } })
        const position = aheadOf(answer)
        expect(await store.enforced(position)).toMatchObject({ gateways: { total: 1, acknowledged: 1 } })
        expect(heard.at(-1)).toEqual({ position, ref: ahead.ref, record: ahead.record, facts: ahead.facts })
        expect([await store.load(ahead.ref), await store.load(end.ref)]).toEqual([ahead.record, current])
        expect((await store.drain(100)).at(-1)).toEqual({ position, ref: ahead.ref, fact: ahead.facts[0], part: 0 })
      })

      ordered('[STO13] said again it is written no second time, and the end itself still lands under its own operation', async () => {
        const { end, ahead, current } = await lateEnd()
        await store.enforced(aheadOf(await store.commitRestrictive(end)))
        expect(await store.commitRestrictive(end)).toEqual({ is: 'CONFLICT', record: current, ahead: null })
        const again = commitOf(sessionOf(current), signal('sig_end', { kind: 'session.terminated', reason: 'revoked' }), now, { ahead })
        const position = positionOf(await store.commitRestrictive(again))
        await store.enforced(position)
        expect(heard.filter(({ ref }) => ref.kind === 'lock')).toHaveLength(1)
        expect(await store.commitRestrictive(end)).toEqual({ is: 'DUP', position })
        expect(await store.load(end.ref)).toEqual(again.record)
      })

      test('[STO13] it is left out where its own record is at another version, or nothing conflicts', async () => {
        const { end, ahead, current } = await lateEnd()
        const other = { ...ahead, expectedVersion: 3 }
        expect(await store.commitRestrictive({ ...end, ahead: other })).toEqual({ is: 'CONFLICT', record: current, ahead: null })
        await store.enforced(positionOf(await store.commitRestrictive({ ...end, expectedVersion: 'any' })))
        expect(await store.load(ahead.ref)).toBeNull()
        expect(heard.filter(({ ref }) => ref.kind === 'lock')).toEqual([])
      })
    })

    describe('what is announced', () => {
      test('[STO6] commits are announced whole and in order; where the store is local, in that of their calls and without gaps', async () => {
        const commits = ['a', 'b', 'c', 'd'].map(who => opened(who))
        const answers = await Promise.all(commits.map((commit, i) => (i % 2 === 0 ? store.commit(commit) : store.commitRestrictive(commit))))
        await Promise.all(answers.map(answer => store.enforced(positionOf(answer))))
        const told = commits.map(({ ref, record, facts }, i) => ({ position: positionOf(answers[i] ?? { is: 'EPOCH', epoch: '' }), ref, record, facts }))
        expect(heard.toSorted(byName)).toEqual(told)
        for (const [i, { position }] of heard.entries()) {
          const before = heard.slice(0, i).findLast(each => each.position.epoch === position.epoch)?.position.sequence
          if (before !== undefined) expect(position.sequence).toBeGreaterThan(before)
        }
        if (under.local) expect(heard.map(({ position }) => position.sequence - (told[0]?.position.sequence ?? 0))).toEqual([0, 1, 2, 3])
      })

      test('[STO6] §11.37 a local store announces in the turn of the commit, the disk or no disk', async () => {
        const answer = store.commitRestrictive(opened('a'))
        if (under.local) expect(heard).toHaveLength(1)
        await store.enforced(positionOf(await answer))
        expect(heard).toHaveLength(1)
      })

      test('[STO6] §11.36 the end of an anchor is one announcement, however many sessions stand on it', async () => {
        const sessions = await Promise.all(Array.from({ length: 200 }, async (_, i) => {
          const session = await begin(`s${i}`)
          await store.commit(commitOf(session, asking(`${i}`, TICKET, now), now))
          return session
        }))
        expect(await store.tiedTo(TICKET, 1_000)).toHaveLength(sessions.length)
        const answer = await store.commitRestrictive(anchorCommit('sig_close', TICKET, 'anchor.ended', now, { awaited: true }))
        await store.enforced(positionOf(answer))
        await expect.poll(() => heard.length).toBe(2 * sessions.length + 1)
        expect(heard.filter(({ ref }) => ref.kind === 'ticket')).toHaveLength(1)
        expect(heard.find(({ ref }) => ref.kind === 'ticket')?.record).toMatchObject({ record: 'anchor', state: 'ended' })
      })

      test('[STO6] `enforced` waits for the watcher and tells what it did', async () => {
        const tally: Tally = { ...NO_TALLY, cut: 3, frozen: 1 }
        const slices = Promise.withResolvers<Tally>()
        does = () => slices.promise
        const position = positionOf(await store.commit(opened('a', { awaited: true })))
        let answer: Enforcement | null = null
        const enforced = store.enforced(position).then(found => (answer = found))
        await Promise.all([store.load(TICKET), store.kept('nothing')])
        expect(answer).toBeNull()
        slices.resolve(tally)
        expect(await enforced).toMatchObject({ gateways: { total: 1, acknowledged: 1, expired: 0 }, exchanges: tally, exchangesUnknown: 0 })
      })

      test('[STO6] a survey asks each gateway what a selector would touch, and says how many answered', async () => {
        const asked: Selector[] = []
        reach = selector => {
          asked.push(selector)
          return { sessions: 2, exchanges: 3 }
        }
        expect(await store.survey(bySubject('a'))).toEqual({ sessions: 2, exchanges: 3, gateways: { total: 1, answered: 1 } })
        expect(asked).toEqual([bySubject('a')])
        const [one, other] = await members()
        if (one !== other) expect(await other.survey(bySubject('a'))).toMatchObject({ exchanges: 6, gateways: { total: 2, answered: 2 } })
      })

      test('[STO6] nothing is confirmed beyond what is known', () => {
        expect(store.confirmedUntil()).toBeGreaterThan(0)
      })
    })

    describe('together or not at all', () => {
      test('[STO1] what cannot be written leaves no record, no facts, no index, no operation and no announcement', async () => {
        const commit = opened('a')
        const [fact] = commit.facts
        const broken = { ...commit, facts: [...commit.facts, { ...fact, note: 1n as unknown as string } as typeof commit.facts[number]] } // not JSON: on purpose
        await expect(store.commit(broken)).rejects.toThrow(TypeError)
        await expect(store.commitRestrictive(broken)).rejects.toThrow(TypeError)
        expect(await store.load(commit.ref)).toBeNull()
        expect(await store.find(bySubject('a'), 10)).toEqual([])
        expect(await store.drain(10)).toEqual([])
        expect(heard).toEqual([])
        const position = positionOf(await store.commit(commit))
        await store.enforced(position)
        expect(heard.map(announcement => announcement.position)).toEqual([position])
      })

      test('[STO7] a restrictive commit answers and is found like any other', async () => {
        const commit = opened('a')
        expect((await store.commitRestrictive(commit)).is).toBe('OK')
        expect(await store.load(commit.ref)).toEqual(commit.record)
        expect(await store.commitRestrictive({ ...commit, operation: 'sig_other:a' })).toEqual({ is: 'CONFLICT', record: commit.record, ahead: null })
      })
    })

    describe('what is found', () => {
      test('[STO8] a live session is found under each of its selectors, an ended one by its id only', async () => {
        const session = await begin('a')
        const ref = sessionRef(session.key)
        for (const selector of indexOf(session)) expect(await store.find(selector, 10)).toEqual([ref])
        await store.commitRestrictive(commitOf(session, signal('sig_end', { kind: 'session.terminated', reason: 'revoked' }), now))
        expect(await store.find(bySubject('a'), 10)).toEqual([])
        expect(await store.find({ kind: 'tenant', value: 'acme' }, 10)).toEqual([])
        expect(await store.find({ kind: 'session', value: session.id }, 10)).toEqual([ref])
      })

      test('[STO8] what a session stands on follows the session', async () => {
        const session = await begin('a')
        expect(await store.tiedTo(TICKET, 10)).toEqual([])
        await store.commit(commitOf(session, asking('1', TICKET, now), now))
        expect(await store.tiedTo(TICKET, 10)).toEqual([sessionRef(session.key)])
        expect(await store.tiedTo({ kind: 'run', name: TICKET.name }, 10)).toEqual([])
        const ended = signal('sig_over', { kind: 'elevation.ended', elevation: 'elv_1' as ElevationId, reason: 'released', because: 'x' }) // a test word
        await store.commit(commitOf(await loaded(session), ended, now))
        expect(await store.tiedTo(TICKET, 10)).toEqual([])
      })

      test('[STO8] a selector of many sessions gives as many as asked for', async () => {
        await Promise.all(['a', 'b', 'c'].map(begin))
        const tenant: Selector = { kind: 'tenant', value: 'acme' }
        expect(await store.find(tenant, 2)).toHaveLength(2)
        expect(new Set((await store.find(tenant, 10)).map(ref => ref.name))).toEqual(new Set(['key-a', 'key-b', 'key-c']))
      })

      test('[STO8] a list goes through all records of a kind, page by page, in whatever order', async () => {
        const names = Array.from({ length: 7 }, (_, i) => `n${i}`)
        await Promise.all(names.map(begin))
        await store.commit(anchorCommit('sig_close', TICKET, 'anchor.ended', now))
        const sessions = await listed(store, 'session', 3)
        expect(sessions.map(record => sessionOf(record).key).toSorted()).toEqual(names.map(who => `key-${who}`))
        expect(await listed(store, 'ticket')).toHaveLength(1)
        expect(await listed(store, 'lock')).toEqual([])
      })

      test('[STO8] a limit is a whole number from 1', async () => {
        for (const limit of [0, -1, 1.5, Infinity]) await expect(store.list('session', '', limit)).rejects.toThrow(RangeError)
      })
    })

    describe('facts on their way out', () => {
      test('[STO9] facts come in the order of their commits, each with its place in its commit', async () => {
        const session = await begin('a')
        const asked = commitOf(session, asking('1', TICKET, now), now)
        const position = positionOf(await store.commit(asked))
        const out = await store.drain(100)
        expect(out.map(({ fact }) => fact.what)).toEqual(['session.opened', 'elevation.requested', 'elevation.activated'])
        expect(out.slice(1)).toEqual(asked.facts.map((fact, part) => ({ position, ref: asked.ref, fact, part })))
      })

      ordered('[STO9] what is not forgotten comes again; forgetting is up to and including a position', async () => {
        const positions: Position[] = []
        for (const who of ['a', 'b', 'c']) positions.push(positionOf(await store.commit(opened(who))))
        const all = await store.drain(100)
        expect(await store.drain(100)).toEqual(all)
        await store.drained(positions[1] ?? { epoch: '', sequence: 0 })
        expect((await store.drain(100)).map(({ position }) => position)).toEqual([positions[2]])
      })

      ordered('[STO9] a commit’s facts are never torn apart, so that a position stands for all of them', async () => {
        const session = await begin('a')
        const asked = commitOf(session, asking('1', TICKET, now), now)
        await store.commit(asked)
        await store.commit(commitOf(sessionOf(asked.record), asking('2', TICKET, now), now))
        await begin('b')
        const whole = ['session.opened', 'elevation.requested', 'elevation.activated']
        expect((await store.drain(2)).map(({ fact }) => fact.what)).toEqual(whole.slice(0, 1))
        expect((await store.drain(4)).map(({ fact }) => fact.what)).toEqual(whole)
        const [first] = await store.drain(1)
        if (first === undefined) throw new Error('nothing to drain')
        await store.drained(first.position)
        expect(await store.drain(1)).toHaveLength(2)
      })
    })

    describe('what is no record', () => {
      test('[STO10] last-seen times are merged: the later one stays', async () => {
        const session = await begin('a')
        expect(await store.lastSeen(session.key)).toBeNull()
        await store.touch(new Map([[session.key, instant(2_000)]]))
        await store.touch(new Map([[session.key, instant(1_000)]]))
        expect(await store.lastSeen(session.key)).toBe(2_000)
        await store.touch(new Map([[session.key, instant(3_000)], ['key-unknown', instant(5)]]))
        expect(await store.lastSeen(session.key)).toBe(3_000)
        expect(await store.load(sessionRef(session.key))).toEqual(session)
      })

      test('[STO10] small named values are kept and replaced', async () => {
        expect(await store.kept('head')).toBeNull()
        await store.keep('head', 'one')
        await store.keep('head', 'two')
        expect(await store.kept('head')).toBe('two')
      })

      test('[STO10] of several that keep a value at the same moment all get that of the first', async () => {
        const [one, other] = await members()
        const kept = await Promise.all(Array.from({ length: 10 }, (_, i) => (i % 2 === 0 ? one : other).keepFirst('digest-key', `value-${i}`)))
        expect(new Set(kept).size).toBe(1)
        expect([await one.kept('digest-key'), await other.keepFirst('digest-key', 'late')]).toEqual([kept[0], kept[0]])
        await one.keep('digest-key', 'replaced')
        expect(await other.keepFirst('digest-key', 'late')).toBe('replaced')
      })

      test('[STO10, STORE-4] §11.4 a record is there until its time has come', async () => {
        const kept = opened('a', { forgetAt: after(under.now(), HOUR) })
        await store.commit(kept)
        await Promise.all(['b', 'c'].map(begin))
        expect(await store.load(kept.ref)).toEqual(kept.record)
        await store.commit(opened('d', { forgetAt: instant(under.now() - 1) }))
        await begin('e')
        await expect.poll(() => store.load({ kind: 'session', name: 'key-d' })).toBeNull()
        expect(await store.find(bySubject('d'), 10)).toEqual([])
        expect(await store.load(kept.ref)).toEqual(kept.record)
      })
    })

    describe('budgets', () => {
      const taking = (request: string, changes: Partial<Taking> = {}): Taking => ({ counter: 'elv_1', request, amount: 3, limit: 10, forgetAt: after(now, HOUR), ...changes })
      const sum = (amounts: readonly number[]): number => amounts.reduce((all, amount) => all + amount, 0)

      test('[STO12, STORE-29] §11.29 however many take at once, the sum is the limit; a request said again gets the same answer', async () => {
        const both = await members()
        const requests = Array.from({ length: 8 }, (_, i) => taking(`req_${i}`))
        const given = await Promise.all(requests.map((each, i) => (both[i % 2] ?? store).take(each)))
        expect(given.toSorted((a, b) => a - b)).toEqual([0, 0, 0, 0, 1, 3, 3, 3])
        expect(await Promise.all(requests.map((each, i) => (both[(i + 1) % 2] ?? store).take(each)))).toEqual(given)
        expect(await store.take(taking('req_late'))).toBe(0)
        expect(await store.take(taking('req_0', { counter: 'elv_2' }))).toBe(3)
        expect(await Promise.all(['elv_1', 'elv_2', 'elv_3'].map(counter => store.taken(counter)))).toEqual([10, 3, 0])
      })

      test('[STO12, STORE-29] §11.29 a lower limit gives no more than is left under it, and none takes anything back', async () => {
        expect(await store.take(taking('req_1', { amount: 6 }))).toBe(6)
        expect(await store.take(taking('req_2', { amount: 6, limit: 5 }))).toBe(0)
        expect(await store.take(taking('req_3', { amount: 6 }))).toBe(4)
        expect(await store.take(taking('req_4', { amount: 0, limit: 20 }))).toBe(0)
        expect(await store.take(taking('req_5', { amount: 20, limit: 20 }))).toBe(10)
      })

      test('[STO12, STORE-29] §11.29 what was not used is given back once, at most what the request got, and goes to others', async () => {
        const [one, other] = await members()
        expect(await one.take(taking('req_1', { amount: 10 }))).toBe(10)
        await one.give('elv_1', 'req_1', 4)
        await one.give('elv_1', 'req_1', 4)
        await other.give('elv_1', 'req_unknown', 4)
        expect(await other.take(taking('req_2', { amount: 10 }))).toBe(4)
        await other.give('elv_1', 'req_2', 9)
        expect(await one.take(taking('req_3', { amount: 10 }))).toBe(4)
      })

      test('[STO12] a request that gave back and is said again is told what it holds, so that the sum stays within the limit', async () => {
        expect(await store.take(taking('req_1', { amount: 10 }))).toBe(10)
        await store.give('elv_1', 'req_1', 10)
        expect(await store.take(taking('req_2', { amount: 7 }))).toBe(7)
        await store.give('elv_1', 'req_2', 2)
        const held = await Promise.all(['req_1', 'req_2', 'req_3'].map(request => store.take(taking(request, { amount: 10 }))))
        expect([held, sum(held)]).toEqual([[0, 5, 5], 10])
      })

      test('[STO12, STORE-30] §11.30 of twenty that want the one use at the same moment one gets it', async () => {
        const both = await members()
        const takers = Array.from({ length: 20 }, (_, i) => (both[i % 2] ?? store).take(taking(`req_${i}`, { amount: 1, limit: 1 })))
        expect((await Promise.all(takers)).toSorted((a, b) => a - b)).toEqual([...Array.from({ length: 19 }, () => 0), 1])
      })

      test('[STO12] what could not be remembered is not given, and counts as seen', async () => {
        expect(await store.take(taking('req_1', { forgetAt: instant(under.now() - 1_000) }))).toBe(0)
        expect(await store.mark('digest-old', now, instant(under.now() - 1_000))).toBe('again')
      })

      test('[STO12] amounts and limits are whole numbers from 0', async () => {
        for (const wrong of [-1, 1.5, NaN, Infinity, 2 ** 53]) {
          await expect(store.take(taking('req_1', { amount: wrong }))).rejects.toThrow(RangeError)
          await expect(store.take(taking('req_1', { limit: wrong }))).rejects.toThrow(RangeError)
          await expect(store.give('elv_1', 'req_1', wrong)).rejects.toThrow(RangeError)
          await expect(store.share({ bucket: 'b', wanted: wrong, limit: 1, for: HOUR })).rejects.toThrow(RangeError)
          await expect(store.share({ bucket: 'b', wanted: 1, limit: wrong, for: HOUR })).rejects.toThrow(RangeError)
        }
        expect(await store.take(taking('req_1'))).toBe(3)
      })

      test('[STO12, STORE-31] §11.31 what was seen by one member is seen again by every other', async () => {
        const [one, other] = await members()
        const until = after(now, HOUR)
        expect([await one.mark('digest-a', now, until), await other.mark('digest-a', now, until), await one.mark('digest-a', now, until)]).toEqual(['first', 'again', 'again'])
        expect(await other.mark('digest-b', now, until)).toBe('first')
        const seen = await Promise.all(Array.from({ length: 20 }, (_, i) => (i % 2 === 0 ? one : other).mark('digest-c', now, until)))
        expect(seen.filter(each => each === 'first')).toHaveLength(1)
      })

      test('[STO12, STORE-32] §11.32 the shares that hold never exceed the limit, whoever asks and however often', async () => {
        const both = new Set(await members())
        const shares = new Map<SessionStore, number>()
        for (let turn = 0; turn < 3; turn++) {
          for (const member of both) {
            const share = await member.share({ bucket: 'rate', wanted: 8, limit: 10, for: HOUR })
            shares.set(member, share)
            expect(share).toBeLessThanOrEqual(8)
            expect(sum([...shares.values()])).toBeLessThanOrEqual(10)
          }
        }
        expect(Math.max(...shares.values())).toBe(8)
        expect(await store.share({ bucket: 'other', wanted: 8, limit: 5, for: HOUR })).toBe(5)
        expect(await store.share({ bucket: 'none', wanted: 8, limit: 0, for: HOUR })).toBe(0)
      })
    })

    describe('what is pooled', () => {
      const part = (name: string, text: string, changes: Partial<Part> = {}): Part => ({ name, text, forgetAt: after(now, HOUR), ...changes })
      const sorted = (told: readonly (readonly string[])[]): readonly (readonly string[])[] => told.map(texts => texts.toSorted())

      test('[STO20] what a member says takes the place of what it said before, and what others said stays', async () => {
        const both = [...new Set(await members())]
        for (const said of ['old', 'new']) for (const [i, member] of both.entries()) expect((await member.pool([part('p', `${said} of ${i}`)]))[0]).toContain(`${said} of ${i}`)
        for (const member of both) expect(sorted(await member.pool([part('p', '')]))).toEqual([both.map((_, i) => `new of ${i}`)])
      })

      test('[STO20] an empty text only asks, and nothing is known of what nobody spoke of', async () => {
        expect(await store.pool([])).toEqual([])
        expect(await store.pool([part('p', ''), part('q', '')])).toEqual([[], []])
        await store.pool([part('p', 'mine')])
        expect(await store.pool([part('p', ''), part('q', ''), part('p', '', { forgetAt: instant(0) })])).toEqual([['mine'], [], ['mine']])
      })

      test('[STO20] the answers are in the order of the parts, of as many and as long ones as there may be', async () => {
        const both = [...new Set(await members())]
        const texts = Array.from({ length: PARTS_AT_ONCE }, (_, i) => `${i}:`.padEnd(PART_BYTES, 'x'))
        for (const [who, member] of both.entries()) await member.pool(texts.map((text, i) => part(`p${i}`, `${who}${text.slice(1)}`)))
        const told = await store.pool(texts.map((_, i) => part(`p${PARTS_AT_ONCE - 1 - i}`, '')))
        expect(sorted(told)).toEqual(texts.map(text => both.map((_, who) => `${who}${text.slice(1)}`)).toReversed())
      })

      test('[STO20] what is too much or no part is refused, with everything said beside it', async () => {
        const wrong = [
          part('p', 'ü'.repeat(PART_BYTES / 2 + 1)), part('', 'x'), part('n'.repeat(257), ''), ...[-1, 1.5, NaN, Infinity].map(at => part('p', 'x', { forgetAt: instant(at) })),
        ]
        for (const each of wrong) await expect(store.pool([part('p', 'beside it'), each])).rejects.toThrow(RangeError)
        await expect(store.pool(Array.from({ length: PARTS_AT_ONCE + 1 }, () => part('p', 'x')))).rejects.toThrow(RangeError)
        expect(await store.pool([part('p', ''), part('n'.repeat(256), 'ü'.repeat(PART_BYTES / 2))])).toEqual([[], ['ü'.repeat(PART_BYTES / 2)]])
      })

      test('[STO20] what has run out already is not kept, and takes the place of what was said before', async () => {
        const over = { forgetAt: instant(under.now() - 1_000) }
        expect(await store.pool([part('p', 'over', over)])).toEqual([[]])
        expect(await store.pool([part('p', 'mine'), part('p', 'over', over), part('p', '')])).toEqual([['mine'], [], []])
      })
    })

    describe('what waits until somebody has it', () => {
      const item = (id: string, changes: Partial<Item> = {}): Item => ({ id, text: `text of ${id}`, forgetAt: after(now, HOUR), ...changes })
      const idsOf = ({ items }: Waiting): readonly string[] => items.map(({ id }) => id)

      test('[STO21] what is queued waits in its order, whichever member put it, and stays until it is done with', async () => {
        const [one, other] = await members()
        for (const [i, member] of [one, other, other, one].entries()) expect(await member.enqueue('q', item(`i${9 - i}`), 10)).toBe('queued')
        expect(await one.waiting('q', 10)).toEqual({ items: ['i9', 'i8', 'i7', 'i6'].map(id => item(id)), length: 4 })
        expect(await other.waiting('q', 2)).toEqual({ items: [item('i9'), item('i8')], length: 4 })
        await other.dequeue('q', ['i8', 'never there', 'i6'])
        expect(await one.waiting('q', 10)).toEqual({ items: [item('i9'), item('i7')], length: 2 })
        expect(await one.waiting('r', 10)).toEqual({ items: [], length: 0 })
      })

      test('[STO21] one id is put once, while it waits and after it was done with, under each name', async () => {
        const [one, other] = await members()
        expect([await one.enqueue('q', item('a'), 10), await other.enqueue('q', item('a', { text: 'another' }), 10), await other.enqueue('r', item('a'), 10)]).toEqual(['queued', 'again', 'queued'])
        expect((await other.waiting('q', 10)).items).toEqual([item('a')])
        await other.dequeue('q', ['a'])
        expect([await one.enqueue('q', item('a'), 10), await one.enqueue('q', item('b'), 10)]).toEqual(['again', 'queued'])
        expect(idsOf(await other.waiting('q', 10))).toEqual(['b'])
      })

      test('[STO21] many at once, from every member, are put once each and none is lost', async () => {
        const both = await members()
        const put = await Promise.all(Array.from({ length: 60 }, (_, i) => (both[i % 2] ?? store).enqueue('q', item(`i${i % 30}`), 100)))
        expect(put.filter(each => each === 'queued')).toHaveLength(30)
        expect(new Set(idsOf(await store.waiting('q', 100)))).toEqual(new Set(Array.from({ length: 30 }, (_, i) => `i${i}`)))
      })

      test('[STO21] a queue that is full takes nothing more, and what it did not take is taken when there is room', async () => {
        const put = await Promise.all(['a', 'b', 'c', 'd'].map(id => store.enqueue('q', item(id), 3)))
        expect(put).toEqual(['queued', 'queued', 'queued', 'full'])
        expect([await store.enqueue('q', item('a'), 3), await store.enqueue('q', item('d'), 4)]).toEqual(['again', 'queued'])
        await store.dequeue('q', ['a', 'b'])
        expect([await store.enqueue('q', item('e'), 3), await store.enqueue('q', item('f'), 3)]).toEqual(['queued', 'full'])
        expect(idsOf(await store.waiting('q', 10))).toEqual(['c', 'd', 'e'])
      })

      test('[STO21] what is past its time is given to nobody and takes no room', async () => {
        await store.enqueue('q', item('over', { forgetAt: instant(under.now() - 1_000) }), 1)
        expect(await store.enqueue('q', item('a'), 1)).toBe('queued')
        expect(await store.waiting('q', 10)).toEqual({ items: [item('a')], length: 1 })
      })

      test('[STO21] an answer is bounded, and one item goes whatever its length', async () => {
        for (let i = 0; i < 20; i++) await store.enqueue('q', item(`i${i}`, { text: 'x'.repeat(ITEM_BYTES) }), 100)
        const { items, length } = await store.waiting('q', 100)
        expect([items.length, length]).toEqual([16, 20])
      })

      test('[STO21] what one answer does not hold is told behind what it holds', async () => {
        for (let i = 0; i < 40; i++) await store.enqueue('q', item(`i${i}`, { text: 'x'.repeat(ITEM_BYTES) }), 100)
        expect(idsOf(await store.waiting('q', 100, 16))).toEqual(Array.from({ length: 16 }, (_, i) => `i${16 + i}`))
        expect(await store.waiting('q', 2, 38)).toEqual({ items: ['i38', 'i39'].map(id => item(id, { text: 'x'.repeat(ITEM_BYTES) })), length: 40 })
        expect(await store.waiting('q', 2, 40)).toEqual({ items: [], length: 40 })
        for (const skip of [-1, 1.5, NaN]) await expect(store.waiting('q', 1, skip)).rejects.toThrow(RangeError)
      })

      test('[STO21] what is past its time takes no room behind what is not', async () => {
        expect(await store.enqueue('q', item('lives'), 2)).toBe('queued')
        expect(await store.enqueue('q', item('over', { forgetAt: instant(under.now() - 1_000) }), 2)).toBe('queued')
        expect([await store.enqueue('q', item('a'), 2), await store.enqueue('q', item('b'), 2)]).toEqual(['queued', 'full'])
        expect(idsOf(await store.waiting('q', 10))).toEqual(['lives', 'a'])
      })

      test('[STO21] what is no item, or too many, is refused', async () => {
        const wrong = [item('', {}), item('x'.repeat(257)), item('a', { text: 'ü'.repeat(ITEM_BYTES / 2 + 1) }), ...[-1, 1.5, NaN].map(at => item('a', { forgetAt: instant(at) }))]
        for (const each of wrong) await expect(store.enqueue('q', each, 10)).rejects.toThrow(RangeError)
        for (const limit of [0, -1, 1.5, ITEMS_AT_ONCE + 1]) await expect(store.waiting('q', limit)).rejects.toThrow(RangeError)
        await expect(store.enqueue('q', item('a'), 0)).rejects.toThrow(RangeError)
        await expect(store.enqueue('', item('a'), 1)).rejects.toThrow(RangeError)
        await expect(store.dequeue('q', Array.from({ length: ITEMS_AT_ONCE + 1 }, (_, i) => `${i}`))).rejects.toThrow(RangeError)
        expect(await store.waiting('q', 10)).toEqual({ items: [], length: 0 })
        expect(await store.enqueue('q', item('x'.repeat(256), { text: 'ü\n|\u0000'.repeat(100) }), 1)).toBe('queued')
        expect((await store.waiting('q', 10)).items).toEqual([item('x'.repeat(256), { text: 'ü\n|\u0000'.repeat(100) })])
      })

      test('[STO21] what waits outlives the store where anything does, and so does what is known of what was done with', async () => {
        for (const id of ['a', 'b']) await store.enqueue('q', item(id), 10)
        await store.dequeue('q', ['a'])
        const again = await under.reopen()
        again.subscribe(hearing(async () => NO_TALLY))
        await confirmed(again)
        expect(idsOf(await again.waiting('q', 10))).toEqual(under.survives ? ['b'] : [])
        expect(await again.enqueue('q', item('a'), 1)).toBe(under.survives ? 'again' : 'queued')
        expect(await again.enqueue('q', item('c'), 1)).toBe('full')
      })
    })

    describe('the end of the store', () => {
      test('[STO11] after closing, every call is refused with a clear error', async () => {
        const commit = opened('a')
        await store.close()
        const calls = [
          store.load(TICKET), store.commit(commit), store.commitRestrictive(commit), store.find(bySubject('a'), 1), store.tiedTo(TICKET, 1), store.list('lock', '', 1),
          store.drain(1), store.drained({ epoch: store.epochOf(commit.ref), sequence: 1 }), store.touch(new Map()), store.lastSeen('key'), store.keep('a', 'b'), store.kept('a'),
          store.changed([{ ref: TICKET, version: 1 }]), store.survey(bySubject('a')), store.keepFirst('a', 'b'), store.enforced({ epoch: store.epochOf(commit.ref), sequence: 1 }), store.prune(now),
          store.take({ counter: 'a', request: 'b', amount: 1, limit: 1, forgetAt: after(now, HOUR) }), store.give('a', 'b', 1), store.share({ bucket: 'a', wanted: 1, limit: 1, for: HOUR }), store.mark('a', now, after(now, HOUR)),
          store.pool([]), store.enqueue('a', { id: 'b', text: '', forgetAt: after(now, HOUR) }, 1), store.waiting('a', 1), store.dequeue('a', ['b']),
        ]
        for (const call of calls) await expect(call).rejects.toThrow('closed')
        await expect(store.close()).resolves.toBeUndefined()
      })

      ordered('[STO4, STORE-40] §11.40 records, locks, operations, facts and values outlive the store where anything does; the epoch of a local one never', async () => {
        const commit = opened('a')
        const position = positionOf(await store.commit(commit))
        const lock = lockCommit(now)
        await store.commitRestrictive(lock)
        await store.keep('digest-key', 'secret')
        await store.touch(new Map([['key-a', instant(2_000)]]))
        const out = await store.drain(10)
        const epoch = store.epochOf(commit.ref)

        const again = await under.reopen()
        again.subscribe(hearing(async () => NO_TALLY))
        await confirmed(again)
        const epochNow = again.epochOf(commit.ref)
        if (under.local) expect(epochNow).not.toBe(epoch)
        if (!under.survives) {
          expect([await again.load(commit.ref), await listed(again, 'lock'), await again.drain(10), await again.kept('digest-key')]).toEqual([null, [], [], null])
          return
        }
        expect(await again.load(commit.ref)).toEqual(commit.record)
        expect(await listed(again, 'lock')).toEqual([lock.record])
        expect(await again.find(bySubject('a'), 10)).toEqual([commit.ref])
        expect(await again.drain(10)).toEqual(out)
        expect(await again.kept('digest-key')).toBe('secret')
        expect(await again.commit(commit)).toEqual({ is: 'DUP', position })
        if (epochNow !== epoch) expect(await again.commit({ ...commit, operation: 'sig_late:a', expectedEpoch: epoch })).toEqual({ is: 'EPOCH', epoch: epochNow })
        expect(await again.enforced(position)).toMatchObject({ exchanges: NO_TALLY })
        await again.drained(out.at(-1)?.position ?? position)
        expect(await again.drain(10)).toEqual([])
      })

      test('[STO20] what was said before a restart is that of another, and is there where anything outlives the store', async () => {
        const part: Part = { name: 'p', text: 'before', forgetAt: after(now, HOUR) }
        await store.pool([part])
        const again = await under.reopen()
        again.subscribe(hearing(async () => NO_TALLY))
        await confirmed(again)
        const told = await again.pool([{ ...part, text: '' }, { ...part, text: 'after' }])
        expect(told.map(texts => texts.toSorted())).toEqual(under.survives ? [['before'], ['after', 'before']] : [[], ['after']])
      })

      test('[STO12, STORE-40] §11.40 what was taken stays taken where anything outlives the store, and what may have been seen counts as seen', async () => {
        const first: Taking = { counter: 'elv_1', request: 'req_1', amount: 2, limit: 3, forgetAt: after(now, HOUR) }
        const next: Taking = { ...first, request: 'req_2' }
        expect([await store.take(first), await store.mark('digest', now, after(now, HOUR))]).toEqual([2, 'first'])
        const again = await under.reopen()
        again.subscribe(hearing(async () => NO_TALLY))
        await confirmed(again)
        expect([await again.take(next), await again.take(first), await again.mark('digest', now, after(now, HOUR))]).toEqual([...(under.survives ? [1, 2] : [2, 1]), 'again'])
      })
    })
  })
}

export const keyOf = (who: string): SessionKey => `key-${who}` as SessionKey // a test word
const byName = (a: Announcement, b: Announcement): number => (a.ref.name < b.ref.name ? -1 : 1)

/** Settles when what the store announced is known to be all there is. */
const confirmed = (store: SessionStore): Promise<void> => expect.poll(() => store.confirmedUntil(), { timeout: 8_000 }).toBeGreaterThan(0)

function aheadOf(answer: CommitAnswer): Position {
  if (answer.is !== 'CONFLICT' || answer.ahead === null) throw new Error(`nothing went ahead: ${answer.is}`)
  return answer.ahead
}

function lockCommit(now: Instant, selector: Selector = { kind: 'tenant', value: 'acme' }): Commit {
  const told = { at: now, because: 'sig_lock' as SignalId, by: 'operator', note: '', version: 1 } // a test word
  const lock = 'lck_1' as Extract<Commit['record'], { record: 'lock' }>['id'] // a test word
  const news: Signal = { id: told.because, by: 'operator', note: '', kind: 'lock.set', lock, selector, effect: 'deny', reason: 'locked', until: null }
  return {
    operation: 'sig_lock:lock', ref: lockRef(selector), expectedVersion: 'any', expectedEpoch: 'any', index: [], ties: [], forgetAt: null, due: null, news, awaited: false, ahead: null,
    record: { record: 'lock', id: lock, selector, version: 1, state: 'set', effect: 'deny', reason: 'locked', note: '', by: 'operator', since: now, until: null },
    facts: [{ ...told, what: 'lock.set', lock, selector, effect: 'deny', reason: 'locked', until: null }],
  }
}
