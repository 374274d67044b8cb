import { expect, test } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import { Nonces } from '../../../src/identity/dpop/nonces.ts'
import { Possession } from '../../../src/identity/possession.ts'
import type { Shown } from '../../../src/identity/verifier.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { P256, OTHER_P256, type ProofKey, seal, TOKEN, URI } from './dpop-proofs.ts'
import { HandClock } from './fixtures.ts'

const bound = ({ publicJwk: { crv, kty, x, y } }: ProofKey) => ({ is: 'dpop', thumbprint: sha256(JSON.stringify({ crv, kty, x, y })) }) as const

test('[BND2, SES16] a request that is asked again needs no second proof for the same token and key, and has none for another key of that token', async () => {
  const possession = new Possession(new HandClock(), { mark: () => Promise.resolve('first') }, new Nonces(Buffer.alloc(32), duration(1_000), 0), () => false)
  const shown: Shown = { scheme: 'dpop', text: TOKEN, digest: sha256(TOKEN), issuer: null }
  const circumstances = { method: 'POST', uri: URI, proofs: [seal()], clientCertificate: null, acceptedFor: null, nonceAt: null }
  const asked = (key: ProofKey) => possession.now(shown, bound(key), circumstances)
  expect(asked(P256)).toBe('await')
  expect(await possession.prove(shown, bound(P256), circumstances)).toBeNull()
  expect([asked(P256), asked(OTHER_P256)]).toEqual([null, 'await'])
  expect(await possession.prove(shown, bound(OTHER_P256), circumstances)).toMatchObject({ detail: 'dpop_invalid' })
})
