// What people are told, and how much of it. Parts of a notice are written by those who ask: no length and no character of theirs keeps it from
// being told, or makes it look like more than one line. SPEC: NOT1
import type { Instant } from '../core/time.ts'
import { httpUrl } from '../config/compile/url.ts'

type NoticeEvent =
  | 'elevation.requested' | 'elevation.approved' | 'elevation.denied' | 'elevation.ended'
  | 'stepUp.asked' | 'stepUp.satisfied' | 'stepUp.denied' | 'stepUp.expired'
  | 'break_glass.activated' | 'break_glass.review_missed'
  | 'risk.reached'
  | 'decision.notification'
  | 'outside.acted' | 'outside.withheld' | 'outside.failed' | 'outside.unread' | 'outside.undelivered'

type NoticeData = { readonly [key: string]: string | number | boolean | null | readonly string[] }

export type Notice = {
  /** Tells it from every other; the same however often, and by whichever gateway, it is told. */
  readonly id: string
  readonly event: NoticeEvent
  readonly at: Instant
  /** One line for people. */
  readonly text: string
  /** Where in the console it is; opens nothing by itself. */
  readonly link: string | null
  /** No secrets. */
  readonly data: NoticeData
}

const TEXT_MAX = 1_000
/** Of the data as JSON, in characters. */
const DATA_MAX = 16_384
const LINK_MAX = 2_000
/** Characters that break a line, or turn the order in which the rest is read. */
const LAYOUT = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}]+/gu

/** At most so many UTF-16 units, no character cut in two. */
export function cut(text: string, most: number): string {
  if (text.length <= most) return text
  return `${text.slice(0, most - 1).replace(/[\uD800-\uDBFF]$/, '')}…`
}

/** A link to a place and nothing more: neither credentials nor a query that could hold any. */
function isPlain(link: string): boolean {
  const url = link.length > LINK_MAX ? null : httpUrl(link)
  return url !== null && url.search === ''
}

/** The same notice, no greater than may wait by the thousand. */
export function fitting({ id, event, at, text, link, data }: Notice): Notice {
  const fits = JSON.stringify(data).length <= DATA_MAX
  return { id, event, at, text: cut(text.slice(0, 4 * TEXT_MAX).replace(LAYOUT, ' '), TEXT_MAX), link: link !== null && isPlain(link) ? link : null, data: fits ? data : { omitted: 'too long' } }
}

/** About emergencies, and what somebody has to look at before it goes on: told before the rest, and given up after it. */
export const isLoud = ({ event }: Notice): boolean => event.startsWith('break_glass.') || event === 'outside.withheld'
