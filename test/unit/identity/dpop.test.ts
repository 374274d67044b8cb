import { constants, createHash, createHmac, sign } from 'node:crypto'
import { calculateJwkThumbprint, importJWK, SignJWT } from 'jose'
import { describe, expect, test } from 'vitest'
import { duration, instant } from '../../../src/core/time.ts'
import { readProof } from '../../../src/identity/dpop/proof.ts'
import { sha256 } from '../../../src/runtime/id.ts'
import { ALGORITHMS, b64, CLAIMS, ED25519, ED448, EXPECTED, faultOf, HEADER, KEYS, NONCE, OTHER_P256, P256, P384, RSA, rsaOf, seal, sealText, SECP256K1, TOKEN, URI } from './dpop-proofs.ts'
import { NOON } from './fixtures.ts'

const second = NOON / 1000
const accepted = 'none: accepted'

// RFC 9449, figures 2 and 13, and the thumbprint of figure 9.
const RFC_KEY = 'eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19'
const RFC_TOKEN_PROOF = `${RFC_KEY}.eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg`
const RFC_RESOURCE_PROOF = `${RFC_KEY}.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA`
const RFC_THUMBPRINT = '0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I'
const RFC_REQUEST = { ...EXPECTED, method: 'GET', uri: 'https://resource.example.org/protectedresource', now: instant(1_562_262_618_000), nonceOk: null }

describe('what a proof shows', () => {
  test.each(ALGORITHMS)('[BND2] one made by jose with %s shows its key, its nonce and its time', async alg => {
    const { publicJwk, privateJwk } = KEYS[alg] ?? P256
    const text = await new SignJWT(CLAIMS).setProtectedHeader({ alg, typ: 'dpop+jwt', jwk: publicJwk }).sign(await importJWK(privateJwk, alg))
    const thumbprint = await calculateJwkThumbprint(publicJwk)
    for (let times = 0; times < 2; times++) {
      expect(readProof(text, EXPECTED)).toEqual({ is: 'shown', thumbprint, jti: sha256(JSON.stringify(['j-1', thumbprint, URI])), nonce: NONCE, issuedAt: NOON })
    }
  })

  test('[BND2] RFC 9449’s own proof for a resource shows the thumbprint the RFC gives it', () => {
    expect(readProof(RFC_RESOURCE_PROOF, RFC_REQUEST)).toEqual({ is: 'shown', thumbprint: RFC_THUMBPRINT, jti: expect.stringMatching(/^[\w-]{43}$/), nonce: null, issuedAt: RFC_REQUEST.now })
    expect(faultOf(RFC_RESOURCE_PROOF, { ...RFC_REQUEST, tokenDigest: sha256('other') })).toBe('ath_differs')
    expect(faultOf(RFC_RESOURCE_PROOF, { ...RFC_REQUEST, nonceOk: EXPECTED.nonceOk })).toBe('nonce_missing')
    expect(faultOf(RFC_RESOURCE_PROOF, { ...RFC_REQUEST, now: NOON })).toBe('too_old')
  })

  test('[BND2] RFC 9449’s proof for a token endpoint names no access token and is none for a resource', () => {
    expect(faultOf(RFC_TOKEN_PROOF, { ...RFC_REQUEST, method: 'POST', uri: 'https://server.example.com/token' })).toBe('ath_missing')
  })

  test('[BND2] its type is a media type, whose case means nothing', () => {
    expect(faultOf(seal({ typ: 'DPoP+JWT' }))).toBe(accepted)
    for (const typ of ['jwt', 'at+jwt', 'application/dpop+jwt', 'dpop+jwt ', 'dpop', 'dpop+jwt;v=1', '', null, 1, ['dpop+jwt'], undefined]) expect(faultOf(seal({ typ }))).toBe('type_refused')
  })

  test('[BND2] members nobody asked for change nothing', () => {
    const header = { kid: '../../etc/passwd', jku: 'https://evil.example/keys', x5u: 'https://evil.example/cert', jwk: { ...P256.publicJwk, kid: 'k', use: 'sig', key_ops: ['verify'], alg: 'ES256' } }
    expect(faultOf(seal(header, { sub: 'x', extra: { a: [1] } }))).toBe(accepted)
  })

  test('[BND2] only algorithms of the list count', () => {
    expect(faultOf(seal(), { algorithms: ['EdDSA'] })).toBe('algorithm_refused')
    expect(faultOf(seal({ alg: 'toString' }), { algorithms: ['toString', '__proto__'] })).toBe('algorithm_refused')
    expect(faultOf(seal({ alg: 'Ed25519', jwk: ED25519.publicJwk }, {}, ED25519, 'Ed25519'), { algorithms: ['EdDSA'] })).toBe('algorithm_refused')
  })

  test('[BND2] a text of 8 KiB is looked at, one character more is not', () => {
    const room = 8_192 - seal({}, { pad: '' }).length
    const pad = 'x'.repeat(Math.floor((room * 3) / 4) - 2)
    const near = seal({}, { pad })
    expect(near.length).toBeGreaterThan(8_180)
    expect(near.length).toBeLessThanOrEqual(8_192)
    expect([faultOf(near), faultOf(seal({}, { pad: `${pad}${'y'.repeat(12)}` }))]).toEqual([accepted, 'too_long'])
  })
})

