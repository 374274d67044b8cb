// An elevation that ends with its caller's risk: tied to what is kept of the principal, and not given where that is too high already. SPEC: RSK11
import type { Tie } from '../core/elevation.ts'
import type { Profile } from '../core/policy.ts'
import type { Principal } from '../core/principal.ts'
import { instant } from '../core/time.ts'
import { principalAnchor } from '../sessions/principal-anchor.ts'
import { type Declined, decline } from './declined.ts'
import type { AnchorLookup } from './task.ts'

const NONE: readonly Tie[] = []

/** What ties it to its caller's risk: none where no level ends it. */
export async function riskTies({ endsAtRisk: level }: Profile, principal: Principal, look: AnchorLookup): Promise<readonly Tie[] | Declined> {
  if (level === null) return NONE
  const anchor = principalAnchor(principal)
  const found = await look(anchor)
  if (found?.matter?.is === 'principal' && found.matter.level !== null && found.matter.level.at >= level) return decline('risk', 'the risk level does not allow the profile now')
  return [{ anchor, generation: found?.generation ?? instant(0), reason: 'risk', position: null, level }]
}
