// Restrictive news that is in force here from memory because the store did not take it. It is written down before it is acknowledged, paid in order
// before anything new is given, and folded into every record that comes without it. SPEC: ENF9, STO1, STO7
import { type RecordRef, refName, refOfRecord, type StoredRecord } from '../core/record.ts'
import type { Signal } from '../core/signal.ts'
import type { Instant } from '../core/time.ts'
import type { Journal } from './journal.ts'
import type { Journaled } from './journal/entries.ts'
import { stepOf } from './news.ts'
import { StoreFault } from './store-fault.ts'

type Debt = Journaled & { readonly operation: string }

const OWED_MAX = 10_000
const PAID_EVERY = 1_000

export const operationOf = (ref: RecordRef, news: Signal): string => `${news.id}:${refName(ref)}`

export class Debts {
  /** null where nothing outlives the process. */
  readonly #journal: Journal | null
  readonly #pay: (debt: Journaled) => Promise<unknown>
  #owed: Debt[] = []
  readonly #byRecord = new Map<string, number>()
  #timer: NodeJS.Timeout | null = null
  #payment: Promise<void> | null = null
  /** Hears of news that found no place. */
  onFull: () => void = () => {}

  /** @param pay has the store take it as of when it was enforced; rejects while the store does not */
  constructor(journal: Journal | null, pay: (debt: Journaled) => Promise<unknown>) {
    this.#journal = journal
    this.#pay = pay
  }

  get size(): number { return this.#owed.length }

  /** Is there room for one more? */
  get hasRoom(): boolean {
    if (this.#owed.length < OWED_MAX) return true
    this.onFull()
    return false
  }

  /** From here on it is owed; resolves when it is written down. */
  async owe(ref: RecordRef, news: Signal, at: Instant): Promise<void> {
    this.#add({ ref, news, at, operation: operationOf(ref, news) })
    await this.#journal?.write({ ref, news, at }, true)
  }

  /** What an earlier run still owed. */
  inherit(owed: readonly Journaled[]): void {
    for (const { ref, news, at } of owed) this.#add({ ref, news, at, operation: operationOf(ref, news) })
  }

  /** The record as it is in force here: a store that lacks an end must not bring back what it ended. */
  amended<R extends StoredRecord>(record: R): R {
    if (this.#owed.length === 0 || !this.#byRecord.has(refName(refOfRecord(record)))) return record
    const name = refName(refOfRecord(record))
    let amended: StoredRecord = record
    for (const { ref, news, at } of this.#owed) if (refName(ref) === name) amended = stepOf(ref, news)(amended, at).record ?? amended
    return amended as R // news keeps the kind of the record it is about
  }

  /** @throws StoreFault while the store does not take what is owed */
  async settle(): Promise<void> {
    if (this.#owed.length === 0) return
    await this.pay()
    if (this.#owed.length > 0) throw new StoreFault('failed', 'the store still lacks ends that are in force; it takes nothing new before them')
  }

  /** One payment at a time, in order, until the store fails again. Never rejects. */
  pay(): Promise<void> {
    this.#payment ??= this.#payAll().finally(() => (this.#payment = null))
    return this.#payment
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #add(debt: Debt): void {
    this.#owed.push(debt)
    this.#count(debt, 1)
    this.#timer ??= setInterval(() => void this.pay(), PAID_EVERY).unref()
  }

  #count({ ref }: Debt, by: number): void {
    const name = refName(ref)
    const left = (this.#byRecord.get(name) ?? 0) + by
    if (left === 0) this.#byRecord.delete(name)
    else this.#byRecord.set(name, left)
  }

  async #payAll(): Promise<void> {
    for (let first = this.#owed[0]; first !== undefined; first = this.#owed[0]) {
      if (await this.#pay(first).then(() => false, () => true)) return
      this.#owed.shift()
      this.#count(first, -1)
      this.#journal?.paid(first.operation)
    }
    this.stop()
  }
}
