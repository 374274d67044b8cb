// elevate, deny, withdraw, extend, release, revoke; and an operator's word on an anchor. SPEC: ADM10, ELV1
import { type Command, Option } from 'commander'
import { PURPOSE_KINDS } from '../../core/purpose.ts'
import { Failure } from '../exit-code.ts'
import { openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import type { Terminal } from '../terminal.ts'
import { told } from './verbs.ts'

type Options = RemoteOptions & { readonly reason?: string; readonly for?: string; readonly tenant?: string }
type AskOptions = Options & { readonly purpose: readonly string[]; readonly param: readonly string[]; readonly startAt?: string; readonly dryRun?: boolean }

export const reasonOption = () => new Option('--reason <text>', 'why; it stands in the audit trail')
export const collected = (value: string, before: readonly string[]): readonly string[] => [...before, value]
const why = ({ reason }: Options) => (reason === undefined ? {} : { reason })

export function pair(text: string): readonly [name: string, value: string] {
  const at = text.indexOf('=')
  if (at < 1) throw new Failure('usage', `expected NAME=VALUE, not ${JSON.stringify(text)}`)
  return [text.slice(0, at), text.slice(at + 1)]
}

export function purposesOf(texts: readonly string[]): { readonly [kind: string]: string } {
  const pairs = texts.map(pair)
  const unknown = pairs.find(([kind]) => !PURPOSE_KINDS.some(each => each === kind))
  if (unknown !== undefined) throw new Failure('usage', `a purpose is one of ${PURPOSE_KINDS.join(', ')}, not ${unknown[0]}`)
  return Object.fromEntries(pairs)
}

/** Numbers, truth values and lists as JSON, everything else as text. */
export function paramOf(text: string): string | number | boolean | string[] {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value === 'number' || typeof value === 'boolean' || typeof value === 'string') return value
    return Array.isArray(value) ? value.map(String) : text
  } catch {
    return text
  }
}

const asked = (session: string, profile: string, options: AskOptions) => ({
  session, profile, reason: options.reason ?? '', purpose: purposesOf(options.purpose), params: Object.fromEntries(options.param.map(pair).map(([name, value]) => [name, paramOf(value)])),
  ...(options.for === undefined ? {} : { for: options.for }), ...(options.startAt === undefined ? {} : { startAt: options.startAt }), ...(options.dryRun === true ? { dryRun: true } : {}),
})

function elevate(terminal: Terminal): Command {
  return remoteCommand('elevate', 'ask for an elevation on behalf of a session').argument('<session>', 'id of the session').argument('<profile>', 'name of the profile')
    .option('--purpose <kind=value>', 'what it is for, such as ticket=INC-42; may be repeated', collected, [])
    .option('--param <name=value>', 'what the profile asks to be filled in; may be repeated', collected, [])
    .option('--for <duration>', 'how long').option('--start-at <time>', 'when it begins').option('--dry-run', 'only show what it would be')
    .addOption(reasonOption().makeOptionMandatory())
    .action(async (session: string, profile: string, options: AskOptions) => {
      const body = asked(session, profile, options)
      const client = await openClient(terminal, options)
      const answer = await client.ask('elevation.request', { params: {}, body, query: {} })
      show(terminal, options, answer)
      if (answer['state'] === 'requested' && options.dryRun !== true) terminal.err('it waits for an approval\n')
    })
}

const ID = '<elevation>'
const ID_SAYS = 'id of the elevation'

function extend(terminal: Terminal): Command {
  return remoteCommand('extend', 'give more time').argument(ID, ID_SAYS).requiredOption('--for <duration>', 'how much longer').addOption(reasonOption().makeOptionMandatory())
    .action(async (id: string, options: Options) => {
      const body = { for: options.for ?? '', reason: options.reason ?? '' }
      told(terminal, options, await (await openClient(terminal, options)).ask('elevation.extend', { params: { id }, body, query: {} }))
    })
}

const TAKING = { deny: ['elevation.deny', 'refuse a request'], withdraw: ['elevation.withdraw', 'take back a request one filed'], release: ['elevation.release', 'give it back'], revoke: ['elevation.revoke', 'take it away'] } as const

function taking(terminal: Terminal, name: keyof typeof TAKING): Command {
  const [operation, summary] = TAKING[name]
  const argument = name === 'deny' ? (['<id>', 'of the elevation, or of the step-up: elv_… or stp_…'] as const) : ([ID, ID_SAYS] as const)
  return remoteCommand(name, summary).argument(argument[0], argument[1]).addOption(reasonOption())
    .action(async (id: string, options: Options) => {
      const asked = name === 'deny' && id.startsWith('stp_') ? 'stepUp.deny' : operation
      told(terminal, options, await (await openClient(terminal, options)).ask(asked, { params: { id }, body: why(options), query: {} }))
    })
}

export const elevationCommands = (terminal: Terminal): readonly Command[] =>
  [elevate(terminal), taking(terminal, 'deny'), taking(terminal, 'withdraw'), extend(terminal), taking(terminal, 'release'), taking(terminal, 'revoke')]

function word(terminal: Terminal, name: 'open' | 'end', summary: string): Command {
  return remoteCommand(name, summary).argument('<kind>', PURPOSE_KINDS.join(', ')).argument('<name>', 'its id').option('--tenant <tenant>', 'the tenant it belongs to')
    .addOption(name === 'open' ? reasonOption().makeOptionMandatory() : reasonOption())
    .action(async (kind: string, id: string, options: Options) => {
      const body = { state: name === 'open' ? ('open' as const) : ('ended' as const), ...why(options), ...(options.tenant === undefined ? {} : { tenant: options.tenant }) }
      told(terminal, options, await (await openClient(terminal, options)).ask('anchor.word', { params: { kind, name: id }, body, query: {} }))
    })
}

export const anchorCommand = (anchor: Command, terminal: Terminal): Command =>
  anchor.description('an operator\'s word on a ticket, task, run …')
    .addCommand(word(terminal, 'open', 'it is open: elevations may stand on it'))
    .addCommand(word(terminal, 'end', 'it is over: every elevation that stands on it ends'))
