// clear principal, score principal, explain: an operator's word on how far somebody is trusted, and why a request is decided as it is. SPEC: ADM10, EXP1, EXP3
import type { Command } from 'commander'
import type { BodyFor } from '../../admin/contract.ts'
import type { Json } from '../admin-client.ts'
import { Failure } from '../exit-code.ts'
import { openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import { cellText, tableText } from '../table-text.ts'
import type { Terminal } from '../terminal.ts'
import { collected, pair, purposesOf, reasonOption } from './elevations.ts'
import { told } from './verbs.ts'

type Reasoned = RemoteOptions & { readonly reason?: string }
type ClearOptions = Reasoned & { readonly risk?: true; readonly taints?: true | readonly string[] }

const ID = '<id>'
const ID_SAYS = 'id of the principal, as `get principals` shows it'

function cleared({ risk, taints, reason = '' }: ClearOptions): BodyFor<'principal.clear'> {
  if (risk !== true && taints === undefined) throw new Failure('usage', 'say --risk, --taints or both')
  return { reason, ...(risk === true ? { risk } : {}), ...(taints === undefined ? {} : { taints: taints === true ? 'all' : [...taints] }) }
}

export function clearCommand(clear: Command, terminal: Terminal): Command {
  return clear.description('take back what is held against somebody').addCommand(remoteCommand('principal', 'a score, its level and strikes, or taints; what ended by them stays ended').argument(ID, ID_SAYS)
    .option('--risk', 'score, level and strikes').option('--taints [names...]', 'all of them, or some').addOption(reasonOption().makeOptionMandatory())
    .action(async (id: string, options: ClearOptions) => {
      const body = cleared(options)
      told(terminal, options, await (await openClient(terminal, options)).ask('principal.clear', { params: { id }, body, query: {} }))
    }))
}

export const scoreCommand = (terminal: Terminal): Command =>
  remoteCommand('score', 'give a principal points under a name, in the place of the earlier ones of that name').argument('<principal>', ID_SAYS).argument('<name>', 'what they are called').argument('<points>', 'from 0 to 1000')
    .addOption(reasonOption().makeOptionMandatory())
    .action(async (id: string, name: string, text: string, options: Reasoned) => {
      const points = Number(text)
      if (text.trim() === '' || Number.isNaN(points)) throw new Failure('usage', `expected a number of points, not ${JSON.stringify(text)}`)
      show(terminal, options, await (await openClient(terminal, options)).ask('principal.score', { params: { id }, body: { name, points, reason: options.reason ?? '' }, query: {} }))
    })

type ExplainOptions = RemoteOptions & { readonly purpose: readonly string[]; readonly header: readonly string[]; readonly upgrade?: string; readonly source?: string; readonly mcp?: string; readonly args?: string }

const rowsIn = (answer: Json, list: string): readonly Json[] => (Array.isArray(answer[list]) ? (answer[list] as readonly Json[]) : []) // lists of objects by the contract
const part = (answer: Json, list: string, columns: readonly string[]): string => {
  const rows = rowsIn(answer, list)
  return rows.length === 0 ? '' : `\n${tableText(columns, rows.map(row => columns.map(column => row[column])))}`
}

const remedyText = ({ is, ...rest }: Json): string => `  ${cellText(is)} ${cellText(rest)}\n`

/** The answer first, then what it is made of. */
function explainedText(answer: Json): string {
  const { decision, reason, says, grant, route, rule, scope, would, stepUp, risk, level, assumed } = answer
  const first = decision === 'permit' ? `permit on ${cellText(grant)}${would === null ? '' : `; enforcing would refuse: ${cellText(would)}`}` : `refuse: ${cellText(reason)}. ${cellText(says)}`
  const remedies = rowsIn(answer, 'remedies')
  return [
    `${first}\nroute ${cellText(route)}, rule ${cellText(rule)}, scope ${cellText(scope)}, level ${cellText(level)}\n`, part(answer, 'checks', ['check', 'refuses']), part(answer, 'candidates', ['grant', 'profile', 'fault']),
    stepUp == null ? '' : `\nstep-up: ${cellText(stepUp)}\n`, risk == null ? '' : `\nrisk: ${cellText(risk)}\n`, remedies.length === 0 ? '' : `\nwhat would have to happen:\n${remedies.map(remedyText).join('')}`,
    Array.isArray(assumed) && assumed.length > 0 ? `\nassumed: ${assumed.map(cellText).join('; ')}\n` : '',
  ].join('')
}

const isArguments = (value: unknown): value is { readonly [name: string]: unknown } => typeof value === 'object' && value !== null && !Array.isArray(value)

/** `tools/call=restart_service`, and a JSON object. */
function messageOf({ mcp, args }: ExplainOptions): Pick<BodyFor<'explain'>, 'mcp'> {
  if (mcp === undefined && args !== undefined) throw new Failure('usage', '--args goes with --mcp')
  if (mcp === undefined) return {}
  const [method = '', ...name] = mcp.split('=')
  const message = { method, ...(name.length === 0 ? {} : { name: name.join('=') }) }
  if (args === undefined) return { mcp: message }
  let value: unknown
  try {
    value = JSON.parse(args)
  } catch {
    value = null // no JSON is no object either
  }
  if (!isArguments(value)) throw new Failure('usage', 'expected --args as a JSON object')
  return { mcp: { ...message, args: value } }
}

export const explainCommand = (terminal: Terminal): Command =>
  remoteCommand('explain', 'why a request of a session is let through or refused as things are now, and what would have to happen').argument('<session>', 'ses_…').argument('<method>', 'such as GET').argument('<url>', 'as its caller sees it')
    .option('--purpose <kind=value>', 'what it would show; may be repeated', collected, []).option('--header <name=value>', 'what conditions read; may be repeated', collected, [])
    .option('--upgrade <protocol>', 'such as websocket').option('--source <address>', 'where it would come from')
    .option('--mcp <method=name>', 'on routes of MCP: the message, such as tools/call=restart_service').option('--args <json>', 'what it is called with')
    .action(async (session: string, method: string, url: string, options: ExplainOptions) => {
      const { upgrade, source } = options
      const body = { session, method, url, purposes: purposesOf(options.purpose), headers: Object.fromEntries(options.header.map(pair).map(([name, value]) => [name.toLowerCase(), value])), ...(upgrade === undefined ? {} : { upgrade }), ...(source === undefined ? {} : { source }), ...messageOf(options) }
      show(terminal, options, await (await openClient(terminal, options)).ask('explain', { params: {}, body, query: {} }), explainedText)
    })
