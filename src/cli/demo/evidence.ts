// The last part of the story: the session told from the trail, the trail verified against the head the store keeps, and a copy of it with one
// changed record, which must be found. It changes the copy only.
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { exportSession } from '../../audit/export-session.ts'
import { keptHead } from '../../audit/head-keeper.ts'
import { type Head, type Line, parseLine } from '../../audit/record.ts'
import { trailFiles } from '../../audit/tail.ts'
import { verifyTrail } from '../../audit/verify.ts'
import type { Narrator } from './narrator.ts'
import { observe, observeThat, observeWithin } from './observation.ts'
import type { SetUp } from './set-up.ts'

const WITHIN_MS = 5_000
/** What the story did must be in it. */
const TOLD = ['session.opened', 'elevation.requested', 'exchange.opened', 'session.frozen', 'exchange.frozen', 'session.resumed', 'exchange.resumed', 'elevation.ended', 'exchange.cut', 'exchange.closed', 'request.refused']

const nameOf = (line: Line): string => (line.kind === 'fact' ? line.fact.what : line.kind)

async function linesOf({ operator }: SetUp, session: string): Promise<readonly Line[]> {
  const { lines, complete } = await operator.ask('session.timeline', { params: { id: session }, body: {}, query: {} })
  observe('the timeline is complete', true, complete)
  return (Array.isArray(lines) ? lines : []).flatMap(line => parseLine(JSON.stringify(line)) ?? [])
}

async function showTimeline(at: SetUp, narrator: Narrator, session: string): Promise<void> {
  const open = () => at.gateway.parts.inflight.size
  await observeWithin('everything is closed', WITHIN_MS, () => open() === 0, open)
  const lines = await linesOf(at, session)
  const names = new Set(lines.map(nameOf))
  observe('the timeline tells what happened', [], TOLD.filter(name => !names.has(name)))
  const cuts = lines.flatMap(line => (line.kind === 'exchange.cut' ? [line] : []))
  observe('one cut is told, with its reason', ['ticket_closed'], cuts.map(({ reason }) => reason))
  narrator.shows(exportSession({ session: null, lines, gap: null, left: 0 }).replaceAll(/^\d{4}-\d\d-\d\dT/gm, ''))
  narrator.saw(`${lines.length} lines of the trail, complete; the one cut in it: ticket_closed, ${String(cuts[0]?.latencyMs)} ms after the operator's word was accepted`)
}

/** The trail's head as the store keeps it, once it is the newest. */
async function settledHead({ gateway: { parts } }: SetUp): Promise<Head> {
  parts.trail.flushNow()
  const { seq } = parts.trail.head
  let head: Head | null = null
  await observeWithin('the store keeps the head', WITHIN_MS, async () => {
    head = await keptHead(parts.store, parts.gateway)
    return head !== null && head.seq >= seq
  }, () => head)
  parts.trail.flushNow()
  return head ?? parts.trail.head
}

async function verify(at: SetUp, narrator: Narrator): Promise<void> {
  const trail = join(at.stateDir, basename(at.gateway.parts.settings().audit.trail.file))
  const head = await settledHead(at)
  const whole = await verifyTrail(trailFiles(trail), head)
  observe('the trail is whole', { ok: true, problem: null }, { ok: whole.ok, problem: whole.problem })
  narrator.saw(`audit verify: ${whole.records} records, unbroken up to the head the store keeps (record ${head.seq})`)
  const lines = (await readFile(trail, 'utf8')).split('\n')
  const tampered = lines.findIndex(line => line.includes('"kind":"exchange.cut"')) + 1
  observeThat('there is a record to tamper with', tampered > 0, lines.length)
  const changed = lines.map((line, i) => (i + 1 === tampered ? line.replace('ticket_closed', 'caller_closed') : line)).join('\n')
  const copy = join(at.stateDir, 'tampered', basename(trail))
  await mkdir(join(at.stateDir, 'tampered'))
  await writeFile(copy, changed)
  const { ok, problem } = await verifyTrail([copy], head)
  observe('the changed record is found', { ok: false, line: tampered }, { ok, line: problem?.line })
  narrator.saw(`a copy that says the caller had closed its feed itself: line ${tampered}, ${problem?.what}`)
}

/** @param next called between the two steps. @throws NotObserved */
export async function showEvidence(at: SetUp, narrator: Narrator, session: string, next: () => void): Promise<void> {
  await showTimeline(at, narrator, session)
  next()
  await verify(at, narrator)
}
