// Who may not approve: the caller, everyone it acts for, its owner, whoever filed the request, and anyone who is one of them by another name.
// SPEC: APR2
import type { Elevation } from '../core/elevation.ts'
import { knownAs, type Policy } from '../core/policy.ts'
import { chainOf, identityOf, type Principal } from '../core/principal.ts'

/** Who a credential says its bearer is, acts for and belongs to. An owner is written as a whole identity or as a subject of the same issuer. */
export const namedBy = (principal: Principal): readonly string[] =>
  [identityOf(principal), ...chainOf(principal), ...(principal.owner === null ? [] : [principal.owner, `${principal.issuer}|${principal.owner}`])]

/** Identities (`issuer|subject`) that must not approve this elevation: of the session's first credential and of the one that asked. */
export function barredFrom(policy: Policy, principal: Principal, elevation: Elevation): readonly string[] {
  const own = [elevation.requestedBy, ...namedBy(principal), ...elevation.barred]
  return [...new Set(own.flatMap(identity => knownAs(policy, identity)))]
}
