// What the run before left open: exchanges that the trail opened and never closed. Reads no further back than the last start or orderly stop, behind
// which nothing is open; of the file and the one before it; never holds more than 100,000 exchanges. SPEC: AUD12
import { statSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { readLines } from './lines.ts'
import { trailFiles } from './tail.ts'

export type LastRun = {
  /** Oldest first. */
  readonly open: readonly { readonly exchange: string; readonly session: string | null }[]
  /** Told as lost since that run's start, by a gateway that died before its own start was on record. */
  readonly told: number
  /** False when it had more open than are held, or began in a file that is not read. */
  readonly whole: boolean
}

const FILES_READ = 2
const OPEN_MAX = 100_000
const CHUNK = 1024 * 1024
const LF = 10
/** Begins the kind of a start and of a stop. No text in a line reads like it: its quotes are escaped. */
const MARK = '"kind":"gateway.st'
const OVERLAP = MARK.length - 1
/** The fields stand in this order, right behind the envelope; a line's rest is not looked at. */
const ABOUT_EXCHANGE = /"kind":"(exchange\.opened|exchange\.closed|exchange\.lost|request\.not_dispatched)","exchange":"([^"]+)","session":(?:null|"([^"]+)")/
const LOOKED_AT = 320

/** Where a whole line of the file last tells of a start or a stop, in bytes; null where none does. */
async function lastMark(file: string): Promise<number | null> {
  const handle = await open(file)
  try {
    const { size } = await handle.stat()
    const chunk = Buffer.allocUnsafe(CHUNK + OVERLAP)
    let torn = true
    for (let end = size; end > 0; end -= CHUNK) {
      const from = Math.max(0, end - CHUNK)
      const { bytesRead } = await handle.read(chunk, 0, Math.min(size, end + OVERLAP) - from, from)
      const read = chunk.subarray(0, bytesRead)
      const lines: Buffer = torn ? read.subarray(0, read.lastIndexOf(LF) + 1) : read
      torn &&= lines.length === 0
      const at = lines.lastIndexOf(MARK)
      if (at >= 0) return from + at
    }
    return null
  } finally {
    await handle.close()
  }
}

class Reading {
  readonly #open = new Map<string, string | null>()
  #told = 0
  #whole: boolean

  constructor(whole: boolean) {
    this.#whole = whole
  }

  take(line: Buffer): void {
    const [, kind, exchange, session = null] = ABOUT_EXCHANGE.exec(line.toString('latin1', 0, LOOKED_AT)) ?? []
    if (exchange === undefined) return
    if (kind === 'exchange.lost') this.#told++
    if (kind !== 'exchange.opened') this.#open.delete(exchange)
    else if (this.#open.size < OPEN_MAX) this.#open.set(exchange, session)
    else this.#whole = false
  }

  end(): LastRun {
    return { open: Array.from(this.#open, ([exchange, session]) => ({ exchange, session })), told: this.#told, whole: this.#whole }
  }
}

/**
 * To be called before the file is continued.
 * @throws RangeError at a line that is not ours, or the system's error
 */
export async function readLastRun(file: string): Promise<LastRun> {
  const files = trailFiles(file).filter(each => (statSync(each, { throwIfNoEntry: false })?.size ?? 0) > 0)
  const spans: { readonly file: string; readonly from: number }[] = []
  let mark: number | null = null
  for (const each of files.slice(-FILES_READ).toReversed()) {
    mark = await lastMark(each)
    spans.unshift({ file: each, from: mark ?? 0 })
    if (mark !== null) break
  }
  const reading = new Reading(mark !== null || files.length <= FILES_READ)
  for (const span of spans) for await (const { bytes, whole } of readLines(span.file, span.from)) if (whole) reading.take(bytes)
  return reading.end()
}
