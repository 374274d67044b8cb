// narrow, widen, freeze, resume, terminate, shorten on one session or, as locks, on a selector; lock and unlock. SPEC: ADM3, ADM10
import { type Command, Option } from 'commander'
import { LOCK_EFFECTS, type LockEffect } from '../../core/anchor.ts'
import type { AdminClient, Json } from '../admin-client.ts'
import { Failure } from '../exit-code.ts'
import { listIn, openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import { cellText } from '../table-text.ts'
import { type SelectorBody, selectorOf, targetOf } from '../target.ts'
import type { Terminal } from '../terminal.ts'

type Options = RemoteOptions & { readonly reason?: string; readonly for?: string; readonly until?: string; readonly to?: readonly string[]; readonly elevation?: readonly string[]; readonly effect?: LockEffect }

const TARGET = '<target>'
const TARGET_SAYS = 'a session id, or a selector such as subject=ISSUER|SUBJECT, keyId=ISSUER|KID, workload=…, tenant=…, issuedBefore=now, issuedBefore=now,subject=…, all'
const reasonOption = () => new Option('--reason <text>', 'why; it stands in the audit trail')
const lastingOptions = (command: Command): Command => command.option('--for <duration>', 'how long').option('--until <time>', 'until when')

/** One sentence for people: enforced when, where, and what became of what was open. */
function enforcedText(answer: Json): string {
  const { gateways, exchanges } = answer as { readonly gateways?: Json; readonly exchanges?: Json } // members of the contract's answer
  const counts = Object.entries(exchanges ?? {}).filter(([, n]) => n !== 0).map(([what, n]) => `${String(n)} ${what}`)
  const where = gateways === undefined ? '' : ` on ${cellText(gateways['acknowledged'])} of ${cellText(gateways['total'])} gateways`
  const unknown = answer['exchangesUnknown'] === 0 ? '' : `; ${cellText(answer['exchangesUnknown'])} gateways did not say`
  const already = gateways?.['total'] === 0 && answer['durable'] === true ? 'nothing had to change; ' : ''
  return `${already}${answer['enforced'] === true ? 'enforced' : 'NOT YET ENFORCED'} at version ${cellText(answer['version'])}${already === '' ? where : ''} in ${cellText(answer['tookMs'])} ms; exchanges: ${counts.length === 0 ? 'none' : counts.join(', ')}${unknown}\n`
}

const DOES: { readonly [E in LockEffect]: string } = { deny: 'cut', freeze: 'freeze', baseline: 'narrow' }

/** What a dry run of a lock tells, in one sentence. */
const previewOf = (effect: LockEffect) => ({ sessions, exchanges, gateways }: Json): string => {
  const { total, answered } = gateways as { readonly total?: unknown; readonly answered?: unknown } // members of the contract's answer
  const counted = (n: unknown, of: string): string => `${cellText(n)} ${of}${n === 1 ? '' : 's'}`
  return `would ${DOES[effect]} ${counted(sessions, 'session')}, ${counted(exchanges, 'exchange')}; ${cellText(answered)} of ${cellText(total)} gateways said so\n`
}

export function told(terminal: Terminal, options: RemoteOptions, answer: Json): void {
  show(terminal, options, answer, enforcedText)
  if (answer['reasonMissing'] === true) terminal.err('no --reason was given; the trail says unspecified\n')
  if (answer['durable'] === false) terminal.err('warning: in force from memory; the store has not taken it yet\n')
  if (typeof answer['warning'] === 'string') terminal.err(`warning: ${cellText(answer['warning'])}\n`)
}

const why = ({ reason }: Options) => (reason === undefined ? {} : { reason })
const lasting = (options: Options) => ({ ...(options.for === undefined ? {} : { for: options.for }), ...(options.until === undefined ? {} : { until: options.until }), ...why(options) })
const on = <B>(id: string, body: B) => ({ params: { id }, body, query: {} })

const setLock = (client: AdminClient, selector: SelectorBody, effect: LockEffect, options: Options): Promise<Json> =>
  client.ask('lock.set', { params: {}, body: { selector: selector as object, effect, ...lasting(options) }, query: {} }) // one member, as the schema wants it

const sameSelector = (lock: Json, selector: SelectorBody): boolean => JSON.stringify(lock['selector']) === JSON.stringify(selector)

/** Lifts the lock of a selector. @throws Failure `notFound` */
async function liftLock(client: AdminClient, selector: SelectorBody, effects: readonly LockEffect[], reason: string): Promise<Json> {
  const locks = listIn(await client.ask('lock.list', { params: {}, body: {}, query: {} }), 'locks')
  const found = locks.find(lock => sameSelector(lock, selector) && effects.some(effect => effect === lock['effect']))
  if (found === undefined) throw new Failure('notFound', 'there is no such lock')
  return client.ask('lock.lift', on(String(found['id']), { reason }))
}

type Doing = { readonly session: (client: AdminClient, id: string, options: Options) => Promise<Json>; readonly selector: (client: AdminClient, selector: SelectorBody, options: Options) => Promise<Json> }

function verb(terminal: Terminal, name: string, summary: string, { session, selector }: Doing): Command {
  return remoteCommand(name, summary).argument(TARGET, TARGET_SAYS).action(async (text: string, options: Options) => {
    const target = targetOf(text)
    const client = await openClient(terminal, options)
    told(terminal, options, await (target.is === 'session' ? session(client, target.id, options) : selector(client, target.selector, options)))
  })
}

function narrowing({ to, elevation, reason }: Options) {
  return { ...(to === undefined ? {} : { to: [...to] }), ...(elevation === undefined ? {} : { elevations: [...elevation] }), ...(reason === undefined ? {} : { reason }) }
}

function narrowed(client: AdminClient, selector: SelectorBody, options: Options): Promise<Json> {
  if (options.to !== undefined || options.elevation !== undefined) throw new Failure('usage', 'a selector is narrowed to its baseline; --to and --elevation are for one session')
  return setLock(client, selector, 'baseline', options)
}

/** Commander has checked that it is there. */
const needed = ({ reason = '' }: Options): string => reason

function takingAway(terminal: Terminal): readonly Command[] {
  return [
    verb(terminal, 'narrow', 'take scopes away until widen; without options everything but the baseline', { session: (client, id, options) => client.ask('session.narrow', on(id, narrowing(options))), selector: narrowed })
      .option('--to <scopes...>', 'cap the session to these scopes').option('--elevation <ids...>', 'suspend these elevations and bar their profiles').addOption(reasonOption()),
    lastingOptions(verb(terminal, 'freeze', 'hold everything open, refuse everything new', { session: (client, id, options) => client.ask('session.freeze', on(id, lasting(options))), selector: (client, selector, options) => setLock(client, selector, 'freeze', options) })).addOption(reasonOption()),
    lastingOptions(verb(terminal, 'terminate', 'end it, cut what is open, refuse its credentials', { session: (client, id, options) => client.ask('session.terminate', on(id, why(options))), selector: (client, selector, options) => setLock(client, selector, 'deny', options) })).addOption(reasonOption()),
    verb(terminal, 'shorten', 'let a session end earlier', { session: shortened, selector: () => Promise.reject(new Failure('usage', 'only one session can be shortened')) })
      .option('--for <duration>', 'from now').option('--until <time>', 'the new end').addOption(reasonOption()),
  ]
}

function shortened(client: AdminClient, id: string, options: Options): Promise<Json> {
  const end = options.until === undefined ? {} : { endsAt: options.until }
  return client.ask('session.shorten', on(id, { ...(options.for === undefined ? {} : { for: options.for }), ...end, ...why(options) }))
}

function givingBack(terminal: Terminal): readonly Command[] {
  return [
    verb(terminal, 'widen', 'lift what narrow took', { session: (client, id, options) => client.ask('session.widen', on(id, { reason: needed(options) })), selector: (client, selector, options) => liftLock(client, selector, ['baseline'], needed(options)) })
      .addOption(reasonOption().makeOptionMandatory()),
    verb(terminal, 'resume', 'lift a freeze', { session: (client, id, options) => client.ask('session.resume', on(id, { reason: needed(options) })), selector: (client, selector, options) => liftLock(client, selector, ['freeze'], needed(options)) })
      .addOption(reasonOption().makeOptionMandatory()),
  ]
}

function lock(terminal: Terminal): Command {
  return lastingOptions(remoteCommand('lock', 'a standing refusal of everything a selector meets').argument('<selector>', TARGET_SAYS))
    .addOption(new Option('--effect <effect>', 'what it does').choices([...LOCK_EFFECTS]).default('deny')).addOption(reasonOption())
    .option('--dry-run', 'set nothing, tell what it would meet now')
    .action(async (text: string, options: Options & { readonly dryRun?: true }) => {
      const selector = text.startsWith('ses_') ? { session: text } : selectorOf(text)
      const client = await openClient(terminal, options)
      if (options.dryRun === true) return show(terminal, options, await client.ask('lock.set', { params: {}, body: { selector: selector as object, dryRun: true }, query: {} }), previewOf(options.effect ?? 'deny')) // one member, as the schema wants it
      told(terminal, options, await setLock(client, selector, options.effect ?? 'deny', options))
    })
}

function unlock(terminal: Terminal): Command {
  return remoteCommand('unlock', 'lift a lock or clear a mark').argument('<lock>', 'lck_…, mark_…, or the selector of the lock').addOption(reasonOption().makeOptionMandatory())
    .action(async (text: string, options: Options) => {
      const client = await openClient(terminal, options)
      const byId = /^(lck|mark)_/.test(text)
      told(terminal, options, await (byId ? client.ask('lock.lift', on(text, { reason: needed(options) })) : liftLock(client, selectorOf(text), LOCK_EFFECTS, needed(options))))
    })
}

export const verbCommands = (terminal: Terminal): readonly Command[] => [...takingAway(terminal), ...givingBack(terminal), lock(terminal), unlock(terminal)]
