// Entries told to the gateway and not yet enforced by it, in order: up to where everything is enforced is what heartbeats say, and each that somebody
// waits for is acknowledged by itself, never before its exchanges were judged. SPEC: STO16
import type { Fact } from '../../core/fact.ts'
import type { RecordRef } from '../../core/record.ts'
import type { Position, Tally, Watcher } from '../store.ts'
import { type Entry, recordOf, refText, type Seal, sequenceOf } from './entry.ts'
import { tallyOf } from './reply.ts'

type Ports = {
  readonly watcher: () => Watcher | null
  readonly seal: Seal
  readonly dataSet: () => string
  readonly positionOf: (id: string) => Position
  /** Its exchanges are judged; null when what became of them is not known. */
  readonly enforced: (entry: Entry, tally: Tally | null) => void
  /** An entry can not be enforced for the moment. */
  readonly blocked: () => void
  readonly says: (text: string, cause: unknown) => void
}

/** Very many at once wait as one, acknowledged with the last of them. */
const WAITING_MAX = 10_000
/** Milliseconds until what can not be read is read again. */
const ASK_AGAIN = 200
const NOTHING = tallyOf('')

export class Enforcing {
  readonly #ports: Ports
  #waiting: { id: string; left: number }[] = []
  /** Everything up to this entry is enforced here. */
  upTo = ''
  #blocked = 0
  /** Moves when everything known was read again. */
  #generation = 0

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** An entry was neither enforced nor read again yet. */
  get blocked(): boolean { return this.#blocked > 0 }

  /** From here on; what comes after it was undone, what comes before it may still be judged. */
  restart(id: string): void {
    this.#waiting = this.#waiting.filter(waiting => sequenceOf(waiting.id) <= sequenceOf(id))
    this.#generation++
    if (this.#waiting.length === 0) this.upTo = id
  }

  /** What the entry closes is closed when this returns. */
  tell(entry: Entry): void {
    if (entry.ref === null) return
    const waiting = this.#waitFor(entry.id)
    void this.#enforce(entry, entry.ref).then(tally => {
      waiting.left--
      for (let first = this.#waiting[0]; first?.left === 0; first = this.#waiting[0]) {
        this.upTo = first.id
        this.#waiting.shift()
      }
      this.#ports.enforced(entry, tally)
    })
  }

  #waitFor(id: string): { id: string; left: number } {
    const last = this.#waiting.at(-1)
    if (last !== undefined && this.#waiting.length >= WAITING_MAX) {
      last.id = id
      last.left++
      return last
    }
    const waiting = { id, left: 1 }
    this.#waiting.push(waiting)
    return waiting
  }

  async #enforce(entry: Entry, ref: RecordRef): Promise<Tally | null> {
    const watcher = this.#ports.watcher()
    try {
      this.#ports.seal.checkEntry(this.#ports.dataSet(), refText(ref), entry)
      return (await watcher?.heard({ position: this.#ports.positionOf(entry.id), ref, record: recordOf(ref, entry.body), facts: JSON.parse(entry.facts) as readonly Fact[] })) ?? NOTHING // written by commit
    } catch (error) {
      this.#ports.says('an announcement can not be believed; its record is read again', error)
      await this.#readAgain(ref, watcher)
      return null
    }
  }

  /** Until it is read, this gateway confirms nothing. */
  async #readAgain(ref: RecordRef, watcher: Watcher | null): Promise<void> {
    const read = (): Promise<boolean> => (watcher === null ? Promise.resolve(true) : watcher.doubted([ref]).then(() => true, () => false))
    if (await read()) return
    this.#blocked++
    this.#ports.blocked()
    const generation = this.#generation
    while (generation === this.#generation && !(await read())) await new Promise(resolve => setTimeout(resolve, ASK_AGAIN).unref())
    this.#blocked--
  }
}
