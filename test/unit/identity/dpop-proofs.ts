// What the DPoP tests share: real keys of every algorithm, and a signer that signs any text, also what no library would.
import { constants, generateKeyPairSync, type KeyObject, sign, type SignKeyObjectInput } from 'node:crypto'
import { duration } from '../../../src/core/time.ts'
import { type ProofExpected, type ProofFault, readProof } from '../../../src/identity/dpop/proof.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { NOON } from './fixtures.ts'

export type Jwk = { readonly [member: string]: string }
export type ProofKey = { readonly publicJwk: Jwk; readonly privateJwk: Jwk; readonly privateKey: KeyObject }

function keyOf({ privateKey, publicKey }: { readonly privateKey: KeyObject; readonly publicKey: KeyObject }): ProofKey {
  const jwk = (key: KeyObject): Jwk => key.export({ format: 'jwk' }) as Jwk // of one key: its members are texts
  return { publicJwk: jwk(publicKey), privateJwk: jwk(privateKey), privateKey }
}

export const P256 = keyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
export const OTHER_P256 = keyOf(generateKeyPairSync('ec', { namedCurve: 'P-256' }))
export const P384 = keyOf(generateKeyPairSync('ec', { namedCurve: 'P-384' }))
export const P521 = keyOf(generateKeyPairSync('ec', { namedCurve: 'P-521' }))
export const SECP256K1 = keyOf(generateKeyPairSync('ec', { namedCurve: 'secp256k1' }))
export const ED25519 = keyOf(generateKeyPairSync('ed25519'))
export const ED448 = keyOf(generateKeyPairSync('ed448'))
export const RSA = keyOf(generateKeyPairSync('rsa', { modulusLength: 2048 }))
export const rsaOf = (modulusLength: number, publicExponent = 65_537): ProofKey => keyOf(generateKeyPairSync('rsa', { modulusLength, publicExponent }))

/** Every algorithm with its key. */
export const KEYS: { readonly [algorithm: string]: ProofKey } = {
  ES256: P256, ES384: P384, ES512: P521, EdDSA: ED25519, Ed25519: ED25519, RS256: RSA, RS384: RSA, RS512: RSA, PS256: RSA, PS384: RSA, PS512: RSA,
}
export const ALGORITHMS = Object.keys(KEYS)

export const TOKEN = 'Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU'
export const URI = 'https://api.example.com/orders/7'
export const NONCE = 'nonce-1'

export const EXPECTED: ProofExpected = {
  method: 'POST',
  uri: URI,
  tokenDigest: sha256(TOKEN),
  now: NOON,
  tolerance: { past: duration(60_000), future: duration(5_000) },
  algorithms: ALGORITHMS,
  nonceOk: nonce => nonce === NONCE,
}

export type Members = { readonly [name: string]: unknown }

export const HEADER: Members = { typ: 'dpop+jwt', alg: 'ES256', jwk: P256.publicJwk }
export const CLAIMS: Members = { jti: 'j-1', htm: 'POST', htu: URI, iat: NOON / 1000, ath: sha256(TOKEN), nonce: NONCE }

export const b64 = (text: string | Uint8Array): string => Buffer.from(text).toString('base64url')

function scheme(algorithm: string): Omit<SignKeyObjectInput, 'key'> {
  if (algorithm.startsWith('ES')) return { dsaEncoding: 'ieee-p1363' }
  return algorithm.startsWith('PS') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {}
}

/** Signs whatever the two texts are. */
export function sealText(header: string, claims: string, key = P256, algorithm = 'ES256'): string {
  const input = `${b64(header)}.${b64(claims)}`
  const hash = algorithm.startsWith('Ed') ? null : `sha${algorithm.slice(2)}`
  return `${input}.${sign(hash, Buffer.from(input), { key: key.privateKey, ...scheme(algorithm) }).toString('base64url')}`
}

/** A proof with changes; a member that is undefined is left out. */
export const seal = (header: Members = {}, claims: Members = {}, key = P256, algorithm = 'ES256'): string =>
  sealText(JSON.stringify({ ...HEADER, ...header }), JSON.stringify({ ...CLAIMS, ...claims }), key, algorithm)

/** What refuses the text, or that nothing does. */
export function faultOf(text: string, changes: Partial<ProofExpected> = {}): ProofFault | 'none: accepted' {
  const reading = readProof(text, { ...EXPECTED, ...changes })
  return reading.is === 'shown' ? 'none: accepted' : reading.fault
}
