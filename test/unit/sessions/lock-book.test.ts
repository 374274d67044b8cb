// Which of two words about a lock is the newer one: versions say so, not the clocks of the gateways that brought them. SPEC: ENF8, STO16
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { Lock, LockEffect, LockId, Selector } from '../../../src/core/anchor.ts'
import { instant } from '../../../src/core/time.ts'
import { LockBook } from '../../../src/sessions/lock-book.ts'
import type { Page, SessionStore } from '../../../src/sessions/store.ts'
import { NOW } from '../core/world.ts'
import { World } from './world.ts'

const BOB: Selector = { kind: 'subject', value: 'bob' }
const lock = (version: number, since: number, changes: Partial<Lock> = {}): Lock =>
  ({ record: 'lock', id: 'lck_1' as LockId, selector: BOB, version, state: 'set', effect: 'deny', reason: 'locked', note: '', by: '', since: instant(NOW + since), until: null, ...changes }) // a word of the test
const lifted = (version: number, since: number): Lock => lock(version, since, { state: 'lifted' })

/** A store that has these locks, read when the test lets it. */
function reading(...records: readonly Lock[]): { readonly book: LockBook; readonly go: () => void } {
  const { promise, resolve } = Promise.withResolvers<void>()
  const list = (): Promise<Page> => promise.then(() => ({ records, next: null }))
  return { book: new LockBook({ list } as Partial<SessionStore> as SessionStore), go: resolve } // nothing else is asked of it
}
const book = (...taken: readonly Lock[]): LockBook => {
  const { book } = reading()
  for (const each of taken) book.take(each)
  return book
}
const known = (of: LockBook): string => [of.find(BOB)].map(found => (found === null ? 'none' : `${found.effect} ${found.version}`)).join('')

test('[ENF8] a stronger lock counts though the clock of its gateway is behind that of the one before', () => {
  expect(known(book(lock(1, 100, { effect: 'baseline' }), lock(2, 40)))).toBe('deny 2')
})

test('[ENF8, STO16] a lock that was lifted and set again is not lifted by the older word, nor made weaker, whatever the clocks say', () => {
  const before = [lock(1, 500, { effect: 'baseline' }), lifted(2, 900), lock(2, 900, { effect: 'freeze' })]
  for (const older of before) expect([known(book(lock(3, 100), older)), known(book(lock(3, 900), older))], older.state).toEqual(['deny 3', 'deny 3'])
})

test('[ENF8, STO16] nor where the older word comes while the newer is read', async () => {
  const { book, go } = reading(lock(3, 100))
  const read = book.read()
  await new Promise(setImmediate)
  book.take(lifted(2, 900))
  go()
  await read
  expect(known(book)).toBe('deny 3')
})

test('[ENF8, STO16] of cut-offs those that were read count, but for what was told of them meanwhile, and then what is told', async () => {
  const cutOff = (version: number, value: string, state: Lock['state'] = 'set'): Lock => lock(version, 0, { selector: { kind: 'issuedBefore', value }, state })
  const { book, go } = reading(cutOff(1, `${NOW} ann`), cutOff(1, `${NOW} bob`), lock(1, 0))
  const subjects = (): readonly (string | null)[] => [...book.index.issuedBefore.keys()]
  book.take(cutOff(1, `${NOW} forgotten`))
  expect(subjects()).toEqual(['forgotten'])
  const read = book.read()
  await new Promise(setImmediate)
  book.take(cutOff(2, `${NOW} ann`, 'lifted'))
  go()
  await read
  expect([subjects(), book.index.size]).toEqual([['bob'], 2])
  book.take(cutOff(1, `${NOW} carl`))
  book.take(cutOff(2, `${NOW} bob`, 'lifted'))
  expect([subjects(), book.index.size]).toEqual([['carl'], 2])
})

test('[ENF8, STO16] where a lock has run out its versions begin anew: the next one counts from its first word on', () => {
  const over = lock(5, 0, { until: instant(NOW + 1_000), effect: 'baseline' })
  expect(known(book(over, lock(1, 1_000)))).toBe('deny 1')
  expect(known(book(over, lock(1, 1_500), lifted(2, 1_600)))).toBe('none')
  expect(known(book(over, lifted(6, 500), lock(7, 400)))).toBe('deny 7')
})

test('[ENF8, STO16] whatever the clocks say: read or heard, in order or after the newest, the last word stands', () => {
  const word = fc.record({ since: fc.nat(1_000), effect: fc.constantFrom<LockEffect>('deny', 'freeze', 'baseline'), isLifted: fc.boolean() })
  fc.assert(fc.property(fc.array(word, { minLength: 1, maxLength: 6 }), fc.nat(5), (words, again) => {
    const history = words.map(({ since, effect, isLifted }, i) => lock(i + 1, since, { effect, state: isLifted ? 'lifted' : 'set' }))
    const last = history.at(-1) ?? lock(1, 0)
    const told = book(...history)
    if (last.state === 'set') for (const late of history.slice(0, again)) told.take(late)
    expect(known(told)).toBe(last.state === 'lifted' ? 'none' : `${last.effect} ${last.version}`)
  }))
})

test('[ENF8, STO10] a lifted lock is kept a day, and one that is set again goes on from its version', async () => {
  const world = await World.start()
  await world.lock('bob')
  await world.ledger.applyToLock(BOB, { kind: 'lock.lifted', id: 'sig_lift' as never, by: 'operator', note: '' }) // a word of the test
  world.clock.pass(86_399_000)
  await world.store.prune(world.clock.now())
  expect((await world.lock('bob')).record).toMatchObject({ version: 3, state: 'set' })
  await world.close()
})
