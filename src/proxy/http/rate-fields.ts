// What a caller over a rate is told: when to come again (`Retry-After`, RFC 9110 §10.2.3), and of which rate nothing is left (draft-ietf-httpapi-ratelimit-headers).
// SPEC: RAT3, WIRE9
import type { Short } from '../../enforcement/rates.ts'

/** Whole seconds, and never 0. */
export const retryAfter = ({ wait }: Pick<Short, 'wait'>): number => Math.max(1, Math.ceil(wait / 1_000))

/** Names and values in turn. */
export function rateFields({ rate: { requests, bytes, per }, wait }: Short): readonly string[] {
  const unit = bytes === null ? '' : ';qu="content-bytes"'
  return ['ratelimit', `"default";r=0;t=${retryAfter({ wait })}`, 'ratelimit-policy', `"default";q=${requests ?? bytes ?? 0};w=${Math.ceil(per / 1_000)}${unit}`]
}
