// What belongs to a principal and to none of its lives: its risk, what it touched, the pauses of profiles behind their end. SPEC: ELV11, RSK1
import type { Anchor, AnchorRef } from '../core/anchor.ts'
import type { Elevation } from '../core/elevation.ts'
import type { Profile } from '../core/policy.ts'
import type { Principal } from '../core/principal.ts'
import { after, type Instant, instant, later } from '../core/time.ts'
import { type PrincipalNamed, principalName } from '../runtime/principal-name.ts'

export const principalAnchor = (principal: PrincipalNamed): AnchorRef => ({ kind: 'principal', name: principalName(principal) })

/** When the principal may have the profile again; 0 where there is no pause. The session's own ends count before anything was written about them. */
export async function restsUntil({ name, cooldown }: Pick<Profile, 'name' | 'cooldown'>, principal: Principal, elevations: readonly Elevation[], look: (ref: AnchorRef) => Promise<Anchor | null>): Promise<Instant> {
  if (cooldown === null) return instant(0)
  const found = await look(principalAnchor(principal))
  const told = found?.matter?.is === 'principal' ? (found.matter.cooling[name] ?? instant(0)) : instant(0)
  return elevations.flatMap(({ profile, state }) => (profile === name && 'at' in state ? [after(state.at, cooldown)] : [])).reduce(later, told)
}
