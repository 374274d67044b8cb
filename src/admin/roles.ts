// Who may do what on the admin listener: five roles, each of which also reads. `admin` holds the operator's rights, never the approver's.
// SPEC: ADM18
import { OPERATOR_ROLES, type OperatorRole } from '../config/settings.ts'

export const ROLES = OPERATOR_ROLES
export type Role = OperatorRole

/** Somebody with a valid credential. */
export type Caller = {
  /** Name of the entry in the token file, else what the credential calls its holder. */
  readonly name: string
  /** Only then its name is an operator's choice, and not what somebody else's credential says. */
  readonly inTokenFile: boolean
  /** `issuer|subject`: who stands in facts, and who is barred from approving its own requests. */
  readonly identity: string
  readonly roles: readonly Role[]
  readonly breakGlass: boolean
}

const hasRole = (held: readonly Role[], role: Role): boolean =>
  held.includes(role) || (role === 'operator' && held.includes('admin')) || (role === 'viewer' && held.length > 0)

/** @param needed any of them will do */
export const mayDo = ({ roles }: Caller, needed: readonly Role[]): boolean => needed.some(role => hasRole(roles, role))
