// Tells the one watcher of every commit, in order, in the turn of the commit, and remembers for a while what came of it.
// A watcher that fails never breaks the store: what it cut is then unknown, and said to be. SPEC: STO6
import type { Selector } from '../../core/anchor.ts'
import type { Announcement, Enforcement, Position, Survey, Tally, Watcher } from '../store.ts'

/** Positions whose enforcement is remembered. */
export const REMEMBERED_POSITIONS = 1_000

const NO_TALLY: Tally = { continued: 0, regranted: 0, narrowed: 0, frozen: 0, cut: 0 }
const enforcedWith = (exchanges: Tally): Enforcement => ({ gateways: { total: 1, acknowledged: 1, expired: 0 }, exchanges, exchangesUnknown: 0 })
const UNKNOWN: Enforcement = { gateways: { total: 1, acknowledged: 0, expired: 0 }, exchanges: NO_TALLY, exchangesUnknown: 1 }

export class Announcer {
  readonly #epoch: string
  #watcher: Watcher | null = null
  readonly #pending: Announcement[] = []
  #telling = false
  readonly #enforcements = new Map<number, Promise<Enforcement>>()
  readonly #unsettled = new Set<number>()
  /** The newest position that was forgotten before its enforcement was known. */
  #lostUpTo = 0

  constructor(epoch: string) {
    this.#epoch = epoch
  }

  subscribe(watcher: Watcher): void {
    if (this.#watcher !== null) throw new TypeError('the store has its one watcher already')
    this.#watcher = watcher
  }

  /** A commit made by the watcher itself is told after the one it is being told of, still in this turn. */
  announce(announcement: Announcement): void {
    this.#pending.push(announcement)
    if (this.#telling) return
    this.#telling = true
    for (let next = this.#pending.shift(); next !== undefined; next = this.#pending.shift()) this.#remember(next.position.sequence, this.#tell(next))
    this.#telling = false
  }

  enforced({ epoch, sequence }: Position): Promise<Enforcement> {
    const remembered = epoch === this.#epoch ? this.#enforcements.get(sequence) : undefined
    if (remembered !== undefined) return remembered
    return Promise.resolve(epoch === this.#epoch && sequence <= this.#lostUpTo ? UNKNOWN : enforcedWith(NO_TALLY))
  }

  /** Whoever cannot say it has not answered. */
  survey(selector: Selector): Survey {
    try {
      if (this.#watcher !== null) return { ...this.#watcher.reach(selector), gateways: { total: 1, answered: 1 } }
    } catch {
      // said by the answer below
    }
    return { sessions: 0, exchanges: 0, gateways: { total: 1, answered: 0 } }
  }

  async #tell(announcement: Announcement): Promise<Enforcement> {
    if (this.#watcher === null) return enforcedWith(NO_TALLY)
    try {
      return enforcedWith(await this.#watcher.heard(announcement))
    } catch {
      return UNKNOWN
    }
  }

  #remember(sequence: number, enforcement: Promise<Enforcement>): void {
    this.#enforcements.set(sequence, enforcement)
    this.#unsettled.add(sequence)
    void enforcement.then(() => this.#unsettled.delete(sequence))
    const oldest = sequence - REMEMBERED_POSITIONS // sequences have no gaps within an epoch
    this.#enforcements.delete(oldest)
    if (this.#unsettled.delete(oldest)) this.#lostUpTo = oldest
  }
}
