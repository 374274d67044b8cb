// Who may not approve: the caller, everyone it acts for, its owner, whoever filed the request, and anyone who is one of them by another name.
// SPEC: APR2
import type { Elevation } from '../core/elevation.ts'
import { knownAs, type Policy } from '../core/policy.ts'
import { chainOf, identityOf, type Principal } from '../core/principal.ts'

/** Identities (`issuer|subject`) that must not approve this elevation. */
export function barredFrom(policy: Policy, principal: Principal, elevation: Elevation): readonly string[] {
  const own = [identityOf(principal), elevation.requestedBy, ...chainOf(principal), ...(principal.owner === null ? [] : [principal.owner, `${principal.issuer}|${principal.owner}`])]
  return [...new Set(own.flatMap(identity => knownAs(policy, identity)))]
}
