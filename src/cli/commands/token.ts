// token new: a token for an operator, and its entry for the token file. The token is shown once and kept nowhere. SPEC: ADM11
import { Command } from 'commander'
import { entryFor, newToken } from '../../admin/first-token.ts'
import { ROLES } from '../../admin/roles.ts'
import { tokensOf } from '../../admin/token-file.ts'
import { Failure } from '../exit-code.ts'
import { outputOption, type OutputOptions, show } from '../remote.ts'
import type { Terminal } from '../terminal.ts'

type Options = OutputOptions & { readonly name: string; readonly roles: readonly string[]; readonly identity: string; readonly expires?: string }

function entryOf(token: string, { name, roles, identity, expires }: Options) {
  const known = ROLES.filter(role => roles.includes(role))
  const unknown = roles.find(role => !known.some(each => each === role))
  if (unknown !== undefined) throw new Failure('usage', `a role is one of ${ROLES.join(', ')}, not ${unknown}`)
  const { sha256 } = entryFor(token, name, known, identity)
  const entry = { name, sha256, roles: known, identity, ...(expires === undefined ? {} : { expires }) }
  try {
    tokensOf(JSON.stringify({ tokens: [entry] }))
  } catch (error) {
    throw new Failure('usage', error instanceof Error ? error.message.replace('tokens[0]: ', '') : 'the entry is wrong')
  }
  return entry
}

function newOne(terminal: Terminal): Command {
  return new Command('new').description('make a token; the entry goes into the token file, the token to the operator').option('--name <name>', 'name of the entry', 'operator')
    .option('--roles <roles...>', ROLES.join(', '), ['operator']).option('--identity <issuer|subject>', 'who the operator is', 'local|operator').option('--expires <time>', 'when it stops to count').addOption(outputOption())
    .action((options: Options) => {
      const token = newToken()
      const entry = entryOf(token, options)
      show(terminal, options, { token, entry }, () => `${token}\n${JSON.stringify(entry)}\n`)
      terminal.err('the token is shown this once; the file is {"tokens": [ENTRY, …]}\n')
    })
}

export const tokenCommand = (token: Command, terminal: Terminal): Command => token.description('tokens of operators').addCommand(newOne(terminal))
