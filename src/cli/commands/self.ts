// self: what a caller asks of its own, with its own token: its session, what it may ask for, elevations. SPEC: ADM24
import { type Command, Option } from 'commander'
import type { Json } from '../admin-client.ts'
import { type AskOptions, askedFor, asking, callerCommand, type CallerOptions, openCaller } from '../caller.ts'
import { outputOption, type OutputOptions, show } from '../remote.ts'
import type { Terminal } from '../terminal.ts'

type Options = CallerOptions & OutputOptions
type ElevateOptions = AskOptions & OutputOptions & { readonly startAt?: string; readonly dryRun?: boolean; readonly idempotencyKey?: string }

const own = (name: string, summary: string): Command => callerCommand(name, summary).addOption(outputOption())

function reading(terminal: Terminal, name: string, summary: string, path: string): Command {
  return own(name, summary).action(async (options: Options) => {
    const { json } = await (await openCaller(terminal, options)).ask('GET', path)
    show(terminal, options, json)
  })
}

function elevate(terminal: Terminal): Command {
  return asking(own('elevate', 'ask for an elevation').argument('<profile>', 'name of the profile'))
    .option('--start-at <time>', 'when it begins').option('--dry-run', 'only show what it would be').option('--idempotency-key <key>', 'asked again with the same key it is the same elevation')
    .action(async (profile: string, options: ElevateOptions) => {
      const { startAt, dryRun, idempotencyKey = null } = options
      const body = { ...askedFor(profile, options), ...(startAt === undefined ? {} : { startAt }), ...(dryRun === true ? { dryRun } : {}) }
      const { json } = await (await openCaller(terminal, options)).ask('POST', 'elevations', body, idempotencyKey)
      show(terminal, options, json)
      if (json['state'] === 'requested') terminal.err('it waits for an approval\n')
    })
}

/** What is done to one elevation. */
function act(terminal: Terminal, name: 'release' | 'withdraw' | 'extend', summary: string): Command {
  const command = own(name, summary).argument('<elevation>', 'elv_…').addOption(new Option('--reason <text>', 'why; it stands in the audit trail'))
  return (name === 'extend' ? command.requiredOption('--for <duration>', 'how much longer') : command).action(async (id: string, options: Options & { readonly for?: string; readonly reason?: string }) => {
    const body: Json = { ...(options.for === undefined ? {} : { for: options.for }), ...(options.reason === undefined ? {} : { reason: options.reason }) }
    const { json } = await (await openCaller(terminal, options)).ask('POST', `elevations/${encodeURIComponent(id)}/${name}`, body)
    show(terminal, options, json)
  })
}

export const selfCommand = (self: Command, terminal: Terminal): Command => self.description('what a caller asks of its own, with its own token')
  .addCommand(reading(terminal, 'session', 'my session: scopes, elevations, time left', 'session')).addCommand(reading(terminal, 'profiles', 'what I may ask for', 'profiles'))
  .addCommand(elevate(terminal)).addCommand(act(terminal, 'extend', 'ask for more time')).addCommand(act(terminal, 'release', 'give an elevation back')).addCommand(act(terminal, 'withdraw', 'take a request back'))
