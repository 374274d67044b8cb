// Disk space held back for the trail: a file that is removed when the disk is full, so that ends and changes can still be written.
// Never filled again while that could itself fill the disk. SPEC: AUD7
import { rmSync, truncateSync } from 'node:fs'
import { open, rm, stat, statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

const CHUNK = 1024 * 1024
const OWNER_ONLY = 0o600

export class Reserve {
  readonly #file: string
  readonly #bytes: number
  #held = false
  #filling: Promise<boolean> | null = null

  /** @param bytes 0 for none: there is nothing to release, and `held` is true */
  constructor(file: string, bytes: number) {
    this.#file = file
    this.#bytes = bytes
    this.#held = bytes === 0
  }

  /** False from a release until the space is set aside again. */
  get held(): boolean {
    return this.#held
  }

  /** Bytes that must be free before the space is set aside: as much stays free as is taken. */
  get needs(): number {
    return 2 * this.#bytes
  }

  /** Sets the space aside. True when it is there; never rejects. */
  fill(): Promise<boolean> {
    if (this.#held) return Promise.resolve(true)
    this.#filling ??= this.#fill().finally(() => (this.#filling = null))
    return this.#filling
  }

  /** Gives the space back to the disk. True when there was something to give. */
  release(): boolean {
    if (!this.#held || this.#bytes === 0) return false
    this.#held = false
    try {
      truncateSync(this.#file, 0)
      rmSync(this.#file, { force: true })
      return true
    } catch {
      return false // someone removed it: there is no space to give
    }
  }

  async #fill(): Promise<boolean> {
    try {
      if (!(await this.#isThere())) await this.#write()
      this.#held = true
    } catch {
      await rm(this.#file, { force: true }).catch(() => undefined) // a part of a reserve is none
    }
    return this.#held
  }

  async #isThere(): Promise<boolean> {
    const found = await stat(this.#file).catch(() => null)
    return found !== null && found.size >= this.#bytes
  }

  async #write(): Promise<void> {
    const { bavail, bsize } = await statfs(dirname(this.#file))
    if (bavail * bsize < this.needs) throw new Error('the disk has no room for the reserve')
    const handle = await open(this.#file, 'w', OWNER_ONLY)
    try {
      const chunk = Buffer.alloc(Math.min(CHUNK, this.#bytes))
      for (let done = 0; done < this.#bytes; done += chunk.length) await handle.write(chunk)
      await handle.datasync()
    } finally {
      await handle.close()
    }
  }
}
