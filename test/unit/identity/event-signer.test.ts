// The key that signs what others are told: which keys there may be, and what it signs.
import { generateKeyPairSync } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { compactVerify, createLocalJWKSet } from 'jose'
import { describe, expect, onTestFinished, test } from 'vitest'
import { EventSigner, newEventKey, readEventKey } from '../../../src/identity/event-signer.ts'

function file(text: string): string {
  const directory = mkdtempSync(join(tmpdir(), 'ng-key-'))
  onTestFinished(() => rmSync(directory, { recursive: true }))
  const path = join(directory, 'key.pem')
  writeFileSync(path, text)
  return path
}
const pkcs8 = { format: 'pem', type: 'pkcs8' } as const

describe('a key for what others are told', () => {
  test('[TRM3] is RSA of 2048 bits at least, without a passphrase; of anything else the file is named and never what is in it', async () => {
    const rsa = (bits: number) => generateKeyPairSync('rsa', { modulusLength: bits }).privateKey
    const good = rsa(2048).export(pkcs8).toString()
    expect(await readEventKey(file(good))).toBe(good.trimEnd())
    const wrong = [
      rsa(1024).export(pkcs8), rsa(2048).export({ ...pkcs8, cipher: 'aes-256-cbc', passphrase: 'x' }), generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export(pkcs8),
      generateKeyPairSync('ed25519').privateKey.export(pkcs8), 'no key at all', good.replace(/[A-Z]/, '!'),
    ]
    for (const each of wrong) {
      const path = file(each.toString())
      await expect(readEventKey(path)).rejects.toThrow(`${path}: is not an RSA private key of 2048 bits or more in PEM (PKCS#8, without a passphrase)`)
    }
  })

  test('[TRM3] signs claims as they are, under the type of events, so that its published half finds them right', async () => {
    const signer = await EventSigner.open(await newEventKey())
    const claims = { iss: 'https://gw', jti: 'a', events: { x: {} } }
    const { payload, protectedHeader } = await compactVerify(await signer.sign(claims), createLocalJWKSet({ keys: [...signer.jwks.keys] }))
    expect([JSON.parse(new TextDecoder().decode(payload)), protectedHeader]).toEqual([claims, { alg: 'RS256', typ: 'secevent+jwt', kid: signer.jwks.keys[0]?.kid }])
    expect(Object.keys(signer.jwks.keys[0] ?? {}).toSorted()).toEqual(['alg', 'e', 'kid', 'kty', 'n', 'use'])
  })
})
