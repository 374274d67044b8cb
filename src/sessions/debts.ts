// Restrictive news that is in force here from memory because the store did not take it. It is written down before it is acknowledged, paid in the order
// of its record before anything new is given to it, and folded into every record that comes without it. SPEC: ENF9, STO1, STO7, STO19
import { type RecordRef, refName, refOfRecord, type StoredRecord } from '../core/record.ts'
import type { Signal } from '../core/signal.ts'
import type { Journal } from './journal.ts'
import type { Journaled } from './journal/entries.ts'
import { stepOf } from './news.ts'
import { isUnreachable, StoreFault } from './store-fault.ts'

/** `taken`: the store has it; what this gateway knows of the record is still to be read again. */
type Debt = Journaled & { readonly operation: string; readonly name: string; taken: boolean }

type Ports = {
  /** null where nothing outlives the process. */
  readonly journal: Journal | null
  /** Has the store take it as of when it was enforced; rejects while the store does not. */
  readonly pay: (debt: Journaled) => Promise<unknown>
  /** The record is as the store has it from here on: what is known of it is read again. */
  readonly settled: (ref: RecordRef) => Promise<unknown>
  /** The store answers and does not take it. */
  readonly stuck: (debt: Journaled, cause: unknown) => void
}

const OWED_MAX = 10_000
const PAID_EVERY = 1_000

export const operationOf = (ref: RecordRef, news: Signal): string => `${news.id}:${refName(ref)}`

export class Debts {
  readonly #ports: Ports
  #owed: Debt[] = []
  readonly #byRecord = new Map<string, number>()
  #timer: NodeJS.Timeout | null = null
  #payment: Promise<void> | null = null
  #outOfReach = false
  /** Hears of news that found no place. */
  onFull: () => void = () => {}

  constructor(ports: Ports) {
    this.#ports = ports
  }

  get size(): number { return this.#owed.length }
  has(ref: RecordRef): boolean { return this.#owed.length > 0 && this.#byRecord.has(refName(ref)) }

  /** That very news of it, by whoever brought it again. */
  owes(ref: RecordRef, news: Signal): boolean {
    const operation = operationOf(ref, news)
    return this.has(ref) && this.#owed.some(debt => debt.operation === operation)
  }

  /** Is there room for one more? Half of it is kept from news whose sender brings it again: ends need it. */
  hasRoomFor({ kind }: RecordRef): boolean {
    if (this.#owed.length < (kind === 'event' ? OWED_MAX / 2 : OWED_MAX)) return true
    this.onFull()
    return false
  }

  /** From here on it is owed; resolves when it is written down. */
  async owe(news: Journaled): Promise<void> {
    this.#add(news)
    await this.#ports.journal?.write(news, true)
  }

  /** What an earlier run still owed. */
  inherit(owed: readonly Journaled[]): void {
    for (const news of owed) this.#add(news)
  }

  /** The record as it is in force here: a store that lacks an end must not bring back what it ended. */
  amended<R extends StoredRecord>(record: R): R {
    const ref = refOfRecord(record)
    if (!this.has(ref)) return record
    const name = refName(ref)
    let amended: StoredRecord = record
    for (const debt of this.#owed) if (debt.name === name) amended = stepOf(ref, debt.news)(amended, debt.at).record ?? amended
    return { ...amended, version: record.version } as R // news keeps the kind of the record it is about; its version stays the store's
  }

  /**
   * What is owed comes first.
   * @param ref nothing may be decided on this record while an end of it is owed; null for none in particular
   * @throws StoreFault while the store does not answer, or does not take what is owed of that record
   */
  async settle(ref: RecordRef | null): Promise<void> {
    if (this.#owed.length === 0) return
    await this.pay()
    if (this.#outOfReach) throw new StoreFault('unreachable', 'the store still lacks ends that are in force; it takes nothing new before them')
    if (ref !== null && this.has(ref)) throw new StoreFault('failed', 'the store does not take an end of this record that is in force; it takes nothing else of it')
  }

  /** One payment at a time: each record's debts in order, until the store does not answer. Never rejects. */
  pay(): Promise<void> {
    this.#payment ??= this.#payAll().finally(() => (this.#payment = null))
    return this.#payment
  }

  stop(): void {
    if (this.#timer !== null) clearInterval(this.#timer)
    this.#timer = null
  }

  #add(news: Journaled): void {
    const name = refName(news.ref)
    this.#owed.push({ ...news, name, operation: operationOf(news.ref, news.news), taken: false })
    this.#byRecord.set(name, (this.#byRecord.get(name) ?? 0) + 1)
    this.#timer ??= setInterval(() => void this.pay(), PAID_EVERY).unref()
  }

  async #payAll(): Promise<void> {
    this.#outOfReach = false
    const stuck = new Set<string>()
    for (const debt of this.#owed) { // what is owed meanwhile is paid as well; what is paid leaves a copy
      if (stuck.has(debt.name)) continue
      try {
        await this.#payOne(debt)
      } catch (error) {
        this.#outOfReach = isUnreachable(error)
        if (this.#outOfReach) return
        stuck.add(debt.name)
        this.#ports.stuck(debt, error)
      }
    }
    if (this.#owed.length === 0) this.stop()
  }

  async #payOne(debt: Debt): Promise<void> {
    if (!debt.taken) {
      await this.#ports.pay(debt)
      debt.taken = true
      this.#ports.journal?.paid(debt.operation)
    }
    const left = (this.#byRecord.get(debt.name) ?? 1) - 1
    this.#remove(debt, left)
    if (left > 0) return
    await this.#ports.settled(debt.ref).catch((error: unknown) => {
      this.#byRecord.set(debt.name, (this.#byRecord.get(debt.name) ?? 0) + 1)
      this.#owed.unshift(debt)
      throw error
    })
  }

  #remove(debt: Debt, left: number): void {
    this.#owed = this.#owed.filter(other => other !== debt)
    if (left === 0) this.#byRecord.delete(debt.name)
    else this.#byRecord.set(debt.name, left)
  }
}
