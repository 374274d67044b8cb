// session open and complete: what an orchestrator does at the beginning and at the end of a task. The token goes to stdout and nowhere else.
// SPEC: ADM10, ADM23
import { type Command, Option } from 'commander'
import type { BodyFor } from '../../admin/contract.ts'
import { PRINCIPAL_KINDS, type PrincipalKind } from '../../core/principal.ts'
import type { Json } from '../admin-client.ts'
import { openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import type { Terminal } from '../terminal.ts'
import { collected, pair, paramOf, purposesOf, reasonOption } from './elevations.ts'
import { told } from './verbs.ts'

type Given<K extends string> = { readonly [N in K]?: string }
type OpenOptions = RemoteOptions & Given<'broker' | 'issuer' | 'tenant' | 'client' | 'owner' | 'bindKey' | 'bindCertificate' | 'bindWorkload' | 'bindSource' | 'parent' | 'for'> & {
  readonly subject: string
  readonly kind: PrincipalKind
  readonly claim: readonly string[]
  readonly purpose: readonly string[]
  readonly profile: readonly string[]
  readonly scopes?: readonly string[]
  readonly reason: string
  readonly onlyToken?: true
}

/** Members that were given. */
const given = <K extends string>(members: { readonly [N in K]: string | undefined }): { readonly [N in K]?: string } =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as { readonly [N in K]?: string } // those of the members that are there

/** `NAME`, or `NAME=DURATION`. */
function profileOf(text: string): { readonly profile: string; readonly for?: string } {
  if (!text.includes('=')) return { profile: text }
  const [profile, span] = pair(text)
  return { profile, for: span }
}

function bodyOf(options: OpenOptions): BodyFor<'session.open'> {
  const { broker, issuer, tenant, client, owner, parent, bindKey, bindCertificate, bindWorkload, bindSource } = options
  const bind = given({ jkt: bindKey, 'x5t#S256': bindCertificate, workload: bindWorkload, source: bindSource })
  return {
    ...given({ broker, parent, for: options.for }), reason: options.reason, purpose: purposesOf(options.purpose),
    subject: { kind: options.kind, subject: options.subject, ...given({ issuer, tenant, client, owner }), claims: Object.fromEntries(options.claim.map(pair).map(([name, value]) => [name, paramOf(value)])) },
    ...(Object.keys(bind).length === 0 ? {} : { bind }), ...(options.scopes === undefined ? {} : { scopes: [...options.scopes] }), ...(options.profile.length === 0 ? {} : { profiles: options.profile.map(profileOf) }),
  }
}

function tell(terminal: Terminal, { onlyToken, ...options }: OpenOptions, answer: Json): void {
  if (onlyToken === true) terminal.out(`${String(answer['token'])}\n`)
  else show(terminal, options, answer)
  const waits = Array.isArray(answer['elevations']) && answer['elevations'].some((elevation: Json) => elevation['state'] === 'requested')
  if (waits) terminal.err('an elevation waits for an approval\n')
}

function open(terminal: Terminal): Command {
  return remoteCommand('open', 'open a session for one task and get its token, which is shown once')
    .option('--broker <name>', 'the broker to act as, where there are several')
    .requiredOption('--subject <name>', 'whom it is for').addOption(new Option('--kind <kind>', 'what that is').choices([...PRINCIPAL_KINDS]).default('agent'))
    .option('--issuer <issuer>', 'default broker:NAME').option('--tenant <tenant>', 'its tenant').option('--client <client>', 'its client').option('--owner <owner>', 'who is answerable for it')
    .option('--claim <name=value>', 'what conditions read, as JSON or text; may be repeated', collected, [])
    .option('--bind-key <thumbprint>', 'the DPoP key (jkt) that has to be proved').option('--bind-certificate <thumbprint>', 'the client certificate (x5t#S256) that has to be shown')
    .option('--bind-workload <id>', 'a SPIFFE id').option('--bind-source <address>', 'an IP address; of IPv6 its /64')
    .option('--parent <session>', 'the session it is delegated from').option('--scopes <scopes...>', 'the most it may ever do')
    .option('--purpose <kind=value>', 'what it is for, such as task=T-7; may be repeated', collected, [])
    .option('--profile <name[=duration]>', 'an elevation it begins with; may be repeated', collected, [])
    .option('--for <duration>', 'how long it lives').option('--only-token', 'write nothing but the token to stdout').addOption(reasonOption().makeOptionMandatory())
    .action(async (options: OpenOptions) => {
      const client = await openClient(terminal, options)
      tell(terminal, options, await client.ask('session.open', { params: {}, body: bodyOf(options), query: {} }))
    })
}

export const sessionCommand = (session: Command, terminal: Terminal): Command => session.description('sessions that are opened for others').addCommand(open(terminal))

export const completeCommand = (terminal: Terminal): Command =>
  remoteCommand('complete', 'the task is done: end its session before its time').argument('<session>', 'ses_…').addOption(reasonOption())
    .action(async (id: string, options: RemoteOptions & Given<'reason'>) => {
      const { reason } = options
      told(terminal, options, await (await openClient(terminal, options)).ask('session.complete', { params: { id }, body: given({ reason }), query: {} }))
    })
