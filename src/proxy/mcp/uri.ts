// URIs of resources that every server reads as the same one, so that no pattern of a rule can be walked out of. What has a second reading is refused, never
// repaired: who names a resource so is told which of its readings is taken. Pure. SPEC: MCP1, RFC 3986
const URI = /^[a-z][a-z0-9+.-]{0,63}:[\w.~:/?[\]@!$&'()*+,;=%-]{1,4096}$/
/** Blanks of a template (RFC 6570), as completions name resources. */
const BLANK = /\{[+./;?&]?[\w.,:*%]{1,256}\}/g
const ESCAPED = /%(.{0,2})/gs
const HEX = /^[0-9A-F]{2}$/
/** Decoded twice these would be another escape. */
const TWICE = /%25[0-9A-Fa-f]{2}/
const UNRESERVED = /^[\w.~-]$/
/** Without a form of their own: nobody sees them, and some parsers drop them. */
const UNSEEN = /[\p{Default_Ignorable_Code_Point}\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u
const PLAIN = /[!-~]/
/** `.`, `..` and what some file systems make of `...` or `.. `. */
const DOTS = /^(?:\.|%20)+$/
/** What the WHATWG's parser has one canonical form of. */
const SPECIAL = /^(?:https?|wss?|ftp|file):/

function octetFault(hex: string): string | null {
  if (!HEX.test(hex)) return 'has an escape that is not % and two upper-case hexadecimal digits'
  const code = Number.parseInt(hex, 16)
  const char = String.fromCharCode(code)
  if (UNRESERVED.test(char)) return 'escapes a character that stands for itself'
  return code < 0x20 || code === 0x7f || char === '/' || char === '\\' ? 'escapes a slash, a backslash or a control character' : null
}

/** Letters that another reader takes for a plain one: full width, ligatures, ı, ſ. */
const looksPlain = (letter: string): boolean => letter > '\x7f' && PLAIN.test(letter.normalize('NFKC').toUpperCase().toLowerCase())

function escapeFault(uri: string): string | null {
  if (!uri.includes('%')) return null
  for (const [, hex = ''] of uri.matchAll(ESCAPED)) {
    const fault = octetFault(hex)
    if (fault !== null) return fault
  }
  if (TWICE.test(uri)) return 'is escaped twice'
  let text: string
  try {
    text = decodeURIComponent(uri)
  } catch {
    return 'escapes what is not UTF-8'
  }
  return UNSEEN.test(text) || Array.from(text).some(looksPlain) ? 'escapes characters that look like others, or like nothing' : null
}

function segmentFault(segment: string, isOuter: boolean): string | null {
  const [plain = ''] = segment.split(';', 1)
  if (DOTS.test(plain)) return 'has a segment of dots'
  return plain === '' && !(isOuter && segment === '') ? 'has an empty segment' : null
}

function pathFault(path: string): string | null {
  const segments = path.split('/')
  for (const [i, segment] of segments.entries()) {
    const fault = segmentFault(segment, i === 0 || i === segments.length - 1)
    if (fault !== null) return fault
  }
  return null
}

/** `a?b`: dots behind the question mark too, for whoever takes all of it for a path. */
function queryFault(query: string): string | null { return query.split(/[/\\]/).some(part => DOTS.test(part)) ? 'has a segment of dots' : null }

function hierarchyFault(uri: string): string | null {
  const [path = '', ...queries] = uri.slice(uri.indexOf(':') + 1).split('?')
  if (uri.startsWith('file:') && queries.length > 0) return 'is a file with a query'
  const query = queryFault(queries.join('?'))
  if (query !== null || !path.startsWith('/')) return query ?? pathFault(path)
  if (!path.startsWith('//')) return 'begins its path with a single slash'
  const [authority = '', ...rest] = path.slice(2).split('/')
  if (authority.includes('@')) return 'names a user'
  if (DOTS.test(authority)) return 'has a segment of dots'
  return rest.length === 0 ? null : pathFault(`/${rest.join('/')}`)
}

function isCanonical(uri: string): boolean {
  const { href } = URL.parse(uri) ?? { href: null }
  return href === uri || href === `${uri}/`
}

/** What is wrong with a URI, behind "the URI"; null where it has one reading. @param isTemplate it may have blanks */
export function uriFault(uri: string, isTemplate = false): string | null {
  const filled = isTemplate ? uri.replace(BLANK, 'x') : uri
  if (!URI.test(filled)) return 'is not one: a scheme in lower case and at most 4096 characters that RFC 3986 has, without a fragment'
  const fault = escapeFault(filled) ?? hierarchyFault(filled)
  if (fault !== null) return fault
  return SPECIAL.test(filled) && !isCanonical(filled) ? 'is not in its canonical form' : null
}
