// Ids (128 random bits in 26 lower-case base32 characters, with a prefix that names their kind) and digests.
import { hash, randomBytes, randomFillSync } from 'node:crypto'
import type { LockId } from '../core/anchor.ts'
import type { ElevationId } from '../core/elevation.ts'
import type { SessionId } from '../core/session.ts'
import type { SignalId } from '../core/signal.ts'

const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567'

const POOL = Buffer.alloc(17 * 256)
let unused = 0

/** 17 fresh random bytes; the system is asked once for many. */
function fresh(): Buffer {
  if (unused === 0) {
    randomFillSync(POOL)
    unused = POOL.length
  }
  unused -= 17
  return POOL.subarray(unused, unused + 17)
}

/** 26 characters of lower-case base32 without padding: 130 bits. */
function random(): string {
  let text = ''
  let bits = 0
  let held = 0
  for (const byte of fresh()) {
    held = (held << 8) | byte
    bits += 8
    while (bits >= 5 && text.length < 26) {
      bits -= 5
      text += ALPHABET[(held >> bits) & 31]
    }
    held &= (1 << bits) - 1
  }
  return text
}

// Each cast names the kind its prefix stands for.
export const newSessionId = (): SessionId => `ses_${random()}` as SessionId
export const newElevationId = (): ElevationId => `elv_${random()}` as ElevationId
export const newLockId = (): LockId => `lck_${random()}` as LockId
export const newSignalId = (): SignalId => `sig_${random()}` as SignalId
export const newExchangeId = (): string => `exc_${random()}`
export const newGatewayId = (): string => `gw_${random()}`
export const newEvaluationId = (): string => `eval_${random()}`

/** Base64url SHA-256 of text or bytes. */
export const sha256 = (data: string | Uint8Array): string => hash('sha256', data, 'base64url')

/** 256 random bits as base64, for a key that lives with the data set. */
export const newKeyText = (): string => randomBytes(32).toString('base64')
