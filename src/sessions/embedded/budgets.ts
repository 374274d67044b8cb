// Counters that are taken from, and marks that are made once: exact, in the store's own file, until their time is over.
// Never gives what it could not remember. SPEC: STO12
import type { Instant } from '../../core/time.ts'
import type { Taking } from '../store.ts'
import { StoreFull } from '../store-fault.ts'
import type { Statements } from './statements.ts'
import { FORGOTTEN_PER_COMMIT } from './tables.ts'

/** `takings` counts the requests remembered over all counters, so that there are never more counters than that either. */
export type BudgetLimits = { readonly takings: number; readonly marks: number }

const FORGETTABLE = {
  counters: 'DELETE FROM counters WHERE name IN (SELECT name FROM counters WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)',
  takings: 'DELETE FROM takings WHERE (counter, request) IN (SELECT counter, request FROM takings WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)',
  marks: 'DELETE FROM marks WHERE digest IN (SELECT digest FROM marks WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)',
} as const

/** How long a request is known, in milliseconds; the count itself is kept for as long as its taker says. */
const TAKING_KEPT = 3_600_000

function assertAmount(what: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) throw new RangeError(`${what} is a whole number from 0, not ${value}`)
}

export class Budgets {
  readonly #statements: Statements
  readonly #limits: BudgetLimits
  #takings: number
  #marks: number

  constructor(statements: Statements, limits: BudgetLimits) {
    this.#statements = statements
    this.#limits = limits
    this.#takings = statements.get('SELECT count(*) AS n FROM takings')?.integer('n') ?? 0
    this.#marks = statements.get('SELECT count(*) AS n FROM marks')?.integer('n') ?? 0
  }

  /** A request asked again is told what it got, less what it gave back since; one that got nothing is not known. What may be forgotten already gives nothing. @throws RangeError, StoreFull */
  take({ counter, request, amount, limit, forgetAt }: Taking, now: Instant): number {
    assertAmount('an amount', amount)
    assertAmount('a limit', limit)
    const holds = this.#statements.get('SELECT holds FROM takings WHERE counter = ? AND request = ? AND forget_at > ?', counter, request, now)?.integer('holds') ?? null
    if (holds !== null) return holds
    if (forgetAt <= now) return 0
    const free = Math.min(amount, limit - this.taken(counter, now))
    if (free <= 0) return 0 // nothing was taken: else whoever is refused would fill the memory that everybody's takings need
    const { given, more } = this.#statements.transaction(() => {
      const rows = -this.#forget('takings', now, FORGOTTEN_PER_COMMIT)
      this.#forget('counters', now, FORGOTTEN_PER_COMMIT)
      if (this.#takings + rows >= this.#limits.takings) throw new StoreFull(`${this.#takings} takings are remembered; the limit is ${this.#limits.takings}`)
      this.#statements.run(
        'INSERT INTO counters VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET taken = excluded.taken, forget_at = max(forget_at, excluded.forget_at)', counter, this.taken(counter, now) + free, forgetAt,
      )
      const replaced = this.#statements.run('DELETE FROM takings WHERE counter = ? AND request = ?', counter, request)
      this.#statements.run('INSERT INTO takings VALUES (?, ?, ?, 0, ?)', counter, request, free, Math.min(forgetAt, now + TAKING_KEPT))
      return { given: free, more: rows + 1 - replaced }
    })
    this.#takings += more
    return given
  }

  /** A request gives back once, at most what it got; said again, or of a request that is not known, it changes nothing. @throws RangeError */
  give(counter: string, request: string, amount: number, now: Instant): void {
    assertAmount('an amount', amount)
    this.#statements.transaction(() => {
      const holds = this.#statements.get('SELECT holds FROM takings WHERE counter = ? AND request = ? AND returned = 0 AND forget_at > ?', counter, request, now)?.integer('holds') ?? 0
      const back = Math.min(amount, holds)
      if (back === 0) return
      this.#statements.run('UPDATE takings SET holds = ?, returned = 1 WHERE counter = ? AND request = ?', holds - back, counter, request)
      this.#statements.run('UPDATE counters SET taken = taken - ? WHERE name = ?', back, counter)
    })
  }

  taken(counter: string, now: Instant): number {
    return this.#statements.get('SELECT taken FROM counters WHERE name = ? AND forget_at > ?', counter, now)?.integer('taken') ?? 0
  }

  /** What may be forgotten already counts as seen. @throws StoreFull */
  mark(digest: string, forgetAt: Instant, now: Instant): 'first' | 'again' {
    if (forgetAt <= now || this.#statements.get('SELECT 1 FROM marks WHERE digest = ? AND forget_at > ?', digest, now) !== null) return 'again'
    this.#marks += this.#statements.transaction(() => {
      const rows = -this.#forget('marks', now, FORGOTTEN_PER_COMMIT)
      if (this.#marks + rows >= this.#limits.marks) throw new StoreFull(`${this.#marks} marks are remembered; the limit is ${this.#limits.marks}`)
      const replaced = this.#statements.run('DELETE FROM marks WHERE digest = ?', digest)
      this.#statements.run('INSERT INTO marks VALUES (?, ?)', digest, forgetAt)
      return rows + 1 - replaced
    })
    return 'first'
  }

  /** Forgets up to `limit` of each kind whose time is over. */
  prune(now: Instant, limit: number): void {
    const { takings, marks } = this.#statements.transaction(() => {
      this.#forget('counters', now, limit)
      return { takings: this.#forget('takings', now, limit), marks: this.#forget('marks', now, limit) }
    })
    this.#takings -= takings
    this.#marks -= marks
  }

  #forget(table: keyof typeof FORGETTABLE, now: Instant, limit: number): number {
    return this.#statements.run(FORGETTABLE[table], now, limit)
  }
}

/** The share of the one member there is: all it wants, within the limit. @throws RangeError */
export function wholeShare(wanted: number, limit: number): number {
  assertAmount('what is wanted', wanted)
  assertAmount('a limit', limit)
  return Math.min(wanted, limit)
}
