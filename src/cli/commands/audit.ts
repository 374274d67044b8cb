// audit verify: is the trail whole. audit show: what a session did, and whether its facts fold to what is stored. SPEC: AUD6, AUD10, ADM10
import type { Command } from 'commander'
import { Command as NewCommand } from 'commander'
import { exportSession } from '../../audit/export-session.ts'
import type { Head } from '../../audit/record.ts'
import { trailFiles } from '../../audit/tail.ts'
import { readTimeline, type Timeline } from '../../audit/timeline.ts'
import { verifyTrail } from '../../audit/verify.ts'
import { Failure } from '../exit-code.ts'
import { openClient, outputOption, type OutputOptions, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import type { Terminal } from '../terminal.ts'

const DEFAULT_FILE = './narrowgate-state/trail.jsonl'

type VerifyOptions = OutputOptions & { readonly file: string; readonly head?: string }

function headOf(text: string | undefined): Head | null {
  if (text === undefined) return null
  const [, seq, hash] = /^(\d{1,15}):([A-Za-z0-9_-]{43})$/.exec(text) ?? []
  if (seq === undefined || hash === undefined) throw new Failure('usage', '--head takes SEQ:HASH, as `GET /v1/audit/checkpoint` says them')
  return { file: '', seq: Number(seq), hash }
}

/** @throws Failure `notFound` */
function filesOf(file: string): readonly string[] {
  try {
    return trailFiles(file)
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') throw new Failure('notFound', `there is no trail at ${file}`)
    throw error
  }
}

function verify(terminal: Terminal): Command {
  return new NewCommand('verify').description('walk the trail, rotated files included, and name the first record that is not as it was written')
    .option('--file <file>', 'the trail', DEFAULT_FILE).option('--head <seq:hash>', 'its last record, as known from elsewhere; without it a cut-off end is not seen').addOption(outputOption())
    .action(async ({ file, head, ...options }: VerifyOptions) => {
      const known = headOf(head)
      const verdict = await verifyTrail(filesOf(file), known)
      const { ok, records, sessions, unsealed, problem } = verdict
      show(terminal, options, { ok, records, sessions, unsealed, problem }, () => (ok ? `${records} records of ${sessions} sessions are whole; ${unsealed} unsealed\n` : ''))
      if (problem !== null) throw new Failure('auditBroken', `${problem.file} line ${problem.line}: ${problem.what}`)
    })
}

const idOf = (text: string): string => {
  const [, id] = /^(?:session\/)?(ses_[a-z2-7]{26})$/.exec(text) ?? []
  if (id === undefined) throw new Failure('usage', 'what is shown is session/ID')
  return id
}

/** From files, or as the running gateway reads them. */
async function timelineOf(terminal: Terminal, id: string, options: RemoteOptions & { readonly file?: string }): Promise<{ readonly timeline: Timeline; readonly stored: number | null }> {
  if (options.file !== undefined) return { timeline: await readTimeline(filesOf(options.file), id), stored: null }
  const client = await openClient(terminal, options)
  const read = { params: { id }, body: {}, query: {} } as const
  const answer = await client.ask('session.timeline', read)
  const stored = await client.ask('session.get', read).catch((error: unknown) => {
    if (error instanceof Failure && error.exit === 'notFound') return null // a later life took its place, or it was forgotten
    throw error
  })
  const folded = answer['version'] === null ? null : { version: answer['version'] }
  return { timeline: { session: folded, gap: answer['gap'], lines: answer['lines'], left: answer['left'] } as Timeline, stored: stored === null ? null : Number(stored['version']) } // what the timeline of our own server is made of
}

function showOne(terminal: Terminal): Command {
  return remoteCommand('show', 'everything the trail says about a session').argument('<what>', 'session/ID').option('--file <file>', 'read this trail instead of asking the gateway')
    .action(async (what: string, options: RemoteOptions & { readonly file?: string }) => {
      const id = idOf(what)
      const { timeline, stored } = await timelineOf(terminal, id, options)
      const { session, gap, left, lines } = timeline
      if (lines.length === 0) throw new Failure('notFound', 'the trail does not name this session')
      show(terminal, options, { session: id, version: session?.version ?? null, gap, left, lines }, () => exportSession(timeline))
      if (gap !== null) throw new Failure('auditBroken', `version ${gap.after + 1} is missing before ${gap.file} line ${gap.line}`)
      const folded = session?.version ?? 0
      if (stored !== null && folded > stored) throw new Failure('auditBroken', `the facts fold to version ${folded}, but version ${stored} is stored`)
      terminal.err(`the facts fold to version ${folded}${stored === null ? '' : folded === stored ? ', as stored' : `; ${stored - folded} more were written since`}\n`)
    })
}

export const auditCommand = (audit: Command, terminal: Terminal): Command => audit.description('the audit trail').addCommand(verify(terminal)).addCommand(showOne(terminal))
