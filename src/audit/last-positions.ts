// The last fact of each epoch that a trail already holds, so that facts the store hands over again are dropped.
// Looks at no more than the newest 64 MiB of the file and of the one before it. SPEC: AUD8
import { existsSync, statSync } from 'node:fs'
import { readLines } from './lines.ts'
import { type FactPosition, parseLine } from './record.ts'
import { rotatedFiles } from './tail.ts'

const LOOK_BACK = 64 * 1024 * 1024
/** One for each shard, and a few from before. */
const EPOCHS_MAX = 64

/** Newest epoch last; beyond 64 the one that was silent longest is forgotten. */
export function remember(positions: Map<string, FactPosition>, position: FactPosition): void {
  positions.delete(position.epoch)
  positions.set(position.epoch, position)
  const [oldest] = positions.keys()
  if (positions.size > EPOCHS_MAX && oldest !== undefined) positions.delete(oldest)
}

async function lookInto(file: string, into: Map<string, FactPosition>): Promise<void> {
  const from = Math.max(0, statSync(file).size - LOOK_BACK)
  for await (const { bytes } of readLines(file, from)) {
    if (!bytes.includes('"kind":"fact"')) continue
    const line = parseLine(bytes.toString())
    if (line?.kind === 'fact') remember(into, line.position)
  }
}

export async function lastPositions(file: string): Promise<Map<string, FactPosition>> {
  const positions = new Map<string, FactPosition>()
  const before = rotatedFiles(file).at(-1)
  if (before !== undefined) await lookInto(before.file, positions)
  if (existsSync(file)) await lookInto(file, positions)
  return positions
}
