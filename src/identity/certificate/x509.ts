// What a certificate says (RFC 5280), read from its DER by our own strict reader and by OpenSSL's: where the two differ it is no certificate.
// Nothing here says whether it is to be believed. SPEC: SES1
import { X509Certificate } from 'node:crypto'
import { type Instant, instant } from '../../core/time.ts'
import { sha256 } from '../../runtime/id.ts'
import { allOf, booleanOf, DerReader, type Element, hasBit, integerHex, NotDer, oidText, TAG } from './der.ts'
import { nameText } from './distinguished-name.ts'

export type X509 = {
  /** Base64url SHA-256 of the DER: `x5t#S256` (RFC 8705 §3.1). */
  readonly thumbprint: string
  /** RFC 4514, in one form. */
  readonly subject: string
  readonly issuer: string
  /** Upper-case hexadecimal. */
  readonly serial: string
  readonly notBefore: Instant
  readonly notAfter: Instant
  /** basicConstraints: cA. */
  readonly isAuthority: boolean
  /** Null where it does not say. */
  readonly keyUsage: { readonly signs: boolean; readonly signsCertificates: boolean } | null
  /** Extended key usage: numbers; null where it does not say. */
  readonly purposes: readonly string[] | null
  readonly uris: readonly string[]
  readonly dnsNames: readonly string[]
}

/** Longest certificate read, in bytes. */
export const CERTIFICATE_MAX = 16 * 1024
/** Longest serial number, in octets (RFC 5280 §4.1.2.2). */
const SERIAL_MAX = 20

const OID = { keyUsage: '2.5.29.15', alternativeNames: '2.5.29.17', basicConstraints: '2.5.29.19', purposes: '2.5.29.37' } as const
/** Those that may be critical: the ones read here, and policies, which restrict nobody who does not ask for one. */
const UNDERSTOOD: ReadonlySet<string> = new Set([...Object.values(OID), '2.5.29.32'])
const BIT = { digitalSignature: 0, keyCertSign: 5, crlSign: 6 } as const
const VERSION_3 = '02'
const VISIBLE = /^[\x21-\x7e]+$/

type Extensions = ReadonlyMap<string, Buffer>

function timeOf({ tag, body }: Element): Instant {
  const text = body.toString('latin1')
  const form = tag === TAG.utcTime ? /^(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : tag === TAG.generalizedTime ? /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)Z$/ : null
  const numbers = form?.exec(text)?.slice(1).map(Number)
  if (numbers === undefined) throw new NotDer()
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = numbers
  const full = tag === TAG.utcTime ? year + (year < 50 ? 2000 : 1900) : year
  const date = new Date(Date.UTC(full, month - 1, day, hour, minute, second))
  const found = [date.getUTCFullYear(), date.getUTCMonth() + 1, date.getUTCDate(), date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()]
  if (found.join() !== [full, month, day, hour, minute, second].join()) throw new NotDer() // the 30th of February
  return instant(date.getTime())
}

function extensionsOf(wrapped: Element | null): Extensions {
  const extensions = new Map<string, Buffer>()
  if (wrapped === null) return extensions
  const outer = new DerReader(wrapped.body)
  const list = allOf(outer.next(TAG.sequence).body)
  outer.end()
  for (const { tag, body } of list) {
    if (tag !== TAG.sequence) throw new NotDer()
    const reader = new DerReader(body)
    const oid = oidText(reader.next(TAG.oid))
    const flag = reader.optional(TAG.boolean)
    const value = reader.next(TAG.octets).body
    reader.end()
    const critical = flag !== null && booleanOf(flag)
    if (extensions.has(oid) || (critical && !UNDERSTOOD.has(oid))) throw new NotDer()
    extensions.set(oid, value)
  }
  return extensions
}

function only(bytes: Buffer, tag: number): Element {
  const reader = new DerReader(bytes)
  const element = reader.next(tag)
  reader.end()
  return element
}

function isAuthority(extensions: Extensions): boolean {
  const value = extensions.get(OID.basicConstraints)
  if (value === undefined) return false
  const reader = new DerReader(only(value, TAG.sequence).body)
  const flag = reader.optional(TAG.boolean)
  reader.optional(TAG.integer)
  reader.end()
  return flag !== null && booleanOf(flag)
}

function keyUsage(extensions: Extensions): X509['keyUsage'] {
  const value = extensions.get(OID.keyUsage)
  if (value === undefined) return null
  const bits = only(value, TAG.bits)
  return { signs: hasBit(bits, BIT.digitalSignature), signsCertificates: hasBit(bits, BIT.keyCertSign) || hasBit(bits, BIT.crlSign) }
}

function purposes(extensions: Extensions): readonly string[] | null {
  const value = extensions.get(OID.purposes)
  if (value === undefined) return null
  return allOf(only(value, TAG.sequence).body).map(element => {
    if (element.tag !== TAG.oid) throw new NotDer()
    return oidText(element)
  })
}

/** Alternative names of one kind, each of visible ASCII: a name with a zero octet or a space in it is two names to somebody. */
function alternatives(names: readonly Element[], kind: number): readonly string[] {
  return names.filter(({ tag }) => tag === TAG.implicit(kind)).map(({ body }) => {
    const text = body.toString('latin1')
    if (!VISIBLE.test(text)) throw new NotDer()
    return text
  })
}

function read(der: Buffer): X509 {
  const certificate = new DerReader(only(der, TAG.sequence).body)
  const fields = certificate.into(TAG.sequence)
  const algorithm = certificate.next(TAG.sequence)
  certificate.next(TAG.bits)
  certificate.end()
  const version = fields.optional(TAG.explicit(0))
  const serial = fields.next(TAG.integer)
  const signature = fields.next(TAG.sequence)
  const issuer = nameText(fields.next(TAG.sequence))
  const validity = fields.into(TAG.sequence)
  const [notBefore, notAfter] = [timeOf(validity.any()), timeOf(validity.any())]
  validity.end()
  const subject = nameText(fields.next(TAG.sequence))
  fields.next(TAG.sequence)
  fields.optional(TAG.implicit(1))
  fields.optional(TAG.implicit(2))
  const wrapped = fields.optional(TAG.explicit(3))
  fields.end()
  const isThird = version !== null && integerHex(only(version.body, TAG.integer)) === VERSION_3
  if (!signature.whole.equals(algorithm.whole) || serial.body.length > SERIAL_MAX + 1 || (wrapped !== null && !isThird)) throw new NotDer()
  const extensions = extensionsOf(wrapped)
  const names = extensions.get(OID.alternativeNames)
  const alternative = names === undefined ? [] : allOf(only(names, TAG.sequence).body)
  return {
    thumbprint: sha256(der), subject, issuer, serial: integerHex(serial), notBefore, notAfter,
    isAuthority: isAuthority(extensions), keyUsage: keyUsage(extensions), purposes: purposes(extensions),
    uris: alternatives(alternative, 6), dnsNames: alternatives(alternative, 2),
  }
}

/** Null for what is not exactly one certificate in DER. Never throws. */
export function readX509(der: Buffer): X509 | null {
  if (der.length > CERTIFICATE_MAX) return null
  try {
    const ours = read(der)
    return new X509Certificate(der).raw.equals(der) ? ours : null
  } catch {
    return null // of every cause it is enough to know that it is none
  }
}
