// What is owed to a store: written down first, paid in the order of its record, once, by one at a time; what can not be paid holds up nothing else.
// The store is whatever the test says it is. SPEC: ENF9, STO1, STO7, STO19
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest'
import { type RecordRef, sessionRef } from '../../../src/core/record.ts'
import type { SessionNews } from '../../../src/core/signal.ts'
import { newSignalId } from '../../../src/runtime/id.ts'
import { Debts, operationOf } from '../../../src/sessions/debts.ts'
import { Journal } from '../../../src/sessions/journal.ts'
import type { Journaled } from '../../../src/sessions/journal/entries.ts'
import { StoreFault } from '../../../src/sessions/store-fault.ts'
import { NOW, SESSION } from '../core/world.ts'
import { keyOf } from './world.ts'

const END: SessionNews = { kind: 'session.terminated', reason: 'revoked' }
const FREEZE: SessionNews = { kind: 'session.frozen', until: null }
const NARROW: SessionNews = { kind: 'session.narrowed', to: 'baseline', elevations: [] }
const AWAY = (): StoreFault => new StoreFault('unreachable', 'nobody answers')
const FORGED = (): StoreFault => new StoreFault('forged', 'somebody else wrote it')

const refOf = (name: string): RecordRef => sessionRef(keyOf(name))
const owing = (name: string, news: SessionNews = END): Journaled => ({ ref: refOf(name), news: { id: newSignalId(), by: 'operator', note: '', ...news }, at: NOW, record: null })
const told = ({ ref, news }: Journaled): string => `${ref.name} ${news.kind}`

/** The store's side: what it took, in order, and what it does when it is paid or read. */
class Till {
  readonly taken: string[] = []
  readonly read: string[] = []
  readonly stuck: string[] = []
  onPay: (debt: Journaled) => void | Promise<void> = () => {}
  onRead: (ref: RecordRef) => void | Promise<void> = () => {}
  readonly debts: Debts

  constructor(journal: Journal | null = null) {
    this.debts = new Debts({
      journal,
      pay: async debt => {
        await this.onPay(debt)
        this.taken.push(told(debt))
      },
      settled: async ref => {
        await this.onRead(ref)
        this.read.push(ref.name)
      },
      stuck: debt => void this.stuck.push(told(debt)),
    })
  }
}

let till: Till
let debts: Debts
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  till = new Till()
  debts = till.debts
})
afterEach(() => {
  debts.stop()
  vi.useRealTimers()
})

test('[ENF9, STO1] they are paid in order, and a record is read again when the last of it is paid', async () => {
  for (const owed of [owing('a', NARROW), owing('b'), owing('a')]) await debts.owe(owed)
  await debts.pay()
  expect(till.taken).toEqual(['key_a session.narrowed', 'key_b session.terminated', 'key_a session.terminated'])
  expect([till.read, debts.size, debts.has(refOf('a'))]).toEqual([['key_b', 'key_a'], 0, false])
})

test('[ENF9] by themselves, again and again, until they are; then nothing is left that asks', async () => {
  let asked = 0
  till.onPay = () => { if (++asked < 3) throw AWAY() }
  await debts.owe(owing('a'))
  for (let i = 0; i < 5; i++) await vi.advanceTimersByTimeAsync(1_000)
  expect([asked, till.taken, debts.size, vi.getTimerCount()]).toEqual([3, ['key_a session.terminated'], 0, 0])
})

test('[ENF9] a store that is away is asked once; it gets nothing new before what it lacks', async () => {
  let asked = 0
  till.onPay = () => {
    asked++
    throw AWAY()
  }
  for (const name of ['a', 'b', 'c']) await debts.owe(owing(name))
  await debts.pay()
  expect([asked, till.stuck]).toEqual([1, []])
  for (const ref of [null, refOf('a'), refOf('other')]) await expect(debts.settle(ref)).rejects.toMatchObject({ code: 'unreachable' })
  expect(asked).toBe(4)
})

test('[ENF9, STO18] one that the store answers and does not take holds up what else is owed of its record, and nothing of any other', async () => {
  till.onPay = ({ ref, news }) => { if (ref.name === keyOf('a') && news.kind === 'session.narrowed') throw FORGED() }
  for (const owed of [owing('a', NARROW), owing('b'), owing('a'), owing('c')]) await debts.owe(owed)
  await debts.settle(null)
  await debts.settle(refOf('b'))
  expect([till.taken, till.read, debts.size]).toEqual([['key_b session.terminated', 'key_c session.terminated'], ['key_b', 'key_c'], 2])
  await expect(debts.settle(refOf('a'))).rejects.toMatchObject({ code: 'failed' })
  expect(new Set(till.stuck)).toEqual(new Set(['key_a session.narrowed']))
  till.onPay = () => {}
  await debts.settle(refOf('a'))
  expect([till.taken.slice(2), debts.size]).toEqual([['key_a session.narrowed', 'key_a session.terminated'], 0])
})

