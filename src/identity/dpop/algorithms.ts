// The signature algorithms a DPoP proof may use, by their JOSE names: only those with a public key, each with the one kind of key that fits it.
// SPEC: BND2
import { constants, type KeyObject, verify } from 'node:crypto'

export type ProofAlgorithm = {
  readonly key: { readonly is: 'EC'; readonly curve: string; /** Of one coordinate. */ readonly bytes: number } | { readonly is: 'OKP'; readonly curve: string; readonly bytes: number } | { readonly is: 'RSA' }
  /** null where the algorithm hashes by itself. */
  readonly hash: string | null
  readonly pss: boolean
}

const ec = (curve: string, bytes: number, hash: string): ProofAlgorithm => ({ key: { is: 'EC', curve, bytes }, hash, pss: false })
const rsa = (hash: string, pss: boolean): ProofAlgorithm => ({ key: { is: 'RSA' }, hash, pss })
const ED25519: ProofAlgorithm = { key: { is: 'OKP', curve: 'Ed25519', bytes: 32 }, hash: null, pss: false }

export const PROOF_ALGORITHMS: ReadonlyMap<string, ProofAlgorithm> = new Map([
  ['ES256', ec('P-256', 32, 'sha256')],
  ['ES384', ec('P-384', 48, 'sha384')],
  ['ES512', ec('P-521', 66, 'sha512')],
  ['EdDSA', ED25519],
  ['Ed25519', ED25519],
  ['RS256', rsa('sha256', false)],
  ['RS384', rsa('sha384', false)],
  ['RS512', rsa('sha512', false)],
  ['PS256', rsa('sha256', true)],
  ['PS384', rsa('sha384', true)],
  ['PS512', rsa('sha512', true)],
])

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } as const
const PKCS1 = { padding: constants.RSA_PKCS1_PADDING } as const
const ECDSA = { dsaEncoding: 'ieee-p1363' } as const

/** Is it the signature of these bytes by this key? A key or signature OpenSSL cannot work with is no signature. */
export function isSignedBy({ key: { is }, hash, pss }: ProofAlgorithm, key: KeyObject, bytes: Uint8Array, signature: Uint8Array): boolean {
  const scheme = is === 'EC' ? ECDSA : is === 'OKP' ? {} : pss ? PSS : PKCS1
  try {
    return verify(hash, bytes, { key, ...scheme }, signature)
  } catch {
    return false
  }
}
