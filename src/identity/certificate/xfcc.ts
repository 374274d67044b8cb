// Envoy's `x-forwarded-client-cert`: what the proxy next to us says of its caller. Elements are one per hop; the right-most alone counts, and the whole
// text must have one reading, for whoever wrote the left of it may have opened a quote there. SPEC: BND4, SES1
import { type CertificateRead, readLeaf, refused, svidOf } from './client-certificate.ts'
import { pemBlocksOnly } from './pem.ts'

/** Longest value read, in characters. */
const XFCC_MAX = 16 * 1024
/** Certificates of a chain, the leaf among them. */
const CHAIN_MAX = 10

const KEYS = ['by', 'hash', 'cert', 'chain', 'subject', 'uri', 'dns'] as const
type Key = (typeof KEYS)[number]
/** Envoy writes one pair for each alternative name. */
const REPEATABLE: readonly Key[] = ['by', 'uri', 'dns']
type Told = { readonly [key in Key]: readonly string[] }

// A name, a value in quotes or without, and what follows. `\"` is a quote inside quotes; two backslashes before a quote have two readings.
const PAIR = /([A-Za-z]+)=(?:"((?:[^"\\]|\\"|\\+(?!["\\]))*)"|([^",;=\\\s]*))(;|[ \t]*,[ \t]*|$)/y
const TEXT = /^[\x20-\x7e\t]+$/
const HASH = /^[0-9a-f]{64}$/i
const PERCENT = /^(?:[\x21-\x24\x26-\x7e]|%[0-9A-Fa-f]{2})+$/

const nothing = (): { [key in Key]: string[] } => ({ by: [], hash: [], cert: [], chain: [], subject: [], uri: [], dns: [] })

/** The right-most element; null where the text has no one reading. */
function lastElement(text: string): Told | null {
  let element = nothing()
  PAIR.lastIndex = 0
  for (;;) {
    const [, name = '', quoted, bare = '', end] = PAIR.exec(text) ?? []
    const key = KEYS.find(known => known === name.toLowerCase())
    if (key === undefined || end === undefined) return null
    if (element[key].length > 0 && !REPEATABLE.includes(key)) return null
    element[key].push(quoted === undefined ? bare : quoted.replaceAll('\\"', '"'))
    if (end === '') return element
    if (end !== ';') element = nothing()
  }
}

/** The certificates in URL-encoded PEM; null where they are none. */
function decoded(encoded: string): readonly Buffer[] | null {
  if (!PERCENT.test(encoded)) return null
  try {
    const blocks = pemBlocksOnly(decodeURIComponent(encoded), 'CERTIFICATE')
    return blocks === null || blocks.length === 0 || blocks.length > CHAIN_MAX ? null : blocks
  } catch {
    return null // escapes that are no UTF-8
  }
}

/** The leaf of `Cert` and of `Chain`, where they are the same; null where they are not told. */
function leafOf({ cert: [cert], chain: [chain] }: Told): Buffer | null | 'malformed' | 'disagreeing' {
  const single = cert === undefined ? undefined : decoded(cert)
  const several = chain === undefined ? undefined : decoded(chain)
  if (single === null || several === null || (single?.length ?? 1) !== 1) return 'malformed'
  const [a = null] = single ?? several ?? []
  const [b = a] = several ?? []
  return a === null || b === null || a.equals(b) ? a : 'disagreeing'
}

const same = (told: readonly string[], shown: readonly string[]): boolean => told.length === 0 || (told.length === shown.length && told.every((name, i) => name === shown[i]))

/** A certificate of which the proxy told no more than its digest, and perhaps its names. */
function named(thumbprint: string, uris: readonly string[], dnsNames: readonly string[]): CertificateRead {
  const spiffe = svidOf(uris)
  if (spiffe !== null && 'is' in spiffe) return spiffe
  return { is: 'shown', certificate: { thumbprint, subject: null, issuer: null, serial: null, uris, dnsNames, notBefore: null, notAfter: null, spiffe, source: 'xfcc' } }
}

function readElement(told: Told): CertificateRead {
  const leaf = leafOf(told)
  if (typeof leaf === 'string') return refused(leaf)
  const [hash] = told.hash
  if (hash !== undefined && !HASH.test(hash)) return refused('malformed')
  const thumbprint = hash === undefined ? null : Buffer.from(hash, 'hex').toString('base64url')
  const [uris, dnsNames] = [told.uri.filter(name => name !== ''), told.dns.filter(name => name !== '')]
  if (leaf === null) return thumbprint === null ? refused('thumbprint_missing') : named(thumbprint, uris, dnsNames)
  const read = readLeaf(leaf, 'xfcc')
  if (read.is === 'refused') return read
  const { certificate } = read
  const agrees = (thumbprint ?? certificate.thumbprint) === certificate.thumbprint && same(uris, certificate.uris) && same(dnsNames, certificate.dnsNames)
  return agrees ? read : refused('disagreeing')
}

/** @param lines values of all `x-forwarded-client-cert` lines of a request that a listed proxy sent; at least one */
export function readXfcc(lines: readonly string[]): CertificateRead {
  const [text = ''] = lines
  if (lines.length !== 1) return refused('several_headers')
  if (text.length > XFCC_MAX) return refused('too_long')
  const told = TEXT.test(text) ? lastElement(text) : null
  return told === null ? refused('ambiguous') : readElement(told)
}
