// window extend, close, restore: an operator's word on a window, in force at once. SPEC: ADM10, WIN4
import type { Command } from 'commander'
import { parseDuration } from '../../core/time.ts'
import { Failure } from '../exit-code.ts'
import { openClient, remoteCommand, type RemoteOptions } from '../remote.ts'
import type { Terminal } from '../terminal.ts'
import { reasonOption } from './elevations.ts'
import { told } from './verbs.ts'

type Options = RemoteOptions & { readonly reason?: string; readonly from?: string; readonly until?: string; readonly for?: string }

const NAME = '<name>'
const NAME_SAYS = 'name of the window'

function endOf({ until, for: span }: Options): string {
  if ((until === undefined) === (span === undefined)) throw new Failure('usage', 'say either --until or --for')
  if (until !== undefined) return until
  const ms = parseDuration(span ?? '')
  if (ms === null || ms <= 0) throw new Failure('usage', '--for takes a duration such as 30m')
  return new Date(Date.now() + ms).toISOString()
}

const reasonOf = ({ reason = '' }: Options): string => reason

function extend(terminal: Terminal): Command {
  return remoteCommand('extend', 'open it, or keep it open, until then').argument(NAME, NAME_SAYS).option('--from <time>', 'from when on; default the beginning of what is open now, else now')
    .option('--until <time>', 'until when').option('--for <duration>', 'the same, from now').addOption(reasonOption().makeOptionMandatory())
    .action(async (name: string, options: Options) => {
      const body = { until: endOf(options), reason: reasonOf(options), ...(options.from === undefined ? {} : { from: options.from }) }
      told(terminal, options, await (await openClient(terminal, options)).ask('window.override', { params: { name }, body, query: {} }))
    })
}

function close(terminal: Terminal): Command {
  return remoteCommand('close', 'close what is open now; it opens again as the calendar says').argument(NAME, NAME_SAYS).addOption(reasonOption().makeOptionMandatory())
    .action(async (name: string, options: Options) =>
      told(terminal, options, await (await openClient(terminal, options)).ask('window.override', { params: { name }, body: { until: 'now', reason: reasonOf(options) }, query: {} })))
}

function restore(terminal: Terminal): Command {
  return remoteCommand('restore', 'take the word back: its calendar counts again').argument(NAME, NAME_SAYS).addOption(reasonOption().makeOptionMandatory())
    .action(async (name: string, options: Options) =>
      told(terminal, options, await (await openClient(terminal, options)).ask('window.restore', { params: { name }, body: { reason: reasonOf(options) }, query: {} })))
}

export const windowCommand = (window: Command, terminal: Terminal): Command =>
  window.description('an operator\'s word on a window').addCommand(extend(terminal)).addCommand(close(terminal)).addCommand(restore(terminal))
