// Who may do what on the admin listener: five roles, each of which also reads. `admin` holds the operator's rights, never the approver's.
// SPEC: ADM18
import type { Claims } from '../core/principal.ts'
import { OPERATOR_ROLES, type OperatorRole } from '../config/settings.ts'

export const ROLES = OPERATOR_ROLES
export type Role = OperatorRole

/** Somebody with a valid credential. */
export type Caller = {
  /** Name of the entry in the token file, else what the credential calls its holder. */
  readonly name: string
  /** How it came. Only by a token its name is an operator's choice, and not what somebody else's credential says. */
  readonly via: 'token' | 'oidc' | 'mtls'
  /** `issuer|subject`: who stands in facts, and who is barred from approving its own requests. */
  readonly identity: string
  readonly roles: readonly Role[]
  /** What its credential says; conditions on approvers read it. */
  readonly claims: Claims
  readonly breakGlass: boolean
}

const hasRole = (held: readonly Role[], role: Role): boolean =>
  held.includes(role) || (role === 'operator' && held.includes('admin')) || (role === 'viewer' && held.length > 0)

/** Does somebody with these roles count as one of those who are asked for a word? */
export const holdsRole = ({ roles }: Pick<Caller, 'roles'>, role: string): boolean => ROLES.some(each => each === role && hasRole(roles, each))

/** @param needed any of them will do */
export const mayDo = ({ roles }: Pick<Caller, 'roles'>, needed: readonly Role[]): boolean => needed.some(role => hasRole(roles, role))
