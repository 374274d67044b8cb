// Every lock, in memory, by the name of its selector. Read once at start and again when what is known came into doubt; in between announcements
// move it, and one that overtakes the reading wins. SPEC: ENF8, STO16
import { type Lock, type Selector, selectorName } from '../core/anchor.ts'
import { cutOffsAmong, type LockIndex, moveCutOff, moveTool, toolsAmong } from '../core/locks.ts'
import { after, duration, type Instant } from '../core/time.ts'
import type { SessionStore } from './store.ts'

const PAGE = 500
/** Locks looked at for each newcomer, and how long one stays behind its end: clocks of two gateways. */
const LOOKS = 4
const KEPT_OVER = duration(60_000)

/** Versions begin anew when a lock was forgotten: after its end, or long after it was lifted, when it is not here any more. Clocks of two gateways say nothing. */
const isNewer = (lock: Lock, known: Lock): boolean => lock.version > known.version || (known.until !== null && lock.since >= known.until)

export class LockBook {
  readonly #store: SessionStore
  #records = new Map<string, Lock>()
  #cutOffs = cutOffsAmong([])
  #tools = toolsAmong([])
  /** Announced while all of them are read. */
  #overtaken: Map<string, Lock> | null = null
  #reading: Promise<void> = Promise.resolve()
  /** Where the look for those that are over has come. */
  #round: Iterator<Lock> = this.#records.values()
  index: LockIndex

  constructor(store: SessionStore) {
    this.#store = store
    this.index = this.#indexed()
  }

  find(selector: Selector): Lock | null { return this.#records.get(selectorName(selector)) ?? null }
  all(): readonly Lock[] { return [...this.#records.values()] }

  /** Takes an announced lock over, or one that is assumed. False when a newer one is known. */
  take(lock: Lock, assumed = false): boolean {
    const name = selectorName(lock.selector)
    const overtaken = this.#overtaken?.get(name)
    if (this.#overtaken !== null && (overtaken === undefined || isNewer(lock, overtaken))) this.#overtaken.set(name, lock)
    return this.#put(name, lock, assumed)
  }

  /** Reads all of them; what the store does not have any more is let go. One reading at a time. */
  read(): Promise<void> {
    this.#reading = this.#reading.catch(() => undefined).then(() => this.#read())
    return this.#reading
  }

  async #read(): Promise<void> {
    const overtaken = new Map<string, Lock>()
    this.#overtaken = overtaken
    try {
      const found = new Map<string, Lock>()
      for (let cursor: string | null = ''; cursor !== null;) {
        const page = await this.#store.list('lock', cursor, PAGE)
        for (const record of page.records) if (record.record === 'lock') found.set(selectorName(record.selector), record)
        cursor = page.next
      }
      this.#records = new Map()
      this.#round = this.#records.values()
      for (const [name, lock] of [...found, ...overtaken]) this.#keep(name, lock)
      this.#cutOffs = cutOffsAmong(this.#records.values())
      this.#tools = toolsAmong(this.#records.values())
      this.index = this.#indexed()
    } finally {
      this.#overtaken = null
    }
  }

  #put(name: string, lock: Lock, assumed: boolean): boolean {
    if (!this.#keep(name, lock, assumed)) return false
    if (lock.selector.kind === 'issuedBefore') moveCutOff(this.#cutOffs, lock)
    moveTool(this.#tools, lock)
    this.index = this.#indexed()
    return true
  }

  #keep(name: string, lock: Lock, assumed = false): boolean {
    const known = this.#records.get(name)
    if (!assumed && known !== undefined && !isNewer(lock, known)) return false
    if (lock.state === 'lifted') this.#records.delete(name)
    else this.#records.set(name, lock)
    this.#dropOver(lock.since)
    return true
  }

  /** Those that lifted by themselves make way, a few at a time: automatic ones come and go. @param now of whoever set the newest one */
  #dropOver(now: Instant): void {
    for (let looks = 0; looks < LOOKS; looks++) {
      const next = this.#round.next()
      if (next.done === true) {
        this.#round = this.#records.values()
        return
      }
      const { value: lock } = next
      if (lock.until === null || after(lock.until, KEPT_OVER) > now) continue
      this.#records.delete(selectorName(lock.selector))
      if (lock.selector.kind === 'issuedBefore') moveCutOff(this.#cutOffs, { ...lock, state: 'lifted' })
      moveTool(this.#tools, { ...lock, state: 'lifted' })
    }
  }

  /** The index is the records themselves; a new one tells that something changed. */
  #indexed(): LockIndex {
    return { size: this.#records.size, byName: this.#records, issuedBefore: this.#cutOffs, tools: this.#tools }
  }
}
