// What a signed message of a webhook says of trust, as an event. Pure; no message makes it throw, and what it maps and cannot be read makes it no news at all.
// SPEC: OUT9
import type { NewsHookSettings } from '../../config/compile/news-hooks.ts'
import type { OutsideEvent } from '../../core/outside.ts'
import type { Instant } from '../../core/time.ts'
import type { OpenSigned } from '../open-signed.ts'
import { momentOf } from '../tickets/mapping.ts'
import { NO_NAMES, type NamingPorts, subjectNamed } from './named.ts'

export type OpenNewsHooks = OpenSigned<NewsHookSettings>

type NewsReading =
  | { readonly is: 'event'; readonly event: OutsideEvent; /** When its source says that it happened; null where it does not say. */ readonly at: Instant | null }
  /** Nothing follows from it. */
  | { readonly is: 'unknown' }
  | { readonly is: 'fault'; readonly of: string }

const NAMED = ['subject', 'email', 'session', 'device', 'workload', 'tenant', 'credential', 'issuer'] as const
const ID_MAX = 512

const isId = (text: string): boolean => text !== '' && text.length <= ID_MAX && text.isWellFormed()

/** @param mark of the message, as it was signed */
export function newsIn({ name, map, events, most, notify }: NewsHookSettings, message: unknown, mark: string, now: Instant, ports: NamingPorts): NewsReading {
  const type = map.event.read(message)
  if (type === null) return { is: 'fault', of: 'event' }
  const effects = events.get(type)
  if (effects === undefined) return { is: 'unknown' }
  const at = map.at === null ? null : momentOf(map.at.read(message) ?? '')
  if (at === null && map.at !== null) return { is: 'fault', of: 'at' }
  const jti = map.id === null ? mark : map.id.read(message)
  if (jti === null || !isId(jti)) return { is: 'fault', of: 'id' }
  const texts = NAMED.map(by => [by, map[by] === null ? '' : map[by].read(message)] as const)
  const unread = texts.find(([, text]) => text === null)
  if (unread !== undefined) return { is: 'fault', of: unread[0] }
  const named = subjectNamed({ ...NO_NAMES, ...Object.fromEntries(texts.filter(([, text]) => text !== '')) }, ports) // an empty text names nobody
  if (named.is === 'fault') return { is: 'fault', of: named.of }
  return { is: 'event', at, event: { source: name, issuer: '', jti, type, at: at ?? now, takenAt: now, subject: named.subject, effects, order: null, most, notify, note: '' } }
}
