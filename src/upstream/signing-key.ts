// An Ed25519 key that signs what upstreams are told, and its public half as callers of the key set see it. SPEC: CTX5, CTX7
import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { sha256 } from '../runtime/id.ts'

/** RFC 8037, as it is published. */
export type PublicKey = { readonly kty: 'OKP'; readonly crv: 'Ed25519'; readonly x: string; readonly kid: string; readonly alg: 'EdDSA'; readonly use: 'sig' }

export type SigningKey = {
  /** Thumbprint of the public half (RFC 7638), unless it was named. */
  readonly id: string
  readonly secret: KeyObject
  readonly public: PublicKey
}

/** @param pem PKCS#8 of an Ed25519 key @param name of it; null for its thumbprint @throws Error where it is none */
export function signingKeyOf(pem: string, name: string | null = null): SigningKey {
  const secret = createPrivateKey(pem)
  const { x } = createPublicKey(secret).export({ format: 'jwk' })
  if (secret.asymmetricKeyType !== 'ed25519' || typeof x !== 'string') throw new Error('not an Ed25519 private key')
  const id = name ?? sha256(`{"crv":"Ed25519","kty":"OKP","x":"${x}"}`)
  return { id, secret, public: { kty: 'OKP', crv: 'Ed25519', x, kid: id, alg: 'EdDSA', use: 'sig' } }
}

/** PKCS#8 text. */
export const newKeyPem = (): string => generateKeyPairSync('ed25519').privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()
