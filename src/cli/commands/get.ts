// get, describe, watch: reading. Nothing here changes anything. SPEC: ADM10
import { type Command, Option } from 'commander'
import type { QueryFor } from '../../admin/contract.ts'
import type { Json } from '../admin-client.ts'
import { Failure } from '../exit-code.ts'
import { listIn, openClient, remoteCommand, type RemoteOptions, show } from '../remote.ts'
import { cellText, tableText } from '../table-text.ts'
import type { Terminal } from '../terminal.ts'

const nested = (row: Json, path: string): unknown => path.split('.').reduce<unknown>((value, name) => (typeof value === 'object' && value !== null ? (value as Json)[name] : undefined), row) // asked by name only

/** Column heading, and where its value is in a row. */
type Columns = readonly (readonly [heading: string, path: string])[]

const KINDS: { readonly [kind: string]: { readonly list: string; readonly columns: Columns } } = {
  sessions: { list: 'sessions', columns: [['id', 'id'], ['state', 'state'], ['kind', 'principal.kind'], ['subject', 'principal.subject'], ['tenant', 'principal.tenant'], ['elevations', 'elevations'], ['open', 'exchanges'], ['ends', 'endsAt'], ['version', 'version']] },
  elevations: { list: 'elevations', columns: [['id', 'id'], ['state', 'state'], ['profile', 'profile'], ['subject', 'principal.subject'], ['purpose', 'purposes'], ['adds', 'adds'], ['until', 'until'], ['open', 'exchanges'], ['session', 'session']] },
  principals: { list: 'principals', columns: [['id', 'id'], ['who', 'who'], ['score', 'score'], ['level', 'level'], ['since', 'since'], ['taints', 'taints'], ['sessions', 'sessions']] },
  profiles: { list: 'profiles', columns: [['name', 'name'], ['adds', 'adds'], ['for', 'for'], ['max', 'max'], ['purpose', 'purpose'], ['approval', 'approval'], ['title', 'title']] },
  locks: { list: 'locks', columns: [['id', 'id'], ['selector', 'selector'], ['effect', 'effect'], ['reason', 'reason'], ['by', 'by'], ['since', 'since'], ['until', 'until'], ['note', 'note']] },
  reviews: { list: 'reviews', columns: [['elevation', 'elevation'], ['verdict', 'verdict'], ['due', 'dueAt'], ['profile', 'profile'], ['subject', 'subject'], ['by', 'by'], ['session', 'session']] },
  'step-ups': { list: 'stepUps', columns: [['id', 'id'], ['state', 'state'], ['subject', 'principal.subject'], ['because', 'because'], ['by', 'by'], ['rule', 'rule'], ['path', 'request.path'], ['expires', 'expiresAt'], ['session', 'session']] },
  windows: { list: 'windows', columns: [['name', 'name'], ['open', 'open'], ['opens', 'opens'], ['closes', 'closes'], ['override', 'override'], ['time zone', 'timeZone'], ['version', 'version']] },
  tools: { list: 'tools', columns: [['route', 'route'], ['tool', 'tool'], ['state', 'state'], ['locked', 'locked'], ['accepted', 'accepted'], ['seen', 'seen'], ['since', 'since'], ['by', 'by']] },
  routes: { list: 'routes', columns: [['name', 'name'], ['host', 'host'], ['path', 'path'], ['upstream', 'upstream'], ['authn', 'authn'], ['mode', 'mode'], ['rules', 'rules.length']] },
}

const tableOf = (columns: Columns, rows: readonly Json[]): string => tableText(columns.map(([heading]) => heading), rows.map(row => columns.map(([, path]) => nested(row, path))))

const LIMIT = new Option('--limit <n>', 'at most so many').default('100')

function listing(terminal: Terminal, kind: keyof typeof KINDS, summary: string, ask: (client: Awaited<ReturnType<typeof openClient>>, options: RemoteOptions & QueryOptions) => Promise<Json>): Command {
  return remoteCommand(String(kind), summary).action(async (options: RemoteOptions & QueryOptions) => {
    const answer = await ask(await openClient(terminal, options), options)
    const { list, columns } = KINDS[kind] ?? { list: '', columns: [] }
    show(terminal, options, answer, value => tableOf(columns, [...listIn(value, list), ...listIn(value, 'marks')]))
    if (answer['more'] === true) terminal.err('there are more; raise --limit or narrow the question\n')
  })
}

type QueryOptions = { readonly limit?: string; readonly state?: string; readonly session?: string; readonly level?: string; readonly subject?: string; readonly route?: string }

const NO = { params: {}, body: {}, query: {} } as const

/** The server says which values there are, where one is wrong. */
const stated = <N extends 'session.list' | 'elevation.list'>({ limit, state, session }: QueryOptions) => ({ limit, state, ...(session === undefined ? {} : { session }) }) as QueryFor<N> // checked there

