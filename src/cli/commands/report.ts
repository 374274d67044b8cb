// report: what stands open without an elevation, which profiles give more than was used, and what enforcing would refuse. Only reads. SPEC: RPT1, RPT2, ADM10
import type { Command } from 'commander'
import type { Json } from '../admin-client.ts'
import { listIn, openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import { tableText } from '../table-text.ts'
import type { Terminal } from '../terminal.ts'

type Options = RemoteOptions & { readonly since?: string }
type Section = { readonly title: string; readonly list: string; readonly columns: readonly string[]; readonly none: string }

const PRIVILEGE: readonly Section[] = [
  { title: 'scopes that a baseline gives', list: 'baseline', columns: ['scope', 'when', 'principals', 'rules', 'addedBy'], none: 'none' },
  { title: 'rules that ask for no scope', list: 'withoutScope', columns: ['route', 'rule', 'anonymous', 'mode', 'if'], none: 'none' },
  { title: 'profiles and their use', list: 'profiles', columns: ['name', 'granted', 'neverUsed', 'for', 'longestUsedSeconds', 'mostUses', 'limitUses', 'unusedScopes', 'findings'], none: 'there are no profiles' },
  { title: 'elevations that run and were not used', list: 'unused', columns: ['id', 'subject', 'profile', 'purpose', 'since', 'until', 'session'], none: 'none' },
]
const OBSERVED: readonly Section[] = [
  { title: 'observed routes', list: 'routes', columns: ['route', 'requests', 'wouldRefuse'], none: 'no route is observed' },
  { title: 'what enforcing would have refused', list: 'refusals', columns: ['route', 'rule', 'reason', 'subject', 'requests', 'methods', 'first', 'last'], none: 'nothing' },
]

function sectionText(value: Json, { title, list, columns, none }: Section): string {
  const rows = listIn(value, list)
  return `${title}\n${rows.length === 0 ? `${none}\n` : tableText(columns, rows.map(row => columns.map(column => row[column])))}`
}

function report(terminal: Terminal, name: 'privilege' | 'observed', summary: string, sections: readonly Section[]): Command {
  return remoteCommand(name, summary).option('--since <duration>', 'looks back so long; default 7d').action(async (options: Options) => {
    const { since } = options
    const client = await openClient(terminal, options)
    const answer = await client.ask(`report.${name}`, { params: {}, body: {}, query: since === undefined ? {} : { since } })
    show(terminal, options, answer, value => sections.map(section => sectionText(value, section)).join('\n'))
    if (answer['whole'] !== true) terminal.err('the trail is longer than was read, or there are more rows than are told: this is a part\n')
  })
}

export const reportCommand = (command: Command, terminal: Terminal): Command => command.description('what stands open, and what is used of it, by this gateway\'s trail')
  .addCommand(report(terminal, 'privilege', 'scopes without an elevation, and profiles that give more than is used', PRIVILEGE))
  .addCommand(report(terminal, 'observed', 'what enforcing would refuse on routes with `mode: observe`', OBSERVED))
