// What this process and those before it on the same file said of something that is pooled: a part each, until its time is over. Where there are too many,
// those that run out first make way: each is said again by whoever still knows it. Never read for a decision. SPEC: STO20
import type { Instant } from '../../core/time.ts'
import { PARTS_OF_NAME } from '../parts.ts'
import type { Part } from '../store.ts'
import type { Statements } from './statements.ts'

export class Pooled {
  readonly #statements: Statements
  /** One for each opening of the file. */
  readonly #member: string
  readonly #most: number
  #count: number

  /** @param most parts there may be, of all names */
  constructor(statements: Statements, member: string, most: number) {
    this.#statements = statements
    this.#member = member
    this.#most = most
    this.#count = statements.get('SELECT count(*) AS n FROM parts')?.integer('n') ?? 0
  }

  pool(parts: readonly Part[], now: Instant): readonly (readonly string[])[] {
    const { told, more } = this.#statements.transaction(() => {
      let rows = 0
      const texts = parts.map(part => {
        rows += this.#say(part)
        rows -= this.#makeWay(this.#count + rows - this.#most)
        return this.#texts(part.name, now)
      })
      return { told: texts, more: rows }
    })
    this.#count += more
    return told
  }

  /** Forgets up to `limit` whose time is over. */
  prune(now: Instant, limit: number): void {
    this.#count -= this.#statements.run('DELETE FROM parts WHERE id IN (SELECT id FROM parts WHERE forget_at <= ? ORDER BY forget_at LIMIT ?)', now, limit)
  }

  /** @returns how many rows there are more */
  #say({ name, text, forgetAt }: Part): number {
    if (text === '' || this.#statements.run('UPDATE parts SET text = ?, forget_at = ? WHERE name = ? AND member = ?', text, forgetAt, name, this.#member) > 0) return 0
    this.#statements.run('INSERT INTO parts (name, member, text, forget_at) VALUES (?, ?, ?, ?)', name, this.#member, text, forgetAt)
    return 1 - this.#statements.run('DELETE FROM parts WHERE id IN (SELECT id FROM parts WHERE name = ? ORDER BY member = ? DESC, forget_at DESC LIMIT -1 OFFSET ?)', name, this.#member, PARTS_OF_NAME)
  }

  /** @returns how many went */
  #makeWay(count: number): number {
    return count > 0 ? this.#statements.run('DELETE FROM parts WHERE id IN (SELECT id FROM parts ORDER BY forget_at LIMIT ?)', count) : 0
  }

  #texts(name: string, now: Instant): readonly string[] {
    return this.#statements.all('SELECT text FROM parts WHERE name = ? AND forget_at > ?', name, now).map(row => row.text('text'))
  }
}
