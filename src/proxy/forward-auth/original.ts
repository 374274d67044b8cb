// The request that another proxy asks about, as that proxy tells it: each thing once and in one form, nothing repaired or guessed. What belongs to the
// question alone (its framing, its connection, its own target) is left out; all the rest is the caller's and read like any caller's. SPEC: FWA2
import { isIP } from 'node:net'
import type { ForwardAuthSettings, ForwardProxy } from '../../config/compile/forward-auth.ts'
import { onlyValue } from '../http/head.ts'
import { plainAddress } from '../trusted.ts'
import { TOKEN_HEADER } from './askers.ts'

/** The question as it came. */
export type Question = { readonly method: string; readonly url: string; /** Names and values in turn. */ readonly headers: readonly string[] }

/** As of an arrival that came straight from its caller. */
export type Original = { readonly method: string; readonly target: string; readonly secure: boolean; readonly peer: string; readonly headers: readonly string[] }

export type Malformed = { readonly malformed: string }

type Told = { readonly method: string; readonly secure: boolean; readonly authority: string; readonly target: string }

const PREFIX = '/forward-auth/'
const URL_FORM = /^(https?):\/\/([^/?#]*)(\/.*)$/
/** Of the question itself, or read here. */
const LEFT_OUT: ReadonlySet<string> = new Set([
  'host', 'forwarded', 'connection', 'keep-alive', 'proxy-connection', 'transfer-encoding', 'content-length', 'te', 'trailer', 'upgrade', 'expect',
  'x-original-method', 'x-original-url', 'x-forwarded-method', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-uri', TOKEN_HEADER,
])
const FORWARDED_FOR = 'x-forwarded-for'

/** Whose form a question has, by its path; null for nobody's. */
export function proxyOf(url: string): ForwardProxy | null {
  const path = url.split('?', 1)[0] ?? ''
  if (path === `${PREFIX}nginx`) return 'nginx'
  if (path === `${PREFIX}traefik`) return 'traefik'
  return path.startsWith(`${PREFIX}envoy/`) ? 'envoy' : null
}

/** The values of headers that each have to stand there once, in turn. */
function values(headers: readonly string[], names: readonly string[]): readonly string[] | Malformed {
  const found: string[] = []
  for (const name of names) {
    const value = onlyValue(headers, name)
    if (value === false) return { malformed: `header ${name} stands twice` }
    if (value === null || value === '') return { malformed: `header ${name} is missing or empty` }
    found.push(value)
  }
  return found
}

const isSecure = (scheme: string): boolean | null => (scheme === 'https' ? true : scheme === 'http' ? false : null)
const NO_SCHEME: Malformed = { malformed: 'the scheme is neither http nor https' }

function byUrl(headers: readonly string[]): Told | Malformed {
  const read = values(headers, ['x-original-method', 'x-original-url'])
  if ('malformed' in read) return read
  const [method = '', url = ''] = read
  const [, scheme = '', authority = '', target = ''] = URL_FORM.exec(url) ?? [] // what is none has no path
  return { method, secure: scheme === 'https', authority, target }
}

function byForwarded(headers: readonly string[]): Told | Malformed {
  const read = values(headers, ['x-forwarded-method', 'x-forwarded-proto', 'x-forwarded-host', 'x-forwarded-uri'])
  if ('malformed' in read) return read
  const [method = '', scheme = '', authority = '', target = ''] = read
  const secure = isSecure(scheme)
  return secure === null ? NO_SCHEME : { method, secure, authority, target }
}

function byItself({ method, url, headers }: Question): Told | Malformed {
  const read = values(headers, ['host', 'x-forwarded-proto'])
  if ('malformed' in read) return read
  const [authority = '', scheme = ''] = read
  const secure = isSecure(scheme)
  return secure === null ? NO_SCHEME : { method, secure, authority, target: url.slice(`${PREFIX}envoy`.length) }
}

function requestOf(proxy: ForwardProxy, question: Question): Told | Malformed {
  const read = proxy === 'nginx' ? byUrl(question.headers) : proxy === 'traefik' ? byForwarded(question.headers) : byItself(question)
  return 'malformed' in read || read.target.startsWith('/') ? read : { malformed: 'the target is no path' }
}

/** The nearest address is the proxy's word; what stands before it counts as from that address, and so for nothing unless it is trusted as well. */
function callerOf(headers: readonly string[], header: string): { readonly peer: string; readonly before: string | null } | Malformed {
  const read = values(headers, [header])
  if ('malformed' in read) return read
  const [value = ''] = read
  const comma = header === FORWARDED_FOR ? value.lastIndexOf(',') : -1
  const peer = plainAddress(value.slice(comma + 1).trim())
  return isIP(peer) === 0 ? { malformed: `header ${header} names no address` } : { peer, before: comma === -1 ? null : value.slice(0, comma) }
}

/**
 * The protocol that the caller is let switch to; null where it is none. A proxy may pass a handshake on that it does not tell of, or tell of one that it takes
 * apart: what is judged and what is passed on must not be two things.
 */
function upgradeOf(headers: readonly string[], header: string | null): string | null | Malformed {
  const told = header === null ? null : onlyValue(headers, header)
  if (told === false || told === '') return { malformed: `header ${header} is empty or stands twice` }
  const shakes = headers.some((name, i) => i % 2 === 0 && name.toLowerCase().startsWith('sec-websocket-'))
  return shakes === (told?.toLowerCase() === 'websocket') ? told : { malformed: shakes ? 'a WebSocket handshake whose upgrade is not told' : 'an upgrade to a WebSocket without its handshake' }
}

function carriesBody(headers: readonly string[]): boolean {
  const length = onlyValue(headers, 'content-length')
  return onlyValue(headers, 'transfer-encoding') !== null || (length !== null && length !== '0')
}

function rest(headers: readonly string[], address: string): string[] {
  const kept: string[] = []
  for (let i = 0; i < headers.length; i += 2) {
    const spelling = headers[i] ?? ''
    const name = spelling.toLowerCase()
    if (!LEFT_OUT.has(name) && name !== address && name !== FORWARDED_FOR) kept.push(spelling, headers[i + 1] ?? '')
  }
  return kept
}

export function originalOf(proxy: ForwardProxy, question: Question, { headers: { address, upgrade: told } }: Pick<ForwardAuthSettings, 'headers'>): Original | Malformed {
  const { headers } = question
  if (carriesBody(headers)) return { malformed: 'the question has a body' }
  const [request, caller, upgrade] = [requestOf(proxy, question), callerOf(headers, address), upgradeOf(headers, told)]
  if ('malformed' in request) return request
  if ('malformed' in caller) return caller
  if (upgrade !== null && typeof upgrade !== 'string') return upgrade
  const { method, secure, authority, target } = request
  const { peer, before } = caller
  const lines = ['host', authority, ...rest(headers, address)]
  if (upgrade !== null) lines.push('connection', 'upgrade', 'upgrade', upgrade)
  if (before !== null) lines.push(FORWARDED_FOR, before)
  return { method, target, secure, peer, headers: lines }
}
