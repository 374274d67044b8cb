// The public key a DPoP proof carries: exactly one spelling of each key, without any private part, strong enough, fit for its algorithm, named by
// its RFC 7638 thumbprint. A `kid`, address or certificate beside it is never followed. What is remembered spares an import, never a signature.
// SPEC: BND2
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Claims } from '../../core/principal.ts'
import { BoundedMap } from '../../runtime/bounded-map.ts'
import { sha256 } from '../../runtime/id.ts'
import { claimOf } from '../claims.ts'
import type { ProofAlgorithm } from './algorithms.ts'

export type KeyFault = 'key_missing' | 'key_malformed' | 'key_private' | 'key_unfit' | 'key_weak' | 'key_too_large'

export type KeyRead = { readonly is: 'key'; readonly thumbprint: string; readonly key: KeyObject } | { readonly is: 'fault'; readonly fault: KeyFault }

const fault = (what: KeyFault): KeyRead => ({ is: 'fault', fault: what })

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv']
/** Bits. More than 4096 cost more to verify than a request is worth. */
const MODULUS = { least: 2048, most: 4096 } as const
/** Bytes. */
const EXPONENT_MAX = 4

/** Ed25519 points of small order (RFC 7748 §6.1 tells why), also as y + p, without their sign bit: anyone can sign for them. */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
])

const imported = new BoundedMap<string, KeyObject>(4_096)

/** The bytes of a text that is their only base64url form; null for every other. */
export function canonicalBytes(text: string): Buffer | null {
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? bytes : null
}

const bytesOf = (jwk: Claims, name: string): Buffer | null => {
  const text = claimOf(jwk, name)
  return typeof text === 'string' && text !== '' ? canonicalBytes(text) : null
}

/** `use`, `key_ops` and `alg` may be left out; where they are, they have to allow this. */
function isMeantFor(jwk: Claims, name: string): boolean {
  const use = claimOf(jwk, 'use')
  const operations = claimOf(jwk, 'key_ops')
  const algorithm = claimOf(jwk, 'alg')
  return (use === null || use === 'sig') && (operations === null || (Array.isArray(operations) && operations.includes('verify'))) && (algorithm === null || algorithm === name)
}

function modulusFault(modulus: Buffer, exponent: Buffer): KeyFault | null {
  const first = modulus[0] ?? 0
  if (first === 0 || (exponent[0] ?? 0) === 0) return 'key_malformed'
  const bits = (modulus.length - 1) * 8 + (32 - Math.clz32(first))
  if (bits > MODULUS.most || exponent.length > EXPONENT_MAX) return 'key_too_large'
  const e = exponent.readUIntBE(0, exponent.length)
  return bits < MODULUS.least || e < 3 || e % 2 === 0 ? 'key_weak' : null
}

function isSmallOrder(point: Buffer): boolean {
  const unsigned = Buffer.from(point)
  unsigned[31] = (unsigned[31] ?? 0) & 0x7f
  return SMALL_ORDER.has(unsigned.toString('hex'))
}

type Public = { readonly kty: string; readonly [name: string]: string }

/** The members a thumbprint is made of, in its order (RFC 7638 §3.2, RFC 8037 §2). */
function publicMembers(jwk: Claims, { key }: ProofAlgorithm): Public | KeyFault {
  const member = (name: string): string => String(claimOf(jwk, name))
  if (key.is === 'RSA') {
    const [n, e] = [bytesOf(jwk, 'n'), bytesOf(jwk, 'e')]
    if (n === null || e === null) return 'key_malformed'
    return modulusFault(n, e) ?? { e: member('e'), kty: key.is, n: member('n') }
  }
  if (claimOf(jwk, 'crv') !== key.curve) return 'key_unfit'
  const x = bytesOf(jwk, 'x')
  if (x?.length !== key.bytes) return 'key_malformed'
  if (key.is === 'OKP') return isSmallOrder(x) ? 'key_weak' : { crv: key.curve, kty: key.is, x: member('x') }
  return bytesOf(jwk, 'y')?.length === key.bytes ? { crv: key.curve, kty: key.is, x: member('x'), y: member('y') } : 'key_malformed'
}

function importKey(members: Public): KeyRead {
  const thumbprint = sha256(JSON.stringify(members))
  const known = imported.get(thumbprint)
  if (known !== undefined) return { is: 'key', thumbprint, key: known }
  let key: KeyObject
  try {
    key = createPublicKey({ key: members, format: 'jwk' })
  } catch {
    return fault('key_malformed') // not a point of the curve
  }
  imported.set(thumbprint, key)
  return { is: 'key', thumbprint, key }
}

/** The key of a header's `jwk` for the algorithm `name`, which it has to fit. */
export function readKey(jwk: unknown, name: string, algorithm: ProofAlgorithm): KeyRead {
  if (jwk === null) return fault('key_missing')
  if (typeof jwk !== 'object' || Array.isArray(jwk)) return fault('key_malformed')
  const given = jwk as Claims // an object of a parsed JSON text
  if (PRIVATE_MEMBERS.some(member => Object.hasOwn(given, member))) return fault('key_private')
  if (claimOf(given, 'kty') !== algorithm.key.is || !isMeantFor(given, name)) return fault('key_unfit')
  const members = publicMembers(given, algorithm)
  return typeof members === 'string' ? fault(members) : importKey(members)
}