export function getCommand(get: Command, terminal: Terminal): Command {
  return get.description('list things')
    .addCommand(listing(terminal, 'sessions', 'sessions', (client, options) => client.ask('session.list', { ...NO, query: stated<'session.list'>(options) })).addOption(LIMIT).addOption(new Option('--state <state>', 'live, lapsed, revoked or any').default('live')))
    .addCommand(listing(terminal, 'elevations', 'elevations that are not over, or those in one state', (client, options) => client.ask('elevation.list', { ...NO, query: stated<'elevation.list'>(options) })).addOption(LIMIT).option('--state <state>', 'requested, scheduled, active, suspended, ended, denied, withdrawn or expired').option('--session <id>', 'of one session'))
    .addCommand(listing(terminal, 'principals', 'principals at a level, tainted, or with points', (client, { limit, level, subject }) => client.ask('principal.list', { ...NO, query: { limit, ...(level === undefined ? {} : { level }), ...(subject === undefined ? {} : { subject }) } as QueryFor<'principal.list'> })).addOption(LIMIT).option('--level <name>', 'at this level').option('--subject <subject>', 'ISSUER|SUBJECT, or a bare subject'))
    .addCommand(listing(terminal, 'profiles', 'what can be asked for', client => client.ask('profile.list', NO)))
    .addCommand(listing(terminal, 'locks', 'standing locks, and marks on sessions', client => client.ask('lock.list', NO)))
    .addCommand(listing(terminal, 'reviews', 'emergencies that wait for their review, or were missed', (client, { limit }) => client.ask('review.list', { ...NO, query: { limit } as QueryFor<'review.list'> })).addOption(LIMIT))
    .addCommand(listing(terminal, 'step-ups', 'callers that have to show anew that they may go on', (client, { limit, state }) => client.ask('stepUp.list', { ...NO, query: { limit, state } as QueryFor<'stepUp.list'> })).addOption(LIMIT).addOption(new Option('--state <state>', 'pending, satisfied, denied, expired or any').default('pending')))
    .addCommand(listing(terminal, 'windows', 'windows, and when they open and close', client => client.ask('window.list', NO)))
    .addCommand(listing(terminal, 'tools', 'tools of MCP routes, and whether they are what was accepted', (client, { limit, state, route }) => client.ask('tool.list', { ...NO, query: { limit, ...(state === undefined ? {} : { state }), ...(route === undefined ? {} : { route }) } as QueryFor<'tool.list'> })).addOption(LIMIT).option('--state <state>', 'accepted or changed').option('--route <name>', 'of one route'))
    .addCommand(listing(terminal, 'routes', 'routes', client => client.ask('route.list', NO)))
}

export function describeCommand(describe: Command, terminal: Terminal): Command {
  return describe.description('everything about one thing')
    .addCommand(remoteCommand('session', 'a session: scopes now, elevations, open exchanges').argument('<id>', 'ses_…').action(async (id: string, options: RemoteOptions) => {
      const client = await openClient(terminal, options)
      show(terminal, options, await client.ask('session.get', { params: { id }, body: {}, query: {} }))
    }))
    .addCommand(remoteCommand('principal', 'a principal: its score and what it is made of, level, taints, sessions, what ends next').argument('<id>', 'as `get principals` shows it').action(async (id: string, options: RemoteOptions) => {
      const client = await openClient(terminal, options)
      show(terminal, options, await client.ask('principal.get', { params: { id }, body: {}, query: {} }))
    }))
    .addCommand(remoteCommand('elevation', 'an elevation').argument('<id>', 'elv_…').action(async (id: string, options: RemoteOptions) => {
      const client = await openClient(terminal, options)
      show(terminal, options, await client.ask('elevation.get', { params: { id }, body: {}, query: {} }))
    }))
}

function eventText(event: Json): string {
  const fact = typeof event['fact'] === 'object' && event['fact'] !== null ? (event['fact'] as Json) : event // an object, as just asked
  const what = event['event'] === 'exchange' ? `exchange.${cellText(event['what'])}` : cellText(fact['what'])
  const at = typeof fact['at'] === 'number' ? new Date(fact['at']).toISOString() : '-'
  const rest = ['reason', 'by', 'elevation', 'exchange', 'route', 'because', 'note'].flatMap(name => (fact[name] === undefined || fact[name] === null || fact[name] === '' || typeof fact[name] === 'object' ? [] : [`${name}=${cellText(fact[name])}`]))
  return [at, what, cellText(event['session']), ...rest].join(' ')
}

type WatchOptions = RemoteOptions & { readonly count?: string }

export function watchCommand(terminal: Terminal): Command {
  return remoteCommand('watch', 'facts and verdicts as they happen').option('--count <n>', 'stop after so many').action(async (options: WatchOptions) => {
    const client = await openClient(terminal, options)
    let left = options.count === undefined ? Infinity : Number(options.count)
    if (!(left >= 1)) throw new Failure('usage', '--count takes a number from 1')
    for await (const line of client.lines('/v1/events')) {
      if (line === ': connected') terminal.err('connected\n')
      if (!line.startsWith('data: ')) continue
      const event = JSON.parse(line.slice(6)) as Json // our own server's frames
      terminal.out(options.output === 'table' ? `${eventText(event)}\n` : `${JSON.stringify(event)}\n`)
      if (--left <= 0) return
    }
    throw new Failure('unreachable', 'the gateway closed the stream')
  })
}
