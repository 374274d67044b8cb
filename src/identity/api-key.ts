// Verifies API keys by the digest of what was presented: the digest is looked up, so no comparison can tell how near a guess came.
// SPEC: SES14
import type { ApiKeySettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import type { Clock } from '../runtime/clock.ts'
import { sha256 } from '../runtime/id.ts'
import type { ApiKey } from './api-key-file.ts'
import { deviceOf, principalOf } from './claims.ts'
import { EXPIRED, invalid, type Proof, type Provider } from './credential.ts'

export class ApiKeyProvider implements Provider {
  readonly name: string
  readonly header: string
  readonly issuer = null
  readonly opaque = 'any'
  readonly fingerprint: string
  readonly #settings: ApiKeySettings
  readonly #keys: ReadonlyMap<string, ApiKey>
  readonly #byId: ReadonlyMap<string | null, ApiKey>
  readonly #clock: Clock

  constructor(settings: ApiKeySettings, keys: ReadonlyMap<string, ApiKey>, clock: Clock, fingerprint: string) {
    this.name = settings.name
    this.header = settings.header
    this.fingerprint = fingerprint
    this.#settings = settings
    this.#keys = keys
    this.#byId = new Map([...keys.values()].map(key => [key.id, key]))
    this.#clock = clock
  }

  prove(_text: string, digest: string): Promise<Proof> {
    return Promise.resolve(this.#lookUp(digest))
  }

  vouchesFor({ keyId, fingerprint }: Evidence): boolean {
    const key = this.#byId.get(keyId)
    return key !== undefined && this.#fingerprintOf(key) === fingerprint
  }

  /** Of one entry: the other entries of the file do not count. */
  #fingerprintOf(key: ApiKey): string {
    return sha256(JSON.stringify([this.#settings, key]))
  }

  #lookUp(digest: string): Proof {
    const key = this.#keys.get(digest)
    if (key === undefined) return invalid('api_key_unknown')
    if (key.expires !== null && this.#clock.now() >= key.expires) return EXPIRED
    const issuer = `api-key:${this.name}`
    const claims: Claims = { ...key.claims, sub: key.subject }
    const { kind, claims: names } = this.#settings
    const read = principalOf({ kind, issuer, claims: key.tenant === null ? names : { ...names, tenant: null } }, claims)
    if (read.is === 'fault') return invalid(read.fault)
    const evidence = {
      provider: this.name,
      fingerprint: this.#fingerprintOf(key),
      credential: sha256(JSON.stringify([issuer, key.id])),
      issuer,
      keyId: key.id,
      issuedAt: null,
      expiresAt: key.expires,
      keyThumbprint: null,
      device: deviceOf(names, claims),
      claimed: NO_PURPOSES,
    }
    const principal = key.tenant === null ? read.principal : { ...read.principal, tenant: key.tenant }
    return { is: 'proven', proven: { principal, claims, evidence, mark: { is: 'entry', value: key.id }, binding: null, workload: null, knownUntil: null } }
  }
}