describe('the time of a proof', () => {
  test('[BND2] counts to the very end of its window on both sides, and not a millisecond further', () => {
    const at = (now: number): string => faultOf(seal(), { now: instant(now) })
    expect([at(NOON + 60_000), at(NOON + 60_001), at(NOON - 5_000), at(NOON - 5_001)]).toEqual([accepted, 'too_old', accepted, 'from_the_future'])
    expect(faultOf(seal({}, { iat: second + 5.001 }))).toBe('from_the_future')
  })

  test('[BND2, TOK-011] is a number a date can have: no text, no negative, no infinity', () => {
    for (const iat of [String(second), `${NOON}`, [second], { s: second }, true, -1, 1e300, 8_640_000_000_001]) expect(faultOf(seal({}, { iat }))).toBe('claim_malformed')
    for (const iat of ['1e400', '-1e400']) expect(faultOf(sealText(JSON.stringify(HEADER), JSON.stringify({ ...CLAIMS, iat: 0 }).replace('"iat":0', `"iat":${iat}`)))).toBe('claim_malformed')
    for (const iat of [null, undefined]) expect(faultOf(seal({}, { iat }))).toBe('iat_missing')
    for (const iat of [0, second - 61, NOON / 1e6]) expect(faultOf(seal({}, { iat }))).toBe('too_old')
    for (const iat of [second + 6, NOON]) expect(faultOf(seal({}, { iat }))).toBe('from_the_future')
  })

  test('[BND2] exp and nbf, where a proof has them, mean what they mean', () => {
    expect([{ exp: second + 60 }, { exp: second - 4 }, { nbf: second }, { nbf: second + 5 }].map(claims => faultOf(seal({}, claims)))).toEqual(Array(4).fill(accepted))
    expect([{ exp: second - 5 }, { nbf: second + 6 }, { exp: 'never' }, { nbf: -1 }].map(claims => faultOf(seal({}, claims)))).toEqual(['too_old', 'from_the_future', 'claim_malformed', 'claim_malformed'])
  })
})

