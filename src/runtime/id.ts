// Ids (128 random bits in 26 lower-case base32 characters, with a prefix that names their kind) and digests.
import { createHmac, hash, randomBytes, randomFillSync } from 'node:crypto'
import type { LockId } from '../core/anchor.ts'
import type { ElevationId } from '../core/elevation.ts'
import type { SessionId } from '../core/session.ts'
import type { SignalId } from '../core/signal.ts'
import type { StepUpId } from '../core/step-up.ts'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

const LENGTH = 26
const CODES = Uint8Array.from(ALPHABET, char => char.charCodeAt(0))
const POOL = Buffer.alloc(LENGTH * 256)
let unused = 0

/** 26 characters of lower-case base32 without padding: 130 bits. The system is asked once for many. */
function random(): string {
  if (unused === 0) {
    randomFillSync(POOL)
    for (let i = 0; i < POOL.length; i++) POOL[i] = CODES[(POOL[i] ?? 0) & 31] ?? 0
    unused = POOL.length
  }
  unused -= LENGTH
  return POOL.toString('latin1', unused, unused + LENGTH)
}

// Each cast names the kind its prefix stands for.
export const newSessionId = (): SessionId => `ses_${random()}` as SessionId
export const newElevationId = (): ElevationId => `elv_${random()}` as ElevationId
export const newLockId = (): LockId => `lck_${random()}` as LockId
export const newSignalId = (): SignalId => `sig_${random()}` as SignalId
export const newStepUpId = (): StepUpId => `stp_${random()}` as StepUpId
export const newExchangeId = (): string => `exc_${random()}`
export const newCredentialId = (): string => `cred_${random()}`
export const newGatewayId = (): string => `gw_${random()}`
export const newEvaluationId = (): string => `eval_${random()}`
/** What names the judging of a request before anybody knows whether it is let through: its refusal says the same. */
export const evaluationIdOf = (exchange: string): string => exchange.replace(/^exc_/, 'eval_')

/** 130 bits of the digest of a name. */
const made = (name: string): string => Array.from(hash('sha256', name, 'buffer').subarray(0, LENGTH), byte => ALPHABET[byte & 31] ?? '').join('')

// The ids of what has a name: the same name gives the same id everywhere. Casts as above.
export const elevationIdOf = (name: string): ElevationId => `elv_${made(name)}` as ElevationId
export const lockIdOf = (name: string): LockId => `lck_${made(name)}` as LockId

/** Base64url SHA-256 of text or bytes. */
export const sha256 = (data: string | Uint8Array): string => hash('sha256', data, 'base64url')

/** 256 random bits as base64, for a key that lives with the data set. */
export const newKeyText = (): string => randomBytes(32).toString('base64')

/** 48 random bits in hexadecimal: tells one entry of a log from every other. */
export const newNonce = (): string => randomBytes(6).toString('hex')

/** Base64url HMAC-SHA-256 of text. */
export const hmac = (key: Uint8Array, data: string): string => createHmac('sha256', key).update(data).digest('base64url')

/** Hexadecimal SHA-1 of text: what Redis knows a script by. Not for anything that must not be forged. */
export const sha1 = (text: string): string => hash('sha1', text)
