// The opening handshake of both sides (RFC 6455 §4, RFC 8441 §5): what the caller offered, what goes upstream for it, and whether the upstream's
// answer is the one switch of protocols that was asked for. Anything else is no tunnel. SPEC: WIRE18, UPG-003
import { newKeyText, sha1 } from '../../runtime/id.ts'
import type { AnswerHead } from '../../upstream/handler.ts'
import type { Arrival } from '../arrival.ts'
import type { ResponseHead } from '../http/response-head.ts'

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
const KEY = /^[A-Za-z0-9+/]{21}[AQgw]==$/
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/
const EXTENSION = /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+(?:=(?:"?[!#$%&'*+\-.^_`|~0-9A-Za-z]+"?))?)*$/
const DEFLATE = 'permessage-deflate'
const OFFERED_MAX = 64
/** Ours: written for this hop, whatever the caller sent. */
const OWN = /^(?:connection|upgrade|content-length|transfer-encoding|sec-websocket-.*)$/

export type Offer = {
  readonly key: string
  readonly protocols: readonly string[]
  /** Of permessage-deflate, with their parameters; others would give bits a meaning that nobody here knows. */
  readonly extensions: readonly string[]
}

/** The head as the caller gets it; null where it cannot be relayed. */
export type Relayed = (head: AnswerHead) => ResponseHead | null

export type Switch = { /** For the caller. */ readonly headers: string[]; readonly deflate: boolean }

function values(headers: readonly string[], name: string): string[] {
  const found: string[] = []
  for (let i = 0; i < headers.length; i += 2) if ((headers[i] ?? '').toLowerCase() === name) found.push((headers[i + 1] ?? '').trim())
  return found
}

const elements = (lines: readonly string[]): string[] => lines.flatMap(line => line.split(',').map(element => element.trim()))
const nameOf = (extension: string): string => (extension.split(';', 1)[0] ?? '').trim()

/** Malformed where it is not one well-formed offer: null. @param inspected messages are to be read, so that compression is not offered on */
export function offerOf({ protocol, method, version, headers, connects }: Arrival, inspected: boolean): Offer | null {
  if (protocol === 'http1' ? method !== 'GET' || version !== '1.1' : connects !== 'websocket') return null
  if (values(headers, 'transfer-encoding').length > 0 || values(headers, 'content-length').some(length => length !== '0')) return null
  if (values(headers, 'sec-websocket-version').join(',') !== '13') return null
  const key = protocol === 'http1' ? values(headers, 'sec-websocket-key').join(',') : Buffer.from(newKeyText(), 'base64').subarray(0, 16).toString('base64')
  const protocols = elements(values(headers, 'sec-websocket-protocol'))
  const extensions = elements(values(headers, 'sec-websocket-extensions'))
  const wellFormed = KEY.test(key) && protocols.every(name => TOKEN.test(name)) && new Set(protocols).size === protocols.length && extensions.every(one => EXTENSION.test(one))
  if (!wellFormed || protocols.length > OFFERED_MAX || extensions.length > OFFERED_MAX) return null
  return { key, protocols, extensions: inspected ? [] : extensions.filter(one => nameOf(one) === DEFLATE) }
}

/** As node's client takes them: a member for each name, a list where it stands more than once. Spellings of one name are one name. */
export function upstreamHeaders(flat: readonly string[], { key, protocols, extensions }: Offer): { [name: string]: string | string[] } {
  const members = new Map<string, { readonly name: string; readonly values: string[] }>()
  for (let i = 0; i < flat.length; i += 2) {
    const name = flat[i] ?? ''
    const lower = name.toLowerCase()
    if (OWN.test(lower)) continue
    const member = members.get(lower)
    if (member) member.values.push(flat[i + 1] ?? '')
    else members.set(lower, { name, values: [flat[i + 1] ?? ''] })
  }
  const own: [string, string | string[]][] = [['connection', 'Upgrade'], ['upgrade', 'websocket'], ['sec-websocket-version', '13'], ['sec-websocket-key', key]]
  if (protocols.length > 0) own.push(['sec-websocket-protocol', protocols.join(', ')])
  if (extensions.length > 0) own.push(['sec-websocket-extensions', extensions.join(', ')])
  return Object.fromEntries([...[...members.values()].map(({ name, values: all }): [string, string | string[]] => [name, all.length === 1 ? (all[0] ?? '') : all]), ...own])
}

const acceptOf = (key: string): string => Buffer.from(sha1(key + GUID), 'hex').toString('base64')

/** null where the upstream did not switch to what was offered, exactly. @param accepts the caller is told that its own key was read (HTTP/1.1) */
export function switchOf(head: AnswerHead, { key, protocols, extensions }: Offer, accepts: boolean, relayed: Relayed): Switch | null {
  const { status, headers } = head
  if (status !== 101 || values(headers, 'transfer-encoding').length > 0 || values(headers, 'content-length').length > 0) return null
  const accept = values(headers, 'sec-websocket-accept').join(',')
  if (accept !== acceptOf(key) || values(headers, 'upgrade').join(',').toLowerCase() !== 'websocket') return null
  if (!elements(values(headers, 'connection')).some(token => token.toLowerCase() === 'upgrade')) return null
  const chosen = values(headers, 'sec-websocket-protocol')
  if (chosen.length > 1 || (chosen[0] !== undefined && !protocols.includes(chosen[0]))) return null
  const agreed = elements(values(headers, 'sec-websocket-extensions'))
  if (agreed.length > 1 || agreed.some(one => !EXTENSION.test(one) || nameOf(one) !== DEFLATE || extensions.length === 0)) return null
  const shown = relayed(head)
  return shown === null ? null : { headers: shown.headers.filter((_, i) => !isHidden(shown, i, accepts)), deflate: agreed.length === 1 }
}

/** HTTP/2 has no key, so no accept either. */
const isHidden = ({ headers }: ResponseHead, i: number, accepts: boolean): boolean => !accepts && (headers[i - (i % 2)] ?? '').toLowerCase() === 'sec-websocket-accept'
