// Time as the core knows it: instants and durations in milliseconds, always given from outside, never read here.
// SPEC: SES9
declare const unit: unique symbol

/** Milliseconds since the Unix epoch. */
export type Instant = number & { readonly [unit]: 'instant' }
/** Milliseconds. */
export type Duration = number & { readonly [unit]: 'duration' }

export const instant = (ms: number): Instant => ms as Instant // the one place a number becomes an instant
export const duration = (ms: number): Duration => ms as Duration // the one place a number becomes a duration

/** An instant no clock reaches; used for "no end", never stored. */
export const FOREVER: Instant = instant(Infinity)

export const after = (at: Instant, span: Duration): Instant => instant(at + span)
export const earlier = (a: Instant, b: Instant): Instant => (a < b ? a : b)
export const later = (a: Instant, b: Instant): Instant => (a > b ? a : b)

const UNITS: { readonly [unit: string]: number } = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** `90s`, `15m`, `1h30m`: whole numbers with units, largest first. null when it is none or longer than ten years. */
export function parseDuration(text: string): Duration | null {
  if (!/^(?:\d{1,9}d)?(?:\d{1,9}h)?(?:\d{1,9}m)?(?:\d{1,9}s)?(?:\d{1,9}ms)?$/.test(text) || text === '') return null
  let total = 0
  for (const [, amount, unit] of text.matchAll(/(\d+)(ms|[smhd])/g)) total += Number(amount) * (UNITS[unit ?? ''] ?? Number.NaN)
  return total <= 3_652 * 86_400_000 ? duration(total) : null
}
