// Verifies HTTP message signatures as an upstream would, from the text of RFC 9421 and RFC 9530, with nothing of the gateway's. For tests only.
import { createHash, createPublicKey, verify } from 'node:crypto'

/** A request as it was read off the wire; names and values in turn. */
export type ReadMessage = { readonly method: string; readonly scheme: string; readonly path: string; readonly headers: readonly string[] }
export type SignatureRead = { readonly components: readonly string[]; readonly created: number; readonly expires: number; readonly nonce: string; readonly keyid: string; readonly alg: string; readonly tag: string }

const linesOf = ({ headers }: ReadMessage, name: string): readonly string[] => headers.flatMap((known, i) => (i % 2 === 0 && known.toLowerCase() === name ? [(headers[i + 1] ?? '').replace(/^[ \t]+/, '').replace(/[ \t]+$/, '')] : []))

function authority(message: ReadMessage): string {
  const [host = ''] = linesOf(message, 'host')
  return host.toLowerCase().replace(message.scheme === 'https' ? /:443$/ : /:80$/, '')
}

function component(message: ReadMessage, name: string): string {
  const [before = '', ...behind] = message.path.split('?')
  switch (name) {
    case '@method': return message.method
    case '@scheme': return message.scheme
    case '@authority': return authority(message)
    case '@target-uri': return `${message.scheme}://${authority(message)}${message.path}`
    case '@request-target': return message.path
    case '@path': return before === '' ? '/' : before
    case '@query': return `?${behind.join('?')}`
    default: return linesOf(message, name).join(', ')
  }
}

const unquoted = (text: string): string => text.replace(/\\(["\\])/g, '$1')

/** What it says of itself, where it has exactly one signature, by one of the keys, that holds; null otherwise. */
export function verified(message: ReadMessage, keys: readonly { readonly kid: string; readonly x: string }[]): SignatureRead | null {
  const [inputs, signatures] = [linesOf(message, 'signature-input'), linesOf(message, 'signature')]
  const [, label = '', list = '', parameters = ''] = /^([a-z]+)=\(([^)]*)\)((?:;[a-z]+=(?:\d+|"(?:[^"\\]|\\.)*"))*)$/.exec(inputs[0] ?? '') ?? []
  const [, by = '', octets = ''] = /^([a-z]+)=:([A-Za-z0-9+/=]+):$/.exec(signatures[0] ?? '') ?? []
  if (inputs.length !== 1 || signatures.length !== 1 || label !== by || label === '') return null
  const components = [...list.matchAll(/"([^"]+)"/g)].map(([, name = '']) => name)
  if (components.some(name => !name.startsWith('@') && linesOf(message, name).length === 0)) return null
  const base = [...components.map(name => `"${name}": ${component(message, name)}`), `"@signature-params": (${list})${parameters}`].join('\n')
  const said = new Map([...parameters.matchAll(/;([a-z]+)=(?:(\d+)|"((?:[^"\\]|\\.)*)")/g)].map(([, name = '', number, text = '']) => [name, number ?? unquoted(text)]))
  const key = keys.find(({ kid }) => kid === said.get('keyid'))
  if (key === undefined) return null
  if (!verify(null, Buffer.from(base, 'latin1'), createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: key.x }, format: 'jwk' }), Buffer.from(octets, 'base64'))) return null
  const of = (name: string): string => said.get(name) ?? ''
  return { components, created: Number(of('created')), expires: Number(of('expires')), nonce: of('nonce'), keyid: of('keyid'), alg: of('alg'), tag: of('tag') }
}

/** Is it the digest of this body? */
export const isDigestOf = (header: string, body: Uint8Array): boolean => header === `sha-256=:${createHash('sha256').update(body).digest('base64')}:`
