// What every SessionStore must do, whichever it is: one suite, run by each store's test. Time is only ever compared with the store's own. SPEC: STO1-STO10
// `§11.n` quotes the items of the shared-state protocol's list of contract tests.
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { AnchorRef, Selector } from '../../src/core/anchor.ts'
import type { ElevationId } from '../../src/core/elevation.ts'
import { indexOf, type RecordRef, sessionRef, type StoredRecord, tiesOf } from '../../src/core/record.ts'
import type { Session, SessionId, SessionKey } from '../../src/core/session.ts'
import type { SessionNews, SessionSignal, SignalId } from '../../src/core/signal.ts'
import { after, duration, type Instant, instant } from '../../src/core/time.ts'
import { transition, transitionAnchor } from '../../src/core/transition.ts'
import type { Announcement, Commit, CommitAnswer, Enforcement, Position, SessionStore, Tally } from '../../src/sessions/store.ts'

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
  readonly dispose: () => Promise<void>
}

export const NO_TALLY: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
const HOUR = duration(3_600_000)

/** News with what every signal carries. */
export const signal = (id: string, news: SessionNews): SessionSignal => ({ id: id as SignalId, by: 'operator', note: 'test', ...news }) // ids of tests are plain words

export function opening(name: string, at: Instant, epoch: string): SessionSignal {
  return signal(`sig_open_${name}`, {
    kind: 'session.opened', key: `key-${name}` as SessionKey, session: `ses_${name}` as SessionId, epoch, // brands of test words
    principal: { kind: 'agent', issuer: 'https://idp.test', tenant: 'acme', subject: `agent-${name}`, client: 'cli', owner: null, actor: null },
    credential: { id: `cred-${name}`, keyId: null, issuedAt: at, expiresAt: after(at, HOUR) }, endsAt: after(at, HOUR),
  })
}

/** The commit a ledger makes of a session and news about it. */
export function commitOf(session: Session | null, news: SessionSignal, now: Instant, changes: Partial<Commit> = {}): Commit {
  const { record, facts } = transition(session, news, now)
  if (record === null) throw new Error('the news made no record')
  return {
    operation: `${news.id}:${record.key}`, ref: sessionRef(record.key), expectedVersion: session?.version ?? 0, expectedEpoch: 'any',
    record, facts, index: indexOf(record), ties: tiesOf(record), forgetAt: null, due: null, ...changes,
  }
}

export function anchorCommit(id: string, anchor: AnchorRef, kind: 'anchor.opened' | 'anchor.ended', now: Instant, changes: Partial<Commit> = {}): Commit {
  const { record, facts } = transitionAnchor(anchor, null, { id: id as SignalId, by: 'operator', note: '', kind }, now) // a test word
  if (record === null) throw new Error('the news made no record')
  return {
    operation: `${id}:${anchor.kind}/${anchor.name}`, ref: anchor, expectedVersion: 'any', expectedEpoch: 'any',
    record, facts, index: [], ties: [], forgetAt: null, due: null, ...changes,
  }
}

