// The caller of the gateway's row: an Ed25519 key, its JWKS file, and RFC 9068 access tokens signed with it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

export type Caller = { readonly jwksFile: string; readonly token: () => Promise<string> }

export async function makeCaller(folder: string, { issuer, audience }: { readonly issuer: string; readonly audience: string }): Promise<Caller> {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const jwksFile = join(folder, 'jwks.json')
  writeFileSync(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' }] }))
  const token = (): Promise<string> =>
    new SignJWT({ client_id: 'bench', repository: 'acme/shop', scope: 'bench' })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'bench' })
      .setIssuer(issuer).setAudience(audience).setSubject('pipeline-1').setJti('bench-1').setIssuedAt().setExpirationTime('2h')
      .sign(privateKey)
  return { jwksFile, token }
}
