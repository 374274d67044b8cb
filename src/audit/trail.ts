// The trail: lifecycle, elevated requests, refusals and cuts of known sessions. What precedes an action throws when it can't be recorded;
// what tells of something done never throws and is counted when it is lost. What a run that died left open is told as it is opened.
// SPEC: AUD2, AUD4, AUD7, AUD8, AUD12
import { basename } from 'node:path'
import { setImmediate as turn } from 'node:timers/promises'
import type { Clock } from '../runtime/clock.ts'
import { Appender, AuditWriteFailed, type Disk } from './appender.ts'
import { lastPositions, remember } from './last-positions.ts'
import { type LastRun, readLastRun } from './last-run.ts'
import { type FactPosition, type Head, type Json, type Kind, type Outgoing, queryDigest, type Records, type Refused } from './record.ts'
import { Reserve } from './reserve.ts'

export type TrailSettings = {
  readonly file: string
  readonly gateway: string
  readonly maxBytes: number
  /** Bytes of disk held back for lifecycle facts; 0 for none. */
  readonly reserveBytes: number
  /** The newest head known from elsewhere; lines up to it that the file no longer has are told as lost. */
  readonly known: Head | null
}

export type TrailPorts = {
  readonly clock: Clock
  readonly disk: Disk
  readonly warn: (text: string, cause: unknown) => void
}

type TrailCounts = {
  readonly records: number
  /** Writes and syncs that failed, each try counted. */
  readonly failures: number
  /** Must stay 0. */
  readonly dropped: number
  /** Facts the store handed over again. */
  readonly duplicates: number
}

export const RESERVE_BYTES = 16 * 1024 * 1024
const BUFFER_BYTES = 8 * 1024 * 1024
const REFILL_EVERY_MS = 10_000
/** Records told at a start before others have a turn. */
const TOLD_AT_ONCE = 500

/** Grants whose exchanges need no record while the disk is full. */
const ORDINARY: ReadonlySet<string> = new Set(['baseline', 'anonymous', 'observed'])

const cut = (text: string, length: number): string => (text.length > length ? text.slice(0, length) : text)

/** A refusal with everything the caller wrote cut to size, and of its query the digest. */
export function bounded(refused: Refused): Records['request.refused'] {
  const { evaluation, session, subject, actors, tenant, credential, source, proved, fault, drift, route, rule, method, host, path, bodyDigest, decision, reason, purposes, risk, external, mcp } = refused
  const mark = path.indexOf('?') // a target that was not taken apart has it still
  const query = mark < 0 ? refused.query : path.slice(mark)
  return {
    evaluation, session, subject, actors, tenant, credential, source, proved, fault, drift: drift === null ? null : { binding: drift.binding, shown: cut(drift.shown, 512) }, route, rule, method: cut(method, 32), host: cut(host, 255),
    path: cut(mark < 0 ? path : path.slice(0, mark), 512), queryDigest: queryDigest(query), bodyDigest, decision, reason, purposes, risk, ...(external === undefined ? {} : { external }), ...(mcp === undefined ? {} : { mcp }),
  }
}

/** Null when it could not be read: evidence of what was must not keep a gateway from what is. */
async function lastRun(file: string, warn: TrailPorts['warn']): Promise<LastRun | null> {
  try {
    const run = await readLastRun(file)
    if (!run.whole) warn(`the run that died began further back in ${basename(file)} than is read, or had more exchanges open than are held: not each is told as lost`, null)
    return run
  } catch (error) {
    warn(`what the last run left open could not be read from ${basename(file)}`, error)
    return null
  }
}

const notAfter = (a: FactPosition, b: FactPosition): boolean => a.sequence < b.sequence || (a.sequence === b.sequence && a.part <= b.part)

export class Trail {
  readonly #appender: Appender
  readonly #reserve: Reserve
  readonly #last: Map<string, FactPosition>
  readonly #refill: NodeJS.Timeout
  readonly #warn: TrailPorts['warn']
  #records = 0
  #dropped = 0
  #untold = 0
  #duplicates = 0
  /** Exchanges told as lost since the start before; null when that could not be read. */
  #lost: number | null = 0

  /** Opens or continues the trail. @throws AuditDamaged, or the system's error */
  static async open(settings: TrailSettings, ports: TrailPorts): Promise<Trail> {
    const before = await lastRun(settings.file, ports.warn)
    const reserve = new Reserve(`${settings.file}.reserve`, settings.reserveBytes)
    const appender = new Appender({ file: settings.file, gateway: settings.gateway, maxBytes: settings.maxBytes, bufferBytes: BUFFER_BYTES }, {
      now: () => ports.clock.now(), disk: ports.disk, makeRoom: () => reserve.release(), warn: ports.warn,
    })
    const trail = new Trail(appender, reserve, await lastPositions(settings.file), ports.warn)
    if (!(await reserve.fill())) ports.warn(`no reserve could be set aside beside ${basename(settings.file)}: it takes ${settings.reserveBytes} bytes and asks for ${reserve.needs} free; elevated requests are refused until there is room`, null)
    trail.#compare(settings.known)
    await trail.#tellLostExchanges(before)
    return trail
  }

  private constructor(appender: Appender, reserve: Reserve, last: Map<string, FactPosition>, warn: TrailPorts['warn']) {
    this.#appender = appender
    this.#reserve = reserve
    this.#last = last
    this.#warn = warn
    this.#refill = setInterval(() => void this.#reserve.fill(), REFILL_EVERY_MS).unref()
  }

  /** Elevated requests can be recorded, as far as is known. */
  get healthy(): boolean {
    return this.#appender.healthy && this.#reserve.held
  }

