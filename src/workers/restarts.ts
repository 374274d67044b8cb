// When a worker that died is started again: sooner the first time, later each time, and not at all one that never came up. Pure. SPEC: ADM20
const WITHIN = 60_000
const TRIES = 5
const FIRST = 100
const LONGEST = 10_000

export type Next = { readonly is: 'again'; readonly afterMs: number } | { readonly is: 'over' }

/** Those deaths that still count, in milliseconds of one clock: of the last minute, the newest 20. */
export const recent = (deaths: readonly number[], now: number): readonly number[] => deaths.filter(at => now - at < WITHIN).slice(-20)

/**
 * @param deaths the recent ones, the last included
 * @param served it was ready at some time since the program began
 */
export function afterDeath(deaths: readonly number[], served: boolean): Next {
  if (!served && deaths.length >= TRIES) return { is: 'over' }
  return { is: 'again', afterMs: Math.min(LONGEST, FIRST * 2 ** (Math.max(1, deaths.length) - 1)) }
}
