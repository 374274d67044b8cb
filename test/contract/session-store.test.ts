// The stores that keep the contract, and what the embedded one promises beyond it: its file, its disk, its bounds. SPEC: STO1-STO13
import { type ChildProcess, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import fs, { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { type Instant, instant } from '../../src/core/time.ts'
import type { Clock } from '../../src/runtime/clock.ts'
import { REMEMBERED_POSITIONS } from '../../src/sessions/embedded/announcer.ts'
import { EMBEDDED_LIMITS, type EmbeddedStore, openEmbeddedStore, OPERATION_MEMORY } from '../../src/sessions/embedded-store.ts'
import type { Announcement, Commit, CommitAnswer, Part, Taking } from '../../src/sessions/store.ts'
import { StoreFault, StoreFull } from '../../src/sessions/store-fault.ts'
import { asking, commitOf, hearing, NO_TALLY, opening, positionOf, sessionOf, sessionStoreContract, signal } from './session-store-contract.ts'

class SetClock implements Clock {
  #now = 1_800_000_000_000
  now(): Instant { return instant(this.#now) }
  elapsed(): number { return this.#now }
  pass(ms: number): void { this.#now += ms }
}

const HOUR = 3_600_000
let clock: SetClock
let folder: string
let file: string
const open: EmbeddedStore[] = []

beforeEach(() => {
  clock = new SetClock()
  folder = mkdtempSync(join(tmpdir(), 'ng-store-'))
  file = join(folder, 'narrowgate.db')
})
afterEach(async () => {
  await Promise.all(open.splice(0).map(store => store.close()))
  rmSync(folder, { recursive: true })
})

function opened(limits = EMBEDDED_LIMITS, ephemeral = false, path = file): EmbeddedStore {
  const store = openEmbeddedStore({ file: path, clock, ephemeral }, limits)
  open.push(store)
  return store
}
const openCommit = (who: string, changes: Partial<Commit> = {}): Commit => commitOf(null, opening(who, clock.now(), 'any'), clock.now(), changes)
/** One of a counter that has one. */
const taking = (request: string, changes: Partial<Taking> = {}): Taking => ({ counter: 'elv_1', request, amount: 1, limit: 1, forgetAt: instant(clock.now() + HOUR), ...changes })
const epochOf = (store: EmbeddedStore): string => store.epochOf({ kind: 'session', name: 'any' })
const faultOf = (attempt: () => unknown): StoreFault => {
  try {
    attempt()
  } catch (error) {
    if (error instanceof StoreFault) return error
    throw error
  }
  throw new Error('it did not fail')
}

sessionStoreContract('the embedded store on a file', async () => {
  const store = opened()
  const reopen = async (): Promise<EmbeddedStore> => {
    await store.close()
    return opened()
  }
  return { store, now: () => clock.now(), local: true, survives: true, dispose: () => store.close(), reopen, another: () => null }
})

sessionStoreContract('the embedded store in memory', async () => {
  const inMemory = (): EmbeddedStore => opened(EMBEDDED_LIMITS, true, ':memory:')
  const store = inMemory()
  const reopen = async (): Promise<EmbeddedStore> => {
    await store.close()
    clock.pass(1_000)
    return inMemory()
  }
  return { store, now: () => clock.now(), local: true, survives: false, dispose: () => store.close(), reopen, another: () => null }
})

describe('the file of the embedded store', () => {
  test('[STO11] the birth of a data set is told, a later opening is none, a lost file is another birth', async () => {
    const first = opened()
    expect([first.isNew, first.born]).toEqual([true, clock.now()])
    await first.close()
    clock.pass(60_000)
    const second = opened()
    expect([second.isNew, second.born]).toEqual([false, first.born])
    expect(epochOf(second).split('.')).toEqual([epochOf(first).split('.')[0], '2'])
    await second.close()
    rmSync(file)
    const third = opened()
    expect([third.isNew, third.born]).toEqual([true, clock.now()])
    expect(epochOf(third).split('.')[0]).not.toBe(epochOf(first).split('.')[0])
    await expect(third.drained({ epoch: epochOf(first), sequence: 1 })).rejects.toThrow('not of this data set')
  })

  test('[STO11] one owner at a time, in this process and in any other', async () => {
    const store = opened()
    await store.commitRestrictive(openCommit('a'))
    expect(faultOf(() => opened())).toMatchObject({ code: 'in_use', message: expect.stringContaining('another process') })
    const other = spawnSync(process.execPath, ['--input-type=module', '-e', childScript('"open"')], { encoding: 'utf8' })
    expect(other.stdout).toContain('fault in_use')
    await store.commitRestrictive(openCommit('b'))
    await store.close()
    expect((await opened().list('session', '', 10)).records).toHaveLength(2)
  })

  test('[STO11] a newer schema, a foreign database, garbage, a folder and an impossible path are each told apart', async () => {
    await opened().close()
    const raw = new DatabaseSync(file)
    raw.exec('PRAGMA user_version = 99')
    raw.close()
    expect(faultOf(() => opened())).toMatchObject({ code: 'newer_schema' })
    const foreign = join(folder, 'foreign.db')
    const theirs = new DatabaseSync(foreign)
    theirs.exec('CREATE TABLE t (a)')
    theirs.close()
    expect(faultOf(() => opened(EMBEDDED_LIMITS, false, foreign))).toMatchObject({ code: 'not_ours' })
    const garbage = join(folder, 'garbage.db')
    writeFileSync(garbage, 'no database'.repeat(1_000))
    expect(faultOf(() => opened(EMBEDDED_LIMITS, false, garbage))).toMatchObject({ code: 'corrupt' })
    expect(faultOf(() => opened(EMBEDDED_LIMITS, false, folder))).toMatchObject({ code: 'unwritable' })
    expect(faultOf(() => opened(EMBEDDED_LIMITS, false, join(garbage, 'a.db')))).toMatchObject({ code: 'unwritable' })
  })

  test('[STO11] a missing folder is made, for the owner alone', async () => {
    const deep = join(folder, 'state', 'a.db')
    await opened(EMBEDDED_LIMITS, false, deep).commitRestrictive(openCommit('a'))
    expect(statSync(join(folder, 'state')).mode & 0o077).toBe(0)
  })

  test('[STO11] a file that was refused is free again, and its content untouched', async () => {
    await opened().close()
    const raw = new DatabaseSync(file)
    raw.exec('PRAGMA user_version = 99')
    raw.close()
    faultOf(() => opened())
    const again = new DatabaseSync(file)
    expect(again.prepare('SELECT boot FROM dataset').get()).toEqual({ boot: 1 })
    again.close()
  })

  test('[STO11] memory alone needs `ephemeral`', () => {
    expect(faultOf(() => opened(EMBEDDED_LIMITS, false, ':memory:')).message).toContain('ephemeral: true')
  })

  test('[STO11] only the owner may read the files', async () => {
    await opened().commitRestrictive(openCommit('a'))
    for (const name of [file, `${file}-wal`]) expect(statSync(name).mode & 0o077).toBe(0)
  })

  test('[STO1] a write that fails half-way leaves nothing of the commit', async () => {
    await opened().close()
    const altered = (sql: string): void => {
      const raw = new DatabaseSync(file)
      raw.exec(sql)
      raw.close()
    }
    altered("CREATE TRIGGER fault BEFORE UPDATE OF sequence ON dataset BEGIN SELECT RAISE(ABORT, 'no more'); END") // the last thing a commit writes
    const store = opened()
    const heard: Announcement[] = []
    store.subscribe(hearing(async announcement => { heard.push(announcement); return NO_TALLY }))
    const commit = openCommit('a')
    await expect(store.commit(commit)).rejects.toMatchObject({ code: 'failed' })
    await expect(store.commitRestrictive(commit)).rejects.toThrow(StoreFault)
    expect([await store.load(commit.ref), await store.find({ kind: 'tenant', value: 'acme' }, 10), await store.drain(10)]).toEqual([null, [], []])
    expect([heard, store.undrained]).toEqual([[], 0])
    await store.close()
    altered('DROP TRIGGER fault')
    const again = opened()
    expect((await again.commit(commit)).is).toBe('OK')
    expect(await again.drain(10)).toHaveLength(1)
  })

  test('[STO11] a damaged row is a fault, not a record', async () => {
    const store = opened()
    const commit = openCommit('a')
    await store.commit(commit)
    await store.close()
    const raw = new DatabaseSync(file)
    raw.exec("UPDATE records SET body = '{'")
    raw.close()
    await expect(opened().load(commit.ref)).rejects.toMatchObject({ code: 'corrupt' })
  })
})

describe('a file of an older release', () => {
  test('[STO11, STO12, STO20, STO21] is brought up to date when it is opened, and keeps what it had', async () => {
    const before = opened()
    const commit = openCommit('a')
    await before.commitRestrictive(commit)
    await before.keep('head', 'one')
    const epoch = epochOf(before)
    await before.close()
    const raw = new DatabaseSync(file)
    raw.exec('DROP TABLE counters; DROP TABLE takings; DROP TABLE marks; DROP TABLE parts; DROP TABLE queued; DROP TABLE dequeued; PRAGMA user_version = 1')
    raw.close()
    const store = opened()
    expect([store.isNew, store.born, epochOf(store)]).toEqual([false, before.born, epoch.replace(/1$/, '2')])
    expect([await store.load(commit.ref), await store.kept('head'), (await store.commit(commit)).is]).toEqual([commit.record, 'one', 'DUP'])
    expect(await store.take(taking('req_1'))).toBe(1)
    expect(await store.pool([{ name: 'p', text: 'mine', forgetAt: instant(clock.now() + HOUR) }])).toEqual([['mine']])
    expect(await store.enqueue('q', { id: 'a', text: 'mine', forgetAt: instant(clock.now() + HOUR) }, 1)).toBe('queued')
    await store.close()
    expect(await opened().take(taking('req_2'))).toBe(0)
  })

  test('[STO11] one that says no version is not taken for a new one', async () => {
    await opened().close()
    const raw = new DatabaseSync(file)
    raw.exec('PRAGMA user_version = 0')
    raw.close()
    expect(faultOf(() => opened())).toMatchObject({ code: 'corrupt' })
  })
})

/** Rows of a table in the closed file. */
const left = (table: string): number => {
  const raw = new DatabaseSync(file, { readOnly: true })
  const { n } = raw.prepare(`SELECT count(*) AS n FROM ${table}`).get() ?? {}
  raw.close()
  return Number(n)
}

describe('what is pooled in the file', () => {
  const part = (name: string, text: string, lasts = HOUR): Part => ({ name, text, forgetAt: instant(clock.now() + lasts) })
  const asked = async (store: EmbeddedStore, names: readonly string[]): Promise<readonly (readonly string[])[]> => store.pool(names.map(name => part(name, '')))

  test('[STO20] a part is given until its time is over, and then forgotten by `prune`', async () => {
    const store = opened()
    await store.pool([part('p', 'soon over', 1_000), part('q', 'later', 1_001)])
    clock.pass(999)
    expect(await asked(store, ['p', 'q'])).toEqual([['soon over'], ['later']])
    clock.pass(1)
    expect(await asked(store, ['p', 'q'])).toEqual([[], ['later']])
    await store.prune(clock.now())
    await store.close()
    expect(left('parts')).toBe(1)
  })

  test('[STO20] of a name 64 are kept: its own, and those of others that run out last', async () => {
    await opened().close()
    const raw = new DatabaseSync(file)
    for (let i = 0; i < 70; i++) raw.prepare('INSERT INTO parts (name, member, text, forget_at) VALUES (?, ?, ?, ?)').run('p', `member ${i}`, `text ${i}`, clock.now() + HOUR + i)
    raw.close()
    const store = opened()
    const [told = []] = await store.pool([part('p', 'mine', 1)])
    expect(told.toSorted()).toEqual(['mine', ...Array.from({ length: 63 }, (_, i) => `text ${i + 7}`)].toSorted())
    await store.close()
    expect(left('parts')).toBe(64)
  })

  test('[STO20] where there are too many, those that run out first make way and nobody is refused, also after a restart', async () => {
    const limits = { ...EMBEDDED_LIMITS, parts: 3 }
    const store = opened(limits)
    await store.pool([part('p', 'mine', 2_000), part('q', 'mine', 1_000), part('r', 'mine', 3_000)])
    await store.pool([part('r', 'mine anew', 3_000)])
    await store.pool([part('s', 'mine', 4_000)])
    expect(await asked(store, ['p', 'q', 'r', 's'])).toEqual([['mine'], [], ['mine anew'], ['mine']])
    await store.close()
    expect(left('parts')).toBe(3)
    const again = opened(limits)
    await again.pool([part('t', 'mine', 5_000)])
    expect(await asked(again, ['p', 'q', 'r', 's', 't'])).toEqual([[], [], ['mine anew'], ['mine'], ['mine']])
    clock.pass(HOUR)
    await again.prune(clock.now())
    await again.pool([part('u', 'mine'), part('v', 'mine'), part('w', 'mine')])
    expect(await asked(again, ['u', 'v', 'w'])).toEqual([['mine'], ['mine'], ['mine']])
  })

  test('[STO20] a write that fails half-way says nothing', async () => {
    await opened().close()
    const raw = new DatabaseSync(file)
    raw.exec("CREATE TRIGGER fault BEFORE INSERT ON parts WHEN NEW.name = 'q' BEGIN SELECT RAISE(ABORT, 'no more'); END")
    raw.close()
    const store = opened({ ...EMBEDDED_LIMITS, parts: 1 })
    for (let i = 0; i < 3; i++) await expect(store.pool([part('p', 'mine'), part('q', 'mine')])).rejects.toMatchObject({ code: 'failed' })
    expect(await store.pool([part('p', '')])).toEqual([[]])
    expect(await store.pool([part('p', 'mine')])).toEqual([['mine']])
  })
})

describe('budgets in the file', () => {
  test('[STO12] a mark holds until its time is over and not longer; a counter as long as the last of its takings', async () => {
    const store = opened()
    const until = instant(clock.now() + 1_000)
    const seen = (): Promise<string> => store.mark('digest', clock.now(), instant(clock.now() + 1_000))
    expect([await store.mark('digest', clock.now(), until), await store.take(taking('req_1', { forgetAt: until })), await store.take(taking('req_2', { limit: 2, forgetAt: instant(until + 1_000) }))]).toEqual(['first', 1, 1])
    clock.pass(999)
    expect([await seen(), await store.take(taking('req_3'))]).toEqual(['again', 0])
    clock.pass(1)
    expect([await seen(), await store.take(taking('req_1'))]).toEqual(['first', 0])
    clock.pass(HOUR)
    expect(await store.take(taking('req_1', { forgetAt: instant(clock.now() + HOUR) }))).toBe(1)
  })

  test('[STO12] what is over is forgotten by `prune`, and a few with each that is new', async () => {
    const store = opened()
    const until = instant(clock.now() + 1_000)
    for (let i = 0; i < 40; i++) {
      await store.take(taking('req', { counter: `elv_${i}`, forgetAt: until }))
      await store.mark(`digest-${i}`, clock.now(), until)
    }
    clock.pass(1_000)
    await store.take(taking('req', { counter: 'elv_new' }))
    await store.mark('digest-new', clock.now(), instant(clock.now() + HOUR))
    await store.close()
    expect(['counters', 'takings', 'marks'].map(left)).toEqual([25, 25, 25])
    const again = opened()
    await again.prune(clock.now())
    await again.close()
    expect(['counters', 'takings', 'marks'].map(left)).toEqual([1, 1, 1])
  })

  test('[STO12] as many as the limit are remembered, and no more is given; time makes room, also after a restart', async () => {
    const limits = { ...EMBEDDED_LIMITS, takings: 2, marks: 1 }
    const until = instant(clock.now() + 1_000)
    const store = opened(limits)
    await store.take(taking('req_1', { limit: 3, forgetAt: until }))
    await store.take(taking('req_2', { limit: 3, forgetAt: until }))
    await store.mark('digest-1', clock.now(), until)
    await expect(store.take(taking('req_3', { limit: 3 }))).rejects.toThrow(StoreFull)
    await expect(store.mark('digest-2', clock.now(), until)).rejects.toThrow(StoreFull)
    expect([await store.take(taking('req_2')), await store.mark('digest-1', clock.now(), until)]).toEqual([1, 'again'])
    await store.close()
    const again = opened(limits)
    await expect(again.take(taking('req_3', { limit: 3 }))).rejects.toThrow('are remembered')
    clock.pass(1_000)
    expect([await again.take(taking('req_3')), await again.mark('digest-2', clock.now(), instant(clock.now() + 1)), await again.take(taking('req_4'))]).toEqual([1, 'first', 0])
  })

  test('[STO12, LIM1] whoever gets nothing fills nothing: others take on, and it is asked anew when something is free', async () => {
    const store = opened({ ...EMBEDDED_LIMITS, takings: 2 })
    expect(await store.take(taking('req_1'))).toBe(1)
    for (let i = 0; i < 10; i++) expect(await store.take(taking(`refused_${i}`))).toBe(0)
    expect(await store.take(taking('req_2', { counter: 'elv_2' }))).toBe(1)
    await store.give('elv_1', 'req_1', 1)
    clock.pass(HOUR)
    expect(await store.take(taking('refused_0'))).toBe(1)
    await store.close()
    expect(left('takings')).toBe(1)
  })

  test('[STO12] what is over is as if it had never been, also before it was forgotten; the count stays right', async () => {
    const store = opened({ ...EMBEDDED_LIMITS, takings: 20, marks: 20 })
    const fill = async (from: number, forgetAt: Instant): Promise<void> => {
      for (let i = from; i < 20; i++) {
        await store.take(taking(`req_${i}`, { counter: `elv_${i}`, forgetAt }))
        await store.mark(`digest-${i}`, clock.now(), forgetAt)
      }
      await expect(store.take(taking('req_more', { counter: 'elv_more' }))).rejects.toThrow(StoreFull)
      await expect(store.mark('digest-more', clock.now(), forgetAt)).rejects.toThrow(StoreFull)
    }
    const later = (ms: number): Instant => instant(clock.now() + ms)
    await store.take(taking('req_0', { counter: 'elv_0', forgetAt: later(200) }))
    await store.mark('digest-0', clock.now(), later(200))
    await fill(1, later(100))
    clock.pass(200)
    expect([await store.take(taking('req_0', { counter: 'elv_0' })), await store.mark('digest-0', clock.now(), later(HOUR))]).toEqual([1, 'first']) // others were forgotten before it
    await fill(1, later(HOUR))
    clock.pass(HOUR)
    await store.prune(clock.now())
    await fill(0, later(HOUR))
  })

  test('[STO12] a write that fails half-way takes nothing', async () => {
    await opened().close()
    const altered = (sql: string): void => {
      const raw = new DatabaseSync(file)
      raw.exec(sql)
      raw.close()
    }
    altered("CREATE TRIGGER fault BEFORE INSERT ON takings BEGIN SELECT RAISE(ABORT, 'no more'); END") // the last thing a taking writes
    const store = opened()
    await expect(store.take(taking('req_1'))).rejects.toMatchObject({ code: 'failed' })
    await store.close()
    expect(left('counters')).toBe(0)
    altered('DROP TRIGGER fault')
    expect(await opened().take(taking('req_2'))).toBe(1)
  })

  test('[STO12] what was issued before the data set was born counts as seen', async () => {
    const store = opened()
    expect(await store.mark('digest', instant(store.born - 1), instant(clock.now() + HOUR))).toBe('again')
    expect(await store.mark('digest', store.born, instant(clock.now() + HOUR))).toBe('first')
  })
})

describe('durability', () => {
  afterEach(() => {
    vi.restoreAllMocks()
    syncBuiltinESMExports()
  })

  /** Holds every flush of the disk until it is let go. */
  function heldDisk(): { readonly flushes: ((error: Error | null) => void)[]; readonly flushed: () => Promise<void> } {
    const flushes: ((error: Error | null) => void)[] = []
    vi.spyOn(fs, 'fdatasync').mockImplementation((_descriptor, done) => { flushes.push(done) })
    syncBuiltinESMExports()
    return { flushes, flushed: () => expect.poll(() => flushes.length).toBeGreaterThan(0) }
  }

  test('[STO7] a restrictive commit is announced at once and answered when the disk has it; one flush serves a turn', async () => {
    const store = opened()
    const heard: Announcement[] = []
    store.subscribe(hearing(async announcement => { heard.push(announcement); return NO_TALLY }))
    const { flushes, flushed } = heldDisk()
    const answered: string[] = []
    const commits = ['a', 'b', 'c'].map(who => store.commitRestrictive(openCommit(who)).then(() => answered.push(who)))
    expect(heard).toHaveLength(3)
    await flushed()
    const late = store.commitRestrictive(openCommit('late')).then(() => answered.push('late'))
    const again = store.commitRestrictive(openCommit('a')).then(answer => answered.push(answer.is))
    expect((await store.commit(openCommit('permissive'))).is).toBe('OK')
    expect(flushes).toHaveLength(1)
    expect(answered).toEqual([])
    flushes[0]?.(null)
    await Promise.all(commits)
    expect(answered).toEqual(['a', 'b', 'c'])
    await expect.poll(() => flushes.length).toBe(2)
    flushes[1]?.(null)
    await Promise.all([late, again])
    expect(answered.slice(3)).toEqual(['late', 'DUP'])
    expect(await store.commitRestrictive(openCommit('a'))).toMatchObject({ is: 'DUP' })
    expect(flushes).toHaveLength(2)
  })

  test('[STO7] a disk that does not confirm is told; what only takes away still passes, what gives is refused', async () => {
    const store = opened()
    const heard: Announcement[] = []
    store.subscribe(hearing(async announcement => { heard.push(announcement); return NO_TALLY }))
    const { flushes, flushed } = heldDisk()
    const first = store.commitRestrictive(openCommit('a'))
    const refused = expect(first).rejects.toMatchObject({ code: 'not_durable' })
    await flushed()
    flushes[0]?.(new Error('EIO'))
    await refused
    await expect(store.commitRestrictive(openCommit('b'))).rejects.toMatchObject({ code: 'not_durable' })
    expect(heard).toHaveLength(2)
    await expect(store.commit(openCommit('c'))).rejects.toMatchObject({ code: 'not_durable' })
    expect(heard).toHaveLength(2)
    expect(await store.load({ kind: 'session', name: 'key-c' })).toBeNull()
  })

  test('[STO12] nothing is given before the disk has it, and nothing at all when the disk does not confirm', async () => {
    const store = opened()
    const { flushes, flushed } = heldDisk()
    const until = instant(clock.now() + HOUR)
    const answered: unknown[] = []
    const asked = [store.take(taking('req_1')), store.take(taking('req_1')), store.mark('digest', clock.now(), until)].map(answer => answer.then(told => void answered.push(told)))
    expect([await store.take(taking('req_2')), await store.mark('digest', clock.now(), until)]).toEqual([0, 'again'])
    await flushed()
    expect([flushes.length, answered]).toEqual([1, []])
    flushes[0]?.(null)
    await Promise.all(asked)
    expect(answered).toEqual([1, 1, 'first'])
    const last = expect(store.take(taking('req_1', { counter: 'elv_2' }))).rejects.toMatchObject({ code: 'not_durable' })
    await expect.poll(() => flushes.length).toBe(2)
    flushes[1]?.(new Error('EIO'))
    await last
    await expect(store.take(taking('req_1', { counter: 'elv_3' }))).rejects.toMatchObject({ code: 'not_durable' })
    await expect(store.mark('digest-2', clock.now(), until)).rejects.toMatchObject({ code: 'not_durable' })
  })

  test('[STO13] what went ahead is on the disk when it is answered', async () => {
    const store = opened()
    const session = openCommit('a')
    await store.commitRestrictive(session)
    const { flushes, flushed } = heldDisk()
    const other = openCommit('b')
    let answer: CommitAnswer | null = null
    const ahead = store.commitRestrictive({ ...session, operation: 'sig_end:a', ahead: { ...other, expectedVersion: 0 } }).then(told => (answer = told))
    expect(await store.load(other.ref)).toEqual(other.record)
    await flushed()
    expect(answer).toBeNull()
    flushes[0]?.(null)
    expect(await ahead).toMatchObject({ is: 'CONFLICT', ahead: { sequence: 2 } })
  })

  test('[STO7] closing waits for the flush under way', async () => {
    const store = opened()
    const { flushes, flushed } = heldDisk()
    const commit = store.commitRestrictive(openCommit('a'))
    await flushed()
    let closed = false
    const closing = store.close().then(() => (closed = true))
    await expect(store.commit(openCommit('b'))).rejects.toMatchObject({ code: 'closed' })
    expect(closed).toBe(false)
    flushes[0]?.(null)
    await closing
    expect((await commit).is).toBe('OK')
  })

  test('[STO7] §11.40 an acknowledged revocation is there after kill -9', async () => {
    const child = spawn(process.execPath, ['--input-type=module', '-e', childScript(JSON.stringify([openCommit('a'), openCommit('b')]))], { stdio: ['ignore', 'pipe', 'inherit'] })
    await said(child, 'acked')
    child.kill('SIGKILL')
    await once(child, 'exit')
    const store = opened()
    expect(await store.load(openCommit('b').ref)).toEqual(openCommit('b').record)
    expect((await store.commit(openCommit('a'))).is).toBe('DUP')
    expect(await store.drain(10)).toHaveLength(2)
  })

  test.skipIf(process.platform === 'win32')('[STO11] a full disk is told; the failed commit changed and announced nothing, and the file is sound', async () => {
    const script = childScript(JSON.stringify([openCommit('a')]), `
      let i = 0, failed = null
      const last = c => ({ ...c, operation: 'op' + i, ref: { kind: 'session', name: 'n' + i }, record: { ...c.record, pad: 'x'.repeat(20000) } })
      while (failed === null && i < 1000) await store.commit(last(commits[0])).then(() => i++, error => { failed = error })
      console.log(JSON.stringify({ code: failed?.code, i, heard, there: await store.load({ kind: 'session', name: 'n' + i }) }))
      process.exit(0)`)
    const limited = `trap '' XFSZ; ulimit -f 2000; exec "$0" --input-type=module -e "$1"`
    const { stdout, stderr } = spawnSync('sh', ['-c', limited, process.execPath, script], { encoding: 'utf8' })
    const told = /\{.*\}/.exec(stdout)?.[0]
    if (told === undefined) throw new Error(`${stdout}${stderr}`)
    const { code, i, heard, there } = JSON.parse(told) as { code: string; i: number; heard: number; there: unknown } // what the script above prints
    expect(['disk_full', 'failed']).toContain(code)
    expect(heard).toBe(i + 1) // the first commit of the script, and those that were answered OK
    expect(i).toBeGreaterThan(10)
    expect(there).toBeNull()
    expect((await opened().list('session', 'n', 2_000)).records).toHaveLength(i)
  })
})

describe('bounds of the embedded store', () => {
  test('[STO3] operations are remembered for 15 minutes, then forgotten as others come', async () => {
    const store = opened()
    const commit = openCommit('a')
    await store.commit(commit)
    clock.pass(OPERATION_MEMORY)
    await store.commit(openCommit('b'))
    expect((await store.commit(commit)).is).toBe('DUP')
    clock.pass(1)
    await store.commit(openCommit('c'))
    expect((await store.commit(commit)).is).toBe('CONFLICT')
    clock.pass(OPERATION_MEMORY + 1)
    await store.prune(clock.now())
    expect((await store.commit(openCommit('c'))).is).toBe('CONFLICT')
  })

  test('[STO10] `prune` forgets what its time has come for, with everything it was found by', async () => {
    const store = opened()
    const until = instant(clock.now() + 1_000)
    await store.commit(openCommit('b'))
    await store.commit(openCommit('a', { forgetAt: until }))
    await store.touch(new Map([['key-a', clock.now()]]))
    expect(await store.prune(instant(until - 1))).toBe(0)
    expect(await store.prune(until)).toBe(1)
    expect(await store.load({ kind: 'session', name: 'key-a' })).toBeNull()
    expect(await store.find({ kind: 'tenant', value: 'acme' }, 10)).toEqual([{ kind: 'session', name: 'key-b' }])
    await store.commit(openCommit('c')) // takes the place of the forgotten one in the file
    expect([await store.lastSeen('key-a'), await store.lastSeen('key-c')]).toEqual([null, null])
    expect(await store.find({ kind: 'session', value: 'ses_a' }, 10)).toEqual([])
    await store.prune(clock.now())
    await store.commit(openCommit('d', { forgetAt: clock.now() }))
    await store.prune(clock.now())
    await store.close()
    const raw = new DatabaseSync(file, { readOnly: true })
    const left = raw.prepare('SELECT (SELECT count(*) FROM records) AS records, (SELECT count(DISTINCT record) FROM found) AS found').get()
    raw.close()
    expect(left).toEqual({ records: 2, found: 2 })
  })

  test('[STO9] a full outbox refuses what gives and never what takes away; draining makes room, also after a restart', async () => {
    const limits = { ...EMBEDDED_LIMITS, outbox: 2 }
    const store = opened(limits)
    await store.commit(openCommit('a'))
    await store.commit(openCommit('b'))
    await expect(store.commit(openCommit('c'))).rejects.toThrow(StoreFull)
    expect(await store.load(openCommit('c').ref)).toBeNull()
    expect((await store.commitRestrictive(openCommit('d'))).is).toBe('OK')
    expect(store.undrained).toBe(3)
    await store.close()
    const again = opened(limits)
    await expect(again.commit(openCommit('c'))).rejects.toThrow('wait to be written')
    const [, second] = await again.drain(10)
    await again.drained(second?.position ?? { epoch: '', sequence: 0 })
    expect(again.undrained).toBe(1)
    expect((await again.commit(openCommit('c'))).is).toBe('OK')
  })

  test('[STO3] too many remembered operations refuse what gives, never what takes away', async () => {
    const store = opened({ ...EMBEDDED_LIMITS, operations: 1 })
    await store.commit(openCommit('a'))
    await expect(store.commit(openCommit('b'))).rejects.toThrow(StoreFull)
    expect((await store.commitRestrictive(openCommit('b'))).is).toBe('OK')
    clock.pass(OPERATION_MEMORY + 1)
    await store.prune(clock.now())
    expect((await store.commit(openCommit('c'))).is).toBe('OK')
  })

  test('[STO10] named values are limited in number, not in change', async () => {
    const store = opened({ ...EMBEDDED_LIMITS, kept: 1 })
    await store.keep('a', '1')
    await store.keep('a', '2')
    await expect(store.keep('b', '1')).rejects.toThrow(StoreFull)
  })

  test('[STO6] a watcher that throws or rejects is counted as unknown and breaks nothing', async () => {
    const store = opened()
    let told = 0
    store.subscribe(hearing(() => {
      told += 1
      if (told === 1) throw new Error('at once')
      return Promise.reject(new Error('later'))
    }, () => { throw new Error('no idea') }))
    for (const who of ['a', 'b']) {
      const position = positionOf(await store.commit(openCommit(who)))
      expect(await store.enforced(position)).toMatchObject({ gateways: { total: 1, acknowledged: 0 }, exchanges: NO_TALLY, exchangesUnknown: 1 })
    }
    expect(told).toBe(2)
    expect(await store.survey({ kind: 'all', value: '' })).toEqual({ sessions: 0, exchanges: 0, gateways: { total: 1, answered: 0 } })
    expect(() => { store.subscribe(hearing(async () => NO_TALLY)) }).toThrow('one watcher')
  })

  test('[STO6] a commit made by the watcher is told after the one it hears of, in the same turn', () => {
    const store = opened()
    const story: string[] = []
    store.subscribe(hearing(async ({ ref }) => {
      story.push(`hears ${ref.name}`)
      if (ref.name === 'key-a') void store.commit(openCommit('b'))
      story.push(`heard ${ref.name}`)
      return NO_TALLY
    }))
    void store.commit(openCommit('a'))
    expect(story).toEqual(['hears key-a', 'heard key-a', 'hears key-b', 'heard key-b'])
  })

  test('[STO6] the last positions are remembered; one forgotten before it was enforced is never called enforced', async () => {
    const store = opened()
    const slow = Promise.withResolvers<typeof NO_TALLY>()
    store.subscribe(hearing(({ ref }) => (ref.name === 'key-0' ? slow.promise : Promise.resolve({ ...NO_TALLY, cut: 1 }))))
    const position = (sequence: number) => ({ epoch: epochOf(store), sequence })
    const first = positionOf(await store.commit(openCommit('0'))).sequence
    for (let i = 1; i < REMEMBERED_POSITIONS + 2; i += 1) await store.commit(openCommit(String(i)))
    expect(await store.enforced(position(first))).toMatchObject({ exchangesUnknown: 1 })
    expect(await store.enforced(position(first + 1))).toMatchObject({ exchanges: NO_TALLY, exchangesUnknown: 0 })
    expect(await store.enforced(position(first + 2))).toMatchObject({ exchanges: { cut: 1 } })
    slow.resolve(NO_TALLY)
  })

  test('[STO8] index and ties stay right through many changes and a restart', async () => {
    const store = opened()
    const opens = openCommit('a')
    await store.commit(opens)
    const ticket = { kind: 'ticket', name: 'jira/acme/OPS-9' } as const
    const asked = commitOf(sessionOf(opens.record), asking('9', ticket, clock.now()), clock.now())
    await store.commit(asked)
    await store.commitRestrictive(commitOf(sessionOf(asked.record), signal('sig_freeze', { kind: 'session.frozen', until: null }), clock.now()))
    await store.close()
    const again = opened()
    expect(await again.tiedTo(ticket, 10)).toEqual([opens.ref])
    expect(await again.find({ kind: 'credential', value: 'cred-a' }, 10)).toEqual([opens.ref])
  })
})

/** A process with the same file: opens it, commits restrictively what it is given, says so and stays, or runs what follows. */
function childScript(commits: string, then = `console.log('acked'); setInterval(() => {}, 1000)`): string {
  const source = new URL('../../src/sessions/embedded-store.ts', import.meta.url).href
  return `
    const { openEmbeddedStore } = await import(${JSON.stringify(source)})
    const clock = { now: () => ${clock.now()}, elapsed: () => 0 }, commits = ${commits}
    let store, heard = 0
    try { store = openEmbeddedStore({ file: ${JSON.stringify(file)}, clock, ephemeral: false }) } catch (error) { console.log('fault', error.code, error.message); process.exit(1) }
    store.subscribe({ heard: async () => { heard++; return {} } })
    await Promise.all(commits.map(commit => store.commitRestrictive(commit)))
    ${then}`
}

async function said(child: ChildProcess, word: string): Promise<void> {
  let heard = ''
  for await (const part of child.stdout ?? []) {
    heard += String(part)
    if (heard.includes(word)) return
  }
  throw new Error(`the child said: ${heard}`)
}