describe('what a proof is made for', () => {
  test('[BND2] one method, in its case', () => {
    for (const htm of ['GET', 'post', 'Post', 'POST ', 'POST,GET', 'QUERY']) expect(faultOf(seal({}, { htm }))).toBe('htm_differs')
    expect(faultOf(seal({}, { htm: 'QUERY' }), { method: 'QUERY' })).toBe(accepted)
  })

  test('[BND2] one token: its digest, not the token, and in one spelling', () => {
    const digest = sha256(TOKEN)
    const plus = Buffer.from(digest, 'base64url').toString('base64')
    for (const ath of [TOKEN, sha256(`${TOKEN}x`), plus, `${digest}=`, digest.toLowerCase(), createHash('sha512').update(TOKEN).digest('base64url')]) expect(faultOf(seal({}, { ath }))).toBe('ath_differs')
  })

  test('[BND2] a nonce of the server’s where one is asked for; elsewhere whatever it says is told', () => {
    expect([undefined, null].map(nonce => faultOf(seal({}, { nonce })))).toEqual(['nonce_missing', 'nonce_missing'])
    expect(['old', `${NONCE} `, NONCE.toUpperCase()].map(nonce => faultOf(seal({}, { nonce })))).toEqual(Array(3).fill('nonce_stale'))
    expect([7, {}, '', [NONCE]].map(nonce => faultOf(seal({}, { nonce })))).toEqual(Array(4).fill('claim_malformed'))
    expect(readProof(seal({}, { nonce: 'old' }), { ...EXPECTED, nonceOk: null })).toMatchObject({ is: 'shown', nonce: 'old' })
    expect(readProof(seal({}, { nonce: undefined }), { ...EXPECTED, nonceOk: null })).toMatchObject({ is: 'shown', nonce: null })
  })

  test('[BND2] the nonce is asked at the time of the request', () => {
    const asked: unknown[] = []
    readProof(seal(), { ...EXPECTED, nonceOk: (...all) => asked.push(all) > 0 })
    expect(asked).toEqual([[NONCE, NOON]])
  })

  test('[BND2, TOK-018] what may be seen once is one digest for every spelling of one proof, and another for another key, URI or jti', () => {
    const jtiOf = (text: string, changes = {}): string => {
      const reading = readProof(text, { ...EXPECTED, ...changes })
      return reading.is === 'shown' ? reading.jti : reading.fault
    }
    const first = jtiOf(seal())
    const again = [seal(), seal({ typ: 'DPOP+JWT', kid: 'x' }), seal({}, { htu: 'HTTPS://API.example.com:443/orders/7?a=1#b' }), seal({}, { iat: second - 1 }), seal({}, { htm: 'GET' })]
    expect(again.map(text => jtiOf(text, { method: text === again[4] ? 'GET' : 'POST' }))).toEqual(Array(5).fill(first))
    expect(jtiOf(seal(), { uri: 'HTTPS://API.EXAMPLE.COM:443/orders/7?x#y' })).toBe(first)
    const others = [jtiOf(seal({}, { jti: 'j-2' })), jtiOf(seal({ jwk: OTHER_P256.publicJwk }, {}, OTHER_P256)), jtiOf(seal({}, { htu: `${URI}0` }), { uri: `${URI}0` })]
    expect(new Set([first, ...others]).size).toBe(4)
  })

  test('[BND2] a jti has 1 to 512 characters', () => {
    expect(['', 'x', 'x'.repeat(512), 'x'.repeat(513), 7, undefined].map(jti => faultOf(seal({}, { jti })))).toEqual(['claim_malformed', accepted, accepted, 'jti_too_long', 'claim_malformed', 'jti_missing'])
  })
})

