// The caller of the gateway's rows: an Ed25519 key of its issuer, the JWKS file, and RFC 9068 access tokens signed with it.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { exportJWK, generateKeyPair, SignJWT } from 'jose'

const ISSUER = 'https://ci.bench.example'
const AUDIENCE = 'narrowgate'

export type Caller = {
  /** The gateway's provider for these tokens. */
  readonly jwt: { readonly issuer: string; readonly audience: string; readonly jwksFile: string }
  /** @param binding claims that bind the token to a key */
  readonly token: (binding: { readonly cnf?: { readonly jkt: string } }) => Promise<string>
}

export async function makeCaller(folder: string): Promise<Caller> {
  const { publicKey, privateKey } = await generateKeyPair('EdDSA', { crv: 'Ed25519' })
  const jwksFile = join(folder, 'jwks.json')
  writeFileSync(jwksFile, JSON.stringify({ keys: [{ ...(await exportJWK(publicKey)), kid: 'bench', alg: 'EdDSA', use: 'sig' }] }))
  const token: Caller['token'] = binding =>
    new SignJWT({ client_id: 'bench', repository: 'acme/shop', scope: 'bench', ...binding })
      .setProtectedHeader({ alg: 'EdDSA', typ: 'at+jwt', kid: 'bench' })
      .setIssuer(ISSUER).setAudience(AUDIENCE).setSubject('pipeline-1').setJti('bench-1').setIssuedAt().setExpirationTime('2h')
      .sign(privateKey)
  return { jwt: { issuer: ISSUER, audience: AUDIENCE, jwksFile }, token }
}
