// Walks the files of one chain and names the first record that was changed, removed, moved or added.
// Without a head from elsewhere a changed or missing last line can't be seen. Never holds more than a line. SPEC: AUD6
import { basename } from 'node:path'
import { digestOf } from './chain.ts'
import { readLines } from './lines.ts'
import { type Head, type Line, parseLine } from './record.ts'

type TrailProblem = {
  /** Base name. */
  readonly file: string
  /** Counted from 1; one past the end when the missing record is the last. */
  readonly line: number
  /** The record that should stand there. */
  readonly seq: number
  readonly what: string
}

type TrailVerdict = {
  readonly ok: boolean
  readonly records: number
  /** Distinct sessions named, at most a million. */
  readonly sessions: number
  /** Records after the head: nothing outside the file vouches for them. All of them without a head. */
  readonly unsealed: number
  readonly problem: TrailProblem | null
}

const SESSIONS_MAX = 1_000_000

type Place = { readonly file: string; readonly line: number; readonly seq: number }
type Walked = Place & { readonly hash: string }

const changed = ({ file, line, seq }: Place): TrailProblem => ({ file, line, seq, what: `record ${seq} was changed` })

class Walk {
  readonly #head: Head | null
  readonly #sessions = new Set<string>()
  #last: Walked | null = null
  /** The last two lines do not fit: which of them was changed is told by what comes after. */
  #doubt: { readonly before: Walked; readonly after: Walked } | null = null
  records = 0

  constructor(head: Head | null) {
    this.#head = head
  }

  get sessions(): number {
    return this.#sessions.size
  }

  get lastSeq(): number {
    return this.#last?.seq ?? 0
  }

  take(file: string, number: number, bytes: Uint8Array, whole: boolean): TrailProblem | null {
    const line = parseLine(Buffer.from(bytes).toString())
    const doubted = this.#settleDoubt(line)
    if (doubted !== null) return doubted
    const place = { file, line: number, seq: this.#last === null ? (line?.seq ?? 1) : this.#last.seq + 1 }
    if (!whole) return { ...place, what: 'the last line has no end' }
    if (line === null) return { ...place, what: `record ${place.seq} can not be read` }
    if (line.kind === 'rotated' && !isHead(line.from)) return changed(place)
    const walked = { ...place, hash: digestOf(bytes) }
    const problem = this.#misplaced(place, line) ?? this.#unlike(walked)
    if (problem !== null) return problem
    if (this.#last !== null && line.prev !== this.#last.hash) this.#doubt = { before: this.#last, after: walked }
    this.#count(line)
    this.#last = walked
    return null
  }

  /** What can be said when there are no more lines. */
  end(): TrailProblem | null {
    const head = this.#head
    if (this.#doubt !== null) {
      const { before, after } = this.#doubt
      return changed(head !== null && head.seq === before.seq ? after : before) // a line the head vouches for was found alike
    }
    if (head === null || head.seq === 0 || head.seq <= this.lastSeq) return null
    const { file, line, seq } = this.#last ?? { file: head.file, line: 0, seq: 0 }
    return { file, line: line + 1, seq: seq + 1, what: `records ${seq + 1} to ${head.seq} are missing at the end` }
  }

  #settleDoubt(next: Line | null): TrailProblem | null {
    if (this.#doubt === null) return null
    const { before, after } = this.#doubt
    return changed(next !== null && next.prev === after.hash ? before : after)
  }

  #misplaced(place: Place, line: Line): TrailProblem | null {
    if (this.#last === null) return this.#misfirst(place, line)
    const { seq } = place
    if (line.seq > seq) return { ...place, what: `record ${seq} is missing; record ${line.seq} stands in its place` }
    if (line.seq < seq) return { ...place, what: `record ${line.seq} stands in the place of record ${seq}` }
    const opens = place.line === 1
    if (opens !== (line.kind === 'rotated')) return { ...place, what: opens ? 'the file does not begin where the one before it ended' : 'a file begins inside another' }
    if (line.kind === 'rotated' && (line.from.seq !== this.#last.seq || line.from.hash !== line.prev)) return changed(place)
    return null
  }

  #misfirst(place: Place, line: Line): TrailProblem | null {
    if (line.seq === 1 && line.prev === '') return null
    if (line.seq === 1) return changed(place)
    if (line.kind !== 'rotated') return { ...place, seq: 1, what: `the files begin with record ${line.seq}: what came before is missing` }
    return line.from.seq === line.seq - 1 && line.from.hash === line.prev ? null : changed(place)
  }

  #unlike(walked: Walked): TrailProblem | null {
    return this.#head !== null && this.#head.seq === walked.seq && this.#head.hash !== walked.hash ? changed(walked) : null
  }

  #count(line: Line): void {
    this.records++
    if ('session' in line && line.session !== null && this.#sessions.size < SESSIONS_MAX) this.#sessions.add(line.session)
  }
}

/** A changed line may parse and still lack what its kind has. */
const isHead = (value: unknown): boolean => value instanceof Object && 'seq' in value && 'hash' in value

async function firstProblem(walk: Walk, files: readonly string[]): Promise<TrailProblem | null> {
  for (const path of files) {
    const file = basename(path)
    try {
      for await (const { number, bytes, whole } of readLines(path)) {
        const problem = walk.take(file, number, bytes, whole)
        if (problem !== null) return problem
      }
    } catch (error) {
      return { file, line: 0, seq: walk.lastSeq + 1, what: `the file can not be read: ${error instanceof Error ? error.message : String(error)}` }
    }
  }
  return walk.end()
}

/**
 * @param files of one chain, oldest first; older ones may be left out at a rotation
 * @param head newest one known from elsewhere, or null
 */
export async function verifyTrail(files: readonly string[], head: Head | null): Promise<TrailVerdict> {
  const walk = new Walk(head)
  const problem = await firstProblem(walk, files)
  const unsealed = Math.min(walk.records, Math.max(0, walk.lastSeq - (head?.seq ?? 0)))
  return { ok: problem === null, records: walk.records, sessions: walk.sessions, unsealed, problem }
}
