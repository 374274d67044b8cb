// A caller's ES256 key and its DPoP proofs (RFC 9449), made as fast as one thread can: thousands of them right before each load.
import { generateKeyPairSync, hash, randomUUID, sign } from 'node:crypto'
import { calculateJwkThumbprint, exportJWK } from 'jose'

export type ProofKey = { readonly thumbprint: string; readonly proof: (method: string, uri: string, token: string) => string }

const encoded = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')

export async function makeProofKey(): Promise<ProofKey> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const jwk = await exportJWK(publicKey)
  const head = encoded({ typ: 'dpop+jwt', alg: 'ES256', jwk })
  const proof: ProofKey['proof'] = (method, uri, token) => {
    // to the millisecond: made in the second in which a store began, a proof would count as older than the store
    const claims = { jti: randomUUID(), htm: method, htu: uri, iat: Date.now() / 1_000, ath: hash('sha256', token, 'base64url') }
    const text = `${head}.${encoded(claims)}`
    return `${text}.${sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('base64url')}`
  }
  return { thumbprint: await calculateJwkThumbprint(jwk), proof }
}
