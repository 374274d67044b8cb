// The noise lane's file: its own chain, written beside the event loop, one old file kept. Lines it can't write are counted and gone;
// it never blocks, never throws and never grows past its limits. SPEC: AUD9
import { renameSync } from 'node:fs'
import { type FileHandle, open } from 'node:fs/promises'
import { basename } from 'node:path'
import type { Instant } from '../core/time.ts'
import { Chain, type Link } from './chain.ts'
import type { Records } from './record.ts'
import { continueFile } from './tail.ts'

type NoiseKind = 'request.refused' | 'refusals.counted' | 'rotated' | 'tail.torn'
type Pending = { [K in NoiseKind]: { readonly at: Instant; readonly kind: K; readonly fields: Records[K] } }[NoiseKind]

export type NoiseSettings = { readonly file: string; readonly gateway: string; /** Of one file; with the old one twice that. */ readonly maxBytes: number }

const OWNER_ONLY = 0o600
const QUEUE_MAX = 20_000
const BATCH = 512

const lineOf = (chain: Chain, { at, kind, fields }: Pending): string => {
  const line = chain.line(at, kind, fields)
  chain.accept(line)
  return `${line}\n`
}

export class NoiseFile {
  readonly #settings: NoiseSettings
  readonly #now: () => Instant
  readonly #lost: (cause: unknown) => void
  /** Lines were dropped and none was written since. */
  #losing = false
  #queue: Pending[] = []
  #open: { readonly handle: FileHandle; readonly chain: Chain } | null = null
  #size = 0
  #writing: Promise<void> | null = null
  #dropped = 0
  #written = 0

  /** @param lost told of the first line dropped after one that was written */
  constructor(settings: NoiseSettings, now: () => Instant, lost: (cause: unknown) => void) {
    this.#settings = settings
    this.#now = now
    this.#lost = lost
  }

  get dropped(): number {
    return this.#dropped
  }

  get written(): number {
    return this.#written
  }

  push(pending: Pending): void {
    if (this.#queue.length >= QUEUE_MAX) this.#drop(1, 'more come than can be written')
    else this.#queue.push(pending)
  }

  /** Writes what waits. One at a time; never rejects. */
  flush(): Promise<void> {
    this.#writing ??= this.#drain().finally(() => (this.#writing = null))
    return this.#writing
  }

  async close(): Promise<void> {
    await this.flush()
    await this.#letGo()
  }

  async #drain(): Promise<void> {
    while (this.#queue.length > 0) {
      const batch = this.#queue.splice(0, BATCH)
      try {
        await this.#write(batch)
      } catch (error) {
        this.#drop(batch.length, error)
        await this.#letGo() // and opened again, which cuts a torn line off
      }
    }
  }

  #drop(lines: number, cause: unknown): void {
    if (!this.#losing) this.#lost(cause)
    this.#losing = true
    this.#dropped += lines
  }

  async #write(batch: readonly Pending[]): Promise<void> {
    if (this.#open !== null && this.#size >= this.#settings.maxBytes) await this.#rotate()
    const { handle, chain } = (this.#open ??= await this.#continue())
    const before = chain.link
    const bytes = Buffer.from(batch.map(pending => lineOf(chain, pending)).join(''))
    try {
      await handle.appendFile(bytes)
    } catch (error) {
      chain.rewind(before)
      await handle.truncate(this.#size)
      throw error
    }
    this.#size += bytes.length
    this.#written += batch.length
    this.#losing = false
  }

  async #continue(): Promise<{ readonly handle: FileHandle; readonly chain: Chain }> {
    const { file, gateway } = this.#settings
    const { size, link, from, torn } = continueFile(file)
    const handle = await open(file, 'a', OWNER_ONLY)
    const chain = new Chain(gateway, link)
    this.#size = size
    if (from !== null) this.#size += await this.#first(handle, chain, { at: this.#now(), kind: 'rotated', fields: { from: { file: from, ...link } } })
    if (torn !== null) this.#size += await this.#first(handle, chain, { at: this.#now(), kind: 'tail.torn', fields: torn })
    return { handle, chain }
  }

  async #first(handle: FileHandle, chain: Chain, pending: Pending): Promise<number> {
    const bytes = Buffer.from(lineOf(chain, pending))
    await handle.appendFile(bytes)
    return bytes.length
  }

  async #rotate(): Promise<void> {
    const { file, gateway } = this.#settings
    const link: Link = this.#open?.chain.link ?? { seq: 0, hash: '' }
    await this.#letGo()
    const old = `${file}.1`
    renameSync(file, old)
    const handle = await open(file, 'a', OWNER_ONLY)
    const chain = new Chain(gateway, link)
    this.#open = { handle, chain }
    this.#size = await this.#first(handle, chain, { at: this.#now(), kind: 'rotated', fields: { from: { file: basename(old), ...link } } })
  }

  async #letGo(): Promise<void> {
    const held = this.#open
    this.#open = null
    await held?.handle.close().catch(() => undefined)
  }
}