/** Asks for an elevation that stands on a ticket. */
export const asking = (id: string, anchor: AnchorRef, now: Instant): SessionSignal => signal(`sig_ask_${id}`, {
  kind: 'elevation.requested', askedUntil: null,
  elevation: {
    id: `elv_${id}` as ElevationId, profile: 'fix', adds: ['db:write'], purposes: {}, ties: [{ anchor, generation: instant(0), reason: 'ticket_closed' }], params: {}, // a test word
    for: duration(60_000), max: HOUR, startsAt: null, requestedAt: now, requestedBy: 'someone', barred: [], because: '', approvalsNeeded: 0, approvals: [], keyThumbprint: null,
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

export function sessionStoreContract(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    let under: StoreUnderTest
    let store: SessionStore
    let now: Instant
    let heard: Announcement[]

    beforeEach(async () => {
      under = await open()
      store = under.store
      now = under.now()
      heard = []
    })
    afterEach(() => under.dispose())

    const hear = (): void => store.subscribe(async announcement => {
      heard.push(announcement)
      return NO_TALLY
    })
    const opened = (who: string, changes: Partial<Commit> = {}): Commit => commitOf(null, opening(who, now, store.epoch), now, changes)
    const begin = async (who: string): Promise<Session> => {
      const commit = opened(who)
      await store.commit(commit)
      return sessionOf(commit.record)
    }
    const loaded = async (session: Session): Promise<Session> => sessionOf(await store.load(sessionRef(session.key)))

    describe('what a commit compares', () => {
      test('[STO2] an absent record has version 0, and what was committed is what is loaded', async () => {
        const commit = opened('a')
        expect(await store.load(commit.ref)).toBeNull()
        expect(await store.commit(commit)).toMatchObject({ is: 'OK', position: { epoch: store.epoch } })
        expect(await store.load(commit.ref)).toEqual(commit.record)
      })

      test('[STO2, STORE-5] §11.5 an old version conflicts, and the answer holds the record as it is now', async () => {
        const session = await begin('a')
        const frozen = commitOf(session, signal('sig_freeze', { kind: 'session.frozen', until: null }), now)
        await store.commitRestrictive(frozen)
        const late = commitOf(session, asking('1', TICKET, now), now)
        expect(await store.commit(late)).toEqual({ is: 'CONFLICT', record: frozen.record })
        expect(await loaded(session)).toEqual(frozen.record)
      })

      test('[STO2] an expected version of an absent record conflicts with null', async () => {
        const session = sessionOf(opened('a').record)
        expect(await store.commit(commitOf(session, asking('1', TICKET, now), now))).toEqual({ is: 'CONFLICT', record: null })
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
        expect(await store.commit(late)).toEqual({ is: 'CONFLICT', record: end.record })
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
        hear()
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
        expect(await store.commit(commit)).toEqual({ is: 'EPOCH', epoch: store.epoch })
        expect(await store.load(commit.ref)).toBeNull()
        expect((await store.commit({ ...commit, expectedEpoch: store.epoch })).is).toBe('OK')
      })

      test('[STO5, STORE-35] §11.35 a commit whose cause is time is EARLY until the store’s own time has reached it', async () => {
        hear()
        const commit = opened('a', { due: after(under.now(), HOUR) })
        const answer = await store.commitRestrictive(commit)
        expect(answer.is).toBe('EARLY')
        expect(answer.is === 'EARLY' && answer.now >= now).toBe(true)
        expect(await store.load(commit.ref)).toBeNull()
        expect(heard).toEqual([])
        expect((await store.commitRestrictive({ ...commit, due: under.now() })).is).toBe('OK')
      })
    })

    describe('what is announced', () => {
      test('[STO6] commits are announced whole, in order and without gaps', async () => {
        hear()
        const commits = ['a', 'b', 'c', 'd'].map(who => opened(who))
        const answers = await Promise.all(commits.map((commit, i) => (i % 2 === 0 ? store.commit(commit) : store.commitRestrictive(commit))))
        await Promise.all(answers.map(answer => store.enforced(positionOf(answer))))
        expect(heard).toEqual(commits.map(({ ref, record, facts }, i) => ({ position: heard[i]?.position, ref, record, facts })))
        expect(heard.map(({ position }) => position)).toEqual(answers.map(positionOf))
        const first = heard[0]?.position.sequence ?? 0
        expect(heard.map(({ position }) => position.sequence - first)).toEqual([0, 1, 2, 3])
      })

      test('[STO6] §11.37 a local store announces in the turn of the commit, the disk or no disk', async () => {
        hear()
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
        hear()
        const answer = await store.commitRestrictive(anchorCommit('sig_close', TICKET, 'anchor.ended', now))
        await store.enforced(positionOf(answer))
        expect(heard).toHaveLength(1)
        expect(heard[0]?.record).toMatchObject({ record: 'anchor', state: 'ended' })
      })

      test('[STO6] `enforced` waits for the watcher and tells what it did', async () => {
        const tally: Tally = { ...NO_TALLY, cut: 3, frozen: 1 }
        const slices = Promise.withResolvers<Tally>()
        store.subscribe(() => slices.promise)
        const position = positionOf(await store.commit(opened('a')))
        let answer: Enforcement | null = null
        const enforced = store.enforced(position).then(found => (answer = found))
        await Promise.all([store.load(TICKET), store.kept('nothing')])
        expect(answer).toBeNull()
        slices.resolve(tally)
        expect(await enforced).toMatchObject({ gateways: { total: 1, acknowledged: 1, expired: 0 }, exchanges: tally, exchangesUnknown: 0 })
      })

      test('[STO6] nothing is confirmed beyond what is known', () => {
        expect(store.confirmedUntil()).toBeGreaterThan(0)
      })
    })

    describe('together or not at all', () => {
      test('[STO1] what cannot be written leaves no record, no facts, no index, no operation and no announcement', async () => {
        hear()
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
        expect(await store.commitRestrictive({ ...commit, operation: 'sig_other:a' })).toEqual({ is: 'CONFLICT', record: commit.record })
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

      test('[STO8] a list goes through all records of a kind, page by page', async () => {
        const names = Array.from({ length: 7 }, (_, i) => `n${i}`)
        await Promise.all(names.map(begin))
        await store.commit(anchorCommit('sig_close', TICKET, 'anchor.ended', now))
        const pages: string[] = []
        for (let from: string | null = ''; from !== null;) {
          const page: readonly StoredRecord[] = await store.list('session', from, 3)
          pages.push(...page.map(record => sessionOf(record).key))
          from = page.length < 3 ? null : (pages.at(-1) ?? null)
        }
        expect(pages).toEqual(names.map(who => `key-${who}`))
        expect(await store.list('ticket', '', 10)).toHaveLength(1)
        expect(await store.list('lock', '', 10)).toEqual([])
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

      test('[STO9] what is not forgotten comes again; forgetting is up to and including a position', async () => {
        const positions: Position[] = []
        for (const who of ['a', 'b', 'c']) positions.push(positionOf(await store.commit(opened(who))))
        const all = await store.drain(100)
        expect(await store.drain(100)).toEqual(all)
        await store.drained(positions[1] ?? { epoch: store.epoch, sequence: 0 })
        expect((await store.drain(100)).map(({ position }) => position)).toEqual([positions[2]])
      })

      test('[STO9] a commit’s facts are never torn apart, so that a position stands for all of them', async () => {
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

    describe('the end of the store', () => {
      test('[STO11] after closing, every call is refused with a clear error', async () => {
        const commit = opened('a')
        await store.close()
        const calls = [
          store.load(TICKET), store.commit(commit), store.commitRestrictive(commit), store.find(bySubject('a'), 1), store.tiedTo(TICKET, 1), store.list('lock', '', 1),
          store.drain(1), store.drained({ epoch: store.epoch, sequence: 1 }), store.touch(new Map()), store.lastSeen('key'), store.keep('a', 'b'), store.kept('a'),
        ]
        for (const call of calls) await expect(call).rejects.toThrow('closed')
        await expect(store.close()).resolves.toBeUndefined()
      })

      test('[STO4, STORE-40] §11.40 records, locks, operations, facts and values outlive the store where anything does; its epoch never', async () => {
        const commit = opened('a')
        const position = positionOf(await store.commit(commit))
        const lock = lockCommit(now)
        await store.commitRestrictive(lock)
        await store.keep('digest-key', 'secret')
        await store.touch(new Map([['key-a', instant(2_000)]]))
        const out = await store.drain(10)
        const epoch = store.epoch

        const again = await under.reopen()
        expect(again.epoch).not.toBe(epoch)
        if (!under.survives) {
          expect([await again.load(commit.ref), await again.list('lock', '', 10), await again.drain(10), await again.kept('digest-key')]).toEqual([null, [], [], null])
          return
        }
        expect(await again.load(commit.ref)).toEqual(commit.record)
        expect(await again.list('lock', '', 10)).toEqual([lock.record])
        expect(await again.find(bySubject('a'), 10)).toEqual([commit.ref])
        expect(await again.drain(10)).toEqual(out)
        expect(await again.kept('digest-key')).toBe('secret')
        expect(await again.commit(commit)).toEqual({ is: 'DUP', position })
        expect(await again.commit({ ...commit, operation: 'sig_late:a', expectedEpoch: epoch })).toEqual({ is: 'EPOCH', epoch: again.epoch })
        expect(await again.enforced(position)).toMatchObject({ exchanges: NO_TALLY })
        await again.drained(out.at(-1)?.position ?? position)
        expect(await again.drain(10)).toEqual([])
      })
    })
  })
}

function lockCommit(now: Instant): Commit {
  const selector: Selector = { kind: 'tenant', value: 'acme' }
  const told = { at: now, because: 'sig_lock' as SignalId, by: 'operator', note: '', version: 1 } // a test word
  const lock = 'lck_1' as Extract<Commit['record'], { record: 'lock' }>['id'] // a test word
  const ref: RecordRef = { kind: 'lock', name: 'tenant:acme' }
  return {
    operation: 'sig_lock:tenant:acme', ref, expectedVersion: 'any', expectedEpoch: 'any', index: [], ties: [], forgetAt: null, due: null,
    record: { record: 'lock', id: lock, selector, version: 1, state: 'set', effect: 'deny', reason: 'locked', note: '', by: 'operator', since: now, until: null },
    facts: [{ ...told, what: 'lock.set', lock, selector, effect: 'deny', reason: 'locked', until: null }],
  }
}
