// What recorded elevations carry, byte by byte, in a chained file of its own: every piece is handed to the operating system before it is handed on, and a piece
// that cannot be is not handed on. While anything is recorded the file is written to at least four times a second, so that a sink that fails is noticed
// also where nothing moves. Nothing is recorded by best effort. SPEC: REC1
import { createHash, type Hash } from 'node:crypto'
import type { Instant } from '../core/time.ts'
import { Appender, type Disk } from './appender.ts'
import type { TapeEnd } from './record.ts'

const BEAT = 250
const BUFFER = 1024 * 1024
/** Bytes of one line; a longer piece, such as a message that was read whole, takes several. */
const LINE = 262_144

const textOf = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64')

class Counter {
  bytes = 0
  readonly #hash: Hash = createHash('sha256')

  add(piece: Uint8Array): void {
    this.bytes += piece.length
    this.#hash.update(piece)
  }

  get end(): TapeEnd['up'] { return { bytes: this.bytes, digest: this.#hash.copy().digest('base64url') } }
}

/** Of one exchange. */
export class Tape {
  readonly exchange: string
  readonly #recording: Recording
  readonly #up = new Counter()
  readonly #down = new Counter()

  constructor(exchange: string, recording: Recording) {
    this.exchange = exchange
    this.#recording = recording
  }

  /** Asked in the turn in which the piece is handed on. False: it must not be. */
  up(piece: Uint8Array): boolean { return this.#take('up', this.#up, piece) }
  down(piece: Uint8Array): boolean { return this.#take('down', this.#down, piece) }

  close(): TapeEnd {
    const end: TapeEnd = { up: this.#up.end, down: this.#down.end }
    this.#recording.closed(this, end)
    return end
  }

  #take(way: 'up' | 'down', counter: Counter, piece: Uint8Array): boolean {
    if (!this.#recording.wrote(this, way, piece)) return false
    counter.add(piece)
    return true
  }
}

type RecordingSettings = { readonly file: string; readonly gateway: string; readonly maxBytes: number }
type Ports = { readonly now: () => Instant; readonly disk: Disk; readonly warn: (text: string, cause: unknown) => void }

export class Recording {
  readonly #settings: RecordingSettings
  readonly #ports: Ports
  #opened: Appender | null = null
  readonly #open = new Set<Tape>()
  #timer: NodeJS.Timeout | null = null
  #failing = false
  /** Hears once of each failure of the sink. */
  onFailed: () => void = () => {}

  constructor(settings: RecordingSettings, ports: Ports) {
    this.#settings = settings
    this.#ports = ports
  }

  /** Opened when something has to be recorded first. @throws AuditDamaged, or the system's error when the file cannot be opened */
  get #appender(): Appender {
    const { now, disk, warn } = this.#ports
    return (this.#opened ??= new Appender({ ...this.#settings, bufferBytes: BUFFER }, { now, disk, makeRoom: () => false, warn: (text, cause) => warn(`recording: ${text}`, cause) }))
  }

  /** @throws AuditWriteFailed where nothing can be recorded */
  tape(exchange: string, session: string | null, grant: string): Tape {
    this.#appender.append('recording.opened', { exchange, session, grant })
    this.#flush()
    const tape = new Tape(exchange, this)
    this.#open.add(tape)
    this.#timer ??= setInterval(() => this.#beat(), BEAT).unref()
    return tape
  }

  wrote({ exchange }: Tape, way: 'up' | 'down', piece: Uint8Array): boolean {
    try {
      for (let at = 0; at < piece.length; at += LINE) this.#appender.append('recording.bytes', { exchange, way, data: textOf(piece.subarray(at, at + LINE)) })
      this.#flush()
      return true
    } catch {
      this.#failed()
      return false
    }
  }

  closed(tape: Tape, { up, down }: TapeEnd): void {
    if (!this.#open.delete(tape)) return
    if (this.#open.size === 0 && this.#timer !== null) {
      clearInterval(this.#timer)
      this.#timer = null
    }
    try {
      this.#appender.append('recording.closed', { exchange: tape.exchange, up, down })
      this.#flush()
    } catch {} // what was to be on record is; that its end is not shows as a gap
  }

  async close(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer)
    await this.#opened?.close()
  }

  #beat(): void {
    try {
      this.#appender.append('recording.beat', { open: this.#open.size })
      this.#flush()
    } catch {} // told by the flush
  }

  #flush(): void {
    try {
      this.#appender.flushNow()
      this.#failing = false
    } catch (error) {
      this.#failed()
      throw error
    }
  }

  #failed(): void {
    if (this.#failing) return
    this.#failing = true
    queueMicrotask(() => this.onFailed()) // behind whoever is writing
  }
}
