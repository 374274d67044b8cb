// One append-only file of chained lines. `append` buffers, `flushNow` hands everything buffered to the operating system in one write.
// After a failure nothing is lost and nothing is written twice: the file is cut back to its last whole line, the lines wait. SPEC: AUD4, AUD5
import { closeSync, constants, existsSync, fdatasync, fdatasyncSync, ftruncateSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { basename } from 'node:path'
import { promisify } from 'node:util'
import type { Instant } from '../core/time.ts'
import { Chain } from './chain.ts'
import type { Head, Json, Kind, Records } from './record.ts'
import { continueFile, LINE_BYTES_MAX, rotatedFiles } from './tail.ts'

/** What an appender asks of the operating system; tests put a failing one in its place. */
export type Disk = {
  /** Bytes written, perhaps fewer than asked. */
  readonly write: (fd: number, bytes: Uint8Array, offset: number, length: number) => number
  readonly truncate: (fd: number, bytes: number) => void
  readonly datasync: (fd: number) => Promise<void>
}

export const SYSTEM_DISK: Disk = { write: writeSync, truncate: ftruncateSync, datasync: promisify(fdatasync) }

export type AppenderSettings = {
  readonly file: string
  readonly gateway: string
  /** Size in bytes at which the file is rotated. */
  readonly maxBytes: number
  /** Bytes buffered before `append` flushes by itself. */
  readonly bufferBytes: number
}

export type AppenderPorts = {
  readonly now: () => Instant
  readonly disk: Disk
  /** The disk is full: true when room was made and the write is worth another try. */
  readonly makeRoom: () => boolean
  readonly warn: (text: string, cause: unknown) => void
}

/** The trail could not be written: an elevated request must not go on. */
export class AuditWriteFailed extends Error {
  readonly code = 'audit_write_failed'
  readonly side = 'internal'
  override readonly name = 'AuditWriteFailed'
}

const FLUSH_EVERY_MS = 50
const BUFFER_KEPT = 64 * 1024
const OPEN = constants.O_APPEND | constants.O_CREAT | constants.O_WRONLY
const OWNER_ONLY = 0o600
/** No descriptor: every write fails, and none reaches a file that was opened since. */
const CLOSED = -1

const isFull = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')

export class Appender {
  readonly #settings: AppenderSettings
  readonly #ports: AppenderPorts
  readonly #chain: Chain
  readonly #timer: NodeJS.Timeout
  #fd: number
  /** Bytes of whole lines in the file. */
  #size: number
  #head: Head
  #buffer = Buffer.allocUnsafe(BUFFER_KEPT)
  #buffered = 0
  /** The file may hold part of a line behind #size. */
  #torn = false
  #rotateAt: number
  #number: number
  #failure: AuditWriteFailed | null = null
  #failures = 0
  #unsynced = false
  #queued: Promise<void> | null = null
  #running: Promise<void> | null = null
  #closing: Promise<void> | null = null

  /** Continues the file where it ends. @throws AuditDamaged, or the system's error when it can't be opened */
  constructor(settings: AppenderSettings, ports: AppenderPorts) {
    const { file } = settings
    const { size, link, from, torn } = continueFile(file)
    this.#settings = settings
    this.#ports = ports
    this.#chain = new Chain(settings.gateway, link)
    this.#fd = openSync(file, OPEN, OWNER_ONLY)
    this.#size = size
    this.#head = { file: from ?? basename(file), ...link }
    this.#rotateAt = settings.maxBytes
    this.#number = rotatedFiles(file).at(-1)?.number ?? 0
    this.#timer = setInterval(() => this.#tick(), FLUSH_EVERY_MS).unref()
    if (from !== null) this.append('rotated', { from: this.#head })
    if (torn !== null) {
      ports.warn(`the last line of ${basename(file)} was torn and is now in ${torn.moved}`, null)
      this.append('tail.torn', torn)
    }
  }

  /** The last line the operating system has. */
  get head(): Head {
    return this.#head
  }

  /** False from a failed write or sync until one succeeds. */
  get healthy(): boolean {
    return this.#failure === null && !this.#unsynced
  }

  get bufferedBytes(): number {
    return this.#buffered
  }

  /** Writes and syncs that failed, each try counted. */
  get failures(): number {
    return this.#failures
  }

  /** @throws AuditWriteFailed when the buffer is full and can't be written, or the line is too long; the line is then not part of the chain */
  append<K extends Kind>(kind: K, fields: Records[K] | Json<K>): void {
    if (this.#buffered >= this.#settings.bufferBytes) this.flushNow()
    const line = this.#chain.line(this.#ports.now(), kind, fields)
    const room = line.length * 3 + 1 // UTF-8 needs at most three bytes for each UTF-16 unit
    if (room > LINE_BYTES_MAX) throw new AuditWriteFailed(`a line of ${line.length} characters is too long`)
    if (this.#buffered + room > this.#buffer.length) this.#grow(room)
    this.#buffered += this.#buffer.write(line, this.#buffered)
    this.#buffer[this.#buffered++] = 10
    this.#chain.accept(line)
  }

  /** One synchronous write of everything buffered. @throws AuditWriteFailed; what was buffered stays for the next try */
  flushNow(): void {
    if (this.#buffered === 0) return
    try {
      this.#writeWithRoom()
    } catch (cause) {
      const first = this.#failure === null
      this.#failures++
      this.#failure = new AuditWriteFailed('the trail could not be written', { cause })
      if (first) this.#ports.warn(this.#failure.message, cause)
      throw this.#failure
    }
    this.#failure = null
    this.#size += this.#buffered
    this.#buffered = 0
    this.#head = { file: basename(this.#settings.file), ...this.#chain.link }
    if (this.#buffer.length > 16 * BUFFER_KEPT) this.#buffer = Buffer.allocUnsafe(BUFFER_KEPT)
    if (this.#size >= this.#rotateAt) this.#rotate()
  }

  /** Everything appended before this call is on stable storage. Callers that wait at the same time share one fdatasync. @throws AuditWriteFailed */
  sync(): Promise<void> {
    this.#queued ??= (this.#running ?? Promise.resolve()).catch(() => undefined).then(() => {
      this.#queued = null
      this.#running = this.#datasync().finally(() => (this.#running = null))
      return this.#running
    })
    return this.#queued
  }

  /** Writes and syncs what is buffered, then lets go of the file. @throws AuditWriteFailed; the file is let go all the same */
  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  async #close(): Promise<void> {
    clearInterval(this.#timer)
    try {
      await this.sync()
    } finally {
      closeSync(this.#fd)
      this.#fd = CLOSED
    }
  }

  async #datasync(): Promise<void> {
    this.flushNow()
    try {
      await this.#ports.disk.datasync(this.#fd)
      this.#unsynced = false
    } catch (cause) {
      this.#unsynced = true
      this.#failures++
      throw new AuditWriteFailed('the trail could not be put on stable storage', { cause })
    }
  }

  #tick(): void {
    try {
      this.flushNow()
    } catch {
      return // told once through warn, and by `healthy` until it heals
    }
    if (this.#unsynced) this.sync().catch(() => undefined) // likewise
  }

  #grow(room: number): void {
    const wider = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#buffered + room))
    this.#buffer.copy(wider, 0, 0, this.#buffered)
    this.#buffer = wider
  }

  #writeWithRoom(): void {
    try {
      this.#write()
    } catch (error) {
      if (!isFull(error) || !this.#ports.makeRoom()) throw error
      this.#write()
    }
  }

  #write(): void {
    const { disk } = this.#ports
    if (this.#torn) disk.truncate(this.#fd, this.#size)
    this.#torn = false
    let done = 0
    try {
      while (done < this.#buffered) {
        const written = disk.write(this.#fd, this.#buffer, done, this.#buffered - done)
        if (written <= 0) throw new Error('the write took nothing')
        done += written
      }
    } catch (error) {
      this.#torn = done > 0
      if (this.#torn) this.#cutBack()
      throw error
    }
  }

  #cutBack(): void {
    try {
      this.#ports.disk.truncate(this.#fd, this.#size)
      this.#torn = false
    } catch (error) {
      this.#ports.warn('a torn line could not be cut off; it is tried again before the next write', error)
    }
  }

  /** A failure leaves the old file in use and is tried again an eighth of its size later. */
  #rotate(): void {
    if (this.#running !== null) return // a sync still uses the descriptor; the next flush rotates
    const { file, maxBytes } = this.#settings
    const old = `${file}.${this.#number + 1}`
    try {
      fdatasyncSync(this.#fd)
      const fd = this.#openNext(old)
      closeSync(this.#fd)
      this.#fd = fd
    } catch (error) {
      this.#rotateAt = this.#size + Math.ceil(maxBytes / 8)
      this.#ports.warn(`${basename(file)} could not be rotated`, error)
      return
    }
    this.#number++
    this.#size = 0
    this.#rotateAt = maxBytes
    this.#head = { ...this.#head, file: basename(old) }
    this.append('rotated', { from: this.#head })
  }

  #openNext(old: string): number {
    const { file } = this.#settings
    const next = `${file}.next`
    rmSync(next, { force: true })
    const fd = openSync(next, OPEN, OWNER_ONLY)
    try {
      renameSync(file, old)
      renameSync(next, file)
    } catch (error) {
      closeSync(fd)
      if (!existsSync(file)) renameSync(old, file)
      throw error
    }
    return fd
  }
}
