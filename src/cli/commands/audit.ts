// audit verify: is the trail whole. audit head: its last record. audit show: what a session did, and whether its facts fold to what is stored.
// SPEC: AUD6, AUD10, ADM10
import { existsSync } from 'node:fs'
import type { Command } from 'commander'
import { exportSession } from '../../audit/export-session.ts'
import { trailFiles } from '../../audit/tail.ts'
import { readTimeline, type Timeline } from '../../audit/timeline.ts'
import { verifyTrail } from '../../audit/verify.ts'
import { Failure } from '../exit-code.ts'
import { DEFAULT_TRAIL, type Known, type Source, type TrailOptions, trailOf } from '../known-head.ts'
import { openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import type { Terminal } from '../terminal.ts'

/** A file that is gone while those it was rotated to are there is damage, and told by who reads it. @throws Failure `notFound` */
function filesOf(file: string): readonly string[] {
  const missing = new Failure('notFound', `there is no trail at ${file}`)
  try {
    const files = trailFiles(file)
    if (files.length === 1 && !existsSync(file)) throw missing
    return files
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw missing
    throw error
  }
}

const AS: { readonly [S in Source]: string } = { option: 'as given', gateway: 'as the running gateway has it', store: 'as the store keeps it' }
const comparedText = (known: Known): string => (known.is === 'known' ? `compared with record ${known.head.seq}, ${AS[known.from]}` : 'the end was compared with nothing')

function verify(terminal: Terminal): Command {
  return remoteCommand('verify', 'walk the trail, rotated files included, and name the first record that is changed, or missing up to the head that the running gateway or, with -c, the store has')
    .option('--file <file>', `the trail; default the running gateway's, else ${DEFAULT_TRAIL}`).option('-c, --config <file>', 'the configuration of a gateway that is not running: its trail, and the head its store keeps')
    .option('--head <seq:hash>', 'the last record, as `audit head` prints it; nobody is asked')
    .action(async (options: TrailOptions) => {
      const { file, known } = await trailOf(terminal, options)
      const head = known.is === 'known' ? known.head : null
      const { ok, records, sessions, unsealed, problem } = await verifyTrail(filesOf(file), head)
      const against = known.is === 'known' ? { seq: known.head.seq, hash: known.head.hash, from: known.from } : null
      show(terminal, options, { ok, records, sessions, unsealed, head: against, problem }, () => (ok ? `${records} records of ${sessions} sessions are whole; ${unsealed} unsealed; ${comparedText(known)}\n` : ''))
      if (known.is === 'unknown') terminal.err(`a missing end is not seen without a head: ${known.why}; -c FILE or --head SEQ:HASH name one\n`)
      if (problem !== null) throw new Failure('auditBroken', `${problem.file} line ${problem.line}: ${problem.what}; ${comparedText(known)}`)
    })
}

function head(terminal: Terminal): Command {
  return remoteCommand('head', 'the last record of the trail as SEQ:HASH, to be kept elsewhere')
    .option('--file <file>', 'the trail, where several workers write one each').option('-c, --config <file>', 'the configuration of a gateway that is not running: what its store keeps')
    .action(async (options: Omit<TrailOptions, 'head'>) => {
      const { known } = await trailOf(terminal, options)
      if (known.is === 'unknown') throw new Failure('unreachable', `${known.why}; with -c FILE its store is asked`)
      const { head: { seq, hash }, from } = known
      show(terminal, options, { seq, hash, from }, () => `${seq}:${hash}\n`)
    })
}

const idOf = (text: string): string => {
  const [, id] = /^(?:session\/)?(ses_[a-z2-7]{26})$/.exec(text) ?? []
  if (id === undefined) throw new Failure('usage', 'what is shown is session/ID')
  return id
}

/** Version in the store, and whether it is the very session the facts fold to; null where that can't be said. */
type Compared = { readonly stored: number | null; readonly asStored: boolean | null }

type ShowOptions = RemoteOptions & { readonly file: readonly string[] }

const collected = (value: string, before: readonly string[]): readonly string[] => [...before, value]

/** From files, or as the running gateway reads them. */
async function timelineOf(terminal: Terminal, id: string, options: ShowOptions): Promise<{ readonly timeline: Timeline; readonly compared: Compared }> {
  if (options.file.length > 0) return { timeline: await readTimeline(options.file.flatMap(filesOf), id), compared: { stored: null, asStored: null } }
  const client = await openClient(terminal, options)
  const answer = await client.ask('session.timeline', { params: { id }, body: {}, query: {} })
  const folded = answer['version'] === null ? null : { version: answer['version'] }
  const { stored, asStored } = answer as Compared // what the timeline of our own server says
  return { timeline: { session: folded, gap: answer['gap'], lines: answer['lines'], left: answer['left'] } as Timeline, compared: { stored, asStored } } // likewise
}

/** What the comparison says. @throws Failure `auditBroken` when the trail tells another story than the store */
function comparison(folded: number, { stored, asStored }: Compared): string {
  if (stored === null) return 'folded, not compared'
  if (folded > stored) throw new Failure('auditBroken', `the facts fold to version ${folded}, but version ${stored} is stored`)
  if (asStored === false) throw new Failure('auditBroken', `the facts fold to another session than version ${stored}, which is stored`)
  return asStored === true ? 'as stored' : `${stored - folded} more were written since`
}

function showOne(terminal: Terminal): Command {
  return remoteCommand('show', 'everything the trail says about a session').argument('<what>', 'session/ID').option('--file <file>', 'read this trail instead of asking the gateway; may be repeated, where gateways share a store', collected, [])
    .action(async (what: string, options: ShowOptions) => {
      const id = idOf(what)
      const { timeline, compared } = await timelineOf(terminal, id, options)
      const { session, gap, left, lines } = timeline
      if (lines.length === 0) throw new Failure('notFound', 'the trail does not name this session')
      show(terminal, options, { session: id, version: session?.version ?? null, gap, left, lines }, () => exportSession(timeline))
      if (gap !== null) throw new Failure('auditBroken', `version ${gap.after + 1} is missing before ${gap.file} line ${gap.line}`)
      const folded = session?.version ?? 0
      terminal.err(`the facts fold to version ${folded}: ${comparison(folded, compared)}\n`)
    })
}

export const auditCommand = (audit: Command, terminal: Terminal): Command => audit.description('the audit trail').addCommand(verify(terminal)).addCommand(head(terminal)).addCommand(showOne(terminal))
