// What waits under a name until somebody has it, in its order, and the ids of what waited: none is put twice within a day. Decides nothing. SPEC: STO21
import { type Instant, instant } from '../../core/time.ts'
import { ANSWER_BYTES, assertCount, assertItem, assertSkip, ID_KEPT, ITEMS_AT_ONCE } from '../items.ts'
import type { Item, Waiting } from '../store.ts'
import type { Statements } from './statements.ts'

export class Queues {
  readonly #statements: Statements
  /** Of each queue that is not empty: the file has one owner. */
  readonly #lengths: Map<string, number>

  constructor(statements: Statements) {
    this.#statements = statements
    this.#lengths = new Map(statements.all('SELECT name, count(*) AS n FROM queued GROUP BY name').map(row => [row.text('name'), row.integer('n')]))
  }

  enqueue(name: string, item: Item, limit: number, now: Instant): 'queued' | 'again' | 'full' {
    assertItem(name, item, limit)
    this.#giveUp(name, now)
    const { id, text, forgetAt } = item
    if (this.#statements.get('SELECT 1 FROM queued WHERE name = ? AND id = ?', name, id) !== null) return 'again'
    if (this.#statements.get('SELECT 1 FROM dequeued WHERE name = ? AND id = ? AND forget_at > ?', name, id, now) !== null) return 'again'
    if (this.#length(name) >= limit) return 'full'
    this.#moved(name, this.#statements.run('INSERT INTO queued (name, id, text, forget_at) VALUES (?, ?, ?, ?)', name, id, text, forgetAt))
    return 'queued'
  }

  waiting(name: string, limit: number, skip: number, now: Instant): Waiting {
    assertCount(name, limit, 1)
    assertSkip(skip)
    this.#giveUp(name, now)
    const items: Item[] = []
    let bytes = 0
    for (const row of this.#statements.all('SELECT id, text, forget_at FROM queued WHERE name = ? ORDER BY place LIMIT ? OFFSET ?', name, limit, skip)) {
      const text = row.text('text')
      bytes += Buffer.byteLength(text)
      if (items.length > 0 && bytes > ANSWER_BYTES) break
      items.push({ id: row.text('id'), text, forgetAt: instant(row.integer('forget_at')) })
    }
    return { items, length: this.#length(name) }
  }

  dequeue(name: string, ids: readonly string[], now: Instant): void {
    assertCount(name, ids.length, 0)
    const gone = this.#statements.transaction(() => ids.filter(id => {
      const there = this.#statements.run('DELETE FROM queued WHERE name = ? AND id = ?', name, id) > 0
      if (there) this.#remember(name, id, now)
      return there
    }))
    this.#moved(name, -gone.length)
  }

  /** Forgets up to `limit` of each whose time is over. */
  prune(now: Instant, limit: number): void {
    for (const row of this.#statements.all('SELECT DISTINCT name FROM (SELECT name FROM queued WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)', now, limit)) this.#giveUp(row.text('name'), now)
    this.#statements.run('DELETE FROM dequeued WHERE place IN (SELECT place FROM dequeued WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)', now, limit)
  }

  #length(name: string): number { return this.#lengths.get(name) ?? 0 }

  #moved(name: string, by: number): void {
    const length = this.#length(name) + by
    if (length > 0) this.#lengths.set(name, length)
    else this.#lengths.delete(name)
  }

  /** What is past its time, a bounded piece of it. */
  #giveUp(name: string, now: Instant): void {
    const gone = this.#statements.transaction(() => {
      const ids = this.#statements.all('DELETE FROM queued WHERE place IN (SELECT place FROM queued WHERE forget_at <= ? AND name = ? ORDER BY forget_at LIMIT ?) RETURNING id', now, name, ITEMS_AT_ONCE).map(row => row.text('id'))
      for (const id of ids) this.#remember(name, id, now)
      return ids
    })
    this.#moved(name, -gone.length)
  }

  #remember(name: string, id: string, now: Instant): void {
    this.#statements.run('INSERT INTO dequeued (name, id, forget_at) VALUES (?, ?, ?) ON CONFLICT (name, id) DO UPDATE SET forget_at = excluded.forget_at', name, id, now + ID_KEPT)
  }
}