describe('the key of a proof', () => {
  const withKey = (jwk: unknown, alg = 'ES256', key = P256): string => faultOf(seal({ alg, jwk }, {}, key, alg))

  test('[BND2] is there, and is an object', () => {
    expect([undefined, null].map(jwk => withKey(jwk))).toEqual(['key_missing', 'key_missing'])
    expect(['x', 7, [], [P256.publicJwk], true].map(jwk => withKey(jwk))).toEqual(Array(5).fill('key_malformed'))
  })

  test('[BND2, TOK-026] holds no private part, of any kind of key', () => {
    expect([withKey(P256.privateJwk), withKey(ED25519.privateJwk, 'EdDSA', ED25519), withKey(RSA.privateJwk, 'PS256', RSA)]).toEqual(Array(3).fill('key_private'))
    for (const member of ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']) for (const value of ['AQAB', '', null]) expect(withKey({ ...P256.publicJwk, [member]: value })).toBe('key_private')
  })

  test('[BND2] is of the algorithm’s kind and curve, and meant for signatures of it', () => {
    for (const [alg, key] of Object.entries(KEYS)) for (const [other, { publicJwk }] of Object.entries(KEYS)) {
      const fits = key.publicJwk['kty'] === publicJwk['kty'] && key.publicJwk['crv'] === publicJwk['crv']
      expect(`${alg} with a key for ${other}: ${withKey(publicJwk, alg, key)}`).toBe(`${alg} with a key for ${other}: ${fits ? accepted : 'key_unfit'}`)
    }
    expect([withKey(SECP256K1.publicJwk), withKey(ED448.publicJwk, 'EdDSA', ED25519)]).toEqual(['key_unfit', 'key_unfit'])
    for (const bad of [{ use: 'enc' }, { use: 1 }, { key_ops: ['sign'] }, { key_ops: 'verify' }, { key_ops: [] }, { alg: 'ES384' }, { alg: 'none' }, { kty: 'ec' }, { crv: 'p-256' }]) expect(withKey({ ...P256.publicJwk, ...bad })).toBe('key_unfit')
  })

  test('[BND2] has one spelling, so that one key has one thumbprint', () => {
    const { x = '', y = '' } = P256.publicJwk
    const longer = b64(Buffer.concat([Buffer.alloc(1), Buffer.from(x, 'base64url')]))
    for (const bad of [{ x: `${x}=` }, { x: longer }, { x: `${x.slice(0, 20)} ${x.slice(20)}` }, { x: `${x}A` }, { y: x }, { x: y, y: x }, { x: '' }, { y: undefined }, { x: 1 }, { x: b64(Buffer.alloc(32)), y: b64(Buffer.alloc(32)) }]) {
      expect(withKey({ ...P256.publicJwk, ...bad })).toBe('key_malformed')
    }
    const { n = '', e = '' } = RSA.publicJwk
    const padded = (text: string): string => b64(Buffer.concat([Buffer.alloc(1), Buffer.from(text, 'base64url')]))
    for (const bad of [{ n: padded(n) }, { e: padded(e) }, { n: undefined }, { e: 65_537 }, { e: 'AA' }, { n: '' }]) expect(withKey({ ...RSA.publicJwk, ...bad }, 'RS256', RSA)).toBe('key_malformed')
  })

  test('[BND2] an RSA key has 2048 to 4096 bits and an odd exponent from 3 to 32 bits', () => {
    const small = rsaOf(2040)
    expect([withKey(small.publicJwk, 'RS256', small), withKey(rsaOf(1024).publicJwk, 'PS256', RSA)]).toEqual(['key_weak', 'key_weak'])
    const third = rsaOf(2048, 3)
    expect(withKey(third.publicJwk, 'RS256', third)).toBe(accepted)
    for (const e of ['AQ', 'Ag', 'AQAA']) expect(withKey({ ...RSA.publicJwk, e }, 'RS256', RSA)).toBe('key_weak')
    expect(withKey({ ...RSA.publicJwk, e: b64(Buffer.from('0100000001', 'hex')) }, 'RS256', RSA)).toBe('key_too_large')
    expect(withKey({ ...RSA.publicJwk, n: b64(Buffer.alloc(513, 0xff)) }, 'RS256', RSA)).toBe('key_too_large')
  })

  test('[BND2] is no point of small order, for which anyone can sign', () => {
    const points = ['00'.repeat(32), `01${'00'.repeat(31)}`, `ec${'ff'.repeat(30)}7f`, `ed${'ff'.repeat(30)}7f`, `ee${'ff'.repeat(30)}7f`, 'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a', '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05']
    for (const point of points) for (const signBit of [0, 0x80]) {
      const bytes = Buffer.from(point, 'hex')
      bytes[31] = (bytes[31] ?? 0) | signBit
      expect(withKey({ kty: 'OKP', crv: 'Ed25519', x: b64(bytes) }, 'EdDSA', ED25519)).toBe('key_weak')
    }
  })

  test('[BND2] a remembered key verifies anew each time, and for its own algorithm alone', () => {
    expect([faultOf(seal()), faultOf(`${seal().slice(0, -8)}AAAAAAAA`), faultOf(seal({}, {}, OTHER_P256))]).toEqual([accepted, 'signature_invalid', 'signature_invalid'])
    expect(faultOf(seal({ alg: 'ES384' }, {}, P384, 'ES384'))).toBe('key_unfit')
  })
})

describe('ways around it', () => {
  test('[BND2, TOK-001, TOK-026] no symmetric algorithm and no none, however spelt', () => {
    for (const alg of ['none', 'None', 'NONE', 'nOnE', '', 'HS256', 'HS384', 'HS512', 'hs256', 'es256', 'ES256K', 'RSA-OAEP', 'A128KW', null, 7, ['ES256'], undefined]) {
      const algorithms = [...ALGORITHMS, 'none', 'HS256']
      expect(faultOf(seal({ alg }), { algorithms })).toBe('algorithm_refused')
      const [head, body] = seal({ alg }).split('.')
      expect(faultOf(`${head}.${body}.`, { algorithms })).toBe('algorithm_refused')
    }
  })

  test('[BND2, TOK-026] a proof under HS256, with its secret in the header or with the public key for a secret, is none', () => {
    const secret = Buffer.alloc(32, 9)
    const hs256 = (jwk: unknown, key: Uint8Array | string): string => {
      const input = `${b64(JSON.stringify({ ...HEADER, alg: 'HS256', jwk }))}.${b64(JSON.stringify(CLAIMS))}`
      return `${input}.${createHmac('sha256', key).update(input).digest('base64url')}`
    }
    for (const text of [hs256({ kty: 'oct', k: b64(secret) }, secret), hs256(P256.publicJwk, JSON.stringify(P256.publicJwk)), hs256({ kty: 'oct' }, '')]) {
      expect(faultOf(text, { algorithms: [...ALGORITHMS, 'HS256'] })).toBe('algorithm_refused')
    }
    expect(faultOf(seal({ jwk: { kty: 'oct', k: b64(secret) } }))).toBe('key_private')
    expect(faultOf(seal({ jwk: { kty: 'oct' } }))).toBe('key_unfit')
  })

  test('[BND2, TOK-023] no proof, an empty one, and a token in place of one are no proofs', () => {
    for (const text of ['', ' ', '.', '..', 'undefined', TOKEN]) expect(faultOf(text)).toBe('malformed')
    expect(faultOf(seal({ typ: 'at+jwt', jwk: undefined }, { sub: 'agent-1' }))).toBe('type_refused')
  })

  test('[BND2, TOK-026] two proofs in one line are none', () => {
    for (const join of [',', ', ', ' ', '\n', ';', '.', '']) expect(faultOf(`${seal()}${join}${seal()}`)).toBe('malformed')
  })

  test('[BND2, TOK-003] the key in the header is no anchor of trust: it proves who signed, and its thumbprint says so', async () => {
    const forged = readProof(seal({ jwk: OTHER_P256.publicJwk }, {}, OTHER_P256), EXPECTED)
    expect(forged).toMatchObject({ is: 'shown', thumbprint: await calculateJwkThumbprint(OTHER_P256.publicJwk) })
    expect(faultOf(seal({ jwk: P256.publicJwk }, {}, OTHER_P256))).toBe('signature_invalid')
  })

  test('[BND2, TOK-006] degenerate signatures verify nothing', () => {
    const [head, body] = seal().split('.')
    const order = Buffer.from('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551', 'hex')
    const zero = Buffer.alloc(32)
    const one = Buffer.concat([Buffer.alloc(31), Buffer.from([1])])
    const der = Buffer.from('3006020101020101', 'hex')
    for (const end of [Buffer.alloc(64), Buffer.concat([order, order]), Buffer.concat([zero, one]), Buffer.concat([one, zero]), Buffer.concat([order, one]), Buffer.alloc(64, 0xff), der, Buffer.alloc(63), Buffer.alloc(65), Buffer.alloc(0)]) {
      expect(faultOf(`${head}.${body}.${b64(end)}`)).toBe('signature_invalid')
    }
  })

  test('[BND2] a PSS salt is as long as its digest, as RFC 7518 says', () => {
    const input = seal({ alg: 'PS256', jwk: RSA.publicJwk }).split('.').slice(0, 2).join('.')
    const withSalt = (saltLength: number): string => faultOf(`${input}.${b64(sign('sha256', Buffer.from(input), { key: RSA.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength }))}`)
    expect([0, 20, 32, 64].map(withSalt)).toEqual(['signature_invalid', 'signature_invalid', accepted, 'signature_invalid'])
  })

  test('[BND2, TOK-008] only the compact form counts', () => {
    const [head = '', body = '', end = ''] = seal().split('.')
    const general = { payload: body, signatures: [{ protected: head, signature: end }] }
    for (const text of [JSON.stringify({ protected: head, payload: body, signature: end }), JSON.stringify(general), b64(JSON.stringify(general)), `${head}..${end}`, `${head}.${body}`, `${head}.${body}.${end}.${end}`, `${head}.${body}.${end}.x.y`]) expect(faultOf(text)).toBe('malformed')
  })

  test('[BND2, TOK-021] a member named twice, in any spelling, is refused in header, key and claims', () => {
    const [header, claims] = [JSON.stringify(HEADER), JSON.stringify(CLAIMS)]
    const { x } = P256.publicJwk
    for (const again of ['"typ":"dpop+jwt",', '"\\u0074yp":"dpop+jwt",', '"alg":"ES256",']) expect(faultOf(sealText(header.replace('{', `{${again}`), claims))).toBe('duplicate_member')
    expect(faultOf(sealText(header.replace('"x":', `"\\u0078":"${x}","x":`), claims))).toBe('duplicate_member')
    for (const again of ['"htm":"GET",', '"h\\u0074m":"GET",', '"jti":"j-1",']) expect(faultOf(sealText(header, claims.replace('{', `{${again}`)))).toBe('duplicate_member')
  })

  test('[BND2] an extension the gateway must understand is one it does not', () => {
    for (const more of [{ crit: ['exp'], exp: 1 }, { crit: [] }, { crit: null }, { crit: 'b64' }, { crit: ['b64'], b64: false }, { b64: false }]) expect(faultOf(seal(more))).toBe('extension_refused')
  })

  test('[BND2] parts that are no JSON objects of UTF-8 are malformed', () => {
    const good = JSON.stringify(CLAIMS)
    for (const bad of ['', '[]', '"x"', 'null', '7', '{', `\ufeff${good}`, `${good}x`, `${good}\u0000`]) {
      expect(faultOf(sealText(JSON.stringify(HEADER), bad))).toBe('malformed')
      expect(faultOf(sealText(bad, good))).toBe('malformed')
    }
    const notText = Buffer.concat([Buffer.from('{"jti":"'), Buffer.from([0xff]), Buffer.from('"}')])
    expect(faultOf(seal().replace(/\.[^.]+\./, `.${b64(notText)}.`))).toBe('malformed')
    expect(faultOf(sealText(JSON.stringify(HEADER), `{"a":${'['.repeat(40)}${']'.repeat(40)}}`))).toBe('duplicate_member')
  })

  test('[BND2] members of every object are none of a proof’s', () => {
    expect(faultOf(sealText(`{"typ":"dpop+jwt","alg":"ES256","__proto__":{"jwk":${JSON.stringify(P256.publicJwk)}}}`, JSON.stringify(CLAIMS)))).toBe('key_missing')
    expect(faultOf(sealText(JSON.stringify(HEADER), `{"__proto__":${JSON.stringify(CLAIMS)}}`))).toBe('htm_missing')
  })

  test('[BND2] what refuses tells nothing of the text', () => {
    const secret = 'very-secret-jti'
    expect(JSON.stringify(readProof(seal({}, { jti: secret, htm: 'GET' }), EXPECTED))).toBe('{"is":"refused","fault":"htm_differs"}')
  })

  test('[BND2] a tolerance of nothing leaves only the very millisecond', () => {
    const tolerance = { past: duration(0), future: duration(0) }
    expect([0, 1, -1].map(ms => faultOf(seal(), { now: instant(NOON + ms), tolerance }))).toEqual([accepted, 'too_old', 'from_the_future'])
  })
})
