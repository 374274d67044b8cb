// Operators known by what others vouch for: signed tokens of an OpenID provider, and client certificates. Roles follow from what the credential says;
// a condition that is false or cannot be evaluated gives none. Text of a credential appears in no answer, log or error. SPEC: ADM22
import { TLSSocket } from 'node:tls'
import type { Socket } from 'node:net'
import type { AdminSettings } from '../config/settings.ts'
import { type Claims, identityOf, type Principal } from '../core/principal.ts'
import { presentedBy } from '../identity/certificate/authority.ts'
import { type AnyProvider, type CertificateProvider, CREDENTIAL_MAX, type Proof, type Provider } from '../identity/credential.ts'
import { buildProviders, type ProviderTools } from '../identity/provider.ts'
import type { Clock } from '../runtime/clock.ts'
import type { Log } from '../runtime/log.ts'
import type { Caller, Role } from './roles.ts'

type By<P> = { readonly provider: P; readonly roles: NonNullable<AdminSettings['oidc']>['roles'] }
type Ports = { readonly clock: Clock; readonly log: Log }

/** Whom nobody vouches for. */
export type Vouched = {
  readonly byToken: (text: string) => Promise<Caller | null>
  /** `none` where certificates are not asked about, or none was shown. */
  readonly byCertificate: (socket: Socket) => Caller | 'none' | null
  /** The roles that these claims would give today. */
  readonly rolesOf: (via: 'oidc' | 'mtls', claims: Claims) => readonly Role[]
}
export const NOBODY_VOUCHED: Vouched = { byToken: () => Promise.resolve(null), byCertificate: () => 'none', rolesOf: () => [] }

const rolesHeld = (roles: By<AnyProvider>['roles'], claims: Claims): readonly Role[] => [...roles].flatMap(([role, when]) => (when.test(ANYBODY, claims) === 'true' ? [role] : []))
/** Conditions on operators read claims alone. */
const ANYBODY: Principal = { kind: 'person', issuer: '', tenant: '', subject: '', client: '', owner: null, actor: null }

export class Operators implements Vouched {
  readonly #oidc: By<Provider> | null
  readonly #mtls: By<CertificateProvider> | null
  readonly #ports: Ports

  constructor(oidc: By<Provider> | null, mtls: By<CertificateProvider> | null, ports: Ports) {
    this.#oidc = oidc
    this.#mtls = mtls
    this.#ports = ports
  }

  /** Never rejects. */
  readonly byToken = async (text: string): Promise<Caller | null> => {
    if (this.#oidc === null || text.length > CREDENTIAL_MAX) return null
    return this.#known(this.#oidc, 'oidc', await this.#oidc.provider.prove(text, ''))
  }

  readonly byCertificate = (socket: Socket): Caller | 'none' | null => {
    if (this.#mtls === null || !(socket instanceof TLSSocket)) return 'none'
    const shown = presentedBy(socket, this.#ports.clock.now())
    if (shown === null) return 'none'
    return shown.is === 'refused' ? this.#refused('mtls', shown.fault) : this.#known(this.#mtls, 'mtls', this.#mtls.provider.prove(shown.certificate))
  }

  readonly rolesOf = (via: 'oidc' | 'mtls', claims: Claims): readonly Role[] => {
    const by = via === 'oidc' ? this.#oidc : this.#mtls
    return by === null ? [] : rolesHeld(by.roles, claims)
  }

  /** Who stands in the trail has to be the one who asks: a token with `act` is held by somebody else. */
  #known(by: By<AnyProvider>, via: 'oidc' | 'mtls', proof: Proof): Caller | null {
    if (proof.is === 'refused') return this.#refused(by.provider.name, proof.detail)
    const { principal, claims } = proof.proven
    if (principal.actor !== null) return this.#refused(by.provider.name, 'delegated')
    return { name: principal.subject, via, identity: identityOf(principal), roles: rolesHeld(by.roles, claims), claims, breakGlass: false }
  }

  #refused(by: string, detail: string): null {
    this.#ports.log.info({ by, detail }, 'the credential of an operator was refused')
    return null
  }
}

/** Of one way in; what its files lack is told with its place. */
async function providerOf(settings: NonNullable<AdminSettings['oidc'] | AdminSettings['mtls']>['provider'], tools: ProviderTools): Promise<AnyProvider | null> {
  const { name } = settings
  const built = await buildProviders(new Map([[name, settings]]), tools).catch((error: unknown) => {
    throw new Error(`admin.auth.${name}: ${(error instanceof Error ? error.message : 'unreadable').replace(`authn.${name}: `, '')}`, { cause: error })
  })
  return built.get(name) ?? null
}

/** @throws Error naming the place and the file */
export async function openOperators({ oidc, mtls }: AdminSettings, tools: ProviderTools & Ports): Promise<Vouched> {
  const token = oidc === null ? null : await providerOf(oidc.provider, tools)
  const certificate = mtls === null ? null : await providerOf(mtls.provider, tools)
  return new Operators(
    oidc === null || token === null || token.header === null ? null : { provider: token, roles: oidc.roles },
    mtls === null || certificate === null || certificate.header !== null ? null : { provider: certificate, roles: mtls.roles },
    tools,
  )
}
