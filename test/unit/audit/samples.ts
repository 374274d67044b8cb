// What the audit tests write: records, facts, a clock that stands still, a disk that fails on demand and folders that go away.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { onTestFinished } from 'vitest'
import { type Disk, SYSTEM_DISK } from '../../../src/audit/appender.ts'
import { type LineOf, type Kind, type Line, NOBODY, type Outgoing, parseLine, queryDigest, type Records, type Refused } from '../../../src/audit/record.ts'
import { Trail, type TrailPorts, type TrailSettings } from '../../../src/audit/trail.ts'
import { NOT_BOUND } from '../../../src/core/binding.ts'
import type { Fact, SessionFact } from '../../../src/core/fact.ts'
import type { RecordRef } from '../../../src/core/record.ts'
import type { SessionId, SessionKey } from '../../../src/core/session.ts'
import type { SignalId } from '../../../src/core/signal.ts'
import { type Instant, instant } from '../../../src/core/time.ts'
import type { Clock } from '../../../src/runtime/clock.ts'

export const SESSION = 'ses_abcdefghijklmnopqrstuvwxyz'
export const ELEVATION = { id: 'elv_abcdefghijklmnopqrstuvwxyz', profile: 'incident-write', schedules: [] as readonly string[] }

export function folder(): string {
  const dir = mkdtempSync(join(tmpdir(), 'narrowgate-audit-'))
  onTestFinished(() => rmSync(dir, { recursive: true, force: true }))
  return dir
}

export class StillClock implements Clock {
  at: Instant = instant(1_790_000_000_000)
  now(): Instant {
    return this.at
  }
  elapsed(): number {
    return this.at
  }
  pass(ms: number): void {
    this.at = instant(this.at + ms)
  }
}

export const opened = (changes: Partial<Records['exchange.opened']> = {}): Records['exchange.opened'] => ({
  exchange: 'exc_abcdefghijklmnopqrstuvwxyz', session: SESSION, subject: 'https://idp.example.test/|sre-bot', actors: [], tenant: 'acme',
  credential: 'Zm9vYmFyYmF6', source: '203.0.113.9', proved: null, route: 'runbooks', rule: 'write', method: 'POST', host: 'api.example.test',
  path: '/v1/runbooks/INC-42', queryDigest: queryDigest('?dry=1'), bodyDigest: null, decision: 'permit', grant: ELEVATION.id, elevation: ELEVATION,
  purposes: { ticket: 'pagerduty/acme/INC-42' }, until: instant(1_790_000_900_000), upstream: 'runbooks', would: null, risk: { before: 0, after: 0 }, ...changes,
})

export const BASELINE = { grant: 'baseline', elevation: null } as const

export const closed = (changes: Partial<Records['exchange.closed']> = {}): Records['exchange.closed'] => ({
  exchange: 'exc_abcdefghijklmnopqrstuvwxyz', session: SESSION, grant: ELEVATION.id, status: 200, bytesUp: 12, bytesDown: 3400, requestDigest: null, answerDigest: null, counted: null, recording: null, ms: 8, reason: null, complete: true, ...changes,
})

export const refused = (changes: Partial<Refused> = {}): Refused => ({
  ...NOBODY, evaluation: 'eval_abcdefghijklmnopqrstuvwxyz', source: '198.51.100.7', method: 'GET',
  host: 'api.example.test', path: '/v1/admin', reason: 'no_credential', ...changes,
})

export const KEY = 'a2V5LW9mLXRoaXMtbGlmZQ' as SessionKey // any digest will do
const told = (version: number) => ({ at: instant(1_790_000_000_000 + version), because: 'sig_1' as SignalId, by: 'timekeeper', note: '', version }) // any id will do

export const birth = (version = 1, session = SESSION): SessionFact => ({
  ...told(version), what: 'session.opened', session: session as SessionId, key: KEY, epoch: 'e1', // any id will do
  principal: { kind: 'agent', issuer: 'https://idp.example.test/', tenant: 'acme', subject: 'sre-bot', client: '', owner: null, actor: null },
  credential: { id: 'Zm9v', keyId: null, issuedAt: null, expiresAt: null }, endsAt: instant(1_790_009_000_000), notBefore: null, bindings: NOT_BOUND, aliases: [], brokered: null,
})
export const narrowed = (version: number): SessionFact => ({ ...told(version), what: 'session.narrowed', cap: { is: 'baseline', scopes: null }, barred: ['incident-write'] })
export const frozen = (version: number): SessionFact => ({ ...told(version), what: 'session.frozen', until: null })
export const resumed = (version: number): SessionFact => ({ ...told(version), what: 'session.resumed' })
export const widened = (version: number): SessionFact => ({ ...told(version), what: 'session.widened' })
export const shortened = (version: number): SessionFact => ({ ...told(version), what: 'session.shortened', endsAt: instant(1_790_000_500_000) })

export const outgoing = (fact: Fact, sequence: number, part = 0, epoch = 'e1', ref: RecordRef = { kind: 'session', name: KEY }): Outgoing =>
  ({ position: { epoch, sequence }, ref, fact, part })

export type Trouble = { write: Error | null; /** Bytes the next failing write still takes. */ takes: number; chunk: number; truncate: Error | null; sync: Error | null; syncs: number; writes: number }

/** The real disk until told otherwise. `chunk` bounds what one write takes. */
export function troubledDisk(): { readonly disk: Disk; readonly trouble: Trouble } {
  const trouble: Trouble = { write: null, takes: 0, chunk: Infinity, truncate: null, sync: null, syncs: 0, writes: 0 }
  const write: Disk['write'] = (fd, bytes, offset, length) => {
    trouble.writes++
    if (trouble.write !== null && trouble.takes === 0) throw trouble.write
    const taken = SYSTEM_DISK.write(fd, bytes, offset, Math.min(length, trouble.chunk, trouble.write === null ? Infinity : trouble.takes))
    if (trouble.write !== null) trouble.takes -= taken
    return taken
  }
  const truncate: Disk['truncate'] = (fd, bytes) => {
    if (trouble.truncate !== null) throw trouble.truncate
    SYSTEM_DISK.truncate(fd, bytes)
  }
  const datasync: Disk['datasync'] = async fd => {
    trouble.syncs++
    if (trouble.sync !== null) throw trouble.sync
    await SYSTEM_DISK.datasync(fd)
  }
  return { disk: { write, truncate, datasync }, trouble }
}

export const systemError = (code: string): Error => Object.assign(new Error(code), { code })

export const linesOf = (file: string): readonly Line[] =>
  readFileSync(file, 'utf8').split('\n').slice(0, -1).map(text => {
    const line = parseLine(text)
    if (line === null) throw new Error(`not a record: ${text}`)
    return line
  })
export const kindsOf = (file: string): readonly Kind[] => linesOf(file).map(({ kind }) => kind)
export const linesOfKind = <K extends Kind>(file: string, kind: K): readonly LineOf<K>[] =>
  linesOf(file).filter(line => line.kind === kind) as unknown as readonly LineOf<K>[] // the filter is on the discriminant

export async function openTrail(file: string, settings: Partial<TrailSettings> = {}, ports: Partial<TrailPorts> = {}): Promise<Trail> {
  const trail = await Trail.open(
    { file, gateway: 'gw_1', maxBytes: 1 << 30, reserveBytes: 0, known: null, ...settings },
    { clock: new StillClock(), disk: SYSTEM_DISK, warn: () => undefined, ...ports },
  )
  onTestFinished(() => trail.close().catch(() => undefined))
  return trail
}
