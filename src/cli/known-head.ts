// Which trail is meant, and its newest head as known from where the trail is not: an option, the running gateway, or the store of one that
// is not running. Never guesses: a head of another trail would accuse this one. SPEC: AUD6
import { existsSync, realpathSync } from 'node:fs'
import { keptHead } from '../audit/head-keeper.ts'
import { keptGatewayName } from '../audit/open-trail.ts'
import type { Head } from '../audit/record.ts'
import type { Settings } from '../config/settings.ts'
import { StoreFault } from '../sessions/store-fault.ts'
import { fileOfSeat } from '../workers/worker-settings.ts'
import { loadOrFail } from './commands/configuration.ts'
import { Failure } from './exit-code.ts'
import { openClient, type RemoteOptions } from './remote.ts'
import type { Terminal } from './terminal.ts'

export const DEFAULT_TRAIL = './narrowgate-state/trail.jsonl'

export type TrailOptions = RemoteOptions & { readonly file?: string; readonly head?: string; readonly config?: string }
export type Source = 'option' | 'gateway' | 'store'
export type Known = { readonly is: 'known'; readonly head: Head; readonly from: Source } | { readonly is: 'unknown'; readonly why: string }
export type Trail = { readonly file: string; readonly known: Known }

type AtGateway = { readonly head: Head; /** Absolute path there. */ readonly path: string }

function headOf(text: string): Head {
  const [, seq, hash] = /^(\d{1,15}):([A-Za-z0-9_-]{43})$/.exec(text) ?? []
  if (seq === undefined || hash === undefined) throw new Failure('usage', '--head takes SEQ:HASH, as `audit head` prints it')
  return { file: '', seq: Number(seq), hash }
}

async function atGateway(terminal: Terminal, options: RemoteOptions): Promise<AtGateway> {
  const client = await openClient(terminal, options)
  const { file, seq, hash, path } = await client.ask('audit.checkpoint', { params: {}, body: {}, query: {} })
  return { head: { file: String(file), seq: Number(seq), hash: String(hash) }, path: String(path) }
}

/** The head the store keeps, or `running` when a gateway holds the store. @throws Failure `notFound` */
async function inStore(settings: Settings, seat: Seat | null): Promise<Head | 'running'> {
  const { home } = settings.store
  if (home.is === 'embedded' && !existsSync(home.file)) throw new Failure('notFound', `there is no store at ${home.file}`)
  const { readKept } = await import('../sessions/data-set.ts')
  try {
    const gateway = await keptGatewayName(fileOfSeat(`${settings.stateDir}/gateway.id`, seat))
    const head = await keptHead({ kept: name => readKept(settings, name) }, gateway)
    if (head === null) throw new Failure('notFound', `the store ${home.is === 'embedded' ? `at ${home.file}` : 'in Redis'} keeps no head: no gateway has written a trail yet`)
    return head
  } catch (error) {
    if (error instanceof StoreFault && error.code === 'in_use') return 'running'
    throw error
  }
}

const NOBODY_TO_ASK: ReadonlySet<string> = new Set(['unreachable', 'timedOut', 'usage'])

/** The gateway on this machine where there is one; it is no fault that none runs unless it was named. */
async function perhapsAtGateway(terminal: Terminal, options: RemoteOptions): Promise<AtGateway | string> {
  try {
    return await atGateway(terminal, options)
  } catch (error) {
    if (options.server === undefined && error instanceof Failure && NOBODY_TO_ASK.has(error.exit)) return error.message
    throw error
  }
}

function sameFile(a: string, b: string): boolean {
  try {
    return realpathSync(a) === realpathSync(b)
  } catch {
    return false
  }
}

type Seat = { readonly index: number }

/** Of workers each has a trail of its own. @throws Failure `usage` when it is not said which */
function seatOf({ workers, audit }: Settings, file: string | undefined): Seat | null {
  if (workers === 1) return null
  const seats = Array.from({ length: workers }, (_, i) => ({ index: i + 1 }))
  const seat = seats.find(each => file !== undefined && (file === fileOfSeat(audit.trail.file, each) || sameFile(file, fileOfSeat(audit.trail.file, each))))
  if (seat === undefined) throw new Failure('usage', `each of ${workers} workers has a trail of its own: say which with --file, the first is ${fileOfSeat(audit.trail.file, { index: 1 })}`)
  return seat
}

async function configured(terminal: Terminal, config: string, options: TrailOptions): Promise<Trail> {
  const { settings } = await loadOrFail(terminal, config)
  const file = options.file ?? fileOfSeat(settings.audit.trail.file, seatOf(settings, undefined))
  if (options.head !== undefined) return { file, known: { is: 'known', head: headOf(options.head), from: 'option' } }
  const stored = await inStore(settings, seatOf(settings, file))
  if (stored !== 'running') return { file, known: { is: 'known', head: stored, from: 'store' } }
  return { file, known: { is: 'known', head: (await atGateway(terminal, options)).head, from: 'gateway' } }
}

/** @throws Failure when what was named can not be asked */
export async function trailOf(terminal: Terminal, options: TrailOptions): Promise<Trail> {
  const { file, head, config } = options
  if (config !== undefined) return configured(terminal, config, options)
  if (head !== undefined) return { file: file ?? DEFAULT_TRAIL, known: { is: 'known', head: headOf(head), from: 'option' } }
  const gateway = await perhapsAtGateway(terminal, options)
  if (typeof gateway === 'string') return { file: file ?? DEFAULT_TRAIL, known: { is: 'unknown', why: gateway } }
  const itsOwn = file === undefined || options.server !== undefined || sameFile(file, gateway.path)
  if (!itsOwn) return { file, known: { is: 'unknown', why: `the running gateway writes ${gateway.path}` } }
  return { file: file ?? gateway.path, known: { is: 'known', head: gateway.head, from: 'gateway' } }
}
