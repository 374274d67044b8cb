// `admin`: who the operators are, and which roles their credentials give. SPEC: CFG3, ADM22
import type { SubjectCondition } from '../../core/condition.ts'
import { type AdminSettings, OPERATOR_ROLES, type OperatorRole } from '../settings.ts'
import type { Path } from '../source-map.ts'
import { identityCondition } from './conditions.ts'
import { type Compilation, existingOrNone } from './context.ts'
import { type Common, jwtProvider, mtlsProvider, subjectCaseOf } from './providers.ts'

type Auth = Compilation['config']['admin']['auth']
type WrittenRoles = NonNullable<Auth['oidc']>['roles']

const common = (c: Compilation, name: 'oidc' | 'mtls', subjectCase: Common['claims']['subjectCase'] = 'exact'): Common =>
  ({ c, at: ['admin', 'auth', name], name, kind: 'operator', claims: { tenant: null, owner: null, client: null, device: null, subjectCase } })

function rolesOf(c: Compilation, written: WrittenRoles, path: Path): ReadonlyMap<OperatorRole, SubjectCondition> {
  const roles = new Map<OperatorRole, SubjectCondition>()
  for (const role of OPERATOR_ROLES) {
    const source = written[role]
    const when = source === undefined ? null : identityCondition(c, [...path, role], source)
    if (when !== null) roles.set(role, when)
  }
  return roles
}

/** Whoever may call would be known as an operator too, and a token that goes through many hands would count here. */
function audienceIsOwn({ config, report }: Compilation, { provider: { issuer, audience } }: NonNullable<AdminSettings['oidc']>): void {
  for (const [name, { jwt }] of Object.entries(config.authn)) {
    if (jwt?.issuer !== issuer || ![jwt.audience].flat().some(one => audience.includes(one))) continue
    report.error(['admin', 'auth', 'oidc', 'audience'], `tokens of provider '${name}' would count here too`, 'give operators an audience of their own')
  }
}

function oidcOf(c: Compilation, { oidc }: Auth): AdminSettings['oidc'] {
  if (oidc === undefined) return null
  const { roles, ...jwt } = oidc
  const made = { provider: jwtProvider(common(c, 'oidc', subjectCaseOf(c, jwt.issuer)), jwt), roles: rolesOf(c, roles, ['admin', 'auth', 'oidc', 'roles']) }
  audienceIsOwn(c, made)
  return made
}

function mtlsOf(c: Compilation, { mtls }: Auth): AdminSettings['mtls'] {
  if (mtls === undefined) return null
  const asked = c.config.server.listeners?.some(({ serves, tls }) => serves.includes('admin') && tls?.clients !== undefined)
  if (asked !== true) c.report.errorAtKey(['admin', 'auth', 'mtls'], 'operators are known by certificates, but no listener that serves `admin` asks for any', 'give it `tls.clients`')
  const { roles, ...names } = mtls
  return { provider: mtlsProvider(common(c, 'mtls'), names), roles: rolesOf(c, roles, ['admin', 'auth', 'mtls', 'roles']) }
}

export function adminOf(c: Compilation): AdminSettings {
  const { auth, breakGlassTokenFile } = c.config.admin
  return {
    tokenFile: existingOrNone(c, ['admin', 'auth', 'tokenFile'], auth.tokenFile),
    breakGlassTokenFile: existingOrNone(c, ['admin', 'breakGlassTokenFile'], breakGlassTokenFile),
    oidc: oidcOf(c, auth), mtls: mtlsOf(c, auth),
  }
}
