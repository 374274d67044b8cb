// What this gateway calls itself in `Via`, and how often a request may have been here before. SPEC: WIRE22
import type { Version } from './head.ts'

export type Via = {
  /** Names this gateway and no other: two of them in a row are no loop. */
  readonly pseudonym: string
  /** What it adds, by the version of what it received. */
  readonly entries: Readonly<Record<Version, string>>
}

/** Times a request may have come through here already: an upstream may call another API by the same gateway. */
const THROUGH_MAX = 3

/** @param gateway the gateway's own id */
export function viaOf(gateway: string): Via {
  const pseudonym = `narrowgate-${gateway.slice(gateway.indexOf('_') + 1).slice(0, 6).toLowerCase()}`
  return { pseudonym, entries: { '1.0': `1.0 ${pseudonym}`, '1.1': `1.1 ${pseudonym}`, '2': `2 ${pseudonym}` } }
}

/** @param value of all `Via` lines; null where there is none */
export const loops = ({ pseudonym }: Via, value: string | null): boolean => value !== null && value.toLowerCase().split(pseudonym).length - 1 > THROUGH_MAX