test('[ENF9, STO16] one that was taken is not paid again when its record can not be read; until it is, nothing is decided on it', async () => {
  const faults = [AWAY(), FORGED()]
  till.onRead = () => { for (const fault of faults.splice(0, 1)) throw fault }
  await debts.owe(owing('a'))
  for (const code of ['unreachable', 'failed']) {
    await expect(debts.settle(refOf('a'))).rejects.toMatchObject({ code })
    expect([till.taken.length, debts.size, debts.has(refOf('a'))]).toEqual([1, 1, true])
  }
  await debts.settle(refOf('a'))
  expect([till.taken.length, till.read, debts.size, debts.has(refOf('a'))]).toEqual([1, ['key_a'], 0, false])
})

test('[ENF9, STO16] a record that comes without them is read as if they were in it, in their order and as of then; any other as it is', async () => {
  const session = { ...SESSION, key: keyOf('a'), version: 7 }
  for (const owed of [owing('a', FREEZE), owing('b', NARROW), owing('a')]) await debts.owe(owed)
  expect(debts.amended(session)).toMatchObject({ state: { is: 'revoked', at: NOW, reason: 'revoked' }, notBefore: NOW })
  expect(debts.amended({ ...session, key: keyOf('b') })).toMatchObject({ state: { is: 'live' }, cap: { is: 'baseline' } })
  const other = { ...session, key: keyOf('c') }
  expect(debts.amended(other)).toBe(other)
  await debts.pay()
  expect(debts.amended(session)).toBe(session)
})

test('[ENF9] one payment at a time, whoever asks; what is owed meanwhile comes with it or with the next', async () => {
  let [running, most] = [0, 0]
  till.onPay = async () => {
    most = Math.max(most, ++running)
    await new Promise(setImmediate)
    running--
  }
  await debts.owe(owing('a'))
  const both = [debts.pay(), debts.settle(null)]
  await debts.owe(owing('b'))
  await Promise.all([...both, debts.pay(), debts.pay()])
  await debts.pay()
  expect([most, till.taken, debts.size]).toEqual([1, ['key_a session.terminated', 'key_b session.terminated'], 0])
})

test('[ENF9, STO7] they are bounded, and who finds no place hears of it', async () => {
  let full = 0
  debts.onFull = () => void full++
  debts.inherit(Array.from({ length: 9_999 }, (_, i) => owing(`k${i}`)))
  expect([debts.hasRoomFor(refOf('a')), full]).toEqual([true, 0])
  expect(debts.hasRoomFor({ kind: 'event', name: 'idp/1' })).toBe(false) // its sender brings it again; ends nobody does
  full = 0
  await debts.owe(owing('last'))
  expect([debts.hasRoomFor(refOf('a')), full, debts.size]).toEqual([false, 1, 10_000])
})

test('[STO7, STO19] each is on the disk when it is owed, and struck off when the store has it; what an earlier run owed comes first', async () => {
  vi.useRealTimers()
  const directory = mkdtempSync(join(tmpdir(), 'narrowgate-debts-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const journal = await Journal.open(join(directory, 'journal'), () => NOW)
  const indebted = new Till(journal)
  onTestFinished(() => indebted.debts.stop())
  const [first, second] = [owing('a'), owing('b')]
  await journal.write(first, true)
  indebted.debts.inherit(journal.owed)
  await indebted.debts.owe(second)
  expect(journal.owed.map(({ ref, news }) => operationOf(ref, news))).toEqual([first, second].map(({ ref, news }) => operationOf(ref, news)))
  indebted.onPay = ({ ref }) => { if (ref.name === keyOf('b')) throw AWAY() }
  await indebted.debts.pay()
  await journal.close()
  const reopened = await Journal.open(join(directory, 'journal'), () => NOW)
  expect([indebted.taken, reopened.owed.map(told), reopened.recent.map(told)]).toEqual([['key_a session.terminated'], ['key_b session.terminated'], ['key_a session.terminated']])
  await reopened.close()
})

test('[ENF9, STO1] whatever fails and when, each is taken once, in the order of its record, and in the end all are', async () => {
  const run = fc.record({ names: fc.array(fc.constantFrom('a', 'b', 'c'), { minLength: 1, maxLength: 12 }), faults: fc.array(fc.constantFrom('away', 'forged', 'unread', 'fine'), { maxLength: 20 }) })
  await fc.assert(fc.asyncProperty(run, async ({ names, faults }) => {
    const each = new Till()
    const left = [...faults]
    const meets = (...kinds: readonly string[]): void => {
      const fault = left.shift() ?? 'fine'
      if (kinds.includes(fault)) throw fault === 'forged' ? FORGED() : AWAY()
    }
    each.onPay = () => meets('away', 'forged')
    each.onRead = () => meets('unread', 'forged')
    const owed = names.map((name, i) => owing(name, i % 2 === 0 ? FREEZE : NARROW))
    for (const one of owed) await each.debts.owe(one)
    for (let i = 0; each.debts.size > 0; i++) {
      expect(i).toBeLessThanOrEqual(faults.length + 1)
      await each.debts.pay()
    }
    each.debts.stop()
    for (const name of new Set(names)) {
      const of = (all: readonly string[]): readonly string[] => all.filter(text => text.startsWith(`${keyOf(name)} `))
      expect(of(each.taken)).toEqual(of(owed.map(told)))
      expect([each.debts.has(refOf(name)), each.read.includes(refOf(name).name)]).toEqual([false, true])
    }
  }), { numRuns: 200 })
})
