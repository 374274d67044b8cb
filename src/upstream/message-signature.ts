// HTTP Message Signatures (RFC 9421) of what goes upstream, over exactly what is written: the upstream can prove that a request passed here, as it is.
// What a request does not have is not covered; a value is never logged. SPEC: CTX8, CTX9
import { hash, randomBytes, sign } from 'node:crypto'
import type { SignatureSettings } from '../config/compile/upstream-identity.ts'
import type { SigningKey } from './signing-key.ts'

/** A request as it is written. */
export type Message = { readonly method: string; readonly scheme: 'http' | 'https'; /** Path and query. */ readonly path: string; /** Names and values in turn, `host` first. */ readonly headers: readonly string[] }

/** Of a signature of ours, among those that a message may carry. */
const LABEL = 'narrowgate'
const NONCE_BYTES = 16
const PORTS = { http: ':80', https: ':443' } as const
const MARK = '?'

/** RFC 9421 §2.2.3: in lower case, and without the port its scheme has anyway. */
function authorityOf({ headers, scheme }: Message): string {
  const authority = (headers[1] ?? '').toLowerCase()
  return authority.endsWith(PORTS[scheme]) ? authority.slice(0, -PORTS[scheme].length) : authority
}

const queryAt = (path: string): number => (path.includes(MARK) ? path.indexOf(MARK) : path.length)

const DERIVED: ReadonlyMap<string, (message: Message) => string> = new Map<string, (message: Message) => string>([
  ['@method', ({ method }) => method],
  ['@authority', authorityOf],
  ['@scheme', ({ scheme }) => scheme],
  ['@target-uri', message => `${message.scheme}://${authorityOf(message)}${message.path}`],
  ['@request-target', ({ path }) => path],
  ['@path', ({ path }) => path.slice(0, queryAt(path)) || '/'],
  ['@query', ({ path }) => path.slice(queryAt(path)) || MARK],
])

/** Every line of the header, as one value (RFC 9421 §2.1); null where there is none. */
function fieldOf({ headers }: Message, name: string): string | null {
  let value: string | null = null
  for (let i = 0; i < headers.length; i += 2) {
    const known = headers[i] ?? ''
    if (known.length !== name.length || known.toLowerCase() !== name) continue
    const line = (headers[i + 1] ?? '').replace(/^[ \t]+|[ \t]+$/g, '')
    value = value === null ? line : `${value}${name === 'cookie' ? ';' : ','} ${line}`
  }
  return value
}

const valueOf = (message: Message, component: string): string | null => DERIVED.get(component)?.(message) ?? fieldOf(message, component)

/** A string of RFC 9651, of what has no control characters. */
const quoted = (text: string): string => `"${text.replace(/["\\]/g, '\\$&')}"`

/** RFC 9421 §2.5. @param parameters behind the list of what is covered, with their leading `;` @returns that list with its parameters, and what is signed */
export function signatureBase(message: Message, components: readonly string[], parameters: string): { readonly input: string; readonly base: string } {
  let covered = ''
  let lines = ''
  for (const component of components) {
    const value = valueOf(message, component)
    if (value === null) continue
    const name = quoted(component)
    covered += covered === '' ? name : ` ${name}`
    lines += `${name}: ${value}\n`
  }
  const input = `(${covered})${parameters}`
  return { input, base: `${lines}"@signature-params": ${input}` }
}

/** Both headers, as names and values in turn. @param seconds now, since the epoch */
export function signatureHeaders(message: Message, { components, tag, expires }: SignatureSettings, key: SigningKey, seconds: number): readonly string[] {
  const nonce = randomBytes(NONCE_BYTES).toString('base64url')
  const parameters = `;created=${seconds};expires=${seconds + Math.ceil(expires / 1000)};nonce="${nonce}";keyid=${quoted(key.id)};alg="ed25519";tag=${quoted(tag)}`
  const { input, base } = signatureBase(message, components, parameters)
  const signature = sign(null, Buffer.from(base, 'latin1'), key.secret).toString('base64') // one character is one byte on the wire
  return ['signature-input', `${LABEL}=${input}`, 'signature', `${LABEL}=:${signature}:`]
}

/** The value of `Content-Digest` (RFC 9530). */
export const contentDigest = (body: Uint8Array): string => `sha-256=:${hash('sha256', body, 'base64')}:`
