// health: is the gateway up and ready, asked without a token. version. SPEC: ADM16, ADM10
import { Command } from 'commander'
import { OPERATIONS } from '../../admin/contract.ts'
import { VERSION } from '../../version.ts'
import { Failure } from '../exit-code.ts'
import { openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import { cellText } from '../table-text.ts'
import type { Terminal } from '../terminal.ts'

export function healthCommand(terminal: Terminal): Command {
  return remoteCommand('health', 'is it ready; also of a health listener, by --server').action(async (options: RemoteOptions) => {
    const client = await openClient(terminal, options, false)
    const { status, json } = await client.send(OPERATIONS['health.ready'], OPERATIONS['health.ready'].path, null)
    show(terminal, options, json, value => `${value['ok'] === true ? 'ready' : 'not ready'}: ${cellText(value['checks'])}\n`)
    if (status !== 200) throw new Failure('failure', `the gateway answered ${status}`)
  })
}

export const versionCommand = ({ out }: Terminal): Command => new Command('version').description('the release').action(() => out(`${VERSION}\n`))
