// From the JSON of a ticket to what of it counts, as the configuration maps it. Pure and total: no message makes it throw. What cannot be read is
// not there, and a condition that reads it refuses; without an id, or a word on whether it is over, it is no news at all. SPEC: TKT1, TKT2
import type { MessageMap } from '../../config/compile/connectors.ts'
import type { TicketFacts } from '../../core/anchor.ts'
import { PURPOSE_VALUE } from '../../core/purpose.ts'
import { type Instant, instant } from '../../core/time.ts'

export type Ticket = {
  /** As the source spells it. */
  readonly id: string
  /** Empty where the source knows none. */
  readonly tenant: string
  /** When the source changed it; null where it does not say. */
  readonly at: Instant | null
  readonly closed: boolean
  readonly facts: TicketFacts
}

export type Mapped = { readonly is: 'ticket'; readonly ticket: Ticket } | { readonly is: 'fault'; readonly of: 'id' | 'tenant' | 'at' | 'closed' }

const TEXT_MAX = 256
const MOMENT = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d(?:\.\d{1,9})?)(Z|[+-]\d\d:?\d\d)$/

/** An instant with its zone, or seconds or milliseconds since 1970. */
export function momentOf(text: string): Instant | null {
  if (/^\d{10}$/.test(text)) return instant(Number(text) * 1_000)
  if (/^\d{13}$/.test(text)) return instant(Number(text))
  const [, day, time, zone] = MOMENT.exec(text) ?? []
  if (day === undefined || time === undefined || zone === undefined) return null
  const at = Date.parse(`${day}T${time}${zone.replace(/^([+-]\d\d)(\d\d)$/, '$1:$2')}`)
  return Number.isNaN(at) ? null : instant(at)
}

const isTenant = (text: string): boolean => text !== '' && text.length <= TEXT_MAX && text.isWellFormed()

export function mapped(map: MessageMap, message: unknown): Mapped {
  const id = map.id.read(message)
  if (id === null || !PURPOSE_VALUE.test(id)) return { is: 'fault', of: 'id' }
  const tenant = map.tenant === null ? '' : map.tenant.read(message)
  if (tenant === null || (map.tenant !== null && !isTenant(tenant))) return { is: 'fault', of: 'tenant' }
  const at = map.at === null ? null : momentOf(map.at.read(message) ?? '')
  if (at === null && map.at !== null) return { is: 'fault', of: 'at' }
  const closed = map.closed.test(message)
  if (closed === 'error') return { is: 'fault', of: 'closed' }
  const facts: [string, string | number][] = at === null ? [] : [['at', at]]
  for (const [name, text] of map.facts) {
    const value = text.read(message)
    if (value !== null && value.length <= TEXT_MAX) facts.push([name, value])
  }
  return { is: 'ticket', ticket: { id, tenant, at, closed: closed === 'true', facts: Object.fromEntries(facts) } }
}
