// Proves tokens of sessions that brokers opened: whoever holds one is who the session's record says, as long as it lives. It reads records and
// changes none. SPEC: SES20, SES12
import type { SessionTokenSettings } from '../config/settings.ts'
import type { Evidence } from '../core/evidence.ts'
import type { Claims } from '../core/principal.ts'
import { NO_PURPOSES } from '../core/purpose.ts'
import type { Session } from '../core/session.ts'
import { sha256 } from '../runtime/id.ts'
import { invalid, type Proof, type Provider, type Refused, type TokenBinding } from './credential.ts'
import { isSessionToken } from './session-tokens.ts'

/** The session that lies under the digest of a token; null where none does. Rejects where the store cannot tell. */
export type FindSession = (digest: string) => Promise<Session | null>

const REVOKED: Refused = { is: 'refused', reason: 'credential_revoked', detail: 'session_over' }

const bindingOf = ({ brokered, bindings: { key } }: Session): TokenBinding | null =>
  key === null || brokered === null || brokered.possession === null ? null : { is: brokered.possession, thumbprint: key }

export class SessionTokenProvider implements Provider {
  readonly name: string
  readonly header = 'authorization'
  readonly issuer = null
  readonly opaque = 'session'
  readonly fingerprint: string
  readonly #find: FindSession

  constructor({ name }: SessionTokenSettings, fingerprint: string, find: FindSession) {
    this.name = name
    this.fingerprint = fingerprint
    this.#find = find
  }

  async prove(text: string, digest: string): Promise<Proof> {
    if (!isSessionToken(text)) return invalid('malformed')
    const session = await this.#find(digest)
    if (session === null || session.brokered === null) return invalid('token_unknown')
    return session.state.is === 'live' ? this.#proven(session, session.brokered.claims) : REVOKED
  }

  vouchesFor({ fingerprint }: Evidence): boolean {
    return fingerprint === this.fingerprint
  }

  #proven(session: Session, claims: Claims): Proof {
    const { key, principal, openedAt, credential, bindings: { device } } = session
    const binding = bindingOf(session)
    const evidence: Evidence = {
      provider: this.name, fingerprint: this.fingerprint, credential: sessionCredential(session), issuer: principal.issuer, keyId: null, issuedAt: openedAt, expiresAt: credential.expiresAt,
      keyThumbprint: binding?.thumbprint ?? null, device, claimed: NO_PURPOSES,
    }
    return { is: 'proven', proven: { principal, claims, evidence, mark: { is: 'session', value: key }, binding, workload: null, knownUntil: null } }
  }
}

/** Names the token of a session that has one, without it. */
export const sessionCredential = ({ key }: Pick<Session, 'key'>): string => sha256(JSON.stringify(['session token', key]))
