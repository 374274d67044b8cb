// One session's story out of trail files of one or many gateways: every line that names it, its facts folded into the record, and what became of its
// principal's trust meanwhile.
// The fold stops at the first missing version and names it. SPEC: AUD1, AUD10, EXP4
import { basename } from 'node:path'
import type { SessionFact } from '../core/fact.ts'
import { applyToSession } from '../core/replay.ts'
import type { Session } from '../core/session.ts'
import { principalName } from '../runtime/principal-name.ts'
import { readLines } from './lines.ts'
import { type Line, type LineOf, parseLine } from './record.ts'

type FactLine = LineOf<'fact'>
type Found<L extends Line> = { readonly file: string; readonly number: number; readonly line: L }

/** Version `after` is the last one known; `next` is the one that follows in the files. `after` 0: the opening itself is missing. */
type Gap = { readonly after: number; readonly next: number | null; readonly file: string; readonly line: number }

export type Timeline = {
  /** As folded up to the first gap; null when the files do not hold its opening. */
  readonly session: Session | null
  readonly gap: Gap | null
  /** By time, oldest first. */
  readonly lines: readonly Line[]
  /** Lines beyond the limit of 100,000 that were left out. */
  readonly left: number
}

const LINES_MAX = 100_000

const timeOf = (line: Line): number => (line.kind === 'fact' ? line.fact.at : line.at)
const isOpening = (line: Line, id: string): line is FactLine => line.kind === 'fact' && line.fact.what === 'session.opened' && line.fact.session === id

async function* linesWith(files: readonly string[], words: readonly string[]): AsyncGenerator<Found<Line>> {
  for (const file of files) {
    for await (const { number, bytes, whole } of readLines(file)) {
      if (!whole || !words.some(word => bytes.includes(word))) continue
      const line = parseLine(bytes.toString())
      if (line !== null) yield { file: basename(file), number, line }
    }
  }
}

/** The key under which the session's facts stand, and the name under which those of its principal do. */
type Names = { readonly key: string; readonly principal: string }

async function namesOf(files: readonly string[], id: string): Promise<Names | null> {
  for await (const { line } of linesWith(files, [`"${id}"`])) {
    if (isOpening(line, id) && line.fact.what === 'session.opened') return { key: line.record.name, principal: principalName(line.fact.principal) }
  }
  return null
}

/** Positions order facts within an epoch; epochs follow each other in time. A fact two gateways wrote counts once. */
function inOrder(facts: readonly Found<FactLine>[]): readonly Found<FactLine>[] {
  const began = new Map<string, number>()
  for (const { line } of facts) began.set(line.position.epoch, Math.min(began.get(line.position.epoch) ?? Infinity, line.fact.at))
  const seen = new Set<string>()
  return facts
    .filter(({ line: { position: p } }) => {
      const name = `${p.epoch} ${p.sequence} ${p.part}`
      return !seen.has(name) && seen.add(name)
    })
    .sort(({ line: a }, { line: b }) =>
      (began.get(a.position.epoch) ?? 0) - (began.get(b.position.epoch) ?? 0) || a.position.sequence - b.position.sequence || a.position.part - b.position.part)
}

/** From the opening of this life up to the next one under the same key. */
function lifeOf(facts: readonly Found<FactLine>[], id: string): readonly Found<FactLine>[] {
  const first = facts.findIndex(({ line }) => isOpening(line, id))
  if (first < 0) return []
  const next = facts.findIndex(({ line: { fact } }, index) => index > first && fact.what === 'session.opened' && fact.session !== id)
  return facts.slice(first, next < 0 ? undefined : next)
}

function fold(life: readonly Found<FactLine>[]): { readonly session: Session | null; readonly gap: Gap | null } {
  let session: Session | null = null
  for (const { file, number, line: { fact } } of life) {
    const after: number = session?.version ?? fact.version - 1
    if (fact.version !== after + 1 && fact.version !== after) return { session, gap: { after, next: fact.version, file, line: number } }
    session = applyToSession(session, fact as SessionFact) // facts under a session's key are session facts
  }
  return { session, gap: null }
}

type Gathered = { readonly facts: readonly Found<FactLine>[]; readonly ofPrincipal: readonly Found<FactLine>[]; readonly others: readonly Found<Line>[]; readonly left: number }

async function gather(files: readonly string[], id: string, names: Names | null): Promise<Gathered> {
  const facts: Found<FactLine>[] = []
  const ofPrincipal: Found<FactLine>[] = []
  const others: Found<Line>[] = []
  let left = 0
  for await (const found of linesWith(files, names === null ? [`"${id}"`] : [id, `"${names.key}"`, `"${names.principal}"`])) {
    const { line } = found
    if (facts.length + ofPrincipal.length + others.length >= LINES_MAX) left++
    else if (line.kind === 'fact' && line.record.kind === 'session' && line.record.name === names?.key) facts.push({ ...found, line })
    else if (line.kind === 'fact' && line.record.kind === 'principal' && line.record.name === names?.principal) ofPrincipal.push({ ...found, line })
    else others.push(found)
  }
  return { facts, ofPrincipal, others, left }
}

const isEnd = ({ line: { fact } }: Found<FactLine>): boolean => fact.what === 'session.revoked' || fact.what === 'session.lapsed'

/** Those of its time. */
function during(life: readonly Found<FactLine>[], ofPrincipal: readonly Found<FactLine>[]): readonly Found<FactLine>[] {
  const from = life[0]?.line.fact.at ?? Infinity
  const to = life.findLast(isEnd)?.line.fact.at ?? Infinity
  return inOrder(ofPrincipal).filter(({ line: { fact: { at } } }) => at >= from && at <= to)
}

/**
 * @param files oldest first for each gateway
 * @param id `ses_…`
 * @throws the system's error when a file can't be read
 */
export async function readTimeline(files: readonly string[], id: string): Promise<Timeline> {
  const { facts, ofPrincipal, others, left } = await gather(files, id, await namesOf(files, id))
  const life = lifeOf(inOrder(facts), id)
  const [stray] = others
  const { session, gap } = life.length === 0 && stray !== undefined
    ? { session: null, gap: { after: 0, next: null, file: stray.file, line: stray.number } }
    : fold(life)
  const lines = [...life, ...during(life, ofPrincipal), ...others].map(({ line }) => line).sort((a, b) => timeOf(a) - timeOf(b))
  return { session, gap, lines, left }
}
