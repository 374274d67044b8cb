// Signatures of requests against RFC 9421 itself: its own vector, and a verifier written from its text alone.
import * as fc from 'fast-check'
import { createHash, createPublicKey, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { duration } from '../../../src/core/time.ts'
import type { SignatureSettings } from '../../../src/config/compile/upstream-identity.ts'
import { contentDigest, type Message, signatureBase, signatureHeaders } from '../../../src/upstream/message-signature.ts'
import { newKeyPem, signingKeyOf } from '../../../src/upstream/signing-key.ts'
import { verified } from '../../support/signed-message.ts'

/** RFC 9421 §B.1.4. */
const PEM = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF\n-----END PRIVATE KEY-----'
/** RFC 9421 §B.2, `test-request`. */
const MESSAGE: Message = {
  method: 'POST', scheme: 'https', path: '/foo?param=Value&Pet=dog',
  headers: [
    'Host', 'example.com', 'Date', 'Tue, 20 Apr 2021 02:07:55 GMT', 'Content-Type', 'application/json',
    'Content-Digest', 'sha-512=:WZDPaVn/7XgHaAy8pmojAkGWoRx2UFChF41A2svX+TaPm+AbwAgBWnrIiYllu7BNNyealdVLvRwEmTHWXvJwew==:', 'Content-Length', '18',
  ],
}
const key = signingKeyOf(newKeyPem())
const settings = (components: readonly string[], more: Partial<SignatureSettings> = {}): SignatureSettings => ({ key: { is: 'context' }, tag: 'narrowgate', components, expires: duration(30_000), ...more })

describe('the vector of the RFC', () => {
  test('[CTX8] B.2.6: the base, octet by octet, and its signature', () => {
    const { input, base } = signatureBase(MESSAGE, ['date', '@method', '@path', '@authority', 'content-type', 'content-length'], ';created=1618884473;keyid="test-key-ed25519"')
    expect(base).toBe([
      '"date": Tue, 20 Apr 2021 02:07:55 GMT', '"@method": POST', '"@path": /foo', '"@authority": example.com', '"content-type": application/json', '"content-length": 18',
      '"@signature-params": ("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"',
    ].join('\n'))
    expect(input).toBe('("date" "@method" "@path" "@authority" "content-type" "content-length");created=1618884473;keyid="test-key-ed25519"')
    const signature = Buffer.from('wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw==', 'base64')
    expect(verify(null, Buffer.from(base, 'latin1'), createPublicKey(PEM), signature)).toBe(true)
  })

  test('[CTX8] the public half of its key is named by its thumbprint (RFC 8037 §A.3)', () => {
    const known = '-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----'
    expect(signingKeyOf(known).id).toBe('kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k')
  })
})

describe('what is signed', () => {
  const token = fc.stringMatching(/^[a-z][a-z0-9-]{0,12}$/).filter(name => !['host', 'signature', 'signature-input'].includes(name))
  const value = fc.stringMatching(/^[!-~ \t\u0080-\u00ff]{0,24}$/)
  const path = fc.stringMatching(/^\/[!-"$->@-~]{0,20}(?:\?[!-"$-~]{0,20})?$/)
  const message = fc.record({
    method: fc.constantFrom('GET', 'POST', 'DELETE'), scheme: fc.constantFrom('http' as const, 'https' as const), path,
    headers: fc.tuple(fc.constantFrom('api.test', 'API.test:443', 'api.test:80', '[::1]:8443', 'api.test:8080'), fc.array(fc.tuple(token, value), { maxLength: 8 })).map(([host, lines]) => ['host', host, ...lines.flat()]),
  })
  const components = fc.uniqueArray(fc.oneof(fc.constantFrom('@method', '@authority', '@scheme', '@target-uri', '@request-target', '@path', '@query'), token), { minLength: 1, maxLength: 12 })

  test('[CTX8] whatever a request is, a verifier of its own reads the same base, and every part that is covered counts', () => {
    fc.assert(fc.property(message, components, fc.nat(2 ** 31), (sent, covered, seconds) => {
      const present = covered.filter(name => name.startsWith('@') || sent.headers.some((known, i) => i % 2 === 0 && known.toLowerCase() === name))
      const signed = { ...sent, headers: [...sent.headers, ...signatureHeaders(sent, settings(covered), key, seconds)] }
      const read = verified(signed, [key.public])
      expect(read).toMatchObject({ components: present, created: seconds, expires: seconds + 30, keyid: key.id, alg: 'ed25519', tag: 'narrowgate' })
      if (present.includes('@method')) expect(verified({ ...signed, method: 'PUT' }, [key.public])).toBeNull()
      if (present.includes('@query')) expect(verified({ ...signed, path: `${sent.path}${sent.path.includes('?') ? '' : '?'}x` }, [key.public])).toBeNull()
      for (const name of present.filter(each => !each.startsWith('@'))) expect(verified({ ...signed, headers: [...signed.headers, name, 'more'] }, [key.public]), name).toBeNull()
    }), { numRuns: 500 })
  })

  test('[CTX8] no two signatures have the same nonce, and a name that objects have anyway is the name of a header', () => {
    const once = (): string => signatureHeaders(MESSAGE, settings(['@method', 'constructor', '__proto__']), key, 1)[1] ?? ''
    const nonces = Array.from({ length: 1_000 }, () => /nonce="([\w-]{22})"/.exec(once())?.[1])
    expect(new Set(nonces).size).toBe(1_000)
    expect(once()).toContain('narrowgate=("@method");created=1')
  })

  test('[CTX8] a life is rounded up to whole seconds, and the words of the configuration are quoted', () => {
    expect(signatureHeaders(MESSAGE, settings(['@method'], { expires: duration(1_500), tag: 'a"b' }), key, 100)[1]).toMatch(/;created=100;expires=102;.*;tag="a\\"b"$/)
  })
})

test('[CTX9] the digest of a body is that of its octets (RFC 9530)', () => {
  const body = Buffer.from('{"hello": "world"}')
  expect(contentDigest(body)).toBe('sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:')
  expect(contentDigest(Buffer.alloc(0))).toBe(`sha-256=:${createHash('sha256').digest('base64')}:`)
})
