// One canonical form of a request target, used for matching and forwarding alike. What cannot have one is refused, never repaired.
// SPEC: WIRE1, WIRE2
import type { Target } from '../../core/evaluation.ts'

export type Described = { readonly target: Target; /** `%2f` stands in a segment: only routes that say `opaque` take it. */ readonly encodedSlash: boolean }

const PLAIN = /^(?:\/[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+$/
const PATH = /^(?:\/(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-Fa-f]{2})*)+$/
const QUERY = /^\?[\x21\x22\x24-\x7e]*$/
const DOTS = /(?:^|\/)\.{1,2}(?:;[^/]*)?(?:\/|$)/
const DOUBLY_ENCODED = /%25[0-9A-Fa-f]{2}/
const UNRESERVED = /[A-Za-z0-9\-._~]/
/** Full-width and look-alike dots, slashes and backslashes, which folding upstreams turn into the real ones. */
const LOOKALIKES = /[\uff0f\uff3c\uff0e\u2044\u2215\u29f8\u2024\u2216]/
// oxlint-disable-next-line no-control-regex -- control characters are what it looks for
const CONTROLS = /[\u0000-\u001f\u007f]/
const HOST = /^(?:[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?(?:\.[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?)*|\[[0-9a-f:.]+\])(?::\d{1,5})?$/
const TARGET_MAX = 16_384

/** Lower-case host without port, or null when it is not a host. */
export function hostOf(authority: string): string | null {
  const lower = authority.toLowerCase()
  if (lower.length > 300 || !HOST.test(lower)) return null
  const end = lower.startsWith('[') ? lower.indexOf(']') + 1 : lower.indexOf(':')
  return end <= 0 || end === lower.length ? lower : lower.slice(0, end)
}

function canonicalEscape(escape: string): string {
  const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  return UNRESERVED.test(char) ? char : escape.toUpperCase()
}

/** The canonical path, or what is wrong with it. */
function canonicalPath(path: string): { readonly path: string; readonly encodedSlash: boolean } | string {
  if (!PATH.test(path)) return 'the path holds characters that must be escaped'
  const canonical = path.replace(/%[0-9A-Fa-f]{2}/g, canonicalEscape)
  if (DOUBLY_ENCODED.test(canonical)) return 'the path is escaped twice'
  if (/%5C|%00/.test(canonical)) return 'the path holds an escaped backslash or NUL'
  let decoded: string
  try {
    decoded = decodeURIComponent(canonical)
  } catch {
    return 'the path is not UTF-8'
  }
  if (DOTS.test(decoded)) return 'the path holds dot segments'
  if (CONTROLS.test(decoded)) return 'the path holds control characters'
  if (LOOKALIKES.test(decoded)) return 'the path holds look-alikes of a dot or slash'
  return { path: canonical, encodedSlash: canonical.includes('%2F') }
}

/** Path and query of an origin-form or own-authority absolute-form target. */
function originForm(url: string, host: string): string | null {
  if (url.startsWith('/')) return url
  const absolute = /^https?:\/\/([^/?#]*)(\/[^#]*)$/i.exec(url)
  return absolute !== null && hostOf(absolute[1] ?? '') === host ? (absolute[2] ?? null) : null
}

/** @returns the description, or one sentence on what is malformed */
export function describeTarget(url: string, authority: string): Described | string {
  const host = hostOf(authority)
  if (host === null) return 'the Host header is not a host'
  if (url.length > TARGET_MAX) return 'the target is too long'
  const origin = originForm(url, host)
  if (origin === null) return 'the target names another authority or none'
  const mark = origin.indexOf('?')
  const raw = mark === -1 ? origin : origin.slice(0, mark)
  const query = mark === -1 ? '' : origin.slice(mark)
  if (query !== '' && !QUERY.test(query)) return 'the query holds characters that must be escaped'
  if (raw.includes('//')) return 'the path holds an empty segment'
  if (PLAIN.test(raw) && !DOTS.test(raw)) return { target: { host, path: raw, segments: raw.slice(1).split('/'), query }, encodedSlash: false }
  const canonical = canonicalPath(raw)
  if (typeof canonical === 'string') return canonical
  const { path, encodedSlash } = canonical
  return { target: { host, path, segments: path.slice(1).split('/'), query }, encodedSlash }
}
