// What is watched in the model check: a right somebody was given, and since when it is ended. Reads records plainly, as an auditor would, not as a gateway does.
import type { Anchor, AnchorRef, Lock } from '../../src/core/anchor.ts'
import type { ElevationId } from '../../src/core/elevation.ts'
import type { StoredRecord } from '../../src/core/record.ts'
import type { Session, SessionId, SessionKey } from '../../src/core/session.ts'
import { recordOf, refOf } from '../../src/sessions/redis/entry.ts'
import { bodyOf, type Data } from './shared-state-model.ts'

export const TICKET: AnchorRef = { kind: 'ticket', name: 'manual//T-1' }
export const subjectOf = (key: SessionKey): string => `subject of ${key}`

export class Right {
  readonly key: SessionKey
  readonly life: SessionId
  /** null: to have a session at all. */
  readonly elevation: ElevationId | null
  /** Of the ticket, when it was asked for: a later end of the ticket ends it. */
  generation = Infinity
  /** It was there once. */
  given = false
  /** Since when some server does not have it any more; null while all do. */
  endedAt: number | null = null
  /** The same of the server that counts. */
  countsFrom: number | null = null
  /** The end was acknowledged by, or for, every gateway. */
  acknowledged = false
  /** Members that were told of the end in the order of the log, or whose own word the store took. */
  readonly known = new Set<string>()

  constructor(key: SessionKey, life: SessionId, elevation: ElevationId | null) {
    this.key = key
    this.life = life
    this.elevation = elevation
  }

  get name(): string { return this.elevation ?? this.life }

  grantedBy(data: Data): boolean {
    const session = recordAt<Session>(data, 'session', this.key)
    if (session === null || session.id !== this.life || session.state.is !== 'live' || isDenied(data, `subject:${subjectOf(this.key)}`) || isDenied(data, `session:${this.life}`)) return false
    if (this.elevation === null) return true
    const elevation = session.elevations.find(({ id }) => id === this.elevation)
    if (elevation?.state.is !== 'active' || isDenied(data, `elevation:${this.elevation}`)) return false
    const ticket = recordAt<Anchor>(data, TICKET.kind, TICKET.name)
    return ticket === null || (ticket.state === 'open' && elevation.ties.every(({ generation }) => generation === ticket.generation))
  }

  /** Does this record, by itself, say that it is over? */
  endedBy(record: StoredRecord): boolean {
    if (record.record === 'anchor') return this.elevation !== null && record.state === 'ended' && record.generation > this.generation
    if (record.record === 'lock') return record.state === 'set' && [`subject:${subjectOf(this.key)}`, `session:${this.life}`, `elevation:${this.elevation ?? ''}`].includes(`${record.selector.kind}:${record.selector.value}`)
    if (record.key !== this.key || record.id !== this.life) return false
    return record.state.is !== 'live' || (this.elevation !== null && record.elevations.some(({ id, state }) => id === this.elevation && state.is !== 'active'))
  }
}

const isDenied = (data: Data, selector: string): boolean => recordAt<Lock>(data, 'lock', selector)?.state === 'set'

const parsed = new Map<string, StoredRecord>()
export function recordAt<R extends StoredRecord>(data: Data, kind: string, name: string): R | null {
  const text = data.records.get(`${kind}/${name}`)
  if (text === undefined) return null
  const body = bodyOf(text)
  const known = parsed.get(name + body)
  if (known !== undefined) return known as R // records of one kind lie under it
  if (parsed.size > 1_000) parsed.clear()
  const record = recordOf(refOf(`${kind}/${name}`), body) as R // likewise
  parsed.set(name + body, record)
  return record
}
