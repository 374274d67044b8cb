// What is kept of an approver's credential beside its approval, so that today's roles can be asked of it again: how it came, its name, and what it said.
// Whole or not at all: a condition that asks whether something is missing must not find it cut off. SPEC: APR6
import type { Claims } from '../core/principal.ts'
import type { Caller } from './roles.ts'

const KEPT_BYTES = 4 * 1024

type Kept = Pick<Caller, 'via' | 'name' | 'claims'>

/** null where it says more than may be kept. */
export function keptOf({ via, name, claims }: Caller): Claims | null {
  const kept = { via, name, claims }
  return Buffer.byteLength(JSON.stringify(kept)) > KEPT_BYTES ? null : kept
}

const isClaims = (value: unknown): value is Claims => typeof value === 'object' && value !== null && !Array.isArray(value)

/** null for an approval of which nothing was kept. */
export function keptFrom({ via, name, claims }: Claims): Kept | null {
  return (via === 'token' || via === 'oidc' || via === 'mtls') && typeof name === 'string' && isClaims(claims) ? { via, name, claims } : null
}
