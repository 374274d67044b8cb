// Names a session by what stays the same over its life: issuer, tenant, subject, client, who acts for it, and what tells this life's credentials apart.
// Keyed, so that a stored key gives no identity away; tagged, so that a value of one kind never stands for one of another. SPEC: SES2
import { createHmac, type KeyObject } from 'node:crypto'
import type { Claims } from '../core/principal.ts'
import type { SessionKey } from '../core/session.ts'
import { claimOf } from './claims.ts'
import type { Proven } from './credential.ts'

type Scalar = string | number | boolean
/** JSON form of what tells lives apart; the first member is its kind. */
type Discriminator = readonly ['claims', ...(readonly (string | Scalar)[])] | readonly ['sid' | 'key' | Proven['mark']['is'], Scalar]

const isScalar = (value: unknown): value is Scalar => (typeof value === 'string' && value !== '') || typeof value === 'number' || typeof value === 'boolean'

/** `claims.sid` and `sid` name the same claim. */
const claimName = (name: string): string => (name.startsWith('claims.') ? name.slice('claims.'.length) : name)

function configured(names: readonly string[], claims: Claims): Discriminator | null {
  const parts: Scalar[] = []
  for (const name of names.map(claimName)) {
    const value = claimOf(claims, name)
    if (!isScalar(value)) return null
    parts.push(name, value)
  }
  return parts.length === 0 ? null : ['claims', ...parts]
}

/** The first there is of: all configured claims, `sid`, the proven key, the credential's own mark. */
export function discriminatorOf(names: readonly string[], { claims, evidence, mark }: Proven): Discriminator {
  const chosen = configured(names, claims)
  if (chosen !== null) return chosen
  const sid = claimOf(claims, 'sid')
  if (isScalar(sid)) return ['sid', sid]
  return evidence.keyThumbprint === null ? [mark.is, mark.value] : ['key', evidence.keyThumbprint]
}

/** Base64url HMAC-SHA-256. `names` is `sessions.key` of the configuration. */
export function sessionKeyOf(digestKey: KeyObject, names: readonly string[], proven: Proven): SessionKey {
  if (proven.mark.is === 'session') return proven.mark.value as SessionKey // as `SessionTokens` made it
  const { issuer, tenant, subject, client, actor } = proven.principal
  const acting = actor === null ? [] : [['act', actor.issuer, actor.subject]] // two agents of one person are two callers; whom the agent acts for in its turn decides nothing (RFC 8693 §4.1)
  const text = JSON.stringify([issuer, tenant, subject, client, discriminatorOf(names, proven), ...acting])
  return createHmac('sha256', digestKey).update(text).digest('base64url') as SessionKey // the one place a digest becomes a session key
}
