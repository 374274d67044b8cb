// The compact form of a JWT before any signature is checked. What is read here proves nothing.
// SPEC: SES10
import { isAmbiguousJson } from './strict-json.ts'

// Three parts of the base64url alphabet: no JWE, no JSON serialisation, no padding, no white space. An empty signature is left to the verifier.
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]*$/

type Part = { readonly is: 'object'; readonly value: { readonly [name: string]: unknown } } | { readonly is: 'ambiguous' } | { readonly is: 'none' }

export const isCompact = (text: string): boolean => COMPACT.test(text)

/** The bytes of the second part of a compact JWT. */
export function payloadBytes(text: string): Buffer {
  const from = text.indexOf('.') + 1
  return Buffer.from(text.slice(from, text.indexOf('.', from)), 'base64url')
}

export const headerBytes = (text: string): Buffer => Buffer.from(text.slice(0, text.indexOf('.')), 'base64url')

/** The JSON object in the bytes of a part, if every parser reads it the same. */
export function readPart(bytes: Buffer): Part {
  const text = bytes.toString('utf8')
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { is: 'none' }
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return { is: 'none' }
  if (isAmbiguousJson(text)) return { is: 'ambiguous' }
  return { is: 'object', value: value as { readonly [name: string]: unknown } } // an object of a parsed JSON text
}
