// Path patterns as written, brought to the canonical form requests are matched in, or refused. A pattern that could never match is an error.
// SPEC: CFG3, DEC3
import { type PathPattern, pathPattern } from '../../core/path-pattern.ts'

const UNRESERVED = /^[A-Za-z0-9._~-]$/
const PLAIN = /^[A-Za-z0-9._~!$&'()+,;=:@-]$/
const NAMED = /^\{[a-z][A-Za-z0-9_]{0,63}\}$/
const PATTERN_MAX = 1024

class Refused extends Error {}

function refuseEscape(code: number): void {
  if (code === 0x2f || code === 0x5c || code === 0) throw new Refused('`%2f`, `%5c` and `%00` cannot be matched')
}

/** RFC 3986 §6.2.2: unreserved characters decoded, the others escaped with upper-case hexadecimal digits. */
function literal(segment: string): string {
  const canonical = segment.replaceAll(/%([0-9A-Fa-f]{2})|[\s\S]/gu, (character: string, hex: string | undefined) => {
    if (hex === undefined) {
      if (PLAIN.test(character)) return character
      if (character === '*') throw new Refused('`*` stands for a whole segment')
      if (character === '{' || character === '}') throw new Refused('a parameter is a whole segment, such as {id}, and begins with a small letter')
      throw new Refused(`'${character}' cannot be part of a path; write it percent-encoded`)
    }
    const code = Number.parseInt(hex, 16)
    refuseEscape(code)
    const plain = String.fromCharCode(code)
    return UNRESERVED.test(plain) ? plain : `%${hex.toUpperCase()}`
  })
  if (canonical === '.' || canonical === '..') throw new Refused('dot segments never reach a route')
  try {
    decodeURIComponent(canonical)
  } catch {
    throw new Refused('its escapes are not UTF-8')
  }
  return canonical
}

function segmentOf(segment: string, i: number, all: readonly string[]): string {
  if (segment === '') throw new Refused('`//` never reaches a route')
  if (segment === '**') {
    if (i < all.length - 1) throw new Refused('`**` stands only at the end')
    return segment
  }
  return segment === '*' || NAMED.test(segment) ? segment : literal(segment)
}

function canonical(written: string): string {
  if (!written.startsWith('/')) throw new Refused('a path begins with `/`')
  if (written.length > PATTERN_MAX) throw new Refused(`it is longer than ${PATTERN_MAX} characters`)
  if (written === '/') return written
  if (written.endsWith('/')) throw new Refused(`leave the last slash away: ${written.replace(/\/+$/, '') || '/'} covers it too`)
  return `/${written.slice(1).split('/').map(segmentOf).join('/')}`
}

/** The compiled pattern, or why there is none. */
export function compilePath(written: string): PathPattern | string {
  try {
    const pattern = pathPattern(canonical(written))
    const names = namesOf(pattern)
    const twice = names.find((name, i) => names.indexOf(name) < i)
    return twice === undefined ? pattern : `the parameter {${twice}} is there twice`
  } catch (error) {
    if (error instanceof Refused) return error.message
    throw error
  }
}

export const namesOf = (pattern: PathPattern): readonly string[] => pattern.parts.flatMap(part => (part.is === 'name' ? [part.name] : []))

type Part = PathPattern['parts'][number] | undefined

const meet = (a: Part, b: Part): boolean => a === undefined || b === undefined || a.is !== 'literal' || b.is !== 'literal' || a.text === b.text

/** Is there a path that both cover? */
export function overlap(a: PathPattern, b: PathPattern): boolean {
  const length = Math.max(a.parts.length, b.parts.length)
  if ((a.parts.length < length && !a.tail) || (b.parts.length < length && !b.tail)) return false
  return Array.from({ length }, (_, i) => meet(a.parts[i], b.parts[i])).every(Boolean)
}

/** Does `a` cover every path that `b` covers? */
export function includes(a: PathPattern, b: PathPattern): boolean {
  if (a.tail ? b.parts.length < a.parts.length : b.tail || a.parts.length !== b.parts.length) return false
  return a.parts.every((part, i) => {
    const other = b.parts[i]
    return part.is !== 'literal' || (other?.is === 'literal' && other.text === part.text)
  })
}
