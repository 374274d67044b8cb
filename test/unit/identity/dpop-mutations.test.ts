// Proofs that are right but for one thing, some 4,600 of them: each is refused with the fault of that thing, none is accepted.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ALGORITHMS, b64, CLAIMS, ED25519, faultOf, HEADER, KEYS, type Members, OTHER_P256, P256, P384, P521, RSA, seal, sealText } from './dpop-proofs.ts'
import { NOON } from './fixtures.ts'

const second = NOON / 1000
/** What no longer makes another URI: a query, a fragment, an empty port. */
const SAME_URI = /^https:\/\/api\.example\.com:?\/orders\/7(?:[?#]|$)/

/** Every mutant of the arbitrary has its fault. */
function each<T>(runs: number, mutants: fc.Arbitrary<T>, judge: (mutant: T) => readonly [text: string, faults: string | readonly string[]]): void {
  fc.assert(fc.property(mutants, mutant => {
    const [text, faults] = judge(mutant)
    expect([faults].flat()).toContain(faultOf(text))
  }), { numRuns: runs })
}

const value = fc.oneof(fc.string(), fc.integer(), fc.double({ noNaN: true, noDefaultInfinity: true }), fc.boolean(), fc.constant(null), fc.array(fc.string(), { maxLength: 3 }), fc.dictionary(fc.string(), fc.integer(), { maxKeys: 3 }))
const TEXT_CLAIMS = ['jti', 'htm', 'htu', 'ath', 'nonce'] as const
const isAbsent = (given: unknown): boolean => given === null || given === undefined

/** Writes an object member by member, so that a member may stand twice. */
const written = (members: readonly (readonly [string, unknown])[]): string => `{${members.map(([name, given]) => `${name}:${JSON.stringify(given)}`).join(',')}}`
const plain = (members: Members): (readonly [string, unknown])[] => Object.entries(members).map(([name, given]) => [JSON.stringify(name), given])

/** A JSON name with some of its characters escaped. */
const spelling = (name: string): fc.Arbitrary<string> =>
  fc.array(fc.boolean(), { minLength: name.length, maxLength: name.length }).map(escaped => `"${name.split('').map((char, i) => (escaped[i] ? `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}` : char)).join('')}"`)

describe('a valid proof with one thing changed, signed anew', () => {
  test('[BND2] the unchanged one is accepted', () => {
    expect(faultOf(seal())).toBe('none: accepted')
  })

  test('[BND2] a text claim absent or of another type', () => {
    each(250, fc.tuple(fc.constantFrom(...TEXT_CLAIMS), fc.option(value.filter(v => typeof v !== 'string' || v === ''), { nil: undefined })), ([name, given]) => [seal({}, { [name]: given }), isAbsent(given) ? `${name}_missing` : 'claim_malformed'])
  })

  test('[BND2] a time absent, of another type or outside its window', () => {
    const outside = fc.oneof(fc.integer({ min: 0, max: second - 61 }), fc.integer({ min: second + 6, max: 8_640_000_000_000 }))
    const numberFault = (iat: number): string => (iat < 0 || iat > 8_640_000_000_000 ? 'claim_malformed' : iat < second ? 'too_old' : 'from_the_future')
    each(150, fc.oneof(value.filter(v => typeof v !== 'number' || v < 0), outside, fc.constant(undefined)), iat => [seal({}, { iat }), isAbsent(iat) ? 'iat_missing' : typeof iat === 'number' ? numberFault(iat) : 'claim_malformed'])
  })

  test('[BND2] another text where one text is right, also that of another claim', () => {
    const faults = { htm: ['htm_differs'], htu: ['htu_malformed', 'htu_differs'], ath: ['ath_differs'], nonce: ['nonce_stale'] }
    const other = fc.oneof(fc.string({ minLength: 1 }), fc.constantFrom(...TEXT_CLAIMS.map(name => String(CLAIMS[name]))), fc.base64String({ minLength: 4 }), fc.string().map(path => `https://api.example.com/${path}`))
    each(200, fc.tuple(fc.constantFrom('htm', 'htu', 'ath', 'nonce'), other), ([name, given]) => {
      fc.pre(given !== CLAIMS[name] && !(name === 'htu' && SAME_URI.test(given)))
      return [seal({}, { [name]: given }), faults[name]]
    })
  })

  test('[BND2] one character of a text claim inserted, dropped or replaced', () => {
    const faults = { htm: ['htm_differs'], htu: ['htu_malformed', 'htu_differs'], ath: ['ath_differs'], nonce: ['nonce_stale'] }
    const char = fc.constantFrom(...'aZ0-._~%/:@?#\\ \t\n\u0000=é\u212a'.split(''))
    each(250, fc.tuple(fc.constantFrom('htm', 'htu', 'ath', 'nonce'), fc.nat(), char, fc.constantFrom('insert', 'drop', 'replace')), ([name, at, c, how]) => {
      const text = String(CLAIMS[name])
      const i = at % (text.length + (how === 'insert' ? 1 : 0))
      const changed = how === 'insert' ? text.slice(0, i) + c + text.slice(i) : text.slice(0, i) + (how === 'drop' ? '' : c) + text.slice(i + 1)
      fc.pre(changed !== text && !SAME_URI.test(changed))
      return [seal({}, { [name]: changed }), faults[name]]
    })
  })

  test('[BND2, TOK-021] any member repeated, in any spelling, with any value', () => {
    const parts = fc.constantFrom(...(['header', 'claims', 'jwk'] as const))
    const members = { header: HEADER, claims: CLAIMS, jwk: P256.publicJwk }
    const mutant = parts.chain(part => fc.constantFrom(...Object.keys(members[part])).chain(name => fc.tuple(fc.constant(part), spelling(name), fc.oneof(fc.constant<unknown>(members[part][name]), value), fc.boolean())))
    each(200, mutant, ([part, name, given, first]) => {
      const twice = written(first ? [[name, given], ...plain(members[part])] : [...plain(members[part]), [name, given]])
      const header = part === 'header' ? twice : part === 'jwk' ? written([['"typ"', 'dpop+jwt'], ['"alg"', 'ES256']]).replace('}', () => `,"jwk":${twice}}`) : JSON.stringify(HEADER)
      return [sealText(header, part === 'claims' ? twice : JSON.stringify(CLAIMS)), 'duplicate_member']
    })
  })

  test('[BND2] a header member absent or anything else', () => {
    each(250, fc.tuple(fc.constantFrom('typ', 'alg', 'jwk'), fc.option(value, { nil: undefined })), ([name, given]) => {
      if (name === 'typ') return [seal({ typ: given }), 'type_refused']
      if (name === 'alg') return [seal({ alg: given }), 'algorithm_refused']
      return [seal({ jwk: given }), isAbsent(given) ? 'key_missing' : typeof given !== 'object' || Array.isArray(given) ? 'key_malformed' : ['key_unfit', 'key_private']]
    })
  })

  test('[BND2, TOK-026] an algorithm the signature was not made with, and a key of another kind', () => {
    const names = fc.constantFrom(...ALGORITHMS)
    each(200, fc.tuple(names, names, names), ([signed, said, shown]) => {
      const [key, other] = [KEYS[signed] ?? P256, KEYS[shown] ?? P256]
      const fits = KEYS[said]?.publicJwk === other.publicJwk
      const same = said === signed || (said.startsWith('Ed') && signed.startsWith('Ed'))
      fc.pre(!(same && fits))
      return [seal({ alg: said, jwk: other.publicJwk }, {}, key, signed), fits ? 'signature_invalid' : 'key_unfit']
    })
  })

  test('[BND2, TOK-026] a private member of any value beside a good public key', () => {
    const member = fc.constantFrom('d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv')
    each(100, fc.tuple(fc.constantFrom('ES256', 'EdDSA', 'RS256'), member, value), ([alg, name, given]) => {
      const key = KEYS[alg] ?? P256
      return [seal({ alg, jwk: { ...key.publicJwk, [name]: given } }, {}, key, alg), 'key_private']
    })
  })

  test('[BND2] a public member absent, retyped, exchanged or spelt otherwise', () => {
    const keys = [P256, P384, P521, ED25519, RSA].map((key, i) => ({ key, alg: ['ES256', 'ES384', 'ES512', 'EdDSA', 'RS256'][i] ?? '' }))
    const bad = (text: string): fc.Arbitrary<unknown> => fc.oneof(value.filter(v => v !== text), fc.constantFrom(`${text}=`, `${text}A`, text.slice(1), ` ${text}`, `${text}\n`, b64(Buffer.concat([Buffer.alloc(1), Buffer.from(text, 'base64url')])), undefined))
    const mutant = fc.constantFrom(...keys).chain(({ key, alg }) => fc.constantFrom(...Object.keys(key.publicJwk)).chain(name => fc.tuple(fc.constant({ key, alg, name }), bad(key.publicJwk[name] ?? ''))))
    each(250, mutant, ([{ key, alg, name }, given]) => [seal({ alg, jwk: { ...key.publicJwk, [name]: given } }, {}, key, alg), name === 'kty' || name === 'crv' ? 'key_unfit' : key === RSA ? ['key_malformed', 'key_weak', 'key_too_large', 'signature_invalid'] : 'key_malformed'])
  })

  test('[BND2] any `crit`', () => {
    each(50, value, crit => [seal({ crit }), 'extension_refused'])
  })

  test('[BND2] another key’s signature, whatever the rest says', () => {
    each(50, fc.dictionary(fc.string().filter(name => !['typ', 'alg', 'jwk', 'crit', 'b64', '__proto__'].includes(name)), fc.integer(), { maxKeys: 4 }), more => [seal(more, {}, OTHER_P256), 'signature_invalid'])
  })
})

describe('a valid proof whose text was changed', () => {
  const text = seal()
  const [head = '', body = '', end = ''] = text.split('.')

  test('[BND2] every bit of the signature flipped', () => {
    const signature = Buffer.from(end, 'base64url')
    for (let bit = 0; bit < signature.length * 8; bit++) {
      const flipped = Buffer.from(signature)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(faultOf(`${head}.${body}.${b64(flipped)}`)).toBe('signature_invalid')
      }
  })

  test('[BND2] a signature that is cut, longer, or of another algorithm', () => {
    for (const alg of ALGORITHMS.filter(name => name !== 'ES256')) {
      expect(faultOf(`${head}.${body}.${seal({}, {}, KEYS[alg], alg).split('.')[2]}`)).toBe('signature_invalid')
      }
    each(100, fc.uint8Array({ maxLength: 140 }), bytes => [`${head}.${body}.${b64(bytes)}`, 'signature_invalid'])
  })

  test('[BND2] every bit of the claims flipped', () => {
    const bytes = Buffer.from(body, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      expect(['malformed', 'duplicate_member', 'signature_invalid']).toContain(faultOf(`${head}.${b64(flipped)}.${end}`))
      }
  })

  test('[BND2] any bit of the header flipped', () => {
    const bytes = Buffer.from(head, 'base64url')
    each(300, fc.nat(bytes.length * 8 - 1), bit => {
      const flipped = Buffer.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      const header = `${b64(flipped)}.${body}.${end}`
      // A flip inside a name or a coordinate makes another header; one that turns case around in `typ` still is no signed one.
      return [header, ['malformed', 'duplicate_member', 'type_refused', 'algorithm_refused', 'key_missing', 'key_unfit', 'key_malformed', 'key_private', 'signature_invalid']]
    })
  })

  test('[BND2] a second base64url spelling of any part: padding, the other alphabet, white space, bits that mean nothing', () => {
    const parts = [head, body, end]
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
    const respelt = (part: string, how: number, at: number): string => {
      const i = at % (part.length + 1)
      const last = alphabet.indexOf(part.at(-1) ?? '')
      return [`${part}=`, `${part}==`, `${part.slice(0, i)}+${part.slice(i)}`, `${part.slice(0, i)}/${part.slice(i)}`, `${part.slice(0, i)} ${part.slice(i)}`, `${part.slice(0, i)}\n${part.slice(i)}`, `${part.slice(0, i)}%3D${part.slice(i)}`, `${part.slice(0, -1)}${alphabet[last ^ 1] ?? ''}`, `${part.slice(0, i)}.${part.slice(i)}`, `${part.slice(0, i)}é${part.slice(i)}`][how] ?? ''
    }
    each(300, fc.tuple(fc.nat(2), fc.nat(9), fc.nat()), ([which, how, at]) => {
      const part = parts[which] ?? ''
      fc.pre(how !== 7 || part.length % 4 !== 0) // in full groups every bit means something
      return [parts.map((other, i) => (i === which ? respelt(part, how, at) : other)).join('.'), 'malformed']
    })
  })

  test('[BND2] parts exchanged, repeated, dropped, or any text at all', () => {
    each(100, fc.array(fc.constantFrom(head, body, end, ''), { maxLength: 6 }), parts => {
      const joined = parts.join('.')
      fc.pre(joined !== text)
      return [joined, ['malformed', 'type_refused', 'signature_invalid']]
    })
    each(100, fc.string({ maxLength: 200 }), any => [any, 'malformed'])
    each(20, fc.integer({ min: 8_193, max: 20_000 }), length => ['x'.repeat(length), 'too_long'])
  })
})
