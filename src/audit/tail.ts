// The end of a line file: its last whole line, what is torn behind it, and the files it was rotated to.
// Moves a torn end aside, never throws it away. SPEC: AUD5
import { appendFileSync, closeSync, fstatSync, openSync, readdirSync, readSync, truncateSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { digestOf, FRESH, type Link } from './chain.ts'
import { parseLine } from './record.ts'

/** Bytes a line may have at most; longer ones are not ours. */
export const LINE_BYTES_MAX = 4 * 1024 * 1024
const CHUNK = 64 * 1024
const LF = 10

export class AuditDamaged extends Error {
  readonly code = 'audit_damaged'
  readonly side = 'internal'
  override readonly name = 'AuditDamaged'
}

type End = { readonly size: number; /** Without LF. */ readonly last: Uint8Array | null; readonly torn: Uint8Array }

/** Reads backwards until the last whole line is in hand. */
function readEnd(fd: number): End {
  const { size } = fstatSync(fd)
  let held = Buffer.alloc(0)
  for (let from = size; ; ) {
    const stop = held.lastIndexOf(LF)
    const start = stop < 1 ? -1 : held.lastIndexOf(LF, stop - 1)
    if (from === 0 || start >= 0) return { size, last: stop < 0 ? null : held.subarray(start + 1, stop), torn: held.subarray(stop + 1) }
    if (held.length > 2 * LINE_BYTES_MAX) throw new AuditDamaged(`the end of the file is not made of lines of at most ${LINE_BYTES_MAX} bytes`)
    const length = Math.min(CHUNK, from)
    const chunk = Buffer.alloc(length)
    from -= length
    if (readSync(fd, chunk, 0, length, from) !== length) throw new AuditDamaged('the file became shorter while it was read')
    held = Buffer.concat([chunk, held])
  }
}

function openedForReading(file: string): number | null {
  try {
    return openSync(file, 'r')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return null
    throw error
  }
}

/** @throws AuditDamaged when the last whole line is no record */
function readTail(file: string): { readonly size: number; readonly link: Link | null; readonly torn: Uint8Array } {
  const fd = openedForReading(file)
  if (fd === null) return { size: 0, link: null, torn: new Uint8Array(0) }
  try {
    const { size, last, torn } = readEnd(fd)
    if (last === null) return { size, link: null, torn }
    const line = parseLine(Buffer.from(last).toString())
    if (line === null) throw new AuditDamaged(`the last line of ${basename(file)} is not a record`)
    return { size, link: { seq: line.seq, hash: digestOf(last) }, torn }
  } finally {
    closeSync(fd)
  }
}

/** Files this one was rotated to, oldest first. */
export function rotatedFiles(file: string): readonly { readonly file: string; readonly number: number }[] {
  const prefix = `${basename(file)}.`
  return readdirSync(dirname(file))
    .filter(name => name.startsWith(prefix) && /^[1-9][0-9]{0,8}$/.test(name.slice(prefix.length)))
    .map(name => ({ file: join(dirname(file), name), number: Number(name.slice(prefix.length)) }))
    .sort((a, b) => a.number - b.number)
}

/** Every file of a chain that exists, oldest first: what `verifyTrail` and `readTimeline` take. */
export const trailFiles = (file: string): readonly string[] => [...rotatedFiles(file).map(old => old.file), file]

type Continued = {
  /** Bytes of whole lines in the file. */
  readonly size: number
  readonly link: Link
  /** Base name of the file the chain comes from when this one is still empty. */
  readonly from: string | null
  readonly torn: { readonly bytes: number; readonly moved: string } | null
}

/** Makes a file ready to be continued: a torn end goes to `<file>.torn`. */
export function continueFile(file: string): Continued {
  const { size, link, torn } = readTail(file)
  const moved = `${file}.torn`
  if (torn.length > 0) {
    appendFileSync(moved, Buffer.concat([torn, Buffer.from('\n')]), { mode: 0o600 })
    truncateSync(file, size - torn.length)
  }
  const note = torn.length === 0 ? null : { bytes: torn.length, moved: basename(moved) }
  if (link !== null) return { size: size - torn.length, link, from: null, torn: note }
  const old = rotatedFiles(file).at(-1)
  const before = old === undefined ? null : readTail(old.file).link
  return { size: 0, link: before ?? FRESH, from: old === undefined || before === null ? null : basename(old.file), torn: note }
}
