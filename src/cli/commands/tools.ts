// accept-tool: an operator's word that the definition of a tool which was seen counts from now on. SPEC: ADM10, MCP14
import { type Command, Option } from 'commander'
import { openClient, remoteCommand, type RemoteOptions } from '../remote.ts'
import type { Terminal } from '../terminal.ts'
import { reasonOption } from './elevations.ts'
import { told } from './verbs.ts'

type Options = RemoteOptions & { readonly digest: string; readonly reason: string }

export function acceptToolCommand(terminal: Terminal): Command {
  return remoteCommand('accept-tool', 'let a tool’s definition count that was seen; the lock it had brought is lifted').argument('<route>', 'name of the route').argument('<tool>', 'name of the tool')
    .addOption(new Option('--digest <digest>', 'of the definition you have read, as `get tools` shows it under `seen`').makeOptionMandatory()).addOption(reasonOption().makeOptionMandatory())
    .action(async (route: string, tool: string, options: Options) =>
      told(terminal, options, await (await openClient(terminal, options)).ask('tool.accept', { params: { route, tool }, body: { digest: options.digest, reason: options.reason }, query: {} })))
}
