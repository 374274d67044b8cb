// The journal's file: lines are appended and put on stable storage, or the whole is replaced by a fresh one. After a failed write or flush nothing is
// appended until it was replaced: what the kernel dropped then is not known. Never replaces a file that another process put there. SPEC: STO7, STO19
import { createReadStream } from 'node:fs'
import { copyFile, type FileHandle, open, rename, rm, stat } from 'node:fs/promises'
import { dirname } from 'node:path'
import { StoreFault } from '../store-fault.ts'

/** What is asked of the operating system; tests put a failing one in its place. */
export type Disk = {
  readonly append: (handle: FileHandle, text: string) => Promise<void>
  readonly datasync: (handle: FileHandle) => Promise<void>
  readonly rename: (from: string, to: string) => Promise<void>
  readonly syncDirectory: (path: string) => Promise<void>
}

async function syncDirectory(path: string): Promise<void> {
  await using directory = await open(path, 'r')
  await directory.sync()
}

export const SYSTEM_DISK: Disk = { append: (handle, text) => handle.appendFile(text), datasync: handle => handle.datasync(), rename, syncDirectory }

/** Longer lines are not ours. */
export const LINE_BYTES_MAX = 1024 * 1024
const LF = 10
const OWNER_ONLY = 0o600
/** Bytes handed over in one write while the file is replaced. */
const PIECE = 256 * 1024

const isMissing = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT'
const isFull = (error: unknown): boolean => error instanceof Error && 'code' in error && (error.code === 'ENOSPC' || error.code === 'EDQUOT')

/** Names the file, the cause and the cure. */
export function faultOf(error: unknown, path: string): StoreFault {
  if (error instanceof StoreFault) return error
  const cause = error instanceof Error ? error.message : String(error)
  if (isFull(error)) return new StoreFault('disk_full', `the journal ${path} could not be written (${cause}): make room on its disk`, error)
  return new StoreFault('unwritable', `the journal ${path} cannot be used (${cause}): its directory must exist and be readable and writable for the gateway`, error)
}

function textOf(bytes: Buffer): string | null {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    return null
  }
}

async function* linesOf(path: string): AsyncGenerator<string | null> {
  let held: Buffer = Buffer.alloc(0)
  let tooLong = false
  for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) { // without an encoding chunks are Buffers
    const data = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    let start = 0
    for (let stop = data.indexOf(LF); stop >= 0; stop = data.indexOf(LF, start)) {
      yield tooLong ? null : textOf(data.subarray(start, stop))
      tooLong = false
      start = stop + 1
    }
    held = data.subarray(start)
    if (held.length <= LINE_BYTES_MAX) continue
    tooLong = true
    held = Buffer.alloc(0)
  }
}

/** Each whole line without LF, null for one that is no text or too long. What stands behind the last LF was never confirmed and is left out; a missing file has none. */
export async function* wholeLines(path: string): AsyncGenerator<string | null> {
  try {
    yield* linesOf(path)
  } catch (error) {
    if (!isMissing(error)) throw error
  }
}

export class JournalFile {
  readonly #path: string
  readonly #disk: Disk
  #handle: FileHandle | null = null
  #bytes = 0
  /** Of the last file that was put there from here; null before the first. */
  #inode: number | null = null

  /** Opens nothing: `replace` comes first. */
  constructor(path: string, disk: Disk) {
    this.#path = path
    this.#disk = disk
  }

  /** Can it be appended to? */
  get usable(): boolean {
    return this.#handle !== null
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Resolves when it is on stable storage, in the file that has this name. @throws the system's error, StoreFault `in_use`; it is unusable then */
  async append(text: string): Promise<void> {
    const handle = this.#handle
    if (handle === null) throw new StoreFault('closed', `the journal ${this.#path} is not open`)
    try {
      await this.#disk.append(handle, text)
      await this.#disk.datasync(handle)
      if (!await this.#isOurs()) throw new Error('it was removed while it was in use')
    } catch (error) {
      await this.#letGo()
      throw error
    }
    this.#bytes += Buffer.byteLength(text)
  }

  /** Puts a fresh file in its place, whole or not at all. @throws the system's error, StoreFault `in_use`; a usable one stays usable unless it was replaced already */
  async replace(texts: Iterable<string>): Promise<void> {
    await this.#isOurs()
    const next = `${this.#path}.next`
    await rm(next, { force: true })
    const handle = await open(next, 'ax', OWNER_ONLY)
    try {
      const bytes = await this.#fill(handle, texts)
      await this.#disk.datasync(handle)
      const { ino } = await handle.stat()
      await this.#disk.rename(next, this.#path)
      this.#inode = ino
      await this.#letGo()
      await this.#disk.syncDirectory(dirname(this.#path))
      this.#bytes = bytes
    } catch (error) {
      await Promise.allSettled([handle.close(), rm(next, { force: true })])
      throw error
    }
    this.#handle = handle
  }

  /** Keeps the file as it is now beside the one that will replace it, for whoever can make something of it. */
  async setAside(): Promise<void> {
    await copyFile(this.#path, `${this.#path}.damaged`)
  }

  async close(): Promise<void> {
    await this.#letGo()
  }

  async #fill(handle: FileHandle, texts: Iterable<string>): Promise<number> {
    let bytes = 0
    let piece = ''
    for (const text of texts) {
      piece += text
      bytes += Buffer.byteLength(text)
      if (piece.length < PIECE) continue
      await this.#disk.append(handle, piece)
      piece = ''
    }
    if (piece !== '') await this.#disk.append(handle, piece)
    return bytes
  }

  /** False when there is no file, or none is known yet. @throws StoreFault `in_use` when it is somebody else's */
  async #isOurs(): Promise<boolean> {
    if (this.#inode === null) return false
    try {
      const { ino } = await stat(this.#path)
      if (ino === this.#inode) return true
    } catch (error) {
      if (isMissing(error)) return false
      throw error
    }
    throw new StoreFault('in_use', `another process has put its own journal at ${this.#path}: give each gateway a stateDir of its own and start this one again`)
  }

  async #letGo(): Promise<void> {
    const handle = this.#handle
    this.#handle = null
    await handle?.close().catch(() => undefined) // its bytes are on stable storage, or nobody was told so
  }
}
