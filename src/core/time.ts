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
