// One form of an http(s) URI for comparing `htu` with the public URI of a request: without query and fragment, normalised as far as RFC 3986
// §6.2.2–6.2.3 makes no difference. What only a hostile or careless reading makes equal (dot segments, userinfo, escapes in a host) has none.
// SPEC: BND2
const URI = /^(https?):\/\/([a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(:\d{0,5})?((?:\/(?:[a-z0-9\-._~!$&'()*+,;=:@]|%[0-9a-f]{2})*)*)(?:\?[\x21\x22\x24-\x7e]*)?(?:#[\x21-\x7e]*)?$/i
const DOT_SEGMENT = /\/\.{1,2}(?:\/|$)/
const UNRESERVED = /[A-Za-z0-9\-._~]/

function canonicalEscape(escape: string): string {
  const char = String.fromCharCode(Number.parseInt(escape.slice(1), 16))
  return UNRESERVED.test(char) ? char : escape.toUpperCase()
}

/** `:443`, or nothing for the scheme's own port; null for what is no port in its plain form. */
function canonicalPort(scheme: string, port: string): string | null {
  if (port === '' || port === ':') return ''
  if (!/^:[1-9]/.test(port) || Number(port.slice(1)) > 65_535) return null
  return port === (scheme === 'https' ? ':443' : ':80') ? '' : port
}

/** null for what is not an absolute http(s) URI with one reading. */
export function comparableUri(text: string): string | null {
  const parts = URI.exec(text)
  if (parts === null) return null
  const scheme = (parts[1] ?? '').toLowerCase()
  const port = canonicalPort(scheme, parts[3] ?? '')
  const given = parts[4] ?? ''
  const path = given.includes('%') ? given.replace(/%[0-9a-f]{2}/gi, canonicalEscape) : given
  if (port === null || DOT_SEGMENT.test(path)) return null
  return `${scheme}://${(parts[2] ?? '').toLowerCase()}${port}${path === '' ? '/' : path}`
}
