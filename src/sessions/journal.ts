// The write-ahead file of restrictive news: what this gateway has brought, or has in force from memory because the store did not take it, outlives the
// process and is said to the store again. One write and one flush for everything of a turn; never calls anything kept before the disk has it. SPEC: STO7, STO19
import { setImmediate as endOfTurn } from 'node:timers/promises'
import type { Instant } from '../core/time.ts'
import { Entries, ENTRIES_MAX, ENTRY_BYTES_MAX, type Journaled, type Line, lineOf, paidLine, readLine } from './journal/entries.ts'
import { type Disk, faultOf, JournalFile, LINE_BYTES_MAX, SYSTEM_DISK, wholeLines } from './journal/file.ts'
import { StoreFault, StoreFull } from './store-fault.ts'

/** `done` is null for what nobody waits for. */
type Waiting = { readonly line: Line; readonly bytes: number; readonly done: PromiseWithResolvers<void> | null }

/** Dead bytes below which the file is left as it is. */
const DEAD_BYTES_MIN = 1024 * 1024
/** Beyond it nothing is appended before the file was replaced. */
const FILE_BYTES_MAX = 3 * ENTRY_BYTES_MAX

export class Journal {
  /** Lines of the file that could not be read and were skipped; the file with them is kept beside it as `<file>.damaged`. */
  readonly damaged: number
  readonly #path: string
  readonly #file: JournalFile
  readonly #entries: Entries
  readonly #now: () => Instant
  #queue: Waiting[] = []
  /** Writes not yet confirmed. */
  #unconfirmed = { entries: 0, bytes: 0 }
  #running: Promise<void> | null = null
  #compactAbove = DEAD_BYTES_MIN
  #closing: Promise<void> | null = null

  private constructor(path: string, file: JournalFile, entries: Entries, damaged: number, now: () => Instant) {
    this.damaged = damaged
    this.#path = path
    this.#file = file
    this.#entries = entries
    this.#now = now
  }

  /** Reads what is there, and puts it into a fresh file on stable storage. @throws StoreFault `unwritable`, `disk_full` */
  static async open(path: string, now: () => Instant, disk: Disk = SYSTEM_DISK): Promise<Journal> {
    const [entries, file, started] = [new Entries(), new JournalFile(path, disk), now()]
    let damaged = 0
    try {
      for await (const text of wholeLines(path)) {
        const line = text === null ? null : readLine(text)
        if (line === null) damaged++
        else entries.apply(line)
        entries.forget(started)
      }
      if (damaged > 0) await file.setAside()
      await file.replace(entries.texts())
    } catch (error) {
      throw faultOf(error, path)
    }
    return new Journal(path, file, entries, damaged, now)
  }

  /** What the store has not taken yet, in order, whatever its age; right after opening that of earlier runs. */
  get owed(): readonly Journaled[] {
    return this.#entries.owed
  }

  /** What was said, or owed and then taken, in the last 14 minutes. */
  get recent(): readonly Journaled[] {
    return this.#entries.recent(this.#now())
  }

  /** Said news given up before its 14 minutes, for want of room. */
  get forgotten(): number {
    return this.#entries.forgotten
  }

  /**
   * Resolves when it is on stable storage.
   * @throws StoreFull when what is owed leaves no room, StoreFault `unwritable`, `disk_full`, `in_use`, `closed`; TypeError for what is no restrictive news
   */
  async write(entry: Journaled, owed: boolean): Promise<void> {
    if (this.#closing !== null) throw new StoreFault('closed', `the journal ${this.#path} is closed`)
    const line = lineOf(entry, owed)
    const bytes = Buffer.byteLength(line.text)
    this.#assertRoom(line, bytes)
    const done = Promise.withResolvers<void>()
    this.#unconfirmed.entries++
    this.#unconfirmed.bytes += bytes
    this.#queue.push({ line, bytes, done })
    this.#running ??= this.#run()
    return done.promise
  }

  /** The store has it now. Lost with the process within some milliseconds of the call: it is then said once more. */
  paid(operation: string): void {
    const isOwed = this.#entries.owes(operation) || this.#unconfirmed.entries > 0
    if (!isOwed || this.#closing !== null || this.#queue.length >= 2 * ENTRIES_MAX) return
    this.#queue.push({ line: paidLine(operation, this.#now()), bytes: 0, done: null })
    this.#running ??= this.#run()
  }

  /** Everything written and paid before is on stable storage, or was refused. */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    await this.#running
    if (!this.#file.usable) await this.#file.replace(this.#entries.texts()).catch(() => undefined) // else what was paid meanwhile is said once more
    await this.#file.close()
  }

  /** Owing twice what is owed already takes no room. */
  #assertRoom({ operation }: Line, bytes: number): void {
    if (bytes > LINE_BYTES_MAX) throw new StoreFault('failed', `news of ${bytes} bytes is too long for the journal, which takes ${LINE_BYTES_MAX}`)
    if (this.#entries.owes(operation)) return
    if (this.#entries.hasRoom(this.#unconfirmed.entries + 1, this.#unconfirmed.bytes + bytes)) return
    const most = `${ENTRIES_MAX} of them, ${ENTRY_BYTES_MAX} bytes`
    throw new StoreFull(`the journal ${this.#path} is full of ends the store has not taken (at most ${most}): bring the store back, it takes them first`)
  }

  /** Ends in the turn in which it finds nothing more to write; never rejects. */
  async #run(): Promise<void> {
    while (this.#queue.length > 0) {
      await endOfTurn()
      const batch = this.#queue
      this.#queue = []
      await this.#put(batch)
      await this.#compact()
    }
    this.#running = null
  }

  async #put(batch: readonly Waiting[]): Promise<void> {
    const failure = await this.#keep(this.#worthWriting(batch)).then(() => null, (error: unknown) => faultOf(error, this.#path))
    for (const { line, bytes, done } of batch) {
      if (failure === null || line.is === 'paid') this.#entries.apply(line) // paid is true whatever the disk says, and in the file that replaces this one
      if (done === null) continue
      this.#unconfirmed.entries--
      this.#unconfirmed.bytes -= bytes
      if (failure === null) done.resolve()
      else done.reject(failure)
    }
    this.#entries.forget(this.#now())
  }

  /** Without payments of what was never owed. */
  #worthWriting(batch: readonly Waiting[]): string {
    const owed = new Set<string>()
    let text = ''
    for (const { line } of batch) {
      if (line.is === 'owed') owed.add(line.operation)
      if (line.is !== 'paid' || owed.has(line.operation) || this.#entries.owes(line.operation)) text += line.text
    }
    return text
  }

  async #keep(text: string): Promise<void> {
    if (text === '') return
    if (!this.#file.usable || this.#file.bytes > FILE_BYTES_MAX) await this.#file.replace(this.#entries.texts())
    await this.#file.append(text)
  }

  /** Replaces a file of which more is dead than alive. One that can't be replaced is used on. */
  async #compact(): Promise<void> {
    const dead = this.#file.bytes - this.#entries.bytes
    if (!this.#file.usable || dead <= Math.max(this.#entries.bytes, this.#compactAbove)) return
    try {
      await this.#file.replace(this.#entries.texts())
      this.#compactAbove = DEAD_BYTES_MIN
    } catch {
      this.#compactAbove = dead * 2
    }
  }
}