  get head(): Head {
    return this.#appender.head
  }

  get counts(): TrailCounts {
    return { records: this.#records, failures: this.#appender.failures, dropped: this.#dropped, duplicates: this.#duplicates }
  }

  /** Bytes that wait to be written. */
  get bufferedBytes(): number {
    return this.#appender.bufferedBytes
  }

  /** An elevated one must be followed by `flushNow` before its first byte goes upstream. @throws AuditWriteFailed for an elevated one that can't be recorded */
  opened(fields: Records['exchange.opened'] | Json<'exchange.opened'>, elevated: boolean): void {
    if (elevated) this.#demand('exchange.opened', fields)
    else this.#tell('exchange.opened', fields, true)
  }

  /** To be followed by `sync`. @throws AuditWriteFailed */
  intended(fields: Records['request.intended']): void {
    this.#demand('request.intended', fields)
  }

  adminChanged(fields: Records['admin.changed']): void {
    this.#tell('admin.changed', fields, false)
  }

  notDispatched(fields: Records['request.not_dispatched']): void {
    this.#tell('request.not_dispatched', fields, false)
  }

  closed(fields: Records['exchange.closed']): void {
    this.#tell('exchange.closed', fields, ORDINARY.has(fields.grant))
  }

  judged(what: 'cut' | 'frozen' | 'resumed' | 'regranted' | 'finishing', fields: Records['exchange.cut']): void {
    this.#tell(`exchange.${what}`, fields, false)
  }

  refused(refused: Refused): void {
    this.#tell('request.refused', bounded(refused), true)
  }

  decisionGiven(fields: Records['decision.given']): void {
    this.#tell('decision.given', { ...fields, host: cut(fields.host, 255), path: cut(fields.path, 512) }, true)
  }

  credential<K extends 'credential.obtained' | 'credential.revoked' | 'credential.not_revoked'>(kind: K, fields: Records[K]): void {
    this.#tell(kind, fields, false)
  }

  configLoaded(fields: Records['config.loaded']): void {
    this.#tell('config.loaded', fields, false)
  }

  gatewayStarted(fields: Omit<Records['gateway.started'], 'lost'>): void {
    this.#tell('gateway.started', { ...fields, lost: this.#lost }, false)
  }

  gatewayStopped(fields: Records['gateway.stopped']): void {
    this.#tell('gateway.stopped', fields, false)
  }

  /** Takes a fact over; one that came before is dropped. Not on record until `flushNow`. @throws AuditWriteFailed */
  fact({ position: { epoch, sequence }, ref, fact, part }: Outgoing): void {
    const position: FactPosition = { epoch, sequence, part }
    const last = this.#last.get(epoch)
    if (last !== undefined && notAfter(position, last)) {
      this.#duplicates++
      return
    }
    this.#append('fact', { record: ref, position, session: fact.what === 'session.opened' ? fact.session : null, fact })
    remember(this.#last, position)
  }

  /** Hands everything so far to the operating system. @throws AuditWriteFailed; it is written later if it can be */
  flushNow(): void {
    this.#appender.flushNow()
  }

  /** Everything so far is on stable storage. @throws AuditWriteFailed */
  sync(): Promise<void> {
    return this.#appender.sync()
  }

  /** @throws AuditWriteFailed when the last lines could not be written */
  async close(): Promise<void> {
    clearInterval(this.#refill)
    await this.#appender.close()
  }

  #compare(known: Head | null): void {
    const { seq, hash } = this.head
    if (known === null || known.seq < seq || (known.seq === seq && known.hash === hash)) return
    this.#warn(`the trail ends at record ${seq}, but record ${known.seq} was written`, null)
    this.#tell('records.lost', { count: known.seq - seq, known }, false)
  }

  /** Ahead of the start that counts them: a gateway that dies on the way leaves the rest to the next one. */
  async #tellLostExchanges(before: LastRun | null): Promise<void> {
    this.#lost = before === null ? null : before.told + before.open.length
    if (before === null || before.open.length === 0) return
    this.#warn(`the gateway died with ${before.open.length} exchanges open; each is told as lost`, null)
    for (const [index, { exchange, session }] of before.open.entries()) {
      this.#tell('exchange.lost', { exchange, session, because: 'gateway died' }, false)
      if (index % TOLD_AT_ONCE === TOLD_AT_ONCE - 1) await turn()
    }
  }

  #append<K extends Kind>(kind: K, fields: Records[K] | Json<K>): void {
    if (this.#untold > 0) this.#tellLost()
    this.#appender.append(kind, fields)
    this.#records++
  }

  /** In trouble first a write of what waits, so that refused requests don't fill the buffer. */
  #demand<K extends Kind>(kind: K, fields: Records[K] | Json<K>): void {
    if (!this.#reserve.held) throw new AuditWriteFailed('the disk is full: what is left is kept for ends and changes')
    if (!this.#appender.healthy) this.#appender.flushNow()
    this.#append(kind, fields)
  }

  #tell<K extends Kind>(kind: K, fields: Records[K] | Json<K>, spare: boolean): void {
    try {
      if (spare && !this.#reserve.held) throw new AuditWriteFailed('the disk is full')
      this.#append(kind, fields)
    } catch (error) {
      if (this.#untold === 0) this.#warn('records of the trail are lost until it can be written again', error)
      this.#dropped++ // the counter is the alarm; `records.lost` tells it in the trail itself
      this.#untold++
    }
  }

  #tellLost(): void {
    if (!this.#reserve.held) return
    this.#appender.append('records.lost', { count: this.#untold, known: null })
    this.#untold = 0
  }
}
