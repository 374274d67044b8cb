// What belongs to a principal and to none of its lives: for now, the pauses of profiles behind their end. SPEC: ELV11
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import type { Principal } from '../core/principal.ts'
import { type Instant, instant } from '../core/time.ts'
import { sha256 } from '../runtime/id.ts'

export const principalAnchor = ({ issuer, tenant, subject, client }: Principal): AnchorRef => ({ kind: 'principal', name: sha256(JSON.stringify([issuer, tenant, subject, client])) })

/** When the principal may ask for the profile again; 0 where there is no pause. */
export async function coolingUntil(principal: Principal, profile: string, look: (ref: AnchorRef) => Promise<Anchor | null>): Promise<Instant> {
  const found = await look(principalAnchor(principal))
  return found?.matter?.is === 'principal' ? (found.matter.cooling[profile] ?? instant(0)) : instant(0)
}
