// approve and review: a person's word on what somebody asked for or took. What is approved is shown first, and the word is for exactly that. SPEC: ADM10, APR4, APR7
import { type Command, Option } from 'commander'
import type { AdminClient, Json } from '../admin-client.ts'
import { Failure } from '../exit-code.ts'
import { openClient, remoteCommand, type RemoteOptions } from '../remote.ts'
import { cellText, recordText } from '../table-text.ts'
import type { Terminal } from '../terminal.ts'
import { collected, pair, paramOf, reasonOption } from './elevations.ts'
import { told } from './verbs.ts'

type Options = RemoteOptions & { readonly reason?: string }
type ApproveOptions = Options & { readonly for?: string; readonly adds?: readonly string[]; readonly uses?: string; readonly param: readonly string[] }
type ReviewOptions = Options & { readonly accept?: true; readonly reject?: true }

/** What the digest stands for, in words. */
function shownText(elevation: Json): string {
  const { principal, profile, adds, purposes, params, limits, within, for: span, max, requestedBy, because, stages, approvals, shown } = elevation
  const who = typeof principal === 'object' && principal !== null ? (principal as Json) : {} // an object, as just asked
  return recordText({
    profile, scopes: adds, for: span, 'at most': max, purpose: purposes, params, limits, windows: within, 'starts at': elevation['startAt'], 'ends by': elevation['endsBy'], recorded: elevation['recording'], 'behind its end': elevation['afterEnd'], ticket: elevation['ticket'],
    'who asks': `${cellText(who['issuer'])}|${cellText(who['subject'])}`, 'filed by': requestedBy, why: because, 'word of': stages, 'given so far': Array.isArray(approvals) ? approvals.length : 0, shown,
  })
}

function usesOf(text: string): number {
  if (!/^[1-9]\d{0,9}$/.test(text)) throw new Failure('usage', '--uses takes a whole number from 1')
  return Number(text)
}

const lessOf = ({ adds, for: span, uses, param }: ApproveOptions) => ({
  ...(adds === undefined ? {} : { adds: [...adds] }), ...(span === undefined ? {} : { for: span }), ...(uses === undefined ? {} : { uses: usesOf(uses) }),
  ...(param.length === 0 ? {} : { params: Object.fromEntries(param.map(pair).map(([name, value]) => [name, paramOf(value)])) }),
})

/** There is no less of it: it is for what it was asked for. */
async function stepUpApproved(terminal: Terminal, client: AdminClient, id: string, options: ApproveOptions): Promise<Json> {
  if (Object.keys(lessOf(options)).length > 0) throw new Failure('usage', 'a step-up is approved as it was asked for')
  terminal.err(recordText(await client.ask('stepUp.get', { params: { id }, body: {}, query: {} })))
  return client.ask('stepUp.approve', { params: { id }, body: { reason: options.reason ?? '' }, query: {} })
}

export function approveCommand(terminal: Terminal): Command {
  return remoteCommand('approve', 'show a request and approve exactly that, or less').argument('<id>', 'of the elevation, or of the step-up: elv_… or stp_…')
    .option('--adds <scopes...>', 'fewer scopes').option('--for <duration>', 'less time').option('--uses <n>', 'fewer uses')
    .option('--param <name=value>', 'a parameter with less in it: a shorter list, a smaller number; may be repeated', collected, []).addOption(reasonOption().makeOptionMandatory())
    .action(async (id: string, options: ApproveOptions) => {
      const less = lessOf(options)
      const client = await openClient(terminal, options)
      if (id.startsWith('stp_')) return told(terminal, options, await stepUpApproved(terminal, client, id, options))
      const elevation = await client.ask('elevation.get', { params: { id }, body: {}, query: {} })
      terminal.err(shownText(elevation))
      told(terminal, options, await client.ask('elevation.approve', { params: { id }, body: { reason: options.reason ?? '', shown: cellText(elevation['shown']), ...less }, query: {} }))
    })
}

export function reviewCommand(terminal: Terminal): Command {
  return remoteCommand('review', 'your word on an elevation that was taken in an emergency').argument('<elevation>', 'id of the elevation')
    .addOption(new Option('--accept', 'it was right').conflicts('reject')).addOption(new Option('--reject', 'it was wrong; ends it where it still runs').conflicts('accept')).addOption(reasonOption().makeOptionMandatory())
    .action(async (elevation: string, options: ReviewOptions) => {
      if (options.accept !== true && options.reject !== true) throw new Failure('usage', 'say --accept or --reject')
      const body = { verdict: options.accept === true ? ('accepted' as const) : ('rejected' as const), reason: options.reason ?? '' }
      told(terminal, options, await (await openClient(terminal, options)).ask('review.give', { params: { elevation }, body, query: {} }))
    })
}
