// The lines of a trail since an instant, of the kinds asked for, oldest first and in bounded memory: what reports are made of. At most so much of the newest
// end is read; whether that was all is told. SPEC: RPT1, RPT2
import { statSync } from 'node:fs'
import type { Instant } from '../core/time.ts'
import { readLines } from './lines.ts'
import { type Kind, type Line, parseLine } from './record.ts'

const BYTES_MAX = 2 * 1024 * 1024 * 1024

/** The newest files within the limit; one that does not fit is read from where it does. */
function newest(files: readonly string[], most: number): { readonly parts: readonly { readonly file: string; readonly from: number }[]; readonly isAll: boolean } {
  const parts: { readonly file: string; readonly from: number }[] = []
  let left = most
  for (const file of files.toReversed()) {
    const { size } = statSync(file)
    parts.unshift({ file, from: Math.max(0, size - left) })
    left -= size
    if (left <= 0) break
  }
  return { parts, isAll: left > 0 || (parts.length === files.length && parts[0]?.from === 0) }
}

const isOf = <K extends Kind>(line: Line, kinds: readonly K[]): line is Extract<Line, { readonly kind: K }> => kinds.some(kind => kind === line.kind)

/** What was read: not all where the trail is longer than is read of it. */
export type Extent = { readonly isAll: boolean }

/** @param files oldest first. @param each hears every line. @throws the system's error when a file can't be read */
export async function readRecent<K extends Kind>(files: readonly string[], kinds: readonly K[], since: Instant, each: (line: Extract<Line, { readonly kind: K }>) => void, most = BYTES_MAX): Promise<Extent> {
  const { parts, isAll } = newest(files, most)
  const marks = kinds.map(kind => `"kind":"${kind}"`)
  for (const { file, from } of parts) {
    for await (const { bytes, whole } of readLines(file, from)) {
      if (!whole || !marks.some(mark => bytes.includes(mark))) continue
      const line = parseLine(bytes.toString())
      if (line !== null && line.at >= since && isOf(line, kinds)) each(line)
    }
  }
  return { isAll }
}
