// Entries told to the gateway and not yet enforced by it, in order: up to where everything is enforced is what heartbeats say, and each that somebody
// waits for is acknowledged by itself, never before its exchanges were judged. SPEC: STO16
import type { Fact } from '../../core/fact.ts'
import type { RecordRef } from '../../core/record.ts'
import type { Position, Tally, Watcher } from '../store.ts'
import { type Entry, recordOf, refText, type Seal } from './entry.ts'
import { tallyOf } from './reply.ts'

type Ports = {
  readonly watcher: () => Watcher | null
  readonly seal: Seal
  readonly dataSet: () => string
  readonly positionOf: (id: string) => Position
  /** Its exchanges are judged; null when what became of them is not known. */
  readonly enforced: (entry: Entry, tally: Tally | null) => void
  readonly says: (text: string, cause: unknown) => void
}

/** Very many at once wait as one, acknowledged with the last of them. */
const WAITING_MAX = 10_000
const NOTHING = tallyOf('')

export class Enforcing {
  readonly #ports: Ports
  readonly #waiting: { id: string; left: number }[] = []
  /** Everything up to this entry is enforced here. */
  upTo = ''

  constructor(ports: Ports) {
    this.#ports = ports
  }

  /** From here on, whatever was waited for before. */
  restart(id: string): void {
    this.#waiting.length = 0
    this.upTo = id
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
      return (await watcher?.heard({ position: this.#ports.positionOf(entry.id), ref, record: recordOf(entry.body), facts: JSON.parse(entry.facts) as readonly Fact[] })) ?? NOTHING // written by commit
    } catch (error) {
      this.#ports.says('an announcement can not be believed; its record is read again', error)
      await watcher?.doubted([ref]).catch(() => undefined) // a record that can not be read is refused by whoever needs it
      return null
    }
  }
}
