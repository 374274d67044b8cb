// What an event of CAEP 1.0 says: which it is, when it happened, what tells it from others of its type, and what came with it. What its definition does not
// allow is malformed; what nobody here knows is ignored. Statements, not commands: what follows is configured. Pure. SPEC: SSF3, OUT3, OUT8
import type { EventName } from '../../config/schema/signals.ts'
import type { Claims } from '../../core/principal.ts'
import { type Instant, instant } from '../../core/time.ts'
import { claimOf } from '../../identity/claims.ts'

const BASE = 'https://schemas.openid.net/secevent/caep/event-type/'
const TEXT_MAX = 512
const NOTE_MAX = 500
const CHANGES_MAX = 32
const CHANGES_LENGTH = 4_096
/** The last second a JavaScript date can name. */
const LAST_SECOND = 8_640_000_000_000
/** They say what a token is; a change of them is another token. */
const OF_THE_TOKEN: ReadonlySet<string> = new Set(['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti', 'cnf', 'act'])

/** How somebody signed in is shown by a token: that it changed takes it away, until one shows it. */
const OF_SIGN_INS: ReadonlySet<string> = new Set(['acr', 'amr', 'auth_time'])

/** What was presented somewhere: the session as its issuer calls it there, and the digest of what it was shown by. */
export type Presented = { readonly id: string; readonly by: string }

type Said = {
  readonly name: EventName
  /** Of the same type and subject, what else must be the same for a newer event to stand in the place of an older one; null where each counts. */
  readonly apart: string | null
  readonly changes: { readonly [claim: string]: unknown }
  /** null where nothing can be compared. */
  readonly presented: Presented | null
}
export type CaepEvent = Said & { readonly is: 'event'; /** Without what tells its kinds apart. */ readonly type: string; readonly at: Instant; readonly note: string }
type CaepReading = CaepEvent | { readonly is: 'ignored' } | { readonly is: 'malformed' }

const said = (name: EventName, apart: string | null, more: Partial<Pick<Said, 'changes' | 'presented'>> = {}): Said => ({ name, apart, changes: {}, presented: null, ...more })

const isObject = (value: unknown): value is Claims => typeof value === 'object' && value !== null && !Array.isArray(value)
const isText = (value: unknown): value is string => typeof value === 'string' && value !== '' && value.length <= TEXT_MAX && value.isWellFormed()
const isTextOrNone = (value: unknown): value is string | null => value === null || isText(value)

/** null: it is malformed; undefined: nothing here knows of it. */
type Reader = (claims: Claims) => Said | null | undefined

function claimsChange(claims: Claims): Said | null {
  const changes = claimOf(claims, 'claims')
  if (!isObject(changes)) return null
  const names = Object.keys(changes)
  const fits = names.length > 0 && names.length <= CHANGES_MAX && names.every(name => isText(name) && !OF_THE_TOKEN.has(name)) && JSON.stringify(changes).length <= CHANGES_LENGTH
  return fits ? said('token-claims-change', null, { changes: Object.fromEntries(Object.entries(changes).map(([name, value]) => [name, OF_SIGN_INS.has(name) ? null : value])) }) : null
}

function credentialChange(claims: Claims): Said | null {
  const [type, change] = [claimOf(claims, 'credential_type'), claimOf(claims, 'change_type')]
  if (!isText(type) || !['x509_issuer', 'x509_serial', 'fido2_aaguid', 'friendly_name'].every(name => isTextOrNone(claimOf(claims, name)))) return null
  return change === 'create' || change === 'revoke' || change === 'update' || change === 'delete' ? said(`credential-change.${change}`, null) : null
}

/** One that does not say in which direction may be a decrease. */
function assuranceChange(claims: Claims): Said | null {
  const [space, level, before, direction] = [claimOf(claims, 'namespace'), claimOf(claims, 'current_level'), claimOf(claims, 'previous_level'), claimOf(claims, 'change_direction') ?? 'decrease']
  if (!isText(space) || !isText(level) || !isTextOrNone(before)) return null
  return direction === 'increase' || direction === 'decrease' ? said(`assurance-level-change.${direction}`, space) : null
}

const isCompliance = (value: unknown): value is 'compliant' | 'not-compliant' => value === 'compliant' || value === 'not-compliant'

function complianceChange(claims: Claims): Said | null {
  const status = claimOf(claims, 'current_status')
  return isCompliance(claimOf(claims, 'previous_status')) && isCompliance(status) ? said(`device-compliance-change.${status}`, '') : null
}

const LEVELS: ReadonlyMap<unknown, 'low' | 'medium' | 'high'> = new Map([['LOW', 'low'], ['MEDIUM', 'medium'], ['HIGH', 'high']])
const OURS: ReadonlySet<string> = new Set(['USER', 'DEVICE', 'SESSION', 'TENANT'])

function riskChange(claims: Claims): Said | null | undefined {
  const [principal, level, before] = [claimOf(claims, 'principal'), LEVELS.get(claimOf(claims, 'current_level')), claimOf(claims, 'previous_level')]
  if (!isText(principal) || level === undefined || (before !== null && !LEVELS.has(before)) || !isTextOrNone(claimOf(claims, 'risk_reason'))) return null
  return OURS.has(principal) ? said(`risk-level-change.${level}`, principal) : undefined
}

const shown = (name: 'session-established' | 'session-presented'): Reader => claims => {
  const [by, id] = [claimOf(claims, 'fp_ua'), claimOf(claims, 'ext_id')]
  if (!isTextOrNone(by) || !isTextOrNone(id)) return null
  return said(name, null, { presented: by === null || id === null ? null : { id, by } })
}

const READERS: ReadonlyMap<string, Reader> = new Map<string, Reader>([
  ['session-revoked', () => said('session-revoked', null)],
  ['token-claims-change', claimsChange],
  ['credential-change', credentialChange],
  ['assurance-level-change', assuranceChange],
  ['device-compliance-change', complianceChange],
  ['risk-level-change', riskChange],
  ['session-established', shown('session-established')],
  ['session-presented', shown('session-presented')],
])

// ---- what all have

/** null where it is none. */
function secondIn(claims: Claims): Instant | 'none' | null {
  const value = claimOf(claims, 'event_timestamp')
  if (value === null) return 'none'
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 && value <= LAST_SECOND ? instant(value * 1000) : null
}

/** In English where it is there; older transmitters write a text alone. null where it is neither. */
function noteIn(claims: Claims): string | null {
  const reason = claimOf(claims, 'reason_admin') ?? ''
  const text = isObject(reason) ? (claimOf(reason, 'en') ?? Object.values(reason)[0] ?? '') : reason
  return typeof text === 'string' ? text.toWellFormed().replaceAll(/\p{C}+/gu, ' ').trim().slice(0, NOTE_MAX).toWellFormed() : null
}

/** @param type the URI of its type. @param iat when it was issued, which counts where it does not say when it happened */
export function caepOf(type: string, claims: Claims, iat: Instant): CaepReading {
  const short = type.startsWith(BASE) ? type.slice(BASE.length) : ''
  const reader = READERS.get(short)
  if (reader === undefined) return { is: 'ignored' }
  const [at, note, read] = [secondIn(claims), noteIn(claims), reader(claims)]
  if (at === null || note === null || read === null || !isTextOrNone(claimOf(claims, 'initiating_entity'))) return { is: 'malformed' }
  return read === undefined ? { is: 'ignored' } : { ...read, is: 'event', type: short, at: at === 'none' ? iat : at, note }
}
